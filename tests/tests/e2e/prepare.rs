//! What a newcomer's machine is told and given: `scripts/prepare` and `scripts/test` where things are missing. Programs
//! that write down how they were called stand in for package managers, sudo and compilers.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use tempfile::TempDir;

/// Somebody who is not root, where these tests are root's.
const NOBODY: u32 = 65534;

/// A machine with bash and what every system has, and nothing else on PATH.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        fs::set_permissions(machine.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
        for name in ["bash", "sh", "env", "mktemp", "rm", "chmod", "cat", "true"] {
            let place = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
            symlink(place.iter().find(|path| path.exists()).unwrap(), machine.0.path().join(name)).unwrap();
        }
        machine.has("cargo", "exit 0")
    }

    /// With a program that is called `name` and does `script`; what it is called with is in the log.
    fn has(self, name: &str, script: &str) -> Machine {
        let path = self.0.path().join(name);
        let log = self.0.path().join("log");
        let text =
            format!("#!/bin/sh\n[ {name} = cc ] || echo \"{name} $*\" >>{}\n{script}\n", log.display());
        // By a process of its own: while one of this process's children inherits the open file, nobody can run it.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"])
            .args([path.as_os_str(), text.as_ref()])
            .status();
        assert!(written.unwrap().success());
        self
    }

    fn with_sudo(self) -> Machine {
        self.has("sudo", "[ \"$1\" = -n ] || exit 1; shift; exec \"$@\"")
    }

    fn without_cargo(self) -> Machine {
        fs::remove_file(self.0.path().join("cargo")).unwrap();
        self
    }

    /// apt-get that makes the programs of the packages that it installs, each of which does nothing well.
    fn with_apt(self) -> Machine {
        let folder = self.0.path().display().to_string();
        self.has(
            "apt-get",
            &format!(
                "installs=''
                 for word; do
                     case $word in
                     install) installs=1 ;;
                     gcc) name=cc ;;
                     *) name=$word ;;
                     esac
                     case $installs:$word in
                     1:[a-z]*) rm -f \"{folder}/$name\"; printf '#!/bin/sh\\nexit 0\\n' >\"{folder}/$name\"; chmod 755 \"{folder}/$name\" ;;
                     esac
                 done"
            ),
        )
    }

    /// Runs `prepare`: its status, its words, and which programs it called.
    fn prepare(&self, words: &[&str]) -> (i32, String, String) {
        let script = fs::read_to_string(testkit::workspace().join("scripts/prepare")).unwrap();
        let mut command = Command::new(self.0.path().join("bash"));
        // As text: another user may not reach the workspace.
        command.arg("-c").arg(script).arg("prepare").args(words);
        command
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", self.0.path())
            .env("TMPDIR", self.0.path());
        if fs::metadata(self.0.path()).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let out = command.output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "");
        let log = fs::read_to_string(self.0.path().join("log")).unwrap_or_default();
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap(), log)
    }
}

#[test]
fn a_machine_that_has_everything_is_left_alone() {
    let machine = Machine::new().has("cc", "exit 0").has("shellcheck", "").with_sudo().with_apt();
    let (status, said, called) = machine.prepare(&[]);
    assert_eq!((status, said.as_str(), called.as_str()), (0, "", ""));
    let (status, said, called) = machine.prepare(&["cargo", "cc", "shellcheck"]);
    assert_eq!((status, said.as_str(), called.as_str()), (0, "", ""));
}

#[test]
fn without_privileges_it_says_what_is_missing_and_what_to_run() {
    let (status, said, called) = Machine::new().with_apt().prepare(&[]);
    assert_eq!(status, 125);
    assert_eq!(
        said,
        "prepare: missing here: a C compiler that links (cc)\n\
         prepare: neither root nor sudo that asks no password; run this by hand as root, and then again what you ran:\n\
         \u{20}   apt-get update && env RUNLEVEL=1 apt-get install --no-install-recommends gcc libc6-dev\n"
    );
    assert_eq!(called, "", "nothing was tried");
    // A sudo that would ask for a password is one that a person can use.
    let machine = Machine::new().with_apt().has("sudo", "exit 1");
    let (status, said, _) = machine.prepare(&["cc", "shellcheck", "restic"]);
    assert_eq!(status, 125);
    assert!(
        said.contains("missing here: a C compiler that links (cc), shellcheck, restic\n")
            && said.contains("    sudo apt-get update && sudo env RUNLEVEL=1 apt-get install --no-install-recommends gcc libc6-dev shellcheck restic\n"),
        "{said}"
    );
    let (status, said, _) = Machine::new().has("dnf", "").prepare(&[]);
    assert_eq!(status, 125);
    assert!(said.contains("\n    dnf install gcc glibc-devel\n"), "{said}");
}

#[test]
fn a_machine_that_nothing_can_install_on_is_told_so() {
    let (status, said, _) = Machine::new().prepare(&[]);
    assert_eq!(status, 125);
    assert!(
        said.contains("missing here: a C compiler") && said.contains("neither apt-get nor dnf"),
        "{said}"
    );
    let (status, said, called) = Machine::new().without_cargo().with_sudo().with_apt().prepare(&[]);
    assert_eq!((status, called.as_str()), (125, ""));
    assert!(said.contains("missing here: cargo") && said.contains("https://sh.rustup.rs | sh"), "{said}");
    let (status, said, _) = Machine::new().with_apt().prepare(&["promtool"]);
    assert_eq!(status, 125);
    assert!(said.contains("https://prometheus.io/download/") && !said.contains("apt-get"), "{said}");
    let (status, said, _) = Machine::new().prepare(&["emacs"]);
    assert_eq!(status, 125);
    assert!(said.contains("unknown tool emacs: it knows cargo cc"), "{said}");
}

#[test]
fn what_is_missing_is_installed_together_and_tried() {
    let machine = Machine::new().with_sudo().with_apt();
    let (status, said, called) = machine.prepare(&["cargo", "cc", "shellcheck"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("prepare: installing gcc libc6-dev shellcheck\n"), "{said}");
    let install = called.lines().filter(|line| line.starts_with("apt-get") && line.contains(" install "));
    assert_eq!(install.count(), 1, "{called}");
    assert!(called.contains("RUNLEVEL=1"), "{called}");
    // A compiler without the C library, as `apt-get install --no-install-recommends gcc` leaves it.
    let machine = Machine::new().has("cc", "exit 1").with_sudo().with_apt();
    let (status, said, called) = machine.prepare(&[]);
    assert_eq!(status, 0, "{said}");
    assert!(called.contains("gcc libc6-dev"), "{called}");
    // What was installed and does not work is no success.
    let machine = Machine::new().with_sudo().has("apt-get", "exit 0");
    let (status, said, _) = machine.prepare(&["restic"]);
    assert_eq!(status, 125);
    assert!(said.contains("restic was installed and still can't be used"), "{said}");
}

#[test]
fn an_installation_that_fails_shows_why_and_what_to_run() {
    let machine = Machine::new().with_sudo().has("apt-get", "echo 'E: no network' >&2; exit 100");
    let (status, said, called) = machine.prepare(&[]);
    assert_eq!(status, 125);
    assert!(said.contains("E: no network") && said.contains("that failed for the reason above"), "{said}");
    assert!(said.contains("\n    sudo apt-get update && "), "{said}");
    assert!(called.contains("apt-get -q update"), "old lists are renewed once: {called}");
}

/// `scripts/test --lint` with a cargo that does nothing: what is left are the scripts.
#[test]
fn the_scripts_hold_before_shellcheck_which_is_not_optional() {
    testkit::require_tools(&["shellcheck"]);
    let lint = |folder: &Path| {
        let out = Command::new("sh")
            .args(["-c", "PATH=$1:$PATH CARGO=true exec scripts/test --lint", "sh"])
            .arg(folder)
            .current_dir(testkit::workspace())
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (status, said) = lint(Path::new("/nowhere"));
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("test: shellcheck scripts/bench "), "{said}");
    let strict = Machine::new().has("shellcheck", "exit 1");
    for name in ["cargo", "bash", "sh", "env"] {
        fs::remove_file(strict.0.path().join(name)).unwrap();
    }
    assert_eq!(lint(strict.0.path()).0, Some(1));
}
