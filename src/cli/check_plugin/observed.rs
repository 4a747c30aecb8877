//! What a plugin has answered when it was tried, and what its answers say of the pod.

use std::time::Duration;

use serde_json::Value;

use crate::profile::recognise::Recognised;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer: its status, and its body as text.
    Answer(u16, String),
    /// A refusal: its status, and its words.
    Refusal(u16, String),
    /// Nothing that is an answer, and why.
    Nothing(String),
}

/// What was heard, call by call. None was not made.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The UID of the pod that was submitted.
    pub uid: String,
    /// The line that each container writes, by its name: init containers first.
    pub lines: Vec<(&'static str, String)>,
    /// A ping.
    pub ping: Option<Heard>,
    /// A question about no pod.
    pub empty: Option<Heard>,
    /// A question about an unknown pod.
    pub unknown: Option<Heard>,
    /// The log of an unknown pod.
    pub unknown_log: Option<Heard>,
    /// A submission that is no JSON.
    pub malformed: Option<Heard>,
    /// A submission of a good pod.
    pub created: Option<Heard>,
    /// What is to be known of the answer to it: the job's id, and whether it has the usual form.
    pub job_id: Option<(String, bool)>,
    /// Whose form it has, where that is told by the form alone.
    pub form_of: Option<Recognised>,
    /// How long it took.
    pub create_took: Duration,
    /// The question right after it.
    pub fresh: Option<Heard>,
    /// A question about an unknown pod and this one, in this order.
    pub mixed: Option<Heard>,
    /// The first answer in which the pod has ended.
    pub ended: Option<Heard>,
    /// The logs of the containers, in the order of `lines`, when the pod has ended.
    pub logs: Vec<Heard>,
    /// The main container's log, followed.
    pub followed: Option<Heard>,
    /// The same submission once more, and the job id in its answer.
    pub again: Option<(Heard, Option<String>)>,
    /// A deletion of that pod, when it has ended.
    pub deleted: Option<Heard>,
    /// The question after it.
    pub gone: Option<Heard>,
    /// The deletion once more.
    pub deleted_again: Option<Heard>,
}

impl Heard {
    pub(super) fn answer(&self) -> Option<&str> {
        match self {
            Self::Answer(_, body) => Some(body),
            Self::Refusal(..) | Self::Nothing(_) => None,
        }
    }

    /// What came, for people.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Answer(status, _) => format!("it is answered with {status}"),
            Self::Refusal(status, words) if words.is_empty() => format!("it is refused ({status})"),
            Self::Refusal(status, words) => format!("it is refused ({status}: {words})"),
            Self::Nothing(why) => format!("there is no answer ({why})"),
        }
    }

    /// The entries of an answer to /status; none where it is no list.
    pub(super) fn entries(&self) -> Option<Vec<Value>> {
        match serde_json::from_str(self.answer()?) {
            Ok(Value::Array(list)) => Some(list),
            Ok(Value::Null) => Some(Vec::new()),
            _ => None,
        }
    }

    pub(super) fn entry(&self, uid: &str) -> Option<Value> {
        let entries = self.entries()?;
        let mut entries = entries.into_iter();
        entries.find(|entry| entry["UID"] == uid)
    }
}

/// The entries of all containers of a pod in an answer to /status.
pub(super) fn container_entries(pod: &Value) -> Vec<&Value> {
    let lists = [&pod["initContainers"], &pod["containers"]];
    let entries = lists.into_iter().filter_map(Value::as_array).flatten();
    entries.collect()
}

/// Whether the main containers of a pod, as an answer to /status has it, have ended.
pub fn has_ended(heard: &Heard, uid: &str) -> bool {
    let Some(pod) = heard.entry(uid) else {
        return false;
    };
    let mains = pod["containers"].as_array().filter(|list| !list.is_empty());
    mains.is_some_and(|list| {
        list.iter()
            .all(|one| one["state"]["terminated"].is_object())
    })
}

/// Whether an answer to /status speaks of a pod, with a state for one of its containers.
pub fn shows(heard: &Heard, uid: &str) -> bool {
    let pod = heard.entry(uid);
    pod.is_some_and(|pod| {
        let states = container_entries(&pod).into_iter().map(|one| &one["state"]);
        let mut parts = states
            .filter_map(Value::as_object)
            .flat_map(|it| it.values());
        parts.any(Value::is_object)
    })
}
