//! The interLink API as a client sees it.

pub mod wire;
