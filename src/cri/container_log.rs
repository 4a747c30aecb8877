//! `ReopenContainerLog`: when the call returns the new file is there, and nothing more goes to the
//! old one. The kubelet has renamed the old one by then, compresses it later, and renames it back
//! over the new one after an error (`rotateLatestLog` in
//! pkg/kubelet/logs/container_log_manager.go).

use super::{container_start::about, CriContext, Error};
use crate::{
    model::ContainerPhase,
    proto::{ReopenContainerLogRequest, ReopenContainerLogResponse},
};

impl CriContext {
    pub(super) fn reopen_container_log(
        &self,
        request: &ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let about = about(&pod, &id);
        let phase = pod.container(&id).map(|entry| entry.status.phase());
        if phase != Some(ContainerPhase::Running) {
            return Err(Error::Precondition(format!("{about} is not running")));
        }
        let position = self
            .logs
            .reopen(&id)
            .map_err(|error| Error::log(&about, &error))?;
        if let Some(position) = position {
            self.store.put_log_position(&id, position)?;
        }
        Ok(ReopenContainerLogResponse::default())
    }
}
