//! CRI resources, turned back into what the pod's author wrote.
//!
//! The kubelet makes cgroup figures from a pod's requests and limits, rounding down
//! ([`crate::kubelet::resources`]); rounding up brings the millicores back exactly. What it does not
//! send cannot come back: memory requests (but for nodes with memory QoS) and ephemeral storage;
//! `extended` recovers GPUs and the like.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

use super::Error;
use crate::{
    kubelet::resources::{CPU_PERIOD, MAX_SHARES, MEMORY_REQUEST_KEYS, MIN_SHARES, SHARES_PER_CPU},
    proto::{HugepageLimit, LinuxContainerResources},
    quantity,
};

/// A container's requests and limits; none where it has neither. `extended` are both: Kubernetes
/// wants them equal. `default_memory` (bytes) is the limit of a container that brings none: plugins
/// may take a missing one for next to nothing.
///
/// # Errors
/// [`Error::Field`] for a huge page size that is none.
pub fn requirements(
    resources: &LinuxContainerResources,
    extended: BTreeMap<String, Quantity>,
    default_memory: Option<u64>,
) -> Result<Option<ResourceRequirements>, Error> {
    let mut requests = extended.clone();
    let mut limits = extended;
    insert(&mut limits, "cpu", cpu_limit(resources).map(quantity::cpu));
    insert(
        &mut requests,
        "cpu",
        cpu_request(resources).map(quantity::cpu),
    );
    let request = memory_request(resources);
    // A limit below the request would be no valid pod.
    let default = default_memory.map(|bytes| bytes.max(request.unwrap_or(0)));
    let limit = memory_limit(resources).or(default);
    insert(&mut limits, "memory", limit.map(quantity::memory));
    insert(&mut requests, "memory", request.map(quantity::memory));
    for huge in resources
        .hugepage_limits
        .iter()
        .filter(|huge| huge.limit > 0)
    {
        // Kubernetes wants requests of huge pages to equal their limits.
        let (name, amount) = (hugepages_name(huge)?, quantity::memory(huge.limit));
        insert(&mut limits, &name, Some(amount.clone()));
        insert(&mut requests, &name, Some(amount));
    }
    let requirements = ResourceRequirements {
        claims: None,
        limits: (!limits.is_empty()).then_some(limits),
        requests: (!requests.is_empty()).then_some(requests),
    };
    Ok((requirements != ResourceRequirements::default()).then_some(requirements))
}

/// Gives a container the request of each resource that has a limit alone: the limit, as the API server
/// does (`SetDefaults_Pod` in `pkg/apis/core/v1/defaults.go` of Kubernetes). The CRI lost such
/// requests, and plugins that go by them take a missing one for next to nothing. A
/// limit that is in the pod as the API server has it (`written`) came with its request, if it has one.
pub fn default_requests(own: &mut ResourceRequirements, written: Option<&ResourceRequirements>) {
    let written = written.and_then(|written| written.limits.as_ref());
    for (name, limit) in own.limits.iter().flatten() {
        if !written.is_some_and(|limits| limits.contains_key(name)) {
            let requests = own.requests.get_or_insert_default();
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
}

/// What a container asks for: millicores and bytes, of each its limit or, where it has none, its request.
pub fn asked(resources: &LinuxContainerResources) -> (u64, u64) {
    let millicores = cpu_limit(resources).or_else(|| cpu_request(resources));
    let bytes = memory_limit(resources).or_else(|| memory_request(resources));
    (millicores.unwrap_or(0), bytes.unwrap_or(0))
}

fn insert(to: &mut BTreeMap<String, Quantity>, name: &str, amount: Option<Quantity>) {
    if let Some(amount) = amount {
        to.insert(name.to_owned(), amount);
    }
}

/// Millicores. The kubelet's quota is millicores x period / 1000, and no less than 1000 us, so
/// that at the usual period a limit below 10m comes back as 10m.
fn cpu_limit(resources: &LinuxContainerResources) -> Option<u64> {
    let quota = positive(resources.cpu_quota)?;
    let period = positive(resources.cpu_period).unwrap_or(CPU_PERIOD.unsigned_abs());
    let millicores = (u128::from(quota) * 1000).div_ceil(u128::from(period));
    Some(u64::try_from(millicores).unwrap_or(u64::MAX))
}

/// Millicores. The kubelet's shares are millicores x 1024 / 1000.
fn cpu_request(resources: &LinuxContainerResources) -> Option<u64> {
    // What the kubelet sends when no CPU was requested; 2 millicores look the same. A request of more
    // than 256 CPUs comes back as those.
    if resources.cpu_shares <= MIN_SHARES {
        return None;
    }
    let shares = positive(resources.cpu_shares.min(MAX_SHARES))?;
    Some((shares * 1000).div_ceil(SHARES_PER_CPU.unsigned_abs()))
}

fn memory_limit(resources: &LinuxContainerResources) -> Option<u64> {
    positive(resources.memory_limit_in_bytes)
}

fn memory_request(resources: &LinuxContainerResources) -> Option<u64> {
    let texts = MEMORY_REQUEST_KEYS.map(|key| resources.unified.get(key));
    let amounts = texts
        .into_iter()
        .flatten()
        .filter_map(|text| text.parse().ok());
    amounts.max().filter(|bytes| *bytes > 0)
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

/// `hugepages-2Mi` from the cgroup's `2MB`, whose units are binary too.
fn hugepages_name(huge: &HugepageLimit) -> Result<String, Error> {
    match page_size(&huge.page_size).filter(|bytes| *bytes > 0) {
        Some(bytes) => Ok(format!("hugepages-{}", quantity::memory(bytes).0)),
        None => Err(Error::Field {
            field: "linux.resources.hugepage_limits",
            fault: format!(
                "`{}` is not a page size; write for example `2MB`",
                huge.page_size
            ),
        }),
    }
}

fn page_size(text: &str) -> Option<u64> {
    let text = text.strip_suffix('B')?;
    let (number, power) = match text.chars().next_back()? {
        'K' => (text.strip_suffix('K')?, 10),
        'M' => (text.strip_suffix('M')?, 20),
        'G' => (text.strip_suffix('G')?, 30),
        _ => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << power)
}

#[cfg(test)]
mod tests;
