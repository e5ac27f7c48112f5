//! What is kept of what ran, and that its form is the documented one.

use testkit::{Binary, TestDb, workspace};

/// Runs and findings as old as so many days: the last clean run, an older one, one with an open finding, one with a
/// closed finding, a killed one.
async fn old_records(days: u32) -> TestDb {
    let db = TestDb::migrated().await;
    db.execute(format!(
        "INSERT INTO stockfoil.run (id, command, started_at, finished_at, outcome)
         SELECT n, command, t, CASE WHEN outcome IS NOT NULL THEN t END, outcome
         FROM (VALUES (-1, 'other', 'clean'), (-2, 'other', 'failed'), (-3, 'reconcile-balances', 'findings'),
                      (-4, 'reconcile-balances', 'findings'), (-5, 'reconcile-balances', NULL), (-6, 'other', 'clean'))
                AS v (n, command, outcome),
              LATERAL (SELECT now() - interval '{days} days' + n * interval '1 minute') AS l (t);
         INSERT INTO stockfoil.finding (opened_run, last_run, closed_run, kind, org_id, item_id, location_id, opened_at, closed_at)
         VALUES (-3, -3, NULL, 'large', 'another', 'i', 'l', now(), NULL),
                (-4, -4, -4, 'large', 'another', 'j', 'l', now(), now() - interval '{days} days')"
    ))
    .await;
    db
}

async fn old_runs(db: &TestDb) -> String {
    db.value("SELECT string_agg(id::text, ' ' ORDER BY id DESC) FROM stockfoil.run WHERE id < 0").await
}

#[tokio::test]
async fn old_records_go_and_what_is_open_stays() {
    let folder = tempfile::tempdir().unwrap();
    let config = |text: &str| std::fs::write(folder.path().join("stockfoil.toml"), text).unwrap();
    let run = |db: &TestDb, args: &[&str]| {
        let binary = Binary::new("reconcile-balances").env("DATABASE_URL", db.url()).folder(folder.path());
        binary.args(args)
    };
    // Of another organization, so that no run closes the open finding.
    let org = ["--org", "default"];
    let db = old_records(401).await;
    run(&db, &["--org", "default", "--dry-run"]).await.ok();
    assert_eq!(old_runs(&db).await, "-1 -2 -3 -4 -5 -6", "a dry run changes nothing");
    run(&db, &org).await.ok();
    assert_eq!(old_runs(&db).await, "-1 -3", "the last clean run of its command, and what is open");
    assert_eq!(db.value("SELECT string_agg(item_id, ' ') FROM stockfoil.finding").await, "i");

    let db = old_records(399).await;
    run(&db, &org).await.ok();
    assert_eq!(old_runs(&db).await, "-1 -2 -3 -4 -5 -6");
    config("[history]\nkeep_days = 0\n");
    run(&db, &org).await.ok();
    assert_eq!(old_runs(&db).await, "-1 -2 -3 -4 -5 -6");
    config("[history]\nkeep_days = 30\n");
    run(&db, &org).await.ok();
    assert_eq!(old_runs(&db).await, "-1 -3");
    config("[history]\nkeep_dais = 30\n");
    run(&db, &org).await.refuses(2, "did you mean `keep_days`?");
}

#[tokio::test]
async fn the_backups_commands_keep_no_more_than_reconcile() {
    let db = old_records(401).await;
    let folder = tempfile::tempdir().unwrap();
    db.run("monitor-backups").env("BACKUP_DIR", folder.path()).await.status(1);
    assert_eq!(old_runs(&db).await, "-1 -3");
}

#[tokio::test]
async fn more_old_records_than_one_statement_takes_all_go() {
    let db = TestDb::migrated().await;
    db.execute(
        "INSERT INTO stockfoil.run (id, command, started_at, outcome)
         SELECT -n, 'other', '2020-01-01', 'findings' FROM generate_series(1, 25000) n",
    )
    .await;
    db.run("reconcile-balances").await.ok();
    assert_eq!(old_runs(&db).await, "");
}

#[tokio::test]
async fn records_that_may_not_be_removed_fail_no_run() {
    let db = old_records(401).await;
    db.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not these''; END';
         CREATE TRIGGER no BEFORE DELETE ON stockfoil.finding EXECUTE FUNCTION no()",
    )
    .await;
    db.run("reconcile-balances")
        .args(["--org", "default"])
        .await
        .ok()
        .tells("records older than [history] keep_days stay");
}

/// Else the foreign key would refuse, and every run would warn.
#[tokio::test]
async fn whatever_speaks_of_a_run_keeps_it() {
    let sql = std::fs::read_to_string(workspace().join("crates/core/src/history/prune_runs.sql")).unwrap();
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let db = TestDb::migrated().await;
    let keys = db
        .rows(
            "SELECT conrelid::regclass, attname FROM pg_constraint, pg_attribute
             WHERE contype = 'f' AND confrelid = 'stockfoil.run'::regclass AND attrelid = conrelid AND attnum = ANY (conkey)",
        )
        .await;
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        let letter = key[0].strip_prefix("stockfoil.").unwrap().chars().next().unwrap();
        let said =
            format!("NOT EXISTS (SELECT FROM {} AS {letter} WHERE {letter}.{} = r.id)", key[0], key[1]);
        assert!(sql.contains(&said), "prune_runs.sql lacks: {said}");
    }
}

#[tokio::test]
async fn the_guide_has_every_column_with_its_type() {
    let guide = std::fs::read_to_string(workspace().join("docs/history.md")).unwrap();
    let db = TestDb::migrated().await;
    for table in ["run", "finding", "alert_state"] {
        let section = guide.split(&format!("\n## `stockfoil.{table}`\n")).nth(1);
        let section =
            section.unwrap_or_else(|| panic!("no section about {table}")).split("\n## ").next().unwrap();
        let documented: Vec<Vec<&str>> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .map(|row| row.split(" | ").map(|cell| cell.trim_matches('`')).collect::<Vec<_>>())
            .map(|cells| cells[..2].to_vec())
            .collect();
        let columns = db
            .rows(format!(
                "SELECT attname, format_type(atttypid, NULL) || CASE WHEN attnotnull THEN '' ELSE ', may be null' END
                 FROM pg_attribute WHERE attrelid = 'stockfoil.{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            ))
            .await;
        assert_eq!(documented, columns, "{table}");
    }
}
