//! Switches traces on, where somebody asked for them, and off at the daemon's end.

use std::{
    env,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, OnceLock,
    },
    time::{Duration, Instant},
};

use opentelemetry::{trace::TracerProvider as _, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracer, SdkTracerProvider},
    Resource,
};

use super::{
    collector::{Client, Collector},
    sampler::sampler,
    settings::Settings,
    watched::Watched,
};
use crate::{config::Config, net, telemetry::chain};

/// How long the last spans may take at the daemon's end.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Whether traces are on: set once at the start, cleared at the end.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// A process has one daemon, and that has one tracer.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Whether traces are on.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// What spans are made with; none where traces are off.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    if is_on() {
        TRACER.get()
    } else {
        None
    }
}

/// Traces that are on, until they are stopped.
pub struct Traces {
    provider: SdkTracerProvider,
    credentials: Credentials,
}

/// The certificates with which spans are sent.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Collector>);

impl Credentials {
    /// Reads their files again.
    ///
    /// # Errors
    /// A file is unreadable or unfit; the old ones stay in use then.
    pub fn reload(&self) -> Result<(), net::Error> {
        self.0.reload()
    }
}

/// Why traces are off although they were asked for.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Setting(String),
    #[error(transparent)]
    File(#[from] net::Error),
    #[error("the exporter cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

impl Traces {
    /// Switches traces on where the configuration or the environment asks for them. A daemon without them
    /// does its work all the same, so one for which they cannot be had says why and goes on.
    pub fn start(config: &Config) -> Option<Self> {
        match Self::try_start(config) {
            Ok(traces) => traces,
            Err(error) => {
                log::warn!(error = chain(&error); "there are no traces");
                None
            }
        }
    }

    fn try_start(config: &Config) -> Result<Option<Self>, Error> {
        let settings = Settings::new(&config.traces, |name| env::var(name).ok());
        let Some(settings) = settings.map_err(Error::Setting)? else {
            return Ok(None);
        };
        let token = config.traces.token_file.as_deref();
        let collector = Arc::new(Collector::new(settings.clone(), token)?);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(collector.clone()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.url.clone())
            .with_timeout(settings.timeout)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Watched::new(exporter, collector.clone(), &settings.url))
            .with_sampler(sampler(settings.sampler, settings.ratio))
            .with_resource(resource(config))
            .build();
        let scope = InstrumentationScope::builder("interlink-cri")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        // Of a second daemon in one process, the spans would go where the first one's do.
        let _ = TRACER.set(provider.tracer_with_scope(scope));
        IS_ON.store(true, Ordering::Relaxed);
        log::info!("traces are sent to {}", settings.url);
        Ok(Some(Self {
            provider,
            credentials: Credentials(collector),
        }))
    }

    /// What may be read again while they are on.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// Ends traces, and sends what there is of spans; what takes longer than a moment is lost.
    pub fn stop(&self, deadline: Instant) {
        IS_ON.store(false, Ordering::Relaxed);
        let left = deadline.saturating_duration_since(Instant::now());
        if let Err(error) = self.provider.shutdown_with_timeout(left.min(LAST_SPANS)) {
            log::debug!(error:%; "traces: the last spans are lost");
        }
    }
}

/// Who sends spans. What the environment says counts more: it is the operator's word.
fn resource(config: &Config) -> Resource {
    let own = [
        KeyValue::new("service.name", "interlink-cri"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("k8s.node.name", config.kubernetes.node()),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(own)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name),
        _ => resource,
    }
    .build()
}
