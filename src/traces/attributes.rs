//! What spans say of pods, containers and jobs: names and ids, cut to a bounded length, and nothing of what
//! a configuration holds.
//!
//! Beside the names of OpenTelemetry's conventions (<https://opentelemetry.io/docs/specs/semconv/resource/k8s/>)
//! stand those that interLink's own components use (`pod.name`, `pod.namespace`, `pod.uid`,
//! `container.name`), so that one question finds the spans of all.

use std::{borrow::Cow, mem, sync::Arc};

use opentelemetry::{trace::TraceContextExt as _, Array, Context, KeyValue, StringValue, Value};
use parking_lot::Mutex;

use super::start::is_on;
use crate::{
    model::{Container, ContainerId, Job, Pod, Sandbox},
    text,
};

/// The longest value in bytes.
const MAX_VALUE: usize = 256;
/// As many containers of a job are named.
const MAX_NAMES: usize = 32;

/// What the call that is being answered is about, as far as it is known: a value in the context of its span. The
/// attributes are made when the span ends, which is after the answer.
#[derive(Default)]
pub(super) struct About(Mutex<Known>);

#[derive(Default)]
struct Known {
    pod: Option<Subject<Sandbox>>,
    container: Option<Subject<Container>>,
}

/// A record, or the attributes of what has none yet.
enum Subject<T> {
    Kept(Arc<T>),
    ToBe(Vec<KeyValue>),
}

impl<T> Subject<T> {
    fn attributes(self, of: impl FnOnce(&T) -> Vec<KeyValue>) -> Vec<KeyValue> {
        match self {
            Self::Kept(record) => of(&record),
            Self::ToBe(attributes) => attributes,
        }
    }
}

impl About {
    /// The attributes of all that was noted; once.
    pub(super) fn take(&self) -> Vec<KeyValue> {
        let known = mem::take(&mut *self.0.lock());
        let pod = known.pod.map(|pod| pod.attributes(of_sandbox));
        let container = known.container.map(|one| one.attributes(of_container));
        pod.into_iter().chain(container).flatten().collect()
    }
}

/// Says which pod the call that is being answered is about, and which of its containers.
pub fn note_pod(pod: &Pod, container: Option<&ContainerId>) {
    note(|known| {
        known.pod = Some(Subject::Kept(pod.sandbox.clone()));
        let entry = container.and_then(|id| pod.container(id));
        if let Some(entry) = entry {
            known.container = Some(Subject::Kept(entry.container.clone()));
        }
    });
}

/// Says which pod the call that is being answered is about, as far as its metadata tell.
pub fn note_sandbox(namespace: &str, name: &str, uid: &str) {
    note(|known| known.pod = Some(Subject::ToBe(of_names(namespace, name, uid))));
}

/// Says which container the call that is being answered is about.
pub fn note_container(container: &Container) {
    note(|known| known.container = Some(Subject::ToBe(of_container(container))));
}

fn note(what: impl FnOnce(&mut Known)) {
    if !is_on() {
        return;
    }
    Context::map_current(|context| {
        let about = context.get::<About>();
        if let Some(about) = about.filter(|_| context.span().is_recording()) {
            what(&mut about.0.lock());
        }
    });
}

pub(super) fn of_sandbox(sandbox: &Sandbox) -> Vec<KeyValue> {
    let mut all = of_names(&sandbox.namespace, &sandbox.name, &sandbox.uid);
    all.push(pair("interlink.sandbox.id", sandbox.id.as_str()));
    all
}

fn of_names(namespace: &str, name: &str, uid: &str) -> Vec<KeyValue> {
    vec![
        pair("k8s.namespace.name", namespace),
        pair("k8s.pod.name", name),
        pair("k8s.pod.uid", uid),
        pair("pod.namespace", namespace),
        pair("pod.name", name),
        pair("pod.uid", uid),
    ]
}

pub(super) fn of_container(container: &Container) -> Vec<KeyValue> {
    vec![
        pair("k8s.container.name", &container.name),
        pair("container.name", &container.name),
        pair("container.id", container.id.as_str()),
        pair("container.image.name", &without_login(&container.image)),
    ]
}

pub(super) fn of_job(job: &Job) -> Vec<KeyValue> {
    let names = job.all_names().take(MAX_NAMES);
    let names: Vec<_> = names
        .map(|name| StringValue::from(bounded(name).to_owned()))
        .collect();
    let mut all = vec![
        pair("interlink.job.uid", &job.uid.to_string()),
        KeyValue::new(
            "interlink.job.containers",
            Value::Array(Array::String(names)),
        ),
    ];
    let remote_id = job.remote_id.as_deref();
    all.extend(remote_id.map(|id| pair("interlink.job.remote_id", id)));
    all
}

/// An image without what stands before its host: a reference that is a URL can hold a password there. The `@`
/// of a digest comes later.
fn without_login(image: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = image.split_once("://") else {
        return image.into();
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((login, _)) => format!("{scheme}://{}", &rest[login.len() + 1..]).into(),
        None => image.into(),
    }
}

/// An attribute with a value that somebody else chose.
pub(super) fn pair(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, bounded(value).to_owned())
}

pub(super) fn bounded(value: &str) -> &str {
    text::beginning(value, MAX_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_image_stays_here() {
        for (image, want) in [
            ("busybox:1.36", "busybox:1.36"),
            ("reg.example/a@sha256:0", "reg.example/a@sha256:0"),
            ("docker://reg/a@sha256:0", "docker://reg/a@sha256:0"),
            (
                "oras://me:hush@reg:5000/a@sha256:0",
                "oras://reg:5000/a@sha256:0",
            ),
            ("oras://me:h@sh@reg", "oras://reg"),
            ("/cvmfs/a@b", "/cvmfs/a@b"),
        ] {
            assert_eq!(without_login(image), want);
        }
    }
}
