//! What becomes of a cluster that is kept: a configuration for a server that lasts, and the commands that start and stop it.

use std::{io, path::Path};

use super::{
    Cluster,
    configuration::{quoted_setting, write_new},
};
use crate::{
    progress::Progress,
    throwaway::{Error, Owner},
};

/// What only a server may do without that goes away again.
const SHORT_LIVED: [&str; 5] = ["fsync", "full_page_writes", "synchronous_commit", "autovacuum", "jit"];

/// How a shell starts and stops the server of a kept cluster.
pub(crate) struct Kept {
    pub(crate) start: String,
    pub(crate) stop: String,
}

impl Cluster<'_> {
    /// Makes the cluster, whose server has ended, one that lasts: its files are on disk, and a server started on `conf`
    /// still reaches nothing and has no address but its socket.
    ///
    /// # Errors
    /// When its files can't be written.
    pub(crate) async fn keep(&self, progress: &dyn Progress) -> Result<Kept, Error> {
        let control = self.control_data(progress).await?;
        let mut settings = self.server_settings(&control, "");
        settings.retain(|(name, _)| !SHORT_LIVED.contains(name));
        settings.push(("data_directory", self.folder.data().display().to_string()));
        let text: String = settings.iter().map(|(name, value)| quoted_setting(name, value)).collect();
        let write = || {
            write_new(&self.conf("postgresql.conf"), &text)?;
            self.owner.take(&self.folder.path().join("conf"))
        };
        write().map_err(|error: io::Error| {
            Error::Machine(format!("what is restored can't be kept: its configuration: {error}"))
        })?;
        // It ran without waiting for the disk.
        let data = self.folder.data().into_os_string();
        let ran =
            self.program("initdb").text(["--sync-only".into(), "--pgdata".into(), data], progress).await?;
        ran.whole().map_err(|failed| Error::Machine(failed.to_string()))?;
        Ok(self.commands())
    }

    fn commands(&self) -> Kept {
        let user = match &self.owner {
            Owner::Caller => String::new(),
            Owner::User { name, .. } => format!("runuser -u {name} -- "),
        };
        let pg_ctl = shell_word(&self.programs.path("pg_ctl"));
        // A folder of a configuration that names the data is as good to pg_ctl as the data.
        let of = format!("{user}{pg_ctl} -D {}", shell_word(&self.folder.path().join("conf")));
        let log = shell_word(&self.folder.path().join("pg_ctl.log"));
        Kept { start: format!("{of} -l {log} -w start"), stop: format!("{of} -m fast stop") }
    }
}

/// A path as one word of a shell.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@".contains(letter);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        assert_eq!(shell_word(Path::new("/var/tmp/a-1.b")), "/var/tmp/a-1.b");
        assert_eq!(shell_word(Path::new("/it's a $(place)")), r"'/it'\''s a $(place)'");
    }
}
