//! Backups that lie in something else: encrypted, in parts, folders in a tar, and other compressions.

use std::process::Command;

use super::{site::Site, *};

/// A folder with the drill's dump and its seal in it.
async fn stock() -> Folder {
    let folder = Folder::new("");
    fs::copy(drill::dump().await, folder.path("stock.dump")).unwrap();
    fs::copy(drill::dump().await.with_extension("dump.seal"), folder.path("stock.dump.seal")).unwrap();
    fs::write(folder.top.path().join("passphrase"), "correct horse\n").unwrap();
    folder
}

/// Runs a script in the folder of backups; `$PASS` is the file of the passphrase.
fn shell(folder: &Folder, script: &str) {
    let pass = folder.top.path().join("passphrase");
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder.path(""))
        .env("PASS", &pass)
        .env("GNUPGHOME", folder.top.path().join("gnupg"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

const GPG: &str = "mkdir -p -m 700 \"$GNUPGHOME\"; gpg --batch --quiet --pinentry-mode loopback --passphrase-file \"$PASS\" -o stock.dump.gpg -c stock.dump; rm stock.dump";

const OPENSSL: &str =
    "openssl enc -aes-256-cbc -pbkdf2 -pass file:\"$PASS\" -in stock.dump -out stock.dump.enc; rm stock.dump";

const AGE: &str = "age-keygen -o \"$PASS.age\" 2>/dev/null; age -r \"$(age-keygen -y \"$PASS.age\")\" -o stock.dump.age stock.dump; rm stock.dump";

/// The source with `decrypt` as `words`.
fn decrypt(folder: &Folder, words: &[&str]) {
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    let base: String = text
        .lines()
        .take_while(|line| !line.starts_with("decrypt"))
        .map(|line| format!("{line}\n"))
        .collect();
    let home = folder.top.path().join("gnupg");
    let own = format!(
        "decrypt = {words:?}\n[backup.source.environment]\nGNUPGHOME = {home:?}\nTOKEN = 'hunter22'\n"
    );
    fs::write(config, base + &own).unwrap();
}

fn by_openssl(folder: &Folder) -> Vec<String> {
    let pass = format!("file:{}", folder.top.path().join("passphrase").display());
    ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-pass", &pass].map(str::to_owned).into()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[tokio::test]
pub(super) async fn an_encrypted_dump_is_decrypted_read_and_restored() {
    testkit::require_tools(&["gpg", "openssl", "age"]);
    for (script, name, suffix) in
        [(GPG, "gpg (OpenPGP)", "gpg"), (OPENSSL, "openssl enc", "enc"), (AGE, "age", "age")]
    {
        let folder = stock().await;
        shell(&folder, script);
        // Without a key nothing is known of it, and it is called what it is.
        let said = format!("is encrypted by {name}, so nothing can be told of what it holds; set decrypt");
        for binary in ["monitor-backups", "verify-backup"] {
            folder.run(binary).await.status(3).says(&said);
        }
        let named = folder.path(&format!("stock.dump.{suffix}")).display().to_string();
        folder.run("verify-backup").args(["--file", &named]).await.status(3).says(&said);

        if script == GPG {
            let pass = folder.top.path().join("passphrase").display().to_string();
            decrypt(
                &folder,
                &["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase-file", &pass, "--decrypt"],
            );
        } else if script == AGE {
            let identity = folder.top.path().join("passphrase.age").display().to_string();
            decrypt(&folder, &["age", "--decrypt", "--identity", &identity]);
        } else {
            decrypt(&folder, &words(&by_openssl(&folder)));
        }
        folder.run("monitor-backups").await.ok().says("1 good backups").says("encrypted");
        let run = folder.run("verify-backup").await.ok();
        run.says(": verified")
            .says("holds stock.dump")
            .says("sealed: every byte of what is in it is as its seal says");
        let run = folder.run("verify-backup").args(["--restore", "--file", &named]).await.ok();
        run.says("verified and restored").says("all 1000 entries");
        // A byte that flips inside is found, whether the program notices or not.
        flip(Path::new(&named));
        folder.run("verify-backup").await.status(1);
        cut(Path::new(&named));
        folder.run("verify-backup").await.status(1);
    }
}

#[tokio::test]
async fn a_program_that_decrypts_badly_is_never_believed() {
    let folder = stock().await;
    shell(&folder, OPENSSL);
    for (program, status, said) in [
        (vec!["true"], 1, "can't be decrypted: true ended well but wrote nothing"),
        (vec!["false"], 1, "can't be decrypted: false failed: exit status: 1"),
        (vec!["cat"], 3, "holds more than 6 layers"),
        (vec!["sh", "-c", "cat >/dev/null; echo nonsense"], 1, "none of pg_dump's formats"),
        (vec!["/nowhere/gpg"], 3, "/nowhere/gpg was not found"),
        (
            vec!["sh", "-c", "echo \"fatal: $TOKEN is wrong\" >&2; exit 2"],
            1,
            "sh failed: fatal: *** is wrong",
        ),
    ] {
        decrypt(&folder, &program);
        let run = folder.run("verify-backup").await.status(status).says(said);
        assert!(!run.stdout.contains("hunter22") && !run.stderr.contains("hunter22"), "{run:?}");
    }
    // What comes is cut off.
    let cutting = format!("{} | head -c 20000", by_openssl(&folder).join(" "));
    decrypt(&folder, &["sh", "-c", &cutting]);
    folder.run("verify-backup").await.status(1);
    decrypt(&folder, &["sleep", "1000"]);
    let config = folder.top.path().join("stockfoil.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("[backup]\nstall_timeout = '1s'\n{text}")).unwrap();
    folder.run("verify-backup").await.status(3).says("showed no sign of life for 1s and was given up");
    // Everybody may see the arguments of a process.
    for program in [vec!["openssl", "enc", "-d", "-k", "hunter22"], vec!["gpg", "--passphrase", "hunter22"]] {
        decrypt(&folder, &program);
        let run = folder.run("verify-backup").await.status(2).tells("gives a secret as an argument");
        assert!(!run.stderr.contains("hunter22"), "{run:?}");
    }
}

#[tokio::test]
async fn what_is_old_inside_is_old() {
    let folder = Folder::new("");
    fs::write(folder.top.path().join("passphrase"), "correct horse\n").unwrap();
    fs::write(folder.path("stock.dump"), old_dump("2026-01-31")).unwrap();
    shell(&folder, OPENSSL);
    decrypt(&folder, &words(&by_openssl(&folder)));
    folder.run("monitor-backups").await.ok();
    folder.run("monitor-backups").args(["--depth", "full"]).await.status(1).says("holds a backup that began");
}

#[tokio::test]
async fn a_seal_is_made_before_a_dump_is_wrapped() {
    testkit::require_tools(&["openssl"]);
    let db = drill::sound().await;
    let folder = stock().await;
    shell(&folder, OPENSSL);
    decrypt(&folder, &words(&by_openssl(&folder)));
    let named = folder.path("stock.dump.enc");
    let run = db.run("verify-backup").arg("--seal").arg("--file").arg(&named).await.status(3);
    run.tells("is encrypted by openssl enc");
    // The seal is of other bytes than those that come out.
    fs::write(folder.path("stock.dump.sha256"), format!("{}  stock.dump\n", "0".repeat(64))).unwrap();
    folder.run("verify-backup").await.status(1);
}

#[tokio::test]
pub(super) async fn dumps_in_xz_and_bzip2_are_read() {
    testkit::require_tools(&["xz", "bzip2"]);
    let dumps = dumps().await;
    for name in ["plain.sql", "custom.dump", "tar.tar"] {
        for (program, suffix, shown) in [("xz", "xz", "in xz"), ("bzip2", "bz2", "in bzip2")] {
            let folder = Folder::new("");
            copy(&dumps.join(name), &folder.path(name));
            shell(&folder, &format!("{program} -1 {name}"));
            let packed = folder.path(&format!("{name}.{suffix}"));
            folder.run("monitor-backups").await.ok().says(shown);
            folder.run("verify-backup").await.ok().says("inventory_ledger");
            flip(&packed);
            folder.run("verify-backup").await.status(1);
            cut(&packed);
            folder.run("verify-backup").await.status(1);
        }
    }
}

#[tokio::test]
pub(super) async fn parts_are_one_backup() {
    let split = "split -b 20000 -a 2 stock.dump stock.dump.; rm stock.dump";
    let numbered = "split -b 20000 -d -a 3 --numeric-suffixes=1 stock.dump stock.dump.; rm stock.dump";
    for script in [split, numbered] {
        let folder = stock().await;
        shell(&folder, script);
        let run =
            folder.run("monitor-backups").await.ok().says("nightly: 1 good backups; the newest, stock.dump");
        run.says("in parts");
        folder.run("verify-backup").await.ok().says(": verified").says("holds stock.dump");
        folder.run("verify-backup").arg("--restore").await.ok().says("verified and restored");
    }
    type Damage = fn(&Folder);
    let damages: [(&str, &str, Damage); 5] = [
        ("quick", "lacks the part before stock.dump.ac", |folder| {
            fs::remove_file(folder.path("stock.dump.ab")).unwrap();
        }),
        ("quick", "lacks its first part: stock.dump.ab is the first that is there", |folder| {
            fs::remove_file(folder.path("stock.dump.aa")).unwrap();
        }),
        ("quick", "its part stock.dump.ab is cut off", |folder| cut(&folder.path("stock.dump.ab"))),
        ("quick", "its part stock.dump.ab is cut off (0 bytes)", |folder| {
            fs::write(folder.path("stock.dump.ab"), "").unwrap();
        }),
        ("full", "", |folder| {
            let mut parts: Vec<PathBuf> =
                fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
            parts.retain(|path| path.extension().is_some_and(|end| end.len() == 2));
            parts.sort();
            fs::remove_file(parts.last().unwrap()).unwrap();
        }),
    ];
    for (depth, said, damage) in damages {
        let folder = stock().await;
        shell(&folder, split);
        damage(&folder);
        let quick = folder.run("verify-backup").args(["--depth", "quick"]).await;
        if depth == "quick" {
            quick.status(1).says(said);
        } else {
            quick.ok();
        }
        folder.run("verify-backup").await.status(1);
    }
    // Copies that are rotated are numbered as well, and each is whole.
    let folder = stock().await;
    shell(&folder, "cp stock.dump stock.dump.01; cp stock.dump stock.dump.02; rm stock.dump");
    folder.run("monitor-backups").await.ok().says("2 good backups");
}

#[tokio::test]
pub(super) async fn a_folder_in_a_tar_is_unpacked_and_read() {
    let dumps = dumps().await;
    for (script, name) in [
        ("tar czf stock.tar.gz directory", "stock.tar.gz"),
        ("tar cf stock.tar -C directory .", "stock.tar"),
        ("cd directory; tar cJf ../stock.tar.xz *", "stock.tar.xz"),
    ] {
        let folder = Folder::new("");
        copy(&dumps.join("directory"), &folder.path("directory"));
        shell(&folder, &format!("({script}); rm -r directory"));
        folder.run("monitor-backups").await.ok().says("directory dump in a tar");
        folder.run("verify-backup").await.ok().says("every file read to its end").says("inventory_ledger");
        flip(&folder.path(name));
        folder.run("verify-backup").await.status(1);
        cut(&folder.path(name));
        folder.run("verify-backup").await.status(1);
    }
    // Any other tar is none.
    let folder = Folder::new("");
    shell(&folder, "mkdir notes; echo x >notes/x; tar czf stock.tar.gz notes; rm -r notes");
    folder.run("monitor-backups").await.status(1).says("none of pg_dump's formats");
}

#[tokio::test]
pub(super) async fn a_base_backup_in_one_tar_is_recovered() {
    let site = Site::shared().await;
    let folder = site.copy(&["wal", "base/folder"]);
    let top = folder.top.path().display().to_string();
    let pack = format!("cd {top}/base; tar czf stock.tar.gz folder; rm -r folder");
    assert!(Command::new("sh").args(["-euc", &pack]).status().unwrap().success());
    let source = |kind: &str, more: &str| {
        let text = format!("[[backup.source]]\nname = 'base'\nkind = '{kind}'\npath = '{top}/base'\n{more}");
        fs::write(folder.top.path().join("stockfoil.toml"), text).unwrap();
    };
    source("basebackup", &format!("wal_path = '{top}/wal'\n"));
    folder.run("monitor-backups").await.ok().says("base backup in one tar");
    folder.run("verify-backup").await.ok().says("every file is as its backup_manifest says");
    let run = folder.run("verify-backup").arg("--restore").await.ok();
    run.says("recovered to ");
    // It is no dump.
    source("dump", "");
    folder.run("monitor-backups").await.status(3).says("is a base backup in a tar");
    source("basebackup", &format!("wal_path = '{top}/wal'\n"));
    cut(&folder.top.path().join("base/stock.tar.gz"));
    folder.run("verify-backup").await.status(1).says("can't be unpacked to its end");
}
