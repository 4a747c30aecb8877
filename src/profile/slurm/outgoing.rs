//! What is changed in a pod before it is sent. Pure functions of the pod and of what the site and the
//! pod's author want.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Pod, Volume},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    allocation,
    flags::{self, Flag, FLAGS, FLAVOR},
    probes,
};
use crate::{
    config::{
        pattern::{BadPattern, Patterns},
        policy::{Defaults, Metadata},
    },
    model::StringMap,
    plan::{Allocation, PluginTraits, Probes},
};

/// The mode of files whose volume names none (`ConfigMapVolumeSourceDefaultMode` and its like in
/// `staging/src/k8s.io/api/core/v1/types.go` of Kubernetes).
const DEFAULT_MODE: i32 = 0o644;

/// What a site sets for the jobs of its pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    sites: Vec<SiteDefaults>,
}

/// What an entry of `metadata.defaults` sets.
#[derive(Clone, Debug, PartialEq)]
struct SiteDefaults {
    /// Patterns of namespaces; none are all.
    namespaces: Option<Patterns>,
    may_override: bool,
    flags: Vec<(Flag, String)>,
    flavor: Option<String>,
    /// Whether the flavour is decided here: by `flavor`, or by an annotation of the entry.
    decides_flavor: bool,
}

impl Outgoing {
    /// Takes what the site sets out of the configuration.
    ///
    /// # Errors
    /// A pattern of namespaces that is none.
    pub fn new(metadata: &Metadata) -> Result<Self, BadPattern> {
        let sites = metadata.defaults.iter().map(SiteDefaults::new);
        Ok(Self {
            sites: sites.collect::<Result<_, _>>()?,
        })
    }

    /// Completes a job's pod of which the namespace here is `namespace`, for a plugin with these traits.
    pub fn complete_job(&self, namespace: &str, pod: &mut Pod, plugin: &PluginTraits) {
        self.complete_metadata(namespace, &mut pod.metadata);
        if plugin.allocation == Allocation::LargestLimit {
            allocation::complete(pod);
        }
        if plugin.probes == Probes::LivenessOnly {
            probes::complete(pod);
        }
        let spec = pod.spec.iter_mut();
        spec.flat_map(|spec| spec.volumes.iter_mut().flatten())
            .for_each(complete_volume);
    }

    /// Completes the metadata of a pod of which the namespace here is `namespace`. Of the entries
    /// that are for it, the first that says something of a flag or of the flavour decides, and with
    /// it whether the pod may say otherwise.
    pub fn complete_metadata(&self, namespace: &str, metadata: &mut ObjectMeta) {
        let ours: Vec<_> = self
            .sites
            .iter()
            .filter(|it| it.are_for(namespace))
            .collect();
        if ours.is_empty() {
            return;
        }
        let annotations = metadata.annotations.get_or_insert_default();
        if let Some(entry) = ours.iter().find(|entry| entry.decides_flavor) {
            entry.set_flavor(annotations);
        }
        let mut decided = BTreeSet::new();
        for entry in ours {
            for (flag, value) in &entry.flags {
                let own = annotations.get(FLAGS).map_or("", String::as_str);
                let is_first = decided.insert(flag);
                if is_first && !(entry.may_override && flags::has(own, *flag)) {
                    let flags = flags::with(own, *flag, value);
                    annotations.insert(FLAGS.to_owned(), flags);
                }
            }
        }
    }
}

impl SiteDefaults {
    fn new(from: &Defaults) -> Result<Self, BadPattern> {
        let flags = [
            (Flag::Partition, &from.partition),
            (Flag::Account, &from.account),
            (Flag::Qos, &from.qos),
        ];
        let flags = flags.into_iter();
        Ok(Self {
            namespaces: match from.namespaces.is_empty() {
                true => None,
                false => Some(Patterns::new(&from.namespaces)?),
            },
            may_override: from.may_override,
            flags: flags
                .filter_map(|(flag, value)| Some((flag, value.clone()?)))
                .collect(),
            flavor: from.flavor.clone(),
            decides_flavor: from.flavor.is_some() || from.annotations.contains_key(FLAVOR),
        })
    }

    fn are_for(&self, namespace: &str) -> bool {
        let namespaces = self.namespaces.as_ref();
        namespaces.is_none_or(|namespaces| namespaces.any(namespace))
    }

    fn set_flavor(&self, annotations: &mut BTreeMap<String, String>) {
        let Some(flavor) = &self.flavor else {
            return;
        };
        if !(self.may_override && annotations.contains_key(FLAVOR)) {
            annotations.insert(FLAVOR.to_owned(), flavor.clone());
        }
    }
}

/// Makes an account that of a job, whatever its flags say.
pub fn set_account(metadata: &mut ObjectMeta, account: &str) {
    let annotations = metadata.annotations.get_or_insert_default();
    let own = annotations.get(FLAGS).map_or("", String::as_str);
    let flags = flags::with(own, Flag::Account, account);
    annotations.insert(FLAGS.to_owned(), flags);
}

/// Writes out defaults that the plugin reads without looking whether they are there.
fn complete_volume(volume: &mut Volume) {
    let modes = [
        volume.config_map.as_mut().map(|it| &mut it.default_mode),
        volume.secret.as_mut().map(|it| &mut it.default_mode),
        volume.projected.as_mut().map(|it| &mut it.default_mode),
    ];
    for mode in modes.into_iter().flatten() {
        mode.get_or_insert(DEFAULT_MODE);
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
}

/// The memory limit of containers that bring none, in bytes: the site's default, unless the flags in
/// the pod's own `annotations` say how much memory its job has. The plugin would take a limit before
/// those.
pub fn default_memory(annotations: &StringMap, default: Option<u64>) -> Option<u64> {
    let flags = annotations.get(FLAGS);
    default.filter(|_| !flags.is_some_and(flags::have_memory))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::config::Config;

    fn shown(toml: &str, annotations: &[(&str, &str)]) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        let outgoing = Outgoing::new(&config.metadata).unwrap();
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut metadata = ObjectMeta {
            annotations: Some(annotations.iter().map(text).collect()),
            ..ObjectMeta::default()
        };
        outgoing.complete_metadata("lab", &mut metadata);
        let got = metadata.annotations.unwrap();
        let got = got.iter().map(|(key, value)| format!("{key}={value}"));
        got.collect::<Vec<_>>().join(";")
    }

    #[test]
    fn the_site_sets_flags_and_a_pod_says_otherwise_where_it_may() {
        const OTHERS: &str = "[[metadata.defaults]]\nnamespaces = ['web-*']\nqos = 'web'\n";
        for (entry, own, want) in [
            ("partition = 'cpu'", "", "--partition=cpu"),
            (
                "partition = 'cpu'\nqos = 'low'",
                "--time=1",
                "--time=1 --partition=cpu --qos=low",
            ),
            (
                "partition = 'cpu'",
                "-p gpu --time=1",
                "--time=1 --partition=cpu",
            ),
            (
                "override = true\npartition = 'cpu'",
                "-p gpu --time=1",
                "-p gpu --time=1",
            ),
            (
                "override = true\naccount = 'lab'",
                "-p gpu",
                "-p gpu --account=lab",
            ),
            ("namespaces = ['l*']\naccount = 'lab'", "", "--account=lab"),
            ("namespaces = ['web']\naccount = 'lab'", "-p gpu", "-p gpu"),
        ] {
            let toml = format!("{OTHERS}[[metadata.defaults]]\n{entry}");
            let own: &[_] = match own {
                "" => &[],
                own => &[(FLAGS, own)],
            };
            let got = shown(&toml, own);
            assert_eq!(got, format!("slurm-job.vk.io/flags={want}"), "{entry}");
        }
    }

    #[test]
    fn the_first_entry_with_a_flavor_decides() {
        let two = "[[metadata.defaults]]\noverride = true\nflavor = 'small'\n\
                   [[metadata.defaults]]\nflavor = 'large'";
        assert_eq!(shown(two, &[]), "slurm-job.vk.io/flavor=small");
        let own = [("slurm-job.vk.io/flavor", "own")];
        assert_eq!(shown(two, &own), "slurm-job.vk.io/flavor=own");
        let annotated = "[[metadata.defaults]]\nannotations = { 'slurm-job.vk.io/flavor' = 'x' }\n\
                         [[metadata.defaults]]\nflavor = 'large'";
        // `convert` has written the annotation of the first entry.
        let own = [("slurm-job.vk.io/flavor", "x")];
        assert_eq!(shown(annotated, &own), "slurm-job.vk.io/flavor=x");
    }

    #[test]
    fn defaults_of_volumes_are_written_out() {
        let completed = |volume: Value| {
            let mut volume: Volume = serde_json::from_value(volume).unwrap();
            complete_volume(&mut volume);
            json!(volume)
        };
        for (given, want) in [
            (
                json!({"name": "v", "configMap": {"name": "c"}}),
                json!({"name": "v", "configMap": {"name": "c", "defaultMode": 0o644}}),
            ),
            (
                json!({"name": "v", "secret": {"secretName": "s"}}),
                json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 0o644}}),
            ),
            (
                json!({"name": "v", "projected": {"sources": []}}),
                json!({"name": "v", "projected": {"sources": [], "defaultMode": 0o644}}),
            ),
            (
                json!({"name": "v", "hostPath": {"path": "/a"}}),
                json!({"name": "v", "hostPath": {"path": "/a", "type": ""}}),
            ),
        ] {
            assert_eq!(completed(given), want);
        }
        for stays in [
            json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 0o400}}),
            json!({"name": "v", "hostPath": {"path": "/a", "type": "File"}}),
            json!({"name": "v", "emptyDir": {}}),
        ] {
            assert_eq!(completed(stays.clone()), stays);
        }
    }

    #[test]
    fn flags_with_memory_count_more_than_a_default() {
        let with = |flags: &str| {
            let annotations = StringMap::from([(FLAGS, flags)]);
            default_memory(&annotations, Some(1))
        };
        assert_eq!(with("--mem=1G"), None);
        assert_eq!(with("-p gpu"), Some(1));
        assert_eq!(default_memory(&StringMap::default(), Some(1)), Some(1));
        assert_eq!(default_memory(&StringMap::default(), None), None);
    }
}
