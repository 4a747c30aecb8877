//! `Version`.

use super::{CriContext, Error};
use crate::proto::{VersionRequest, VersionResponse};

/// The scheme of every container id in the Kubernetes API; it must never change.
const RUNTIME_NAME: &str = "interlink-cri";
/// The version of the kubelet's side of the protocol (`kubeRuntimeAPIVersion` in
/// pkg/kubelet/kuberuntime/kuberuntime_manager.go); with any other the kubelet does not start.
const KUBELET_API_VERSION: &str = "0.1.0";

impl CriContext {
    pub(super) fn version(&self, _: &VersionRequest) -> Result<VersionResponse, Error> {
        Ok(VersionResponse {
            version: KUBELET_API_VERSION.to_owned(),
            runtime_name: RUNTIME_NAME.to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
            ..Default::default()
        })
    }
}
