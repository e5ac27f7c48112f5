use testkit::{Binary, Cluster, Signal, TestDb, signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr},
};

/// Everything that a schema change could touch, as pg_dump prints it.
pub(crate) fn schema(db: &TestDb) -> String {
    let dump = db.cluster().program("pg_dump").args(["-s", db.name()]).output().unwrap();
    assert!(dump.status.success());
    let text = String::from_utf8(dump.stdout).unwrap();
    // pg_dump since 15.14 brackets its output with a random key.
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// Asserts that the schema is what it was, and shows the lines that differ.
#[track_caller]
pub(crate) fn same_schema(db: &TestDb, before: &str) {
    let now = schema(db);
    let missing: Vec<&str> = before.lines().filter(|line| !now.lines().any(|other| other == *line)).collect();
    let new: Vec<&str> = now.lines().filter(|line| !before.lines().any(|other| other == *line)).collect();
    assert!(now == before, "gone: {missing:#?}\nnew: {new:#?}");
}

async fn seed(db: &TestDb) {
    db.execute(
        "INSERT INTO users (id, email, name) SELECT 'u' || g, 'u' || g || '@example.com', 'User ' || g FROM generate_series(1, 50) g;
         INSERT INTO items (id, item_number, name) SELECT 'i' || g, 'I-' || g, 'Item ' || g FROM generate_series(1, 20) g;
         INSERT INTO locations (id, site, name) SELECT 'l' || g, 'North', 'Bin ' || g FROM generate_series(1, 5) g;
         INSERT INTO inventory_ledger (item_id, location_id, lot_id, qty_canonical, created_by)
         SELECT 'i' || 1 + g % 20, 'l' || 1 + g % 5, CASE WHEN g % 3 = 0 THEN 'lot' || g % 7 END, (g % 11 - 4) * 0.25, 'u1'
         FROM generate_series(1, 2000) g",
    )
    .await;
}

/// Reads what the command says until it waits for somebody; returns the rest of its standard error, and what it said.
async fn until_it_waits(child: &mut Child) -> (BufReader<ChildStderr>, String) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !["waiting for pid", "waiting for replica", "waiting for prepared"]
        .iter()
        .any(|who| said.contains(who))
    {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    (stderr, said)
}

/// What keeps every command that connects from its work, each with one sentence.
mod ahead;
mod all;
mod balances;
mod default_organization;
mod files;
pub(crate) mod indexes;
mod kinds;
mod life;
mod lookups;
mod newer;
mod odd;
mod organizations;
mod others;
mod partitions;
mod patience;
mod phases;
mod proof;
pub(crate) mod records;
mod refusals;
mod rehearsal;
mod rehearsal_elsewhere;
mod releases;
mod rollback;
mod setup_order;
pub(crate) mod torture;
mod validation;
mod versioned;
