//! What we know of a kubelet: how it lays out its directory, and what it makes of a pod. Pure
//! functions: no file is read, no clock asked.
//!
//! The knowledge is used in both directions. From what a kubelet sends and leaves on the node the
//! daemon tells what a pod's author wrote; and from a pod it makes what a kubelet would send, for
//! containers that are part of a job before the kubelet has come to them, and for `run-pod`. The
//! effects are elsewhere, above: `host` reads what a kubelet left on the disk, `worker::api_pod` asks
//! the API server, `cli::pod_dir` writes a pod's directory. So each rule stands here once, in a
//! table of its test, whoever uses it.
//!
//! ```text
//! directory          paths below the kubelet's root     mount_source      what a mount's path says
//! contents           files in volumes                   found_mount       what was found behind it
//! volume_contents    what a kubelet writes there        volume_paths      what a container mounts
//! pod                the pod as a kubelet knows it      api_objects       ConfigMaps, Secrets, claims
//! environment        a container's variables            expansion         $(NAME) in texts
//! service_variables  those that name services           downward_api      fields of the pod itself
//! resources          cgroup figures                     security_context  the effective one
//! annotations        labels and annotations             etc_hosts         host aliases
//! termination_log    a container's last words           stop_signal       what ends a container
//! container_config   all of it, as it is sent         allowance         how much may be made
//! ```
//!
//! What it relies on is a kubelet's behaviour, not an interface: sources are named beside it, as paths
//! in <https://github.com/kubernetes/kubernetes>.

mod allowance;
pub mod annotations;
pub mod api_objects;
mod container_config;
pub mod contents;
pub mod directory;
mod downward_api;
mod environment;
mod error;
mod etc_hosts;
mod expansion;
pub mod found_mount;
pub mod mount_source;
pub mod pod;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
pub mod resources;
mod security_context;
mod service_variables;
mod stop_signal;
mod termination_log;
#[cfg(test)]
mod testing;
pub mod volume_contents;
pub mod volume_paths;

pub use allowance::Allowance;
pub use api_objects::ApiObjects;
pub use container_config::container_config;
pub use contents::{ContentFile, ContentKind, Files};
pub use error::Error;
pub use etc_hosts::host_aliases;
pub use found_mount::{FoundMount, PathKind};
pub use mount_source::MountSource;
pub use pod::{all_containers, KubeletPod, Variables};
pub use security_context::{int64, security_context};
pub use service_variables::service_variables;
pub use stop_signal::{stop_signal, stop_signal_name};
pub use termination_log::termination_log;
pub use volume_contents::{volumes, FilledVolume};
