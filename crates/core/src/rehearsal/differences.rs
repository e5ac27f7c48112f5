//! Two schemas, as `pg_dump --schema-only` prints them, compared byte for byte.

use std::collections::BTreeMap;

/// How pg_dump begins what it prints of an object.
const HEAD: &str = "\n--\n-- Name: ";

/// How it ends.
const END: &str = "\n--\n-- PostgreSQL database dump complete";

/// What has a tablespace or an access method of its own.
const STORED: [&str; 4] =
    ["; Type: TABLE; ", "; Type: INDEX; ", "; Type: CONSTRAINT; ", "; Type: MATERIALIZED VIEW; "];

/// The objects that are not the same in both, each with what is the matter. Stockfoil's own schema is left out: it is
/// what the migration made, or what was there of it.
pub(super) fn between(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (objects(before), objects(after));
    let mut found = Vec::new();
    for (name, text) in &before {
        match after.get(name) {
            None => found.push(format!("{name}, which is gone,")),
            Some(other) if other != text => found.push((*name).to_owned()),
            Some(_) => {}
        }
    }
    found.extend(
        after
            .keys()
            .filter(|name| !before.contains_key(*name))
            .map(|name| format!("{name}, which was not there,")),
    );
    found
}

/// Each object's text, by what its head says of it. What several objects share the head of, such as overloaded
/// functions without arguments, stands together.
fn objects(schema: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut objects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // What is printed ahead of the first table or index for which it changes, behind whatever stands there.
    let mut defaults: BTreeMap<&str, &str> = BTreeMap::new();
    let schema = schema.split(END).next().unwrap_or_default();
    for (place, part) in schema.split(HEAD).enumerate() {
        // Ahead of the first object stand settings alone.
        let (head, text) = if place == 0 { ("", part) } else { part.split_once('\n').unwrap_or((part, "")) };
        // The comment that the head is in.
        let text = text.strip_prefix("--\n").unwrap_or(text);
        let is_stored = STORED.iter().any(|kind| head.contains(kind));
        let object = (place > 0 && !is_own(head)).then(|| objects.entry(head).or_default());
        let mut lines: Vec<&str> = if is_stored { defaults.values().copied().collect() } else { Vec::new() };
        for line in text.trim_end().lines() {
            match line.strip_prefix("SET default_").and_then(|setting| setting.split_once(" = ")) {
                Some((name, _)) => {
                    defaults.insert(name, line);
                }
                None => lines.push(line),
            }
        }
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        if let Some(object) = object {
            object.extend(lines);
        }
    }
    objects
}

/// Whether that is the head of something in Stockfoil's own schema, or of that itself.
fn is_own(head: &str) -> bool {
    head.contains("; Schema: stockfoil; ")
        || head.starts_with("stockfoil; Type: SCHEMA;")
        || head.starts_with("SCHEMA stockfoil; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str =
        "--\n-- Name: run; Type: TABLE; Schema: stockfoil; Owner: o\n--\n\nCREATE TABLE run ();\n\n\n";
    const LAST: &str = "SET default_tablespace = '';\n\n--\n-- Name: b; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE b ();\n\n\n";
    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict a\n\n--\n-- Name: a; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE a (\n    id integer\n);\n\n\n\
        --\n-- Name: run; Type: TABLE; Schema: stockfoil; Owner: o\n--\n\nCREATE TABLE run ();\n\n\n\
        SET default_tablespace = '';\n\n--\n-- Name: b; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE b ();\n\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict a\n";

    #[test]
    fn what_stockfoil_has_in_between_makes_no_difference() {
        let alone = DUMP.replace(OWN, "");
        assert!(between(DUMP, &alone).is_empty() && between(&alone, DUMP).is_empty());
        let last = DUMP.replace(LAST, "");
        assert!(between(&last, &last.replace(OWN, "")).is_empty());
    }

    #[test]
    fn where_a_table_is_stored_makes_one() {
        let moved = DUMP.replace("SET default_tablespace = '';", "SET default_tablespace = fast;");
        assert_eq!(between(DUMP, &moved), ["b; Type: TABLE; Schema: public; Owner: o"]);
    }

    #[test]
    fn what_differs_is_named_and_stockfoils_own_is_not() {
        assert!(
            between(DUMP, &DUMP.replace("restrict a", "restrict b").replace("run ()", "run (id int)"))
                .is_empty()
        );
        assert_eq!(
            between(DUMP, &DUMP.replace("id integer", "id bigint")),
            ["a; Type: TABLE; Schema: public; Owner: o"]
        );
        assert_eq!(
            between(DUMP, &DUMP.replace("Name: a;", "Name: c;")),
            [
                "a; Type: TABLE; Schema: public; Owner: o, which is gone,",
                "c; Type: TABLE; Schema: public; Owner: o, which was not there,"
            ]
        );
    }
}
