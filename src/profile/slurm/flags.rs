//! Flags for sbatch, in the annotation that the plugin takes them from.

/// The annotation: words as sbatch takes them, with spaces between.
pub const FLAGS: &str = "slurm-job.vk.io/flags";
/// The annotation with the name of a set of flags in the plugin's configuration.
pub const FLAVOR: &str = "slurm-job.vk.io/flavor";

/// A flag that sites set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// `--partition`, `-p`
    Partition,
    /// `--account`, `-A`
    Account,
    /// `--qos`, `-q`
    Qos,
}

impl Flag {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Partition => ("--partition", "-p"),
            Self::Account => ("--account", "-A"),
            Self::Qos => ("--qos", "-q"),
        }
    }

    /// How many words this flag takes where it begins with this one: `--qos=a` and `-qa` are one
    /// word, `--qos a` and `-q a` two. None if it is another flag.
    fn words(self, word: &str) -> Option<usize> {
        let (long, short) = self.names();
        if word == long || word == short {
            return Some(2);
        }
        let value = word
            .strip_prefix(long)
            .and_then(|rest| rest.strip_prefix('='));
        (value.is_some() || word.starts_with(short)).then_some(1)
    }
}

/// Whether flags have this one.
pub fn has(flags: &str, flag: Flag) -> bool {
    without(flags, flag).len() < flags.split_whitespace().count()
}

/// Whether flags say how much memory a job has: `--mem`, `--mem-per-cpu`, `--mem-per-gpu`.
pub fn have_memory(flags: &str) -> bool {
    let mut words = flags.split_whitespace();
    words.any(|word| {
        let rest = word.strip_prefix("--mem");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '-']))
    })
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
