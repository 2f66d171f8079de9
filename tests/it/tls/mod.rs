//! TLS from outside: certificates of a small authority made here, in order and in every way not, against the program as a process. The judges are
//! openssl, curl, and the clients as their users have them: pyarrow, grpcio, ADBC, our command line.

mod command;
mod handshake;
pub mod mini;
mod rotation;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use historian_test_support::program::Log;
use tempfile::TempDir;

use self::mini::{Mini, Wanted};
use crate::support::{
    historian::{Historian, launcher, text},
    pytest::{Run, suite},
};

/// Metrics that a historian has with TLS only.
pub const METRICS: [&str; 2] = ["historian_tls_reload_failures_total", "historian_tls_certificate_expiry_timestamp_seconds"];

suite!(
    /// pyarrow, grpcio and ADBC over TLS, with a certificate of their own where one is asked for.
    CLIENTS,
    "tls",
    |run: &mut Run| {
        let site = Site::new();
        for (phase, asked) in [("open", "off"), ("asked", "optional"), ("shown", "required")] {
            let historian = site.serve(&site.server(), asked);
            let environment = [
                ("HISTORIAN_ADDRESS", format!("localhost:{}", historian.grpc.port())),
                ("HISTORIAN_TLS", site.directory.path().display().to_string()),
                ("HISTORIAN_PHASE", phase.to_owned()),
            ];
            run.cases(&environment.each_ref().map(|(name, value)| (*name, value.as_str())));
        }
    },
    [
        flight_speaks_through_tls,
        grpc_speaks_through_tls,
        flight_sql_speaks_through_tls,
        who_trusts_another_authority_is_not_deceived,
        who_calls_another_name_is_not_deceived,
        who_shows_no_certificate_is_served_where_none_is_required,
        the_package_speaks_through_tls,
    ]
);

/// A site with an authority for its servers and one for its clients.
pub struct Site {
    pub directory: TempDir,
    pub servers: Mini,
    pub clients: Mini,
    /// Certificate and key of a client, and what does not count any more.
    pub erp: (PathBuf, PathBuf),
    pub revoked: (PathBuf, PathBuf),
}

impl Site {
    pub fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let servers = Mini::new(directory.path(), "servers");
        let clients = Mini::new(directory.path(), "clients");
        let erp = clients.issue("erp", &Wanted::client("erp"));
        let revoked = clients.issue("revoked", &Wanted { serial: 7, ..Wanted::client("revoked") });
        clients.revoke(&[7]);
        Site { directory, servers, clients, erp, revoked }
    }

    /// Certificate and key of a server of this machine.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        self.servers.issue("server", &Wanted::server(&["localhost", "127.0.0.1"]))
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A historian with this pair that asks for certificates of its clients.
    pub fn serve(&self, pair: &(PathBuf, PathBuf), asked: &str) -> Historian {
        self.serve_with(pair, asked, "")
    }

    /// As [`Site::serve`], with more of a configuration.
    pub fn serve_with(&self, (certificate, key): &(PathBuf, PathBuf), asked: &str, more: &str) -> Historian {
        let data = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        let clients = match asked {
            "off" => String::new(),
            asked => format!(
                "client_certificates = \"{asked}\"\nclient_ca = \"{}\"\nclient_crls = [\"{}\"]\n",
                self.path("clients.crt"),
                self.path("clients.crl")
            ),
        };
        let config = data.join("historian.toml");
        let text = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{clients}{more}", certificate.display(), key.display());
        fs::write(&config, text).unwrap();
        start(&data.join("data"), &["--config", &config.display().to_string()])
    }
}

/// A historian that serves, with TLS or without: its log says so.
pub fn start(data_dir: &Path, arguments: &[&str]) -> Historian {
    let mut launcher = launcher(data_dir, arguments);
    (launcher.level, launcher.log) = ("info", Log::Own);
    let mut historian = launcher.spawn().unwrap();
    historian.wait("serving", |historian| historian.log().contains(" serving "));
    historian
}

/// curl of a path of the HTTP port by the name of this machine: exit code, what it printed, what it complained of.
pub fn curl(address: SocketAddr, path: &str, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("https://localhost:{}{path}", address.port());
    let resolved = format!("localhost:{}:127.0.0.1", address.port());
    run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "20", "--resolve", &resolved]).args(arguments).arg(url))
}

/// `openssl s_client` that connects and says nothing.
pub fn s_client(address: SocketAddr, arguments: &[&str]) -> (i32, String, String) {
    run(Command::new("openssl").args(["s_client", "-connect", &address.to_string()]).args(arguments))
}

pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}
