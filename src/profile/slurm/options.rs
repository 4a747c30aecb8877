//! The options of sbatch, and what each of them can be used for by whoever writes a pod.
//!
//! The table is that of `src/common/slurm_opt.c` (SchedMD/slurm at 284c3b95, August 2026): the entries
//! that sbatch takes, and beside them some of srun and of older versions, because a spelling that a site's
//! sbatch might take is refused in any case. sbatch runs the words through `getopt_long`, so a name may
//! be abbreviated as long as it fits one option only.
//!
//! Why an option is denied follows from how jobs are submitted: by a plugin that runs as root and passes
//! the user as `--uid` (interlink-slurm-plugin at f8451d9, pkg/slurm/prepare.go, `produceSLURMScript`).
//! For slurmctld the sender is root, and sbatch opens with root's rights the files that it is given.

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No.
    Nothing,
    /// Yes: in the same word, or the next word, whatever that looks like.
    Value,
    /// Only in the same word.
    Optional,
}

/// What an option can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing that is another user's business.
    Free,
    /// It asks for cores, nodes or GPUs beside those of the pod.
    Resources,
    /// It names the account that pays.
    Account,
    /// It asks for a priority, which with a negative value only root may.
    Nice,
    /// Something else than the pod's author may do: what, in a relative clause.
    Denied(&'static str),
}

/// An option.
#[derive(Debug, PartialEq, Eq)]
pub struct SbatchOption {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its letter, if it has one.
    pub letter: Option<char>,
    /// Whether it has a value.
    pub takes: Takes,
    /// What it can be used for.
    pub is_for: Use,
}

const USER: &str = "changes the user or group of the job";
const ELSEWHERE: &str = "makes the job work in another directory or with other files";
const SHELL: &str = "runs a command around the job or changes how its script is run";
const ENVIRONMENT: &str = "changes the environment that the job's script begins with";
const READS: &str = "has a file read with the rights of whoever submits";
const UNSEEN: &str = "keeps the plugin from learning the job's id";
const SEVERAL: &str = "makes several jobs, or one on another cluster";
const ROOTS: &str = "is for administrators, and jobs are submitted by one";

const fn option(
    name: &'static str,
    letter: Option<char>,
    takes: Takes,
    is_for: Use,
) -> SbatchOption {
    SbatchOption {
        name,
        letter,
        takes,
        is_for,
    }
}

const fn free(name: &'static str, letter: Option<char>, takes: Takes) -> SbatchOption {
    option(name, letter, takes, Use::Free)
}

const fn resources(name: &'static str, letter: Option<char>, takes: Takes) -> SbatchOption {
    option(name, letter, takes, Use::Resources)
}

const fn denied(
    name: &'static str,
    letter: Option<char>,
    takes: Takes,
    why: &'static str,
) -> SbatchOption {
    option(name, letter, takes, Use::Denied(why))
}

use Takes::{Nothing, Optional, Value};

/// All options that are known.
pub const ALL: &[SbatchOption] = &[
    option("account", Some('A'), Value, Use::Account),
    free("acctg-freq", None, Value),
    denied("array", Some('a'), Value, SEVERAL),
    denied("autocomplete", None, Value, UNSEEN),
    free("batch", None, Value),
    free("bb", None, Value),
    denied("bbf", None, Value, READS),
    free("begin", Some('b'), Value),
    denied("chdir", Some('D'), Value, ELSEWHERE),
    denied("cluster", None, Value, SEVERAL),
    free("cluster-constraint", None, Value),
    denied("clusters", Some('M'), Value, SEVERAL),
    free("comment", None, Value),
    free("consolidate-segments", None, Nothing),
    free("constraint", Some('C'), Value),
    denied("container", None, Value, SHELL),
    denied("container-id", None, Value, SHELL),
    denied("context", None, Value, USER),
    free("contiguous", None, Nothing),
    resources("core-spec", Some('S'), Value),
    resources("cores-per-socket", None, Value),
    free("cpu-freq", None, Value),
    resources("cpus-per-gpu", None, Value),
    resources("cpus-per-task", Some('c'), Value),
    free("deadline", None, Value),
    free("delay-boot", None, Value),
    free("dependency", Some('d'), Value),
    free("distribution", Some('m'), Value),
    denied("epilog", None, Value, SHELL),
    denied("error", Some('e'), Value, ELSEWHERE),
    free("exclude", Some('x'), Value),
    resources("exclusive", None, Optional),
    denied("export", None, Value, ENVIRONMENT),
    denied("export-file", None, Value, READS),
    denied("external", None, Nothing, SHELL),
    free("extra", None, Value),
    resources("extra-node-info", Some('B'), Value),
    denied("get-user-env", None, Optional, SHELL),
    denied("gid", None, Value, USER),
    free("gpu-bind", None, Value),
    free("gpu-freq", None, Value),
    resources("gpus", Some('G'), Value),
    resources("gpus-per-node", None, Value),
    resources("gpus-per-socket", None, Value),
    resources("gpus-per-task", None, Value),
    resources("gres", None, Value),
    free("gres-flags", None, Value),
    denied("help", Some('h'), Nothing, UNSEEN),
    free("hint", None, Value),
    free("hold", Some('H'), Nothing),
    free("ignore-pbs", None, Nothing),
    denied("input", Some('i'), Value, ELSEWHERE),
    denied("interactive", None, Nothing, SHELL),
    free("job-name", Some('J'), Value),
    denied("jobid", None, Value, ROOTS),
    free("kill-on-invalid-dep", None, Value),
    free("licenses", Some('L'), Value),
    free("mail-type", None, Value),
    free("mail-user", None, Value),
    denied("mcs-label", None, Value, USER),
    free("mem", None, Value),
    free("mem-bind", None, Value),
    free("mem-per-cpu", None, Value),
    free("mem-per-gpu", None, Value),
    free("mem-update", None, Value),
    resources("mincpus", None, Value),
    free("network", None, Value),
    option("nice", None, Optional, Use::Nice),
    free("no-kill", Some('k'), Optional),
    free("no-requeue", None, Nothing),
    denied("nodefile", Some('F'), Value, READS),
    free("nodelist", Some('w'), Value),
    resources("nodes", Some('N'), Value),
    resources("ntasks", Some('n'), Value),
    resources("ntasks-per-core", None, Value),
    resources("ntasks-per-gpu", None, Value),
    resources("ntasks-per-node", None, Value),
    resources("ntasks-per-socket", None, Value),
    resources("ntasks-per-tres", None, Value),
    free("oom-kill-step", None, Optional),
    free("open-mode", None, Value),
    denied("output", Some('o'), Value, ELSEWHERE),
    free("overcommit", Some('O'), Nothing),
    free("oversubscribe", Some('s'), Nothing),
    denied("parsable", None, Nothing, UNSEEN),
    free("partition", Some('p'), Value),
    free("power", None, Value),
    free("prefer", None, Value),
    denied("priority", None, Value, ROOTS),
    free("profile", None, Value),
    denied("prolog", None, Value, SHELL),
    denied("propagate", None, Optional, ENVIRONMENT),
    free("qos", Some('q'), Value),
    denied("quiet", Some('Q'), Nothing, UNSEEN),
    denied("reboot", None, Nothing, ROOTS),
    free("requeue", None, Optional),
    free("reservation", None, Value),
    resources("resources", None, Value),
    free("resv-ports", None, Optional),
    denied("runtime", None, Value, SHELL),
    free("segment", None, Value),
    free("signal", None, Value),
    denied("slurmd-debug", None, Value, ROOTS),
    resources("sockets-per-node", None, Value),
    resources("spread-job", None, Nothing),
    free("spread-segments", None, Nothing),
    free("stepmgr", None, Nothing),
    free("switches", None, Value),
    denied("task-epilog", None, Value, SHELL),
    denied("task-prolog", None, Value, SHELL),
    resources("tasks-per-node", None, Value),
    denied("test-only", None, Nothing, UNSEEN),
    resources("thread-spec", None, Value),
    resources("threads-per-core", None, Value),
    free("time", Some('t'), Value),
    free("time-min", None, Value),
    free("tmp", None, Value),
    free("tres-bind", None, Value),
    resources("tres-per-task", None, Value),
    denied("uid", None, Value, USER),
    denied("usage", None, Nothing, UNSEEN),
    resources("use-min-nodes", None, Nothing),
    free("verbose", Some('v'), Nothing),
    denied("version", Some('V'), Nothing, UNSEEN),
    denied("wait", Some('W'), Nothing, UNSEEN),
    free("wait-all-nodes", None, Value),
    denied("wait-for-children", None, Nothing, SHELL),
    free("wckey", None, Value),
    denied("wrap", None, Value, SHELL),
    denied("x11", None, Optional, SHELL),
];

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An option.
    Option(&'static SbatchOption),
    /// Several.
    Ambiguous,
    /// None that is known.
    Unknown,
}

/// The option with a letter.
pub fn by_letter(letter: char) -> Option<&'static SbatchOption> {
    ALL.iter().find(|option| option.letter == Some(letter))
}

/// The option that a long name means: the whole name, or a beginning that fits one option only. Where one
/// of those that it fits is denied, it is that one: which others there are depends on the version, and
/// with it whether the abbreviation is taken.
pub fn by_name(name: &str) -> Found {
    if let Some(option) = ALL.iter().find(|option| option.name == name) {
        return Found::Option(option);
    }
    let fits: Vec<_> = ALL
        .iter()
        .filter(|one| one.name.starts_with(name))
        .collect();
    let denied = fits.iter().find(|one| matches!(one.is_for, Use::Denied(_)));
    match (denied, fits.as_slice()) {
        (Some(option), _) => Found::Option(option),
        (None, [one]) => Found::Option(one),
        (None, []) => Found::Unknown,
        (None, _) => Found::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_are_of_one_option_each() {
        for (index, option) in ALL.iter().enumerate() {
            let others = &ALL[index + 1..];
            assert!(
                others.iter().all(|one| one.name > option.name),
                "{}",
                option.name
            );
            let same = |one: &&SbatchOption| one.letter.is_some() && one.letter == option.letter;
            assert_eq!(others.iter().find(same), None, "{}", option.name);
        }
    }

    #[test]
    fn abbreviations() {
        let found = |name| match by_name(name) {
            Found::Option(option) => option.name,
            Found::Ambiguous => "(ambiguous)",
            Found::Unknown => "(unknown)",
        };
        for (name, want) in [
            ("uid", "uid"),
            ("ui", "uid"),
            // Of today's sbatch also a beginning of `usage`: it would be refused there.
            ("u", "uid"),
            ("gi", "gid"),
            ("part", "partition"),
            // `parsable` is denied, and the only one in a version without `partition`.
            ("par", "parsable"),
            ("mem", "mem"),
            ("mem-p", "(ambiguous)"),
            ("time", "time"),
            ("UID", "(unknown)"),
            ("uids", "(unknown)"),
            ("container-image", "(unknown)"),
        ] {
            assert_eq!(found(name), want, "{name}");
        }
    }
}
