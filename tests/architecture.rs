//! Holds the code to the map in `src/lib.rs`: a file imports from its own room and from the floors
//! below; rooms on one floor do not know each other; and `cri` can see neither
//! `interlink` nor `kube`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The floors, from the ground up. `cli` and `daemon` are the top: they may see everything.
const FLOORS: &[&[&str]] = &[
    &["model", "proto", "telemetry", "threads", "backoff", "quantity"],
    &["config", "tls"],
    &["kubelet", "plan"],
    &["convert"],
    &["store", "interlink", "logs", "host", "kube"],
    &["cri", "worker", "plugin"],
    &["cli", "daemon"],
];

/// Edges that are forbidden although they lead downwards.
const FORBIDDEN: &[(&str, &str)] = &[
    ("cri", "interlink"),
    ("cri", "kube"),
    ("plugin", "store"),
    ("plugin", "logs"),
    ("plugin", "host"),
    ("plugin", "kube"),
    ("plugin", "plan"),
];

/// Edges that are allowed although they do not lead downwards.
const ALLOWED: &[(&str, &str)] = &[("cli", "daemon")];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn is_allowed(from: &str, to: &str) -> bool {
    if from == to || ALLOWED.contains(&(from, to)) {
        return true;
    }
    match (floor(from), floor(to)) {
        (Some(here), Some(there)) => there < here && !FORBIDDEN.contains(&(from, to)),
        _ => false,
    }
}

/// The rooms that a file names after `crate::`, in paths and in grouped imports.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            rooms.push(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut start = true;
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => start = true,
                c if start && depth == 1 && c.is_alphabetic() => {
                    rooms.push(word(&group[index..]));
                    start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What a file says outside its tests: unit tests may take records from any room.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(text)
}

#[test]
fn nothing_imports_upwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let mut broken = Vec::new();
    for path in found {
        let relative = path.strip_prefix(&root).expect("below src");
        let first = relative.components().next().expect("a part").as_os_str();
        let room = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        let name = relative.to_string_lossy();
        let is_test = name.contains("/tests") || name.ends_with("testing.rs");
        if room == "lib" || room == "main" || is_test {
            continue;
        }
        assert!(
            floor(&room).is_some(),
            "{} lies in no room of the map",
            path.display()
        );
        let text = fs::read_to_string(&path).expect("a readable file");
        for to in rooms_named(without_tests(&text)) {
            if !is_allowed(&room, &to) {
                broken.push(format!("{name}: {room} imports {to}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "the map in src/lib.rs is broken:\n{}",
        broken.join("\n")
    );
}

#[test]
fn the_test_can_fail() {
    assert!(!is_allowed("model", "store"), "upwards");
    assert!(!is_allowed("store", "interlink"), "sideways");
    assert!(!is_allowed("cri", "interlink"), "forbidden");
    assert!(is_allowed("cri", "store") && is_allowed("store", "store"));
    let text = "use crate::{\n    a::{b, c},\n    d,\n};\nuse crate::e::f; let x = crate::g::h();";
    assert_eq!(rooms_named(text), ["a", "d", "e", "g"]);
}

/// No async runtime, not even inside a dependency that is linked.
#[test]
fn no_async_runtime_is_linked() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"));
    let lock = lock.expect("Cargo.lock");
    for runtime in ["tokio", "async-std", "smol"] {
        assert!(
            !lock.contains(&format!("name = \"{runtime}\"\n")),
            "{runtime} is in Cargo.lock"
        );
    }
}
