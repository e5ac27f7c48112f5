//! What memberships of PostgreSQL 16 let be inherited, set and administered, and the right to maintain of 17.

use testkit::Cluster;

use super::{
    attacks::{SECRET, attack, find_and_close, played},
    holes::failed,
    *,
};

#[tokio::test]
async fn options_of_memberships_and_the_right_to_maintain_are_found_and_closed() {
    let Some(cluster) = Cluster::of_version("17", &[]) else { return };
    let tenants = Tenants::in_database(TestDb::migrated_in(cluster).await, None).await;
    tenants.isolate().await;
    tenants.with_secrets().await;
    let login = ["login", "role {web}"];
    let member = |options: &str| -> &'static str {
        // A test may leak.
        format!("CREATE ROLE keepers; GRANT TRUNCATE ON feature_flags TO keepers; GRANT keepers TO {{web}} WITH {options}").leak()
    };
    let gone = "DROP ROLE keepers";
    let reindex = ["REINDEX TABLE items; SELECT 'rebuilt'", "rebuilt"];
    find_and_close(
        &tenants,
        vec![
            attack(
                login,
                member("INHERIT FALSE, SET TRUE"),
                ["SET ROLE keepers; TRUNCATE feature_flags; SELECT 'emptied'", "emptied"],
                gone,
            ),
            attack(
                login,
                member("INHERIT TRUE, SET FALSE"),
                ["TRUNCATE feature_flags; SELECT 'emptied'", "emptied"],
                gone,
            ),
            attack(
                login,
                member("INHERIT FALSE, SET FALSE, ADMIN TRUE"),
                [
                    "GRANT keepers TO {web} WITH SET TRUE; SET ROLE keepers; TRUNCATE feature_flags; SELECT 'emptied'",
                    "emptied",
                ],
                gone,
            ),
            attack(
                ["application_login", "role {web}"],
                "GRANT {ops} TO {web} WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
                [
                    "GRANT {ops} TO {web} WITH SET TRUE; SET ROLE {ops}; SELECT string_agg(name, ',') FROM items",
                    SECRET,
                ],
                "",
            ),
            attack(["grant", "rights on items"], "GRANT MAINTAIN ON items TO {app}", reindex, ""),
            attack(login, "GRANT MAINTAIN ON items TO {web}", reindex, ""),
            attack(login, "GRANT pg_maintain TO {web}", reindex, ""),
            attack(
                login,
                "GRANT pg_write_all_data TO {web}",
                ["UPDATE stockfoil.run SET command = 'gone'", " row"],
                "",
            ),
        ],
    )
    .await;

    // Who may neither inherit, set nor administer has nothing of it; the role is there for whoever gets it next.
    tenants.db.execute(tenants.filled(member("INHERIT FALSE, SET FALSE"))).await;
    for steal in ["TRUNCATE feature_flags", "SET ROLE keepers"] {
        assert_eq!(played(&tenants, steal).await, "42501", "{steal}");
    }
    let report = tenants.find().await;
    let found: Vec<_> = failed(&report).iter().map(|(name, object, _)| (*name, *object)).collect();
    assert_eq!(found, [("login", "role keepers")]);
}
