//! What docs/isolation.md says of who protects what, against the tests that it names.

use std::{collections::BTreeSet, fs};

use testkit::workspace;

use super::guide;

/// The rows of the table below a heading, without its own heading: the cells of each.
fn rows(guide: &str, heading: &str) -> Vec<Vec<String>> {
    let section =
        guide.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("{heading} is missing"));
    let table = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows: Vec<Vec<String>> = table
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

/// The names between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The links of a cell: what each is called, and where it leads.
fn links(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split('[').skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once("](").unwrap_or_else(|| panic!("no link: {part}"));
            (name.trim_matches('`'), rest.split(')').next().unwrap())
        })
        .collect()
}

/// The functions that the harness runs as tests, in modules too.
fn tests(items: Vec<syn::Item>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in items {
        match item {
            syn::Item::Fn(function) => {
                let is_test = |attribute: &syn::Attribute| {
                    attribute.path().segments.last().is_some_and(|name| name.ident == "test")
                };
                if function.attrs.iter().any(is_test) {
                    found.insert(function.sig.ident.to_string());
                }
            }
            syn::Item::Mod(module) => {
                if let Some((_, items)) = module.content {
                    found.extend(tests(items));
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn each_protection_names_tests_that_there_are() {
    let guide = guide("docs/isolation.md");
    for row in rows(&guide, "## What protects what") {
        let [what, _, shown] = row.as_slice() else { panic!("not three cells: {row:?}") };
        let links = links(shown);
        assert!(!links.is_empty(), "{what} is shown by no test");
        for (name, file) in links {
            let path = workspace().join("docs").join(file);
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let tests = tests(syn::parse_file(&text).unwrap().items);
            assert!(tests.contains(name), "{what}: no test {name} in {file}; there are {tests:?}");
        }
    }
}

#[test]
fn each_check_is_among_what_protects() {
    let guide = guide("docs/isolation.md");
    let listed = rows(&guide, "## What protects what");
    let listed: BTreeSet<&str> = listed.iter().flat_map(|row| quoted(&row[1])).collect();
    let checks = rows(&guide, "## The holes");
    let checks: BTreeSet<&str> = checks.iter().flat_map(|row| quoted(&row[0])).collect();
    assert!(checks.contains("policy"), "{checks:?}");
    let missing: Vec<_> = checks.difference(&listed).collect();
    assert!(missing.is_empty(), "in no row of what protects what: {missing:?}");
}
