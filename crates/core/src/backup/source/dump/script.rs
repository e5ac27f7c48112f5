//! Reads SQL as pg_dump and pg_restore write it, to its end: which tables it defines, whose data it holds, how many
//! rows, and whether it is whole.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use chrono::NaiveDateTime;

use super::{
    objects::{note, note_shared},
    parents::{identifier, parents},
    statements::{Foreign, Statements, is_of_program},
    tally::{Tally, Watched},
};
use crate::backup::reading::{Contents, Objects, Owners};

/// A line outside of data is remembered up to this length; longer ones are INSERT statements.
const LINE_BYTES_MAX: usize = 1 << 16;

/// What a script was found to hold.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) contents: Contents,
    /// Whether the last line that pg_dump or pg_dumpall writes was found.
    pub(super) is_complete: bool,
    /// The table in whose rows the script ends, with the rows until there.
    pub(super) open_copy: Option<(String, u64)>,
    /// The roles that its statements name; some may be none.
    pub(super) roles: BTreeSet<String>,
    /// Whether it is of a whole cluster.
    pub(super) is_cluster: bool,
    /// What it makes beside tables.
    pub(super) objects: Objects,
    /// Whose rows it holds, where that was asked.
    pub(super) owners: Owners,
    /// Whether row-level security may have kept rows out of it.
    pub(super) is_filtered: bool,
    /// The first thing in it that is no SQL.
    pub(super) foreign: Option<Foreign>,
}

/// The first line that is written of a database, of a whole cluster, and the last ones.
pub(super) const DUMP_BEGIN: &str = "-- PostgreSQL database dump";
pub(super) const CLUSTER_BEGIN: &str = "-- PostgreSQL database cluster dump";
pub(super) const DUMP_END: &str = "-- PostgreSQL database dump complete";
pub(super) const CLUSTER_END: &str = "-- PostgreSQL database cluster dump complete";

/// What a dump that `--enable-row-security` was given for says before its first entry.
const FILTERED: &str = "SET row_security = on;";

/// Whether the script that begins with `head` was made under row-level security.
pub(super) fn is_filtered_at(head: &[u8]) -> bool {
    let finder = |text: &str| memchr::memmem::find(head, text.as_bytes());
    let begins = [DUMP_BEGIN, CLUSTER_BEGIN].iter().filter_map(|line| finder(line)).min();
    let says = finder(FILTERED);
    let first = finder("\n-- Name: ").unwrap_or(head.len());
    begins.zip(says).is_some_and(|(begins, says)| begins < says && says < first)
}

/// When the script that begins with `head` was begun, as `--verbose` writes it (`-- Started on 2026-01-31 02:00:00 UTC`), and
/// whether that is in UTC.
pub(super) fn started(head: &[u8]) -> Option<(NaiveDateTime, bool)> {
    const WORDS: &[u8] = b"\n-- Started on ";
    let rest = &head[memchr::memmem::find(head, WORDS)? + WORDS.len()..];
    let line = String::from_utf8_lossy(rest.split(|byte| *byte == b'\n').next()?).into_owned();
    let (time, zone) = line.trim().rsplit_once(' ')?;
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()?;
    Some((time, matches!(zone, "UTC" | "GMT" | "Z")))
}

/// Whether the script that begins with `head` is of a whole cluster, or of what its databases share.
pub(super) fn begins_with_cluster(head: &[u8]) -> bool {
    memchr::memmem::find(head, CLUSTER_BEGIN.as_bytes()).is_some()
}

/// Whether a cluster's script, all of which is `text`, holds no database.
pub(super) fn is_globals(text: &[u8]) -> bool {
    let has = |words: &str| memchr::memmem::find(text, words.as_bytes()).is_some();
    has(CLUSTER_END) && !has(DUMP_BEGIN)
}

/// The versions of the server and of the pg_dump that the script which begins with `head` is of.
pub(super) fn versions(head: &[u8]) -> (Option<String>, Option<String>) {
    let behind = |words: &str| {
        let at = memchr::memmem::find(head, words.as_bytes())? + words.len();
        let rest = &head[at..];
        let end = memchr::memchr2(b'\r', b'\n', rest)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    (behind("\n-- Dumped from database version "), behind("\n-- Dumped by pg_dump version "))
}

/// Reads `source` to its end.
///
/// # Errors
/// What `source` gives.
pub(super) fn read_script(source: impl Read) -> io::Result<Script> {
    Reader::default().read(source)
}

/// The same, and whose the rows of the `watched` tables are.
///
/// # Errors
/// What `source` gives.
pub(super) fn read_script_of(source: impl Read, watched: Watched) -> io::Result<Script> {
    Reader { tally: Tally::new(watched), ..Reader::default() }.read(source)
}
/// The rows of a file that holds one table's COPY data, or none where the line that ends it (`\.`) is missing; `tally`
/// counts whose they are.
///
/// # Errors
/// What `source` gives.
pub(super) fn read_copy_data(mut source: impl Read, tally: &mut Tally) -> io::Result<Option<u64>> {
    let mut reader = Reader { copy: Some(Key::default()), tally: std::mem::take(tally), ..Reader::default() };
    let mut buffer = vec![0; 1 << 17];
    loop {
        match source.read(&mut buffer)? {
            0 => {
                reader.end_line();
                reader.tally.end();
                *tally = reader.tally;
                return Ok(reader.copy.is_none().then_some(reader.rows));
            }
            read => reader.feed(&buffer[..read]),
        }
    }
}

/// Reads `source` to its end: whether there is anything but empty lines in it.
///
/// # Errors
/// What `source` gives.
pub(super) fn has_text(mut source: impl Read) -> io::Result<bool> {
    let mut has_text = false;
    let mut buffer = vec![0; 1 << 17];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(has_text),
            read => has_text |= buffer[..read].iter().any(|byte| !byte.is_ascii_whitespace()),
        }
    }
}

type Key = (String, String);

#[derive(Debug, Default)]
struct Reader {
    script: Script,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    statements: Statements,
    /// The entry whose comment was read last.
    entry: Option<(Key, EntryKind)>,
    /// The table whose rows are being read.
    copy: Option<Key>,
    rows: u64,
    /// How many tabs a row of it has.
    tabs: usize,
    is_cluster: bool,
    is_begun: bool,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Table,
    /// What makes a table a partition.
    Attach,
    Data,
    Other,
}

impl Reader {
    fn read(mut self, mut source: impl Read) -> io::Result<Script> {
        let mut buffer = vec![0; 1 << 17];
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(self.finish()),
                read => self.feed(&buffer[..read]),
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.extend_line(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.extend_line(rest);
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        // Of most rows only `\.` matters, and whether it is a program's words.
        let first = self.line.first().or(bytes.first());
        let is_plain_row = self.copy.is_some() && first != Some(&b'p') && !self.tally.is_on();
        let limit = if is_plain_row { 4 } else { LINE_BYTES_MAX };
        if self.copy.is_none() {
            self.statements.feed(bytes);
        }
        let room = limit.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        match &self.copy {
            None => {
                self.statements.end_line(&line);
                self.statement_line(&String::from_utf8_lossy(&line));
            }
            Some(key) if matches!(&*line, b"\\." | b"\\.\r") => {
                let table = self.script.contents.entry(key.clone()).or_default();
                // A cluster dump may hold the same name in several databases.
                table.rows = Some(table.rows.unwrap_or(0) + self.rows);
                table.has_rows |= self.rows > 0;
                self.copy = None;
                self.tally.end();
                self.statements.pass_line();
            }
            Some(_) => {
                self.rows += 1;
                self.tally.row(&line);
                self.statements.pass_line();
                if is_of_program(&line) && line.iter().filter(|byte| **byte == b'\t').count() != self.tabs {
                    self.statements.foreign_row(&line);
                }
            }
        }
        // Its room is used again.
        self.line = line;
        self.line.clear();
    }

    fn statement_line(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        match line {
            DUMP_BEGIN | CLUSTER_BEGIN => {
                self.is_begun = true;
                self.is_cluster |= line == CLUSTER_BEGIN;
                self.script.is_complete = false;
                self.entry = None;
            }
            FILTERED if self.is_begun && self.entry.is_none() => self.script.is_filtered = true,
            DUMP_END => self.script.is_complete = !self.is_cluster,
            CLUSTER_END => self.script.is_complete = true,
            _ => self.script.roles.extend(roles_in(line)),
        }
        if self.is_cluster {
            note_shared(&mut self.script.objects, line);
        }
        // A name in it may go over several lines.
        let is_copy = line.ends_with(" FROM stdin;") && self.statements.has_ended_copy();
        if let Some((key, kind, called)) = entry_comment(line) {
            note(&mut self.script.objects, called, &key);
            if matches!(kind, EntryKind::Table | EntryKind::Data) {
                let table = self.script.contents.entry(key.clone()).or_default();
                match kind {
                    EntryKind::Table => table.is_defined = true,
                    _ => table.has_data = true,
                }
            }
            self.entry = Some((key, kind));
        } else if let Some((key, kind)) = &self.entry {
            match kind {
                EntryKind::Table if line.starts_with("PARTITION BY ") => {
                    self.script.contents.entry(key.clone()).or_default().is_partitioned = true;
                }
                EntryKind::Data if is_copy => {
                    self.rows = 0;
                    self.tabs = tabs(line);
                    self.tally.begin(key, &self.script.contents, line);
                    self.copy = Some(key.clone());
                }
                EntryKind::Data if line.starts_with("INSERT INTO ") => {
                    self.tally.inserted(key, &self.script.contents);
                    self.script.contents.entry(key.clone()).or_default().has_rows = true;
                }
                EntryKind::Table | EntryKind::Attach => {
                    for (child, parent) in parents(line, &key.0) {
                        let child = child.unwrap_or_else(|| key.clone());
                        self.script.contents.entry(child).or_default().parents.insert(parent);
                    }
                }
                _ => {}
            }
        }
        if is_copy && self.copy.is_none() {
            // Rows of which nothing says where they belong.
            self.statements.stop();
        }
    }

    fn finish(mut self) -> Script {
        if !self.line.is_empty() {
            self.end_line();
        }
        if let Some((schema, name)) = self.copy {
            self.script.open_copy = Some((format!("{schema}.{name}"), self.rows));
        }
        self.script.foreign = self.statements.foreign.take();
        self.script.is_cluster = self.is_cluster;
        self.script.owners = self.tally.finish();
        self.script.is_complete &= self.is_begun && self.script.open_copy.is_none();
        self.script
    }
}

/// How many tabs a row of this COPY has: one less than its columns.
fn tabs(copy: &str) -> usize {
    let columns = copy.rsplit_once(" (").map_or(copy, |(_, columns)| columns);
    let mut is_quoted = false;
    let commas = columns.chars().filter(|c| {
        is_quoted ^= *c == '"';
        *c == ',' && !is_quoted
    });
    commas.count()
}

/// Reads `-- Data for Name: items; Type: TABLE DATA; Schema: public; Owner: app`: also how pg_dump calls the kind.
fn entry_comment(line: &str) -> Option<(Key, EntryKind, &str)> {
    let (is_data, rest) = match line.strip_prefix("-- Data for Name: ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("-- Name: ")?),
    };
    // From behind: a name may hold anything.
    let (rest, _owner) = rest.rsplit_once("; Owner: ")?;
    let (rest, schema) = rest.rsplit_once("; Schema: ")?;
    let (name, called) = rest.rsplit_once("; Type: ")?;
    let kind = match (is_data, called) {
        (true, "TABLE DATA") => EntryKind::Data,
        (false, "TABLE") => EntryKind::Table,
        (false, "TABLE ATTACH") => EntryKind::Attach,
        _ => EntryKind::Other,
    };
    Some(((schema.to_owned(), name.to_owned()), kind, called))
}

/// The roles that a line of a dump's SQL names: owners, those who are granted something, those of policies. A name of
/// something else may be among them.
fn roles_in(line: &str) -> Vec<String> {
    const BEGINNINGS: [&str; 5] =
        ["ALTER ", "GRANT ", "REVOKE ", "CREATE POLICY ", "SET SESSION AUTHORIZATION "];
    const BEFORE: [&str; 4] = [" TO ", " FROM ", " FOR ROLE ", " AUTHORIZATION "];
    const NO_ROLES: [&str; 4] = ["public", "current_user", "session_user", "current_role"];
    if !BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
        return Vec::new();
    }
    let mut roles = Vec::new();
    for keyword in BEFORE {
        for (at, _) in line.match_indices(keyword) {
            let mut rest = &line[at + keyword.len()..];
            while let Some((role, behind)) = identifier(rest) {
                if !NO_ROLES.contains(&role.to_lowercase().as_str()) {
                    roles.push(role);
                }
                match behind.strip_prefix(", ") {
                    Some(next) => rest = next,
                    None => break,
                }
            }
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::reading::TableContents;

    const WHOLE: &str = "--
-- PostgreSQL database dump
--

\\restrict abc

--
-- Name: items; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.items (
    id text
);

--
-- Name: moves; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.moves (
    id text
)
PARTITION BY RANGE (id);

--
-- Data for Name: items; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.items (id) FROM stdin;
-- PostgreSQL database dump complete

\\\\.
\\.


--
-- PostgreSQL database dump complete
--

\\unrestrict abc
";

    fn table(is_partitioned: bool, rows: Option<u64>) -> TableContents {
        TableContents {
            is_defined: true,
            is_partitioned,
            has_data: rows.is_some(),
            rows,
            has_rows: rows > Some(0),
            ..TableContents::default()
        }
    }

    #[test]
    fn a_whole_script_is_read() {
        let script = read_script(WHOLE.as_bytes()).unwrap();
        assert!(script.is_complete && script.open_copy.is_none());
        let key = |name: &str| ("public".to_owned(), name.to_owned());
        assert_eq!(
            script.contents,
            Contents::from([(key("items"), table(false, Some(3))), (key("moves"), table(true, None))])
        );
    }

    #[test]
    fn a_script_that_is_cut_at_any_line_is_not_complete() {
        let lines: Vec<&str> = WHOLE.split_inclusive('\n').collect();
        let end = lines.iter().rposition(|line| line.trim() == DUMP_END).unwrap();
        for cut in 0..end {
            let script = read_script(lines[..cut].concat().as_bytes()).unwrap();
            assert!(!script.is_complete, "cut before line {cut}");
        }
        let inside = lines.iter().position(|line| *line == "\\\\.\n").unwrap();
        let script = read_script(lines[..inside].concat().as_bytes()).unwrap();
        assert_eq!(script.open_copy, Some(("public.items".into(), 2)));
    }

    #[test]
    fn roles_are_read_from_statements() {
        for (line, roles) in [
            ("ALTER TABLE public.items OWNER TO app;", &["app"][..]),
            ("GRANT SELECT ON TABLE public.items TO \"a \"\"b\"\", x\" WITH GRANT OPTION;", &["a \"b\", x"]),
            ("REVOKE ALL ON SCHEMA public FROM PUBLIC;", &[]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO reader;",
                &["reader", "app"],
            ),
            ("CREATE POLICY p ON public.items FOR SELECT TO app, reader USING (true);", &["app", "reader"]),
            ("INSERT INTO t VALUES ('GRANT x TO y');", &[]),
        ] {
            assert_eq!(roles_in(line), roles, "{line}");
        }
    }

    #[test]
    fn a_cluster_dump_needs_its_own_end() {
        let cluster = format!("{CLUSTER_BEGIN}\n{WHOLE}");
        assert!(!read_script(cluster.as_bytes()).unwrap().is_complete);
        assert!(read_script(format!("{cluster}{CLUSTER_END}\n").as_bytes()).unwrap().is_complete);
    }

    #[test]
    fn the_data_of_a_table_ends_with_its_mark() {
        let read = |bytes: &[u8]| read_copy_data(bytes, &mut Tally::default());
        assert_eq!(read(&b"1\n2\n\\.\n\n\n"[..]).unwrap(), Some(2));
        assert_eq!(read(&b"\\."[..]).unwrap(), Some(0));
        assert_eq!(read(&b"1\n2\n"[..]).unwrap(), None);
        assert_eq!(read(&b""[..]).unwrap(), None);
    }
}
