//! `UpdatePodSandboxResources`: recorded with the sandbox.

use std::sync::Arc;

use protobuf::Message as _;

use super::{CriContext, Error};
use crate::proto::{
    PodSandboxConfig, UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse,
};

impl CriContext {
    pub(super) fn update_pod_sandbox_resources(
        &self,
        request: &UpdatePodSandboxResourcesRequest,
    ) -> Result<UpdatePodSandboxResourcesResponse, Error> {
        let id = self.sandbox(&request.pod_sandbox_id)?.sandbox.id.clone();
        self.store.update::<_, Error>(&id, |pod| {
            let damaged = |error| Error::Internal(format!("pod sandbox {id}: {error}"));
            let mut config =
                PodSandboxConfig::parse_from_bytes(&pod.sandbox.config).map_err(damaged)?;
            let linux = config.linux.mut_or_insert_default();
            if request.overhead.is_some() {
                linux.overhead = request.overhead.clone();
            }
            if request.resources.is_some() {
                linux.resources = request.resources.clone();
            }
            let mut sandbox = (*pod.sandbox).clone();
            sandbox.config = Arc::from(config.write_to_bytes().map_err(damaged)?);
            pod.sandbox = Arc::new(sandbox);
            Ok(())
        })?;
        Ok(UpdatePodSandboxResourcesResponse::default())
    }
}
