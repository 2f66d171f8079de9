//! `historian bugreport`: what somebody needs who helps from afar, in one file: version, machine, configuration, status, metrics, and the end of a log
//! that is given. No samples, no values of tags, no secrets.

mod redact;

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use historian_proto::v1::{
    GetServerStatusRequest, GetStatusRequest, admin_service_client::AdminServiceClient, collector_service_client::CollectorServiceClient,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::redact::Redactor;
use super::{
    client::{ServerArgs, TokenArgs},
    doctor::{self, DoctorArgs},
    output::{self, OutputFile},
};
use historian_model::{Clock, SystemClock};
use historian_server::config::{self, Configuration, Overrides};

/// Bytes of the end of a log that are put in.
const LOG_BYTES_MAX: u64 = 2 << 20;
/// How long the historian may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct BugreportArgs {
    /// File to write [default: historian-bugreport-TIME.tar.gz].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    machine: DoctorArgs,
    /// File of the log, whose end is put in.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
}

pub async fn run(args: BugreportArgs) -> anyhow::Result<ExitCode> {
    let now = SystemClock.now();
    let path = args.output.clone().unwrap_or_else(|| {
        let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
        PathBuf::from(format!("historian-bugreport-{time}.tar.gz"))
    });
    let redactor = Redactor::of(args.machine.config.as_deref());
    let overrides =
        Overrides { data_dir: args.machine.data_dir.clone(), listen: args.machine.listen, http: args.machine.http, ..Overrides::default() };
    let configuration = config::load(args.machine.config.as_deref(), &overrides).unwrap_or_default();

    let mut parts: Vec<(&str, String)> = vec![
        ("version.txt", version()),
        ("doctor.json", doctor::diagnose(&args.machine).await.iter().map(|one| serde_json::json!(one).to_string() + "\n").collect()),
        (
            "configuration.toml",
            args.machine.config.as_deref().map_or_else(|| "# no file\n".to_owned(), |file| redactor.configuration(file)),
        ),
        ("status.txt", told(status(&configuration, &args.token).await)),
        ("metrics.txt", told(metrics(&configuration, &args.token).await)),
    ];
    if let Some(log) = &args.log {
        parts.push(("log.txt", told(tail(log).with_context(|| log.display().to_string()))));
    }

    // For nobody but the owner: it tells how a plant is built.
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path).with_context(|| path.display().to_string())?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in &parts {
        let text = redactor.scrub(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.0 / 1_000_000_000).unwrap_or(0));
        archive.append_data(&mut header, format!("historian-bugreport/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.sync_all()?;
    let mut output = OutputFile::stdout();
    writeln!(
        output,
        "{}: {}",
        output::printable(&path.display().to_string()),
        parts.iter().map(|part| part.0).collect::<Vec<_>>().join(", ")
    )?;
    writeln!(
        output,
        "It has names of tags and addresses of devices, and no samples and no secrets that are known to be some; look at it before you send it."
    )?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// What could be found out, or why not.
fn told(found: anyhow::Result<String>) -> String {
    found.unwrap_or_else(|error| format!("not known: {error:#}\n"))
}

fn version() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("historian {}\n{} {} {}\n", env!("CARGO_PKG_VERSION"), std::env::consts::OS, kernel.trim(), std::env::consts::ARCH)
}

/// What a running historian says of itself and of its devices; of tags not more than their names.
async fn status(configuration: &Configuration, token: &TokenArgs) -> anyhow::Result<String> {
    let server = ServerArgs::at(configuration.server.listen, configuration.tls.as_ref(), token.clone())?;
    let asked = async {
        let channel = server.connect().await?;
        let own = AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await?.into_inner();
        let devices = CollectorServiceClient::new(channel).get_status(GetStatusRequest {}).await?.into_inner();
        anyhow::Ok(format!("{own:#?}\n{devices:#?}\n"))
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.context("no answer in time")?
}

/// The metrics of a running historian, where its HTTP port speaks without TLS.
async fn metrics(configuration: &Configuration, token: &TokenArgs) -> anyhow::Result<String> {
    anyhow::ensure!(configuration.tls.is_none(), "the HTTP port speaks TLS; add the answer of /metrics by hand");
    let bearer = token.bearer()?.header().map(str::to_owned);
    let asked = async {
        let mut stream = TcpStream::connect(configuration.server.http).await?;
        let authorization = bearer.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
        anyhow::Ok(body.to_owned())
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.context("no answer in time")?
}

/// The last lines of a file.
fn tail(log: &Path) -> anyhow::Result<String> {
    let mut file = File::open(log)?;
    let length = fs::metadata(log)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
