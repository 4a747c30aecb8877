//! What follows from an error of a call: whether it can be made again, and whether the plugin may have acted.
//!
//! Three questions are answered by [`Error`], here and nowhere else. Whose word a refusal is says
//! [`profile::speaker`]; one whose speaker is unknown counts as the plugin's until it is settled
//! ([`Error::is_unsettled`]).
//!
//! | what happened | retryable | ambiguous | server error |
//! |---|---|---|---|
//! | no name, no connection, no TLS session, no connection in time | yes | | |
//! | token file unreadable or malformed | yes | | |
//! | sent, then: no answer in time, connection lost, not HTTP, call cut off | yes | yes | |
//! | 2xx, but the body is malformed, or has no job id, or ends early | yes | yes | |
//! | 2xx, but the body is a front end's page | yes | yes | |
//! | 2xx, but the body is larger than allowed | | yes | |
//! | 502, 504; 500 without a word | yes | yes | |
//! | 504 with an error of sbatch | | | yes |
//! | 504 of an sbatch that cannot submit now | yes | | |
//! | 504 with anything else that sbatch says: the job may have been submitted | | | |
//! | 408, 425, 429, 503 | yes | | |
//! | no room for the answer | yes | yes | |
//! | 503 of an Envoy that lost its connection after it had sent the request | yes | yes | |
//! | 401, 407, a redirect: no valid token, most often a lapsed one | yes | | |
//! | a front end's 4xx but 413, its 501, 505 and 511 | yes | | |
//! | a front end's other 5xx: it may be what it makes of the plugin's answer | yes | yes | |
//! | 409, or words that the job exists, to a submission | yes | yes | |
//! | any other 5xx, with the plugin's words | | | yes |
//! | any other 4xx; a wrong address, certificate, key | | | |
//!
//! * **Retryable**: the same call can succeed later, without a change to the pod. A front end's
//!   refusal is an outage, whatever its status: a token that lapsed, an ingress that restarts, a
//!   certificate that was renewed. But its 413 says that this pod is too large for it.
//! * **Ambiguous**: the plugin may have acted. From the first byte of a request on everything
//!   is, except a refusal that can only be had instead of an action. 502 and 504 are a proxy's
//!   or a server's word that the next one did not answer; but there are plugins that mean something
//!   else by 504 (`profile::gateway_timeout`). A 500 without a body is the same:
//!   the server (0.6, 0.7: `ReqWithError` in pkg/interlink/api/handler.go) writes it when its
//!   own call to the plugin breaks or takes longer than 120 s, while a plugin's 500 comes with
//!   text. A 200 whose body cannot be used may stand for a job that runs. And a plugin that refuses
//!   a job because it exists has most likely acted on an earlier request for it.
//! * **Server error**: plugins answer 500 for what can pass and for what cannot, so the caller
//!   tries a few times and then believes it. Never together with "retryable".

use super::{Error, Phase, TOKEN_KEY};
use crate::{
    interlink::call::Call,
    profile::{self, speaker, GatewayTimeout, Speaker},
};

impl Error {
    /// Whether the same call can succeed later. The table stands at the top of this file.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File { .. } | Self::BadFile { .. } => self.is_about_token(),
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Dropped { .. }
            | Self::Garbled { .. }
            | Self::Redirect { .. }
            | Self::Malformed { .. }
            | Self::NoJobId { .. }
            | Self::Page { .. }
            | Self::NoRoom { .. }
            | Self::Cancelled { .. } => true,
            Self::Status {
                status, speaker, ..
            } => {
                matches!(status, 401 | 407 | 408 | 425 | 429 | 503)
                    || (*speaker == Speaker::FrontEnd && *status != 413)
                    || self.is_ambiguous()
                    || self.gateway_timeout() == Some(GatewayTimeout::NotNow)
            }
            Self::NoUrl | Self::BadUrl { .. } | Self::TooLarge { .. } | Self::Request { .. } => {
                false
            }
        }
    }

    /// Whether the plugin may have acted. The table stands at the top of this file.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::TimedOut { phase, .. } => *phase != Phase::Connect,
            Self::Status {
                status,
                says,
                speaker,
                ..
            } => match (status, speaker) {
                (501 | 505 | 511, Speaker::FrontEnd) => false,
                (503, _) => speaker::may_have_passed_on(says),
                (500.., Speaker::FrontEnd) | (502, _) => true,
                (500, _) if says.is_empty() => true,
                (504, _) => matches!(
                    profile::gateway_timeout(says),
                    GatewayTimeout::Unknown | GatewayTimeout::Words
                ),
                _ => self.says_exists(),
            },
            Self::Cancelled { sent, .. } => *sent,
            Self::Page { .. }
            | Self::Dropped { .. }
            | Self::Garbled { .. }
            | Self::TooLarge { .. }
            | Self::NoRoom { .. }
            | Self::Malformed { .. }
            | Self::NoJobId { .. } => true,
            Self::NoUrl
            | Self::BadUrl { .. }
            | Self::File { .. }
            | Self::BadFile { .. }
            | Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::Request { .. } => false,
        }
    }

    /// Whether the plugin or the server said that it failed: to be tried a few times more.
    pub fn is_server_error(&self) -> bool {
        match self.gateway_timeout() {
            Some(meaning) => meaning == GatewayTimeout::Failed,
            None => matches!(self, Self::Status { status: 500.., .. }) && !self.is_retryable(),
        }
    }

    /// Whether a plugin has most likely refused, in its own words, although it may have acted.
    pub fn is_likely_refusal(&self) -> bool {
        self.gateway_timeout() == Some(GatewayTimeout::Words) || self.says_exists()
    }

    /// Whether a plugin refuses a submission because it has the job already.
    fn says_exists(&self) -> bool {
        match self {
            Self::Status {
                call: Call::Create,
                status,
                speaker,
                says,
            } => {
                *speaker != Speaker::FrontEnd
                    && !matches!(status, 401 | 407 | 408 | 425 | 429 | 502..)
                    && speaker::says_exists(*status, says)
            }
            _ => false,
        }
    }

    fn gateway_timeout(&self) -> Option<GatewayTimeout> {
        match self {
            Self::Status {
                speaker: Speaker::FrontEnd,
                ..
            } => None,
            Self::Status {
                status: 504, says, ..
            } => Some(profile::gateway_timeout(says)),
            _ => None,
        }
    }

    /// Whether something in front of interLink has answered, and not the plugin.
    pub fn is_of_front_end(&self) -> bool {
        match self {
            Self::Status { speaker, .. } => *speaker == Speaker::FrontEnd,
            Self::Redirect { .. } | Self::Page { .. } => true,
            _ => false,
        }
    }

    /// Whether this is a refusal, for good if it is the plugin's, of which the answer alone does not
    /// tell whose it is.
    pub fn is_unsettled(&self) -> bool {
        let is_open = matches!(
            self,
            Self::Status {
                status: 400..500,
                speaker: Speaker::Unknown,
                ..
            }
        );
        is_open && (!self.is_retryable() || self.says_exists())
    }

    /// Whether the plugin says that it does not know the job that it was asked about.
    pub fn denies_the_job(&self) -> bool {
        matches!(self, Self::Status { speaker, says, .. }
            if *speaker != Speaker::FrontEnd && profile::is_unknown_job(says))
    }

    /// Whether the plugin answers a DELETE with 404 or 410: it has no such job.
    pub fn confirms_a_deletion(&self) -> bool {
        matches!(
            self,
            Self::Status {
                call: Call::Delete,
                status: 404 | 410,
                speaker: Speaker::Interlink,
                ..
            }
        )
    }

    /// A token is replaced while the daemon runs, other files are not.
    fn is_about_token(&self) -> bool {
        matches!(self, Self::File { key, .. } | Self::BadFile { key, .. }
            if *key == TOKEN_KEY)
    }
}
