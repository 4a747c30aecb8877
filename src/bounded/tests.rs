use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use proptest::prelude::*;
use serde_json::{json, Value};

use super::*;
use crate::memory_testing::holds_little;

/// The bound that the module's text promises.
fn is_bounded<T: DeserializeOwned>(name: &str, body: &[u8]) {
    // The object itself lies on the stack.
    holds_little(name, body, SPARE_BYTES as u64, |body| {
        drop(from_json::<T>(body));
    });
}

#[test]
fn objects_come_as_they_were_written() {
    let pod = json!({
        "metadata": {"name": "p", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]},
        "spec": {
            "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "\u{e9}\n"}],
                "resources": {"limits": {"cpu": 1, "memory": "1Gi", "x/y": 1.5}}}],
            "terminationGracePeriodSeconds": 5,
            "priority": null,
        },
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"},
        "strange": [1, {"a": 2}],
    });
    let body = pod.to_string();
    let want: Pod = serde_json::from_str(&body).unwrap();
    assert_eq!(from_json::<Pod>(body.as_bytes()).unwrap(), want);
    let budget = Budget::for_text(body.len()).without(&["managedFields"]);
    let lean = from_json_within::<Pod>(body.as_bytes(), &budget).unwrap();
    assert_eq!(lean.object.metadata.managed_fields, None);
    assert_eq!(lean.object.spec, want.spec);
    let value: Value = from_json(body.as_bytes()).unwrap();
    assert_eq!(value, pod);
    for broken in ["", "{", "{}{}", "[]", "7", "{\"spec\":7}"] {
        let error = from_json::<Pod>(broken.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Json(_)), "{broken}: {error}");
    }
}

#[test]
fn what_is_said_shortly_takes_no_more_than_a_bound() {
    let many = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let keys = (0..100_000)
        .map(|at| format!("\"{at:x}\":\"\","))
        .collect::<String>();
    let keys = keys.trim_end_matches(',');
    for (name, body) in [
        (
            "containers",
            format!("{{\"spec\":{{\"containers\":[{}{{}}]}}}}", many("{},")),
        ),
        (
            "volumes",
            format!("{{\"spec\":{{\"volumes\":[{}{{}}]}}}}", many("{},")),
        ),
        (
            "statuses",
            format!(
                "{{\"status\":{{\"containerStatuses\":[{}{{}}]}}}}",
                many("{},")
            ),
        ),
        (
            "words",
            format!(
                "{{\"spec\":{{\"containers\":[{{\"args\":[{}\"\"]}}]}}}}",
                many("\"\",")
            ),
        ),
        (
            "amounts",
            format!(
                "{{\"spec\":{{\"overhead\":{{{}\"a\":1e308}}}}}}",
                many("\"a\":1e308,")
            ),
        ),
        (
            "annotations",
            format!("{{\"metadata\":{{\"annotations\":{{{keys}}}}}}}"),
        ),
        (
            "managed fields",
            format!("{{\"metadata\":{{\"managedFields\":[{{\"fieldsV1\":{{{keys}}}}}]}}}}"),
        ),
        (
            "a long text",
            format!("{{\"metadata\":{{\"name\":\"{}\"}}}}", many("x")),
        ),
        (
            "a long escaped text",
            format!("{{\"metadata\":{{\"name\":\"{}\"}}}}", many("\\n")),
        ),
        (
            "what nobody knows",
            format!("{{\"x\":[{}{{}}]}}", many("{},")),
        ),
        ("depth", many("{\"spec\":")),
        (
            "a long wrong kind",
            format!("{{\"spec\":\"{}\"}}", many("x")),
        ),
    ] {
        is_bounded::<Pod>(name, body.as_bytes());
        is_bounded::<Value>(name, body.as_bytes());
        is_bounded::<Vec<Pod>>(name, format!("[{body}]").as_bytes());
    }
    for body in [
        format!("{{\"data\":{{{keys}}}}}"),
        format!("{{\"binaryData\":{{{keys}}}}}"),
    ] {
        is_bounded::<ConfigMap>("keys", body.as_bytes());
        is_bounded::<Secret>("keys", body.as_bytes());
        is_bounded::<BTreeMap<String, BTreeMap<String, String>>>("keys", body.as_bytes());
    }
    let body = format!("{{\"spec\":{{\"containers\":[{}{{}}]}}}}", many("{},"));
    let error = from_json::<Pod>(body.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
    assert!(error.to_string().contains("too many elements"), "{error}");
}

#[test]
fn what_means_well_has_room() {
    let env: Vec<_> = (0..200)
        .map(|at| json!({"name": format!("V{at}"), "value": "x"}))
        .collect();
    let container = |at: usize| json!({"name": format!("c{at}"), "image": "busybox", "env": env});
    let containers: Vec<_> = (0..40).map(container).collect();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
    let body = pod.to_string();
    let budget = Budget::for_text(body.len());
    let read = from_json_within::<Pod>(body.as_bytes(), &budget).unwrap();
    assert!(
        read.bytes < SPARE_BYTES,
        "{} for {}",
        read.bytes,
        body.len()
    );
}

/// A text of YAML in which each line has ten times what the one before has.
fn laughs(leaf: &str) -> String {
    let mut text = format!("a0: &a0 {leaf}\n");
    for at in 1..9 {
        let one = format!("*a{}, ", at - 1);
        text += &format!(
            "a{at}: &a{at} [{}]\n",
            one.repeat(10).trim_end_matches(", ")
        );
    }
    text
}

#[test]
fn aliases_multiply_no_further_than_a_bound() {
    let long = "x".repeat(1 << 20);
    let repeated = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 1000].join(", "));
    let merged: String = (0..2000).map(|at| format!("k{at}: {{<<: *a}}\n")).collect();
    let keys: Vec<_> = (0..2000).map(|at| format!("x{at}: 1")).collect();
    let merged = format!("a: &a {{{}}}\n{merged}", keys.join(", "));
    let documents = format!("---\na: {long}\n").repeat(4);
    for (name, text, is_read) in [
        ("lists of lists", laughs("[x, x, x]"), false),
        ("a long text that is repeated", repeated, false),
        ("merged maps", merged, false),
        (
            "many small elements",
            format!("[{}x]", "x, ".repeat(100_000)),
            true,
        ),
        ("many documents", documents, true),
        ("nested anchors", "&a [".repeat(50) + &"]".repeat(50), true),
    ] {
        let bound = 2 * (32 << 20) + (8 << 20);
        holds_little(name, text.as_bytes(), bound, |text| {
            let text = std::str::from_utf8(text).unwrap();
            assert_eq!(from_yaml_documents(text).is_ok(), is_read, "{name}");
        });
    }
    let read = from_yaml("a: &a {b: [1, x]}\nc: *a\nd: 0400\n").unwrap();
    assert_eq!(
        read,
        json!({"a": {"b": [1, "x"]}, "c": {"b": [1, "x"]}, "d": 256})
    );
    assert_eq!(
        from_yaml_documents("a: 1\n---\n---\nb: 2\n").unwrap().len(),
        2
    );
}

proptest! {
    #[test]
    fn no_body_takes_more_than_its_bound(pieces in proptest::collection::vec((0..PIECES.len(), 1..2000_usize), 1..12)) {
        let body: String = pieces.into_iter().map(|(piece, times)| PIECES[piece].repeat(times)).collect();
        let body = format!("{{\"metadata\":{{}},\"spec\":{{\"containers\":[{body}{{}}]}}}}");
        // What no text takes by itself: numbers, stacks of readers.
        let budget = Budget::of(2 * body.len());
        holds_little("a pod", body.as_bytes(), 4096, |body| drop(from_json_within::<Pod>(body, &budget)));
    }
}

/// Elements of a list of containers.
const PIECES: [&str; 6] = [
    "{},",
    "{\"name\":\"abcdefgh\"},",
    "{\"env\":[{},{\"name\":\"\\n\"}]},",
    "{\"args\":[\"\",\"\",\"\",\"\",\"\"]},",
    "{\"resources\":{\"limits\":{\"a\":1,\"b\":1.5,\"c\":\"1\"}}},",
    "{\"x\":[{},{},{},[[[]]]]},",
];
