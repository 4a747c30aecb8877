//! Processes as /proc shows them, and signals that reach the right ones.

use std::{collections::HashSet, fs, io, os::unix::ffi::OsStrExt as _, path::Path};

use rustix::process::{kill_process, kill_process_group, Pid, Signal};
use serde::{Deserialize, Serialize};

/// One process for all time: numbers are given again, but not within one clock tick, and the
/// boot tells ticks of different boots apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// Clock ticks between boot and the process's start.
    start_ticks: u64,
    /// The kernel's id of the boot.
    boot: String,
}

impl ProcessId {
    /// The process that has this number now.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let no_process = || io::Error::new(io::ErrorKind::NotFound, format!("no process {pid}"));
        let pid = i32::try_from(pid).map_err(|_| no_process())?;
        let stat = Stat::read(pid).ok_or_else(no_process)?;
        Ok(Self {
            pid,
            start_ticks: stat.start_ticks,
            boot: boot_id()?,
        })
    }

    /// What /proc says of it, if it still exists, be it as a zombie.
    fn stat(&self) -> Option<Stat> {
        let stat = Stat::read(self.pid)?;
        let same = stat.start_ticks == self.start_ticks && self.is_of_this_boot();
        same.then_some(stat)
    }

    fn is_of_this_boot(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// The process that has this number now, if there is one.
    pub(super) fn found(pid: i32) -> Option<Self> {
        Self::of(u32::try_from(pid).ok()?).ok()
    }

    pub(super) fn is_this_one(&self) -> bool {
        u32::try_from(self.pid).is_ok_and(|pid| pid == std::process::id())
    }

    /// Whether there are processes in the session that it leads or led, zombies apart.
    pub(super) fn leads_a_session(&self) -> bool {
        let is_reused = || Stat::read(self.pid).is_some() && self.stat().is_none();
        let mut others = all().into_iter();
        self.is_of_this_boot()
            && !is_reused()
            && others.any(|stat| stat.session == self.pid && !stat.is_zombie)
    }

    /// Sends a signal to its process group, if it exists and leads one.
    pub(super) fn signal_group(&self, signal: Signal) {
        if self.stat().is_some_and(|stat| stat.group == self.pid) {
            if let Some(pid) = Pid::from_raw(self.pid) {
                report(self.pid, kill_process_group(pid, signal));
            }
        }
    }

    /// Kills every process of the session that it leads or led, itself last, and every process
    /// that descends from it.
    pub(super) fn kill_session(&self) {
        if !self.is_of_this_boot() {
            return;
        }
        // A session keeps its leader's number from being given again; so whoever has the number
        // but not the start time shows that the session is gone.
        let reused = Stat::read(self.pid).is_some() && self.stat().is_none();
        if reused {
            return;
        }
        let all = all();
        let mut doomed = HashSet::from([self.pid]);
        // Descendants as well, wherever they have moved: a few rounds find all.
        loop {
            let before = doomed.len();
            let is_of_it = |stat: &&Stat| stat.session == self.pid || doomed.contains(&stat.parent);
            let found: Vec<_> = all.iter().filter(is_of_it).map(|stat| stat.pid).collect();
            doomed.extend(found);
            if doomed.len() == before {
                break;
            }
        }
        doomed.remove(&self.pid);
        doomed.into_iter().for_each(kill);
        if self.stat().is_some() {
            kill(self.pid);
        }
    }
}

/// The processes that were started as `PROGRAM SUBCOMMAND DIR`, as a container's shim is: a container can change records, not that.
pub(super) fn started_as(subcommand: &str, dir: &Path) -> Vec<ProcessId> {
    let is_one = |stat: &Stat| {
        let line = fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        arguments.next() == Some(subcommand.as_bytes())
            && arguments.next() == Some(dir.as_os_str().as_bytes())
    };
    let shims = all().into_iter().filter(is_one);
    shims
        .filter_map(|stat| ProcessId::found(stat.pid))
        .collect()
}

/// Kills every child of this process; gives how many there were.
pub(super) fn kill_own_children() -> usize {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // Zombies are children that wait to be reaped; a signal to them is harmless.
    all()
        .into_iter()
        .filter(|stat| stat.parent == own)
        .map(|stat| kill(stat.pid))
        .count()
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        report(pid.as_raw_nonzero().get(), kill_process(pid, Signal::KILL));
    }
}

fn report(pid: i32, sent: rustix::io::Result<()>) {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => log::warn!("cannot signal process {pid}: {error}"),
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// CPU time of the children of this process that have ended and were reaped, with what they had reaped
/// themselves, in milliseconds.
pub(super) fn cpu_millis_of_reaped() -> Option<u64> {
    reaped_cpu_millis(&fs::read("/proc/self/stat").ok()?)
}

/// `cutime` and `cstime` of a line of /proc/PID/stat.
fn reaped_cpu_millis(line: &[u8]) -> Option<u64> {
    /// A tick is 1/100 s on every architecture that this is built for (`USER_HZ`, time(7)).
    const MILLIS_OF_A_TICK: u64 = 10;
    let line = String::from_utf8_lossy(line);
    let (_, tail) = line.rsplit_once(')')?;
    // Fields 16 and 17 of proc_pid_stat(5), of which the state is the third.
    let mut fields = tail.split_ascii_whitespace().skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)?.checked_mul(MILLIS_OF_A_TICK)
}

/// The fields of /proc/PID/stat (proc(5)) that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: i32,
    is_zombie: bool,
    parent: i32,
    group: i32,
    session: i32,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // `pid (name) state ppid pgrp session ... starttime(22)`: the name may hold anything,
        // closing brackets and spaces included, so count from the last bracket.
        let line = String::from_utf8_lossy(line);
        let (head, tail) = line.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            pid: head.split(' ').next()?.parse().ok()?,
            is_zombie: field(3)? == "Z",
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::{CommandExt as _, ExitStatusExt as _},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn stat_lines() {
        let tail = "S 3 4 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 1 2";
        let want = Stat {
            pid: 12,
            is_zombie: false,
            parent: 3,
            group: 4,
            session: 5,
            start_ticks: 777,
        };
        for name in ["sh", "a b", ") S 9 9 (", "\u{fffd}"] {
            let line = format!("12 ({name}) {tail}");
            assert_eq!(Stat::parse(line.as_bytes()), Some(want), "{name}");
        }
        for line in ["", "12", "12 (sh) S 3 4", "x (sh) S 3 4 5"] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_the_dead_have_used() {
        let line = b"12 (a ) b) S 3 4 5 0 -1 0 0 0 0 0 7 8 21 4 20 0 1 0 777 1 2";
        assert_eq!(reaped_cpu_millis(line), Some(250));
        for line in [
            &b"12 (sh) S 3 4"[..],
            b"",
            b"12 (sh) S 3 4 5 0 -1 0 0 0 0 0 7 8 x 4 20",
        ] {
            assert_eq!(reaped_cpu_millis(line), None);
        }
    }

    #[test]
    fn a_number_given_again_is_another_process() {
        let own = ProcessId::of(std::process::id()).unwrap();
        assert!(own.stat().is_some());
        let earlier = ProcessId {
            start_ticks: own.start_ticks + 1,
            ..own.clone()
        };
        let other_boot = ProcessId {
            boot: "x".to_owned(),
            ..own
        };
        assert!(earlier.stat().is_none() && other_boot.stat().is_none());
        // Were they taken for this process, the test would not survive these.
        for id in [earlier, other_boot] {
            id.signal_group(Signal::KILL);
            id.kill_session();
        }
        assert!(ProcessId::of(u32::MAX).is_err());
    }

    #[test]
    fn a_group_gets_its_signal() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        id.signal_group(Signal::TERM);
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert!(id.stat().is_none());
    }
}
