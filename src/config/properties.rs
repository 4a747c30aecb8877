//! What becomes of any configuration file.

use std::path::Path;

use super::{load, Config, Error, Sources};

/// A password as the seeds have it.
const SECRET: &str = "hunter2";
/// What stands around the values of a configuration.
const DELIMITERS: [char; 4] = ['\'', '"', '`', ','];

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
    let shown = match load::from_text(text, Path::new("/config.toml"), &sources) {
        Ok(config) => {
            let printed = super::print(&config);
            assert_eq!(toml::from_str::<Config>(&printed).as_ref(), Ok(&config));
            printed
        }
        Err(error) => {
            names_its_place(&error);
            error.to_string()
        }
    };
    if is_within_urls(input) {
        assert!(!shown.contains(SECRET), "{shown}");
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

/// Whether each secret in the text is a password in a URL: `USER:hunter2@HOST`.
fn is_within_urls(input: &str) -> bool {
    let is_delimiter = |c: char| c.is_whitespace() || c.is_control() || DELIMITERS.contains(&c);
    input.split(is_delimiter).all(|word| {
        let (before, after) = match word.rsplit_once(SECRET) {
            Some(around) => around,
            None => return true,
        };
        before.contains("://") && before.ends_with(':') && after.starts_with('@')
    })
}
