//! A drill of SQL that reaches for what is outside of the drill: production's files and its server.

use super::*;

/// A folder that stands for production's: anybody may write to it, so that only the drill's own limits protect it.
struct Production {
    top: TempDir,
    cluster: Cluster,
}

impl Production {
    async fn start() -> Production {
        use std::os::unix::fs::PermissionsExt as _;
        let top = tempfile::Builder::new().prefix("production.").tempdir_in("/tmp").unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let cluster = Cluster::start(&[]);
        let production = Production { top, cluster };
        production.sql("postgres", "CREATE DATABASE stock");
        Binary::new("migrate-all").env("DATABASE_URL", production.cluster.url("stock")).await.ok();
        production.sql(
            "stock",
            "INSERT INTO items (item_number, name) VALUES ('I-1', 'Item'); INSERT INTO locations (site, name) VALUES ('Hall', 'A');
            INSERT INTO inventory_ledger (item_id, location_id, qty_canonical) SELECT i.id, l.id, 5 FROM items i, locations l",
        );
        production
    }

    fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = self.cluster.program("psql");
        let output =
            psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn space(&self, name: &str) -> PathBuf {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let path = self.top.path().join(name);
        fs::create_dir(&path).unwrap();
        let (uid, gid) = self.cluster.owner();
        let _ = chown(&path, Some(uid), Some(gid));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        path
    }

    fn dump(&self, program: &str, args: &[&str]) -> String {
        let output = self.cluster.program(program).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything below its folder.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.top.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

#[tokio::test]
async fn tablespaces_of_dumps_are_made_in_the_drills_folder() {
    let production = Production::start().await;
    let shown = production.space("to be fast").display().to_string();
    production.sql("postgres", &format!(r#"CREATE TABLESPACE "fa st" LOCATION '{shown}'"#));
    production.sql("stock", r#"ALTER TABLE items SET TABLESPACE "fa st""#);
    production.sql("postgres", r#"CREATE DATABASE beside TABLESPACE "fa st""#);
    let cluster_dump = production.dump("pg_dumpall", &[]);
    assert!(cluster_dump.contains("LOCATION"), "{cluster_dump}");
    let plain = production.dump("pg_dump", &["stock"]);
    let created = production.dump("pg_dump", &["-C", "stock"]);
    let custom = Folder::new("");
    let output = production.cluster.program("pg_dump").args(["-Fc", "stock"]).output().unwrap();
    fs::write(custom.path("stock.dump"), output.stdout).unwrap();
    // The machine of the drill has the folder, and nothing in it.
    production.sql("postgres", "DROP DATABASE beside");
    production.sql("stock", "ALTER TABLE items SET TABLESPACE pg_default");
    production.sql("postgres", r#"DROP TABLESPACE "fa st""#);
    let before = production.files();
    custom.run("verify-backup").arg("--restore").await.ok().says("restored");
    for (name, text) in [("all.sql", cluster_dump), ("plain.sql", plain), ("created.sql", created)] {
        let folder = Folder::new("");
        fs::write(folder.path(name), text).unwrap();
        let run = folder.run("verify-backup").arg("--restore").await;
        assert_eq!(production.files(), before, "{name}: {}{}", run.stdout, run.stderr);
        run.ok().says("restored");
    }
}

#[tokio::test]
async fn sql_of_a_dump_reaches_nothing_outside_of_the_drill() {
    let production = Production::start().await;
    let (host, port) = (production.cluster.host(), production.cluster.port());
    let (user, place) = (production.cluster.superuser(), production.top.path().display().to_string());
    let connection = format!("host={host} port={port} user={user} dbname=stock");
    let plain = production.dump("pg_dump", &["stock"]);
    let end = plain.rfind("--\n-- PostgreSQL database dump complete").unwrap();
    let space = production.space("space");
    let before = production.files();
    for statement in [
        format!("CREATE TABLESPACE t\n  LOCATION '{}';", space.display()),
        format!("COPY (SELECT 1) TO '{place}/x';"),
        format!("COPY (SELECT 1) TO PROGRAM 'cat > {place}/x';"),
        format!("CREATE TABLE t (x text); COPY t FROM PROGRAM 'touch {place}/x; echo 1';"),
        format!("SELECT lo_export(lo_from_bytea(0, 'x'), '{place}/x');"),
        format!("DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO ''{place}/x'''; END $$;"),
        format!("\\! touch {place}/x"),
        format!("SELECT 1 \\! touch {place}/x"),
        format!("\\o {place}/x\nSELECT 1;"),
        format!("SELECT 1 \\g {place}/x"),
        format!("SELECT 1 \\g |touch {place}/x"),
        format!("\\copy (SELECT 1) TO '{place}/x'"),
        format!("SELECT 1\n\\w {place}/x"),
        format!("\\unrestrict x\n\\! touch {place}/x"),
        format!("\\connect \"{connection}\"\nCREATE TABLE reached ();"),
        format!("\\connect -reuse-previous=on \"{connection}\"\nCREATE TABLE reached ();"),
        format!("\\c stock {user} {host} {port}\nCREATE TABLE reached ();"),
        format!("\\connect stock {user} {host} {port}\nCREATE TABLE reached ();"),
        format!("CREATE EXTENSION dblink; SELECT dblink_exec('{connection}', 'CREATE TABLE reached ()');"),
        format!(
            "CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p WITH (connect = true, create_slot = true);"
        ),
        format!(
            "COPY (SELECT 'CREATE TABLE reached ()') TO PROGRAM 'psql -X -h {host} -p {port} -U {user} stock';"
        ),
        format!("COPY (SELECT 1) TO PROGRAM 'kill -9 {}';", postmaster(&production.cluster)),
    ] {
        let folder = Folder::new("");
        let text = format!("{}{statement}\n{}", &plain[..end], &plain[end..]);
        fs::write(folder.path("stock.sql"), text).unwrap();
        let run = folder.run("verify-backup").arg("--restore").await;
        assert_eq!(production.files(), before, "{statement}: {}{}", run.stdout, run.stderr);
        let reached = production.sql("stock", "SELECT to_regclass('reached') IS NOT NULL");
        assert_eq!(reached.trim(), "f", "{statement}: {}", run.stdout);
        assert_ne!(run.status, 0, "{statement}: {}", run.stdout);
    }
}

#[tokio::test]
async fn programs_of_a_dump_change_nothing_of_files_outside_of_the_drill() {
    use std::os::unix::fs::MetadataExt as _;
    let production = Production::start().await;
    // Owned by whom the drill runs as, so that nothing but its limits protects it.
    let marker = production.space("marker");
    let state = || {
        let found = fs::metadata(&marker).unwrap();
        (found.mode(), found.uid(), found.gid(), found.mtime())
    };
    let before = state();
    let plain = production.dump("pg_dump", &["stock"]);
    let end = plain.rfind("--\n-- PostgreSQL database dump complete").unwrap();
    let shown = marker.display();
    let commands = format!(
        "chmod 755 {shown}; touch -d 2001-01-01 {shown}; setfattr -n user.x -v y {shown}; chattr +d {shown}; perl -e \"chmod 0700, q({shown}); utime 1, 1, q({shown})\"; true"
    );
    let statement = format!("COPY (SELECT 1) TO PROGRAM '{commands}';");
    let folder = Folder::new("");
    fs::write(folder.path("stock.sql"), format!("{}{statement}\n{}", &plain[..end], &plain[end..])).unwrap();
    let run = folder.run("verify-backup").arg("--restore").await;
    assert_eq!(state(), before, "{}", run.stdout);
    if let Ok(listed) = std::process::Command::new("lsattr").arg("-d").arg(&marker).output() {
        let flags = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(!flags.split_whitespace().next().unwrap_or_default().contains('d'), "{flags}");
    }
    run.ok().says("restored, nothing wrong found");
}

fn postmaster(cluster: &Cluster) -> String {
    let text = fs::read_to_string(cluster.data().join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn settings_of_a_dump_do_not_keep_the_drill_from_looking() {
    let production = Production::start().await;
    for setting in [
        "default_transaction_read_only = on",
        "statement_timeout = '1ms'",
        "search_path = nowhere",
        "session_preload_libraries = 'no_such_library'",
        "row_security = off",
    ] {
        production.sql("postgres", &format!("ALTER DATABASE stock SET {setting}"));
    }
    let folder = Folder::new("");
    let options = "-cdefault_transaction_read_only=off -csession_preload_libraries= -cstatement_timeout=0";
    let output = production.cluster.program("pg_dumpall").env("PGOPTIONS", options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(folder.path("all.sql"), output.stdout).unwrap();
    folder.run("verify-backup").arg("--restore").await.ok().says("restored");
}
