//! Requests and limits, from the figures that a kubelet makes of them.

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
            "memory QoS, Guaranteed",
            LinuxContainerResources {
                unified: [("memory.min", "67108864"), ("memory.low", "0")]
                    .map(|(key, text)| (key.to_owned(), text.to_owned()))
                    .into(),
                ..sent(None, None, 64 << 20)
            },
            "memory=64Mi / memory=64Mi",
        ),
        (
            "memory QoS, Burstable",
            LinuxContainerResources {
                unified: [("memory.min", "0"), ("memory.low", "33554432")]
                    .map(|(key, text)| (key.to_owned(), text.to_owned()))
                    .into(),
                ..sent(None, None, 64 << 20)
            },
            "memory=64Mi / memory=32Mi",
        ),
        (
            "memory QoS, BestEffort",
            LinuxContainerResources {
                unified: [("memory.min", "0"), ("memory.low", "0")]
                    .map(|(key, text)| (key.to_owned(), text.to_owned()))
                    .into(),
                ..sent(None, None, 0)
            },
            "none",
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
                unified: [("memory.min", "max"), ("memory.low", "-1")]
                    .map(|(key, text)| (key.to_owned(), text.to_owned()))
                    .into(),
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
fn a_limit_without_a_request_is_the_request_too() {
    let list = |amounts: &[(&str, &str)]| {
        let amount =
            |(name, amount): &(&str, &str)| ((*name).to_owned(), Quantity((*amount).to_owned()));
        let amounts: BTreeMap<_, _> = amounts.iter().map(amount).collect();
        (!amounts.is_empty()).then_some(amounts)
    };
    let filled = |limits: &[(&str, &str)], requests: &[(&str, &str)], written| {
        let mut own = ResourceRequirements {
            limits: list(limits),
            requests: list(requests),
            claims: None,
        };
        default_requests(&mut own, written);
        shown(Some(own))
    };
    let both = [("cpu", "2"), ("memory", "4Gi")];
    for (requests, want) in [
        (&[][..], "cpu=2,memory=4Gi / cpu=2,memory=4Gi"),
        (&[("cpu", "1")], "cpu=2,memory=4Gi / cpu=1,memory=4Gi"),
        (&both, "cpu=2,memory=4Gi / cpu=2,memory=4Gi"),
    ] {
        assert_eq!(filled(&both, requests, None), want, "{requests:?}");
    }
    assert_eq!(filled(&[], &[("cpu", "1")], None), " / cpu=1");
    assert_eq!(filled(&[], &[], None), " / ");
    let written = ResourceRequirements {
        limits: list(&[("cpu", "2")]),
        ..Default::default()
    };
    let got = filled(&both, &[], Some(&written));
    assert_eq!(got, "cpu=2,memory=4Gi / memory=4Gi", "the pod says it");
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
