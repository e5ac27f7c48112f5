//! What triggers tell by NOTIFY goes to every session that listens, and is said.

use std::time::Duration;

use sqlx::postgres::PgListener;

use super::*;

/// What the check says of notifications: the objects, and the evidence of each.
async fn named(tenants: &Tenants) -> Vec<(String, String)> {
    let report = tenants.find().await;
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["name"] == "notification" && check["verdict"] == "warned")
        .map(|check| {
            let text = |field: &str| check[field].as_str().unwrap().to_owned();
            assert!(text("remedy").starts_with("send no content of rows"), "{check}");
            (text("object"), text("evidence"))
        })
        .collect()
}

#[tokio::test]
async fn what_triggers_tell_everybody_who_listens_is_named() {
    let _shared = ROLES.read().await;
    let tenants = Tenants::of(None).await;
    tenants.isolate().await;
    let db = &tenants.db;
    let none: [(String, String); 0] = [];
    db.execute(
        "CREATE FUNCTION notify_nobody() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
             -- PERFORM pg_notify('items', new.name);
             RAISE NOTICE 'notify, or not'; RETURN new; END$$;
         CREATE TRIGGER quiet BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION notify_nobody();
         CREATE FUNCTION unreached() RETURNS void LANGUAGE sql AS $$SELECT pg_notify('items', 'x')$$",
    )
    .await;
    assert_eq!(named(&tenants).await, none);

    db.execute(
        "CREATE SCHEMA events; GRANT USAGE ON SCHEMA events TO PUBLIC;
         CREATE FUNCTION events.\"send it\"(what text) RETURNS void LANGUAGE sql AS $$SELECT pg_notify('items_of_b', what)$$;
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM events.\"send it\" (new.name); RETURN new; END$$;
         CREATE TRIGGER tells AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION tell();
         CREATE FUNCTION call_out() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
             NOTIFY locations; RETURN NULL; END$$;
         CREATE TRIGGER calls AFTER UPDATE ON locations FOR EACH STATEMENT EXECUTE FUNCTION call_out()",
    )
    .await;
    // A's login hears of B's row, on a channel that is called B's.
    let mut listener = PgListener::connect(&tenants.url()).await.unwrap();
    listener.listen("items_of_b").await.unwrap();
    db.execute(format!(
        "SET app.org_id = '{}'; INSERT INTO items (item_number, name) VALUES ('B', 'b-secret')",
        tenants.b
    ))
    .await;
    let heard = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), "b-secret");

    let found = named(&tenants).await;
    let objects: Vec<&str> = found.iter().map(|(object, _)| object.as_str()).collect();
    assert_eq!(objects, ["function events.\"send it\"(text)", "function call_out()"]);
    assert!(found[1].1.contains("trigger calls of public.locations reaches it"), "{found:?}");
    assert!(found[0].1.contains("trigger tells of public.items reaches it"), "{found:?}");
    tenants.run("validate-migration").arg("--isolation").await.ok().says("warn");
}
