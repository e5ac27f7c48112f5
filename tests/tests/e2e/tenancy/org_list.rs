use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::{Binary, Cluster, TestDb};

use super::two_organizations;

#[tokio::test]
async fn organizations_are_listed_by_age_with_what_belongs_to_them() {
    let db = two_organizations().await;
    db.execute(
        "INSERT INTO users (email, name, org_id) SELECT 'u' || n || '@example.com', 'U', CASE WHEN n % 3 = 0 THEN 'acme' ELSE 'default' END
         FROM generate_series(1, 300) n;
         INSERT INTO items (item_number, name, org_id) SELECT 'I' || n, 'Item', 'globex' FROM generate_series(1, 7) n;
         UPDATE organizations SET created_at = '2026-01-02 03:04:05Z', is_active = id <> 'globex'",
    )
    .await;
    let created = "2026-01-02T03:04:05Z";
    let acme = json!({ "id": "acme", "name": "Acme Mining", "subdomain": "acme", "is_active": true,
                       "users": 100, "items": 0, "created_at": created });
    let default = json!({ "id": "default", "name": "Default Organization", "subdomain": null, "is_active": true,
                          "users": 200, "items": 0, "created_at": created });
    let globex = json!({ "id": "globex", "name": "Globex", "subdomain": "globex", "is_active": false,
                         "users": 0, "items": 7, "created_at": created });
    let run = db.run("org-list").args(["--format", "json"]).await.ok();
    assert_eq!(
        run.json(),
        json!({ "schema": "stockfoil.org-list/1", "outcome": "clean", "active_only": false,
                "organizations": [acme, default, globex] })
    );
    let active = db.run("org-list").args(["--active-only", "--format=json"]).await.ok();
    assert_eq!(active.json()["organizations"], json!([acme, default]));

    let page = db.run("org-list").await.ok();
    let rows: Vec<Vec<&str>> = page.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "NAME", "SUBDOMAIN", "ACTIVE", "USERS", "ITEMS", "CREATED"]);
    assert_eq!(rows[1], ["acme", "Acme", "Mining", "acme", "yes", "100", "0", "2026-01-02"]);
    assert_eq!(rows.len(), 4, "{}", page.stdout);
    assert!(page.stdout.lines().all(|line| line.chars().count() <= 100), "{}", page.stdout);
}

#[tokio::test]
async fn an_id_stays_in_one_piece() {
    let db = TestDb::migrated().await;
    let args = ["--format", "json", "--subdomain", "warehouse-north", "--name"];
    let name =
        "A name of several words that goes on and on beyond what a table of a hundred columns has room for";
    let id = super::text(&db.run("org-create").args(args).arg(name).await.ok().json(), "id").to_owned();
    let run = db.run("org-list").await.ok().says(&id).says("warehouse-north");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
}

#[tokio::test]
async fn an_empty_list_is_said() {
    let db = TestDb::migrated().await;
    db.execute("UPDATE organizations SET is_active = false").await;
    let run = db.run("org-list").args(["--active-only"]).await.ok();
    assert_eq!(run.stdout, "no active organization\n");
    let metrics = db.run("org-list").args(["--format", "prometheus"]).await.ok();
    metrics
        .says("stockfoil_organizations{state=\"active\"} 0")
        .says("stockfoil_organizations{state=\"inactive\"} 1");
}

#[tokio::test]
async fn a_name_does_not_steer_the_terminal() {
    let db = TestDb::migrated().await;
    db.execute("UPDATE organizations SET name = E'A\\x1b[2J\\nB'").await;
    let run = db.run("org-list").await.ok().says("A\u{FFFD}[2J\u{FFFD}B");
    assert!(!run.stdout.contains('\u{1b}'), "{:?}", run.stdout);
}

#[tokio::test]
async fn counting_takes_one_statement_however_many_organizations_there_are() {
    // A cluster of its own, whose log speaks of nobody else's statements.
    let cluster = Cluster::start(&["--set", "log_statement=all"]);
    let run = |name: &str| Binary::new(name).env("DATABASE_URL", cluster.url("postgres"));
    run("migrate-all").arg("--contract").await.ok();
    let mut session = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    session
        .execute("INSERT INTO organizations (id, name) SELECT 'o' || n, 'O' FROM generate_series(1, 500) n")
        .await
        .unwrap();
    let log = || std::fs::read_to_string(cluster.data().join("server.log")).unwrap();
    let before = log().len();
    let run = run("org-list").args(["--format", "json"]).await.ok();
    assert_eq!(run.json()["organizations"].as_array().unwrap().len(), 501);
    let log = log().split_off(before);
    for table in ["organizations", "users", "items"] {
        assert_eq!(log.matches(&format!("FROM \"public\".\"{table}\"")).count(), 1, "{table}");
    }
}

#[tokio::test]
async fn what_each_organization_uses_is_told() {
    let db = two_organizations().await;
    db.execute(
        "INSERT INTO items (id, item_number, name, org_id) VALUES ('i', 'I', 'I', 'acme');
         INSERT INTO locations (id, site, name, org_id) VALUES ('l', 'S', 'L', 'acme');
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, org_id, created_at)
         SELECT 'i', 'l', 1, 'acme', date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - n * interval '1 day' FROM generate_series(0, 9) AS n;
         INSERT INTO inventory_ledger (item_id, location_id, qty_canonical, org_id, created_at) VALUES ('i', 'l', 1, 'acme', '-infinity'), ('i', 'l', 1, 'acme', '0044-03-15 BC')",
    )
    .await;
    db.execute("UPDATE organization_api_keys SET last_used_on = current_date WHERE org_id = 'acme'").await;
    let used = db.value("SELECT count(*) FROM organization_api_keys WHERE org_id = 'acme'").await;
    let report = db.run("org-list").args(["--usage", "--days", "3", "--format", "json"]).await.ok().json();
    assert_eq!((&report["schema"], &report["days"]), (&json!("stockfoil.org-usage/1"), &json!(3)));
    let of =
        |id: &str| report["organizations"].as_array().unwrap().iter().find(|org| org["id"] == id).unwrap();
    let acme = of("acme");
    assert_eq!((&acme["entries"], &acme["rows"]), (&json!(12), &json!(15)));
    assert_eq!(acme["used_keys"].to_string(), used);
    assert!(acme["bytes"].as_i64().unwrap() > 500, "{acme}");
    let days = acme["days"].as_array().unwrap();
    assert_eq!(days.len(), 3, "{days:?}");
    assert!(days.iter().all(|day| day["entries"] == 1 && day["bytes"].as_i64().unwrap() > 0), "{days:?}");
    assert_eq!(acme["last_write"].as_str().unwrap()[..10], *days[0]["day"].as_str().unwrap());
    let globex = of("globex");
    assert_eq!(
        (&globex["entries"], &globex["last_write"], &globex["days"]),
        (&json!(0), &json!(null), &json!([]))
    );
    let metrics = db.run("org-list").args(["--usage", "--format", "prometheus"]).await.ok();
    metrics
        .says("stockfoil_organization_entries{org=\"acme\"} 12")
        .says("stockfoil_organization_last_write_timestamp_seconds{org=\"acme\"}");
    let page = db.run("org-list").arg("--usage").await.ok().says("LAST ENTRY");
    assert!(page.stdout.lines().all(|line| line.chars().count() <= 100), "{}", page.stdout);
    db.run("org-list").args(["--days", "3"]).await.refuses(2, "--days goes with --usage");
}
