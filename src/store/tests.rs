//! The store against a real disk.

use std::{path::Path, time::Duration};

use crossbeam_channel::{unbounded, Receiver};

use super::*;
use crate::{
    convert,
    model::{ContainerPhase, ManualClock, Sandbox, SandboxPhase},
    plan::{
        batch, lifecycle,
        testing::{container, pod},
    },
};

fn open(directory: &Path) -> (Store, Receiver<SandboxId>) {
    let (wake, woken) = unbounded();
    let clock = Arc::new(ManualClock::at(Nanos(1_000)));
    (Store::open(directory, clock, wake).expect("opens"), woken)
}

fn sandbox(name: &str) -> Sandbox {
    let template = Arc::unwrap_or_clone(pod(&[]).sandbox);
    Sandbox {
        id: SandboxId::random(),
        name: name.into(),
        config: convert::sandbox_config(Arc::from(*b"proto")),
        ..template
    }
}

/// Adds a sandbox with one started container.
fn running(store: &Store, name: &str) -> (SandboxId, ContainerId) {
    let sandbox = sandbox(name);
    let id = sandbox.id.clone();
    store.add_sandbox(sandbox).expect("added");
    let container = store
        .update(&id, |pod| {
            let mut new = container(pod, "main", 0);
            (new.id, new.sandbox_id) = (ContainerId::random(), pod.sandbox.id.clone());
            let id = new.id.clone();
            pod.add_container(new);
            batch::start(pod, &id, Nanos(2_000)).expect("starts");
            Ok::<_, Error>(id)
        })
        .expect("updated");
    (id, container)
}

#[test]
fn everything_is_back_after_opening_again() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, container) = running(&store, "a");
    let before = store.pod(&id).expect("there");
    store.set_pod_cidr("10.1.0.0/24").expect("kept");
    store
        .put_log_position(&container, b"7".to_vec())
        .expect("kept");
    drop(store);

    let (store, _woken) = open(dir.path());
    assert_eq!(store.pod(&id).expect("there"), before);
    assert_eq!(store.pod_of(&container).expect("there").sandbox.id, id);
    assert_eq!(store.pod_cidr().as_deref(), Some("10.1.0.0/24"));
    assert_eq!(store.take_log_position(&container), Some(b"7".to_vec()));
    assert!(matches!(
        store.add_sandbox(sandbox("a")),
        Err(Error::Exists { .. })
    ));
}

#[test]
fn a_removed_pod_stays_until_its_jobs_are_settled() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, woken) = open(dir.path());
    let (id, container) = running(&store, "a");
    let submit = |pod: &mut Pod| {
        pod.jobs[0].submission = crate::model::Submission::Submitted { at: Nanos(3_000) };
        lifecycle::remove_sandbox(pod, Nanos(4_000));
        Ok::<_, Error>(())
    };
    store.update(&id, submit).expect("updated");
    assert!(store.pod_of(&container).is_none());
    assert_eq!(store.resolve_sandbox(id.as_str()), Ok(None));
    store
        .add_sandbox(sandbox("a"))
        .expect("the name is free again");
    drop(store);

    let (store, _woken2) = open(dir.path());
    assert_eq!(
        store.pod(&id).expect("the tombstone").phase(),
        SandboxPhase::Removed
    );
    let confirm = |pod: &mut Pod| {
        pod.jobs[0].cancel_confirmed();
        Ok::<_, Error>(())
    };
    store.update(&id, confirm).expect("updated");
    assert!(store.pod(&id).is_none());
    assert!(matches!(
        store.update(&id, confirm),
        Err(Error::NoSandbox(_))
    ));
    assert!(woken.try_iter().any(|woken| woken == id));
}

#[test]
fn a_refused_change_changes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, _) = running(&store, "a");
    let before = store.pod(&id);
    let refused = store.update(&id, |pod| {
        pod.containers.clear();
        Err::<(), _>(Error::NoSandbox(pod.sandbox.id.clone()))
    });
    assert!(refused.is_err());
    assert_eq!(store.pod(&id), before);
    store.close();
    let closed = store.update(&id, |pod| {
        lifecycle::kill_sandbox(pod, Nanos(9_000));
        Ok::<_, Error>(())
    });
    assert!(matches!(closed, Err(Error::Disk(DiskError::Closed))));
    assert_eq!(store.pod(&id), before, "what the disk refused is not shown");
}

#[test]
fn many_pods_change_with_one_write_and_the_same_one_twice() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let pods: Vec<_> = (0..20)
        .map(|n| running(&store, &format!("pod-{n}")))
        .collect();
    let mut changes: Vec<(SandboxId, Change<'_>)> = Vec::new();
    for (id, container) in &pods {
        let stop = |pod: &mut Pod| lifecycle::kill_container(pod, container, 0, Nanos(5_000));
        changes.push((id.clone(), Box::new(stop)));
        changes.push((
            id.clone(),
            Box::new(|pod| lifecycle::kill_sandbox(pod, Nanos(6_000))),
        ));
    }
    changes.push((
        SandboxId::random(),
        Box::new(|_| unreachable!("no such pod")),
    ));
    store.update_many(changes).expect("updated");
    for (id, container) in &pods {
        let pod = store.pod(id).expect("there");
        assert_eq!(pod.phase(), SandboxPhase::NotReady);
        let entry = pod.container(container).expect("there");
        assert_eq!(
            entry.status.exit.as_ref().map(|exit| exit.finished_at),
            Some(Nanos(5_000))
        );
        assert_eq!(entry.status.phase(), ContainerPhase::Exited);
    }
}

#[test]
fn concurrent_changes_of_one_pod_are_all_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, _) = running(&store, "a");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let count = |pod: &mut Pod| {
                        pod.next_job += 1;
                        Ok::<_, Error>(())
                    };
                    store.update(&id, count).expect("updated");
                }
            });
        }
    });
    assert_eq!(store.pod(&id).expect("there").next_job, 101);
}

#[test]
fn ids_may_be_abbreviated_but_not_to_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, container) = running(&store, "a");
    assert_eq!(store.resolve_sandbox(id.short()), Ok(Some(id.clone())));
    assert_eq!(
        store.resolve_container(container.short()),
        Ok(Some(container))
    );
    assert_eq!(store.resolve_container(""), Ok(None));
    assert_eq!(store.resolve_sandbox("zz"), Ok(None));
    for n in 0..17 {
        running(&store, &format!("other-{n}"));
    }
    let ids = store.pods();
    let shared = (0..16).map(|digit| format!("{digit:x}")).find(|digit| {
        ids.iter()
            .filter(|pod| pod.sandbox.id.as_str().starts_with(digit))
            .count()
            > 1
    });
    let shared = shared.expect("18 ids share a first digit");
    assert_eq!(
        store.resolve_sandbox(&shared),
        Err(Ambiguous(shared.clone()))
    );
}

#[test]
fn subscribers_hear_what_happens() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (sender, heard) = unbounded();
    let alive = Arc::new(());
    store.subscribe(
        Box::new(move |event| {
            sender
                .send((event.kind, event.id.clone()))
                .map_or(Delivery::Gone, |()| Delivery::Taken)
        }),
        &alive,
    );
    let (id, container) = running(&store, "a");
    let next = || {
        heard
            .recv_timeout(Duration::from_secs(5))
            .expect("an event")
    };
    assert_eq!(next(), (EventKind::Created, id.to_string()));
    assert_eq!(next(), (EventKind::Started, id.to_string()));
    assert_eq!(next(), (EventKind::Created, container.to_string()));
    assert_eq!(next(), (EventKind::Started, container.to_string()));
}

#[test]
fn images_beyond_the_limit_are_forgotten_but_for_those_in_use() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let limits = Limits {
        max_images: 3,
        ..Limits::default()
    };
    let store = store.with_limits(limits.clone());
    let (id, container) = running(&store, "a");
    let used = store.pod(&id).expect("there");
    let used = &used
        .container(&container)
        .expect("there")
        .container
        .image_id;
    let pull = |store: &Store, id: &str, at: i64| {
        let image = Image {
            id: id.to_owned(),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            user_ref: id.to_owned(),
            pulled_at: Nanos(at),
        };
        store.put_image(id, |_| image).expect("kept");
    };
    pull(&store, used, 1);
    for number in 2..20 {
        pull(&store, &format!("image-{number}"), number);
    }
    let ids = |store: &Store| {
        let mut ids: Vec<_> = store.images().iter().map(|it| it.id.clone()).collect();
        ids.sort();
        ids
    };
    let mut want = vec![
        "image-18".to_owned(),
        "image-19".to_owned(),
        used.to_string(),
    ];
    want.sort();
    assert_eq!(ids(&store), want);
    drop(store);
    let (store, _woken) = open(dir.path());
    assert_eq!(ids(&store.with_limits(limits)), want);
}

#[test]
fn a_log_position_of_nobody_is_forgotten() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (_, container) = running(&store, "a");
    let stale = Write::put(Table::LogPositions, "nobody", b"7".to_vec());
    store.journal.commit(vec![stale]).expect("written");
    store
        .put_log_position(&container, b"8".to_vec())
        .expect("kept");
    drop(store);
    let (store, _woken) = open(dir.path());
    assert_eq!(store.take_log_position(&"nobody".into()), None);
    drop(store);
    let (_journal, contents) = Journal::open(dir.path()).expect("opens");
    let rows = contents
        .iter()
        .find(|(table, _)| *table == Table::LogPositions);
    let keys: Vec<_> = rows
        .iter()
        .flat_map(|(_, rows)| rows.iter())
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, [container.as_str()]);
}

/// A clock that tells what it was told.
struct Marked {
    mark: ClockMark,
    resumed: Mutex<Option<ClockMark>>,
}

impl Clock for Marked {
    fn now(&self) -> Nanos {
        self.mark.time
    }

    fn mark(&self) -> Option<ClockMark> {
        Some(self.mark.clone())
    }

    fn resume(&self, mark: &ClockMark) -> Resumed {
        *self.resumed.lock() = Some(mark.clone());
        Resumed::OtherBoot
    }
}

#[test]
fn the_clock_goes_on_from_where_it_stood_while_there_are_pods() {
    let dir = tempfile::tempdir().expect("dir");
    let open_with = |second: i64| {
        let clock = Arc::new(Marked {
            mark: ClockMark {
                boot: "a".into(),
                since_boot: 0,
                time: Nanos(second * 1_000_000_000),
            },
            resumed: Mutex::default(),
        });
        let store = Store::open(dir.path(), clock.clone(), unbounded().0).expect("opens");
        let resumed = clock.resumed.lock().take();
        (store, resumed.map(|mark| mark.time.0 / 1_000_000_000))
    };
    let (store, resumed) = open_with(7);
    assert_eq!((resumed, store.resumed()), (None, Resumed::SameBoot));
    store.set_pod_cidr("10.1.0.0/24").expect("kept");
    drop(store);
    let (store, resumed) = open_with(8);
    assert_eq!(resumed, None, "nothing was measured");
    running(&store, "a");
    drop(store);
    let (store, resumed) = open_with(9);
    assert_eq!((resumed, store.resumed()), (Some(8), Resumed::OtherBoot));
}

#[test]
fn configurations_are_read_from_the_disk_and_as_they_are_now() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, container) = running(&store, "a");
    let pod = store.pod(&id).expect("there");
    assert_eq!(pod.sandbox.config.whole(), None);
    let loaded = store.load(&pod).expect("on disk");
    assert_eq!(loaded.sandbox.config.whole(), Some(&b"proto"[..]));
    let mut again = loaded.clone();
    again.let_configs_go();
    assert_eq!(again, *pod, "nothing else is different");
    let resize = |pod: &mut Pod| {
        let entry = &mut pod.containers[0];
        let mut changed = store.load_container(&entry.container)?;
        changed.config = convert::container_config(b"other".as_slice().into());
        entry.container = Arc::new(changed);
        Ok::<_, Error>(())
    };
    store.update(&id, resize).expect("updated");
    let loaded = store.load(&pod).expect("on disk");
    assert_eq!(
        loaded.containers[0].container.config.whole(),
        Some(&b"other"[..])
    );

    // A change that would lose it is refused, and nothing has happened.
    let before = store.pod(&id);
    let careless = store.update(&id, |pod| {
        Arc::make_mut(&mut pod.containers[0].container).attempt += 1;
        Ok::<_, Error>(())
    });
    assert!(matches!(careless, Err(Error::NotLoaded(_))), "{careless:?}");
    assert_eq!(store.pod(&id), before);

    let remove = |pod: &mut Pod| {
        lifecycle::remove_container(pod, &container, Nanos(3_000));
        Ok::<_, Error>(())
    };
    store.update(&id, remove).expect("updated");
    let gone = store.load(&pod);
    assert!(matches!(gone, Err(Error::NotOnDisk { .. })), "{gone:?}");
    store.close();
    let closed = store.load_sandbox(&pod.sandbox);
    assert!(
        matches!(closed, Err(Error::Disk(DiskError::Closed))),
        "{closed:?}"
    );
}

#[test]
fn a_configuration_that_the_disk_has_damaged_is_an_error() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let (id, container) = running(&store, "a");
    let pod = store.pod(&id).expect("there");
    let damage = Write::put(
        Table::Containers,
        container.as_str(),
        b"\x02nothing".to_vec(),
    );
    store.journal.commit(vec![damage]).expect("written");
    let error = store.load(&pod).expect_err("it cannot be read").to_string();
    assert!(
        error.contains("containers/") && error.contains("cut short"),
        "{error}"
    );
}

/// Two attempts at adding what only one may have meet while the first one's disk is waited for.
#[test]
fn what_a_sandbox_takes_is_its_own_before_it_is_on_disk() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let address = "10.1.0.7".parse().expect("an address");
    let with_address = |name: &str, uid: &str| Sandbox {
        uid: uid.into(),
        ip: Some(address),
        ..sandbox(name)
    };
    let first = with_address("a", "7D0c");
    let id = first.id.clone();
    store.add_sandbox(first).expect("added");
    let seen = |others: &Others<'_>| {
        let phases = others.at(address).map(|(_, phase)| phase);
        (
            others.has_uid("7d0C"),
            others.time_after("7d0c"),
            phases.collect::<Vec<_>>(),
        )
    };
    let look = || {
        let mut found = None;
        let none = |others: &Others<'_>| {
            found = Some(seen(others));
            Err::<Sandbox, _>(Error::NoSandbox(id.clone()))
        };
        assert!(store.add_sandbox_beside(none).is_err());
        found.expect("asked")
    };
    let created_at = store.pod(&id).expect("there").sandbox.created_at;
    let after = Some(Nanos(created_at.0 + 1));
    assert_eq!(look(), (true, after, vec![SandboxPhase::Ready]));
    store
        .update(&id, |pod| {
            pod.status.stopped_at = Some(Nanos(3_000));
            Ok::<_, Error>(())
        })
        .expect("stopped");
    assert_eq!(look(), (true, after, vec![SandboxPhase::NotReady]));
    // What was refused has taken nothing.
    assert!(matches!(
        store.add_sandbox(with_address("a", "7D0c")),
        Err(Error::Exists { .. })
    ));
    assert_eq!(look().2.len(), 1);
    store
        .update(&id, |pod| {
            lifecycle::remove_sandbox(pod, Nanos(4_000));
            Ok::<_, Error>(())
        })
        .expect("removed");
    assert_eq!(look(), (false, None, vec![]), "nothing is owed for it");
}

#[test]
fn what_the_disk_refuses_has_taken_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, _woken) = open(dir.path());
    let one = sandbox("a");
    store.close();
    assert!(matches!(
        store.add_sandbox(one.clone()),
        Err(Error::Disk(_))
    ));
    let has_uid = |others: &Others<'_>| {
        assert!(!others.has_uid(&one.uid));
        Err::<Sandbox, _>(Error::NoSandbox(one.id.clone()))
    };
    assert!(store.add_sandbox_beside(has_uid).is_err());
}
