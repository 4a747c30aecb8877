//! Names that the other side accepts.
//!
//! The interLink server refuses log requests whose namespace or container name is no DNS label.
//! A kubelet sends nothing else; other CRI clients may, and then a name is derived: readable, the
//! same each time, and different for different originals.

use sha2::{Digest as _, Sha256};

use crate::{
    model::{Job, Sandbox},
    text::{is_dns_label, is_dns_subdomain, LABEL_MAX},
};

/// The namespace that a sandbox's jobs are in over there: its own, where that is a DNS label.
pub fn remote_namespace(sandbox: &Sandbox) -> String {
    if sandbox.namespace.is_empty() {
        "default".to_owned()
    } else {
        dns_label(&sandbox.namespace)
    }
}

/// The name that a container has within its job: its own, where that is a DNS label. This is the
/// name that the plugin's answers carry; [`restore_container_names`] leads back.
pub fn remote_container_name(name: &str) -> String {
    dns_label(name)
}

/// Gives the containers in a plugin's answer about a job, by their names, those that they have here.
pub fn restore_container_names<'a>(job: &Job, answer: impl Iterator<Item = &'a mut String>) {
    let odd = job.all_names().filter(|name| !is_dns_label(name));
    let odd: Vec<_> = odd.map(|name| (dns_label(name), name)).collect();
    for told in answer {
        if let Some((_, name)) = odd.iter().find(|(remote, _)| remote == told) {
            (*name).clone_into(told);
        }
    }
}

/// The name of a job's pod: the pod's own for the first job of its first sandbox attempt; every
/// other one also carries the job number and the beginning of the job's UID, so that it meets
/// neither another job nor another pod (`web-1` may well be one).
pub fn remote_pod_name(sandbox: &Sandbox, job: &Job) -> String {
    if sandbox.attempt == 0 && job.number == 0 {
        if is_pod_name(&sandbox.name) {
            return sandbox.name.clone();
        }
        return dns_label(&sandbox.name);
    }
    let uid = job.uid.to_string();
    let end = format!("-{}-{}", job.number, uid.get(..8).unwrap_or(&uid));
    format!("{}{end}", slug(&sandbox.name, LABEL_MAX - end.len()))
}

/// `text` if it is a DNS label, else one made from it.
pub(super) fn dns_label(text: &str) -> String {
    if is_dns_label(text) {
        text.to_owned()
    } else {
        let hash = short_hash(text);
        format!("{}-{hash}", slug(text, LABEL_MAX - 1 - hash.len()))
    }
}

/// `text` if it is a label value, else one made from it.
pub(super) fn label_value(text: &str) -> String {
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let is_value = text.len() <= LABEL_MAX
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_value {
        text.to_owned()
    } else {
        dns_label(text)
    }
}

/// A DNS label that resembles `text` and is at most `max` long; not unique.
pub(super) fn slug(text: &str, max: usize) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() >= max {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "x" } else { slug }.to_owned()
}

/// Eight hex digits that stand for `text`.
pub(super) fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Each part has to be a label as well: over there some become names of files or hosts.
fn is_pod_name(text: &str) -> bool {
    is_dns_subdomain(text) && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{JobUid, Nanos, SandboxId, Submission};

    #[test]
    fn labels_stay_and_others_are_derived() {
        let long = "container-for-remove-running-container-test-0f6e1c1a-9a3b-4a53-8c36";
        for (given, want) in [
            ("main", "main"),
            ("a-1", "a-1"),
            ("1", "1"),
            ("", "x-e3b0c442"),
            ("Main", "main-"),
            ("a_b.c", "a-b-c-"),
            ("-a-", "a-"),
            ("../../etc", "etc-"),
            (
                long,
                "container-for-remove-running-container-test-0f6e1c1a-9-",
            ),
        ] {
            let got = dns_label(given);
            assert!(
                got.starts_with(want) && is_dns_label(&got),
                "{given}: {got}"
            );
        }
        assert_ne!(dns_label("A"), dns_label("a_"));
    }

    #[test]
    fn label_values_stay_where_they_can() {
        for stays in ["", "Main_1.x", "0f6e1c1a", "a"] {
            assert_eq!(label_value(stays), stays);
        }
        for given in ["-a", "a b", "é", &"a".repeat(64)] {
            let got = label_value(given);
            assert!(got.len() <= 63 && got != given, "{given}: {got}");
        }
    }

    #[test]
    fn answers_get_their_names_back() {
        let uid = JobUid::derive("", &SandboxId::from("5a"), 0, 0);
        let job = Job {
            names: vec!["main".into(), "With-Capitals".into()],
            submission: Submission::Finished,
            ..Job::new(0, uid, Nanos(0))
        };
        let names = ["main", &remote_container_name("With-Capitals"), "other"];
        let mut answer = names.map(str::to_owned);
        restore_container_names(&job, answer.iter_mut());
        assert_eq!(answer, ["main", "With-Capitals", "other"]);
    }

    proptest! {
        #[test]
        fn whatever_comes_a_label_goes(text in "\\PC{0,100}", max in 1_usize..63) {
            prop_assert!(is_dns_label(&dns_label(&text)));
            let slug = slug(&text, max);
            prop_assert!(is_dns_label(&slug) && slug.len() <= max, "{}", slug);
        }
    }
}
