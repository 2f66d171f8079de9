//! S6: every certificate of a client that is not in order, over each version of TLS, at both ports of a historian that asks for one; every
//! certificate of a server that is not in order, shown to a client of ours; and versions and ciphers of the past. Each is a cell with an expected
//! outcome, and after each refusal a good client is served.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use historian_test_support::program::{self, Historian};
use tokio::process::Command;

use super::{Mutant, Test};
use crate::{
    certificate::{
        client::{ClientCase, Clients},
        server::{ServerCase, Servers},
        speak::{Caller, Port, Server, TLS_10, TLS_11, TLS_12, TLS_13, Taken, Version, call, goes_on_with_ssl3},
    },
    context::Context,
    honest::ms,
    report::Report,
};

const NO_LISTS: &str = "no-lists";
const OPTIONAL: &str = "optional";
const TRUSTS_STRANGERS: &str = "trusts-strangers";
const TRUSTS_STRANGE_SERVERS: &str = "trusts-strange-servers";

pub const TEST: Test = Test {
    id: "S6",
    about: "certificates in every way not in order, at both ends, over each version of TLS: refused, and others are served",
    unit: "rounds of all cells",
    cycles: [1, 4, 40],
    mutants: &[
        Mutant { kind: NO_LISTS, about: "is configured without lists of revoked certificates", cycles: 1 },
        Mutant { kind: OPTIONAL, about: "is configured to take clients without a certificate", cycles: 1 },
        Mutant { kind: TRUSTS_STRANGERS, about: "is configured to trust one authority more than there should be", cycles: 1 },
        Mutant {
            kind: TRUSTS_STRANGE_SERVERS,
            about: "is a client that trusts one authority of servers more than there should be",
            cycles: 1,
        },
    ],
    run,
};

/// Ciphers of TLS 1.2 without forward secrecy, without authenticated encryption, or of the last century.
const OLD_CIPHERS: [&str; 5] = [
    "AES128-GCM-SHA256:@SECLEVEL=0",
    "AES256-SHA:@SECLEVEL=0",
    "ECDHE-RSA-AES128-SHA:@SECLEVEL=0",
    "ECDHE-RSA-AES256-SHA384:@SECLEVEL=0",
    "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0",
];
/// And those that are left.
const CIPHERS: [&str; 3] = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"];
/// Cells at the same time, from the second round on.
const AT_ONCE: usize = 8;
const STARTED_WITHIN: Duration = Duration::from_mins(1);
/// Longer than our client takes to see what it is shown.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    handshakes(context).boxed()
}

/// Everything that cells need.
struct Site {
    clients: Clients,
    servers: Servers,
    grpc: SocketAddr,
    http: SocketAddr,
    program: PathBuf,
    /// What our client trusts.
    trusted: PathBuf,
}

/// One handshake and what is to become of it.
#[derive(Clone)]
enum Cell {
    /// Somebody with this certificate calls a port.
    Client(ClientCase, Port, Version),
    /// A good client calls with a version or cipher of its own.
    Speech(Port, Version, &'static str, bool),
    /// A client of SSL 3 calls.
    Ssl3(Port),
    /// Our client calls somebody with this certificate.
    Server(ServerCase, Version),
}

async fn handshakes(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let directory = context.work.join("tls");
    std::fs::create_dir_all(&directory)?;
    let (clients, servers) = (Clients::make(&directory)?, Servers::make(&directory)?);
    let server = start(context, &clients, &servers).await?;
    let strange = context.mutant == Some(TRUSTS_STRANGE_SERVERS);
    let trusted = if strange { &servers.too_many } else { &servers.trusted }.clone();
    let site = Site { clients, servers, grpc: server.grpc, http: server.http, program: context.program.clone(), trusted };
    let mut cells = cells(&site);
    report.opt("cells", cells.len());
    report.opt("certificates", site.clients.cases.len() - 1 + site.servers.cases.len());

    let mut slowest = Duration::ZERO;
    let mut dice = context.dice(6);
    for round in 0..context.cycles {
        // The first in order and one by one, so that what fails is seen as it stands here.
        let at_once = if round == 0 { 1 } else { AT_ONCE };
        let mut asked = futures::stream::iter(cells.clone()).map(|cell| judged(&site, cell)).buffer_unordered(at_once);
        while let Some(judged) = asked.next().await {
            let (is_taken, took, failure) = judged;
            report.count(if is_taken { "taken" } else { "refused" }, 1);
            slowest = slowest.max(took);
            if let Some(failure) = failure {
                report.fail(failure);
                if context.mutant.is_some() {
                    return Ok(report);
                }
            }
        }
        report.cycles = round + 1;
        context.progress("S6", round + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
        for last in (1..cells.len()).rev() {
            cells.swap(last, dice.below(last as u64 + 1) as usize);
        }
    }
    report.figure("slowest_ms", ms(slowest));
    by_the_command(&site, &mut report).await?;
    report.rss(server.rss_peak_kb());
    server.stop()?;
    Ok(report)
}

/// A historian that asks for certificates, and has lists of those that do not count any more.
async fn start(context: &Context, clients: &Clients, servers: &Servers) -> anyhow::Result<Historian> {
    let asked = if context.mutant == Some(OPTIONAL) { "optional" } else { "required" };
    let authorities = if context.mutant == Some(TRUSTS_STRANGERS) { &clients.too_many } else { &clients.trusted };
    let mut configuration = servers.own.section();
    writeln!(configuration, "client_certificates = \"{asked}\"\nclient_ca = \"{}\"", authorities.display())?;
    if context.mutant != Some(NO_LISTS) {
        writeln!(configuration, "client_crls = {:?}", clients.lists)?;
    }
    // All of it is configured; its mutants are the server with something else.
    let mut launcher = context.real_launcher(&context.work.join("data"), &configuration)?;
    launcher.level = "info";
    let server = launcher.spawn()?;
    let begun = Instant::now();
    while !server.log().contains(" serving ") {
        ensure!(begun.elapsed() < STARTED_WITHIN, "the historian does not serve: {}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(server)
}

fn cells(site: &Site) -> Vec<Cell> {
    let mut cells = Vec::new();
    for port in Port::ALL {
        for version in [TLS_12, TLS_13] {
            cells.extend(site.clients.cases.iter().map(|case| Cell::Client(case.clone(), port, version)));
        }
        for version in [TLS_10, TLS_11] {
            cells.push(Cell::Speech(port, version, "DEFAULT:@SECLEVEL=0", false));
        }
        cells.extend(OLD_CIPHERS.map(|ciphers| Cell::Speech(port, TLS_12, ciphers, false)));
        cells.extend(CIPHERS.map(|ciphers| Cell::Speech(port, TLS_12, ciphers, true)));
        cells.push(Cell::Ssl3(port));
    }
    for version in [TLS_12, TLS_13] {
        cells.extend(site.servers.cases.iter().map(|case| Cell::Server(case.clone(), version)));
    }
    // A server of the past with nothing wrong but that.
    let own = site.servers.cases.first().cloned();
    cells.extend(
        own.into_iter()
            .flat_map(|own| [TLS_10, TLS_11].map(|version| Cell::Server(ServerCase { told: Some("server"), ..own.clone() }, version))),
    );
    cells
}

impl Site {
    fn address(&self, port: Port) -> SocketAddr {
        match port {
            Port::Grpc => self.grpc,
            Port::Http => self.http,
        }
    }
}

/// Whether a cell was let in, how long that took, and what is wrong with it.
async fn judged(site: &Site, cell: Cell) -> (bool, Duration, Option<String>) {
    let begun = Instant::now();
    let (name, wanted, found) = match &cell {
        Cell::Client(case, port, version) => {
            let name = format!("a client {:?} over {} at the port of {}", case.name, version.name, port.name());
            let caller = Caller::new(case.pair.as_ref(), *version);
            (name, case.alert.is_none(), called(site, *port, caller, case.alert).await)
        }
        Cell::Speech(port, version, ciphers, wanted) => {
            let name = format!("a client of {} with {ciphers} at the port of {}", version.name, port.name());
            let found = match site.clients.good() {
                Ok(good) => called(site, *port, Caller { ciphers, ..Caller::new(good.pair.as_ref(), *version) }, None).await,
                Err(error) => Err(error),
            };
            (name, *wanted, found)
        }
        Cell::Ssl3(port) => {
            (format!("a client of SSL 3 at the port of {}", port.name()), false, goes_on_with_ssl3(site.address(*port)).await)
        }
        Cell::Server(case, version) => {
            let name = format!("a server {:?} called {} over {}", case.name, case.host, version.name);
            (name, case.told.is_none(), shown(site, case, *version).await)
        }
    };
    let took = begun.elapsed();
    let is_taken = matches!(found, Ok(true));
    let failure = match found {
        Err(error) => Some(format!("{name}: {error:#}")),
        Ok(is_taken) if is_taken != wanted => Some(format!("{name} was {}", if is_taken { "let in" } else { "refused" })),
        Ok(true) => None,
        // Whoever was refused leaves the server as it was.
        Ok(false) => served(site, &cell).await.err().map(|error| format!("{name}: after it {error:#}")),
    };
    (is_taken, took, failure)
}

/// Calls a port; where a refusal is expected, it is to be the right one.
async fn called(site: &Site, port: Port, caller: Caller<'_>, alert: Option<&str>) -> anyhow::Result<bool> {
    match call(site.address(port), port, caller, &site.servers.trusted).await? {
        Taken::Yes => Ok(true),
        // With TLS 1.3 the alert may be overtaken by the end of the connection.
        Taken::No(said) if caller.version == TLS_12 => {
            let expected = alert.unwrap_or("alert");
            ensure!(said.contains(expected), "it was refused otherwise than with {expected:?}: {said}");
            Ok(false)
        }
        Taken::No(_) => Ok(false),
    }
}

/// Whether a good client is served at the port that another was refused at.
async fn served(site: &Site, cell: &Cell) -> anyhow::Result<()> {
    let (port, version) = match cell {
        Cell::Client(_, port, version) => (*port, *version),
        Cell::Speech(port, ..) | Cell::Ssl3(port) => (*port, TLS_13),
        // Another server was called.
        Cell::Server(..) => return Ok(()),
    };
    let good = site.clients.good()?;
    let taken = call(site.address(port), port, Caller::new(good.pair.as_ref(), version), &site.servers.trusted).await?;
    ensure!(matches!(taken, Taken::Yes), "a good client is not served: {taken:?}");
    Ok(())
}

/// Shows our client a certificate; whether it made a handshake, and where it did not, it is to say why.
async fn shown(site: &Site, case: &ServerCase, version: Version) -> anyhow::Result<bool> {
    let mut server = Server::start(&case.pair, version).await?;
    let mut client = status(&site.program, &format!("{}:{}", case.host, server.port), &site.trusted);
    let asked = async {
        tokio::select! {
            output = client.output() => output.map(Some),
            () = server.is_taken() => Ok(None),
        }
    };
    let ended = tokio::time::timeout(PATIENCE, asked).await.context("our client neither made a handshake nor gave up")??;
    let Some(output) = ended else { return Ok(true) };
    let said = String::from_utf8_lossy(&output.stderr);
    let told = case.told.unwrap_or_default();
    ensure!(output.status.code() == Some(1), "our client ended with {}: {said}", output.status);
    ensure!(said.contains(told), "our client says nothing of {told:?}: {said}");
    ensure!(said.lines().count() == 1, "our client says more than a line: {said}");
    Ok(false)
}

/// `historian status` of somebody whom an authority vouches for.
fn status(program: &Path, authority: &str, trusted: &Path) -> Command {
    let mut command = program::command(program);
    command.args(["status", "--server", &format!("grpc+tls://{authority}"), "--tls-ca"]).arg(trusted);
    // Nobody else than this authority, whatever the machine trusts.
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command
}

/// Our client and our server, with and without what they need.
async fn by_the_command(site: &Site, report: &mut Report) -> anyhow::Result<()> {
    let authority = format!("localhost:{}", site.grpc.port());
    for case in &site.clients.cases {
        let mut command = status(&site.program, &authority, &site.servers.trusted);
        if let Some(pair) = &case.pair {
            let mut whole = std::fs::read_to_string(&pair.certificate)?;
            if let Some(chain) = &pair.chain {
                whole += &std::fs::read_to_string(chain)?;
            }
            let shown = pair.certificate.with_extension("shown");
            std::fs::write(&shown, whole)?;
            command.arg("--tls-cert").arg(shown).arg("--tls-key").arg(&pair.key);
        }
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("`historian status` does not end")??;
        report.count("by_the_command", 1);
        if output.status.success() != case.alert.is_none() {
            let said = String::from_utf8_lossy(&output.stderr);
            report.fail(format!("`historian status` with a certificate {:?} ended with {}: {said}", case.name, output.status));
        }
    }
    Ok(())
}
