//! What is known of the plugins behind an interLink server: how they say what they say, and what they
//! understand of what they are sent. All knowledge of one plugin stands here and nowhere else.
//!
//! ```text
//! recognise     which plugin stands behind a server, told from what it says
//! status_reply  answers to /status, read entry by entry, as liberally as is safe
//! reports       those, made into the reports of `plan`, once
//! known_ends    words for what happened to a job, and what the kubelet is shown instead
//! slurm         the SLURM plugin: the table of its quirks, and what handles each
//! speaker       whose word an answer is: interLink's, or that of something in front of it
//! table         the profiles: what is known of each plugin, as traits
//! unknown_job   errors by which plugins say that they do not know a job
//! ```
//!
//! `interlink.plugin` may say which plugin it is. Where it does not, a client does not see which one
//! stands behind a server, so a quirk is recognised by what it looks like, [`traits`] are the most
//! careful ones of all plugins until the plugin is recognised, and what is sent is completed with what
//! any of them needs: it does no harm to the others.

mod known_ends;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
pub mod recognise;
mod reports;
pub mod slurm;
pub mod speaker;
pub mod status_reply;
mod table;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
mod unknown_job;

pub use reports::job_report;
pub use slurm::{
    flags::{partition, shown as shown_flags},
    gateway_timeout::{gateway_timeout, GatewayTimeout},
    gpus::complete as complete_gpus,
    job_log::{job_log, LOOKED_THROUGH},
    log_notes::LogNotes,
    log_tells_of_the_job,
    outgoing::{self, set_account, Outgoing},
    restrictions::{Author, Refusal, Restrictions},
    time_limit::complete as complete_time_limit,
};
pub use speaker::Speaker;
pub use table::traits;
pub use unknown_job::is_unknown_job;

/// Whether a job of this id, the plugin's own, has output of its own that tells of its end: see
/// [`job_log`].
pub fn has_job_log(remote_id: &str) -> bool {
    slurm::is_job_id(remote_id)
}

use std::time::Duration;

use crate::{
    config::{schema::ImageReferences, Config},
    plan::{ImageRefs, Rules, VolumeKeys},
};

/// The rules that follow from a configuration, and from what is known of the plugin that it names.
pub fn rules(config: &Config) -> Rules {
    Rules::new(config, traits(config.interlink.plugin))
}

/// Whether the plugin makes directories of what stands before a `/` in the keys of a volume's files.
pub fn keys_are_paths(config: &Config) -> bool {
    traits(config.interlink.plugin).volume_keys == VolumeKeys::Paths
}

/// Whether images are passed on that are in no registry: files, and URLs of Singularity.
pub fn takes_other_images(config: &Config) -> bool {
    match config.images.references {
        ImageReferences::Auto => {
            traits(config.interlink.plugin).image_refs == ImageRefs::PathsAndSchemes
        }
        ImageReferences::Oci => false,
        ImageReferences::Any => true,
    }
}

/// For how long an answer about jobs with these ids of the plugin's own is given again, whatever is
/// asked; none where no plugin is known to do so that has such ids. A question that is asked later gets
/// an answer of its own.
pub fn repeats_for<'a>(mut remote_ids: impl Iterator<Item = &'a str>) -> Option<Duration> {
    let is_slurm = remote_ids.any(slurm::is_job_id);
    is_slurm.then_some(slurm::REPEATS_ANSWERS_FOR)
}
