use super::*;
use crate::memory_testing::holds_little;
use Speaker::{FrontEnd, Interlink, Unknown};

/// A page as front ends send it.
const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign In</title></head><body>x</body></html>";
const WERKZEUG: &str =
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n";

/// One row at least for each row of the table in the module's docs.
#[test]
fn whose_word_a_refusal_is() {
    for (status, body, speaker, words) in [
        (403, PAGE, FrontEnd, "Sign In"),
        (
            404,
            "\n <html><head><title>404 Not Found</title></head></html>",
            FrontEnd,
            "404 Not Found",
        ),
        (
            400,
            "<html>\r\n<head><title>400 The SSL certificate error</title></head>",
            FrontEnd,
            "400 The SSL certificate error",
        ),
        (
            503,
            "<html><body><h1>503 Service Unavailable</h1>\nNo server is available",
            FrontEnd,
            "503 Service Unavailable",
        ),
        (
            403,
            "<?xml version='1.0'?><Error><Message>AccessDenied</Message></Error>",
            FrontEnd,
            "AccessDenied",
        ),
        (
            500,
            "HTTP InterLink session 1:  call exit status: 500. Body: &lt;html&gt;&lt;title&gt;502 \
             Bad Gateway&lt;/title&gt;",
            FrontEnd,
            "502 Bad Gateway",
        ),
        (500, WERKZEUG, Unknown, "500 Internal Server Error"),
        (401, "go away", FrontEnd, "go away"),
        (407, "", FrontEnd, ""),
        (403, "", FrontEnd, ""),
        (403, "Forbidden", FrontEnd, "Forbidden"),
        (
            403,
            "the token is expired",
            FrontEnd,
            "the token is expired",
        ),
        (
            403,
            "HTTP InterLink session 1:  call exit status: 500. Body: Unauthorized",
            FrontEnd,
            "Unauthorized",
        ),
        (
            403,
            "partition gpu is not for you",
            Unknown,
            "partition gpu is not for you",
        ),
        (404, "404 page not found\n", FrontEnd, "404 page not found"),
        (
            404,
            "HTTP InterLink session 1:  call exit status: 500. Body: 404 page not found",
            FrontEnd,
            "404 page not found",
        ),
        (
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            FrontEnd,
            "Client sent an HTTP request to an HTTPS server.",
        ),
        (
            404,
            "default backend - 404",
            FrontEnd,
            "default backend - 404",
        ),
        (403, "RBAC: access denied", FrontEnd, "RBAC: access denied"),
        (400, "400 Bad Request", FrontEnd, "400 Bad Request"),
        (
            404,
            r#"{"message":"no Route matched with those values","request_id":"1"}"#,
            FrontEnd,
            r#"{"message":"no Route matched with those values","request_id":"1"}"#,
        ),
        (
            404,
            r#"{"message":"nothing"}"#,
            FrontEnd,
            r#"{"message":"nothing"}"#,
        ),
        (
            404,
            r#"{"timestamp":"t","path":"/create","status":404,"error":"Not Found"}"#,
            FrontEnd,
            r#"{"timestamp":"t","path":"/create","status":404,"error":"Not Found"}"#,
        ),
        (
            400,
            "HTTP InterLink session 1-2:  call exit status: 500. Body: no &#34;x&#34; &amp;lt;\n",
            Interlink,
            "no \"x\" &lt;",
        ),
        (
            404,
            "status call exit status: 500. Body: {&#34;detail&#34;:&#34;No containers found for \
             UUID&#34;}",
            Interlink,
            r#"{"detail":"No containers found for UUID"}"#,
        ),
        (
            404,
            "HTTP InterLink session 1:  call exit status: 500. Body: ",
            Interlink,
            "",
        ),
        (400, "sbatch: error: no", Interlink, "sbatch: error: no"),
        (
            400,
            "invalid namespace: must be a valid DNS label",
            Interlink,
            "invalid namespace: must be a valid DNS label",
        ),
        (404, "job 7 not found", Interlink, "job 7 not found"),
        (
            422,
            r#"{"detail":[{"loc":["body"]}]}"#,
            Interlink,
            r#"{"detail":[{"loc":["body"]}]}"#,
        ),
        (
            404,
            r#"{"detail":"Not Found"}"#,
            Unknown,
            r#"{"detail":"Not Found"}"#,
        ),
        (
            400,
            r#"{"error":"no pod name"}"#,
            Unknown,
            r#"{"error":"no pod name"}"#,
        ),
        (404, "", Unknown, ""),
        (400, "no such flavour", Unknown, "no such flavour"),
        (400, "&lt;", Unknown, "&lt;"),
    ] {
        let said = refusal(status, body.as_bytes());
        assert_eq!(
            (said.speaker, &*said.words),
            (speaker, words),
            "{status} {body}"
        );
    }
}

#[test]
fn words_are_plain() {
    for (body, want) in [
        (&b" \r\n\t "[..], ""),
        (b"  a  b\n\nc\n", "a b c"),
        (b"\x1b[31mred\x1b[0m", "[31mred [0m"),
        (b"a\xffb", "a\u{fffd}b"),
        ("a\u{202e}b\u{200b}c".as_bytes(), "abc"),
    ] {
        assert_eq!(refusal(500, body).words, want);
    }
}

#[test]
fn who_confirms_a_deletion() {
    for (body, want) in [
        (
            "All containers for submitted Pods have been deleted",
            Interlink,
        ),
        ("deleted", Interlink),
        (
            "HTTP InterLink session 1:  call exit status: 500. Body: {}",
            Interlink,
        ),
        ("null", Interlink),
        ("\"ok\"", Interlink),
        ("[]", Interlink),
        (r#"{"message":"Pod deleted"}"#, Interlink),
        ("pod lab/train is gone", Interlink),
        (PAGE, FrontEnd),
        ("404 page not found", FrontEnd),
        ("your session was terminated, please log in", FrontEnd),
        (r#"{"error":"unauthorized"}"#, FrontEnd),
        (r#"{"error":"deleted too often"}"#, Unknown),
        ("", Unknown),
        ("{}", Unknown),
        ("OK", Unknown),
        ("1", Unknown),
        (r#"{"message":"Pod deleted","error":null}"#, Unknown),
    ] {
        assert_eq!(confirmation(body.as_bytes()), want, "{body}");
    }
    let mega = 1 << 20;
    for (name, body) in [
        (
            "numbers",
            format!("[{}0]", "0,".repeat(mega / 2)).into_bytes(),
        ),
        (
            "objects",
            format!("{{\"deleted\":[{}0]}}", "{},".repeat(mega / 3)).into_bytes(),
        ),
        ("no text", vec![0xff; mega]),
        ("words", "deleted ".repeat(mega / 8).into_bytes()),
    ] {
        holds_little(name, &body, 16_384, |body| {
            confirmation(body);
        });
    }
}

#[test]
fn a_page_is_told_from_a_log() {
    let html = Some("text/html; charset=utf-8");
    for (content_type, text, want) in [
        (html, "<!DOCTYPE html>x", Some(true)),
        (html, "\u{feff}\n<HTML>", Some(true)),
        (html, "<!DOC", None),
        (html, "", None),
        (html, "step 1", Some(false)),
        (html, "<step 1>", Some(false)),
        (Some("text/plain"), "<html>a report</html>", Some(false)),
        (Some("text/plain"), PAGE, Some(true)),
        (None, PAGE, Some(false)),
    ] {
        let got = is_page_for_log(content_type, text.as_bytes());
        assert_eq!(got, want, "{content_type:?} {text}");
    }
}

#[test]
fn a_refusal_may_say_that_the_job_exists() {
    for (status, words, want) in [
        (409, "", true),
        (400, "pod lab/train already exists", true),
        (500, "docker: name already in use", true),
        (500, "duplicate key", true),
        (400, "partition gpu does not exist", false),
        (
            500,
            "GPU with UUID 1 is already in use by container c",
            false,
        ),
        (500, "sbatch: error: the reservation is in use", false),
        (400, "invalid partition", false),
    ] {
        assert_eq!(says_exists(status, words), want, "{status} {words}");
    }
}

#[test]
fn an_envoy_that_lost_its_connection_may_have_passed_on() {
    let lost = "upstream connect error or disconnect/reset before headers. reset reason: ";
    for (reason, want) in [
        ("connection termination", true),
        ("remote reset", true),
        ("connection failure", false),
        ("overflow", false),
    ] {
        assert_eq!(
            may_have_passed_on(&format!("{lost}{reason}")),
            want,
            "{reason}"
        );
    }
    assert!(!may_have_passed_on("try again later"));
}
