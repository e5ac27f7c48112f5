//! Whole dumps of every make, and damaged ones.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use super::*;

#[tokio::test]
pub(super) async fn whole_dumps_of_every_make_are_read_to_their_end() {
    for (name, format, counts) in [
        ("custom.dump", "custom", true),
        ("custom-plain.dump", "custom", true),
        ("custom-best.dump", "custom", true),
        ("custom.dump.gz", "custom", true),
        ("custom-inserts.dump", "custom", false),
        ("pipe.dump", "custom", true),
        ("directory", "directory", true),
        ("directory-plain", "directory", true),
        ("tar.tar", "tar", true),
        ("tar.tar.gz", "tar", true),
        ("plain.sql", "plain", true),
        ("plain-z.sql.gz", "plain", true),
        ("plain.sql.gz", "plain", true),
        ("plain.sql.zst", "plain", true),
        ("inserts.sql", "plain", false),
        ("all.sql", "plain", true),
    ] {
        let folder = Folder::with(name).await;
        folder.run("monitor-backups").await.ok().says("nightly: 1 good backups").says(name);
        let run = folder.run("verify-backup").await.ok();
        let run = run.says("not sealed").says("silent change of a byte can't be excluded");
        assert!(!run.stdout.contains("verified"), "{}", run.stdout);

        let report = folder.run("verify-backup").args(["--format", "json"]).await.ok().json();
        assert_eq!(
            (&report["schema"], &report["outcome"]),
            (&"stockfoil.verify-backup/1".into(), &"clean".into())
        );
        let verified = &report["backups"][0];
        assert_eq!((&verified["status"], &verified["is_sealed"]), (&"ok".into(), &false.into()), "{name}");
        assert_eq!(verified["backup"]["format"], format, "{name}");
        let rows = |table: &str| {
            let mut tables = verified["tables"].as_array().unwrap().iter();
            tables.find(|found| found["name"] == table).unwrap_or_else(|| panic!("{name}: {table}"))["rows"]
                .clone()
        };
        for (table, expected) in
            [("inventory_ledger", ENTRIES), ("items", 100), ("locations", 2), ("users", 0)]
        {
            assert_eq!(rows(table), if counts { expected.into() } else { Value::Null }, "{name}: {table}");
        }
        assert_eq!(rows("part"), if counts { 0.into() } else { Value::Null }, "{name}");
    }
}

/// A kind of damage: the dump, what is done to it, what `monitor-backups` says (nothing: it can't see it), and what
/// `verify-backup` says.
type Damage = (&'static str, fn(&Path), Option<&'static str>, Option<&'static str>);

#[tokio::test]
async fn each_kind_of_damage_is_found_at_its_depth() {
    let keep: fn(&Path) = |_| {};
    let empty: fn(&Path) = |path| fs::write(path, "").unwrap();
    let cut_off = Some("is cut off: it ends before the data of public.");
    let tar_cut_off = Some("is cut off: a tar's end is missing");
    let no_pg_restore = Some("pg_restore can't read it: ");
    let matrix: [Damage; 34] = [
        ("custom.dump", empty, Some("is empty (0 bytes)"), Some("is empty (0 bytes)")),
        ("plain.sql", empty, Some("is empty (0 bytes)"), Some("is empty (0 bytes)")),
        ("custom.dump", cut, cut_off, cut_off),
        ("custom-plain.dump", cut, cut_off, cut_off),
        ("custom.dump.gz", cut, None, Some("can't be read to its end: it is cut off")),
        ("pipe.dump", cut, None, no_pg_restore),
        ("custom.dump", flip, None, no_pg_restore),
        ("custom-best.dump", flip, None, no_pg_restore),
        ("custom.dump.gz", flip, None, Some("can't be read to its end: ")),
        // Nothing in the file tells: only a checksum does.
        ("custom-plain.dump", flip, None, None),
        ("tar.tar", flip, None, None),
        ("plain.sql", flip, None, None),
        (
            "custom.dump",
            |path| fs::write(path, &fs::read(path).unwrap()[..300]).unwrap(),
            Some("table of contents is cut off"),
            Some("table of contents is cut off"),
        ),
        (
            "directory",
            |path| fs::remove_file(largest(path)).unwrap(),
            Some("the data of public.inventory_ledger is missing"),
            Some("the data of public.inventory_ledger is missing"),
        ),
        (
            "directory",
            |path| fs::write(largest(path), "").unwrap(),
            Some("the data of public.inventory_ledger is empty (0 bytes)"),
            Some("the data of public.inventory_ledger is empty (0 bytes)"),
        ),
        (
            "directory",
            |path| cut(&largest(path)),
            None,
            Some("the data of public.inventory_ledger can't be read to its end"),
        ),
        (
            "directory",
            |path| flip(&largest(path)),
            None,
            Some("the data of public.inventory_ledger can't be read to its end"),
        ),
        (
            "directory",
            |path| gzip(Path::new("/dev/null"), &largest(path)),
            None,
            Some("the data of public.inventory_ledger is cut off"),
        ),
        (
            "directory",
            |path| fs::remove_file(path.join("toc.dat")).unwrap(),
            Some("has no toc.dat"),
            Some("has no toc.dat"),
        ),
        (
            "directory",
            |path| cut(&path.join("toc.dat")),
            Some("table of contents is cut off"),
            Some("table of contents is cut off"),
        ),
        ("directory", |path| remove_large_object(path), Some("the large object"), Some("the large object")),
        ("directory-plain", |path| cut_at_a_line(&largest(path)), None, Some("lacks the mark of its end")),
        ("tar.tar", cut, tar_cut_off, tar_cut_off),
        (
            "tar.tar",
            |path| {
                cut(path);
                pad(path)
            },
            None,
            Some("is cut off: a tar's end is missing"),
        ),
        ("tar.tar.gz", cut, None, tar_cut_off),
        ("plain.sql", cut_at_a_line, Some("lacks its last line"), Some("lacks its last line")),
        ("plain.sql.gz", cut, None, Some("can't be read to its end: it is cut off")),
        ("plain.sql.zst", cut, None, Some("can't be read to its end")),
        ("plain.sql.gz", flip, None, Some("can't be read to its end")),
        (
            "plain.sql.gz",
            |path| recompress(path, cut_at_a_line),
            None,
            Some("ends inside the data of public.inventory_ledger"),
        ),
        ("schema.dump", keep, None, Some("holds the schema only: ")),
        ("schema.sql", keep, None, Some("holds the schema only: ")),
        ("data.dump", keep, None, Some("holds data without the definition of its table: users, items")),
        ("no-items.dump", keep, None, Some("was made without the data of: items")),
    ];
    for (at, (name, damage, quick, full)) in matrix.into_iter().enumerate() {
        let folder = Folder::with(name).await;
        damage(&folder.path(name));
        let what = format!("row {at}: {name}");
        for (binary, said) in [("monitor-backups", quick), ("verify-backup", full)] {
            let run = folder.run(binary).await;
            let status = if said.is_some() { 1 } else { 0 };
            assert_eq!(run.status, status, "{what}: {}{}", run.stdout, run.stderr);
            assert!(
                run.stdout.contains(said.unwrap_or("good"))
                    || (said.is_none() && run.stdout.contains("not sealed")),
                "{what}: {}",
                run.stdout
            );
        }
    }
}

fn remove_large_object(folder: &Path) {
    // blobs_3456.toc since PostgreSQL 17.
    let is_list = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("blobs") && name.ends_with(".toc")
    };
    let list = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(is_list).unwrap();
    let toc = fs::read_to_string(list).unwrap();
    let name = toc.lines().next().unwrap().split_once(' ').unwrap().1;
    for suffix in ["", ".gz"] {
        let _ = fs::remove_file(folder.join(format!("{name}{suffix}")));
    }
}

/// Ends a tar as if it were whole.
fn pad(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all(&vec![0; (length.next_multiple_of(512) - length + 1024) as usize]).unwrap();
}

#[tokio::test]
async fn a_dump_of_the_wrong_content_is_found() {
    let folder = Folder::with("no-items.sql").await;
    folder.run("verify-backup").await.status(1).says("was made without the data of: items");
    let folder = Folder::with("other.dump").await;
    folder.run("verify-backup").await.status(1).says("holds no table at all");
    // A table that the inventory does not need is worth a look.
    let folder = Folder::with("no-extra.dump").await;
    let report = folder.run("verify-backup").args(["--format", "json"]).await.status(1).json();
    assert_eq!(report["backups"][0]["status"], "warning");
    assert_eq!(report["backups"][0]["findings"][0]["text"], "was made without the data of public.extra");
}

/// What stands between a plain dump's rows must be SQL, else psql stops there.
#[tokio::test]
async fn a_plain_dump_with_other_programs_words_in_it_is_found() {
    let whole = fs::read_to_string(dumps().await.join("plain.sql")).unwrap();
    let behind_rows = whole.rfind("\n\\.\n").unwrap() + 4;
    let among_rows = whole.find(" FROM stdin;\n").unwrap() + 13;
    let among_columns =
        whole.find("CREATE TABLE ").and_then(|at| Some(at + whole[at..].find('\n')? + 1)).unwrap();
    for (at, words) in [
        (0, "pg_dump: warning: there are circular constraints on items:\npg_dump: detail: items\n"),
        (behind_rows, "WARNING:  terminating connection because of a crash;\n"),
        (behind_rows, "Connection to db closed.\n"),
        (among_rows, "pg_dump: error: query failed\n"),
        (among_columns, "pg_dump: warning: x\n"),
    ] {
        let folder = Folder::new("");
        fs::write(folder.path("stock.sql"), format!("{}{words}{}", &whole[..at], &whole[at..])).unwrap();
        let line = whole[..at].matches('\n').count() + 1;
        let first = words.lines().next().unwrap();
        let run = folder.run("verify-backup").await.status(1);
        run.says(&format!("line {line} begins with {first:?}")).says("2> into a file of its own");
    }
}

/// Statements with other statements, quotes and semicolons inside, and files that went through other programs.
#[tokio::test]
async fn no_dump_that_psql_takes_is_called_damaged() {
    let db = stocked().await;
    db.execute(
        r#"CREATE FUNCTION standard(a int) RETURNS int LANGUAGE sql
            BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END; SELECT a; END;
        CREATE FUNCTION quoted() RETURNS text LANGUAGE plpgsql AS $f$
        BEGIN RETURN 'a;
        pg_dump: $$';
        RAISE NOTICE 'x';
        END $f$;
        CREATE TABLE "odd;
        table" (a text DEFAULT E'it''s; \\
WARNING: \'', "b"";" int);
        CREATE RULE "twice;" AS ON INSERT TO extra DO ALSO (DELETE FROM extra; UPDATE extra SET id = 1; NOTIFY x);
        COMMENT ON TABLE extra IS 'first;
        NOTICE: second /* -- "';
        CREATE MATERIALIZED VIEW kept AS SELECT 1 AS a;
        INSERT INTO "odd;
        table" VALUES ('pg_dump: a', 1), (E'\\', 2), ('it''s', 3);
        INSERT INTO locations (site, name) VALUES ('\', 'a;
pg_dump: b');"#,
    )
    .await;
    db.execute(format!("ALTER DATABASE {} SET standard_conforming_strings = off", db.name())).await;
    for (name, args, change) in [
        ("plain.sql", &["-Fp"][..], None),
        ("inserts.sql", &["--inserts", "-C", "--clean", "--if-exists", "--verbose"], None),
        ("lines.sql", &["-Fp"], Some(("\n", "\r\n"))),
        (
            "ours.sql",
            &["-Fp"],
            Some((
                "\n--\n-- PostgreSQL database dump complete",
                "\nVACUUM ANALYZE;\n\\echo it's over\n--\n-- PostgreSQL database dump complete",
            )),
        ),
    ] {
        let folder = Folder::new("");
        super::dump(&db, args, &folder.path(name));
        if let Some((from, to)) = change {
            let text = fs::read_to_string(folder.path(name)).unwrap().replace(from, to);
            fs::write(folder.path(name), text).unwrap();
        }
        let run = folder.run("verify-backup").await.ok().says("read to its end as SQL");
        assert_eq!(run.stdout.contains("20000"), name != "inserts.sql", "rows are counted: {}", run.stdout);
    }
}

#[tokio::test]
async fn a_killed_pg_dump_is_found() {
    let db = stocked().await;
    for (format, quick) in [("-Fc", 0), ("-Fp", 1), ("-Ft", 1)] {
        let folder = Folder::new("");
        // It waits for us to read on: that is half-way, whatever the machine's speed.
        let mut child =
            db.cluster().program("pg_dump").args([format, db.name()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut half = vec![0; 200_000];
        child.stdout.take().unwrap().read_exact(&mut half).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        fs::write(folder.path("half.dump"), half).unwrap();
        folder.run("monitor-backups").await.status(quick);
        folder.run("verify-backup").await.status(1).says("not to be relied on");
    }
}

#[tokio::test]
async fn a_seal_shows_every_change_of_a_byte() {
    for name in ["custom-plain.dump", "plain.sql", "tar.tar", "directory-plain"] {
        let folder = Folder::with(name).await;
        let seal = std::process::Command::new("sh")
            .args(["-c", "if [ -d $0 ]; then sha256sum $0/*; else sha256sum $0; fi > $0.sha256", name])
            .current_dir(folder.path("."))
            .status()
            .unwrap();
        assert!(seal.success());
        folder.run("monitor-backups").await.ok().says("1 backups, 1 of them good");
        folder.run("verify-backup").await.ok().says(": verified").says("sealed: every byte");
        let path = folder.path(name);
        flip(&if path.is_dir() { largest(&path) } else { path });
        folder.run("verify-backup").await.status(1).says("changed since it was sealed: ");
        fs::write(folder.path(&format!("{name}.sha256")), "no checksum").unwrap();
        folder.run("verify-backup").await.status(1).says("is no checksum file");
    }
}

/// What is done to a dump; the path is that of its file or folder.
pub(super) const MATRIX: [matrix::Row; 18] = [
    row("custom dump", "a copy of an earlier one", "full", "has the same bytes as", |path| {
        fs::copy(path, path.with_file_name("earlier.dump")).unwrap();
    }),
    row("custom dump", "emptied (0 bytes)", "quick", "is empty (0 bytes)", |path| {
        fs::write(path, "").unwrap()
    }),
    row("custom dump", "cut in half", "quick", "is cut off", cut),
    row("custom dump", "flipped byte in compressed data", "full", "pg_restore can't read it", flip),
    row("uncompressed custom dump, sealed", "flipped byte", "full", "changed since it was sealed", flip),
    row("custom dump through a pipe", "pg_dump killed half-way", "full", "pg_restore can't read it", cut),
    row("custom dump", "schema alone", "full", "holds the schema only", |path| replace(path, "schema.dump")),
    row("custom dump", "a table's data left out", "full", "was made without the data of: items", |path| {
        replace(path, "no-items.dump");
    }),
    row("custom dump", "another database's", "full", "holds no table at all", |path| {
        replace(path, "other.dump")
    }),
    row(
        "custom dump, sealed",
        "rows lost before it was made",
        "restore",
        "entries of the ledger are lost",
        |path| {
            more_entries_in_the_seal(path);
        },
    ),
    row("tar dump", "cut in half", "quick", "a tar's end is missing", cut),
    row(
        "directory dump",
        "a data file deleted",
        "quick",
        "the data of public.inventory_ledger is missing",
        |path| {
            fs::remove_file(largest(path)).unwrap();
        },
    ),
    row("directory dump", "a data file emptied", "quick", "is empty (0 bytes)", |path| {
        fs::write(largest(path), "").unwrap();
    }),
    row("directory dump", "flipped byte in compressed data", "full", "can't be read to its end", |path| {
        flip(&largest(path));
    }),
    row("SQL dump", "cut at a line", "quick", "lacks its last line", cut_at_a_line),
    row("SQL dump", "pg_dump killed half-way", "quick", "lacks its last line", cut),
    row(
        "SQL dump in gzip",
        "cut at a line inside COPY, then compressed",
        "full",
        "ends inside the data of",
        |path| {
            recompress(path, cut_at_a_line);
        },
    ),
    row("SQL dump in gzip", "flipped byte", "full", "can't be read to its end", flip),
];

const fn row(
    of: &'static str,
    damage: &'static str,
    depth: &'static str,
    said: &'static str,
    damages: fn(&Path),
) -> matrix::Row {
    matrix::Row { of, damage, depth, said, witness: matrix::RECORDS, damages }
}

/// Puts another of the dumps in the place of `path`.
fn replace(path: &Path, other: &str) {
    fs::copy(Path::new(env!("CARGO_TARGET_TMPDIR")).join("dumps").join(other), path).unwrap();
}

/// Seals more than the dump holds: as if the database had lost it before the dump.
fn more_entries_in_the_seal(path: &Path) {
    let seal = path.with_extension("dump.seal");
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&seal).unwrap()).unwrap();
    let count = text["figures"]["entries"]["count"].as_u64().unwrap();
    text["figures"]["entries"]["count"] = (count + 2).into();
    fs::write(seal, text.to_string()).unwrap();
}

#[tokio::test]
async fn the_matrix_holds() {
    for row in &MATRIX {
        let name = match row.of {
            "custom dump, sealed" => "stock.dump",
            "uncompressed custom dump, sealed" => "custom-plain.dump",
            "custom dump through a pipe" => "pipe.dump",
            "tar dump" => "tar.tar",
            "directory dump" => "directory",
            "SQL dump" => "plain.sql",
            "SQL dump in gzip" => "plain.sql.gz",
            _ => "custom.dump",
        };
        let folder = if name == "stock.dump" { drill::folder("").await } else { Folder::with(name).await };
        if row.of.starts_with("uncompressed") {
            let sum = std::process::Command::new("sha256sum").arg(folder.path(name)).output().unwrap().stdout;
            fs::write(folder.path(&format!("{name}.sha256")), sum).unwrap();
        }
        (row.damages)(&folder.path(name));
        row.holds(&folder, None).await;
    }
}
