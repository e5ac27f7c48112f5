//! What the server's own configuration and its statistics say of isolation, in a cluster of its own.

use testkit::Cluster;

use super::*;

struct Server {
    cluster: Cluster,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let settings = options.iter().flat_map(|option| ["--set", option]).collect::<Vec<_>>();
        Server { cluster: Cluster::start(&settings) }
    }

    fn sql(&self, sql: &str) -> String {
        let done = self
            .cluster
            .program("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"])
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}\n{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Writes the server's configuration, and waits until sessions that begin have it.
    fn configure(&self, more: &str) {
        let file = self.cluster.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&file).unwrap();
        let base = text.split("# the test's\n").next().unwrap().trim_end();
        let mark = format!("test.mark = '{}'", more.len());
        std::fs::write(&file, format!("{base}\n# the test's\n{mark}\n{more}\n")).unwrap();
        self.sql("SELECT pg_reload_conf()");
        let mark = more.len().to_string();
        while self.sql("SELECT current_setting('test.mark', true)") != mark {}
    }

    fn run(&self, name: &str) -> Binary {
        Binary::new(name).env("DATABASE_URL", self.cluster.url("postgres"))
    }
}

#[tokio::test]
async fn loads_by_copy_are_named_before_they_fail() {
    let server = Server::start(&["shared_preload_libraries=pg_stat_statements"]);
    server.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    server.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE shop LOGIN");
    server.sql("COPY feature_flags (key) FROM PROGRAM 'echo flag'");
    server.sql("COPY items TO PROGRAM 'cat > /dev/null'");
    let named = "feature_flags: 1 COPY ... FROM of postgres in pg_stat_statements, which fails for whom row-level security binds";
    let instead = "COPY into a temporary table and INSERT ... SELECT from it";
    let isolate = ["--finalize", "--isolate"];
    server.run("migrate-org").args(isolate).arg("--dry-run").await.ok().says(named).says(instead);
    server.run("migrate-org").args(isolate).arg("--yes").await.ok().tells(named);
    server
        .run("validate-migration")
        .arg("--isolation")
        .await
        .ok()
        .says(&format!("copy table {named}"))
        .says(instead);

    // What it is about, and what is said to use.
    server.sql("GRANT stockfoil_app TO shop");
    let load = |how: &str| format!("SET ROLE shop; SET app.org_id = 'default'; {how}");
    let refused = server
        .cluster
        .program("psql")
        .args(["-X", "-q", "-c", &load("COPY feature_flags (key) FROM STDIN"), "postgres"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("COPY FROM not supported with row-level security"), "{said}");
    server.sql(&load("INSERT INTO feature_flags (key) SELECT * FROM unnest(ARRAY['one', 'two'])"));
    server.sql("SELECT pg_stat_statements_reset()");
    let report = server.run("validate-migration").args(["--isolation", "--format", "json"]).await.ok().json();
    assert!(!report.to_string().contains("COPY ..."), "{report}");
}

#[tokio::test]
async fn what_the_servers_configuration_says_is_looked_at() {
    let server = Server::start(&[]);
    server.configure(
        "app.org_id = 'default'\nlo_compat_privileges = on\nlog_min_duration_statement = 250\nlog_parameter_max_length_on_error = 64",
    );
    server.run("migrate-all").args(["--contract", "--yes"]).await.ok();
    server.run("migrate-org").args(["--finalize", "--isolate", "--yes"]).await.ok();
    server.sql("INSERT INTO items (item_number, name) VALUES ('A', 'a'); CREATE ROLE web LOGIN IN ROLE stockfoil_app");
    let seen = || server.sql("SET ROLE web; SELECT count(*) FROM items");
    assert_eq!(seen(), "1", "a session that has set nothing is the default organization's");
    server
        .run("validate-migration")
        .arg("--isolation")
        .await
        .status(1)
        .says("setting app.org_id of the server: is default: a session that sets nothing is that organization's")
        .says("setting lo_compat_privileges of the server: is on")
        .says("logging of the server by log_min_duration_statement: is 250: statements are logged, with the values that they were bound with")
        .says("logging of the server by log_parameter_max_length_on_error: is 64")
        .says("2 failed");
    server.sql("ALTER ROLE web SET log_statement = 'all'");
    server
        .run("validate-migration")
        .arg("--isolation")
        .await
        .status(1)
        .says("logging of role web by log_statement: is all");

    server.configure("log_min_duration_statement = 250\nlog_parameter_max_length = 0");
    assert_eq!(seen(), "0");
    server.run("validate-migration").arg("--isolation").await.ok().says("the server logs no values");
}
