//! What is in force: the settings, and for what they leave open the standard variables
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). Those that are not named here
//! (`OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SPAN_*_LIMIT`) are read by the
//! SDK itself.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::traces::{Sampler, Traces},
    endpoint::{self, Endpoint, Target},
    net::TlsFiles,
};

/// Where OTLP over HTTP is received below a collector's address.
const PATH: &str = "/v1/traces";
/// Where a collector is that nobody has named.
const LOCAL: &str = "http://localhost:4318";
/// As the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    /// Where spans are sent.
    pub(super) url: String,
    pub(super) sampler: Sampler,
    /// For samplers by ratio.
    pub(super) ratio: f64,
    /// For one request.
    pub(super) timeout: Duration,
    /// Whom to trust, and who we are.
    pub(super) files: Files,
}

/// Files of certificates, each with the key or the variable that names it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Files {
    authorities: (&'static str, Option<PathBuf>),
    certificate: (&'static str, Option<PathBuf>),
    key: (&'static str, Option<PathBuf>),
}

impl Files {
    fn new(set: &Traces, variable: Variable<'_>) -> Self {
        let of = |key, set: &Option<PathBuf>, variables: [&'static str; 2]| {
            let named = variables.into_iter();
            let mut named = named.filter_map(|name| Some((name, variable(name)?)));
            match (set, named.next()) {
                (None, Some((name, path))) => (name, Some(PathBuf::from(path))),
                _ => (key, set.clone()),
            }
        };
        Self {
            authorities: of(
                "traces.ca_file",
                &set.ca_file,
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_CERTIFICATE",
                ],
            ),
            certificate: of(
                "traces.client_cert_file",
                &set.client_cert_file,
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
                ],
            ),
            key: of(
                "traces.client_key_file",
                &set.client_key_file,
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
                ],
            ),
        }
    }

    /// As they are read.
    pub(super) fn tls(&self) -> TlsFiles<'_> {
        TlsFiles {
            authorities: (self.authorities.0, self.authorities.1.as_deref()),
            certificate: (self.certificate.0, self.certificate.1.as_deref()),
            key: (self.key.0, self.key.1.as_deref()),
        }
    }
}

impl Settings {
    /// None where traces are off. `variable` gives one of the environment, or none.
    ///
    /// # Errors
    /// What of it cannot be used. A password in a URL is not repeated.
    pub(super) fn new(
        set: &Traces,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let variable = |name: &str| {
            let value = variable(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let is_disabled = variable("OTEL_SDK_DISABLED");
        if is_disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let is_asked_for = match variable("OTEL_TRACES_EXPORTER").as_deref() {
            Some("none") => return Ok(None),
            Some("otlp") => true,
            None => false,
            Some(other) => {
                return Err(format!(
                    "OTEL_TRACES_EXPORTER is `{other}`, and only `otlp` and `none` are known"
                ))
            }
        };
        let Some((key, url)) = url(set, &variable, is_asked_for) else {
            return Ok(None);
        };
        check(key, &url, set.token_file.is_some())?;
        let (traces, all) = (
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        );
        if let Some(other) = variable(traces)
            .or_else(|| variable(all))
            .filter(|protocol| protocol != "http/protobuf")
        {
            return Err(format!(
                "{all} is `{other}`, and only `http/protobuf` is spoken"
            ));
        }
        Ok(Some(Self {
            url,
            sampler: sampler(set, &variable)?,
            ratio: ratio(set, &variable)?,
            timeout: timeout(&variable)?,
            files: Files::new(set, &variable),
        }))
    }
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where spans are sent, and the key or variable that says so.
fn url(set: &Traces, variable: Variable<'_>, is_asked_for: bool) -> Option<(&'static str, String)> {
    let below = |base: &str| {
        let base = base.trim_end_matches('/');
        match base.ends_with(PATH) {
            true => base.to_owned(),
            false => format!("{base}{PATH}"),
        }
    };
    if let Some(base) = &set.endpoint {
        return Some(("traces.endpoint", below(base)));
    }
    let key = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    if let Some(whole) = variable(key) {
        return Some((key, whole));
    }
    let key = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let base = variable(key).or_else(|| is_asked_for.then(|| LOCAL.to_owned()));
    base.map(|base| (key, below(&base)))
}

fn check(key: &str, url: &str, has_token: bool) -> Result<(), String> {
    let endpoint = match Endpoint::parse(url) {
        Ok(endpoint) => endpoint,
        Err(endpoint::Error::Password) => {
            return Err(format!(
                "{key} must not carry a password; use traces.token_file"
            ))
        }
        Err(error) => return Err(format!("{key} is `{url}`: {error}")),
    };
    if matches!(endpoint.target, Target::Unix(_)) {
        return Err(format!(
            "{key} is `{url}`: write http://HOST:PORT or https://HOST:PORT"
        ));
    }
    if has_token && !endpoint.is_tls && !endpoint.target.is_local() {
        return Err(format!(
            "{key} is `{url}`, which would show the token of traces.token_file to the network; use \
             https://"
        ));
    }
    Ok(())
}

fn sampler(set: &Traces, variable: Variable<'_>) -> Result<Sampler, String> {
    let key = "OTEL_TRACES_SAMPLER";
    match (set.sampler, variable(key)) {
        (Some(sampler), _) => Ok(sampler),
        (None, None) => Ok(Sampler::ParentOrAll),
        (None, Some(name)) => Sampler::named(&name).ok_or_else(|| {
            format!("{key} is `{name}`, and traces.sampler names those that are known")
        }),
    }
}

fn ratio(set: &Traces, variable: Variable<'_>) -> Result<f64, String> {
    let key = "OTEL_TRACES_SAMPLER_ARG";
    match (set.ratio, variable(key)) {
        (Some(ratio), _) => Ok(ratio),
        (None, None) => Ok(1.0),
        (None, Some(text)) => {
            let share = text.parse().ok();
            share
                .filter(|share| (0.0..=1.0).contains(share))
                .ok_or_else(|| format!("{key} is `{text}`, and must be 0 to 1"))
        }
    }
}

fn timeout(variable: Variable<'_>) -> Result<Duration, String> {
    for key in [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ] {
        if let Some(text) = variable(key) {
            return match text.parse() {
                Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
                _ => Err(format!("{key} is `{text}`, and must be milliseconds")),
            };
        }
    }
    Ok(TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &Traces, variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::new(set, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn off_unless_somebody_asks_for_it() {
        let unset = Traces::default();
        let set = Traces {
            endpoint: Some("http://c:4318".to_owned()),
            ..Traces::default()
        };
        for (set, variables) in [
            (&unset, vec![]),
            (&unset, vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]),
            (&set, vec![("OTEL_SDK_DISABLED", "TRUE")]),
            (&set, vec![("OTEL_TRACES_EXPORTER", "none")]),
        ] {
            assert_eq!(of(set, &variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn where_spans_go() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all:1/x/");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:2/y");
        let asked = ("OTEL_TRACES_EXPORTER", "otlp");
        for (set, variables, want) in [
            (None, vec![all], "https://all:1/x/v1/traces"),
            (None, vec![all, traces], "http://own:2/y"),
            (None, vec![asked], "http://localhost:4318/v1/traces"),
            (
                Some("http://set:3"),
                vec![all, traces],
                "http://set:3/v1/traces",
            ),
            (
                Some("http://set:3/v1/traces/"),
                vec![],
                "http://set:3/v1/traces",
            ),
        ] {
            let set = Traces {
                endpoint: set.map(str::to_owned),
                ..Traces::default()
            };
            let got = of(&set, &variables).expect(want).expect(want);
            assert_eq!(got.url, want);
            let rest = (got.sampler, got.ratio, got.timeout);
            assert_eq!(rest, (Sampler::ParentOrAll, 1.0, TIMEOUT), "{want}");
        }
    }

    #[test]
    fn what_is_set_counts_more_than_the_environment() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ];
        let got = of(&Traces::default(), &variables).unwrap().unwrap();
        let want = (Sampler::Ratio, 0.25, Duration::from_millis(1500));
        assert_eq!((got.sampler, got.ratio, got.timeout), want);
        let set = Traces {
            sampler: Some(Sampler::AlwaysOff),
            ratio: Some(0.5),
            ..Traces::default()
        };
        let got = of(&set, &variables).unwrap().unwrap();
        assert_eq!((got.sampler, got.ratio), (Sampler::AlwaysOff, 0.5));
    }

    #[test]
    fn files_of_certificates_have_variables() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/client.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/client.key"),
        ];
        let set = Traces {
            client_key_file: Some("/set.key".into()),
            ..Traces::default()
        };
        let settings = of(&set, &variables).unwrap().unwrap();
        let files = settings.files.tls();
        let path = |path: &'static str| Some(std::path::Path::new(path));
        for (got, want) in [
            (
                files.authorities,
                ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", path("/traces.pem")),
            ),
            (
                files.certificate,
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", path("/client.pem")),
            ),
            (files.key, ("traces.client_key_file", path("/set.key"))),
        ] {
            assert_eq!(got, want);
        }
        let unset = of(&Traces::default(), &variables[..1]).unwrap().unwrap();
        assert_eq!(unset.files.tls().authorities, ("traces.ca_file", None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        for (variable, part) in [
            (
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@c"),
                "token_file",
            ),
            (
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"),
                "ENDPOINT is `c:4318/v1/traces`",
            ),
            (("OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///x"), "http://HOST"),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "http/protobuf"),
            (("OTEL_TRACES_EXPORTER", "zipkin"), "`otlp`"),
            (("OTEL_TRACES_SAMPLER", "xray"), "traces.sampler"),
            (("OTEL_TRACES_SAMPLER_ARG", "7"), "0 to 1"),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "milliseconds"),
        ] {
            let error = of(&Traces::default(), &[variable, endpoint]).expect_err(part);
            assert!(error.contains(part) && !error.contains("hush"), "{error}");
        }
        let set = Traces {
            token_file: Some("/t".into()),
            ..Traces::default()
        };
        let error = of(&set, &[endpoint]).expect_err("shown");
        assert!(error.contains("traces.token_file"), "{error}");
        let local = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert!(of(&set, &[local]).is_ok());
    }
}
