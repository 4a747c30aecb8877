//! `StopContainer`: answered when the container is known to have ended, or the time for that is over; it is
//! EXITED then, or the call fails. The remote side is told by the workers, with the grace period that the
//! pod carries. Success for a container that does not exist, as the CRI demands of this call.

use super::{parked::at_once, sandbox_stop::accept_gone, CriContext, Error};
use crate::{
    plan::stopping,
    proto::{Later, StopContainerRequest, StopContainerResponse},
};

impl CriContext {
    pub(super) fn stop_container(
        &self,
        request: &StopContainerRequest,
    ) -> Result<Later<StopContainerResponse, Error>, Error> {
        let Some((pod, id)) = self.find_container(&request.container_id)? else {
            return Ok(at_once());
        };
        // A kubelet never sends less than 2 (`minimumGracePeriodInSeconds` in
        // pkg/kubelet/kuberuntime/kuberuntime_container.go); 0 comes from crictl, and means now.
        let grace = u32::try_from(request.timeout).unwrap_or(0);
        let patience = self.config.jobs.stop_patience;
        let stopped = self.store.update(&pod.sandbox.id, |pod| {
            stopping::stop_container(pod, &id, grace, patience, self.now());
            Ok(())
        });
        accept_gone(stopped)?;
        let entry = pod.container(&id);
        let name = entry.map_or("", |entry| &entry.container.name);
        let what = format!("container {name} of pod {}", pod.full_name());
        // EXITED before the answer: after stopping a pod's containers the kubelet lists them, and
        // calls one that still runs a violation of the CRI (`SyncTerminatingPod` in
        // pkg/kubelet/kubelet.go).
        let outcome = move |pod: &_| stopping::of_container(pod, &id);
        Ok(self.when_stopped(&pod.sandbox.id, what, outcome))
    }
}
