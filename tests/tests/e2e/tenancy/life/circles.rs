//! Tables that refer to each other in circles.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{Connection as _, Executor as _};

use super::{content, export, others, own, three, traffic::wait_for};

/// Those of this database who wait for a row.
const WAITING: &str = "FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE NOT l.granted AND l.locktype = 'transactionid' AND a.datname = current_database()";

#[tokio::test]
async fn what_refers_to_each_other_in_circles_goes_and_comes_back() {
    let db = three().await;
    // Of keys that can be asked last and keys that can't, with an action and without; rows in a circle, and rows in none.
    db.execute(
        "ALTER TABLE count_sheets ADD first_line text REFERENCES count_lines;
         UPDATE count_sheets AS s SET first_line = (SELECT min(l.id) FROM count_lines AS l WHERE l.count_sheet_id = s.id) WHERE s.id NOT LIKE '%s1';
         ALTER TABLE locations ADD keeper text REFERENCES users ON DELETE RESTRICT;
         ALTER TABLE users ADD home text REFERENCES locations DEFERRABLE;
         UPDATE users SET home = org_id || '-l1' WHERE id LIKE '%u1'; UPDATE locations SET keeper = org_id || '-u1' WHERE id LIKE '%l1';
         UPDATE locations SET keeper = org_id || '-u2' WHERE id LIKE '%l2';
         ALTER TABLE units ADD largest text REFERENCES items; UPDATE units SET largest = 'default-i1' WHERE code = 'l';
         ALTER TABLE organizations ADD owner text REFERENCES users; UPDATE organizations SET owner = id || '-u2' WHERE id <> 'default'",
    )
    .await;
    let (_folder, file, exported) = export(&db).await;
    let (theirs, its) = (others(&db).await, own(&db).await);
    let delete = ["--org-id", "acme", "--now", "--yes", "--batch-rows", "2", "--format", "json"];
    db.run("org-delete").args(delete).await.refuses(
        3,
        "its own row of organizations, which goes last, refers to a row of users by organizations_owner_fkey; set the column that refers to NULL",
    );
    assert_eq!((others(&db).await, own(&db).await), (theirs.clone(), its.clone()), "nothing was changed");
    db.execute("UPDATE organizations SET owner = NULL WHERE id = 'acme'").await;
    // Giving way to a writer of one of them leaves none without what it refers to.
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    transaction.execute("SELECT FROM locations WHERE id = 'acme-l1' FOR UPDATE").await.unwrap();
    let child = db.run("org-delete").args(delete).spawn();
    for _ in 0..2 {
        for waiting in [1, 0] {
            wait_for(&db, &format!("SELECT count(*) = {waiting} {WAITING}")).await;
        }
    }
    transaction.rollback().await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate: Value = serde_json::from_slice(&output.stdout).unwrap();
    let by_name = |content: Vec<(String, u64, String)>| content.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(by_name(content(&certificate)), by_name(content(&exported)));
    assert_eq!(others(&db).await, theirs);
    assert_eq!(own(&db).await.len(), 0);
    db.run("org-import").arg(&file).await.ok();
    assert_eq!(own(&db).await, its);
    assert_eq!(others(&db).await, theirs);
    db.run("reconcile-balances").arg("--full").await.ok().says("match");
}
