//! The campaigns: the real daemon, the local plugin in a process of its own, a relay between them
//! that commits faults and speaks as the plugins of the profiles do, clients with a kubelet's habits, a tenant
//! who does what hurts others where they let it, and somebody who kills at random moments, or plants a panic in one of the daemon's threads.
//! At the end the books are compared: what was asked for, what ran, what was told, what is left.
//!
//! `make chaos` runs them for long; in `make test` they are short. `CHAOS_SECONDS` sets how long
//! each takes, `CHAOS_SEED` what happens: the same seed gives the same plugins, pods, kills and faults, as
//! far as the scheduler of the machine allows. `CHAOS_PLUGIN` wants one profile (`habits`).

mod books;
mod faults;
mod habits;
mod kubelet;
mod relay;
mod report;
mod script;
mod tenant;
mod world;

#[path = "../behaviour/local_plugin/client.rs"]
#[allow(dead_code, reason = "the relay needs a part of it")]
mod client;
#[path = "../support/mod.rs"]
mod support;

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use books::Books;
use fastrand::Rng;
use faults::Weather;
use habits::{Habits, LOCAL};
use kubelet::Kubelet;
use support::{ApiServer, Fault};
use tenant::Tenant;
use world::{Victim, World};

/// Clients at a time.
const KUBELETS: u64 = 6;

/// A long campaign has several rounds, each with another plugin.
const ROUND: Duration = Duration::from_secs(60);
/// How long a campaign takes where nobody says it. Too short for a plugin that is asked every 10 s.
const SHORT: u64 = 8;

#[test]
fn kills_lose_nothing_run_nothing_twice_and_leave_nothing() {
    let world = World::new(LOCAL, Weather::fair(), None);
    assert_right(round("kills", seed(), span(), &world));
}

#[test]
fn a_faulty_plugin_loses_nothing_runs_nothing_twice_and_leaves_nothing() {
    rounds("kills and faults", 0, || None);
}

/// Each pod is one job here, as long as the API server has an answer and the plugin runs init
/// containers.
#[test]
fn a_faulty_api_server_loses_nothing_runs_nothing_twice_and_leaves_nothing() {
    rounds("whole pods", 3, || Some(ApiServer::start()));
}

/// Rounds with faults, with one plugin after the other.
fn rounds(name: &str, first_plugin: u64, api: impl Fn() -> Option<ApiServer>) {
    let count = u32::try_from(span().as_secs().div_ceil(ROUND.as_secs())).unwrap_or(1);
    let mut violations = Vec::new();
    for number in 0..count {
        // Each round can be had by itself, with this as the seed.
        let seed = seed().wrapping_add(number.into());
        let which = seed.wrapping_add(first_plugin);
        let is_short = span().as_secs() <= SHORT;
        let habits = Habits::draw(which, is_short, &mut Rng::with_seed(seed));
        let world = World::new(habits, Weather::changing(seed), api());
        violations.extend(round(name, seed, span() / count, &world));
    }
    assert_right(violations);
}

fn assert_right(violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "CHAOS_SEED={}: {} violations:\n{}",
        seed(),
        violations.len(),
        violations.join("\n")
    );
}

fn round(name: &str, seed: u64, span: Duration, world: &World) -> Vec<String> {
    println!(
        "campaign `{name}`, CHAOS_SEED={seed}, with {}",
        world.habits()
    );
    let books = Books::default();
    let begun = Instant::now();
    let end = begun + span;
    thread::scope(|scope| {
        for number in 0..KUBELETS {
            let books = &books;
            let rng = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(number));
            scope.spawn(move || {
                let mut kubelet = Kubelet::new(number, world, books, rng);
                while Instant::now() < end {
                    kubelet.one_pod();
                }
            });
        }
        scope.spawn(|| {
            let mut tenant = Tenant::new(world, &books, Rng::with_seed(seed.rotate_left(7)));
            while Instant::now() < end {
                tenant.one_pod();
            }
        });
        scope.spawn(|| kill_until(end, world, &books, Rng::with_seed(seed)));
        scope.spawn(|| vex_until(end, world, Rng::with_seed(!seed)));
    });
    world.weather().clear_up();
    world.settle(&books);
    report::check(world, &books);
    report::print(name, seed, begun.elapsed(), world, &books);
    books.violations()
}

fn span() -> Duration {
    Duration::from_secs(from_environment("CHAOS_SECONDS").unwrap_or(SHORT))
}

fn kill_until(end: Instant, world: &World, books: &Books, mut rng: Rng) {
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(rng.u64(200..2200)));
        books.saw_memory(world.memory_kib());
        let victim = match rng.u32(0..14) {
            0..=5 => Victim::Daemon,
            6..=7 => Victim::Plugin,
            8..=9 => Victim::Both,
            10..=11 => Victim::Proxy,
            _ => Victim::Thread,
        };
        // In a release build nothing can be planted.
        if victim == Victim::Thread && cfg!(debug_assertions) {
            books.killed(world.panic_and_restart(books, &mut rng));
            continue;
        }
        let pause = Duration::from_millis(rng.u64(0..300));
        world.kill_and_restart(victim, pause);
        books.killed(victim);
    }
}

/// Lets the API server fail now and then.
fn vex_until(end: Instant, world: &World, mut rng: Rng) {
    let Some(api) = world.api() else { return };
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(rng.u64(200..2000)));
        api.always(match rng.u32(0..12) {
            0 => Some(Fault::Status(500, "not now")),
            1 => Some(Fault::Status(404, "who?")),
            2 => Some(Fault::DropBefore),
            3 => Some(Fault::Answer("{\"spec\": {\"containers\": 7}}")),
            4 => Some(Fault::Hang),
            _ => None,
        });
    }
    api.always(None);
}

fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| {
        from_environment("CHAOS_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.expect("after 1970").as_secs()
        })
    })
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: `{text}` is no number")),
    )
}
