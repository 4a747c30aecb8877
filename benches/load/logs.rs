//! Many logs at once: each line of each of them comes once and in order, and this is what it costs.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    interlink::{line_of_log, wait},
    line,
    measure::Times,
    node::Node,
};

/// Lines that each container writes in a second.
const RATE: u64 = 50;
/// How often they are written.
const STEP: Duration = Duration::from_millis(100);

/// So many containers print for so long, each followed.
pub fn bench(image: &str, containers: usize, span: Duration) {
    let node = Node::new(&format!(
        "[interlink]\nplugin = \"slurm\"\n[logs]\nfollowers = {containers}"
    ));
    node.run(0..containers, image, &mut Times::default());
    node.interlink.wait_for_jobs(containers as u64);
    let behaviour = node.interlink.behaviour();
    wait(|| behaviour.followed.load(Ordering::Relaxed) >= containers as u64);
    let process = node.process();
    let (quiet_kb, threads) = (process.resident_kb(), process.threads());
    let (cpu, begun) = (process.cpu(), Instant::now());
    while begun.elapsed() < span {
        std::thread::sleep(STEP);
        let due = begun.elapsed().as_millis() as u64 * RATE / 1000;
        behaviour.lines.store(due, Ordering::Relaxed);
    }
    let busy_kb = process.resident_kb();
    let lines = behaviour.lines.load(Ordering::Relaxed);
    behaviour.has_ended.store(1, Ordering::Relaxed);
    let begun = Instant::now();
    wait(|| node.connection.exited() == containers);
    let (took, cpu) = (begun.elapsed(), process.cpu() - cpu);
    let bytes = check(&node, containers, lines);
    let megabytes = bytes as f64 / 1e6;
    println!();
    line(
        &format!("{containers} logs, {lines} lines each in {span:.0?}"),
        format!("{megabytes:.1} MB, every line once and in order"),
    );
    line(
        "CPU for a megabyte of log",
        format!("{:.1} ms", cpu.as_secs_f64() * 1000.0 / megabytes),
    );
    line(
        "resident, logs quiet, busy",
        format!("{quiet_kb} kB, {busy_kb} kB ({threads} threads)"),
    );
    line("all ends seen after", format!("{took:.1?}"));
}

/// Reads what a kubelet would, and gives how many bytes of it were printed.
///
/// # Panics
/// A line is missing, or comes twice.
fn check(node: &Node, containers: usize, lines: u64) -> usize {
    let printed: Vec<_> = (0..lines).map(line_of_log).collect();
    for number in 0..containers {
        let path = node.names(number).log("main-0");
        let text = fs::read_to_string(&path).expect("the log");
        let got = text
            .lines()
            .map(|line| line.splitn(4, ' ').nth(3).expect("a CRI log line"));
        let want = printed.iter().map(|line| line.trim_end());
        assert!(got.eq(want), "{path}");
    }
    containers * printed.iter().map(String::len).sum::<usize>()
}
