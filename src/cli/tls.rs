//! `historian tls`: a small authority for a site that has none, certificates for a server and its clients, and what is configured.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Misuse, RefusedConfiguration,
    output::{self, OutputFile, TextFormat},
    serve::ServerTlsArgs,
};
use historian_model::{Clock, SystemClock, Timestamp};
use historian_server::config::{self, Overrides};
use historian_tls::{
    Authority, CertificateFacts, ServerPair, TlsFiles,
    authority::{AuthorityError, describe},
};

/// Names of the machine itself, by which a client on it calls the server.
pub(crate) const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Makes a small authority and the certificate of a server, and prints what server and clients need.
    Init(InitArgs),
    /// Makes the certificate of a client, for a historian that asks for one.
    Client(ClientArgs),
    /// Shows the certificates that are configured.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Names and addresses by which clients call the server; those of the machine itself are added.
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    host: Vec<String>,
    /// Directory for certificates and keys.
    #[arg(long, value_name = "DIR", default_value = "historian-tls")]
    dir: PathBuf,
    /// How long the server's certificate is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 825, value_parser = clap::value_parser!(u32).range(1..=7300))]
    days: u32,
    /// Makes a new certificate of the authority that is there: clients need nothing new, and a running server takes it by itself.
    #[arg(long, conflicts_with = "force")]
    renew: bool,
    /// Overwrites authority and certificate: every client needs the new authority.
    #[arg(long)]
    force: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Debug, Args)]
pub struct ClientArgs {
    /// Whom the certificate is for.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Directory of the authority.
    #[arg(long, value_name = "DIR", default_value = "historian-tls")]
    dir: PathBuf,
    /// How long the certificate is valid.
    #[arg(long, value_name = "DAYS", default_value_t = 825, value_parser = clap::value_parser!(u32).range(1..=7300))]
    days: u32,
    /// Overwrites a certificate of this name.
    #[arg(long)]
    force: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tls: ServerTlsArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

/// Runs a command on files of this machine.
///
/// # Errors
/// A name cannot be one, a file is there already or is none, the disk refuses.
pub fn run(command: TlsCommand) -> anyhow::Result<ExitCode> {
    let now = SystemClock.now();
    match command {
        TlsCommand::Init(args) => init(args, now),
        TlsCommand::Client(args) => client(&args, now),
        TlsCommand::Show(args) => show(&args, now),
    }
}

fn init(args: InitArgs, now: Timestamp) -> anyhow::Result<ExitCode> {
    let first = args.host.first().cloned().unwrap_or_default();
    let mut hosts = args.host;
    for own in OWN_NAMES {
        if !hosts.iter().any(|host| host == own) {
            hosts.push(own.to_owned());
        }
    }
    let authority = if args.renew {
        Authority::open(&args.dir).map_err(misuse)?
    } else {
        // The time makes two authorities of one host differ in name, too, so that clients never take one for the other.
        let name = format!("historian authority {} {first}", now.to_string().split('.').next().unwrap_or_default().trim_end_matches('Z'));
        Authority::make(&args.dir, &name.chars().take(64).collect::<String>(), now, args.force).map_err(|error| match error {
            AuthorityError::Exists(path) => {
                let kept = format!(
                    "{} is there already; --renew makes a new certificate of that authority, --force a new authority",
                    path.display()
                );
                Misuse(kept).into()
            }
            other => misuse(other),
        })?
    };
    let issued = authority.server(&hosts, args.days, now, args.renew || args.force).map_err(misuse)?;
    let ca = absolute(&Authority::certificate_file(&args.dir));

    let own = authority.facts()?;
    if args.format == TextFormat::Json {
        let object = json!({"authority": as_json(&ca, &own), "certificate": as_json(&absolute(&issued.certificate), &issued.facts), "key": absolute(&issued.key)});
        output::tell(args.format, "", &object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = OutputFile::stdout();
    writeln!(
        output,
        "Authority   {} (key {}; keep a copy of it, and not on this machine)",
        ca.display(),
        absolute(&args.dir.join("ca.key")).display()
    )?;
    writeln!(output, "            fingerprint (SHA-256) {}", own.fingerprint)?;
    writeln!(output, "Certificate {} for {}", absolute(&issued.certificate).display(), issued.facts.names.join(" "))?;
    writeln!(output, "            valid until {}", issued.facts.not_after)?;
    writeln!(output, "            fingerprint (SHA-256) {}", issued.facts.fingerprint)?;
    if args.renew {
        writeln!(output, "\nA running historian takes it within seconds. Clients need nothing new.")?;
        output.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    let toml = |path: &Path| toml::Value::from(absolute(path).display().to_string()).to_string();
    writeln!(output, "\nThe historian's configuration:\n")?;
    writeln!(output, "    [tls]\n    certificate = {}\n    key = {}", toml(&issued.certificate), toml(&issued.key))?;
    writeln!(
        output,
        "    # client_ca = {}\n    # client_certificates = \"required\"   # or \"optional\"; see `historian tls client`",
        toml(&ca)
    )?;
    writeln!(output, "\nClients need {}, and nothing else of that directory:\n\n{}", ca.display(), recipes(&first, &ca))?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// The one line of each client.
fn recipes(host: &str, ca: &Path) -> String {
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let ca = ca.display();
    [
        ("historian", format!("historian status --server grpc+tls://{host}:8815 --tls-ca {ca}")),
        ("pyarrow", format!("flight.connect(\"grpc+tls://{host}:8815\", tls_root_certs=open(\"{ca}\", \"rb\").read())")),
        (
            "ADBC",
            format!("dbapi.connect(\"grpc+tls://{host}:8815\", db_kwargs={{\"adbc.flight.sql.client_option.tls_root_certs\": open(\"{ca}\").read()}})"),
        ),
        ("grpcio", format!("grpc.secure_channel(\"{host}:8815\", grpc.ssl_channel_credentials(open(\"{ca}\", \"rb\").read()))")),
        ("JDBC", format!("jdbc:arrow-flight-sql://{host}:8815/?useEncryption=true&tlsRootCerts={ca}")),
        ("curl", format!("curl --cacert {ca} https://{host}:8080/metrics")),
    ]
    .map(|(client, line)| format!("    {client:<10} {line}"))
    .join("\n")
}

fn client(args: &ClientArgs, now: Timestamp) -> anyhow::Result<ExitCode> {
    let authority = Authority::open(&args.dir).map_err(misuse)?;
    let issued = authority.client(&args.name, args.days, now, args.force).map_err(|error| match error {
        AuthorityError::Exists(path) => Misuse(format!("{} is there already; --force overwrites it", path.display())).into(),
        other => misuse(other),
    })?;
    let [certificate, key] = [&issued.certificate, &issued.key].map(|path| absolute(path));
    if args.format == TextFormat::Json {
        output::tell(args.format, "", &json!({"certificate": as_json(&certificate, &issued.facts), "key": key}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = OutputFile::stdout();
    writeln!(output, "Certificate {} for {}, key {}", certificate.display(), args.name, key.display())?;
    writeln!(output, "            valid until {}", issued.facts.not_after)?;
    writeln!(output, "            fingerprint (SHA-256) {}\n", issued.facts.fingerprint)?;
    writeln!(output, "    historian  --tls-cert {} --tls-key {}", certificate.display(), key.display())?;
    writeln!(
        output,
        "    pyarrow    cert_chain=open(\"{}\", \"rb\").read(), private_key=open(\"{}\", \"rb\").read()",
        certificate.display(),
        key.display()
    )?;
    writeln!(output, "    curl       --cert {} --key {}", certificate.display(), key.display())?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs, now: Timestamp) -> anyhow::Result<ExitCode> {
    let overrides = Overrides { tls: args.tls.settings(), ..Overrides::default() };
    let configuration = config::load(args.config.as_deref(), &overrides).map_err(RefusedConfiguration)?;
    let Some(files) = configuration.tls else {
        return Err(Misuse("no TLS is configured; `historian tls init` makes what it needs".to_owned()).into());
    };
    let pair =
        ServerPair::read(&files).map_err(|problems| Misuse(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    if args.format == TextFormat::Json {
        let described = |path: &Path| -> anyhow::Result<Vec<serde_json::Value>> {
            let found = describe(path).context("the certificate")?;
            Ok(found.iter().map(|facts| as_json(path, facts)).collect())
        };
        let object = json!({
            "certificates": described(&files.certificate)?, "key": files.key, "client_certificates": files.client_certificates.name(),
            "client_authorities": files.client_ca.as_deref().map(described).transpose()?, "client_crls": files.client_crls,
            "warnings": pair.warnings(now),
        });
        output::tell(args.format, "", &object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = OutputFile::stdout();
    certificates(&mut output, "Certificate", &files.certificate)?;
    writeln!(output, "Key {}: belongs to it", files.key.display())?;
    clients(&mut output, &files)?;
    for warning in pair.warnings(now) {
        writeln!(output, "WARNING: {}", output::printable(&warning))?;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// A certificate and its file.
fn as_json(path: &Path, facts: &CertificateFacts) -> serde_json::Value {
    json!({
        "file": path, "subject": facts.subject, "issuer": facts.issuer, "names": facts.names, "not_before": facts.not_before.to_string(),
        "not_after": facts.not_after.to_string(), "serial": facts.serial, "fingerprint": facts.fingerprint,
    })
}

/// What is asked of clients.
fn clients(output: &mut OutputFile, files: &TlsFiles) -> anyhow::Result<()> {
    writeln!(output, "Certificates of clients: {}", files.client_certificates.name())?;
    if let Some(authorities) = &files.client_ca {
        certificates(output, "Authority of clients", authorities)?;
    }
    for list in &files.client_crls {
        writeln!(output, "Revoked certificates: {}", list.display())?;
    }
    Ok(())
}

fn certificates(output: &mut OutputFile, what: &str, path: &Path) -> anyhow::Result<()> {
    writeln!(output, "{what} {}", path.display())?;
    for CertificateFacts { subject, issuer, names, not_before, not_after, fingerprint, serial } in
        describe(path).context("the certificate")?
    {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        writeln!(output, "    subject      {}", output::printable(&subject))?;
        writeln!(output, "    issuer       {}", output::printable(&issuer))?;
        writeln!(output, "    names        {}", output::printable(&names))?;
        writeln!(output, "    valid        {not_before} to {not_after}")?;
        writeln!(output, "    serial       {serial}")?;
        writeln!(output, "    fingerprint  {fingerprint} (SHA-256)")?;
    }
    Ok(())
}

/// What no repeat mends.
fn misuse(error: AuthorityError) -> anyhow::Error {
    match error {
        AuthorityError::Disk { .. } | AuthorityError::Making(_) => error.into(),
        other => Misuse(other.to_string()).into(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
