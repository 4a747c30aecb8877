//! The answer to a submission, in the forms that plugins give it.
//!
//! | form | who answers so |
//! |---|---|
//! | `{"PodUID": "...", "PodJID": "..."}` | the interLink server's own description, most plugins |
//! | the same in a list of one, or with a number for an id | plugins made with the Python SDK |
//! | `[{"name": ..., "uid": ..., "jobid": ...}]` | the UNICORE plugin |
//! | the first within `HTTP InterLink session ID: call exit status: 500. Body: `, escaped for HTML | an interLink server whose plugin answered 201 or another 2xx: to it all but 200 is a failure (`ReqWithError` in pkg/interlink/api/handler.go, 0.6 and 0.7), and it passes on the status |
//! | the first with `"PodJID": ""` | a plugin that gives an id when the other pods of a gang have come |

use std::borrow::Cow;

use super::{call::Call, error::Error};
use crate::{
    json::{self, Piece},
    profile::speaker,
    text::one_line,
};

/// What a submission is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The plugin's own id of the job, not empty: printable, one line, at most 1 KiB. None where the
    /// plugin names our pod and gives it an empty id.
    pub remote_id: Option<String>,
    /// Whether an interLink server took the answer for a failure and passed it on all the same.
    pub is_wrapped: bool,
    /// Whether the id is called `jobid`.
    pub has_jobid: bool,
    /// Whether it is a list of one.
    pub is_list: bool,
}

impl Created {
    /// Reads the answer to the submission of a pod with this UID.
    ///
    /// # Errors
    /// One that cannot be read, or that names no job.
    pub(super) fn read(body: &[u8], uid: &str) -> Result<Self, Error> {
        let call = Call::Create;
        let unwrapped = speaker::unwrapped(&String::from_utf8_lossy(body));
        let (body, is_wrapped) = match unwrapped {
            Some(inner) => (Cow::Owned(inner.into_bytes()), true),
            None => (Cow::Borrowed(body), false),
        };
        let malformed = |error: json::Error| Error::Malformed {
            call,
            why: one_line(&error.to_string()),
        };
        let words = Words::of(&body).map_err(malformed)?;
        let remote_id = match one_line(&words.pod_jid.clone().unwrap_or_default()) {
            id if id.is_empty() => one_line(words.jobid.as_deref().unwrap_or_default()),
            id => id,
        };
        let is_ours = !uid.is_empty() && words.pod_uid == uid;
        let has_empty_id = words.pod_jid.as_deref() == Some("");
        if remote_id.is_empty() && !(is_ours && has_empty_id) {
            return Err(Error::NoJobId { call });
        }
        Ok(Self {
            remote_id: Some(remote_id).filter(|id| !id.is_empty()),
            is_wrapped,
            has_jobid: words.jobid.is_some(),
            is_list: body.trim_ascii_start().starts_with(b"["),
        })
    }
}

/// What an answer says, as far as anybody wants to know.
#[derive(Default)]
struct Words<'a> {
    pod_uid: Cow<'a, str>,
    /// None where it is `null` or missing.
    pod_jid: Option<Cow<'a, str>>,
    jobid: Option<Cow<'a, str>>,
}

impl<'a> Words<'a> {
    /// Reads one object, or the only element of a list. Nothing is kept of all the rest, so that an answer
    /// takes no more memory than a copy of it.
    fn of(body: &'a [u8]) -> Result<Self, json::Error> {
        let mut one = Piece::of_body(body)?;
        if let Ok(mut list) = one.list() {
            let first = list.next_element()?;
            match (first, list.next_element()?) {
                (Some(first), None) => one = first,
                _ => {
                    return Err(json::Error::Syntax(
                        "a list where one job belongs".to_owned(),
                    ))
                }
            }
        }
        let mut words = Self::default();
        let mut fields = one.object()?;
        while let Some((name, value)) = fields.next_field()? {
            match &*name {
                "PodUID" => words.pod_uid = value.text()?,
                "PodJID" if !value.is_null() => words.pod_jid = Some(value.text()?),
                "jobid" if !value.is_null() => words.jobid = value.text().ok(),
                _ => {}
            }
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_testing::holds_little;

    #[test]
    fn answers_in_every_known_form() {
        let wrapped = "HTTP InterLink session 1-2:  call exit status: 500. Body: \
                       {&#34;PodJID&#34;:&#34;17&#34;,&#34;PodUID&#34;:&#34;u&#34;,\
                       &#34;metadata&#34;:{&#34;name&#34;:&#34;p&#34;}}\n";
        for (body, want) in [
            (r#"{"PodUID":"u","PodJID":"7"}"#, Some(Some("7"))),
            (r#"[{"PodUID":"u","PodJID":7,"x":1}]"#, Some(Some("7"))),
            (
                r#"[{"name":"p","uid":"u","namespace":"n","jobid":"a-1"}]"#,
                Some(Some("a-1")),
            ),
            (wrapped, Some(Some("17"))),
            (r#"{"PodUID":"u","PodJID":""}"#, Some(None)),
            // Of another pod, of no pod, or without a word on the id.
            (r#"{"PodUID":"v","PodJID":""}"#, None),
            (r#"{"PodJID":""}"#, None),
            (r#"{"PodUID":"u","PodJID":null}"#, None),
            (r#"{"PodUID":"u"}"#, None),
            ("HTTP InterLink session 1-2: no more words", None),
        ] {
            let got = Created::read(body.as_bytes(), "u").ok();
            let got = got.as_ref().map(|created| created.remote_id.as_deref());
            assert_eq!(got, want, "{body}");
        }
        assert!(Created::read(wrapped.as_bytes(), "u").unwrap().is_wrapped);
    }

    #[test]
    fn an_answer_takes_no_more_than_a_small_multiple_of_its_bytes() {
        let mega = 1 << 20;
        let many = |piece: &str| piece.repeat(mega / piece.len());
        let wrapped = "HTTP InterLink session 1-2:  call exit status: 500. Body: ";
        for (name, body) in [
            ("nulls", format!("[{}null]", many("null,"))),
            ("objects", format!("{{\"x\":[{}{{}}]}}", many("{},"))),
            ("fields", format!("{{{}\"PodUID\":1}}", many("\"a\":1,"))),
            ("a long id", format!("{{\"PodJID\":\"{}\"}}", many("7"))),
            (
                "an escaped id",
                format!("{{\"PodJID\":\"{}\"}}", many("\\u00e9")),
            ),
            ("a wrapped answer", format!("{wrapped}{}", many("&#34;"))),
            (
                "a wrapped one without escapes",
                format!("{wrapped}{}", many("&")),
            ),
            ("depth", many("[")),
        ] {
            holds_little(name, body.as_bytes(), 16_384, |body| {
                drop(Created::read(body, "u"));
            });
        }
    }
}
