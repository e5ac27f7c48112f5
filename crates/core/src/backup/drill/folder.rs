//! The private folder of a drill: whose it is, how much room it has, and how it goes away, also when the drill was
//! killed.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::unistd::User;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::backup::{Finding, size_text};

/// What the folders of drills are called.
const PREFIX: &str = "stockfoil-drill.";

/// The file whose lock says that the drill goes on.
const LOCK: &str = "lock";

/// How long a server may take to end at once.
const END_WAIT: Duration = Duration::from_secs(10);

/// The longest path of a socket's folder: the system takes 107 bytes for the socket's own path.
const SOCKET_FOLDER_BYTES_MAX: usize = 107 - "/.s.PGSQL.5432".len();

/// Whom programs run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backup) enum Owner {
    /// Whoever runs this process.
    Caller,
    /// This user, since PostgreSQL refuses root.
    User { name: String, uid: u32, gid: u32 },
}

impl Owner {
    /// Who a throwaway cluster runs as: the caller, or `user` where that is root.
    ///
    /// # Errors
    /// When there is no such user.
    pub(in crate::backup) fn of_cluster(user: &str) -> Result<Self, Finding> {
        if !geteuid().is_root() {
            return Ok(Self::Caller);
        }
        match User::from_name(user) {
            Ok(Some(found)) if !found.uid.is_root() => {
                Ok(Self::User { name: found.name, uid: found.uid.as_raw(), gid: found.gid.as_raw() })
            }
            _ => Err(Finding::unknown(
                "drill",
                format!(
                    "PostgreSQL does not run as root, and there is no other user {user:?}; set backup.drill_user to an unprivileged one"
                ),
            )),
        }
    }

    /// Gives `path` and everything below it to this owner. Links are given, not followed.
    pub(in crate::backup) fn take(&self, path: &Path) -> io::Result<()> {
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
pub(in crate::backup) struct Folder {
    path: PathBuf,
    reserve_bytes: u64,
    _lock: File,
}

impl Folder {
    /// Makes one in `parent` for `owner`, which leaves `reserve_bytes` of its disk free.
    pub(in crate::backup) fn create(
        parent: &Path,
        owner: &Owner,
        reserve_bytes: u64,
    ) -> Result<Self, Finding> {
        let failed = |what: &str, error: io::Error| {
            let text = format!(
                "{what} in {} failed: {error}; set backup.drill_folder to another folder",
                parent.display()
            );
            Finding::unknown("drill", text)
        };
        let parent = parent.canonicalize().map_err(|error| failed("looking", error))?;
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|error| failed("drawing a name", io::Error::other(error)))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = parent.join(format!("{PREFIX}{name}"));
        if path.join("socket").as_os_str().len() > SOCKET_FOLDER_BYTES_MAX {
            let text = format!(
                "{} is too long a path for a socket; set backup.drill_folder to a shorter one",
                parent.display()
            );
            return Err(Finding::unknown("drill", text));
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
            Ok(lock) => Ok(Self { path, reserve_bytes, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(failed("making a private folder", error))
            }
        }
    }

    /// Its path.
    pub(in crate::backup) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that `bytes` more fit on its disk, beside the reserve.
    pub(in crate::backup) fn require_room(&self, bytes: u64) -> Result<(), Finding> {
        let needed = bytes.saturating_add(self.reserve_bytes);
        let free = rustix::fs::statvfs(&self.path).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        match free {
            Err(error) => {
                let text = format!("can't tell how much room {} has: {error}", self.path.display());
                Err(Finding::unknown("drill", text))
            }
            Ok(free) if free < needed => Err(Finding::unknown(
                "drill",
                format!(
                    "the disk is too small: {} of {} are free, and the drill needs about {}; set backup.drill_folder to a folder with more room",
                    size_text(free),
                    self.path.display(),
                    size_text(needed)
                ),
            )),
            Ok(_) => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what killed drills of this process's user, or of `owner`, left in `parent`, servers first; says what it
/// removed.
pub(in crate::backup) fn remove_left(parent: &Path, owner: &Owner) -> Vec<String> {
    let own = |uid: u32| match owner {
        Owner::Caller => uid == geteuid().as_raw(),
        Owner::User { uid: user, .. } => uid == geteuid().as_raw() || uid == *user,
    };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
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
                    removed.push(format!("removed what a killed drill had left: {}", path.display()));
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

/// The size of all files at or below `path`, in bytes. Links are not followed.
pub(in crate::backup) fn size_below(path: &Path) -> io::Result<u64> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.size());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += size_below(&entry?.path())?;
    }
    Ok(bytes)
}
