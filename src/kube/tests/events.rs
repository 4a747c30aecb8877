//! What the recorder sends.

use serde_json::{json, Value};

use super::*;
use crate::model::Nanos;

/// 2017-07-14T02:40:00Z.
const NOW: Nanos = Nanos(1_500_000_000_000_000_000);

fn train() -> PodRef {
    PodRef {
        namespace: "lab".to_owned(),
        name: "train-7".to_owned(),
        uid: "u-1".to_owned(),
    }
}

/// A server that answers with these statuses in turn, the last one for ever.
fn answering(statuses: &'static [u16]) -> ApiServer {
    ApiServer::tcp(move |seen, conn| {
        let status = statuses[seen.number.min(statuses.len() - 1)];
        conn.send(&answer(status, "{}"));
        AfterAnswer::Keep
    })
}

fn record(
    recorder: &Recorder,
    client: &Client,
    message: &str,
    now: Nanos,
) -> Result<Recorded, Error> {
    let kind = EventType::Warning;
    recorder.record(client, &train(), kind, "JobWaits", message, now)
}

/// The method and the body of each request.
fn sent(server: &ApiServer) -> Vec<(String, Value)> {
    let method = |seen: &ReceivedRequest| seen.line().split(' ').next().unwrap().to_owned();
    server
        .seen()
        .iter()
        .map(|seen| (method(seen), serde_json::from_slice(&seen.body).unwrap()))
        .collect()
}

#[test]
fn an_event_is_created_and_then_counted() {
    let server = answering(&[201, 200]);
    let (_config, client) = client(&server.url);
    let recorder = Recorder::new("node-1");
    let later = NOW.plus(Duration::from_secs(90));
    assert_eq!(
        record(&recorder, &client, "in the queue", NOW).unwrap(),
        Recorded::Created
    );
    assert_eq!(
        record(&recorder, &client, "in the queue", later).unwrap(),
        Recorded::Counted(2)
    );
    let seen = server.seen();
    assert_eq!(
        seen[1].line(),
        "PATCH /api/v1/namespaces/lab/events/train-7.14d1120d7b160000 HTTP/1.1"
    );
    assert_eq!(
        sent(&server),
        [
            (
                "POST".to_owned(),
                json!({
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": "train-7.14d1120d7b160000", "namespace": "lab"},
                    "involvedObject": {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "namespace": "lab",
                        "name": "train-7",
                        "uid": "u-1",
                    },
                    "type": "Warning",
                    "reason": "JobWaits",
                    "message": "in the queue",
                    "count": 1,
                    "firstTimestamp": "2017-07-14T02:40:00Z",
                    "lastTimestamp": "2017-07-14T02:40:00Z",
                    "source": {"component": "interlink-cri", "host": "node-1"},
                    "reportingComponent": "interlink-cri",
                    "reportingInstance": "node-1",
                })
            ),
            (
                "PATCH".to_owned(),
                json!({
                    "count": 2,
                    "lastTimestamp": "2017-07-14T02:41:30Z",
                    "message": "in the queue",
                })
            ),
        ]
    );
}

#[test]
fn an_event_that_has_expired_is_created_again_with_its_count() {
    let server = answering(&[201, 404, 201, 200]);
    let (_config, client) = client(&server.url);
    let recorder = Recorder::new("n");
    let hour = Duration::from_secs(3600);
    for (i, want) in [Recorded::Created, Recorded::Created, Recorded::Counted(3)]
        .into_iter()
        .enumerate()
    {
        let now = NOW.plus(hour * u32::try_from(i).unwrap());
        assert_eq!(record(&recorder, &client, "m", now).unwrap(), want);
    }
    let sent = sent(&server);
    let methods: Vec<_> = sent.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST", "PATCH"]);
    assert_eq!(sent[2].1["count"], 2);
    assert_eq!(sent[2].1["firstTimestamp"], "2017-07-14T02:40:00Z");
    assert_eq!(sent[2].1["lastTimestamp"], "2017-07-14T03:40:00Z");
    assert_eq!(sent[2].1["metadata"]["name"], sent[0].1["metadata"]["name"]);
}

#[test]
fn failures_are_told_and_not_tried_again() {
    for (status, forbidden) in [(403, true), (500, false)] {
        let server = ApiServer::tcp(move |_, conn| {
            conn.send(&answer(status, ""));
            AfterAnswer::Keep
        });
        let (_config, client) = client(&server.url);
        let recorder = Recorder::new("n");
        for requests in 1..=2 {
            let error = record(&recorder, &client, "m", NOW).unwrap_err();
            assert_eq!(
                error.to_string().contains("Node authorizer"),
                forbidden,
                "{status}"
            );
            assert_eq!(server.seen().len(), requests, "{status}");
        }
    }
}

#[test]
fn an_event_that_is_there_already_is_recorded() {
    let server = answering(&[409]);
    let (_config, client) = client(&server.url);
    let got = record(&Recorder::new("n"), &client, "m", NOW);
    assert_eq!(got.unwrap(), Recorded::Created);
}

#[test]
fn what_is_dropped_is_not_sent() {
    let server = answering(&[200]);
    let (_config, client) = client(&server.url);
    let recorder = Recorder::new("n");
    for i in 0..40 {
        let got = record(&recorder, &client, &i.to_string(), NOW).unwrap();
        assert_eq!(got == Recorded::Dropped, i >= 25, "{i}");
    }
    let sent = sent(&server);
    assert_eq!(sent.len(), 25);
    for (i, (method, event)) in sent.iter().enumerate() {
        assert_eq!(method, "POST");
        assert_eq!(event["message"], i.to_string());
        assert_eq!(event["count"], 1);
    }
}
