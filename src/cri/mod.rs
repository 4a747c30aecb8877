//! The gRPC services: translate, validate, change the store, answer.
//!
//! Every answer comes from local state. This room cannot see `interlink`, so none can call a plugin; the
//! answer to a stop is parked until the state says what has come of it. One file holds one RPC, a list together with its
//! streaming twin; files are named noun first.

mod call;
mod container_create;
mod container_list;
mod container_log;
mod container_remove;
mod container_start;
mod container_stats;
mod container_status;
mod container_stop;
mod container_update;
mod encode;
mod error;
mod events;
mod filter;
mod image_fs;
mod image_list;
mod image_pull;
mod image_remove;
mod image_status;
mod kept_list;
mod list_size;
mod listed;
mod metrics;
mod not_supported;
mod owed_info;
mod parked;
mod parts;
mod pod_address;
mod pool;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod runtime_config;
mod runtime_status;
mod sandbox_list;
mod sandbox_remove;
mod sandbox_run;
mod sandbox_stats;
mod sandbox_status;
mod sandbox_stop;
mod sandbox_update;
mod server;
mod services;
mod validate;
mod version;

use std::{sync::Arc, time::Instant};

use protobuf::Message;

pub use self::{
    error::Error,
    server::{Server, StartError},
};
use self::{
    filter::Found,
    kept_list::{KeptList, Whole},
};
use crate::{
    config::Config,
    convert::Settings,
    daemon_log,
    identity::SiteUsers,
    logs::Registry,
    model::{ContainerId, Nanos, Pod, SandboxId},
    plan::Rules,
    profile,
    proto::{Encoded, ListContainersResponse, ListPodSandboxResponse},
    store::Store,
    telemetry::{Counters, Health},
    traces,
};

/// What the handlers answer from.
pub struct CriContext {
    store: Arc<Store>,
    config: Arc<Config>,
    logs: Arc<Registry>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    settings: Settings,
    /// Those of the configuration: what is owed when, for people.
    rules: Rules,
    users: Arc<SiteUsers>,
    all_sandboxes: KeptList<ListPodSandboxResponse, Arc<Pod>>,
    all_containers: KeptList<ListContainersResponse, Found>,
    started: Instant,
}

impl CriContext {
    /// Puts together what the handlers answer from.
    pub fn new(
        store: Arc<Store>,
        config: Arc<Config>,
        logs: Arc<Registry>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        settings: Settings,
    ) -> Self {
        let rules = profile::rules(&config);
        Self {
            store,
            config,
            logs,
            health,
            counters,
            settings,
            rules,
            users: Arc::default(),
            all_sandboxes: KeptList::default(),
            all_containers: KeptList::default(),
            started: Instant::now(),
        }
    }

    /// With the site's word on whose jobs are.
    pub fn with_users(mut self, users: Arc<SiteUsers>) -> Self {
        self.users = users;
        self
    }

    /// Forgets what was kept for answers that nobody asks for any more; whether there was something.
    pub fn forget_unasked(&self, now: Instant) -> bool {
        let sandboxes = self.all_sandboxes.forget_unasked(now);
        self.all_containers.forget_unasked(now) || sandboxes
    }

    /// A list that is kept if it is one of everything, or copied from that; or else made.
    fn kept_or_made<L: Message, T>(
        &self,
        kept: &KeptList<L, T>,
        is_all: bool,
        fits: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Result<Whole<L, T>, Error>,
    ) -> Result<Encoded<L>, Error> {
        let made = match self.store.settled_revision() {
            Some(revision) if is_all => kept.get((revision, Instant::now()), make),
            _ => {
                let whole = self.current(kept);
                if let Some(part) = whole.and_then(|whole| whole.part(fits)) {
                    return Ok(part);
                }
                make().map(Arc::new)
            }
        };
        made.map(|whole| whole.list())
    }

    /// The list of everything as it is now, if it is kept.
    fn current<L, T>(&self, kept: &KeptList<L, T>) -> Option<Arc<Whole<L, T>>> {
        let revision = self.store.settled_revision()?;
        kept.current((revision, Instant::now()))
    }

    fn now(&self) -> Nanos {
        self.store.clock().now()
    }

    /// The sandbox that a request names.
    fn sandbox(&self, id: &str) -> Result<Arc<Pod>, Error> {
        let found = self.find_sandbox(id)?.and_then(|id| self.store.pod(&id));
        if let Some(pod) = &found {
            traces::note_pod(pod, None);
        }
        found.ok_or_else(|| Error::NotFound {
            kind: "pod sandbox",
            id: id.to_owned(),
        })
    }

    /// The sandbox that a request names, if there is one: for calls that the CRI wants idempotent.
    fn find_sandbox(&self, id: &str) -> Result<Option<SandboxId>, Error> {
        let found = self.store.resolve_sandbox(id)?;
        let pod = found.as_ref().and_then(|id| self.store.pod(id));
        pod.iter().for_each(|pod| daemon_log::note_pod(pod));
        Ok(found)
    }

    /// The container that a request names, with its pod.
    fn container(&self, id: &str) -> Result<(Arc<Pod>, ContainerId), Error> {
        let found = self.find_container(id)?;
        found.ok_or_else(|| Error::NotFound {
            kind: "container",
            id: id.to_owned(),
        })
    }

    /// The container that a request names, if there is one.
    fn find_container(&self, id: &str) -> Result<Option<(Arc<Pod>, ContainerId)>, Error> {
        let Some(id) = self.store.resolve_container(id)? else {
            return Ok(None);
        };
        let found = self.store.pod_of(&id);
        if let Some(pod) = &found {
            traces::note_pod(pod, Some(&id));
            daemon_log::note_pod(pod);
            let entry = pod.container(&id);
            entry.into_iter().for_each(daemon_log::note_container);
        }
        Ok(found.map(|pod| (pod, id)))
    }
}
