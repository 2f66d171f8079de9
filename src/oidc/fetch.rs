//! Asks a provider for its keys: one GET after the other, each within a time and of a size.

use std::{fmt::Display, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::settings::{OidcSettings, SettingError, address};
use historian_tls::{ClientTls, ServerName, of_server};

/// Both answers together are waited for so long.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Address(#[from] SettingError),
    #[error("{url}: {reason}")]
    Asked { url: String, reason: String },
    #[error("{url} tells of the issuer {found:?}, and {wanted:?} is configured")]
    OtherIssuer { url: String, found: String, wanted: String },
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// What a provider tells about itself, as far as it is asked for.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// The text of the provider's key set.
///
/// # Errors
/// Where it is not to be had, and why.
pub async fn keys(settings: &OidcSettings) -> Result<Bytes, FetchError> {
    let asked = async {
        let url = settings.discovery()?;
        let text = get(&url, settings).await?;
        let told: Discovered = serde_json::from_slice(&text).map_err(|error| failed(&url, format!("tells of no provider: {error}")))?;
        // A provider that calls itself otherwise signs other tokens (OpenID Connect Discovery 1.0, 4.3).
        if told.issuer != settings.issuer {
            let found = told.issuer.chars().take(200).collect();
            return Err(FetchError::OtherIssuer { url: url.to_string(), found, wanted: settings.issuer.clone() });
        }
        get(&address(&told.jwks_uri)?, settings).await
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| FetchError::Late)?
}

fn failed(url: &Url, reason: impl Display) -> FetchError {
    FetchError::Asked { url: url.to_string(), reason: reason.to_string() }
}

/// The answer to a GET. Nothing is followed elsewhere: who is asked has to answer.
async fn get(url: &Url, settings: &OidcSettings) -> Result<Bytes, FetchError> {
    let host = url.host_str().unwrap_or_default();
    // Brackets are of the address as it is written, not of the host.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = TcpStream::connect((name, port)).await.map_err(|error| failed(url, error))?;
    if url.scheme() == "http" {
        return ask(url, stream).await;
    }
    let trusted = ClientTls { ca: settings.ca.clone(), pair: None };
    // It reads the files of the machine's authorities.
    let config = tokio::task::spawn_blocking(move || trusted.config()).await.map_err(|error| failed(url, error))?;
    let mut config = config.map_err(|problem| failed(url, problem))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = ServerName::try_from(name.to_owned()).map_err(|_| failed(url, "has no name of a host"))?;
    let secured = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
    let secured = secured.map_err(|error: io::Error| failed(url, of_server(&error, name)))?;
    ask(url, secured).await
}

async fn ask(url: &Url, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Bytes, FetchError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(url, error))?;
    let authority = url
        .port()
        .map_or_else(|| url.host_str().unwrap_or_default().to_owned(), |port| format!("{}:{port}", url.host_str().unwrap_or_default()));
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("historian/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(url, error))?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(url, error))?;
        if answer.status() != StatusCode::OK {
            return Err(failed(url, format!("answers {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| failed(url, error))?;
        Ok(body.to_bytes())
    };
    // The connection works as long as the answer is awaited, and ends with it.
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        ended = connection => match ended {
            // What came before the end may be the whole answer.
            Ok(()) => answered.await,
            Err(error) => Err(failed(url, error)),
        },
    }
}
