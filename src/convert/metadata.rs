//! Labels and annotations of jobs: the pod's own, as far as they are sent with the job, what the
//! site gives, and where the job comes from.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    remote_names::{label_value, remote_namespace, remote_pod_name},
    Error,
};
use crate::{
    config::{
        pattern::Patterns,
        policy::{self, Defaults},
    },
    kubelet::annotations,
    model::{Job, Sandbox},
};

/// What the labels and annotations that we add begin with.
const PREFIX: &str = "cri.interlink.eu/";
/// The annotation of a DELETE whose sender wants to know how the pod ended.
pub const KEEP_END: &str = "cri.interlink.eu/keep-end";
/// kubectl's copy of the whole pod.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The longest id that fits a label value with room to spare; as much as people read.
const SHORT_ID: usize = 12;

/// What is sent with a job, and what the site gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    annotations: Choice,
    labels: Choice,
    defaults: Vec<SiteDefaults>,
}

/// What is allowed and not denied.
#[derive(Clone, Debug, PartialEq)]
struct Choice {
    allow: Patterns,
    deny: Patterns,
}

impl Choice {
    fn takes(&self, key: &str) -> bool {
        self.allow.any(key) && !self.deny.any(key)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct SiteDefaults {
    /// None are all.
    namespaces: Option<Patterns>,
    may_override: bool,
    annotations: BTreeMap<String, String>,
}

impl Rules {
    /// Takes the rules out of the configuration.
    ///
    /// # Errors
    /// [`Error::Pattern`].
    pub fn new(from: &policy::Metadata) -> Result<Self, Error> {
        let defaults = from.defaults.iter().map(SiteDefaults::new);
        Ok(Self {
            annotations: Choice {
                allow: Patterns::new(&from.annotations_allow)?,
                deny: Patterns::new(&from.annotations_deny)?,
            },
            labels: Choice {
                allow: Patterns::new(&from.labels_allow)?,
                deny: Patterns::new(&from.labels_deny)?,
            },
            defaults: defaults.collect::<Result<_, _>>()?,
        })
    }
}

impl Rules {
    /// Whether an annotation that a pod has goes with its jobs: not the kubelet's, nor kubectl's own.
    pub fn sends_annotation(&self, key: &str) -> bool {
        let is_internal = key.starts_with(annotations::PREFIX)
            || key.starts_with(annotations::CONFIG_PREFIX)
            || key == LAST_APPLIED;
        !is_internal && self.annotations.takes(key)
    }
}

impl SiteDefaults {
    fn new(from: &Defaults) -> Result<Self, Error> {
        Ok(Self {
            namespaces: match from.namespaces.is_empty() {
                true => None,
                false => Some(Patterns::new(&from.namespaces)?),
            },
            may_override: from.may_override,
            annotations: from.annotations.clone(),
        })
    }

    fn are_for(&self, namespace: &str) -> bool {
        let namespaces = self.namespaces.as_ref();
        namespaces.is_none_or(|namespaces| namespaces.any(namespace))
    }
}

/// A job's identity over there: name, namespace, UID and annotations.
pub fn identity(sandbox: &Sandbox, job: &Job, rules: &Rules) -> ObjectMeta {
    ObjectMeta {
        name: Some(remote_pod_name(sandbox, job)),
        namespace: Some(remote_namespace(sandbox)),
        uid: Some(job.uid.to_string()),
        annotations: Some(annotations(sandbox, job, rules)),
        ..ObjectMeta::default()
    }
}

/// What the job's pod is on this side, in full.
fn origin(sandbox: &Sandbox, job: &Job) -> [(&'static str, String); 5] {
    [
        ("pod-name", sandbox.name.clone()),
        ("pod-namespace", sandbox.namespace.to_string()),
        ("pod-uid", sandbox.uid.clone()),
        ("sandbox-id", sandbox.id.to_string()),
        ("job-number", job.number.to_string()),
    ]
}

/// The pod's own labels and its origin, shortened to what a label value holds.
pub fn labels(sandbox: &Sandbox, job: &Job, rules: &Rules) -> BTreeMap<String, String> {
    let choice = &rules.labels;
    let own = sandbox.labels.iter();
    let own = own.filter(|(key, _)| !key.starts_with(annotations::PREFIX) && choice.takes(key));
    let mut labels: BTreeMap<_, _> = own
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for (key, value) in origin(sandbox, job) {
        let value = match key {
            "sandbox-id" => value.chars().take(SHORT_ID).collect(),
            _ => label_value(&value),
        };
        labels.insert(format!("{PREFIX}{key}"), value);
    }
    labels
}

/// The pod's own annotations but the kubelet's, so that those for plugins reach them; what the site
/// gives; and the origin.
fn annotations(sandbox: &Sandbox, job: &Job, rules: &Rules) -> BTreeMap<String, String> {
    let own = sandbox.annotations.iter();
    let own = own.filter(|(key, _)| rules.sends_annotation(key));
    let mut annotations = own
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    add_defaults(&mut annotations, &sandbox.namespace, &rules.defaults);
    for (key, value) in origin(sandbox, job) {
        annotations.insert(format!("{PREFIX}{key}"), value);
    }
    annotations
}

/// Of the entries that are for a namespace, the first that says something of an annotation decides,
/// and with it whether the pod may say otherwise.
fn add_defaults(
    annotations: &mut BTreeMap<String, String>,
    namespace: &str,
    defaults: &[SiteDefaults],
) {
    let mut decided = BTreeSet::new();
    for entry in defaults.iter().filter(|entry| entry.are_for(namespace)) {
        for (key, value) in &entry.annotations {
            let is_first = decided.insert(key);
            if is_first && !(entry.may_override && annotations.contains_key(key)) {
                annotations.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        convert::{
            testing::{self, fixture},
            Settings,
        },
    };

    fn settings(toml: &str) -> Settings {
        let config: Config = toml::from_str(toml).unwrap();
        Settings::new(&config).unwrap()
    }

    fn shown(toml: &str, annotations: &[(&str, &str)]) -> String {
        let (mut pod, job) = fixture(&["main"]);
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        testing::sandbox_mut(&mut pod).annotations = annotations.iter().map(text).collect();
        let got = identity(&pod.sandbox, &job, &settings(toml).metadata)
            .annotations
            .unwrap();
        let own = got.iter().filter(|(key, _)| !key.starts_with(PREFIX));
        own.map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(";")
    }

    #[test]
    fn annotations_are_sent_as_the_site_allows() {
        let own = [
            ("a/x", "1"),
            ("a/y", "2"),
            ("b", "3"),
            ("kubernetes.io/config.seen", "now"),
            ("io.kubernetes.cri.x", "y"),
            (LAST_APPLIED, "{}"),
        ];
        for (toml, want) in [
            ("", "a/x=1;a/y=2;b=3"),
            ("annotations_allow = ['a/*']", "a/x=1;a/y=2"),
            ("annotations_deny = ['*/y']", "a/x=1;b=3"),
            (
                "annotations_allow = ['a/*']\nannotations_deny = ['a/x']",
                "a/y=2",
            ),
            ("annotations_allow = []", ""),
        ] {
            assert_eq!(shown(&format!("[metadata]\n{toml}"), &own), want, "{toml}");
        }
    }

    #[test]
    fn labels_are_sent_as_the_site_allows() {
        let (mut pod, job) = fixture(&["main"]);
        let own = [("app", "x"), ("team", "y"), ("io.kubernetes.pod.name", "z")];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        testing::sandbox_mut(&mut pod).labels = own.into();
        for (toml, want) in [
            ("", vec!["app", "team"]),
            ("labels_deny = ['team']", vec!["app"]),
            ("labels_allow = ['t*']", vec!["team"]),
        ] {
            let settings = settings(&format!("[metadata]\n{toml}"));
            let got = labels(&pod.sandbox, &job, &settings.metadata);
            let got: Vec<_> = got.keys().filter(|key| !key.starts_with(PREFIX)).collect();
            assert_eq!(got, want, "{toml}");
        }
    }

    #[test]
    fn the_site_gives_and_a_pod_says_otherwise_where_it_may() {
        // The pod of the fixture is in the namespace `lab`.
        let two = "[[metadata.defaults]]\nnamespaces = ['web-*']\nannotations = { a = '0' }\n\
                   [[metadata.defaults]]\nnamespaces = ['l*']\noverride = true\n\
                   annotations = { a = '1' }\n\
                   [[metadata.defaults]]\nannotations = { a = '2', b = '2' }";
        assert_eq!(shown(two, &[]), "a=1;b=2");
        assert_eq!(shown(two, &[("a", "own"), ("b", "own")]), "a=own;b=2");
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        let config: Config = toml::from_str("[metadata]\nlabels_deny = ['a[']").unwrap();
        let error = Settings::new(&config).unwrap_err().to_string();
        assert!(error.contains("`a[` is no pattern"), "{error}");
    }
}
