//! What is to happen next, as pure functions of a pod, the time and the rules.
//!
//! ```text
//! batch            which starts form a job        submission   how a submission and a cancellation go on
//! pod_containers   what a pod consists of         owed         what the remote side is owed next
//! call_results     what the answers to our calls change
//! report           what a plugin reports of a job, in the daemon's own terms
//! traits           what has to be known of a plugin
//! observe          what the state of a job changes, as the plugin reports it
//! freshness        whether an answer is one, or a repetition
//! questions        how many jobs a question is about, and which spoil it for others
//! first_only       whether a plugin answers for the first job of a question only
//! init_containers  what follows for init containers that a plugin does not report
//! unmentioned      what follows for containers that a plugin never mentions
//! unproven_exit    when an end without a start is believed
//! exit_table       what a reported end looks like to the kubelet
//! lifecycle        how containers and sandboxes end at once, fail, and are removed
//! stopping         how they are stopped, and when that is known to have happened
//! stop_ends        what a stop comes to where the plugin does not say how a container ended
//! unconfirmed_stop what becomes of stops that the plugin does not confirm in time
//! limits           which jobs wait for room in their namespace
//! job_events       events and the readiness condition
//! node_offer       what the node offers beside its machine
//! other_boot       what becomes of times when nobody knows how long ago they were
//! log_position     how much of a log was read
//! log_resync       which bytes of a log are new
//! log_doubt        when a log has begun anew
//! log_pace         how fast a log may come, and how long its file may be
//! log_turns        when each of the logs that one thread reads is read again
//! ```
//!
//! Nothing here reads a clock, takes a lock or performs a call. So the rules can be tested as
//! tables, and explored exhaustively.

pub mod batch;
pub mod call_results;
mod exit_table;
pub mod first_only;
pub mod freshness;
mod init_containers;
pub mod job_events;
pub mod lifecycle;
pub mod limits;
pub mod log_doubt;
pub mod log_pace;
pub mod log_position;
pub mod log_resync;
pub mod log_turns;
pub mod node_offer;
pub mod observe;
pub mod other_boot;
pub mod owed;
pub mod pod_containers;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
pub mod questions;
mod report;
mod rules;
mod stop_ends;
pub mod stopping;
pub mod submission;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
mod traits;
mod unconfirmed_stop;
mod unmentioned;
pub mod unproven_exit;

pub use report::{ContainerReport, JobLog, JobReport, ReportedEnd, ReportedState, Verdict};
pub use rules::Rules;
pub use traits::{
    Allocation, CreateBody, EmptyJobId, EndsWithoutStart, ImageRefs, InitContainers, KnownEnd,
    LogForm, PluginTraits, Probes, VolumeKeys,
};
pub use unconfirmed_stop::UnconfirmedStops;
