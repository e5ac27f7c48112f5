//! Flags: argh, and what argh does not do (`--key=value`, `--version`, `-h`, near misses, status 2).

use std::{path::PathBuf, process::ExitCode, str::FromStr};

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};
use stockfoil_core::settings::{Secret, nearest};

use crate::{USAGE, page};

/// The flag of a command that writes a configuration file; `--config` without a file is another spelling of it.
const PROPOSE_CONFIG: &str = "--propose-config";

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for a person.
    Human,
    /// One JSON object with a `schema` field.
    Json,
    /// The Prometheus text format.
    Prometheus,
    /// What Nagios and its kin read from a plugin, exit status included.
    Nagios,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" | "table" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            "prometheus" => Ok(Self::Prometheus),
            "nagios" => Ok(Self::Nagios),
            _ => Err(format!("unknown format {text:?}; give human, json, prometheus or nagios")),
        }
    }
}

/// The flags that every command has.
#[derive(Debug, Clone)]
pub struct Common {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--format`.
    pub format: Format,
    /// `--output`.
    pub output: Option<PathBuf>,
    /// `--reason`.
    pub reason: Option<stockfoil_core::history::Reason>,
    /// `--quiet`.
    pub quiet: bool,
    /// `--verbose`.
    pub verbose: bool,
}

/// A binary's flags; implemented by [`args!`](crate::args).
pub trait Command: FromArgs + ArgsInfo {
    /// The command's name.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// Whether it is made for a schedule, and so has a Prometheus form.
    const SCHEDULED: bool;
    /// Whether it is a check for monitoring, and so has the form of a Nagios plugin.
    const PLUGIN: bool;

    /// The common flags' values.
    fn common(&self) -> Common;
}

/// Declares a binary's flags, with the common ones added.
///
/// The fields are argh's, each with a comma behind it; the struct derives `FromArgs` and `ArgsInfo`, so the binary's crate depends on argh.
/// `scheduled struct` declares a command that has `--format prometheus`, `plugin struct` one that has
/// `--format nagios` as well. `migration struct` declares one that changes a schema: `how` says what its flags ask for, and
/// `patience` how long it waits.
#[macro_export]
macro_rules! args {
    ($(#[$meta:meta])* plugin struct $($rest:tt)*) => { cli::args! { @true true $(#[$meta])* struct $($rest)* } };
    ($(#[$meta:meta])* scheduled struct $($rest:tt)*) => { cli::args! { @true false $(#[$meta])* struct $($rest)* } };
    ($(#[$meta:meta])* migration struct $name:ident { $($fields:tt)* }) => {
        cli::args! { @false false $(#[$meta])* struct $name {
            /// show the steps, their SQL, their locks and what they cost; change nothing
            #[argh(switch)]
            dry_run: bool,
            /// play it through on a copy of the schema and some rows, there and back, and try what applications do; change nothing
            #[argh(switch)]
            rehearse: bool,
            /// do not play it through on a copy before the first change
            #[argh(switch)]
            no_rehearsal: bool,
            /// for a rehearsal: how many rows of each tenant table to take along (default: 1000)
            #[argh(option, arg_name = "rows", default = "stockfoil_core::rehearsal::SAMPLE_ROWS")]
            sample: u32,
            /// rehearse in this database, which is empty and stays so, instead of a throwaway cluster on this machine
            #[argh(option, arg_name = "url")]
            rehearse_in: Option<stockfoil_core::settings::Secret>,
            /// how long a step may wait for other sessions, such as 30s or 5m (default: without end)
            #[argh(option, arg_name = "time")]
            lock_wait: Option<stockfoil_core::migration::patience::Time>,
            /// how long a step may stand in a lock's queue at a time, where others wait behind it (default: 100ms)
            #[argh(option, arg_name = "time")]
            lock_timeout: Option<stockfoil_core::migration::patience::Time>,
            /// after four attempts that did not suffice, a step may stand in queues longer, up to 900ms at a time and so long in all (default: none)
            #[argh(option, arg_name = "time")]
            lock_budget: Option<stockfoil_core::migration::patience::Time>,
            /// begin no batch and no index while a standby is further behind than this (default: not looked at)
            #[argh(option, arg_name = "time")]
            max_replica_lag: Option<stockfoil_core::migration::patience::Time>,
            $($fields)*
        } }

        impl $name {
            fn how(&self) -> Result<cli::How, cli::RunError> {
                let asked = cli::Rehearse { sample: self.sample, place: self.rehearse_in.clone() };
                if let Some(url) = &asked.place {
                    let others = [("--dry-run", self.dry_run), ("--no-rehearsal", self.no_rehearsal)];
                    cli::excludes("--rehearse-in", &others)?;
                    url.require_database("--rehearse-in")?;
                }
                let flags = [
                    ("--dry-run", self.dry_run, cli::How::DryRun),
                    ("--rehearse", self.rehearse, cli::How::Rehearse(asked.clone())),
                    ("--no-rehearsal", self.no_rehearsal, cli::How::Run { rehearses: None }),
                ];
                Ok(cli::one_of(&flags)?.unwrap_or(cli::How::Run { rehearses: Some(asked) }))
            }

            fn patience(&self) -> stockfoil_core::migration::patience::Patience {
                stockfoil_core::migration::patience::Patience {
                    lock_wait: self.lock_wait.map(|time| time.0),
                    lock_timeout: self.lock_timeout.map(|time| time.0),
                    lock_budget: self.lock_budget.map(|time| time.0),
                    max_replica_lag: self.max_replica_lag.map(|time| time.0),
                }
            }
        }
    };
    ($(#[$meta:meta])* struct $($rest:tt)*) => { cli::args! { @false false $(#[$meta])* struct $($rest)* } };
    (@$scheduled:literal $plugin:literal $(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        struct $name {
            $($fields)*
            /// configuration file (default: $STOCKFOIL_CONFIG, ./stockfoil.toml, /etc/stockfoil/stockfoil.toml)
            #[argh(option, arg_name = "file")]
            config: Option<std::path::PathBuf>,
            /// human (default), json; prometheus on scheduled commands, nagios on checks of backups
            #[argh(option, default = "cli::Format::Human")]
            format: cli::Format,
            /// write the result to this file instead of standard output (beside it, then renamed)
            #[argh(option, arg_name = "file")]
            output: Option<std::path::PathBuf>,
            /// why this is done, for the record of it in stockfoil.run
            #[argh(option, arg_name = "text")]
            reason: Option<stockfoil_core::history::Reason>,
            /// say only errors
            #[argh(switch, short = 'q')]
            quiet: bool,
            /// say more
            #[argh(switch, short = 'v')]
            verbose: bool,
        }

        impl cli::Command for $name {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const SCHEDULED: bool = $scheduled;
            const PLUGIN: bool = $plugin;

            fn common(&self) -> cli::Common {
                cli::Common {
                    config: self.config.clone(),
                    format: self.format,
                    output: self.output.clone(),
                    reason: self.reason.clone(),
                    quiet: self.quiet,
                    verbose: self.verbose,
                }
            }
        }
    };
}

/// What a command that changes a schema is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Do it.
    Run {
        /// Play it through first.
        rehearses: Option<Rehearse>,
    },
    /// Say what it would do.
    DryRun,
    /// Play it through on a copy.
    Rehearse(Rehearse),
}

/// How a migration is played through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearse {
    /// How many rows of each tenant table are taken along.
    pub sample: u32,
    /// The URL of the database that it takes place in; none: a throwaway cluster.
    pub place: Option<Secret>,
}

/// The value of the one flag that is given among those that exclude each other; none when none is.
///
/// # Errors
/// [`RunError::Usage`](crate::RunError::Usage) when several are given.
pub fn one_of<T: Clone>(flags: &[(&str, bool, T)]) -> Result<Option<T>, crate::RunError> {
    let given: Vec<_> = flags.iter().filter(|(_, is_given, _)| *is_given).collect();
    match given.as_slice() {
        [] => Ok(None),
        [(_, _, value)] => Ok(Some(value.clone())),
        [(first, ..), (second, ..), ..] => {
            Err(crate::RunError::Usage(format!("{first} and {second} exclude each other; give one of them")))
        }
    }
}

/// Refuses each of `others` that is given beside `flag`.
///
/// # Errors
/// [`RunError::Usage`](crate::RunError::Usage) when one is.
pub fn excludes(flag: &str, others: &[(&str, bool)]) -> Result<(), crate::RunError> {
    match others.iter().find(|(_, is_given)| *is_given) {
        Some((other, _)) => {
            Err(crate::RunError::Usage(format!("{flag} and {other} exclude each other; give one of them")))
        }
        None => Ok(()),
    }
}

/// Refuses `flag` where it is given and `other`, which it says more of, is not; called when it is not.
///
/// # Errors
/// [`RunError::Usage`](crate::RunError::Usage) when it is.
pub fn requires(flag: &str, is_given: bool, other: &str) -> Result<(), crate::RunError> {
    match is_given {
        true => Err(crate::RunError::Usage(format!("{flag} goes with {other}; give both, or neither"))),
        false => Ok(()),
    }
}

/// The process ends before its work: help, version, or a usage error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Text(String),
    Usage(String),
}

impl Exit {
    pub(crate) fn print(self, name: &str) -> ExitCode {
        match self {
            Exit::Text(text) => {
                // A reader that went away (`--help | head -1`) is no failure.
                let _ = page::write_stdout(&text);
                ExitCode::SUCCESS
            }
            Exit::Usage(message) => {
                crate::progress::say(&format!("{name}: error: {message}"));
                ExitCode::from(USAGE)
            }
        }
    }
}

/// Parses the process's arguments.
pub(crate) fn parse<A: Command>() -> Result<A, Exit> {
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => {
                return Err(Exit::Usage(format!("argument {word:?} is not UTF-8; spell it in UTF-8")));
            }
        }
    }
    parse_words(&words)
}

fn parse_words<A: Command>(words: &[String]) -> Result<A, Exit> {
    let words = normalize(words, &A::get_args_info(), A::NAME, A::VERSION)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = A::from_args(&[A::NAME], &words).map_err(|exit| match exit.status {
        Ok(()) => Exit::Text(exit.output),
        Err(()) => Exit::Usage(one_line(&exit.output, A::NAME)),
    })?;
    // Here and not where the result is written: by then the work is done, and its result would be lost.
    if args.common().format == Format::Prometheus && !A::SCHEDULED {
        let reason = "has no prometheus format; use --format human or json";
        return Err(Exit::Usage(format!("{} {reason}", A::NAME)));
    }
    if args.common().format == Format::Nagios && !A::PLUGIN {
        let reason = "has no nagios format; use --format human or json";
        return Err(Exit::Usage(format!("{} {reason}", A::NAME)));
    }
    Ok(args)
}

/// Splits `--key=value`, answers `--version`, turns `-h` into `--help`, and refuses what no flag is called.
fn normalize(
    words: &[String],
    info: &CommandInfoWithArgs,
    name: &str,
    version: &str,
) -> Result<Vec<String>, Exit> {
    let mut out = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" || !word.starts_with('-') || word == "-" {
            if info.positionals.is_empty() {
                return Err(Exit::Usage(format!("unexpected argument {word:?}; see {name} --help")));
            }
            out.push(word.clone());
            continue;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => split_short(word, info),
        };
        match flag {
            "-h" | "--help" => return Ok(vec!["--help".into()]),
            "-V" | "--version" => return Err(Exit::Text(format!("{name} {version}\n"))),
            _ => {}
        }
        let known = info.flags.iter().find(|known| known.long == flag || is_short(known, flag));
        // `db-generate --config` without a file asks for one; everywhere else it lacks its value.
        if flag == "--config"
            && value.is_none()
            && words.as_slice().first().is_none_or(|next| next.starts_with('-'))
        {
            let asks = info.flags.iter().map(|known| known.long).find(|long| *long == PROPOSE_CONFIG);
            if let Some(asks) = asks {
                out.push(asks.to_owned());
                continue;
            }
        }
        let Some(known) = known else {
            let near = nearest(flag, info.flags.iter().map(|known| known.long));
            let near = near.map_or_else(|| "; see".into(), |near| format!("; did you mean {near}? See"));
            return Err(Exit::Usage(format!("unknown flag {flag}{near} {name} --help")));
        };
        out.push(flag.to_owned());
        match (&known.kind, value) {
            (FlagInfoKind::Switch, Some(_)) => {
                return Err(Exit::Usage(format!(
                    "{flag} takes no value; leave out what stands behind the ="
                )));
            }
            (FlagInfoKind::Switch, None) => {}
            (FlagInfoKind::Option { .. }, Some(value)) => out.push(value.to_owned()),
            (FlagInfoKind::Option { .. }, None) => match words.next() {
                Some(value) => out.push(value.clone()),
                None => return Err(Exit::Usage(format!("{flag} needs a value; see {name} --help"))),
            },
        }
    }
    Ok(out)
}

fn is_short(known: &FlagInfo<'_>, flag: &str) -> bool {
    known.short.is_some_and(|short| flag.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])))
}

/// Splits `-nvalue`, which would be an unknown flag and repeated in an error, though the value may be a secret.
fn split_short<'a>(word: &'a str, info: &CommandInfoWithArgs) -> (&'a str, Option<&'a str>) {
    let end = word.char_indices().nth(2).map_or(word.len(), |(end, _)| end);
    let (flag, value) = word.split_at(end);
    let takes_value = |known: &&FlagInfo<'_>| matches!(known.kind, FlagInfoKind::Option { .. });
    let known = info.flags.iter().filter(takes_value).any(|known| is_short(known, flag));
    if known && !value.is_empty() { (flag, Some(value)) } else { (word, None) }
}

/// argh spreads an error over several lines; a log wants one.
fn one_line(text: &str, name: &str) -> String {
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = words.join(" ");
    let text =
        text.strip_suffix(&format!("Run {name} --help for more information.")).unwrap_or(&text).trim_end();
    let mut letters = text.chars();
    let lower = letters.next().map_or_else(String::new, |first| first.to_lowercase().collect());
    format!("{lower}{}; see {name} --help", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as cli;

    crate::args! {
        /// Test flags.
        struct Args {
            /// a name
            #[argh(option, short = 'n')]
            name: String,
            /// a tolerance
            #[argh(option)]
            tolerance: Option<String>,
            /// only look
            #[argh(switch)]
            dry_run: bool,
        }
    }

    fn parse(words: &[&str]) -> Result<Args, Exit> {
        parse_words(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn usage(words: &[&str]) -> String {
        match parse(words) {
            Err(Exit::Usage(message)) => message,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("parsed"),
        }
    }

    #[test]
    fn values_stand_behind_a_space_or_an_equals_sign() {
        let args = parse(&["--name=a=b c", "--tolerance", "-1", "--dry-run"]).ok().unwrap();
        assert_eq!(
            (args.name.as_str(), args.tolerance.as_deref(), args.dry_run),
            ("a=b c", Some("-1"), true)
        );
        assert_eq!(parse(&["-n", "--x"]).ok().unwrap().name, "--x");
        assert_eq!(parse(&["-nx=y"]).ok().unwrap().name, "x=y");
    }

    #[test]
    fn a_near_miss_is_named() {
        assert!(usage(&["--name", "x", "--tolerence", "1"]).contains("did you mean --tolerance?"));
        assert!(usage(&["--dry-run=yes"]).contains("takes no value"));
        assert!(usage(&["--name"]).contains("needs a value"));
        assert_eq!(usage(&["-zéx"]), format!("unknown flag -zéx; see {} --help", Args::NAME));
        assert!(usage(&["x"]).contains("unexpected argument"));
        assert!(usage(&[]).contains("--name"), "{}", usage(&[]));
        assert!(usage(&["--name", "x", "--format", "xml"]).contains("human, json, prometheus or nagios"));
    }

    crate::args! {
        /// Test flags of a scheduled command.
        scheduled struct Nightly {}
    }

    #[test]
    fn only_a_scheduled_command_has_a_prometheus_format() {
        assert!(usage(&["--name", "x", "--format", "prometheus"]).contains("has no prometheus format"));
        let words = ["--format", "prometheus"].map(str::to_owned);
        assert_eq!(parse_words::<Nightly>(&words).ok().unwrap().format, Format::Prometheus);
        let words = ["--format", "nagios"].map(str::to_owned);
        assert!(
            matches!(parse_words::<Nightly>(&words), Err(Exit::Usage(said)) if said.contains("has no nagios format"))
        );
    }

    crate::args! {
        /// Test flags of a command that writes a configuration file.
        struct Proposes {
            /// propose one
            #[argh(switch)]
            propose_config: bool,
            /// where to
            #[argh(option)]
            out: Option<String>,
        }
    }

    #[test]
    fn config_without_a_file_asks_for_one_where_there_is_that() {
        let parse = |words: &[&str]| {
            parse_words::<Proposes>(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).ok().unwrap()
        };
        assert!(parse(&["--config"]).propose_config);
        let args = parse(&["--config", "--out", "x"]);
        assert!(args.propose_config && args.out.as_deref() == Some("x") && args.config.is_none());
        let args = parse(&["--config", "here.toml", "--propose-config"]);
        assert!(args.propose_config && args.config.is_some());
        assert!(!parse(&["--config=--out"]).propose_config);
        assert!(usage(&["--name", "x", "--config"]).contains("--config needs a value"));
    }

    #[test]
    fn help_and_version_are_texts() {
        for words in [["-h"], ["--help"], ["--version"], ["-V"]] {
            assert!(matches!(parse(&words), Err(Exit::Text(_))), "{words:?}");
        }
    }
}
