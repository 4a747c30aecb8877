//! `StopPodSandbox`: every job is cancelled, and the answer comes when every container is known to have
//! ended, or the time for that is over. Success for a sandbox that does not exist, as the CRI demands of
//! this call.

use super::{parked::at_once, CriContext, Error};
use crate::{
    plan::stopping,
    proto::{Later, StopPodSandboxRequest, StopPodSandboxResponse},
    store, traces,
};

impl CriContext {
    pub(super) fn stop_pod_sandbox(
        &self,
        request: &StopPodSandboxRequest,
    ) -> Result<Later<StopPodSandboxResponse, Error>, Error> {
        let found = self.find_sandbox(&request.pod_sandbox_id)?;
        let Some((id, pod)) = found.and_then(|id| self.store.pod(&id).map(|pod| (id, pod))) else {
            return Ok(at_once());
        };
        traces::note_pod(&pod, None);
        let patience = self.config.jobs.stop_patience;
        let stopped = self.store.update(&id, |pod| {
            stopping::stop_sandbox(pod, patience, self.now());
            Ok(())
        });
        accept_gone(stopped)?;
        let what = format!("pod {}", pod.full_name());
        Ok(self.when_stopped(&id, what, stopping::of_sandbox))
    }
}

/// What was removed in the meantime needs no more stopping or removing. An error would postpone the
/// removal of the pod: when it collects garbage the kubelet takes even NOT_FOUND for a failure
/// (`removeSandbox` in pkg/kubelet/kuberuntime/kuberuntime_gc.go).
pub fn accept_gone(result: Result<(), store::Error>) -> Result<(), Error> {
    match result {
        Ok(()) | Err(store::Error::NoSandbox(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
