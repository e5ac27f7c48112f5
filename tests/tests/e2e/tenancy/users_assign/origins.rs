//! Out of which organizations users are taken, and who is left.

use super::*;

#[tokio::test]
async fn users_are_taken_from_the_default_organization_unless_another_is_named() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example", "d@x.example"]).await;
    db.execute("UPDATE users SET org_id = 'globex' WHERE id IN ('u2', 'u3')").await;
    let pattern = ["--org-id", "acme", "--email-pattern", "@x.example"];
    let stay = "2 of the selected users are another organization's, and stay there: b@x.example (of globex), c@x.example (of globex); --from globex takes them from it";
    let dry = db.run("users-assign").args(pattern).arg("--dry-run").args(["--format", "json"]).await.ok();
    assert_eq!(moved(&dry.json()), ["u1", "u4"]);
    assert_eq!(
        dry.json()["left"],
        json!([{ "user_id": "u2", "email": "b@x.example", "org_id": "globex" }, { "user_id": "u3", "email": "c@x.example", "org_id": "globex" }])
    );
    db.run("users-assign").args(pattern).await.ok().tells(stay);
    assert_eq!(members(&db, "globex").await, ["u2", "u3"]);
    // Who is named is to move.
    let before = everything(&db).await;
    db.run("users-assign")
        .args(["--org-id", "acme", "--user-id", "u2"])
        .await
        .status(1)
        .tells("1 of the selected users are another organization's")
        .tells("--from globex");
    assert_eq!(everything(&db).await, before);
    db.run("users-assign").args(["--org-id", "acme", "--from", "globex", "--user-id", "u2"]).await.ok();
    db.run("users-assign")
        .args(["--org-id", "default", "--from", "globex", "--from", "acme", "--all"])
        .await
        .ok();
    assert_eq!(members(&db, "default").await, ["u1", "u2", "u3", "u4"]);
    db.run("users-assign").args(["--org-id", "acme", "--from", "nobody", "--all"]).await.refuses(2, "nobody");
}
