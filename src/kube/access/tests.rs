use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::net::testing::Authority;

/// A kubeconfig whose certificate and key are the target of `current.pem`, as the kubelet has
/// it, and files `one.pem` and `two.pem` that it may become.
fn kubelet(authority: &Authority) -> Access {
    for name in ["one", "two"] {
        authority.issue(name);
        let [cert, key] = ["pem", "key"].map(|end| authority.file(&format!("{name}.{end}")));
        let both = fs::read_to_string(&cert).unwrap() + &fs::read_to_string(key).unwrap();
        fs::write(cert, both).unwrap();
    }
    fs::write(authority.file("junk"), "hush").unwrap();
    let path = authority.file("kubelet.conf");
    let text = "current-context: c\n\
        contexts: [{name: c, context: {cluster: k, user: u}}]\n\
        clusters: [{name: k, cluster: {server: 'https://localhost', certificate-authority: ca.pem}}]\n\
        users: [{name: u, user: {client-certificate: current.pem, client-key: current.pem}}]\n";
    fs::write(&path, text).unwrap();
    Access::new(&path)
}

fn point_to(authority: &Authority, target: &str) {
    let next = authority.file("next");
    symlink(target, &next).unwrap();
    fs::rename(next, authority.file("current.pem")).unwrap();
}

#[test]
fn files_are_read_again_when_they_change_and_only_then() {
    let authority = Authority::new();
    let access = kubelet(&authority);
    let error = access.session().unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error}");
    assert!(chain(&error).contains("current.pem"), "{}", chain(&error));

    point_to(&authority, "one.pem");
    let one = access.session().expect("there now");
    assert!(Arc::ptr_eq(&one, &access.session().unwrap()), "no change");

    point_to(&authority, "two.pem");
    let two = access.session().unwrap();
    assert!(!Arc::ptr_eq(&one, &two), "another target");

    // Any of the files counts.
    for name in ["ca.pem", "kubelet.conf", "two.pem"] {
        let before = access.session().unwrap();
        let copy = authority.file("copy");
        fs::copy(authority.file(name), &copy).unwrap();
        fs::rename(copy, authority.file(name)).unwrap();
        let after = access.session().unwrap();
        assert!(!Arc::ptr_eq(&before, &after), "{name}");
    }
}

/// A change, how it is made, and how it is unmade with the kubeconfig's first text.
type Step = (&'static str, fn(&Authority), fn(&Authority, &[u8]));

#[test]
fn useless_files_leave_the_old_ones_in_use_and_are_told_once() {
    let authority = Authority::new();
    let access = kubelet(&authority);
    point_to(&authority, "one.pem");
    let mut session = access.session().unwrap();
    let text = fs::read(authority.file("kubelet.conf")).unwrap();
    let steps: [Step; 3] = [
        (
            "a target that is not there",
            |authority| point_to(authority, "missing"),
            |authority, _| point_to(authority, "one.pem"),
        ),
        (
            "junk",
            |authority| point_to(authority, "junk"),
            |authority, _| point_to(authority, "one.pem"),
        ),
        (
            "a kubeconfig that is none",
            |authority| fs::write(authority.file("kubelet.conf"), "hush").unwrap(),
            |authority, text| fs::write(authority.file("kubelet.conf"), text).unwrap(),
        ),
    ];
    for (name, spoil, mend) in steps {
        spoil(&authority);
        assert!(Arc::ptr_eq(&session, &access.session().unwrap()), "{name}");
        let is_quiet = !access.state.lock().watched.iter().any(Watched::has_changed);
        assert!(is_quiet, "{name}: it is not read and told again");
        mend(&authority, &text);
        let next = access.session().unwrap();
        assert!(!Arc::ptr_eq(&session, &next), "{name}: mended");
        session = next;
    }
}

#[test]
fn a_file_of_the_old_kubeconfig_can_change_while_the_new_one_is_useless() {
    let authority = Authority::new();
    let access = kubelet(&authority);
    point_to(&authority, "one.pem");
    let session = access.session().unwrap();
    let path = authority.file("kubelet.conf");
    let text = fs::read(&path).unwrap();
    fs::write(&path, "hush").unwrap();
    assert!(Arc::ptr_eq(&session, &access.session().unwrap()));
    let watched = access.state.lock().watched.len();
    assert_eq!(watched, 3, "kubeconfig, authority, certificate");
    point_to(&authority, "two.pem");
    assert!(Arc::ptr_eq(&session, &access.session().unwrap()));
    fs::write(&path, text).unwrap();
    assert!(!Arc::ptr_eq(&session, &access.session().unwrap()));
}

#[test]
fn a_kubeconfig_has_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    let text = chain(&Access::new(&path).session().unwrap_err());
    assert!(text.contains("larger than 1048576 bytes"), "{text}");
}
