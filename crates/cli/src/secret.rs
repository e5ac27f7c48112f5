use std::io::{BufRead as _, IsTerminal as _, Read as _};

use stockfoil_core::config::Secret;

use crate::{RunError, progress};

/// The longest secret that is read, in bytes.
const LENGTH_MAX: u64 = 4096;

/// A secret flag's value: what was given, or, for `-`, the first line of standard input, without its line break.
///
/// # Errors
/// When standard input can't be read.
pub async fn secret_value(flag: &'static str, given: String) -> Result<Secret, RunError> {
    if given != "-" {
        return Ok(Secret::new(given));
    }
    // On a thread of its own, so that an interrupt is heard while nothing comes.
    let line = tokio::task::spawn_blocking(move || {
        let input = std::io::stdin().lock();
        if input.is_terminal() {
            progress::say(&format!("{flag}: type it and press Enter"));
        }
        let mut line = String::new();
        input.take(LENGTH_MAX).read_line(&mut line).map(|_| line)
    });
    match line.await {
        Ok(Ok(line)) => Ok(Secret::new(
            line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)),
        )),
        // The library's own message never holds what was read.
        Ok(Err(error)) => Err(RunError::Usage(format!("{flag} can't be read from standard input: {error}"))),
        Err(_) => Err(RunError::Usage(format!("{flag} can't be read from standard input"))),
    }
}
