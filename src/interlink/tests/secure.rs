//! TLS: whom the client trusts, and who it says that it is.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
};

use super::{
    super::{wire::LogStruct, CancelToken},
    *,
};
use crate::net::testing::Authority;

/// A server of this name; with `clients`, one that insists on their certificates.
fn named(authority: &Authority, name: &str, clients: Option<&Authority>) -> Server {
    Server::tls(authority.server_config(name, clients), |_, conn| {
        conn.send(&answer(200, r#"{"PodJID":"7"}"#));
        AfterAnswer::Keep
    })
}

fn trusting(authority: &Authority, url: &str) -> InterLink {
    InterLink {
        ca_file: Some(authority.file("ca.pem")),
        ..config(url)
    }
}

fn create(config: &InterLink) -> Result<String, Error> {
    let created = Client::new(config)?.create(&submission())?;
    Ok(created.remote_id.unwrap_or_default())
}

#[test]
fn a_server_of_ones_own_authority_is_trusted() {
    let authority = Authority::new();
    let server = named(&authority, "localhost", None);
    let client = Client::new(&trusting(&authority, &server.url)).unwrap();
    for _ in 0..2 {
        client.create(&submission()).unwrap();
        client.ping().unwrap();
    }
    let by: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(by, [0, 1, 2, 1], "kept connections work with TLS as well");
    let pods: Vec<_> = (0..20_000).map(|i| pod(&i.to_string())).collect();
    assert!(
        client.status(about(&pods)).is_err(),
        "the answer is no list"
    );
    let seen = server.seen();
    assert_eq!(seen[4].body, serde_json::to_vec(&pods).unwrap());
}

#[test]
fn other_servers_are_not_trusted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let foreign = named(&stranger, "localhost", None);
    let misnamed = named(&authority, "elsewhere", None);
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain_url = format!("https://{}", plain.local_addr().unwrap());
    let _plain = spawn(move || {
        // As Go's HTTP server does.
        let (mut conn, _) = plain.accept().unwrap();
        conn.read_exact(&mut [0; 64]).unwrap();
        conn.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
    });
    let table = [
        (
            "unknown authority",
            trusting(&authority, &foreign.url),
            "UnknownIssuer",
        ),
        (
            "the public authorities",
            config(&foreign.url),
            "UnknownIssuer",
        ),
        (
            "another name",
            trusting(&authority, &misnamed.url),
            "not valid for name",
        ),
        ("no TLS", trusting(&authority, &plain_url), ""),
    ];
    for (name, config, part) in table {
        let error = create(&config).unwrap_err();
        assert_eq!(kind(&error), "tls", "{name}: {error:?}");
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains(part), "{name}: {text}");
        assert!(error.is_retryable() && !error.is_ambiguous(), "{name}");
    }
    assert!(foreign.seen().is_empty() && misnamed.seen().is_empty());
}

#[test]
fn the_client_shows_its_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = named(&authority, "localhost", Some(&authority));
    authority.issue("client");
    stranger.issue("client");
    let with = |from: &Authority| InterLink {
        client_cert_file: Some(from.file("client.pem")),
        client_key_file: Some(from.file("client.key")),
        ..trusting(&authority, &server.url)
    };
    assert_eq!(create(&with(&authority)).unwrap(), "7");
    for (name, config) in [
        ("none", trusting(&authority, &server.url)),
        ("a stranger's", with(&stranger)),
    ] {
        let error = create(&config).unwrap_err();
        assert_eq!(kind(&error), "tls", "{name}: {error:?}");
        assert!(
            !error.is_ambiguous(),
            "{name}: the request was not looked at"
        );
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn unfit_files_are_told_at_once() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("client");
    stranger.issue("client");
    let junk = authority.file("junk");
    fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let empty = authority.file("empty");
    fs::write(&empty, "").unwrap();
    let cert = authority.file("client.pem");
    let key = authority.file("client.key");
    let base = config("https://localhost");
    let ca = |file: &PathBuf| InterLink {
        ca_file: Some(file.clone()),
        ..base.clone()
    };
    let pair = |cert: Option<&PathBuf>, key: Option<&PathBuf>| InterLink {
        client_cert_file: cert.cloned(),
        client_key_file: key.cloned(),
        ..base.clone()
    };
    let missing = authority.file("missing");
    let table = [
        ("no such CA", ca(&missing), "interlink.ca_file"),
        ("empty CA", ca(&empty), "no certificate in it"),
        ("junk CA", ca(&junk), "interlink.ca_file"),
        ("a key for a CA", ca(&key), "no certificate in it"),
        (
            "certificate alone",
            pair(Some(&cert), None),
            "needs interlink.client_key_file",
        ),
        (
            "key alone",
            pair(None, Some(&key)),
            "needs interlink.client_cert_file",
        ),
        (
            "no key",
            pair(Some(&cert), Some(&empty)),
            "no private key in it",
        ),
        ("junk certificate", pair(Some(&junk), Some(&key)), "client_"),
        (
            "a stranger's key",
            pair(Some(&cert), Some(&stranger.file("client.key"))),
            "not the key of interlink.client_cert_file",
        ),
    ];
    for (name, config, part) in table {
        let error = Client::new(&config).expect_err(name);
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!error.is_retryable(), "{name}");
    }
}

#[test]
fn a_reload_reads_the_files_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = named(&authority, "localhost", None);
    let config = trusting(&stranger, &server.url);
    let client = Client::new(&config).unwrap();
    assert_eq!(kind(&client.ping().unwrap_err()), "tls");

    fs::write(stranger.file("ca.pem"), "").unwrap();
    client.reload().unwrap_err();
    assert_eq!(
        kind(&client.ping().unwrap_err()),
        "tls",
        "nothing has changed"
    );

    fs::copy(authority.file("ca.pem"), stranger.file("ca.pem")).unwrap();
    client.reload().unwrap();
    client.ping().unwrap();
}

#[test]
fn a_followed_log_over_tls_can_be_cancelled() {
    let authority = Authority::new();
    let config = authority.server_config("localhost", None);
    let server = Server::tls(config, |_, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nhello");
        conn.wait_closed();
        AfterAnswer::Close
    });
    let client = Client::new(&trusting(&authority, &server.url)).unwrap();
    let cancel = CancelToken::new();
    let mut reader = client.follow(&LogStruct::default(), &cancel).unwrap();
    let mut first = [0; 5];
    reader.read_exact(&mut first).unwrap();
    let result = spawn(move || reader.read(&mut [0; 9]).map_err(|e| e.to_string()));
    cancel.cancel();
    assert_eq!(join(&result).unwrap_err(), "GET /getLogs: cancelled");
}
