//! From CRI messages to Kubernetes pods, and image references. Pure functions: no file is read,
//! no clock asked, so that each rule stands in a table of its test. This room goes that way only;
//! what a kubelet makes of a pod is in [`crate::kubelet`].
//!
//! ```text
//! pod            a job as the pod that interLink takes   job_refs         the same, once submitted
//! container      one container of it, checked and made   job_container    what it is made from
//! mount_check    mounts that make no sense               mount_policy     which are part of a job
//! volumes        the volumes of a job                    metadata         labels and annotations
//! resources      CPU, memory, huge pages                 extended         GPUs and the like
//! security       security contexts, namespaces           security_policy  what of that sites allow
//! demand         what a job has of what namespaces have limits of
//! api_spec       what only the API server knows          network          host names, DNS, ports
//! pod_resources  those of a pod as a whole               image_ref        references, and identity
//! image          images of registries and others         remote_names     what the other side accepts
//! identity       whose jobs are                          settings         what the configuration says
//! efficiency     what an ended container made of what it asked for
//! ```
//!
//! What cannot become part of a job is refused when a container is created
//! ([`check_sandbox`], [`check_container`], [`check_volumes`]), while the user still looks; what passed there does not
//! fail later, when its job is made ([`job_pod`]).

mod api_spec;
mod container;
mod demand;
mod efficiency;
mod error;
mod extended;
pub mod identity;
mod image;
mod image_ref;
mod job_container;
mod job_refs;
mod metadata;
mod mount_check;
mod mount_policy;
mod network;
mod pod;
mod pod_resources;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod record_config;
mod remote_names;
pub mod resources;
mod security;
mod security_policy;
mod settings;
#[cfg(any(test, fuzzing))]
mod testing;
mod volumes;

pub use container::{check_container, check_volumes};
pub use demand::{asked, demand, Asked};
pub use efficiency::{efficiency, Efficiency};
pub use error::Error;
pub use image::Reference;
pub use image_ref::{image_id, user_image, ImageRef};
pub use job_container::JobContainer;
pub use job_refs::{delete_pod, log_target, status_pod, LogTarget};
pub use pod::{job_pod, to_run, JobPod};
pub use record_config::{
    container_config, decode_container_config, decode_sandbox_config, encode_container_config,
    encode_sandbox_config, sandbox_config, shown_of_container, shown_of_sandbox,
};
pub use remote_names::{
    remote_container_name, remote_namespace, remote_pod_name, restore_container_names,
};
pub use settings::{Settings, Warning};

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
    image::check(&config.annotations, settings)?;
    let context = &config.linux.security_context;
    security::check_sandbox(context)?;
    security_policy::check_sandbox(context, settings)
}
