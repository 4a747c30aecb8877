//! Ends the wait for stops whose time is over. A thread of its own: a stop must not wait longer because
//! the worker that has the pod in hand, or every worker, is busy with a call to a plugin that hangs.

use std::{collections::HashMap, time::Duration};

use crossbeam_channel::{select, Receiver};

use super::{changes::Hold, Context};
use crate::{
    model::{Nanos, SandboxId},
    plan::stopping,
    threads,
};

/// The longest sleep; also how soon a step of the wall clock is noticed.
const LONGEST: Duration = Duration::from_secs(30);
/// In between there are waits for the state's disk alone.
const LIMIT: Duration = Duration::from_secs(90);
/// Pause before another attempt where the disk takes no changes.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What `dispatch` tells of a pod that has changed: when the time for a stop is over, if one is under way.
pub type Told = (SandboxId, Option<Nanos>);

/// Runs until told to stop.
pub fn run(context: &Context, told: &Receiver<Told>, stop: &Receiver<()>) {
    let mut deadlines: HashMap<SandboxId, Nanos> = HashMap::new();
    loop {
        threads::beat("stops", LIMIT);
        let now = context.store.clock().now();
        let first = deadlines.values().min();
        let pause = first.map_or(LONGEST, |first| first.until(now).min(LONGEST));
        select! {
            recv(stop) -> _ => return,
            recv(told) -> told => match told {
                Ok((id, Some(deadline))) => {
                    deadlines.insert(id, deadline);
                }
                Ok((id, None)) => {
                    deadlines.remove(&id);
                }
                Err(_) => return,
            },
            default(pause) => {
                let ids: Vec<_> = deadlines.keys().cloned().collect();
                for id in ids {
                    look_at(context, &id, &mut deadlines);
                }
            }
        }
    }
}

/// Ends the wait for what is due of a pod, and notes when the next is.
fn look_at(context: &Context, id: &SandboxId, deadlines: &mut HashMap<SandboxId, Nanos>) {
    let hold = context.change(id, |pod, now| {
        stopping::time_is_over(pod, now, &context.rules);
    });
    let pod = context.store.pod(id);
    match pod.and_then(|pod| stopping::next_deadline(&pod)) {
        Some(deadline) if hold == Hold::No => deadlines.insert(id.clone(), deadline),
        Some(_) => {
            let now = context.store.clock().now();
            deadlines.insert(id.clone(), now.plus(DISK_PAUSE))
        }
        None => deadlines.remove(id),
    };
}
