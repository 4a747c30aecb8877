//! One container as the local backend sees it: a state that is read off the container's directory.
//!
//! ```text
//!              shim started          start.json           exit.json
//!  NotStarted ───────────────► Starting ─────────► Running ─────────► Ended
//!     │                           │  shim died       │  shim died        ▲
//!     │                           └──────────────────┴───────────────────┤
//!     └── the shim cannot be started ────────────────────────────────────┘
//! ```
//!
//! The records are the truth and the state is what was last seen of them; so a plugin that was
//! restarted sees what its predecessor would have seen. Nothing leaves `Ended`.

use std::io::Read as _;

use jiff::Timestamp;
use rustix::process::Signal;

use super::{
    container_dir::{ContainerDir, StartRecord},
    processes::{self, ProcessId},
    program::NOT_STARTED,
    shim,
    shims::Shims,
};
use crate::plugin::pods::{open_file, read_record, write_record, ContainerExit};

/// Exit code of a container whose end nobody saw: it is killed, so that of a killed one.
const LOST: i32 = 137;
/// How much of what a shim has said is shown, in bytes.
const MAX_LAST_WORDS: u64 = 4096;

/// How far a container has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RunState {
    /// Nobody has started its shim.
    NotStarted,
    /// Its shim was started. The shim's process id, when it is a child of this process.
    Starting(Option<u32>),
    /// It runs.
    Running(StartRecord),
    /// It has ended, or could not be started.
    Ended(ContainerExit),
}

/// A container of a pod.
#[derive(Debug)]
pub(super) struct LocalContainer {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) dir: ContainerDir,
    pub(super) state: RunState,
    /// Whether this plugin has sent it a TERM.
    pub(super) is_term_sent: bool,
}

impl LocalContainer {
    /// Reads the container's state off its directory.
    pub(super) fn update(&mut self, shims: &Shims) {
        if matches!(self.state, RunState::Ended(_)) {
            return;
        }
        // The order matters. A shim takes its lock, records the start, records the end, and releases
        // its lock. So a shim that has recorded the start and holds no lock has ended, and if it has
        // not recorded the container's end by now, nobody will.
        let start = match &self.state {
            RunState::Running(start) => Some(start.clone()),
            _ => self.read_start(),
        };
        let is_held = self.dir.shim_pid().is_some();
        match read_record::<ContainerExit>(&self.dir.exit()) {
            Ok(Some(exit)) if !is_held => return self.state = RunState::Ended(exit),
            // The shim is about to end; or it is not its record, for a container can write there.
            Ok(_) => {}
            Err(_) if is_held => {}
            Err(error) => return self.fail(LOST, "Lost", format!("its exit record: {error}")),
        }
        match (start, is_held) {
            (Some(start), true) if start.container.is_some() => {
                self.state = RunState::Running(start)
            }
            (_, true) => {
                if self.state == RunState::NotStarted {
                    self.state = RunState::Starting(None);
                }
            }
            (Some(start), false) => self.lose(&start),
            (None, false) => self.check_shim(shims),
        }
    }

    fn read_start(&self) -> Option<StartRecord> {
        read_record(&self.dir.start()).unwrap_or_else(|error| {
            let dir = self.dir.0.display();
            log::error!(
                "cannot read the start record in {dir}: {error}; the container is reported as \
                 starting until its shim records its end"
            );
            None
        })
    }

    /// The shim died before the container ended. Whatever it left behind goes too: nobody
    /// would learn of its end.
    fn lose(&mut self, start: &StartRecord) {
        if let Some(container) = &start.container {
            container.signal_group(Signal::KILL);
        }
        start.shim.kill_session();
        let text = "the process that watched over the container died, or the machine did";
        self.end(ContainerExit {
            code: LOST,
            signal: None,
            reason: "Lost".to_owned(),
            message: text.to_owned(),
            started_at: start.at,
            finished_at: Timestamp::now(),
            cpu_millis: None,
        });
    }

    /// There is no record and no lock: either the shim has not come that far, or it never will.
    fn check_shim(&mut self, shims: &Shims) {
        let RunState::Starting(shim) = self.state else {
            return;
        };
        if shim.is_some_and(|pid| shims.is_running(pid)) {
            return;
        }
        // It may have written something between the look at the records and its end.
        let wrote = self.dir.start().exists() || self.dir.exit().exists();
        if !wrote {
            let mut said = Vec::new();
            // Without a word of it the end says as much.
            let _ = open_file(&self.dir.shim_log())
                .and_then(|file| file.take(MAX_LAST_WORDS).read_to_end(&mut said));
            let said = String::from_utf8_lossy(&said);
            let text = format!("its shim gave up: {}", said.trim());
            self.fail(NOT_STARTED, "StartError", text);
        }
    }

    /// Starts the container's shim, which starts the container.
    pub(super) fn start(&mut self, shims: &Shims) {
        match shims.start(&self.dir) {
            Ok(pid) => self.state = RunState::Starting(Some(pid)),
            Err(error) => self.fail(NOT_STARTED, "StartError", error.to_string()),
        }
    }

    /// Asks it to end, once.
    pub(super) fn ask_to_end(&mut self) {
        if let (RunState::Running(start), false) = (&self.state, self.is_term_sent) {
            if let Some(container) = &start.container {
                container.signal_group(Signal::TERM);
                self.is_term_sent = true;
            }
        }
    }

    /// Kills it. Its shim then kills what the container left behind and records the end. With
    /// `and_shim` the shim has had its time: it is killed as well, with everything in its session.
    pub(super) fn kill(&mut self, and_shim: bool) {
        match &self.state {
            RunState::Running(start) => {
                if let Some(container) = &start.container {
                    container.signal_group(Signal::KILL);
                }
                if and_shim {
                    start.shim.kill_session();
                }
            }
            RunState::Starting(_) if and_shim => {
                if let Some(start) = self.read_start() {
                    start.shim.kill_session();
                }
            }
            RunState::Starting(_) | RunState::NotStarted | RunState::Ended(_) => {}
        }
    }

    /// Ends whatever is left of a container that counts as ended, or was never started: records can be a
    /// container's own, a shim is what it is. True if somebody was there.
    pub(super) fn end_rest(&self) -> bool {
        let mut left = processes::started_as(shim::SUBCOMMAND, &self.dir.0);
        left.extend(self.dir.shim_pid().and_then(ProcessId::found));
        if let Ok(Some(start)) = read_record::<StartRecord>(&self.dir.start()) {
            left.extend(start.shim.leads_a_session().then_some(start.shim));
        }
        left.retain(|process| !process.is_this_one());
        left.iter().for_each(ProcessId::kill_session);
        !left.is_empty()
    }

    fn fail(&mut self, code: i32, reason: &str, message: String) {
        let now = Timestamp::now();
        self.end(ContainerExit {
            code,
            signal: None,
            reason: reason.to_owned(),
            message,
            started_at: now,
            finished_at: now,
            cpu_millis: None,
        });
    }

    /// Records an end that no shim will record.
    fn end(&mut self, exit: ContainerExit) {
        if let Err(error) = write_record(&self.dir.exit(), &exit) {
            let dir = self.dir.0.display();
            log::error!(
                "cannot write the exit record in {dir}: {error}; this plugin remembers the end, and \
                 the next one will find it out again"
            );
        }
        self.state = RunState::Ended(exit);
    }
}
