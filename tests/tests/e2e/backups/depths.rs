//! What a deep look found stays until somebody looked as deeply again.

use super::*;

/// A source of dumps whose problems are remembered, and a hook that keeps what it is told.
struct Watched {
    folder: Folder,
}

impl Watched {
    fn new() -> Watched {
        let folder = Folder::new("");
        let hook = folder.top.path().join("hook");
        let told = folder.top.path().join("told");
        write_program(&hook, &format!("#!/bin/sh\ncat >> {0}; echo >> {0}\n", told.display()));
        let state = folder.top.path().join("state");
        let config = folder.top.path().join("stockfoil.toml");
        let text = fs::read_to_string(&config).unwrap();
        let alerts = format!(
            "[alerts]\nstate_dir = '{}'\nrepeat_hours = 24\n[[alerts.command]]\nprogram = '{}'\n",
            state.display(),
            hook.display()
        );
        fs::write(&config, format!("{text}{alerts}")).unwrap();
        Watched { folder }
    }

    /// What the hook was told since it was asked last: `problem backup/nightly`.
    fn told(&self) -> Vec<String> {
        let path = self.folder.top.path().join("told");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let messages = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        messages
            .map(|message| {
                format!("{} {}", message["event"].as_str().unwrap(), message["severity"].as_str().unwrap())
            })
            .collect()
    }

    async fn look(&self, binary: &str, depth: &str, status: i32) -> testkit::Run {
        self.folder.run(binary).args(["--depth", depth]).await.status(status)
    }

    async fn dump(&self, name: &str, age: Duration) -> PathBuf {
        let path = self.folder.path(name);
        copy(&dumps().await.join("custom.dump"), &path);
        set_age(&path, age);
        path
    }
}

#[tokio::test]
async fn a_shallower_look_does_not_end_what_a_deeper_one_found() {
    for binary in ["verify-backup", "monitor-backups"] {
        let watched = Watched::new();
        let first = watched.dump("a.dump", MINUTE).await;
        flip(&first);
        set_age(&first, MINUTE);
        watched.look(binary, "full", 1).await;
        assert_eq!(watched.told(), ["problem critical"], "{binary}");
        // The same backup, looked at less deeply; and a newer one, which nobody read yet.
        watched.look(binary, "quick", 1).await.says("not looked at as deeply since");
        assert_eq!(watched.told(), [""; 0], "{binary}");
        let second = watched.dump("b.dump", Duration::ZERO).await;
        watched.look(binary, "quick", 1).await.says("not looked at as deeply since");
        assert_eq!(watched.told(), [""; 0], "{binary}");
        // What can't be read is not looked at: a deep run that got stuck before ends nothing.
        fs::write(&second, "").unwrap();
        watched.look(binary, "full", 1).await;
        assert_eq!(watched.told(), ["problem critical"], "{binary}: that the newest is empty");
        let _third = watched.dump("b.dump", Duration::ZERO).await;
        watched.look(binary, "quick", 1).await;
        assert_eq!(watched.told(), ["recovery critical"], "{binary}: that the newest was empty");
        watched.look(binary, "full", 0).await;
        assert_eq!(watched.told(), ["recovery critical"], "{binary}");
        watched.look(binary, "quick", 0).await;
    }
}

#[tokio::test]
async fn a_deeper_look_ends_what_a_shallower_one_found() {
    let watched = Watched::new();
    let path = watched.dump("a.dump", MINUTE).await;
    cut(&path);
    watched.look("verify-backup", "quick", 1).await;
    assert_eq!(watched.told(), ["problem critical"]);
    watched.dump("a.dump", MINUTE).await;
    watched.look("verify-backup", "full", 0).await;
    assert_eq!(watched.told(), ["recovery critical"]);
}

#[tokio::test]
async fn the_monitor_knows_what_verification_found() {
    let watched = Watched::new();
    let path = watched.dump("a.dump", MINUTE).await;
    flip(&path);
    set_age(&path, MINUTE);
    watched.look("verify-backup", "full", 1).await;
    assert_eq!(watched.told(), ["problem critical"]);
    // It was told already, and is not told twice.
    watched.look("monitor-backups", "quick", 1).await.says("verify-backup").says("as deeply since");
    assert_eq!(watched.told(), [""; 0]);
    watched.dump("a.dump", MINUTE).await;
    watched.look("verify-backup", "full", 0).await;
    watched.look("monitor-backups", "quick", 0).await;
    assert_eq!(watched.told(), ["recovery critical"]);
}

#[tokio::test]
async fn a_source_that_is_no_longer_configured_is_ended_by_a_run_over_all() {
    let watched = Watched::new();
    let path = watched.dump("a.dump", MINUTE).await;
    flip(&path);
    set_age(&path, MINUTE);
    watched.look("verify-backup", "full", 1).await;
    assert_eq!(watched.told(), ["problem critical"]);
    watched.dump("a.dump", MINUTE).await;
    let config = watched.folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap().replace("'nightly'", "'weekly'");
    fs::write(&config, text).unwrap();
    let run = watched.folder.run("verify-backup").args(["--depth", "quick", "--source", "weekly"]).await;
    run.ok();
    assert_eq!(watched.told(), [""; 0]);
    watched.look("verify-backup", "quick", 0).await;
    assert_eq!(watched.told(), ["recovery critical"]);
}
