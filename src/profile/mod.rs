//! What is known of each plugin: what it makes of a pod, and what it says of a job. A room for it, so
//! that no other one has to know a plugin by name. Pure functions.
//!
//! [`slurm`] is interLink's SLURM plugin. What is done for it does no harm to other plugins, so it is
//! done for all of them.

pub mod slurm;

pub use slurm::outgoing::{self, Outgoing};
