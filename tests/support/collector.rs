//! A collector of OpenTelemetry traces: it receives OTLP over HTTP, and reads it with the official
//! messages.

use std::{collections::BTreeMap, sync::Arc};

use interlink_cri::plugin::http::{Request, Responder};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{any_value::Value, AnyValue, KeyValue},
    trace::v1,
};
use parking_lot::Mutex;
use prost::Message as _;

use super::{listener::Listener, wait_for};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    #[default]
    All,
    /// Refused with this status.
    Nothing(u16),
    /// No answer until the client goes.
    Hangs,
}

/// A span, with its ids in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub kind: v1::span::SpanKind,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    /// Traces and spans.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, String>,
    pub is_error: bool,
    pub status: String,
    pub nanos: u64,
    pub resource: BTreeMap<String, String>,
}

impl Span {
    pub fn links_to(&self, trace: &str) -> bool {
        self.links.iter().any(|(known, _)| known == trace)
    }

    #[track_caller]
    pub fn has(&self, wanted: &[(&str, &str)]) {
        for (key, value) in wanted {
            let got = self.attributes.get(*key).map(String::as_str);
            assert_eq!(got, Some(*value), "{key} of {self:#?}");
        }
    }
}

#[derive(Default)]
struct State {
    takes: Takes,
    requests: Vec<Request>,
    spans: Vec<Span>,
}

pub struct Collector {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Collector {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = Listener::start(handler(&state));
        Self { listener, state }
    }

    pub fn url(&self) -> String {
        self.listener.url()
    }

    pub fn takes(&self, takes: Takes) {
        self.state.lock().takes = takes;
    }

    pub fn down(&mut self) {
        self.listener.down();
    }

    pub fn up(&mut self) {
        self.listener.up(handler(&self.state));
    }

    pub fn spans(&self) -> Vec<Span> {
        self.state.lock().spans.clone()
    }

    /// All requests, taken or not.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// Waits for a span of this name.
    pub fn wait_for(&self, name: &str, fits: impl Fn(&Span) -> bool) -> Span {
        wait_for(&format!("a span `{name}`"), || {
            let mut spans = self.spans().into_iter();
            spans.find(|span| span.name == name && fits(span))
        })
    }
}

fn handler(state: &Arc<Mutex<State>>) -> impl Fn(Request, Responder) + Clone {
    let state = state.clone();
    move |request, responder| {
        let takes = {
            let mut state = state.lock();
            state.requests.push(request.clone());
            if state.takes == Takes::All {
                state.spans.extend(spans(&request));
            }
            state.takes
        };
        // Whoever is gone needs no answer.
        let _ = match takes {
            Takes::All => {
                let answer = ExportTraceServiceResponse::default().encode_to_vec();
                responder.send(200, "application/x-protobuf", &answer)
            }
            Takes::Nothing(status) => responder.text(status, "no"),
            Takes::Hangs => return responder.hang(),
        };
    }
}

fn spans(request: &Request) -> Vec<Span> {
    assert_eq!(request.method, "POST");
    assert_eq!(request.path(), "/v1/traces");
    let content_type = request.header("content-type");
    assert_eq!(content_type, Some("application/x-protobuf"));
    let sent = ExportTraceServiceRequest::decode(&*request.body).expect("OTLP");
    let mut spans = Vec::new();
    for of_resource in sent.resource_spans {
        let resource = pairs(&of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_spans {
            assert_eq!(of_scope.scope.unwrap_or_default().name, "interlink-cri");
            let all = of_scope.spans.into_iter();
            spans.extend(all.map(|sent| span(sent, &resource)));
        }
    }
    spans
}

fn span(sent: v1::Span, resource: &BTreeMap<String, String>) -> Span {
    let links = sent.links.iter();
    let status = sent.status.clone().unwrap_or_default();
    Span {
        kind: sent.kind(),
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        attributes: pairs(&sent.attributes),
        is_error: status.code() == v1::status::StatusCode::Error,
        status: status.message,
        nanos: sent
            .end_time_unix_nano
            .checked_sub(sent.start_time_unix_nano)
            .expect("it ends after its beginning"),
        resource: resource.clone(),
        name: sent.name,
        state: sent.trace_state,
    }
}

fn pairs(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref())))
        .collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::ArrayValue(array)) => {
            let items: Vec<_> = array.values.iter().map(|item| text(Some(item))).collect();
            items.join(",")
        }
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
