//! The cgroup figures that a kubelet makes of requests and limits
//! (`calculateLinuxResources` in `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

use super::error::Error;
use crate::{
    proto::LinuxContainerResources,
    quantity::{self, NotAQuantity},
};

/// The CPU period in microseconds that a kubelet uses unless it was told otherwise: `QuotaPeriod` in
/// `pkg/kubelet/cm/helpers_linux.go`. It is Linux's own default.
pub const CPU_PERIOD: i64 = 100_000;
/// The least quota in microseconds: `MinQuotaPeriod`, there.
const MIN_QUOTA: i64 = 1000;
/// Shares of a whole CPU: `SharesPerCPU`, there.
pub const SHARES_PER_CPU: i64 = 1024;
/// The least shares, which are also sent when no CPU was requested: `MinShares`, there.
pub const MIN_SHARES: i64 = 2;
/// The most shares, which cgroups allow: `MaxShares`, there. They are 256 CPUs.
pub const MAX_SHARES: i64 = 262_144;
/// With the feature MemoryQoS on, a kubelet sets one of these cgroup keys to the memory request: the first
/// for pods of the class Guaranteed, the second for Burstable ones. The other one is `0` then, and both
/// are where `memoryReservationPolicy` of the kubelet is `None` (`generateLinuxContainerResources`). The
/// feature is alpha since Kubernetes 1.22, which knew only the first key, and on by default since 1.37.
pub const MEMORY_REQUEST_KEYS: [&str; 2] = ["memory.min", "memory.low"];

/// The figures for a container's requests and limits.
///
/// # Errors
/// Amounts that are none.
pub fn linux_resources(
    given: Option<&ResourceRequirements>,
) -> Result<LinuxContainerResources, Error> {
    let mut resources = LinuxContainerResources::default();
    let Some(given) = given else {
        return Ok(resources);
    };
    type Amounts = BTreeMap<String, Quantity>;
    let find = |list: &Option<Amounts>, key: &str, read: fn(&str) -> Result<u64, NotAQuantity>| {
        let found = list.as_ref().and_then(|list| list.get(key));
        let read = found.map(|amount| read(&amount.0)).transpose();
        read.map_err(|error| Error::new(error.to_string()))
    };
    let cpu_limit = find(&given.limits, "cpu", quantity::parse_cpu)?;
    // A request that is not given is the limit (`calculateLinuxResources`).
    let cpu_request = find(&given.requests, "cpu", quantity::parse_cpu)?.or(cpu_limit);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if let Some(millicores) = cpu_request {
        let shares = number(millicores).saturating_mul(SHARES_PER_CPU) / 1000;
        resources.cpu_shares = shares.clamp(MIN_SHARES, MAX_SHARES);
    }
    if let Some(millicores) = cpu_limit {
        resources.cpu_period = CPU_PERIOD;
        let quota = number(millicores).saturating_mul(CPU_PERIOD / 1000);
        resources.cpu_quota = quota.max(MIN_QUOTA);
    }
    let memory = find(&given.limits, "memory", quantity::parse_memory)?;
    resources.memory_limit_in_bytes = memory.map_or(0, number);
    Ok(resources)
}
