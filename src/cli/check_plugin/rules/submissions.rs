//! W3, W4, W14 and W15: what a plugin does with a submission.

use std::time::Duration;

use super::verdict::{accepted, deviates, either, fails, short, tried, Verdict};
use crate::cli::check_plugin::observed::{Heard, Observed};

/// How long a submission may take that does not wait for its job. A busy batch system needs some
/// seconds.
const PROMPT: Duration = Duration::from_secs(30);

pub(super) fn form(seen: &Observed) -> Verdict {
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

pub(super) fn prompt(seen: &Observed) -> Verdict {
    either(accepted(seen).map(|()| match seen.create_took > PROMPT {
        true => deviates(format!(
            "it took {} s: what takes longer than interlink.create_timeout is in doubt, and is asked \
             about",
            seen.create_took.as_secs()
        )),
        false => Verdict::Ok,
    }))
}

pub(super) fn malformed(seen: &Observed) -> Verdict {
    either(tried(&seen.malformed).map(|answer| match answer {
        Heard::Refusal(..) => Verdict::Ok,
        Heard::Answer(status, _) => deviates(format!(
            "it is answered with {status}: a broken submission looks like a good one"
        )),
        Heard::Nothing(why) => fails(format!("the plugin does not survive it ({why})")),
    }))
}

pub(super) fn again(seen: &Observed) -> Verdict {
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
