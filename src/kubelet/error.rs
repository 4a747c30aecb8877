//! What cannot be told without a kubelet.

/// What only a kubelet could resolve, in words for a person.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// An error in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, with what it is about before it.
    pub(super) fn about(self, what: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {self}"))
    }
}
