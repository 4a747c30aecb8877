//! What a plugin may hold up: nothing but its own jobs. Calls are measured while the plugin is well, and
//! again while it hangs, while stops wait for it, and while it takes its time to answer about many jobs.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    interlink::wait,
    line,
    measure::{Figures, Times},
    node::Node,
};

/// Measures a daemon of its own in each state of the plugin.
pub fn bench(image: &str, jobs: usize) {
    println!();
    // Pods that are started while the plugin is well, and as many while it hangs.
    starts(image, jobs / 5);
    stops(image, jobs / 2);
    many_jobs(image, jobs);
}

fn starts(image: &str, count: usize) {
    let node = Node::new("");
    let (mut well, mut hung) = (Times::default(), Times::default());
    node.run(0..count, image, &mut well);
    node.interlink.wait_for_jobs(count as u64);
    node.interlink
        .behaviour()
        .hangs
        .store(true, Ordering::Relaxed);
    node.run(count..2 * count, image, &mut hung);
    let [well, hung] = [well, hung].map(|mut times| times.figures("StartContainer"));
    told("StartContainer, the plugin hangs", well, hung);
}

/// So many stops wait at once.
fn stops(image: &str, count: usize) {
    let node = Node::new("");
    let pods = node.run(0..count, image, &mut Times::default());
    node.interlink.wait_for_jobs(count as u64);
    let before = node.reads(&pods[0]);
    let behaviour = node.interlink.behaviour();
    behaviour
        .ignores_cancellations
        .store(true, Ordering::Relaxed);
    let parked: Vec<_> = pods
        .iter()
        .map(|pod| node.connection.begin_stop(pod))
        .collect();
    node.interlink.wait_for_cancellations(count as u64);
    let after = node.reads(&pods[0]);
    drop(parked);
    let names = ["ContainerStatus", "ListContainers"];
    for (name, (before, after)) in names.iter().zip(before.into_iter().zip(after)) {
        told(&format!("{name}, {count} stops wait"), before, after);
    }
}

/// So many jobs that run, and what it costs to ask about them again and again; then some end.
pub fn many_jobs(image: &str, jobs: usize) {
    let node = Node::new("");
    let pods = node.run(0..jobs, image, &mut Times::default());
    node.interlink.wait_for_jobs(jobs as u64);
    let behaviour = node.interlink.behaviour();
    polls(&node, jobs);
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
    line(
        &format!("resident with {jobs} jobs, at most"),
        format!("{} kB", node.process().most_resident_kb()),
    );
}

/// What the poller takes for each job that it asks about.
fn polls(node: &Node, jobs: usize) {
    let behaviour = node.interlink.behaviour();
    let asked = || behaviour.asked.load(Ordering::Relaxed);
    // All are known to run once they were asked about.
    let known = asked() + 2 * jobs as u64;
    wait(|| asked() >= known);
    let process = node.process();
    let (before, cpu) = (asked(), process.cpu_of("poll"));
    wait(|| asked() >= before + 5 * jobs as u64);
    // The last answer is read.
    std::thread::sleep(Duration::from_millis(500));
    let (cpu, asked) = (process.cpu_of("poll") - cpu, asked() - before);
    line(
        &format!("CPU of the poller for each of {jobs} jobs that run"),
        format!("{:.1?}", cpu / u32::try_from(asked).unwrap_or(u32::MAX)),
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
