//! docs/mapping.md against the test kit's own files and the keys that there are.

use testkit::{Mapped, workspace};

fn guide() -> String {
    std::fs::read_to_string(workspace().join("docs/mapping.md")).unwrap()
}

#[test]
fn the_worked_examples_are_the_files_that_are_tested() {
    let guide = guide();
    let examples: Vec<&str> = guide
        .split("## Three worked examples")
        .nth(1)
        .unwrap()
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let files = [Mapped::Prisma, Mapped::Erp, Mapped::Warehouse]
        .map(|mapped| std::fs::read_to_string(mapped.config()).unwrap());
    assert_eq!(examples, files, "copy the changed file of crates/testkit/src/mapped into docs/mapping.md");
}

#[test]
fn each_key_of_the_tested_files_is_explained() {
    let guide = guide();
    for mapped in Mapped::ALL {
        let file: toml::Table = std::fs::read_to_string(mapped.config()).unwrap().parse().unwrap();
        for (section, table) in file {
            assert!(guide.contains(&format!("`[{section}]`")), "{section}");
            for (key, _) in table.as_table().unwrap() {
                assert!(guide.contains(key.as_str()), "{section}.{key}");
            }
        }
    }
}
