//! How much text may be made of a pod. A small pod can ask for a large one: a variable that names the
//! one before it twice doubles it, and a container can take its variables from a ConfigMap many times.
//! So what is made is counted while it is made, and nothing is made that would be too much.

use super::{error::Error, expansion};
use crate::model::ENTRY_BYTES;

/// The longest variable (`NAME=VALUE`) or argument that a process can be started with, with the NUL at
/// its end (`MAX_ARG_STRLEN` in `include/uapi/linux/binfmts.h` of Linux).
pub const MAX_TEXT: usize = 128 << 10;

/// The most that all of them may have together: a quarter of the usual stack limit of 8 MiB
/// (`bprm_stack_limits` in `fs/exec.c` of Linux).
pub const MAX_TEXTS: usize = 2 << 20;

/// The longest path that a system call takes, with its NUL (`PATH_MAX` of Linux).
pub const MAX_PATH: usize = 4096;

/// The most that the paths of a container's mounts may have together.
pub const MAX_PATHS: usize = 2 << 20;

/// Bytes that may still be made. What is overwritten later counts too: it took its time.
#[derive(Debug)]
pub struct Allowance {
    what: &'static str,
    most: usize,
    left: usize,
}

impl Allowance {
    /// At most so many bytes of `what`, a plural.
    pub fn new(what: &'static str, most: usize) -> Self {
        Self {
            what,
            most,
            left: most,
        }
    }

    /// For the variables, the command and the arguments of a container.
    pub fn for_texts() -> Self {
        Self::new("the variables, command and args of a container", MAX_TEXTS)
    }

    /// For the configurations of containers of a pod, of which at most so many bytes may be made.
    pub fn for_containers(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self::new("the containers of the pod", most)
    }

    /// For the paths of what a container mounts.
    pub fn for_paths() -> Self {
        Self::new("the paths of a container's mounts", MAX_PATHS)
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// There are not as many left.
    pub fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| self.too_much())?;
        Ok(())
    }

    /// Takes what an entry of a list counts that has a text of so many bytes.
    ///
    /// # Errors
    /// There is not as much left, or the text is longer than `longest`.
    pub fn take_text(&mut self, bytes: usize, longest: usize) -> Result<(), Error> {
        if bytes > longest {
            return Err(too_long(longest));
        }
        self.take(bytes + ENTRY_BYTES)
    }

    /// A text with the values of the variables that it names, beside which so many bytes belong to the
    /// entry that it is for.
    ///
    /// # Errors
    /// As those of `take_text`; then no more of it was made than is allowed.
    pub fn expand<'v>(
        &mut self,
        text: &str,
        value_of: impl Fn(&str) -> Option<std::borrow::Cow<'v, str>>,
        beside: usize,
        longest: usize,
    ) -> Result<String, Error> {
        let most = longest.saturating_sub(beside).min(self.left);
        let expanded = expansion::expand(text, value_of, most);
        let expanded = expanded.ok_or_else(|| match self.left < longest {
            true => self.too_much(),
            false => too_long(longest),
        })?;
        self.take_text(expanded.len() + beside, longest)?;
        Ok(expanded)
    }

    fn too_much(&self) -> Error {
        Error::new(format!(
            "{} would come to more than {} bytes; {ENTRY_BYTES} count for each entry beside its text",
            self.what, self.most
        ))
    }
}

fn too_long(longest: usize) -> Error {
    Error::new(format!(
        "it would be longer than {longest} bytes, the most that the system takes"
    ))
}
