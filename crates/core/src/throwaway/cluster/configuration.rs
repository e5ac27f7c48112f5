//! The configuration of a throwaway cluster.
//!
//! Nothing of the one that lies in its data is used: the server gets a configuration, a `pg_hba.conf` and a
//! `pg_ident.conf` of its own, and `postgresql.auto.conf`, which it would read all the same, is emptied. So no
//! archive is written to, no primary is followed, no subscription applies and no library is loaded because
//! production was set up that way.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::Cluster;
use crate::{progress::Progress, throwaway::Error};

/// What keeps the server from reaching anybody, and from being reached but by its socket.
const CUT_OFF: [(&str, &str); 16] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("archive_mode", "off"),
    ("archive_command", ""),
    ("archive_library", ""),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("max_wal_senders", "0"),
    ("max_replication_slots", "0"),
    ("max_logical_replication_workers", "0"),
    ("hot_standby", "off"),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
    // Not in /dev/shm, which is outside of the folder.
    ("dynamic_shared_memory_type", "mmap"),
    // Tablespaces of a dump are made inside of the data folder.
    ("allow_in_place_tablespaces", "on"),
];

/// What a server does without that nobody will miss, and how it writes its log.
const SHORT_LIVED: [(&str, &str); 11] = [
    ("autovacuum", "off"),
    ("jit", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("max_wal_size", "4GB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
];

/// What recovery needs as much of as the primary had: each with its name in pg_controldata, and the least of it.
const CAPACITIES: [(&str, &str, u64); 4] = [
    ("max_connections", "max_connections setting", 50),
    ("max_worker_processes", "max_worker_processes setting", 8),
    ("max_prepared_transactions", "max_prepared_xacts setting", 0),
    ("max_locks_per_transaction", "max_locks_per_xact setting", 64),
];

impl Cluster<'_> {
    /// Writes the cluster's own configuration; it recovers where there is a `restore_command`.
    pub(super) async fn configure(
        &self,
        restore_command: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let control = self.control_data(progress).await?;
        let settings = self.server_settings(&control, restore_command.unwrap_or_default());
        let text: String = settings.iter().map(|(name, value)| quoted_setting(name, value)).collect();
        let write = || {
            self.write_files(&text)?;
            self.clean_data(restore_command.is_some())?;
            self.owner.take(&self.folder.path().join("conf"))?;
            self.owner.take(&self.folder.data())
        };
        write().map_err(|error: io::Error| {
            Error::Machine(format!("the throwaway cluster can't be configured: {error}"))
        })
    }

    /// The server's settings.
    pub(super) fn server_settings(
        &self,
        control: &BTreeMap<String, String>,
        restore_command: &str,
    ) -> Vec<(&'static str, String)> {
        let fixed = CUT_OFF.iter().chain(&SHORT_LIVED);
        let mut settings: Vec<_> = fixed.map(|(name, value)| (*name, (*value).to_owned())).collect();
        settings.extend(CAPACITIES.iter().map(|(name, known_as, at_least)| {
            let known = control.get(*known_as).and_then(|value| value.parse::<u64>().ok());
            (*name, known.unwrap_or(0).max(*at_least).to_string())
        }));
        settings.extend([
            ("unix_socket_directories", quoted_list_item(&self.folder.socket())),
            ("hba_file", self.conf("pg_hba.conf").display().to_string()),
            ("ident_file", self.conf("pg_ident.conf").display().to_string()),
            ("shared_preload_libraries", self.preloaded().join(", ")),
            ("restore_command", restore_command.to_owned()),
            ("recovery_target_timeline", "latest".into()),
        ]);
        if self.programs.version >= 17 {
            // No trigger of the restored database runs at our login.
            settings.push(("event_triggers", "off".into()));
        }
        settings
    }

    fn write_files(&self, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder.path().join("conf"))?;
        write_new(&self.conf("postgresql.conf"), text)?;
        write_new(&self.conf("pg_hba.conf"), "local all all trust\n")?;
        write_new(&self.conf("pg_ident.conf"), "")
    }

    /// Takes out of the data what the server reads in spite of the configuration that it is given.
    fn clean_data(&self, is_recovery: bool) -> io::Result<()> {
        let data = self.folder.data();
        fs::write(data.join("postgresql.auto.conf"), "")?;
        for name in ["standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts"] {
            match fs::remove_file(data.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Slots would hold back WAL, and a server without room for them does not start.
        for slot in fs::read_dir(data.join("pg_replslot")).into_iter().flatten().flatten() {
            fs::remove_dir_all(slot.path())?;
        }
        if is_recovery { fs::write(data.join("recovery.signal"), "") } else { Ok(()) }
    }

    /// What pg_controldata says of the cluster.
    pub(super) async fn control_data(
        &self,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, String>, Error> {
        let data = self.folder.data();
        self.owner
            .take(&data)
            .map_err(|error| Error::Machine(format!("the restored data can't be given away: {error}")))?;
        let args: [OsString; 2] = ["--pgdata".into(), data.into()];
        let ran = self.program("pg_controldata").text(args, progress).await?;
        let text = ran.whole().map_err(|failed| Error::Data(failed.to_string()))?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    /// The libraries that the configuration in the data preloads and that are allowed here.
    fn preloaded(&self) -> Vec<String> {
        let allowed = &self.settings.preload_libraries;
        let mut wanted = String::new();
        for file in ["postgresql.conf", "postgresql.auto.conf"] {
            let text = fs::read_to_string(self.folder.data().join(file)).unwrap_or_default();
            for line in text.lines() {
                let Some((name, value)) = line.split_once('=') else { continue };
                if name.trim() == "shared_preload_libraries" {
                    wanted = value.split('#').next().unwrap_or_default().to_owned();
                }
            }
        }
        let words = wanted.split(|letter: char| "',\" \t".contains(letter));
        words.filter(|word| allowed.iter().any(|allowed| allowed == word)).map(str::to_owned).collect()
    }

    pub(super) fn conf(&self, name: &str) -> PathBuf {
        self.folder.path().join("conf").join(name)
    }
}

/// A line of the configuration.
pub(super) fn quoted_setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A path as an item of a list setting.
fn quoted_list_item(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
