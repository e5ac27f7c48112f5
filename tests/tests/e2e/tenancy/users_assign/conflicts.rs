//! What keeps people from moving, before and while they move.

use super::*;

#[tokio::test]
async fn a_key_that_is_taken_names_its_user_and_nobody_moves() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example"]).await;
    db.execute(
        "INSERT INTO users (id, email, name, org_id) VALUES ('there', 'b@x.example', 'B', 'acme'), ('twin', 'c@x.example', 'C', 'globex')",
    )
    .await;
    let before = everything(&db).await;
    let from = ["--org-id", "acme", "--email-pattern", "@x.example", "--from", "default", "--from", "globex"];
    let args = [&from[..], &["--format", "json"]].concat();
    for more in [&["--dry-run"][..], &[]] {
        let report = db
            .run("users-assign")
            .args(args.iter().copied())
            .args(more)
            .await
            .status(1)
            .tells("a key of theirs is taken")
            .json();
        let conflict = |id: &str, email: &str, other: &str| json!({ "user_id": id, "email": email, "key": "users_org_id_email_key", "other_user_id": other });
        assert_eq!(
            report["conflicts"],
            json!([
                conflict("twin", "c@x.example", "u3"),
                conflict("u2", "b@x.example", "there"),
                conflict("u3", "c@x.example", "twin")
            ])
        );
    }
    let run = db.run("users-assign").args(from).await.status(1);
    run.says("nothing was changed").says("users_org_id_email_key").says("there");
    assert_eq!(everything(&db).await, before);
    db.run("users-assign").args(["--org-id", "acme", "--user-id", "u1"]).await.ok();
}

#[tokio::test]
async fn keys_of_every_kind_are_looked_at() {
    let db = with_users(&["A@x.example", "b@x.example", "c@x.example"]).await;
    db.execute(
        "ALTER TABLE users ADD badge text;
         CREATE UNIQUE INDEX by_lower_email ON users (lower(email), org_id) WHERE role <> 'guest';
         CREATE UNIQUE INDEX by_badge ON users (org_id, badge) NULLS NOT DISTINCT WHERE role = 'badged';
         INSERT INTO users (id, email, name, org_id, role) VALUES
             ('g1', 'a@X.example', 'A', 'acme', 'member'), ('g2', 'B@x.example', 'B', 'acme', 'guest'),
             ('g3', 'z@x.example', 'Z', 'acme', 'badged');
         UPDATE users SET role = 'badged' WHERE id = 'u3'",
    )
    .await;
    let args = ["--org-id", "acme", "--all", "--format", "json"];
    let report = db.run("users-assign").args(args).await.status(1).json();
    let found: Vec<(&str, &str)> = report["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|conflict| (conflict["user_id"].as_str().unwrap(), conflict["key"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("u3", "by_badge"), ("u1", "by_lower_email")]);
    // The catalog is right: the server refuses the same ones, and no other.
    db.execute("UPDATE users SET org_id = 'acme' WHERE id = 'u2'").await;
    for id in ["u1", "u3"] {
        let update = sqlx::query("UPDATE users SET org_id = 'acme' WHERE id = $1").bind(id);
        let refused = update.execute(&mut db.connect().await).await.unwrap_err();
        assert!(refused.as_database_error().unwrap().is_unique_violation(), "{refused}");
    }
}

#[tokio::test]
async fn a_key_that_is_taken_meanwhile_is_a_conflict_too() {
    let db = with_users(&["a@x.example"]).await;
    let mut other = db.connect().await;
    sqlx::raw_sql(
        "BEGIN; INSERT INTO users (id, email, name, org_id) VALUES ('late', 'a@x.example', 'A', 'acme')",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let run = tokio::spawn(
        db.run("users-assign").args(["--org-id", "acme", "--all", "--format", "json"]).into_future(),
    );
    until_blocked(&db, &run).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let report = run.await.unwrap().status(1).json();
    assert_eq!(report["conflicts"][0]["other_user_id"], "late", "{report}");
    assert_eq!(members(&db, "acme").await, ["late"]);
}

#[tokio::test]
async fn a_user_who_changed_meanwhile_is_looked_at_again() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN; UPDATE users SET email = 'a@y.example' WHERE id = 'u1'")
        .execute(&mut other)
        .await
        .unwrap();
    let args = ["--org-id", "acme", "--email-pattern", "@x.example", "--format", "json"];
    let run = tokio::spawn(db.run("users-assign").args(args).into_future());
    until_blocked(&db, &run).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(moved(&run.await.unwrap().ok().json()), ["u2"]);
    assert_eq!(members(&db, "acme").await, ["u2"]);
}

#[tokio::test]
async fn rows_that_stay_locked_are_said_and_nobody_moves() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    let mut other = db.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM users WHERE id = 'u2' FOR UPDATE").execute(&mut other).await.unwrap();
    let run = db.run("users-assign").args(["--org-id", "acme", "--all"]).await;
    run.refuses(3, "another session holds users of this selection locked; nothing was changed");
    assert_eq!(members(&db, "acme").await.len(), 0);
    db.run("users-assign")
        .args(["--org-id", "acme", "--all", "--dry-run"])
        .await
        .ok()
        .says("2 users would move");
}

#[tokio::test]
async fn a_database_that_moves_fewer_is_not_believed() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    db.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN OLD.id <> 'u2' THEN NEW END; END $$;
         CREATE TRIGGER keep BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    .await;
    let run = db.run("users-assign").args(["--org-id", "acme", "--all"]).await;
    run.refuses(3, "the database moved 1 of 2 users; nothing was changed");
    assert_eq!(members(&db, "acme").await.len(), 0);
}
