//! What the lines of a thread are about.

use std::{cell::RefCell, marker::PhantomData, sync::Arc};

use crate::model::{Container, ContainerEntry, Job, Pod, Sandbox};

/// Something that the work of a thread is for. Few calls write a line, so no text is made before one does.
#[derive(Clone, Debug)]
enum Note {
    Pod(Arc<Sandbox>),
    Container(Arc<Container>),
    Field(&'static str, String),
}

thread_local! {
    /// What the work of this thread is for, the outermost scope first.
    static NOTES: RefCell<Vec<Note>> = const { RefCell::new(Vec::new()) };
}

impl Note {
    /// Its fields, by their keys.
    fn fields(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Pod(sandbox) => vec![
                ("namespace", &*sandbox.namespace),
                ("pod", &sandbox.name),
                ("pod_uid", &sandbox.uid),
                ("sandbox", sandbox.id.as_str()),
            ],
            Self::Container(container) => vec![
                ("container", &*container.name),
                ("container_id", container.id.as_str()),
            ],
            Self::Field(key, value) => vec![(*key, value)],
        }
    }
}

/// While it lives, the lines of its thread have the fields that were noted since it was opened. Scopes end
/// in the opposite order of their beginning.
#[must_use]
pub struct Scope {
    outside: usize,
    /// It belongs to the thread that opened it.
    _thread: PhantomData<*const ()>,
}

impl Scope {
    /// A scope with nothing of its own yet: what is noted by then ends with it.
    pub fn open() -> Self {
        Self {
            outside: NOTES.with(|notes| notes.borrow().len()),
            _thread: PhantomData,
        }
    }

    /// Work for a pod.
    pub fn of_pod(pod: &Pod) -> Self {
        let scope = Self::open();
        note_pod(pod);
        scope
    }

    /// Work for a job of a pod.
    pub fn of_job(pod: &Pod, job: &Job) -> Self {
        let scope = Self::of_pod(pod);
        note_job(job);
        scope
    }

    /// Work for a container of a pod, and the job that carries it, if there is one.
    pub fn of_container(pod: &Pod, entry: &ContainerEntry) -> Self {
        let scope = Self::of_pod(pod);
        pod.job_of(entry.id()).into_iter().for_each(note_job);
        note_container(entry);
        scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        NOTES.with(|notes| notes.borrow_mut().truncate(self.outside));
    }
}

/// Notes which pod the work is for, until the innermost scope ends.
pub fn note_pod(pod: &Pod) {
    note([Note::Pod(pod.sandbox.clone())]);
}

/// Notes which pod the work is for that has no sandbox yet, until the innermost scope ends.
pub fn note_pod_to_be(namespace: &str, name: &str, uid: &str) {
    note_fields([
        ("namespace", namespace.to_owned()),
        ("pod", name.to_owned()),
        ("pod_uid", uid.to_owned()),
    ]);
}

/// Notes which job the work is for, until the innermost scope ends.
pub fn note_job(job: &Job) {
    note_fields([
        ("job", job.uid.to_string()),
        ("jid", job.remote_id.clone().unwrap_or_default()),
    ]);
}

/// Notes which container the work is for, until the innermost scope ends.
pub fn note_container(entry: &ContainerEntry) {
    note([Note::Container(entry.container.clone())]);
}

fn note_fields<const N: usize>(new: [(&'static str, String); N]) {
    note(new.map(|(key, value)| Note::Field(key, value)));
}

fn note<const N: usize>(new: [Note; N]) {
    NOTES.with(|notes| notes.borrow_mut().extend(new));
}

/// What the work of a thread is for, to be taken along where another thread goes on with it.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<Note>);

impl Fields {
    /// Those of this thread. None while it is ending.
    pub fn current() -> Self {
        let current = NOTES.try_with(|notes| {
            // A line that is written while a line is made has none.
            let notes = notes.try_borrow().ok()?;
            Some(notes.clone())
        });
        Self(current.ok().flatten().unwrap_or_default())
    }

    /// A scope of this thread with them.
    pub fn enter(&self) -> Scope {
        let scope = Scope::open();
        NOTES.with(|notes| notes.borrow_mut().extend_from_slice(&self.0));
        scope
    }

    /// The fields by their keys; of a key that was noted twice the last value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut fields: Vec<(&'static str, &str)> = Vec::new();
        for (key, value) in self.0.iter().flat_map(Note::fields) {
            fields.retain(|(other, _)| *other != key);
            fields.push((key, value));
        }
        fields.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Nanos,
        plan::{batch, testing},
    };

    fn current() -> Vec<(&'static str, String)> {
        let fields = Fields::current();
        let owned = fields.iter().map(|(key, value)| (key, value.to_owned()));
        owned.collect()
    }

    fn value(key: &str) -> Option<String> {
        let found = current().into_iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value)
    }

    #[test]
    fn what_is_noted_ends_with_its_scope() {
        let mut pod = testing::pod(&["main"]);
        let id = pod.containers[0].id().clone();
        batch::start(&mut pod, &id, Nanos(1)).expect("starts");
        let outer = Scope::of_pod(&pod);
        assert_eq!(value("pod").as_deref(), Some("train"));
        assert_eq!(value("container"), None);
        {
            let _inner = Scope::of_container(&pod, &pod.containers[0]);
            assert_eq!(value("container").as_deref(), Some("main"));
            assert_eq!(value("job"), Some(pod.jobs[0].uid.to_string()));
            let pods = current().iter().filter(|(key, _)| *key == "pod").count();
            assert_eq!(pods, 1, "noted twice, and shown once");
        }
        assert_eq!(value("container"), None);
        let taken = Fields::current();
        drop(outer);
        assert_eq!(current(), []);
        std::thread::scope(|threads| {
            let there = || {
                let _scope = taken.enter();
                value("namespace")
            };
            let there = threads.spawn(there).join().expect("it ends");
            assert_eq!(there.as_deref(), Some("lab"));
        });
    }
}
