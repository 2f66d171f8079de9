//! The built program: commands of it, and `historian serve` as a process of its own, on ephemeral ports of loopback.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Error, Result},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    path::PathBuf,
    process::{ChildStderr, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use historian_proto::v1::{GetServerStatusRequest, GetServerStatusResponse, admin_service_client::AdminServiceClient};
use tempfile::NamedTempFile;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    http,
    process::{Process, Signal, rss_kb, rss_peak_kb, send},
};

/// Much longer than a start should take, and whatever else is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Within this time a historian ends that was asked to.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What the program takes from its environment: a test says what it means, whatever the person who runs it has set.
const VARIABLES: [&str; 17] = [
    "BACKUP_DIR",
    "CONFIG",
    "DATA_DIR",
    "HTTP",
    "LISTEN",
    "LOG",
    "LOG_FORMAT",
    "SERVER",
    "TLS_CA",
    "TLS_CERTIFICATE",
    "TLS_CLIENT_CA",
    "TLS_CLIENT_CERT",
    "TLS_CLIENT_CERTIFICATES",
    "TLS_CLIENT_CRL",
    "TLS_CLIENT_KEY",
    "TLS_KEY",
    "TOKEN",
];

/// A command of the program with none of its variables and nothing on standard input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in VARIABLES {
        command.env_remove(format!("HISTORIAN_{variable}"));
    }
    command.stdin(Stdio::null());
    command
}

/// Addresses on loopback that nobody listens on now.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    [(); COUNT].map(|()| (Ipv4Addr::LOCALHOST, free_port()).into())
}

/// A port of loopback that nobody listens on, for whoever has to know it before it is listened on. It is none of those that the system itself
/// gives to connections and to listeners of port 0, so that nobody else takes it meanwhile, and this process is given it once.
///
/// # Panics
/// All of them are taken.
pub fn free_port() -> u16 {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let ports = unasked_ports();
    // Processes of tests that run beside each other begin at places of their own.
    let begin = std::process::id() as usize * 193;
    let port = || ports.start + ((begin + GIVEN.fetch_add(1, Ordering::Relaxed)) % ports.len()) as u16;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..ports.len()).map(|_| port()).find(free).expect("loopback has free ports")
}

/// Ports that the system gives to nobody who does not ask for them by number; five digits, so that recordings of them are of one length.
fn unasked_ports() -> Range<u16> {
    const FIRST: u16 = 10_000;
    const ENOUGH: u16 = 1_000;
    let given = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end: u16 = given.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    // Where the system keeps none for them, a port may be lost to it.
    if end < FIRST + ENOUGH { FIRST..u16::MAX } else { FIRST..end }
}

/// Where a server writes its log.
#[derive(Clone, Debug)]
pub enum Log {
    /// A file of its own, shown when the test fails.
    Own,
    /// The end of this file: of all servers one after another.
    Append(PathBuf),
    /// A pipe of the test, [`Historian::stderr`].
    Pipe,
}

/// How to start a server, again and again on the same data.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Program and first arguments, `serve` among them.
    pub program: Vec<OsString>,
    /// What stands before the program, such as `strace …`.
    pub prefix: Vec<OsString>,
    pub data_dir: PathBuf,
    /// Further arguments.
    pub arguments: Vec<OsString>,
    pub log: Log,
    /// `HISTORIAN_LOG`.
    pub level: &'static str,
}

/// A running server; killed when dropped.
pub struct Historian {
    process: Process,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub stderr: Option<ChildStderr>,
    /// The file of its log, what others have written there before it, and the file when it is its own.
    log: Option<(PathBuf, u64)>,
    _own: Option<NamedTempFile>,
    traced: bool,
}

/// What became of a start.
pub enum Started {
    Serving(Historian),
    /// The server ended by itself, and what it said.
    Refused {
        status: ExitStatus,
        said: String,
    },
}

impl Launcher {
    /// `serve` of a program on a data directory, telling of warnings in a log of its own.
    pub fn new(program: impl Into<OsString>, data_dir: impl Into<PathBuf>) -> Launcher {
        Launcher {
            program: vec![program.into(), "serve".into()],
            prefix: Vec::new(),
            data_dir: data_dir.into(),
            arguments: Vec::new(),
            log: Log::Own,
            level: "warn",
        }
    }

    /// Starts a server that is expected to serve, and waits until it does.
    ///
    /// # Errors
    /// It ended instead, or did neither within a minute.
    pub fn start(&self) -> Result<Historian> {
        match self.try_start()? {
            Started::Serving(server) => Ok(server),
            Started::Refused { status, said } => Err(Error::other(format!("the historian ended at its start ({status}): {said}"))),
        }
    }

    /// Starts a server and waits until it serves or has ended.
    ///
    /// # Errors
    /// Neither happened within a minute.
    pub fn try_start(&self) -> Result<Started> {
        for _ in 0..5 {
            let mut server = self.spawn()?;
            let Some(status) = server.wait_ready()? else { return Ok(Started::Serving(server)) };
            let said = server.log();
            // Another process took the port between our look and the server's.
            if !said.contains("cannot listen on") {
                return Ok(Started::Refused { status, said });
            }
        }
        Err(Error::other("no free port was found in five attempts"))
    }

    /// Starts the process and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> Result<Historian> {
        let [grpc, http] = free_addresses();
        let mut words = self.prefix.iter().chain(&self.program);
        let mut command = command(words.next().ok_or_else(|| Error::other("no program"))?);
        command.args(words).args(&self.arguments).arg("--data-dir").arg(&self.data_dir);
        command.arg("--listen").arg(grpc.to_string()).arg("--http").arg(http.to_string());
        command.env("HISTORIAN_LOG", self.level).stdout(Stdio::null());
        let own = matches!(self.log, Log::Own).then(NamedTempFile::new).transpose()?;
        let path = match &self.log {
            Log::Own => own.as_ref().map(|own| own.path().to_owned()),
            Log::Append(path) => Some(path.clone()),
            Log::Pipe => None,
        };
        let log = if let Some(path) = path {
            let file = File::options().create(true).append(true).open(&path)?;
            let before = file.metadata()?.len();
            command.stderr(file);
            Some((path, before))
        } else {
            command.stderr(Stdio::piped());
            None
        };
        let mut process = Process::start(&mut command)?;
        let stderr = process.child().stderr.take();
        Ok(Historian { process, grpc, http, stderr, log, _own: own, traced: !self.prefix.is_empty() })
    }
}

impl Historian {
    /// Waits until requests are answered; the exit status when the server ended instead.
    ///
    /// # Errors
    /// Neither happened within a minute; it is killed then.
    pub fn wait_ready(&mut self) -> Result<Option<ExitStatus>> {
        let http = self.http;
        // It is listened on before the store is open, and says 503 until then.
        let ready = || http::get(http, "/readyz").is_ok_and(|(code, _)| code == 200).then_some(());
        match self.process.until(PATIENCE, ready) {
            Ok(Some(())) => Ok(None),
            Ok(None) => Ok(self.process.ended()),
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    /// Waits for anything else that a server does while it runs.
    ///
    /// # Panics
    /// When it ends, or does not do it within a minute.
    pub fn wait(&mut self, what: &str, done: impl Fn(&Historian) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let ended = self.process.ended();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "not {what}; ended {ended:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has logged so far, where that goes to a file.
    pub fn log(&self) -> String {
        let Some((path, before)) = &self.log else { return String::new() };
        let all = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(all.get(*before as usize..).unwrap_or_default()).trim().to_owned()
    }

    /// Code and body of a GET of the HTTP port.
    ///
    /// # Errors
    /// Nobody listens, or the answer is no HTTP.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        http::get(self.http, path)
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// The server does not listen.
    pub async fn channel(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).map_err(Error::other)?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        endpoint.initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20).connect().await.map_err(Error::other)
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> std::result::Result<GetServerStatusResponse, Status> {
        let channel = self.channel().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(AdminServiceClient::new(channel).get_server_status(GetServerStatusRequest {}).await?.into_inner())
    }

    /// As the command line names it.
    pub fn url(&self) -> String {
        format!("grpc://{}", self.grpc)
    }

    /// When the process was started.
    pub fn begun(&self) -> Instant {
        self.process.begun
    }

    /// The server's own process id, behind a tracer.
    pub fn pid(&self) -> u32 {
        let child = self.process.pid();
        if !self.traced {
            return child;
        }
        let children = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(child)
    }

    /// Highest memory the process has had, in KiB.
    pub fn rss_peak_kb(&self) -> u64 {
        rss_peak_kb(self.pid())
    }

    /// Memory the process has now, in KiB.
    pub fn rss_kb(&self) -> u64 {
        rss_kb(self.pid())
    }

    /// Sends a signal to the server.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match self.process.ended() {
            Some(status) => Err(Error::other(format!("the historian has ended: {status}"))),
            None => send(self.pid(), signal),
        }
    }

    /// Waits for the end of a server that was asked to, or has a reason to.
    ///
    /// # Errors
    /// It does not end within 30 s.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.process.end(STOP_MAX)
    }

    /// SIGTERM, and waits for the clean end.
    ///
    /// # Errors
    /// It did not end within 30 s, or not with success.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.end()?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::other(format!("the historian ended with {status} when asked to stop: {}", self.log())))
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let pid = self.pid();
        if pid != self.process.pid() && send(pid, Signal::KILL).is_ok() {
            // The tracer ends by itself, after it has written its trace.
            let _ = self.process.end(Duration::from_secs(5));
        }
        self.process.kill();
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the log of the historian on {}:\n{}", self.grpc, self.log());
        }
    }
}
