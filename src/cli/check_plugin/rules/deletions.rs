//! W16 and W17: what a plugin says when a pod is deleted, and after it.

use super::verdict::{accepted, deviates, either, fails, short, tried, Verdict};
use crate::{
    cli::check_plugin::observed::{shows, Heard, Observed},
    profile::{speaker::confirmation, Speaker},
};

pub(super) fn deleted(seen: &Observed) -> Verdict {
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

pub(super) fn deleted_again(seen: &Observed) -> Verdict {
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
