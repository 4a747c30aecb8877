//! The documents show the map as it is, and name only what exists.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    map,
    resolve::Target,
    source::{self, Crate},
};

/// Documents for readers of the code.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/features.md",
    "docs/fuzzing.md",
    "docs/messages.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/node.md",
    "docs/releasing.md",
    "docs/reliability.md",
    "docs/security.md",
    "docs/traces.md",
    "docs/wire.md",
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn architecture_md_shows_the_map() {
    let rows: Vec<String> = map::ROOMS
        .iter()
        .map(|room| format!("| {} | `{}` | {} |", room.floor, room.name, room.purpose))
        .collect();
    let expected = format!(
        "| floor | room | what it is for |\n|---|---|---|\n{}\n",
        rows.join("\n")
    );
    assert!(
        read("ARCHITECTURE.md").contains(&expected),
        "the table in ARCHITECTURE.md should be:\n{expected}"
    );
}

#[test]
fn lib_rs_shows_the_map() {
    let mut lines = String::from("//! ```text\n");
    let mut last = None;
    for room in map::ROOMS {
        let floor = if last == Some(room.floor) {
            String::new()
        } else {
            room.floor.to_string()
        };
        last = Some(room.floor);
        lines += &format!("//! {floor:>3}  {:<9}  {}\n", room.name, room.purpose);
    }
    lines += "//! ```\n";
    let text = fs::read_to_string(source::root().join("lib.rs")).expect("reads");
    assert!(
        text.contains(&lines),
        "the map in src/lib.rs should be:\n{lines}"
    );
}

/// What stands in single backticks, code blocks left out.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    for text in outside {
        // Paragraph by paragraph, so that a stray backtick spoils no more than one.
        for paragraph in text.split("\n\n") {
            found.extend(paragraph.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// Whether a quotation means a file of this repository.
fn is_file(quoted: &str) -> bool {
    const PLACES: [&str; 9] = [
        "src/",
        "tests/",
        "docs/",
        "benches/",
        "fuzz/",
        "examples/",
        "packaging/",
        "proto/",
        ".ci/",
    ];
    // `make fuzz` makes the first; the second stands for any target.
    if quoted.starts_with("fuzz/artifacts/") || quoted.contains("TARGET") {
        return false;
    }
    let is_plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    PLACES.iter().any(|place| quoted.starts_with(place)) && quoted.chars().all(is_plain)
}

/// Whether a crate has what a document calls `room::name::...`.
fn exists(all: &Crate, path: &str) -> bool {
    let segments: Vec<String> = path.split("::").map(str::to_owned).collect();
    match all.resolve(&segments) {
        None => false,
        Some(Target::Module(_)) => true,
        Some(Target::Item { module, item }) => {
            let module = &all.modules[&module];
            // Variants and methods are not items of a module: they are words in its file.
            let at = segments.iter().position(|segment| *segment == item);
            let rest = at.map_or(&segments[..], |at| &segments[at + 1..]);
            let text = fs::read_to_string(source::root().join(&module.file)).unwrap_or_default();
            let words: BTreeSet<&str> = text
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .collect();
            module.items.contains(&item) && rest.iter().all(|part| words.contains(part.as_str()))
        }
    }
}

#[test]
fn documents_name_files_and_items_that_exist() {
    let all = Crate::read();
    let rooms: BTreeSet<&str> = map::ROOMS.iter().map(|room| room.name).collect();
    let (mut missing, mut checked) = (Vec::new(), 0);
    for document in DOCUMENTS {
        for quoted in quoted(&read(document)) {
            let room = quoted.split("::").next().unwrap_or_default();
            let path = quoted.split('(').next().unwrap_or_default();
            let is_there = if is_file(&quoted) {
                Path::new(env!("CARGO_MANIFEST_DIR")).join(&quoted).exists()
            } else if rooms.contains(room) && quoted.contains("::") {
                exists(&all, path)
            } else {
                continue;
            };
            checked += 1;
            if !is_there {
                missing.push(format!("{document}: `{quoted}`"));
            }
        }
    }
    assert!(
        checked > 20,
        "{checked} names found: are they still in backticks?"
    );
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

/// The sources, with strings that go on in the next line joined.
fn sources(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let mut pieces = text.split("\\\n");
            into.push_str(pieces.next().unwrap_or_default());
            pieces.for_each(|piece| into.push_str(piece.trim_start()));
        }
    }
}

#[test]
fn messages_that_operations_md_explains_are_in_the_code() {
    let (text, mut code) = (read("docs/operations.md"), String::new());
    sources(&source::root(), &mut code);
    let (_, rest) = text
        .split_once("\n## Messages of the daemon\n")
        .expect("the table of messages");
    let rows = rest.lines().take_while(|line| !line.starts_with("## "));
    let firsts = rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let (mut missing, mut checked) = (Vec::new(), 0);
    for cell in firsts {
        for message in cell.split('`').step_by(2) {
            for part in message.split("...").flat_map(|part| part.split("METHOD")) {
                let part = part.trim_matches([' ', ':', ';']);
                if part.len() > 3 {
                    checked += 1;
                    missing.extend((!code.contains(part)).then_some(part));
                }
            }
        }
    }
    assert!(checked > 12, "{checked} messages found");
    assert!(missing.is_empty(), "no message of the daemon: {missing:#?}");
}

#[test]
fn what_does_not_exist_is_found() {
    let all = Crate::read();
    assert!(exists(&all, "model") && exists(&all, "model::Pod"));
    assert!(!exists(&all, "model::Pot") && !exists(&all, "mode"));
    assert!(!exists(&all, "model::Pod::no_such_field"));
    assert_eq!(
        quoted("a `b` c\n\n```sh\n`d`\n```\n`e::f` `g"),
        ["b", "e::f", "g"]
    );
    assert!(is_file("src/lib.rs") && !is_file("src/lib.rs and more") && !is_file("make test"));
}
