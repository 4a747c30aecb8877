//! /create in all its forms, and the small calls.

use std::fs;

use serde_json::{json, Value};

use super::fixture::{log_request, pod_of, sh, sh_pod, until, Fixture, UID};
use crate::support::Hung;

#[test]
fn the_server_s_form_and_the_virtual_kubelet_s_alone_and_in_a_list() {
    let mut container = sh(
        "main",
        "cat $INTERLINK_VOLUME_CONF/a $INTERLINK_VOLUME_KEYS/k in/t",
    );
    container["volumeMounts"] = json!([
        {"name": "conf", "mountPath": "/conf"},
        {"name": "keys", "mountPath": "/keys"},
        {"name": "api", "mountPath": "in"},
    ]);
    let pod = pod_of(json!({
        "containers": [container],
        "volumes": [
            {"name": "conf", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "secrets", "defaultMode": 256}},
            {"name": "api", "projected": {"sources": []}},
        ],
    }));
    let map = json!({"metadata": {"name": "settings"}, "data": {"a": "one\n"}});
    let secret = json!({"metadata": {"name": "secrets"}, "data": {"k": "dHdvCg=="}});
    let projected = json!({"metadata": {"name": "api"}, "data": {"t": "three\n"}});
    let from_kubelet = json!({
        "pod": pod, "configmaps": [map], "secrets": [secret],
        "projectedvolumesmaps": [projected], "jobscriptURL": "",
    });
    let from_server = json!({
        "pod": pod,
        "container": [{
            "name": "main", "configMaps": [map], "secrets": [secret],
            "projectedvolumemaps": [projected], "emptyDirs": null,
        }],
        "jobConfig": {}, "jobScript": "",
    });
    for (name, body) in [
        ("virtual kubelet", from_kubelet.clone()),
        ("server", from_server.clone()),
        ("a list", json!([from_kubelet])),
        ("a list of the server's", json!([from_server])),
    ] {
        let fixture = Fixture::new();
        let answer = fixture.ask("/create", &body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(fixture.end_of(&pod, "main").0, 0, "{name}");
        assert_eq!(
            fixture.log(&pod, "main", json!({})),
            "one\ntwo\nthree\n",
            "{name}"
        );
    }
}

#[test]
fn the_same_pod_again_is_the_same_job_and_another_one_is_refused() {
    let fixture = Fixture::new();
    let trace = fixture.dir().join("trace");
    let mut pod = sh_pod(&format!("echo run >> {}", trace.display()));
    let first = fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    pod["metadata"]["annotations"] = json!({"JobID": "local-0f6e1c1a"});
    pod["status"]["phase"] = json!("Running");
    assert_eq!(fixture.create(&pod), first);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    assert_eq!(fs::read_to_string(&trace).unwrap(), "run\n");
    let other = fixture.ask("/create", &json!({"pod": sh_pod("true")}));
    assert_eq!(other.status, 409);
    assert!(other.text().contains(UID), "{}", other.text());
}

#[test]
fn what_cannot_run_is_refused_as_a_whole_and_told_why() {
    let fixture = Fixture::new();
    let no_command = json!({"name": "b", "image": "busybox", "args": ["x"]});
    let uid = |uid: &str| {
        let mut pod = sh_pod("true");
        pod["metadata"]["uid"] = json!(uid);
        json!({ "pod": pod })
    };
    let spec = |spec: Value| json!({ "pod": pod_of(spec) });
    let with = |key: &str, value: Value| {
        let mut container = sh("main", "true");
        container[key] = value;
        spec(json!({ "containers": [container] }))
    };
    let mut sidecar = sh("side", "true");
    sidecar["restartPolicy"] = json!("Always");
    let from_map = json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]);
    for (name, body, want) in [
        ("no JSON", json!("{"), "EOF"),
        ("nothing", json!(""), "no value where one belongs"),
        ("no pod", json!({}), "pod"),
        ("two pods", json!([uid(UID), uid(UID)]), "a list of 2"),
        (
            "no spec",
            json!({"pod": {"metadata": uid(UID)["pod"]["metadata"]}}),
            "no spec",
        ),
        (
            "a path as uid",
            uid("../../../../tmp"),
            "not a lower-case UUID",
        ),
        (
            "an upper-case uid",
            uid(&UID.to_uppercase()),
            "not a lower-case UUID",
        ),
        (
            "no containers",
            spec(json!({"containers": []})),
            "no containers",
        ),
        (
            "no command",
            spec(json!({"containers": [sh("a", "true"), no_command]})),
            "container `b`: it has no `command`, and the local plugin has no image engine",
        ),
        (
            "a path as name",
            spec(json!({"containers": [sh("../x", "true")]})),
            "`../x`",
        ),
        (
            "one name twice",
            spec(json!({"initContainers": [sh("a", "")], "containers": [sh("a", "")]})),
            "two containers are called `a`",
        ),
        (
            "a sidecar",
            spec(json!({"initContainers": [sidecar], "containers": [sh("a", "")]})),
            "init container `side` has a restartPolicy",
        ),
        (
            "an unresolved value",
            with("env", from_map),
            "valueFrom of `A`",
        ),
        (
            "a wrong variable",
            with("env", json!([{"name": "A=B", "value": ""}])),
            "`A=B`",
        ),
        ("a NUL", with("args", json!(["a\u{0}b"])), "NUL"),
        (
            "no volume",
            with("volumeMounts", json!([{"name": "v", "mountPath": "/v"}])),
            "volume `v`: there is no such volume",
        ),
        (
            "a claim",
            spec(json!({
                "containers": [sh("a", "true")],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            })),
            "no `persistentVolumeClaim` volumes",
        ),
    ] {
        let answer = fixture.ask("/create", &body);
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(answer.text().contains(want), "{name}: {}", answer.text());
    }
    for dir in ["pods", "new"] {
        let left = fs::read_dir(fixture.root().join(dir)).unwrap().count();
        assert_eq!(left, 0, "{dir}");
    }
}

#[test]
fn status_answers_for_the_pods_that_are_known() {
    let fixture = Fixture::new();
    let pod = sh_pod("true");
    fixture.create(&pod);
    let unknown = json!({"metadata": {"name": "x", "uid": "00000000-0000-4000-8000-000000000000"}});
    for (name, body, count) in [
        ("nothing", json!(""), 0),
        ("null", json!(null), 0),
        ("an empty list", json!([]), 0),
        ("a known one", json!([pod]), 1),
        ("an unknown one", json!([unknown]), 0),
        (
            "both, and one without a uid",
            json!([unknown, pod, {"metadata": {}}]),
            1,
        ),
    ] {
        let answer = fixture.ask("/status", &body);
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.json().as_array().unwrap().len(), count, "{name}");
    }
    for body in [json!("{"), json!({"pods": []}), json!(["x"])] {
        assert_eq!(fixture.ask("/status", &body).status, 400, "{body}");
    }
}

#[test]
fn the_small_calls() {
    let fixture = Fixture::new();
    let ping = fixture.ask("/pinglink", &json!("")).json();
    assert_eq!(ping["status"], "ok");
    let resources = &ping["resources"];
    assert!(resources["cpu"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    assert!(resources["memory"].as_str().unwrap().ends_with("Ki"));
    assert!(resources["pods"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(fixture.ask("/updateCache", &json!(UID)).status, 200);
    assert_eq!(fixture.ask("/", &json!("")).status, 404);
    assert_eq!(fixture.ask("/creat", &json!("")).status, 404);
}

/// One pod's host path on a mount that never answers is its own affair.
#[test]
fn a_host_path_that_hangs_keeps_no_other_pod_from_being_created() {
    let fixture = Fixture::new();
    let at = fixture.dir().join("dead");
    fs::create_dir(&at).unwrap();
    let Some(hung) = Hung::over(&at) else { return };
    let mut stuck = pod_of(json!({
        "containers": [sh("main", "true")],
        "volumes": [{"name": "data", "hostPath": {"path": at.join("data"), "type": "Directory"}}],
    }));
    stuck["metadata"]["uid"] = json!("0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a11");
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| fixture.ask("/create", &json!({ "pod": stuck })));
        for _ in 0..3 {
            let pod = sh_pod("exit 3");
            fixture.create(&pod);
            assert_eq!(fixture.end_of(&pod, "main").0, 3);
            assert_eq!(fixture.delete(&pod).status, 200);
        }
        answer.join().unwrap()
    });
    assert_eq!(answer.status, 503);
    let text = answer.text();
    assert!(
        text.contains("volume `data`") && text.contains("has not answered"),
        "{text}"
    );
    drop(hung);
}

/// A container runs as the plugin's user, so it can put anything in the place of its records; pipes and
/// devices hold up nobody.
#[test]
fn a_container_that_replaces_its_records_harms_no_other_pod() {
    let fixture = Fixture::new();
    let odd = sh_pod(
        "cd ..; for file in exit.json output.log lock start.json; do rm -f $file; mkfifo $file; done; \
         touch ready; sleep 3600",
    );
    fixture.create(&odd);
    until("it has done so", || {
        fixture.container_dir(UID, "main").join("ready").exists()
    });
    let mut quiet = sh_pod("echo quiet; exit 3");
    quiet["metadata"]["uid"] = json!("0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a12");
    fixture.create(&quiet);
    assert_eq!(fixture.end_of(&quiet, "main").0, 3);
    assert_eq!(fixture.log(&quiet, "main", json!({})), "quiet\n");
    let answer = fixture.ask("/getLogs", &log_request(&odd, "main", json!({})));
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(fixture.status(&odd).is_some());
    let mut at_once = odd.clone();
    at_once["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    assert_eq!(fixture.delete(&at_once).status, 200);
}
