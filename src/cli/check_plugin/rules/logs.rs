//! W11 to W13: what a plugin gives as the log of a container.

use super::verdict::{deviates, either, end_of, fails, short, tried, Verdict};
use crate::cli::check_plugin::observed::{Heard, Observed};

pub(super) fn logs(seen: &Observed) -> Verdict {
    either(end_of(seen).and_then(|_| {
        let log = tried(&seen.logs.last().cloned())?.clone();
        let (_, line) = tried(&seen.lines.last().cloned())?.clone();
        Ok(match log.answer() {
            Some(text) if text.trim() == line => Verdict::Ok,
            Some(text) if text.contains(&line) => deviates(format!(
                "there is more in it than the container wrote, which users will see: {}",
                short(&text.replace(&line, ""))
            )),
            Some(text) if text.trim().is_empty() => fails("it is empty: users see no logs"),
            Some(text) => fails(format!("it is something else: {}", short(text))),
            None => fails(format!("{}: users see no logs", log.said())),
        })
    }))
}

pub(super) fn followed(seen: &Observed) -> Verdict {
    either(end_of(seen).and_then(|_| {
        let log = tried(&seen.logs.last().cloned())?.clone();
        Ok(match (tried(&seen.followed)?, log.answer()) {
            (Heard::Answer(_, followed), Some(whole)) if followed == whole => Verdict::Ok,
            (Heard::Answer(..), _) => deviates(
                "it is not the same as the log: the log is read again as a whole when its container \
                 has ended",
            ),
            (other, _) => deviates(format!(
                "{}: the log is read again as a whole when its container has ended",
                other.said()
            )),
        })
    }))
}

pub(super) fn unknown_log(seen: &Observed) -> Verdict {
    either(tried(&seen.unknown_log).map(|log| match log {
        Heard::Answer(_, text) if text.trim().is_empty() => Verdict::Ok,
        Heard::Answer(_, text) => deviates(format!(
            "this is answered in the place of a log, and is taken for one: {}",
            short(text)
        )),
        Heard::Refusal(..) => Verdict::Ok,
        other => deviates(other.said()),
    }))
}
