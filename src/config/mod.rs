//! The configuration: keys and defaults (`schema`, `policy`, `identity`), where values come from (`load`, `file`), what is
//! wrong with them (`check`, `log_filter`), patterns and ranges that stand in them (`pattern`, `policy`), and the
//! commented sample (`sample`) and the man page (`manual`).

pub mod audit;
mod check;
pub mod duration;
mod file;
pub mod identity;
pub mod limits;
mod load;
pub mod log_filter;
mod manual;
pub mod metrics;
pub mod node;
pub mod pattern;
pub mod policy;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod sample;
pub mod schema;
mod secret;
pub mod stops;
pub mod traces;

pub use self::{
    check::{check_machine, Fault, Findings},
    load::{examine, load, print, Error, Sources, DEFAULT_FILE},
    manual::manual,
    sample::sample,
    schema::Config,
};
