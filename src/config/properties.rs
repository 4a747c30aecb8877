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
    let environment: Vec<_> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // A name is no place for one.
    let named = environment.iter().any(|(name, _)| name.contains(SECRET));
    let values = environment.iter().map(|(_, value)| value.as_str());
    let hides = !named && is_within_urls(text.lines().chain(values));
    let sources = Sources {
        environment,
        ..Sources::default()
    };
    match load::from_text(text, Path::new("/config.toml"), &sources) {
        (config, None) => {
            let again = toml::from_str::<Config>(&super::print(&config));
            assert_eq!(again.as_ref(), Ok(&config), "what is printed reads back");
            let url = config.interlink.url.unwrap_or_default();
            assert!(!hides || !url.contains(SECRET), "{url}");
        }
        (_, Some(error)) => {
            names_its_place(&error);
            let shown = error.to_string();
            assert!(!hides || !shown.contains(SECRET), "{shown}");
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
        Error::Several(errors) => {
            assert!(errors.len() > 1);
            errors.iter().for_each(names_its_place);
        }
        Error::Read { .. } => panic!("there is no file to read"),
    }
}

/// Whether each secret in the texts is a password in a URL, or may be: `://...hunter2...@`.
fn is_within_urls<'a>(mut lines: impl Iterator<Item = &'a str>) -> bool {
    lines.all(|line| {
        let Some(first) = line.find(SECRET) else {
            return true;
        };
        let begin = line.find("://");
        begin.is_some_and(|begin| begin < first) && line.rfind('@') > line.rfind(SECRET)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line of the sample, with its own value or another.
    fn line() -> impl Strategy<Value = String> {
        let lines: Vec<String> = super::super::sample()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| line.contains(" = ") && !line.starts_with(' '))
            .map(str::to_owned)
            .collect();
        let value = prop_oneof![
            Just("'https://me:hunter2@host'".to_owned()),
            any::<u64>().prop_map(|number| number.to_string()),
            (any::<u64>(), "[a-z]{1,2}").prop_map(|(number, unit)| format!("'{number}{unit}'")),
            "'[/.a-z ]{0,20}'",
        ];
        (proptest::sample::select(lines), proptest::option::of(value)).prop_map(|(line, value)| {
            let key = line.split(" = ").next().unwrap_or_default();
            value.map_or(line.clone(), |value| format!("{key} = {value}"))
        })
    }

    proptest! {
        #[test]
        fn any_values_are_named_or_read_back(
            section in proptest::sample::select(&["daemon", "cri", "interlink", "jobs", "logs"][..]),
            line in line(),
            variable in "(INTERLINK_CRI_(JOBS|CRI|X)(_POLL_MIN|_WORKERS|_)?=[a-z0-9:/@.']{0,12})?",
        ) {
            any_file(&format!("[{section}]\n{line}\n---\n{variable}"));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,60}", near in "[a-z_=\"'\n0-9.\\[\\]]{0,60}") {
            any_file(&text);
            any_file(&near);
        }
    }
}
