//! What is made of any answer to a submission, a ping, or a refused call.

use super::{error_body, Created, Error, Ping};
use crate::text;

/// Any body: what is kept of it is printable, on one line, and short.
pub fn any_reply(body: &[u8]) {
    match Created::read(body) {
        Ok(created) => {
            assert!(!created.remote_id.is_empty());
            is_plain(&created.remote_id);
        }
        Err(Error::NoJobId { .. }) => {}
        Err(Error::Malformed { why, .. }) => is_plain(&why),
        Err(other) => panic!("no other error can come of a body: {other}"),
    }
    is_plain(&Ping::read(body).text);
    is_plain(&error_body::words(body));
}

/// Holds of everything that another machine says and that is kept or shown.
pub fn is_plain(text: &str) {
    assert!(text.len() <= text::LINE_MAX, "{} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert_eq!(text::one_line(text), text, "what is plain stays as it is");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_reply_is_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            id in "\\PC{0,40}[\n\t\u{202e}]{0,3}\\PC{0,2000}",
            is_list: bool,
        ) {
            any_reply(&bytes);
            let one = serde_json::json!({"PodUID": "u", "PodJID": id});
            let body = if is_list { serde_json::json!([one]) } else { one };
            any_reply(body.to_string().as_bytes());
        }
    }
}
