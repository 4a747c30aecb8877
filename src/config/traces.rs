//! Every key about OpenTelemetry traces, its default, and why.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[traces]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Collector that gets spans of CRI calls, jobs and calls to interLink, by OTLP over HTTP (protobuf):
    /// `http://HOST:4318` or `https://...`, to which `/v1/traces` is added, as to the standard variable
    /// OTEL_EXPORTER_OTLP_ENDPOINT, which counts where this is unset. Without both there are no traces. The
    /// other OTEL_* variables are in docs/traces.md. Where the collector cannot be reached, spans are lost
    /// and nothing else is.
    pub endpoint: Option<String>,
    /// Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or `parentbased_always_on`,
    /// `parentbased_always_off`, `parentbased_traceidratio`, which do as the caller does where it says so.
    /// Unset takes OTEL_TRACES_SAMPLER, and without it `parentbased_always_on`.
    pub sampler: Option<Sampler>,
    /// The share of traces that the samplers by ratio record, 0 to 1. Unset takes OTEL_TRACES_SAMPLER_ARG,
    /// and without it 1.
    pub ratio: Option<f64>,
    /// File with the bearer token for the collector. Read again when it changes.
    pub token_file: Option<PathBuf>,
    /// PEM file with the authorities that the collector's certificate is checked against; unset
    /// takes the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain; needs `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the client certificate's key.
    pub client_key_file: Option<PathBuf>,
}

/// Which traces are recorded, by the names of the OpenTelemetry specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sampler {
    /// All.
    #[serde(rename = "always_on")]
    AlwaysOn,
    /// None.
    #[serde(rename = "always_off")]
    AlwaysOff,
    /// A share of them, whatever the caller does.
    #[serde(rename = "traceidratio")]
    Ratio,
    /// Those that the caller records, and all that begin here.
    #[serde(rename = "parentbased_always_on")]
    ParentOrAll,
    /// Those that the caller records.
    #[serde(rename = "parentbased_always_off")]
    ParentOnly,
    /// Those that the caller records, and a share of those that begin here.
    #[serde(rename = "parentbased_traceidratio")]
    ParentOrRatio,
}

impl Sampler {
    const ALL: [(Self, &'static str); 6] = [
        (Self::AlwaysOn, "always_on"),
        (Self::AlwaysOff, "always_off"),
        (Self::Ratio, "traceidratio"),
        (Self::ParentOrAll, "parentbased_always_on"),
        (Self::ParentOnly, "parentbased_always_off"),
        (Self::ParentOrRatio, "parentbased_traceidratio"),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find_map(|(sampler, known)| (known == name).then_some(sampler))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_have_the_same_names_in_settings_and_in_the_environment() {
        for (sampler, name) in Sampler::ALL {
            let text = format!("sampler = \"{name}\"");
            let traces: Traces = toml::from_str(&text).expect(name);
            assert_eq!(traces.sampler, Some(sampler));
            assert_eq!(Sampler::named(name), Some(sampler));
        }
        assert_eq!(Sampler::named("xray"), None);
    }
}
