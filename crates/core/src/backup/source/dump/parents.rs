//! Which table's rows a table holds: what pg_dump writes of partitions and of inheritance.

/// A schema and a name.
type Key = (String, String);

/// The tables that the line `text` of the definition of something in `schema` makes parents of others, each with the
/// child where the line names it; else that is the table which is being defined.
pub(super) fn parents(text: &str, schema: &str) -> Vec<(Option<Key>, Key)> {
    // ALTER TABLE ONLY public.moves ATTACH PARTITION public.moves_1 FOR VALUES ...
    if let Some(rest) = text.strip_prefix("ALTER TABLE ONLY ") {
        let attached = || {
            let (parent, rest) = name(rest, schema)?;
            let (child, _) = name(rest.strip_prefix(" ATTACH PARTITION ")?, schema)?;
            Some((Some(child), parent))
        };
        return attached().into_iter().collect();
    }
    // CREATE TABLE public.moves_1 PARTITION OF public.moves
    if let Some(rest) = text.strip_prefix("CREATE TABLE ") {
        let made = || {
            let (child, rest) = name(rest, schema)?;
            let (parent, _) = name(rest.strip_prefix(" PARTITION OF ")?, schema)?;
            Some((Some(child), parent))
        };
        return made().into_iter().collect();
    }
    // INHERITS (public.moves, public.others)
    let mut found = Vec::new();
    let mut rest = text.strip_prefix("INHERITS (");
    while let Some((parent, behind)) = rest.and_then(|rest| name(rest, schema)) {
        found.push((None, parent));
        rest = behind.strip_prefix(", ");
    }
    found
}

/// The table's name that `text` begins with, and what is behind it. Old versions of pg_dump leave the schema out.
fn name<'a>(text: &'a str, schema: &str) -> Option<(Key, &'a str)> {
    let (first, rest) = identifier(text)?;
    match rest.strip_prefix('.') {
        None => Some(((schema.to_owned(), first), rest)),
        Some(rest) => identifier(rest).map(|(second, rest)| ((first, second), rest)),
    }
}

/// The identifier that `text` begins with, unquoted, and what is behind it.
pub(super) fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut letters = quoted.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            if letter != '"' {
                name.push(letter);
            } else if letters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                return Some((name, &quoted[at + 1..]));
            }
        }
        return None;
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && !"_$".contains(letter));
    let (name, behind) = text.split_at(end.unwrap_or(text.len()));
    (!name.is_empty()).then(|| (name.to_owned(), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_from_each_form() {
        let key = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        for (text, expected) in [
            (
                "ALTER TABLE ONLY public.\"a \"\"b\" ATTACH PARTITION other.c FOR VALUES IN ('x');",
                vec![(Some(key("other", "c")), key("public", "a \"b"))],
            ),
            ("CREATE TABLE c PARTITION OF a", vec![(Some(key("s", "c")), key("s", "a"))]),
            ("INHERITS (public.a, b);", vec![(None, key("public", "a")), (None, key("s", "b"))]),
            ("ALTER TABLE ONLY public.a ADD CONSTRAINT k PRIMARY KEY (id);", vec![]),
            ("CREATE TABLE public.a (", vec![]),
        ] {
            assert_eq!(parents(text, "s"), expected, "{text}");
        }
    }
}
