//! Heartbeats: a thread that hangs is as dead as one that has ended, but nothing tells.
//!
//! A loop says with [`beat`] until when it comes back at the latest, and with [`idle`] that it waits for
//! work, for however long. [`late`] names the threads that have not come back: the daemon's `watch` thread
//! puts them into the log, and the CRI's `Status` shows them. A thread that never beats is not watched.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{
    failpoint,
    pulse::{late, mark, names, Late},
};

/// Marks the head of a loop, at which a test may plant a death: the thread comes back to it, or to
/// [`idle`], within `limit`.
#[track_caller]
pub fn beat(point: &str, limit: Duration) {
    mark(limit);
    failpoint::point(point);
}

/// Whether all threads of a kind are late: one that is alone, or all of which only the number at the end of the
/// name differs.
fn has_lost_a_kind(all: &[String], late: &[Late]) -> bool {
    late.iter()
        .any(|one| has_lost_a_kind_of(&one.thread, all, late))
}

/// The same of the kind of one thread that is late.
fn has_lost_a_kind_of(thread: &str, all: &[String], late: &[Late]) -> bool {
    fn kind(name: &str) -> &str {
        name.trim_end_matches(|c: char| c.is_ascii_digit())
    }
    let is_late = |name: &str| late.iter().any(|late| late.thread == name);
    let mut others = all.iter().filter(|name| kind(name) == kind(thread));
    others.all(|name| is_late(name))
}

/// How often it is looked whose loop is late.
const LOOK: Duration = Duration::from_secs(1);

/// Puts into the log which threads do not come back, and which do again, until told to stop. `looked` hears
/// each time whether a restart is of use: false where a thread hangs that is alone, or all threads of a kind.
///
/// One of several that hangs is only said. If it hangs over one pod, its successor would hang over the same
/// pod, so the daemon would be started again for ever, while the others of its kind do all the rest.
pub fn watch(stop: &Receiver<()>, looked: impl Fn(bool)) {
    let mut known: Vec<Late> = Vec::new();
    loop {
        beat("watch", LOOK.saturating_mul(30));
        let now = late();
        let is_among = |them: &[Late], one: &Late| them.iter().any(|it| it.thread == one.thread);
        let all = names();
        for one in now.iter().filter(|one| !is_among(&known, one)) {
            let what_follows = match has_lost_a_kind_of(&one.thread, &all, &now) {
                true => "nobody else does its work: a restart of the daemon helps, and loses nothing",
                false => {
                    "others of its kind go on. Look at the disk or the server that it waits for: after a \
                     restart it would wait again"
                }
            };
            log::error!(thread = one.thread; "{one}; {what_follows}");
        }
        for one in known.iter().filter(|one| !is_among(&now, one)) {
            log::warn!(thread = one.thread; "thread `{}` has come back", one.thread);
        }
        looked(!has_lost_a_kind(&all, &now));
        known = now;
        if !matches!(stop.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::threads::{idle, working_on, Threads};

    fn named(name: &str) -> Option<Late> {
        late().into_iter().find(|late| late.thread == name)
    }

    #[test]
    fn who_does_not_come_back_is_named_until_it_does() {
        let threads = Threads::default();
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let stopped = threads.stopped();
        let body = move || {
            beat("none", Duration::ZERO);
            working_on("pod lab/train".to_owned(), || {
                assert!(held.recv().is_err());
            });
            idle();
            assert!(stopped.recv().is_err());
        };
        threads.start("hangs-in-test", body).unwrap();
        let patient = || beat("none", Duration::MAX);
        threads.run("waits-in-test", patient).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let found = loop {
            let found = named("hangs-in-test").filter(|late| late.task.is_some());
            if let Some(found) = found {
                break found;
            }
            assert!(Instant::now() < deadline);
        };
        let text = found.to_string();
        assert!(text.contains("`hangs-in-test` has not come back from pod lab/train for"));
        assert_eq!(named("waits-in-test"), None);
        drop(release);
        while named("hangs-in-test").is_some() {
            assert!(Instant::now() < deadline);
        }
        threads.join();
    }

    /// A restart helps where nobody is left who does the work, and would only interrupt the others else.
    #[test]
    fn one_of_several_is_no_reason_for_a_restart() {
        let late = |thread: &str| Late {
            thread: thread.to_owned(),
            task: None,
            silent_for: Duration::ZERO,
            limit: Duration::ZERO,
        };
        let names = ["poll", "cri-0", "cri-1", "cri-read-0"].map(String::from);
        let lost = |late_ones: &[&str]| {
            let late: Vec<_> = late_ones.iter().map(|name| late(name)).collect();
            has_lost_a_kind(&names, &late)
        };
        assert!(!lost(&[]));
        assert!(!lost(&["cri-0"]), "the other one is there");
        assert!(lost(&["cri-0", "cri-1"]), "all of a kind");
        assert!(lost(&["cri-0", "poll"]), "one that is alone");
        assert!(lost(&["cri-read-0"]), "one that is alone, with a number");
    }
}
