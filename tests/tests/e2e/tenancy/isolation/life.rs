//! An organization goes and comes back as it was, isolated and not, whatever its keys are.

use super::*;

impl Tenants {
    /// All rows of B by table, but for the number of the transaction that made an entry and what a trigger of the
    /// application's sets.
    async fn rows_of_b(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for table in &self.tables {
            let query = format!(
                "SELECT '{}', to_jsonb(t) - 'stockfoil_tx' - 'write_date' FROM {table} AS t WHERE {} = '{}' ORDER BY 2",
                table.replace('"', ""),
                self.org,
                self.b
            );
            rows.extend(self.db.rows(query).await);
        }
        rows
    }
}

async fn goes_and_comes_back(mapped: Option<Mapped>, isolates: bool) {
    let tenants = Tenants::of(mapped).await;
    if mapped.is_none() {
        tenants.fill().await;
    }
    // B's rows refer to B's by the foreign keys that isolation makes.
    tenants.isolate().await;
    tenants.copy_to_b().await;
    if !isolates {
        tenants.run("migrate-org").args(["--rollback", "--isolate", "--yes"]).await.ok();
    }
    let (b, folder) = (tenants.b.clone(), tempfile::tempdir().unwrap());
    let file = folder.path().join("b.jsonl");
    let (theirs, its) = (tenants.digest_of_a().await, tenants.rows_of_b().await);
    assert!(its.len() >= tenants.tables.len());
    tenants.run("org-export").args(["--org-id", &b, "--out"]).arg(&file).await.ok();
    tenants.run("org-delete").args(["--org-id", &b, "--now", "--yes"]).await.ok();
    assert_eq!(tenants.rows_of_b().await, Vec::<Vec<String>>::new());
    assert_eq!(tenants.digest_of_a().await, theirs);
    if mapped != Some(Mapped::TwoSchemas) {
        let mut dump = tenants.db.cluster().program("pg_dump");
        let out = dump.args(["--exclude-table-data=stockfoil.run"]).arg(tenants.db.name()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.success() && !text.contains(&b),
            "{:?}",
            text.lines().find(|line| line.contains(&b))
        );
    }
    let accepted = match mapped {
        Some(Mapped::Erp) => &["--accept-changed", "stock_move.write_date"][..],
        _ => &[],
    };
    tenants.run("org-import").arg(&file).args(accepted.iter().copied()).await.ok();
    assert_eq!(tenants.rows_of_b().await, its);
    assert_eq!(tenants.digest_of_a().await, theirs);
    if isolates {
        tenants.run("validate-migration").await.ok();
    }
}

#[tokio::test]
async fn in_the_default_model() {
    goes_and_comes_back(None, false).await;
    goes_and_comes_back(None, true).await;
}

#[tokio::test]
async fn with_uuids() {
    goes_and_comes_back(Some(Mapped::Prisma), false).await;
    goes_and_comes_back(Some(Mapped::Prisma), true).await;
}

#[tokio::test]
async fn with_balances_that_were_there() {
    goes_and_comes_back(Some(Mapped::Erp), false).await;
    goes_and_comes_back(Some(Mapped::Erp), true).await;
}

#[tokio::test]
async fn with_partitions() {
    goes_and_comes_back(Some(Mapped::Warehouse), false).await;
    goes_and_comes_back(Some(Mapped::Warehouse), true).await;
}

#[tokio::test]
async fn with_numbers_and_composite_keys() {
    goes_and_comes_back(Some(Mapped::TwoSchemas), false).await;
    goes_and_comes_back(Some(Mapped::TwoSchemas), true).await;
}

/// B of one database comes into another one, whose sequences are far behind its numbers.
async fn moves_elsewhere(mapped: Mapped, accepted: &[&str], rename: &[&str], next: &str) {
    let source = Tenants::of(Some(mapped)).await;
    source.isolate().await;
    source.copy_to_b().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.jsonl");
    source.run("org-export").args(["--org-id", &source.b, "--out"]).arg(&file).await.ok();
    let mut target = Tenants::of(Some(mapped)).await;
    let theirs = target.digest_of_a().await;
    let import =
        target.run("org-import").arg(&file).args(accepted.iter().copied()).args(rename.iter().copied());
    let report = import.args(["--format", "json"]).await.ok().json();
    target.b = text(&report["org_id"]);
    let (there, here) = (source.rows_of_b().await, target.rows_of_b().await);
    if rename.is_empty() {
        assert_eq!(here, there);
    } else {
        assert_eq!(here.len(), there.len());
    }
    assert_eq!(target.digest_of_a().await, theirs);
    assert!(report["warnings"].to_string().contains("moved sequence"), "{report}");
    // The next number is one that nobody has.
    target.db.execute(next).await;
    target.run("validate-migration").await.ok();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[tokio::test]
async fn sequences_go_past_the_numbers_that_come() {
    let next = "INSERT INTO res_users (login, email, name, org_id) SELECT 'n' || n, 'n', 'n', 'default' FROM generate_series(1, 3) AS n";
    moves_elsewhere(Mapped::Erp, &["--accept-changed", "stock_move.write_date"], &[], next).await;
    let next = r#"INSERT INTO plant.people ("e-mail", "full name", "tenant id") SELECT 'n' || n || '@x.example', 'N', 1 FROM generate_series(1, 3) AS n"#;
    moves_elsewhere(Mapped::TwoSchemas, &[], &["--as", "77"], next).await;
}

/// The rows but for the times that triggers of the application set at each change.
fn untimed(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let untimed = |mut row: Vec<String>| {
        let mut value: Value = serde_json::from_str(&row[1]).unwrap();
        value.as_object_mut().unwrap().retain(|name, _| name != "updatedAt");
        row[1] = value.to_string();
        row
    };
    rows.into_iter().map(untimed).collect()
}

/// B becomes a part of A, and comes back as it was.
async fn becomes_a_part(mapped: Mapped) {
    let tenants = Tenants::of(Some(mapped)).await;
    tenants.isolate().await;
    tenants.copy_to_b().await;
    if mapped == Mapped::Prisma {
        // What the audit's trigger writes meanwhile is the other organization's own, and keeps people from going back.
        tenants.db.execute(r#"ALTER TABLE "StockMovement" DISABLE TRIGGER "StockMovement_audit""#).await;
    }
    let (a, b, its) = (&tenants.a, &tenants.b, untimed(tenants.rows_of_b().await));
    let theirs = tenants.digest_of_a().await;
    let merge = tenants.run("org-merge").args([b, a, "--yes", "--format", "json"]).await.ok().json();
    assert_eq!(tenants.rows_of_b().await, Vec::<Vec<String>>::new(), "{merge}");
    assert_eq!(merge["rows"].as_u64().unwrap() + merge["balance_rows"].as_u64().unwrap(), its.len() as u64);
    tenants.run("reconcile-balances").arg("--full").await.ok();
    tenants.run("validate-migration").await.ok();
    tenants.run("org-merge").args(["--undo", &merge["run_id"].to_string(), "--yes"]).await.ok();
    assert_eq!(untimed(tenants.rows_of_b().await), its);
    assert_eq!(tenants.digest_of_a().await, theirs);
    tenants.run("reconcile-balances").arg("--full").await.ok();
    tenants.run("org-merge").args([b, a, "--yes"]).await.ok();
    tenants.run("org-delete").args(["--org-id", b, "--now", "--yes"]).await.ok();
    tenants.run("reconcile-balances").arg("--full").await.ok();
}

#[tokio::test]
async fn one_becomes_a_part_of_another_whatever_the_tables_are() {
    for mapped in [Mapped::Prisma, Mapped::Erp, Mapped::Warehouse, Mapped::TwoSchemas] {
        becomes_a_part(mapped).await;
    }
}

#[tokio::test]
async fn the_operations_role_does_it_too() {
    let tenants = Tenants::of(None).await;
    tenants.fill().await;
    tenants.isolate().await;
    tenants.copy_to_b().await;
    let (db, ops, b) = (&tenants.db, &tenants.ops, &tenants.b);
    let person = format!("keeper_{}", db.name());
    db.execute(format!("CREATE ROLE {person} LOGIN IN ROLE {ops}")).await;
    let url = format!("{}&options=-c%20role%3D{ops}", db.cluster().url_as(&person, db.name()));
    let run = |name: &str| tenants.run(name).env("DATABASE_URL", &url);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.jsonl");
    let (theirs, its) = (tenants.digest_of_a().await, tenants.rows_of_b().await);
    run("org-export").args(["--org-id", b, "--out"]).arg(&file).await.ok();
    let deleted = run("org-delete").args(["--org-id", b, "--now", "--yes", "--format", "json"]);
    let deleted = deleted.await.ok().json();
    assert_eq!((text(&deleted["role"]), text(&deleted["session_user"])), (ops.clone(), person));
    run("org-import").arg(&file).await.ok();
    assert_eq!((tenants.digest_of_a().await, tenants.rows_of_b().await), (theirs, its));
    // A session that the policies bind is told, and sees nothing.
    let bound = tenants.run("org-export").env("DATABASE_URL", tenants.url()).args(["--org-id", b, "--out"]);
    let bound = bound.arg(folder.path().join("bound.jsonl")).await;
    assert_eq!(bound.status, 3, "{}", bound.stderr);
}
