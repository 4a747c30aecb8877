//! The store as it is when the daemon starts: what is on disk, and what of it can be read.

use std::{path::Path, sync::Arc};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};

use super::{
    budget::Budget,
    events::Subscribers,
    journal::Journal,
    recover,
    revision::Revision,
    table::{self, Table, Write},
    taken::Taken,
    transitions::Transitions,
    watches::Watches,
    Cell, Error, Store, CLOCK, POD_CIDR,
};
use crate::{
    config::policy::Limits,
    model::{Clock, ClockMark, Resumed, SandboxId},
};

impl Store {
    /// Opens the state in a directory. Every pod that changes is named on `wake`; the channel may
    /// be unbounded, because its reader only notes the name and never blocks.
    ///
    /// # Errors
    /// A directory that cannot be used or is in use, a store that cannot be opened or comes from a
    /// newer daemon.
    pub fn open(
        directory: &Path,
        clock: Arc<dyn Clock>,
        wake: Sender<SandboxId>,
    ) -> Result<Self, Error> {
        let (journal, contents) = Journal::open(directory)?;
        let found = recover::recover(&contents).map_err(|(record, error)| Error::Record {
            record,
            reason: error.to_string(),
        })?;
        let mut aside = Vec::new();
        for damage in &found.damage {
            log::error!(
                "cannot read a record of the state: {}; it is left out",
                damage.what
            );
            aside.extend(
                damage
                    .row
                    .iter()
                    .flat_map(|(table, key)| set_aside(&contents, *table, key)),
            );
        }
        let stale = found.stale_positions.iter();
        let stale = stale.map(|id| Write::delete(Table::LogPositions, id.as_str()));
        journal.commit(stale.collect())?;
        if !aside.is_empty() {
            log::error!(
                "{} damaged records of the state are moved to the table `set_aside`",
                aside.len() / 2
            );
            journal.commit(aside)?;
        }
        log::info!(
            pods = found.pods.len();
            "the state has {} pods and {} images",
            found.pods.len(),
            found.images.len()
        );
        let mut taken = Taken::default();
        let sandboxes = found.pods.iter().map(|pod| &pod.sandbox);
        sandboxes.for_each(|sandbox| taken.note(sandbox));
        let owners = found.pods.iter().flat_map(|pod| {
            pod.containers
                .iter()
                .map(|entry| (entry.id().clone(), pod.sandbox.id.clone()))
        });
        let owners = owners.collect();
        let cidr = found
            .values
            .get(POD_CIDR)
            .map(|value| String::from_utf8_lossy(value).into_owned());
        let mark = found.values.get(CLOCK);
        // One that cannot be read is no worse than none.
        let mark = mark.and_then(|value| serde_json::from_slice::<ClockMark>(value).ok());
        // Without pods nothing was measured, and the wall clock is as good as any.
        let resumed = match mark.as_ref().filter(|_| !found.pods.is_empty()) {
            Some(mark) => clock.resume(mark),
            None => Resumed::SameBoot,
        };
        let budget = Budget::new(Limits::default(), found.pods.iter());
        let pods = found
            .pods
            .into_iter()
            .map(|pod| (pod.sandbox.id.clone(), Cell::new(pod)));
        let images = found
            .images
            .into_iter()
            .map(|image| (image.id.clone(), Arc::new(image)));
        Ok(Self {
            taken: Mutex::new(taken),
            pods: RwLock::new(pods.collect()),
            owners: RwLock::new(owners),
            images: RwLock::new(images.collect()),
            image_turn: Mutex::default(),
            pod_cidr: RwLock::new(cidr),
            log_positions: Mutex::new(found.log_positions),
            subscribers: Subscribers::default(),
            watches: Watches::default(),
            budget,
            journal,
            transitions: Transitions::default(),
            clock,
            clock_mark: Mutex::new(mark),
            resumed,
            wake,
            revision: Revision::default(),
        })
    }
}

/// The writes that move a row to where nobody reads it.
fn set_aside(contents: &table::Contents, table: Table, key: &str) -> Vec<Write> {
    let rows = contents.iter().filter(|(known, _)| *known == table);
    let found = rows
        .flat_map(|(_, rows)| rows.iter())
        .find(|(known, _)| *known == key);
    let Some((_, value)) = found else {
        return Vec::new();
    };
    let name = format!("{}/{key}", table.name());
    vec![
        Write::put(Table::SetAside, &name, value.to_vec()),
        Write::delete(table, key),
    ]
}
