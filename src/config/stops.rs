//! What becomes of stops that the plugin does not confirm in time.

use serde::{Deserialize, Serialize};

/// What becomes of a stop that the plugin does not confirm in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnconfirmedStop {
    /// The container has ended, and its job may still run.
    Release,
    /// The container goes on, and the stop is refused.
    Hold,
}

/// An entry of `jobs.unconfirmed_stops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnconfirmedStopEntry {
    /// Patterns of namespaces; none are all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Runtime handlers; none are all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handlers: Vec<String>,
    /// What becomes of their stops.
    pub then: UnconfirmedStop,
}
