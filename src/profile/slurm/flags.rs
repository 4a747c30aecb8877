//! Flags for sbatch, in the annotation that the plugin takes them from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::text::{beginning, one_line};

/// The annotation: words as sbatch takes them, with spaces between.
pub const FLAGS: &str = "slurm-job.vk.io/flags";
/// The annotation with the name of a set of flags in the plugin's configuration.
pub const FLAVOR: &str = "slurm-job.vk.io/flavor";

/// A flag that sites set, or that amounts stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// `--partition`, `-p`
    Partition,
    /// `--account`, `-A`
    Account,
    /// `--qos`, `-q`
    Qos,
    /// `--cpus-per-task`, `-c`
    CpusPerTask,
    /// `--mem`
    Memory,
    /// `--time`, `-t`
    Time,
    /// `--signal`
    Signal,
    /// `--gres`
    Gres,
}

impl Flag {
    fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Partition => ("--partition", Some("-p")),
            Self::Account => ("--account", Some("-A")),
            Self::Qos => ("--qos", Some("-q")),
            Self::CpusPerTask => ("--cpus-per-task", Some("-c")),
            Self::Memory => ("--mem", None),
            Self::Time => ("--time", Some("-t")),
            Self::Signal => ("--signal", None),
            Self::Gres => ("--gres", None),
        }
    }

    /// How many words this flag takes where it begins with this one: `--qos=a` and `-qa` are one
    /// word, `--qos a` and `-q a` two. None if it is another flag.
    fn words(self, word: &str) -> Option<usize> {
        let (long, short) = self.names();
        if word == long || Some(word) == short {
            return Some(2);
        }
        self.value_in(word).map(|_| 1)
    }

    /// The value in a word that has it with the flag: `--qos=a`, `-qa`.
    fn value_in(self, word: &str) -> Option<&str> {
        let (long, short) = self.names();
        let after_long = word.strip_prefix(long);
        let after_short = short.and_then(|short| word.strip_prefix(short));
        after_long
            .and_then(|rest| rest.strip_prefix('='))
            .or(after_short)
    }
}

/// The flags among annotations, as they may be written down: one line, without the values of the job's
/// variables, which may be secrets.
pub fn shown(metadata: &ObjectMeta) -> Option<String> {
    let flags = metadata.annotations.as_ref()?.get(FLAGS)?;
    let mut words = Vec::new();
    let mut hides_next = false;
    for word in flags.split_whitespace() {
        let name = word.trim_matches(['"', '\'', '\\']).strip_prefix("--");
        let name = name.map(|rest| rest.split('=').next().unwrap_or_default());
        let is_export = name.is_some_and(|name| name.len() > 2 && "export".starts_with(name));
        // Whatever belongs to the value: words up to the next flag.
        hides_next = is_export || (hides_next && !word.starts_with('-'));
        match (is_export, hides_next) {
            (true, _) => words.push("--export=(hidden)"),
            (false, true) => {}
            (false, false) => words.push(word),
        }
    }
    Some(one_line(&words.join(" ")))
}

/// The partition that flags among annotations ask for, else the flavor: one line, cut to the longest name
/// that people give one.
pub fn partition(metadata: &ObjectMeta) -> Option<String> {
    const LONGEST: usize = 64;
    let annotations = metadata.annotations.as_ref()?;
    let flags = annotations.get(FLAGS);
    let asked = flags.and_then(|flags| value(flags, Flag::Partition));
    let name = asked.or_else(|| annotations.get(FLAVOR).cloned())?;
    let name = one_line(name.trim_matches(['"', '\'', '\\']));
    Some(beginning(&name, LONGEST).to_owned())
}

/// Whether flags have this one.
pub fn has(flags: &str, flag: Flag) -> bool {
    without(flags, flag).len() < flags.split_whitespace().count()
}

/// The value that flags give to this one, the last time that they do; none where they do not.
pub fn value(flags: &str, flag: Flag) -> Option<String> {
    let mut value = None;
    let mut words = flags.split_whitespace();
    while let Some(word) = words.next() {
        match flag.words(word) {
            Some(2) => value = words.next(),
            Some(_) => value = flag.value_in(word),
            None => {}
        }
    }
    value.map(str::to_owned)
}

/// Whether flags say how much memory a job has: `--mem`, `--mem-per-cpu`, `--mem-per-gpu`.
pub fn have_memory(flags: &str) -> bool {
    let mut words = flags.split_whitespace();
    words.any(|word| {
        let rest = word.strip_prefix("--mem");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '-']))
    })
}

/// Whether flags say something of GPUs, or of other generic resources: `--gres`, `--gpus`, `-G`,
/// `--gpus-per-node` and their like, `--tres-per-task`.
pub fn have_gpus(flags: &str) -> bool {
    const BEGINNINGS: [&str; 4] = ["--gres", "--gpus", "-G", "--tres-per"];
    let mut words = flags.split_whitespace();
    words.any(|word| BEGINNINGS.iter().any(|begins| word.starts_with(begins)))
}

/// Flags with this one set, in the place of what they say of it.
pub fn with(flags: &str, flag: Flag, value: &str) -> String {
    let mut words = without(flags, flag);
    let set = format!("{}={value}", flag.names().0);
    words.push(&set);
    words.join(" ")
}

fn without(flags: &str, flag: Flag) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut words = flags.split_whitespace();
    while let Some(word) = words.next() {
        match flag.words(word) {
            Some(2) => drop(words.next()),
            Some(_) => {}
            None => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_among_flags() {
        for (flags, have) in [
            ("--mem=300", true),
            ("-p gpu --mem 4G", true),
            ("--mem-per-cpu=1G", true),
            ("", false),
            ("-p gpu", false),
            ("--member=1", false),
        ] {
            assert_eq!(have_memory(flags), have, "{flags}");
        }
    }

    #[test]
    fn values_of_flags() {
        for (flags, flag, want) in [
            ("-c 4", Flag::CpusPerTask, Some("4")),
            ("-c4 --mem=1G", Flag::CpusPerTask, Some("4")),
            ("--cpus-per-task 2 -c 8", Flag::CpusPerTask, Some("8")),
            ("-p gpu", Flag::CpusPerTask, None),
            ("-c", Flag::CpusPerTask, None),
            ("--mem=1G", Flag::Memory, Some("1G")),
            ("--mem 300", Flag::Memory, Some("300")),
            ("--mem-per-cpu=1G", Flag::Memory, None),
            ("", Flag::Memory, None),
        ] {
            assert_eq!(value(flags, flag).as_deref(), want, "{flags}");
        }
    }

    #[test]
    fn flags_are_shown_without_secrets() {
        for (flags, want) in [
            ("-p gpu\n --time=1", "-p gpu --time=1"),
            ("--export=ALL,TOKEN=hush -p gpu", "--export=(hidden) -p gpu"),
            ("--export 'A=hush b' -p gpu", "--export=(hidden) -p gpu"),
            ("'--exp=A=hush b'", "--export=(hidden)"),
        ] {
            let annotations = [(FLAGS.to_owned(), flags.to_owned())];
            let metadata = ObjectMeta {
                annotations: Some(annotations.into()),
                ..ObjectMeta::default()
            };
            assert_eq!(shown(&metadata).as_deref(), Some(want), "{flags}");
        }
        assert_eq!(shown(&ObjectMeta::default()), None);
    }

    #[test]
    fn a_flag_is_known_in_all_its_forms() {
        for flags in [
            "--partition=a",
            "--time=1 --partition a",
            "-p a --time=1",
            "-pa",
            "--time=1 -p",
        ] {
            assert!(has(flags, Flag::Partition), "{flags}");
            let got = with(flags, Flag::Partition, "gpu");
            assert!(
                got.ends_with("--partition=gpu") && !got.contains("-p "),
                "{flags}: {got}"
            );
            assert_eq!(
                got.contains("--time=1"),
                flags.contains("--time"),
                "{flags}: {got}"
            );
        }
        for flags in [
            "",
            "--time=1",
            "--partitions=a",
            "--parsable",
            "-A p",
            "--qos=-p",
        ] {
            assert!(!has(flags, Flag::Partition), "{flags}");
        }
        assert_eq!(with("", Flag::Account, "lab"), "--account=lab");
        assert_eq!(
            with(" -q  x --time=1", Flag::Qos, "low"),
            "--time=1 --qos=low"
        );
    }
}
