//! Many users of one file.

use serde_json::{Value, json};
use testkit::TestDb;

use super::{members, moved, with_users};

fn assign(db: &TestDb, csv: &str, args: &[&str]) -> testkit::Binary {
    db.run("users-assign").args(["--file", "-"]).args(args.iter().copied()).stdin(csv)
}

#[tokio::test]
async fn people_of_a_file_move_in_one_run_and_back() {
    let db = with_users(&["a@x.example", "B@x.example", "c@x.example", "d@x.example", "e@x.example"]).await;
    db.execute("UPDATE users SET org_id = 'globex' WHERE id = 'u5'; UPDATE organizations SET is_active = false WHERE id = 'globex'").await;
    // By address and by id; an organization by its id and by its subdomain; one twice, and one who is there already.
    let csv = "Email,ID,Organization\nA@X.example,,acme\nb@x.example,,GLOBEX\n,u3,acme\nd@x.example,u4,globex\na@x.example,,acme\n,u5,globex\n";
    let dry = assign(&db, csv, &["--dry-run", "--format", "json"]).await.ok().json();
    assert_eq!((moved(&dry), &dry["run_id"]), (vec!["u1", "u2", "u3", "u4"], &Value::Null));
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.move").await, "0");
    assign(&db, csv, &["--expect", "3"]).await.status(1).says("--expect says 3, but 4 would move");

    let run = assign(&db, csv, &["--expect", "4", "--format", "json"])
        .await
        .ok()
        .tells("organization globex is inactive");
    let report = run.json();
    let number: i64 = db.value("SELECT max(id) FROM stockfoil.run").await.parse().unwrap();
    assert_eq!(
        (&report["schema"], &report["run_id"], &report["already_there"], &report["users"][3]),
        (
            &json!("stockfoil.users-assign-file/1"),
            &json!(number),
            &json!(1),
            &json!({ "line": 5, "user_id": "u4", "email": "d@x.example", "from": "default", "to": "globex" })
        )
    );
    assert_eq!(dry["organizations"], report["organizations"]);
    assert_eq!(
        report["organizations"],
        json!([{ "org_id": "acme", "before": 0, "after": 2 }, { "org_id": "default", "before": 4, "after": 0 }, { "org_id": "globex", "before": 1, "after": 3 }])
    );
    assert_eq!(
        (members(&db, "acme").await, members(&db, "globex").await),
        (vec!["u1".into(), "u3".into()], vec!["u2".into(), "u4".into(), "u5".into()])
    );
    let records = "SELECT run_id, from_org, to_org, keys FROM stockfoil.move ORDER BY to_org";
    let run = number.to_string();
    assert_eq!(
        db.rows(records).await,
        [[&run, "default", "acme", "{u1,u3}"], [&run, "default", "globex", "{u2,u4}"]]
    );
    let again = assign(&db, csv, &["--expect", "0"]).await.ok();
    again.says("no user to move, 5 users already there");
    assert_eq!(db.value("SELECT max(id) FROM stockfoil.run").await, run);

    let undo = |args: &[&str]| db.run("users-assign").args(["--undo", &run]).args(args.iter().copied());
    let dry = undo(&["--dry-run", "--format", "json"]).await.ok().json();
    assert_eq!((&dry["rows"], &dry["tables"][0]["rows"]), (&json!(4), &json!(4)));
    undo(&["--expect", "2"]).await.status(1).tells("--expect says 2, but 4 rows would go back");
    undo(&["--expect", "4"]).await.ok().says("4 rows of run");
    assert_eq!(members(&db, "default").await, ["u1", "u2", "u3", "u4"]);
    // One organization may give to another, where that is said.
    assign(&db, "id,organization\nu5,acme\n", &["--from", "globex"]).await.ok().says("1 user moved");
}

#[tokio::test]
async fn a_mistake_in_a_file_of_people_keeps_everybody_where_they_are() {
    let db = with_users(&["a@x.example", "b@x.example", "c@x.example", "same@x.example"]).await;
    db.execute("UPDATE users SET org_id = 'globex' WHERE id = 'u2'; ALTER TABLE users DROP CONSTRAINT users_org_id_email_key").await;
    db.execute("INSERT INTO users (id, email, name, org_id) VALUES ('u5', 'Same@x.example', 'U', 'default')")
        .await;
    let csv = "email,id,organization\na@x.example,,acme\nnobody@x.example,,acme\nb@x.example,,acme\nc@x.example,,acmee\nsame@x.example,,acme\nb@x.example,u3,acme\n,,acme\nc@x.example,,\n,u1,globex\n";
    for dry in [&["--dry-run"][..], &[]] {
        let report = assign(&db, csv, &[dry, &["--format", "json"]].concat()).await.status(1).json();
        let mistakes: Vec<(u64, &str)> = report["mistakes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mistake| (mistake["line"].as_u64().unwrap(), mistake["what"].as_str().unwrap()))
            .collect();
        let expected = [
            (3, "there is no user \"nobody@x.example\""),
            (4, "user u2 is of organization globex, and stays there; --from globex"),
            (5, "did you mean \"acme\"?"),
            (6, "2 users are called \"same@x.example\""),
            (7, "user \"u3\" has the address \"c@x.example\", and not \"b@x.example\""),
            (8, "names nobody"),
            (9, "names no organization"),
            (10, "line 2 gives user u1 to acme, and this one to globex"),
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for ((line, part), (at, what)) in expected.iter().zip(&mistakes) {
            assert!(line == at && what.contains(part), "{line} {part}: {what}");
        }
        assert_eq!((&report["applied"], &report["run_id"]), (&json!(false), &Value::Null));
        assert_eq!(report["stopped"], "8 mistakes in the file");
    }
    assign(&db, csv, &[])
        .await
        .status(1)
        .says("nothing was changed: 8 mistakes in the file")
        .says("      line 3: there is no user");
    assert_eq!(members(&db, "acme").await, Vec::<String>::new());
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.move").await, "0");
    assign(&db, "id;organization\n", &[]).await.refuses(2, "save it with commas");
    assign(&db, csv, &["--org-id", "acme"]).await.refuses(2, "exclude each other");
    assign(&db, csv, &["--all"]).await.refuses(2, "--file and --all exclude each other");
}

#[tokio::test]
async fn a_key_that_is_taken_and_rows_that_would_follow_stop_a_file_too() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    db.execute("INSERT INTO users (id, email, name, org_id) VALUES ('there', 'a@x.example', 'A', 'acme')")
        .await;
    let csv = "id,organization\nu1,acme\nu2,globex\n";
    let stopped = assign(&db, csv, &["--format", "json"]).await.status(1).json();
    assert_eq!(
        stopped["conflicts"],
        json!([{ "to": "acme", "user_id": "u1", "email": "a@x.example", "key": "users_org_id_email_key", "other_user_id": "there" }])
    );
    assert_eq!(members(&db, "globex").await, Vec::<String>::new());
    db.execute("DELETE FROM users WHERE id = 'there'").await;
    // A trigger that takes somebody along makes it compare every other row, and refuse.
    db.execute(
        "CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE items SET org_id = NEW.org_id; RETURN NULL; END $$;
         INSERT INTO items (id, item_number, name, org_id) VALUES ('i', 'I', 'I', 'default');
         CREATE TRIGGER along AFTER UPDATE ON users FOR EACH ROW WHEN (NEW.id = 'u2') EXECUTE FUNCTION along()",
    )
    .await;
    let run = assign(&db, csv, &[]).await;
    assert_ne!(run.status, 0, "{}", run.stderr);
    assert_eq!(members(&db, "default").await, ["u1", "u2"]);
    db.execute("ALTER TABLE users DISABLE TRIGGER along").await;
    assign(&db, csv, &[]).await.ok().says("2 users moved");
}

#[tokio::test]
async fn what_is_left_of_a_run_goes_back_when_one_of_its_organizations_is_gone() {
    let db = with_users(&["a@x.example", "b@x.example"]).await;
    let folder = tempfile::tempdir().unwrap();
    // Records hold primary keys, whatever names a user.
    std::fs::write(folder.path().join("stockfoil.toml"), "[tenancy.users]\nid = 'email'\n").unwrap();
    let csv = "id,organization\na@x.example,acme\nb@x.example,globex\n";
    let run = assign(&db, csv, &["--format", "json"]).folder(&folder).await.ok().json()["run_id"].to_string();
    db.run("org-delete").args(["--org-id", "globex", "--now", "--yes"]).await.ok();
    db.run("users-assign").args(["--undo", &run]).folder(&folder).await.ok().says("1 row of run");
    assert_eq!(members(&db, "default").await, ["u1"]);
}
