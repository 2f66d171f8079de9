//! Certificates that servers show to a client of ours: those it takes, and one for each way of not being in order.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    authority::{Authority, CA, KeyKind, Pair, Wanted, self_signed},
    client::{OVER, TO_COME},
};

/// A certificate of a server, and what our client is to make of it.
#[derive(Clone, Debug)]
pub struct ServerCase {
    pub name: &'static str,
    pub pair: Pair,
    /// What the client calls the server.
    pub host: &'static str,
    /// What it says of a server that it refuses; nothing where it does not.
    pub told: Option<&'static str>,
}

/// All of them, and what a client needs to tell them apart.
pub struct Servers {
    pub cases: Vec<ServerCase>,
    /// Authority to trust.
    pub trusted: PathBuf,
    /// The same with one more, which is nobody's.
    pub too_many: PathBuf,
    /// What a historian serves with.
    pub own: Pair,
}

const SERVER: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
const CLIENT: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:localhost\n";
const NO_NAME: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n";
const OTHER_NAME: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:other.example\n";
const LONGER_NAME: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost.other.example\n";
const OTHER_ADDRESS: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.2\n";
const ADDRESS_AS_NAME: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:127.0.0.1.example\n";
const CA_AS_SERVER: &str = "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost\n";

const OWN: Wanted<'static> = Wanted { common_name: "localhost", key: KeyKind::P256, digest: "sha256", dates: None, extensions: SERVER };
const BY_NAME: &str = "localhost";
const BY_ADDRESS: &str = "127.0.0.1";

impl Servers {
    /// Makes them in a directory.
    ///
    /// # Errors
    /// `openssl` cannot be run, or refuses.
    pub fn make(directory: &Path) -> anyhow::Result<Servers> {
        let root = Authority::root(directory, "servers", &Wanted { key: KeyKind::Rsa(2048), ..Wanted::new("servers", CA) })?;
        let strangers = Authority::root(directory, "other-servers", &Wanted::new("other-servers", CA))?;
        // Ciphers without forward secrecy need a key of RSA.
        let own = root.issue("server", &Wanted { key: KeyKind::Rsa(2048), ..OWN })?;
        let line = root.below("servers-line", &Wanted::new("servers-line", CA))?;
        let behind = line.issue("server-line", &OWN)?;

        let mut cases = Vec::new();
        let mut add = |name, pair, host, told| cases.push(ServerCase { name, pair, host, told });
        add("in order", own.clone(), BY_NAME, None);
        add("in order, called by its address", own.clone(), BY_ADDRESS, None);
        add("of an authority below", behind.clone(), BY_NAME, None);
        add("of an authority below that is not shown", Pair { chain: None, ..behind }, BY_NAME, Some(UNTRUSTED));
        for (name, file, key) in [
            ("in order, P-384", "server-p384", KeyKind::P384),
            ("in order, Ed25519", "server-ed25519", KeyKind::Ed25519),
            ("in order, P-256", "server-p256", KeyKind::P256),
        ] {
            add(name, root.issue(file, &Wanted { key, ..OWN })?, BY_NAME, None);
        }
        for (name, file, wanted, host, told) in [
            ("for another name", "server-other", Wanted { extensions: OTHER_NAME, ..OWN }, BY_NAME, OTHER),
            ("for a longer name", "server-longer", Wanted { extensions: LONGER_NAME, ..OWN }, BY_NAME, OTHER),
            ("for another address", "server-address", Wanted { extensions: OTHER_ADDRESS, ..OWN }, BY_ADDRESS, OTHER),
            ("for a name like an address", "server-like", Wanted { extensions: ADDRESS_AS_NAME, ..OWN }, BY_ADDRESS, OTHER),
            ("with its name where nobody looks any more", "server-cn", Wanted { extensions: NO_NAME, ..OWN }, BY_NAME, OTHER),
            ("expired", "server-late", Wanted { dates: Some(OVER), ..OWN }, BY_NAME, "expired"),
            ("not yet valid", "server-early", Wanted { dates: Some(TO_COME), ..OWN }, BY_NAME, "not valid yet"),
            ("of a client", "client-as-server", Wanted { extensions: CLIENT, ..OWN }, BY_NAME, "another purpose"),
            ("of an authority", "ca-as-server", Wanted { extensions: CA_AS_SERVER, ..OWN }, BY_NAME, CERTIFICATE),
            ("signed with SHA-1", "server-sha1", Wanted { digest: "sha1", ..OWN }, BY_NAME, CERTIFICATE),
            ("signed with MD5", "server-md5", Wanted { digest: "md5", ..OWN }, BY_NAME, CERTIFICATE),
            ("RSA of 1024 bits", "server-1024", Wanted { key: KeyKind::Rsa(1024), ..OWN }, BY_NAME, CERTIFICATE),
        ] {
            add(name, root.issue(file, &wanted)?, host, Some(told));
        }
        add("of another authority", strangers.issue("server-stranger", &OWN)?, BY_NAME, Some(UNTRUSTED));
        add("signed by itself", self_signed(directory, "server-self", &OWN)?, BY_NAME, Some(UNTRUSTED));

        let (trusted, too_many) = (root.certificate().to_owned(), directory.join("too-many-servers.crt"));
        fs::write(&too_many, fs::read_to_string(&trusted)? + &fs::read_to_string(strangers.certificate())?)?;
        Ok(Servers { cases, trusted, too_many, own })
    }
}

/// What our client says: of who it is not, of who has signed it, and of what else is not in order.
const OTHER: &str = "is not for";
const UNTRUSTED: &str = "is of an authority that is not trusted";
const CERTIFICATE: &str = "certificate";
