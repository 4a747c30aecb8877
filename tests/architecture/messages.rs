//! What users of pods read of the daemon is in `docs/messages.md`, with its cause and its cure: reasons of ends,
//! events, conditions, and every text that reaches them.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{Group, TokenStream, TokenTree};

use crate::source;

/// Where texts come from that reach users: rooms, directories and files below `src`.
const SHOWN: &[&str] = &[
    "bounded/in_flight.rs",
    "config/pattern.rs",
    "confined.rs",
    "convert/",
    "cri/",
    "disk/",
    "host/",
    "identity/",
    "interlink/",
    "logs/mod.rs",
    "plan/",
    "profile/known_ends.rs",
    "profile/slurm/options.rs",
    "profile/slurm/restrictions.rs",
    "quantity.rs",
    "store/budget.rs",
    "store/disk_error.rs",
    "store/index.rs",
    "store/mod.rs",
    "worker/node.rs",
];

/// Files among them whose texts do not: what the kubelet's own metrics mean, and why a daemon does not start.
const NOT_SHOWN: &[&str] = &["cri/metrics.rs", "cri/server.rs"];

/// Rooms whose words of the form `JobLost` are reasons, events and conditions.
const WORDS: &[&str] = &["cri/", "model/", "plan/", "worker/"];

/// Words of that form which mean something else.
const OTHER_WORDS: &[&str] = &["GPUs"];

/// Macros and methods whose texts are for the log, or for nobody.
const NOT_FOR_USERS: &[&str] = &["expect", "unreachable", "panic"];

/// The literals in tokens that users may read: not in tests, log lines and attributes, but for those of errors.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let is_inner = tokens.get(at).is_some_and(|token| token.to_string() == "!");
                at += usize::from(is_inner);
                if let Some(TokenTree::Group(group)) = tokens.get(at) {
                    at = attribute(group, &tokens, at + 1, found);
                }
            }
            TokenTree::Group(group) if !is_skipped(&tokens, at - 1) => {
                literals(group.stream(), found);
            }
            TokenTree::Literal(literal) => found.extend(text(&literal.to_string())),
            _ => {}
        }
    }
}

/// Reads an attribute; gives where to go on.
fn attribute(group: &Group, tokens: &[TokenTree], next: usize, found: &mut Vec<String>) -> usize {
    let words: Vec<String> = group
        .stream()
        .into_iter()
        .map(|it| it.to_string())
        .collect();
    let is_for_tests = group.stream().to_string().contains("test");
    match words.first().map(String::as_str) {
        Some("cfg") if is_for_tests => source::end_of_item(tokens, next),
        Some("error") => {
            literals(group.stream(), found);
            next
        }
        _ => next,
    }
}

/// Whether the group at this place holds the arguments of something that users never see.
fn is_skipped(tokens: &[TokenTree], at: usize) -> bool {
    let back = |steps: usize| at.checked_sub(steps).map(|at| tokens[at].to_string());
    let is_macro = back(1).as_deref() == Some("!");
    let name = back(if is_macro { 2 } else { 1 }).unwrap_or_default();
    let is_log = is_macro && back(5).as_deref() == Some("log");
    let is_assertion = is_macro && name.contains("assert");
    is_log || is_assertion || NOT_FOR_USERS.contains(&name.as_str())
}

/// The text of a string literal as it is written; none of another literal.
fn text(literal: &str) -> Option<String> {
    let inner = literal.trim_start_matches(['r', '#']).strip_prefix('"')?;
    let inner = inner.trim_end_matches('#').strip_suffix('"')?;
    let mut pieces = inner.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    let whole = pieces.fold(first, |text, piece| text + piece.trim_start());
    Some(whole.replace("\\\"", "\"").replace("\\n", " "))
}

/// What stands of a text whatever is put in: its parts between what differs, without quotes.
fn parts(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                plain.push_str("...");
            }
            '`' | '"' => {}
            _ if depth > 0 => {}
            _ => plain.push(letter),
        }
    }
    let parts = plain.split("...").map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// How many letters of a text a message of the document has, all of its parts in their order; none where one is
/// missing.
fn covered(message: &[String], text: &str) -> Option<usize> {
    let (mut at, mut letters) = (0, 0);
    for part in message {
        at += text[at..].find(part.as_str())? + part.len();
        letters += part.len();
    }
    Some(letters)
}

/// Whether a message of the document stands for a text: it has most of it, or the better part of a long one.
fn stands_for(message: &[String], text: &[String]) -> bool {
    const ENOUGH: usize = 24;
    let letters = text.iter().map(String::len).sum::<usize>().min(ENOUGH);
    let has = covered(message, &text.join("..."));
    has.is_some_and(|has| has * 5 >= letters * 4)
}

/// The literals of the files that begin with one of these.
fn texts_of(places: &[&str]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let modules = source::Crate::read();
    let files: BTreeSet<_> = modules.files().into_keys().map(str::to_owned).collect();
    for file in files {
        let is_one = places.iter().any(|place| file.starts_with(place));
        if !is_one || NOT_SHOWN.contains(&file.as_str()) {
            continue;
        }
        let content = fs::read_to_string(source::root().join(&file)).expect("a readable file");
        let mut found = Vec::new();
        literals(content.parse().expect("tokens"), &mut found);
        all.extend(found.into_iter().map(|text| (file.clone(), text)));
    }
    all
}

fn document() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    fs::read_to_string(page).expect("docs/messages.md")
}

/// What stands in backticks in the first cells of the tables.
fn first_cells(document: &str, cells: usize) -> Vec<String> {
    let rows = document.lines().filter_map(|row| row.strip_prefix("| "));
    let cells = rows.flat_map(|row| row.split(" | ").take(cells));
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

/// Whether a text is a sentence, or a part of one.
fn is_sentence(parts: &[String]) -> bool {
    parts
        .iter()
        .flat_map(|part| part.split_whitespace())
        .count()
        >= 3
}

/// Whether a word has the form of a reason.
fn is_reason(word: &str) -> bool {
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    capitals >= 2
        && word.starts_with(|letter: char| letter.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphanumeric())
        && word.contains(|letter: char| letter.is_ascii_lowercase())
}

#[test]
fn every_text_that_users_read_is_explained() {
    let cells = first_cells(&document(), 1);
    let messages: Vec<_> = cells.iter().map(|cell| parts(cell)).collect();
    let texts = texts_of(SHOWN);
    let mut missing = Vec::new();
    let mut checked = 0;
    for (file, text) in &texts {
        let text_parts = parts(text);
        if !is_sentence(&text_parts) {
            continue;
        }
        checked += 1;
        if !messages
            .iter()
            .any(|message| stands_for(message, &text_parts))
        {
            missing.push(format!("{file}: {text}"));
        }
    }
    assert!(checked > 150, "{checked} texts found");
    assert!(
        missing.is_empty(),
        "docs/messages.md says nothing of:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_text_that_is_explained_is_in_the_code() {
    let texts: Vec<_> = texts_of(SHOWN)
        .iter()
        .map(|(_, text)| parts(text))
        .collect();
    let cells = first_cells(&document(), 1);
    let sentences = cells.iter().filter(|cell| is_sentence(&parts(cell)));
    let gone: Vec<_> = sentences
        .filter(|cell| {
            let message = parts(cell);
            let is_of = |text: &Vec<String>| covered(&message, &text.join("...")).is_some();
            !texts.iter().any(is_of)
        })
        .collect();
    assert!(gone.is_empty(), "no text of the daemon: {gone:#?}");
}

#[test]
fn every_reason_event_and_condition_is_explained() {
    let document = document();
    let known: BTreeSet<_> = first_cells(&document, 2).into_iter().collect();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/cri/v1/api.proto");
    let rpcs = fs::read_to_string(proto).expect("the CRI");
    let mut words: BTreeSet<_> = texts_of(WORDS).into_iter().map(|(_, word)| word).collect();
    words.retain(|word| is_reason(word) && !OTHER_WORDS.contains(&word.as_str()));
    words.retain(|word| !rpcs.contains(&format!("rpc {word}(")));
    // The daemon's own reasons of ends, whatever their form.
    let ends = texts_of(&["model/exit.rs"])
        .into_iter()
        .map(|(_, word)| word);
    words.extend(ends.filter(|word| word.starts_with(|letter: char| letter.is_ascii_uppercase())));
    assert!(words.len() > 25, "{words:#?}");
    let missing: Vec<_> = words.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "docs/messages.md says nothing of {missing:?}"
    );
    let firsts = first_cells(&document, 1);
    let gone: Vec<_> = firsts
        .iter()
        .filter(|word| is_reason(word) && !words.contains(*word))
        .collect();
    assert!(gone.is_empty(), "not in the code: {gone:?}");
}

#[test]
fn what_users_never_see_is_left_out() {
    let code = r##"//! Of the module as a whole.
        #[error("an {x} error of things")] struct A;
        #[expect(dead_code, reason = "no one reads it")] struct B;
        fn f() {
            log::warn!(error; "a line of the log");
            let it = g().expect("never in this life");
            h(format!("it is {} that failed", 1), "and a second \
               text of two lines");
            assert!(x, "of an assertion only");
        }
        #[cfg(test)]
        mod tests { fn t() { f("in a test only") } }
    "##;
    let mut found = Vec::new();
    literals(code.parse().expect("tokens"), &mut found);
    let want = [
        "an {x} error of things",
        "it is {} that failed",
        "and a second text of two lines",
    ];
    assert_eq!(found, want);
    let message = |text: &str| parts(text);
    assert!(stands_for(
        &message("it is ... that failed"),
        &parts("it is {} that failed")
    ));
    assert!(stands_for(
        &message("... that failed"),
        &parts("{} that failed")
    ));
    assert!(!stands_for(
        &message("it is ..."),
        &parts("it is {} that failed")
    ));
    assert!(!stands_for(
        &message("that it"),
        &parts("it is {} that failed")
    ));
    assert!(is_reason("JobLost") && !is_reason("OOM") && !is_reason("Job lost"));
}
