//! Whom the client trusts, and who it says that it is.

use super::*;
use crate::{net::testing::Authority, telemetry::chain};

/// A server of this name that insists on certificates of `clients`.
fn secure(authority: &Authority, name: &str, clients: Option<&Authority>) -> ApiServer {
    ApiServer::tls(authority.server_config(name, clients), |_, conn| {
        conn.send(&answer(200, POD));
        AfterAnswer::Keep
    })
}

fn trust(authority: &Authority) -> String {
    format!(
        "certificate-authority: '{}'",
        authority.file("ca.pem").display()
    )
}

fn identity(authority: &Authority) -> String {
    authority.issue("node");
    let file = |name| authority.file(name).display().to_string();
    let (cert, key) = (file("node.pem"), file("node.key"));
    format!("client-certificate: '{cert}', client-key: '{key}'")
}

#[test]
fn both_sides_are_verified() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = secure(&ours, "localhost", Some(&ours));
    let misnamed = secure(&ours, "elsewhere", None);
    let named = format!("{}, tls-server-name: elsewhere", trust(&ours));
    #[rustfmt::skip]
    let table = [
        // name, url, cluster, user, what goes wrong
        ("as it should be", &server.url, trust(&ours), identity(&ours), None),
        ("an unknown server", &server.url, trust(&theirs), identity(&ours), Some("UnknownIssuer")),
        ("no authority named", &server.url, String::new(), identity(&ours), Some("UnknownIssuer")),
        ("another name", &misnamed.url, trust(&ours), identity(&ours), Some("not valid for name")),
        ("that name", &misnamed.url, named, identity(&ours), None),
        ("a stranger", &server.url, trust(&ours), identity(&theirs), Some("")),
        ("nobody", &server.url, trust(&ours), "token: t".to_owned(), Some("")),
    ];
    for (name, url, cluster, user, wrong) in table {
        let config = Config::new(url, &cluster, &user);
        match (config.client().pod("a", "b"), wrong) {
            (Ok(Some(_)), None) => {}
            (Err(error), Some(part)) => {
                assert!(matches!(error, Error::Network { .. }), "{name}: {error:?}");
                let text = chain(&error);
                assert!(text.contains(part), "{name}: {text}");
            }
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
    assert_eq!(server.seen().len(), 1, "only the first was heard");
    let seen = misnamed.seen();
    assert_eq!(seen.len(), 1);
    let host = misnamed.url.trim_start_matches("https://");
    assert_eq!(seen[0].header("host"), Some(host), "the server's own name");
}

#[test]
fn a_renewed_certificate_is_used_for_the_next_call() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = secure(&ours, "localhost", Some(&ours));
    let user = identity(&theirs);
    let client_config = Config::new(&server.url, &trust(&ours), &user);
    let client = client_config.client();
    client.pod("a", "b").expect_err("a stranger");

    ours.issue("node");
    for name in ["node.pem", "node.key"] {
        fs::rename(ours.file(name), theirs.file(name)).unwrap();
    }
    client.pod("a", "b").expect("the right one now");

    fs::write(theirs.file("node.key"), "half a k").unwrap();
    client.pod("a", "b").expect("the last whole one");
    fs::remove_file(theirs.file("node.pem")).unwrap();
    client.pod("a", "b").expect("the last whole one");
}

#[test]
fn a_changed_token_is_sent() {
    let server = always(answer(200, POD), AfterAnswer::Keep);
    let config = Config::new(&server.url, "", "tokenFile: token");
    let client = config.client();
    let token = config.dir.path().join("token");
    let error = client.check().unwrap_err();
    assert!(chain(&error).contains("tokenFile "), "{}", chain(&error));
    assert!(matches!(
        client.pod("a", "b"),
        Err(Error::Credentials { .. })
    ));
    for text in ["one\n", "longer", ""] {
        fs::write(&token, text).unwrap();
        client.pod("a", "b").unwrap();
    }
    config.write(&server.url, "", "token: inline");
    client.pod("a", "b").unwrap();
    let seen = server.seen();
    let sent: Vec<_> = seen
        .iter()
        .map(|seen| seen.header("authorization").unwrap_or_default())
        .collect();
    assert_eq!(
        sent,
        [
            "Bearer one",
            "Bearer longer",
            "Bearer longer",
            "Bearer inline"
        ],
        "an empty file leaves the last token in use"
    );
}

#[test]
fn what_is_of_no_use_is_named() {
    let authority = Authority::new();
    let good = identity(&authority);
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let url = "https://localhost";
    #[rustfmt::skip]
    let table = [
        // cluster, user, parts of the text
        ("certificate-authority: missing", &*good, ["certificate-authority ", "missing"]),
        ("certificate-authority: junk", &good, ["certificate-authority ", "junk"]),
        ("certificate-authority: empty", &good, ["empty", "no certificate in it"]),
        ("certificate-authority-data: aHVzaA==", &good, ["certificate-authority-data ", "kubelet.conf: no cert"]),
        ("", "client-certificate: junk, client-key: junk", ["client-key ", "no private key in it"]),
        ("", "client-certificate-data: aHVzaA==, client-key-data: aHVzaA==", ["client-certificate-data", "no cert"]),
        ("", "tokenFile: two", ["tokenFile ", "more than one line"]),
        ("", "tokenFile: empty", ["tokenFile ", "empty"]),
        ("", "token: 'hush hush'", ["token ", "blanks"]),
    ];
    for (cluster, user, parts) in table {
        let config = Config::new(url, cluster, user);
        let write = |name: &str, text: &str| fs::write(config.dir.path().join(name), text).unwrap();
        write("junk", junk);
        write("empty", "");
        write("two", "hush\nhush");
        let error = config.client().check().expect_err(user);
        assert!(matches!(error, Error::Credentials { .. }), "{error:?}");
        let text = chain(&error);
        assert!(
            text.starts_with(&format!("kubeconfig {}", config.path().display())),
            "{text}"
        );
        for part in parts {
            assert!(text.contains(part), "{cluster} {user}: {text}");
        }
        assert!(!format!("{text} {error:?}").contains("hush"), "{text}");
    }
    let missing = Client::new(std::path::Path::new("/nowhere/k"), PATIENCE);
    let text = chain(&missing.check().unwrap_err());
    assert!(
        text.starts_with("kubeconfig /nowhere/k cannot be read"),
        "{text}"
    );
}

#[test]
fn a_client_does_not_show_its_secrets() {
    let config = Config::new("https://localhost", "", "token: hush");
    let client = config.client();
    client.check().unwrap();
    let shown = format!("{client:?}");
    assert!(shown.contains("localhost"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}
