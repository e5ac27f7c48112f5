//! A program of the operator's: our own JSON on standard input, taken when it ends with status 0.

use std::{
    io::{self, ErrorKind},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::settings;
use super::{Attempt, Channel, Message, delivery::Refusal, one_line, webhook};
use crate::process::{self, Group};

/// So much of what a program complains of is read.
const STDERR_BYTES_MAX: u64 = 1 << 12;

pub(super) struct Hook<'a>(pub(super) &'a settings::Hook);

impl Channel for Hook<'_> {
    fn attempt<'a>(&'a self, message: &'a Message<'a>, _: Duration) -> Attempt<'a> {
        Box::pin(async move {
            let json = webhook::json(message)?;
            run(self.0, json).await.map_err(|error| match error.kind() {
                ErrorKind::NotFound => Refusal::lasting("was not found; check its program"),
                ErrorKind::PermissionDenied => {
                    Refusal::lasting("may not be run; check its program's permissions")
                }
                kind => Refusal::passing(format!("can't be run ({kind})")),
            })?
        })
    }
}

/// Runs the program to its end. When the future is dropped, the program's whole process group dies.
async fn run(hook: &settings::Hook, json: String) -> io::Result<Result<(), Refusal>> {
    let variables = hook.variables.iter().map(|(name, value)| (name, value.expose()));
    let mut child = Command::new(&hook.program)
        .args(&hook.args)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = Group::of(&child);
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let tell = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not want to know is no failure.
            let _ = stdin.write_all(json.as_bytes()).await;
        }
    };
    let listen = async {
        match stderr {
            Some(stderr) => process::words(stderr, STDERR_BYTES_MAX).await,
            None => String::new(),
        }
    };
    let ((), words, status) = tokio::join!(tell, listen, group.wait(&mut child));
    let status = status?;
    if status.success() {
        return Ok(Ok(()));
    }
    let words = words.lines().next().map_or_else(String::new, |line| format!(": {}", one_line(line)));
    Ok(Err(Refusal::passing(format!("ended with {status}{words}"))))
}
