//! The rules of docs/wire.md, and what a plugin's answers say of each. Pure: `probe` has the answers.

use std::time::Duration;

use serde_json::Value;

use crate::{
    profile::{recognise::Recognised, speaker::confirmation, Speaker},
    text::one_line_of,
};

/// How long a submission may take that does not wait for its job. A busy batch system needs some
/// seconds.
const PROMPT: Duration = Duration::from_secs(30);

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer: its status, and its body as text.
    Answer(u16, String),
    /// A refusal: its status, and its words.
    Refusal(u16, String),
    /// Nothing that is an answer, and why.
    Nothing(String),
}

/// What a rule comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Ok,
    /// It is not kept, and the daemon copes: what that means for users.
    Deviates(String),
    /// It is not kept, and something does not work: what.
    Fails(String),
    /// It was not tried, and why.
    NotTried(String),
}

/// What was heard, call by call. None was not made.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The UID of the pod that was submitted.
    pub uid: String,
    /// The line that each container writes, by its name: init containers first.
    pub lines: Vec<(&'static str, String)>,
    /// A ping.
    pub ping: Option<Heard>,
    /// A question about no pod.
    pub empty: Option<Heard>,
    /// A question about an unknown pod.
    pub unknown: Option<Heard>,
    /// The log of an unknown pod.
    pub unknown_log: Option<Heard>,
    /// A submission that is no JSON.
    pub malformed: Option<Heard>,
    /// A submission of a good pod.
    pub created: Option<Heard>,
    /// What is to be known of the answer to it: the job's id, and whether it has the usual form.
    pub job_id: Option<(String, bool)>,
    /// Whose form it has, where that is told by the form alone.
    pub form_of: Option<Recognised>,
    /// How long it took.
    pub create_took: Duration,
    /// The question right after it.
    pub fresh: Option<Heard>,
    /// A question about an unknown pod and this one, in this order.
    pub mixed: Option<Heard>,
    /// The first answer in which the pod has ended.
    pub ended: Option<Heard>,
    /// The logs of the containers, in the order of `lines`, when the pod has ended.
    pub logs: Vec<Heard>,
    /// The main container's log, followed.
    pub followed: Option<Heard>,
    /// The same submission once more, and the job id in its answer.
    pub again: Option<(Heard, Option<String>)>,
    /// A deletion of that pod, when it has ended.
    pub deleted: Option<Heard>,
    /// The question after it.
    pub gone: Option<Heard>,
    /// The deletion once more.
    pub deleted_again: Option<Heard>,
}

/// A rule that a plugin should keep.
pub struct Rule {
    /// Its number in docs/wire.md.
    pub id: &'static str,
    /// Its title there.
    pub title: &'static str,
    /// What the answers say of it.
    pub verdict: fn(&Observed) -> Verdict,
}

const fn rule(id: &'static str, title: &'static str, verdict: fn(&Observed) -> Verdict) -> Rule {
    Rule { id, title, verdict }
}

/// The rules of docs/wire.md, in the order in which they are tried and shown.
pub const RULES: [Rule; 17] = [
    rule("W1", "A ping is answered", ping),
    rule("W2", "A question about no pod is answered", empty),
    rule(
        "W3",
        "A submission is answered with the pod's UID and a job id",
        form,
    ),
    rule(
        "W4",
        "A submission is answered before its job has run",
        prompt,
    ),
    rule("W5", "A pod that was accepted is in the next answer", fresh),
    rule(
        "W6",
        "A question about an unknown pod is answered without it",
        unknown,
    ),
    rule(
        "W7",
        "A question is answered for each pod, whatever the others are",
        mixed,
    ),
    rule("W8", "Every container is reported by its name", containers),
    rule("W9", "An end has its exit code and its times", ends),
    rule(
        "W10",
        "Init containers run, before the main containers",
        inits,
    ),
    rule(
        "W11",
        "A log is what the container wrote, and nothing else",
        logs,
    ),
    rule("W12", "A followed log ends with its container", followed),
    rule(
        "W13",
        "The log of an unknown pod is empty, or refused",
        unknown_log,
    ),
    rule(
        "W14",
        "A submission that cannot be read is refused",
        malformed,
    ),
    rule(
        "W15",
        "A second submission of a pod does not start it again",
        again,
    ),
    rule(
        "W16",
        "A deletion is confirmed, and the pod is gone",
        deleted,
    ),
    rule(
        "W17",
        "The deletion of an unknown pod is confirmed, or answered with 404",
        deleted_again,
    ),
];

impl Heard {
    fn answer(&self) -> Option<&str> {
        match self {
            Self::Answer(_, body) => Some(body),
            Self::Refusal(..) | Self::Nothing(_) => None,
        }
    }

    /// What came, for people.
    fn said(&self) -> String {
        match self {
            Self::Answer(status, _) => format!("it is answered with {status}"),
            Self::Refusal(status, words) if words.is_empty() => format!("it is refused ({status})"),
            Self::Refusal(status, words) => format!("it is refused ({status}: {words})"),
            Self::Nothing(why) => format!("there is no answer ({why})"),
        }
    }

    /// The entries of an answer to /status; none where it is no list.
    fn entries(&self) -> Option<Vec<Value>> {
        match serde_json::from_str(self.answer()?) {
            Ok(Value::Array(list)) => Some(list),
            Ok(Value::Null) => Some(Vec::new()),
            _ => None,
        }
    }

    fn entry(&self, uid: &str) -> Option<Value> {
        let entries = self.entries()?;
        let mut entries = entries.into_iter();
        entries.find(|entry| entry["UID"] == uid)
    }
}

/// The entries of all containers of a pod in an answer to /status.
fn container_entries(pod: &Value) -> Vec<&Value> {
    let lists = [&pod["initContainers"], &pod["containers"]];
    let entries = lists.into_iter().filter_map(Value::as_array).flatten();
    entries.collect()
}

/// Whether the main containers of a pod, as an answer to /status has it, have ended.
pub fn has_ended(heard: &Heard, uid: &str) -> bool {
    let Some(pod) = heard.entry(uid) else {
        return false;
    };
    let mains = pod["containers"].as_array().filter(|list| !list.is_empty());
    mains.is_some_and(|list| {
        list.iter()
            .all(|one| one["state"]["terminated"].is_object())
    })
}

/// Whether an answer to /status speaks of a pod, with a state for one of its containers.
pub fn shows(heard: &Heard, uid: &str) -> bool {
    let pod = heard.entry(uid);
    pod.is_some_and(|pod| {
        let states = container_entries(&pod).into_iter().map(|one| &one["state"]);
        let mut parts = states
            .filter_map(Value::as_object)
            .flat_map(|it| it.values());
        parts.any(Value::is_object)
    })
}

fn not_tried<T>(why: &str) -> Result<T, Verdict> {
    Err(Verdict::NotTried(why.to_owned()))
}

fn tried<T>(what: &Option<T>) -> Result<&T, Verdict> {
    match what {
        Some(what) => Ok(what),
        None => not_tried("what comes before it failed"),
    }
}

fn either(verdict: Result<Verdict, Verdict>) -> Verdict {
    verdict.unwrap_or_else(|verdict| verdict)
}

fn deviates(text: impl Into<String>) -> Verdict {
    Verdict::Deviates(text.into())
}

fn fails(text: impl Into<String>) -> Verdict {
    Verdict::Fails(text.into())
}

fn ping(seen: &Observed) -> Verdict {
    either(tried(&seen.ping).map(|ping| match ping {
        Heard::Answer(..) => Verdict::Ok,
        other => fails(format!(
            "{}: the node is never ready, and no job is sent",
            other.said()
        )),
    }))
}

fn empty(seen: &Observed) -> Verdict {
    either(tried(&seen.empty).map(|empty| match empty {
        Heard::Answer(..) => Verdict::Ok,
        other => deviates(format!(
            "{}: behind an interLink server this is the ping, so the node would never be ready",
            other.said()
        )),
    }))
}

fn form(seen: &Observed) -> Verdict {
    either(tried(&seen.created).map(|created| {
        match (created, &seen.job_id) {
        (Heard::Answer(200, _), Some((id, true))) if !id.is_empty() => Verdict::Ok,
        (Heard::Answer(..), Some((id, _))) if id.is_empty() => deviates(
            "there is no job id: the plugin is taken to wait for the other pods of a gang, and the \
             job is not lost for a day, whatever becomes of it",
        ),
        (Heard::Answer(200, _), Some(_)) => deviates(
            "the form is another one, which this daemon can read; others may not",
        ),
        (Heard::Answer(status, _), Some(_)) => deviates(format!(
            "{status} instead of 200: an interLink server passes it on as a failure, which this \
             daemon can read; others cannot",
        )),
        (Heard::Answer(_, body), None) => fails(format!(
            "the answer names no job: {}; every submission is in doubt, and is asked about",
            short(body)
        )),
        (other, _) => fails(format!("{}: no pod can run", other.said())),
    }
    }))
}

fn prompt(seen: &Observed) -> Verdict {
    either(accepted(seen).map(|()| match seen.create_took > PROMPT {
        true => deviates(format!(
            "it took {} s: what takes longer than interlink.create_timeout is in doubt, and is asked \
             about",
            seen.create_took.as_secs()
        )),
        false => Verdict::Ok,
    }))
}

/// Whether the pod was accepted, so that what follows could be tried.
fn accepted(seen: &Observed) -> Result<(), Verdict> {
    match &seen.job_id {
        Some(_) => Ok(()),
        None => not_tried("the submission failed"),
    }
}

fn fresh(seen: &Observed) -> Verdict {
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

fn unknown(seen: &Observed) -> Verdict {
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

fn mixed(seen: &Observed) -> Verdict {
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

/// The entry of the pod in the answer in which it has ended.
fn end_of(seen: &Observed) -> Result<Value, Verdict> {
    accepted(seen)?;
    let ended = match &seen.ended {
        Some(ended) => ended,
        None => return not_tried("the job did not end in time (--timeout)"),
    };
    tried(&ended.entry(&seen.uid)).cloned()
}

fn containers(seen: &Observed) -> Verdict {
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

fn ends(seen: &Observed) -> Verdict {
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

fn inits(seen: &Observed) -> Verdict {
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

fn logs(seen: &Observed) -> Verdict {
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

fn followed(seen: &Observed) -> Verdict {
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

fn unknown_log(seen: &Observed) -> Verdict {
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

fn malformed(seen: &Observed) -> Verdict {
    either(tried(&seen.malformed).map(|answer| match answer {
        Heard::Refusal(..) => Verdict::Ok,
        Heard::Answer(status, _) => deviates(format!(
            "it is answered with {status}: a broken submission looks like a good one"
        )),
        Heard::Nothing(why) => fails(format!("the plugin does not survive it ({why})")),
    }))
}

fn again(seen: &Observed) -> Verdict {
    either(accepted(seen).and_then(|()| {
        let first = seen.job_id.as_ref().map(|(id, _)| id.as_str());
        Ok(match tried(&seen.again)? {
            (Heard::Refusal(..), _) => Verdict::Ok,
            (Heard::Answer(..), Some(id)) if Some(id.as_str()) == first => Verdict::Ok,
            (Heard::Answer(..), Some(id)) => deviates(format!(
                "it runs again, as {id}: a submission in doubt that is made again is two runs, so this \
                 daemon asks for interlink.unsure_grace before"
            )),
            (other, _) => deviates(other.said()),
        })
    }))
}

fn deleted(seen: &Observed) -> Verdict {
    either(accepted(seen).and_then(|()| {
        Ok(match (tried(&seen.deleted)?, &seen.gone) {
            (Heard::Answer(..), Some(gone)) if shows(gone, &seen.uid) => deviates(
                "it is confirmed, and the pod is still reported: the daemon believes the confirmation",
            ),
            (Heard::Answer(_, text), _) if confirmation(text.as_bytes()) != Speaker::Interlink => {
                deviates(format!(
                    "the answer does not say that it is done, as anything in front of the plugin might \
                     answer: {}; it is believed when the plugin also denies the job",
                    short(text)
                ))
            }
            (Heard::Answer(..), _) => Verdict::Ok,
            (other, _) => fails(format!("{}: cancelled jobs go on", other.said())),
        })
    }))
}

fn deleted_again(seen: &Observed) -> Verdict {
    either(accepted(seen).and_then(|()| {
        Ok(match tried(&seen.deleted_again)? {
            Heard::Answer(..) | Heard::Refusal(404 | 410, _) => Verdict::Ok,
            other => deviates(format!(
                "{}: a cancellation is owed until the plugin also denies the job a few times",
                other.said()
            )),
        })
    }))
}

/// A text of a plugin's, short enough for a line.
fn short(text: &str) -> String {
    const BYTES: usize = 200;
    format!("`{}`", one_line_of(text, BYTES))
}

#[cfg(test)]
mod tests;
