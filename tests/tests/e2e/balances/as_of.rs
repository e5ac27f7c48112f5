//! The balances at a time: `reconcile-balances --as-of`, and the functions that tell the same to applications.

mod functions;

use serde_json::{Value, json};
use testkit::{Mapped, TestDb};

use super::fixture::{behind_the_triggers, inventory};

/// The balances as `key quantity`.
async fn told(db: &TestDb, at: &str, args: &[&str]) -> Vec<String> {
    lines(&report(db, at, args).await)
}

async fn report(db: &TestDb, at: &str, args: &[&str]) -> Value {
    let run = db.run("reconcile-balances").args(["--as-of", at, "--format", "json"]).args(args);
    let report = run.await.ok().json();
    assert_eq!((&report["schema"], &report["outcome"]), (&json!("stockfoil.as-of/1"), &json!("clean")));
    report
}

fn lines(report: &Value) -> Vec<String> {
    let balances = report["balances"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    balances.map(|balance| format!("{} {}", text(&balance["key"]), text(&balance["quantity"]))).collect()
}

/// What `balance_at` tells of a key of the default model.
async fn balance_at(db: &TestDb, key: &str, at: &str) -> String {
    db.value(format!("SELECT trim_scale(stockfoil.balance_at({key}, {at}))")).await
}

/// Entries of two organizations, around a midnight and with every lot that there can be.
async fn entries() -> TestDb {
    let db = inventory().await;
    db.execute(
        "INSERT INTO inventory_ledger (id, org_id, item_id, location_id, lot_id, qty_canonical, created_at) VALUES
             ('e1', 'acme', 'bolt', 'l1', NULL, 0.1, '2026-01-01 12:00Z'),
             ('e2', 'acme', 'bolt', 'l1', '', 0.2, '2026-01-01 23:59:59.999999Z'),
             ('e3', 'acme', 'bolt', 'l1', NULL, 100, '2026-01-02 00:00Z'),
             ('e4', 'acme', 'bolt', 'l1', 'A', 7, '2026-01-01 06:00Z'), ('e5', 'acme', 'bolt', 'l1', 'A', -7, '2026-01-01 07:00Z'),
             ('e6', 'acme', 'Ä-ring', 'l2', 'B/1', 12345678901.000001, '2026-01-01 00:00Z'),
             ('e7', 'zeta', 'bolt', 'l1', NULL, 5, '2026-01-01 00:00Z')",
    )
    .await;
    db
}

#[tokio::test]
async fn balances_are_those_of_the_time() {
    let db = entries().await;
    // A day is over with its last microsecond, and an entry at the time itself counts.
    let day =
        ["acme/bolt/l1 0.3", "acme/bolt/l1/A 0", "acme/Ä-ring/l2/B%2F1 12345678901.000001", "zeta/bolt/l1 5"];
    let report = report(&db, "2026-01-01", &[]).await;
    assert_eq!(lines(&report), day);
    assert_eq!(report["as_of"], "2026-01-01T23:59:59.999999Z");
    let parts = json!({ "key": "acme/bolt/l1", "org_id": "acme", "item_id": "bolt", "location_id": "l1", "lot_id": null,
                        "quantity": "0.3", "not_a_number_entries": 0, "undated_entries": 0 });
    assert_eq!(report["balances"][0], parts);
    assert_eq!(told(&db, "2026-01-02T01:00+01:00", &["--org", "acme"]).await[0], "acme/bolt/l1 100.3");
    assert_eq!(
        told(&db, "2026-01-02T00:59:59.999999+01:00", &["--org", "acme"]).await[0],
        "acme/bolt/l1 0.3"
    );
    assert_eq!(
        told(&db, "2026-01-01T06:30Z", &["--org", "acme"]).await,
        ["acme/bolt/l1/A 7", "acme/Ä-ring/l2/B%2F1 12345678901.000001"]
    );
    assert_eq!(told(&db, "2025-12-31", &[]).await, [""; 0]);
    assert_eq!(told(&db, "2026-01-01", &["--org", "zeta", "--org", "default"]).await, ["zeta/bolt/l1 5"]);
    // One key, as other commands print it; an empty lot is none.
    for (key, quantity) in
        [("acme/bolt/l1", "0.3"), ("acme/bolt/l1/", "0.3"), ("acme/Ä-ring/l2/B%2F1", "12345678901.000001")]
    {
        let key = key.trim_end_matches('/');
        assert_eq!(told(&db, "2026-01-01", &["--key", key]).await, [format!("{key} {quantity}")]);
    }
    // It had no entry yet, and one that never had any is no key.
    assert_eq!(told(&db, "2025-12-31", &["--key", "zeta/bolt/l1"]).await, ["zeta/bolt/l1 0"]);
    let run = db.run("reconcile-balances").args(["--as-of", "2026-01-01", "--key", "acme/bolt/l2"]);
    run.await.refuses(2, "acme/bolt/l2 has no ledger entry");
    let run = db.run("reconcile-balances").args(["--as-of", "2026-01-01"]).await.ok();
    run.says("4 balances at 2026-01-01T23:59:59.999999Z, the end of that day in UTC, as the ledger said at")
        .says("acme/Ä-ring/l2/B%2F1  12345678901.000001");
    // It only looks: no run, no lock, and nothing that a read-only database would refuse.
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.run").await, "0");
    db.execute(format!("ALTER DATABASE {} SET default_transaction_read_only = on", db.name())).await;
    assert_eq!(told(&db, "2026-01-01", &[]).await, day);
}

#[tokio::test]
async fn applications_are_told_the_same() {
    let db = entries().await;
    assert_eq!(
        db.rows("SELECT item, location, lot, trim_scale(quantity) FROM stockfoil.balances_at('acme', '2026-01-01 23:59:59.999999Z') ORDER BY 1, 2, 3 NULLS FIRST").await,
        [["bolt", "l1", "", "0.3"], ["bolt", "l1", "A", "0"], ["Ä-ring", "l2", "B/1", "12345678901.000001"]]
    );
    for (key, at, quantity) in [
        ("'acme', 'bolt', 'l1', NULL", "'2026-01-01 23:59:59.999999Z'", "0.3"),
        ("'acme', 'bolt', 'l1', ''", "'2026-01-02Z'", "100.3"),
        ("'acme', 'bolt', 'l1', 'A'", "'2026-01-01 06:00Z'", "7"),
        ("'acme', 'bolt', 'l1', 'A'", "now()", "0"),
        // What never was, and nobody's, is nothing; no time is no answer.
        ("'acme', 'bolt', 'l2', 'A'", "now()", "0"),
        ("NULL, 'bolt', 'l1', NULL", "now()", "0"),
        ("'acme', 'bolt', 'l1', NULL", "NULL", ""),
    ] {
        assert_eq!(balance_at(&db, key, at).await, quantity, "{key} {at}");
    }
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.balances_at('acme', NULL)").await, "0");
    // Whatever the session's settings are, and whatever is first on its path.
    db.execute(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.sum_of(numeric, numeric) RETURNS numeric LANGUAGE sql AS 'SELECT 666::numeric';
         CREATE AGGREGATE evil.sum(numeric) (SFUNC = evil.sum_of, STYPE = numeric, INITCOND = '0')",
    )
    .await;
    let set = "SET search_path = evil, pg_catalog, public; SET TimeZone = 'Pacific/Auckland'; SET DateStyle = 'German';";
    let rows = db
        .rows(format!(
            "{set} SELECT sum(1::numeric), trim_scale(stockfoil.balance_at('acme', 'bolt', 'l1', NULL, '2026-01-02 12:59:59.999999'))"
        ))
        .await;
    assert_eq!(rows, [["666", "0.3"]], "the caller's words are of its own zone");
}

#[tokio::test]
async fn a_changed_entry_counts_as_it_is_now() {
    let db = entries().await;
    db.run("backfill-balances").await.ok();
    db.execute(
        "UPDATE inventory_ledger SET qty_canonical = 0.5 WHERE id = 'e1';
         UPDATE inventory_ledger SET item_id = 'nut' WHERE id = 'e7';
         DELETE FROM inventory_ledger WHERE id = 'e6'",
    )
    .await;
    let now = ["acme/bolt/l1 0.7", "acme/bolt/l1/A 0", "zeta/nut/l1 5"];
    assert_eq!(told(&db, "2026-01-01", &[]).await, now);
    assert_eq!(balance_at(&db, "'zeta', 'bolt', 'l1', NULL", "now()").await, "0");
    // An entry that is made today for a time that is past counts there, too.
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at) VALUES ('zeta', 'nut', 'l1', 1, '2026-01-01Z')").await;
    assert_eq!(told(&db, "2026-01-01", &["--key", "zeta/nut/l1"]).await, ["zeta/nut/l1 6"]);
}

#[tokio::test]
async fn entries_of_strange_times_and_quantities_harm_nothing_else() {
    let db = entries().await;
    db.execute("ALTER TABLE inventory_ledger ALTER COLUMN created_at DROP NOT NULL").await;
    db.execute(
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at) VALUES
             ('acme', 'nut', 'l1', 1, NULL), ('acme', 'nut', 'l1', 2, '-infinity'), ('acme', 'nut', 'l1', 4, '4000-01-01Z BC'),
             ('acme', 'nut', 'l1', 8, '290000-01-01Z'), ('acme', 'nut', 'l1', 16, 'infinity')",
    )
    .await;
    behind_the_triggers(
        &db,
        "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
         VALUES ('acme', 'ore', 'l1', 'NaN', '2026-01-01Z'), ('acme', 'ore', 'l1', 3, '2026-01-01Z')",
    )
    .await;
    let report = report(&db, "2026-01-01", &["--org", "acme"]).await;
    assert_eq!((&report["undated_entries"], &report["not_a_number_entries"]), (&json!(1), &json!(1)));
    let lines = lines(&report);
    assert!(
        lines.contains(&"acme/nut/l1 7".to_owned()) && lines.contains(&"acme/ore/l1 3".to_owned()),
        "{lines:?}"
    );
    let nut = "'acme', 'nut', 'l1', NULL";
    for (at, quantity) in
        [("'-infinity'", "3"), ("'2026-01-01Z'", "7"), ("'infinity'", "31"), ("'294000-01-01Z'", "15")]
    {
        assert_eq!(balance_at(&db, nut, at).await, quantity, "{at}");
    }
    db.run("reconcile-balances")
        .args(["--as-of", "2026-01-01"])
        .await
        .ok()
        .says("1 entry without a time counted: there from the beginning")
        .says("1 entry is no number, and in no balance")
        .says("acme/nut/l1           7                   1 entry without a time");
}

/// Everything that a ledger says up to a time, by a query of the tests' own over what is left of it without the rest.
async fn expected(db: &TestDb, mapped: Mapped, forget: &str) -> Vec<Vec<String>> {
    let rows = db.rows(format!(
        "BEGIN; SET session_replication_role = replica; {forget};
         SELECT org, item, location, lot, trim_scale(quantity) FROM ({}) AS e",
        mapped.entries()
    ));
    sorted(rows.await)
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

/// Each mapping's ledger, its column of times and of organizations, and the types of the function's parameters.
const MAPPINGS: [(Mapped, &str, &str, &str, &str); 4] = [
    (Mapped::Prisma, r#""StockMovement""#, r#""createdAt""#, r#""organizationId""#, "uuid, uuid, uuid, uuid"),
    (Mapped::Erp, "stock_move", "date", "org_id", "text, integer, integer, integer"),
    (Mapped::Warehouse, "stock_transactions", "booked_at", "org_id", "text, integer, smallint, text"),
    (
        Mapped::TwoSchemas,
        r#"plant."Stock.Entries""#,
        r#""weighed at""#,
        r#""tenant id""#,
        "bigint, text, text, text",
    ),
];

#[tokio::test]
async fn every_mapping_has_its_own_types_and_columns() {
    for (mapped, ledger, time, org, types) in MAPPINGS {
        let db = TestDb::mapped_migrated(mapped).await;
        // The moment of an entry, from about the middle; a time without a zone is one of UTC.
        let at = db
            .value(format!(
                "SET TimeZone = 'UTC'; SELECT to_char(max(t), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                 FROM (SELECT {time} AS t FROM {ledger} ORDER BY 1 LIMIT 1500) AS e"
            ))
            .await;
        let forget = format!("SET TimeZone = 'UTC'; DELETE FROM {ledger} WHERE {time} > '{at}'");
        let expected = expected(&db, mapped, &forget).await;
        assert!(expected.len() > 50, "{mapped:?} {at}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let command = report(&db, &at, &[]).await;
        let names = ["org_id", "item_id", "location_id", "lot_id", "quantity"];
        let balances = command["balances"].as_array().unwrap().iter();
        let rows = balances.map(|balance| names.map(|name| text(&balance[name])).to_vec());
        assert_eq!(sorted(rows.collect()), expected, "{mapped:?}");
        let functions = db.rows(format!(
            "SET TimeZone = 'Asia/Tokyo';
             SELECT o.id::text, b.item::text, b.location::text, coalesce(b.lot::text, ''), trim_scale(b.quantity)
             FROM (SELECT DISTINCT {org} AS id FROM {ledger}) AS o, stockfoil.balances_at(o.id, '{at}') AS b
             WHERE b.quantity = stockfoil.balance_at(o.id, b.item, b.location, b.lot, '{at}')"
        ));
        assert_eq!(sorted(functions.await), expected, "{mapped:?}");
        let parameters =
            db.value("SELECT oidvectortypes(proargtypes) FROM pg_proc WHERE proname = 'balance_at'").await;
        assert_eq!(parameters, format!("{types}, timestamp with time zone"));
        db.run("validate-migration").await.ok();
    }
}

#[tokio::test]
async fn however_many_keys_there_are_each_is_told() {
    let db = inventory().await;
    db.execute(
        "ALTER TABLE inventory_ledger ALTER created_at DROP NOT NULL;
         INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, created_at)
         SELECT (ARRAY['acme', 'zeta'])[1 + n % 2], 'bolt', 'l1', 'lot ' || n, n + 0.5, CASE WHEN n % 1000 > 0 THEN '2026-01-01'::timestamptz END
         FROM generate_series(1, 3000) AS n",
    )
    .await;
    let expected = db
        .rows("SELECT format('%s/bolt/l1/%s', org_id, replace(lot_id, ' ', '%20')) || ' ' || trim_scale(qty_canonical) FROM inventory_ledger ORDER BY org_id COLLATE \"C\", lot_id COLLATE \"C\"")
        .await
        .concat();
    let json = report(&db, "2026-01-01", &[]).await;
    assert_eq!(lines(&json), expected);
    assert_eq!(json["undated_entries"], 3);
    let run = db.run("reconcile-balances").args(["--as-of", "2026-01-01"]).await.ok();
    let told = run.stdout.lines().filter(|line| line.contains("/bolt/")).map(|line| {
        let mut words = line.split_whitespace();
        format!("{} {}", words.next().unwrap(), words.next().unwrap())
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let run =
        run.says("3000 balances at").says("1 entry without a time").says("3 entries without a time counted");
    let file = tempfile::NamedTempFile::new().unwrap();
    let written = db.run("reconcile-balances").args(["--as-of", "2026-01-01", "--output"]).arg(file.path());
    written.await.ok();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), run.stdout.lines().skip(1).collect::<Vec<_>>());
}
