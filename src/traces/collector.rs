//! The way to the collector: blocking HTTP, as the SDK's thread may wait.

use std::{fmt, future::Future, path::Path, pin::Pin, sync::Arc};

use opentelemetry_http::{Bytes, HttpClient, HttpError};
use parking_lot::{Mutex, RwLock};
use ureq::{
    http::{header, Request, Response},
    tls::TlsConfig,
    Agent,
};

use super::settings::Settings;
use crate::{
    endpoint::Endpoint,
    net::{self, TokenFile},
    text::one_line,
    threads,
};

/// As much of an answer is read as a collector has to say.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// The way to the collector. A proxy from the environment is not used, and redirects are not followed.
pub(super) struct Collector {
    settings: Settings,
    /// Replaced when the certificates are read again.
    agent: RwLock<Agent>,
    token: Option<TokenFile>,
    /// Why the last request came to nothing: the exporter keeps that to itself.
    trouble: Mutex<Option<String>>,
}

impl Collector {
    /// Reads the files of certificates, and connects to nothing.
    ///
    /// # Errors
    /// A file is unreadable or unfit.
    pub(super) fn new(settings: Settings, token: Option<&Path>) -> Result<Self, net::Error> {
        Ok(Self {
            agent: RwLock::new(agent(&settings)?),
            settings,
            token: token.map(|path| TokenFile::new("traces.token_file", path)),
            trouble: Mutex::default(),
        })
    }

    /// Reads the files of certificates again; requests from now on go with these, over new connections.
    ///
    /// # Errors
    /// A file is unreadable or unfit; everything stays as it was then.
    pub(super) fn reload(&self) -> Result<(), net::Error> {
        let agent = agent(&self.settings)?;
        *self.agent.write() = agent;
        Ok(())
    }

    /// Why the last request came to nothing.
    pub(super) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().take()
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        threads::point("traces");
        let (mut head, body) = request.into_parts();
        // What stands in OTEL_EXPORTER_OTLP_HEADERS is mostly a secret.
        head.headers
            .values_mut()
            .for_each(|value| value.set_sensitive(true));
        if let Some(token) = &self.token {
            head.headers.insert(header::AUTHORIZATION, token.bearer()?);
        }
        // Its copy shares its connections, and a reload waits for no request.
        let agent = self.agent.read().clone();
        let answer = agent.run(Request::from_parts(head, &body[..]))?;
        let (head, body) = answer.into_parts();
        let body = body
            .into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

fn agent(settings: &Settings) -> Result<Agent, net::Error> {
    let is_tls = Endpoint::parse(&settings.url).is_ok_and(|endpoint| endpoint.is_tls);
    let tls = match is_tls {
        true => settings.files.tls().read()?,
        false => TlsConfig::default(),
    };
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(settings.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build();
    Ok(config.new_agent())
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// The collector as the exporter has it.
#[derive(Debug)]
pub(super) struct Client(pub(super) Arc<Collector>);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = self.0.send(request);
            let trouble = match &answer {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answers {}", answer.status())),
                Err(error) => Some(one_line(&error.to_string())),
            };
            *self.0.trouble.lock() = trouble;
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_executor::block_on;

    use super::*;
    use crate::{
        config::traces::Traces,
        http_testing::{AfterAnswer, Server},
        net::testing::Authority,
    };

    #[test]
    fn certificates_are_read_again() {
        let (old, new) = (Authority::new(), Authority::new());
        let server = Server::tls(new.server_config("localhost", None), |_, conn| {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            conn.write_all(answer).expect("the client reads");
            AfterAnswer::Keep
        });
        let file = old.file("trusted.pem");
        let trust =
            |authority: &Authority| fs::copy(authority.file("ca.pem"), &file).expect("copied");
        trust(&old);
        let set = Traces {
            endpoint: Some(server.url.clone()),
            ca_file: Some(file.clone()),
            ..Traces::default()
        };
        let settings = Settings::new(&set, |_| None).expect("good settings");
        let collector = Collector::new(settings.expect("traces are on"), None).expect("files");
        let collector = Arc::new(collector);
        let sends = || {
            let request = Request::post(&server.url).body(Bytes::new());
            let client = Client(collector.clone());
            let answer = block_on(client.send_bytes(request.expect("a request")));
            answer.is_ok()
        };
        assert!(!sends(), "another authority's");
        fs::write(&file, "junk").expect("written");
        assert!(collector.reload().is_err() && !sends());
        trust(&new);
        assert!(!sends(), "a file that nobody has read again");
        collector.reload().expect("good files");
        assert!(sends());
        fs::remove_file(&file).expect("removed");
        assert!(collector.reload().is_err());
        assert!(sends(), "what cannot be read stays in use as it was");
    }
}
