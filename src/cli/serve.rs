//! `serve`: the daemon, and the signals that it heeds.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    str::FromStr as _,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use crossbeam_channel::{unbounded, Sender};
use log::LevelFilter;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{
    arguments::{ConfigArgs, ServeArgs},
    log_queue::Queued,
};
use crate::{
    config::{schema::LogFormat, Config},
    daemon::{Daemon, Reloadable},
    daemon_log::{is_journal, Format},
    memory,
    plugin::{http::ListenAddress, PluginConfig, THIS_EXECUTABLE},
    service::ServiceManager,
    telemetry::chain,
    threads::{self, Threads},
};

/// The exit code of a daemon that did not come to its end within `daemon.shutdown_timeout` after a signal,
/// because a disk or a thread hangs: `EX_TEMPFAIL` of sysexits.h. Nothing acknowledged is lost by it.
pub const LATE_EXIT_CODE: i32 = 75;

/// Serves until a signal ends it.
pub fn run(args: &ServeArgs) -> Result<ExitCode, String> {
    memory::note_program();
    let config = args.config.load()?;
    let logger = start_logging_unheld(&config);
    threads::end_process_on_panic();
    let findings = args.config.check_machine(&config);
    findings
        .warnings
        .iter()
        .for_each(|warning| log::warn!("configuration: {warning}"));
    if !findings.faults.is_empty() {
        let faults: Vec<_> = findings.faults.iter().map(ToString::to_string).collect();
        return Err(format!("configuration: {}", faults.join("\n")));
    }
    // Before any thread starts, so that no signal is lost.
    let signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| format!("signals: {error}"))?;
    let (send, received) = unbounded();
    let (listener, patience) = (Threads::default(), config.daemon.shutdown_timeout);
    listener
        .start("signals", move || listen(signals, &send, patience))
        .map_err(|error| format!("a thread for signals cannot be started: {error}"))?;
    let embedded = args.embedded_plugin.then(|| embedded(&config));
    let service = ServiceManager::from_environment()
        .map_err(|error| format!("systemd cannot be told anything (NOTIFY_SOCKET): {error}"))?;
    let service = Arc::new(service);
    let in_use = config.clone();
    let daemon = Daemon::start(config, embedded, &service).map_err(|error| chain(&error))?;
    let reloads = Reloads::new(args.config.clone(), in_use, daemon.reloadable(), logger);
    for signal in received {
        threads::point("main");
        if signal != SIGHUP {
            log::info!(signal; "a signal stops the daemon; remote jobs go on");
            break;
        }
        reloads.begin();
    }
    service.stopping();
    daemon.stop();
    log::info!("the daemon has stopped");
    log::logger().flush();
    Ok(ExitCode::SUCCESS)
}

/// Passes signals on to the main thread. From the one that ends the daemon on, it waits for the end, and
/// brings it about where nobody else does: the main thread may be the one that hangs.
fn listen(mut signals: Signals, main: &Sender<i32>, patience: Duration) {
    for signal in signals.forever() {
        threads::point("signals");
        // The main thread has returned; so will the process.
        let _ = main.send(signal);
        if signal != SIGHUP {
            break;
        }
    }
    std::thread::sleep(patience);
    log::error!(
        target: threads::LAST_LINE,
        "the daemon has not stopped within {patience:?} (daemon.shutdown_timeout), because something \
         hangs; it ends with code {LATE_EXIT_CODE}; all that was acknowledged is on disk"
    );
    log::logger().flush();
    signal_hook::low_level::exit(LATE_EXIT_CODE)
}

/// Reads again what may change while the daemon runs (the log level, certificates, the audit's file), one time
/// after the other, on a thread of its own: a file may lie on a disk that hangs, and a signal that ends the
/// daemon must not wait for that.
struct Reloads {
    shared: Arc<ReloadState>,
    threads: Threads,
}

struct ReloadState {
    args: ConfigArgs,
    /// The configuration that the daemon has started with: other files than those that it names are not read.
    in_use: Config,
    daemon: Reloadable,
    /// None where the system had no thread for it; then level and format stay.
    logger: Option<Queued>,
    wanted: AtomicBool,
    is_under_way: AtomicBool,
}

impl Reloads {
    fn new(args: ConfigArgs, in_use: Config, daemon: Reloadable, logger: Option<Queued>) -> Self {
        let shared = Arc::new(ReloadState {
            args,
            in_use,
            daemon,
            logger,
            wanted: AtomicBool::new(false),
            is_under_way: AtomicBool::new(false),
        });
        Self {
            shared,
            threads: Threads::default(),
        }
    }

    /// Begins one, or has another one follow that which is under way.
    fn begin(&self) {
        self.shared.wanted.store(true, Ordering::SeqCst);
        if self.shared.is_under_way.swap(true, Ordering::SeqCst) {
            log::info!("a reload is under way; another one follows it");
            return;
        }
        let shared = self.shared.clone();
        if let Err(error) = self.threads.run("reload", move || shared.run()) {
            self.shared.is_under_way.store(false, Ordering::SeqCst);
            log::error!(error:%; "a thread to reload cannot be started, and nothing is changed");
        }
    }
}

impl ReloadState {
    fn run(&self) {
        loop {
            while self.wanted.swap(false, Ordering::SeqCst) {
                threads::point("reload");
                self.reload();
            }
            self.is_under_way.store(false, Ordering::SeqCst);
            // One that was wanted just now found this one under way.
            let is_wanted = self.wanted.load(Ordering::SeqCst);
            if !is_wanted || self.is_under_way.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    fn reload(&self) {
        let config = match self.args.load() {
            Ok(config) => config,
            Err(error) => {
                return log::error!(
                    error;
                    "cannot read the configuration again, and nothing is changed"
                )
            }
        };
        // A file that has become somebody else's since the start is as bad as one that was so then.
        let faults = self.args.check_machine(&self.in_use).faults;
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            return log::error!(
                error = faults.join("; ");
                "cannot read the configuration again, and nothing is changed"
            );
        }
        if let Some(logger) = &self.logger {
            logger.replace(logging(&config.daemon.log_level, config.daemon.log_format));
            set_level(&config.daemon.log_level, logger);
        }
        self.daemon.reload();
        log::info!("the log's level and format and the credentials are read again");
    }
}

fn embedded(config: &Config) -> PluginConfig {
    let root = config.daemon.state_dir.join("plugin");
    PluginConfig {
        listen: ListenAddress::Unix(root.join("plugin.sock")),
        token_file: None,
        root,
        shim: THIS_EXECUTABLE.into(),
        max_output_bytes: config.logs.max_file_bytes,
        faults: Vec::new(),
    }
}

/// Lets lines of this level through, before any is made. A filter with parts says itself what it needs.
fn set_level(level: &str, logger: &Queued) {
    let level = LevelFilter::from_str(level).unwrap_or_else(|_| logger.level());
    log::set_max_level(level);
}

/// Starts logging to standard error, for commands of people.
pub fn start_logging(level: &str) {
    // A second start, in tests, keeps the first logger.
    let _ = logging(level, LogFormat::Text).try_init();
    if let Ok(level) = LevelFilter::from_str(level) {
        log::set_max_level(level);
    }
}

/// The same, where nobody may be held up by a standard error that takes nothing. It has a thread of its
/// own; the last lines have to be flushed. None where there is no thread for it.
fn start_logging_unheld(config: &Config) -> Option<Queued> {
    let (level, format) = (&config.daemon.log_level, config.daemon.log_format);
    let Ok(logger) = Queued::start(logging(level, format), std::io::stderr()) else {
        start_logging(level);
        return None;
    };
    // A second start, in tests, keeps the first logger.
    let _ = log::set_boxed_logger(Box::new(logger.clone()));
    set_level(level, &logger);
    Some(logger)
}

fn logging(level: &str, format: LogFormat) -> env_logger::Builder {
    let mut builder = env_logger::Builder::new();
    match LevelFilter::from_str(level) {
        // What libraries say below a warning tells an administrator nothing.
        Ok(_) => builder
            .filter_level(LevelFilter::Warn)
            .filter_module(env!("CARGO_CRATE_NAME"), LevelFilter::Trace),
        Err(_) => builder.parse_filters(level),
    };
    let format = Format {
        is_json: format == LogFormat::Json,
        is_for_journal: is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()),
    };
    builder.format(move |out, record| format.write(out, record));
    builder.write_style(match std::io::stderr().is_terminal() {
        true => env_logger::WriteStyle::Always,
        false => env_logger::WriteStyle::Never,
    });
    builder
}
