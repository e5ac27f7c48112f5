//! The private folder of a throwaway cluster: whose it is, how much room it has, and how it goes away, also when the
//! process that made it was killed.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use nix::unistd::User;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{Error, Names, Settings};

/// What a cluster that is kept consists of, beside its tablespaces.
const KEPT: [&str; 4] = ["data", "conf", "socket", "server.log"];

/// The file whose lock says that the folder is in use.
const LOCK: &str = "lock";

/// How long a server may take to end at once.
const END_WAIT: Duration = Duration::from_secs(10);

/// The longest path of a socket's folder: the system takes 107 bytes for the socket's own path.
const SOCKET_FOLDER_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// Whom programs run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Whoever runs this process.
    Caller,
    /// This user, since PostgreSQL refuses root.
    User { name: String, uid: u32, gid: u32 },
}

impl Owner {
    /// Who a throwaway cluster runs as: the caller, or the configured user where that is root.
    ///
    /// # Errors
    /// When there is no such user.
    pub(crate) fn of_cluster(settings: &Settings) -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self::Caller);
        }
        let Settings { user, names, .. } = settings;
        match User::from_name(user) {
            Ok(Some(found)) if !found.uid.is_root() => {
                Ok(Self::User { name: found.name, uid: found.uid.as_raw(), gid: found.gid.as_raw() })
            }
            _ => Err(Error::Machine(format!(
                "PostgreSQL does not run as root, and there is no other user {user:?}; set {} to an unprivileged one",
                names.user
            ))),
        }
    }

    /// Gives `path` and everything below it to this owner. Links are given, not followed.
    pub(crate) fn take(&self, path: &Path) -> io::Result<()> {
        let Self::User { uid, gid, .. } = self else { return Ok(()) };
        std::os::unix::fs::lchown(path, Some(*uid), Some(*gid))?;
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.take(&entry?.path())?;
            }
        }
        Ok(())
    }
}

/// A folder that nobody else can look into. It goes away when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    names: Names,
    reserve_bytes: u64,
    is_kept: bool,
    _lock: File,
}

impl Folder {
    /// Makes one for `owner`.
    ///
    /// # Errors
    /// When it can't be made, or is no place for a server's socket.
    pub(crate) fn create(settings: &Settings, owner: &Owner) -> Result<Self, Error> {
        let Settings { parent, names, .. } = settings;
        let failed = |what: &str, error: io::Error| {
            let text = format!(
                "{what} in {} failed: {error}; set {} to another folder",
                parent.display(),
                names.parent
            );
            Error::Machine(text)
        };
        let parent = parent.canonicalize().map_err(|error| failed("looking", error))?;
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|error| failed("drawing a name", io::Error::other(error)))?;
        let path = parent.join(format!("{}{}", prefix(*names), hex::encode(random)));
        if path.join("socket").as_os_str().len() > SOCKET_FOLDER_BYTES_MAX {
            let text = format!(
                "{} is too long a path for a socket; set {} to a shorter one",
                parent.display(),
                names.parent
            );
            return Err(Error::Machine(text));
        }
        let create = || {
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            let mut lock = File::options().write(true).create_new(true).mode(0o600).open(path.join(LOCK))?;
            lock.lock()?;
            writeln!(lock, "{}", std::process::id())?;
            fs::DirBuilder::new().mode(0o700).create(path.join("socket"))?;
            owner.take(&path)?;
            Ok(lock)
        };
        match create() {
            Ok(lock) => {
                let reserve_bytes = settings.reserve_bytes;
                Ok(Self { path, names: *names, reserve_bytes, is_kept: false, _lock: lock })
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(failed("making a private folder", error))
            }
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data folder of the cluster in it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The folder of the cluster's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// Leaves the cluster, whose server has ended, to whoever goes on with it: nothing removes it any more. What was of use
    /// for making it alone goes.
    ///
    /// # Errors
    /// When that can't be removed; then all of it goes.
    pub(crate) fn keep(mut self) -> Result<(), Error> {
        let clear = || {
            let mut kept = tablespaces(&self.path)?;
            kept.extend(KEPT.map(OsString::from));
            // Without a lock it is nobody's that was killed.
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                if kept.contains(&entry.file_name()) {
                    continue;
                }
                let is_folder = entry.file_type()?.is_dir();
                if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
            }
            Ok(())
        };
        clear().map_err(|error: io::Error| {
            Error::Machine(format!("what is restored in {} can't be kept: {error}", self.path.display()))
        })?;
        self.is_kept = true;
        Ok(())
    }

    /// Checks that `bytes` more fit on its disk, beside the reserve.
    ///
    /// # Errors
    /// When they don't, or nobody can tell.
    pub(crate) fn require_room(&self, bytes: u64) -> Result<(), Error> {
        let needed = bytes.saturating_add(self.reserve_bytes);
        match free_bytes(&self.path) {
            Err(error) => {
                let text = format!("can't tell how much room {} has: {error}", self.path.display());
                Err(Error::Machine(text))
            }
            Ok(free) if free < needed => Err(Error::Machine(format!(
                "the disk is too small: {} of {} are free, and the {} needs about {}; set {} to a folder with more room",
                ByteSize(free).display().si(),
                self.path.display(),
                self.names.purpose,
                ByteSize(needed).display().si(),
                self.names.parent
            ))),
            Ok(_) => Ok(()),
        }
    }
}

/// How many bytes are free on the disk of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    Ok(rustix::fs::statvfs(path).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))?)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.path);
        }
    }
}

/// What in the cluster's folder `path` holds its tablespaces.
fn tablespaces(path: &Path) -> io::Result<Vec<OsString>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path.join("data/pg_tblspc"))? {
        // One that lies in the data folder is no link.
        let Ok(target) = fs::canonicalize(entry?.path()) else { continue };
        let first = target.strip_prefix(path).ok().and_then(|inner| inner.components().next());
        found.extend(first.map(|first| first.as_os_str().to_owned()));
    }
    Ok(found)
}

/// What the folders' names begin with.
fn prefix(names: Names) -> String {
    format!("stockfoil-{}.", names.purpose)
}

/// Removes what killed processes of this one's user, or of `owner`, left where `settings` has the folders, servers first;
/// says what it removed.
pub(crate) fn remove_left(settings: &Settings, owner: &Owner) -> Vec<String> {
    let Settings { parent, names, .. } = settings;
    let own = |uid: u32| match owner {
        Owner::Caller => uid == geteuid().as_raw(),
        Owner::User { uid: user, .. } => uid == geteuid().as_raw() || uid == *user,
    };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(&prefix(*names))
            && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && own(metadata.uid()));
        if !is_ours {
            continue;
        }
        // A folder without a lock was killed while it was made, or is just being made.
        let Ok(lock) = File::options().read(true).write(true).open(path.join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                remove(&path);
                if !path.exists() {
                    removed.push(format!(
                        "removed what a killed {} had left: {}",
                        names.purpose,
                        path.display()
                    ));
                }
            }
            // It goes on.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
    removed
}

/// Ends whatever runs on the folder, and removes it.
fn remove(path: &Path) {
    end_processes(path, Signal::QUIT);
    // A process that was just orphaned may still write a file while its folder is being removed.
    for _ in 0..50 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    log::warn!("{} can't be removed; remove it by hand", path.display());
}

/// Ends the processes that work in `path`: with `signal` first, and for good when that takes too long.
fn end_processes(path: &Path, signal: Signal) {
    let started = Instant::now();
    let mut signal = Some(signal);
    loop {
        let working = processes_in(path);
        if working.is_empty() {
            return;
        }
        let hopeless = started.elapsed() > END_WAIT;
        for pid in working {
            if let Some(signal) = if hopeless { Some(Signal::KILL) } else { signal } {
                // It may be gone already.
                let _ = kill_process(pid, signal);
            }
        }
        if started.elapsed() > 2 * END_WAIT {
            return;
        }
        signal = None;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that name `path` in their command line or work in it; never this one.
fn processes_in(path: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return server_of(path).into_iter().collect() };
    let own = std::process::id();
    let text = path.to_string_lossy();
    let is_there = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        // A zombie, which waits for its parent to look, has no command line.
        memchr::memmem::find(&line, text.as_bytes()).is_some()
            || (!line.is_empty() && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(path)))
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            (pid.unsigned_abs() != own && is_there(&entry.path())).then(|| Pid::from_raw(pid))?
        })
        .collect()
}

/// The server that says that it runs on the folder's data; for systems without /proc.
fn server_of(path: &Path) -> Option<Pid> {
    let mut text = String::new();
    File::open(path.join("data/postmaster.pid")).ok()?.read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok()?;
    // The second line names the data folder.
    lines.next().filter(|data| Path::new(data).starts_with(path))?;
    Pid::from_raw(pid).filter(|pid| rustix::process::test_kill_process(*pid).is_ok())
}
