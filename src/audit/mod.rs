//! One line for each submission and cancellation: whose job it was, and what became of it.
//!
//! Lines are JSON, in a file of their own (`audit.file`) or in the daemon's log. They hold names, ids and
//! flags for the batch system, and neither environment nor contents of volumes. A line that cannot be
//! written is an error in the log, and is counted (`audit_errors` of the verbose `Status`); jobs go on,
//! because a full disk must not stop them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use serde::Serialize;

use crate::{
    config::Config,
    net::Stamp,
    telemetry::{Counter, Counters, Limited},
};

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was posted.
    Submission,
    /// It was told to end, or what was left of it was removed.
    Cancellation,
}

/// How that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The plugin took the job.
    Accepted,
    /// It was refused for good, by the plugin or before it was sent.
    Refused,
    /// It is not known whether the plugin took it; another line follows when it is.
    InDoubt,
    /// The plugin ended the job.
    Cancelled,
    /// The job had ended before.
    CleanedUp,
    /// The plugin does not know the job any more.
    Gone,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// What happened.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID here.
    #[serde(rename = "podUID")]
    pub pod_uid: &'a str,
    /// The pod's service account, where it is known.
    pub service_account: Option<&'a str>,
    /// The user that was asked for; none leaves it to the plugin.
    pub uid: Option<i64>,
    /// The group that was asked for.
    pub gid: Option<i64>,
    /// The UID that the plugin knows the job by.
    #[serde(rename = "jobUID")]
    pub job_uid: String,
    /// The plugin's own id of the job, once it is known.
    pub remote_id: Option<&'a str>,
    /// Flags for the batch system.
    pub flags: Option<String>,
}

/// Where lines go.
pub struct Audit {
    file: Option<(PathBuf, Mutex<Open>)>,
    counters: Arc<Counters>,
    trouble: Limited,
}

/// The file, if it is open.
#[derive(Default)]
struct Open {
    file: Option<File>,
    /// A line was cut short; the next one begins on a line of its own.
    is_torn: bool,
}

impl Audit {
    /// The file of the configuration, or the log. Nothing is opened before the first line.
    pub fn new(config: &Config, counters: Arc<Counters>) -> Self {
        let file = config.audit.file.clone();
        Self {
            file: file.map(|path| (path, Mutex::default())),
            counters,
            trouble: Limited::new(Duration::from_secs(60)),
        }
    }

    /// Writes a line.
    pub fn write(&self, line: &Line<'_>) {
        let written = serde_json::to_string(line).map_err(io::Error::from);
        let written = written.and_then(|text| match &self.file {
            None => {
                log::info!("audit: {text}");
                Ok(())
            }
            Some((path, open)) => open.lock().append(path, &text),
        });
        let Err(error) = written else { return };
        self.counters.count(Counter::AuditErrors);
        let path = self.file.iter().map(|(path, _)| path.display().to_string());
        let path: String = path.collect();
        self.trouble.print(|held_back| {
            log::error!(
                error:%, held_back;
                "audit.file {path}: a line is not written, and jobs go on without"
            );
        });
    }

    /// Opens the file again with the next line.
    pub fn reopen(&self) {
        if let Some((_, open)) = &self.file {
            *open.lock() = Open::default();
        }
    }
}

impl Open {
    fn append(&mut self, path: &Path, text: &str) -> io::Result<()> {
        // Renamed by whoever rotates it.
        let is_same = |file: &File| {
            let (here, there) = (file.metadata()?, std::fs::symlink_metadata(path)?);
            io::Result::Ok(Stamp::of(&here).is_same_file(&Stamp::of(&there)))
        };
        self.file = self
            .file
            .take()
            .filter(|file| is_same(file).unwrap_or(false));
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                self.is_torn = false;
                closed.insert(open(path)?)
            }
        };
        let begin = if self.is_torn { "\n" } else { "" };
        // One write for each line, so that lines of two processes do not mix.
        let written = file.write_all(format!("{begin}{text}\n").as_bytes());
        self.is_torn = written.is_err();
        written
    }
}

/// Whoever may put a symlink or a pipe there must not be able to lead lines elsewhere, or to hold us up.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
    }
}

#[cfg(test)]
mod tests;
