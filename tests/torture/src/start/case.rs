//! Addresses: each way of giving one, for each port, with TLS, tokens, both or neither. What other machines reach without both is refused.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    attempt::Given,
    listener::own_addresses,
    site::{Held, Site, free, loopback},
};

/// A start and what is to become of it.
pub struct Case {
    pub name: String,
    pub given: Given,
    pub wanted: Outcome,
    /// The address that it is not to have.
    pub _held: Option<Held>,
}

/// What is to become of a start.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ends with a code that is not 0 and says all of these, and none of those; it listens on nothing, and changes nothing.
    Refused { says: Vec<&'static str>, not: Vec<&'static str> },
    /// It was not refused, and asked the system for an address that this process holds, or that is not this machine's.
    Held,
    /// It serves on these and nothing else; on the local socket as well where that is said.
    Serves { tcp: BTreeSet<SocketAddr>, local: Option<PathBuf> },
    /// It serves, on loopback only, at least on these.
    ServesHere { tcp: BTreeSet<SocketAddr> },
}

/// Name under which the local socket is bound before it gets its own.
pub const LOCAL_SOCKET: &str = "historian.new";
pub const TLS_INIT: &str = "`historian tls init`";
pub const TOKEN_CREATE: &str = "`historian token create`";
const REACHED: &str = "can be reached from other machines";

/// Refused, with all of this in what it says.
pub fn refused(says: &[&'static str]) -> Outcome {
    Outcome::Refused { says: says.to_vec(), not: vec!["cannot listen on"] }
}

/// What a server that others reach has of the two things it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Has {
    tls: bool,
    token: bool,
}

const NEITHER: Has = Has { tls: false, token: false };
const TLS_ALONE: Has = Has { tls: true, token: false };
const TOKEN_ALONE: Has = Has { tls: false, token: true };
const BOTH: Has = Has { tls: true, token: true };

impl Has {
    fn name(self) -> &'static str {
        match (self.tls, self.token) {
            (false, false) => "without TLS and tokens",
            (true, false) => "with TLS and without tokens",
            (false, true) => "with tokens and without TLS",
            (true, true) => "with TLS and tokens",
        }
    }

    /// Refused with what is missing and nothing else, or not refused.
    fn outcome(self) -> Outcome {
        let missing = |is_missing| move |(is_there, word): &(bool, &'static str)| (*is_there != is_missing).then_some(*word);
        let remedies = [(self.tls, TLS_INIT), (self.token, TOKEN_CREATE)];
        if self == BOTH {
            return Outcome::Held;
        }
        let says = remedies.iter().filter_map(missing(true)).chain([REACHED]).collect();
        let not = remedies.iter().filter_map(missing(false)).chain(["cannot listen on"]).collect();
        Outcome::Refused { says, not }
    }
}

/// How an address is given.
#[derive(Clone, Copy, Debug)]
enum Way {
    Flag,
    Variable,
    File,
}

/// Which port it is for, by its key in `[server]`.
const PORTS: [&str; 2] = ["listen", "http"];

/// All cases of addresses.
///
/// # Errors
/// What they need cannot be written.
pub fn cases(site: &Site) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    for way in [Way::Flag, Way::Variable, Way::File] {
        for port in PORTS {
            for has in [NEITHER, TLS_ALONE, TOKEN_ALONE, BOTH] {
                cases.push(of_server(site, way, port, anywhere, has)?);
            }
        }
    }
    let documented = Ipv4Addr::new(192, 0, 2, 77);
    let mapped = |address: Ipv4Addr| IpAddr::V6(address.to_ipv6_mapped());
    let mut hosts = vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), documented.into(), mapped(Ipv4Addr::UNSPECIFIED), mapped(documented)];
    hosts.extend(own_addresses());
    for host in hosts {
        for (has, port) in [(NEITHER, "listen"), (TLS_ALONE, "http"), (TOKEN_ALONE, "listen"), (BOTH, "listen")] {
            cases.push(of_server(site, Way::Flag, port, host, has)?);
        }
    }
    for port in PORTS {
        for has in [NEITHER, TLS_ALONE, TOKEN_ALONE, BOTH] {
            cases.push(of_zone(site, port, anywhere, has)?);
        }
    }
    cases.extend(served(site)?);
    Ok(cases)
}

/// A start of `serve` on a directory, with a file.
pub fn with_file(site: &Site, data: PathBuf, text: &str) -> anyhow::Result<Given> {
    let file = site.file(text, 0o644)?;
    let words = site.serve.iter().cloned().chain(["--config".into(), file.into(), "--data-dir".into(), data.clone().into()]);
    Ok(Given { words: words.collect(), variables: Vec::new(), directory: site.directory.clone(), data })
}

/// A start of `serve` on a directory, with flags.
pub fn with_flags(site: &Site, data: PathBuf, flags: Vec<OsString>) -> Given {
    let words = site.serve.iter().cloned().chain(["--data-dir".into(), data.clone().into()]).chain(flags);
    Given { words: words.collect(), variables: Vec::new(), directory: site.directory.clone(), data }
}

/// One port at a host that others may reach, the other one on loopback.
fn of_server(site: &Site, way: Way, port: &str, host: IpAddr, has: Has) -> anyhow::Result<Case> {
    let held = Held::on(host);
    let data = site.data(has.token)?;
    let addresses = PORTS.map(|name| (name, if name == port { held.address } else { free()[0] }));
    let given = match way {
        Way::File => {
            let [(_, listen), (_, http)] = addresses;
            with_file(
                site,
                data,
                &format!(
                    "[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\n{}",
                    if has.tls { site.pair.section() } else { String::new() }
                ),
            )?
        }
        Way::Flag => {
            let mut flags: Vec<OsString> =
                addresses.iter().flat_map(|(name, address)| [format!("--{name}").into(), address.to_string().into()]).collect();
            if has.tls {
                flags.extend(["--tls-certificate".into(), site.pair.certificate.clone().into()]);
                flags.extend(["--tls-key".into(), site.pair.key.clone().into()]);
            }
            with_flags(site, data, flags)
        }
        Way::Variable => {
            let mut given = with_flags(site, data, Vec::new());
            let [(_, listen), (_, http)] = addresses;
            given.variables.extend([("HISTORIAN_LISTEN", listen.to_string().into()), ("HISTORIAN_HTTP", http.to_string().into())]);
            if has.tls {
                given.variables.push(("HISTORIAN_TLS_CERTIFICATE", site.pair.certificate.clone().into()));
                given.variables.push(("HISTORIAN_TLS_KEY", site.pair.key.clone().into()));
            }
            given
        }
    };
    let name = format!("{port} at {host} by {way:?}, {}", has.name());
    Ok(Case { name, given, wanted: has.outcome(), _held: Some(held) })
}

fn of_zone(site: &Site, port: &str, host: IpAddr, has: Has) -> anyhow::Result<Case> {
    let held = Held::on(host);
    let [listen, http] = free();
    let zone = format!("[[zone]]\nname = \"it\"\n{port} = \"{}\"\nrights = [\"read\"]\n", held.address);
    let server = format!("[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\n");
    let given =
        with_file(site, site.data(has.token)?, &format!("{server}{zone}{}", if has.tls { site.pair.section() } else { String::new() }))?;
    Ok(Case { name: format!("{port} of a zone at {host}, {}", has.name()), given, wanted: has.outcome(), _held: Some(held) })
}

/// Devices that are not there.
const DEVICES: &str = "[[modbus]]\nname = \"m\"\nendpoint = \"127.0.0.1:1\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:1\"\n[[opcua]]\n\
                       name = \"o\"\nendpoint = \"opc.tcp://127.0.0.1:1\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n[[opcua.tag]]\n\
                       name = \"b\"\naddress = \"nsu=urn:plant;s=B\"\n";

/// Starts that serve, and listen on what they were told to.
fn served(site: &Site) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut add = |name: &str, given: Given, tcp: &[SocketAddr], has_socket: bool| {
        let local = has_socket.then(|| given.data.join(LOCAL_SOCKET));
        let wanted = Outcome::Serves { tcp: tcp.iter().copied().collect(), local };
        cases.push(Case { name: name.to_owned(), given, wanted, _held: None });
    };
    let flags = |[listen, http]: [SocketAddr; 2]| {
        ["--listen".to_owned(), listen.to_string(), "--http".to_owned(), http.to_string()].map(OsString::from).to_vec()
    };
    let addresses = free();
    add("loopback", with_flags(site, site.data(false)?, flags(addresses)), &addresses, true);
    let addresses = [loopback(5), loopback(6)];
    add("other addresses of loopback", with_flags(site, site.data(false)?, flags(addresses)), &addresses, true);
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let addresses = free().map(|address| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()));
        add("loopback of IPv6", with_flags(site, site.data(false)?, flags(addresses)), &addresses, true);
    }
    let ([listen, http], [zone, zone_http]) = (free(), free());
    let text = format!(
        "[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\nlocal_socket = false\n[[zone]]\nname = \"it\"\nlisten = \"{zone}\"\n\
         http = \"{zone_http}\"\nrights = [\"read\"]\n{}{DEVICES}",
        site.pair.section()
    );
    let given = with_file(site, site.data(true)?, &text)?;
    add("zones, TLS, tokens and devices, without a local socket", given, &[listen, http, zone, zone_http], false);
    Ok(cases)
}
