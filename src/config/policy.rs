//! Every key about what pods ask for, its default, and why.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::limits::NamespaceLimit;

/// `[pods]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pods {
    /// The kubelet's root directory, below which it puts volumes.
    pub kubelet_root: PathBuf,
    /// What to do with a volume that a remote job cannot have: `refuse` the container, or `skip` the volume.
    pub unsupported_volumes: Unsupported,
    /// Directories of shared file systems: a path below one of them is the same on the compute
    /// nodes. Persistent volumes that lie there (CSI, NFS, local) are sent as host paths.
    pub shared_paths: Vec<PathBuf>,
    /// Which hostPath volumes are sent with jobs: `any`, or only those below `shared_paths`: `shared`.
    pub host_paths: HostPaths,
    /// Whether the service account token that every ordinary pod mounts is shipped with its jobs.
    /// It is valid for about an hour, and is not renewed over there. `false` leaves the volume
    /// out, with a warning.
    pub service_account_tokens: bool,
    /// The most bytes of ConfigMaps, Secrets and projected volumes that are shipped with a job.
    pub max_volume_bytes: u64,
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            kubelet_root: "/var/lib/kubelet".into(),
            unsupported_volumes: Unsupported::Refuse,
            shared_paths: Vec::new(),
            host_paths: HostPaths::Any,
            service_account_tokens: true,
            max_volume_bytes: 8 << 20,
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How much each namespace may have with the plugin at once: `jobs`, `cores` and `gpus`, of which
    /// any may be left out. `namespaces` are patterns, without any an entry is for all; the first entry
    /// counts that fits, and for each namespace by itself. Jobs beyond that wait here, the oldest first,
    /// until others of the namespace have ended. One that could never run is refused. What a job has is
    /// what its pod asks for, in whole cores and at least one; flags that ask for more are refused where
    /// `[identity]` has entries.
    pub namespaces: Vec<NamespaceLimit>,
    /// The most that the configuration of one container may have: its bytes as they come through the
    /// CRI, and 128 for each variable, argument, mount, label and annotation. More is refused with
    /// RESOURCE_EXHAUSTED. A process can be started with 2 MiB of variables and arguments.
    pub max_container_bytes: u64,
    /// The same for a pod: its sandbox, its containers, and those that ended and are kept. So much is
    /// also made at most for a job that is a whole pod; of a larger one each container is a job.
    pub max_pod_bytes: u64,
    /// The same for all pods of a namespace on this node, with those whose jobs are still to be cancelled.
    pub max_namespace_bytes: u64,
    /// The same for all pods.
    pub max_total_bytes: u64,
    /// The most bytes that one request to the interLink server may have, volumes included. A job with a
    /// larger one is refused.
    pub max_request_bytes: u64,
    /// The most memory that CRI requests under way may take, and by itself the answers of the interLink
    /// server and the API server while they are read. A request that finds no room is refused with
    /// RESOURCE_EXHAUSTED, an answer is asked for again. What is small, or alone, always finds room.
    pub max_in_flight_bytes: usize,
    /// The most images that are remembered. Of more, those that no container has are forgotten, the
    /// oldest first; a kubelet pulls again what it needs.
    pub max_images: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            max_container_bytes: 4 << 20,
            max_pod_bytes: 16 << 20,
            max_namespace_bytes: 64 << 20,
            max_total_bytes: 256 << 20,
            max_request_bytes: 64 << 20,
            max_in_flight_bytes: 128 << 20,
            max_images: 10_000,
        }
    }
}

/// Which hostPath volumes are sent with jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostPaths {
    /// All: the path is looked for on the compute node.
    Any,
    /// Those on shared file systems.
    Shared,
}

/// What to do with what a remote job cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsupported {
    /// The container is refused, with a message that names it.
    Refuse,
    /// It is left out, with a warning in the daemon's log.
    Skip,
}

/// `[resources]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// GPUs and other extended resources of jobs, and where a container shows that it has some.
    /// The CRI does not carry their amounts. `annotation` names a pod annotation with the amount:
    /// `2`, or by container `main=2,side=1`. `cdi` lists kinds of CDI devices, `devices` patterns
    /// of device paths, `env` variables with a list of ids; what device plugins and DRA drivers gave
    /// is counted, and such a variable is not passed on, for its ids mean devices of this node. Kinds
    /// of one vendor name the same devices, so the kind with the most of them counts. An annotation
    /// counts more than what is there.
    pub extended: Vec<ExtendedResource>,
}

impl Default for Resources {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            extended: vec![
                ExtendedResource {
                    name: "nvidia.com/gpu".to_owned(),
                    annotation: Some("interlink.eu/nvidia-gpus".to_owned()),
                    cdi: texts(&[
                        "nvidia.com/gpu",
                        "k8s.device-plugin.nvidia.com/gpu",
                        "k8s.gpu.nvidia.com/device",
                        "k8s.gpu.nvidia.com/claim",
                    ]),
                    devices: texts(&["/dev/nvidia[0-9]*"]),
                    env: texts(&["NVIDIA_VISIBLE_DEVICES"]),
                },
                ExtendedResource {
                    name: "amd.com/gpu".to_owned(),
                    annotation: Some("interlink.eu/amd-gpus".to_owned()),
                    cdi: texts(&[
                        "amd.com/gpu",
                        "k8s.gpu.amd.com/gpu",
                        "k8s.gpu.amd.com/device",
                        "k8s.gpu.amd.com/claim",
                    ]),
                    devices: texts(&["/dev/dri/renderD[0-9]*"]),
                    env: texts(&["AMD_VISIBLE_DEVICES"]),
                },
            ],
        }
    }
}

/// An extended resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtendedResource {
    /// Its name: `nvidia.com/gpu`.
    pub name: String,
    /// The pod annotation with an amount.
    pub annotation: Option<String>,
    /// Kinds of CDI devices: `nvidia.com/gpu` for `nvidia.com/gpu=0`.
    pub cdi: Vec<String>,
    /// Patterns of device paths, each of which counts one.
    pub devices: Vec<String>,
    /// Variables with ids, separated by commas.
    pub env: Vec<String>,
}

/// `[security]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// What to do with a privileged container: `refuse` it, `drop` the demand with a warning, or
    /// `pass` it on to the plugin.
    pub privileged: Policy,
    /// The same for a container that asks for user 0, or for `root` by name.
    pub root: Policy,
    /// The same for hostPID and hostIPC.
    pub host_namespaces: Policy,
    /// The same for hostNetwork.
    pub host_network: Policy,
    /// The same for capabilities that are added.
    pub capabilities: Policy,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            privileged: Policy::Refuse,
            root: Policy::Refuse,
            host_namespaces: Policy::Pass,
            host_network: Policy::Pass,
            capabilities: Policy::Pass,
        }
    }
}

/// What to do with a demand that sites may not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The pod or container is refused.
    Refuse,
    /// It runs without.
    Drop,
    /// The plugin is told.
    Pass,
}

/// `[metadata]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    /// Patterns of the annotations that jobs get from their pods. The kubelet's own are never sent.
    pub annotations_allow: Vec<String>,
    /// Patterns of annotations that jobs never get, also where `annotations_allow` has them.
    pub annotations_deny: Vec<String>,
    /// Patterns of the labels that jobs get from their pods.
    pub labels_allow: Vec<String>,
    /// Patterns of labels that jobs never get, also where `labels_allow` has them.
    pub labels_deny: Vec<String>,
    /// Annotations that jobs get from here, in the order of the list. `namespaces` are patterns;
    /// without any the entry is for all pods. `annotations` are taken as they are; `partition`,
    /// `account` and `qos` become flags in `slurm-job.vk.io/flags`, beside those of the pod, and
    /// `flavor` becomes `slurm-job.vk.io/flavor`. With `override = true` a pod that says otherwise
    /// has its way.
    pub defaults: Vec<Defaults>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            annotations_allow: vec!["*".to_owned()],
            annotations_deny: Vec::new(),
            labels_allow: vec!["*".to_owned()],
            labels_deny: Vec::new(),
            defaults: Vec::new(),
        }
    }
}

/// What the site gives to jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Patterns of namespaces; none are all.
    pub namespaces: Vec<String>,
    /// Whether a pod may say otherwise.
    #[serde(rename = "override")]
    pub may_override: bool,
    /// SLURM partition.
    pub partition: Option<String>,
    /// SLURM account.
    pub account: Option<String>,
    /// SLURM quality of service.
    pub qos: Option<String>,
    /// The SLURM plugin's flavour: a named set of flags.
    pub flavor: Option<String>,
    /// Any other annotations.
    pub annotations: BTreeMap<String, String>,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The range that pods get their addresses from, until the kubelet names one.
    pub pod_cidr: Option<String>,
    /// Ranges from which a pod may bring its own address, in the annotation `interlink.eu/pod-ip`: those of a
    /// mesh or VPN on the remote side. Without any, no pod may: the cluster sends to that address what is for
    /// the pod. Loopback, link-local and multicast addresses, and those of metadata services, are never had.
    pub own_ranges: Vec<String>,
}

/// The ranges in a list of CIDRs, as the kubelet and `network.pod_cidr` have it; none where it is
/// not one.
pub fn pod_ranges(text: &str) -> Option<Vec<IpNet>> {
    let ranges = text.split(',').map(|range| range.trim().parse());
    ranges.collect::<Result<_, _>>().ok()
}

/// `[states]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct States {
    /// What a container's end looks like to the kubelet, by what the plugin reports. The first
    /// entry counts whose `when_reason` and `when_message` (patterns; case does not matter) and
    /// `when_exit_code` fit; what it does not say stays as reported.
    pub handlers: Vec<StateHandler>,
    /// Whether the entries for OOMKilled, time limits, preemption, node failures and cancelled
    /// jobs that come with the daemon follow after these.
    pub builtin: bool,
}

impl Default for States {
    fn default() -> Self {
        Self {
            handlers: Vec::new(),
            builtin: true,
        }
    }
}

/// An end as a plugin reports it, and as the kubelet sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateHandler {
    /// Pattern of the reported reason.
    pub when_reason: Option<String>,
    /// Pattern of the reported message.
    pub when_message: Option<String>,
    /// The reported exit code.
    pub when_exit_code: Option<i32>,
    /// The exit code to show, 0 to 255.
    pub exit_code: Option<i32>,
    /// The reason to show: one word, as Kubernetes has them.
    pub reason: Option<String>,
    /// The message to show.
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_lists() {
        for (text, good) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0/8, fd00::/64", true),
            ("", false),
            ("10.0.0.0", false),
            ("10.0.0.0/33", false),
            ("10.0.0.0/8,x", false),
        ] {
            assert_eq!(pod_ranges(text).is_some(), good, "{text:?}");
        }
    }
}
