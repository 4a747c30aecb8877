//! `RunPodSandbox`: nothing starts over there yet; a sandbox is a place for containers.

use std::net::IpAddr;

use super::{pod_address, validate, CriContext, Error};
use crate::{
    convert, daemon_log,
    identity::PodFacts,
    model::{Sandbox, SandboxId, SandboxPhase},
    proto::{NamespaceMode, PodSandboxConfig, RunPodSandboxRequest, RunPodSandboxResponse},
    store::Others,
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
        let network = self.network_of(&about, config)?;
        self.store.add_sandbox_beside::<Error>(|others| {
            let now = self.now();
            Ok(Sandbox {
                id: id.clone(),
                name: metadata.name.clone(),
                namespace: metadata.namespace.as_str().into(),
                uid: metadata.uid.clone(),
                // The same attempt comes again after `crictl rmp -f`, and from a kubelet that lost its
                // sandbox; the plugin may still be owed the DELETE of the first one's job, which must not
                // end the second one's.
                is_uid_taken: others.has_uid(&metadata.uid),
                attempt: metadata.attempt,
                labels: config.labels.iter().collect(),
                annotations,
                runtime_handler: request.runtime_handler.as_str().into(),
                log_directory: config.log_directory.clone(),
                // Whatever the wall clock does: the kubelet takes the latest for the current one.
                created_at: others
                    .time_after(&metadata.uid)
                    .map_or(now, |time| time.max(now)),
                ip: network.address(&about, &metadata.uid, others)?,
                config: encoded,
            })
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

    /// Where the pod's address comes from.
    fn network_of(&self, about: &str, config: &PodSandboxConfig) -> Result<Network, Error> {
        let network = config.linux.security_context.namespace_options.network;
        if network.enum_value_or_default() == NamespaceMode::NODE {
            return Ok(Network::Host);
        }
        let own = pod_address::own(
            config.annotations.get(pod_address::ANNOTATION),
            &self.config.network.own_ranges,
        );
        let own = own.map_err(|fault| Error::Invalid(format!("{about}: {fault}")))?;
        let range = self.store.pod_cidr();
        let range = range.or_else(|| self.config.network.pod_cidr.clone());
        Ok(match (own, range) {
            (Some(own), _) => Network::Own(own),
            (None, Some(range)) => Network::Range(range),
            (None, None) => Network::Unknown,
        })
    }
}

/// Where a pod's address comes from.
enum Network {
    /// It is the node's.
    Host,
    /// The pod brings it.
    Own(IpAddr),
    /// It is one of the node's range for pods.
    Range(String),
    /// There is no such range.
    Unknown,
}

impl Network {
    /// The pod's own address, else a free one of the node's range; none for a pod on the host network, or
    /// without a range. A pod that has stopped gives its address back, but it is the last to be taken.
    fn address(
        &self,
        about: &str,
        uid: &str,
        others: &Others<'_>,
    ) -> Result<Option<IpAddr>, Error> {
        let is_ready = |(_, phase): &(&Sandbox, SandboxPhase)| *phase == SandboxPhase::Ready;
        let cidr = match self {
            Self::Host | Self::Unknown => return Ok(None),
            Self::Range(cidr) => cidr,
            Self::Own(own) => {
                let mut ready = others.at(*own).filter(is_ready);
                return match ready.find(|(sandbox, _)| sandbox.uid != uid) {
                    Some((other, _)) => Err(Error::Precondition(format!(
                        "{about}: its address {own} is that of pod `{}/{}`; give it another",
                        other.namespace, other.name
                    ))),
                    None => Ok(Some(*own)),
                };
            }
        };
        let free = pod_address::pick(cidr, |address| others.at(address).next().is_none());
        let free = free.or_else(|| {
            pod_address::pick(cidr, |address| {
                !others.at(address).any(|one| is_ready(&one))
            })
        });
        let full = || {
            Error::Exhausted(format!(
                "{about}: no address of the node's pod CIDR {cidr} is free; widen it, or run \
                 fewer pods here"
            ))
        };
        free.map(Some).ok_or_else(full)
    }
}
