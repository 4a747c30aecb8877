//! The CRI configuration that a record was made of.

use std::sync::Arc;

use super::weight;

/// The configuration of a sandbox or a container, without its labels and annotations.
///
/// As it came it is large (the variables of every service of a namespace, for one) and needed when a job is
/// made of it: once, hours later perhaps, or never. So it is whole on disk, and in memory only on its way
/// there and back; what calls show of it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriConfig {
    whole: Option<Arc<[u8]>>,
    shown: Box<[u8]>,
    weight: u64,
}

impl CriConfig {
    /// Takes a configuration as it came, encoded, and the part of it that calls show.
    pub fn new(whole: Arc<[u8]>, shown: Box<[u8]>) -> Self {
        Self {
            weight: weight(&whole),
            whole: Some(whole),
            shown,
        }
    }

    /// All of it, encoded; none where only the disk has it (see `Store::load`).
    pub fn whole(&self) -> Option<&[u8]> {
        self.whole.as_deref()
    }

    /// What calls show of it: an encoded message of the same type with few of its fields.
    pub fn shown(&self) -> &[u8] {
        &self.shown
    }

    /// What it counts where memory has a budget; see [`weight`].
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Leaves the whole of it to the disk, which has it.
    pub fn let_go(&mut self) {
        self.whole = None;
    }
}

/// An empty one.
impl Default for CriConfig {
    fn default() -> Self {
        Self::new([].into(), [].into())
    }
}
