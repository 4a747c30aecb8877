//! What a plugin may hold up: nothing but its own jobs. Calls are measured while the plugin is well, and
//! again while it hangs, while stops wait for it, and while it takes its time to answer about many jobs.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use interlink_cri::proto::{ContainerStatusRequest, ListContainersRequest};
use protobuf::Message as _;

use crate::{
    calls::{method, Connection, Pod},
    daemon::{self, Daemon},
    interlink::{wait, InterLink},
    line,
    measure::{Figures, Times},
    messages::Names,
};

/// Stops that wait at once.
const STOPS: usize = 500;
/// Pods that are started while the plugin is well, and as many while it hangs.
const STARTS: usize = 200;

/// Measures a daemon of its own in each state of the plugin.
pub fn bench(image: &str, jobs: usize) {
    println!();
    starts(image);
    stops(image);
    many_jobs(image, jobs);
}

/// A daemon with an interLink server.
struct Node {
    directory: tempfile::TempDir,
    // Before the server, so that it goes first.
    _daemon: Daemon,
    interlink: InterLink,
    connection: Connection,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let interlink = InterLink::start();
        let daemon = Daemon::start_with(directory.path(), &["--interlink-url", &interlink.url()]);
        let connection = Connection::open(&daemon::socket(directory.path()));
        Self {
            directory,
            _daemon: daemon,
            interlink,
            connection,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, numbers: std::ops::Range<usize>, image: &str, times: &mut Times) -> Vec<Pod> {
        let image = self.connection.pull(image);
        numbers
            .map(|number| {
                let names = Names::new(self.path(), "plugin", number);
                self.connection.run_pod(&names, &image, 1, times)
            })
            .collect()
    }

    /// A status and a list, in turns.
    fn reads(&self, pod: &Pod) -> [Figures; 2] {
        let status = ContainerStatusRequest {
            container_id: pod.container().to_owned(),
            ..Default::default()
        };
        let status = status.write_to_bytes().expect("a message");
        let list = ListContainersRequest::default();
        let list = list.write_to_bytes().expect("a message");
        let mut times = Times::default();
        for _ in 0..300 {
            for (name, request) in [
                ("/runtime.v1.RuntimeService/ContainerStatus", &status),
                ("/runtime.v1.RuntimeService/ListContainers", &list),
            ] {
                let method = method(name);
                times.time(name, || self.connection.raw(&method, request));
            }
        }
        ["ContainerStatus", "ListContainers"].map(|name| times.figures(name))
    }
}

fn starts(image: &str) {
    let node = Node::new();
    let (mut well, mut hung) = (Times::default(), Times::default());
    node.run(0..STARTS, image, &mut well);
    node.interlink.wait_for_jobs(STARTS as u64);
    node.interlink
        .behaviour()
        .hangs
        .store(true, Ordering::Relaxed);
    node.run(STARTS..2 * STARTS, image, &mut hung);
    let [well, hung] = [well, hung].map(|mut times| times.figures("StartContainer"));
    told("StartContainer, the plugin hangs", well, hung);
}

fn stops(image: &str) {
    let node = Node::new();
    let pods = node.run(0..STOPS, image, &mut Times::default());
    node.interlink.wait_for_jobs(STOPS as u64);
    let before = node.reads(&pods[0]);
    let behaviour = node.interlink.behaviour();
    behaviour
        .ignores_cancellations
        .store(true, Ordering::Relaxed);
    let parked: Vec<_> = pods
        .iter()
        .map(|pod| node.connection.begin_stop(pod))
        .collect();
    node.interlink.wait_for_cancellations(STOPS as u64);
    let after = node.reads(&pods[0]);
    drop(parked);
    let names = ["ContainerStatus", "ListContainers"];
    for (name, (before, after)) in names.iter().zip(before.into_iter().zip(after)) {
        told(&format!("{name}, {STOPS} stops wait"), before, after);
    }
}

fn many_jobs(image: &str, jobs: usize) {
    let node = Node::new();
    let pods = node.run(0..jobs, image, &mut Times::default());
    node.interlink.wait_for_jobs(jobs as u64);
    let behaviour = node.interlink.behaviour();
    let before = node.reads(&pods[0]);
    // From here on an answer takes a second.
    behaviour.status_takes.store(1000, Ordering::Relaxed);
    let during = node.reads(&pods[0]);
    for (name, (before, during)) in ["ContainerStatus", "ListContainers"]
        .iter()
        .zip(before.into_iter().zip(during))
    {
        told(
            &format!("{name}, {jobs} jobs, slow answers"),
            before,
            during,
        );
    }
    behaviour.has_ended.store(10, Ordering::Relaxed);
    let begun = Instant::now();
    wait(|| node.connection.exited() >= jobs / 10);
    line(
        &format!("{} of {jobs} jobs end: all seen after", jobs / 10),
        format!("{:.1?}", begun.elapsed()),
    );
}

fn told(what: &str, before: Figures, after: Figures) {
    let ratio = |after: Duration, before: Duration| after.as_secs_f64() / before.as_secs_f64();
    line(
        what,
        format!(
            "p50 {:.1?} ({:.2} x), p99 {:.1?} ({:.2} x)",
            after.p50,
            ratio(after.p50, before.p50),
            after.p99,
            ratio(after.p99, before.p99)
        ),
    );
}
