//! `StopPodSandbox`: every container ends, and every job is cancelled. Success for a sandbox that
//! does not exist, as the CRI demands of this call.

use super::{CriContext, Error};
use crate::{
    plan::lifecycle,
    proto::{StopPodSandboxRequest, StopPodSandboxResponse},
    store,
};

impl CriContext {
    pub(super) fn stop_pod_sandbox(
        &self,
        request: &StopPodSandboxRequest,
    ) -> Result<StopPodSandboxResponse, Error> {
        if let Some(id) = self.find_sandbox(&request.pod_sandbox_id)? {
            let stopped = self.store.update(&id, |pod| {
                lifecycle::stop_sandbox(pod, self.now());
                Ok(())
            });
            accept_gone(stopped)?;
        }
        Ok(StopPodSandboxResponse::default())
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
