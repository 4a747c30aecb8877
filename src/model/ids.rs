//! Identifiers, each its own type so that a swap does not compile.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// 64 lower-case hex digits, as every CRI tool expects: the kubelet parses container ids back
/// from log link names, so they contain no dash.
fn random_hex64() -> Arc<str> {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into()
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A new id, unique for all practical purposes (244 random bits).
            pub fn random() -> Self {
                Self(random_hex64())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 characters: what people read in a log line or a table.
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

hex_id! {
    /// Names one pod sandbox (one attempt at a pod) for ever.
    SandboxId
}

hex_id! {
    /// Names one container (one attempt at a container of a pod sandbox) for ever.
    ContainerId
}

/// The pod UID under which a job is known to interLink and its plugins, which insist on the
/// lower-case 8-4-4-4-12 form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobUid(Uuid);

impl JobUid {
    /// The UID of job number `number` of a sandbox.
    ///
    /// The first job of a pod's first sandbox attempt carries the pod's own UID where that is a
    /// UUID (a static pod's is not) and free (`Sandbox::is_uid_taken`); every other job carries a UUID v5 derived from sandbox id
    /// and job number, so that it can be computed again and never meets another one.
    pub fn derive(pod_uid: &str, sandbox: &SandboxId, sandbox_attempt: u32, number: u32) -> Self {
        let own = Uuid::try_parse(pod_uid)
            .ok()
            .filter(|_| pod_uid.len() == 36);
        match own {
            Some(uid) if sandbox_attempt == 0 && number == 0 => Self(uid),
            _ => Self(Uuid::new_v5(
                &Uuid::NAMESPACE_OID,
                format!("{sandbox}/{number}").as_bytes(),
            )),
        }
    }

    /// Its 128 bits.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// Parses a UID in any of the forms plugins answer with.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobUid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_lower_case_hex_digits_and_differ() {
        let (a, b) = (ContainerId::random(), ContainerId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().len(), 64);
        assert!(a
            .as_str()
            .bytes()
            .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)));
        assert_eq!(a.short().len(), 12);
    }

    #[test]
    fn only_the_first_job_of_the_first_attempt_carries_the_pod_uid() {
        let uid = "0F6E1C1A-9a3b-4a53-8c36-2f6f7b1d6a10";
        let sandbox = SandboxId::from("5a");
        let first = JobUid::derive(uid, &sandbox, 0, 0);
        assert_eq!(first.to_string(), uid.to_lowercase());
        for (attempt, number) in [(0, 1), (1, 0), (1, 1)] {
            assert_ne!(JobUid::derive(uid, &sandbox, attempt, number), first);
        }
        assert_eq!(
            JobUid::derive(uid, &sandbox, 0, 1),
            JobUid::derive(uid, &sandbox, 0, 1)
        );
    }

    #[test]
    fn a_uid_that_is_no_uuid_gets_a_derived_one() {
        for uid in ["", "cri-test-uid", "0123456789abcdef0123456789abcdef"] {
            let job = JobUid::derive(uid, &SandboxId::from("5a"), 0, 0);
            assert_eq!(job, JobUid::derive("other", &SandboxId::from("5a"), 0, 0));
            assert_eq!(job.to_string().len(), 36);
        }
    }
}
