//! The server under test: `historian serve` as a child process, or this program as a mutant of it.

use std::{
    ffi::OsString,
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use historian_proto::v1::{GetServerStatusRequest, GetServerStatusResponse, admin_service_client::AdminServiceClient};
use tonic::transport::{Channel, Endpoint};

use crate::fault::syscall;

/// How to start a server, again and again on the same data.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Program and first arguments.
    pub program: Vec<OsString>,
    /// What stands before the program, such as `strace …`.
    pub prefix: Vec<OsString>,
    pub data_dir: PathBuf,
    pub config: PathBuf,
    /// Standard error of all servers, one after another.
    pub log: PathBuf,
}

/// A running server; killed when dropped.
pub struct Historian {
    child: Child,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// When the process was started.
    pub begun: Instant,
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

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Two free addresses, held at once so that they differ.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let listeners = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((listeners.0.local_addr()?, listeners.1.local_addr()?))
}

impl Launcher {
    /// Starts a server that is expected to serve.
    ///
    /// # Errors
    /// It ended instead, or did not answer within a minute.
    pub async fn start(&self) -> anyhow::Result<Historian> {
        match self.try_start().await? {
            Started::Serving(historian) => Ok(historian),
            Started::Refused { status, said } => bail!("the historian ended at its start ({status}): {said}"),
        }
    }

    /// Starts a server and waits until it serves or has ended.
    ///
    /// # Errors
    /// Neither happened within a minute.
    pub async fn try_start(&self) -> anyhow::Result<Started> {
        for _ in 0..5 {
            let mut historian = self.spawn()?;
            let said_from = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
            match historian.ready().await? {
                None => return Ok(Started::Serving(historian)),
                Some(status) => {
                    let said = self.said_since(said_from);
                    // Another process took the port between our look and the server's.
                    if !said.contains("cannot listen on") {
                        return Ok(Started::Refused { status, said });
                    }
                }
            }
        }
        bail!("no free port was found in five attempts")
    }

    fn said_since(&self, from: u64) -> String {
        let all = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(all.get(from as usize..).unwrap_or_default()).trim().to_owned()
    }

    /// Starts the process and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> anyhow::Result<Historian> {
        let (grpc, http) = free_addresses()?;
        let log = File::options().create(true).append(true).open(&self.log).with_context(|| self.log.display().to_string())?;
        let mut words = self.prefix.iter().chain(&self.program);
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).arg("--config").arg(&self.config).arg("--data-dir").arg(&self.data_dir);
        command.arg("--listen").arg(grpc.to_string()).arg("--http").arg(http.to_string());
        command.env("HISTORIAN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Historian { child, grpc, http, begun, traced: !self.prefix.is_empty() })
    }
}

impl Historian {
    /// Waits until the server answers; its exit status when it ended instead.
    async fn ready(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        while self.begun.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            // The listener takes connections before the store is open, so a long wait for the first answer is normal.
            let asked = tokio::time::timeout(Duration::from_millis(500), self.status()).await;
            if let Ok(Ok(_)) = asked {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        self.kill();
        bail!("the historian neither served nor ended within {START_TIMEOUT:?}")
    }

    pub fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Ok(Endpoint::from_shared(format!("http://{}", self.grpc))?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20))
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// The server does not listen.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        Ok(self.endpoint()?.connect().await?)
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> anyhow::Result<GetServerStatusResponse> {
        let mut client = AdminServiceClient::new(self.channel().await?);
        Ok(client.get_server_status(GetServerStatusRequest {}).await?.into_inner())
    }

    /// The server's own process id, behind a tracer.
    pub fn pid(&self) -> u32 {
        let child = self.child.id();
        if !self.traced {
            return child;
        }
        let children = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(child)
    }

    /// Highest memory the process has had, in KiB.
    pub fn rss_peak_kb(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Memory the process has now, in KiB.
    pub fn rss_kb(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if self.traced {
            let pid = self.pid();
            if pid != self.child.id() {
                signal(pid, "KILL");
                // The tracer ends by itself, after it has written its trace.
                syscall::wait(&mut self.child, Duration::from_secs(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// It did not end within 30 s, or not with success.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        signal(self.pid(), "TERM");
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the historian ended with {status} when asked to stop");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the historian did not end within 30 s of SIGTERM")
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The real server beside this program, unless told otherwise.
///
/// # Errors
/// There is none.
pub fn real_program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("historian"),
    };
    if !path.is_file() {
        bail!("there is no historian at {}: build it (cargo build --release --bin historian) or name it with --historian", path.display());
    }
    Ok(path)
}
