//! Planted deaths, for tests; in a release build there is nothing of it.
//!
//! The variable `INTERLINK_FAILPOINT` holds `POINT=ACTION[@N]`: at the `N`-th passage of a point (the
//! first one if not said) the thread that comes there panics (`panic`), or stays there for ever
//! (`hang`). With `return`, a thread whose name is the point's never does its work and returns at once. With
//! `error`, what is done at a [`fault`] fails.
//! A point is named as the thread that passes it, without its number: `poll`, `interlink`.

#[cfg(debug_assertions)]
mod planted {
    use std::{
        sync::{
            atomic::{AtomicU64, Ordering},
            OnceLock,
        },
        thread,
    };

    const VARIABLE: &str = "INTERLINK_FAILPOINT";

    struct Failpoint {
        point: String,
        action: Action,
        at: u64,
        passed: AtomicU64,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Panic,
        Hang,
        Return,
        Error,
    }

    fn planted() -> Option<&'static Failpoint> {
        static PLANTED: OnceLock<Option<Failpoint>> = OnceLock::new();
        let read = || parse(&std::env::var(VARIABLE).ok()?);
        PLANTED.get_or_init(read).as_ref()
    }

    /// Nothing for what cannot be read: a test that plants it sees that nothing happens.
    fn parse(text: &str) -> Option<Failpoint> {
        let (point, rest) = text.split_once('=')?;
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        let action = match action {
            "panic" => Action::Panic,
            "hang" => Action::Hang,
            "return" => Action::Return,
            "error" => Action::Error,
            _ => return None,
        };
        Some(Failpoint {
            point: point.to_owned(),
            action,
            at: at.parse().ok()?,
            passed: AtomicU64::new(0),
        })
    }

    /// What is planted at the point, if this is the passage at which it is.
    fn at(point: &str) -> Option<Action> {
        let planted = planted().filter(|planted| planted.point == point)?;
        let passage = planted.passed.fetch_add(1, Ordering::SeqCst) + 1;
        (passage == planted.at).then_some(planted.action)
    }

    pub fn fails(point: &str) -> bool {
        at(point) == Some(Action::Error)
    }

    #[track_caller]
    pub fn pass(point: &str) {
        let Some(action) = at(point) else {
            return;
        };
        match action {
            Action::Panic => panic!("planted at `{point}`\nby a test"),
            Action::Hang => {
                super::super::pulse::end_patience();
                loop {
                    thread::park();
                }
            }
            Action::Return | Action::Error => {}
        }
    }

    pub fn returns_at_once(name: &str) -> bool {
        planted().is_some_and(|planted| planted.action == Action::Return && planted.point == name)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_can_be_planted() {
            let parsed = |text| parse(text).map(|f| (f.point, f.action, f.at));
            let point = |name: &str, action, at| Some((name.to_owned(), action, at));
            assert_eq!(parsed("poll=panic"), point("poll", Action::Panic, 1));
            assert_eq!(parsed("cri=hang@7"), point("cri", Action::Hang, 7));
            assert_eq!(parsed("cri-0=return"), point("cri-0", Action::Return, 1));
            assert_eq!(parsed("disk=error"), point("disk", Action::Error, 1));
            for text in [
                "",
                "poll",
                "poll=",
                "poll=die",
                "poll=panic@",
                "poll=panic@x",
            ] {
                assert_eq!(parsed(text), None, "{text}");
            }
        }
    }
}

/// Marks a place at which a test may plant a panic.
#[inline]
#[track_caller]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    planted::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Marks a place at which a test may let the system fail; its points are none of [`point`].
///
/// # Errors
/// A test wants it.
#[inline]
pub fn fault(name: &str) -> std::io::Result<()> {
    #[cfg(debug_assertions)]
    if planted::fails(name) {
        let text = format!("planted at `{name}` by a test");
        return Err(std::io::Error::other(text));
    }
    let _ = name;
    Ok(())
}

/// A thread's work, or nothing where a test wants the thread to return at once.
pub(super) fn instead_of<F: FnOnce()>(name: &str, body: F) -> impl FnOnce() + use<F> {
    #[cfg(debug_assertions)]
    let is_cut = planted::returns_at_once(name);
    #[cfg(not(debug_assertions))]
    let is_cut = {
        let _ = name;
        false
    };
    move || {
        if !is_cut {
            body();
        }
    }
}
