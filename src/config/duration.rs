//! Durations as people write them: `500ms`, `2m`, `1h 30m`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{de::Error as _, Deserialize as _, Deserializer, Serializer};

/// Parses a friendly duration.
///
/// # Errors
/// A text that is no duration, or a negative one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("{text:?} is not a duration; write for example `500ms`, `30s` or `2m`");
    let signed: SignedDuration = text.parse().map_err(wrong)?;
    Duration::try_from(signed).map_err(|_| format!("{text:?} is negative"))
}

/// Prints a duration so that [`parse`] reads it back.
pub fn print(span: Duration) -> String {
    match SignedDuration::try_from(span) {
        Ok(signed) => format!("{signed:#}"),
        Err(_) => format!("{}s", u64::MAX / 4),
    }
}

pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&print(*span))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) mod option {
    use super::*;

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(from).map(Some)
    }
}
