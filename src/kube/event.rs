//! What an event is about and says.

use std::fmt;

/// The pod that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// Its namespace, which is the event's as well.
    pub namespace: String,
    /// Its name.
    pub name: String,
    // `kubectl describe` looks for the events of a static pod under this, not under its mirror pod's
    // (describe.go in k8s.io/kubectl/pkg/describe).
    /// Its UID as the kubelet knows it.
    pub uid: String,
}

/// What an event means to who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// For information.
    Normal,
    /// Something may be wrong.
    Warning,
}

impl EventType {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened to a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrence<'a> {
    pub(super) pod: &'a PodRef,
    pub(super) kind: EventType,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}
