//! The ping at the end of a scheduled run, so that a run that does not happen is noticed by whoever waits for it.

use std::pin::Pin;

use super::Settings;
use super::{delivery::Patience, http};

/// Why a ping did not arrive. Never holds the URL.
#[derive(Debug, thiserror::Error)]
#[error("the healthcheck {0}; whoever waits for it will take this run for one that never was")]
pub struct PingError(String);

/// Tells whoever waits for `command` that a run of it is over, and whether it is `well`: that it did all of its work
/// and there is nothing that a person must look at. Does nothing where no healthcheck is configured.
///
/// # Errors
/// [`PingError`] when no ping arrived in the time that `[alerts]` gives a channel.
pub fn ping<'a>(
    config: &'a Settings,
    command: &'a str,
    well: bool,
) -> Pin<Box<dyn Future<Output = Result<(), PingError>> + Send + 'a>> {
    Box::pin(async move {
        let Some(healthcheck) = config.healthcheck.of(command) else { return Ok(()) };
        let url = if well { &healthcheck.url } else { &healthcheck.failure_url };
        Patience::new(config.timeout, config.give_up_after)
            .persist(|timeout| Box::pin(http::get(url, timeout)))
            .await
            .map_err(|refusal| PingError(refusal.to_string()))
    })
}
