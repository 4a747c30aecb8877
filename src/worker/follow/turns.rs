//! The logs that no thread follows: one thread reads them in turn, each whole.

use std::time::{Duration, Instant};

use crossbeam_channel::{at, never, select, Receiver};

use super::{
    super::{logs, Context},
    running::{entry_of, origin, Target},
};
use crate::{daemon_log::Scope, interlink::Client, plan::log_turns::Turns, threads, traces};

/// Reads until told to stop. Each list names all of them anew.
pub fn run(
    context: &Context,
    client: &Client,
    lists: &Receiver<Vec<Target>>,
    interval: Duration,
    stop: &Receiver<()>,
) {
    let timeout = context.config.logs.complete_timeout;
    let limit = interval.saturating_add(timeout).saturating_mul(3);
    let mut turns = Turns::<Target>::new(interval);
    loop {
        let next = turns.next().map(|(target, due)| (target.clone(), due));
        threads::idle();
        let wait = next.as_ref().map_or_else(never, |(_, due)| at(*due));
        select! {
            recv(stop) -> _ => return,
            recv(lists) -> list => match list {
                Ok(list) => turns.set(list, Instant::now()),
                Err(_) => return,
            },
            recv(wait) -> _ => {
                let Some((target, _)) = next else { continue };
                threads::beat("log-poll", limit);
                let bytes = read(context, client, &target);
                turns.was_read(&target, bytes, Instant::now());
            }
        }
    }
}

/// Reads a log, and gives how long it is.
fn read(context: &Context, client: &Client, target: &Target) -> Option<u64> {
    let pod = context.store.pod(&target.sandbox)?;
    let entry = entry_of(&pod, &target.container)?;
    let _scope = Scope::of_container(&pod, &entry);
    let fetch = || logs::fetch(context, client, &pod, &entry, false);
    if let Err(error) = traces::on_behalf(origin(&pod, &entry), fetch) {
        log::debug!(error; "cannot read its log, and tries again");
        return None;
    }
    let log = context.logs.get(&target.container)?;
    log.begin().ok().map(|fetch| fetch.bytes())
}
