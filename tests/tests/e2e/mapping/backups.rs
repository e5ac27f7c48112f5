//! A mapped database's backup, restored in a throwaway cluster and proven there by its own mapping.

use testkit::{Mapped, TestDb};

/// Dumps the migrated database, and has the dump restored, validated and reconciled.
async fn drills(mapped: Mapped) {
    let db = TestDb::mapped_migrated(mapped).await;
    let folder = tempfile::tempdir().unwrap();
    let dumps = folder.path().join("dumps");
    std::fs::create_dir(&dumps).unwrap();
    let dump = |name: &str| {
        let dumped =
            db.cluster().program("pg_dump").args(["-Fc", "-f"]).arg(dumps.join(name)).arg(db.name()).status();
        assert!(dumped.unwrap().success());
    };
    dump("exact.dump");
    let config = folder.path().join("stockfoil.toml");
    let mapping = std::fs::read_to_string(mapped.config()).unwrap();
    let source = format!(
        "\n[[backup.source]]\nname = \"dumps\"\nkind = \"dump\"\npath = {:?}\nmin_count = 1\n",
        dumps.display().to_string()
    );
    std::fs::write(&config, mapping + &source).unwrap();
    db.run("monitor-backups").arg("--config").arg(&config).await.ok();

    let verify = || db.run("verify-backup").args(["--restore", "--format", "json", "--config"]).arg(&config);
    let report = verify().await.ok().json();
    let proven = &report["backups"][0]["drill"]["databases"][0];
    assert!(proven["checks_passed"].as_u64().unwrap() > 20, "{report}");
    let balances = db.value(format!("SELECT count(*) FROM ({}) AS b", mapped.balances())).await;
    assert_eq!(proven["reconcile"]["balances"].to_string(), balances, "{report}");

    // A dump whose balances differ from its ledger is no proof.
    db.run("reconcile-balances").await.ok();
    let (table, quantity) = match mapped {
        Mapped::Prisma => ("\"StockBalance\"", "\"quantity\""),
        Mapped::Erp => ("stock_quant", "quantity"),
        Mapped::Warehouse => ("stock_on_hand", "quantity"),
        Mapped::TwoSchemas => ("plant.\"Silo \"\"Balances\"\"\"", "kg"),
    };
    db.execute(format!(
        "UPDATE {table} SET {quantity} = {quantity} + 7 WHERE ctid = (SELECT max(ctid) FROM {table})"
    ))
    .await;
    std::fs::remove_file(dumps.join("exact.dump")).unwrap();
    dump("damaged.dump");
    let report = verify().await.status(1).json();
    let proven = &report["backups"][0]["drill"]["databases"][0];
    assert_eq!(proven["reconcile"]["differences"]["large"], 1, "{report}");
}

#[tokio::test]
async fn prisma() {
    drills(Mapped::Prisma).await;
}

#[tokio::test]
async fn erp() {
    drills(Mapped::Erp).await;
}

#[tokio::test]
async fn warehouse() {
    drills(Mapped::Warehouse).await;
}

#[tokio::test]
async fn two_schemas() {
    drills(Mapped::TwoSchemas).await;
}
