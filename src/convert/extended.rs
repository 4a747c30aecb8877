//! GPUs and other extended resources. The CRI carries no amounts of them, only what device plugins
//! left on a container: devices, CDI names, variables. A mapping in the configuration says what
//! counts as what; where the node has no such devices, a pod annotation says how many.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Error;
use crate::config::pattern::Patterns;
use crate::{
    config::policy::ExtendedResource,
    model::StringMap,
    proto::{ContainerConfig, KeyValue},
};

/// Device plugins that speak CDI by annotation use this prefix
/// (`tags.cncf.io/container-device-interface`).
const CDI_ANNOTATION: &str = "cdi.k8s.io/";

/// How one extended resource is recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    name: String,
    annotation: Option<String>,
    cdi: Vec<String>,
    devices: Patterns,
    env: Vec<String>,
}

impl Extended {
    /// Takes an entry of the configuration.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a device pattern that is none.
    pub fn new(from: &ExtendedResource) -> Result<Self, Error> {
        Ok(Self {
            name: from.name.clone(),
            annotation: from.annotation.clone(),
            cdi: from.cdi.clone(),
            devices: Patterns::new(&from.devices)?,
            env: from.env.clone(),
        })
    }

    /// What the pod's annotation says for a container.
    fn annotated(&self, annotations: &StringMap, container: &str) -> Result<Option<u64>, Error> {
        let Some(key) = &self.annotation else {
            return Ok(None);
        };
        let Some(text) = annotations.get(key) else {
            return Ok(None);
        };
        amount(text, container).ok_or_else(|| Error::Annotation {
            key: key.clone(),
            fault: "write an amount, `2`, or amounts by container, `main=2,side=1`",
        })
    }

    /// How many device plugins gave to a container.
    fn counted(&self, config: &ContainerConfig) -> u64 {
        let devices = config.devices.iter().map(|device| &device.host_path);
        let by_path: BTreeSet<_> = devices.filter(|path| self.devices.any(path)).collect();
        let by_env = config.envs.iter().map(|variable| self.ids(variable).len());
        // The same devices may show in several ways.
        let counts = [
            self.counted_by_cdi(config),
            by_path.len(),
            by_env.max().unwrap_or(0),
        ];
        counts.into_iter().max().unwrap_or(0) as u64
    }

    /// How many devices the CDI names of a container are. A DRA driver can name one device twice, as
    /// a device and as part of a claim (`k8s.gpu.nvidia.com/device=gpu-0` and
    /// `k8s.gpu.nvidia.com/claim=UID-gpu-0`: `GetStandardDevice` and `GetClaimDevice` in
    /// `cmd/gpu-kubelet-plugin/cdi.go` of github.com/NVIDIA/k8s-dra-driver-gpu up to 25.3; later ones
    /// have the claims alone). So of one vendor the class with the most counts.
    fn counted_by_cdi(&self, config: &ContainerConfig) -> usize {
        let mut by_vendor: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
        for name in cdi_names(config).filter(|name| self.is_cdi(name)) {
            let (kind, _) = name.split_once('=').unwrap_or((name, ""));
            let (vendor, class) = kind.split_once('/').unwrap_or((kind, ""));
            let classes = by_vendor.entry(vendor).or_default();
            classes.entry(class).or_default().insert(name);
        }
        let most = |classes: &BTreeMap<_, BTreeSet<_>>| classes.values().map(BTreeSet::len).max();
        by_vendor.values().filter_map(most).sum()
    }

    /// What Kubernetes calls it: `nvidia.com/gpu`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a CDI name is a device of this kind. `all` is as many as the node has, which says
    /// nothing of another one; `common` is what a DRA driver adds to each container that has a device.
    fn is_cdi(&self, name: &str) -> bool {
        let kind = name.split_once('=');
        kind.is_some_and(|(kind, device)| {
            !matches!(device, "all" | "common") && self.cdi.iter().any(|own| own == kind)
        })
    }

    /// The ids in a variable of a device plugin.
    fn ids<'a>(&self, variable: &'a KeyValue) -> BTreeSet<&'a str> {
        if !self.env.contains(&variable.key) {
            return BTreeSet::new();
        }
        let text = std::str::from_utf8(&variable.value).unwrap_or_default();
        let ids = text.split(',').map(str::trim);
        ids.filter(|id| !matches!(*id, "" | "all" | "none" | "void"))
            .collect()
    }
}

/// `2`, or of `main=2,side=1` what is the container's. A container that is not named has none.
fn amount(text: &str, container: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.contains('=') {
        return text.parse().ok().map(Some);
    }
    let mut found = None;
    for part in text.split(',') {
        let (name, amount) = part.split_once('=')?;
        let amount: u64 = amount.trim().parse().ok()?;
        if name.trim() == container {
            found = Some(amount);
        }
    }
    Some(found.or(Some(0)))
}

/// CDI devices, by the field and by annotations.
fn cdi_names(config: &ContainerConfig) -> impl Iterator<Item = &str> {
    let by_field = config.CDI_devices.iter().map(|device| device.name.as_str());
    let annotations = config.annotations.iter();
    let by_annotation = annotations
        .filter(|(key, _)| key.starts_with(CDI_ANNOTATION))
        .flat_map(|(_, value)| value.split(',').map(str::trim));
    by_field.chain(by_annotation)
}

/// The amounts that a container of a pod with these annotations has.
///
/// # Errors
/// [`Error::Annotation`] for an annotation without an amount.
pub fn amounts(
    known: &[Extended],
    config: &ContainerConfig,
    container: &str,
    annotations: &StringMap,
) -> Result<BTreeMap<String, Quantity>, Error> {
    let mut amounts = BTreeMap::new();
    for resource in known {
        let annotated = resource.annotated(annotations, container)?;
        let amount = annotated.unwrap_or_else(|| resource.counted(config));
        if amount > 0 {
            amounts.insert(resource.name.clone(), Quantity(amount.to_string()));
        }
    }
    Ok(amounts)
}

/// Checks a pod's annotations, as far as they are amounts.
///
/// # Errors
/// [`Error::Annotation`] for one that is none.
pub fn check<'a>(
    known: &[Extended],
    annotations: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Error> {
    let annotations = annotations.collect();
    known
        .iter()
        .try_for_each(|resource| resource.annotated(&annotations, "").map(drop))
}

/// Whether a device of this node counts as an extended resource, by its path or its CDI name.
pub fn stands_for_one(known: &[Extended], device: &str) -> bool {
    let is_it = |resource: &Extended| resource.devices.any(device) || resource.is_cdi(device);
    known.iter().any(is_it)
}

/// Whether a variable only names devices of this node.
pub fn names_devices(known: &[Extended], variable: &KeyValue) -> bool {
    known
        .iter()
        .any(|resource| !resource.ids(variable).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        proto::{CDIDevice, Device},
    };

    fn known() -> Vec<Extended> {
        let config = Config::default();
        let all = config.resources.extended.iter();
        all.map(|one| Extended::new(one).unwrap()).collect()
    }

    fn variable(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
            ..Default::default()
        }
    }

    fn config(devices: &[&str], cdi: &[&str], annotation: &str, env: &str) -> ContainerConfig {
        let device = |path: &&str| Device {
            host_path: (*path).to_owned(),
            ..Default::default()
        };
        let named = |name: &&str| CDIDevice {
            name: (*name).to_owned(),
            ..Default::default()
        };
        ContainerConfig {
            devices: devices.iter().map(device).collect(),
            CDI_devices: cdi.iter().map(named).collect(),
            annotations: [("cdi.k8s.io/plugin".to_owned(), annotation.to_owned())].into(),
            envs: vec![variable("NVIDIA_VISIBLE_DEVICES", env)],
            ..Default::default()
        }
    }

    fn shown(config: &ContainerConfig, annotation: Option<&str>) -> String {
        let key = "interlink.eu/nvidia-gpus".to_owned();
        let annotations = annotation.map(|text| (key, text.to_owned()));
        let got = amounts(&known(), config, "main", &annotations.into_iter().collect());
        match got {
            Ok(amounts) => {
                let amounts = amounts.iter();
                let list: Vec<_> = amounts.map(|(name, q)| format!("{name}={}", q.0)).collect();
                list.join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_device_plugins_leave_is_counted() {
        let two = "nvidia.com/gpu=2";
        for (name, config, want) in [
            ("nothing", config(&[], &[], "", ""), ""),
            (
                "devices",
                config(
                    &[
                        "/dev/nvidia0",
                        "/dev/nvidia1",
                        "/dev/nvidiactl",
                        "/dev/nvidia-uvm",
                    ],
                    &[],
                    "",
                    "",
                ),
                two,
            ),
            (
                "CDI",
                config(&[], &["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1"], "", ""),
                two,
            ),
            (
                "claims of a DRA driver",
                config(
                    &[],
                    &[
                        "k8s.gpu.nvidia.com/claim=a85e-gpu-0",
                        "k8s.gpu.nvidia.com/claim=a85e-gpu-1",
                    ],
                    "",
                    "",
                ),
                two,
            ),
            (
                "devices of a DRA driver, of which one has its claim's settings",
                config(
                    &[],
                    &[
                        "k8s.gpu.nvidia.com/device=gpu-0",
                        "k8s.gpu.nvidia.com/device=gpu-1",
                        "k8s.gpu.nvidia.com/claim=a85e-gpu-1",
                    ],
                    "k8s.gpu.nvidia.com/device=gpu-0",
                    "",
                ),
                two,
            ),
            (
                "a device plugin and a DRA driver",
                config(
                    &[],
                    &["nvidia.com/gpu=0", "k8s.gpu.nvidia.com/claim=a85e-gpu-1"],
                    "",
                    "",
                ),
                two,
            ),
            (
                "another DRA driver",
                config(
                    &[],
                    &[
                        "k8s.gpu.amd.com/gpu=common",
                        "k8s.gpu.amd.com/gpu=11-gpu-1-129",
                    ],
                    "",
                    "",
                ),
                "amd.com/gpu=1",
            ),
            (
                "channels of a DRA driver, which are no GPUs",
                config(
                    &[],
                    &["k8s.compute-domain.nvidia.com/claim=a85e-channel-0"],
                    "",
                    "",
                ),
                "",
            ),
            (
                "CDI by annotation",
                config(&[], &[], "nvidia.com/gpu=0, nvidia.com/gpu=1", ""),
                two,
            ),
            ("variable", config(&[], &[], "", "GPU-aa,GPU-bb"), two),
            (
                "the same in every way",
                config(
                    &["/dev/nvidia0", "/dev/nvidia1"],
                    &["nvidia.com/gpu=0", "nvidia.com/gpu=1"],
                    "nvidia.com/gpu=0,nvidia.com/gpu=1",
                    "0,1",
                ),
                two,
            ),
            (
                "all of an image",
                config(&[], &["nvidia.com/gpu=all"], "", "all"),
                "",
            ),
            ("none", config(&[], &[], "", "void"), ""),
            (
                "another kind",
                config(
                    &["/dev/kfd", "/dev/dri/card0", "/dev/dri/renderD128"],
                    &[],
                    "",
                    "",
                ),
                "amd.com/gpu=1",
            ),
            (
                "not mapped",
                config(&["/dev/fuse"], &["example.com/net=eth1"], "", ""),
                "",
            ),
        ] {
            assert_eq!(shown(&config, None), want, "{name}");
        }
    }

    #[test]
    fn an_annotation_counts_more() {
        let plain = config(&["/dev/nvidia0"], &[], "", "");
        for (annotation, want) in [
            ("4", "nvidia.com/gpu=4"),
            (" 4 ", "nvidia.com/gpu=4"),
            ("0", ""),
            ("main=2,side=1", "nvidia.com/gpu=2"),
            ("side=1 , main = 3", "nvidia.com/gpu=3"),
            ("side=1", ""),
        ] {
            assert_eq!(shown(&plain, Some(annotation)), want, "{annotation}");
        }
        for annotation in ["", "two", "-1", "1.5", "main=", "main=x", "main=1,2", "1,2"] {
            let got = shown(&plain, Some(annotation));
            let want = "annotation `interlink.eu/nvidia-gpus`: write an amount";
            assert!(got.starts_with(want), "{annotation}: {got}");
        }
    }

    #[test]
    fn only_what_is_counted_stays_here() {
        let known = known();
        assert!(stands_for_one(&known, "/dev/nvidia0"));
        assert!(stands_for_one(&known, "nvidia.com/gpu=0"));
        assert!(!stands_for_one(&known, "/dev/fuse"));
        assert!(names_devices(
            &known,
            &variable("NVIDIA_VISIBLE_DEVICES", "GPU-1")
        ));
        assert!(!names_devices(
            &known,
            &variable("NVIDIA_VISIBLE_DEVICES", "all")
        ));
        assert!(!names_devices(&known, &variable("VISIBLE", "GPU-1")));
    }
}
