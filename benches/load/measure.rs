//! Durations, and the tables of them.

use std::{
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::calls::{Connection, Read, Reads};

/// Durations by call.
#[derive(Default)]
pub struct Times(Vec<(&'static str, Vec<Duration>)>);

impl Times {
    /// Times a call, and keeps its duration under its name.
    pub fn time<T>(&mut self, name: &'static str, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = call();
        let took = begun.elapsed();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(took),
            None => self.0.push((name, vec![took])),
        }
        answer
    }

    /// The durations of a call, which was made, by its name without the service.
    pub fn of(&self, name: &str) -> Vec<Duration> {
        let mut all = self.0.iter();
        let found = all.find(|(known, _)| known.rsplit('/').next() == Some(name));
        found.expect("the call was made").1.clone()
    }

    /// What is said of a call, which was made, by its name without the service.
    pub fn figures(&mut self, name: &str) -> Figures {
        let found = self
            .0
            .iter_mut()
            .find(|(known, _)| known.rsplit('/').next() == Some(name));
        let (_, times) = found.expect("the call was made");
        Figures::of(times)
    }

    pub fn print(&mut self) {
        println!(
            "\n{:<20} {:>7} {:>10} {:>10} {:>10}",
            "call", "count", "p50", "p99", "max"
        );
        for (name, times) in &mut self.0 {
            let name = name.rsplit('/').next().unwrap_or_default();
            let count = times.len();
            let of = Figures::of(times);
            println!(
                "{name:<20} {count:>7} {:>10.1?} {:>10.1?} {:>10.1?}",
                of.p50, of.p99, of.max
            );
        }
    }
}

/// What is said of many durations.
#[derive(Clone, Copy)]
pub struct Figures {
    pub p50: Duration,
    pub p99: Duration,
    max: Duration,
}

impl Figures {
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// What several clients did.
pub struct Rate<T> {
    pub per_second: f64,
    pub results: Vec<T>,
}

/// Several clients at once, each in a thread of its own with a state of its own, do something so many
/// times; it gets a number that no other turn has. The time begins when all have their states.
pub fn rate<S, T: Send>(
    clients: usize,
    turns: usize,
    open: impl Fn(usize) -> S + Sync,
    turn: impl Fn(&mut S, usize) -> T + Sync,
) -> Rate<T> {
    let results = Mutex::new(Vec::new());
    let start = Barrier::new(clients + 1);
    let mut begun = Instant::now();
    thread::scope(|scope| {
        for client in 0..clients {
            let (results, open, turn, start) = (&results, &open, &turn, &start);
            scope.spawn(move || {
                let mut state = open(client);
                start.wait();
                for number in 0..turns {
                    let result = turn(&mut state, number);
                    results.lock().expect("no panic").push(result);
                }
            });
        }
        start.wait();
        begun = Instant::now();
    });
    let took = begun.elapsed();
    Rate {
        per_second: (clients * turns) as f64 / took.as_secs_f64(),
        results: results.into_inner().expect("no panic"),
    }
}

pub fn header() {
    println!(
        "{:<22} {:>7} {:>8} | {:>9} {:>9} {:>5} | {:>9} {:>9} | {:>9} {:>9}",
        "call",
        "threads",
        "bytes",
        "floor p50",
        "p50",
        "ratio",
        "floor p99",
        "p99",
        "floor /s",
        "/s"
    );
}

/// A read at the floor and at the runtime, in turns, by some threads at once.
pub fn beside(read: &Read, threads: usize, calls: usize, ends: [&str; 2]) {
    let label = read.name;
    let work = |connection: &Connection| {
        connection.raw(&read.method, &read.request);
    };
    row(label, read.answer.len(), threads, calls, ends, &work);
}

/// One container's status by four threads, while another asks for the list of all containers without pause.
pub fn beside_lists(reads: &Reads, calls: usize, ends: [&str; 2]) {
    let list = reads.named("ListContainers");
    let status = reads.named("ContainerStatus");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    thread::scope(|scope| {
        let mut lists = Vec::new();
        for end in ends {
            let (stop, list) = (&stop, &list);
            lists.push(scope.spawn(move || {
                let connection = Connection::open(end);
                while !stop.load(relaxed) {
                    connection.raw(&list.method, &list.request);
                }
            }));
        }
        let work = |connection: &Connection| {
            connection.raw(&status.method, &status.request);
        };
        row(
            "ContainerStatus +lists",
            status.answer.len(),
            4,
            calls / 4,
            ends,
            &work,
        );
        stop.store(true, relaxed);
    });
}

/// The p50 of a read by one thread.
pub fn alone(read: &Read, calls: usize, connection: &Connection) -> Duration {
    let mut times: Vec<_> = (0..calls.max(5))
        .map(|_| {
            let begun = Instant::now();
            connection.raw(&read.method, &read.request);
            begun.elapsed()
        })
        .collect();
    Figures::of(&mut times).p50
}

/// How many turns each end has: what else the machine does falls on both.
const ROUNDS: usize = 5;

fn row(
    label: &str,
    bytes: usize,
    threads: usize,
    calls: usize,
    ends: [&str; 2],
    work: &(dyn Fn(&Connection) + Sync),
) {
    let connections = ends.map(|end| {
        (0..threads)
            .map(|_| Connection::open(end))
            .collect::<Vec<_>>()
    });
    let mut times = [Vec::new(), Vec::new()];
    let mut taken = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for end in 0..2 {
            let (mut durations, took) = round(&connections[end], calls.div_ceil(ROUNDS), work);
            times[end].append(&mut durations);
            taken[end] += took;
        }
    }
    let rates = [0, 1].map(|end| times[end].len() as f64 / taken[end].as_secs_f64());
    let [floor, own] = times.each_mut().map(|times| Figures::of(times));
    let ratio = own.p50.as_secs_f64() / floor.p50.as_secs_f64();
    println!(
        "{label:<22} {threads:>7} {bytes:>8} | {:>9.1?} {:>9.1?} {ratio:>5.2} | {:>9.1?} {:>9.1?} | {:>9.0} {:>9.0}",
        floor.p50, own.p50, floor.p99, own.p99, rates[0], rates[1]
    );
}

/// So many calls of each connection in a thread of its own; all begin together.
fn round(
    connections: &[Connection],
    calls: usize,
    work: &(dyn Fn(&Connection) + Sync),
) -> (Vec<Duration>, Duration) {
    let all = Mutex::new(Vec::new());
    let start = Barrier::new(connections.len() + 1);
    let mut begun = Instant::now();
    thread::scope(|scope| {
        for connection in connections {
            let (all, start) = (&all, &start);
            scope.spawn(move || {
                start.wait();
                let mut own = Vec::with_capacity(calls);
                for _ in 0..calls {
                    let begun = Instant::now();
                    work(connection);
                    own.push(begun.elapsed());
                }
                all.lock().expect("no panic").append(&mut own);
            });
        }
        start.wait();
        begun = Instant::now();
    });
    (all.into_inner().expect("no panic"), begun.elapsed())
}
