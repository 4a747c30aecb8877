//! CRI resources, turned back into what the pod's author wrote.
//!
//! The kubelet makes cgroup figures from a pod's requests and limits, rounding down
//! ([`crate::kubelet::resources`]); rounding up brings the millicores back exactly. What it does not send cannot come back: memory requests (but for nodes with
//! memory QoS) and ephemeral storage; `extended` recovers GPUs and the like.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};

use super::Error;
use crate::{
    kubelet::resources::{CPU_PERIOD, MAX_SHARES, MEMORY_REQUEST_KEY, MIN_SHARES, SHARES_PER_CPU},
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
    let text = resources.unified.get(MEMORY_REQUEST_KEY)?;
    text.parse().ok().filter(|bytes| *bytes > 0)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `MilliCPUToShares` of the kubelet.
    fn shares(milli: i64) -> i64 {
        (milli * 1024 / 1000).clamp(2, 262_144)
    }

    /// `milliCPUToQuota` of the kubelet.
    fn quota(milli: i64, period: i64) -> i64 {
        if milli == 0 {
            0
        } else {
            (milli * period / 1000).max(1000)
        }
    }

    /// What a kubelet 1.36 sends for a container with these requests and limits.
    fn sent(request: Option<i64>, limit: Option<i64>, memory: i64) -> LinuxContainerResources {
        LinuxContainerResources {
            cpu_shares: shares(request.or(limit).unwrap_or(0)),
            cpu_quota: quota(limit.unwrap_or(0), 100_000),
            cpu_period: 100_000,
            memory_limit_in_bytes: memory,
            oom_score_adj: 1000,
            hugepage_limits: [("2MB", 0), ("1GB", 0)]
                .map(|(page_size, limit)| HugepageLimit {
                    page_size: page_size.to_owned(),
                    limit,
                    ..Default::default()
                })
                .into(),
            unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
            ..Default::default()
        }
    }

    /// `cpu=1,memory=64Mi / cpu=500m`: limits / requests.
    fn shown(requirements: Option<ResourceRequirements>) -> String {
        let list = |amounts: Option<BTreeMap<String, Quantity>>| {
            amounts
                .unwrap_or_default()
                .into_iter()
                .map(|(name, amount)| format!("{name}={}", amount.0))
                .collect::<Vec<_>>()
                .join(",")
        };
        match requirements {
            Some(r) => format!("{} / {}", list(r.limits), list(r.requests)),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn what_a_kubelet_sends_comes_back_as_written() {
        for (name, resources, want) in [
            ("best effort", sent(None, None, 0), "none"),
            ("one CPU", sent(None, Some(1000), 0), "cpu=1 / cpu=1"),
            (
                "guaranteed",
                sent(Some(500), Some(500), 64 << 20),
                "cpu=500m,memory=64Mi / cpu=500m",
            ),
            (
                "burstable",
                sent(Some(100), Some(1500), 1 << 30),
                "cpu=1500m,memory=1Gi / cpu=100m",
            ),
            ("request alone", sent(Some(250), None, 0), " / cpu=250m"),
            (
                "memory alone",
                sent(None, None, 100_000_000),
                "memory=100M / ",
            ),
            ("64 CPUs", sent(None, Some(64_000), 0), "cpu=64 / cpu=64"),
            (
                "odd",
                sent(Some(3), Some(1234), 1234),
                "cpu=1234m,memory=1234 / cpu=3m",
            ),
            ("request too small to tell", sent(Some(2), None, 0), "none"),
            (
                "smallest quota",
                sent(Some(4), Some(4), 0),
                "cpu=10m / cpu=4m",
            ),
            (
                "beyond the shares",
                sent(Some(300_000), None, 0),
                " / cpu=256",
            ),
            (
                "exclusive CPUs have no quota",
                LinuxContainerResources {
                    cpu_quota: -1,
                    cpuset_cpus: "2-5".to_owned(),
                    ..sent(Some(4000), None, 1 << 30)
                },
                "memory=1Gi / cpu=4",
            ),
            (
                "huge pages",
                LinuxContainerResources {
                    hugepage_limits: [("2MB", 128 << 20), ("1GB", 2 << 30), ("64KB", 0)]
                        .map(|(page_size, limit)| HugepageLimit {
                            page_size: page_size.to_owned(),
                            limit,
                            ..Default::default()
                        })
                        .into(),
                    ..sent(None, None, 0)
                },
                "hugepages-1Gi=2Gi,hugepages-2Mi=128Mi / hugepages-1Gi=2Gi,hugepages-2Mi=128Mi",
            ),
            (
                "memory QoS",
                LinuxContainerResources {
                    unified: [("memory.min".to_owned(), "33554432".to_owned())].into(),
                    ..sent(None, None, 64 << 20)
                },
                "memory=64Mi / memory=32Mi",
            ),
            (
                "another CFS period",
                LinuxContainerResources {
                    cpu_quota: quota(700, 5_000),
                    cpu_period: 5_000,
                    ..sent(Some(700), None, 0)
                },
                "cpu=700m / cpu=700m",
            ),
            (
                "no period",
                LinuxContainerResources {
                    cpu_quota: 50_000,
                    ..Default::default()
                },
                "cpu=500m / ",
            ),
            (
                "a quota and a period beyond all measure",
                LinuxContainerResources {
                    cpu_quota: i64::MAX,
                    cpu_period: i64::MAX,
                    ..Default::default()
                },
                "cpu=1 / ",
            ),
            (
                "nonsense",
                LinuxContainerResources {
                    cpu_quota: i64::MIN,
                    cpu_period: -1,
                    cpu_shares: i64::MIN,
                    memory_limit_in_bytes: -1,
                    unified: [("memory.min".to_owned(), "max".to_owned())].into(),
                    ..Default::default()
                },
                "none",
            ),
        ] {
            assert_eq!(
                shown(requirements(&resources, BTreeMap::new(), None).unwrap()),
                want,
                "{name}"
            );
        }
    }

    #[test]
    fn a_default_limit_fills_the_gap() {
        let with_min = LinuxContainerResources {
            unified: [("memory.min".to_owned(), "2048".to_owned())].into(),
            ..Default::default()
        };
        for (name, resources, want) in [
            ("none given", sent(None, None, 0), "memory=1Ki / "),
            ("given", sent(None, None, 5 << 20), "memory=5Mi / "),
            ("below the request", with_min, "memory=2Ki / memory=2Ki"),
        ] {
            let got = requirements(&resources, BTreeMap::new(), Some(1024)).unwrap();
            assert_eq!(shown(got), want, "{name}");
        }
    }

    #[test]
    fn page_sizes_that_are_none() {
        for size in ["", "B", "2Mi", "2", "xMB", "0KB", "-2MB", "2mB"] {
            let resources = LinuxContainerResources {
                hugepage_limits: vec![HugepageLimit {
                    page_size: size.to_owned(),
                    limit: 1,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let got = requirements(&resources, BTreeMap::new(), None);
            assert!(matches!(got, Err(Error::Field { .. })), "{size}: {got:?}");
        }
    }

    proptest! {
        #[test]
        fn every_millicore_comes_back(milli in 10_i64..=256_000, period in 1_000_i64..=1_000_000) {
            let resources = LinuxContainerResources {
                cpu_shares: shares(milli),
                cpu_quota: milli * period / 1000,
                cpu_period: period,
                ..Default::default()
            };
            prop_assert_eq!(cpu_request(&resources), u64::try_from(milli).ok());
            prop_assert_eq!(cpu_limit(&resources), u64::try_from(milli).ok());
        }

        #[test]
        fn no_figure_panics(a: i64, b: i64, c: i64, d: i64, limit: u64, text in "\\PC{0,12}") {
            let resources = LinuxContainerResources {
                cpu_shares: a,
                cpu_quota: b,
                cpu_period: c,
                memory_limit_in_bytes: d,
                unified: [("memory.min".to_owned(), text.clone())].into(),
                hugepage_limits: vec![HugepageLimit {
                    page_size: text,
                    limit,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let _ = requirements(&resources, BTreeMap::new(), Some(limit));
        }
    }
}
