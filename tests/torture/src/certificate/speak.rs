//! Handshakes with `openssl` at one end: as a client that shows a server any certificate, and as a server that shows one to any client. Each
//! speaks one version of TLS, and takes what nobody should take any more (security level 0), so that the other end is the one that judges.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::authority::Pair;
use crate::wire::{SETTINGS, greeting};

/// Longer than any handshake takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What takes the weakest that `openssl` has.
const ANYTHING: &str = "DEFAULT:@SECLEVEL=0";
/// First byte of a record of TLS (RFC 8446, 5.1).
const ALERT: u8 = 21;

/// A version of TLS, as `openssl` has it as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub name: &'static str,
    flag: &'static str,
}

pub const TLS_10: Version = Version { name: "TLS 1.0", flag: "-tls1" };
pub const TLS_11: Version = Version { name: "TLS 1.1", flag: "-tls1_1" };
pub const TLS_12: Version = Version { name: "TLS 1.2", flag: "-tls1_2" };
pub const TLS_13: Version = Version { name: "TLS 1.3", flag: "-tls1_3" };

/// A port of a historian, and what it speaks within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Grpc,
    Http,
}

impl Port {
    pub const ALL: [Port; 2] = [Port::Grpc, Port::Http];

    pub fn name(self) -> &'static str {
        match self {
            Port::Grpc => "gRPC",
            Port::Http => "HTTP",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Port::Grpc => "h2",
            Port::Http => "http/1.1",
        }
    }

    /// What a client says first.
    fn said(self) -> Vec<u8> {
        match self {
            Port::Grpc => greeting(&[]),
            Port::Http => b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec(),
        }
    }

    /// Whether a server has begun to answer.
    fn is_answer(self, bytes: &[u8]) -> bool {
        match self {
            Port::Grpc => bytes.get(3) == Some(&SETTINGS),
            Port::Http => bytes.starts_with(b"HTTP/1.1 200"),
        }
    }
}

/// What a client is: who it shows itself to be, and how it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub pair: Option<&'a Pair>,
    pub version: Version,
    /// Of TLS 1.2 and older, as `openssl` names them.
    pub ciphers: &'a str,
}

impl<'a> Caller<'a> {
    pub fn new(pair: Option<&'a Pair>, version: Version) -> Caller<'a> {
        Caller { pair, version, ciphers: ANYTHING }
    }
}

/// How a server took a client.
#[derive(Debug)]
pub enum Taken {
    /// It was answered.
    Yes,
    /// The connection was ended without an answer; what `openssl` said of it.
    No(String),
}

/// Calls a port of a server that this authority vouches for.
///
/// # Errors
/// `openssl` cannot be run, or nothing has happened after 20 s.
pub async fn call(address: SocketAddr, port: Port, caller: Caller<'_>, trusted: &Path) -> anyhow::Result<Taken> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-connect", &address.to_string()]);
    command.args(["-alpn", port.protocol(), "-cipher", caller.ciphers, caller.version.flag]).arg("-CAfile").arg(trusted);
    command.args(shown(caller.pair));
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    // It is ended by dropping it; what it says on standard error is little.
    let (Some(mut input), Some(mut output), Some(mut errors)) = (client.stdin.take(), client.stdout.take(), client.stderr.take()) else {
        bail!("openssl has no pipes");
    };
    let exchanged = async {
        // Where the server is gone already, what it left is still read.
        let _ = input.write_all(&port.said()).await;
        let mut answer = Vec::new();
        while output.read_buf(&mut answer).await? > 0 {
            if port.is_answer(&answer) {
                return Ok(Taken::Yes);
            }
        }
        let mut said = String::new();
        errors.read_to_string(&mut said).await?;
        anyhow::Ok(Taken::No(said))
    };
    tokio::time::timeout(PATIENCE, exchanged).await.context("neither an answer nor an end")?
}

/// What `openssl` is given to show.
fn shown(pair: Option<&Pair>) -> Vec<OsString> {
    let Some(Pair { certificate, key, chain }) = pair else { return Vec::new() };
    let mut words: Vec<OsString> = vec!["-cert".into(), certificate.into(), "-key".into(), key.into()];
    if let Some(chain) = chain {
        words.extend(["-cert_chain".into(), chain.into()]);
    }
    words
}

/// Says hello as a client of SSL 3 (RFC 6101), which `openssl` cannot any more; whether the server would go on.
///
/// # Errors
/// Nobody takes the connection, or nothing has happened after 20 s.
pub async fn goes_on_with_ssl3(address: SocketAddr) -> anyhow::Result<bool> {
    // Version, random bytes, no session, two ciphers that servers of that time had, no compression.
    let body = [&[3, 0][..], &[7; 32], &[0, 0, 4, 0, 0x2F, 0, 0x0A, 1, 0]].concat();
    let hello = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    let record = [&[22, 3, 0, 0, hello.len() as u8][..], &hello].concat();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&record).await?;
    let mut first = [0; 1];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut first)).await.context("neither an answer nor an end")?;
    Ok(read.is_ok_and(|count| count == 1 && first[0] != ALERT))
}

/// A server of `openssl` on loopback; ends when dropped.
pub struct Server {
    pub port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    /// It ends with its standard input.
    _input: ChildStdin,
    _child: Child,
}

impl Server {
    /// Listens on a free port.
    ///
    /// # Errors
    /// `openssl` cannot be run, or does not take the pair.
    pub async fn start(pair: &Pair, version: Version) -> anyhow::Result<Server> {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string(), "-alpn", "h2"]);
        command.args(["-cipher", ANYTHING, version.flag]).args(shown(Some(pair)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { bail!("openssl has no pipes") };
        let mut lines = BufReader::new(output).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(port) = line.strip_prefix("ACCEPT ").and_then(|address| address.rsplit(':').next()) {
                    return Ok(port.parse()?);
                }
            }
            bail!("openssl does not serve with {}", pair.certificate.display())
        };
        let port = tokio::time::timeout(PATIENCE, listening).await.context("openssl does not listen")??;
        Ok(Server { port, lines, _input: input, _child: child })
    }

    /// Waits until a client has made a handshake to its end; for ever where none does.
    pub async fn is_taken(&mut self) {
        while let Ok(Some(line)) = self.lines.next_line().await {
            if line.starts_with("CIPHER is ") {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}
