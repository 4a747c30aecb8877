//! From CRI messages to Kubernetes pods, and image references. Pure functions: no file is read,
//! no clock asked, so that each rule stands in a table of its test.
//!
//! ```text
//! pod         a job as the pod that interLink takes     handle      the same, once handed over
//! container   one container of it, checked and made     names       what the other side accepts
//! mounts      what a mount's path says                  prepared    what was found behind it
//! travel      whether and how that travels              volumes     the volumes of a job
//! resources   CPU, memory, huge pages                   quantity    amounts, printed and read
//! extended    GPUs and the like                         pattern     lists of patterns
//! security    security contexts, namespaces             forbidden   what of that sites allow
//! metadata    labels and annotations                    slurm       flags for sbatch
//! author      what the pod's author wrote besides       kubelet     what a kubelet would send
//! expansion   $(NAME) in texts                          objects     ConfigMaps and Secrets
//! places      where a kubelet puts volumes
//! effective   the security context a kubelet sends      downward    what the downward API tells
//! network     host names, DNS, ports                    image_ref   references, and their identity
//! ```
//!
//! What cannot become part of a job is refused when a container is created
//! ([`check_sandbox`], [`check_container`], [`check_volumes`]), while the user still looks; what passed there does not
//! fail later, when its job is made ([`job_pod`]).

pub mod author;
mod container;
mod downward;
mod effective;
mod error;
mod expansion;
mod extended;
mod forbidden;
mod handle;
mod image_ref;
pub mod kubelet;
mod metadata;
pub mod mounts;
mod names;
mod network;
pub mod objects;
mod pattern;
pub mod places;
mod pod;
pub mod prepared;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
pub mod quantity;
pub mod resources;
mod security;
mod settings;
mod slurm;
mod termination;
#[cfg(any(test, fuzzing))]
mod testing;
mod travel;
mod volumes;

pub use container::{check_container, check_volumes};
pub use error::Error;
pub use handle::{delete_pod, log_target, status_pod, LogTarget};
pub use image_ref::{image_id, user_image, ImageRef};
pub use names::{
    remote_container_name, remote_namespace, remote_pod_name, restore_container_names,
};
pub use pod::{decode_container_config, decode_sandbox_config, job_pod, to_run, JobPod};
pub use settings::{Settings, Warning};
pub use termination::termination_log;

use crate::proto::PodSandboxConfig;

/// Checks that a new sandbox's containers can become jobs, and tells what they will run without.
///
/// # Errors
/// What is wrong with the configuration, or cannot be had in a remote job.
pub fn check_sandbox(
    config: &PodSandboxConfig,
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    extended::check(&settings.extended, config.annotations.iter())?;
    let context = &config.linux.security_context;
    security::check_sandbox(context)?;
    forbidden::check_sandbox(context, settings)
}
