use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use super::*;

#[test]
fn the_defaults_are_good() {
    assert_eq!(faults(&Config::default()), []);
}

#[test]
fn each_fault_is_found_and_all_at_once() {
    let mut config = Config::default();
    config.daemon.socket = "/run/crio/crio.sock".into();
    config.daemon.state_dir = "relative".into();
    config.daemon.log_level = "verbose".into();
    config.cri.handler_threads = 0;
    config.cri.max_message_bytes = 1 << 30;
    config.jobs.poll_max = Duration::from_millis(1);
    config.jobs.gres = "gpu --uid=0".into();
    config.interlink.url = Some("ftp://host".into());
    config.interlink.client_cert_file = Some("/cert".into());
    config.images.uid = u32::MAX;
    config.limits.max_container_bytes = 0;
    config.limits.max_namespace_bytes = 1;
    config.limits.max_request_bytes = 1;
    config.limits.max_in_flight_bytes = 1;
    let faults = faults(&config);
    let keys: Vec<_> = faults.iter().map(|fault| fault.key).collect();
    for key in [
        "daemon.socket",
        "daemon.state_dir",
        "daemon.log_level",
        "cri.handler_threads",
        "cri.max_message_bytes",
        "jobs.poll_max",
        "jobs.gres",
        "interlink.url",
        "interlink.client_key_file",
        "images.uid",
        "limits.max_container_bytes",
        "limits.max_namespace_bytes",
        "limits.max_request_bytes",
        "limits.max_in_flight_bytes",
    ] {
        assert!(keys.contains(&key), "{key}: {faults:?}");
    }
}

#[test]
fn urls() {
    for (url, good) in [
        ("http://host:3000", true),
        ("https://host/path", true),
        ("unix:///run/interlink.sock", true),
        ("unix://relative", false),
        ("http://", false),
        ("host:3000", false),
        ("http://user:secret@host", false),
        ("http://user:/secret@host", false),
        ("ftp://user:secret@host", false),
        ("https:/user:secret@host", false),
        ("unix://user:secret@host", false),
        ("user:secret@host", false),
    ] {
        let mut config = Config::default();
        config.interlink.url = Some(url.into());
        assert_eq!(faults(&config).is_empty(), good, "{url}");
        // What else is wrong shows the URL no more than this does.
        config.interlink.ca_file = Some("/ca.pem".into());
        let faults = faults(&config);
        assert!(
            !format!("{faults:?}").contains("secret"),
            "passwords are hidden"
        );
    }
}

#[test]
fn a_token_is_not_shown_to_the_network() {
    for (url, good) in [
        ("http://interlink.example:3000", false),
        ("http://10.0.0.1:3000", false),
        ("https://interlink.example", true),
        ("http://127.0.0.1:3000", true),
        ("http://localhost:3000", true),
        ("unix:///run/interlink.sock", true),
    ] {
        let mut config = Config::default();
        config.interlink.url = Some(url.into());
        assert_eq!(faults(&config), [], "{url}");
        config.interlink.token_file = Some("/token".into());
        assert_eq!(faults(&config).is_empty(), good, "{url}");
    }
}

#[test]
fn a_collector_is_reached_over_http() {
    for (url, has_token, good) in [
        ("http://collector:4318", false, true),
        ("http://collector:4318", true, false),
        ("https://collector/prefix", true, true),
        ("http://127.0.0.1:4318", true, true),
        ("unix:///run/collector.sock", false, false),
        ("collector:4318", false, false),
        ("http://me:secret@collector", false, false),
    ] {
        let mut config = Config::default();
        config.traces.endpoint = Some(url.into());
        config.traces.token_file = has_token.then(|| "/token".into());
        let faults = faults(&config);
        assert_eq!(faults.is_empty(), good, "{url}: {faults:?}");
        assert!(!format!("{faults:?}").contains("secret"));
    }
    for (share, good) in [(0.0, true), (1.0, true), (1.5, false), (f64::NAN, false)] {
        let mut config = Config::default();
        config.traces.ratio = Some(share);
        assert_eq!(faults(&config).is_empty(), good, "{share}");
    }
}

#[test]
fn files_are_looked_at_apart() {
    let dir = tempfile::tempdir().expect("dir");
    let token = dir.path().join("token");
    let mut config = Config::default();
    config.interlink.token_file = Some(token.clone());
    assert_eq!(check_machine(&config).faults.len(), 1);
    fs::write(&token, "t").expect("writes");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("mode");
    let findings = check_machine(&config);
    assert_eq!((findings.faults.len(), findings.warnings.len()), (0, 1));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o622)).expect("mode");
    let findings = check_machine(&config);
    assert_eq!((findings.faults.len(), findings.warnings.len()), (1, 0));
    assert!(findings.faults[0].why.contains("can be written by others"));
}
