//! The body of /create: read in every form in which it comes, and checked as a whole before
//! anything is written or started.

use std::{io, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use sha2::{Digest as _, Sha256};

use super::{
    container_request::ContainerRequest,
    identifiers::is_pod_uid,
    record::{ContainerRecord, PodRecord},
    volumes::{self, PodVolume, VolumeContents},
};
use crate::{
    bounded,
    interlink::wire::{self, PodCreateRequests, RetrievedPodData},
    json::Piece,
    plugin::refusal::Refusal,
    text::is_dns_label,
};

/// The annotation of a deletion whose caller wants to know how the pod ended.
const KEEP_END: &str = "cri.interlink.eu/keep-end";
/// The default of `terminationGracePeriodSeconds` (Kubernetes API, PodSpec).
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// A longer grace period than this is taken for a mistake, and cut to this.
const MAX_GRACE_SECONDS: u64 = 3600;

/// A pod to run, as it was asked for. It was checked: names can be parts of paths, each mount has
/// its volume, and everything that the pod refers to has come with it.
#[derive(Debug)]
pub(crate) struct PodRequest {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) hostname: String,
    /// The same for two requests for the same pod.
    pub(crate) fingerprint: String,
    pub(crate) grace_period: Duration,
    /// In the order in which they run.
    pub(crate) init_containers: Vec<ContainerRequest>,
    pub(crate) containers: Vec<ContainerRequest>,
    pub(crate) volumes: Vec<PodVolume>,
}

impl PodRequest {
    /// Reads and checks a body: `PodCreateRequests` as interLink's virtual kubelet sends it,
    /// `RetrievedPodData` as the interLink server does, or a list with one of them.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let one = the_only_one(body)?;
        let is_from_server = one.field("container").map_err(invalid)?.is_some();
        let (pod, contents) = if is_from_server {
            let mut data: RetrievedPodData = bounded::from_json(one.bytes()).map_err(invalid)?;
            (std::mem::take(&mut data.pod), VolumeContents::from(data))
        } else {
            let mut data: PodCreateRequests = bounded::from_json(one.bytes()).map_err(invalid)?;
            (std::mem::take(&mut data.pod), VolumeContents::from(data))
        };
        check(&pod, &contents)
    }

    /// Init containers, then main containers.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &ContainerRequest> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// What is to be kept of the pod, which is created now.
    pub(crate) fn record(&self, job_id: String) -> PodRecord {
        let records = |containers: &[ContainerRequest]| {
            let record = |container: &ContainerRequest| ContainerRecord {
                name: container.name.clone(),
                image: container.image.clone(),
            };
            containers.iter().map(record).collect()
        };
        PodRecord {
            version: PodRecord::VERSION,
            uid: self.uid.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            jid: job_id,
            fingerprint: self.fingerprint.clone(),
            grace_seconds: self.grace_period.as_secs(),
            created_at: Timestamp::now(),
            init_containers: records(&self.init_containers),
            containers: records(&self.containers),
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Refusal {
    Refusal::invalid(error.to_string())
}

/// The pod of a body, or of its list of one.
fn the_only_one(body: &[u8]) -> Result<Piece<'_>, Refusal> {
    let whole = Piece::of_body(body).map_err(invalid)?;
    if !whole.bytes().starts_with(b"[") {
        return Ok(whole);
    }
    // Clients made with interLink's Python SDK or from its OpenAPI files send lists.
    let mut list = whole.list().map_err(invalid)?;
    let (mut first, mut count) = (None, 0_usize);
    while let Some(one) = list.next_element().map_err(invalid)? {
        first.get_or_insert(one);
        count += 1;
    }
    match first {
        Some(one) if count == 1 => Ok(one),
        _ => Err(Refusal::invalid(format!(
            "a list of {count} pods: send them one by one"
        ))),
    }
}

fn check(pod: &Pod, contents: &VolumeContents) -> Result<PodRequest, Refusal> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    if !is_pod_uid(&uid) {
        let text = format!("metadata.uid `{uid}` is not a lower-case UUID");
        return Err(Refusal::invalid(text));
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::invalid("the pod has no metadata.name"));
    }
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    if !is_dns_label(&namespace) {
        let text = format!("metadata.namespace `{namespace}` is not a DNS label");
        return Err(Refusal::invalid(text));
    }
    let Some(spec) = &pod.spec else {
        return Err(Refusal::invalid(format!("pod {name} has no spec")));
    };
    let volumes = volumes::resolve(spec, contents)?;
    let (init_containers, containers) = check_containers(spec, &volumes)?;
    let grace = grace_period(pod).unwrap_or(Duration::from_secs(DEFAULT_GRACE_SECONDS));
    Ok(PodRequest {
        uid,
        namespace,
        hostname: spec.hostname.clone().unwrap_or(name.clone()),
        fingerprint: fingerprint(spec),
        grace_period: grace,
        init_containers,
        containers,
        volumes,
        name,
    })
}

/// Whether a pod that is deleted is to be kept when it has ended, so that it can be asked how it did:
/// interlink-cri says so (docs/wire.md, W16).
pub(crate) fn keeps_end(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let value = annotations.and_then(|all| all.get(KEEP_END));
    value.is_some_and(|value| value == "true")
}

/// How long a pod's containers may take to end, if the pod says so.
pub(crate) fn grace_period(pod: &Pod) -> Option<Duration> {
    // The API server puts the grace period of `kubectl delete --grace-period`, or else the spec's,
    // into the metadata when the deletion begins; so the metadata's is the newer one.
    let of_spec = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    let seconds = pod.metadata.deletion_grace_period_seconds.or(of_spec)?;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(MAX_GRACE_SECONDS);
    Some(Duration::from_secs(seconds))
}

/// Two requests for one pod have the same, whatever has become of metadata and volume contents in
/// between: the virtual kubelet adds a `JobID` annotation, and tokens are renewed.
fn fingerprint(spec: &PodSpec) -> String {
    let mut hash = Hashed(Sha256::new());
    // It cannot fail: neither does the writer, nor has the spec a map whose keys are no texts.
    let _ = wire::write(&mut hash, spec);
    let hash = hash.0.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes bytes for their hash, without a copy of them all.
struct Hashed(Sha256);

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks init containers and main containers; gives them in this order.
fn check_containers(
    spec: &PodSpec,
    volumes: &[PodVolume],
) -> Result<(Vec<ContainerRequest>, Vec<ContainerRequest>), Refusal> {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    if spec.containers.is_empty() {
        return Err(Refusal::invalid("the pod has no containers"));
    }
    let pod_user = spec
        .security_context
        .as_ref()
        .and_then(|pod| pod.run_as_user);
    let mut checked: Vec<ContainerRequest> = Vec::new();
    for container in inits.iter().chain(&spec.containers) {
        if checked.iter().any(|other| other.name == container.name) {
            let text = format!("two containers are called `{}`", container.name);
            return Err(Refusal::invalid(text));
        }
        checked.push(ContainerRequest::check(container, pod_user, volumes)?);
    }
    let mains = checked.split_off(inits.len());
    Ok((checked, mains))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_long_a_pod_may_take_to_end() {
        for (name, deletion, spec, want) in [
            ("nothing said", json!(null), json!(null), None),
            ("the pod's own", json!(null), json!(5), Some(5)),
            ("the deletion's goes first", json!(0), json!(5), Some(0)),
            ("less than nothing", json!(-1), json!(5), Some(0)),
            (
                "for ever",
                json!(i64::MAX),
                json!(null),
                Some(MAX_GRACE_SECONDS),
            ),
        ] {
            let pod = json!({
                "metadata": {"deletionGracePeriodSeconds": deletion},
                "spec": {"containers": [], "terminationGracePeriodSeconds": spec},
            });
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(grace_period(&pod), want.map(Duration::from_secs), "{name}");
        }
    }

    #[test]
    fn a_fingerprint_is_that_of_the_spec() {
        let spec = |image: &str| -> PodSpec {
            serde_json::from_value(json!({"containers": [{"name": "a", "image": image}]})).unwrap()
        };
        assert_eq!(fingerprint(&spec("x")), fingerprint(&spec("x")));
        assert_ne!(fingerprint(&spec("x")), fingerprint(&spec("y")));
        assert_eq!(fingerprint(&spec("x")).len(), 64);
    }
}
