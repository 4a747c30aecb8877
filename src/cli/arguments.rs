//! The flags that say where the configuration comes from, those of `serve`, and how commands print.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::config::{self, check_machine, Config, Findings, Sources, DEFAULT_FILE};

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Configuration file [default: /etc/interlink-cri/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The CRI socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where state is kept
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The interLink server: http://HOST:PORT, https://HOST:PORT or unix:///PATH
    #[arg(long, value_name = "URL")]
    interlink_url: Option<String>,
    /// off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Run containers as processes of this machine instead of sending them anywhere
    #[arg(long, conflicts_with = "interlink_url")]
    pub embedded_plugin: bool,
}

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

impl ConfigArgs {
    /// The same flags, for another process of this program.
    pub fn to_flags(&self) -> Vec<OsString> {
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let text = |text: &Option<String>| text.clone().map(OsString::from);
        let flags = [
            ("--config", path(&self.config)),
            ("--socket", path(&self.socket)),
            ("--state-dir", path(&self.state_dir)),
            ("--interlink-url", text(&self.interlink_url)),
            ("--log-level", text(&self.log_level)),
        ];
        let given = flags
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        given
            .flat_map(|(name, value)| [name.into(), value])
            .collect()
    }

    /// What is wrong on this machine with what it says, and with the file itself.
    pub fn check_machine(&self, config: &Config) -> Findings {
        let mut findings = check_machine(config);
        let file = self.config.clone().unwrap_or(DEFAULT_FILE.into());
        if file.exists() {
            findings.others_can_change("--config", &file);
        }
        findings
    }

    /// Reads and checks it.
    pub fn load(&self) -> Result<Config, String> {
        config::load(&self.sources()).map_err(|error| format!("configuration: {error}"))
    }

    /// Reads it as far as that can be done, and says what is wrong.
    pub fn examine(&self) -> (Config, Option<config::Error>) {
        config::examine(&self.sources())
    }

    fn sources(&self) -> Sources {
        let text = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("daemon.socket", self.socket.as_ref().map(text)),
            ("daemon.state_dir", self.state_dir.as_ref().map(text)),
            ("daemon.log_level", self.log_level.clone()),
            ("interlink.url", self.interlink_url.clone()),
        ];
        Sources {
            file: self.config.clone(),
            // A variable that is not text cannot be one of ours.
            environment: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            flags: flags
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
        }
    }
}
