//! `check-plugin`: what a plugin, or an interLink server with its plugin, does of what docs/wire.md asks
//! for.

mod observed;
mod probe;
mod rules;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use self::{
    observed::{Heard, Observed},
    probe::{Pod, Probe},
    rules::{Verdict, RULES},
};
use super::arguments::{ConfigArgs, Output};
use crate::{
    config::{
        duration,
        schema::{InterLink, Plugin},
    },
    interlink::{self, Client},
    profile::recognise,
    telemetry::chain,
    threads::Threads,
};

/// How long a call may take here at most: whoever runs this is waiting.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked whether somebody wants this to end.
const LOOK: Duration = Duration::from_millis(100);
/// Exit code when rules are not kept, and the daemon copes.
const DEVIATES: u8 = 3;
/// Exit code after an interrupt (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// What `interlink-cri check-plugin` takes.
#[derive(Args, Debug)]
pub struct CheckPluginArgs {
    /// An interLink server or a plugin: http://HOST:PORT, https://HOST:PORT or unix:///PATH [default:
    /// that of the configuration]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// File with a bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the authorities to trust
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_cert_file: Option<PathBuf>,
    /// PEM file with the client certificate's key
    #[arg(long, value_name = "FILE", requires = "client_cert_file")]
    client_key_file: Option<PathBuf>,
    /// Which plugin it is, as `interlink.plugin` has it: what it takes for a submission
    #[arg(long, value_name = "NAME", value_parser = plugin)]
    profile: Option<Plugin>,
    /// How long the job may take
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    timeout: Duration,
    /// The image of the pod that is tried; it needs a /bin/sh
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "docker.io/library/busybox:latest"
    )]
    image: String,
    /// The namespace of the pod that is tried
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn plugin(name: &str) -> Result<Plugin, String> {
    let names = Plugin::ALL.map(Plugin::name).join(", ");
    Plugin::named(name).ok_or_else(|| format!("must be one of {names}"))
}

/// Tries it and shows what came of it.
///
/// # Errors
/// A configuration that cannot be used.
pub fn run(args: &CheckPluginArgs) -> Result<(String, ExitCode), String> {
    let settings = settings(args)?;
    let url = settings.url.clone().unwrap_or_default();
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone())
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    let (client, direct) = connect(&settings)?;
    // Calls under way are cut off; what was created is deleted by a client of its own.
    let last = client_of(&settings, direct)?;
    let client = Arc::new(client);
    let (watched, flag) = (client.clone(), interrupted.clone());
    let threads = Threads::default();
    let stopped = threads.stopped();
    let watch = move || {
        while !flag.load(Ordering::SeqCst) {
            match stopped.recv_timeout(LOOK) {
                Err(error) if error.is_timeout() => {}
                _ => return,
            }
        }
        watched.shut_down();
    };
    threads
        .run("check-signals", watch)
        .map_err(|error| format!("a thread cannot be started: {error}"))?;
    let mut probe = Probe {
        client: &client,
        direct,
        image: &args.image,
        namespace: &args.namespace,
        deadline: Instant::now() + args.timeout,
        interrupted: &interrupted,
    };
    let (mut pod, mut seen) = (Pod::new(), Observed::default());
    probe.run(&mut pod, &mut seen);
    let is_interrupted = interrupted.load(Ordering::SeqCst);
    probe.client = &last;
    probe.clean_up(&pod, &mut seen);
    threads.begin_stop();
    let report = Report::new(url, direct, args.profile, &seen);
    let text = match args.output {
        Output::Table => report.table(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    let code = match is_interrupted {
        true => ExitCode::from(INTERRUPTED),
        false => report.exit_code(),
    };
    Ok((text, code))
}

fn settings(args: &CheckPluginArgs) -> Result<InterLink, String> {
    let mut settings = args.config.load()?.interlink;
    let given = [
        (&args.token_file, &mut settings.token_file),
        (&args.ca_file, &mut settings.ca_file),
        (&args.client_cert_file, &mut settings.client_cert_file),
        (&args.client_key_file, &mut settings.client_key_file),
    ];
    for (flag, setting) in given {
        if flag.is_some() {
            setting.clone_from(flag);
        }
    }
    if args.url.is_some() {
        settings.url.clone_from(&args.url);
    }
    if settings.url.is_none() {
        return Err("which plugin? give a URL, or set interlink.url".to_owned());
    }
    settings.plugin = args.profile.unwrap_or(settings.plugin);
    settings.request_timeout = settings.request_timeout.min(CALL_LIMIT);
    settings.create_timeout = settings.create_timeout.min(args.timeout);
    Ok(settings)
}

fn client_of(settings: &InterLink, direct: bool) -> Result<Client, String> {
    let settings = InterLink {
        direct,
        ..settings.clone()
    };
    Client::new(&settings).map_err(|error| chain(&error))
}

/// A client, and whether it speaks to a plugin without an interLink server between: only a server has
/// /pinglink.
pub(super) fn connect(settings: &InterLink) -> Result<(Client, bool), String> {
    let client = client_of(settings, settings.direct)?;
    if settings.direct {
        return Ok((client, true));
    }
    match client.ping() {
        Err(interlink::Error::Status {
            status: 404 | 405, ..
        }) => {
            let plugin = client_of(settings, true)?;
            match plugin.ping() {
                Ok(_) => Ok((plugin, true)),
                Err(_) => Ok((client, false)),
            }
        }
        _ => Ok((client, false)),
    }
}

/// What came of it.
struct Report {
    url: String,
    direct: bool,
    findings: Vec<Finding>,
    fits: Plugin,
    because: String,
}

struct Finding {
    id: &'static str,
    title: &'static str,
    verdict: Verdict,
}

impl Report {
    fn new(url: String, direct: bool, given: Option<Plugin>, seen: &Observed) -> Self {
        let findings = RULES.iter().map(|rule| Finding {
            id: rule.id,
            title: rule.title,
            verdict: (rule.verdict)(seen),
        });
        let (fits, because) = match given {
            Some(plugin) => (plugin, "it was given".to_owned()),
            None => fitting(seen),
        };
        Self {
            url,
            direct,
            findings: findings.collect(),
            fits,
            because,
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let (word, says) = words(&finding.verdict);
            let (id, title) = (finding.id, finding.title);
            text.push_str(&format!("{id:<4} {word:<9} {title}\n"));
            if !says.is_empty() {
                text.push_str(&format!("               {says}\n"));
            }
        }
        let what = match self.direct {
            true => "a plugin, without an interLink server before it (interlink.direct)",
            false => "an interLink server, or what speaks as one",
        };
        let [kept, deviates, fails, left] = self.counts();
        text.push_str(&format!(
            "\n{} is {what}.\n{kept} kept, {deviates} deviate, {fails} fail, {left} not tried.\n\
             interlink.plugin = \"{}\" fits: {}.\n",
            self.url, self.fits, self.because
        ));
        text
    }

    fn json(&self) -> serde_json::Value {
        let rules = self.findings.iter().map(|finding| {
            let (word, says) = words(&finding.verdict);
            json!({
                "id": finding.id, "title": finding.title, "verdict": word, "says": says,
            })
        });
        let [kept, deviates, fails, left] = self.counts();
        json!({
            "url": self.url,
            "direct": self.direct,
            "plugin": self.fits.name(),
            "because": self.because,
            "rules": rules.collect::<Vec<_>>(),
            "ok": kept, "deviates": deviates, "fails": fails, "notTried": left,
        })
    }

    /// How many are kept, deviate, fail, and were not tried.
    fn counts(&self) -> [usize; 4] {
        ["ok", "deviates", "fails", "not tried"].map(|word| {
            let verdicts = self
                .findings
                .iter()
                .map(|finding| words(&finding.verdict).0);
            verdicts.filter(|verdict| *verdict == word).count()
        })
    }

    fn exit_code(&self) -> ExitCode {
        match self.counts() {
            [_, 0, 0, 0] => ExitCode::SUCCESS,
            [_, _, 0, 0] => ExitCode::from(DEVIATES),
            _ => ExitCode::FAILURE,
        }
    }
}

fn words(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Ok => ("ok", ""),
        Verdict::Deviates(says) => ("deviates", says),
        Verdict::Fails(says) => ("fails", says),
        Verdict::NotTried(says) => ("not tried", says),
    }
}

/// The profile that fits, and why.
fn fitting(seen: &Observed) -> (Plugin, String) {
    let ping = match &seen.ping {
        Some(Heard::Answer(_, text)) => text.as_str(),
        _ => "",
    };
    let job_id = seen.job_id.as_ref().map_or("", |(id, _)| id.as_str());
    let found = recognise::by_ping(ping).or(seen.form_of);
    let found = found.or_else(|| recognise::by_job_id(job_id));
    match found {
        Some(found) => (found.plugin, format!("it is recognised by {}", found.by)),
        None => (
            Plugin::Auto,
            "it is none of those that are known by name".to_owned(),
        ),
    }
}
