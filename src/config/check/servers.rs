//! What is wrong with what is said of servers that are called: interLink, and the collector of traces.

use std::path::PathBuf;

use super::fault::Check;
use crate::{
    config::Config,
    endpoint::{self, Endpoint, Target},
};

pub(super) fn traces(config: &Config, check: &mut Check) {
    let traces = &config.traces;
    check.require(
        traces
            .ratio
            .is_none_or(|share| (0.0..=1.0).contains(&share)),
        "traces.ratio",
        traces.ratio,
        "0 to 1",
    );
    let Some(url) = &traces.endpoint else {
        return;
    };
    match Endpoint::parse(url) {
        Ok(endpoint) => {
            check.require(
                !matches!(endpoint.target, Target::Unix(_)),
                "traces.endpoint",
                url,
                "write http://HOST:PORT or https://HOST:PORT",
            );
            token_is_hidden(check, &endpoint, "traces.token_file", &traces.token_file);
        }
        Err(endpoint::Error::Password) => {
            let why = "must not carry a password; use traces.token_file";
            check.require(false, "traces.endpoint", "(hidden)", why);
        }
        Err(error) => {
            let why = format!("{error}; write http://HOST:PORT or https://HOST:PORT");
            check.require(false, "traces.endpoint", url, &why);
        }
    }
}

/// A token is not sent where others can read it.
fn token_is_hidden(
    check: &mut Check,
    endpoint: &Endpoint,
    key: &'static str,
    token_file: &Option<PathBuf>,
) {
    let is_shown = !endpoint.is_tls && !endpoint.target.is_local();
    check.require(
        token_file.is_none() || !is_shown,
        key,
        token_file,
        "http:// to another host would show the token to the network; use https://",
    );
}

pub(super) fn interlink(config: &Config, check: &mut Check) {
    let interlink = &config.interlink;
    if let Some(url) = &interlink.url {
        match Endpoint::parse(url) {
            Ok(endpoint) => {
                let token_file = &interlink.token_file;
                token_is_hidden(check, &endpoint, "interlink.token_file", token_file);
            }
            Err(endpoint::Error::Password) => {
                let why = "must not carry a password; use interlink.token_file";
                check.require(false, "interlink.url", "(hidden)", why);
            }
            Err(error) => {
                let why =
                    format!("{error}; write http://HOST:PORT, https://HOST:PORT or unix:///PATH");
                check.require(false, "interlink.url", url, &why);
            }
        }
        let tls = [
            &interlink.ca_file,
            &interlink.client_cert_file,
            &interlink.client_key_file,
        ];
        let unused = !url.starts_with("https://") && tls.iter().any(|file| file.is_some());
        check.require(
            !unused,
            "interlink.url",
            url,
            "ca_file, client_cert_file and client_key_file need https://",
        );
    }
    let pair = interlink.client_cert_file.is_some() == interlink.client_key_file.is_some();
    check.require(
        pair,
        "interlink.client_key_file",
        &interlink.client_key_file,
        "goes together with interlink.client_cert_file",
    );
    check.require(
        (1..=64).contains(&interlink.workers),
        "interlink.workers",
        interlink.workers,
        "1 to 64",
    );
    for (key, span) in [
        ("interlink.connect_timeout", interlink.connect_timeout),
        ("interlink.request_timeout", interlink.request_timeout),
        ("interlink.create_timeout", interlink.create_timeout),
        ("interlink.retry_min", interlink.retry_min),
        ("interlink.ping_interval", interlink.ping_interval),
        ("daemon.disk_timeout", config.daemon.disk_timeout),
        ("daemon.shutdown_timeout", config.daemon.shutdown_timeout),
    ] {
        check.require(!span.is_zero(), key, span, "must not be zero");
    }
    check.require(
        interlink.retry_min <= interlink.retry_max,
        "interlink.retry_max",
        interlink.retry_max,
        "must not be less than interlink.retry_min",
    );
    check.require(
        interlink.max_reply_bytes >= 1 << 16,
        "interlink.max_reply_bytes",
        interlink.max_reply_bytes,
        "at least 65536",
    );
}
