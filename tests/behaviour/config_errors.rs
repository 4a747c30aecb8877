//! A configuration that is wrong is refused with file, line and key; nothing secret is printed.

use std::fs;

use crate::support::command;

fn check(text: &str) -> (i32, String, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    command(&[
        "check-config",
        "--config",
        &file.path().display().to_string(),
    ])
}

#[test]
fn mistakes_name_their_place() {
    for (text, words) in [
        ("[interlink]\nurll = 'http://x'\n", &["line 2", "urll"][..]),
        ("[interlnk]\n", &["line 1", "interlnk"]),
        ("[jobs]\nquiet_period = 5\n", &["line 2"]),
        ("[jobs\n", &["line 1"]),
        (
            "[interlink]\nping_interval = '9223372036854775807s'\n",
            &["line 2", "ping_interval", "365 days"],
        ),
    ] {
        let (code, output, error) = check(text);
        assert_eq!((code, output.as_str()), (1, ""), "{text}");
        words
            .iter()
            .for_each(|word| assert!(error.contains(word), "{word} is not in: {error}"));
    }
}

#[test]
fn all_faults_come_at_once() {
    let (code, _, error) = check(
        "[cri]\nhandler_threads = 0\n[interlink]\nurl = 'gopher://x'\n[jobs]\npoll_min = '1m'\n\
         [daemon]\nsocket = '/run/crio/crio.sock'\n",
    );
    assert_eq!(code, 1);
    for key in [
        "cri.handler_threads",
        "interlink.url",
        "jobs.poll_max",
        "daemon.socket",
    ] {
        assert!(error.contains(key), "{key} is not in: {error}");
    }
}

#[test]
fn unknown_keys_and_wrong_values_come_at_once() {
    let (code, output, error) = check(
        "[interlnk]\n[interlink]\nurll = 'http://x'\nworkers = 'many'\nca_file = '/nowhere/ca.pem'\n\
         [cri]\nhandler_threads = 0\n",
    );
    assert_eq!((code, output.as_str()), (1, ""));
    for word in [
        "line 1",
        "urll",
        "line 4",
        "cri.handler_threads",
        "/nowhere/ca.pem",
    ] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}

#[test]
fn passwords_are_not_printed() {
    for (line, word) in [
        ("url = 'https://me:hunter2@host'", "token_file"),
        ("url = 'https://me:hunter2@host", "line 2"),
        ("urll = 'https://me:hunter2@host'", "urll"),
        ("url = ['https://me:hunter2@host']", "line 2"),
        ("retry_min = 'https://me:hunter2@host'", "not a duration"),
        (
            "[daemon]\nsocket = 'https://me:hunter2@host'",
            "daemon.socket",
        ),
    ] {
        let (code, output, error) = check(&format!("[interlink]\n{line}\n"));
        assert_eq!(code, 1);
        assert!(error.contains(word), "{line}: {error}");
        let shown = output + &error;
        assert!(!shown.contains("hunter2"), "{line}: {shown}");
    }
}

#[test]
fn what_is_printed_can_be_used() {
    let (code, output, _) = check("[interlink]\nurl = 'http://host:3000'\n");
    assert_eq!(code, 0);
    assert!(output.contains("url = \"http://host:3000\""), "{output}");
    let (code, again, error) = check(&output);
    assert_eq!((code, again), (0, output), "{error}");
}

#[test]
fn a_missing_file_that_was_named_is_an_error() {
    let (code, _, error) = command(&["check-config", "--config", "/nowhere/config.toml"]);
    assert_eq!(code, 1);
    assert!(error.contains("/nowhere/config.toml"), "{error}");
    let (code, _, error) = command(&["serve", "--config", "/nowhere/config.toml"]);
    assert_eq!(code, 1);
    assert!(error.contains("/nowhere/config.toml"), "{error}");
}

#[test]
fn wrong_usage_is_told_apart() {
    assert_eq!(command(&["serve", "--no-such-flag"]).0, 2);
    assert_eq!(command(&[]).0, 2);
    assert_eq!(command(&["--version"]).0, 0);
    let (code, _, error) = command(&["status", "--socket", "/nowhere/cri.sock"]);
    assert_eq!(code, 1);
    assert!(error.contains("/nowhere/cri.sock"), "{error}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = command(&["completions", shell]);
        assert!(code == 0 && script.contains("run-pod"), "{shell}");
    }
}
