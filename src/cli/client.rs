//! How the client commands reach a running historian, and how its refusals are told.

mod token;

use std::{net::SocketAddr, str::FromStr, time::Duration};

use anyhow::{Context, anyhow};
use arrow_flight::{FlightClient, error::FlightError, flight_service_client::FlightServiceClient};
use clap::{Args, ValueEnum};
use tonic::{
    Code, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

pub use self::token::{Bearer, TokenArgs};
use historian_model::{Timestamp, time::NumericTimeUnit};

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
}

/// A connection to a historian, whose requests all have the token of the command.
pub type ServerChannel = InterceptedService<Channel, Bearer>;

/// `grpc://host:port`, also `grpc+tcp://` and `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerAddress(String);

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerAddress, String> {
        let (scheme, authority) = text.split_once("://").unwrap_or(("grpc", text));
        match scheme {
            "grpc" | "grpc+tcp" | "http" => {}
            "https" | "grpcs" | "grpc+tls" => return Err("this version has no TLS; use grpc://host:port".into()),
            _ => return Err(format!("unknown scheme {scheme:?}; use grpc://host:port")),
        }
        let authority = authority.trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(ServerAddress(authority.to_owned())),
            _ => Err("expected grpc://host:port".into()),
        }
    }
}

impl ServerArgs {
    /// The historian that listens there.
    pub fn at(listen: SocketAddr, token: TokenArgs) -> ServerArgs {
        ServerArgs { server: ServerAddress(listen.to_string()), token }
    }

    /// Connects.
    ///
    /// # Errors
    /// Names the address and says what the network said, or what is wrong with the token.
    pub async fn connect(&self) -> anyhow::Result<ServerChannel> {
        let ServerAddress(authority) = &self.server;
        let bearer = self.token.bearer()?;
        let channel = Endpoint::from_shared(format!("http://{authority}"))
            .with_context(|| format!("{authority} is no address"))?
            .connect_timeout(Duration::from_secs(5))
            .connect()
            .await
            .with_context(|| format!("cannot connect to grpc://{authority}; is the historian running there?"))?;
        Ok(InterceptedService::new(channel, bearer))
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
    let code = in_words(status.code());
    if status.message().is_empty() { anyhow!("the historian answered: {code}") } else { anyhow!("{} ({code})", status.message()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_all_documented_forms() {
        for text in ["grpc://127.0.0.1:8815", "http://127.0.0.1:8815/", "grpc+tcp://127.0.0.1:8815", "127.0.0.1:8815"] {
            assert_eq!(text.parse(), Ok(ServerAddress("127.0.0.1:8815".into())), "{text}");
        }
        assert_eq!("grpc://[::1]:8815".parse(), Ok(ServerAddress("[::1]:8815".into())));
        for (text, reason) in [
            ("https://h:1", "no TLS"),
            ("ftp://h:1", "unknown scheme"),
            ("grpc://h", "expected grpc://host:port"),
            ("grpc://h:99999", "expected"),
            ("", "expected"),
        ] {
            let error = text.parse::<ServerAddress>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
