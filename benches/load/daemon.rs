//! The daemon that is measured, and what the kernel says of its process.

use std::{
    env, fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::calls::Connection;

/// What a second has in `/proc/PID/stat`: `USER_HZ`, the same on all architectures that are built for.
const TICKS: f64 = 100.0;

/// Where the daemon of a directory listens.
pub fn socket(directory: &Path) -> String {
    directory.join("cri.sock").display().to_string()
}

/// What the daemon of a directory keeps on disk.
pub fn state_kb(directory: &Path) -> u64 {
    let files = fs::read_dir(directory.join("state")).expect("the state directory");
    let sizes = files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len());
    sizes.sum::<u64>() / 1024
}

/// A running daemon; it ends with this.
pub struct Daemon {
    child: Child,
    /// How long it took until it answered for the first time.
    pub start: Duration,
}

impl Daemon {
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// With more flags.
    pub fn start_with(directory: &Path, flags: &[&str]) -> Self {
        let begun = Instant::now();
        let other = env::var_os("BENCH_DAEMON");
        let own = env!("CARGO_BIN_EXE_interlink-cri");
        let child = Command::new(other.unwrap_or_else(|| own.into()))
            .args(["serve", "--log-level", "error", "--socket"])
            .arg(directory.join("cri.sock"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .args(flags)
            // As its systemd unit has it.
            .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the daemon starts");
        // gRPC's own wait for a server backs off; the socket is there when it can be connected to.
        while UnixStream::connect(directory.join("cri.sock")).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        Connection::open(&socket(directory));
        Self {
            child,
            start: begun.elapsed(),
        }
    }

    pub fn kill(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process, as /proc tells of it.
pub struct Process(u32);

impl Process {
    /// The one that listens on a socket.
    pub fn behind(socket: &str) -> Self {
        let stream = UnixStream::connect(socket).expect("the socket");
        let peer = rustix::net::sockopt::socket_peercred(&stream).expect("the peer");
        Self(peer.pid.as_raw_nonzero().get() as u32)
    }

    fn status(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("status");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = value.expect("a line").trim().trim_end_matches(" kB");
        value.parse().expect("a number")
    }

    pub fn resident_kb(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that it was since the start.
    pub fn most_resident_kb(&self) -> u64 {
        self.status("VmHWM")
    }

    /// The resident memory, and what of it is no file's: the rest is the program, as far as it was read.
    pub fn resident(&self) -> String {
        let (resident, anonymous) = (self.resident_kb(), self.status("RssAnon"));
        format!("{resident} kB, of it anonymous {anonymous} kB")
    }

    pub fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// How long it has run on all cores together, its threads that have ended included.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("stat");
        // Behind the name, which may contain anything: utime and stime are the 14th and 15th of all.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_secs_f64(ticks as f64 / TICKS)
    }

    /// The resident memory once it has not become smaller for longer than the daemon waits before it gives
    /// memory back.
    pub fn settled_kb(&self) -> u64 {
        let (mut least, mut since) = (self.resident_kb(), Instant::now());
        while since.elapsed() < Duration::from_secs(12) {
            thread::sleep(Duration::from_millis(200));
            let now = self.resident_kb();
            if now < least {
                (least, since) = (now, Instant::now());
            }
        }
        least
    }

    /// Waits until the process takes no less than before: what it did last is over then.
    pub fn settle(&self) {
        const WINDOW: Duration = Duration::from_secs(3);
        let taken = || {
            let before: u64 = self.cpu_by_thread().iter().map(|(.., nanos)| nanos).sum();
            thread::sleep(WINDOW);
            let after: u64 = self.cpu_by_thread().iter().map(|(.., nanos)| nanos).sum();
            after.saturating_sub(before)
        };
        let mut last = taken();
        loop {
            let now = taken();
            if now >= last / 2 {
                return;
            }
            last = now;
        }
    }

    /// Which share of a core the process takes while nobody asks anything of it, and its three busiest
    /// threads.
    pub fn cpu_at_rest(&self, watched: Duration) -> String {
        let before = self.cpu_by_thread();
        thread::sleep(watched);
        let percent = |nanos: u64| nanos as f64 / watched.as_nanos() as f64 * 100.0;
        let mut taken: Vec<_> = self
            .cpu_by_thread()
            .into_iter()
            .map(|(id, name, nanos)| {
                let then = before.iter().find(|(known, ..)| *known == id);
                (nanos - then.map_or(0, |(_, _, nanos)| *nanos), name)
            })
            .collect();
        taken.sort_unstable_by(|one, other| other.cmp(one));
        let all = taken.iter().map(|(nanos, _)| nanos).sum();
        let busiest = taken.iter().take(3);
        let busiest = busiest.map(|(nanos, name)| format!("{name} {:.3} %", percent(*nanos)));
        let busiest = busiest.collect::<Vec<_>>().join(", ");
        format!("{:.3} % of a core: {busiest}", percent(all))
    }

    /// How long the threads of this name have run.
    pub fn cpu_of(&self, name: &str) -> Duration {
        let threads = self.cpu_by_thread();
        let of_it = threads.iter().filter(|(_, thread, _)| thread == name);
        Duration::from_nanos(of_it.map(|(.., nanos)| nanos).sum())
    }

    /// Each thread with its name and the nanoseconds that it ran.
    fn cpu_by_thread(&self) -> Vec<(String, String, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).expect("the threads");
        let read = |task: fs::DirEntry| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let ran = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let ran = ran.split(' ').next()?.parse().ok()?;
            let id = task.file_name().to_string_lossy().into_owned();
            Some((id, name.trim().to_owned(), ran))
        };
        // A thread can end meanwhile.
        tasks.filter_map(|task| read(task.ok()?)).collect()
    }
}
