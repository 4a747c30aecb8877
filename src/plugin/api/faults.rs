//! Faults on request, for tests of whatever talks to the plugin. Off unless asked for.
//!
//! Faults form a script for each path: every call takes the first one that is not used up, and
//! when none is left, all is well. So `create:ok,times=2`, `create:drop-before,times=1`,
//! `create:hang` is: twice well, one reset, then nothing any more.

use std::{str::FromStr, time::Duration};

use jiff::SignedDuration;
use parking_lot::Mutex;

use super::route::Route;
use crate::plugin::http::Responder;

/// What a fault looks like, for help texts.
pub const FAULT_HELP: &str = "\
PATH:ITEM[,ITEM]...
PATH is create, delete, status, logs, ping or update-cache. An ITEM is times=N (the fault holds \
for N calls; else for ever), delay=DURATION (before anything else), or one of:
  ok           do nothing but what delay says
  status=CODE  answer with that HTTP status, and do not act
  hang         never answer, and do not act
  garbage      answer with what is no HTTP, and do not act
  drop-before  close the connection, and do not act
  drop-after   act, then close the connection without an answer
  drop=BYTES   act, and close the connection after that many bytes of the answer's body";

/// Why a fault cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no fault: {why}")]
pub struct FaultError {
    /// As given.
    text: String,
    /// What is wrong with it.
    why: String,
}

/// One line of the script. Written as [`FAULT_HELP`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    route: Route,
    delay: Duration,
    /// Calls that it is for; unset for all.
    times: Option<u64>,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ok,
    Status(u16),
    Hang,
    Garbage,
    DropBefore,
    DropAfter,
    DropBody(usize),
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        parse(text).map_err(|why| FaultError {
            text: text.to_owned(),
            why,
        })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (path, items) = text
        .split_once(':')
        .ok_or("it must begin with `PATH:`, for example `create:`")?;
    let mut delay = None;
    let mut times = None;
    let mut action = None;
    for item in items.split(',') {
        let again = match item.split_once('=') {
            Some(("delay", span)) => delay.replace(duration(span)?).is_some(),
            Some(("times", count)) => times.replace(number(item, count)?).is_some(),
            _ => action.replace(parse_action(item)?).is_some(),
        };
        if again {
            return Err(format!("`{item}` is one too many of its kind"));
        }
    }
    Ok(Fault {
        route: route(path)?,
        delay: delay.unwrap_or_default(),
        times,
        action: action.unwrap_or(Action::Ok),
    })
}

fn route(path: &str) -> Result<Route, String> {
    let name = match path {
        "logs" => "getLogs",
        "ping" => "pinglink",
        "update-cache" => "updateCache",
        name => name,
    };
    Route::named(name).ok_or_else(|| {
        format!("`{path}` is not create, delete, status, logs, ping or update-cache")
    })
}

fn parse_action(item: &str) -> Result<Action, String> {
    Ok(match item.split_once('=') {
        Some(("status", code)) => match code.parse() {
            Ok(code @ 200..=599) => Action::Status(code),
            _ => return Err(format!("`{code}` is not an HTTP status from 200 to 599")),
        },
        Some(("drop", bytes)) => Action::DropBody(number(item, bytes)?),
        None if item == "ok" => Action::Ok,
        None if item == "hang" => Action::Hang,
        None if item == "garbage" => Action::Garbage,
        None if item == "drop-before" => Action::DropBefore,
        None if item == "drop-after" => Action::DropAfter,
        _ => {
            return Err(format!(
                "`{item}` is not ok, status=CODE, hang, garbage, drop-before, drop-after, \
                 drop=BYTES, delay=DURATION or times=N"
            ))
        }
    })
}

fn number<T: FromStr>(item: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{item}` needs a whole number"))
}

/// A longer delay is the same as `hang`.
const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<SignedDuration>().ok();
    span.and_then(|span| Duration::try_from(span).ok())
        .filter(|span| *span <= MAX_DELAY)
        .ok_or_else(|| {
            format!("`{text}` is not a duration such as `500ms` or `2s`, of a day at most")
        })
}

/// The faults that are still to be committed: a script.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn new(script: Vec<Fault>) -> Self {
        Self(Mutex::new(script))
    }

    /// Commits the fault that is due, if one is. Gives the responder back, perhaps crippled, if the
    /// call is to be acted upon.
    pub(super) fn strike(&self, route: Route, responder: Responder) -> Option<Responder> {
        let Some(fault) = self.next(route) else {
            return Some(responder);
        };
        log::info!("a fault was asked for and is committed: {fault:?}");
        if fault.delay > Duration::ZERO && !responder.pause(fault.delay) {
            return None;
        }
        let sent = match fault.action {
            Action::Ok => return Some(responder),
            Action::DropAfter => return Some(responder.cut_all()),
            Action::DropBody(bytes) => return Some(responder.cut_body_after(bytes)),
            Action::Status(code) => responder.text(code, "a fault that was asked for"),
            Action::Garbage => responder.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
            Action::Hang => {
                responder.hang();
                Ok(())
            }
            Action::DropBefore => {
                responder.drop_connection();
                Ok(())
            }
        };
        if let Err(error) = sent {
            log::debug!("the client hung up before its fault was sent: {error}");
        }
        None
    }

    fn next(&self, route: Route) -> Option<Fault> {
        let mut script = self.0.lock();
        let fault = script
            .iter_mut()
            .find(|fault| fault.route == route && fault.times != Some(0))?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        let fault = |route, action| Fault {
            route,
            delay: Duration::ZERO,
            times: None,
            action,
        };
        for (text, want) in [
            (
                "create:delay=2s",
                Fault {
                    delay: Duration::from_secs(2),
                    ..fault(Route::Create, Action::Ok)
                },
            ),
            (
                "create:status=500,times=3,delay=10ms",
                Fault {
                    times: Some(3),
                    delay: Duration::from_millis(10),
                    ..fault(Route::Create, Action::Status(500))
                },
            ),
            ("status:hang", fault(Route::Status, Action::Hang)),
            ("logs:drop=100", fault(Route::Logs, Action::DropBody(100))),
            ("getLogs:ok", fault(Route::Logs, Action::Ok)),
            ("delete:garbage", fault(Route::Delete, Action::Garbage)),
            ("ping:drop-after", fault(Route::Ping, Action::DropAfter)),
            (
                "update-cache:drop-before",
                fault(Route::UpdateCache, Action::DropBefore),
            ),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_specs_are_told_why() {
        for (text, want) in [
            ("", "begin with `PATH:`"),
            ("create", "begin with `PATH:`"),
            ("creat:hang", "`creat` is not create"),
            ("create:", "`` is not ok"),
            ("create:explode", "`explode` is not ok"),
            ("create:status=99", "`99` is not an HTTP status"),
            ("create:status=ok", "`ok` is not an HTTP status"),
            ("create:drop=-1", "needs a whole number"),
            ("create:times=x", "needs a whole number"),
            ("create:delay=soon", "`soon` is not a duration"),
            ("create:delay=-1s", "`-1s` is not a duration"),
            ("create:hang,status=500", "one too many"),
            ("create:times=1,times=2", "one too many"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_script_is_played_path_by_path() {
        let script = [
            "create:ok,times=2",
            "create:drop-before,times=1",
            "create:hang",
        ];
        let script = script.map(|line| line.parse().unwrap()).into();
        let faults = Faults::new(script);
        let mut seen = Vec::new();
        for _ in 0..5 {
            assert_eq!(faults.next(Route::Status), None);
            seen.push(faults.next(Route::Create).unwrap().action);
        }
        let want = [
            Action::Ok,
            Action::Ok,
            Action::DropBefore,
            Action::Hang,
            Action::Hang,
        ];
        assert_eq!(seen, want);
    }
}
