use std::{fs, sync::Arc};

use proptest::prelude::*;

use super::super::{
    journal::Journal,
    table::{Table, Write},
};
use crate::{
    model::{Pod, SystemClock},
    plan::testing,
    store::Store,
};

fn open(directory: &std::path::Path) -> Store {
    let (wake, _) = crossbeam_channel::unbounded();
    Store::open(directory, Arc::new(SystemClock), wake).expect("it opens")
}

/// A state with as many pods of two containers; what they are called.
fn filled(directory: &std::path::Path, count: usize) -> Vec<Pod> {
    let store = open(directory);
    for number in 0..count {
        let mut pod = testing::pod(&[]);
        let sandbox = Arc::make_mut(&mut pod.sandbox);
        sandbox.id = format!("sandbox-{number}").as_str().into();
        sandbox.name = format!("pod-{number}");
        let id = sandbox.id.clone();
        store.add_sandbox(sandbox.clone()).expect("added");
        let added = store.update::<_, crate::store::Error>(&id, |pod| {
            for name in ["main", "side"] {
                let mut container = testing::container(pod, name, 0);
                container.id = format!("{name}-{number}").as_str().into();
                pod.add_container(container);
            }
            Ok(())
        });
        added.expect("changed");
    }
    let mut pods: Vec<Pod> = store.pods().iter().map(|pod| (**pod).clone()).collect();
    pods.sort_by(|a, b| a.sandbox.id.cmp(&b.sandbox.id));
    pods
}

fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_file_that_is_no_store_is_set_aside() {
    let dir = tempfile::tempdir().expect("dir");
    fs::write(dir.path().join("state.redb"), vec![7; 100_000]).expect("writes");
    assert!(open(dir.path()).pods().is_empty());
    let names = names(dir.path());
    let aside = names
        .iter()
        .find(|name| name.starts_with("state.redb.damaged-"));
    let bytes = fs::read(dir.path().join(aside.expect("set aside"))).expect("reads");
    assert_eq!(bytes, vec![7; 100_000], "it is kept as it was");
}

#[test]
fn a_damaged_record_is_set_aside_once_and_its_pod_left_out() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path(), 2);
    let (journal, _) = Journal::open(dir.path()).expect("opens");
    let write = Write::put(Table::Pods, "sandbox-0", vec![2, 0, 0, 0, 9]);
    journal.commit(vec![write]).expect("written");
    drop(journal);
    for _ in 0..2 {
        let store = open(dir.path());
        let pods = store.pods();
        assert_eq!(pods.len(), 1);
        assert_eq!(pods[0].sandbox.name, "pod-1");
        assert_eq!(pods[0].containers.len(), 2);
    }
    let (journal, contents) = Journal::open(dir.path()).expect("opens");
    let left = contents.iter().flat_map(|(_, rows)| rows.iter());
    assert!(left.clone().count() > 0);
    assert!(
        left.clone().all(|(key, _)| !key.ends_with("-0")),
        "nothing of it is read again"
    );
    drop(journal);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever bytes are overwritten or cut off: the state opens, what it shows is true, and when
    /// something is missing the whole file is kept.
    #[test]
    fn damage_is_survived(at in 0_f64..1.0, length in 1_usize..6000, cut in any::<bool>()) {
        let dir = tempfile::tempdir().expect("dir");
        let written = filled(dir.path(), 40);
        let path = dir.path().join("state.redb");
        let mut bytes = fs::read(&path).expect("reads");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (bytes.len() as f64 * at) as usize;
        if cut {
            bytes.truncate(at);
        } else {
            let end = bytes.len().min(at + length);
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        fs::write(&path, &bytes).expect("writes");
        let store = open(dir.path());
        let pods = store.pods();
        for pod in &pods {
            let same = written.iter().find(|other| other.sandbox.id == pod.sandbox.id);
            let same = same.expect("one of those that were written");
            prop_assert_eq!(&pod.sandbox, &same.sandbox);
            for entry in &pod.containers {
                prop_assert!(same.containers.contains(entry));
            }
        }
        if pods.len() < written.len() {
            let kept = names(dir.path()).iter().any(|name| name.contains("damaged"));
            prop_assert!(kept || cut && at == 0, "the damaged file is kept");
        }
        // And it can be written again.
        store.set_pod_cidr("10.0.0.0/24").expect("written");
    }
}
