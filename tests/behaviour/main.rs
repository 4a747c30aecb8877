//! What the daemon does, seen from outside: one module for each behaviour.
//!
//! They are one crate because each test binary links the gRPC C core. The tests run as threads of
//! one process, so each has its own directory, sockets and servers, and none changes what belongs
//! to the whole process: its environment, its working directory, its umask.
//!
//! Campaigns (`tests/chaos`), the model of the submission protocol (`tests/protocol`) and the map
//! (`tests/architecture`) are crates of their own: they are run by themselves, and the last two
//! need no daemon.

#[path = "../support/mod.rs"]
mod support;

mod announce;
mod budgets;
mod cancellation;
mod check_plugin;
mod config_errors;
mod confinement;
mod doctor;
mod doubt;
mod events;
mod exits;
mod features;
mod front_end;
mod hostile_input;
mod hostile_peers;
mod hung;
mod idempotence;
mod identity;
mod jobs;
mod largest_pods;
mod life_in_the_log;
mod lifecycle;
mod limits;
mod limits_per_namespace;
mod list_filters;
mod local_plugin;
mod log_bounds;
mod logs_once;
mod logs_rotation;
mod metrics;
mod node_offer;
mod node_view;
mod overload;
mod polling;
mod profiles;
mod prometheus;
mod proto_matches_table;
mod proto_services;
mod queue_times;
mod resident_memory;
mod restart;
mod run_pod;
mod second_user;
mod secrets;
mod service_manager;
mod slurm_ends;
mod state_on_disk;
mod status_answers;
mod stops;
mod submission;
/// Release builds have no failpoints to plant a panic at.
#[cfg(debug_assertions)]
mod threads;
mod traces;
mod whole_pod;
