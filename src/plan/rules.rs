//! The settings that the pure functions need, and no others.

use std::{sync::Arc, time::Duration};

use super::{
    exit_table::ExitTable,
    limits::NamespaceLimits,
    traits::{InitContainers, PluginTraits},
    unconfirmed_stop::UnconfirmedStops,
};
use crate::{
    backoff::Backoff,
    config::{schema::JobScope, Config},
};

/// The times, counts and tables that decide what happens next.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Starts within this time of each other share one job.
    pub quiet_period: Duration,
    /// The pauses after failed calls.
    pub retry: Backoff,
    /// Answers 500 to a submission that are tried again.
    pub server_error_retries: u32,
    /// How long a plugin must deny a job of which it is unsure whether it was submitted.
    pub unsure_grace: Duration,
    /// How long the rest of a log may take to fetch.
    pub complete_timeout: Duration,
    /// Polls in a row that must miss a job before it is lost.
    pub lost_polls: u32,
    /// How long a job must be missing before it is lost.
    pub lost_grace: Duration,
    /// How long processes may go on after the plugin has confirmed the end of their job and forgotten it.
    pub kill_wait: Duration,
    /// How long the plugin may report a job as ended whose nodes are still being made ready.
    pub prepare_grace: Duration,
    /// What becomes of stops that the plugin does not confirm in time.
    pub unconfirmed_stops: Arc<UnconfirmedStops>,
    /// Whether the API server is asked what a pod consists of.
    pub asks_api_server: bool,
    /// What a job is, where the API server is asked.
    pub scope: JobScope,
    /// What reported ends look like to the kubelet.
    pub exit_table: Arc<ExitTable>,
    /// How much namespaces may have at once.
    pub limits: Arc<NamespaceLimits>,
    /// What is known of the plugin.
    pub plugin: PluginTraits,
}

impl Rules {
    /// The rules that follow from a configuration, for a plugin with these traits.
    pub fn new(config: &Config, plugin: PluginTraits) -> Self {
        Self {
            quiet_period: config.jobs.quiet_period,
            retry: Backoff::doubling(config.interlink.retry_min, config.interlink.retry_max),
            server_error_retries: config.interlink.server_error_retries,
            unsure_grace: config.interlink.unsure_grace,
            complete_timeout: config.logs.complete_timeout,
            lost_polls: config.jobs.lost_polls,
            lost_grace: config.jobs.lost_grace,
            kill_wait: config.jobs.kill_wait,
            prepare_grace: config.jobs.prepare_grace,
            unconfirmed_stops: Arc::new(UnconfirmedStops::new(&config.jobs)),
            asks_api_server: config.kubernetes.kubeconfig.is_some(),
            scope: scope(config.jobs.job_scope, plugin.init_containers),
            exit_table: Arc::new(ExitTable::new(&config.states, plugin.known_ends)),
            limits: Arc::new(NamespaceLimits::new(&config.limits)),
            plugin,
        }
    }
}

/// What a job is. Never a whole pod where the plugin would leave out its init containers; and only
/// if somebody wants it so where it would not be heard that one of them has failed.
fn scope(wanted: Option<JobScope>, init_containers: InitContainers) -> JobScope {
    match init_containers {
        InitContainers::Reported => wanted.unwrap_or(JobScope::Pod),
        InitContainers::Unreported => wanted.unwrap_or(JobScope::Containers),
        InitContainers::NotRun => JobScope::Containers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_containers_are_not_sent_to_where_they_are_not_run() {
        let (pod, containers) = (JobScope::Pod, JobScope::Containers);
        for (wanted, inits, want) in [
            (None, InitContainers::Reported, pod),
            (Some(containers), InitContainers::Reported, containers),
            (None, InitContainers::Unreported, containers),
            (Some(pod), InitContainers::Unreported, pod),
            (None, InitContainers::NotRun, containers),
            (Some(pod), InitContainers::NotRun, containers),
        ] {
            assert_eq!(scope(wanted, inits), want, "{wanted:?} {inits:?}");
        }
    }
}
