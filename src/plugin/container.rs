//! One container as the plugin sees it: a state that is read off the container's directory.
//!
//! ```text
//!            shim started          start.json           exit.json
//!  Waiting ───────────────► Starting ─────────► Running ─────────► Ended
//!     │                        │  shim died       │  shim died        ▲
//!     │                        └──────────────────┴───────────────────┤
//!     └── the shim cannot be started ─────────────────────────────────┘
//! ```
//!
//! The records are the truth and the state is what was last seen of them; so a plugin that was
//! restarted sees what its predecessor would have seen. Nothing leaves `Ended`.

use std::{
    fs::OpenOptions,
    io,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::process::Signal;

use super::{
    pod_dir::{read_record, write_record, ContainerDir, Exit, Start},
    shim,
};

/// How far a container has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// It was not started.
    Waiting,
    /// Its shim is at it. The shim's process id, when it is a child of this process.
    Starting(Option<u32>),
    /// It runs.
    Running(Start),
    /// It has ended, or could not be started.
    Ended(Exit),
}

/// A container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) dir: ContainerDir,
    pub(super) state: State,
    /// It was asked to end.
    pub(super) is_asked: bool,
}

impl Container {
    /// Looks what became of it.
    pub(super) fn look(&mut self, shims: &Shims) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        // The order matters. A shim takes its lock, records the start, records the end, and lets
        // its lock go. So who has recorded a start and then holds no lock has come to its end,
        // and if there is no record of that now, there will be none.
        let start = match &self.state {
            State::Running(start) => Some(start.clone()),
            _ => self.read_start(),
        };
        let is_held = self.dir.shim_pid().is_some();
        match read_record::<Exit>(&self.dir.exit()) {
            Ok(Some(exit)) => return self.state = State::Ended(exit),
            Ok(None) => {}
            Err(error) => return self.fail(137, "Lost", format!("its exit record: {error}")),
        }
        match (start, is_held) {
            (Some(start), true) if start.container.is_some() => self.state = State::Running(start),
            (_, true) => {
                if self.state == State::Waiting {
                    self.state = State::Starting(None);
                }
            }
            (Some(start), false) => self.lose(&start),
            (None, false) => self.check_shim(shims),
        }
    }

    fn read_start(&self) -> Option<Start> {
        read_record(&self.dir.start()).unwrap_or_else(|error| {
            let dir = self.dir.0.display();
            log::error!("cannot read the start record in {dir}: {error}");
            None
        })
    }

    /// The shim died before the container ended. Whatever it left behind goes too: nobody
    /// would learn of its end.
    fn lose(&mut self, start: &Start) {
        if let Some(container) = &start.container {
            container.signal_group(Signal::KILL);
        }
        start.shim.kill_session();
        let text = "the process that watched over the container died, or the machine did";
        self.end(Exit {
            code: 137,
            signal: None,
            reason: "Lost".to_owned(),
            message: text.to_owned(),
            started_at: start.at,
            finished_at: Timestamp::now(),
        });
    }

    /// There is no record and no lock: either the shim has not come that far, or it never will.
    fn check_shim(&mut self, shims: &Shims) {
        let State::Starting(shim) = self.state else {
            return;
        };
        if shim.is_some_and(|pid| shims.is_running(pid)) {
            return;
        }
        // It may have written something between the look at the records and its end.
        let wrote = self.dir.start().exists() || self.dir.exit().exists();
        if !wrote {
            let said = std::fs::read_to_string(self.dir.shim_log()).unwrap_or_default();
            let text = format!("its shim gave up: {}", said.trim());
            self.fail(128, "StartError", text);
        }
    }

    /// Starts its shim.
    pub(super) fn start(&mut self, shim: &PathBuf, shims: &Shims) {
        match self.spawn(shim) {
            Ok(child) => {
                self.state = State::Starting(Some(child.id()));
                shims.add(child);
            }
            Err(error) => {
                let text = format!("cannot start {} as its shim: {error}", shim.display());
                self.fail(128, "StartError", text);
            }
        }
    }

    fn spawn(&self, shim: &PathBuf) -> io::Result<Child> {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.dir.shim_log())?;
        Command::new(shim)
            // In a list of processes this is what people read.
            .arg0("interlink-cri")
            .arg(shim::SUBCOMMAND)
            .arg(&self.dir.0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    /// Asks it to end, once.
    pub(super) fn ask_to_end(&mut self) {
        if let (State::Running(start), false) = (&self.state, self.is_asked) {
            if let Some(container) = &start.container {
                container.signal_group(Signal::TERM);
                self.is_asked = true;
            }
        }
    }

    /// Ends it. The shim sees to the rest, unless it is `late`: then it is ended as well, with
    /// everything in its session.
    pub(super) fn kill(&mut self, late: bool) {
        match &self.state {
            State::Running(start) => {
                if let Some(container) = &start.container {
                    container.signal_group(Signal::KILL);
                }
                if late {
                    start.shim.kill_session();
                }
            }
            State::Starting(_) if late => {
                if let Some(start) = self.read_start() {
                    start.shim.kill_session();
                }
            }
            State::Starting(_) | State::Waiting | State::Ended(_) => {}
        }
    }

    fn fail(&mut self, code: i32, reason: &str, message: String) {
        let now = Timestamp::now();
        self.end(Exit {
            code,
            signal: None,
            reason: reason.to_owned(),
            message,
            started_at: now,
            finished_at: now,
        });
    }

    /// Records an end that no shim records.
    fn end(&mut self, exit: Exit) {
        if let Err(error) = write_record(&self.dir.exit(), &exit) {
            // It is remembered for as long as this plugin runs; the next one finds out again.
            let dir = self.dir.0.display();
            log::error!("cannot write the exit record in {dir}: {error}");
        }
        self.state = State::Ended(exit);
    }
}

/// The shims that are children of this process: whoever starts a process has to reap it.
#[derive(Debug, Default)]
pub(super) struct Shims(Mutex<Vec<Child>>);

impl Shims {
    fn add(&self, shim: Child) {
        self.0.lock().push(shim);
    }

    /// Reaps those that have ended; gives how many run on.
    pub(super) fn reap(&self) -> usize {
        let mut shims = self.0.lock();
        shims.retain_mut(|shim| matches!(shim.try_wait(), Ok(None)));
        shims.len()
    }

    fn is_running(&self, pid: u32) -> bool {
        let mut shims = self.0.lock();
        let shim = shims.iter_mut().find(|shim| shim.id() == pid);
        shim.is_some_and(|shim| matches!(shim.try_wait(), Ok(None)))
    }
}
