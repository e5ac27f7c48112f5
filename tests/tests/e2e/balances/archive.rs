//! Closed partitions whose entries are brought forward, and those that went without it.

mod gone;
mod mapped;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sqlx::Connection as _;
use testkit::{Mapped, Signal, TestDb, signal};

use super::{
    fixture::WRONG_KEYS,
    writers::{LOCK_IS_FREE, wait_for},
};

const NOTHING: [[&str; 0]; 0] = [[""; 0]; 0];

/// The default ledger in partitions by month: of February the entries of three organizations, of March some, and more of now.
const PARTITIONED: &str = "
    ALTER TABLE inventory_ledger RENAME TO ledger_before;
    CREATE TABLE inventory_ledger (LIKE ledger_before INCLUDING DEFAULTS, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
    DROP TABLE ledger_before;
    ALTER TABLE inventory_ledger ADD FOREIGN KEY (item_id) REFERENCES items, ADD FOREIGN KEY (location_id) REFERENCES locations;
    CREATE TABLE ledger_2025_02 PARTITION OF inventory_ledger FOR VALUES FROM ('2025-02-01Z') TO ('2025-03-01Z');
    CREATE TABLE ledger_2025_03 PARTITION OF inventory_ledger FOR VALUES FROM ('2025-03-01Z') TO ('2025-04-01Z');
    CREATE TABLE ledger_now PARTITION OF inventory_ledger FOR VALUES FROM ('2026-01-01Z') TO ('3000-01-01Z');
    CREATE TABLE ledger_default PARTITION OF inventory_ledger DEFAULT;
    ALTER TABLE ledger_2025_02 REPLICA IDENTITY FULL";

const ROWS: &str = "
    INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('zeta', 'Zeta');
    INSERT INTO items (id, item_number, name) SELECT i, i, i FROM unnest('{bolt,nut,ore}'::text[]) AS i;
    INSERT INTO locations (id, site, name) VALUES ('l1', 's', 'one'), ('l2', 's', 'two');
    INSERT INTO inventory_ledger (org_id, item_id, location_id, lot_id, qty_canonical, created_at)
    SELECT (ARRAY['default', 'acme', 'zeta'])[1 + n % 3], (ARRAY['bolt', 'nut'])[1 + n % 2], 'l' || 1 + n % 2,
           (ARRAY[NULL, '', 'A'])[1 + n % 5 % 3], n * 0.25 + 1, at + n * interval '1 hour'
    FROM generate_series(1, 300) AS n, unnest('{2025-02-01Z,2025-03-01Z,2026-01-01Z}'::timestamptz[]) AS at;
    INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
    VALUES ('acme', 'ore', 'l1', 5, '2025-02-03Z'), ('acme', 'ore', 'l1', -5, '2025-02-04Z')";

/// Items and places of each organization's own, as isolation wants them.
const OWN: &str = "
    INSERT INTO items (id, org_id, item_number, name) SELECT o || '-' || i, o, i, i
    FROM unnest('{acme,zeta}'::text[]) AS o, unnest('{bolt,nut,ore}'::text[]) AS i;
    INSERT INTO locations (id, org_id, site, name) SELECT o || '-' || l, o, 's', l
    FROM unnest('{acme,zeta}'::text[]) AS o, unnest('{l1,l2}'::text[]) AS l;
    UPDATE inventory_ledger SET item_id = org_id || '-' || item_id, location_id = org_id || '-' || location_id
    WHERE org_id <> 'default'";

/// February and March are closed.
async fn closed() -> TestDb {
    closed_after("").await
}

/// The same, after `more` of the rows.
async fn closed_after(more: &str) -> TestDb {
    let db = TestDb::inventory().await;
    db.execute(PARTITIONED).await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.execute(ROWS).await;
    db.execute(more).await;
    db.run("backfill-balances").await.ok();
    reconcile(&db, 0, &["--close", "2025-03"]).await;
    db
}

async fn reconcile(db: &TestDb, status: i32, args: &[&str]) -> Value {
    db.run("reconcile-balances").args(["--format", "json"]).args(args).await.status(status).json()
}

async fn archive(db: &TestDb, partition: &str) -> Value {
    reconcile(db, 0, &["--archive", partition]).await
}

/// The balances as they were at a time.
async fn as_of(db: &TestDb, at: &str) -> Vec<String> {
    let report = reconcile(db, 0, &["--as-of", at]).await;
    let line = |b: &Value| format!("{} {}", b["key"], b["quantity"]);
    let of_zero = |line: &String| !line.ends_with(" \"0\"");
    report["balances"].as_array().unwrap().iter().map(line).filter(of_zero).collect()
}

/// What the table is beside its entries: owner, rights, row-level security, replica identity, columns, keys, checks, policies and
/// triggers, but for the names of indexes.
const SHAPE: &str = "
    SELECT concat_ws(' | ', c.relowner::regrole, (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(c.relacl) AS a), c.relrowsecurity, c.relforcerowsecurity, c.relreplident, pg_get_expr(c.relpartbound, c.oid),
        (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY a.attname)
         FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE a.attrelid = c.oid AND a.attnum > 0),
        (SELECT string_agg(concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated), ', ' ORDER BY pg_get_constraintdef(k.oid)) FROM pg_constraint AS k WHERE k.conrelid = c.oid),
        (SELECT string_agg(substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*'), ', ' ORDER BY substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*'))
         FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid),
        (SELECT string_agg(concat_ws(' ', p.polname, p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), ', ' ORDER BY p.polname)
         FROM pg_policy AS p WHERE p.polrelid = c.oid),
        (SELECT string_agg(concat_ws(' ', t.tgname, t.tgenabled, t.tgfoid::regproc), ', ' ORDER BY t.tgname) FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))
    FROM pg_class AS c WHERE c.relname = ";

/// Nothing is told, by the next run or by one that reads everything, and all that reads the partition's shape is content.
async fn all_is_well(db: &TestDb) {
    assert_eq!(db.rows(WRONG_KEYS).await, NOTHING);
    for args in [&[][..], &[], &["--full"]] {
        let report = reconcile(db, 0, args).await;
        assert_eq!(
            (
                &report["backdated"],
                &report["changed_history"],
                &report["unresolved"],
                &report["uncovered_partitions"]
            ),
            (&json!(0), &json!(0), &json!(0), &json!([])),
            "{report}"
        );
    }
    db.run("migrate-balance").await.ok().says("nothing to do");
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn what_a_partition_held_is_brought_forward_and_no_balance_changes() {
    let db = closed().await;
    let stored = "SELECT org_id, item_id, location_id, lot_key, qty_canonical, last_updated FROM inventory_balances ORDER BY 1, 2, 3, 4";
    let (before, shape) = (db.rows(stored).await, db.value(format!("{SHAPE} 'ledger_2025_02'")).await);
    let times = [
        "2025-02-05",
        "2025-02-13T12:00Z",
        "2025-02-15",
        "2025-02-27",
        "2025-02-28",
        "2025-03-10",
        "2025-04-01",
        "2026-01-05",
    ];
    let mut balances = Vec::new();
    for at in times {
        balances.push(as_of(&db, at).await);
    }

    let look = db.run("reconcile-balances").args(["--archive", "ledger_2025_02", "--dry-run"]).await.ok();
    look.says("302 entries")
        .says("would be brought forward")
        .says("ACCESS EXCLUSIVE on the ledger")
        .says("nothing was changed");
    assert_eq!(db.value("SELECT count(*) FROM ledger_2025_02").await, "302");
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.archived_partition").await, "0");

    let report = archive(&db, "ledger_2025_02").await;
    assert_eq!((&report["was"], &report["entries"]), (&json!("attached"), &json!(302)));
    assert_eq!(report["archived_as"], "ledger_2025_02_archived");
    assert_eq!(report["newest_at"], "2025-02-13T12:00:00Z");
    let keys = report["keys"].as_u64().unwrap();
    // A sum of zero needs no entry.
    assert_eq!(report["brought_forward"], keys - 1);
    assert_eq!(db.value("SELECT count(*) FROM ledger_2025_02").await, (keys - 1).to_string());
    assert_eq!(db.value("SELECT count(*) FROM ledger_2025_02_archived").await, "302");
    assert_eq!(
        db.rows("SELECT DISTINCT created_at, note = 'brought forward from ledger_2025_02', stockfoil_tx IS NULL FROM ledger_2025_02").await,
        [["2025-02-13 12:00:00+00", "t", "t"]]
    );
    assert_eq!(db.rows(stored).await, before);
    assert_eq!(db.value(format!("{SHAPE} 'ledger_2025_02'")).await, shape);
    for (at, was) in times.into_iter().zip(balances).skip(1) {
        assert_eq!(as_of(&db, at).await, was, "{at}");
    }
    assert_eq!(
        db.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'stockfoil_archive%'").await,
        "0"
    );
    all_is_well(&db).await;

    // Once more there is nothing to do, and what comes into the closed time later is told as ever.
    let again = archive(&db, "public.ledger_2025_02").await;
    assert_eq!(
        (&again["was"], &again["archived_as"]),
        (&json!("archived"), &json!("ledger_2025_02_archived"))
    );
    db.execute("DROP TABLE ledger_2025_02_archived").await;
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at) VALUES ('acme', 'nut', 'l2', 1, '2025-02-05Z')").await;
    let report = reconcile(&db, 1, &[]).await;
    assert_eq!(
        (&report["backdated"], &report["listed_backdated"][0]["entries"].as_array().map(Vec::len)),
        (&json!(1), &Some(1))
    );
    db.execute("DELETE FROM inventory_ledger WHERE item_id = 'nut' AND created_at = '2025-02-05Z'").await;
    reconcile(&db, 0, &[]).await;
    // The next one, and what the record says of both.
    archive(&db, "ledger_2025_03").await;
    reconcile(&db, 0, &["--close", "2025-04"]).await;
    all_is_well(&db).await;
    assert_eq!(
        db.rows("SELECT table_name, archived_as, archived_at IS NOT NULL, entries FROM stockfoil.archived_partition ORDER BY id").await,
        [["ledger_2025_02", "ledger_2025_02_archived", "t", "302"], ["ledger_2025_03", "ledger_2025_03_archived", "t", "300"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_other_partitions_go_on_and_none_is_lost() {
    let db = closed().await;
    let stop = AtomicBool::new(false);
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(db.connect().await);
    }
    let write = async |mut session: sqlx::PgConnection, n: i32| {
        let mut done = 0;
        while !stop.load(Ordering::Relaxed) {
            let entry =
                "INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at)
                         VALUES ('acme', (ARRAY['bolt', 'nut'])[1 + $1 % 2], 'l1', $1 + 1, now())";
            sqlx::query(entry).bind(n + done % 3).execute(&mut session).await.unwrap();
            done += 1;
        }
        assert!(done > 0);
    };
    let mut sessions = sessions.into_iter().zip(0..);
    let mut next = || {
        let (session, n) = sessions.next().unwrap();
        write(session, n)
    };
    let work = async {
        archive(&db, "ledger_2025_02").await;
        archive(&db, "ledger_2025_03").await;
        reconcile(&db, 0, &[]).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(next(), next(), next(), next(), work);
    all_is_well(&db).await;
}

/// Reads the partition for long, and would see the other one without its entries, until it is ended.
async fn reading(db: &TestDb) -> sqlx::PgConnection {
    let mut reader = db.connect().await;
    for sql in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM ledger_2025_02"] {
        sqlx::query(sql).execute(&mut reader).await.unwrap();
    }
    reader
}

const BUILT: &str = "SELECT count(*) > 0 FROM stockfoil.archived_partition AS a
                     JOIN pg_class AS c ON c.oid = a.replacement WHERE a.archived_at IS NULL AND (a.fence IS NOT NULL)";

#[tokio::test]
async fn a_killed_archive_leaves_the_ledger_whole_and_the_next_one_begins_anew() {
    let db = closed().await;
    let reader = reading(&db).await;
    let mut child = db.run("reconcile-balances").args(["--archive", "ledger_2025_02"]).spawn();
    wait_for(&db, BUILT).await;
    signal(&child, Signal::KILL);
    child.wait().await.unwrap();
    // The closed partition is as it was, and nothing of the half-built one counts.
    reconcile_when_free(&db).await;
    assert_eq!(db.value("SELECT count(*) FROM ledger_2025_02").await, "302");
    reader.close().await.unwrap();
    archive(&db, "ledger_2025_03").await;
    assert_eq!(
        db.value("SELECT count(*) FROM pg_class WHERE relname LIKE '%brought_forward%' AND relkind = 'r'")
            .await,
        "0"
    );
    archive(&db, "ledger_2025_02").await;
    all_is_well(&db).await;
}

/// The run lock of a killed process is given back when the server notices.
async fn reconcile_when_free(db: &TestDb) {
    wait_for(db, LOCK_IS_FREE).await;
    reconcile(db, 0, &[]).await;
}

#[tokio::test]
async fn what_is_entered_meanwhile_is_brought_forward_or_refused_and_never_lost() {
    let db = closed().await;
    let reader = reading(&db).await;
    let child = db.run("reconcile-balances").args(["--archive", "ledger_2025_02"]).spawn();
    wait_for(&db, BUILT).await;
    db.execute("INSERT INTO inventory_ledger (org_id, item_id, location_id, qty_canonical, created_at) VALUES ('acme', 'nut', 'l2', 1, '2025-02-05Z')").await;
    reader.close().await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("are not those that were closed"), "{said}");
    assert_eq!(db.rows(WRONG_KEYS).await, NOTHING);
    assert_eq!(db.value("SELECT count(*) FROM ledger_2025_02").await, "303");
    reconcile(&db, 1, &[]).await;
}

#[tokio::test]
async fn what_can_not_be_archived_is_refused_with_the_reason() {
    let db = closed().await;
    let refused = async |partition: &str, why: &str| {
        db.run("reconcile-balances").args(["--archive", partition]).await.refuses(2, why);
        db.run("reconcile-balances").args(["--archive", partition, "--dry-run"]).await.refuses(2, why);
    };
    refused("ledger_now", "which is not closed; close a later period first").await;
    refused("ledger_default", "it is the default partition").await;
    refused("items", "is no partition that the ledger").await;
    refused("ledger_2024_01", "there is no such table").await;
    refused("a.b.c", "a partition is TABLE or SCHEMA.TABLE").await;
    db.run("reconcile-balances")
        .args(["--archive", "ledger_2025_02", "--fix-large"])
        .await
        .refuses(2, "exclude each other");
    for (make, why, undo) in [
        (
            "CREATE TABLE receipts (entry text, at timestamptz, FOREIGN KEY (entry, at) REFERENCES ledger_2025_02)",
            "receipts refers to its entries",
            "DROP TABLE receipts",
        ),
        (
            "CREATE TABLE receipts (entry text, at timestamptz, FOREIGN KEY (entry, at) REFERENCES inventory_ledger)",
            "receipts refers to its entries",
            "DROP TABLE receipts",
        ),
        (
            "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER own BEFORE UPDATE ON ledger_2025_02 FOR EACH ROW EXECUTE FUNCTION own()",
            "trigger own is its own",
            "DROP TRIGGER own ON ledger_2025_02",
        ),
        (
            "CREATE VIEW february AS SELECT * FROM ledger_2025_02",
            "view february reads it",
            "DROP VIEW february",
        ),
        (
            "UPDATE inventory_ledger SET qty_canonical = qty_canonical + 1 WHERE item_id = 'ore' AND created_at = '2025-02-03Z'",
            "are not those that were closed",
            "UPDATE inventory_ledger SET qty_canonical = qty_canonical - 1 WHERE item_id = 'ore' AND created_at = '2025-02-03Z'",
        ),
    ] {
        db.execute(make).await;
        refused("ledger_2025_02", why).await;
        db.execute(undo).await;
    }
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 3 WHERE item_id = 'nut'").await;
    reconcile(&db, 1, &[]).await;
    refused("ledger_2025_02", "have an open finding").await;
    reconcile(&db, 0, &["--fix-large"]).await;
    // Gone is what another run finds gone.
    reconcile(&db, 0, &[]).await;
    // Nothing of all this is left.
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.archived_partition").await, "0");
    assert_eq!(db.value("SELECT count(*) FROM pg_class WHERE relname LIKE '%brought_forward%'").await, "0");
    archive(&db, "ledger_2025_02").await;
    all_is_well(&db).await;

    // Nothing is closed; and ledgers whose entries no mapping can write.
    let db = TestDb::mapped_migrated(Mapped::Warehouse).await;
    let partition = ["--archive", "stock_transactions_2025_06"];
    db.run("reconcile-balances").args(partition).await.refuses(2, "nothing is closed");
    reconcile(&db, 0, &["--close", "2025-07"]).await;
    db.run("reconcile-balances").args(partition).await.refuses(2, "[ledger] quantity is an expression");
    let db = TestDb::migrated().await;
    db.run("backfill-balances").await.ok();
    reconcile(&db, 0, &["--close", "2025-01"]).await;
    db.run("reconcile-balances")
        .args(["--archive", "inventory_ledger"])
        .await
        .refuses(2, "has no partitions");
}

#[tokio::test]
async fn an_isolated_application_sees_its_own_entries_of_an_archived_partition() {
    let db = closed_after(OWN).await;
    db.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    reconcile(&db, 0, &[]).await;
    let shape = db.value(format!("{SHAPE} 'ledger_2025_02'")).await;
    archive(&db, "ledger_2025_02").await;
    assert_eq!(db.value(format!("{SHAPE} 'ledger_2025_02'")).await, shape);
    // Its rows are an organization's each, and nothing guards them any more.
    db.run("validate-migration")
        .arg("--isolation")
        .await
        .status(1)
        .says("unguarded table table ledger_2025_02_archived");
    db.execute("DROP TABLE ledger_2025_02_archived").await;
    db.run("validate-migration").arg("--isolation").await.ok();
    let mut session = db.connect().await;
    sqlx::query("SET ROLE stockfoil_app").execute(&mut session).await.unwrap();
    for org in ["acme", "zeta"] {
        let set = sqlx::query("SELECT set_config('app.org_id', $1, false)").bind(org);
        set.execute(&mut session).await.unwrap();
        for seen in
            ["SELECT DISTINCT org_id FROM inventory_ledger", "SELECT DISTINCT org_id FROM ledger_2025_02"]
        {
            let orgs: Vec<String> = sqlx::query_scalar(seen).fetch_all(&mut session).await.unwrap();
            assert_eq!(orgs, [org], "{seen}");
        }
    }
    all_is_well(&db).await;
}

#[tokio::test]
async fn the_configuration_says_before_which_time_entries_are_closed() {
    let db = TestDb::inventory().await;
    db.execute(PARTITIONED).await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.execute(ROWS).await;
    let folder = tempfile::tempdir().unwrap();
    let config = |before: &str| {
        let text = format!("[reconcile]\nclosed_before = \"{before}\"\n");
        std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    };
    let run = async |status: i32, args: &[&str]| {
        let run = db.run("reconcile-balances").folder(folder.path()).args(["--format", "json"]).args(args);
        run.await.status(status).json()
    };
    config("2025-03-01");
    db.execute("UPDATE inventory_balances SET qty_canonical = qty_canonical + 3 WHERE item_id = 'nut'").await;
    let report = run(1, &[]).await;
    assert!(report["closing"]["not_closed"].as_str().unwrap().contains("differences are open"), "{report}");
    // Neither a look nor a part is the run to close.
    assert_eq!(run(1, &["--dry-run"]).await["closing"], Value::Null);
    assert_eq!(run(0, &["--org", "acme", "--fix-large"]).await["closing"], Value::Null);
    let report = run(0, &["--fix-large"]).await;
    assert_eq!(report["closing"]["closed_before"], "2025-03-01T00:00:00Z");
    let report = run(0, &[]).await;
    assert_eq!(
        (&report["closing"], &report["closed"]["closed_before"]),
        (&Value::Null, &json!("2025-03-01T00:00:00Z"))
    );
    assert_eq!(
        db.value("SELECT string_agg(table_name, ',') FROM stockfoil.closing_partition").await,
        "ledger_2025_02"
    );
    // A person may close more; the configuration is content with that, and closes on when it says more.
    run(0, &["--close", "2025-03"]).await;
    assert_eq!(run(0, &[]).await["closing"], Value::Null);
    config("2025-04-02T00:00+02:00");
    assert_eq!(run(0, &[]).await["closing"]["closed_before"], "2025-04-01T22:00:00Z");
    config("2999-01-01");
    assert!(run(1, &[]).await["closing"]["not_closed"].as_str().unwrap().contains("yet to come"));
    config("soon");
    db.run("reconcile-balances").folder(folder.path()).await.refuses(2, "is no time");
}
