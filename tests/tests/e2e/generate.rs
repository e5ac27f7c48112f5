//! `db-generate`. The client of the hostile schema is checked in: that it is compiled and linted with these tests
//! and read through here is the proof that what is generated works.

mod hostile;

use std::{fs, path::Path};

use hostile::{
    OrgId,
    my_schema::{Färbe, my_schema},
    public::{EntryType, Status, keyed, kinds, line_end, organizations, select, settings},
};
use sqlx::{
    Executor as _,
    types::{BigDecimal, Decimal},
};
use testkit::{Binary, Run, TestDb, workspace};

const HOSTILE_SQL: &str = include_str!("generate/hostile.sql");

fn org(id: &str) -> OrgId {
    OrgId(id.to_owned())
}

async fn hostile_db() -> TestDb {
    let db = TestDb::empty().await;
    db.execute(HOSTILE_SQL).await;
    db
}

async fn generate(db: &TestDb, schemas: &[&str]) -> String {
    let run: Run = db.run("db-generate").args(schemas.iter().flat_map(|name| ["--schema", name])).await.ok();
    run.stdout
}

/// Asserts that the checked-in `file` holds `client`; where not, leaves what it should hold.
#[track_caller]
fn assert_checked_in(file: &str, client: &str) {
    let path = workspace().join(file);
    if fs::read_to_string(&path).unwrap() != client {
        let fresh = workspace().join("target").join(path.file_name().unwrap());
        fs::write(&fresh, client).unwrap();
        panic!("{file} is stale; look at the difference, then: cp {} {}", fresh.display(), path.display());
    }
}

#[tokio::test]
async fn the_checked_in_client_of_the_hostile_schema_is_current() {
    let db = hostile_db().await;
    let client = generate(&db, &["public", "My Schema"]).await;
    assert_checked_in("tests/tests/e2e/generate/hostile.rs", &client);
}

#[tokio::test]
async fn the_rows_that_core_uses_are_current() {
    let db = TestDb::migrated().await;
    let rows = workspace().join("crates/core/src/rows.rs");
    db.run("db-generate").arg("--check").arg("--out").arg(rows).await.ok().says("rows.rs: current");
}

#[tokio::test]
async fn two_databases_migrated_apart_have_one_client() {
    let (application, empty) = (TestDb::inventory().await, TestDb::empty().await);
    application.run("migrate-all").arg("--contract").await.ok();
    empty.run("migrate-all").arg("--contract").await.ok();
    assert_eq!(generate(&application, &[]).await, generate(&empty, &[]).await);
}

#[tokio::test]
async fn every_kind_of_column_is_read_exactly() {
    let db = hostile_db().await;
    db.execute(
        r#"INSERT INTO organizations VALUES ('acme', 'Acme', 'acme', NULL), ('beta', 'Beta', NULL, 'acme');
        INSERT INTO kinds VALUES ('acme', DEFAULT, true, 'x', 1, 2, 1.5, 0.1, -12345.678901,
            123456789012345678901234567.89, 1e40, 't', 'v', 'p', 'n', '\x00ff', '2026-01-02', '03:04:05',
            '03:04:05+02', '2026-01-02 03:04', '2026-01-02 03:04+00', '1 day 2 hours', '{"a": 1}', '[null]', 7,
            '[1,5)', '[2026-01-01,)', '[0.5,1.5]', 'in progress', 'in', '(1,2,3)', '10.0.0.1', 'a cat',
            'a@b', 3.5, 'self', '{x,y}', '{1,2}', '{1.25}', '{draft,2nd,"",ü}', '{c@d}', '{"(1,,2)"}', '{"\\x01"}',
            '{"{}"}', NULL, NULL);"#,
    )
    .await;
    let mut conn = db.connect().await;
    // What a row is read as hangs on no search_path.
    conn.execute("SET search_path = ''").await.unwrap();

    let row = kinds::find(&mut conn, &org("acme"), 1).await.unwrap().unwrap();
    assert_eq!(row.org_id, org("acme"));
    assert_eq!((row.a_char, row.a_small, row.an_int, row.twice), (b'x' as i8, 1, 2, Some(4)));
    assert_eq!(row.a_decimal, "-12345.678901".parse::<Decimal>().unwrap());
    assert_eq!(row.a_wide, "123456789012345678901234567.89".parse::<BigDecimal>().unwrap());
    assert_eq!(row.a_numeric, "1e40".parse::<BigDecimal>().unwrap());
    assert_eq!(row.an_amount, Some("3.5".parse().unwrap()));
    assert_eq!((row.a_padded.as_str(), row.a_bytea.as_slice()), ("p    ", &[0, 255][..]));
    assert_eq!(row.a_timestamptz.to_rfc3339(), "2026-01-02T03:04:00+00:00");
    assert_eq!((row.an_interval.days, row.an_interval.microseconds), (1, 7_200_000_000));
    assert_eq!(
        (row.a_status, row.a_state, row.an_entry_type),
        (Status::InProgressF9A0B085, Status::Self_, EntryType::In)
    );
    assert_eq!(row.statuses, [Status::Draft, Status::_2nd, Status::Unnamed, Status::Ü]);
    assert_eq!((row.a_point.as_str(), row.an_inet.as_str()), ("(1,2,3)", "10.0.0.1/32"));
    assert_eq!(
        (row.points, row.emails, row.a_domain),
        (vec!["(1,,2)".to_owned()], vec!["c@d".to_owned()], "a@b".to_owned())
    );
    assert_eq!(
        (row.some_tags, row.ints, row.blobs),
        (vec!["x".to_owned(), "y".to_owned()], vec![1, 2], vec![vec![1]])
    );
    assert_eq!((row.maybe, row.maybe_ints), (None, None));
    assert_eq!(row.jsons, [serde_json::json!({})]);

    // The row is its organization's alone.
    assert_eq!(kinds::find(&mut conn, &org("beta"), 1).await.unwrap(), None);
    assert_eq!(kinds::list(&mut conn, &org("beta"), None, 10).await.unwrap(), []);
    let beta = organizations::find(&mut conn, &org("beta")).await.unwrap().unwrap();
    assert_eq!(beta.parent_id, Some(org("acme")));
    let acme = organizations::find_by_subdomain(&mut conn, "acme").await.unwrap().unwrap();
    assert_eq!(acme.id, org("acme"));
}

#[tokio::test]
async fn keys_find_and_page_within_the_organization() {
    let db = hostile_db().await;
    db.execute(
        "INSERT INTO organizations VALUES ('acme', 'Acme', NULL, NULL), ('beta', 'Beta', NULL, NULL);
        INSERT INTO keyed
            SELECT o.id, s, c, 1, o.id || s || c, o.id || c || s, ('10.0.0.' || row_number() OVER ())::inet, row_number() OVER ()
            FROM organizations o, unnest(enum_range(NULL::status)) s, unnest(ARRAY['a', 'b']) c;
        INSERT INTO settings VALUES ('acme', 'dark');",
    )
    .await;
    let mut conn = db.connect().await;
    let acme = org("acme");

    let row = keyed::find(&mut conn, &acme, Status::Draft, "a", 1).await.unwrap().unwrap();
    // The padded code finds its row as it was read.
    assert_eq!(keyed::find(&mut conn, &acme, Status::Draft, &row.code, 1).await.unwrap(), Some(row.clone()));
    assert_eq!(keyed::find_by_host(&mut conn, &acme, &row.host).await.unwrap(), Some(row.clone()));
    assert_eq!(keyed::find_by_host(&mut conn, &org("beta"), &row.host).await.unwrap(), None);
    assert_eq!(keyed::find_by_amount(&mut conn, &acme, &row.amount).await.unwrap(), Some(row.clone()));
    assert_eq!(keyed::find_by_conn_and_org(&mut conn, &acme, &row.conn, &row.org).await.unwrap(), Some(row));

    // Pages of three see each row once, in the enum's order and not in its labels'.
    let mut seen = Vec::new();
    let mut last: Option<keyed::Row> = None;
    loop {
        let after = last.as_ref().map(|row| (row.a_status, row.code.as_str(), row.limit));
        let page = keyed::list(&mut conn, &acme, after, 3).await.unwrap();
        let Some(row) = page.last() else { break };
        last = Some(row.clone());
        seen.extend(page);
    }
    assert_eq!(seen.len(), 16);
    assert!(seen.iter().all(|row| row.org_id == acme));
    assert!(seen.is_sorted_by_key(|row| (row.a_status, row.code.clone())));

    assert_eq!(settings::find(&mut conn, &acme).await.unwrap().unwrap().theme, "dark");
    assert_eq!(settings::find(&mut conn, &org("beta")).await.unwrap(), None);
}

#[tokio::test]
async fn hostile_names_are_read_by_their_own_columns() {
    let db = hostile_db().await;
    db.execute(
        r#"INSERT INTO "select" VALUES (1, 'type', 'self', '2026-01-01', 'two words', 'two_words', 'Two Words',
            '1st', 'größe', '数量', '!', 'quote', 'backtick', 'hash');
        INSERT INTO "line
end" VALUES (5, 'drow');
        INSERT INTO "My Schema"."My Schema" VALUES (1, 'grün', 'draft');"#,
    )
    .await;
    let mut conn = db.connect().await;
    let row = select::find(&mut conn, 1).await.unwrap().unwrap();
    assert_eq!((row.r#type.as_str(), row.self_.as_str(), row._1st.as_str()), ("type", "self", "1st"));
    assert_eq!((row.two_words.as_str(), row.two_words_a3493fcc.as_str()), ("two_words", "two words"));
    assert_eq!(
        (row.two_words_adfc5b8c.as_str(), row.größe.as_str(), row.数量.as_str()),
        ("Two Words", "größe", "数量")
    );
    assert_eq!((row.unnamed.as_str(), row.quo_te.as_str()), ("!", "quote"));
    assert_eq!((row.back_tick.as_str(), row.hash.as_str()), ("backtick", "hash"));
    assert_eq!(line_end::find(&mut conn, 5).await.unwrap().unwrap().drow, "drow");
    let row = my_schema::find_by_color(&mut conn, Färbe::Grün).await.unwrap().unwrap();
    assert_eq!(row.other, Some(Status::Draft));
}

#[tokio::test]
async fn the_order_in_which_a_schema_was_made_leaves_no_trace() {
    let a = TestDb::empty().await;
    a.execute(
        "CREATE TYPE color AS ENUM ('red', 'blue');
        CREATE TABLE organizations (id text PRIMARY KEY);
        CREATE TABLE items (id text PRIMARY KEY, org_id text NOT NULL REFERENCES organizations, name text,
                            number text, color color, UNIQUE (org_id, name), UNIQUE (org_id, number));
        CREATE TABLE lots (id text PRIMARY KEY, item_id text REFERENCES items);",
    )
    .await;
    let b = TestDb::empty().await;
    b.execute(
        "CREATE TABLE lots (item_id text, dropped int, id text PRIMARY KEY);
        CREATE TABLE items (number text, name text, id text PRIMARY KEY);
        ALTER TABLE lots DROP COLUMN dropped, ADD FOREIGN KEY (item_id) REFERENCES items;
        CREATE TYPE color AS ENUM ('blue');
        ALTER TYPE color ADD VALUE 'red' BEFORE 'blue';
        ALTER TABLE items ADD color color, ADD org_id text NOT NULL;
        CREATE UNIQUE INDEX other_name ON items (org_id, number);
        CREATE UNIQUE INDEX one_name ON items (org_id, name);
        CREATE TABLE organizations (id text PRIMARY KEY);
        ALTER TABLE items ADD FOREIGN KEY (org_id) REFERENCES organizations;",
    )
    .await;
    assert_eq!(generate(&a, &[]).await, generate(&b, &[]).await);
}

#[tokio::test]
async fn a_schema_without_organizations_has_a_client_without() {
    let db = TestDb::inventory().await;
    let client = generate(&db, &[]).await;
    assert!(client.contains("pub mod inventory_ledger {") && !client.contains("OrgId"), "{client}");
    assert!(client.contains("/// Signed, in the item's canonical unit: in is positive, out is negative."));
}

#[tokio::test]
async fn an_organization_is_known_by_what_its_table_says() {
    for (id, rust, feature) in [("uuid", "::sqlx::types::Uuid", true), ("bigint", "i64", false)] {
        let db = TestDb::empty().await;
        db.execute(format!(
            "CREATE TABLE organizations (id {id} PRIMARY KEY);
            CREATE TABLE items (id {id} PRIMARY KEY, org_id {id} REFERENCES organizations, by {id})"
        ))
        .await;
        let client = generate(&db, &[]).await;
        for part in [
            &format!("pub struct OrgId(pub(super) {rust});"),
            "pub org_id: Option<OrgId>,",
            &format!("pub by: Option<{rust}>,"),
            &format!("after: Option<{rust}>,"),
        ] {
            assert!(client.contains(part), "{part} in {client}");
        }
        assert_eq!(client.lines().nth(2).unwrap().contains("uuid"), feature, "{client}");
    }
}

#[tokio::test]
async fn a_file_is_written_checked_and_found_stale() {
    let db = hostile_db().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        db.run("db-generate").args(["--lang", "rust", "--out", "rows.rs"]).args(more).folder(folder.path())
    };
    let file = folder.path().join("rows.rs");

    run(&["--check"]).await.status(1).says("rows.rs: missing; run db-generate --lang rust --out rows.rs");
    assert!(!file.exists(), "a check writes nothing");
    run(&[]).await.ok().says("rows.rs: written; 13 tables, 3 enums");
    let written = fs::read_to_string(&file).unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    run(&["--check"]).await.ok().says("rows.rs: current");
    run(&[]).await.ok().says("rows.rs: current");
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified, "a current file is left alone");

    db.execute("ALTER TABLE settings ADD COLUMN accent text").await;
    run(&["--check"]).await.status(1).says("rows.rs: stale from line");
    assert_eq!(fs::read_to_string(&file).unwrap(), written, "a check writes nothing");
    let report = run(&["--check", "--format", "json"]).await.status(1).json();
    assert_eq!(
        (report["schema"].as_str(), report["state"].as_str()),
        (Some("stockfoil.generate/1"), Some("stale"))
    );
    let line = written.lines().position(|line| line.contains("`public.settings`: primary key")).unwrap();
    assert!(report["first_difference"].as_u64().unwrap() > line as u64, "{report}");
    run(&[]).await.ok().says("rows.rs: written");
    run(&["--check"]).await.ok();
}

#[tokio::test]
async fn what_can_not_be_generated_is_refused() {
    let db = hostile_db().await;
    let run = |args: &[&str]| db.run("db-generate").args(args);
    run(&["--lang", "typescript"]).await.refuses(2, "give --lang rust");
    run(&["--check"]).await.refuses(2, "--out");
    run(&["--schema", "nowhere"]).await.refuses(2, "has no schema \"nowhere\"");
    run(&["--schema", ""]).await.refuses(2, "an empty name");
    run(&["--out", "no/such/folder/rows.rs"]).await.refuses(3, "no/such/folder/rows.rs can't be written");
    run(&["--out", "/", "--check"]).await.refuses(3, "/ can't be read");
    Binary::new("db-generate").await.refuses(2, "DATABASE_URL");

    let empty = TestDb::empty().await;
    empty.run("db-generate").await.refuses(3, "has no tables in public, stockfoil; run db-migrate");
    empty.execute("CREATE TABLE organizations (id text PRIMARY KEY); CREATE TABLE a (org_id integer)").await;
    empty
        .run("db-generate")
        .await
        .refuses(3, "column a.org_id is integer, another type than organizations.id");
    empty.execute("DROP TABLE organizations; ALTER TABLE a ALTER org_id TYPE date USING NULL").await;
    empty.run("db-generate").await.refuses(3, "column a.org_id is date");
    empty.execute("ALTER TABLE a DROP org_id, ADD \"a b\" int, ADD \"a_b\" int, ADD a_b_10a3f9f2 int").await;
    empty.run("db-generate").await.refuses(3, "rename it");
}

#[test]
fn a_formatter_leaves_the_client_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = workspace().join("tests/tests/e2e/generate/hostile.rs");
    for config in ["max_width = 60", "max_width = 110\nuse_small_heuristics = \"Max\""] {
        fs::write(folder.path().join("rustfmt.toml"), config).unwrap();
        let formatted = std::process::Command::new("rustfmt")
            .args(["--check", "--edition", "2024", "--config-path"])
            .args([folder.path(), Path::new(&file)])
            .status();
        assert!(formatted.unwrap().success(), "{config}");
    }
}
