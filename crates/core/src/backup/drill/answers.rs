//! What a site asks of a restored database besides.

use std::io::Cursor;

use serde::{Deserialize, Serialize};

use super::{Drilled, Subject};
use crate::{
    backup::{Finding, reading::Reader},
    throwaway::{Cluster, Feed},
};

/// What a `[[backup.check]]` gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The statement.
    pub sql: String,
    /// What it should give.
    pub expected: String,
    /// What it gave, or what the server said where it refused it.
    pub found: String,
    /// Whether it gave what it should.
    pub passed: bool,
}

/// Asks the database `name` what is configured; a finding for each answer that is another.
pub(super) async fn ask(
    reader: &Reader<'_>,
    subject: &Subject<'_>,
    server: &Cluster<'_>,
    name: &str,
    drilled: &mut Drilled,
) -> Result<Vec<Answer>, Finding> {
    let of_source = subject.source.map(|source| source.name.as_str());
    let settings = reader.config.backup;
    let mut answers = Vec::new();
    for check in &settings.check {
        if check.source.as_deref().is_some_and(|source| Some(source) != of_source) {
            continue;
        }
        let sql = check.sql.clone().into_bytes();
        let feed: Feed = Box::new(move |_| Ok(Box::new(Cursor::new(sql))));
        let psql = server.answering(name).within(settings.timeout);
        let read = |mut output| std::io::read_to_string(&mut output);
        let ran = psql.run(Vec::new(), Some(feed), reader.progress, read).await?;
        let (found, passed) = match ran.complaint() {
            Some(complaint) => (complaint, false),
            None => {
                let text = ran.output.map_err(|error| {
                    Finding::unknown("check", format!("what {:?} gives can't be read: {error}", check.sql))
                })?;
                (text.trim().to_owned(), text.trim() == check.expect.trim())
            }
        };
        if !passed {
            let text = format!("{:?} gives {found:?}, and not {:?}", check.sql, check.expect);
            drilled.findings.push(Finding::critical("check", text));
        }
        answers.push(Answer { sql: check.sql.clone(), expected: check.expect.clone(), found, passed });
    }
    Ok(answers)
}
