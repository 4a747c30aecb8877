//! The API server with all that is remembered of it.

use std::{sync::Arc, time::Duration};

use super::{Client, Limits, PodSource, Recorder};
use crate::{bounded::InFlight, config::schema::Kubernetes, model::Clock, telemetry::chain};

/// How long a call may take. Nothing depends on the answer.
const TIME: Duration = Duration::from_secs(5);

/// The API server, as the configuration names it.
#[derive(Debug)]
pub struct Api {
    /// Makes the calls.
    pub client: Arc<Client>,
    /// Pods, remembered.
    pub pods: PodSource,
    /// This node's name.
    pub node: String,
    /// Posts events; none where they are not wanted.
    pub recorder: Option<Recorder>,
}

impl Api {
    /// None where no kubeconfig is named. Nothing is read yet: the kubelet may not have its
    /// credentials at the time of our start. Answers that are being read take their room from `room`.
    pub fn new(from: &Kubernetes, clock: Arc<dyn Clock>, room: Arc<InFlight>) -> Option<Self> {
        let kubeconfig = from.kubeconfig.as_deref()?;
        let limits = Limits {
            time: TIME,
            ..Limits::default()
        };
        let client = Arc::new(Client::new(kubeconfig, limits).with_room(room));
        if let Err(error) = client.check() {
            log::warn!(error = chain(&error); "pods are not read from the API server for now");
        }
        let node = from.node();
        Some(Self {
            pods: PodSource::new(client.clone(), from.cache_size, from.cache_time, clock),
            client,
            recorder: from.events.then(|| Recorder::new(&node)),
            node,
        })
    }
}
