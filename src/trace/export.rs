//! The way of spans to the collector.

use std::{sync::Arc, time::Duration};

use historian_tls::{ClientTls, ServerName, TlsProblem};
use hyper_util::rt::TokioIo;
use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    codegen::http::Uri,
    transport::{Channel, Endpoint},
};
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::{
    call::STAGE,
    settings::{TraceAddress, TraceSettings},
};

/// Longest wait for the collector to take some spans.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The field of the span of a call with its method, and the one that only spans of calls over gRPC have.
const METHOD: &str = "method";
const PRINCIPAL: &str = "principal";

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    #[error("{0} is no address of a collector")]
    NoAddress(TraceAddress),
    #[error("traces cannot be sent: {0}")]
    Library(#[from] ExporterBuildError),
}

/// The traces of a process. They end with [`CallTraces::end`].
pub struct CallTraces(SdkTracerProvider);

impl CallTraces {
    /// Sends what waits, and ends. Blocks for no longer than this.
    ///
    /// # Errors
    /// What the collector, or the way to it, said.
    pub fn end(&self, within: Duration) -> Result<(), String> {
        self.0.shutdown_with_timeout(within).map_err(|error| error.to_string())
    }
}

/// Traces to this collector, and the layer that makes them. Within a runtime; connects when there is something to send.
///
/// # Errors
/// The settings do not make a connection.
pub fn layer<S>(settings: &TraceSettings) -> Result<(CallTraces, impl Layer<S> + Send + Sync + use<S>), TraceError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_channel(channel(settings)?).build()?;
    // What the client says of its trace holds; the share is of those that say nothing.
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.share)));
    let resource = Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(NamedSpans(exporter)).with_sampler(sampler).with_resource(resource).build();
    // Threads, places in the source and idle times say nothing of a call.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("historian"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    // Of libraries nothing: they have whole frames in their spans. And of the HTTP port nothing: it answers supervisors and scrapers.
    let filter = filter_fn(|metadata| {
        if metadata.is_span() {
            metadata.target() == STAGE || metadata.fields().field(PRINCIPAL).is_some()
        } else {
            metadata.target().starts_with("historian") && *metadata.level() <= Level::INFO
        }
    });
    Ok((CallTraces(provider), layer.with_filter(filter)))
}

fn channel(settings: &TraceSettings) -> Result<Channel, TraceError> {
    let TraceSettings { endpoint: address, ca, .. } = settings;
    let no_address = || TraceError::NoAddress(address.clone());
    // What goes through TLS is secured below the library.
    let endpoint = Endpoint::from_shared(format!("http://{}", address.authority())).map_err(|_| no_address())?;
    let endpoint = endpoint.timeout(EXPORT_WITHIN).connect_timeout(CONNECT_WITHIN);
    if !address.has_tls {
        return Ok(endpoint.connect_lazy());
    }
    let origin: Uri = address.to_string().parse().map_err(|_| no_address())?;
    let tls = TlsConnector::from(Arc::new(ClientTls { ca: ca.clone(), pair: None }.config()?));
    let host = address.host.trim_matches(['[', ']']).to_owned();
    let (name, port) = (ServerName::try_from(host.clone()).map_err(|_| no_address())?, address.port);
    Ok(endpoint.origin(origin).connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (tls, name, host) = (tls.clone(), name.clone(), host.clone());
        async move {
            let stream = TcpStream::connect((host, port)).await?;
            tls.connect(name, stream).await.map(TokioIo::new)
        }
    })))
}

/// Gives spans of calls the names and attributes by which tools know them (semantic conventions of RPC): the log has its own.
#[derive(Debug)]
struct NamedSpans<E>(E);

impl<E: SpanExporter> SpanExporter for NamedSpans<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.export(batch.into_iter().map(named).collect()).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn named(mut span: SpanData) -> SpanData {
    let Some(at) = span.attributes.iter().position(|attribute| attribute.key.as_str() == METHOD) else { return span };
    let Value::String(method) = span.attributes.swap_remove(at).value else { return span };
    if let Some((service, method)) = method.as_str().split_once('/') {
        let rpc = [("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method)];
        span.attributes.extend(rpc.map(|(name, value)| KeyValue::new(name, value.to_owned())));
    }
    (span.span_kind, span.name) = (SpanKind::Server, method.as_str().to_owned().into());
    span
}
