//! What is wrong with a key, and a collection of such.

use std::{fmt, path::Path};

use crate::config::secret::without_passwords;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, with its section.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it, or what is allowed.
    pub why: String,
}

impl Fault {
    /// One of a value, without the passwords in it.
    pub(super) fn new(key: &'static str, value: impl fmt::Debug, why: impl Into<String>) -> Self {
        Self {
            key,
            value: without_passwords(&format!("{value:?}")),
            why: why.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.why)
    }
}

/// Collects faults.
#[derive(Default)]
pub(super) struct Check(pub(super) Vec<Fault>);

impl Check {
    pub(super) fn require(
        &mut self,
        good: bool,
        key: &'static str,
        value: impl fmt::Debug,
        why: &str,
    ) {
        if !good {
            self.0.push(Fault::new(key, value, why));
        }
    }

    pub(super) fn absolute(&mut self, key: &'static str, path: &Path) {
        self.require(path.is_absolute(), key, path, "must be an absolute path");
    }
}
