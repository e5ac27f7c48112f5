//! What the dump of an inventory must hold: each table of the mapping, with its data, and entries in the ledger.

use std::collections::BTreeSet;

use crate::{
    backup::{
        BackupSource, Finding,
        reading::{Contents, TableContents},
    },
    mapping::Mapping,
};

/// Compares a dump's tables with those of the mapping: each defined, each with its data; and no other without
/// that `source` does not leave out.
pub(super) fn compare(contents: &Contents, mapping: &Mapping, source: Option<&BackupSource>) -> Vec<Finding> {
    let lacks_data = |table: &TableContents| table.is_defined && !table.is_partitioned && !table.has_data;
    if !contents.values().any(|table| table.has_data) {
        let text = match contents.len() {
            0 => "holds no table at all".to_owned(),
            count => format!("holds the schema only: {count} tables and no data"),
        };
        return vec![Finding::critical("contents", text)];
    }
    let (mut absent, mut undefined, mut without) = (Vec::new(), Vec::new(), Vec::new());
    let mut others = Vec::new();
    let expected = |key: &(String, String)| {
        mapping
            .tenant_tables()
            .iter()
            .any(|table| table.schema.as_str() == key.0 && table.name.as_str() == key.1)
    };
    for table in &mapping.tenant_tables() {
        let key = (table.schema.as_str().to_owned(), table.name.as_str().to_owned());
        match contents.get(&key) {
            None => absent.push(table.plain()),
            Some(found) if !found.is_defined => undefined.push(table.plain()),
            Some(found) if lacks_data(found) => without.push(table.plain()),
            Some(_) => {}
        }
    }
    for (key, table) in contents.iter().filter(|(key, _)| !expected(key)) {
        if lacks_data(table) && !source.is_some_and(|source| source.leaves_out(&key.0, &key.1)) {
            others.push(format!("{}.{}", key.0, key.1));
        }
    }
    let critical = |names: Vec<String>, text: &str| {
        (!names.is_empty()).then(|| Finding::critical("contents", format!("{text}: {}", names.join(", "))))
    };
    let mut findings: Vec<Finding> = [
        critical(absent, "lacks tables of the inventory"),
        critical(undefined, "holds data without the definition of its table"),
        critical(without, "was made without the data of"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !others.is_empty() {
        findings.push(Finding::warning(
            "contents",
            format!("was made without the data of {}", others.join(", ")),
        ));
    }
    findings
}

/// The words for a ledger without entries.
pub(in crate::backup) fn no_rows(ledger: &str) -> String {
    format!(
        "holds no row of {ledger}: an inventory without entries; set expect_empty = true where that is as it should be"
    )
}

/// A dump without entries of the ledger is no backup of an inventory, whole as it may be.
pub(super) fn check_rows(contents: &Contents, mapping: &Mapping) -> Option<Finding> {
    let ledger = mapping.ledger();
    let key = (ledger.schema.as_str().to_owned(), ledger.name.as_str().to_owned());
    contents.get(&key)?;
    // Its rows may be in partitions, and in partitions of those.
    let mut family = BTreeSet::new();
    let mut next = vec![&key];
    while let Some(table) = next.pop() {
        if family.insert(table) {
            next.extend(
                contents.iter().filter(|(_, found)| found.parents.contains(table)).map(|(key, _)| key),
            );
        }
    }
    let has_rows = family.iter().any(|table| contents.get(*table).is_some_and(|found| found.has_rows));
    (!has_rows).then(|| Finding::critical("contents", no_rows(&ledger.plain())))
}
