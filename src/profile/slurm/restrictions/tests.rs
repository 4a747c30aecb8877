use super::*;

fn restrictions(toml: &str) -> Restrictions {
    let identity: Identity = toml::from_str(toml).expect("settings");
    Restrictions::new(&identity).expect("patterns")
}

const AUTHOR: Author<'_> = Author {
    namespace: "lab",
    account: None,
    is_limited: false,
};

fn check(toml: &str, author: &Author<'_>, key: &str, value: &str) -> Result<(), String> {
    let checked = restrictions(toml).check(author, [(key, value)].into_iter());
    checked.map_err(|refusal| refusal.to_string())
}

fn flags(text: &str) -> Result<(), String> {
    check("", &AUTHOR, FLAGS, text)
}

#[test]
fn a_user_is_known_in_all_spellings() {
    for text in [
        "--uid=0",
        "--uid 0",
        "--ui=0",
        "--u=0",
        "--uid=root",
        " -p gpu\t--uid=0",
        "'--uid=0'",
        "\"--uid\"=0",
        "--u\"id\"=0",
        r"--u\id=0",
        r"\--uid=0",
        "--gid=0",
        "--gi 0",
        "-v --uid=0",
        // The plugin takes these quotes away, and sbatch sees two words.
        "--comment='a --uid=0'",
        r"--comment=a\ --uid=0",
        "'-p gpu --uid=0'",
        // The next word is a value, but not after the plugin has sorted them.
        "--comment --uid=0",
        "-J --uid=0",
        // Behind a comment for sbatch, and on a line of its own by the plugin.
        "-p gpu # --uid=0",
        // sbatch stops here; another version may not.
        "-p gpu script --uid=0",
        // The empty word ends the line, and the next one is the name.
        "-J '' x",
        "-- --uid=0",
        "hetjob --uid=0",
    ] {
        let refused = flags(text).expect_err(text);
        assert!(refused.contains(FLAGS), "{refused}");
    }
    let refused = flags("--ui=0").expect_err("refused");
    assert_eq!(
        refused,
        "annotation `slurm-job.vk.io/flags`: `--ui=0` is --uid, which changes the user or group of \
         the job; take it out of the pod, or ask the site to allow it (identity.allow_flags)"
    );
}

#[test]
fn what_would_swallow_the_plugin_s_own_flag_is_refused() {
    for text in [
        "--comment",
        "-p gpu -J",
        "-vJ",
        "--comment --qos=x",
        "--acco",
    ] {
        let refused = flags(text).expect_err(text);
        assert!(refused.contains("has no value"), "{text}: {refused}");
    }
}

#[test]
fn what_else_is_denied() {
    for text in [
        "-D /tmp",
        "-D/tmp",
        "-vD/tmp",
        "--chdir=/tmp",
        "--ch /tmp",
        "--wrap='id'",
        "--export=LD_PRELOAD=/x",
        "--get-user-env",
        "--get-user-env=10L",
        "--task-prolog=/x",
        "--prolog=/x",
        "--epilog /x",
        "--propagate",
        "-F /etc/shadow",
        "--output=/etc/x",
        "-o/etc/x",
        "--parsable",
        "-Q",
        "--nice=-5",
        "--priority=9",
        "-a 1-99",
        "--bbf=/root/x",
        "--no-such-flag=1",
        "-Y",
        "-",
        "a\nid",
        "--comment='a\nid'",
    ] {
        assert!(flags(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_people_need_passes() {
    for text in [
        "",
        "-p gpu --time=1:00:00 -A lab",
        "-pgpu -t 10 --mem=4G",
        "--gres=gpu:2 -N 2 -n 8 --ntasks-per-node=4 --exclusive",
        "--exclusive=user --no-requeue -H",
        "--part=gpu --reserv=x --licenses=a:1 -L b",
        // Where sbatch sees a value, a word means nothing.
        "--comment=--uid=0",
        "--comment='--uid=0'",
        "--job-name=uid",
        "--comment=\"'a --uid=0'\"",
        "--nice=5 --nice",
        "--constraint=\"'a&b'\"",
        "--dependency=afterok:7:8",
    ] {
        assert_eq!(flags(text), Ok(()), "{text}");
    }
}

#[test]
fn an_account_is_the_site_s() {
    let author = Author {
        account: Some("lab"),
        ..AUTHOR
    };
    for (text, good) in [
        ("-A lab", true),
        ("-Alab --account=lab --acco lab", true),
        ("-A other", false),
        ("-Aother", false),
        ("--acco=other", false),
        ("--account other", false),
        ("-vA other", false),
    ] {
        let checked = check("", &author, FLAGS, text);
        assert_eq!(checked.is_ok(), good, "{text}: {checked:?}");
    }
    assert_eq!(flags("-A other"), Ok(()), "the site says nothing");
}

#[test]
fn resources_are_the_pod_s_where_they_are_limited() {
    let author = Author {
        is_limited: true,
        ..AUTHOR
    };
    for text in ["-n 64", "--gres=gpu:8", "-G8", "--exclusive", "--nodes=4"] {
        assert!(check("", &author, FLAGS, text).is_err(), "{text}");
        assert_eq!(flags(text), Ok(()), "{text}");
    }
    assert_eq!(check("", &author, FLAGS, "-p gpu"), Ok(()));
}

#[test]
fn annotations_that_become_commands_are_denied() {
    for key in [
        "slurm-job.vk.io/pre-exec",
        "slurm-job.vk.io/singularity-commands",
        "slurm-job.vk.io/singularity-options",
        "slurm-job.vk.io/singularity-mounts",
        "slurm-job.vk.io/enroot-mounts",
        "slurm-job.vk.io/mpi-flags",
        "slurm-job.vk.io/job-workdir",
        "slurm-job.vk.io/image-root",
        "slurm-job.vk.io/what-comes-next-year",
        "htcondor-job.vk.io/singularity-options",
        "htcondor-job.knoc.io/image-root",
        "docker-options.vk.io/flags",
        "interlink.eu/wstunnel-client-commands",
        "interlink.eu/wstunnel-extra-ports",
        "interlink.virtual-kubelet.io/wstunnel-timeout",
    ] {
        let refused = check("", &AUTHOR, key, "x").expect_err(key);
        assert!(
            refused.contains(key) && refused.contains("identity.allow_annotations"),
            "{refused}"
        );
    }
    for (key, value) in [
        (FLAVOR, "gpu"),
        ("interlink.eu/pod-ip", "10.0.0.1"),
        ("interlink.eu/nvidia-gpus", "2"),
        ("example.org/pre-exec", "x"),
    ] {
        assert_eq!(check("", &AUTHOR, key, value), Ok(()), "{key}");
    }
    assert!(check("", &AUTHOR, FLAVOR, "a\nb").is_err());
}

#[test]
fn sites_allow() {
    const PRE_EXEC: &str = "slurm-job.vk.io/pre-exec";
    for (toml, key, value, good) in [
        ("trusted_namespaces = ['l*']", PRE_EXEC, "id", true),
        ("trusted_namespaces = ['l*']", FLAGS, "--uid=0", true),
        ("trusted_namespaces = ['web']", PRE_EXEC, "id", false),
        ("allow_annotations = ['*/pre-*']", PRE_EXEC, "id", true),
        ("allow_annotations = ['*/mpi-*']", PRE_EXEC, "id", false),
        ("allow_flags = ['export']", FLAGS, "--export=A=1", true),
        (
            "allow_flags = ['export']",
            FLAGS,
            "--export=A --uid=0",
            false,
        ),
        (
            "allow_flags = ['container-*']",
            FLAGS,
            "--container-image=x",
            true,
        ),
        // Whether it has a value nobody knows; it could swallow what comes next.
        (
            "allow_flags = ['container-*']",
            FLAGS,
            "--container-image x",
            false,
        ),
    ] {
        let checked = check(toml, &AUTHOR, key, value);
        assert_eq!(checked.is_ok(), good, "{toml} {key} {value}: {checked:?}");
    }
}

/// Whatever disguise `--uid` and its like are put into: what `getopt_long` makes of the words of any
/// reading has no such option. The judge is another one than the code's: see [`options_in`].
#[test]
fn no_disguise_passes() {
    let mut random = fastrand::Rng::with_seed(7);
    let parts = [
        "--uid",
        "--ui",
        "-",
        "--",
        "=",
        " ",
        "0",
        "'",
        "\"",
        "\\",
        "#",
        "\t",
        "-p",
        "gpu",
        "--comment",
        "--com",
        "=a",
        "-J",
        "x",
        "-v",
        "-D",
        "/tmp",
        "--gid=1",
        "hetjob",
        ":",
        "--exclusive",
        "-k",
        "--nice",
        "u",
        "i",
        "d",
    ];
    let mut passed = 0;
    for _ in 0..200_000 {
        let count = random.usize(1..9);
        let text: String = (0..count)
            .map(|_| parts[random.usize(..parts.len())])
            .collect();
        if flags(&text).is_err() {
            continue;
        }
        passed += 1;
        for words in words::readings(&text) {
            // As the plugin completes them.
            let words = [words, vec!["--uid=1000".to_owned()]].concat();
            let seen = options_in(&words);
            let users: Vec<_> = seen.iter().filter(|name| **name == "uid").collect();
            assert_eq!(users.len(), 1, "{text:?}: {words:?}");
            assert!(
                !seen.iter().any(|name| ["gid", "chdir"].contains(name)),
                "{text:?}"
            );
        }
    }
    assert!(passed > 1000, "{passed} are too few to mean something");
}

/// The options that `getopt_long` finds, as its manual has it: with a `+`, it stops at the first word that
/// is none; a required value is the rest of the word or the next word; a long name may be abbreviated.
fn options_in(words: &[String]) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(word) = words.get(next) {
        next += 1;
        let (option, value) = if let Some(long) = word.strip_prefix("--") {
            if long.is_empty() {
                break;
            }
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let exact = options::ALL.iter().find(|one| one.name == name);
            let begins = options::ALL.iter().find(|one| one.name.starts_with(name));
            (exact.or(begins), value)
        } else if let Some(letters) = word.strip_prefix('-').filter(|it| !it.is_empty()) {
            let mut last = None;
            let mut value = None;
            for (at, letter) in letters.char_indices() {
                last = options::ALL.iter().find(|one| one.letter == Some(letter));
                let rest = &letters[at + letter.len_utf8()..];
                if last.is_some_and(|one| one.takes != Takes::Nothing) {
                    value = Some(rest).filter(|rest| !rest.is_empty());
                    break;
                }
                found.extend(last.filter(|_| !rest.is_empty()).map(|one| one.name));
            }
            (last, value)
        } else {
            break;
        };
        let Some(option) = option else { break };
        found.push(option.name);
        if option.takes == Takes::Value && value.is_none() {
            next += 1;
        }
    }
    found
}
