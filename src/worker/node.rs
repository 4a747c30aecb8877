//! Keeps what this node offers to the scheduler: amounts in its status, labels and annotations.
//!
//! The node is read again and again, because others set it too: a kubelet that starts sets resources
//! that it does not know to zero (`reconcileExtendedResource` in pkg/kubelet/kubelet_node_status.go).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{select, Receiver};
use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::api::resource::Quantity};

use super::Context;
use crate::{
    kube::{self, Api},
    plan::node_offer::{self, Change, Reported, Taint},
    quantity,
    telemetry::{chain, NodeOffer},
    threads,
};

/// Beyond the pause between two looks: five calls that end at their limit.
const LOOK: Duration = Duration::from_secs(60);
/// How much a cluster may differ from what its node offers before that is trouble, in parts of a hundred.
const CHANGE: u64 = 10;

/// Runs until told to stop.
pub fn run(context: &Context, api: &Arc<Api>, stop: &Receiver<()>) {
    let mut keeper = Keeper {
        context,
        api,
        told: BTreeSet::new(),
    };
    let pause = context.config.node.check_interval;
    let nudged = context.cluster.nudged();
    loop {
        threads::beat("node", pause + LOOK);
        threads::point("node");
        keeper.look();
        select! {
            recv(stop) -> _ => return,
            recv(nudged) -> _ => {}
            default(pause) => {}
        }
    }
}

struct Keeper<'a> {
    context: &'a Context,
    api: &'a Api,
    /// What was told once, and need not be told again.
    told: BTreeSet<String>,
}

impl Keeper<'_> {
    fn look(&mut self) {
        let (offered, trouble) = match self.keep() {
            Ok((offered, trouble)) => (offered, trouble),
            Err(error) => {
                let before = self.context.health.node().unwrap_or_default();
                (before.offered, Some(error))
            }
        };
        let text = trouble.clone();
        if self
            .context
            .health
            .note_node(NodeOffer { offered, trouble })
        {
            match text {
                Some(text) => log::warn!(node = self.api.node; "{text}"),
                None => log::info!(node = self.api.node; "the node offers what it should"),
            }
        }
    }

    /// Compares the node with what it should be, and mends it. Gives what it offers then, and what is
    /// not as it should be all the same.
    fn keep(&mut self) -> Result<(BTreeMap<String, String>, Option<String>), String> {
        let (name, settings) = (&self.api.node, &self.context.config.node);
        let found = self.api.client.node(name).map_err(|error| chain(&error))?;
        let node = found.ok_or_else(|| {
            "there is no node of this name; kubernetes.node_name says what it is called".to_owned()
        })?;
        let reported = self.context.cluster.get();
        let offer = node_offer::offer(settings, reported.as_ref());
        let capacity = node
            .status
            .as_ref()
            .and_then(|status| status.capacity.as_ref());
        let mut trouble = Vec::new();
        let changes = node_offer::changes(capacity, &offer);
        let amounts = self.amounts(changes, &mut trouble)?;
        if !amounts.is_empty() {
            let result = self.api.client.set_node_capacity(name, &amounts);
            result.map_err(|error| chain(&error))?;
            let list: Vec<_> = amounts
                .iter()
                .map(|(name, it)| format!("{name}={}", it.0))
                .collect();
            log::info!(node = name; "the node offers {} now", list.join(", "));
        }
        self.set_metadata(&node, &mut trouble);
        if let Some(reported) = &reported {
            self.tell_of_taints(&node, reported);
            // What is free changes with each job, and does not say how large the cluster is.
            let tells_size = !self.context.rules.plugin.pings_with_what_is_free;
            let outgrown = tells_size.then(|| outgrown(capacity, reported, machine_memory()));
            trouble.extend(outgrown.flatten());
        }
        let stands = |name: &String| {
            let amount = amounts.get(name).or_else(|| capacity?.get(name));
            amount.map(|amount| (name.clone(), amount.0.clone()))
        };
        let offered = offer.keys().filter_map(stands).collect();
        Ok((offered, (!trouble.is_empty()).then(|| trouble.join("; "))))
    }

    /// The amounts to set: less than now only as far as pods leave it.
    fn amounts(
        &self,
        changes: Vec<Change>,
        trouble: &mut Vec<String>,
    ) -> Result<BTreeMap<String, Quantity>, String> {
        let shrinks = |change: &Change| change.now.is_some_and(|now| now > change.wanted);
        let pods = match changes.iter().any(shrinks) {
            true => self.api.client.live_pods_of(&self.api.node),
            false => Ok(Vec::new()),
        };
        let pods = pods.map_err(|error| chain(&error))?;
        let mut amounts = BTreeMap::new();
        for change in changes {
            let mut amount = change.wanted;
            if let Some(now) = change.now.filter(|now| *now > amount) {
                let used = node_offer::in_use(pods.iter(), &change.name).min(now);
                if used > amount {
                    trouble.push(format!(
                        "pods have {used} {}, and the cluster has {amount}",
                        change.name
                    ));
                    amount = used;
                }
                if amount == now {
                    continue;
                }
            }
            let written = node_offer::written(&change.name, amount);
            amounts.insert(change.name, written);
        }
        Ok(amounts)
    }

    fn set_metadata(&self, node: &Node, trouble: &mut Vec<String>) {
        let settings = &self.context.config.node;
        let differ = |now: &Option<BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| {
            let now = now.as_ref();
            wanted
                .iter()
                .any(|(key, value)| now.and_then(|now| now.get(key)) != Some(value))
        };
        let (labels, annotations) = (&settings.labels, &settings.annotations);
        let is_due = differ(&node.metadata.labels, labels)
            || differ(&node.metadata.annotations, annotations);
        if !is_due {
            return;
        }
        let client: &kube::Client = &self.api.client;
        match client.set_node_metadata(&self.api.node, labels, annotations) {
            Ok(()) => {
                log::info!(node = self.api.node; "labels and annotations of the node are set")
            }
            Err(error) => trouble.push(chain(&error)),
        }
    }

    /// A kubelet's credentials may not change taints (the admission plugin NodeRestriction), so somebody
    /// else has to.
    fn tell_of_taints(&mut self, node: &Node, reported: &Reported) {
        let spec = node.spec.as_ref();
        let has = |wanted: &Taint| {
            let mut taints = spec
                .into_iter()
                .flat_map(|spec| spec.taints.iter().flatten());
            taints.any(|taint| {
                taint.key == wanted.key
                    && taint.effect == wanted.effect
                    && taint.value.as_deref().unwrap_or_default() == wanted.value
            })
        };
        for taint in reported.taints.iter().flatten().filter(|taint| !has(taint)) {
            let text = taint.to_string();
            if self.told.insert(text.clone()) {
                log::warn!(
                    "the plugin wants a taint that a kubelet's credentials may not set; run: \
                     kubectl taint node {} '{}'",
                    self.api.node,
                    text.replace('\'', "")
                );
            }
        }
    }
}

/// What is wrong with the CPUs and the memory that a kubelet has taken over from `node-view` when it
/// started. One that counts its own machine's is none of our business.
fn outgrown(
    capacity: Option<&BTreeMap<String, Quantity>>,
    reported: &Reported,
    machine: Option<u64>,
) -> Option<String> {
    let of = |name: &str| capacity?.get(name).map(|amount| amount.0.as_str());
    let memory = quantity::parse_memory(of("memory")?).ok()?;
    let millicores = quantity::parse_cpu(of("cpu")?).ok()?;
    if Some(memory) == machine {
        return None;
    }
    let differ = |now: u64, told: Option<u64>| {
        told.is_some_and(|told| told.abs_diff(now) > now / 100 * CHANGE)
    };
    if !differ(memory, reported.memory) && !differ(millicores, reported.millicores) {
        return None;
    }
    let told_cpu = quantity::cpu(reported.millicores.unwrap_or(millicores)).0;
    let told_memory = quantity::memory(reported.memory.unwrap_or(memory)).0;
    Some(format!(
        "the cluster has {told_cpu} CPUs and {told_memory} of memory, and the node offers {} and {} until \
         the kubelet is started again",
        quantity::cpu(millicores).0,
        quantity::memory(memory).0
    ))
}

/// The bytes of memory that a kubelet finds on this machine by itself.
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let mut lines = text.lines();
    let total = lines.find_map(|line| quantity::kibibytes(line, "MemTotal:"))?;
    total.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_was_outgrown() {
        let capacity: BTreeMap<String, Quantity> =
            serde_json::from_value(json!({"cpu": "100", "memory": "100Gi"})).expect("amounts");
        let with = |cpus: Option<u64>, memory: Option<u64>, machine: u64| {
            let reported = Reported {
                millicores: cpus.map(|cpus| cpus * 1000),
                memory: memory.map(|memory| memory << 30),
                ..Reported::default()
            };
            outgrown(Some(&capacity), &reported, Some(machine << 30))
        };
        assert_eq!(with(Some(105), Some(95), 4), None, "small changes");
        assert_eq!(with(None, None, 4), None, "nothing is told");
        assert_eq!(with(Some(500), Some(500), 100), None, "the machine's own");
        let text = with(Some(200), None, 4).expect("outgrown");
        assert!(text.contains("200 CPUs and 100Gi"), "{text}");
        assert!(with(None, Some(50), 4).is_some(), "smaller");
    }
}
