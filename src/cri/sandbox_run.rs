//! `RunPodSandbox`: nothing starts over there yet; a sandbox is a place for containers.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use super::{pod_address, validate, CriContext, Error};
use crate::{
    convert, daemon_log,
    identity::PodFacts,
    model::{Nanos, Pod, Sandbox, SandboxId, SandboxPhase},
    proto::{NamespaceMode, PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse},
    traces,
};

impl CriContext {
    pub(super) fn run_pod_sandbox(
        &self,
        request: &RunPodSandboxRequest,
    ) -> Result<RunPodSandboxResponse, Error> {
        let missing = || Error::Invalid("the request has no pod sandbox config".to_owned());
        let config = request.config.as_ref().ok_or_else(missing)?;
        let metadata = validate::sandbox_metadata(config)?;
        let about = format!("pod `{}/{}`", metadata.namespace, metadata.name);
        traces::note_sandbox(&metadata.namespace, &metadata.name, &metadata.uid);
        daemon_log::note_pod_to_be(&metadata.namespace, &metadata.name, &metadata.uid);
        validate::labels_and_annotations(
            &about,
            [&config.labels, &config.annotations],
            self.config.cri.max_metadata_bytes,
        )?;
        if !config.log_directory.is_empty() {
            validate::directory("the log directory", &config.log_directory)?;
        }
        convert::check_sandbox(config, &self.settings)
            .map_err(|error| Error::convert(&about, &error))?;
        self.check_handler(&about, &request.runtime_handler)?;
        let annotations = config.annotations.iter().collect();
        let facts = PodFacts {
            namespace: &metadata.namespace,
            annotations: &annotations,
        };
        self.users
            .check_sandbox(facts, &config.linux.security_context, &self.settings)
            .map_err(|error| Error::identity(&about, &error))?;

        let id = SandboxId::random();
        let encoded = convert::encode_sandbox_config(config);
        let encoded = encoded.map_err(|error| Error::Invalid(format!("{about}: {error}")))?;
        // Address and UID are chosen and kept as one.
        let _turn = self.address_turn.lock();
        self.store.add_sandbox(Sandbox {
            id: id.clone(),
            name: metadata.name.clone(),
            namespace: metadata.namespace.as_str().into(),
            uid: metadata.uid.clone(),
            is_uid_taken: self.is_uid_taken(&metadata.uid),
            attempt: metadata.attempt,
            labels: config.labels.iter().collect(),
            annotations,
            runtime_handler: request.runtime_handler.as_str().into(),
            log_directory: config.log_directory.clone(),
            created_at: self.next_sandbox_time(&metadata.uid),
            ip: self.address_for(&about, config)?,
            config: encoded,
        })?;
        let pod_sandbox_id = id.to_string();
        Ok(RunPodSandboxResponse {
            pod_sandbox_id,
            ..Default::default()
        })
    }

    fn check_handler(&self, about: &str, handler: &str) -> Result<(), Error> {
        let known = &self.config.cri.runtime_handlers;
        if handler.is_empty() || known.iter().any(|name| name == handler) {
            return Ok(());
        }
        Err(Error::Precondition(format!(
            "{about}: runtime handler `{handler}` is not configured; add it to \
             `cri.runtime_handlers`, or use a RuntimeClass with one of: {known:?}"
        )))
    }

    /// Whether a pod with this UID is on record. The same attempt comes again after `crictl rmp -f`, and
    /// from a kubelet that lost its sandbox; the plugin may still be owed the DELETE of the first one's job,
    /// which must not end the second one's.
    fn is_uid_taken(&self, uid: &str) -> bool {
        let pods = self.store.pods();
        pods.iter()
            .any(|pod| pod.sandbox.uid.eq_ignore_ascii_case(uid))
    }

    /// Later than every sandbox of the same pod, whatever the wall clock does: the kubelet takes
    /// the latest for the current one.
    fn next_sandbox_time(&self, uid: &str) -> Nanos {
        let pods = self.store.pods();
        let same = pods.iter().filter(|pod| pod.sandbox.uid == uid);
        let last = same.map(|pod| pod.next_created_at(Nanos(0))).max();
        last.map_or(self.now(), |last| self.now().max(last))
    }

    /// The pod's own address, else a free one of the node's range; none for a pod on the host
    /// network, or without a range. A pod that has stopped gives its address back, but it is
    /// the last to be taken.
    fn address_for(&self, about: &str, config: &PodSandboxConfig) -> Result<Option<IpAddr>, Error> {
        let network = config.linux.security_context.namespace_options.network;
        if network.enum_value_or_default() == NamespaceMode::NODE {
            return Ok(None);
        }
        let pods = self.store.pods();
        let in_phase = |phases: &[SandboxPhase]| -> HashSet<_> {
            let pods = pods.iter().filter(|pod| phases.contains(&pod.phase()));
            pods.filter_map(|pod| pod.sandbox.ip).collect()
        };
        let own = pod_address::own(
            config.annotations.get(pod_address::ANNOTATION),
            &self.config.network.own_ranges,
        );
        if let Some(own) = own.map_err(|fault| Error::Invalid(format!("{about}: {fault}")))? {
            let has_it = |pod: &&Arc<Pod>| {
                pod.phase() == SandboxPhase::Ready
                    && pod.sandbox.ip == Some(own)
                    && pod.sandbox.uid != config.metadata.uid
            };
            return match pods.iter().find(has_it) {
                Some(other) => Err(Error::Precondition(format!(
                    "{about}: its address {own} is that of pod `{}`; give it another",
                    other.full_name()
                ))),
                None => Ok(Some(own)),
            };
        }
        let known = self.store.pod_cidr();
        let Some(cidr) = known.or_else(|| self.config.network.pod_cidr.clone()) else {
            return Ok(None);
        };
        let ready = in_phase(&[SandboxPhase::Ready]);
        let all = in_phase(&[SandboxPhase::Ready, SandboxPhase::NotReady]);
        let free = pod_address::pick(&cidr, &all).or_else(|| pod_address::pick(&cidr, &ready));
        let full = || {
            Error::Exhausted(format!(
                "{about}: no address of the node's pod CIDR {cidr} is free; widen it, or run \
                 fewer pods here"
            ))
        };
        free.map(Some).ok_or_else(full)
    }
}
