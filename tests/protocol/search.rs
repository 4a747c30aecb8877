//! Breadth first over all states, so that the trace of a violation is a shortest one.

use std::collections::{HashMap, VecDeque};

use crate::{fair::Known, world::World};

/// What a search has found.
pub struct Outcome {
    pub states: usize,
    pub transitions: usize,
    pub depth: usize,
    /// What is broken, and how it comes to that.
    pub violation: Option<String>,
}

/// Explores all that can follow. Every state is checked; from every state, the way to the end
/// that is there when nothing fails any more must lead to a good one.
pub fn explore(start: World) -> Outcome {
    let mut seen: HashMap<u128, (u128, String)> = HashMap::new();
    let mut known = Known::default();
    let mut queue = VecDeque::new();
    let key = start.key();
    seen.insert(key, (key, "the beginning".to_owned()));
    queue.push_back((key, 0, start));
    let mut outcome = Outcome {
        states: 1,
        transitions: 0,
        depth: 0,
        violation: None,
    };
    while let Some((key, depth, world)) = queue.pop_front() {
        outcome.depth = depth;
        if let Err(what) = known.leads_to_a_good_end(&world) {
            outcome.violation = Some(trace(&seen, key, &what));
            return outcome;
        }
        for (label, next) in world.steps() {
            outcome.transitions += 1;
            let next_key = next.key();
            if seen.contains_key(&next_key) {
                continue;
            }
            seen.insert(next_key, (key, label));
            outcome.states += 1;
            if let Err(what) = next.check(&world) {
                outcome.violation = Some(trace(&seen, next_key, &what));
                return outcome;
            }
            queue.push_back((next_key, depth + 1, next));
        }
    }
    outcome
}

fn trace(seen: &HashMap<u128, (u128, String)>, mut key: u128, what: &str) -> String {
    let mut steps = Vec::new();
    while let Some((parent, label)) = seen.get(&key) {
        steps.push(label.as_str());
        if *parent == key {
            break;
        }
        key = *parent;
    }
    steps.reverse();
    format!("{what}, after:\n  {}", steps.join("\n  "))
}
