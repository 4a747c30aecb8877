//! `make bench`: a CRI runtime under the load of a large node.
//!
//! Starts the daemon, fills it with pods as a kubelet does, and measures every call, memory, threads, the
//! CPU that it takes while nothing happens, its state on disk and its start. The reads are measured beside
//! a floor: a bare gRPC server in a process of its own that gives the very bytes that the daemon gave, so
//! what is above the floor is the daemon's.
//!
//! | variable | what it sets |
//! |---|---|
//! | `BENCH_PODS` | pods (1000) |
//! | `BENCH_CONTAINERS` | containers of each (2) |
//! | `BENCH_CALLS` | how often each read is measured (400) |
//! | `BENCH_REST` | seconds for which the daemon is watched at rest, once it is (30) |
//! | `BENCH_PARTS` | what is measured of `rest`, `reads`, `clients`, `start`, `plugin` (and of it `jobs` alone), `overhead`, `logs`, with commas between; all if not said |
//! | `BENCH_SOCKET` | the socket of another CRI runtime to measure instead of starting the daemon |
//! | `BENCH_DAEMON` | another build of the daemon, to measure two in turns |
//! | `BENCH_IMAGE` | the image of the containers (`busybox:1.36`) |
//! | `BENCH_READS` | which reads are measured, by name, with commas between; all if not said |
//! | `BENCH_JOBS` | jobs at once of the measurements with a plugin (1000) |
//! | `BENCH_OVERHEAD` | `only`: what metrics and traces cost, and nothing else |
//! | `BENCH_LOGS` | containers that print at once, each 50 lines a second (500) |
//! | `BENCH_LOG_SECONDS` | how long they do (60) |
//! | `BENCH_GROWTH` | numbers of pods, with commas between: only memory and lists, for each of them |

mod calls;
mod daemon;
mod floor;
mod interlink;
mod logs;
mod measure;
mod messages;
mod node;
mod overhead;
mod plugin;

use std::{path::Path, time::Duration};

use calls::{Connection, Reads};
use daemon::{Daemon, Process};
use measure::{rate, Times};
use messages::Names;

fn main() {
    if let Some(arguments) = floor::Arguments::of_this_process() {
        return floor::serve(&arguments);
    }
    let settings = Settings::read();
    if std::env::var("BENCH_OVERHEAD").is_ok_and(|value| value == "only") {
        return overhead::bench(&settings.image, settings.calls);
    }
    match &settings.growth[..] {
        [] => bench(&settings),
        sizes => growth(&settings, sizes),
    }
}

/// What the environment sets.
struct Settings {
    pods: usize,
    containers: usize,
    calls: usize,
    rest: Duration,
    jobs: usize,
    logs: usize,
    log_span: Duration,
    socket: Option<String>,
    image: String,
    growth: Vec<usize>,
    parts: String,
    reads: String,
}

impl Settings {
    fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name: &str, default| {
            let value = text(name).map(|value| value.parse().expect("a number"));
            value.unwrap_or(default)
        };
        let growth = text("BENCH_GROWTH").unwrap_or_default();
        let growth = growth.split(',').filter(|size| !size.is_empty());
        Self {
            pods: number("BENCH_PODS", 1000),
            containers: number("BENCH_CONTAINERS", 2),
            calls: number("BENCH_CALLS", 400),
            rest: Duration::from_secs(number("BENCH_REST", 30) as u64),
            jobs: number("BENCH_JOBS", 1000),
            logs: number("BENCH_LOGS", 500),
            log_span: Duration::from_secs(number("BENCH_LOG_SECONDS", 60) as u64),
            socket: text("BENCH_SOCKET"),
            image: text("BENCH_IMAGE").unwrap_or_else(|| "busybox:1.36".into()),
            growth: growth.map(|size| size.parse().expect("a number")).collect(),
            parts: text("BENCH_PARTS").unwrap_or_default(),
            reads: text("BENCH_READS").unwrap_or_default(),
        }
    }

    fn wants(&self, part: &str) -> bool {
        is_among(&self.parts, part)
    }
}

/// Whether a name is in a list with commas between; all names are in one that is empty.
fn is_among(list: &str, name: &str) -> bool {
    list.is_empty() || list.split(',').any(|wanted| wanted == name)
}

fn bench(settings: &Settings) {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let mut daemon = settings.socket.is_none().then(|| Daemon::start(directory));
    let socket = match &settings.socket {
        Some(socket) => socket.clone(),
        None => daemon::socket(directory),
    };
    let connection = Connection::open(&socket);
    let process = Process::behind(&socket);
    if let Some(daemon) = &daemon {
        line(
            "start until the first answer",
            format!("{:.1?}", daemon.start),
        );
    }
    let idle = process.settled_kb();
    line("resident, idle", process.resident());
    line("threads", process.threads());

    let image = connection.pull(&settings.image);
    let mut times = Times::default();
    let mut filled = Vec::new();
    for number in 0..settings.pods {
        let names = Names::new(directory, "bench", number);
        filled.push(connection.run_pod(&names, &image, settings.containers, &mut times));
    }
    let containers = settings.pods * settings.containers;
    let resident = process.settled_kb();
    line(
        &format!("resident, {} pods, {containers} containers", settings.pods),
        format!(
            "{}, {:.2} kB for each container",
            process.resident(),
            (resident as f64 - idle as f64) / containers as f64
        ),
    );
    line("threads", process.threads());
    if daemon.is_some() {
        line(
            "state on disk",
            format!("{} kB", daemon::state_kb(directory)),
        );
    }
    if settings.wants("rest") {
        process.settle();
        let rest = process.cpu_at_rest(settings.rest);
        line(&format!("CPU at rest, {:?}", settings.rest), rest);
    }
    if settings.wants("reads") {
        reads(settings, directory, &socket, &connection, &filled);
    }
    if settings.wants("clients") {
        clients(directory, &socket, &image);
    }
    if let Some(daemon) = daemon.as_mut().filter(|_| settings.wants("start")) {
        daemon.kill();
        *daemon = Daemon::start(directory);
        connection.ready();
        line(
            &format!("start with {containers} containers, first answer"),
            format!("{:.1?}", daemon.start),
        );
    }
    let process = Process::behind(&socket);
    process.settled_kb();
    line("resident, after that start", process.resident());
    for pod in &filled {
        connection.remove_pod(pod, &mut times);
    }
    process.settled_kb();
    line("resident, all removed", process.resident());
    times.print();
    if daemon.is_some() && settings.wants("plugin") {
        plugin::bench(&settings.image, settings.jobs);
    } else if daemon.is_some() && settings.wants("jobs") {
        plugin::many_jobs(&settings.image, settings.jobs);
    }
    if daemon.is_some() && settings.wants("overhead") {
        overhead::bench(&settings.image, settings.calls);
    }
    if daemon.is_some() && settings.wants("logs") {
        logs::bench(&settings.image, settings.logs, settings.log_span);
    }
}

/// The reads, each beside the floor.
fn reads(
    settings: &Settings,
    directory: &Path,
    socket: &str,
    connection: &Connection,
    filled: &[calls::Pod],
) {
    let reads = Reads::of(connection, &filled[filled.len() / 2]);
    let floor = floor::Floor::start(directory, &reads);
    println!();
    measure::header();
    for threads in [1, 4, 16] {
        let calls = settings.calls / threads;
        let wanted = |read: &&calls::Read| is_among(&settings.reads, read.name);
        for read in reads.0.iter().filter(wanted) {
            let ends = [floor.socket.as_str(), socket];
            measure::beside(read, threads, calls.max(5), ends);
        }
    }
    measure::beside_lists(&reads, settings.calls, [floor.socket.as_str(), socket]);
    println!();
}

/// Whole pods (run, create, start) by one client and by several at once.
fn clients(directory: &Path, socket: &str, image: &str) {
    const PODS: usize = 512;
    let mut of_one = 0.0;
    for clients in [1, 4, 16] {
        let turns = PODS / clients;
        // The directories that a kubelet makes are no part of it.
        let open = |client: usize| {
            let first = 1_000_000 + (clients * 16 + client) * PODS;
            let names = (first..first + turns).map(|number| {
                let names = Names::new(directory, "clients", number);
                names.container("main-0", image);
                names
            });
            (Connection::open(socket), names.collect::<Vec<_>>())
        };
        let made = rate(clients, turns, open, |(connection, names), turn| {
            connection.run_pod(&names[turn], image, 1, &mut Times::default())
        });
        of_one = if clients == 1 {
            made.per_second
        } else {
            of_one
        };
        line(
            &format!("pods a second, {clients} clients"),
            format!(
                "{:.0}, {:.1} x one client",
                made.per_second,
                made.per_second / of_one
            ),
        );
        let connection = Connection::open(socket);
        for pod in &made.results {
            connection.remove_pod(pod, &mut Times::default());
        }
    }
}

/// Memory and lists as the number of pods grows.
fn growth(settings: &Settings, sizes: &[usize]) {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let _daemon = Daemon::start(directory);
    let socket = daemon::socket(directory);
    let connection = Connection::open(&socket);
    let process = Process::behind(&socket);
    let image = connection.pull(&settings.image);
    let idle = process.settled_kb();
    let mut filled = Vec::new();
    println!(
        "{:>10} {:>12} {:>14} {:>16} {:>16}",
        "containers", "resident", "for each", "ListContainers", "ListPodSandbox"
    );
    for size in sizes {
        while filled.len() < *size {
            let names = Names::new(directory, "bench", filled.len());
            filled.push(connection.run_pod(
                &names,
                &image,
                settings.containers,
                &mut Times::default(),
            ));
        }
        let Some(pod) = filled.first() else { continue };
        let reads = Reads::of(&connection, pod);
        let p50 = |name: &str| {
            let read = reads.named(name);
            measure::alone(read, settings.calls / 4, &connection)
        };
        let (list, sandboxes) = (p50("ListContainers"), p50("ListPodSandbox"));
        let resident = process.settled_kb();
        let containers = size * settings.containers;
        let each = (resident as f64 - idle as f64) / containers as f64;
        println!(
            "{containers:>10} {resident:>9} kB {each:>11.2} kB {list:>16.1?} {sandboxes:>16.1?}",
        );
    }
}

fn line(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<48} {figure}");
}
