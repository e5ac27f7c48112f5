//! One organization alone, out of a backup that holds everybody's.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use testkit::{Binary, Cluster};

use super::{assert_exact, others, own, three};

/// The server of a kept cluster; stops when dropped.
struct Server<'a>(&'a Value);

impl<'a> Server<'a> {
    fn start(kept: &'a Value) -> Server<'a> {
        let started = shell(kept, "start");
        assert!(started.status.success(), "{kept}: {started:?}");
        Server(kept)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        shell(self.0, "stop");
    }
}

fn shell(kept: &Value, command: &str) -> Output {
    Command::new("sh").arg("-c").arg(kept[command].as_str().unwrap()).output().unwrap()
}

fn done(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn one_organization_comes_back_out_of_a_kept_drill() {
    let db = three().await;
    db.run("reconcile-balances").await.ok();
    let top = tempfile::Builder::new().prefix("kept.").tempdir_in("/tmp").unwrap();
    // The restored server may run as another user.
    fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (dump, base) = (top.path().join("stock.dump"), top.path().join("base"));
    let mut pg_dump = db.cluster().program("pg_dump");
    pg_dump.args(["-Fc", "-f"]).arg(&dump).arg(db.name());
    done(pg_dump);
    let site = Cluster::start(&[]);
    let mut createdb = site.program("createdb");
    createdb.arg("stock & co");
    done(createdb);
    let mut pg_restore = site.program("pg_restore");
    pg_restore.args(["--exit-on-error", "-d", "stock & co"]).arg(&dump);
    done(pg_restore);
    let mut pg_basebackup = site.program("pg_basebackup");
    pg_basebackup.args(["--no-password", "-cfast", "-Fp", "-Xstream", "-D"]).arg(&base);
    done(pg_basebackup);

    let (theirs, its) = (others(&db).await, own(&db).await);
    let drill = |file: &Path, kept: &Path| {
        Binary::new("verify-backup").arg("--file").arg(file).arg("--restore").arg("--keep").arg(kept)
    };
    for (name, backup) in [("a dump's", &dump), ("a cluster's", &base)] {
        let folder = top.path().join(name);
        let run = drill(backup, &folder).args(["--format", "json"]).await.ok();
        let report = run.json();
        let kept = &report["backups"][0]["drill"]["kept"];
        assert_eq!(kept["folder"], folder.to_str().unwrap());
        // The next drill takes it for nothing that a killed one left.
        drill(backup, &folder).await.refuses(2, "is not empty; give --keep a folder that is new or empty");
        let next = Binary::new("verify-backup").arg("--file").arg(&dump).arg("--restore");
        next.env("TMPDIR", &folder).await.ok();

        let server = Server::start(kept);
        let url = kept["databases"][0]["url"].as_str().unwrap();
        let file = top.path().join(format!("{name}.jsonl"));
        let export = Binary::new("org-export").env("DATABASE_URL", url).args(["--org-id", "acme", "--out"]);
        export.arg(&file).await.ok();
        let asked = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('archive_mode', 'listen_addresses', 'fsync')";
        let mut psql = db.cluster().program("psql");
        let said = psql.args(["-XqAt", "-d", url, "-c", asked]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&said.stdout).trim(),
            "archive_mode=off fsync=on listen_addresses="
        );
        drop(server);

        db.run("org-delete").args(["--org-id", "acme", "--now", "--yes"]).await.ok();
        db.run("org-import").arg(&file).await.ok();
        assert_eq!(own(&db).await, its, "{name}");
        assert_eq!(others(&db).await, theirs, "{name}");
        assert_exact(&db).await;
        let removed = shell(kept, "remove");
        assert!(removed.status.success() && !folder.exists(), "{removed:?}");
    }

    // What breaks off leaves nothing, and of two nobody knows which.
    let folder = top.path().join("broken");
    fs::write(base.join("PG_VERSION"), "x").unwrap();
    drill(&base, &folder).await.status(1).says("PG_VERSION has 1 bytes");
    assert!(is_empty(&folder));
    let config = "[[backup.source]]\nname = 'one'\nkind = 'dump'\npath = '/tmp'\n[[backup.source]]\nname = 'two'\nkind = 'dump'\npath = '/var/tmp'\n";
    fs::write(top.path().join("stockfoil.toml"), config).unwrap();
    let both = Binary::new("verify-backup").folder(top.path()).args(["--restore", "--keep", "broken"]);
    both.await.refuses(2, "name it with --source (one, two), or with --file");
    let shallow = Binary::new("verify-backup").args(["--keep", "broken"]);
    shallow.await.refuses(2, "--keep keeps what --restore restores; give both");
}
