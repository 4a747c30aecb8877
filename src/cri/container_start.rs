//! `StartContainer`: RUNNING from here on, also while the job waits in the remote queue. A
//! container left CREATED after this call would be started again by the kubelet.

use super::{CriContext, Error};
use crate::{
    model::{exit_code, exit_reason, ContainerId, Exit, Pod},
    plan::batch,
    proto::{StartContainerRequest, StartContainerResponse},
};

impl CriContext {
    pub(super) fn start_container(
        &self,
        request: &StartContainerRequest,
    ) -> Result<StartContainerResponse, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let about = about(&pod, &id);
        // Tried on a copy first: the log file is made only for a container that does start.
        batch::start(&mut (*pod).clone(), &id, self.now())
            .map_err(|refusal| Error::not_started(&about, refusal))?;
        self.make_log(&pod, &id, &about)?;
        self.store.update(&pod.sandbox.id, |pod| {
            batch::start(pod, &id, self.now())
                .map_err(|refusal| Error::not_started(&about, refusal))
        })?;
        Ok(StartContainerResponse::default())
    }

    /// The log file must be there when the call returns: the kubelet links to it (`startContainer` in
    /// pkg/kubelet/kuberuntime/kuberuntime_container.go). Where it cannot be made the container ends
    /// as one that failed to start, because the kubelet would start a CREATED one again without any
    /// pause: its back-off counts from `finished_at` (`doBackOff` in kuberuntime_manager.go).
    fn make_log(&self, pod: &Pod, id: &ContainerId, about: &str) -> Result<(), Error> {
        let Some(entry) = pod.container(id) else {
            return Ok(());
        };
        let Err(error) = self.logs.create(&pod.sandbox, &entry.container) else {
            return Ok(());
        };
        let error = Error::log(about, &error);
        self.store.update::<_, Error>(&pod.sandbox.id, |pod| {
            let now = self.now();
            if let Some(status) = pod.status_mut(id).filter(|status| status.exit.is_none()) {
                status.log_complete = true;
                status.exit = Some(Box::new(Exit {
                    code: exit_code::NOT_STARTED,
                    reason: exit_reason::START_ERROR.to_owned(),
                    message: error.to_string(),
                    finished_at: now,
                    termination_message: None,
                    used: None,
                }));
            }
            Ok(())
        })?;
        Err(error)
    }
}

/// A container as messages call it.
pub fn about(pod: &Pod, id: &ContainerId) -> String {
    let name = pod
        .container(id)
        .map(|entry| entry.container.name.as_str())
        .unwrap_or_default();
    format!("container `{name}` of pod `{}`", pod.full_name())
}
