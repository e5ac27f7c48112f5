//! SQL of a dump on its way to psql: without psql's own commands, and without production's tablespaces.
//!
//! psql is told to take no command of its own (`\restrict`) by a key that nobody else knows. The one command that dumps
//! need, a change to another database of the same server, is read here and given anew. Tablespaces are made inside of
//! the server's data folder, whatever place the dump names. Whatever is not recognised is passed on as it is: psql
//! refuses its commands, and the server can't write elsewhere.

use std::io::{self, BufRead, BufReader, Read};

/// A line that is longer is none of those that are changed.
const LINE_BYTES_MAX: usize = 1 << 16;

/// A dump's SQL, changed as it is read.
pub(in crate::backup) struct Restricted<R> {
    source: BufReader<R>,
    key: String,
    /// Whether the tablespaces are made by the dump itself.
    is_cluster: bool,
    /// What is still to be given out.
    out: Vec<u8>,
    given: usize,
    is_in_copy: bool,
    /// Whether nothing was made yet, so that what is dropped is what `--clean` expects to be there.
    is_cleaning: bool,
    /// Whether lines end as on Windows; none before the first.
    has_returns: Option<bool>,
    /// Whether the rest of a long line is passed on.
    is_inside_line: bool,
}

impl<R: Read> Restricted<R> {
    /// `is_cluster`: the dump is of a whole cluster.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(in crate::backup) fn new(source: R, is_cluster: bool) -> io::Result<Self> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let key = hex::encode(random);
        let out = format!("\\restrict {key}\n").into_bytes();
        Ok(Self {
            source: BufReader::with_capacity(1 << 17, source),
            key,
            is_cluster,
            out,
            given: 0,
            is_in_copy: false,
            is_cleaning: true,
            has_returns: None,
            is_inside_line: false,
        })
    }

    /// Reads on; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.out.clear();
        self.given = 0;
        let mut line = Vec::new();
        let read = (&mut self.source).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(false);
        }
        let is_whole = line.ends_with(b"\n");
        // They were added to a dump on its way, and would become part of functions.
        if *self.has_returns.get_or_insert(line.ends_with(b"\r\n")) && line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            line.push(b'\n');
        }
        let begins = !std::mem::replace(&mut self.is_inside_line, !is_whole);
        if begins && is_whole {
            self.line(&line)
        } else {
            self.out = line
        }
        Ok(true)
    }

    fn line(&mut self, line: &[u8]) {
        if self.is_in_copy {
            self.is_in_copy = line.trim_ascii_end() != b"\\.";
            self.out.extend_from_slice(line);
            return;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            self.out.extend_from_slice(line);
            return;
        };
        let text = text.trim_end();
        if text.starts_with("COPY ") && text.ends_with(" FROM stdin;") {
            self.is_in_copy = true;
        }
        let changed = self.changed(text);
        match changed {
            // As many lines as before where it can be, for the numbers in messages.
            Some(changed) => self.out.extend_from_slice(format!("{changed}\n").as_bytes()),
            None => self.out.extend_from_slice(line),
        }
    }

    /// What stands in the place of a line; none where it stays as it is.
    fn changed(&mut self, text: &str) -> Option<String> {
        if self.is_cleaning {
            let makes = ["CREATE ", "COPY ", "INSERT "].iter().any(|word| text.starts_with(word));
            let is_of_cluster = text.starts_with("CREATE DATABASE ") || text.starts_with("CREATE ROLE ");
            self.is_cleaning = !makes || is_of_cluster;
            if let Some(changed) = if_there(text) {
                return Some(changed);
            }
        }
        match text {
            // The dump's own key is of no use where another one holds.
            _ if text.starts_with("\\restrict ") || text.starts_with("\\unrestrict ") => Some(String::new()),
            _ if text.starts_with("\\connect ") => {
                self.is_cleaning = true;
                connect(text).map(|connect| format!("\\unrestrict {0}\n{connect}\n\\restrict {0}", self.key))
            }
            _ if text.starts_with("CREATE TABLESPACE ") => in_place(text),
            _ if !self.is_cluster && text.starts_with("SET default_tablespace = ") => {
                Some("SET default_tablespace = '';".to_owned())
            }
            _ if !self.is_cluster && text.starts_with("CREATE DATABASE ") => without_tablespace(text),
            _ if !self.is_cluster
                && text.starts_with("ALTER DATABASE ")
                && text.contains(" SET TABLESPACE ") =>
            {
                Some(String::new())
            }
            // Whoever granted a role must be able to; here all is granted by one superuser.
            _ if self.is_cluster && text.starts_with("GRANT ") && !text.contains(" ON ") => {
                text.split_once(" GRANTED BY ").map(|(grant, _)| format!("{grant};"))
            }
            _ => None,
        }
    }
}

impl<R: Read> Read for Restricted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.out.len() - self.given);
        buffer[..count].copy_from_slice(&self.out[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// A statement that drops something, as one that does so where it is there: what a dump with `--clean` drops first is not
/// in a new database.
fn if_there(text: &str) -> Option<String> {
    if text.contains(" IF EXISTS ") || !text.ends_with(';') {
        return None;
    }
    if let Some(rest) = text.strip_prefix("ALTER TABLE ") {
        let rest = rest.replacen(" DROP CONSTRAINT ", " DROP CONSTRAINT IF EXISTS ", 1);
        let drops = [" DROP CONSTRAINT ", " DROP DEFAULT;", " DETACH PARTITION "];
        let drops = drops.iter().any(|words| rest.contains(words));
        return drops.then(|| format!("ALTER TABLE IF EXISTS {rest}"));
    }
    let rest = text.strip_prefix("DROP ")?;
    // The kind of object is in capitals, and what pg_dump names in capitals is quoted.
    let mut kind = 0;
    for word in rest.split_inclusive(' ') {
        let letters = word.trim_end();
        if letters == "FOR" || !letters.bytes().all(|byte| byte.is_ascii_uppercase()) {
            break;
        }
        kind += word.len();
    }
    (kind > 0).then(|| format!("DROP {}IF EXISTS {}", &rest[..kind], &rest[kind..]))
}

/// A change to another database, and to nothing else: a name alone, or pg_dumpall's form for names that need quoting.
fn connect(text: &str) -> Option<&str> {
    let name = text.strip_prefix("\\connect ")?;
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain {
        return Some(text);
    }
    let value = name.strip_prefix("-reuse-previous=on \"dbname='")?.strip_suffix("'\"")?;
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let stands_alone = match letter {
            '\\' => letters.next().is_some_and(|next| next != '"'),
            '"' => letters.next() == Some('"'),
            letter => letter != '\'' && !letter.is_control(),
        };
        if !stands_alone {
            return None;
        }
    }
    Some(text)
}

/// `CREATE TABLESPACE ... LOCATION '...';` with an empty place: inside of the data folder.
fn in_place(text: &str) -> Option<String> {
    let (statement, place) = text.rsplit_once(" LOCATION ")?;
    let place = place.strip_suffix(';')?;
    let is_text = place.starts_with('\'') || place.starts_with("E'");
    (is_text && place.ends_with('\'') && !place.contains("; ")).then(|| format!("{statement} LOCATION '';"))
}

/// `CREATE DATABASE ... TABLESPACE = name` without its end.
fn without_tablespace(text: &str) -> Option<String> {
    let (statement, _) = text.rsplit_once(" TABLESPACE = ")?;
    Some(format!("{statement};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, is_cluster: bool) -> String {
        let mut restricted = Restricted::new(text.as_bytes(), is_cluster).unwrap();
        let mut out = String::new();
        restricted.read_to_string(&mut out).unwrap();
        let key = restricted.key;
        out.replace(&key, "KEY")
    }

    #[test]
    fn only_a_change_of_the_database_is_let_through() {
        let text = "\\restrict a\n\\connect stock\n\\connect -reuse-previous=on \"dbname='it\\'s \"\"it\"\"'\"\n\\unrestrict a\n";
        assert_eq!(
            changed(text, true),
            "\\restrict KEY\n\n\\unrestrict KEY\n\\connect stock\n\\restrict KEY\n\\unrestrict KEY\n\\connect -reuse-previous=on \"dbname='it\\'s \"\"it\"\"'\"\n\\restrict KEY\n\n"
        );
        for line in [
            "\\connect stock app /var/run/postgresql 5432\n",
            "\\connect \"host=/var/run dbname=x\"\n",
            "\\connect -reuse-previous=on \"dbname='x' host='/var/run'\"\n",
            "\\connect -reuse-previous=on \"dbname='x\\\\' host='/var/run'\"\n",
            "\\connect postgresql://elsewhere/x\n",
            "\\connect stock \\! id\n",
            "\\connect -reuse-previous=on \"dbname='x'\" \\! \"'\"\n",
            "\\! id\n",
        ] {
            assert_eq!(changed(line, true), format!("\\restrict KEY\n{line}"));
        }
    }

    #[test]
    fn what_is_dropped_first_need_not_be_there() {
        for (line, expected) in [
            ("DROP TABLE public.items;", "DROP TABLE IF EXISTS public.items;"),
            ("DROP USER MAPPING FOR app SERVER s;", "DROP USER MAPPING IF EXISTS FOR app SERVER s;"),
            ("DROP CAST (text AS public.x);", "DROP CAST IF EXISTS (text AS public.x);"),
            ("DROP SCHEMA IF EXISTS a;", "DROP SCHEMA IF EXISTS a;"),
            (
                "ALTER TABLE ONLY public.a DROP CONSTRAINT b;",
                "ALTER TABLE IF EXISTS ONLY public.a DROP CONSTRAINT IF EXISTS b;",
            ),
            (
                "ALTER TABLE a ALTER COLUMN b DROP DEFAULT;",
                "ALTER TABLE IF EXISTS a ALTER COLUMN b DROP DEFAULT;",
            ),
            ("ALTER TABLE a OWNER TO b;", "ALTER TABLE a OWNER TO b;"),
        ] {
            assert_eq!(changed(&format!("{line}\n"), false), format!("\\restrict KEY\n{expected}\n"));
            // A function's body is left as it is.
            let later = format!("CREATE FUNCTION f() AS $$\n{line}\n$$;\n");
            assert_eq!(changed(&later, false), format!("\\restrict KEY\n{later}"));
        }
    }

    #[test]
    fn lines_from_windows_and_who_granted_a_role_are_left_out() {
        let text = "GRANT a TO b WITH INHERIT TRUE GRANTED BY c;\r\nSELECT 1;\r\n";
        assert_eq!(changed(text, true), "\\restrict KEY\nGRANT a TO b WITH INHERIT TRUE;\nSELECT 1;\n");
        assert_eq!(
            changed("SELECT 1;\nSELECT '\r\n';\n", true),
            "\\restrict KEY\nSELECT 1;\nSELECT '\r\n';\n"
        );
    }

    #[test]
    fn tablespaces_are_made_in_place_and_rows_are_left_alone() {
        let text = "CREATE TABLESPACE \"a b\" OWNER app LOCATION '/it''s';\nCOPY t (a) FROM stdin;\n\\connect x\nSET default_tablespace = x;\n\\.\nSET default_tablespace = x;\n";
        let out = changed(text, false);
        assert!(out.contains("CREATE TABLESPACE \"a b\" OWNER app LOCATION '';\n"), "{out}");
        assert!(
            out.contains("\n\\connect x\nSET default_tablespace = x;\n\\.\nSET default_tablespace = '';\n")
        );
        assert!(changed(text, true).ends_with("\\.\nSET default_tablespace = x;\n"));
        let long = format!("INSERT INTO t VALUES ('{}');\n", "\\connect x".repeat(10_000));
        assert_eq!(changed(&long, true), format!("\\restrict KEY\n{long}"));
    }
}
