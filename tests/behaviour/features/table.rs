//! The documentation and the tests name each other.

use std::{collections::BTreeSet, fs, path::Path};

/// The tests of a file.
fn tests(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("#[test]\nfn ").skip(1).map(|rest| {
        let name = rest.split('(').next();
        name.unwrap_or_default().to_owned()
    })
}

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests_of = root.join("tests/behaviour");
    let mut written = BTreeSet::new();
    for file in [
        "whole_pod.rs",
        "announce.rs",
        "budgets.rs",
        "identity.rs",
        "limits_per_namespace.rs",
        "traces.rs",
    ] {
        written.extend(tests(
            &fs::read_to_string(tests_of.join(file)).expect("reads"),
        ));
    }
    for entry in fs::read_dir(tests_of.join("features")).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.ends_with("table.rs") {
            continue;
        }
        written.extend(tests(&fs::read_to_string(path).expect("reads")));
    }
    let docs = fs::read_to_string(root.join("docs/features.md")).expect("reads");
    let mut named = BTreeSet::new();
    for row in docs.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [.., last] = cells[..] else { continue };
        let is_head = last == "test" || last.starts_with("---");
        let name = last.trim_matches('`').to_owned();
        assert!(is_head || !name.is_empty(), "a row without a test: {row}");
        if !is_head {
            named.insert(name);
        }
    }
    let missing: Vec<_> = named.difference(&written).collect();
    assert!(
        missing.is_empty(),
        "the table names tests that are not there: {missing:?}"
    );
    let unnamed: Vec<_> = written.difference(&named).collect();
    assert!(
        unnamed.is_empty(),
        "tests without a row in docs/features.md: {unnamed:?}"
    );
}
