//! The default organization is the database's own: another one is refused by every command that would use it.

use super::*;

const REFUSED: &str = "the default organization of database";

async fn migrated_to_acme() -> TestDb {
    let db = TestDb::inventory().await;
    seed(&db).await;
    db.run("migrate-all").arg("--contract").env("DEFAULT_ORG_ID", "acme").await.ok();
    db
}

/// Where inserts and requests go that name no organization.
async fn default_of(db: &TestDb) -> String {
    db.execute("INSERT INTO feature_flags (key) VALUES (gen_random_uuid()::text)").await;
    db.value("SELECT stockfoil.resolve_org() || ' ' || (SELECT string_agg(DISTINCT org_id, ',') FROM feature_flags)").await
}

#[tokio::test]
async fn a_run_that_forgets_it_is_refused_and_moves_nothing() {
    let db = migrated_to_acme().await;
    db.run("org-create").args(["--id", "globex", "--name", "Globex"]).await.ok();
    let before = schema(&db);
    let items = db.value("SELECT id FROM items LIMIT 1").await;
    let selector = format!("id = '{items}'");
    for forgets in [None, Some("globex")] {
        let told = forgets.unwrap_or("default");
        let commands: [(&str, &[&str]); 10] = [
            ("migrate-org", &[]),
            ("migrate-org", &["--contract"]),
            ("migrate-org", &["--dry-run"]),
            ("migrate-org", &["--finalize", "--yes"]),
            ("migrate-org", &["--rollback", "--yes"]),
            ("migrate-all", &[]),
            ("migrate-all", &["--rollback", "--yes"]),
            ("validate-migration", &[]),
            ("users-assign", &["--org-id", "globex", "--all"]),
            ("data-assign", &["--org-id", "globex", "--items", &selector, "--yes"]),
        ];
        for (command, args) in commands {
            let run = db.run(command).args(args);
            let run = match forgets {
                Some(other) => run.env("DEFAULT_ORG_ID", other),
                None => run,
            };
            // Nobody gives rows to whoever gives them.
            if (command, told) == ("data-assign", "globex") {
                run.await.status(2);
                continue;
            }
            run.await.refuses(2, REFUSED).tells("is \"acme\", and not").tells(&format!("{told:?} as"));
        }
    }
    db.run("org-update")
        .args(["--org-id", "globex", "--deactivate", "--yes"])
        .await
        .refuses(2, "is \"acme\", and not \"default\"");
    same_schema(&db, &before);
    assert_eq!(default_of(&db).await, "acme acme");
    // What uses no default organization asks for none.
    db.run("org-list").await.ok();
    db.run("reconcile-balances").await.ok();
    db.run("users-assign").args(["--org-id", "globex", "--from", "acme", "--user-id", "u2"]).await.ok();
    db.run("data-assign")
        .args(["--org-id", "globex", "--from", "acme", "--items", "id = 'none'", "--yes"])
        .await;
    // And with it all goes on.
    db.run("migrate-all").arg("--contract").env("DEFAULT_ORG_ID", "acme").await.ok();
    db.run("validate-migration").env("DEFAULT_ORG_ID", "acme").await.ok();
}

#[tokio::test]
async fn it_is_known_after_finalize_too() {
    let db = migrated_to_acme().await;
    db.run("migrate-org").args(["--finalize", "--yes"]).env("DEFAULT_ORG_ID", "acme").await.ok();
    db.run("migrate-org").arg("--contract").await.refuses(2, REFUSED);
    db.run("migrate-org").arg("--contract").env("DEFAULT_ORG_ID", "acme").await.ok().says("nothing to do");
    // Taken back, the database knows none.
    db.run("migrate-all").args(["--rollback", "--yes"]).env("DEFAULT_ORG_ID", "acme").await.ok();
    db.run("migrate-all").arg("--contract").await.ok();
    assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ',') FROM users").await, "default");
}

#[tokio::test]
async fn it_is_known_before_the_migration_is_over() {
    let db = TestDb::inventory().await;
    seed(&db).await;
    // Somebody who reads a later table stops the run behind the first.
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE audit_logs IN ACCESS SHARE MODE").execute(&mut other).await.unwrap();
    db.run("migrate-org")
        .arg("--contract")
        .args(["--lock-wait", "1s"])
        .env("DEFAULT_ORG_ID", "acme")
        .await
        .refuses(3, "waited 1 s for");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(db.value("SELECT to_regprocedure('stockfoil.default_org(text)') IS NULL").await, "t");
    db.run("migrate-org").arg("--contract").await.refuses(2, "is \"acme\", and not \"default\"");
    // What is half done can't be given to another one either.
    db.run("migrate-org")
        .arg("--contract")
        .args(["--accept", "default-organization"])
        .await
        .refuses(2, REFUSED);
    db.run("migrate-org").arg("--contract").env("DEFAULT_ORG_ID", "acme").await.ok();
    assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ',') FROM items").await, "acme");
}

#[tokio::test]
async fn another_one_is_made_the_default_when_asked_for() {
    let db = migrated_to_acme().await;
    let accept = ["--accept", "default-organization"];
    db.run("migrate-org").arg("--contract").args(accept).env("DEFAULT_ORG_ID", "globex").await.ok();
    assert_eq!(default_of(&db).await, "globex globex");
    // What was there stays where it is.
    assert_eq!(db.value("SELECT string_agg(DISTINCT org_id, ',') FROM users").await, "acme");
    db.run("validate-migration").env("DEFAULT_ORG_ID", "globex").await.ok();
    db.run("migrate-org")
        .arg("--contract")
        .env("DEFAULT_ORG_ID", "acme")
        .await
        .refuses(2, "is \"globex\", and not \"acme\"");
}

#[tokio::test]
async fn mapped_databases_know_theirs() {
    for (mapped, other) in [
        (testkit::Mapped::Prisma, "00000000-0000-0000-0000-000000000002"),
        (testkit::Mapped::TwoSchemas, "7"),
        (testkit::Mapped::Erp, "acme"),
    ] {
        let db = TestDb::mapped_migrated(mapped).await;
        db.run("migrate-org").arg("--contract").env("DEFAULT_ORG_ID", other).await.refuses(2, REFUSED);
        db.run("migrate-org").arg("--contract").await.ok().says("nothing to do");
    }
}
