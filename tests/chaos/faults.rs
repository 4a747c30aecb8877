//! What a plugin, and the way to it, can do wrong; and when it does.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fastrand::Rng;
use parking_lot::Mutex;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    // The plugin does not act.
    Answers500,
    Answers502,
    Answers503,
    Answers429,
    DropsBefore,
    HangsBefore,
    // Something in front of it answers, and it does not act.
    WantsLogin,
    ShowsLoginPage,
    HasNoRoute,
    WantsTls,
    // It acts, but the client does not learn it.
    ActsLate,
    DropsAfter,
    HangsAfter,
    Truncates,
    NeverEnds,
    NotHttp,
    WrongTypes,
    Floods,
    SaysNull,
    // It answers, and lies.
    NamesStrangers,
    SaysTwice,
    LeavesOutContainer,
    CodeIsNoNumber,
    ClockYearsOff,
    Forgets,
    NullLists,
    UnknownStates,
    // Logs.
    BreaksOff,
    Stalls,
    Repeats,
}

use Fault as F;

const FRONT_END: [Fault; 4] = [F::WantsLogin, F::ShowsLoginPage, F::HasNoRoute, F::WantsTls];
const COMMON: [Fault; 13] = [
    F::Answers500,
    F::Answers502,
    F::Answers503,
    F::Answers429,
    F::DropsBefore,
    F::HangsBefore,
    F::DropsAfter,
    F::HangsAfter,
    F::Truncates,
    F::NeverEnds,
    F::NotHttp,
    F::WrongTypes,
    F::Floods,
];
const SUBMISSION: [Fault; 2] = [F::ActsLate, F::SaysNull];
const STATUS: [Fault; 9] = [
    F::SaysNull,
    F::NamesStrangers,
    F::SaysTwice,
    F::LeavesOutContainer,
    F::CodeIsNoNumber,
    F::ClockYearsOff,
    F::Forgets,
    F::NullLists,
    F::UnknownStates,
];
const LOGS: [Fault; 8] = [
    F::Answers500,
    F::Answers503,
    F::DropsBefore,
    F::HangsBefore,
    F::NotHttp,
    F::BreaksOff,
    F::Stalls,
    F::Repeats,
];

impl Fault {
    /// Whether an answer with it hides a job that the plugin has. The daemon may believe several
    /// such answers in a row, as the documentation says, so they never come twice running.
    pub fn hides_jobs(self) -> bool {
        matches!(
            self,
            F::Forgets | F::NullLists | F::UnknownStates | F::SaysNull
        )
    }
}

/// The faults that a path can have.
fn faults_of(path: &str) -> Vec<Fault> {
    match path {
        "/create" | "/delete" => [&COMMON[..], &FRONT_END, &SUBMISSION].concat(),
        "/status" => [&COMMON[..], &FRONT_END, &STATUS].concat(),
        "/getLogs" => [&LOGS[..], &FRONT_END].concat(),
        _ => [&COMMON[..], &FRONT_END].concat(),
    }
}

/// When faults come: in spells of a few seconds, of none, of all sorts now and then, or of one
/// sort nearly always.
pub struct Weather(Option<Mutex<Spells>>);

struct Spells {
    rng: Rng,
    until: Instant,
    kind: Kind,
    is_over: bool,
    counts: BTreeMap<Fault, usize>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Calm,
    Mixed,
    Storm(Fault),
}

impl Weather {
    /// No faults.
    pub fn fair() -> Self {
        Self(None)
    }

    pub fn changing(seed: u64) -> Self {
        Self(Some(Mutex::new(Spells {
            rng: Rng::with_seed(seed),
            until: Instant::now(),
            kind: Kind::Calm,
            is_over: false,
            counts: BTreeMap::new(),
        })))
    }

    /// No more faults from here on.
    pub fn clear_up(&self) {
        if let Some(spells) = &self.0 {
            spells.lock().is_over = true;
        }
    }

    /// The fault that a request for a path meets.
    pub fn strike(&self, path: &str) -> Option<Fault> {
        let mut spells = self.0.as_ref()?.lock();
        if spells.is_over {
            return None;
        }
        if Instant::now() >= spells.until {
            spells.change();
        }
        let possible = faults_of(path);
        let dice = spells.rng.u32(0..100);
        match spells.kind {
            Kind::Mixed if dice < 30 => spells.rng.choice(possible),
            Kind::Storm(fault) if dice < 85 => Some(fault).filter(|it| possible.contains(it)),
            Kind::Calm | Kind::Mixed | Kind::Storm(_) => None,
        }
    }

    /// Counts a fault that was committed.
    pub fn committed(&self, fault: Fault) {
        if let Some(spells) = &self.0 {
            *spells.lock().counts.entry(fault).or_default() += 1;
        }
    }

    pub fn counts(&self) -> BTreeMap<Fault, usize> {
        self.0
            .as_ref()
            .map(|spells| spells.lock().counts.clone())
            .unwrap_or_default()
    }
}

impl Spells {
    fn change(&mut self) {
        let all = [&COMMON[..], &FRONT_END, &SUBMISSION, &STATUS, &LOGS].concat();
        self.kind = match self.rng.u32(0..10) {
            0..=2 => Kind::Calm,
            3..=6 => Kind::Mixed,
            _ => self.rng.choice(all).map_or(Kind::Mixed, Kind::Storm),
        };
        self.until = Instant::now() + Duration::from_millis(self.rng.u64(500..3000));
    }
}
