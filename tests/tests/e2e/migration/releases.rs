//! Records of another release, later or earlier, are worked on by no command but the migrations, which bring them on.

use super::*;

/// Commands that write, and some that only read, on the default inventory.
const COMMANDS: [(&str, &[&str]); 9] = [
    ("reconcile-balances", &[]),
    ("reconcile-balances", &["--close", "2026-01"]),
    ("backfill-balances", &[]),
    ("org-create", &["--name", "Zeta", "--subdomain", "zeta"]),
    ("org-update", &["--org-id", "acme", "--name", "Other"]),
    ("users-assign", &["--org-id", "acme", "--user-id", "u50"]),
    (
        "data-assign",
        &["--org-id", "acme", "--items", "item_number = \"I-1\"", "--copy-shared", "locations", "--yes"],
    ),
    ("migrate-org", &["--yes"]),
    ("migrate-all", &["--rollback", "--yes"]),
];

async fn everything(db: &TestDb) -> (String, String) {
    let dump = db.cluster().program("pg_dump").args(["--inserts", db.name()]).output().unwrap();
    assert!(dump.status.success());
    let text = String::from_utf8(dump.stdout).unwrap();
    let rows = text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n");
    (schema(db), rows)
}

#[tokio::test]
async fn records_of_a_later_release_are_left_alone_by_every_command() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    db.run("org-create").args(["--id", "acme", "--name", "Acme", "--subdomain", "acme"]).await.ok();
    db.execute(
        "INSERT INTO stockfoil.migration (version, description, checksum) VALUES (20990101000000, 'what is to come', '\\x00')",
    )
    .await;
    let before = everything(&db).await;
    let reading: [(&str, &[&str]); 4] = [
        ("org-list", &[]),
        ("validate-migration", &[]),
        ("reconcile-balances", &["--dry-run"]),
        ("db-migrate", &[]),
    ];
    for (command, args) in COMMANDS.into_iter().chain(reading) {
        let run = db.run(command).args(args).await;
        assert!(
            run.status == 3 && run.stderr.contains("20990101000000"),
            "{command} {args:?}: {} {}{}",
            run.status,
            run.stdout,
            run.stderr
        );
        assert!(everything(&db).await == before, "{command} {args:?} changed something");
    }
}

#[tokio::test]
async fn records_of_an_earlier_release_are_left_alone_until_they_are_brought_on() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    db.run("org-create").args(["--id", "acme", "--name", "Acme", "--subdomain", "acme"]).await.ok();
    // Whichever version is the newest, its absence is seen.
    let versions = std::fs::read_dir(testkit::workspace().join("migrations")).unwrap();
    let versions = versions.map(|entry| entry.unwrap().path());
    let newest = versions.filter(|path| path.to_str().unwrap().ends_with(".down.sql")).max().unwrap();
    db.execute(std::fs::read_to_string(&newest).unwrap()).await;
    let number = newest.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().to_owned();
    db.execute(format!("DELETE FROM stockfoil.migration WHERE version = {number}")).await;
    let before = everything(&db).await;
    for (command, args) in &COMMANDS[..7] {
        let run = db.run(command).args(args.iter().copied()).await;
        assert!(
            run.status == 3
                && run.stderr.contains("of an earlier release")
                && run.stderr.contains("run migrate-all first"),
            "{command} {args:?}: {} {}{}",
            run.status,
            run.stdout,
            run.stderr
        );
        assert!(everything(&db).await == before, "{command} {args:?} changed something");
    }
    db.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    for (command, args) in &COMMANDS[..1] {
        db.run(command).args(args.iter().copied()).await.ok();
    }
    db.run("users-assign").args(COMMANDS[5].1.iter().copied()).await.ok();
}
