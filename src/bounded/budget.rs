//! What a reader may take.

use std::cell::Cell;

/// What a text may take beside four times its bytes, however short it is.
pub const SPARE_BYTES: usize = 16 << 20;

/// The memory that one reader may take.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: Cell<usize>,
    is_exhausted: Cell<bool>,
    /// Fields of objects that are left out as if nobody knew them.
    skipped: &'static [&'static str],
}

impl Budget {
    /// What the reader of a text of so many bytes may take.
    pub fn for_text(bytes: usize) -> Self {
        Self::of(bytes.saturating_mul(2).saturating_add(SPARE_BYTES))
    }

    /// No more than so many bytes.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            used: Cell::new(0),
            is_exhausted: Cell::new(false),
            skipped: &[],
        }
    }

    /// The same, and fields of these names are left out, wherever they are.
    #[must_use]
    pub fn without(self, skipped: &'static [&'static str]) -> Self {
        Self { skipped, ..self }
    }

    /// All that it had.
    pub fn most(&self) -> usize {
        self.most
    }

    /// What was taken.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether more was wanted than it had.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    /// Whether fields of this name are left out.
    pub(super) fn skips(&self, field: &str) -> bool {
        self.skipped.contains(&field)
    }

    /// Takes some bytes; false when there are not so many left.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let used = self.used.get().saturating_add(bytes);
        if used > self.most {
            self.is_exhausted.set(true);
            return false;
        }
        self.used.set(used);
        true
    }
}
