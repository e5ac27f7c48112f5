//! Holes that an operator lives with: each one hole of one object in one definition.

use super::{holes::failed, *};

impl Tenants {
    /// Accepts `entries`, and nothing else.
    fn accept(&self, base: &str, entries: &[&str]) {
        std::fs::write(self.config.path(), format!("{base}accepted = {entries:?}\n")).unwrap();
    }

    /// What the check prints to accept `check` of `object`.
    async fn entry(&self, check: &str, object: &str) -> String {
        let report = self.find().await;
        let found = failed(&report);
        let (.., hole) = found.iter().find(|(name, of, _)| (*name, *of) == (check, object)).unwrap();
        hole["accept"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_acceptance_is_of_one_hole_in_one_definition() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let (db, web) = (&tenants.db, tenants.web());
    let base = std::fs::read_to_string(tenants.config.path()).unwrap();
    let check = async || tenants.run("validate-migration").arg("--isolation").await;
    db.execute("CREATE VIEW below AS SELECT count(*) FROM items; CREATE VIEW report AS SELECT * FROM below")
        .await;
    let entries = [tenants.entry("view", "view below").await, tenants.entry("view", "view report").await];
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    check()
        .await
        .status(1)
        .says(&format!("to live with it: [tenancy.isolation] accepted = [\"{}\"]", entries[1]));

    tenants.accept(&base, &["view below", "view report"]);
    check()
        .await
        .status(1)
        .says("accepted view report: is accepted by its object's name alone, whatever that becomes")
        .says(entries[1]);
    tenants.accept(&base, &entries);
    check().await.ok().says("view view report: accepted in the configuration: reads public.items");

    // It shows more, by itself, by what it reads through, by its owner, and to more people.
    for (make, undo) in [
        (
            "CREATE OR REPLACE VIEW report AS SELECT count, (SELECT min(name) FROM items) FROM below"
                .to_owned(),
            "DROP VIEW report; CREATE VIEW report AS SELECT * FROM below".to_owned(),
        ),
        (
            "CREATE OR REPLACE VIEW below AS SELECT count(*) + min(length(name)) AS count FROM items".into(),
            "CREATE OR REPLACE VIEW below AS SELECT count(*) FROM items".into(),
        ),
        (format!("GRANT SELECT ON report TO {web}"), format!("REVOKE SELECT ON report FROM {web}")),
        (
            format!("ALTER VIEW report OWNER TO {}", tenants.ops),
            "ALTER VIEW report OWNER TO CURRENT_USER".into(),
        ),
    ] {
        db.execute(&make).await;
        let now = tenants.entry("view", "view report").await;
        check().await.status(1).says("is another hole now").says(&now);
        db.execute(&undo).await;
        check().await.ok();
    }
    db.execute("DROP VIEW report, below").await;
    check().await.status(1).says(&format!("accepted {}: is accepted, and is no hole", entries[1]));

    // One of the object's holes is not another.
    tenants.accept(&base, &[]);
    db.execute(format!("ALTER ROLE {web} REPLICATION; GRANT TRUNCATE ON items TO {web}")).await;
    let object = format!("role {web}");
    tenants.accept(&base, &[&tenants.entry("application_login", &object).await]);
    let report = tenants.find().await;
    let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
    assert_eq!(found, [("login", &*object)]);
}

#[tokio::test]
async fn a_function_that_is_accepted_is_so_with_its_body() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let base = std::fs::read_to_string(tenants.config.path()).unwrap();
    let make = |what: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION total() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT {what} FROM items'"
        )
    };
    tenants.db.execute(make("count(*)")).await;
    tenants.accept(&base, &[&tenants.entry("definer_function", "function total()").await]);
    tenants.run("validate-migration").arg("--isolation").await.ok();
    tenants.db.execute(make("sum(length(name))")).await;
    tenants.run("validate-migration").arg("--isolation").await.status(1).says("is another hole now");
}
