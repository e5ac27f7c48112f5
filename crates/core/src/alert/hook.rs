//! A program of the operator's: our own JSON on standard input, taken when it ends with status 0.

use std::{
    io::{self, ErrorKind},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use super::{Attempt, Channel, Message, delivery::Refusal, one_line, webhook};
use crate::{config, process::Group};

/// So much of what a program complains of is read.
const STDERR_BYTES_MAX: u64 = 1 << 12;

pub(super) struct Hook<'a>(pub(super) &'a config::Hook);

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
async fn run(hook: &config::Hook, json: String) -> io::Result<Result<(), Refusal>> {
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
    let mut words = Vec::new();
    let listen = async {
        if let Some(mut stderr) = stderr {
            // What can't be read of its words is no reason to doubt its work.
            let _ = (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut words).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
    };
    let wait = async {
        let status = child.wait().await;
        // Whoever of its group still holds a pipe would keep us waiting.
        group.kill();
        status
    };
    let ((), (), status) = tokio::join!(tell, listen, wait);
    let status = status?;
    if status.success() {
        return Ok(Ok(()));
    }
    let words = String::from_utf8_lossy(&words);
    let words = words.lines().next().map_or_else(String::new, |line| format!(": {}", one_line(line)));
    Ok(Err(Refusal::passing(format!("ended with {status}{words}"))))
}
