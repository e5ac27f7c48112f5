//! What a running binary has at hand: configuration, connection, progress, output.

mod deliver;
mod migrate;

use std::{
    io::{ErrorKind, IsTerminal as _, Write},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use stockfoil_core::{
    alert,
    config::{self, Config},
    db::Db,
    history,
    migration::{
        finding::Finding,
        versioned::{self, UNTOLD_FOLDER},
    },
    org_id::OrgId,
    progress::Progress,
    report::{Outcome, PluginState},
    settings::ConfigError,
    tenancy::{
        data::{self, Assignment, Undo},
        life::delete::{self, Deletion},
        merge::{self, Merge},
        named::{self, OrgName},
    },
};

use crate::{
    Common, Format, Print, RunError, plugin,
    progress::{self, Talk},
    prometheus, stdin,
};
use deliver::{Writing, pretty, replace_file, to_stdout, write_json, written};

/// How long a command waits for its connections to end.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// What a running binary has at hand.
#[derive(Debug)]
pub struct Context {
    name: &'static str,
    common: Common,
    config: Config,
    talk: Talk,
    db: OnceLock<Arc<Db>>,
    pings: AtomicBool,
    plugin_state: OnceLock<PluginState>,
    emitted: AtomicBool,
}

impl Context {
    pub(crate) fn new(name: &'static str, common: Common) -> Result<Self, ConfigError> {
        // Here and not where the result is written: by then the work is done, and its result would be lost.
        require_folder("--output", common.output.as_deref())?;
        let config = Config::load(common.config.as_deref(), config::read_environment()?)?;
        let talk = Talk::new(common.quiet);
        Ok(Self {
            name,
            common,
            config,
            talk,
            db: OnceLock::new(),
            pings: AtomicBool::new(false),
            plugin_state: OnceLock::new(),
            emitted: AtomicBool::new(false),
        })
    }

    /// The checked configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes this run ping its healthcheck, where one is configured, however it ends. Called before the work begins by
    /// what a schedule runs, and not by what a person only tries.
    pub fn ping_when_over(&self) {
        self.pings.store(true, Ordering::Relaxed);
    }

    /// Pings the healthcheck, where one is configured and the run is one that pings.
    pub(crate) async fn ping(&self, well: bool) {
        if self.pings.load(Ordering::Relaxed)
            && let Err(error) = alert::ping(&self.config.alerts, self.name, well).await
        {
            progress::say(&format!("{}: warning: {error}", self.name));
        }
    }

    /// The folder with migrations beside the embedded ones: the one asked for by `--folder`, else by `[migrations]
    /// folder`. One that only lies there is mentioned.
    pub fn migrations_folder<'a>(&'a self, asked: Option<&'a Path>) -> Option<&'a Path> {
        let folder = asked.or(self.config.migrations.folder.as_deref());
        if folder.is_none() && versioned::has_untold_folder() {
            self.say(format!(
                "{}: the folder ./{UNTOLD_FOLDER} is not looked at; --folder {UNTOLD_FOLDER} or [migrations] folder in stockfoil.toml asks for it",
                self.name
            ));
        }
        folder
    }

    /// Where an operation reports its progress.
    pub fn progress(&self) -> &dyn Progress {
        &self.talk
    }

    /// Connects, once, and says on standard error where.
    ///
    /// # Errors
    /// When no database is configured, it can't be reached, or its server is too old.
    pub async fn connect(&self) -> Result<Arc<Db>, RunError> {
        self.connect_to(None).await
    }

    /// The same to the database `name` of that server, where one is given.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect).
    pub async fn connect_to(&self, name: Option<&str>) -> Result<Arc<Db>, RunError> {
        if let Some(db) = self.db.get() {
            return Ok(Arc::clone(db));
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
        // Unique, so that an interrupted run finds exactly its own sessions.
        let application = format!("{} {}-{started:08x}", self.name, std::process::id());
        let target = self.config.connect_options()?;
        let target = name.map_or(target.clone(), |name| target.database(name));
        let target = history::signed(target, self.common.reason.as_ref());
        let db = Arc::new(Db::connect(target, &application).await?);
        self.say(format!("{}: {}", self.name, db.facts()));
        Ok(Arc::clone(self.db.get_or_init(|| db)))
    }

    /// Connects where a database is configured and answers, for commands that work without one; says why not.
    pub async fn try_connect(&self) -> Option<Arc<Db>> {
        if matches!(self.config.connect_options(), Err(ConfigError::NoDatabase)) {
            return None;
        }
        self.connect()
            .await
            .inspect_err(|error| self.say(format!("{}: without a database: {error}", self.name)))
            .ok()
    }

    /// Writes the report in the format asked for, and passes on its outcome.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn emit<R: Print>(&self, report: &R) -> Result<Outcome, RunError> {
        self.talk.finish();
        let text = match self.common.format {
            Format::Human => {
                let is_full = self.common.verbose || self.common.output.is_some();
                return self.emitted(report, &|out| report.write(is_full, out));
            }
            Format::Json => return self.emitted(report, &|out| write_json(report, out)),
            Format::Prometheus => {
                let written = self.common.output.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
                prometheus::text(&report.metrics(), &report.kept_sources(), &written.unwrap_or_default())
            }
            Format::Nagios => {
                let plugin = report
                    .plugin()
                    .ok_or_else(|| RunError::Usage("it is no plugin; use --format json".into()))?;
                let _ = self.plugin_state.set(plugin.state);
                plugin::text(&plugin)
            }
        };
        self.emitted(report, &|out| out.write_all(text.as_bytes()))
    }

    fn emitted<R: Print>(&self, report: &R, writing: &Writing<'_>) -> Result<Outcome, RunError> {
        self.deliver(writing, report.shows_keys())?;
        self.emitted.store(true, Ordering::Relaxed);
        Ok(report.outcome())
    }

    /// Writes why there is no report, for who asked for JSON; a report that was written stands.
    pub(crate) fn emit_failure(&self, failure: &Ended<'_>) {
        if self.common.format == Format::Json && !self.emitted.load(Ordering::Relaxed) {
            // It is said on standard error as well, which is all that is left where this can't be written.
            let _ = failure.json().and_then(|text| self.write(&text));
        }
    }

    /// The state of the report that was emitted as a plugin's; none when there was none.
    pub(crate) fn plugin_state(&self) -> Option<PluginState> {
        self.plugin_state.get().copied()
    }

    /// Writes data: to the `--output` file, beside it and renamed, else to standard output.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, text: &str) -> Result<(), RunError> {
        self.deliver(&|out| out.write_all(text.as_bytes()), false)
    }

    /// Writes data, of which nobody may miss the end where it shows keys.
    fn deliver(&self, writing: &Writing<'_>, shows_keys: bool) -> Result<(), RunError> {
        let Some(path) = &self.common.output else {
            return match to_stdout(writing) {
                Err(error) if shows_keys && error.kind() == ErrorKind::BrokenPipe => {
                    Err(RunError::KeysUnread)
                }
                result => written("standard output".to_owned(), result),
            };
        };
        self.write_file(path, writing)
    }

    /// Writes to the file `path`: beside it, then renamed.
    fn write_file(&self, path: &Path, writing: &Writing<'_>) -> Result<(), RunError> {
        written(path.display().to_string(), replace_file(path, writing, self.common.format))
    }

    /// Whether `--format human` (the default) was asked for.
    pub fn is_human(&self) -> bool {
        self.common.format == Format::Human
    }

    /// Whether `--format nagios` was asked for.
    pub(crate) fn is_plugin(&self) -> bool {
        self.common.format == Format::Nagios
    }

    /// Talk on standard error, unless `--quiet`.
    pub fn say(&self, line: impl AsRef<str>) {
        self.talk.note(line.as_ref());
    }

    /// Warnings on standard error, unless `--quiet`.
    pub fn warn<'a>(&self, warnings: impl IntoIterator<Item = &'a String>) {
        for warning in warnings {
            self.say(format!("{}: warning: {warning}", self.name));
        }
    }

    /// Whether a person can be asked.
    pub fn is_interactive(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks the person at the terminal; anything but `y` or `yes` is no.
    ///
    /// # Errors
    /// [`RunError::Declined`] for a no, [`RunError::Usage`] where nobody can be asked.
    pub async fn confirm(&self, question: &str) -> Result<(), RunError> {
        if !self.is_interactive() {
            return Err(RunError::Usage(format!("{question}: nobody to ask; give --yes to go on")));
        }
        let _ = write!(anstream::stderr().lock(), "{question} [y/N] ");
        match stdin::line().await.map(|answer| answer.trim().to_lowercase()).as_deref() {
            Ok("y" | "yes") => Ok(()),
            _ => Err(RunError::Declined),
        }
    }

    /// Asks where there is a question.
    ///
    /// # Errors
    /// As [`confirm`](Self::confirm).
    pub async fn confirm_if(&self, question: Option<String>) -> Result<(), RunError> {
        match question {
            Some(question) => self.confirm(&question).await,
            None => Ok(()),
        }
    }

    /// Gives rows to an organization, asking first unless `yes`, and emits the report.
    ///
    /// # Errors
    /// As [`data::assign`], and as [`confirm`](Self::confirm).
    pub async fn assign(&self, db: &Db, assignment: &Assignment, yes: bool) -> Result<Outcome, RunError> {
        assignment.check()?;
        let mapping = &self.config.mapping;
        if !assignment.dry_run && !yes {
            let plan = Assignment { dry_run: true, ..assignment.clone() };
            self.confirm_if(data::assign(db, mapping, &plan, &self.talk).await?.question()).await?;
        }
        let report = data::assign(db, mapping, assignment, &self.talk).await?;
        self.warn(report.stopped.iter().chain(&report.warnings));
        self.emit(&report)
    }

    /// Makes one organization a part of another, asking first unless `yes`, and emits the report.
    ///
    /// # Errors
    /// As [`merge::merge`], and as [`confirm`](Self::confirm).
    pub async fn merge_organizations(&self, db: &Db, merge: &Merge, yes: bool) -> Result<Outcome, RunError> {
        let mapping = &self.config.mapping;
        if !merge.dry_run && !yes {
            let plan = Merge { dry_run: true, ..merge.clone() };
            self.confirm_if(merge::merge(db, mapping, &plan, &self.talk).await?.question()).await?;
        }
        let report = merge::merge(db, mapping, merge, &self.talk).await?;
        self.warn(report.stopped.iter().chain(&report.warnings));
        self.emit(&report)
    }

    /// The ids of the organizations that a flag's values name.
    ///
    /// # Errors
    /// As [`named::resolve`].
    pub async fn organizations(&self, db: &Db, names: &[OrgName]) -> Result<Vec<OrgId>, RunError> {
        Ok(named::resolve(db, &self.config.mapping, names).await?)
    }

    /// The id of the organization that a flag names.
    ///
    /// # Errors
    /// As [`named::resolve_one`].
    pub async fn organization(&self, db: &Db, name: &OrgName) -> Result<OrgId, RunError> {
        Ok(named::resolve_one(db, &self.config.mapping, name).await?)
    }

    /// Puts back what run `run` of `command` gave to another organization, asking first unless `yes`, and emits the
    /// report.
    ///
    /// # Errors
    /// As [`data::undo`], and as [`confirm`](Self::confirm).
    pub async fn undo(
        &self,
        command: &'static str,
        run: i64,
        expect: Option<u64>,
        dry_run: bool,
        yes: bool,
    ) -> Result<Outcome, RunError> {
        let mapping = &self.config.mapping;
        let db = self.connect().await?;
        if !dry_run && !yes {
            let plan = Undo { command, run, expect, dry_run: true };
            self.confirm_if(data::undo(&db, mapping, &plan, &self.talk).await?.question()).await?;
        }
        let request = Undo { command, run, expect, dry_run };
        let report = match command {
            merge::COMMAND => merge::undo(&db, mapping, &request, &self.talk).await?,
            _ => data::undo(&db, mapping, &request, &self.talk).await?,
        };
        self.warn(&report.stopped);
        self.emit(&report)
    }

    /// Refuses a file that `flag` names in a folder that is not there, before the work begins.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn require_folder(&self, flag: &'static str, path: Option<&Path>) -> Result<(), RunError> {
        Ok(require_folder(flag, path)?)
    }

    /// Deactivates or deletes an organization, asking before rows are deleted unless `yes`; emits the report, and writes that
    /// of one that is gone to `certificate` too.
    ///
    /// # Errors
    /// As [`delete::delete`], and as [`confirm`](Self::confirm).
    pub async fn delete_organization(
        &self,
        db: &Db,
        deletion: &Deletion,
        yes: bool,
        certificate: Option<&Path>,
    ) -> Result<Outcome, RunError> {
        let mapping = &self.config.mapping;
        if !deletion.dry_run && !yes {
            let plan = Deletion { dry_run: true, ..deletion.clone() };
            self.confirm_if(delete::delete(db, mapping, &plan, &self.talk).await?.question()).await?;
        }
        let report = delete::delete(db, mapping, deletion, &self.talk).await?;
        if let Some(path) = certificate.filter(|_| report.state == delete::State::Deleted) {
            let writing = |out: &mut dyn Write| write_json(&report, out);
            written(path.display().to_string(), replace_file(path, &writing, Format::Json))
                .inspect_err(|_| {
                    self.say("the organization is deleted; its certificate is the summary of the run in stockfoil.run");
                })?;
        }
        self.emit(&report)
    }

    pub(crate) fn finish_progress(&self) {
        self.talk.finish();
    }

    pub(crate) async fn end_sessions(&self) {
        if let Some(db) = self.db.get()
            && let Err(error) = db.end_sessions().await
        {
            progress::say(&format!("{}: {error}", self.name));
        }
    }

    /// Ends the idle connections in order: the server would write of each that it was lost.
    pub(crate) async fn disconnect(&self) {
        if let Some(db) = self.db.get() {
            // No command's end depends on it.
            let _ = tokio::time::timeout(GOODBYE_MAX, db.close()).await;
        }
    }

    pub(crate) fn interrupted_message(&self) -> String {
        let position = self.talk.position();
        let position = if position.is_empty() {
            "before the work began".to_owned()
        } else {
            format!("during {position}")
        };
        format!(
            "interrupted {position}; the statement under way was rolled back, run the same command again to go on"
        )
    }
}

/// How a run ended that has no report.
#[derive(Debug, Serialize)]
pub(crate) struct Ended<'a> {
    schema: &'static str,
    outcome: &'static str,
    command: &'a str,
    status: u8,
    error: &'a str,
    /// What stood in the way, one by one, where that is known.
    in_the_way: &'a [Finding],
}

impl<'a> Ended<'a> {
    pub(crate) fn new(command: &'a str, status: u8, error: &'a str, in_the_way: &'a [Finding]) -> Self {
        Self { schema: "stockfoil.error/1", outcome: "error", command, status, error, in_the_way }
    }

    pub(crate) fn json(&self) -> Result<String, RunError> {
        pretty(self)
    }
}

/// Refuses a path in a folder that is not there.
fn require_folder(flag: &'static str, path: Option<&Path>) -> Result<(), ConfigError> {
    match path.map(folder).filter(|folder| !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => {
            let reason = format!("there is no folder {}; create it, or give another path", folder.display());
            Err(ConfigError::Value { name: flag.into(), reason })
        }
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
