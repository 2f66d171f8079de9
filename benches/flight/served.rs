//! A Flight server on loopback TCP with a client connected to it, and the messages of `DoPut`.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array},
    datatypes::{Field, Int32Type, Schema},
};
use arrow_flight::{
    FlightData, FlightDescriptor, Ticket,
    decode::FlightRecordBatchStream,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
    error::FlightError,
    flight_service_client::FlightServiceClient,
    flight_service_server::FlightServiceServer,
};
use futures::{TryStreamExt, future::BoxFuture, stream};
use historian::{
    access::{AccessBook, AccessFile, Grant, NewToken, Role},
    api::{self, ApiLimits, ApiRoutes, PortListener},
    model::{SampleBatch, Tag, Values},
    tls::{Authority, ClientConfig, ClientTls, ServerName, ServerTls, TlsFiles},
};
use historian_test_support::served::services;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Status,
    codegen::{Service, http::Uri},
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::bare::Bare;
use crate::plant::{Batches, Plant};

pub struct Served {
    client: FlightServiceClient<InterceptedService<Channel, Bearer>>,
    _stop: DropGuard,
    /// Behind the guard: a plant's directory goes when the plant does.
    _plant: Option<Plant>,
}

impl Served {
    /// The historian's own interface over a plant.
    pub fn historian(runtime: &Runtime, plant: Plant) -> Served {
        let services = services(&plant.historian, ApiLimits::default(), Vec::new());
        Served::start(runtime, Some(plant), |listener, stop| async move {
            let routes = ApiRoutes::new(services, stop).await.expect("the services have their descriptors");
            api::serve(listener, routes).await.expect("the historian serves");
        })
    }

    /// The historian's interface with a token, or with TLS and a token, or open.
    pub fn protected(runtime: &Runtime, plant: Plant, protection: Protection) -> Served {
        let directory = tempfile::tempdir().expect("there is room");
        let mut services = services(&plant.historian, ApiLimits::default(), Vec::new());
        let now = services.clock.now();
        let mut token = None;
        if protection != Protection::None {
            let path = AccessFile::in_directory(directory.path());
            let grants = vec![Grant { role: Role::Admin, tags: Vec::new() }];
            let made = AccessFile::create_token(&path, NewToken { name: "bench".into(), grants, expires: None }, now);
            token = Some(made.expect("a token can be made").secret);
            services.access = api::Access::new(AccessBook::open(&path).expect("the tokens can be read"), None);
        }
        let tls = (protection == Protection::TlsAndToken).then(|| {
            let authority = Authority::make(directory.path(), "bench", now, false).expect("an authority can be made");
            let issued = authority.server(&["localhost".to_owned()], 2, now, false).expect("a certificate can be made");
            let files = TlsFiles { certificate: issued.certificate, key: issued.key, ..TlsFiles::default() };
            let client = ClientTls { ca: Some(Authority::certificate_file(directory.path())), ..ClientTls::default() };
            (Arc::new(ServerTls::open(files).expect("the certificate is good")), client.config().expect("the authority is good"))
        });
        let (server, client) = tls.unzip();
        Served::connect(runtime, Some(plant), client, token, |listener, stop| async move {
            let routes = ApiRoutes::new(services, stop).await.expect("the services have their descriptors");
            let listener = PortListener { listener, tls: server, local: None, zones: Vec::new() };
            api::serve(listener, routes).await.expect("the historian serves");
        })
    }

    /// A bare server with the transport settings of the historian.
    pub fn bare(runtime: &Runtime, bare: Bare) -> Served {
        Served::start(runtime, None, |listener, stop| async move {
            let router = Server::builder()
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .add_service(FlightServiceServer::new(bare));
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stop.cancelled()).await.expect("the bare server serves");
        })
    }

    fn start<F: Future<Output = ()> + Send + 'static>(
        runtime: &Runtime,
        plant: Option<Plant>,
        serve: impl FnOnce(TcpListener, CancellationToken) -> F,
    ) -> Served {
        Served::connect(runtime, plant, None, None, serve)
    }

    fn connect<F: Future<Output = ()> + Send + 'static>(
        runtime: &Runtime,
        plant: Option<Plant>,
        tls: Option<ClientConfig>,
        token: Option<String>,
        serve: impl FnOnce(TcpListener, CancellationToken) -> F,
    ) -> Served {
        let stop = CancellationToken::new();
        let client = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let address = listener.local_addr().expect("the listener is bound");
            tokio::spawn(serve(listener, stop.clone()));
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("the address is valid").tcp_nodelay(true);
            let channel = match tls {
                None => endpoint.connect().await,
                Some(config) => endpoint.connect_with_connector(Secured(TlsConnector::from(Arc::new(config)))).await,
            };
            let header = token.map(|token| MetadataValue::try_from(format!("Bearer {token}")).expect("a token is ASCII"));
            let with_token = Bearer(header);
            FlightServiceClient::with_interceptor(channel.expect("the server listens"), with_token).max_decoding_message_size(64 << 20)
        });
        Served { client, _stop: stop.drop_guard(), _plant: plant }
    }

    /// Fetches and decodes an answer; its rows.
    pub async fn rows(&self, ticket: Ticket) -> usize {
        let answer = self.client.clone().do_get(ticket).await.expect("the ticket is answered").into_inner();
        let batches = FlightRecordBatchStream::new_from_flight_data(answer.map_err(FlightError::from));
        batches.try_fold(0, |rows, batch| async move { Ok(rows + batch.num_rows()) }).await.expect("the answer ends well")
    }

    /// The messages of an answer, as they come.
    pub async fn messages(&self, ticket: Ticket) -> Vec<FlightData> {
        let answer = self.client.clone().do_get(ticket).await.expect("the ticket is answered").into_inner();
        answer.try_collect().await.expect("the answer ends well")
    }

    /// Writes a stream; the number of its acknowledgements.
    pub async fn put(&self, messages: Vec<FlightData>) -> usize {
        let answers = self.client.clone().do_put(stream::iter(messages)).await.expect("the stream is taken").into_inner();
        answers.try_fold(0, |count, _| async move { Ok(count + 1) }).await.expect("every batch is taken")
    }
}

/// What protects a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    None,
    Token,
    TlsAndToken,
}

/// Connects with TLS.
#[derive(Clone)]
struct Secured(TlsConnector);

impl Service<Uri> for Secured {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", uri.port_u16().unwrap_or_default())).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            connector.connect(name, stream).await.map(TokioIo::new)
        })
    }
}

/// Puts the token into each request, where there is one.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// How the rows of a batch are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All samples of one tag, then all of the next: as an import has them.
    ByTag,
    /// One sample of every tag, then the next of every tag: as a gateway that polls has them.
    ByTime,
}

/// `DoPut` streams, each later in time than the one before. Encoded before the clock runs: how fast a client encodes is not ours.
pub struct Puts {
    batches: Batches,
    names: ArrayRef,
    order: Order,
}

impl Puts {
    pub fn new(tags: &[Arc<Tag>], samples: usize, order: Order) -> Puts {
        let names = StringArray::from_iter_values(tags.iter().map(|tag| tag.name().as_str()));
        Puts { batches: Batches::new(tags, samples), names: Arc::new(names), order }
    }

    /// The messages of the next stream.
    pub async fn next_stream(&mut self, batches: usize) -> Vec<FlightData> {
        let command = r#"{"write": {"mode": "UPSERT", "durability": "SYNC"}}"#;
        let batches: Vec<_> = (0..batches).map(|_| Ok(record_batch(&self.batches.next_batch(), &self.names, self.order))).collect();
        FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
            .with_dictionary_handling(DictionaryHandling::Resend)
            .with_max_flight_data_size(32 << 20)
            .build(stream::iter(batches))
            .try_collect()
            .await
            .expect("the batches are encoded")
    }
}

fn record_batch(batch: &SampleBatch, names: &ArrayRef, order: Order) -> RecordBatch {
    let samples = batch.runs.first().map_or(0, |(_, run)| run.len());
    let tags = batch.runs.len();
    let places: Vec<(usize, usize)> = match order {
        Order::ByTag => (0..tags).flat_map(|tag| (0..samples).map(move |sample| (tag, sample))).collect(),
        Order::ByTime => (0..samples).flat_map(|sample| (0..tags).map(move |tag| (tag, sample))).collect(),
    };
    let value = |&(tag, sample): &(usize, usize)| match &batch.runs[tag].1.values {
        Values::F64(values) => values[sample],
        other => unreachable!("the plant's tags are f64, not {}", other.value_type()),
    };
    let keys = Int32Array::from_iter_values(places.iter().map(|(tag, _)| *tag as i32));
    let timestamps = TimestampNanosecondArray::from_iter_values(places.iter().map(|&(tag, sample)| batch.runs[tag].1.timestamps[sample]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(DictionaryArray::<Int32Type>::new(keys, names.clone())),
        Arc::new(timestamps.with_timezone("UTC")),
        Arc::new(Float64Array::from_iter_values(places.iter().map(value))),
        Arc::new(UInt32Array::from(vec![0; places.len()])),
    ];
    let fields: Vec<Field> = ["tag", "timestamp", "value", "quality"]
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), *name == "value"))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("the columns are of equal length")
}
