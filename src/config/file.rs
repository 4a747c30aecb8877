//! The file, read to its end: an entry that is wrong is named and left out, and reading goes on, so
//! that an administrator learns of all of them at once.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use toml::{
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
    Spanned,
};

use super::Config;

/// Faults of one file that are named; each takes one more look at all of it.
const MAX_FAULTS: usize = 50;

/// The configuration that a text has, without the entries that are wrong, and what is wrong with
/// each of those: line, column, the line itself.
///
/// # Errors
/// What is wrong with a text that is no TOML, once for each line. Which entries it has is not known
/// then.
pub(super) fn read(text: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    let (mut table, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return Err(first_of_each_line(text, &syntax));
    }
    let mut wrong = Vec::new();
    loop {
        let mut error = match Config::deserialize(Deserializer::from(table.clone())) {
            Ok(config) => return Ok((config, wrong)),
            Err(error) => error,
        };
        error.set_input(Some(text));
        wrong.push(error.to_string());
        let place = error.span().filter(|_| wrong.len() < MAX_FAULTS);
        if !place.is_some_and(|place| leave_out(table.get_mut(), place.start)) {
            return Ok((Config::default(), wrong));
        }
    }
}

/// One mistake can make several errors on its line.
fn first_of_each_line(text: &str, errors: &[Error]) -> Vec<String> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let mut seen = BTreeSet::new();
    let mut is_new = |error: &&Error| seen.insert(error.span().map(|place| line(place.start)));
    let firsts = errors.iter().filter(|error| is_new(error));
    firsts.map(ToString::to_string).collect()
}

/// Takes the smallest entry at a place out of a table. False where there is none.
fn leave_out(table: &mut DeTable<'_>, at: usize) -> bool {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        if key.span().contains(&at) {
            found = Some(key.clone());
            break;
        }
        if !covers(value, at) {
            continue;
        }
        let is_out = match value.get_mut() {
            DeValue::Table(inner) => leave_out(inner, at),
            DeValue::Array(list) => leave_out_of_list(list, at),
            _ => false,
        };
        if is_out {
            return true;
        }
        found = Some(key.clone());
        break;
    }
    found.is_some_and(|key| table.remove(&key).is_some())
}

/// An element of a list goes as a whole: without one of its keys, it would lack that one.
fn leave_out_of_list(list: &mut DeArray<'_>, at: usize) -> bool {
    let others = list.iter().filter(|element| !covers(element, at));
    let others: DeArray<'_> = others.cloned().collect();
    let is_out = others.len() < list.len();
    *list = others;
    is_out
}

/// Whether a place is in a value. The span of a table under a header is that of the header.
fn covers(value: &Spanned<DeValue<'_>>, at: usize) -> bool {
    let within = match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .any(|(key, value)| key.span().contains(&at) || covers(value, at)),
        DeValue::Array(list) => list.iter().any(|element| covers(element, at)),
        _ => false,
    };
    within || value.span().contains(&at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_entry_is_named_and_the_others_are_read() {
        let text = "[interlnk]\nurl = 'x'\n[interlink]\nworkers = 'many'\nurl = 'http://h:1'\n\
                    [jobs]\nquite_period = '1s'\npoll_min = 'soon'\npoll_max = '7s'\n\
                    [[states.handlers]]\nexit_code = 'x'\n[[states.handlers]]\nwhen_reason = 'A'\n\
                    [cri]\nruntime_handlers = ['a', 1]\n[cri.more]\n";
        let (config, wrong) = read(text).expect("is TOML");
        for line in [1, 4, 7, 8, 11, 15, 16] {
            let place = format!("line {line},");
            let named = wrong.iter().filter(|text| text.contains(&place)).count();
            assert_eq!(named, 1, "{place} {wrong:#?}");
        }
        assert_eq!(wrong.len(), 7, "{wrong:#?}");
        assert_eq!(config.interlink.url.as_deref(), Some("http://h:1"));
        assert_eq!(config.jobs.poll_max.as_secs(), 7);
        assert_eq!(config.states.handlers.len(), 1);
        assert_eq!(config.cri.runtime_handlers, ["a"]);
    }

    #[test]
    fn each_line_that_is_no_toml_is_named_once() {
        let wrong =
            read("[jobs\npoll_min = = '1s'\npoll_max = '7s'\n[cri]\nx\n").expect_err("none");
        assert_eq!(wrong.len(), 3, "{wrong:#?}");
    }

    #[test]
    fn faults_without_end_end() {
        let text: String = (0..1000).map(|n| format!("key{n} = 1\n")).collect();
        let (_, wrong) = read(&text).expect("is TOML");
        assert_eq!(wrong.len(), MAX_FAULTS);
    }
}
