//! What is to happen next, as pure functions of a pod, the time and the rules: which starts
//! become one job (`batch`, `shape`), how a submission and a cancellation move on (`submission`), what a
//! plugin's answer changes (`observe`), whether it is one (`freshness`), what its silence means (`inits`), whether an end can be believed (`witness`), what a reported end
//! looks like (`handlers`), how containers and sandboxes end (`lifecycle`), what is owed to the remote
//! side (`owed`), what people are told (`story`), and which bytes of
//! a log are new (`resync`).
//!
//! Nothing here reads a clock, takes a lock or performs a call. So the rules can be tested as
//! tables, and explored exhaustively.

pub mod answers;
pub mod batch;
pub mod freshness;
mod handlers;
mod inits;
pub mod lifecycle;
pub mod observe;
pub mod owed;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
pub mod resync;
mod rules;
pub mod shape;
pub mod story;
pub mod submission;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
pub mod witness;

pub use rules::Rules;
