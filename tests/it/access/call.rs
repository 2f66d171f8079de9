//! One call of somebody at some door, and what became of it down to the byte: what is not looked at could hold a name.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use historian::tls::{ClientConfig, ClientTls};
use historian_proto::v1::TagFailure;
use prost::Message;
use socket2::{Domain, Socket, Type};
use tonic::{Code, Status, metadata::MetadataMap, transport::Channel};

use crate::support::{historian::Historian, raw, way};

/// What is written to and read from.
trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

/// Much longer than any of the calls takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Parts of an outcome behind its messages: details of an error, headers, and those of the end.
const BESIDE: usize = 3;

/// The id of every call.
pub const CALL_ID: &str = "a-call-of-a-test";

/// Somebody who calls, with or without a token.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    http: SocketAddr,
    token: Option<String>,
    /// How the other port is spoken to, where it has TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `Ok`, `NotFound`, …; of HTTP beside its API the number.
    pub code: String,
    pub message: String,
    /// Everything else that came: messages, headers, details of errors.
    pub parts: Vec<Bytes>,
}

impl Client {
    /// Nobody in particular.
    pub async fn to(historian: &Historian) -> Client {
        Client { channel: historian.channel().await.expect("the server listens"), http: historian.http, token: None, tls: None }
    }

    /// Somebody who comes over TLS, with a certificate or without.
    pub async fn secured(historian: &Historian, tls: &ClientTls) -> Client {
        Client::secured_from(Ipv4Addr::LOCALHOST, historian, tls).await
    }

    /// The same from another address of loopback.
    pub async fn secured_from(from: Ipv4Addr, historian: &Historian, tls: &ClientTls) -> Client {
        let config = tls.config().expect("the files are there");
        let mut http = config.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        let channel = way::secured(historian.grpc, from, config).await.expect("the server listens");
        Client { channel, http: historian.http, token: None, tls: Some(Arc::new(http)) }
    }

    /// Somebody who comes by the local socket. The other port it reaches as anybody does.
    pub async fn local(historian: &Historian, socket: &Path) -> Client {
        let channel = way::local(socket.to_owned()).await.expect("the server listens");
        Client { channel, http: historian.http, token: None, tls: None }
    }

    /// The same connection, as somebody with a token.
    pub fn with(&self, token: Option<&str>) -> Client {
        Client { token: token.map(str::to_owned), ..self.clone() }
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn headers(&self) -> MetadataMap {
        let mut headers = MetadataMap::new();
        if let Some(token) = &self.token {
            headers.insert("authorization", format!("Bearer {token}").parse().expect("a token is ASCII"));
        }
        headers
    }

    /// Sends messages to a method, and reads the answer until it ends or is enough.
    pub async fn raw(&self, method: &str, messages: Vec<Bytes>, enough: impl Fn(&Bytes) -> bool) -> Outcome {
        self.raw_with(method, self.headers(), messages, enough).await
    }

    /// The same with other headers.
    pub async fn raw_with(&self, method: &str, mut headers: MetadataMap, messages: Vec<Bytes>, enough: impl Fn(&Bytes) -> bool) -> Outcome {
        // Else each call had another one, and no two answers were equal.
        headers.entry("x-request-id").expect("a name of a header").or_insert(CALL_ID.parse().expect("it is ASCII"));
        let call = raw::call_as(&self.channel, format!("/{method}"), headers, messages, enough);
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => Outcome::of(answer),
            Err(_) => Outcome { code: "nothing came".into(), message: format!("within {PATIENCE:?}"), parts: Vec::new() },
        }
    }

    /// The same for as long as it takes, or for so long.
    pub async fn raw_for(&self, time: Duration, method: &str, messages: Vec<Bytes>) -> Outcome {
        let call = raw::call_as(&self.channel, format!("/{method}"), self.headers(), messages, |_| false);
        match tokio::time::timeout(time, call).await {
            Ok(answer) => Outcome::of(answer),
            Err(_) => Outcome { code: "no end came".into(), message: format!("within {time:?}"), parts: Vec::new() },
        }
    }

    /// Sends one request and reads the whole answer.
    pub async fn ask(&self, method: &str, request: &impl Message) -> Outcome {
        self.raw(method, vec![request.encode_to_vec().into()], |_| false).await
    }

    /// The same, as the message that the one answer is.
    pub async fn get<A: Message + Default>(&self, method: &str, request: &impl Message) -> A {
        let outcome = self.ask(method, request).await;
        assert_eq!(outcome.code, "Ok", "{method}: {}", outcome.message);
        A::decode(outcome.parts[0].clone()).expect("the answer is of its type")
    }

    /// A GET of the other port.
    pub fn http(&self, path: &str) -> Outcome {
        let token = self.authorization();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
        let answer = self.over_http(&request, |_| false).expect("HTTP is answered");
        let answer = String::from_utf8(answer).expect("the answer is text");
        let code = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let message = if code == "200" { String::new() } else { body.trim().to_owned() };
        Outcome { code, message, parts: vec![body.to_owned().into(), Bytes::new(), Bytes::new(), Bytes::new()] }
    }

    /// The header of HTTP that has the token, with the end of its line; nothing without one.
    pub fn authorization(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"))
    }

    /// A connection to the other port, from an address of loopback that others seldom have: one from which it is often not known who asks is answered
    /// late.
    fn connection(&self) -> io::Result<TcpStream> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let from = SocketAddr::from(([127, 0, 1, NEXT.fetch_add(1, Ordering::Relaxed).max(1)], 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&from.into())?;
        socket.connect(&self.http.into())?;
        Ok(socket.into())
    }

    /// Sends a request to the other port and reads what comes, until it ends or is enough.
    pub fn over_http(&self, request: &str, enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let ask = |stream: &mut dyn ReadWrite| -> io::Result<Vec<u8>> {
            let began = Instant::now();
            stream.write_all(request.as_bytes())?;
            let (mut answer, mut part) = (Vec::new(), [0; 8_192]);
            while !enough(&answer) {
                // An endless answer lives on by itself.
                if began.elapsed() > PATIENCE {
                    return Err(io::Error::new(ErrorKind::TimedOut, format!("not enough came within {PATIENCE:?}")));
                }
                match stream.read(&mut part)? {
                    0 => break,
                    count => answer.extend_from_slice(&part[..count]),
                }
            }
            Ok(answer)
        };
        let mut stream = self.connection()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(tls) = &self.tls else { return ask(&mut stream) };
        let name = "localhost".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        ask(&mut rustls::StreamOwned::new(connection, stream))
    }
}

impl Outcome {
    fn of(answer: raw::RawAnswer) -> Outcome {
        let status = answer.ended.err().unwrap_or_else(|| Status::ok(""));
        let mut parts = answer.messages;
        parts.push(Bytes::copy_from_slice(status.details()));
        let of_status = status.metadata().clone();
        for headers in [answer.headers, of_status] {
            let mut headers = headers.into_headers();
            headers.remove("date");
            parts.push(format!("{headers:?}").into());
        }
        Outcome { code: format!("{:?}", status.code()), message: status.message().to_owned(), parts }
    }

    /// An answer that says of a tag that it was not served, as the refusal that it is.
    pub fn lifted(mut self, failure: impl Fn(&Bytes) -> Option<TagFailure>) -> Outcome {
        if self.code == "Ok"
            && let Some(failure) = self.parts.iter().find_map(failure)
        {
            self.code = format!("{:?}", Code::from(failure.code));
            self.message = failure.message;
        }
        self
    }

    /// One that only says how it ended.
    pub fn nothing(code: &str) -> Outcome {
        Outcome { code: code.into(), message: String::new(), parts: vec![Bytes::new(); BESIDE] }
    }

    /// The messages of the answer.
    pub fn messages(&self) -> &[Bytes] {
        &self.parts[..self.parts.len().saturating_sub(BESIDE)]
    }

    pub fn is_ok(&self) -> bool {
        self.code == "Ok" || self.code == "200"
    }

    /// True where the text is anywhere in it.
    pub fn shows(&self, text: &str) -> bool {
        let within = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
        within(self.message.as_bytes()) || self.parts.iter().any(|part| within(part))
    }

    /// What is around the places where the text is, for people.
    pub fn around(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for part in self.parts.iter().map(|part| &part[..]).chain([self.message.as_bytes()]) {
            let shown = String::from_utf8_lossy(part).to_ascii_lowercase();
            for (at, _) in shown.match_indices(&text.to_ascii_lowercase()).take(3) {
                let around = |from: usize, to: usize| shown.chars().skip(from).take(to - from).collect::<String>();
                let at = shown[..at].chars().count();
                found.push(around(at.saturating_sub(40), at + text.len() + 40).escape_debug().to_string());
            }
        }
        found
    }

    /// The same with another name in the place of one, which must be of the same length: lengths are told in many places.
    #[must_use]
    pub fn renamed(&self, from: &str, to: &str) -> Outcome {
        assert_eq!(from.len(), to.len());
        let rename = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            for at in 0..bytes.len().saturating_sub(from.len() - 1) {
                if bytes[at..].starts_with(from.as_bytes()) {
                    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
                }
            }
            Bytes::from(bytes)
        };
        Outcome {
            code: self.code.clone(),
            message: self.message.replace(from, to),
            parts: self.parts.iter().map(|part| rename(part)).collect(),
        }
    }

    /// Without what is another one each time: of that only how long it is.
    #[must_use]
    pub fn measured(&self) -> Outcome {
        let parts = self.parts.iter().map(|part| Bytes::from(part.len().to_string())).collect();
        Outcome { parts, ..self.clone() }
    }

    /// Where two differ, for people; nothing when they do not.
    pub fn difference(&self, other: &Outcome) -> Option<String> {
        if self == other {
            return None;
        }
        if (&self.code, &self.message) != (&other.code, &other.message) {
            return Some(format!("{} {:?} is not {} {:?}", self.code, self.message, other.code, other.message));
        }
        let pair = self.parts.iter().zip(&other.parts).find(|(one, two)| one != two);
        Some(match pair {
            Some((one, two)) => {
                let at = one.iter().zip(two.iter()).position(|(one, two)| one != two).unwrap_or(one.len().min(two.len()));
                let around = |part: &Bytes| {
                    let part = &part[at.saturating_sub(60)..part.len().min(at + 60)];
                    String::from_utf8_lossy(part).escape_debug().to_string()
                };
                format!("{}: at {at} of {} bytes {}, of {} bytes {}", self.code, one.len(), around(one), two.len(), around(two))
            }
            None => format!("{}: {} parts is not {} parts", self.code, self.parts.len(), other.parts.len()),
        })
    }
}
