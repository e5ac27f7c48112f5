use chrono::{DateTime, Utc};
use stockfoil_core::backup::{
    Backup, Compression, Drill, Finding, Gap, KeptCluster, MonitorReport, PreflightReport, ProvenReport, Rpo,
    SealReport, Status, VerifyReport, WalState, age_text, duration_text, size_text,
};

use super::alerts;
use crate::{Mark, Page, Print};

fn mark(status: Status) -> Mark {
    match status {
        Status::Ok => Mark::Good,
        Status::Warning => Mark::Warning,
        Status::Critical | Status::Unknown => Mark::Bad,
    }
}

fn print_findings(page: &mut Page, findings: &[Finding]) {
    for finding in findings {
        page.line(format!("      {}: {} ({})", finding.status, finding.text, finding.check));
    }
}

/// Its format and where it is from, such as `custom, 1.5 MB, database stock of PostgreSQL 15.18`.
fn make(backup: &Backup) -> String {
    let mut words = backup.format.map_or("unknown format", |format| format.name()).to_owned();
    words.push_str(match backup.compression {
        Compression::None => "",
        Compression::Gzip => " in gzip",
        Compression::Zstd => " in Zstandard",
        Compression::Lz4 => " in LZ4",
        Compression::Xz => " in xz",
        Compression::Bzip2 => " in bzip2",
    });
    words.push_str(&format!(", {}", size_text(backup.size_bytes)));
    if let (Some(database), Some(version)) = (&backup.database, &backup.server_version) {
        words.push_str(&format!(", database {database} of PostgreSQL {version}"));
    }
    words
}

impl Print for MonitorReport {
    fn print(&self, page: &mut Page) {
        for source in &self.sources {
            page.marked(mark(source.status), format!("{}: {}", source.name, source.summary));
            if source.findings.len() > 1 {
                print_findings(page, &source.findings);
            }
            if let Some(newest) = &source.newest {
                let began = newest.started_at.format("%Y-%m-%d %H:%M UTC");
                page.line(format!("      newest: {}, {}, began {began}", newest.place(), make(newest)));
            }
            page.line(format!(
                "      looked at: {}, {} backups, {} of them good",
                source.place, source.count, source.good_count
            ));
            print_reach(page, source.wal.as_ref(), source.rpo.as_ref());
            for note in &source.notes {
                page.line(format!("      {note}"));
            }
        }
        alerts::print(page, &self.alerts);
    }
}

impl Print for VerifyReport {
    fn print(&self, page: &mut Page) {
        for verified in &self.backups {
            page.marked(mark(verified.status), format!("{}: {}", verified.title(), verified.verdict()));
            print_findings(page, &verified.findings);
            if let Some(backup) = &verified.backup {
                let age = age_text(backup.started_at, self.checked_at);
                page.line(format!("      {}, began {age} ago", make(backup)));
            }
            print_reach(page, verified.wal.as_ref(), verified.rpo.as_ref());
            for note in &verified.notes {
                page.line(format!("      {note}"));
            }
            match &verified.drill {
                Some(drill) => print_drill(page, drill),
                None => page.table(
                    ["      table", "rows"],
                    verified.tables.iter().map(|table| {
                        let rows =
                            table.rows.map_or_else(|| "not counted".to_owned(), |rows| rows.to_string());
                        [format!("      {}.{}", table.schema, table.name), rows]
                    }),
                ),
            }
        }
        alerts::print(page, &self.alerts);
    }
}

/// What the archive of WAL has, and what a restore would lose.
fn print_reach(page: &mut Page, wal: Option<&WalState>, rpo: Option<&Rpo>) {
    if let Some(wal) = wal {
        let end = match (&wal.ends_with, &wal.ends_at) {
            (Some(segment), Some(at)) => format!("leads to {segment} ({at})"),
            _ => "has nothing for it".to_owned(),
        };
        page.line(format!("      WAL: {} {end}", wal.place));
        for Gap { from, to, affects } in &wal.gaps {
            page.line(format!("      WAL: missing from {from} to {to}; affects {}", affects.join(", ")));
        }
    }
    let Some(rpo) = rpo else { return };
    let entry =
        rpo.newest_entry_at.map(|at| format!("the newest entry that it brings back is of {}", minute(at)));
    let entries = rpo.lost_entries.map(|count| format!("{count} entries came since"));
    let bytes = rpo.lost_wal_bytes.map(|bytes| format!("{} of WAL are not archived", size_text(bytes)));
    let words: Vec<String> = [entry, entries, bytes].into_iter().flatten().collect();
    page.line(format!(
        "      a restore now (RPO) reaches {}{}{}",
        minute(rpo.reaches),
        if words.is_empty() { "" } else { "; " },
        words.join(", ")
    ));
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn print_drill(page: &mut Page, drill: &Drill) {
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let phases: Vec<String> =
        drill.phases.iter().map(|phase| format!("{} {}", phase.name, seconds(phase.duration_ms))).collect();
    page.line(format!(
        "      recovery time (RTO): {}; with all proofs {}",
        seconds(drill.rto_ms),
        seconds(drill.total_ms)
    ));
    page.line(format!("      {}", phases.join(", ")));
    if let Some(end) = &drill.recovery {
        let at = end.last_transaction_at.map_or_else(String::new, |at| {
            format!(", the last transaction of {}", at.format("%Y-%m-%d %H:%M:%S UTC"))
        });
        let archive = match &end.archive_ends_with {
            Some(segment) => format!("; the archive ends with {segment}"),
            None => "; no archive tells whether more was there".to_owned(),
        };
        page.line(format!("      recovered to {} on timeline {}{at}{archive}", end.lsn, end.timeline));
    }
    match (drill.newest_entry_at, drill.rpo_seconds) {
        (Some(at), Some(rpo)) => {
            let rpo = std::time::Duration::from_secs(rpo);
            let at = at.format("%Y-%m-%d %H:%M:%S UTC");
            page.line(format!(
                "      recovery point (RPO): the newest entry is of {at}, {} ago",
                duration_text(rpo)
            ));
        }
        _ => page.line("      recovery point (RPO): no entry was restored"),
    }
    for database in &drill.databases {
        if let Some(checks) = database.checks_passed {
            page.line(format!("      database {}: {checks} claims of the migrations hold", database.name));
        }
        if let Some(reconcile) = &database.reconcile {
            page.line(format!("      database {}: {} balances compared", database.name, reconcile.balances));
        }
        page.table(
            ["      table", "rows", "when sealed"],
            database.tables.iter().map(|table| {
                let sealed = table.rows_sealed.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
                [format!("      {}", table.name), table.rows.to_string(), sealed]
            }),
        );
    }
    if let Some(kept) = &drill.kept {
        print_kept(page, kept);
    }
}

fn print_kept(page: &mut Page, kept: &KeptCluster) {
    page.line(format!("      kept in {}; its server does not run", kept.folder.display()));
    page.line(format!("      start it:  {}", kept.start));
    for database in &kept.databases {
        page.line(format!("      use it:    DATABASE_URL='{}'", database.url));
    }
    page.line(format!("      stop it:   {}", kept.stop));
    page.line(format!("      remove it: {} (once it is stopped)", kept.remove));
}

impl Print for PreflightReport {
    fn print(&self, page: &mut Page) {
        for source in &self.sources {
            let verdict = match (&source.backup, source.reaches) {
                (Some(backup), Some(at)) => {
                    format!("from {}, the state of {}", backup.name, at.format("%Y-%m-%d %H:%M:%S UTC"))
                }
                _ => "nothing to restore from".to_owned(),
            };
            page.marked(mark(source.status), format!("{}: {verdict}", source.source));
            print_findings(page, &source.findings);
            if let (Some(needed), Some(free)) = (source.needed_bytes, source.free_bytes) {
                page.line(format!("      room: about {} of {} free", size_text(needed), size_text(free)));
            }
            if let Some(version) = source.server_version {
                page.line(format!("      programs: PostgreSQL {version}"));
            }
            if !source.extensions.is_empty() {
                page.line(format!("      extensions: {}", source.extensions.join(", ")));
            }
            for note in &source.notes {
                page.line(format!("      {note}"));
            }
        }
    }
}

impl Print for ProvenReport {
    fn print(&self, page: &mut Page) {
        if self.proofs.is_empty() {
            page.marked(Mark::Bad, "nothing was proven of backups yet, or no run was recorded");
            return;
        }
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let minute = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
        page.table(
            [
                "checked (UTC)",
                "source",
                "backup",
                "began (UTC)",
                "depth",
                "result",
                "RTO",
                "RPO",
                "rows",
                "checks",
            ],
            self.proofs.iter().map(|proof| {
                let rows: u64 = proof.rows.values().flat_map(|tables| tables.values()).sum();
                [
                    text(proof.checked_at.map(minute)),
                    text(proof.source.clone()),
                    proof.backup.clone(),
                    minute(proof.started_at),
                    proof.depth.to_string(),
                    proof.status.to_string(),
                    text(proof.rto_ms.map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100))),
                    text(proof.rpo_seconds.map(|age| duration_text(std::time::Duration::from_secs(age)))),
                    text((!proof.rows.is_empty()).then(|| rows.to_string())),
                    format!("{}/{}", proof.checks_passed, proof.checks),
                ]
            }),
        );
        for proof in &self.proofs {
            for (database, answers) in &proof.answers {
                for answer in answers.iter().filter(|answer| !answer.passed) {
                    page.line(format!(
                        "      {} {}, database {database}: {:?} gave {:?}, and not {:?}",
                        text(proof.checked_at.map(minute)),
                        proof.backup,
                        answer.sql,
                        answer.found,
                        answer.expected
                    ));
                }
            }
        }
    }
}

impl Print for SealReport {
    fn print(&self, page: &mut Page) {
        for sealed in &self.backups {
            match (&sealed.seal, sealed.entries, sealed.entries_before) {
                (Some(seal), Some(entries), Some(before)) => {
                    page.marked(Mark::Good, format!("{}: sealed in {}", sealed.title, seal.display()));
                    let before = before.format("%Y-%m-%d %H:%M:%S UTC");
                    page.line(format!("      {entries} entries of the ledger from before {before}"));
                }
                _ => page.marked(Mark::Bad, format!("{}: not sealed", sealed.title)),
            }
            print_findings(page, &sealed.findings);
        }
    }
}
