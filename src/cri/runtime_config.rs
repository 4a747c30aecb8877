//! `RuntimeConfig` and `UpdateRuntimeConfig`.

use super::{CriContext, Error};
use crate::{
    config::policy::pod_ranges,
    proto::{
        RuntimeConfigRequest, RuntimeConfigResponse, UpdateRuntimeConfigRequest,
        UpdateRuntimeConfigResponse,
    },
};

impl CriContext {
    /// Says nothing of cgroups: containers do not run on this node, and the kubelet then keeps the
    /// driver that it is configured for.
    pub(super) fn runtime_config(
        &self,
        _: &RuntimeConfigRequest,
    ) -> Result<RuntimeConfigResponse, Error> {
        Ok(RuntimeConfigResponse::default())
    }

    /// Keeps the node's pod CIDR: new pods get their address from it.
    pub(super) fn update_runtime_config(
        &self,
        request: &UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, Error> {
        let cidr = request.runtime_config.network_config.pod_cidr.trim();
        if !cidr.is_empty() {
            if pod_ranges(cidr).is_none() {
                return Err(Error::Invalid(format!("pod CIDR `{cidr}` is not a CIDR")));
            }
            if self.store.pod_cidr().as_deref() != Some(cidr) {
                self.store.set_pod_cidr(cidr)?;
                log::info!("the node's pod CIDR is {cidr}; new pods get their addresses from it");
            }
        }
        Ok(UpdateRuntimeConfigResponse::default())
    }
}
