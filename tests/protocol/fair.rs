//! What must come to pass when nothing fails any more.

use std::collections::HashSet;

use interlink_cri::{model::ContainerPhase, plan::lifecycle};

use crate::world::World;

/// More steps than any fair run needs.
const PATIENCE: usize = 400;

/// States from which a fair run is known to end well. Such a run has one way only, so that all
/// that was met on it is known with it.
#[derive(Default)]
pub struct Known {
    before_removal: HashSet<u128>,
    after_removal: HashSet<u128>,
}

impl Known {
    /// From here on nothing fails and nobody stops anything: every container that was started and
    /// not stopped has its one run and its end; and once the sandbox is removed, nothing is left.
    pub fn leads_to_a_good_end(&mut self, from: &World) -> Result<(), String> {
        let mut world = from.clone();
        world.budget = world.budget.spent();
        let met = run_until(&mut world, &self.before_removal, nothing_runs)
            .map_err(|why| format!("a container never ends: {why}"))?;
        if let Some(met) = met {
            self.before_removal.extend(met);
            return Ok(());
        }
        let way = world.clone();
        world.check_ends()?;
        let now = world.now;
        if let Some(pod) = &mut world.pod {
            lifecycle::remove_sandbox(pod, now);
        }
        world.forget();
        let met = run_until(&mut world, &self.after_removal, |world| world.pod.is_none())
            .map_err(|why| format!("what a removed pod is owed is never done: {why}"))?;
        match met {
            Some(met) => self.after_removal.extend(met),
            None => world.check_nothing_left()?,
        }
        self.before_removal.insert(way.key());
        Ok(())
    }
}

fn nothing_runs(world: &World) -> bool {
    let entries = world.pod.iter().flat_map(|pod| &pod.containers);
    let mut phases = entries.map(|entry| entry.status.phase());
    phases.all(|phase| phase != ContainerPhase::Running)
}

/// Runs until it is done; or until it comes to what is known, and then gives what it met.
fn run_until(
    world: &mut World,
    known: &HashSet<u128>,
    is_done: impl Fn(&World) -> bool,
) -> Result<Option<Vec<u128>>, String> {
    let mut met = Vec::new();
    for _ in 0..PATIENCE {
        let key = world.key();
        if known.contains(&key) {
            return Ok(Some(met));
        }
        if is_done(world) {
            return Ok(None);
        }
        met.push(key);
        *world = world.fair_step();
        world.check_runs()?;
    }
    Err(format!("{:?}", world.pod))
}
