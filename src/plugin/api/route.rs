//! The calls of the interLink API.

/// One call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Create,
    Delete,
    Status,
    Logs,
    Ping,
    UpdateCache,
}

impl Route {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Create, "create"),
        (Self::Delete, "delete"),
        (Self::Status, "status"),
        (Self::Logs, "getLogs"),
        (Self::Ping, "pinglink"),
        (Self::UpdateCache, "updateCache"),
    ];

    /// The call behind a path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        // Methods are not checked: neither interLink's server (0.6, 0.7) nor its plugins do, and the
        // virtual kubelet sends GET with a body for some calls.
        Self::named(path.strip_prefix('/')?)
    }

    /// The call of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, known)| *known == name)
            .map(|(route, _)| *route)
    }
}
