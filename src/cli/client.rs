//! How the client commands reach a running historian, and how its refusals are told.

mod address;
mod local;
pub mod patience;
mod secure;
mod token;

use std::{net::SocketAddr, path::PathBuf, sync::OnceLock, time::Duration};

use anyhow::{Context, anyhow};
use arrow_flight::{FlightClient, error::FlightError, flight_service_client::FlightServiceClient};
use clap::{Args, ValueEnum};
use tonic::{
    Code, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use self::address::{ServerAddress, ServerPlace};
pub use self::token::{Bearer, TokenArgs};
use super::Misuse;
use historian_model::{Timestamp, time::NumericTimeUnit};
use historian_tls::{ClientTls, TlsFiles, authority, pinned};

/// Largest message taken from the server: a batch of the widest answer.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// The unit of times that are numbers.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct UnitArgs {
    /// Unit of times that are numbers since 1970.
    #[arg(long, value_enum)]
    time_unit: Option<TimeUnitArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TimeUnitArg {
    S,
    Ms,
    Us,
    Ns,
}

impl UnitArgs {
    pub fn unit(self) -> Option<NumericTimeUnit> {
        self.time_unit.map(|unit| match unit {
            TimeUnitArg::S => NumericTimeUnit::Seconds,
            TimeUnitArg::Ms => NumericTimeUnit::Milliseconds,
            TimeUnitArg::Us => NumericTimeUnit::Microseconds,
            TimeUnitArg::Ns => NumericTimeUnit::Nanoseconds,
        })
    }

    /// A time as a request has it: a number with its unit.
    pub fn applied(self, time: &str) -> String {
        match self.unit() {
            Some(unit) if Timestamp::parse_number(time, unit).is_some() => format!("{}{}", time.trim(), unit.name()),
            _ => time.to_owned(),
        }
    }
}

/// Which historian to talk to.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// Address of the historian.
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_SERVER", default_value = "grpc://127.0.0.1:8815")]
    server: ServerAddress,
    #[command(flatten)]
    token: TokenArgs,
    /// Authority to trust beside those of this machine, for grpc+tls://.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show, for a historian that asks for one.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_TLS_CLIENT_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_TLS_CLIENT_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The historian's own certificate, where its files are at hand.
    #[arg(skip)]
    pinned: Option<Vec<u8>>,
}

/// A connection to a historian, whose requests all have the token of the command.
pub type ServerChannel = InterceptedService<Channel, Bearer>;

impl ServerArgs {
    /// The historian that listens there with these files of TLS, which are read to know it.
    ///
    /// # Errors
    /// Its certificate cannot be read.
    pub fn at(listen: SocketAddr, tls: Option<&TlsFiles>, token: TokenArgs) -> anyhow::Result<ServerArgs> {
        let pinned = tls.map(|files| authority::certificate(&files.certificate)).transpose()?;
        let place = if tls.is_some() { ServerPlace::Secured } else { ServerPlace::Plain };
        let server = ServerAddress { place: place(listen.to_string()) };
        Ok(ServerArgs { server, token, tls_ca: None, tls_cert: None, tls_key: None, pinned })
    }

    /// The historian of this machine whose local socket this is.
    pub fn local(socket: PathBuf) -> ServerArgs {
        let server = ServerAddress { place: ServerPlace::Local(socket) };
        ServerArgs { server, token: TokenArgs::default(), tls_ca: None, tls_cert: None, tls_key: None, pinned: None }
    }

    /// Connects.
    ///
    /// # Errors
    /// Names the address and says what the network said, or what is wrong with the token.
    pub async fn connect(&self) -> anyhow::Result<ServerChannel> {
        self.connect_with(|endpoint| endpoint).await
    }

    /// As [`ServerArgs::connect`], with what else is to hold.
    ///
    /// # Errors
    /// As [`ServerArgs::connect`].
    pub async fn connect_with(&self, also: impl FnOnce(Endpoint) -> Endpoint) -> anyhow::Result<ServerChannel> {
        let _ = SPOKEN_WITH.set(self.clone());
        let bearer = self.token.bearer()?;
        let authority = self.server.authority();
        // What goes through TLS is not TLS: the library asks for none where it has a connection that is secured already.
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).with_context(|| format!("{authority} is no address"))?;
        let endpoint = also(endpoint.connect_timeout(Duration::from_secs(5)));
        let connected = match &self.server.place {
            ServerPlace::Secured(_) => {
                let origin = format!("https://{authority}").parse().with_context(|| format!("{authority} is no address"))?;
                endpoint.origin(origin).connect_with_connector(self.secured()?).await
            }
            ServerPlace::Plain(_) => {
                self.without_tls()?;
                self.without_secret(&bearer)?;
                endpoint.connect().await
            }
            ServerPlace::Local(path) => {
                self.without_tls()?;
                endpoint.connect_with_connector(local::LocalConnector(path.clone())).await
            }
        };
        let connected = connected.map_err(|error| secure::refused().map_or_else(|| error.into(), |refused| anyhow!(refused)));
        let hint = if matches!(self.server.place, ServerPlace::Secured(_)) { "" } else { "; is the historian running there?" };
        let channel = connected.with_context(|| format!("cannot connect to {}{hint}", self.server))?;
        Ok(InterceptedService::new(channel, bearer))
    }

    /// Host and port, as requests name them.
    pub fn authority(&self) -> &str {
        self.server.authority()
    }

    /// True where no token is shown.
    pub fn is_nobody(&self) -> bool {
        self.token.bearer().is_ok_and(|bearer| bearer.is_none())
    }

    /// Refuses to speak openly with who has asked for more.
    fn without_tls(&self) -> Result<(), Misuse> {
        let given = [("--tls-ca", &self.tls_ca), ("--tls-cert", &self.tls_cert)].into_iter().find(|(_, given)| given.is_some());
        given.map_or(Ok(()), |(flag, _)| {
            let server = self.server.to_string();
            let with_tls = server.replacen("grpc://", "grpc+tls://", 1);
            let instead = if with_tls == server { "grpc+tls://host:port" } else { &with_tls };
            Err(Misuse(format!("{flag} is for TLS, and {server} is without; use {instead}")))
        })
    }

    /// Refuses to send a token where everybody on the way could read it.
    fn without_secret(&self, bearer: &Bearer) -> Result<(), Misuse> {
        if bearer.is_none() || self.server.is_loopback() {
            return Ok(());
        }
        Err(Misuse(format!(
            "the token is not sent to {}: without TLS everybody on the way could read it; use grpc+tls://{} (`historian tls init` makes the \
             certificate), or, on the machine of the historian, grpc://127.0.0.1 or unix://",
            self.server,
            self.server.authority()
        )))
    }

    /// How connections with TLS are made.
    fn secured(&self) -> anyhow::Result<secure::Connector> {
        let config = if let Some(certificate) = &self.pinned {
            pinned(certificate.clone())?
        } else {
            let pair = self.tls_cert.clone().zip(self.tls_key.clone());
            ClientTls { ca: self.tls_ca.clone(), pair }.config().map_err(|problem| Misuse(problem.to_string()))?
        };
        secure::Connector::new(self.server.host(), config)
    }

    /// Connects for Arrow Flight.
    ///
    /// # Errors
    /// As [`ServerArgs::connect`].
    pub async fn flight(&self) -> anyhow::Result<FlightClient<ServerChannel>> {
        let inner = FlightServiceClient::new(self.connect().await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(FlightClient::new_from_inner(inner))
    }
}

/// A refusal of the server as its message and its code in words.
pub fn refusal(status: &Status) -> anyhow::Error {
    // What happened on the way is told by what is known of it, not by the code that the library makes of it.
    if let Some(refused) = secure::refused().filter(|_| is_of_the_way(status)) {
        return anyhow!(refused);
    }
    let code = in_words(status.code());
    let line = match status.message() {
        // A goodbye with `INADEQUATE_SECURITY` (RFC 9113, 7), or one that came before the request.
        message if is_of_the_way(status) && matches!(status.code(), Code::PermissionDenied | Code::Cancelled) => format!(
            "the historian closed the connection; if it speaks TLS, use grpc+tls://host:port, and --tls-ca FILE with its authority ({message})"
        ),
        "" => format!("the historian answered: {code}"),
        message => format!("{message} ({code})"),
    };
    let details = status.get_error_details();
    let fields = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    ServerRefusal {
        line,
        message: status.message().to_owned(),
        code: status.code(),
        reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
        field: fields.first().map(|violation| violation.field.clone()).unwrap_or_default(),
        of_the_way: is_of_the_way(status),
    }
    .into()
}

/// A refusal with what a program reads of it, so that a better word can be found for what was meant.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{line}")]
pub struct ServerRefusal {
    pub line: String,
    pub message: String,
    pub code: Code,
    pub reason: String,
    /// Field of the request that is wrong; empty where it is none.
    pub field: String,
    /// Nobody answered: it is what became of the connection.
    pub of_the_way: bool,
}

/// Which historian this command speaks with, and whether it showed who it is. A command speaks with one.
static SPOKEN_WITH: OnceLock<ServerArgs> = OnceLock::new();

/// The historian that this command has spoken with.
pub fn spoken_with() -> Option<&'static ServerArgs> {
    SPOKEN_WITH.get()
}

/// Whether the client library made a status of what became of a connection: a historian that answers says nothing of causes, or of HTTP/2.
fn is_of_the_way(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.message().starts_with("h2 protocol error")
}

/// As [`refusal`], for an error of Arrow Flight.
pub fn flight_refusal(error: FlightError) -> anyhow::Error {
    match error {
        FlightError::Tonic(status) => refusal(&status),
        other => anyhow!(other),
    }
}

/// A gRPC code as a person would say it.
pub fn in_words(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown error",
        Code::InvalidArgument => "invalid argument",
        Code::DeadlineExceeded => "deadline exceeded",
        Code::NotFound => "not found",
        Code::AlreadyExists => "already exists",
        Code::PermissionDenied => "permission denied",
        Code::ResourceExhausted => "resource exhausted",
        Code::FailedPrecondition => "failed precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out of range",
        Code::Unimplemented => "not implemented by this server",
        Code::Internal => "internal error",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data loss",
        Code::Unauthenticated => "not authenticated",
    }
}
