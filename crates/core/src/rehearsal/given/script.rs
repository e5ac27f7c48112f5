//! What pg_dump prints of a schema, run object by object in a session.
//!
//! By the session and not by psql, which would take a line of it for an order of its own, and in this place nothing would
//! keep what that starts inside of anything.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    db::{all_words, sqlstate},
    sql::{Definition, render},
};

/// How pg_dump begins what it prints of an object.
const HEAD: &str = "\n--\n-- Name: ";

/// What a copy can go without, where the role may not make it or a role is not there.
const DISPENSABLE: [&str; 9] = [
    "ACL",
    "COMMENT",
    "DEFAULT ACL",
    "EVENT TRIGGER",
    "POLICY",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SECURITY LABEL",
];

/// By what code in the copy would log in to other servers, as whoever production knows there.
const LOGIN: &str = "USER MAPPING";

/// What was left out, by its kind and why: how many, and the first of them.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<(String, String), (usize, String)>);

impl LeftOut {
    fn add(&mut self, kind: &str, name: &str, why: &str) {
        let found = self.0.entry((kind.to_lowercase(), why.to_owned()));
        found.or_insert_with(|| (0, name.to_owned())).0 += 1;
    }

    /// Each kind in a line.
    pub(super) fn lines(self) -> Vec<String> {
        let line = |((kind, why), (count, name)): ((String, String), (usize, String))| {
            // Of some, the name says the kind.
            let name = name.strip_prefix(&format!("{} ", kind.to_uppercase())).unwrap_or(&name);
            match count {
                1 => format!("{kind} of {name}: {why}"),
                _ => format!("{kind} of {name} and {} more: {why}", count - 1),
            }
        };
        self.0.into_iter().map(line).collect()
    }
}

/// An object of which pg_dump printed something.
struct Object<'a> {
    name: &'a str,
    kind: &'a str,
    text: &'a str,
}

/// Runs `script`; the error is the object that could not be made, and the server's words.
pub(super) async fn run(
    session: &mut PgConnection,
    script: &str,
    left_out: &mut LeftOut,
) -> Result<(), (String, String)> {
    for (place, object) in objects(script).enumerate() {
        if place == 1 {
            // What pg_dump lets the server say is for a person who restores.
            statement(session, "SET client_min_messages = error")
                .await
                .map_err(|error| told(&object, &error))?;
        }
        if object.kind == LOGIN {
            left_out.add(object.kind, object.name, "a rehearsal logs in to no other server");
            statement(session, &defaults(object.text)).await.map_err(|error| told(&object, &error))?;
            continue;
        }
        // Each of these is a line, and one that can't be does not keep the others from being.
        let parts: Vec<&str> = match object.kind {
            "ACL" | "DEFAULT ACL" => object.text.lines().collect(),
            _ => vec![object.text],
        };
        for part in parts {
            let Err(error) = statement(session, part).await else { continue };
            let state = sqlstate(&error).unwrap_or_default();
            if !DISPENSABLE.contains(&object.kind) || !["42501", "42704"].contains(&state.as_str()) {
                return Err(told(&object, &error));
            }
            left_out.add(object.kind, object.name, &all_words(&error));
            statement(session, &defaults(part)).await.map_err(|error| told(&object, &error))?;
        }
    }
    Ok(())
}

/// The objects in order, and ahead of them what sets the session up.
fn objects(script: &str) -> impl Iterator<Item = Object<'_>> {
    script.split(HEAD).enumerate().map(|(place, part)| {
        if place == 0 {
            return Object { name: "the session", kind: "", text: part };
        }
        let (head, text) = part.split_once('\n').unwrap_or((part, ""));
        let mut words = head.split("; ");
        let name = words.next().unwrap_or_default();
        let kind = words.find_map(|word| word.strip_prefix("Type: ")).unwrap_or_default();
        Object { name, kind, text }
    })
}

/// What `text` sets for the objects behind it.
fn defaults(text: &str) -> String {
    text.lines().filter(|line| line.starts_with("SET default_")).collect::<Vec<_>>().join("\n")
}

async fn statement(session: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
    // psql's alone.
    let is_psqls = |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    let text: Vec<&str> = text.lines().filter(|line| !is_psqls(line)).collect();
    let statement = render("{statement}", &[("statement", &Definition::from_catalog(text.join("\n")))]);
    sqlx::raw_sql(statement.sql()).execute(session).await.map(drop)
}

fn told(object: &Object<'_>, error: &sqlx::Error) -> (String, String) {
    (format!("{} {}", object.kind.to_lowercase(), object.name), all_words(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict a\n\nSET check_function_bodies = false;\n\n\
        --\n-- Name: a; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE a ();\n\n\n\
        --\n-- Name: USER MAPPING o SERVER far; Type: USER MAPPING; Schema: -; Owner: o\n--\n\nCREATE USER MAPPING;\n\n\n\
        SET default_table_access_method = heap;\n\n\
        --\n-- Name: TABLE a; Type: ACL; Schema: public; Owner: o\n--\n\nGRANT ALL ON a TO x;\n\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict a\n";

    #[test]
    fn objects_are_told_apart() {
        let kinds: Vec<_> = objects(DUMP).map(|object| (object.name, object.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("the session", ""),
                ("a", "TABLE"),
                ("USER MAPPING o SERVER far", "USER MAPPING"),
                ("TABLE a", "ACL")
            ]
        );
    }

    #[test]
    fn what_stands_behind_one_that_is_left_out_holds() {
        let mapping = objects(DUMP).find(|object| object.kind == LOGIN).unwrap();
        assert_eq!(defaults(mapping.text), "SET default_table_access_method = heap;");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut left_out = LeftOut::default();
        for name in ["TABLE a", "TABLE b"] {
            left_out.add("ACL", name, "role \"x\" does not exist");
        }
        left_out.add(LOGIN, "USER MAPPING o SERVER far", "no login");
        left_out.add("COMMENT", "SCHEMA public", "must be owner");
        assert_eq!(
            left_out.lines(),
            [
                "acl of TABLE a and 1 more: role \"x\" does not exist",
                "comment of SCHEMA public: must be owner",
                "user mapping of o SERVER far: no login"
            ]
        );
    }
}
