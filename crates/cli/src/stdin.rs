//! Reading from standard input, and files that flags name.

use std::io::{BufRead as _, Read as _};

use stockfoil_core::settings::Secret;

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
    /// The texts of the files that a flag's values name, each such as `items=ids.txt`, with the names; `-` is standard
    /// input.
    ///
    /// # Errors
    /// When a value has no `=`, or a file can't be read.
    pub async fn read_named(&self, flag: &str, values: &[String]) -> Result<Vec<(String, String)>, RunError> {
        let mut texts = Vec::new();
        for value in values {
            let Some((name, path)) = value.split_once('=') else {
                return Err(RunError::Usage(format!(
                    "{flag} {value:?} names no file; write such as items=ids.txt"
                )));
            };
            let text = String::from_utf8(self.read_file(flag, path).await?)
                .map_err(|error| RunError::Usage(format!("{flag}: {path} can't be read: {error}")))?;
            texts.push((name.to_owned(), text));
        }
        Ok(texts)
    }

    /// What a flag's file holds; `-` is standard input.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn read_file(&self, flag: &str, path: &str) -> Result<Vec<u8>, RunError> {
        let read = match path {
            "-" => {
                self.say(format!("reading {flag} from standard input"));
                let reading = tokio::task::spawn_blocking(|| {
                    let mut bytes = Vec::new();
                    std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
                });
                reading.await.map_err(std::io::Error::other).flatten()
            }
            path => tokio::fs::read(path).await,
        };
        read.map_err(|error| RunError::Usage(format!("{flag}: {path} can't be read: {error}")))
    }

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
