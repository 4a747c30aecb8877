//! The submission protocol, explored: every interleaving of what the kubelet, the workers, the
//! poller, the plugin, the network, crashes and time can do, up to a budget of faults. What moves
//! the pod are the daemon's own pure functions; the world around it is a model (`world`).
//!
//! What is taken for granted of plugins: a POST that the client gave up on is acted on within
//! [`world::LATE`] ticks or never; a job shows in the answers [`world::BLIND`] ticks later at the
//! latest; both together are no longer than `interlink.unsure_grace`. Or a POST is acted on at any
//! later time; then the plugin refuses another one of a job that it has, and does not act on one of a
//! job that it was told to delete meanwhile. The same holds of a job that is accepted for its gang.
//!
//! `make model` explores deeper than `make test`.

mod checks;
mod fair;
mod plugin;
mod search;
mod steps;
mod world;

use search::{explore, Outcome};
use world::{Budget, Mutation, World};

/// What `make test` has time for.
const SHORT: Budget = Budget {
    crashes: 1,
    doubts: 1,
    late: 0,
    gangs: 0,
    repeats: 0,
    refuses_twice: false,
    refusals: 0,
    forgets: 0,
    restarts: 0,
    containers: 1,
    waits: false,
    hold: false,
    keeps: false,
    whole: false,
};

/// Stops that are held, with a plugin that confirms a deletion before the job has ended.
const STOPS: Budget = Budget {
    crashes: 0,
    waits: true,
    hold: true,
    keeps: true,
    ..SHORT
};

/// The same for a job that is a whole pod: an init container, and one that the kubelet starts after
/// it.
const WHOLE: Budget = Budget {
    doubts: 0,
    containers: 2,
    whole: true,
    ..SHORT
};

/// A POST that is acted on after the plugin has denied its job for long, and a refusal after it.
const TARDY: Budget = Budget {
    crashes: 0,
    late: 1,
    refuses_twice: true,
    refusals: 1,
    ..SHORT
};

/// A job that is accepted, and begins when the others of its gang have come.
const GANG: Budget = Budget {
    doubts: 0,
    gangs: 1,
    refuses_twice: true,
    ..SHORT
};

/// A plugin that repeats the answers to other questions.
const REPEATS: Budget = Budget {
    crashes: 0,
    repeats: 3,
    ..SHORT
};

/// What `make model` explores: a minute, and for the last one twenty more and 7 GB of memory.
const DEEP: [Budget; 6] = [
    Budget {
        refusals: 1,
        forgets: 1,
        ..SHORT
    },
    Budget {
        doubts: 2,
        refusals: 1,
        ..SHORT
    },
    Budget {
        crashes: 1,
        doubts: 2,
        ..TARDY
    },
    Budget {
        crashes: 1,
        ..REPEATS
    },
    Budget { doubts: 1, ..WHOLE },
    Budget {
        crashes: 0,
        restarts: 1,
        ..WHOLE
    },
];

fn budgets() -> Vec<Budget> {
    match std::env::var_os("MODEL_DEEP") {
        Some(_) => DEEP.to_vec(),
        None => vec![SHORT, WHOLE, TARDY, GANG, REPEATS, STOPS],
    }
}

#[test]
fn no_interleaving_breaks_the_protocol() {
    for budget in budgets() {
        let begun = std::time::Instant::now();
        let Outcome {
            states,
            transitions,
            depth,
            violation,
        } = explore(World::new(budget, Mutation::None));
        let span = begun.elapsed();
        println!(
            "{budget:?}: {states} states, {transitions} transitions, depth {depth}, {span:.1?}"
        );
        assert!(violation.is_none(), "{}", violation.unwrap_or_default());
    }
}

/// The search finds what it is there for: each of these faults in the protocol is seen.
#[test]
fn every_mutation_is_caught() {
    let rows = [
        (Mutation::DoubtCountsAsNotActed, "ran twice"),
        (Mutation::PostLeavesBeforeTheDisk, "ran twice"),
        (Mutation::OneDenialIsEnough, "ran twice"),
        (Mutation::LateDenialCounts, "ran twice"),
        (Mutation::FailedDeleteIsForgotten, "outlives"),
        (Mutation::RemovalForgetsJobs, "outlives"),
        (Mutation::LateAnswersResurrect, "changed its end"),
        (Mutation::NothingIsBound, "c1 ran twice"),
        (Mutation::BindingForgetsTheEnd, "never ends"),
        (Mutation::DoubtEndsWithDenials, "outlives"),
        (Mutation::ExistsCountsAsRefused, "ended with"),
        (Mutation::GangCountsAsMissing, "ended with"),
        (Mutation::RepetitionDenies, "ran twice"),
        (Mutation::StopIsBelievedAtOnce, "runs on"),
        (Mutation::StopEndsWithItsTime, "runs on"),
        (Mutation::EarlierDenialCounts, "runs on"),
    ];
    for (mutation, want) in rows {
        let budget = match mutation {
            Mutation::NothingIsBound | Mutation::BindingForgetsTheEnd => Budget {
                crashes: 0,
                ..WHOLE
            },
            Mutation::GangCountsAsMissing => GANG,
            Mutation::RepetitionDenies => REPEATS,
            Mutation::StopIsBelievedAtOnce
            | Mutation::StopEndsWithItsTime
            | Mutation::EarlierDenialCounts => STOPS,
            Mutation::DoubtEndsWithDenials | Mutation::ExistsCountsAsRefused => TARDY,
            _ => SHORT,
        };
        let violation = explore(World::new(budget, mutation)).violation;
        let trace = violation.unwrap_or_else(|| panic!("{mutation:?} was not caught"));
        println!("{mutation:?}:\n{trace}\n");
        assert!(trace.contains(want), "{mutation:?}: {trace}");
    }
}
