//! `node-view`: a kubelet that takes the machine for as large as the cluster behind it.
//!
//! This process becomes the kubelet, so its process id, signals and systemd's notifications are as
//! without this. Where the amounts come from interLink, a second process goes on asking: it tells of a
//! lasting change, and ends the kubelet where that is wished, which systemd then starts again. It ends
//! with the kubelet.

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use rustix::process::{getppid, kill_process, Pid, Signal};

use super::{arguments::ConfigArgs, serve};
use crate::{
    config::{duration, Config},
    interlink::Client,
    node_view::{enter, Amounts, Kubelet, Lasting, MAX_CPUS, MAX_MEMORY},
    quantity,
    telemetry::chain,
};

/// The subcommand of the second process.
pub const WATCH: &str = "node-view-watch";
/// A change that is told, where none is given.
const PERCENT: f64 = 10.0;
/// How often it is looked whether the kubelet is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Who says how large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The plugin, in its answer to /pinglink
    Interlink,
}

/// What `interlink-cri node-view` takes.
#[derive(Args, Debug)]
pub struct NodeViewArgs {
    /// CPUs that the node has, such as 4096; with --from, what it has where interLink does not say
    #[arg(long, value_name = "QUANTITY", required_unless_present = "from")]
    cpu: Option<String>,
    /// Memory that the node has, such as 16Ti; likewise
    #[arg(long, value_name = "QUANTITY", required_unless_present = "from")]
    memory: Option<String>,
    /// Ask for both when the kubelet starts
    #[arg(long, value_enum)]
    from: Option<Source>,
    /// End the kubelet when the cluster has changed by so much, so that systemd starts it again
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "from")]
    restart_on_change: Option<f64>,
    /// How long a change must last
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    settle: Duration,
    #[command(flatten)]
    config: ConfigArgs,
    /// The kubelet, and its arguments
    #[arg(last = true, required = true, value_name = "KUBELET")]
    command: Vec<OsString>,
}

/// What the second process is told.
#[derive(Args, Debug)]
pub struct WatchArgs {
    #[arg(long)]
    kubelet: i32,
    #[arg(long)]
    cpu: String,
    #[arg(long)]
    memory: String,
    #[arg(long, value_parser = percent)]
    restart_on_change: Option<f64>,
    #[arg(long, value_parser = duration::parse)]
    settle: Duration,
    #[command(flatten)]
    config: ConfigArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    let number = number.ok().filter(|number| (1.0..=1000.0).contains(number));
    number.ok_or_else(|| "write for example 10%; 1% to 1000% are possible".to_owned())
}

/// Becomes the kubelet.
///
/// # Errors
/// What keeps it from that.
pub fn run(args: &NodeViewArgs) -> Result<ExitCode, String> {
    let wrong = |error| chain(&error);
    let fixed = |text: &Option<String>| text.clone().unwrap_or_default();
    let (mut cpu, mut memory) = (fixed(&args.cpu), fixed(&args.memory));
    if args.from == Some(Source::Interlink) {
        let config = args.config.load()?;
        serve::start_logging(&config.daemon.log_level);
        match ask(&client(&config)?) {
            Ok((cpus, bytes)) => {
                cpu = cpus.unwrap_or(cpu);
                memory = bytes.unwrap_or(memory);
            }
            Err(error) if cpu.is_empty() || memory.is_empty() => return Err(error),
            Err(error) => log::warn!("{error}; the node has {cpu} CPUs and {memory} of memory"),
        }
        if cpu.is_empty() || memory.is_empty() {
            return Err(
                "the plugin does not say in its answer to /pinglink how many CPUs and how much memory \
                 the cluster has; say it with --cpu and --memory"
                    .to_owned(),
            );
        }
    }
    let amounts = Amounts::parse(&cpu, &memory).map_err(wrong)?;
    let kubelet = Kubelet::new(args.command.clone());
    if args.from.is_some() {
        start_watch(args, amounts)?;
    }
    match enter(amounts, &kubelet) {
        Err(error) => Err(chain(&error)),
        Ok(never) => Err(unreachable_text(never)),
    }
}

fn unreachable_text(never: Infallible) -> String {
    match never {}
}

fn client(config: &Config) -> Result<Client, String> {
    Client::new(&config.interlink).map_err(|error| chain(&error))
}

/// CPUs and memory of the cluster, as far as the plugin says.
fn ask(client: &Client) -> Result<(Option<String>, Option<String>), String> {
    let ping = client.ping().map_err(|error| chain(&error))?;
    let resources = ping
        .parsed
        .and_then(|ping| ping.resources)
        .unwrap_or_default();
    let bounded = |text: &str, read: &dyn Fn(&str) -> Result<u64, _>, most: u64| {
        let told = Some(text).filter(|text| !text.is_empty());
        let read = told.map(|text| Ok(read(text)?.min(most))).transpose();
        read.map_err(|error: quantity::NotAQuantity| format!("the answer to /pinglink: {error}"))
    };
    let cpu = bounded(&resources.cpu, &quantity::parse_cpu, MAX_CPUS * 1000)?;
    let memory = bounded(&resources.memory, &quantity::parse_memory, MAX_MEMORY)?;
    Ok((
        cpu.map(|amount| quantity::cpu(amount).0),
        memory.map(|amount| quantity::memory(amount).0),
    ))
}

/// Starts the second process, which stays in this mount namespace.
fn start_watch(args: &NodeViewArgs, offered: Amounts) -> Result<(), String> {
    let wrong = |error| format!("starting {WATCH}: {error}");
    let mut command = Command::new(env::current_exe().map_err(wrong)?);
    command
        .arg(WATCH)
        .args(["--kubelet", &std::process::id().to_string()])
        .args(["--cpu", &offered.cpus.to_string()])
        .args(["--memory", &offered.memory.to_string()])
        .args(["--settle", &duration::print(args.settle)])
        .args(args.config.to_flags())
        .stdin(Stdio::null());
    if let Some(percent) = args.restart_on_change {
        command.args(["--restart-on-change", &percent.to_string()]);
    }
    command.spawn().map_err(wrong)?;
    Ok(())
}

/// Looks for a lasting change of the cluster until the kubelet ends.
///
/// # Errors
/// A configuration that cannot be used.
pub fn watch(args: &WatchArgs) -> Result<ExitCode, String> {
    let config = args.config.load()?;
    serve::start_logging(&config.daemon.log_level);
    let offered = Amounts::parse(&args.cpu, &args.memory).map_err(|error| chain(&error))?;
    let kubelet = Pid::from_raw(args.kubelet).ok_or("no process has this id")?;
    let client = client(&config)?;
    let percent = args.restart_on_change.unwrap_or(PERCENT);
    let mut lasting = Lasting::new(offered, percent, args.settle);
    let began = Instant::now();
    // A process whose parent has ended gets another one.
    let is_there = || getppid() == Some(kubelet);
    let mut next = began;
    while is_there() {
        if Instant::now() < next {
            thread::sleep(LOOK.min(config.interlink.ping_interval));
            continue;
        }
        next = Instant::now() + config.interlink.ping_interval;
        let seen = match ask(&client).and_then(|told| amounts(told, offered)) {
            Ok(seen) => seen,
            Err(error) => {
                log::debug!("how large the cluster is cannot be told: {error}");
                continue;
            }
        };
        if !lasting.look(seen, began.elapsed()) {
            continue;
        }
        if args.restart_on_change.is_none() {
            log::warn!(
                "the cluster has {seen} now; the node offers {offered} until the kubelet is started again"
            );
        } else if is_there() {
            log::warn!(
                "the cluster has {seen} now, and the node offers {offered}: the kubelet is ended, so that \
                 it is started with the new amounts"
            );
            kill_process(kubelet, Signal::TERM).map_err(|error| format!("SIGTERM: {error}"))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the cluster has; what the plugin does not say is as it was.
fn amounts(
    (cpu, memory): (Option<String>, Option<String>),
    offered: Amounts,
) -> Result<Amounts, String> {
    let cpu = cpu.unwrap_or_else(|| offered.cpus.to_string());
    let memory = memory.unwrap_or_else(|| offered.memory.to_string());
    Amounts::parse(&cpu, &memory).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents() {
        assert_eq!(percent("10%"), Ok(10.0));
        assert_eq!(percent("2.5"), Ok(2.5));
        for text in ["0", "-5%", "ten", "", "%", "1001%", "NaN", "inf"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_told_stays() {
        let offered = Amounts::parse("64", "1Ti").expect("fits");
        let cpus = amounts((Some("128".to_owned()), None), offered).expect("fits");
        assert_eq!((cpus.cpus, cpus.memory), (128, 1 << 40));
        assert!(amounts((Some("0".to_owned()), None), offered).is_err());
    }
}
