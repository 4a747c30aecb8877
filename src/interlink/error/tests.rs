use super::*;

const CALL: Call = Call::Create;

fn io() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn timed_out(phase: Phase) -> Error {
    Error::TimedOut {
        call: CALL,
        phase,
        limit: Duration::from_secs(9),
        key: "interlink.create_timeout",
    }
}

fn status(status: u16, says: &str) -> Error {
    said(Speaker::Interlink, status, says)
}

fn said(speaker: Speaker, status: u16, says: &str) -> Error {
    Error::Status {
        call: CALL,
        status,
        speaker,
        says: says.to_owned(),
    }
}

fn front(status: u16, says: &str) -> Error {
    said(Speaker::FrontEnd, status, says)
}

fn file(key: &'static str) -> Error {
    let (path, source) = (PathBuf::from("/x"), io());
    Error::File { key, path, source }
}

fn dropped(phase: Phase) -> Error {
    let (call, source) = (CALL, io());
    Error::Dropped {
        call,
        phase,
        source,
    }
}

fn cancelled(sent: bool) -> Error {
    Error::Cancelled { call: CALL, sent }
}

#[test]
fn what_follows_from_an_error() {
    let (call, to, why) = (CALL, String::new, String::new);
    let source = io;
    let (y, n) = (true, false);
    let json = || serde_json::from_str::<u8>("x").unwrap_err();
    #[rustfmt::skip]
    let table = [
        // name, error, retryable, ambiguous, server error
        ("no url", Error::NoUrl, n, n, n),
        ("bad url", Error::BadUrl { why: why() }, n, n, n),
        ("token file", file("interlink.token_file"), y, n, n),
        ("ca file", file("interlink.ca_file"), n, n, n),
        ("dns", Error::Dns { call, host: to(), source: source() }, y, n, n),
        ("connect", Error::Connect { call, to: to(), source: source() }, y, n, n),
        ("tls", Error::Tls { call, to: to(), source: source() }, y, n, n),
        ("no connection in time", timed_out(Phase::Connect), y, n, n),
        ("no answer in time", timed_out(Phase::Answer), y, y, n),
        ("no complete answer in time", timed_out(Phase::Body), y, y, n),
        ("lost before the answer", dropped(Phase::Answer), y, y, n),
        ("lost in the answer", dropped(Phase::Body), y, y, n),
        ("not http", Error::Garbled { call, why: why() }, y, y, n),
        ("redirect", Error::Redirect { call, status: 302, to: to() }, y, n, n),
        ("too large", Error::TooLarge { call, limit: 1 }, n, y, n),
        ("no room", Error::NoRoom { call, why: NoRoom { wanted: 3, used: 1, most: 2 } }, y, y, n),
        ("malformed", Error::Malformed { call, why: why() }, y, y, n),
        ("no job id", Error::NoJobId { call }, y, y, n),
        ("request", Error::Request { call, source: json() }, n, n, n),
        ("cancelled before", cancelled(false), y, n, n),
        ("cancelled after", cancelled(true), y, y, n),
        ("400", status(400, "x"), n, n, n),
        ("401", status(401, ""), y, n, n),
        ("403", status(403, "x"), n, n, n),
        ("404", status(404, ""), n, n, n),
        ("407", status(407, ""), y, n, n),
        ("408", status(408, ""), y, n, n),
        ("409", status(409, ""), y, y, n),
        ("500, it exists", status(500, "name already in use"), y, y, n),
        ("page", Error::Page { call, status: 200, title: to() }, y, y, n),
        ("413", status(413, ""), n, n, n),
        ("425", status(425, ""), y, n, n),
        ("429", status(429, ""), y, n, n),
        ("500 with words", status(500, "sbatch: error"), n, n, y),
        ("500 without a word", status(500, ""), y, y, n),
        ("501", status(501, ""), n, n, y),
        ("502", status(502, "x"), y, y, n),
        ("503", status(503, ""), y, n, n),
        ("504", status(504, "x"), y, y, n),
        ("504 of sbatch", status(504, "sbatch: error: x"), n, n, y),
        ("504, not now", status(504, "sbatch: error: Batch job submission failed: Job violates QOSMaxSubmitJobPerUserLimit"), y, n, n),
        ("504 with a warning", status(504, "sbatch: Warning: x"), n, n, n),
        ("599", status(599, ""), n, n, y),
        ("503 of a lost connection", status(503, "upstream connect error or disconnect/reset before headers. reset reason: remote reset"), y, y, n),
        ("400 of a front end", front(400, "x"), y, n, n),
        ("401 of a front end", front(401, "x"), y, n, n),
        ("403 of a front end", front(403, "x"), y, n, n),
        ("404 of a front end", front(404, "x"), y, n, n),
        ("409 of a front end", front(409, "x"), y, n, n),
        ("413 of a front end", front(413, "x"), n, n, n),
        ("500 of a front end", front(500, "x"), y, y, n),
        ("501 of a front end", front(501, "x"), y, n, n),
        ("503 of a front end", front(503, "x"), y, n, n),
        ("504 of a front end", front(504, "sbatch: error: x"), y, y, n),
        ("511 of a front end", front(511, "x"), y, n, n),
        ("521 of a front end", front(521, "x"), y, y, n),
        ("404 of somebody", said(Speaker::Unknown, 404, "x"), n, n, n),
    ];
    for (says, likely) in [("x", true), ("", false), ("sbatch: error: x", false)] {
        assert_eq!(status(504, says).is_likely_refusal(), likely, "{says}");
    }
    for (name, error, retryable, ambiguous, server_error) in table {
        assert_eq!(error.is_retryable(), retryable, "{name}: retryable");
        assert_eq!(error.is_ambiguous(), ambiguous, "{name}: ambiguous");
        assert_eq!(error.is_server_error(), server_error, "{name}: server");
    }
}

#[test]
fn what_is_unsettled() {
    use Speaker::{FrontEnd, Interlink, Unknown};
    for (speaker, status, says, want) in [
        (Unknown, 400, "x", true),
        (Unknown, 409, "", true),
        (Unknown, 404, "", true),
        (Unknown, 429, "", false),
        (Unknown, 500, "x", false),
        (Interlink, 400, "x", false),
        (FrontEnd, 400, "x", false),
    ] {
        let error = said(speaker, status, says);
        assert_eq!(error.is_unsettled(), want, "{speaker:?} {status}");
    }
    assert!(said(Unknown, 400, "x").said_by(FrontEnd).is_of_front_end());
    assert!(!said(Unknown, 400, "x").said_by(Interlink).is_retryable());
}

#[test]
fn only_the_plugin_knows_of_jobs() {
    let delete = |status: u16, speaker: Speaker| Error::Status {
        call: Call::Delete,
        status,
        speaker,
        says: "no such job".to_owned(),
    };
    for (status, speaker, confirms, denies) in [
        (404, Speaker::Interlink, true, true),
        (410, Speaker::Interlink, true, true),
        (409, Speaker::Interlink, false, true),
        (404, Speaker::Unknown, false, true),
        (404, Speaker::FrontEnd, false, false),
    ] {
        let error = delete(status, speaker);
        assert_eq!(error.confirms_a_deletion(), confirms, "{error:?}");
        assert_eq!(error.denies_the_job(), denies, "{error:?}");
        assert!(!error.is_likely_refusal(), "{error:?}");
    }
    assert!(!said(Speaker::Interlink, 404, "").confirms_a_deletion());
}

#[test]
fn texts_say_what_failed_and_which_limit_struck() {
    let table = [
        (
            timed_out(Phase::Answer),
            "POST /create: no answer within 9s (interlink.create_timeout)",
        ),
        (
            dropped(Phase::Body),
            "POST /create: connection lost in the middle of the answer",
        ),
        (
            status(500, "no such partition"),
            "POST /create answered 500: no such partition",
        ),
        (status(504, ""), "POST /create answered 504"),
        (
            front(403, "Sign In"),
            "POST /create answered 403 from something in front of interLink: Sign In: is the \
             token valid? See interlink.token_file",
        ),
        (
            front(404, ""),
            "POST /create answered 404 from something in front of interLink: see \
             interlink.url, and what stands there",
        ),
        (
            Error::Page {
                call: CALL,
                status: 200,
                title: "Sign in".to_owned(),
            },
            "POST /create: something in front of interLink answered 200 with a page (\"Sign \
             in\"): is the token valid? See interlink.token_file",
        ),
        (file("interlink.ca_file"), "interlink.ca_file /x"),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}
