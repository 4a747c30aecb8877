//! Every key about whose jobs are, its default, and why.

use std::{ops::RangeInclusive, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// `[identity]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Whose the jobs of a pod are over there: the first entry counts that fits the pod. `namespace`
    /// and `service_account` are patterns; `uid` is the user, `gid` the group, `groups` are further
    /// groups, `account` is what pays. Without `service_account` an entry is for all of them; with it,
    /// `kubernetes.kubeconfig` is needed, for only the API server knows a pod's. With the first entry,
    /// or a `users_file`, the site decides, and no longer the pod.
    pub users: Vec<User>,
    /// File with more entries, `[[users]]` in TOML, which come before those here. It is read again when
    /// it changes. Nobody but its owner, root or the daemon's user, may be able to write it.
    pub users_file: Option<PathBuf>,
    /// What becomes of a pod that no entry fits: it is refused (`refuse`), runs as the user that the
    /// plugin chooses (`ignore`: what the pod says of users is left out), or has its way (`pass`).
    pub on_unmapped: Unmapped,
    /// What becomes of a pod that names a user or group itself, although an entry fits it: it is refused
    /// unless they are the entry's (`must-match`), the entry counts (`ignore`), or the pod has its way
    /// (`pass`).
    pub run_as_user: RunAsUser,
    /// Ids and ranges of ids that no user of a job has, and no group that a pod names itself. User and
    /// group 0 are among them in any case.
    pub never: Vec<String>,
    /// Patterns of namespaces whose pods may have any annotations and flags. Others are refused those
    /// by which jobs run as somebody else, run commands on the way, or get out of sight.
    pub trusted_namespaces: Vec<String>,
    /// Patterns of annotations that pods of all namespaces may have, of those that are refused outside
    /// `trusted_namespaces`.
    pub allow_annotations: Vec<String>,
    /// Patterns of the long names of flags that pods of all namespaces may use, of those that are refused outside
    /// `trusted_namespaces`, or are not known: `export`, `container-*`.
    pub allow_flags: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            users_file: None,
            on_unmapped: Unmapped::Refuse,
            run_as_user: RunAsUser::MustMatch,
            never: vec!["0-999".to_owned()],
            trusted_namespaces: Vec::new(),
            allow_annotations: Vec::new(),
            allow_flags: Vec::new(),
        }
    }
}

impl Identity {
    /// Whether the site decides whose jobs are.
    pub fn is_mapped(&self) -> bool {
        !self.users.is_empty() || self.users_file.is_some()
    }
}

/// Whose the jobs of some pods are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Pattern of namespaces.
    pub namespace: String,
    /// Pattern of service accounts; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Unix user on the other side.
    pub uid: u32,
    /// The user's group; none leaves it to the other side, which knows its users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Further groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// The account of the batch system that pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// What `identity.users_file` holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsersFile {
    /// As `identity.users` in the configuration.
    #[serde(default)]
    pub users: Vec<User>,
}

/// What becomes of a pod that no entry fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmapped {
    /// It is refused.
    Refuse,
    /// It runs as the user that the plugin chooses.
    Ignore,
    /// It has its way.
    Pass,
}

/// What becomes of a pod that names a user itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunAsUser {
    /// It is refused unless it is the entry's.
    MustMatch,
    /// The entry counts.
    Ignore,
    /// The pod has its way.
    Pass,
}

/// What is wrong with entries: uids and groups that no job may have, patterns that are none.
pub fn user_faults(users: &[User], never: &[RangeInclusive<u32>]) -> Vec<String> {
    let mut faults = Vec::new();
    for user in users {
        let entry = format!("the entry of namespace `{}`", user.namespace);
        if is_within(user.uid, never) {
            faults.push(format!(
                "{entry}: user {} is one that no job has (identity.never)",
                user.uid
            ));
        }
        if user.gid.iter().chain(&user.groups).any(|group| *group == 0) {
            faults.push(format!("{entry}: no job has group 0"));
        }
        let ids = [user.uid]
            .into_iter()
            .chain(user.gid)
            .chain(user.groups.iter().copied());
        if ids.into_iter().any(|id| i32::try_from(id).is_err()) {
            faults.push(format!("{entry}: an id is at most {}", i32::MAX));
        }
        let patterns = [Some(&user.namespace), user.service_account.as_ref()];
        for pattern in patterns.into_iter().flatten() {
            if pattern.is_empty() {
                faults.push(format!("{entry}: a pattern is empty; `*` fits everything"));
            } else if let Err(error) = Pattern::of_names(pattern) {
                faults.push(format!("{entry}: {error}"));
            }
        }
        let account = user.account.as_deref();
        if account.is_some_and(|account| !is_plain_account(account)) {
            faults.push(format!(
                "{entry}: an account has letters, digits, `_`, `.` and `-` only"
            ));
        }
    }
    faults
}

/// Whether an id is in one of the ranges, or 0.
pub fn is_within(id: u32, ranges: &[RangeInclusive<u32>]) -> bool {
    id == 0 || ranges.iter().any(|range| range.contains(&id))
}

/// It becomes a word among flags.
fn is_plain_account(account: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !account.is_empty() && !account.starts_with('-') && account.bytes().all(is_plain)
}

/// Reads an id, or a range of ids as `0-999`, both ends included.
pub fn id_range(text: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ids() {
        for (text, want) in [
            ("0-999", Some(0..=999)),
            ("65534", Some(65534..=65534)),
            (" 1 - 2 ", Some(1..=2)),
            ("2-1", None),
            ("", None),
            ("a", None),
            ("-5", None),
            ("0-", None),
            ("4294967296", None),
        ] {
            assert_eq!(id_range(text), want, "{text:?}");
        }
    }

    #[test]
    fn entries_that_no_job_may_have() {
        for (entry, faults) in [
            ("namespace = 'lab'\nuid = 1000", 0),
            (
                "namespace = 'l*'\nuid = 1000\ngid = 100\ngroups = [50]\naccount = 'a_b.c-1'",
                0,
            ),
            ("namespace = 'lab'\nuid = 0", 1),
            ("namespace = 'lab'\nuid = 500", 1),
            ("namespace = 'lab'\nuid = 1000\ngid = 0", 1),
            ("namespace = 'lab'\nuid = 1000\ngroups = [5, 0]", 1),
            ("namespace = 'lab'\nuid = 4294967295", 1),
            ("namespace = ''\nuid = 1000", 1),
            ("namespace = 'a['\nservice_account = 'b['\nuid = 0", 3),
            ("namespace = 'lab'\nuid = 1000\naccount = '-x'", 1),
            ("namespace = 'lab'\nuid = 1000\naccount = 'a --uid=0'", 1),
        ] {
            let user: User = toml::from_str(entry).expect("an entry");
            let found = user_faults(&[user], &[0..=999]);
            assert_eq!(found.len(), faults, "{entry}: {found:?}");
        }
    }
}
