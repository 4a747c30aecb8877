//! Puts the state together again from what is on disk.
//!
//! It takes for granted that everything of one transition was written in one transaction. What
//! contradicts that is damage: it is left out of the state, reported, and set aside on disk.

use std::collections::{HashMap, HashSet};

use super::{
    record,
    table::{Rows, Table},
};
use crate::model::{Container, ContainerId, Image, Pod, SandboxId};

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

/// Reads what the journal found.
///
/// # Errors
/// A record of a newer daemon: going on without it would lose it.
pub fn recover(contents: &[Rows]) -> Result<Recovered, (String, record::Error)> {
    let rows = |wanted: Table| {
        contents
            .iter()
            .filter(move |(table, _)| *table == wanted)
            .flat_map(|(_, rows)| rows)
    };
    let mut found = Recovered {
        log_positions: rows(Table::LogPositions)
            .map(|(key, value)| (key.as_str().into(), value.clone()))
            .collect(),
        values: rows(Table::Values).cloned().collect(),
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
        record::container,
        |container| Some(container.id.as_str()),
        damage,
    )?;
    let mut containers: HashMap<ContainerId, Container> = containers
        .into_iter()
        .map(|(key, container)| (key.as_str().into(), container))
        .collect();
    let records = decode(
        (Table::Pods, rows(Table::Pods)),
        record::pod,
        |_| None,
        damage,
    )?;
    let mut records: HashMap<SandboxId, record::PodRecord> = records
        .into_iter()
        .map(|(key, pod)| (key.as_str().into(), pod))
        .collect();
    let sandboxes = decode(
        (Table::Sandboxes, rows(Table::Sandboxes)),
        record::sandbox,
        |sandbox| Some(sandbox.id.as_str()),
        damage,
    )?;
    for (key, sandbox) in sandboxes {
        let Some(record) = records.remove(&sandbox.id) else {
            let what = format!("sandbox {key} has no pod record");
            damage.push(Damage::row(Table::Sandboxes, &key, what));
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
        Damage::row(Table::Pods, id.as_str(), what)
    }));
    damage.extend(containers.keys().map(|id| {
        let what = format!("container {id} belongs to no pod");
        Damage::row(Table::Containers, id.as_str(), what)
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

fn decode<'a, T>(
    (table, rows): (Table, impl Iterator<Item = &'a (String, Vec<u8>)>),
    read: fn(&[u8]) -> Result<T, record::Error>,
    own_id: fn(&T) -> Option<&str>,
    damage: &mut Vec<Damage>,
) -> Result<Vec<(String, T)>, (String, record::Error)> {
    let mut good = Vec::new();
    for (key, value) in rows {
        let name = format!("{}/{key}", table.name());
        match read(value) {
            // It would be written under its own id, and meet what is there.
            Ok(record) if own_id(&record).is_some_and(|id| id != key) => {
                damage.push(Damage::row(
                    table,
                    key,
                    format!("{name}: it has another id"),
                ));
            }
            Ok(record) => good.push((key.clone(), record)),
            Err(error @ record::Error::TooNew(_)) => return Err((name, error)),
            Err(error) => damage.push(Damage::row(table, key, format!("{name}: {error}"))),
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
        let found = recover(&[(Table::Containers, rows)]).expect("our version");
        let damage = |key: &str, what: &str| Damage::row(Table::Containers, key, what.into());
        let want = [
            damage("b-0", "containers/b-0: it has another id"),
            damage("a-0", "container a-0 belongs to no pod"),
        ];
        assert_eq!(found.damage, want);
    }
}
