use stockfoil_core::backup::{
    Backup, Compression, Finding, MonitorReport, Status, VerifyReport, age_text, size_text,
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
                page.line(format!(
                    "      newest: {}, {}, began {began}",
                    newest.path.display(),
                    make(newest)
                ));
            }
            page.line(format!(
                "      looked at: {}, {} backups, {} of them good",
                source.path.display(),
                source.count,
                source.good_count
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
            page.table(
                ["      table", "rows"],
                verified.tables.iter().map(|table| {
                    let rows = table.rows.map_or_else(|| "not counted".to_owned(), |rows| rows.to_string());
                    [format!("      {}.{}", table.schema, table.name), rows]
                }),
            );
        }
        alerts::print(page, &self.alerts);
    }
}
