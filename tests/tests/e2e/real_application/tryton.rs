//! Tryton: installed from PyPI, and driven by the script beside this file.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use serde_json::Value;
use testkit::{Binary, TestDb, workspace};
use tokio::process::{Child, Command};

/// How often workers did what, and how many moves they made.
pub(super) type Counts = BTreeMap<String, u64>;

/// A database of Tryton's, and how its processes log in there.
pub(super) struct Tryton {
    db: Arc<TestDb>,
    packages: PathBuf,
    login: Vec<(&'static str, String)>,
}

impl Tryton {
    /// An empty database for it, or nothing, with one line that says why.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that takes minutes is asked for, and what it says must not stay with the harness"
    )]
    pub(super) async fn wanted() -> Option<Tryton> {
        let packages = match std::env::var_os("STOCKFOIL_TEST_TRYTON") {
            Some(wanted) if wanted == "1" => install().await,
            _ => Err("STOCKFOIL_TEST_TRYTON=1 asks for it".to_owned()),
        };
        match packages {
            Ok(packages) => {
                let db = Arc::new(TestDb::empty().await);
                let login = vec![("PGUSER", db.cluster().superuser().to_owned())];
                Some(Tryton { db, packages, login })
            }
            Err(reason) => {
                // Past the harness, which keeps what a test prints to itself.
                let line = format!("real_application was skipped: {reason}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    pub(super) fn db(&self) -> &TestDb {
        &self.db
    }

    /// The same database, as another login that says whose it is.
    pub(super) fn as_login(&self, role: &str, org: &str) -> Tryton {
        let login = vec![("PGUSER", role.to_owned()), ("PGOPTIONS", format!("-c app.org_id={org}"))];
        Tryton { db: Arc::clone(&self.db), packages: self.packages.clone(), login }
    }

    /// A command of Stockfoil's that is told of the mapping.
    pub(super) fn stockfoil(&self, name: &str) -> Binary {
        self.db.run(name).env("STOCKFOIL_CONFIG", fixture("stockfoil.toml"))
    }

    /// What the script prints for this command.
    pub(super) async fn drive(&self, args: &[&str]) -> String {
        output(self.spawn(args)).await
    }

    /// What it says of its stock so many days ago.
    pub(super) async fn answers(&self, days: u32) -> Value {
        serde_json::from_str(&self.drive(&["answer", &days.to_string()]).await).unwrap()
    }

    /// Starts a process a seed, each of which makes so many moves.
    pub(super) fn start(&self, seeds: &[u32], moves: u32) -> Vec<Child> {
        seeds.iter().map(|seed| self.spawn(&["work", &seed.to_string(), &moves.to_string()])).collect()
    }

    /// Waits for them, and adds what they did to `counts`.
    pub(super) async fn finish(&self, workers: Vec<Child>, counts: &mut Counts) {
        for worker in workers {
            let done: Counts = serde_json::from_str(&output(worker).await).unwrap();
            for (what, count) in done {
                *counts.entry(what).or_default() += count;
            }
        }
    }

    /// Both.
    pub(super) async fn work(&self, seeds: &[u32], moves: u32, counts: &mut Counts) {
        self.finish(self.start(seeds, moves), counts).await;
    }

    fn spawn(&self, args: &[&str]) -> Child {
        Command::new("python3")
            .arg(fixture("driver.py"))
            .args(args)
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONWARNINGS", "ignore")
            .env("PGHOST", self.db.cluster().host())
            .env("PGPORT", self.db.cluster().port().to_string())
            .env("PGDATABASE", self.db.name())
            .envs(self.login.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

async fn output(child: Child) -> String {
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/tests/e2e/real_application").join(name)
}

/// The folder with the packages that the fixture asks for, which stays for the next run; or why there is none.
async fn install() -> Result<PathBuf, String> {
    let version = python(&["--version"]).await?;
    let wanted = format!("# {version}{}", std::fs::read_to_string(fixture("requirements.txt")).unwrap());
    let folder = workspace().join("target/tryton");
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    // Whatever an earlier attempt left.
    let _ = std::fs::remove_dir_all(&folder);
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    let patience = ["--retries", "1", "--timeout", "15"];
    let (target, list) = (text(&folder), fixture("requirements.txt"));
    let what = ["--target", &target, "--requirement", &text(&list)];
    python(&[&pip[..], &patience, &what].concat()).await?;
    std::fs::write(installed, wanted).unwrap();
    Ok(folder)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// What `python3` prints, or the last that it says where it fails.
async fn python(args: &[&str]) -> Result<String, String> {
    let run = Command::new("python3").args(args).stdin(Stdio::null()).output().await;
    let run = run.map_err(|error| format!("python3: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    let last = said.lines().rev().find(|line| line.contains("ERROR")).or(said.lines().last());
    match run.status.success() {
        true => Ok(String::from_utf8_lossy(&run.stdout).into_owned()),
        false => Err(format!("python3 {}: {}", args.join(" "), last.unwrap_or("it failed"))),
    }
}
