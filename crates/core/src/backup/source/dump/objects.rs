//! What a dump's table of contents says that it makes: tables, and what belongs to them.

use super::{
    KEYS,
    archive::{Entry, Toc},
    parents::{identifier, parents},
    table_key,
};
use crate::backup::{
    BackupSource, Finding, first_of,
    reading::{Contents, Objects},
};

/// So many are named.
const NAMED_MAX: usize = 5;

/// The kinds of entries that are held against production.
const KINDS: [&str; 13] = [
    "CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "TRIGGER",
    "POLICY",
    "SEQUENCE",
    "SEQUENCE SET",
    "VIEW",
    "MATERIALIZED VIEW",
    "EXTENSION",
    "BLOB",
    "BLOB METADATA",
    "BLOBS",
];

/// What a cluster's script makes for all of its databases, by the beginnings of its lines.
const CLUSTER: [(&str, &str); 3] =
    [("CREATE ROLE ", "ROLE"), ("CREATE TABLESPACE ", "TABLESPACE"), ("-- Database ", "DATABASE")];

/// Notes the entry, where its kind is one that is asked for.
pub(super) fn note(objects: &mut Objects, kind: &str, (schema, name): &(String, String)) {
    if KINDS.contains(&kind) {
        let schema = if schema == "-" { "" } else { schema };
        objects.insert((kind.to_owned(), schema.to_owned(), name.clone()));
    }
}

/// Notes what a line of a cluster's script makes.
pub(super) fn note_shared(objects: &mut Objects, line: &str) {
    for (beginning, kind) in CLUSTER {
        if let Some((name, _)) = line.strip_prefix(beginning).and_then(identifier) {
            objects.insert((kind.to_owned(), String::new(), name));
        }
    }
}

/// Those in a table of contents.
pub(super) fn of_toc(toc: &Toc) -> Objects {
    let mut objects = Objects::new();
    for entry in &toc.entries {
        note(&mut objects, &entry.kind, &table_key(entry));
    }
    objects
}

/// Whether there is any key or index.
pub(super) fn has_keys(objects: &Objects) -> bool {
    objects.iter().any(|(kind, ..)| KEYS.contains(&kind.as_str()))
}

/// The tables in a table of contents.
pub(super) fn toc_contents(toc: &Toc) -> Contents {
    let mut contents = Contents::new();
    for entry in &toc.entries {
        match entry.kind.as_str() {
            "TABLE" => {
                let table = contents.entry(table_key(entry)).or_default();
                table.is_defined = true;
                table.is_partitioned = entry.definition.lines().any(|line| line.starts_with("PARTITION BY "));
                note_parents(entry, &mut contents);
            }
            "TABLE ATTACH" => note_parents(entry, &mut contents),
            "TABLE DATA" if entry.has_data => contents.entry(table_key(entry)).or_default().has_data = true,
            _ => {}
        }
    }
    contents
}

/// Notes whose rows the tables hold that `entry` defines or attaches.
fn note_parents(entry: &Entry, contents: &mut Contents) {
    let key = table_key(entry);
    for (child, parent) in entry.definition.lines().flat_map(|line| parents(line, &key.0)) {
        contents.entry(child.unwrap_or_else(|| key.clone())).or_default().parents.insert(parent);
    }
}

/// The finding for sequences without their values: a restored one gives out keys that are taken.
pub(super) fn check_sequences(objects: &Objects, source: Option<&BackupSource>) -> Option<Finding> {
    let of = |wanted: &str| objects.iter().filter(move |(kind, ..)| kind == wanted).count();
    let is_left_out = |schema: &str, name: &str| source.is_some_and(|source| source.leaves_out(schema, name));
    let has_value = |schema: &str, name: &str| {
        objects.contains(&("SEQUENCE SET".to_owned(), schema.to_owned(), name.to_owned()))
    };
    let without: Vec<&str> = objects
        .iter()
        .filter(|(kind, schema, name)| {
            kind == "SEQUENCE" && !has_value(schema, name) && !is_left_out(schema, name)
        })
        .map(|(_, _, name)| name.as_str())
        .collect();
    let named = first_of(&without, NAMED_MAX);
    let text = format!(
        "holds no value of the sequences {named}: what is restored gives out keys that are taken; name what is left out on purpose in left_out of the source"
    );
    (!without.is_empty()).then(|| match of("SEQUENCE SET") {
        0 => Finding::critical("contents", text),
        _ => Finding::warning("contents", text),
    })
}
