//! Puts the state together again from what is on disk.
//!
//! It takes for granted that everything of one transition was written in one transaction. What
//! contradicts that is damage: it is left on disk, left out of the state, and reported.

use std::collections::HashMap;

use super::{
    journal::{Contents, Table},
    record,
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
    /// Single values.
    pub values: HashMap<String, Vec<u8>>,
    /// What could not be read, in words for the log.
    pub damage: Vec<String>,
}

/// Reads what the journal found.
///
/// # Errors
/// A record of a newer daemon: going on without it would lose it.
pub fn recover(contents: Contents) -> Result<Recovered, (String, record::Error)> {
    let mut tables: HashMap<&str, Vec<(String, Vec<u8>)>> = HashMap::new();
    let mut found = Recovered::default();
    for (table, rows) in contents {
        match table {
            Table::Sandboxes => tables.insert("sandboxes", rows),
            Table::Containers => tables.insert("containers", rows),
            Table::Pods => tables.insert("pods", rows),
            Table::Images => tables.insert("images", rows),
            Table::LogPositions => {
                let rows = rows.into_iter();
                found.log_positions = rows
                    .map(|(key, value)| (key.as_str().into(), value))
                    .collect();
                None
            }
            Table::Values => {
                found.values = rows.into_iter().collect();
                None
            }
        };
    }
    let mut rows = |name| tables.remove(name).unwrap_or_default();
    let damage = &mut found.damage;
    found.images = decode(
        "image",
        rows("images"),
        record::image,
        |image| Some(&image.id),
        damage,
    )?
    .into_iter()
    .map(|(_, image)| image)
    .collect();
    let containers = decode(
        "container",
        rows("containers"),
        record::container,
        |container| Some(container.id.as_str()),
        damage,
    )?;
    let mut containers: HashMap<ContainerId, Container> = containers
        .into_iter()
        .map(|(key, container)| (key.as_str().into(), container))
        .collect();
    let mut records: HashMap<SandboxId, record::PodRecord> =
        decode("pod", rows("pods"), record::pod, |_| None, damage)?
            .into_iter()
            .map(|(key, pod)| (key.as_str().into(), pod))
            .collect();
    for (key, sandbox) in decode(
        "sandbox",
        rows("sandboxes"),
        record::sandbox,
        |sandbox| Some(sandbox.id.as_str()),
        damage,
    )? {
        let Some(record) = records.remove(&sandbox.id) else {
            damage.push(format!("sandbox {key} has no pod record"));
            continue;
        };
        let (pod, missing) = record.assemble(sandbox, &mut containers);
        damage.extend(
            missing
                .iter()
                .map(|id| format!("container {id} of sandbox {key} is missing")),
        );
        found.pods.push(pod);
    }
    damage.extend(
        records
            .keys()
            .map(|id| format!("the pod record of sandbox {id} has no sandbox")),
    );
    damage.extend(
        containers
            .keys()
            .map(|id| format!("container {id} belongs to no pod")),
    );
    Ok(found)
}

fn decode<T>(
    kind: &str,
    rows: Vec<(String, Vec<u8>)>,
    read: fn(&[u8]) -> Result<T, record::Error>,
    own_id: fn(&T) -> Option<&str>,
    damage: &mut Vec<String>,
) -> Result<Vec<(String, T)>, (String, record::Error)> {
    let mut good = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        match read(&value) {
            // It would be written under its own id, and meet what is there.
            Ok(record) if own_id(&record).is_some_and(|id| id != key) => {
                damage.push(format!("{kind} {key}: it has another id"));
            }
            Ok(record) => good.push((key, record)),
            Err(error @ record::Error::TooNew(_)) => return Err((format!("{kind} {key}"), error)),
            Err(error) => damage.push(format!("{kind} {key}: {error}")),
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
        let found = recover(vec![(Table::Containers, rows)]).expect("our version");
        let want = [
            "container b-0: it has another id",
            "container a-0 belongs to no pod",
        ];
        assert_eq!(found.damage, want);
    }
}
