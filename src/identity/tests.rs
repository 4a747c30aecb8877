use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::*;
use crate::telemetry::chain;

fn site(toml: &str) -> SiteUsers {
    let config: Config = toml::from_str(toml).expect("settings");
    SiteUsers::new(&config).expect("a site")
}

/// The user that a job in the namespace `lab` would get.
fn user(site: &SiteUsers, account: Option<&str>) -> Result<Option<u32>, String> {
    let (annotations, settings) = (StringMap::default(), Settings::new(&Config::default()));
    let pod = PodFacts {
        namespace: "lab",
        annotations: &annotations,
    };
    let mut job: JobsPod =
        serde_json::from_value(json!({"spec": {"containers": []}})).expect("a pod");
    let owner = site.apply(pod, account, &settings.expect("settings"), &mut job);
    let owner = owner.map_err(|error| chain(&error))?;
    let uid = owner.map(|owner| owner.uid);
    let sent = job.spec.and_then(|spec| spec.security_context?.run_as_user);
    assert_eq!(sent, uid.map(i64::from));
    Ok(uid)
}

#[test]
fn a_site_without_entries_decides_nothing() {
    let site = site("");
    assert!(!site.is_mapped());
    assert_eq!(user(&site, None), Ok(None));
}

#[test]
fn a_service_account_is_waited_for() {
    let entry = "[[identity.users]]\nnamespace = 'lab'\nservice_account = 'bot'\nuid = 1000\n";
    let with_source = site(&format!("{entry}[kubernetes]\nkubeconfig = '/k'"));
    assert_eq!(user(&with_source, Some("bot")), Ok(Some(1000)));
    assert!(user(&with_source, None)
        .unwrap_err()
        .contains("has not said it"));
    let without = site(entry);
    assert!(user(&without, None)
        .unwrap_err()
        .contains("kubernetes.kubeconfig"));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("mode");
}

#[test]
fn the_file_is_read_again_and_outlives_a_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let path: PathBuf = dir.path().join("users.toml");
    let site = site(&format!("[identity]\nusers_file = '{}'", path.display()));
    let missing = user(&site, None).expect_err("no file yet");
    assert!(missing.contains("identity.users_file"), "{missing}");
    write(&path, "[[users]]\nnamespace = 'lab'\nuid = 1000\n");
    assert_eq!(user(&site, None), Ok(Some(1000)));
    write(&path, "[[users]]\nnamespace = 'lab'\nuid = 20000\n");
    assert_eq!(user(&site, None), Ok(Some(20000)), "changed");
    write(&path, "[[users]]\nnamespace = ");
    assert_eq!(user(&site, None), Ok(Some(20000)), "broken");
    write(&path, "[[users]]\nnamespace = 'web'\nuid = 3000\n");
    assert!(user(&site, None).is_err(), "no entry any more");
}

#[test]
fn a_file_that_is_no_good_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users.toml");
    let good = "[[users]]\nnamespace = 'lab'\nuid = 1000\n";
    for (text, mode, want) in [
        (good, 0o664, "others may write it"),
        (good, 0o646, "others may write it"),
        (
            "[[users]]\nnamespace = 'lab'\nuid = 0\n",
            0o600,
            "no job has",
        ),
        ("[[users]]\nnamespace = 'lab'\nuser = 1\n", 0o600, "line 3"),
        ("[[user]]\n", 0o600, "line 1"),
    ] {
        write(&path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        let site = site(&format!("[identity]\nusers_file = '{}'", path.display()));
        let got = user(&site, None).expect_err(want);
        assert!(got.contains(want) && got.contains("users.toml"), "{got}");
    }
}
