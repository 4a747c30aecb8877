//! What the plugin says of its cluster in its answers to pings.

use std::collections::BTreeMap;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::nudge::Nudge;
use crate::{
    interlink::{
        wire::{PingResponse, PingTaint},
        Ping,
    },
    plan::node_offer::{Reported, Taint},
    quantity,
    text::one_line_of,
};

/// Longest name of a resource or taint that is taken from a plugin: a domain, a slash, a label.
const NAME_MAX: usize = 317;

/// What the plugin says of its cluster, from the poller to the thread that keeps the node.
#[derive(Default)]
pub struct ClusterReport {
    told: Mutex<Option<Reported>>,
    nudge: Nudge,
}

impl ClusterReport {
    /// Takes in an answer to a ping. One that says nothing of resources leaves the last one in force.
    pub fn note(&self, ping: &Ping) {
        let Some(reported) = ping.parsed.as_ref().and_then(read) else {
            return;
        };
        let mut told = self.told.lock();
        if told.as_ref() != Some(&reported) {
            *told = Some(reported);
            self.nudge.give();
        }
    }

    /// The last one that said something.
    pub(super) fn get(&self) -> Option<Reported> {
        self.told.lock().clone()
    }

    /// Told when an answer says something else than the one before.
    pub(super) fn nudged(&self) -> Receiver<()> {
        self.nudge.heard()
    }
}

/// What an answer says of resources; amounts that are none count as not told.
fn read(ping: &PingResponse) -> Option<Reported> {
    if ping.resources.is_none() && ping.taints.is_none() {
        return None;
    }
    let resources = ping.resources.clone().unwrap_or_default();
    let mut accelerators = BTreeMap::new();
    for one in &resources.accelerators {
        if let Ok(amount) = quantity::parse_memory(&one.available) {
            let name = one_line_of(&one.resource_type, NAME_MAX);
            let sum = accelerators.entry(name).or_insert(0_u64);
            *sum = sum.saturating_add(amount);
        }
    }
    let text = |text: &str| one_line_of(text, NAME_MAX);
    let taint = |taint: &PingTaint| Taint {
        key: text(&taint.key),
        value: text(&taint.value),
        effect: text(&taint.effect),
    };
    Some(Reported {
        millicores: quantity::parse_cpu(&resources.cpu).ok(),
        memory: quantity::parse_memory(&resources.memory).ok(),
        accelerators,
        taints: ping
            .taints
            .as_ref()
            .map(|all| all.iter().map(taint).collect()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ping(of: serde_json::Value) -> PingResponse {
        serde_json::from_value(of).expect("an answer")
    }

    #[test]
    fn what_a_plugin_reports() {
        assert_eq!(read(&ping(json!({"status": "ok"}))), None);
        let told = read(&ping(json!({
            "resources": {"cpu": "128", "memory": "much", "accelerators": [
                {"resourceType": "nvidia.com/gpu", "available": "4"},
                {"resourceType": "nvidia.com/gpu", "available": "2"},
                {"resourceType": "other\nname", "available": "1"},
                {"resourceType": "bad", "available": "some"},
            ]},
            "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}],
        })))
        .expect("a report");
        assert_eq!((told.millicores, told.memory), (Some(128_000), None));
        let accelerators = [("nvidia.com/gpu", 6), ("other name", 1)];
        let accelerators = accelerators.map(|(name, amount)| (name.to_owned(), amount));
        assert_eq!(told.accelerators, accelerators.into());
        let taints = told.taints.expect("taints");
        assert_eq!(taints[0].to_string(), "a=b:NoSchedule");
    }
}
