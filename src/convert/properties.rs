//! What holds of image references, amounts and jobs, whatever the text or message.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use protobuf::Message;

use super::{
    check_container, check_sandbox, check_volumes, container_config, decode_container_config,
    decode_sandbox_config, image_id, job_pod, resources, sandbox_config, testing, user_image,
    Error, ImageRef, JobPod, Settings,
};
use crate::{
    config::{policy::Unsupported, Config},
    model::{Container, Job, Pod, StringMap},
    proto::{ImageSpec, LinuxContainerResources},
    quantity,
    text::is_dns_label,
};

/// The longest message that an error has here.
const MAX_MESSAGE: usize = 2048;

/// A reference: refused with a short message, or normalised once and for all, with one identity.
pub fn image_ref(text: &str) {
    let spec = ImageSpec {
        image: text.to_owned(),
        ..Default::default()
    };
    let is_written = !text.is_empty() && image_id(text).is_none();
    assert_eq!(user_image(&spec, None), is_written.then_some(text));
    let image = match ImageRef::parse(text) {
        Ok(image) => image,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    assert_eq!(image_id(text), None, "an id is no reference");
    assert_eq!(
        ImageRef::parse(&image.to_string()).as_ref().ok(),
        Some(&image)
    );
    let id = image.id();
    assert_eq!(image_id(&id).as_deref(), Some(id.as_str()));
    assert!(image.tag().is_some() != image.digest().is_some());
    assert_eq!(image.repo_digests().len(), 1);
    for text in [image.repo_tags(), image.repo_digests()].concat() {
        let again = ImageRef::parse(&text).map(|image| (image.name().to_owned(), image.id()));
        assert_eq!(again.ok(), Some((image.name().to_owned(), id.clone())));
    }
}

/// An amount of memory: refused with a short message, or printed so that it reads back.
pub fn quantity(text: &str) {
    let amount = match quantity::parse_memory(text) {
        Ok(amount) => amount,
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    amount_reads_back(amount);
    for signed in [format!("+{text}"), format!("0{text}")] {
        // A sign, or twenty-one digits, are not read twice.
        if let Ok(same) = quantity::parse_memory(&signed) {
            assert_eq!(same, amount, "{signed}");
        }
    }
}

fn amount_reads_back(amount: u64) {
    let read = |text: &str| quantity::parse_memory(text).ok();
    assert_eq!(read(&quantity::memory(amount).0), Some(amount));
    // As a number a CPU amount is the same: a fraction of one counts as one.
    assert_eq!(read(&quantity::cpu(amount).0), Some(amount.div_ceil(1000)));
}

/// The figures of a container, as the kubelet sends them: `default_memory` in the first eight
/// bytes, then a `LinuxContainerResources`, of which as much counts as can be read.
pub fn resources(data: &[u8]) {
    let (default, message) = data.split_at(data.len().min(8));
    let default = default.try_into().map(u64::from_le_bytes).ok();
    let mut given = LinuxContainerResources::new();
    // What comes before a fault has been read.
    let _ = given.merge_from_bytes(message);
    let required = match resources::requirements(&given, Default::default(), default) {
        Ok(required) => required.unwrap_or_default(),
        Err(error) => return assert!(error.to_string().len() < MAX_MESSAGE),
    };
    let limits = required.limits.unwrap_or_default();
    let requests = required.requests.unwrap_or_default();
    for amount in limits.values().chain(requests.values()) {
        assert!(quantity::parse_memory(&amount.0).is_ok(), "{}", amount.0);
    }
    let (quota, period) = (
        given.cpu_quota.max(0) as u128,
        given.cpu_period.max(0) as u128,
    );
    let period = if period == 0 { 100_000 } else { period };
    let millicores = u64::try_from((quota * 1000).div_ceil(period)).unwrap_or(u64::MAX);
    let cpu = (quota > 0).then(|| quantity::cpu(millicores));
    assert_eq!(limits.get("cpu"), cpu.as_ref());
    let memory = |list: &std::collections::BTreeMap<_, _>| {
        let amount: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            list.get("memory");
        amount.and_then(|amount| quantity::parse_memory(&amount.0).ok())
    };
    let own = u64::try_from(given.memory_limit_in_bytes)
        .ok()
        .filter(|own| *own > 0);
    match own {
        Some(own) => assert_eq!(memory(&limits), Some(own)),
        // A limit below the request would be no valid pod.
        None => assert!(default.is_none() || memory(&limits) >= memory(&requests)),
    }
}

/// A pod's sandbox, and up to four containers: protobuf messages with `||` between them, each
/// merged into one that a kubelet sends; what comes before a fault in it counts. After a `%` in
/// front of them, volumes that cannot be part of a remote job are left out. What is let pass becomes a job.
pub fn any_job(data: &[u8]) {
    let (unsupported_volumes, data) = match data.strip_prefix(b"%") {
        Some(rest) => (Unsupported::Skip, rest),
        None => (Unsupported::Refuse, data),
    };
    let settings = Settings {
        kubelet_root: "/var/lib/kubelet".into(),
        unsupported_volumes,
        shared_paths: vec!["/shared/pvc-1".into()],
        image_uid: 65_532,
        default_memory: Some(1 << 30),
        ..Settings::new(&Config::default()).expect("the defaults are good")
    };
    let (mut pod, mut job) = testing::fixture(&["main", "side", "init", "more"]);
    let mut parts = parts(data).into_iter();
    if !takes_sandbox(&mut pod, parts.next().unwrap_or_default(), &settings) {
        return;
    }
    for index in 0..pod.containers.len() {
        let part = parts.next().filter(|part| {
            let container = Arc::make_mut(&mut pod.containers[index].container);
            takes_container(container, part, &settings)
        });
        if part.is_none() {
            pod.containers[index].status.exit = Some(Box::new(testing::exit()));
        }
        job.names[index].clone_from(&pod.containers[index].container.name);
    }
    match job_pod(
        &pod,
        &job,
        &testing::job_containers(&pod, &job),
        None,
        settings.default_memory,
        &settings,
    ) {
        Ok(made) => hangs_together(&pod, &job, &made),
        Err(Error::NoContainers) => {
            let mut containers = pod.containers.iter();
            assert!(containers.all(|entry| entry.status.exit.is_some()));
        }
        // Two names that are no DNS labels may become the same one over there.
        Err(Error::DuplicateContainer { .. }) => {}
        Err(error) => panic!("what was let pass does not convert: {error}"),
    }
}

fn parts(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = data.windows(2).position(|pair| pair == b"||") {
        parts.push(&data[..at]);
        data = &data[at + 2..];
    }
    parts.push(data);
    parts
}

/// What is there, and more.
fn with(map: &StringMap, more: &HashMap<String, String>) -> StringMap {
    let more = more
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    map.iter().chain(more).collect()
}

fn takes_sandbox(pod: &mut Pod, given: &[u8], settings: &Settings) -> bool {
    let mut config = decode_sandbox_config(&pod.sandbox).expect("the fixture is good");
    let _ = config.merge_from_bytes(given);
    let sandbox = testing::sandbox_mut(pod);
    if let Some(metadata) = config.metadata.as_ref() {
        sandbox.name.clone_from(&metadata.name);
        sandbox.namespace = metadata.namespace.as_str().into();
        sandbox.attempt = metadata.attempt;
    }
    sandbox.annotations = with(&sandbox.annotations, &config.annotations);
    sandbox.config = sandbox_config(config.write_to_bytes().expect("it was read").into());
    check_sandbox(&config, settings).is_ok()
}

fn takes_container(container: &mut Container, given: &[u8], settings: &Settings) -> bool {
    let mut config = decode_container_config(container).expect("the fixture is good");
    let _ = config.merge_from_bytes(given);
    let name = &config.metadata.name;
    if !name.is_empty() {
        container.name = name.as_str().into();
    }
    container.annotations = with(&container.annotations, &config.annotations).into();
    container.config = container_config(config.write_to_bytes().expect("it was read").into());
    let found: Vec<_> = config.mounts.iter().map(testing::behind).collect();
    let checked = check_container(&config, settings)
        .and_then(|warnings| Ok((warnings, check_volumes(&config, &found, settings)?)));
    match checked {
        Ok((mut warnings, more)) => {
            warnings.extend(more);
            let mut texts = warnings.iter().map(ToString::to_string);
            assert!(texts.all(|text| !text.is_empty()));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// The server matches by name, and insists on names of a certain form.
fn hangs_together(pod: &Pod, job: &Job, made: &JobPod) {
    let json = serde_json::to_vec(&made.pod).expect("it is written");
    let again = serde_json::from_slice(&json).expect("it reads back");
    assert_eq!(made.pod, again);
    let uid = job.uid.to_string();
    assert_eq!(made.pod.metadata.uid.as_deref(), Some(uid.as_str()));
    let name = made.pod.metadata.name.as_deref().unwrap_or_default();
    assert!((1..=253).contains(&name.len()), "{name}");
    assert!(made
        .pod
        .metadata
        .namespace
        .as_deref()
        .is_some_and(is_dns_label));
    let spec = made.pod.spec.as_ref().expect("a job has a spec");
    let volumes = spec.volumes.iter().flatten();
    let volumes: Vec<_> = volumes.map(|volume| volume.name.as_str()).collect();
    assert!(volumes.iter().all(|name| is_dns_label(name)), "{volumes:?}");
    let known: HashSet<_> = volumes.iter().copied().collect();
    assert_eq!(known.len(), volumes.len(), "no two volumes have one name");
    let mut used = HashSet::new();
    for container in &spec.containers {
        assert!(is_dns_label(&container.name), "{}", container.name);
        for mount in container.volume_mounts.iter().flatten() {
            assert!(known.contains(mount.name.as_str()), "{}", mount.name);
            assert!(mount.mount_path.starts_with('/'), "{}", mount.mount_path);
            used.insert(mount.name.as_str());
        }
    }
    assert_eq!(used, known, "each volume is mounted");
    for volume in spec.volumes.iter().flatten() {
        let is_it = |metadata: &ObjectMeta| metadata.name.as_deref() == Some(&volume.name);
        let comes = if volume.config_map.is_some() {
            made.configmaps.iter().any(|map| is_it(&map.metadata))
        } else if volume.secret.is_some() {
            made.secrets.iter().any(|secret| is_it(&secret.metadata))
        } else if volume.projected.is_some() {
            made.projected.iter().any(|map| is_it(&map.metadata))
        } else {
            true
        };
        assert!(comes, "the contents of `{}` come along", volume.name);
    }
    let maps = made.configmaps.iter().chain(&made.projected);
    let keys = maps.flat_map(|map| {
        let (texts, bytes) = (map.data.iter().flatten(), map.binary_data.iter().flatten());
        texts.map(|(key, _)| key).chain(bytes.map(|(key, _)| key))
    });
    let secrets = made.secrets.iter();
    let in_secrets = secrets.flat_map(|one| one.data.iter().flatten().map(|(key, _)| key));
    for key in keys.chain(in_secrets) {
        assert!(!key.contains('/'), "{key}");
    }
    for resources in spec
        .containers
        .iter()
        .filter_map(|one| one.resources.as_ref())
    {
        let requests = resources.requests.clone().unwrap_or_default();
        let mut limits = resources.limits.iter().flatten();
        assert!(limits.all(|(name, _)| requests.contains_key(name)));
    }
    let runs = pod.containers.iter().filter(|c| c.status.exit.is_none());
    assert_eq!(spec.containers.len(), runs.count());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::{ContainerConfig, KeyValue, Mount};

    fn mount() -> impl Strategy<Value = Mount> {
        let below = proptest::sample::select(&[
            "volumes/kubernetes.io~empty-dir/scratch",
            "volumes/kubernetes.io~configmap/conf/key",
            "volumes/kubernetes.io~secret/Key_1",
            "volumes/kubernetes.io~projected/kube-api-access-1",
            "volumes/kubernetes.io~downward-api/conf",
            "volumes/kubernetes.io~csi/pvc-1/mount",
            "volumes/kubernetes.io~nfs/Odd_name.",
            "volume-subpaths/conf/main/0",
            "etc-hosts",
            "containers/main/1a",
        ]);
        let root = format!("/var/lib/kubelet/pods/{}", testing::UID);
        let host = prop_oneof![
            below.prop_map(move |below| format!("{root}/{below}")),
            "/[a-z./]{0,9}",
            "\\PC{0,9}",
        ];
        ("/[a-z./]{0,9}", host, any::<bool>()).prop_map(|(container_path, host_path, readonly)| {
            Mount {
                container_path,
                host_path,
                readonly,
                ..Default::default()
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_let_pass_becomes_a_job(
            mounts in proptest::collection::vec(mount(), 0..4),
            envs in proptest::collection::vec(("[A-Z=]{0,3}", "\\PC{0,5}"), 0..3),
            sandbox in proptest::collection::vec(any::<u8>(), 0..30),
            noise in proptest::collection::vec(any::<u8>(), 0..30),
            skips: bool,
        ) {
            let variable = |(key, value): (String, String)| KeyValue {
                key,
                value: value.into_bytes(),
                ..Default::default()
            };
            let config = ContainerConfig {
                mounts,
                envs: envs.into_iter().map(variable).collect(),
                ..Default::default()
            };
            let config = config.write_to_bytes().expect("it is written");
            let start = if skips { "%" } else { "" };
            any_job(&[start.as_bytes(), &sandbox, b"||", &config, b"||", &noise].concat());
        }
    }
}
