//! Everything at once: eight writers, seeded damage, backfill, reconcile with its checkpoint, and `kill -9` of each.
#![allow(clippy::disallowed_methods, reason = "a seed and a duration may be given by the environment")]

mod stages;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use testkit::{Signal, TestDb, signal};

use super::writers::{Dice, LOCK_IS_FREE, wait_for};
use stages::{ADOPTED, Stage, TRANSFERS, default_inventory};

/// How long it goes on with the default inventory; elsewhere a part of that. `STOCKFOIL_TORTURE_SECONDS` says otherwise.
const SECONDS: u64 = 45;

/// How one writer works.
#[derive(Clone, Copy)]
enum Writing {
    /// Transactions of several statements, some of them rolled back to a savepoint.
    Transactions(&'static str),
    /// COPY in a loop.
    Copy,
}

const WRITERS: [Writing; 8] = [
    Writing::Transactions("BEGIN"),
    Writing::Transactions("BEGIN"),
    Writing::Transactions("BEGIN"),
    Writing::Transactions("BEGIN ISOLATION LEVEL REPEATABLE READ"),
    Writing::Transactions("BEGIN ISOLATION LEVEL REPEATABLE READ"),
    Writing::Transactions("BEGIN ISOLATION LEVEL SERIALIZABLE"),
    Writing::Transactions("BEGIN ISOLATION LEVEL SERIALIZABLE"),
    Writing::Copy,
];

/// What the writers did.
#[derive(Debug, Default)]
struct Written {
    committed: u64,
    rolled_back: u64,
    retried: u64,
}

/// Past libtest, which keeps what a test prints that passes.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

async fn write(
    mut connection: PgConnection,
    stage: &Stage,
    writing: Writing,
    seed: u64,
    stop: &AtomicBool,
) -> Written {
    // Statements of one transaction can meet those of another in a circle; one of them is told at once.
    sqlx::query("SET deadlock_timeout = '50ms'").execute(&mut connection).await.unwrap();
    let mut dice = Dice::new(seed);
    let mut written = Written::default();
    while !stop.load(Ordering::Relaxed) {
        match writing {
            Writing::Copy => copy(&mut connection, stage, &mut dice, &mut written).await,
            Writing::Transactions(begin) => {
                let steps: Vec<(&str, i32, bool)> = (0..=dice.below(3))
                    .map(|_| (stage.steps[dice.below(7) as usize], dice.below(10_000), dice.below(4) == 0))
                    .collect();
                let commits = dice.below(6) > 0;
                // The same transaction again, until it passes.
                while let Err(error) = attempt(&mut connection, begin, &steps, commits).await {
                    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                    assert!(["40P01", "40001"].contains(&&*code), "{error}");
                    written.retried += 1;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                if commits { written.committed += 1 } else { written.rolled_back += 1 }
            }
        }
    }
    written
}

async fn attempt(
    connection: &mut PgConnection,
    begin: &'static str,
    steps: &[(&'static str, i32, bool)],
    commits: bool,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(begin).await?;
    for (step, number, is_undone) in steps {
        if *is_undone {
            let mut savepoint = transaction.begin().await?;
            sqlx::query(*step).bind(number).execute(&mut *savepoint).await?;
            savepoint.rollback().await?;
        } else {
            sqlx::query(*step).bind(number).execute(&mut *transaction).await?;
        }
    }
    if commits { transaction.commit().await } else { transaction.rollback().await }
}

async fn copy(connection: &mut PgConnection, stage: &Stage, dice: &mut Dice, written: &mut Written) {
    let rows: String = (0..=dice.below(30))
        .map(|_| {
            let mut row: Vec<String> = Vec::new();
            for words in stage.copied {
                let place = dice.below(u32::try_from(words.len()).unwrap());
                row.push(words[usize::try_from(place).unwrap()].to_owned());
            }
            row.push(format!("{}.{:06}\n", dice.below(200) - 100, dice.below(1_000_000)));
            row.join("\t")
        })
        .collect();
    let mut copy = connection.copy_in_raw(stage.copy).await.unwrap();
    copy.send(rows.as_bytes()).await.unwrap();
    if dice.below(8) == 0 {
        copy.abort("it was not meant").await.unwrap();
        written.rolled_back += 1;
        return;
    }
    match copy.finish().await {
        Ok(_) => written.committed += 1,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            assert!(["40P01", "40001"].contains(&&*code), "{error}");
            written.retried += 1;
        }
    }
}

/// What balances are off by, in millionths: for each damaged key the sums that are possible, since nobody knows how far
/// a killed run came.
#[derive(Default)]
struct Damage {
    off: BTreeMap<[String; 4], BTreeSet<i128>>,
    /// Every key that was ever damaged.
    all: BTreeSet<[String; 4]>,
}

impl Damage {
    /// Makes one balance wrong, or removes it.
    async fn add(&mut self, db: &TestDb, stage: &Stage, dice: &mut Dice) {
        let by = dice.below(2_000_000) - 1_000_000;
        let Stage { balances, key, quantity, .. } = stage;
        let one =
            format!("ctid = (SELECT ctid FROM {balances} ORDER BY md5(concat_ws('/', {key}, {by})) LIMIT 1)");
        let statement = match dice.below(4) {
            0 => format!("DELETE FROM {balances} WHERE {one} RETURNING {key}, -{quantity}"),
            _ => format!(
                "UPDATE {balances} SET {quantity} = {quantity} + {by} * 0.000001 WHERE {one} RETURNING {key}, {by} * 0.000001"
            ),
        };
        // No row when a writer was at it meanwhile; of a circle of both it is the writer who is told.
        let statement = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL deadlock_timeout = '60s'; {statement}; COMMIT"
        );
        for row in db.rows(statement).await {
            let [org, item, location, lot, quantity] = <[String; 5]>::try_from(row).unwrap();
            let key = [org, item, location, lot];
            let off = self.off.entry(key.clone()).or_insert_with(|| BTreeSet::from([0]));
            *off = off.iter().map(|sum| sum + millionths(&quantity)).collect();
            self.all.insert(key);
        }
    }

    /// A run that may have repaired some balances was killed.
    fn may_be_repaired(&mut self) {
        for off in self.off.values_mut() {
            off.insert(0);
        }
    }

    /// A run has entered into the ledger what damaged balances say, and repaired the others.
    fn was_entered(&mut self, report: &Value) {
        for entry in report["correction"]["entries"].as_array().unwrap() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let key = ["org_id", "item_id", "location_id", "lot_id"].map(text);
            let off = self.off.remove(&key).unwrap_or_else(|| panic!("nobody damaged it: {entry}"));
            assert!(off.contains(&millionths(&text("quantity"))), "off by one of {off:?}: {entry}");
        }
        self.was_seen(report);
    }

    /// A run has compared and repaired: it saw what was damaged, all of it, and nothing else.
    fn was_seen(&mut self, report: &Value) {
        let listed = report["listed"].as_array().unwrap();
        for listed in listed {
            let text = |name: &str| listed[name].as_str().unwrap_or_default().to_owned();
            let key = ["org_id", "item_id", "location_id", "lot_id"].map(text);
            let off = self.off.remove(&key).unwrap_or_else(|| panic!("nobody damaged it: {listed}"));
            assert!(off.contains(&-millionths(&text("drift"))), "off by one of {off:?}: {listed}");
            assert_eq!(listed["repaired"], true, "{listed}");
        }
        // What is left was right: repaired by a killed run, or damaged back to what it was.
        let missed: Vec<_> = self.off.iter().filter(|(_, off)| !off.contains(&0)).collect();
        assert!(missed.is_empty(), "not seen: {missed:?}");
        self.off.clear();
        assert_eq!(report["changed_history"], 0, "{report}");
        assert_eq!(report["broken_parts"], serde_json::json!([]), "{report}");
    }
}

/// A decimal number of up to six digits behind the point, in millionths.
fn millionths(text: &str) -> i128 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<6}")
        .parse()
        .unwrap_or_else(|_| panic!("{text} has more than six digits behind the point"))
}

/// The run that corrects the ledger, by its name among the others.
const BY_ENTRY: &str = "reconcile by entry";

/// How often each command ended, and how often it was killed.
#[derive(Debug, Default)]
struct Runs {
    ended: BTreeMap<&'static str, u64>,
    killed: BTreeMap<&'static str, u64>,
}

/// Damages, repairs and kills until the time is over; `folder` has the configuration.
async fn operate(db: &TestDb, stage: &Stage, folder: &Path, seed: u64, until: Instant) -> (Runs, Damage) {
    let mut dice = Dice::new(seed);
    let (mut runs, mut damage) = (Runs::default(), Damage::default());
    while Instant::now() < until {
        for _ in 0..dice.below(5) {
            damage.add(db, stage, &mut dice).await;
        }
        let batch_rows = (1 + dice.below(40)).to_string();
        let (name, command, args) = match dice.below(6) {
            0 => ("backfill", "backfill-balances", vec!["--batch-rows", &batch_rows]),
            1 => ("full reconcile", "reconcile-balances", vec!["--fix-large", "--full"]),
            2 if stage.takes_entries => (BY_ENTRY, "reconcile-balances", vec!["--fix-by-entry", "torture"]),
            _ => ("reconcile", "reconcile-balances", vec!["--fix-large"]),
        };
        let binary = db.run(command).folder(folder).args(args).args(["--format", "json"]);
        if dice.below(2) == 0 {
            let mut child = binary.spawn();
            tokio::time::sleep(Duration::from_millis(dice.below(400).unsigned_abs().into())).await;
            if child.try_wait().unwrap().is_none() {
                signal(&child, Signal::KILL);
                *runs.killed.entry(name).or_default() += 1;
            }
            child.wait().await.unwrap();
            damage.may_be_repaired();
            wait_for(db, LOCK_IS_FREE).await;
            continue;
        }
        let report = binary.await.ok().json();
        *runs.ended.entry(name).or_default() += 1;
        match name {
            "backfill" => {
                assert_eq!(report["still_lacking"], 0, "{report}");
                damage.off.clear();
            }
            BY_ENTRY => damage.was_entered(&report),
            _ => damage.was_seen(&report),
        }
    }
    (runs, damage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_among_writers_damage_and_kills() {
    torture(SECONDS, &default_inventory("", "")).await;
}

/// The writers of the stricter levels queue all that they write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_where_deltas_are_queued() {
    torture(SECONDS / 3, &default_inventory("[balances]\nhot = \"queue\"\n", "")).await;
}

/// What neither writers nor commands ask for: they get it from the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_repeatable_read() {
    torture(SECONDS / 4, &default_inventory("", "repeatable read")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_serializable() {
    torture(SECONDS / 4, &default_inventory("", "serializable")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_in_an_adopted_table_with_keys_without_case() {
    torture(SECONDS / 4, &ADOPTED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_of_two_postings_in_partitions() {
    torture(SECONDS / 4, &TRANSFERS).await;
}

/// For so long, unless the environment says otherwise.
async fn torture(seconds: u64, stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    // Half of the sealed history is read again by each run.
    let file = format!("[reconcile]\nhistory_runs = 2\n{}", stage.config);
    std::fs::write(folder.path().join("stockfoil.toml"), file).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = given("STOCKFOIL_TEST_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let seconds = given("STOCKFOIL_TORTURE_SECONDS").unwrap_or(seconds);
    tell(&format!("torture of balances, {}: STOCKFOIL_TEST_SEED={seed} repeats it", stage.name));
    let db = stage.set_up(folder.path()).await;
    db.run("backfill-balances").folder(&folder).await.ok();
    let stop = AtomicBool::new(false);
    let mut connections = Vec::new();
    for _ in WRITERS {
        connections.push(db.connect().await);
    }
    let mut writers = connections
        .into_iter()
        .zip(WRITERS)
        .zip(seed + 1..)
        .map(|((connection, writing), seed)| write(connection, stage, writing, seed, &stop));
    let mut next = || writers.next().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds);
    let operator = async {
        let result = operate(&db, stage, folder.path(), seed, until).await;
        stop.store(true, Ordering::Relaxed);
        result
    };
    let (a, b, c, d, e, f, g, h, (runs, damage)) =
        tokio::join!(next(), next(), next(), next(), next(), next(), next(), next(), operator);

    let written = [a, b, c, d, e, f, g, h];
    assert!(written.iter().all(|written| written.committed > 0), "{written:?}");
    // What was damaged since the last repair.
    db.run("backfill-balances").folder(&folder).await.ok().says("verified");
    db.run("reconcile-balances").folder(&folder).await.ok().says(": 0 differ");
    db.run("reconcile-balances").folder(&folder).arg("--full").await.ok().says(": 0 differ");
    // What was queued is in the balances by now.
    assert_eq!(db.rows(stage.wrong_keys()).await, [[""; 0]; 0]);
    let found = db
        .rows("SELECT DISTINCT org_id, item_id, location_id, coalesce(lot_id, '') FROM stockfoil.finding")
        .await;
    for key in found {
        let key = <[String; 4]>::try_from(key).unwrap();
        assert!(damage.all.contains(&key), "a finding of {key:?}, which nobody damaged");
    }
    assert_eq!(db.value("SELECT count(*) FROM stockfoil.finding WHERE closed_run IS NULL").await, "0");
    let deadlocks =
        db.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await;
    let rows = db.value(format!("SELECT count(*) FROM {}", stage.ledger)).await;
    let sum = |part: fn(&Written) -> u64| written.iter().map(part).sum::<u64>();
    tell(&format!(
        "torture of balances, {}: seed {seed}, {seconds} s: {} transactions committed, {} rolled back, {} retried ({deadlocks} deadlocks), \
         {rows} entries left; {} keys damaged; runs that ended {:?}, killed {:?}",
        stage.name,
        sum(|written| written.committed),
        sum(|written| written.rolled_back),
        sum(|written| written.retried),
        damage.all.len(),
        runs.ended,
        runs.killed,
    ));
}
