//! Rust identifiers for names that may hold anything.

use std::collections::{BTreeMap, HashMap, HashSet};

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use unicode_normalization::UnicodeNormalization as _;

use super::GenerateError;
use crate::sql::fnv1a;

/// How Rust spells a kind of item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Modules, fields, functions.
    Snake,
    /// Types, variants.
    Camel,
}

/// Gives each of `names` an identifier of its own.
///
/// Names that would share one (`a b` and `a_b`) are told apart by a hash of the name: a number would hang on how
/// many others there are. A name that is its own identifier keeps it.
pub(super) fn identifiers<'a>(
    what: &str,
    style: Style,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<HashMap<&'a str, String>, GenerateError> {
    let mut wanting: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        wanting.entry(identifier(name, style)).or_default().push(name);
    }
    let mut given = HashMap::new();
    let mut taken = HashSet::new();
    for (wanted, names) in wanting {
        let shared = names.len() > 1;
        for name in names {
            let hash = fnv1a(name.as_bytes());
            let own = match style {
                _ if !shared || name == wanted => wanted.clone(),
                Style::Snake => format!("{wanted}_{hash:08x}"),
                Style::Camel => format!("{wanted}{hash:08X}"),
            };
            if !taken.insert(own.clone()) {
                return Err(GenerateError::SameName {
                    what: what.to_owned(),
                    name: name.to_owned(),
                    rust: own,
                });
            }
            given.insert(name, own);
        }
    }
    Ok(given)
}

/// The identifier as it stands in source code: a keyword is written raw.
pub(super) fn written(identifier: &str) -> String {
    if KEYWORDS.contains(&identifier) { format!("r#{identifier}") } else { identifier.to_owned() }
}

fn identifier(name: &str, style: Style) -> String {
    // The compiler compares identifiers in this normal form.
    let name: String = name.nfc().collect();
    let spelled = match style {
        Style::Snake if is_snake(&name) => name,
        Style::Snake => name.to_snake_case(),
        Style::Camel => name.to_upper_camel_case(),
    };
    // Changing case can undo the normal form.
    let mut identifier: String = spelled.nfc().filter(|c| unicode_ident::is_xid_continue(*c)).collect();
    if identifier.chars().all(|c| c == '_') {
        identifier = match style {
            Style::Snake => "unnamed".into(),
            Style::Camel => "Unnamed".into(),
        };
    }
    if !identifier.starts_with(|c| c == '_' || unicode_ident::is_xid_start(c)) {
        identifier.insert(0, '_');
    }
    // These can't be written raw.
    if matches!(identifier.as_str(), "self" | "Self" | "super" | "crate") {
        identifier.push('_');
    }
    identifier
}

/// Whether `name` is what Rust's lints take for snake case, unchanged.
fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.contains(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        && !name.contains("__")
}

/// Words that are reserved in some edition and can be written raw.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_an_identifier() {
        for (name, snake, camel) in [
            ("qty_canonical", "qty_canonical", "QtyCanonical"),
            ("createdAt", "created_at", "CreatedAt"),
            ("_private", "_private", "Private"),
            ("a__b", "a_b", "AB"),
            ("2fa", "_2fa", "_2fa"),
            ("it's \"odd\"", "it_s_odd", "ItSOdd"),
            ("self", "self_", "Self_"),
            ("größe", "größe", "Größe"),
            ("gro\u{308}ße", "größe", "Größe"),
            ("数量", "数量", "数量"),
            ("m²", "m", "M"),
            ("!", "unnamed", "Unnamed"),
            ("__", "unnamed", "Unnamed"),
        ] {
            assert_eq!(identifier(name, Style::Snake), snake, "{name}");
            assert_eq!(identifier(name, Style::Camel), camel, "{name}");
        }
        assert_eq!(written("type"), "r#type");
        assert_eq!(written("kind"), "kind");
    }

    #[test]
    fn names_that_would_share_an_identifier_are_told_apart() {
        let given = identifiers("columns", Style::Snake, ["a b", "a_b", "A B", "c"]).unwrap();
        assert_eq!((given["a_b"].as_str(), given["c"].as_str()), ("a_b", "c"));
        assert!(given["a b"].starts_with("a_b_") && given["A B"].starts_with("a_b_"));
        assert_ne!(given["a b"], given["A B"]);
        // What one name is called doesn't hang on the others that share.
        assert_eq!(identifiers("columns", Style::Snake, ["a_b", "a b"]).unwrap()["a b"], given["a b"]);
    }

    #[test]
    fn an_identifier_is_never_given_twice() {
        let hashed = format!("a_b_{:08x}", fnv1a(b"a b"));
        let names = ["a b", "a_b", hashed.as_str()];
        assert!(matches!(identifiers("columns", Style::Snake, names), Err(GenerateError::SameName { .. })));
    }
}
