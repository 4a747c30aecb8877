//! `RemoveContainer`: a running one is killed first. Success for one that does not exist. The log
//! file stays: it is the kubelet's to delete (`removeContainerLog` in
//! pkg/kubelet/kuberuntime/kuberuntime_container.go), which it does before this call.

use super::{sandbox_stop::accept_gone, CriContext, Error};
use crate::{
    plan::lifecycle,
    proto::{RemoveContainerRequest, RemoveContainerResponse},
};

impl CriContext {
    pub(super) fn remove_container(
        &self,
        request: &RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, Error> {
        if let Some((pod, id)) = self.find_container(&request.container_id)? {
            let removed = self.store.update(&pod.sandbox.id, |pod| {
                lifecycle::remove_container(pod, &id, self.now());
                Ok(())
            });
            accept_gone(removed)?;
            self.logs.remove(&id);
        }
        Ok(RemoveContainerResponse::default())
    }
}
