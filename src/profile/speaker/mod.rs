//! Whose word an answer is: interLink's or its plugin's, or that of something in front of them (an
//! ingress, a login proxy, a gateway, a load balancer). A plugin's refusal is final. A front end's is an
//! outage, whatever its status: the job has nothing to do with it. And a front end confirms nothing.
//!
//! | the answer | whose word | why |
//! |---|---|---|
//! | a page: HTML or XML, also within interLink's wrapping | front end | nginx, Apache, HAProxy, oauth2-proxy, cloud load balancers; no plugin answers with pages |
//! | the page of werkzeug (Flask) for an error | unknown | plugins in Python with Flask send it, and so does any other program with it |
//! | 401, 407; 403 about a token, a login, or without any reason | front end | whoever says it: it is about us, not about the pod |
//! | a text of a router, gateway or TLS server ([`ROUTERS`]) | front end | Go's and Traefik's `404 page not found`, ingress-nginx, Envoy, Kong, APISIX, uvicorn... |
//! | JSON `{"message": ...}` with nothing but a request id beside it | front end | Kong, AWS API Gateway; no plugin has this shape |
//! | JSON with `timestamp`, `status`, `error` and `path` | front end | Spring Cloud Gateway |
//! | `HTTP InterLink session ID: `, `call exit status: N. Body: ` | interLink | `ReqWithError` in its pkg/interlink/api/handler.go (0.6, 0.7), and the SLURM plugin |
//! | words of SLURM, or of interLink's checks of a log request ([`PLUGINS`]) | interLink | a plugin that is spoken to directly wraps nothing |
//! | words for "I do not know this job" ([`unknown_job`](super::unknown_job)) | interLink | no front end knows of jobs |
//! | JSON `{"detail": ...}`, but for `Not Found` and `Method Not Allowed` | interLink | FastAPI, with which the Python SDK is made; those two are its router's |
//! | anything else, also nothing | unknown | |
//!
//! An unknown refusal of a submission is settled by a ping (`worker::submit`): where the plugin answers
//! that well, the refusal is its word; where it does not, it is an outage. A DELETE of which it is unknown
//! who answered is believed when `/status` denies the job (`worker::cancel`).

use serde_json::{Map, Value};

use super::unknown_job::is_unknown_job;
use crate::{json::Piece, text::one_line};

#[cfg(test)]
mod tests;

/// Who gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The interLink server or its plugin.
    Interlink,
    /// Something in front of them.
    FrontEnd,
    /// That cannot be told from the answer alone.
    Unknown,
}

/// What a refusal says, and who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub speaker: Speaker,
    /// What, without interLink's wrapping; of a page its title. Printable, one line, at most 1 KiB.
    pub words: String,
}

/// The server's wrapping of what a plugin says.
const SESSION: &str = "HTTP InterLink session ";
const EXIT_STATUS: &str = "call exit status: ";
const BODY: &str = " Body: ";
/// The wrapping begins within so many bytes.
const MAX_PREFIX: usize = 512;

/// Texts of routers, gateways and TLS servers, in lower case.
const ROUTERS: [&str; 30] = [
    // Go's net/http: its router (Traefik's too), its TLS server, its checks of a request.
    "404 page not found",
    "client sent an http request to an https server",
    "400 bad request: ",
    // nginx, and ingress-nginx without a route.
    "the plain http request was sent to https port",
    "default backend - 404",
    // The load balancers of Google, and its login proxy.
    "response 404 (backend notfound)",
    "invalid iap credentials",
    // Traefik without a server.
    "no available server",
    // Envoy, Istio.
    "rbac: access denied",
    "no healthy upstream",
    "upstream connect error or disconnect/reset before headers",
    "upstream request timeout",
    "jwt is missing",
    "jwt is expired",
    "jwt verification fails",
    "jwt issuer is not configured",
    "audiences in jwt are not allowed",
    // Kong.
    "no route matched with those values",
    "no api key found in request",
    "invalid authentication credentials",
    "an invalid response was received from the upstream server",
    "the upstream server is timing out",
    "failure to get a peer from the ring-balancer",
    "api rate limit exceeded",
    // APISIX.
    "404 route not found",
    // AWS API Gateway.
    "missing authentication token",
    // Cloudflare, ngrok.
    "error code: 10",
    "err_ngrok_",
    // uvicorn, and OpenShift's router.
    "invalid http request received.",
    "application is not available",
];

/// Texts of the SLURM plugin, of SLURM's commands, and of interLink's checks of a log request
/// (pkg/interlink/api/logs.go), in lower case.
const PLUGINS: [&str; 12] = [
    "sbatch:",
    "squeue:",
    "scancel:",
    "slurm sidecar",
    "slurm_",
    "some errors occurred while creating containers",
    "some errors occurred deleting containers",
    "all containers for submitted pods have been deleted",
    "must be a valid dns label",
    "must be a valid uuid",
    "both tail and limitbytes set",
    "both sinceseconds and sincetime set",
];

/// Words of refusals that are about who asks.
const LOGINS: [&str; 24] = [
    "sign in",
    "sign-in",
    "signin",
    "log in",
    "log-in",
    "login",
    "logged in",
    "logged out",
    "invalid token",
    "invalid_token",
    "token is invalid",
    "token expired",
    "token has expired",
    "token is expired",
    "expired token",
    "missing token",
    "token required",
    "session expired",
    "credential",
    "unauthorized",
    "unauthenticated",
    "not authenticated",
    "authentication",
    "api key",
];

/// Refusals that give no reason, in lower case.
const NO_REASON: [&str; 5] = [
    "",
    "forbidden",
    "403 forbidden",
    "access denied",
    "access forbidden",
];

/// What plugins say when they have deleted a job, in lower case. The embedded plugin says "is gone".
const DELETED: [&str; 10] = [
    "delet",
    "cancel",
    "remov",
    "terminat",
    "killed",
    "stopped",
    "is gone",
    "cleaned",
    "no longer",
    "does not exist",
];

/// What a refusal says, and who says it.
pub fn refusal(status: u16, body: &[u8]) -> Said {
    let text = String::from_utf8_lossy(body);
    let unwrapped = unwrapped(&text);
    let inner = unwrapped.as_deref().unwrap_or(&text);
    if is_page(inner.as_bytes()) == Some(true) {
        return Said {
            speaker: speaker_of_page(inner, unwrapped.is_some()),
            words: title(inner),
        };
    }
    let words = one_line(inner);
    let lower = words.to_lowercase();
    let speaker = if is_about_us(status, &lower) || is_router(&lower) {
        Speaker::FrontEnd
    } else if unwrapped.is_some() || is_plugin(&lower) || is_unknown_job(&words) {
        Speaker::Interlink
    } else {
        speaker_of_json(inner)
    };
    Said { speaker, words }
}

/// As much of an answer to a DELETE is looked at for words.
const MAX_CONFIRMATION: usize = 64 << 10;

/// Whose word a good answer (2xx) to a DELETE is: only interLink's or a plugin's confirms it.
pub fn confirmation(body: &[u8]) -> Speaker {
    // A confirmation is short; what is long is looked at no further.
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_CONFIRMATION)]);
    let wrapped = unwrapped(&text);
    let text = wrapped.as_deref().unwrap_or(&text);
    let lower = text.trim().to_lowercase();
    let is_page = is_page(text.as_bytes()) == Some(true);
    if is_page || is_router(&lower) || contains_any(&lower, &LOGINS) {
        return Speaker::FrontEnd;
    }
    // interLink wraps what a plugin says with any other status than 200, so also with 201.
    if wrapped.is_some() {
        return Speaker::Interlink;
    }
    let says_so = contains_any(&lower, &DELETED) || is_plugin(&lower);
    let is_own = match Piece::of_body(body) {
        Ok(object) if object.is_object() => says_so && !names_an_error(object),
        // What handlers made with the Python SDK give back.
        Ok(value) => matches!(value.bytes(), [b'[' | b'"' | b'n' | b't', ..]),
        Err(_) => says_so,
    };
    match is_own {
        true => Speaker::Interlink,
        false => Speaker::Unknown,
    }
}

fn names_an_error(object: Piece<'_>) -> bool {
    let Ok(mut fields) = object.object() else {
        return false;
    };
    // It has been read once, so nothing in it is broken.
    while let Ok(Some((name, _))) = fields.next_field() {
        if matches!(&*name, "error" | "errors") {
            return true;
        }
    }
    false
}

/// Whether a text is a page, HTML or XML; none while it is too short to tell.
pub fn is_page(beginning: &[u8]) -> Option<bool> {
    let rest = beginning
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(beginning)
        .trim_ascii_start();
    const BEGINNINGS: [&[u8]; 7] = [
        b"<!doctype",
        b"<html",
        b"<head",
        b"<body",
        b"<title",
        b"<?xml",
        b"<!--",
    ];
    let is = |begin: &&[u8]| {
        let length = begin.len().min(rest.len());
        rest[..length].eq_ignore_ascii_case(&begin[..length])
    };
    let longest = BEGINNINGS
        .iter()
        .filter(|begin| is(begin))
        .map(|it| it.len())
        .min();
    match longest {
        Some(length) if rest.len() >= length => Some(true),
        Some(_) => None,
        None => Some(false),
    }
}

/// Whether a log that is sent as this type and begins so is no log, but the page of a front end. interLink
/// (0.6, 0.7) sends logs without a type, so that a container may well write HTML.
pub fn is_page_for_log(content_type: Option<&str>, beginning: &[u8]) -> Option<bool> {
    let Some(content_type) = content_type else {
        return Some(false);
    };
    let is_html = content_type
        .trim_start()
        .to_lowercase()
        .starts_with("text/html");
    match is_page(beginning) {
        Some(true) if is_html => Some(true),
        Some(true) => {
            let text = String::from_utf8_lossy(beginning).to_lowercase();
            Some(contains_any(&text, &LOGINS))
        }
        other => other,
    }
}

/// The title of a page, else the beginning of its text, else nothing. One line, at most 1 KiB.
pub fn title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let part = |tag: &str| {
        let open = lower.find(&format!("<{tag}"))?;
        let begin = open + lower[open..].find('>')? + 1;
        let end = begin + lower[begin..].find("</")?;
        Some(one_line(&page[begin..end])).filter(|text| !text.is_empty())
    };
    let parts = ["title", "h1", "message", "p"];
    parts.into_iter().find_map(part).unwrap_or_else(|| {
        let mut is_tag = false;
        let text = page.chars().filter(|c| {
            let was_tag = is_tag;
            is_tag = (is_tag || *c == '<') && *c != '>';
            !was_tag && !is_tag
        });
        one_line(&text.collect::<String>())
    })
}

/// Whether a gateway that answers 503 in these words may have passed the request on before: Envoy says so
/// of connections that broke after it had used them.
pub fn may_have_passed_on(words: &str) -> bool {
    const NEVER: [&str; 4] = [
        "connection failure",
        "connection timeout",
        "overflow",
        "no healthy",
    ];
    let lower = words.to_lowercase();
    lower.contains("disconnect/reset before headers") && !contains_any(&lower, &NEVER)
}

/// Whether a refusal of a submission says that the plugin has the job already. It is asked then; where it
/// denies the job, the refusal counts after all.
pub fn says_exists(status: u16, words: &str) -> bool {
    let lower = words.to_lowercase();
    // The Docker plugin says of a GPU or FPGA that it "is already in use by container".
    const NOT: [&str; 6] = [
        "in use by container",
        "not exist",
        "n't exist",
        "no longer exists",
        "if it exists",
        "sbatch:",
    ];
    const EXISTS: [&str; 4] = ["already", "exists", "in use", "duplicate"];
    status == 409 || (contains_any(&lower, &EXISTS) && !contains_any(&lower, &NOT))
}

/// What the server wraps, unescaped; none where it has wrapped nothing.
pub fn unwrapped(text: &str) -> Option<String> {
    let head = crate::text::beginning(text, MAX_PREFIX);
    let exit_status = head.find(EXIT_STATUS);
    if !text.starts_with(SESSION) && exit_status.is_none() {
        return None;
    }
    let inner = match text[exit_status.unwrap_or(0)..].split_once(BODY) {
        Some((_, body)) => body,
        None => text.strip_prefix(SESSION).unwrap_or(text),
    };
    Some(unescape(inner))
}

/// Undoes Go's html.EscapeString, in one pass: nothing is undone twice, and no copy is made but one.
fn unescape(text: &str) -> String {
    const ESCAPES: [(&str, char); 5] = [
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&#34;", '"'),
        ("&#39;", '\''),
        ("&amp;", '&'),
    ];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, escaped) = rest.split_at(at);
        plain.push_str(before);
        let known = ESCAPES
            .iter()
            .find(|(escape, _)| escaped.starts_with(escape));
        let (length, stands_for) = known.map_or((1, '&'), |(escape, c)| (escape.len(), *c));
        plain.push(stands_for);
        rest = &escaped[length..];
    }
    plain.push_str(rest);
    plain
}

fn speaker_of_page(page: &str, is_wrapped: bool) -> Speaker {
    // werkzeug/exceptions.py, `HTTPException.get_body`.
    let is_werkzeug = page
        .trim_start()
        .to_lowercase()
        .starts_with("<!doctype html>\n<html lang=en>\n<title>");
    match (is_werkzeug, is_wrapped) {
        (false, _) => Speaker::FrontEnd,
        (true, true) => Speaker::Interlink,
        (true, false) => Speaker::Unknown,
    }
}

fn speaker_of_json(text: &str) -> Speaker {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Speaker::Unknown;
    };
    let has = |key: &&str| object.contains_key(*key);
    if is_message_of_gateway(&object) || ["timestamp", "status", "error", "path"].iter().all(has) {
        return Speaker::FrontEnd;
    }
    match object.get("detail") {
        Some(Value::String(text)) if ["Not Found", "Method Not Allowed"].contains(&&**text) => {
            Speaker::Unknown
        }
        Some(_) => Speaker::Interlink,
        None => Speaker::Unknown,
    }
}

fn is_message_of_gateway(object: &Map<String, Value>) -> bool {
    let is_known = |key: &String| {
        ["message", "request_id", "requestid", "error_msg"].contains(&&*key.to_lowercase())
    };
    let speaks = object.contains_key("message") || object.contains_key("error_msg");
    speaks && object.keys().all(is_known)
}

fn is_about_us(status: u16, lower: &str) -> bool {
    let is_no_reason = || NO_REASON.contains(&lower.trim_end_matches(['.', '!']));
    match status {
        401 | 407 => true,
        403 => is_no_reason() || contains_any(lower, &LOGINS),
        _ => false,
    }
}

fn is_router(lower: &str) -> bool {
    lower == "400 bad request" || contains_any(lower, &ROUTERS)
}

fn is_plugin(lower: &str) -> bool {
    contains_any(lower, &PLUGINS)
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|words| text.contains(words))
}
