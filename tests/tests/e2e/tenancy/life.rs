//! The life of an organization behind its beginning: export, deletion, and the way back or elsewhere.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use testkit::TestDb;

use super::{TABLES, assert_exact, two_organizations};

mod circles;
mod delete;
mod export;
mod import;
mod merge;
mod restored;
mod traffic;

/// What stands in rows of `acme` alone, in every table that holds a text.
const MARK: &str = "zymurgy";

/// Columns of types whose texts a session's settings change, or that have more than one.
const STRANGE: &str = "ALTER TABLE items ADD COLUMN f float8, ADD COLUMN r real, ADD COLUMN b bytea, ADD COLUMN i interval,
    ADD COLUMN t timestamptz, ADD COLUMN a text[], ADD COLUMN j jsonb, ADD COLUMN c char(5), ADD COLUMN ip inet, ADD COLUMN n numeric,
    ADD COLUMN m money, ADD COLUMN g int4range, ADD COLUMN \"odd \"\"name\" text, ADD COLUMN twice numeric GENERATED ALWAYS AS (n * 2) STORED";

/// A database of `default`, `acme` and `globex`, each with rows of every table; only `acme`'s hold [`MARK`].
async fn three() -> TestDb {
    let db = two_organizations().await;
    db.execute(STRANGE).await;
    db.execute(
        "CREATE TABLE units (code text PRIMARY KEY, name text NOT NULL, base text REFERENCES units);
         INSERT INTO units VALUES ('g', 'gram', NULL), ('kg', 'kilogram', 'g'), ('t', 'ton', 'kg'), ('l', 'litre', NULL);
         ALTER TABLE items ADD COLUMN unit_code text REFERENCES units",
    )
    .await;
    for (org, mark) in [("default", "plain"), ("acme", MARK), ("globex", "globes")] {
        fill(&db, org, mark).await;
    }
    db
}

async fn fill(db: &TestDb, org: &str, mark: &str) {
    db.execute(format!(
        r#"INSERT INTO users (id, email, name, org_id) SELECT '{org}-u' || n, n || '@{mark}.example', '{mark}', '{org}' FROM generate_series(1, 3) AS n;
         INSERT INTO items (id, item_number, name, org_id, unit_code, f, r, b, i, t, a, j, c, ip, n, m, g, "odd ""name")
         SELECT '{org}-i' || n, '{mark}-' || n, 'it''s "{mark}" \ ' || chr(9) || chr(10) || chr(1) || 'ü€𝄞', '{org}', CASE WHEN n < 5 THEN 'kg' END,
                1.0 / 3 * n, 0.1::real, '\x00ff10', '1 mon -2 days 03:04:05.678', '2025-03-30 02:30:00.123456+02', ARRAY['a,b', NULL, '"'],
                '{{"k": [1, 2.50, null]}}', 'ab', '10.0.0.1/8', 1e30 + 0.000001, 12.5, '[1,5)', NULL
         FROM generate_series(1, 10) AS n;
         INSERT INTO locations (id, site, name, org_id) SELECT '{org}-l' || n, '{mark}', 'bin ' || n, '{org}' FROM generate_series(1, 4) AS n;
         INSERT INTO inventory_ledger (id, item_id, location_id, lot_id, qty_canonical, note, created_by, org_id)
         SELECT '{org}-e' || n, '{org}-i' || 1 + n % 10, '{org}-l' || 1 + n % 4, CASE WHEN n % 3 = 0 THEN '{mark}' END, n * 0.25 - 20, '{mark}', '{org}-u1', '{org}'
         FROM generate_series(1, 300) AS n;
         INSERT INTO count_sheets (id, count_number, location_id, counted_by, org_id)
         SELECT '{org}-s' || n, '{mark}' || n, '{org}-l' || 1 + n % 4, '{org}-u1', '{org}' FROM generate_series(1, 5) AS n;
         INSERT INTO count_lines (id, count_sheet_id, item_id, qty_counted, org_id)
         SELECT '{org}-c' || n, '{org}-s' || 1 + n % 5, '{org}-i' || 1 + n % 10, n, '{org}' FROM generate_series(1, 20) AS n;
         INSERT INTO audit_logs (id, user_id, action, entity, details, org_id) VALUES ('{org}-a', '{org}-u1', '{mark}', 'items', '{{"x": "{mark}"}}', '{org}');
         INSERT INTO feature_flags (id, key, org_id) VALUES ('{org}-f', '{mark}', '{org}')"#
    ))
    .await;
}

/// Every row of the other organizations, of tables that hold any.
async fn others(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.extend(
            db.rows(format!(
                "SELECT '{table}', ROW(t.*)::text FROM {table} AS t WHERE org_id <> 'acme' ORDER BY 2"
            ))
            .await,
        );
    }
    rows.extend(
        db.rows("SELECT t::text FROM inventory_balances AS t WHERE org_id <> 'acme' ORDER BY 1").await,
    );
    rows.extend(db.rows("SELECT t::text FROM organizations AS t WHERE id <> 'acme' ORDER BY 1").await);
    rows
}

/// Every row of `acme`, but for the number of the transaction that made an entry.
async fn own(db: &TestDb) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.extend(
            db.rows(format!("SELECT '{table}', to_jsonb(o) - 'stockfoil_tx' FROM {table} AS o WHERE org_id = 'acme' ORDER BY o.id"))
                .await,
        );
    }
    rows.extend(db.rows("SELECT item_id, location_id, lot_key, trim_scale(qty_canonical) FROM inventory_balances WHERE org_id = 'acme' ORDER BY 1, 2, 3").await);
    rows.extend(db.rows("SELECT t::text FROM organizations AS t WHERE id = 'acme'").await);
    rows.extend(db.rows("SELECT t::text FROM organization_api_keys AS t WHERE org_id = 'acme'").await);
    rows
}

/// Exports `acme`; the folder that the file is in, the file, and the report.
async fn export(db: &TestDb) -> (TempDir, PathBuf, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.jsonl");
    let report = export_to(db, &file).await;
    (folder, file, report)
}

async fn export_to(db: &TestDb, file: &Path) -> Value {
    let run = db.run("org-export").args(["--org-id", "acme", "--format", "json", "--out"]).arg(file);
    run.await.ok().json()
}

/// Rows and digests by table, but for the organization's own row, which is deactivated before it goes.
fn content(report: &Value) -> Vec<(String, u64, String)> {
    counts(report).into_iter().filter(|(table, ..)| table != "organizations").collect()
}

/// Rows and digests by table.
fn counts(report: &Value) -> Vec<(String, u64, String)> {
    let tables = report["tables"].as_array().unwrap_or_else(|| panic!("no tables in {report}")).iter();
    let mut counts: Vec<_> = tables
        .filter(|count| {
            count["rows"] != 0
                && count["kind"] != "shared"
                && count["kind"] != "balances"
                && count["kind"] != "record"
        })
        .map(|count| {
            let digest = count["digest"].as_str().unwrap_or_default().to_owned();
            (count["table"].as_str().unwrap().to_owned(), count["rows"].as_u64().unwrap(), digest)
        })
        .collect();
    counts.sort();
    counts
}
