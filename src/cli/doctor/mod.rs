//! `doctor`: looks at what a node needs, the daemon's own and what is around it, and says what to do
//! about each thing that is wrong.

mod checks;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use self::checks::{Finding, Verdict};
use super::arguments::{ConfigArgs, Output};

/// Exit code when something is wrong.
const WRONG: u8 = 3;

/// What `interlink-cri doctor` takes.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The kubelet's configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/lib/kubelet/config.yaml"
    )]
    kubelet_config: PathBuf,
    /// The kubelet, which is asked for its version
    #[arg(long, value_name = "PROGRAM", default_value = "kubelet")]
    kubelet: PathBuf,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Looks at everything. The exit code is 3 where something is wrong; warnings do not count.
pub fn run(args: &DoctorArgs) -> (String, ExitCode) {
    let (config, error) = args.config.examine();
    let mut findings = checks::configuration(&config, error);
    findings.push(checks::daemon(&config));
    findings.push(checks::kubelet_configuration(
        &args.kubelet_config,
        &config.daemon.socket,
    ));
    let minor = checks::kubelet_minor(&args.kubelet);
    findings.push(checks::kubelet_version(minor));
    findings.push(checks::cgroups(minor));
    findings.push(checks::api_server(&config));
    findings.push(checks::interlink(&config));
    findings.push(checks::clock());
    findings.push(checks::disk(&config.daemon.state_dir));
    findings.extend(checks::shared_paths(&config.pods.shared_paths));
    let text = match args.output {
        Output::Table => table(&findings),
        Output::Json => format!("{:#}\n", as_json(&findings)),
    };
    let is_wrong = findings.iter().any(|one| one.verdict == Verdict::Wrong);
    let code = if is_wrong {
        ExitCode::from(WRONG)
    } else {
        ExitCode::SUCCESS
    };
    (text, code)
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (verdict, what) = (finding.verdict.word(), finding.what);
        text.push_str(&format!("{verdict:9} {what:14} {}\n", finding.seen));
        if !finding.advice.is_empty() {
            text.push_str(&format!("{:24} -> {}\n", "", finding.advice));
        }
    }
    text
}

fn as_json(findings: &[Finding]) -> serde_json::Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "check": finding.what,
            "verdict": finding.verdict.word(),
            "seen": finding.seen,
            "advice": finding.advice,
        })
    });
    json!({ "findings": findings.collect::<Vec<_>>() })
}
