//! W1, W2 and W5 to W10: whether a plugin is there, and what it says of pods.

use serde_json::Value;

use super::verdict::{accepted, deviates, either, end_of, fails, not_tried, short, tried, Verdict};
use crate::cli::check_plugin::observed::{container_entries, shows, Heard, Observed};

pub(super) fn ping(seen: &Observed) -> Verdict {
    either(tried(&seen.ping).map(|ping| match ping {
        Heard::Answer(..) => Verdict::Ok,
        other => fails(format!(
            "{}: the node is never ready, and no job is sent",
            other.said()
        )),
    }))
}

pub(super) fn empty(seen: &Observed) -> Verdict {
    either(tried(&seen.empty).map(|empty| match empty {
        Heard::Answer(..) => Verdict::Ok,
        other => deviates(format!(
            "{}: behind an interLink server this is the ping, so the node would never be ready",
            other.said()
        )),
    }))
}

pub(super) fn fresh(seen: &Observed) -> Verdict {
    either(accepted(seen).and_then(|()| {
        let fresh = tried(&seen.fresh)?;
        Ok(match (shows(fresh, &seen.uid), fresh) {
            (true, _) => Verdict::Ok,
            (false, Heard::Answer(..)) => deviates(
                "it is missing at first: a submission in doubt is asked about for \
                 interlink.unsure_grace, so set that to more than the time for which it is",
            ),
            (false, other) => deviates(format!("{}: the daemon asks again", other.said())),
        })
    }))
}

pub(super) fn unknown(seen: &Observed) -> Verdict {
    either(tried(&seen.unknown).map(|unknown| match unknown {
        Heard::Answer(..) if unknown.entries().is_none() => {
            deviates("the answer is no list: nothing can be told from it")
        }
        Heard::Answer(..) => Verdict::Ok,
        other => deviates(format!(
            "{}: a plugin that has forgotten a job looks like one that is ill, so that lost jobs are \
             noticed late",
            other.said()
        )),
    }))
}

pub(super) fn mixed(seen: &Observed) -> Verdict {
    either(accepted(seen).and_then(|()| {
        let mixed = tried(&seen.mixed)?;
        Ok(match (shows(mixed, &seen.uid), mixed) {
            (true, _) => Verdict::Ok,
            (false, Heard::Answer(..)) => deviates(
                "only the first pod is answered for: with many jobs the others are heard of late",
            ),
            (false, other) => deviates(format!(
                "{}: one lost job hides the others until it is found by halving",
                other.said()
            )),
        })
    }))
}

pub(super) fn containers(seen: &Observed) -> Verdict {
    either(end_of(seen).map(|pod| {
        let entries = container_entries(&pod);
        let is_missing = |name: &str| !entries.iter().any(|entry| entry["name"] == name);
        let names = seen.lines.iter().map(|(name, _)| *name);
        let missing: Vec<_> = names.filter(|name| is_missing(name)).collect();
        match missing.is_empty() {
            true => Verdict::Ok,
            false => deviates(format!(
                "not reported: {}; that an init container has succeeded is presumed when a main \
                 container runs",
                missing.join(", ")
            )),
        }
    }))
}

pub(super) fn ends(seen: &Observed) -> Verdict {
    either(end_of(seen).map(|pod| {
        let mains = pod["containers"].as_array();
        let ends: Vec<_> = mains
            .into_iter()
            .flatten()
            .map(|one| &one["state"]["terminated"])
            .collect();
        let has_code = |end: &&Value| end["exitCode"].is_i64();
        let has_times = |end: &&Value| {
            ["startedAt", "finishedAt"].iter().all(|key| {
                let time = end[*key].as_str().unwrap_or_default();
                time.parse::<jiff::Timestamp>().is_ok() && !time.starts_with("0001-")
            })
        };
        let codes = ends.iter().map(|end| &end["exitCode"]);
        let mut bad = codes.filter(|code| code.as_i64().is_some_and(|code| code != 0));
        if let Some(code) = bad.next() {
            return fails(format!(
                "the exit code is {code}, of a container that ends with 0{}",
                reason_of(&ends)
            ));
        }
        match (ends.iter().all(has_code), ends.iter().all(has_times)) {
            (true, true) => Verdict::Ok,
            (true, false) => deviates(
                "there are no times: those at which this daemon has heard of it are shown, and an \
                 end without a start may have to be proven by a log",
            ),
            (false, _) => deviates("there is no exit code: such an end counts as 0"),
        }
    }))
}

fn reason_of(ends: &[&Value]) -> String {
    let mut texts = ends
        .iter()
        .flat_map(|end| [&end["reason"], &end["message"]])
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty());
    texts
        .next()
        .map_or(String::new(), |text| format!(" ({})", short(text)))
}

pub(super) fn inits(seen: &Observed) -> Verdict {
    either(end_of(seen).and_then(|_| {
        let (_, line) = tried(&seen.lines.first().cloned())?.clone();
        let log = tried(&seen.logs.first().cloned())?.clone();
        let mains = seen.logs.iter().skip(1).filter_map(Heard::answer);
        let mut mains = mains.zip(seen.lines.iter().skip(1));
        if !mains.any(|(log, (_, line))| log.contains(line)) {
            return not_tried("there are no logs, which would tell");
        }
        Ok(match log.answer().is_some_and(|log| log.contains(&line)) {
            true => Verdict::Ok,
            false => fails(
                "its line is in no log: most likely it is not run; with interlink.plugin set to a \
                 plugin of that kind each has a job of its own",
            ),
        })
    }))
}
