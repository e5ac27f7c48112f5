//! What production was not asked, for want of rights or time, is told: silence is no evidence.

use super::*;

#[tokio::test]
async fn what_production_was_not_asked_is_said() {
    let (db, none) = (drill::sound().await, TestDb::migrated().await);
    db.execute(
        "CREATE TABLE scans (id int, created_at timestamptz DEFAULT now());
        INSERT INTO scans SELECT n FROM generate_series(1, 10) n; ANALYZE",
    )
    .await;
    let role = format!("reader_{}", db.name());
    db.execute(format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public, stockfoil TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA public, stockfoil TO {role};
        REVOKE SELECT ON inventory_ledger, organizations, scans FROM {role}"
    ))
    .await;
    let url = db.cluster().url_as(&role, db.name());
    let folder = Folder::new("");
    super::dump(&db, &["-Fc"], &folder.path("stock.dump"));
    let run = folder.run("verify-backup").env("DATABASE_URL", &url).arg("--restore").await.ok();
    let stdout = &run.stdout;
    for said in [
        "production was heard in part",
        "it was not asked for its entries: ",
        "it was not asked for its organizations: ",
        "permission denied for table inventory_ledger",
        "production was not asked for its entries: ",
        "production was not asked for the rows of inventory_ledger (",
        "scans (",
        "what a restore would lose now is not known of production: ",
    ] {
        assert!(stdout.contains(said), "no {said:?}: {stdout}");
    }
    assert!(!stdout.contains("does not tell when entries were made"), "{stdout}");

    // What the catalog estimates is said of the ledger, too, where its entries can't be counted.
    let empty = Folder::new("expect_empty = true\n");
    super::dump(&none, &["-Fp"], &empty.path("stock.sql"));
    let look = empty.run("verify-backup").env("DATABASE_URL", &url).args(["--format", "json"]);
    let found = look.await.status(1).json()["backups"][0]["findings"].to_string();
    assert!(found.contains("holds no row of inventory_ledger, and production has about 1000"), "{found}");
    assert!(found.contains("\"critical\""), "{found}");
    db.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
