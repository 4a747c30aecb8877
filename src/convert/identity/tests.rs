use serde_json::{json, Value};

use super::*;

fn mapping(toml: &str) -> Mapping {
    let identity: Identity = toml::from_str(toml).expect("settings");
    Mapping::new(&identity, &[]).expect("a mapping")
}

const LAB: &str =
    "[[users]]\nnamespace = 'lab'\nuid = 1000\ngid = 1001\ngroups = [2000]\naccount = 'a'";

fn lab(more: &str) -> Mapping {
    mapping(&format!("{more}\n{LAB}"))
}

fn owner(mapping: &Mapping, namespace: &str, account: ServiceAccount<'_>) -> Result<u32, String> {
    match mapping.decide(namespace, account) {
        Ok(Decision::Owner(owner)) => Ok(owner.uid),
        Ok(Decision::Unmapped) => Err("unmapped".to_owned()),
        Ok(Decision::NotYet) => Err("not yet".to_owned()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

#[test]
fn the_first_entry_that_fits_counts() {
    let mapping = mapping(
        "[[users]]\nnamespace = 'lab-*'\nservice_account = 'bot'\nuid = 1001\n\
         [[users]]\nnamespace = 'lab-*'\nuid = 1002\n\
         [[users]]\nnamespace = 'web'\nservice_account = 'run-*'\nuid = 1003\n\
         [[users]]\nnamespace = 'any'\nservice_account = '*'\nuid = 1004",
    );
    use ServiceAccount::{Known, NoSource, NotAsked};
    for (namespace, account, want) in [
        ("lab-a", Known("bot"), Ok(1001)),
        ("lab-a", Known("default"), Ok(1002)),
        ("lab-a", NotAsked, Err("not yet")),
        ("lab-a", NoSource, Err("set `kubernetes.kubeconfig`")),
        ("web", Known("run-7"), Ok(1003)),
        ("web", Known("default"), Err("service account `default`")),
        ("any", NoSource, Ok(1004)),
        ("any", NotAsked, Ok(1004)),
        ("lab", NotAsked, Err("no user for namespace `lab`;")),
        ("Lab-a", Known("bot"), Err("no user for namespace `Lab-a`")),
    ] {
        match (owner(&mapping, namespace, account), want) {
            (Err(text), Err(part)) => assert!(text.contains(part), "{namespace}: {text}"),
            (got, want) => assert_eq!(got, want.map_err(str::to_owned), "{namespace} {account:?}"),
        }
    }
}

#[test]
fn entries_of_the_file_come_first() {
    let identity: Identity = toml::from_str(LAB).expect("settings");
    let of_file = User {
        namespace: "lab".to_owned(),
        uid: 1007,
        ..User::default()
    };
    let both = Mapping::new(&identity, std::slice::from_ref(&of_file)).expect("a mapping");
    assert_eq!(owner(&both, "lab", ServiceAccount::NoSource), Ok(1007));
    let root = User { uid: 0, ..of_file };
    let refused = Mapping::new(&identity, &[root]).expect_err("root");
    assert!(
        refused.contains("user 0 is one that no job has"),
        "{refused}"
    );
}

#[test]
fn who_is_not_mapped() {
    for (setting, want) in [
        ("ignore", "unmapped"),
        ("pass", "unmapped"),
        ("refuse", "no user"),
    ] {
        let mapping = lab(&format!("on_unmapped = '{setting}'"));
        let got = owner(&mapping, "web", ServiceAccount::NoSource).expect_err("nobody's");
        assert!(got.contains(want), "{setting}: {got}");
    }
}

fn wishes(user: Option<i64>, group: Option<i64>, groups: &[i64]) -> Wishes {
    Wishes {
        user,
        group,
        groups: groups.to_vec(),
    }
}

fn check(mapping: &Mapping, namespace: &str, wishes: &Wishes) -> Result<(), String> {
    let decision = mapping.decide(namespace, ServiceAccount::NoSource);
    let checked = mapping.check(decision.expect("decided"), wishes);
    checked.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_pod_names_the_site_s_user_or_none() {
    let mapping = lab("");
    for (wishes, good) in [
        (wishes(None, None, &[]), true),
        (wishes(Some(1000), Some(1001), &[1001, 2000]), true),
        (wishes(Some(0), None, &[]), false),
        (wishes(Some(1001), None, &[]), false),
        (wishes(Some(-1), None, &[]), false),
        (wishes(Some(1000 + (1 << 32)), None, &[]), false),
        (wishes(None, Some(0), &[]), false),
        (wishes(None, Some(2000), &[]), false),
        (wishes(None, None, &[2000, 0]), false),
        (wishes(None, None, &[1000]), false),
    ] {
        let got = check(&mapping, "lab", &wishes);
        assert_eq!(got.is_ok(), good, "{wishes:?}: {got:?}");
        assert_eq!(
            check(&lab("run_as_user = 'ignore'"), "lab", &wishes),
            Ok(())
        );
    }
    let refused = check(&mapping, "lab", &wishes(Some(7), None, &[])).expect_err("another's");
    assert_eq!(
        refused,
        "securityContext.runAsUser: 7 is not the site's user; take it out of the pod, or write 1000"
    );
}

#[test]
fn some_ids_are_nobody_s() {
    for (mapping, namespace) in [
        (lab("run_as_user = 'pass'"), "lab"),
        (lab("on_unmapped = 'pass'"), "web"),
    ] {
        for (wishes, good) in [
            (wishes(Some(5000), Some(5000), &[5001]), true),
            (wishes(Some(999), None, &[]), false),
            (wishes(Some(0), None, &[]), false),
            (wishes(None, Some(0), &[]), false),
            (wishes(None, None, &[5000, 42]), false),
            (wishes(Some(-5), None, &[]), false),
        ] {
            let got = check(&mapping, namespace, &wishes);
            assert_eq!(got.is_ok(), good, "{namespace} {wishes:?}: {got:?}");
        }
    }
}

#[test]
fn what_is_sent_is_the_site_s() {
    const OWN: [&str; 2] = [
        r#"{"runAsUser": 1000, "fsGroup": 2000, "fsGroupChangePolicy": "Always", "runAsNonRoot": true}"#,
        r#"{"runAsUser": 5000, "runAsGroup": 5000, "supplementalGroups": [5001], "fsGroup": 5002,
            "fsGroupChangePolicy": "Always"}"#,
    ];
    let nothing = json!(null);
    let sites = json!({"runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [2000]});
    let of_containers = json!({"runAsUser": 1000, "runAsGroup": 1001});
    let own = |index: usize| serde_json::from_str::<Value>(OWN[index]).expect("JSON");
    for (name, toml, namespace, context, want_pod, want_container) in [
        (
            "no wishes",
            "",
            "lab",
            nothing.clone(),
            sites.clone(),
            of_containers.clone(),
        ),
        (
            "the same",
            "",
            "lab",
            own(0),
            json!({"runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [2000],
                   "fsGroup": 2000, "fsGroupChangePolicy": "Always", "runAsNonRoot": true}),
            of_containers.clone(),
        ),
        (
            "ignored",
            "run_as_user = 'ignore'",
            "lab",
            own(1),
            sites,
            of_containers.clone(),
        ),
        (
            "has its way",
            "run_as_user = 'pass'",
            "lab",
            own(1),
            own(1),
            json!({"runAsUser": 5000, "runAsGroup": 5000}),
        ),
        (
            "has its way with the site's",
            "run_as_user = 'pass'",
            "lab",
            nothing.clone(),
            json!({"runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [2000]}),
            of_containers,
        ),
        (
            "the plugin's",
            "on_unmapped = 'ignore'",
            "web",
            own(1),
            nothing.clone(),
            nothing.clone(),
        ),
        (
            "passed",
            "on_unmapped = 'pass'",
            "web",
            own(1),
            own(1),
            nothing,
        ),
    ] {
        let mapping = lab(toml);
        let container = |name: &str| json!({"name": name, "securityContext": null});
        let mut pod: JobsPod = serde_json::from_value(json!({"spec": {
            "securityContext": context,
            "initContainers": [container("i")],
            "containers": [container("c")],
        }}))
        .expect("a pod");
        let decision = mapping
            .decide(namespace, ServiceAccount::NoSource)
            .expect("decided");
        mapping.apply(decision, &mut pod).expect(name);
        let spec = &json!(pod)["spec"];
        assert_eq!(spec["securityContext"], want_pod, "{name}");
        for list in ["initContainers", "containers"] {
            assert_eq!(
                spec[list][0]["securityContext"], want_container,
                "{name}: {list}"
            );
        }
    }
}

#[test]
fn what_a_container_says_is_checked_and_replaced() {
    let pod = |user: i64| -> JobsPod {
        serde_json::from_value(json!({"spec": {
            "containers": [
                {"name": "a"},
                {"name": "b", "securityContext": {"runAsUser": user, "privileged": true}},
            ],
        }}))
        .expect("a pod")
    };
    let strict = lab("");
    let decision = strict
        .decide("lab", ServiceAccount::NoSource)
        .expect("decided");
    assert!(strict.apply(decision, &mut pod(7)).is_err());
    let lenient = lab("run_as_user = 'ignore'");
    let decision = lenient
        .decide("lab", ServiceAccount::NoSource)
        .expect("decided");
    let mut changed = pod(7);
    lenient.apply(decision, &mut changed).expect("applied");
    let got = &json!(changed)["spec"]["containers"][1]["securityContext"];
    let want = json!({"runAsUser": 1000, "runAsGroup": 1001, "privileged": true});
    assert_eq!(*got, want);
}
