//! What is made of any answer to a submission, a ping, or a refused call.

use super::{Created, Error, Ping};
use crate::{profile::speaker, text};

/// Any body: what is kept of it is printable, on one line, and short.
pub fn any_reply(body: &[u8]) {
    match Created::read(body, "u") {
        Ok(created) => {
            if let Some(id) = created.remote_id {
                assert!(!id.is_empty());
                is_plain(&id);
            }
        }
        Err(Error::NoJobId { .. }) => {}
        Err(Error::Malformed { why, .. }) => is_plain(&why),
        Err(other) => panic!("no other error can come of a body: {other}"),
    }
    if let Ok(text) = str::from_utf8(body) {
        wrapping_changes_nothing(text);
    }
    is_plain(&Ping::read(body).text);
    for status in [403, 404, 500] {
        is_plain(&speaker::refusal(status, body).words);
    }
    // No text is too odd to tell whose it is.
    speaker::confirmation(body);
    if speaker::is_page(body) == Some(true) {
        is_plain(&speaker::title(&String::from_utf8_lossy(body)));
    }
}

/// An interLink server that takes a plugin's 201 for a failure passes on its words, escaped.
fn wrapping_changes_nothing(body: &str) {
    if !body.starts_with(['{', '[']) || speaker::unwrapped(body).is_some() {
        return;
    }
    let mut escaped = body.replace('&', "&amp;");
    for (plain, code) in [
        ("<", "&lt;"),
        (">", "&gt;"),
        ("\"", "&#34;"),
        ("'", "&#39;"),
    ] {
        escaped = escaped.replace(plain, code);
    }
    let wrapped = format!("HTTP InterLink session 1:  call exit status: 500. Body: {escaped}\n");
    let id = |body: &str| {
        let created = Created::read(body.as_bytes(), "u").ok();
        created.map(|created| created.remote_id)
    };
    assert_eq!(id(&wrapped), id(body), "{body}");
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
            page in "<(html|!doctype html)>(<(title|h1)?>?|</|\\PC{0,9}){0,9}",
            is_list: bool,
        ) {
            any_reply(&bytes);
            any_reply(page.as_bytes());
            for one in [
                serde_json::json!({"PodUID": "u", "PodJID": id}),
                serde_json::json!({"uid": "u", "jobid": id, "name": "p"}),
                serde_json::json!({"PodUID": "u", "PodJID": "", "jobid": id}),
            ] {
                let body = if is_list { serde_json::json!([one]) } else { one };
                any_reply(body.to_string().as_bytes());
            }
        }
    }
}
