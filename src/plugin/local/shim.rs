//! The shim: the process that stands between the plugin and one container, and outlives the
//! plugin. It starts the container, reaps what the container leaves behind, records the end,
//! and goes.
//!
//! What it promises:
//! - A container is started once, however often a shim is started for it: the shim holds the
//!   container's lock for as long as it lives, and records the start before it starts.
//! - When the exit record exists and the lock is free, no process of the container does, so its log is complete. The
//!   shim is the subreaper of all that the container spawns; like the end of a PID namespace's
//!   first process, the end of the container's first process ends the others.
//! - A shim that dies without an exit record leaves its lock free: the plugin then knows that
//!   the container is lost.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::{
    fs::FlockOperation,
    process::{Pid, WaitOptions, WaitStatus},
};

use super::{
    container_dir::{CommandRecord, ContainerDir, StartRecord},
    output::Output,
    processes::{self, ProcessId},
    program::{self, StartFailure},
    wakeup,
};
use crate::plugin::pods::{read_record, write_record, ContainerExit};

/// The hidden subcommand under which the plugin starts its own executable as a shim.
pub const SUBCOMMAND: &str = "plugin-shim";

/// How long processes that were killed may take to go, before the end is recorded without them.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(10);

/// The shim as a program; `args` is what follows the subcommand. To be called before anything
/// else is set up: the shim is one thread, and another one for what is printed, and should stay small.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(dir), None) = (args.next(), args.next()) else {
        complain("this is for interlink-cri's own use: it takes a container's directory");
        return ExitCode::from(2);
    };
    match run(&ContainerDir(PathBuf::from(dir))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &ContainerDir) -> io::Result<()> {
    // Away from the plugin's terminal, and parent to all orphans among the descendants.
    let session = rustix::process::setsid();
    if session.is_err_and(|error| error != rustix::io::Errno::PERM) {
        return Err(io::Error::other("cannot begin a session"));
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let Some(lock) = take_lock(&dir.lock())? else {
        return Ok(());
    };
    if read_record::<StartRecord>(&dir.start())?.is_some() {
        return Ok(());
    }
    let record: CommandRecord = read_record(&dir.command())?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no command record"))?;
    let mut start = StartRecord {
        shim: ProcessId::of(std::process::id())?,
        container: None,
        at: Timestamp::now(),
    };
    write_record(&dir.start(), &start)?;

    let exit = match launch(&record, dir) {
        Ok((container, output)) => {
            let watched = watch(&container, &mut start, &record, dir);
            // Also when the watch cannot go on: nobody would learn of their end.
            end_leftovers();
            output.finish();
            let mut exit = exit_of(watched?, start.at);
            // Everything that it left behind is reaped, and counts.
            exit.cpu_millis = processes::cpu_millis_of_reaped();
            exit
        }
        Err(failure) => start_error(failure, start.at),
    };
    write_record(&dir.exit(), &exit)?;
    // Only now is the record believed: a container can write one as well, but not while this lives.
    drop(lock);
    wakeup::send(&record.root, &record.uid);
    Ok(())
}

/// Records that the container runs, and waits for its end.
fn watch(
    container: &Child,
    start: &mut StartRecord,
    record: &CommandRecord,
    dir: &ContainerDir,
) -> io::Result<WaitStatus> {
    start.container = Some(ProcessId::of(container.id())?);
    write_record(&dir.start(), start)?;
    wakeup::send(&record.root, &record.uid);
    wait_for(container)
}

/// Takes the container's lock, unless another shim has it. Not inherited by the container:
/// record locks never are.
fn take_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn launch(record: &CommandRecord, dir: &ContainerDir) -> Result<(Child, Output), StartFailure> {
    let Some((command, args)) = record.command.split_first() else {
        return Err(StartFailure::new(
            program::NOT_STARTED,
            "there is no command",
        ));
    };
    let path = record.env.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or("", |(_, value)| value);
    let cwd = program::working_dir(&record.working_dir, &dir.work())?;
    let program = program::find(command, path, &cwd)?;
    let streams = Output::start(dir, record.max_output).map_err(|error| {
        let text = format!("cannot open the log: {error}");
        StartFailure::new(program::NOT_STARTED, text)
    })?;
    let container = Command::new(&program)
        .arg0(command)
        .args(args)
        .env_clear()
        .envs(record.env.iter().map(|(name, value)| (name, value)))
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(streams.stdout)
        .stderr(streams.stderr)
        .process_group(0)
        .spawn()
        .map_err(|error| StartFailure::from_exec(&program, &error))?;
    Ok((container, streams.output))
}

/// Reaps whoever ends until it is the container.
fn wait_for(container: &Child) -> io::Result<WaitStatus> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if is(pid, container) => return Ok(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is(pid: Pid, child: &Child) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()).is_ok_and(|pid| pid == child.id())
}

/// Kills and reaps what the container left behind; whoever is orphaned by that becomes a child
/// of this process, and its turn comes next.
fn end_leftovers() {
    let end = Instant::now() + LEFTOVER_PATIENCE;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => continue,
            Ok(None) => {}
            Err(_) => return,
        }
        if Instant::now() > end {
            return complain("some processes of the container cannot be killed");
        }
        processes::kill_own_children();
        thread::sleep(Duration::from_millis(5));
    }
}

/// Says something to the shim's log. A log that cannot be written must not end the shim.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{SUBCOMMAND}: {text}");
}

/// What shells add to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;
/// Exit code of a container whose status is neither an exit nor a signal; Linux knows none.
const NO_STATUS: i32 = 255;

fn exit_of(status: WaitStatus, started_at: Timestamp) -> ContainerExit {
    let signal = status.terminating_signal();
    let code = match signal {
        Some(signal) => SIGNALLED + signal,
        None => status.exit_status().unwrap_or(NO_STATUS),
    };
    ContainerExit {
        code,
        signal,
        reason: if code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: signal.map_or_else(String::new, |signal| format!("ended by signal {signal}")),
        started_at,
        finished_at: Timestamp::now(),
        cpu_millis: None,
    }
}

fn start_error(failure: StartFailure, started_at: Timestamp) -> ContainerExit {
    ContainerExit {
        code: failure.code,
        signal: None,
        reason: "StartError".to_owned(),
        message: failure.message,
        started_at,
        finished_at: Timestamp::now(),
        cpu_millis: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_call_is_told_so() {
        for args in [vec![], vec!["a", "b"]] {
            let code = main(args.into_iter().map(OsString::from));
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)));
        }
    }
}
