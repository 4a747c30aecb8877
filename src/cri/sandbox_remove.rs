//! `RemovePodSandbox`: the record goes with all its containers, by force if need be. What the jobs
//! are owed stays, until the remote side has confirmed their end.

use super::{sandbox_stop::accept_gone, CriContext, Error};
use crate::{
    plan::lifecycle,
    proto::{RemovePodSandboxRequest, RemovePodSandboxResponse},
};

impl CriContext {
    pub(super) fn remove_pod_sandbox(
        &self,
        request: &RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, Error> {
        if let Some(id) = self.find_sandbox(&request.pod_sandbox_id)? {
            // The kubelet removes the containers first (`GarbageCollect` in
            // pkg/kubelet/kuberuntime/kuberuntime_gc.go); `crictl rmp` leaves them to this call.
            let pod = self.store.pod(&id);
            let removed = self.store.update(&id, |pod| {
                lifecycle::remove_sandbox(pod, self.now());
                Ok(())
            });
            accept_gone(removed)?;
            for entry in pod.iter().flat_map(|pod| &pod.containers) {
                self.logs.remove(entry.id());
            }
        }
        Ok(RemovePodSandboxResponse::default())
    }
}
