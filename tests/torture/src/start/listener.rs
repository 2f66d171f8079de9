//! What a process listens on, as the kernel has it: its open files in `/proc/PID/fd`, and whose sockets they are in `/proc/PID/net`.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// States of sockets, as `/proc/net/tcp` and `/proc/net/udp` have them; UDP has no other for one that is bound and not connected.
const TCP_LISTENS: &str = "0A";
const UDP_IS_BOUND: &str = "07";
/// Flags of a local socket that is listened on, in `/proc/net/unix`.
const UNIX_LISTENS: &str = "00010000";

/// Addresses and paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    pub tcp: BTreeSet<SocketAddr>,
    pub udp: BTreeSet<SocketAddr>,
    pub local: BTreeSet<PathBuf>,
}

impl Listeners {
    /// Those of a process at this moment; none where it has ended.
    pub fn of(pid: u32) -> Listeners {
        let sockets = sockets(pid);
        let mut found = Listeners::default();
        if sockets.is_empty() {
            return found;
        }
        let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        for (names, state, into) in [(["tcp", "tcp6"], TCP_LISTENS, &mut found.tcp), (["udp", "udp6"], UDP_IS_BOUND, &mut found.udp)] {
            for name in names {
                into.extend(table(name).lines().filter_map(|line| bound(line, state, &sockets)));
            }
        }
        found.local.extend(table("unix").lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, _, _, flags, _, _, inode, path] = words.as_slice() else { return None };
            (*flags == UNIX_LISTENS && sockets.contains(*inode)).then(|| PathBuf::from(path))
        }));
        found
    }

    /// Puts those of another moment beside these.
    pub fn add(&mut self, other: Listeners) {
        self.tcp.extend(other.tcp);
        self.udp.extend(other.udp);
        self.local.extend(other.local);
    }

    pub fn is_empty(&self) -> bool {
        *self == Listeners::default()
    }

    /// Those that other machines reach.
    pub fn reached(&self) -> Vec<SocketAddr> {
        self.tcp.iter().chain(&self.udp).filter(|address| !address.ip().to_canonical().is_loopback()).copied().collect()
    }
}

/// Numbers of the sockets that a process has open.
fn sockets(pid: u32) -> HashSet<String> {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return HashSet::new() };
    let number = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    files.flatten().filter_map(number).collect()
}

/// The local address of a line, where it is that of one of these sockets and in this state.
fn bound(line: &str, state: &str, sockets: &HashSet<String>) -> Option<SocketAddr> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, of, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    if *of != state || !sockets.contains(*inode) {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// An address in hexadecimal digits, in words of four bytes as the machine has them.
fn address_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match digits.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

/// Addresses of this machine that others can reach: one of IPv4 and one of IPv6, where it has them.
pub fn own_addresses() -> Vec<IpAddr> {
    let trie = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let lines: Vec<&str> = trie.lines().collect();
    let four = lines.windows(2).filter(|pair| pair[1].contains("/32 host LOCAL"));
    let mut four =
        four.filter_map(|pair| pair[0].split_whitespace().last()?.parse::<Ipv4Addr>().ok()).filter(|address| !address.is_loopback());
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    // Those of global scope: others belong to one link, and have no meaning without its name.
    let mut six = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let digits = words.first().filter(|_| words.get(3) == Some(&"00"))?;
        Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?))
    });
    four.next().map(IpAddr::V4).into_iter().chain(six.next().map(IpAddr::V6)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn what_this_process_listens_on_is_found() {
        let (four, six) = (TcpListener::bind("127.0.0.3:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let udp = UdpSocket::bind("127.0.0.4:0").unwrap();
        let found = Listeners::of(std::process::id());
        for address in [four.local_addr().unwrap(), six.local_addr().unwrap()] {
            assert!(found.tcp.contains(&address), "{address}: {found:?}");
        }
        assert!(found.udp.contains(&udp.local_addr().unwrap()) && found.reached().is_empty(), "{found:?}");
    }

    #[test]
    fn what_others_reach_is_told_from_what_they_do_not() {
        let tcp =
            ["127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:127.0.0.1]:1"].map(|text| text.parse().unwrap());
        let reached = Listeners { tcp: tcp.into(), ..Listeners::default() }.reached();
        assert_eq!(reached, ["0.0.0.0:1", "192.0.2.1:1", "[::]:1"].map(|text| text.parse::<SocketAddr>().unwrap()));
        assert_eq!(address_of("0100007F"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(address_of("00000000000000000000000001000000"), Some("::1".parse().unwrap()));
    }
}
