//! Lines of the daemon's log: which keys they may have, and what stands in keys instead of in words.

use std::{collections::BTreeSet, fs, path::Path};

use interlink_cri::daemon_log::KEYS;
use proc_macro2::{TokenStream, TokenTree};

use crate::source;

/// The macros that write a line.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "log"];

/// A line as it is written in the source.
#[derive(Debug, PartialEq)]
struct Line {
    keys: Vec<String>,
    message: String,
}

/// All lines that these tokens write.
fn lines(tokens: TokenStream, found: &mut Vec<Line>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        let word = |back: usize| at.checked_sub(back).map(|at| tokens[at].to_string());
        let is_line = word(1).as_deref() == Some("!")
            && word(2).is_some_and(|name| MACROS.contains(&name.as_str()))
            && word(5).as_deref() == Some("log");
        if is_line {
            found.push(line(group.stream()));
        }
        lines(group.stream(), found);
    }
}

fn line(arguments: TokenStream) -> Line {
    let mut parts: Vec<Vec<TokenTree>> = vec![Vec::new()];
    let mut keys = None;
    for token in arguments {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                keys = Some(std::mem::replace(&mut parts, vec![Vec::new()]));
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(Vec::new()),
            _ => parts.last_mut().expect("one at least").push(token),
        }
    }
    let first = |part: &Vec<TokenTree>| part.first().map(ToString::to_string);
    let keys = keys.unwrap_or_default();
    // A level, or `target: X`, comes before the keys.
    let keys = keys.iter().filter_map(first);
    let keys = keys.filter(|word| !["level", "target"].contains(&word.as_str()));
    let message = parts
        .iter()
        .filter_map(first)
        .find(|word| word.starts_with('"'));
    Line {
        keys: keys.collect(),
        message: message.unwrap_or_default(),
    }
}

fn files(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let below = path.strip_prefix(source::root()).expect("below src");
            found.push((below.display().to_string(), text));
        }
    }
}

fn all_lines() -> Vec<(String, Line)> {
    let mut sources = Vec::new();
    files(&source::root(), &mut sources);
    let mut all = Vec::new();
    for (file, text) in sources {
        let mut found = Vec::new();
        lines(text.parse().expect("tokens"), &mut found);
        all.extend(found.into_iter().map(|line| (file.clone(), line)));
    }
    all
}

#[test]
fn lines_are_found_with_their_keys() {
    let mut found = Vec::new();
    let text = r#"fn f() { log::log!(level, jobs = count(1, 2), error:% = e; "it {x}", y); g(|| log::info!("{a}")) }"#;
    lines(text.parse().expect("tokens"), &mut found);
    let line = |keys: &[&str], message: &str| Line {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        message: message.to_owned(),
    };
    assert_eq!(
        found,
        [line(&["jobs", "error"], "\"it {x}\""), line(&[], "\"{a}\"")]
    );
}

/// A key is one of those that the documents explain, and each of those is one that some line has.
#[test]
fn every_key_is_one_of_the_list() {
    let all = all_lines();
    assert!(all.len() > 100, "{} lines", all.len());
    let known: BTreeSet<_> = KEYS.iter().map(|(key, _)| *key).collect();
    let mut used = BTreeSet::new();
    for (file, line) in &all {
        for key in &line.keys {
            assert!(known.contains(key.as_str()), "{file}: {key} in {line:?}");
            used.insert(key.as_str());
        }
    }
    let scope = fs::read_to_string(source::root().join("daemon_log/scope.rs")).expect("text");
    for key in known {
        let is_noted = scope.contains(&format!("(\"{key}\","));
        assert!(used.contains(key) || is_noted, "no line has {key}");
    }
}

/// What a line is about stands in keys, where programs find it: no line of the daemon names a pod, a job or
/// an error within its message. The plugin behind its wall has lines of its own.
#[test]
fn what_a_line_is_about_is_in_its_keys() {
    let in_words = [
        "pod {",
        "pods {",
        "job {uid",
        "job {}",
        "container {",
        "{error",
        "{reason}",
        "{name}:",
        "{about}",
        "{}: {}",
        "more like this",
    ];
    for (file, line) in all_lines() {
        let room = file.split('/').next().unwrap_or_default();
        if ["plugin", "cli", "net", "store"].contains(&room) {
            continue;
        }
        for words in in_words {
            assert!(!line.message.contains(words), "{file}: {words} in {line:?}");
        }
    }
}

/// The page for administrators explains every key.
#[test]
fn every_key_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).expect("docs/operations.md");
    for (key, meaning) in KEYS {
        let row = format!("| `{key}` | {meaning} |");
        assert!(page.contains(&row), "docs/operations.md lacks:\n{row}");
    }
}
