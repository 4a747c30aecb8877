//! What every worker needs.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::{cluster_report::ClusterReport, current_rules::CurrentRules, nudge::Nudge};
use crate::{
    audit::Audit,
    config::Config,
    convert::Settings,
    identity::SiteUsers,
    interlink,
    kube::Api,
    logs::Registry,
    plan::freshness::Freshness,
    profile::{recognise::Recognised, Outgoing},
    store::Store,
    telemetry::{Counter, Counters, Health, Limited, Reach},
};

/// What every worker needs.
pub struct Context {
    /// All pods and images.
    pub store: Arc<Store>,
    /// The times and counts that decide what is owed.
    pub rules: CurrentRules,
    /// The configuration.
    pub config: Arc<Config>,
    /// The open container logs.
    pub logs: Arc<Registry>,
    /// Whether interLink can be reached.
    pub health: Arc<Health>,
    /// What conversion depends on.
    pub settings: Settings,
    /// What is changed in pods before they are sent.
    pub outgoing: Outgoing,
    /// Whose jobs are.
    pub users: Arc<SiteUsers>,
    /// Where submissions and cancellations are told.
    pub audit: Audit,
    /// Counts of calls, jobs and errors, for the verbose `Status`.
    pub counters: Arc<Counters>,
    /// The API server, if it may be asked.
    pub api: Option<Arc<Api>>,
    /// What the plugin says of its cluster.
    pub(super) cluster: ClusterReport,
    /// Holds back repeated lines about polls that fail.
    pub poll_trouble: Limited,
    /// Holds back repeated lines about pods that cannot be read.
    pub api_trouble: Limited,
    /// The same about events and conditions.
    pub announce_trouble: Limited,
    /// The questions to /status of which the answer may be repeated.
    pub(super) freshness: Mutex<Freshness>,
    stopping: AtomicBool,
    /// Held while it is decided whether a namespace has room for a job, and until that is on disk.
    pub limits_turn: Mutex<()>,
    nudge: Nudge,
}

impl Context {
    /// Puts together what the workers need.
    pub fn new(
        store: Arc<Store>,
        config: Arc<Config>,
        logs: Arc<Registry>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        settings: Settings,
        api: Option<Arc<Api>>,
    ) -> Self {
        let audit = Audit::new(&config, counters.clone());
        Self {
            store,
            api,
            rules: CurrentRules::new(&config),
            config,
            logs,
            health,
            counters,
            settings,
            outgoing: Outgoing::default(),
            audit,
            users: Arc::default(),
            cluster: ClusterReport::default(),
            poll_trouble: Limited::new(Duration::from_secs(60)),
            api_trouble: Limited::new(Duration::from_secs(60)),
            announce_trouble: Limited::new(Duration::from_secs(60)),
            freshness: Mutex::default(),
            stopping: AtomicBool::new(false),
            limits_turn: Mutex::default(),
            nudge: Nudge::default(),
        }
    }

    /// With what is changed in pods before they are sent.
    pub fn with_outgoing(mut self, outgoing: Outgoing) -> Self {
        self.outgoing = outgoing;
        self
    }

    /// With the site's word on whose jobs are.
    pub fn with_users(mut self, users: Arc<SiteUsers>) -> Self {
        self.users = users;
        self
    }

    /// Calls interLink, and counts.
    pub(super) fn call<T>(
        &self,
        call: impl FnOnce() -> Result<T, interlink::Error>,
    ) -> Result<T, interlink::Error> {
        let answer = call();
        self.counters.count(Counter::InterLinkCalls);
        if answer.is_err() {
            self.counters.count(Counter::InterLinkErrors);
        }
        answer
    }

    /// Takes the plugin for this one from now on, unless the configuration names one.
    pub(super) fn recognise(&self, found: Option<Recognised>) {
        let Some(Recognised { plugin, by }) = found else {
            return;
        };
        if self.rules.recognise(&self.config, plugin) {
            log::info!(
                "the plugin behind interLink is taken for `{plugin}`, by {by}; interlink.plugin can \
                 say which it is"
            );
            self.health.note_plugin(plugin.name(), by);
            // What they are owed is due at other times by other rules.
            self.store.wake_all();
        }
    }

    /// How loud a call that failed is. While interLink is known to be away, that is said of all jobs at once:
    /// see `poll::outage`.
    pub(super) fn level_of_failure(&self) -> log::Level {
        match self.health.now().0 {
            Reach::Away(_) => log::Level::Debug,
            _ => log::Level::Warn,
        }
    }

    /// Tells the poller that something has just been submitted.
    pub(super) fn nudge_poller(&self) {
        self.nudge.give();
    }

    pub(super) fn nudged(&self) -> Receiver<()> {
        self.nudge.heard()
    }

    pub(super) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
