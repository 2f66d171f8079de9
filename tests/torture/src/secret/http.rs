//! The HTTP port, with tokens that are valid and that are not, in every place where people put them, and metrics in both forms.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine, prelude::BASE64_STANDARD};
use historian_test_support::program::Historian;

use super::{
    place::Place,
    site::{COOKIE, IN_PATH, OF_PROXY, Site, WRONG_TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(20);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// Asks everything; each answer is a place, with its head.
///
/// # Errors
/// There is no answer.
pub fn ask(site: &Site, historian: &Historian) -> anyhow::Result<Vec<Place>> {
    let wrong = site.text(WRONG_TOKEN);
    let basic = |secret: &str| format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("ana:{secret}")));
    let good = format!("Authorization: Bearer {}", site.boss);
    let shown = [
        good.clone(),
        basic(&site.boss),
        format!("Authorization: Bearer hst_{wrong}"),
        basic(&wrong),
        format!("Authorization: Digest username=\"ana\", response=\"{wrong}\""),
        format!("Authorization: Bearer {}", site.forged),
        format!("Cookie: session={}", site.text(COOKIE)),
        format!("Proxy-Authorization: Basic {}", site.text(OF_PROXY)),
        format!("X-Api-Key: {}", site.text(COOKIE)),
    ];
    let mut places = Vec::new();
    let mut add = |what: &str, answer: Vec<u8>| places.push(Place::new(format!("answer of {what}"), answer));
    for path in ["/metrics", "/livez", "/readyz?verbose", "/healthz"] {
        for header in &shown {
            add(path, get(site, historian, path, &[header])?);
        }
    }
    add("/metrics as OpenMetrics", get(site, historian, "/metrics", &[&good, &format!("Accept: {OPEN_METRICS}")])?);
    let secret = site.text(IN_PATH);
    for path in [format!("/metrics?access_token={secret}"), format!("/{secret}"), format!("/livez?token={secret}")] {
        // Who asked knows the path.
        get(site, historian, &path, &[&good])?;
    }
    Ok(places)
}

/// An answer with its head: by hand, and with TLS by curl.
fn get(site: &Site, historian: &Historian, path: &str, headers: &[&str]) -> anyhow::Result<Vec<u8>> {
    if let Some(tls) = &site.tls {
        let mut command = Command::new("curl");
        command.args(["--silent", "--include", "--max-time", "20", "--cacert"]).arg(tls.join("ca.crt"));
        command.args(headers.iter().flat_map(|header| ["--header", header]));
        let url = format!("https://localhost:{}{path}", historian.http.port());
        return Ok(command.arg(url).output().context("curl cannot be run")?.stdout);
    }
    let mut stream = TcpStream::connect(historian.http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let headers = headers.join("\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
