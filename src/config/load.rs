//! Where values come from: defaults, then the file, then the environment, then flags.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{check, file, secret::without_passwords, Config, Fault};

/// Where the file is looked for unless another is named. It need not be there.
pub const DEFAULT_FILE: &str = "/etc/interlink-cri/config.toml";
/// Beginning of the environment variables: `INTERLINK_CRI_<SECTION>_<KEY>`.
const PREFIX: &str = "INTERLINK_CRI_";

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named; without one, the default file is read if it is there.
    pub file: Option<PathBuf>,
    /// Environment variables, all of them.
    pub environment: Vec<(String, String)>,
    /// Flags, as dotted keys with values.
    pub flags: Vec<(&'static str, String)>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the TOML that it should be.
    Parse {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        text: String,
    },
    /// A variable or flag names no key, or has a value that the key does not take.
    Override {
        /// The variable or flag.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Values that cannot be used; all of them.
    Faults(Vec<Fault>),
    /// More than one of these, in the order in which the sources are read.
    Several(Vec<Error>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, source } => write!(f, "{}: {source}", file.display()),
            Self::Parse { file, text } => write!(f, "{}: {text}", file.display()),
            Self::Override { name, why } => write!(f, "{name}: {why}"),
            Self::Faults(faults) => {
                let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Several(errors) => {
                let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for Error {}

/// Reads the configuration and checks it, as far as that can be done on any machine.
///
/// # Errors
/// A file that was named and cannot be read; TOML or keys that are wrong; values that cannot be
/// used. All of them at once, except where the file is no TOML: what stands in it is then not known.
pub fn load(sources: &Sources) -> Result<Config, Error> {
    match examine(sources) {
        (config, None) => Ok(config),
        (_, Some(error)) => Err(error),
    }
}

/// The same, with the configuration in any case: where something is wrong, it has the default in its
/// place, so that the rest can be looked at.
pub fn examine(sources: &Sources) -> (Config, Option<Error>) {
    let file = sources.file.as_deref();
    match read(file) {
        Ok(text) => from_text(&text, file.unwrap_or(Path::new(DEFAULT_FILE)), sources),
        Err(error) => (Config::default(), Some(error)),
    }
}

/// The same, with the text of the file at hand.
pub(super) fn from_text(text: &str, file: &Path, sources: &Sources) -> (Config, Option<Error>) {
    let unreadable = |text: String| Error::Parse {
        file: file.into(),
        // It shows the line that is wrong.
        text: without_passwords(text.trim_end()),
    };
    let (mut config, wrong) = match file::read(text) {
        Ok(read) => read,
        Err(wrong) => {
            let errors = wrong.into_iter().map(unreadable).collect();
            return (Config::default(), one(errors));
        }
    };
    let mut errors: Vec<_> = wrong.into_iter().map(unreadable).collect();
    let environment = sources.environment.iter().filter_map(|(name, value)| {
        let rest = name.strip_prefix(PREFIX)?;
        let (section, key) = rest.split_once('_').unwrap_or((rest, ""));
        let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
        Some((name.as_str(), key, value))
    });
    let flags = sources.flags.iter();
    let flags = flags.map(|(key, value)| (*key, (*key).to_owned(), value));
    for (name, key, value) in environment.chain(flags) {
        match with(&config, name, &key, value) {
            Ok(changed) => config = changed,
            Err(error) => errors.push(error),
        }
    }
    let faults = check::faults(&config);
    if !faults.is_empty() {
        errors.push(Error::Faults(faults));
    }
    (config, one(errors))
}

/// Errors as one; none where there are none.
fn one(mut errors: Vec<Error>) -> Option<Error> {
    if errors.len() > 1 {
        Some(Error::Several(errors))
    } else {
        errors.pop()
    }
}

fn read(named: Option<&Path>) -> Result<String, Error> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    match fs::read_to_string(file) {
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        read => read.map_err(|source| Error::Read {
            file: file.into(),
            source,
        }),
    }
}

/// The configuration with one key set from text.
///
/// It is written and read as a file is: to read it from a tree as well would be a quarter of a megabyte of the
/// program.
fn with(config: &Config, name: &str, key: &str, value: &str) -> Result<Config, Error> {
    let wrong = |why: String| Error::Override {
        name: without_passwords(name),
        why: without_passwords(&why),
    };
    let (section, key) = key.split_once('.').unwrap_or((key, ""));
    let written: Table = print(config)
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    if !matches!(written.get(section), Some(Value::Table(_))) {
        return Err(wrong(format!("there is no section [{section}]")));
    }
    let set_to = |value: Value| -> Result<Config, String> {
        let mut table = written.clone();
        if let Some(Value::Table(keys)) = table.get_mut(section) {
            keys.insert(key.to_owned(), value);
        }
        toml::from_str(&table.to_string()).map_err(|error| error.message().to_owned())
    };
    set_to(Value::String(value.to_owned())).or_else(|error| {
        // Numbers, booleans and lists are written as in TOML.
        let other = value.parse::<Value>().ok();
        let other = other.and_then(|value| set_to(value).ok());
        other.ok_or_else(|| wrong(error))
    })
}

/// A configuration as TOML. It holds no secrets, only the paths of files that do; a URL with a
/// password in it is refused before it gets here.
pub fn print(config: &Config) -> String {
    toml::to_string_pretty(config).unwrap_or_else(|error| format!("# {error}\n"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sources(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> (tempfile::NamedTempFile, Sources) {
        let file = tempfile::NamedTempFile::new().expect("file");
        fs::write(file.path(), text).expect("writes");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            file: Some(file.path().into()),
            environment: environment.iter().map(own).collect(),
            flags: flags
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
        };
        (file, sources)
    }

    #[test]
    fn later_sources_win() {
        let text = "[interlink]\nurl = 'http://file:1'\nworkers = 2\n[jobs]\nquiet_period = '2s'\n";
        let environment = [
            ("INTERLINK_CRI_INTERLINK_URL", "http://environment:1"),
            ("INTERLINK_CRI_INTERLINK_WORKERS", "3"),
            ("INTERLINK_CRI_CRI_RUNTIME_HANDLERS", "['gpu']"),
            ("PATH", "/bin"),
        ];
        let (_file, sources) = sources(text, &environment, &[("interlink.url", "http://flag:1")]);
        let config = load(&sources).expect("loads");
        assert_eq!(config.interlink.url.as_deref(), Some("http://flag:1"));
        assert_eq!(config.interlink.workers, 3);
        assert_eq!(config.cri.runtime_handlers, ["gpu"]);
        assert_eq!(config.jobs.quiet_period, Duration::from_secs(2));
        assert_eq!(config.jobs.poll_max, Config::default().jobs.poll_max);
    }

    #[test]
    fn mistakes_are_named() {
        type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
        let rows: [Row<'_>; 6] = [
            (
                "an unknown key",
                "[jobs]\nquite_period = '1s'\n",
                &[],
                &["line 2", "quite_period"],
            ),
            ("an unknown section", "[job]\n", &[], &["line 1", "job"]),
            ("no TOML", "jobs = [", &[], &["line 1"]),
            (
                "a wrong type",
                "[interlink]\nworkers = 'many'\n",
                &[],
                &["line 2"],
            ),
            (
                "a wrong duration",
                "[jobs]\nquiet_period = 'soon'\n",
                &[],
                &["line 2", "soon"],
            ),
            (
                "an unknown variable",
                "",
                &[("INTERLINK_CRI_JOBS_QUIET", "1s")],
                &["INTERLINK_CRI_JOBS_QUIET", "quiet"],
            ),
        ];
        for (name, text, environment, want) in rows {
            let (_file, sources) = sources(text, environment, &[]);
            let error = load(&sources).expect_err(name).to_string();
            for part in want {
                assert!(error.contains(part), "{name}: {part} is not in: {error}");
            }
        }
    }

    #[test]
    fn mistakes_of_all_sources_come_at_once() {
        let text = "[jobs]\nquite_period = '1s'\npoll_min = 'soon'\npoll_batch = 0\n";
        let environment = [
            ("INTERLINK_CRI_CRI_HANDLER", "1"),
            ("INTERLINK_CRI_CRI_QUEUE_LENGTH", "0"),
        ];
        let (_file, sources) = sources(text, &environment, &[("interlink.workers", "many")]);
        let error = load(&sources).expect_err("wrong").to_string();
        for part in [
            "quite_period",
            "line 3",
            "jobs.poll_batch",
            "INTERLINK_CRI_CRI_HANDLER",
            "cri.queue_length",
            "interlink.workers",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn only_a_file_that_was_named_must_be_there() {
        let missing = Sources {
            file: Some("/nowhere/config.toml".into()),
            ..Sources::default()
        };
        assert!(load(&missing)
            .expect_err("missing")
            .to_string()
            .contains("/nowhere/config.toml"));
    }

    #[test]
    fn what_is_printed_reads_back() {
        let mut config = Config::default();
        config.interlink.not_ready_after = Some(Duration::from_millis(90_500));
        let again: Config = toml::from_str(&print(&config)).expect("reads");
        assert_eq!(again, config);
    }
}
