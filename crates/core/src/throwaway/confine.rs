//! Keeping a process, and all that it starts, inside of a folder.
//!
//! SQL of a dump may write files, run programs, and connect to other servers, and it may do so as a superuser. No list
//! of statements keeps it from that, so the kernel does: Landlock refuses every write outside of the folder, every TCP
//! connection, and signals to processes outside; seccomp refuses the server all connections and all sockets but its
//! own, since Landlock does not know of Unix sockets by path, behind which production may listen. Landlock knows of no
//! change of a file's mode, owner, times or attributes either, so seccomp leaves those without effect, inside of the
//! folder as well.
//!
//! Both bind the thread that asks for them and what it starts. So a thread of its own does, and starts the process.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::process::{Child, Command};

use super::{Error, Names};

/// What a process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Where it may write.
    folder: PathBuf,
    /// Whether it may connect to what listens on this machine.
    may_connect: bool,
}

impl Confinement {
    /// For a server: it writes to `folder`, and connects to nothing.
    pub(crate) fn server(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), may_connect: false }
    }

    /// For a program that talks to the server: it writes to `folder`.
    pub(crate) fn client(folder: &Path) -> Self {
        Self { may_connect: true, ..Self::server(folder) }
    }

    /// Checks that this machine can confine a process.
    ///
    /// # Errors
    /// That it can't, and what to do.
    pub(crate) fn require(&self, names: Names) -> Result<(), Error> {
        alone(|| self.enter()).map_err(|error| {
            let text = format!(
                "this machine can't keep a server inside of a folder ({error}); run {}s on Linux 5.13 or newer with Landlock, or set {} = true where what runs in it (SQL of a backup, or functions and triggers of the database) can do no harm",
                names.purpose, names.unconfined
            );
            Error::Machine(text)
        })
    }

    /// Starts `command`, confined.
    ///
    /// # Errors
    /// When it can't be confined, or can't be started.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let runtime = tokio::runtime::Handle::current();
        alone(|| {
            let _runtime = runtime.enter();
            self.enter()?;
            command.spawn()
        })
    }

    #[cfg(target_os = "linux")]
    fn enter(&self) -> io::Result<()> {
        limits::writes(&self.folder)?;
        limits::attributes()?;
        if self.may_connect { Ok(()) } else { limits::connections() }
    }

    #[cfg(not(target_os = "linux"))]
    fn enter(&self) -> io::Result<()> {
        Err(io::Error::other("the system has no Landlock"))
    }
}

/// Does `work` in a thread that ends with it.
fn alone<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let ended = scope.spawn(work).join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs broke off")))
    })
}

#[cfg(target_os = "linux")]
mod limits {
    use std::{collections::BTreeMap, io, path::Path};

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
        RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    use nix::libc;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: TargetArch = TargetArch::aarch64;
    #[cfg(target_arch = "riscv64")]
    const ARCHITECTURE: TargetArch = TargetArch::riscv64;

    /// Calls that set a file's mode.
    const MODES: &[i64] = &[
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        FCHMODAT2,
    ];

    /// Calls that set a file's owner, times, or extended attributes.
    const OTHER_ATTRIBUTES: &[i64] = &[
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utime,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utimes,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_futimesat,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        SETXATTRAT,
        REMOVEXATTRAT,
        FILE_SETATTR,
    ];

    // Newer than some C libraries; the numbers are the same on every architecture.
    const FCHMODAT2: i64 = 452;
    const SETXATTRAT: i64 = 463;
    const REMOVEXATTRAT: i64 = 466;
    const FILE_SETATTR: i64 = 469;

    /// What sets a file's flags through a descriptor that may be open for reading alone: `FS_IOC_SETFLAGS`,
    /// `FS_IOC32_SETFLAGS`, `FS_IOC_FSSETXATTR`, `FS_IOC_SETVERSION`, `FS_IOC32_SETVERSION`.
    const FLAGS: [u64; 5] = [0x4008_6602, 0x4004_6602, 0x401C_5820, 0x4008_7602, 0x4004_7602];

    /// Keeps the thread from writing outside of `folder`, from TCP, and from signals to others.
    pub(super) fn writes(folder: &Path) -> io::Result<()> {
        let enter = || -> Result<RulesetStatus, RulesetError> {
            // What an older kernel does not know is left out; that it confines writes is checked.
            let writes = AccessFs::from_write(ABI::V5);
            let status = Ruleset::default()
                .handle_access(writes)?
                .handle_access(AccessNet::from_all(ABI::V4))?
                .scope(Scope::from_all(ABI::V6))?
                .create()?
                .add_rules(path_beneath_rules([folder], writes))?
                .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile))?
                .restrict_self()?;
            Ok(status.ruleset)
        };
        match enter() {
            Ok(RulesetStatus::NotEnforced) => Err(io::Error::other("the kernel has no Landlock")),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(format!("Landlock: {error}"))),
        }
    }

    /// Keeps the thread from connecting to anything, and from sockets that reach another machine.
    pub(super) fn connections() -> io::Result<()> {
        let filter = || -> Result<BpfProgram, seccompiler::BackendError> {
            let unix = libc::AF_UNIX.unsigned_abs().into();
            let is_other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, unix)?;
            let rules = BTreeMap::from([
                (libc::SYS_connect, Vec::new()),
                (libc::SYS_socket, vec![SeccompRule::new(vec![is_other])?]),
            ]);
            answering(rules, libc::EACCES)
        };
        apply(filter())
    }

    /// Keeps the thread from changing anything of a file beside its content.
    pub(super) fn attributes() -> io::Result<()> {
        // PostgreSQL insists on setting modes that its umask has set already, so that is said to be done.
        let modes = || answering(MODES.iter().map(|call| (*call, Vec::new())).collect(), 0);
        let others = || {
            let mut rules: Rules = OTHER_ATTRIBUTES.iter().map(|call| (*call, Vec::new())).collect();
            let flags = FLAGS.iter().map(|request| {
                let is_it = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *request)?;
                SeccompRule::new(vec![is_it])
            });
            rules.insert(libc::SYS_ioctl, flags.collect::<Result<_, _>>()?);
            // What is asked of a ring, no filter sees.
            rules.insert(libc::SYS_io_uring_setup, Vec::new());
            answering(rules, libc::EPERM)
        };
        apply(modes())?;
        apply(others())
    }

    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    /// A filter that answers what `rules` are about with the error `errno` (0: as if it were done), and does not do it.
    fn answering(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
        let answer = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, answer, ARCHITECTURE)?.try_into()
    }

    fn apply(filter: Result<BpfProgram, seccompiler::BackendError>) -> io::Result<()> {
        let failed = |error: &dyn std::fmt::Display| io::Error::other(format!("seccomp: {error}"));
        let program = filter.map_err(|error| failed(&error))?;
        seccompiler::apply_filter(&program).map_err(|error| failed(&error))
    }
}
