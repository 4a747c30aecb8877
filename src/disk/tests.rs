use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

/// What holds up a call until it is dropped.
fn gate() -> (Sender<()>, Receiver<()>) {
    bounded(0)
}

fn hang(disk: &Disk, pod: &str, gate: &Receiver<()>) -> Result<(), Hung> {
    let gate = gate.clone();
    disk.call(pod, Path::new("/first"), move || {
        at(Path::new("/hangs"));
        assert!(gate.recv().is_err());
    })
}

#[test]
fn what_hangs_holds_up_its_own_pod_only() {
    let disk = Disk::new(SHORT);
    let (release, gate) = gate();
    let stuck = hang(&disk, "a", &gate).unwrap_err();
    assert_eq!(
        stuck.path,
        Path::new("/hangs"),
        "where it is, not where it began"
    );
    // At once: the deadline of another disk is too long to be waited for.
    let patient = Disk {
        deadline: LONG,
        ..disk.clone()
    };
    let begun = Instant::now();
    let refused = patient.call("a", Path::new("/other"), || 1);
    assert_eq!(refused.unwrap_err().path, Path::new("/hangs"));
    assert_eq!(patient.call("b", Path::new("/other"), || 2), Ok(2));
    assert!(begun.elapsed() < LONG);
    drop(release);
    while patient.call("a", Path::new("/other"), || 3) != Ok(3) {
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn calls_of_a_pod_take_turns() {
    let disk = Disk::new(LONG);
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let alone = disk.call("a", Path::new("/"), || {
                    let others = INSIDE.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    INSIDE.fetch_sub(1, Ordering::SeqCst);
                    others == 0
                });
                assert_eq!(alone, Ok(true));
            });
        }
    });
}

#[test]
fn stuck_calls_take_no_more_than_their_bound() {
    let disk = Disk::new(SHORT);
    let (release, gate) = gate();
    std::thread::scope(|scope| {
        for number in 0..MOST {
            let (disk, gate) = (&disk, &gate);
            scope.spawn(move || assert!(hang(disk, &number.to_string(), gate).is_err()));
        }
    });
    let own = disk.call("one more", Path::new("/own"), || ());
    assert_eq!(own.unwrap_err().path, Path::new("/own"));
    assert_eq!(disk.owner.shared.state.lock().idle, 0);
    drop(release);
    let begun = Instant::now();
    while disk.call("one more", Path::new("/own"), || ()).is_err() {
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn what_is_left_goes_in_the_pod_s_turn() {
    struct Left(Sender<String>);
    impl Drop for Left {
        fn drop(&mut self) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            self.0.send(name).expect("heard");
        }
    }
    let disk = Disk::new(SHORT);
    let (told, names) = crossbeam_channel::unbounded();
    disk.leave("a", Path::new("/"), Left(told.clone()));
    let name = names.recv_timeout(LONG).expect("dropped");
    assert!(name.starts_with("disk-"), "{name}");
    let (release, gate) = gate();
    assert!(hang(&disk, "b", &gate).is_err());
    disk.leave("b", Path::new("/"), Left(told));
    assert!(names.try_recv().is_err(), "its pod's call is stuck");
    drop(release);
    names.recv_timeout(LONG).expect("dropped afterwards");
}

#[test]
fn a_panic_is_the_caller_s() {
    let disk = Disk::new(LONG);
    let called = || disk.call("a", Path::new("/"), || -> () { panic!("over there") });
    let panic = threads::contain(called).unwrap_err().to_string();
    assert!(panic.contains("over there"), "{panic}");
    assert_eq!(disk.call("a", Path::new("/"), || 4), Ok(4));
}
