//! `StopContainer`: EXITED when the call returns, whatever the plugin does. The remote side is told
//! by the workers, with the grace period that the pod carries. Success for a container that does
//! not exist, as the CRI demands of this call.

use super::{sandbox_stop::accept_gone, CriContext, Error};
use crate::{
    plan::lifecycle,
    proto::{StopContainerRequest, StopContainerResponse},
};

impl CriContext {
    pub(super) fn stop_container(
        &self,
        request: &StopContainerRequest,
    ) -> Result<StopContainerResponse, Error> {
        if let Some((pod, id)) = self.find_container(&request.container_id)? {
            // A kubelet never sends less than 2 (`minimumGracePeriodInSeconds` in
            // pkg/kubelet/kuberuntime/kuberuntime_container.go); 0 comes from crictl, and means now.
            let grace = u32::try_from(request.timeout).unwrap_or(0);
            // EXITED before the answer: after stopping a pod's containers the kubelet lists them, and
            // calls one that still runs a violation of the CRI (`SyncTerminatingPod` in
            // pkg/kubelet/kubelet.go).
            let stopped = self.store.update(&pod.sandbox.id, |pod| {
                lifecycle::stop_container(pod, &id, grace, self.now());
                Ok(())
            });
            accept_gone(stopped)?;
        }
        Ok(StopContainerResponse::default())
    }
}
