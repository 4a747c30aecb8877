//! What a campaign prints at its end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    books::{Books, Count},
    world::World,
};

/// More memory than that, and an answer without end was kept, or something else that has none.
const MOST_MEMORY_KIB: u64 = 400 << 10;

/// Looks at what the daemon said and held: once for each thing that happened, and no more than the
/// largest answers that it allows.
pub fn check(world: &World, books: &Books) {
    let said: usize = shapes(&world.daemon_log()).values().sum();
    let faults: usize = world.weather().counts().values().sum();
    let kills: usize = books.kills().values().sum();
    let happened = faults + 20 * kills + books.counted(Count::Starts);
    if said > happened {
        books.violation(format!(
            "{said} warnings of {happened} things that happened"
        ));
    }
    let most = books.most_memory_kib();
    if most > MOST_MEMORY_KIB {
        books.violation(format!("the daemon held {most} KiB"));
    }
}

pub fn print(name: &str, seed: u64, span: Duration, world: &World, books: &Books) {
    let n = |what| books.counted(what);
    println!("\n== campaign `{name}`, CHAOS_SEED={seed}, {span:.0?}");
    println!(
        "{} pods, {} starts: {} ended by themselves, {} were stopped; {} refused for good; \
         {} calls tried again",
        n(Count::Pods),
        n(Count::Starts),
        n(Count::OwnEnds),
        n(Count::Stops),
        n(Count::Refused),
        n(Count::Retries),
    );
    let kills: Vec<_> = books
        .kills()
        .iter()
        .map(|(who, n)| format!("{who:?} {n}"))
        .collect();
    println!("kills: {}", kills.join(", "));
    let faults = world.weather().counts();
    let total: usize = faults.values().sum();
    let faults: Vec<_> = faults
        .iter()
        .map(|(fault, n)| format!("{fault:?} {n}"))
        .collect();
    println!("faults: {total} ({})", faults.join(", "));
    println!(
        "lost {}, duplicated {}, leaked {}, violations {}",
        n(Count::Lost),
        n(Count::Duplicated),
        n(Count::Leaked),
        books.violations().len()
    );
    println!(
        "the daemon's memory at most: {} KiB",
        books.most_memory_kib()
    );
    println!("what the daemon warned of most often:");
    let log = world.daemon_log();
    let mut shapes: Vec<_> = shapes(&log).into_iter().collect();
    let lines: usize = shapes.iter().map(|(_, count)| count).sum();
    shapes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (shape, count) in shapes.iter().take(8) {
        println!("{count:>7} {shape}");
    }
    println!("{lines:>7} warnings and errors in all");
}

/// Warnings and errors in the daemon's log without what differs from one to the next.
pub fn shapes(log: &str) -> BTreeMap<String, usize> {
    let mut shapes = BTreeMap::new();
    for line in log.lines() {
        let level = ["WARN", "ERROR"].iter().find_map(|level| line.find(level));
        let Some(at) = level else { continue };
        let words = line[at..].split(' ').filter(|word| !word.is_empty());
        let words = words.map(|word| {
            let differs = word.bytes().any(|byte| byte.is_ascii_digit());
            if differs {
                "*"
            } else {
                word
            }
        });
        let shape: Vec<_> = words.take(16).collect();
        *shapes.entry(shape.join(" ")).or_default() += 1;
    }
    shapes
}
