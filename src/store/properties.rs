//! What becomes of any record on disk.

use std::{collections::HashSet, fmt::Debug, time::Duration};

use serde::Serialize;

use super::{
    record,
    recover::{recover_whole, Recovered},
    table::{Contents, Table, Write},
};
use crate::{
    config::Config,
    convert,
    model::{CriConfig, Nanos},
    plan::owed,
};

/// Rows, one a line: a letter for the table, the key, a space, and the value. `s` sandboxes, `c`
/// containers, `p` pods and `i` images have JSON there, for which the header is made; a capital
/// letter means that the value is the record with its header. `l` is a log position, `v` a value.
///
/// Each gives an error or a record, a record is written as it was read, and what is put together
/// from all of them is written and read back as it is.
pub fn any_records(data: &[u8]) {
    let rows: Vec<_> = data.split(|byte| *byte == b'\n').filter_map(row).collect();
    for (table, _, value) in &rows {
        match table {
            Table::Sandboxes => stays(value, record::sandbox, |r| written(r, &r.config)),
            Table::Containers => stays(value, record::container, |r| written(r, &r.config)),
            Table::Pods => stays(value, record::pod, |r| record::encode(r, &[])),
            Table::Images => stays(value, record::image, |r| record::encode(r, &[])),
            Table::LogPositions | Table::Values | Table::SetAside => {}
        }
    }
    let found = match recover_whole(&by_table(rows)) {
        Ok(found) => found,
        Err((record, error)) => {
            assert!(!record.is_empty() && matches!(error, record::Error::TooNew(_)));
            return;
        }
    };
    is_written_as_it_is(&found);
    can_be_gone_on_with(&found);
}

fn written(record: &impl Serialize, config: &CriConfig) -> Vec<u8> {
    record::encode(record, config.whole().expect("all of it was read"))
}

fn row(line: &[u8]) -> Option<(Table, String, Vec<u8>)> {
    let (letter, rest) = line.split_first()?;
    let at = rest.iter().position(|byte| *byte == b' ')?;
    let key = String::from_utf8_lossy(&rest[..at]).into_owned();
    let value = &rest[at + 1..];
    let table = match letter.to_ascii_lowercase() {
        b's' => Table::Sandboxes,
        b'c' => Table::Containers,
        b'p' => Table::Pods,
        b'i' => Table::Images,
        b'l' => Table::LogPositions,
        b'v' => Table::Values,
        _ => return None,
    };
    let value = match table {
        Table::LogPositions | Table::Values => value.to_vec(),
        _ if letter.is_ascii_uppercase() => value.to_vec(),
        _ => record::with_header(value, &[]),
    };
    Some((table, key, value))
}

/// The rows of each table together; of two with one key the last, as on disk.
fn by_table(rows: impl IntoIterator<Item = (Table, String, Vec<u8>)>) -> Contents {
    let mut last: Vec<(Table, String, Vec<u8>)> = Vec::new();
    for row in rows {
        last.retain(|known| (known.0, &known.1) != (row.0, &row.1));
        last.push(row);
    }
    let of_table = |table: Table| {
        let rows = last.iter().filter(move |row| row.0 == table);
        (table, rows.map(|row| (&row.1, &row.2)).collect())
    };
    Table::ALL.into_iter().map(of_table).collect()
}

fn stays<T: PartialEq + Debug>(
    value: &[u8],
    read: fn(&[u8]) -> Result<T, record::Error>,
    write: fn(&T) -> Vec<u8>,
) {
    match read(value) {
        Ok(record) => {
            let written = write(&record);
            let again = read(&written);
            assert_eq!(again.as_ref(), Ok(&record));
            assert_eq!(again.map(|again| write(&again)), Ok(written));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// All pods in one journal, as after a start; read again they are the same, and nothing is amiss.
fn is_written_as_it_is(found: &Recovered) {
    let ids: HashSet<_> = found.pods.iter().map(|pod| &pod.sandbox.id).collect();
    assert_eq!(ids.len(), found.pods.len(), "no two pods have one id");
    let writes = found
        .pods
        .iter()
        .flat_map(|pod| record::difference(None, Some(pod)).expect("all of it was read"))
        .chain(found.images.iter().map(record::put_image));
    let again =
        recover_whole(&by_table(writes.filter_map(Write::into_row))).expect("our own version");
    assert_eq!(again.damage, []);
    assert_eq!(again.pods, found.pods);
    assert_eq!(again.images, found.images);
}

/// Whatever was read, what is owed can be worked out, and who is meant by each job.
fn can_be_gone_on_with(found: &Recovered) {
    let config = Config::default();
    let rules = crate::profile::rules(&config);
    let settings = convert::Settings::new(&config).expect("the defaults are good");
    for pod in &found.pods {
        for now in [Nanos(i64::MIN), Nanos(0), Nanos(i64::MAX)] {
            let owed = owed::next(pod, now, &rules);
            assert!(owed.is_none_or(|owed| owed.due >= now));
        }
        for job in &pod.jobs {
            let _ = convert::status_pod(pod, job, &settings);
            let _ = convert::delete_pod(pod, job, Duration::ZERO, &settings);
            for id in &job.containers {
                let _ = convert::log_target(pod, job, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of the seeds, any of which may be damaged or missing.
    fn rows() -> Vec<Vec<u8>> {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/records");
        let files = std::fs::read_dir(seeds).expect("seeds");
        let texts = files.map(|file| std::fs::read(file.expect("a seed").path()).expect("reads"));
        let mut rows: Vec<_> = texts
            .flat_map(|text| {
                text.split(|byte| *byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows.dedup();
        rows
    }

    proptest! {
        #[test]
        fn any_part_of_a_store_reads_back(
            rows in proptest::sample::subsequence(rows(), 0..12),
            damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut data = rows.join(&b'\n');
            if let (Some((index, byte)), false) = (damage, data.is_empty()) {
                let index = index.index(data.len());
                data[index] = byte;
            }
            any_records(&data);
        }
    }
}
