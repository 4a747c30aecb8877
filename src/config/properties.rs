//! What becomes of any configuration file.

use std::path::Path;

use super::{load, Config, Error, Sources};

/// A password as the seeds have it.
const SECRET: &str = "hunter2";

/// A configuration file; behind a line `---` come environment variables, `NAME=VALUE` each.
/// Refused with a text that names the place, or printed so that it reads back. A password in a URL
/// is never shown.
pub fn any_file(input: &str) {
    let (text, variables) = input.split_once("\n---\n").unwrap_or((input, ""));
    let environment = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let sources = Sources {
        environment,
        ..Sources::default()
    };
    match load::from_text(text, Path::new("/config.toml"), &sources) {
        Ok(config) => {
            let again = toml::from_str::<Config>(&super::print(&config));
            assert_eq!(again.as_ref(), Ok(&config), "what is printed reads back");
            let url = config.interlink.url.unwrap_or_default();
            assert!(!is_within_urls(input) || !url.contains(SECRET), "{url}");
        }
        Err(error) => {
            names_its_place(&error);
            let shown = error.to_string();
            assert!(!is_within_urls(input) || !shown.contains(SECRET), "{shown}");
        }
    }
}

fn names_its_place(error: &Error) {
    let text = error.to_string();
    match error {
        Error::Parse { file, .. } => {
            assert!(text.contains(&*file.to_string_lossy()) && text.contains("line "));
        }
        Error::Override { name, why } => assert!(text.contains(name) && !why.is_empty()),
        Error::Faults(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(text.contains(fault.key) && !fault.why.is_empty());
            }
        }
        Error::Read { .. } => panic!("there is no file to read"),
    }
}

/// Whether each secret in the text is a password in a URL, or may be: `://...hunter2...@`.
fn is_within_urls(input: &str) -> bool {
    input.lines().all(|line| {
        let Some(first) = line.find(SECRET) else {
            return true;
        };
        let begin = line.find("://");
        begin.is_some_and(|begin| begin < first) && line.rfind('@') > line.rfind(SECRET)
    })
}
