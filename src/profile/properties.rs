//! What holds of any flags that a pod's author writes for sbatch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::slurm::{
    flags::{self, Flag, FLAGS},
    restrictions::{Author, Restrictions},
};
use crate::config::identity::Identity;

/// Words by which a job becomes another user's, or works elsewhere. Any beginning of them that sbatch takes
/// counts as well.
const DENIED: [&str; 5] = ["uid", "gid", "chdir", "wrap", "get-user-env"];

/// Any text: what is let through has none of these words, however the quotes are read; what a site sets is
/// what stands there afterwards; and what is shown has no value of a variable.
pub fn any_flags(text: &str) {
    // What stands behind a `#` is a comment for sbatch.
    if is_allowed(text) && !text.contains('#') {
        let bare = text.replace(['"', '\'', '\\'], "");
        for word in bare.split_whitespace() {
            let name = word.strip_prefix("--").unwrap_or_default();
            let name = name.split('=').next().unwrap_or_default();
            let is_denied = DENIED.contains(&name);
            assert!(!is_denied, "{word:?} is let through in {text:?}");
        }
    }
    for flag in [
        Flag::Partition,
        Flag::Account,
        Flag::Qos,
        Flag::CpusPerTask,
        Flag::Memory,
    ] {
        let set = flags::with(text, flag, "site");
        assert_eq!(
            flags::value(&set, flag).as_deref(),
            Some("site"),
            "{text:?}"
        );
        assert_eq!(flags::with(&set, flag, "site"), set, "{text:?}");
    }
    let annotations = [(FLAGS.to_owned(), format!("{text} --export=SECRET=hush"))];
    let metadata = ObjectMeta {
        annotations: Some(annotations.into_iter().collect()),
        ..ObjectMeta::default()
    };
    let shown = flags::shown(&metadata).unwrap_or_default();
    assert!(
        text.contains("hush") || !shown.contains("hush"),
        "{shown:?}"
    );
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

fn is_allowed(text: &str) -> bool {
    let author = Author {
        namespace: "lab",
        account: None,
        is_limited: false,
    };
    let restrictions = Restrictions::new(&Identity::default());
    restrictions.is_ok_and(|it| it.check(&author, [(FLAGS, text)].into_iter()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts made of the pieces that matter.
    #[test]
    fn hold_of_texts_at_random() {
        const PIECES: [&str; 24] = [
            "--uid=0",
            "--ui",
            "--gid",
            "--chdir=/",
            "--wrap",
            "--comment=",
            "--comment",
            "-J",
            "-p",
            "gpu",
            "--export=A",
            "--account=x",
            "-Ax",
            "--mem=1G",
            "-c",
            "2",
            " ",
            "\t",
            "'",
            "\"",
            "\\",
            "#",
            ":",
            "=",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..4_000 {
            let count = random.usize(1..9);
            let pieces = (0..count).map(|_| PIECES[random.usize(..PIECES.len())]);
            any_flags(&pieces.collect::<String>());
        }
    }
}
