//! Builds the rooms, and owns everything that has to be ended. Started from the ground up, stopped
//! from the top down.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crossbeam_channel::unbounded;
use parking_lot::Mutex;

use crate::{
    bounded::InFlight,
    config::{metrics::Listen, pattern::BadPattern, schema, Config},
    convert::{self, Settings},
    cri::{self, CriContext, Server},
    disk::Disk,
    identity::{self, SiteUsers},
    interlink::{self, Client},
    kube::Api,
    logs::Registry,
    memory::{self, Quiet},
    metrics::{self, MetricsServer},
    model::{Pod, SystemClock},
    plan::log_pace::LogBounds,
    plugin::{self, Plugin},
    profile::{self, Outgoing},
    service::ServiceManager,
    store::{self, Store},
    telemetry::{chain, Counters, Health, Reach},
    text,
    threads::{self, Threads},
    traces::{self, Traces},
    worker::{Context, Workers},
};

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The way to interLink is badly configured.
    #[error("interLink cannot be used")]
    InterLink(#[source] interlink::Error),
    /// A setting cannot be used.
    #[error("configuration")]
    Settings(#[source] convert::Error),
    /// A pattern of namespaces is none.
    #[error("configuration: metadata.defaults")]
    Pattern(#[source] BadPattern),
    /// The site's users cannot be used.
    #[error("configuration: identity")]
    Identity(#[source] identity::BadSettings),
    /// The socket cannot be served.
    #[error(transparent)]
    Server(#[from] cri::StartError),
    /// The embedded plugin cannot start.
    #[error("the embedded plugin cannot start")]
    Plugin(#[source] plugin::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
}

/// The running daemon.
pub struct Daemon {
    server: Server,
    workers: Arc<Workers>,
    store: Arc<Store>,
    client: Option<Arc<Client>>,
    plugin: Option<Plugin>,
    watch: Threads,
    metrics: Option<MetricsServer>,
    traces: Option<Traces>,
    shutdown_timeout: Duration,
}

impl Daemon {
    /// Starts all of it. With `embedded`, containers run as processes of this machine, and
    /// `interlink.url` is set to the embedded plugin.
    ///
    /// # Errors
    /// A state directory or socket that is in use or cannot be used, or a configuration that
    /// cannot be carried out.
    pub fn start(
        mut config: Config,
        embedded: Option<plugin::PluginConfig>,
        service: &Arc<ServiceManager>,
    ) -> Result<Self, Error> {
        let watch = Threads::default();
        let told = watch.stopped();
        let observer = Arc::new(Observer::new(service.clone()));
        let watched = observer.clone();
        watch
            .start("watch", move || {
                threads::watch(&told, |is_useful| watched.look(is_useful))
            })
            .map_err(Error::Thread)?;
        let traces = Traces::start(&config);
        let (wake, woken) = unbounded();
        // First, because it keeps a second daemon out.
        let store = Store::open(&config.daemon.state_dir, Arc::new(SystemClock), wake)?;
        let counters = Arc::new(Counters::default());
        let store = store.with_limits(config.limits.clone());
        let store = Arc::new(store.with_counters(counters.clone()));
        let plugin = embedded
            .map(Plugin::start)
            .transpose()
            .map_err(Error::Plugin)?;
        if let Some(plugin) = &plugin {
            config.interlink.url = Some(plugin.address());
            config.interlink.plugin = schema::Plugin::Local;
        }
        let settings = Settings {
            keys_are_paths: profile::keys_are_paths(&config),
            takes_other_images: profile::takes_other_images(&config),
            ..Settings::new(&config).map_err(Error::Settings)?
        };
        let outgoing = Outgoing::new(&config.metadata).map_err(Error::Pattern)?;
        let users = SiteUsers::new(&config).map_err(Error::Identity)?;
        let users = Arc::new(users);
        let config = Arc::new(config);
        let room = InFlight::new(config.limits.max_in_flight_bytes);
        let client = match &config.interlink.url {
            Some(_) => {
                let client = Client::new(&config.interlink).map_err(Error::InterLink)?;
                let most = config.limits.max_request_bytes;
                let client = client.with_request_limit(most).with_room(room.clone());
                Some(Arc::new(client.with_counters(counters.clone())))
            }
            None => {
                log::warn!("no interLink is configured (interlink.url), so jobs wait until the daemon is started with one");
                None
            }
        };
        let logs = Arc::new(Registry::new(
            Disk::new(config.daemon.disk_timeout),
            LogBounds {
                bytes_per_second: config.logs.max_bytes_per_second,
                file_bytes: config.logs.max_file_bytes,
            },
        ));
        let health = Arc::new(Health::new(client.is_some()));
        let api = Api::new(&config.kubernetes, Arc::new(SystemClock), room).map(Arc::new);
        let context = Context::new(
            store.clone(),
            config.clone(),
            logs.clone(),
            health.clone(),
            counters.clone(),
            settings.clone(),
            api,
        );
        let context = context.with_outgoing(outgoing);
        let context = Arc::new(context.with_users(users.clone()));
        context.recover_logs();
        let workers = Workers::start(context, client.clone(), &config, woken);
        let workers = Arc::new(workers.map_err(Error::Thread)?);
        let metrics = metrics_server(
            &config,
            metrics::Sources {
                store: store.clone(),
                health: health.clone(),
                counters: counters.clone(),
                settings: settings.clone(),
            },
        );
        let cri = CriContext::new(
            store.clone(),
            config.clone(),
            logs,
            health.clone(),
            counters,
            settings,
        );
        let cri = Arc::new(cri.with_users(users));
        observer.observe(store.clone(), health, cri.clone());
        let server = Server::start(cri, &config)?;
        log::info!("serving the CRI on {}", config.daemon.socket.display());
        service.ready();
        let shutdown_timeout = config.daemon.shutdown_timeout;
        Ok(Self {
            server,
            workers,
            store,
            client,
            plugin,
            watch,
            metrics,
            traces,
            shutdown_timeout,
        })
    }

    /// What may be read again while the daemon runs.
    pub fn reloadable(&self) -> Reloadable {
        Reloadable {
            workers: self.workers.clone(),
            client: self.client.clone(),
            collector: self.traces.as_ref().map(Traces::credentials),
        }
    }

    /// Stops accepting, lets calls in flight end, commits, and leaves remote jobs running. False
    /// when something was late and had to be left behind; all that was acknowledged is on disk all
    /// the same.
    pub fn stop(self) -> bool {
        // The rest is for what follows: after the whole of it the process ends, whatever hangs.
        let deadline = Instant::now() + self.shutdown_timeout / 4 * 3;
        let Self {
            server,
            workers,
            store,
            client: _,
            plugin,
            watch,
            metrics,
            traces,
            ..
        } = self;
        let mut late = server.stop(deadline);
        late.extend(workers.stop(deadline));
        late.extend(metrics.iter().flat_map(|metrics| metrics.stop(deadline)));
        for name in &late {
            log::warn!(thread = name; "thread `{name}` did not end in time; it ends with the process");
        }
        watch.begin_stop();
        store.close();
        if let Some(traces) = traces {
            traces.stop(deadline);
        }
        if let Some(plugin) = plugin {
            plugin.stop();
        }
        late.is_empty()
    }
}

/// What may be read again while the daemon runs: certificates and keys, and the audit's file. The token's file
/// is looked at for each call.
#[derive(Clone)]
pub struct Reloadable {
    workers: Arc<Workers>,
    client: Option<Arc<Client>>,
    collector: Option<traces::Credentials>,
}

impl Reloadable {
    /// Reads it again; what cannot be read stays in use as it was.
    pub fn reload(&self) {
        self.workers.reopen_audit();
        let client = self.client.as_ref().map(|client| client.reload());
        if let Some(Err(error)) = client {
            say_kept("interLink", &error);
        }
        let collector = self.collector.as_ref().map(|collector| collector.reload());
        if let Some(Err(error)) = collector {
            say_kept("the collector of traces", &error);
        }
    }
}

fn say_kept(of: &str, error: &dyn std::error::Error) {
    log::error!(
        error = chain(error);
        "cannot read the credentials for {of} again, and the old ones stay in use"
    );
}

/// The listener for metrics. A daemon without one does its work all the same, so that where its address is
/// taken, perhaps by another daemon of this machine, this one starts without.
fn metrics_server(config: &Config, sources: metrics::Sources) -> Option<MetricsServer> {
    let listen = config.metrics.listen().unwrap_or(Listen::Off);
    MetricsServer::start(&listen, sources).unwrap_or_else(|error| {
        log::warn!(
            error:%;
            "metrics are not served, and all else goes on: cannot listen on {} (metrics.listen)",
            config.metrics.listen
        );
        None
    })
}

/// What systemd hears of the daemon while it runs, and the moment when memory is given back.
struct Observer {
    service: Arc<ServiceManager>,
    /// Set once they are there: the watch begins before them.
    sources: OnceLock<(Arc<Store>, Arc<Health>, Arc<CriContext>)>,
    quiet: Mutex<Quiet>,
    /// What was told of last: the state's revision, and whether interLink answers.
    told: Mutex<Option<(u64, Reach)>>,
}

impl Observer {
    fn new(service: Arc<ServiceManager>) -> Self {
        Self {
            service,
            sources: OnceLock::new(),
            quiet: Mutex::new(Quiet::new(Instant::now())),
            told: Mutex::default(),
        }
    }

    fn observe(&self, store: Arc<Store>, health: Arc<Health>, cri: Arc<CriContext>) {
        // Done once, where the daemon starts.
        let _ = self.sources.set((store, health, cri));
    }

    /// While a thread hangs without which the daemon does nothing of a kind, systemd gets no sign of life, and
    /// starts the daemon again, as it does with one that has died.
    fn look(&self, is_useful: bool) {
        if is_useful {
            self.service.alive();
        }
        if let Some((store, health, cri)) = self.sources.get() {
            let now = (store.revision(), health.now().0);
            let is_due = self.quiet.lock().is_due(now.0, Instant::now());
            if cri.forget_unasked(Instant::now()) || is_due {
                store.release_memory();
                memory::release();
            }
            let mut told = self.told.lock();
            if told.as_ref() != Some(&now) {
                self.service.status(&status_line(&now.1, &store.pods()));
                *told = Some(now);
            }
        }
    }
}

fn status_line(reach: &Reach, pods: &[Arc<Pod>]) -> String {
    let interlink = match reach {
        Reach::Ready(_) => "interLink answers".to_owned(),
        Reach::NotConfigured => "no interLink is configured".to_owned(),
        Reach::Unknown => "interLink has not been asked yet".to_owned(),
        Reach::Away(why) => format!("interLink cannot be reached: {}", text::beginning(why, 120)),
    };
    let jobs = pods.iter().flat_map(|pod| &pod.jobs);
    let waiting = jobs.filter(|job| job.is_unsubmitted()).count();
    let polled = |pod: &Arc<Pod>| pod.jobs.iter().filter(|job| pod.is_polled(job)).count();
    let submitted: usize = pods.iter().map(polled).sum();
    format!("{interlink}; {submitted} jobs there, {waiting} wait to be submitted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_how_the_daemon_is() {
        let line = status_line(&Reach::Ready("ok".into()), &[]);
        assert_eq!(
            line,
            "interLink answers; 0 jobs there, 0 wait to be submitted"
        );
        let away = status_line(&Reach::Away("no connection".into()), &[]);
        assert!(away.starts_with("interLink cannot be reached: no connection;"));
    }
}
