//! Reading from standard input, a line at a time.

use std::io::{BufRead as _, Read as _};

use stockfoil_core::config::Secret;

use crate::{Context, RunError};

/// The longest line that is read, in bytes.
const LENGTH_MAX: u64 = 4096;

/// One line with its end; empty at the end of the input.
///
/// On a thread of its own, so that an interrupt is heard while nothing comes.
pub(crate) async fn line() -> std::io::Result<String> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(LENGTH_MAX).read_line(&mut line).map(|_| line)
    });
    reading.await.map_err(std::io::Error::other).flatten()
}

impl Context {
    /// The value of a secret flag, where it is given: that text, or, for `-`, the first line of standard input without
    /// its end.
    ///
    /// # Errors
    /// When standard input can't be read.
    pub async fn secret(&self, flag: &str, given: Option<String>) -> Result<Option<Secret>, RunError> {
        let Some(given) = given else { return Ok(None) };
        if given != "-" {
            // Too late to keep it from whoever looked, and in time for the next one.
            self.warn(&[format!(
                "{flag} stood on the command line, where the process list and the shell's history show it; give it as - on standard input"
            )]);
            return Ok(Some(Secret::new(given)));
        }
        self.say(format!("reading {flag} from standard input"));
        match line().await {
            Ok(line) => {
                let line = line.strip_suffix('\n').unwrap_or(&line);
                Ok(Some(Secret::new(line.strip_suffix('\r').unwrap_or(line))))
            }
            Err(error) => Err(RunError::Usage(format!("{flag} can't be read from standard input: {error}"))),
        }
    }
}
