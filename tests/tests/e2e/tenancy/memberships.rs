//! People in several organizations.

use testkit::{Binary, TestDb};

use super::TABLES;

/// What the mapping says of a database in which people are in organizations by memberships.
fn mapping(db: &TestDb) -> String {
    let tables: Vec<String> = TABLES
        .iter()
        .filter(|table| **table != "users")
        .chain([&"memberships"])
        .map(|table| format!("'{table}'"))
        .collect();
    let name = db.name();
    format!(
        "[tenancy]\ntables = [{}]\n[tenancy.isolation]\napp_role = 'app_{name}'\noperations_role = 'ops_{name}'\n[tenancy.memberships]\n",
        tables.join(", ")
    )
}

struct Members {
    db: TestDb,
    folder: tempfile::TempDir,
}

impl Members {
    /// A migrated database whose people were given memberships, as the guide does it.
    async fn new() -> Members {
        let db = TestDb::migrated().await;
        for org in ["acme", "globex"] {
            db.run("org-create").args(["--id", org, "--name", org]).await.ok();
        }
        db.execute(
            "INSERT INTO users (id, email, name, org_id) VALUES ('u1', 'a@x.example', 'A', 'default'), ('u2', 'b@x.example', 'B', 'acme');
             CREATE TABLE memberships (
                 org_id text NOT NULL REFERENCES organizations (id), user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
                 role text NOT NULL DEFAULT 'member', PRIMARY KEY (user_id, org_id));
             INSERT INTO memberships (org_id, user_id) SELECT org_id, id FROM users",
        )
        .await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stockfoil.toml"), mapping(&db)).unwrap();
        let members = Members { db, folder };
        members.run("migrate-org").args(["--contract", "--yes"]).await.ok();
        members
            .db
            .execute("ALTER TABLE users DROP COLUMN org_id CASCADE; CREATE UNIQUE INDEX ON users (email)")
            .await;
        members
    }

    fn run(&self, command: &str) -> Binary {
        self.db.run(command).folder(&self.folder)
    }

    async fn orgs(&self, email: &str) -> String {
        self.db.value(format!("SELECT string_agg(o, ',') FROM stockfoil.orgs_of_user('{email}') AS o")).await
    }
}

#[tokio::test]
async fn a_person_signs_in_to_the_organizations_of_the_memberships() {
    let members = Members::new().await;
    let db = &members.db;
    members.run("validate-migration").await.ok().says("memberships memberships");
    assert_eq!(
        (members.orgs("a@x.example").await, members.orgs("b@x.example").await),
        ("default".into(), "acme".into())
    );
    db.execute("INSERT INTO memberships (org_id, user_id) VALUES ('globex', 'u1'), ('acme', 'u1')").await;
    assert_eq!(members.orgs("a@x.example").await, "acme,default,globex");
    members.run("org-update").args(["--org-id", "globex", "--deactivate"]).await.ok();
    db.execute("DELETE FROM memberships WHERE user_id = 'u1' AND org_id = 'default'").await;
    assert_eq!(members.orgs("a@x.example").await, "acme");
    let list = members.run("org-list").args(["--format", "json"]).await.ok().json();
    let users: Vec<(&str, i64)> = list["organizations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|org| (org["id"].as_str().unwrap(), org["users"].as_i64().unwrap()))
        .collect();
    assert_eq!(users, [("default", 0), ("acme", 2), ("globex", 1)]);

    // Nobody is moved; who is in an organization is given to another by rows of that table, and taken back.
    for args in [&["--org-id", "globex", "--user-id", "u2"][..], &["--file", "-"]] {
        members
            .run("users-assign")
            .args(args.iter().copied())
            .stdin("id,organization\nu2,globex\n")
            .await
            .refuses(2, "no user is moved; insert or delete rows there");
    }
    let give = [
        "--org-id",
        "globex",
        "--from",
        "acme",
        "--rows",
        "memberships where user_id = \"u2\"",
        "--yes",
        "--format",
        "json",
    ];
    let run = members.run("data-assign").args(give).await.ok().json()["run_id"].to_string();
    members.run("org-update").args(["--org-id", "globex", "--activate"]).await.ok();
    assert_eq!(members.orgs("b@x.example").await, "globex");
    members.run("data-assign").args(["--undo", &run, "--yes"]).await.ok();
    assert_eq!(members.orgs("b@x.example").await, "acme");

    // What an organization is made of: its memberships, and the people that they are of as everybody's.
    let file = members.folder.path().join("acme.jsonl");
    members.run("org-export").args(["--org-id", "acme", "--out"]).arg(&file).await.ok();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().next().unwrap().contains("\"shared\"") && text.contains("a@x.example"), "{text}");
    members.run("org-delete").args(["--org-id", "acme", "--now", "--yes"]).await.ok();
    assert_eq!(
        db.rows("SELECT count(*), (SELECT count(*) FROM users) FROM memberships WHERE org_id = 'acme'").await,
        [["0", "2"]]
    );
    members.run("org-import").arg(&file).await.ok();
    assert_eq!(members.orgs("b@x.example").await, "acme");
}

#[tokio::test]
async fn memberships_are_checked_and_hold_under_isolation() {
    let members = Members::new().await;
    let db = &members.db;
    db.execute("INSERT INTO memberships (org_id, user_id) VALUES ('globex', 'u1'), ('acme', 'u1')").await;
    members.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    members.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    assert_eq!(members.orgs("a@x.example").await, "acme,default,globex");
    // Under a request of one organization the application sees the memberships of that one alone.
    let seen = format!(
        "BEGIN; SET LOCAL ROLE app_{}; SELECT stockfoil.set_org('acme'); SELECT count(*) FROM memberships",
        db.name()
    );
    assert_eq!(db.rows(&*seen).await.last().unwrap(), &["2"]);

    db.execute("ALTER TABLE memberships DROP CONSTRAINT memberships_user_id_fkey, DROP CONSTRAINT memberships_pkey; INSERT INTO memberships (org_id, user_id) VALUES ('acme', 'gone')").await;
    let run = members
        .run("validate-migration")
        .await
        .status(1)
        .says("1 of 5 memberships are of no user or no organization");
    run.says("a user can be in an organization twice").says("no index begins with the user");
    db.execute("DELETE FROM memberships WHERE user_id = 'gone'").await;
    members
        .run("validate-migration")
        .await
        .status(1)
        .says("no valid foreign key of each of user_id and org_id");
    db.execute("ALTER TABLE memberships ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE, ADD PRIMARY KEY (user_id, org_id)").await;
    members.run("validate-migration").await.ok();
}

#[tokio::test]
async fn a_merge_leaves_no_members_with_the_organization_that_ends() {
    let members = Members::new().await;
    let db = &members.db;
    db.execute(
        "INSERT INTO memberships (org_id, user_id) VALUES ('acme', 'u1'), ('globex', 'u1');
         ALTER TABLE memberships RENAME org_id TO team",
    )
    .await;
    let path = members.folder.path().join("stockfoil.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace(", 'memberships'", "");
    std::fs::write(&path, text + "organization = 'team'\n").unwrap();
    let merge = |args: &[&str]| {
        members
            .run("org-merge")
            .args(["acme", "globex", "--yes", "--format", "json"])
            .args(args.iter().copied())
    };
    for args in [&["--dry-run"][..], &[]] {
        let report = merge(args).await.status(1).json();
        assert_eq!((&report["applied"], &report["deactivated"]), (&false.into(), &false.into()));
        let stopped = report["stopped"].as_str().unwrap();
        assert!(stopped.starts_with("2 memberships of memberships are of acme"), "{stopped}");
        if args.is_empty() {
            let (_, statements) = stopped.split_once("INTO: ").unwrap();
            db.execute(statements.replace("'INTO'", "'globex'")).await;
        }
    }
    let report = merge(&[]).await.ok().json();
    assert_eq!(report["deactivated"], true);
    assert_eq!(
        db.rows("SELECT team, user_id FROM memberships ORDER BY 1, 2").await,
        [["default", "u1"], ["globex", "u1"], ["globex", "u2"]]
    );
}

#[tokio::test]
async fn a_mapping_of_memberships_that_can_not_hold_is_refused() {
    let db = TestDb::migrated().await;
    db.execute("CREATE TABLE members (team bigint, person text, org_id text)").await;
    let folder = tempfile::tempdir().unwrap();
    let tables = "tables = ['items', 'locations', 'inventory_ledger', 'count_sheets', 'count_lines']";
    for (text, part) in [
        (
            "[tenancy.memberships]\ntable = 'members'".to_owned(),
            "users is among tenancy.tables, and people who may be in several",
        ),
        (
            format!("[tenancy]\n{tables}\n[tenancy.memberships]\ntable = 'members'"),
            "the memberships' table members is not among tenancy.tables",
        ),
        (
            format!(
                "[tenancy]\n{tables}\n[tenancy.memberships]\ntable = 'members'\nuser = 'person'\norganization = 'team'"
            ),
            "members.team is bigint, and tenancy.org_type is text",
        ),
        (
            format!(
                "[tenancy]\n{tables}\n[tenancy.memberships]\ntable = 'members'\nuser = 'persn'\norganization = 'person'"
            ),
            "has no column persn; did you mean \"person\"?",
        ),
        (
            format!(
                "[tenancy]\n{tables}\n[tenancy.memberships]\ntable = 'members'\nuser = 'team'\norganization = 'person'"
            ),
            "members.team is bigint, and users.id is text",
        ),
        (
            format!("[tenancy]\n{tables}\nusers = false\n[tenancy.memberships]\ntable = 'members'"),
            "there are memberships and no users",
        ),
    ] {
        std::fs::write(folder.path().join("stockfoil.toml"), &text).unwrap();
        db.run("org-list").folder(&folder).await.refuses(2, part);
    }
}
