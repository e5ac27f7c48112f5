//! What organizations may be called, and what the records say of who called them so.

use testkit::TestDb;

use super::two_organizations;

#[tokio::test]
async fn a_subdomain_that_was_given_up_is_held_back() {
    let db = two_organizations().await;
    let update = |args: &[&str]| db.run("org-update").args(args.iter().copied());
    update(&["--org-id", "acme", "--subdomain", "mining"]).await.ok();
    update(&["--org-id", "acme", "--subdomain", "smelting"]).await.ok();
    let held = "the subdomain \"mining\" was organization acme's until 20";
    update(&["--org-id", "globex", "--subdomain", "mining"]).await.refuses(2, held);
    let create = |name: &str| db.run("org-create").args(["--name", name, "--subdomain", "MINING"]);
    create("Other").await.refuses(2, "is held back for 90 days, since links and mail may still go there");
    assert_eq!(db.value("SELECT count(*) FROM organizations WHERE name = 'Other'").await, "0");
    // Whose it was may have it again.
    update(&["--org-id", "acme", "--subdomain", "mining"]).await.ok();
    update(&["--org-id", "acme", "--no-subdomain"]).await.ok();
    create("Other").await.refuses(2, "held back");
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), "[tenancy]\nhold_days = 0\n").unwrap();
    create("Other").env("STOCKFOIL_CONFIG", file.path()).await.ok();

    let third = || db.run("org-create").args(["--name", "Third", "--subdomain", "smelting"]);
    third().await.refuses(2, "held back");
    db.execute("UPDATE stockfoil.run SET finished_at = finished_at - interval '91 days'").await;
    third().await.ok();
}

#[tokio::test]
async fn names_that_look_like_others_are_refused() {
    let db = two_organizations().await;
    let create = |args: &[&str]| db.run("org-create").args(args.iter().copied());
    create(&["--name", "A", "--id", "Default"])
        .await
        .refuses(2, "the id \"Default\" differs from that of organization default (\"Default Organization\") in the case of its letters alone");
    for name in ["Ac\u{200B}me", "\u{202E}gniniM emcA", "Acme\u{2060}"] {
        create(&["--name", name]).await.refuses(2, "none of them invisible or a change of direction");
    }
    for label in ["mta-sts", "AutoDiscover", "openpgpkey", "lyncdiscover", "enterpriseregistration"] {
        create(&["--name", "A", "--subdomain", label]).await.refuses(2, "is reserved");
    }
    create(&["--name", "A", "--subdomain", "_dmarc"]).await.refuses(2, "can't be a subdomain");
    assert_eq!(db.value("SELECT count(*) FROM organizations").await, "3");
}

#[tokio::test]
async fn each_record_says_who_did_it_and_why() {
    let db = TestDb::migrated().await;
    let (login, role) = (format!("login_{}", db.name()), format!("role_{}", db.name()));
    db.execute(format!(
        "CREATE ROLE {role} SUPERUSER; CREATE ROLE {login} LOGIN SUPERUSER; ALTER ROLE {login} SET role = '{role}'"
    ))
    .await;
    let url = db.cluster().url_as(&login, db.name());
    let why = "Ticket 42: \"new\" customer, O'Neil & Söhne \\ 100 %";
    db.run("org-create")
        .env("DATABASE_URL", &url)
        .args(["--name", "Acme", "--id", "acme", "--reason", why])
        .await
        .ok();
    let by = |command: &str| {
        format!("SELECT summary #>> '{{by,session_user}}', summary #>> '{{by,role}}', summary #>> '{{by,os_user}}' <> '', summary #>> '{{by,reason}}'
                 FROM stockfoil.run WHERE command = '{command}'")
    };
    assert_eq!(db.rows(by("org-create")).await, [[&login, &role, "t", why]]);
    db.run("reconcile-balances").env("DATABASE_URL", &url).await.ok();
    assert_eq!(db.rows(by("reconcile-balances")).await, [[&login, &role, "t", ""]]);
    db.run("org-create")
        .args(["--name", "B", "--reason", " "])
        .await
        .refuses(2, "a reason is 1 to 500 characters");
    db.execute(format!("DROP ROLE {login}, {role}")).await;
}
