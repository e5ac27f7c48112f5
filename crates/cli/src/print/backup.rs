use stockfoil_core::backup::{
    Backup, Compression, Drill, Finding, MonitorReport, SealReport, Status, VerifyReport, age_text,
    duration_text, size_text,
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
