//! Puts the state together again from what is on disk.
//!
//! It takes for granted that everything of one transition was written in one transaction. What
//! contradicts that is damage: it is left out of the state, reported, and set aside on disk.

use std::{
    collections::{HashMap, HashSet},
    num::NonZero,
    panic::resume_unwind,
    thread,
};

use super::{record, rows::Rows, table::Table};
use crate::model::{Container, ContainerId, Image, Pod, Sandbox};

/// What was found on disk.
#[derive(Default)]
pub struct Recovered {
    /// Pods, tombstones included.
    pub pods: Vec<Pod>,
    /// Images.
    pub images: Vec<Image>,
    /// How far container logs were written.
    pub log_positions: HashMap<ContainerId, Vec<u8>>,
    /// Containers that are gone, and whose log positions are not.
    pub stale_positions: Vec<ContainerId>,
    /// Single values.
    pub values: HashMap<String, Vec<u8>>,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// Something that could not be read, or belongs to nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// In words, for the log.
    pub what: String,
    /// The row that is of no use, if it is one that is there.
    pub row: Option<(Table, String)>,
}

impl Damage {
    fn row(table: Table, key: &str, what: String) -> Self {
        Self {
            what,
            row: Some((table, key.to_owned())),
        }
    }
}

/// What reads the records of containers and of sandboxes.
type Readers = (Reader<Container>, Reader<Sandbox>);
type Reader<T> = fn(&[u8]) -> Result<T, record::Error>;

/// Reads what the journal found, and leaves the configurations to the disk.
///
/// # Errors
/// A record of a newer daemon: going on without it would lose it.
pub fn recover(contents: &[(Table, Rows)]) -> Result<Recovered, (String, record::Error)> {
    recover_with(contents, (container_without_config, sandbox_without_config))
}

/// The same with the configurations, so that what was read can be written again.
///
/// # Errors
/// Those of [`recover`].
#[cfg(any(test, fuzzing))]
pub fn recover_whole(contents: &[(Table, Rows)]) -> Result<Recovered, (String, record::Error)> {
    recover_with(contents, (record::container, record::sandbox))
}

fn recover_with(
    contents: &[(Table, Rows)],
    (container, sandbox): Readers,
) -> Result<Recovered, (String, record::Error)> {
    let rows = |wanted: Table| {
        contents
            .iter()
            .filter(move |(table, _)| *table == wanted)
            .flat_map(|(_, rows)| rows.iter())
    };
    let mut found = Recovered {
        log_positions: rows(Table::LogPositions)
            .map(|(key, value)| (key.into(), value.to_vec()))
            .collect(),
        values: rows(Table::Values)
            .map(|(key, value)| (key.to_owned(), value.to_vec()))
            .collect(),
        ..Recovered::default()
    };
    let damage = &mut found.damage;
    let images = decode(
        (Table::Images, rows(Table::Images)),
        record::image,
        |image| Some(&image.id),
        damage,
    )?;
    found.images = images.into_iter().map(|(_, image)| image).collect();
    let containers = decode(
        (Table::Containers, rows(Table::Containers)),
        container,
        |container| Some(container.id.as_str()),
        damage,
    )?;
    let mut containers: HashMap<&str, Container> = containers.into_iter().collect();
    let records = decode(
        (Table::Pods, rows(Table::Pods)),
        record::pod,
        |_| None,
        damage,
    )?;
    let mut records: HashMap<&str, record::PodRecord> = records.into_iter().collect();
    let sandboxes = decode(
        (Table::Sandboxes, rows(Table::Sandboxes)),
        sandbox,
        |sandbox| Some(sandbox.id.as_str()),
        damage,
    )?;
    for (key, sandbox) in sandboxes {
        let Some(record) = records.remove(sandbox.id.as_str()) else {
            let what = format!("sandbox {key} has no pod record");
            damage.push(Damage::row(Table::Sandboxes, key, what));
            continue;
        };
        let (pod, missing) = record.assemble(sandbox, &mut containers);
        damage.extend(missing.iter().map(|id| Damage {
            what: format!("container {id} of sandbox {key} is missing"),
            row: None,
        }));
        found.pods.push(pod);
    }
    damage.extend(records.keys().map(|id| {
        let what = format!("the pod record of sandbox {id} has no sandbox");
        Damage::row(Table::Pods, id, what)
    }));
    damage.extend(containers.keys().map(|id| {
        let what = format!("container {id} belongs to no pod");
        Damage::row(Table::Containers, id, what)
    }));
    let pods = found.pods.iter();
    let ids: HashSet<_> = pods
        .flat_map(|pod| &pod.containers)
        .map(|entry| entry.id().clone())
        .collect();
    let stale = found.log_positions.extract_if(|id, _| !ids.contains(id));
    found.stale_positions = stale.map(|(id, _)| id).collect();
    Ok(found)
}

/// Reads a container, whose configuration stays on disk. It goes before the next one is read, which can have its
/// memory; of all of them together, holes would be left between the records.
fn container_without_config(bytes: &[u8]) -> Result<Container, record::Error> {
    record::container(bytes).map(|mut container| {
        container.config.let_go();
        container
    })
}

/// The same of a sandbox.
fn sandbox_without_config(bytes: &[u8]) -> Result<Sandbox, record::Error> {
    record::sandbox(bytes).map(|mut sandbox| {
        sandbox.config.let_go();
        sandbox
    })
}

/// Fewer rows than these are not worth a thread.
const ROWS_OF_A_THREAD: usize = 256;
/// More threads than these would wait for memory.
const MAX_THREADS: usize = 8;

/// Reads rows on all cores: with ten thousand containers that is most of what a start takes.
fn read_all<T: Send>(
    rows: &[(&str, &[u8])],
    read: fn(&[u8]) -> Result<T, record::Error>,
) -> Vec<Result<T, record::Error>> {
    let read =
        |rows: &[(&str, &[u8])]| -> Vec<_> { rows.iter().map(|(_, value)| read(value)).collect() };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let part = rows
        .len()
        .div_ceil(cores.min(MAX_THREADS))
        .max(ROWS_OF_A_THREAD);
    let Some((first, others)) = rows.split_at_checked(part) else {
        return read(rows);
    };
    thread::scope(|scope| {
        let others = others.chunks(part);
        let others: Vec<_> = others.map(|part| scope.spawn(move || read(part))).collect();
        let mut all = read(first);
        for other in others {
            // A panic has ended the process by then, or goes on here.
            all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        all
    })
}

fn decode<'a, T: Send>(
    (table, rows): (Table, impl Iterator<Item = (&'a str, &'a [u8])>),
    read: fn(&[u8]) -> Result<T, record::Error>,
    own_id: fn(&T) -> Option<&str>,
    damage: &mut Vec<Damage>,
) -> Result<Vec<(&'a str, T)>, (String, record::Error)> {
    let rows: Vec<_> = rows.collect();
    let mut good = Vec::with_capacity(rows.len());
    for (&(key, _), record) in rows.iter().zip(read_all(&rows, read)) {
        let name = || format!("{}/{key}", table.name());
        match record {
            // It would be written under its own id, and meet what is there.
            Ok(record) if own_id(&record).is_some_and(|id| id != key) => {
                damage.push(Damage::row(
                    table,
                    key,
                    format!("{}: it has another id", name()),
                ));
            }
            Ok(record) => good.push((key, record)),
            Err(error @ record::Error::TooNew(_)) => return Err((name(), error)),
            Err(error) => damage.push(Damage::row(table, key, format!("{}: {error}", name()))),
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{container, pod};

    #[test]
    fn a_record_under_another_id_than_its_own_is_damage() {
        let pod = pod(&[]);
        let row = |key: &str| {
            let container = container(&pod, "a", 0);
            (key.to_owned(), record::encode(&container, &[]))
        };
        let rows = vec![row("a-0"), row("b-0")];
        let rows = rows.into_iter().collect();
        let found = recover(&[(Table::Containers, rows)]).expect("our version");
        let damage = |key: &str, what: &str| Damage::row(Table::Containers, key, what.into());
        let want = [
            damage("b-0", "containers/b-0: it has another id"),
            damage("a-0", "container a-0 belongs to no pod"),
        ];
        assert_eq!(found.damage, want);
    }

    #[test]
    fn rows_that_many_threads_read_come_in_their_order() {
        let pod = pod(&[]);
        let rows: Rows = (0..3 * ROWS_OF_A_THREAD + 7)
            .map(|number| {
                let mut container = container(&pod, "a", 0);
                container.id = format!("{number:06}").as_str().into();
                let value = match number % 100 {
                    99 => b"nothing".to_vec(),
                    _ => record::encode(&container, &[]),
                };
                (format!("{number:06}"), value)
            })
            .collect();
        let mut damage = Vec::new();
        let good = decode(
            (Table::Containers, rows.iter()),
            record::container,
            |container| Some(container.id.as_str()),
            &mut damage,
        );
        let good = good.expect("our version");
        let keys: Vec<_> = good.iter().map(|(key, _)| *key).collect();
        let want = rows.iter().filter(|(_, value)| *value != b"nothing");
        assert_eq!(keys, want.map(|(key, _)| key).collect::<Vec<_>>());
        assert_eq!(damage.len(), rows.len() / 100);
    }
}
