//! Every arrow points down: in core, from floor to floor of the table in docs/architecture.md and inside each module; in
//! the workspace, from the binaries to `cli` to `core`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use quote::ToTokens as _;
use syn::{Item, UseTree};

/// A module, as the segments of its path below the crate.
type Module = Vec<String>;

/// Who imports whom, with one of the paths that say so.
type Arrows = BTreeMap<(Module, Module), String>;

/// The modules of core with the paths below the crate that their code names.
fn modules() -> BTreeMap<Module, Vec<Vec<String>>> {
    let source = testkit::workspace().join("crates/core/src");
    let mut modules = BTreeMap::new();
    for (path, text) in super::files("crates/core/src", ".rs") {
        let mut module: Module = path
            .strip_prefix(&source)
            .unwrap()
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        // The crate's root only lists its modules.
        if module != ["lib"] {
            let paths = paths(&syn::parse_file(&text).unwrap().items, &module);
            modules.insert(module, paths);
        }
    }
    modules
}

/// The paths that begin with `crate`, `super` or `self` in the code of `module`, tests aside, below the crate.
fn paths(items: &[Item], module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for item in items.iter().filter(|item| !is_test(item)) {
        match item {
            Item::Use(item) => expand(&item.tree, &mut Vec::new(), &mut found),
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content {
                    let inner = [module, &[item.ident.to_string()]].concat();
                    found.extend(paths(items, &inner).into_iter().map(|path| absolute(&path)));
                }
            }
            item => scan(item.to_token_stream(), &mut found),
        }
    }
    found.iter().filter_map(|path| below_crate(path, module)).collect()
}

/// A path below the crate, written from the crate.
fn absolute(path: &[String]) -> Vec<String> {
    [&["crate".to_owned()], path].concat()
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().contains("cfg (test)"))
}

fn expand(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut whole = |name: String| found.push([prefix.as_slice(), &[name]].concat());
    match tree {
        UseTree::Name(name) => whole(name.ident.to_string()),
        UseTree::Rename(name) => whole(name.ident.to_string()),
        UseTree::Glob(_) => whole("*".into()),
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            expand(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| expand(tree, prefix, found)),
    }
}

/// Paths in the midst of code, macros' arguments included.
fn scan(tokens: proc_macro2::TokenStream, found: &mut Vec<Vec<String>>) {
    use proc_macro2::TokenTree::{Group, Ident, Punct};
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
            Ident(name) if colons == 2 => {
                path.push(name.to_string());
                colons = 0;
            }
            Ident(name) if ["crate", "super"].contains(&name.to_string().as_str()) => {
                found.extend([std::mem::replace(&mut path, vec![name.to_string()])]);
                colons = 0;
            }
            other => {
                found.extend([std::mem::take(&mut path)]);
                colons = 0;
                if let Group(group) = other {
                    scan(group.stream(), found);
                }
            }
        }
    }
    found.push(path);
}

/// `path`, as code of `module` writes it, below the crate; none where it leads out of it.
fn below_crate(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    for name in rest {
        match name.as_str() {
            "super" => drop(base.pop()?),
            "self" => {}
            name => base.push(name.to_owned()),
        }
    }
    Some(base)
}

/// The arrows between the modules that are children of the same parent, one entry a parent. What a module's face and
/// its own children say to each other stays in the room.
fn arrows() -> BTreeMap<Module, Arrows> {
    let modules = modules();
    let mut arrows: BTreeMap<Module, Arrows> = BTreeMap::new();
    for (from, paths) in &modules {
        for path in paths {
            let Some(to) = (1..=path.len()).rev().map(|n| &path[..n]).find(|to| modules.contains_key(*to))
            else {
                continue;
            };
            let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            if common < from.len() && common < to.len() {
                let pair = (from[..=common].to_vec(), to[..=common].to_vec());
                let says = format!("{} uses {}", from.join("::"), path.join("::"));
                arrows.entry(from[..common].to_vec()).or_default().entry(pair).or_insert(says);
            }
        }
    }
    arrows
}

/// The modules of the table, from the top floor down.
fn floors() -> Vec<String> {
    let text = std::fs::read_to_string(testkit::workspace().join("docs/architecture.md")).unwrap();
    let table = text.split("| module | what it is for |").nth(1).expect("the table of core's modules");
    let rows =
        table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_table_of_floors_has_every_module_of_core() {
    let floors = floors();
    let listed: BTreeSet<&String> = floors.iter().collect();
    assert_eq!(listed.len(), floors.len(), "a module stands twice in the table");
    let there: BTreeSet<String> = modules().into_keys().map(|module| module[0].clone()).collect();
    assert_eq!(there.iter().collect::<BTreeSet<_>>(), listed, "modules of core, and the table's");
}

#[test]
fn a_module_of_core_imports_only_from_below_it() {
    let floors = floors();
    let floor = |module: &Module| floors.iter().position(|name| *name == module[0]);
    let arrows = arrows();
    assert!(arrows[&Vec::new()].len() > 50, "the imports were not read");
    for ((from, to), says) in &arrows[&Vec::new()] {
        assert!(floor(from) < floor(to), "an arrow points up: {says}");
    }
}

#[test]
fn no_modules_inside_a_module_stand_in_a_circle() {
    for (parent, arrows) in arrows() {
        // An arrow from whom nobody imports, or to who imports nobody, is in no circle; taken away again and again, they
        // leave the circles.
        let mut left = arrows;
        loop {
            let (importing, imported): (BTreeSet<Module>, BTreeSet<Module>) = left.keys().cloned().unzip();
            let before = left.len();
            left.retain(|(from, to), _| imported.contains(from) && importing.contains(to));
            if left.len() == before {
                break;
            }
        }
        let said: Vec<&String> = left.values().collect();
        assert!(said.is_empty(), "modules in {:?} stand in a circle: {said:#?}", parent.join("::"));
    }
}

#[test]
fn binaries_use_cli_and_core_and_cli_uses_core() {
    let mut seen = BTreeSet::new();
    for (path, text) in super::files("crates", "Cargo.toml") {
        let manifest: toml::Table = text.parse().unwrap();
        let name = path.parent().and_then(Path::file_name).unwrap().to_str().unwrap().to_owned();
        let dependencies = manifest["dependencies"].as_table().unwrap().keys();
        let ours: BTreeSet<&str> =
            dependencies.map(String::as_str).filter(|name| name.starts_with("stockfoil")).collect();
        let expected: &[&str] = match name.as_str() {
            "core" | "testkit" => &[],
            "cli" => &["stockfoil-core"],
            _ => &["stockfoil-cli", "stockfoil-core"],
        };
        assert_eq!(ours, expected.iter().copied().collect(), "what crates/{name} depends on");
        seen.insert(name);
    }
    assert!(seen.contains("core") && seen.contains("cli") && seen.len() > 10, "the manifests were not read");
}
