//! What follows from a record, kept beside it.

use std::sync::OnceLock;

/// A value that follows from the record that it is part of. It is made when it is first asked for, and a
/// copy of the record, which may be changed, begins without.
pub struct Derived<T>(OnceLock<T>);

impl<T> Derived<T> {
    /// The value; `make` makes it from the record as it is.
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Derived<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Records that are equal otherwise are equal.
impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> std::fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Derived")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_begins_without() {
        let first = Derived::default();
        assert_eq!(*first.get_or_make(|| 1), 1);
        assert_eq!(*first.get_or_make(|| 2), 1);
        let copy = first.clone();
        assert_eq!(*copy.get_or_make(|| 3), 3);
        assert_eq!(first, copy);
    }
}
