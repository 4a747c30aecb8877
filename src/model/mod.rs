//! The words of the daemon: ids, times, and the records of pod sandboxes, containers, images
//! and jobs. Plain data with the rules that hold for one record alone; what moves a record from
//! state to state is in `plan`, what keeps it is in `store`.

mod container;
mod cri_config;
mod exit;
mod ids;
mod image;
mod job;
mod pod;
mod sandbox;
mod shared;
mod string_map;
mod time;
mod trace_context;
mod weight;

pub use container::{Container, ContainerEntry, ContainerPhase, ContainerStatus, Remote, Stopping};
pub use cri_config::CriConfig;
pub use exit::{exit_code, exit_reason, Exit, Used};
pub use ids::{ContainerId, JobUid, SandboxId};
pub use image::Image;
pub use job::{
    Cancellation, Demand, Expected, Job, JobMembers, JobOwner, Submission, UnprovenExit,
    UnreportedInits, WaitReason,
};
pub use pod::Pod;
pub use sandbox::{Sandbox, SandboxPhase, SandboxStatus};
pub use shared::Shared;
pub use string_map::StringMap;
pub use time::{Clock, ClockMark, ManualClock, Nanos, Resumed, SystemClock};
pub use trace_context::TraceContext;
pub use weight::{weight, ENTRY_BYTES};
