//! The commands and their flags.

mod arguments;
mod check_plugin;
mod client;
mod cri_log;
mod doctor;
mod jobs;
mod log_queue;
mod man;
mod manifest;
mod node_view;
mod pod_dir;
mod run_pod;
mod serve;
mod status;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use self::{
    arguments::{ConfigArgs, Output, ServeArgs},
    check_plugin::CheckPluginArgs,
    client::Client,
    doctor::DoctorArgs,
    node_view::{NodeViewArgs, WatchArgs},
};
use crate::{
    config::{self, duration, log_filter},
    metrics, plugin,
    telemetry::chain,
    text::for_terminal,
    threads,
};

const DEFAULT_SOCKET: &str = "/run/interlink-cri/interlink-cri.sock";

/// A Kubernetes container runtime (CRI) that runs pods on supercomputers through interLink.
#[derive(Debug, Parser)]
#[command(
    name = "interlink-cri",
    version,
    after_help = "Exit status: 0 on success, 1 on failure, 2 for wrong usage.\n\
                  `serve` and `plugin` end with 70 when one of their threads has died, which is a \
                  fault of theirs; start them again. `serve` ends with 75 when it has not come to its end \
                  within daemon.shutdown_timeout.\n\
                  `run-pod` ends with the pod's result: the first exit code that is not 0, 124 when \
                  the time is over, 130 when interrupted, 141 when nobody reads what it prints.\n\
                  `status` ends with 3 when a condition is not met, `doctor` when something is wrong.\n\
                  `check-plugin` ends with 3 when a rule is not kept and the daemon copes, with 1 when \
                  something fails or could not be tried, with 130 when interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the CRI to a kubelet
    Serve(ServeArgs),
    /// Run a pod through the daemon as a kubelet would
    RunPod(RunPodArgs),
    /// Show which container is in which job
    Jobs(JobsArgs),
    /// Show how the daemon and the way to interLink are
    Status(QueryArgs),
    /// Check the configuration and print what is in force
    CheckConfig(CheckConfigArgs),
    /// Look at what this node needs, and say what to do about what is wrong
    Doctor(DoctorArgs),
    /// Try a plugin, or an interLink server, and tell which rules of docs/wire.md it keeps
    CheckPlugin(CheckPluginArgs),
    /// Run the local plugin: an interLink server whose containers are processes of this machine
    Plugin(PluginArgs),
    /// Run a kubelet that takes the machine for as large as the cluster behind it
    NodeView(NodeViewArgs),
    #[command(name = node_view::WATCH, hide = true)]
    NodeViewWatch(WatchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// The directory; it is made where it is not there
        directory: PathBuf,
    },
}

#[derive(Args, Debug)]
struct CheckConfigArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the commented sample instead
    #[arg(long)]
    sample: bool,
    /// Print the document about metrics instead
    #[arg(long, hide = true)]
    metrics: bool,
}

#[derive(Args, Debug)]
struct RunPodArgs {
    /// A Pod manifest, YAML or JSON, perhaps with ConfigMaps and Secrets; `-` is standard input
    file: PathBuf,
    /// The daemon's CRI socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Leave the pod as it is at the end
    #[arg(long)]
    keep: bool,
    /// How long the pod may take, such as 90s or 2h [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// The daemon's `pods.kubelet_root`, below which the pod's volumes are prepared
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    kubelet_root: PathBuf,
    /// A token for volumes that ask for one of the pod's service account
    #[arg(long, value_name = "FILE")]
    service_account_token: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct QueryArgs {
    /// The daemon's CRI socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// The same as `--output json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl QueryArgs {
    fn is_json(&self) -> bool {
        self.json || self.output == Output::Json
    }
}

#[derive(Args, Debug)]
struct JobsArgs {
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    choice: jobs::Choice,
    /// Show it again and again, every 2s if not said otherwise, until interrupted
    #[arg(long, value_name = "PAUSE", num_args = 0..=1, default_missing_value = "2s", value_parser = duration::parse)]
    watch: Option<Duration>,
}

#[derive(Args, Debug)]
struct PluginArgs {
    /// Where to listen: unix:///PATH or http://127.0.0.1:PORT
    #[arg(
        long,
        value_name = "URL",
        default_value = "unix:///run/interlink-cri/plugin.sock"
    )]
    listen: plugin::http::ListenAddress,
    /// File with a bearer token that requests must have; needed to listen on TCP as root
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where containers live
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/interlink-cri/plugin"
    )]
    root: PathBuf,
    /// Bytes that are kept of what a container prints; the rest is left out, and its log says so. 0 is no
    /// bound
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    max_output_bytes: u64,
    /// Misbehave, for tests; may be given several times
    #[arg(long, value_name = "SPEC", long_help = plugin::FAULT_HELP)]
    fault: Vec<plugin::Fault>,
    /// off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_filter::parse)]
    log_level: String,
}

/// Exit code of `status` when a condition is not met.
const NOT_HEALTHY: u8 = 3;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // The local plugin starts one of these for each container, so it has to be light.
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|command| command == plugin::shim::SUBCOMMAND)
    {
        return plugin::shim::main(arguments);
    }
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::RunPod(args) => run_pod(args),
        Command::Jobs(args) => jobs(&args),
        Command::Status(args) => status::run(&Client::new(&args.socket), args.is_json())
            .map(|(text, healthy)| {
                show(&text);
                if healthy {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(NOT_HEALTHY)
                }
            })
            .map_err(|error| error.to_string()),
        Command::CheckConfig(args) => check_config(&args),
        Command::Doctor(args) => {
            let (text, code) = doctor::run(&args);
            show(&text);
            Ok(code)
        }
        Command::CheckPlugin(args) => check_plugin::run(&args).map(|(text, code)| {
            show(&text);
            code
        }),
        Command::Plugin(args) => plugin(&args),
        Command::NodeView(args) => node_view::run(&args),
        Command::NodeViewWatch(args) => node_view::watch(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "interlink-cri", &mut script);
            Ok(show(&String::from_utf8_lossy(&script)))
        }
        Command::Man { directory } => man::write(Cli::command(), &directory)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("{}: {error}", directory.display())),
    };
    result.unwrap_or_else(|text| {
        complain(&format!("interlink-cri: {text}"));
        ExitCode::FAILURE
    })
}

/// Prints a line to standard error; nobody need be there to read it.
fn complain(text: &str) {
    let mut out = std::io::stderr();
    let text = match out.is_terminal() {
        true => &for_terminal(text),
        false => text,
    };
    let _ = writeln!(out, "{text}");
}

fn jobs(args: &JobsArgs) -> Result<ExitCode, String> {
    let client = Client::new(&args.query.socket);
    let table = || {
        let text = jobs::run(&client, args.query.is_json(), &args.choice);
        text.map_err(|error| error.to_string())
    };
    let Some(pause) = args.watch else {
        return Ok(show(&table()?));
    };
    let mut found = Ok(table()?);
    loop {
        let mut out = std::io::stdout();
        let text = match (found, out.is_terminal()) {
            // From the upper left corner on, with nothing after it.
            (Ok(text), true) => format!("\x1b[H\x1b[J{}", for_terminal(&text)),
            (Ok(text), false) => text,
            // A daemon that is being restarted comes back.
            (Err(error), _) => {
                complain(&format!("interlink-cri: {error}"));
                String::new()
            }
        };
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            // Nobody reads it any more.
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(pause.max(LEAST_PAUSE));
        found = table();
    }
}

/// The shortest pause of `jobs --watch`: each look is a call for each container.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// Prints to standard output; a reader that has gone is no failure. What others have written into it does
/// nothing to a terminal.
fn show(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let text = match out.is_terminal() {
        true => &for_terminal(text),
        false => text,
    };
    let _ = out.write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn check_config(args: &CheckConfigArgs) -> Result<ExitCode, String> {
    if args.sample {
        return Ok(show(&config::sample()));
    }
    if args.metrics {
        return Ok(show(&metrics::document()));
    }
    let (config, error) = args.config.examine();
    let findings = args.config.check_machine(&config);
    for warning in &findings.warnings {
        complain(&format!("warning: {warning}"));
    }
    let mut faults = Vec::new();
    if let Some(error) = error {
        faults.push(format!("configuration: {error}"));
    } else {
        show(&config::print(&config));
        let settings = crate::convert::Settings::new(&config);
        faults.extend(settings.err().map(|error| chain(&error)));
    }
    faults.extend(findings.faults.iter().map(ToString::to_string));
    if faults.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(faults.join("\n"))
    }
}

fn run_pod(args: RunPodArgs) -> Result<ExitCode, String> {
    let RunPodArgs {
        file,
        socket,
        keep,
        timeout,
        kubelet_root,
        service_account_token,
    } = args;
    let options = run_pod::Options {
        file,
        socket,
        keep,
        timeout,
        kubelet_root,
        service_account_token,
    };
    match run_pod::run(&options) {
        Ok(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        Err(error) => Err(error.to_string()),
    }
}

fn plugin(args: &PluginArgs) -> Result<ExitCode, String> {
    serve::start_logging(&args.log_level);
    threads::end_process_on_panic();
    let config = plugin::PluginConfig {
        listen: args.listen.clone(),
        token_file: args.token_file.clone(),
        root: args.root.clone(),
        shim: plugin::THIS_EXECUTABLE.into(),
        max_output_bytes: args.max_output_bytes,
        faults: args.fault.clone(),
    };
    // On standard output, so that whoever asked for port 0 learns which one it is.
    let ready = |plugin: &plugin::Plugin| {
        show(&format!("{}\n", plugin.address()));
    };
    plugin::run(config, ready)
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
