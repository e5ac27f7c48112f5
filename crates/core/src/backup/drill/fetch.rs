//! Fetching archived WAL for a recovering server.
//!
//! The server may neither write outside of the drill's folder nor connect to anything, and a source's tool must. So the
//! server asks: its restore_command writes a file's name to a pipe and waits at another one for the answer. Here the
//! file is fetched into the folder, from where the command takes it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::unix::pipe,
};

use crate::{
    backup::{Finding, restored::Supply},
    progress::Progress,
    throwaway::{Folder, Owner},
};

/// Answers a server's requests, for as long as it recovers.
pub(super) struct Service {
    requests: BufReader<pipe::Receiver>,
    answers: pipe::Sender,
    folder: PathBuf,
    owner: Owner,
    supply: Supply,
    /// The WAL that is there and could not be fetched.
    pub(super) findings: Vec<Finding>,
}

impl Service {
    /// Makes the pipes and the command in the drill's `folder`.
    pub(super) fn open(folder: &Folder, owner: &Owner, supply: Supply) -> Result<Self, Finding> {
        let place = folder.path().join("fetch");
        let open = || -> std::io::Result<Self> {
            fs::create_dir_all(&place)?;
            for name in ["requests", "answers"] {
                let _ = fs::remove_file(place.join(name));
                nix::unistd::mkfifo(&place.join(name), nix::sys::stat::Mode::from_bits_truncate(0o600))?;
            }
            let script = place.join("restore_command");
            fs::write(&script, COMMAND)?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
            owner.take(&place)?;
            // Open at both ends, so that neither side waits for the other to come.
            let requests = pipe::OpenOptions::new().read_write(true).open_receiver(place.join("requests"))?;
            let answers = pipe::OpenOptions::new().read_write(true).open_sender(place.join("answers"))?;
            Ok(Self {
                requests: BufReader::new(requests),
                answers,
                folder: place.clone(),
                owner: owner.clone(),
                supply,
                findings: Vec::new(),
            })
        };
        open().map_err(|error| Finding::unknown("drill", format!("no pipes to the server: {error}")))
    }

    /// The restore_command.
    pub(super) fn command(&self) -> String {
        format!("'{}' \"%f\" \"%p\"", self.folder.join("restore_command").display())
    }

    /// Answers requests; it ends only when it is dropped.
    pub(super) async fn serve(&mut self, progress: &dyn Progress) {
        let mut name = String::new();
        loop {
            name.clear();
            if !matches!(self.requests.read_line(&mut name).await, Ok(read) if read > 0) {
                return;
            }
            let name = name.trim_end();
            let to = self.folder.join(name);
            let is_fetched = match self.supply.fetch(name, &to).await {
                Ok(is_there) => is_there && self.owner.take(&to).is_ok(),
                Err(finding) => {
                    self.findings.push(finding);
                    false
                }
            };
            progress.advance(0);
            let answer: &[u8] = if is_fetched { b"0\n" } else { b"1\n" };
            if self.answers.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// What the server runs: the file's name and where it is wanted are its arguments.
const COMMAND: &str = r#"#!/bin/sh
here=${0%/*}
printf '%s\n' "$1" >"$here/requests" || exit 1
read -r answer <"$here/answers" || exit 1
[ "$answer" = 0 ] && exec mv "$here/$1" "$2"
exit 1
"#;
