//! The question of a call to /status.

use k8s_openapi::api::core::v1::Pod;

use super::{wire, Call, Error};
use crate::{
    model::JobUid,
    profile::status_reply::{AskedJob, EntryHash},
};

/// A question to /status, written pod by pod: as objects, thousands of pods take several kilobytes each, and
/// as text some hundred bytes.
///
/// Their phase has to be Pending or Running, or the interLink server answers from memory.
#[derive(Debug)]
pub struct StatusQuestion {
    /// A JSON list without its end.
    text: Vec<u8>,
    asked: Vec<AskedJob>,
}

impl StatusQuestion {
    /// A question about no pod.
    pub fn new() -> Self {
        Self {
            text: b"[".to_vec(),
            asked: Vec::new(),
        }
    }

    /// Asks about this pod, too. `told_before` is the entry about it in an earlier answer, where it would say
    /// nothing new.
    ///
    /// # Errors
    /// The pod cannot be written.
    pub fn add(&mut self, pod: &Pod, told_before: Option<EntryHash>) -> Result<(), Error> {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        wire::write(&mut self.text, pod).map_err(|source| Error::Request {
            call: Call::Status,
            source,
        })?;
        let uid = pod.metadata.uid.as_deref();
        if let Some(uid) = uid.and_then(JobUid::parse) {
            let spec = pod.spec.as_ref();
            let inits = spec.and_then(|spec| spec.init_containers.as_ref());
            let containers = spec.map_or(0, |spec| spec.containers.len());
            self.asked.push(AskedJob {
                uid,
                containers: containers + inits.map_or(0, Vec::len),
                told_before,
            });
        }
        Ok(())
    }

    /// The body of the request, and the jobs that it is about.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<AskedJob>) {
        self.text.push(b']');
        (self.text, self.asked)
    }
}

impl Default for StatusQuestion {
    fn default() -> Self {
        Self::new()
    }
}
