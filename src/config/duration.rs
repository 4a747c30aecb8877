//! Durations as people write them: `500ms`, `2m`, `1h 30m`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{de::Error as _, Deserialize as _, Deserializer, Serializer};

/// The longest duration that a setting may have. Times are added to each other, and to what a clock says:
/// so none of them can come near the end of what a clock can count to.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Parses a friendly duration.
///
/// # Errors
/// A text that is no duration, a negative one, or one over [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("{text:?} is not a duration; write for example `500ms`, `30s` or `2m`");
    let signed: SignedDuration = text.parse().map_err(wrong)?;
    let span = Duration::try_from(signed).map_err(|_| format!("{text:?} is negative"))?;
    match span <= LONGEST {
        true => Ok(span),
        false => Err(format!(
            "{text:?} is too long; the longest duration is 365 days, 8760h"
        )),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_clock_can_bear() {
        for (text, want) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("1h 30m", Some(Duration::from_secs(5400))),
            ("8760h", Some(LONGEST)),
            ("8760h 1ns", None),
            ("9223372036854775807s", None),
            ("-1s", None),
            ("soon", None),
            ("99999999999999999999999s", None),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
        assert_eq!(parse(&print(LONGEST)), Ok(LONGEST));
    }
}
