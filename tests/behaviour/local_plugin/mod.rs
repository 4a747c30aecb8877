//! The local plugin, seen through its HTTP API, with real processes.

mod client;
mod fixture;

mod containers;
mod creating;
mod deleting;
mod faults;
mod logs;
mod restarts;

pub use self::fixture::Fixture;
