//! `UpdatePodSandboxResources`: recorded with the sandbox.

use std::sync::Arc;

use super::{CriContext, Error};
use crate::{
    convert,
    proto::{UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse},
};

impl CriContext {
    pub(super) fn update_pod_sandbox_resources(
        &self,
        request: &UpdatePodSandboxResourcesRequest,
    ) -> Result<UpdatePodSandboxResourcesResponse, Error> {
        let id = self.sandbox(&request.pod_sandbox_id)?.sandbox.id.clone();
        self.store.update::<_, Error>(&id, |pod| {
            let mut sandbox = self.store.load_sandbox(&pod.sandbox)?;
            let config = convert::decode_sandbox_config(&sandbox);
            let mut config =
                config.map_err(|error| Error::Internal(format!("pod sandbox {id}: {error}")))?;
            let linux = config.linux.mut_or_insert_default();
            if request.overhead.is_some() {
                linux.overhead = request.overhead.clone();
            }
            if request.resources.is_some() {
                linux.resources = request.resources.clone();
            }
            sandbox.config = convert::encode_sandbox_config(&config)
                .map_err(|error| Error::Internal(format!("pod sandbox {id}: {error}")))?;
            pod.sandbox = Arc::new(sandbox);
            Ok(())
        })?;
        Ok(UpdatePodSandboxResourcesResponse::default())
    }
}
