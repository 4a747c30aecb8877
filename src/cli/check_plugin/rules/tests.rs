use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::cli::check_plugin::observed::Heard;

const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

fn answer(text: impl ToString) -> Option<Heard> {
    Some(Heard::Answer(200, text.to_string()))
}

/// What a plugin answers that keeps all rules.
fn good() -> Observed {
    let state = serde_json::json!({"terminated": {
        "exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
    }});
    let entry = serde_json::json!({"UID": UID,
        "initContainers": [{"name": "prepare", "state": state}],
        "containers": [{"name": "main", "state": state}],
    });
    let entries = serde_json::json!([entry]);
    Observed {
        uid: UID.to_owned(),
        lines: vec![
            ("prepare", "line p".to_owned()),
            ("main", "line m".to_owned()),
        ],
        ping: answer("ok"),
        empty: answer("[]"),
        unknown: answer("[]"),
        unknown_log: answer(""),
        malformed: Some(Heard::Refusal(400, "no JSON".to_owned())),
        created: answer("{}"),
        job_id: Some(("7".to_owned(), true)),
        form_of: None,
        create_took: Duration::from_secs(1),
        fresh: answer(&entries),
        mixed: answer(&entries),
        ended: answer(&entries),
        logs: vec![
            Heard::Answer(200, "line p\n".to_owned()),
            Heard::Answer(200, "line m\n".to_owned()),
        ],
        followed: answer("line m\n"),
        again: Some((Heard::Refusal(409, "is here".to_owned()), None)),
        deleted: answer("deleted"),
        gone: answer("[]"),
        deleted_again: answer("deleted"),
    }
}

/// The ids of the rules that are not kept, with the first letter of the verdict.
fn broken(seen: &Observed) -> String {
    let rules = RULES.iter().filter_map(|rule| match (rule.verdict)(seen) {
        Verdict::Ok => None,
        Verdict::Deviates(says) => Some(("d", rule.id, says)),
        Verdict::Fails(says) => Some(("f", rule.id, says)),
        Verdict::NotTried(says) => Some(("n", rule.id, says)),
    });
    let shown = rules.map(|(letter, id, says)| {
        assert!(!says.is_empty() && !says.contains('\n'), "{id}: {says}");
        format!("{letter}{id}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_plugin_that_keeps_all_rules() {
    assert_eq!(broken(&good()), "");
}

#[test]
fn what_was_not_tried_is_no_failure() {
    let all: Vec<_> = RULES.iter().map(|rule| format!("n{}", rule.id)).collect();
    assert_eq!(broken(&Observed::default()), all.join(" "));
}

#[test]
fn each_deviation_is_told() {
    let refusal = |status| Some(Heard::Refusal(status, "words".to_owned()));
    let text = |text: &str| Heard::Answer(200, text.to_owned());
    type Change = fn(&mut Observed);
    let refused: [(&str, Change); 4] = [
        ("fW1", |seen| {
            seen.ping = Some(Heard::Nothing("away".into()))
        }),
        ("fW14", |seen| {
            seen.malformed = Some(Heard::Nothing("gone".into()))
        }),
        ("dW4", |seen| seen.create_took = Duration::from_secs(60)),
        ("dW12", |seen| {
            seen.followed = Some(Heard::Nothing("late".into()))
        }),
    ];
    for (want, change) in refused {
        let mut seen = good();
        change(&mut seen);
        assert_eq!(broken(&seen), want);
    }
    let mut table = Vec::new();
    let mut with = |want: &'static str, change: &dyn Fn(&mut Observed)| {
        let mut seen = good();
        change(&mut seen);
        table.push((want, seen));
    };
    with("dW2", &|seen| seen.empty = refusal(500));
    with("dW3", &|seen| {
        seen.created = Some(Heard::Answer(201, String::new()))
    });
    with("dW3", &|seen| seen.job_id = Some((String::new(), true)));
    with("dW3", &|seen| seen.job_id = Some(("7".to_owned(), false)));
    with("dW5", &|seen| seen.fresh = answer("[]"));
    with("dW6", &|seen| seen.unknown = refusal(404));
    with("dW6", &|seen| seen.unknown = answer("{}"));
    with("dW7", &|seen| seen.mixed = answer("[]"));
    with("dW7", &|seen| seen.mixed = refusal(404));
    with("fW10", &|seen| seen.logs[0] = text(""));
    with("nW10 fW11 dW12", &|seen| {
        seen.logs[1] = text("\"NOT IMPLEMENTED\"")
    });
    with("dW11 dW12", &|seen| {
        seen.logs[1] = text("This pod was submitted\nline m\n")
    });
    with("dW13", &|seen| {
        seen.unknown_log = answer("No logs available")
    });
    with("dW14", &|seen| seen.malformed = answer(""));
    with("", &|seen| {
        seen.again = Some((text("{}"), Some("7".to_owned())))
    });
    with("dW15", &|seen| {
        seen.again = Some((text("{}"), Some("8".to_owned())))
    });
    with("fW16", &|seen| seen.deleted = refusal(500));
    with("dW16", &|seen| seen.deleted = answer("ok"));
    with("dW17", &|seen| seen.deleted_again = refusal(500));
    with("", &|seen| seen.deleted_again = refusal(404));
    for (want, seen) in table {
        assert_eq!(broken(&seen), want);
    }
}

#[test]
fn ends_are_looked_at() {
    let with = |terminated: Value| {
        let entry = serde_json::json!([{"UID": UID, "containers": [
            {"name": "main", "state": {"terminated": terminated}}]}]);
        Observed {
            ended: answer(entry),
            ..good()
        }
    };
    let time = "2026-01-01T00:00:00Z";
    let zero = "0001-01-01T00:00:00Z";
    for (want, end) in [
        (
            "dW8",
            serde_json::json!({"exitCode": 0, "startedAt": time, "finishedAt": time}),
        ),
        (
            "dW8 dW9",
            serde_json::json!({"exitCode": 0, "startedAt": zero, "finishedAt": time}),
        ),
        (
            "dW8 dW9",
            serde_json::json!({"startedAt": time, "finishedAt": time}),
        ),
        (
            "dW8 fW9",
            serde_json::json!({"exitCode": 127, "reason": "no such image"}),
        ),
    ] {
        assert_eq!(broken(&with(end.clone())), want, "{end}");
    }
}

/// The rules in docs/wire.md are these, with these titles.
#[test]
fn the_document_has_the_same_rules() {
    let document = include_str!("../../../../docs/wire.md");
    let titles = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    let mut titles: Vec<_> = titles.map(str::to_owned).collect();
    let rules = RULES
        .iter()
        .map(|rule| format!("{}: {}", rule.id, rule.title));
    let mut rules: Vec<_> = rules.collect();
    titles.sort();
    rules.sort();
    assert_eq!(titles, rules);
}
