//! What a node offers to the scheduler beside what its kubelet finds on the machine.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{config::node::Node, quantity, text::is_extended_resource};

/// The cluster's CPUs, for kubelets that count their own machine's.
pub const CPU: &str = "interlink.eu/cpu";
/// The cluster's memory, in bytes.
pub const MEMORY: &str = "interlink.eu/memory";

/// What a plugin reports of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// CPUs, in thousandths.
    pub millicores: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// By the plugin's own names.
    pub accelerators: BTreeMap<String, u64>,
    /// The taints that the node should have; none where nothing is said of them.
    pub taints: Option<Vec<Taint>>,
}

/// A taint, as `kubectl taint` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, perhaps empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl std::fmt::Display for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value.is_empty() {
            true => write!(f, "{}:{}", self.key, self.effect),
            false => write!(f, "{}={}:{}", self.key, self.value, self.effect),
        }
    }
}

/// What the node should offer, in whole units. A plugin that was not heard yet says nothing of its
/// amounts, and they stay as they are.
pub fn offer(node: &Node, reported: Option<&Reported>) -> BTreeMap<String, u64> {
    let mut offer = BTreeMap::new();
    if let Some(reported) = reported {
        if node.offer_cpu_and_memory {
            let cpus = reported.millicores.map(|amount| amount / 1000);
            let amounts = [(CPU, cpus), (MEMORY, reported.memory)];
            let told = amounts.into_iter();
            offer.extend(told.filter_map(|(name, amount)| Some((name.to_owned(), amount?))));
        }
        if node.offer_accelerators {
            for (name, amount) in &reported.accelerators {
                let name = node.accelerators.get(name).unwrap_or(name);
                if is_extended_resource(name) {
                    let sum = offer.entry(name.clone()).or_insert(0_u64);
                    *sum = sum.saturating_add(*amount);
                }
            }
        }
    }
    let fixed = node.capacity.iter();
    offer.extend(fixed.filter_map(|(name, text)| {
        let amount = quantity::parse_memory(text).ok()?;
        Some((name.clone(), amount))
    }));
    // The API server counts in 63 bits.
    offer
        .values_mut()
        .for_each(|amount| *amount = (*amount).min(i64::MAX.unsigned_abs()));
    offer
}

/// A resource of which the node offers another amount than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As `status.capacity` has it: `nvidia.com/gpu`, for one.
    pub name: String,
    /// What the node offers of it; none where that is nothing.
    pub now: Option<u64>,
    /// What it should offer.
    pub wanted: u64,
}

/// What is to be changed in a node's `status.capacity`.
pub fn changes(
    capacity: Option<&BTreeMap<String, Quantity>>,
    offer: &BTreeMap<String, u64>,
) -> Vec<Change> {
    let now = |name: &String| {
        let amount = capacity?.get(name)?;
        quantity::parse_memory(&amount.0).ok()
    };
    let all = offer.iter().map(|(name, wanted)| Change {
        name: name.clone(),
        now: now(name),
        wanted: *wanted,
    });
    all.filter(|change| change.now != Some(change.wanted))
        .collect()
}

/// How a resource is written in a node's status.
pub fn written(name: &str, amount: u64) -> Quantity {
    match name == MEMORY {
        true => quantity::memory(amount),
        false => Quantity(amount.to_string()),
    }
}

/// How much of a resource pods have that were scheduled, as the scheduler counts it: main containers and
/// sidecars together, or the largest init container.
pub fn in_use<'a>(pods: impl Iterator<Item = &'a PodSpec>, name: &str) -> u64 {
    let of = |container: &Container| {
        let resources = container.resources.as_ref();
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let amount = requests.and_then(|requests| requests.get(name));
        amount.map_or(0, |amount| quantity::parse_memory(&amount.0).unwrap_or(0))
    };
    let of_pod = |pod: &PodSpec| {
        let is_sidecar = |it: &&Container| it.restart_policy.as_deref() == Some("Always");
        let inits = || pod.init_containers.iter().flatten();
        let sidecars = inits().filter(is_sidecar).map(of);
        let side_by_side = pod.containers.iter().map(of).chain(sidecars);
        let sum = side_by_side.fold(0, u64::saturating_add);
        sum.max(inits().map(of).max().unwrap_or(0))
    };
    pods.map(of_pod).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(of: &str) -> Node {
        toml::from_str(of).expect("settings")
    }

    fn reported() -> Reported {
        let accelerators = [
            ("nvidia.com/gpu", 4),
            ("a100", 8),
            ("fpga", 2),
            ("x/y z", 1),
        ];
        Reported {
            millicores: Some(4_096_500),
            memory: Some(16 << 40),
            accelerators: accelerators.map(|(name, n)| (name.to_owned(), n)).into(),
            taints: None,
        }
    }

    #[test]
    fn what_is_offered() {
        let (told, silent) = (reported(), Reported::default());
        for (settings, reported, want) in [
            ("", Some(&told), json!({})),
            ("offer_cpu_and_memory = true", None, json!({})),
            ("offer_cpu_and_memory = true", Some(&silent), json!({})),
            (
                "offer_cpu_and_memory = true",
                Some(&told),
                json!({"interlink.eu/cpu": 4096, "interlink.eu/memory": 17_592_186_044_416_u64}),
            ),
            (
                "offer_accelerators = true",
                Some(&told),
                json!({"nvidia.com/gpu": 4}),
            ),
            (
                "offer_accelerators = true\n\
                 accelerators = {a100 = 'nvidia.com/gpu', fpga = 'xilinx.com/fpga'}",
                Some(&told),
                json!({"nvidia.com/gpu": 12, "xilinx.com/fpga": 2}),
            ),
            (
                "offer_accelerators = true\n[accelerators]\n'nvidia.com/gpu' = ''",
                Some(&told),
                json!({}),
            ),
            (
                "offer_accelerators = true\n[capacity]\n'nvidia.com/gpu' = '1k'",
                Some(&told),
                json!({"nvidia.com/gpu": 1000}),
            ),
            ("[capacity]\n'a.org/b' = '3'", None, json!({"a.org/b": 3})),
        ] {
            assert_eq!(json!(offer(&node(settings), reported)), want, "{settings}");
        }
    }

    #[test]
    fn only_what_differs_is_changed() {
        let capacity = |of: serde_json::Value| serde_json::from_value(of).expect("amounts");
        let capacity: BTreeMap<String, Quantity> =
            capacity(json!({"cpu": "2", "a/a": "4", "a/b": "0", "interlink.eu/memory": "1Ti"}));
        let offer = [("a/a", 4), ("a/b", 7), ("a/c", 1), (MEMORY, 1 << 40)];
        let offer = offer.map(|(name, amount)| (name.to_owned(), amount)).into();
        let change = |name: &str, now, wanted| Change {
            name: name.to_owned(),
            now,
            wanted,
        };
        assert_eq!(
            changes(Some(&capacity), &offer),
            [change("a/b", Some(0), 7), change("a/c", None, 1)]
        );
        assert_eq!(changes(None, &offer).len(), 4);
        assert_eq!(written(MEMORY, 1 << 40).0, "1Ti");
        assert_eq!(written("a/a", 1 << 40).0, "1099511627776");
    }

    #[test]
    fn what_pods_have() {
        let with = |amount: &str| json!({"requests": {"a/a": amount}});
        let pods: Vec<PodSpec> = serde_json::from_value(json!([
            {"containers": [{"name": "a", "resources": with("2")}, {"name": "b"}]},
            {
                "containers": [{"name": "a", "resources": with("1")}],
                "initContainers": [
                    {"name": "i", "resources": with("4")},
                    {"name": "s", "restartPolicy": "Always", "resources": with("1")},
                ],
            },
            {"containers": [{"name": "a", "resources": with("nonsense")}]},
        ]))
        .expect("pods");
        assert_eq!(in_use(pods.iter(), "a/a"), 6);
        assert_eq!(in_use(pods.iter(), "a/b"), 0);
    }
}
