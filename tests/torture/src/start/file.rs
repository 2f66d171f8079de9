//! Files that are not as they should be, on loopback: keys that others may read, pairs that are none, tokens that cannot be read. And the demo,
//! and what starts without any word at all.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    attempt::Given,
    case::{Case, LOCAL_SOCKET, Outcome, TLS_INIT, TOKEN_CREATE, refused, with_file, with_flags},
    site::{Held, Site, free},
};

/// Where a start without any word listens.
pub const DEFAULTS: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8815), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)];

/// Files of TLS.
///
/// # Errors
/// They cannot be written.
pub fn tls(site: &Site) -> anyhow::Result<Vec<Case>> {
    let (certificate, key) = (&site.pair.certificate, &site.pair.key);
    let mut cases = Vec::new();
    for mode in [0o644, 0o604, 0o640 | 0o002, 0o777] {
        let wanted = refused(&["can be read or changed by every user of this machine", "chmod 600"]);
        cases.push(pair(site, &format!("a key of mode {mode:o}"), certificate, &site.copy(key, mode)?, wanted)?);
    }
    for mode in [0o600, 0o400, 0o640] {
        cases.push(pair(site, &format!("a key of mode {mode:o}"), certificate, &site.copy(key, mode)?, serves())?);
    }
    let (empty, cut) = (site.file("", 0o600)?, fs::read_to_string(certificate)?);
    let (broken, none) = (site.file(&cut[..cut.len() / 2], 0o644)?, site.fresh("none"));
    for (name, certificate, key, says) in [
        ("a key of another certificate", certificate, &site.other.key, "is not the key of the certificate"),
        ("an empty certificate", &empty, key, "has no certificate"),
        ("an empty key", certificate, &empty, "tls-key"),
        ("no certificate", &none, key, "there is no such file"),
        ("no key", certificate, &none, "there is no such file"),
        ("half a certificate", &broken, key, "tls-certificate"),
        ("certificate and key exchanged", key, certificate, "exchanged"),
        ("a directory for a key", certificate, &site.directory, "is a directory"),
    ] {
        cases.push(pair(site, name, certificate, key, refused(&[says]))?);
    }
    // Half of what is needed is not taken for nothing.
    for (name, flag, file, says) in [
        ("a certificate alone", "--tls-certificate", certificate, "tls.key: is needed"),
        ("a key alone", "--tls-key", key, "tls.certificate: is needed"),
    ] {
        let words = on_loopback().into_iter().chain([flag.into(), file.clone().into()]).collect();
        let given = with_flags(site, site.data(false)?, words);
        cases.push(Case { name: name.to_owned(), given, wanted: refused(&[says, TLS_INIT]), _held: None });
    }
    let required = format!("{}{}client_certificates = \"required\"\n", server(), site.pair.section());
    let lists = format!("client_ca = \"{}\"\nclient_crls = [\"{}\"]\n", site.authority.certificate().display(), empty.display());
    let given = with_file(site, site.data(false)?, &format!("{required}{lists}"))?;
    let wanted = refused(&["tls.client_crls"]);
    cases.push(Case { name: "an empty list of revoked certificates".to_owned(), given, wanted, _held: None });
    let given = with_file(site, site.data(false)?, &required)?;
    cases.push(Case { name: "clients of no authority".to_owned(), given, wanted: refused(&["names no authority"]), _held: None });
    Ok(cases)
}

/// A start with this pair, which others would not reach in any case.
fn pair(site: &Site, name: &str, certificate: &Path, key: &Path, wanted: Outcome) -> anyhow::Result<Case> {
    let pair: [OsString; 4] = ["--tls-certificate".into(), certificate.into(), "--tls-key".into(), key.into()];
    let (words, addresses) = addressed();
    let given = with_flags(site, site.data(false)?, words.into_iter().chain(pair).collect());
    let wanted = match wanted {
        Outcome::Serves { .. } => Outcome::Serves { tcp: addresses.into(), local: Some(given.data.join(LOCAL_SOCKET)) },
        other => other,
    };
    Ok(Case { name: name.to_owned(), given, wanted, _held: None })
}

fn serves() -> Outcome {
    Outcome::Serves { tcp: [].into(), local: None }
}

fn addressed() -> (Vec<OsString>, [SocketAddr; 2]) {
    let [listen, http] = free();
    (["--listen".into(), listen.to_string().into(), "--http".into(), http.to_string().into()].to_vec(), [listen, http])
}

fn on_loopback() -> Vec<OsString> {
    addressed().0
}

fn server() -> String {
    let [listen, http] = free();
    format!("[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\n")
}

/// Files of tokens: what cannot be read is not taken for none, on loopback neither.
///
/// # Errors
/// They cannot be written.
pub fn tokens(site: &Site) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let directory = site.data(false)?;
    fs::create_dir_all(directory.join("access.json"))?;
    for (name, data, says) in [
        ("tokens that every user may read", site.data_with(None, 0o644)?, "chmod 600"),
        ("tokens that a group may read", site.data_with(None, 0o640)?, "chmod 600"),
        ("an empty file of tokens", site.data_with(Some(""), 0o600)?, "access.json"),
        ("half a file of tokens", site.data_with(Some("{\"version\": 1, \"tok"), 0o600)?, "access.json"),
        ("tokens of another program", site.data_with(Some("{\"version\": 4711}"), 0o600)?, "access.json"),
        ("a directory for tokens", directory, "access.json"),
    ] {
        let given = with_flags(site, data.clone(), on_loopback());
        cases.push(Case { name: format!("{name}, on loopback"), given, wanted: refused(&["tokens cannot be read", says]), _held: None });
        let held = Held::on(Ipv4Addr::UNSPECIFIED.into());
        let listen: [OsString; 4] = ["--listen".into(), held.address.to_string().into(), "--http".into(), free()[0].to_string().into()];
        let given = with_flags(site, data, listen.into_iter().chain(with_pair(site)).collect());
        cases.push(Case { name: format!("{name}, with TLS"), given, wanted: refused(&["tokens cannot be read", says]), _held: Some(held) });
    }
    Ok(cases)
}

fn with_pair(site: &Site) -> Vec<OsString> {
    vec!["--tls-certificate".into(), site.pair.certificate.clone().into(), "--tls-key".into(), site.pair.key.clone().into()]
}

/// The demo, and starts without a word.
///
/// # Errors
/// What they need cannot be written.
pub fn others(site: &Site) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let demo = |site: &Site, words: Vec<OsString>| -> Given {
        let data = site.fresh("demo");
        let program: [OsString; 4] = [site.program.clone().into(), "demo".into(), "--data-dir".into(), data.clone().into()];
        Given { words: program.into_iter().chain(words).collect(), variables: Vec::new(), directory: site.directory.clone(), data }
    };
    let (four, six) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    for (flag, host, with_tls, says) in [
        ("--listen", four, false, vec![TLS_INIT, TOKEN_CREATE]),
        ("--http", four, false, vec![TLS_INIT, TOKEN_CREATE]),
        ("--listen", six, true, vec![TOKEN_CREATE]),
        ("--modbus", four, false, vec!["loopback only"]),
        ("--opcua", six, true, vec!["loopback only"]),
    ] {
        let held = Held::on(host);
        let mut words: Vec<OsString> = vec![flag.into(), held.address.to_string().into()];
        for (other, address) in ["--listen", "--http"].into_iter().zip(free()).filter(|(other, _)| *other != flag) {
            words.extend([other.into(), address.to_string().into()]);
        }
        if with_tls {
            words.extend(with_pair(site));
        }
        let name = format!("the demo with {flag} at {host}, {} TLS", if with_tls { "with" } else { "without" });
        cases.push(Case { name, given: demo(site, words), wanted: refused(&says), _held: Some(held) });
    }
    let (words, addresses) = addressed();
    let wanted = Outcome::ServesHere { tcp: addresses.into() };
    cases.push(Case { name: "the demo".to_owned(), given: demo(site, words), wanted, _held: None });
    cases.push(without_a_word(site)?);
    Ok(cases)
}

/// `historian serve` in an empty directory.
fn without_a_word(site: &Site) -> anyhow::Result<Case> {
    let directory = site.fresh("nothing");
    fs::create_dir(&directory)?;
    let data: PathBuf = directory.join("historian-data");
    // As a path it is relative to where the server was started.
    let local = Some(Path::new("historian-data").join(LOCAL_SOCKET));
    let given = Given { words: site.serve.clone(), variables: Vec::new(), directory, data };
    Ok(Case { name: "nothing given".to_owned(), given, wanted: Outcome::Serves { tcp: DEFAULTS.into(), local }, _held: None })
}
