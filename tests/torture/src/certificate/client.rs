//! Certificates that clients show to a server: those it takes, and one for each way of not being in order.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::authority::{Authority, CA, KeyKind, Pair, Wanted, self_signed};

/// A certificate of a client, and what is to become of who shows it.
#[derive(Clone, Debug)]
pub struct ClientCase {
    pub name: &'static str,
    pub pair: Option<Pair>,
    /// Why it is refused, as TLS tells a client (RFC 8446, 6.2) in the words of `openssl`; nothing where it is taken.
    pub alert: Option<&'static str>,
}

/// All of them, and what a server needs to tell them apart.
pub struct Clients {
    pub cases: Vec<ClientCase>,
    /// Authorities to trust, in one file.
    pub trusted: PathBuf,
    /// The same with one more, which is nobody's.
    pub too_many: PathBuf,
    pub lists: Vec<PathBuf>,
}

/// Whoever has this may be a client.
const CLIENT: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:client:erp\n";
const SERVER: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=URI:urn:client:erp\n";
const NO_PURPOSE: &str = "basicConstraints=critical,CA:FALSE\nsubjectAltName=URI:urn:client:erp\n";
const CA_AS_CLIENT: &str = "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:client:erp\n";
const OTHER_NAME: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:other.example\n";
const UNKNOWN_DEMAND: &str =
    "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:client:erp\n1.2.3.4=critical,DER:0500\n";
const LAST_CA: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
const NARROW_CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n\
                         nameConstraints=critical,permitted;DNS:plant.example\n";

/// Long ago, and in a time to come.
pub const OVER: (&str, &str) = ("20200101000000Z", "20210101000000Z");
pub const TO_COME: (&str, &str) = ("20900101000000Z", "20910101000000Z");

const ERP: Wanted<'static> = Wanted { common_name: "erp", key: KeyKind::P256, digest: "sha256", dates: None, extensions: CLIENT };

/// The alerts that are expected.
const NO_CERTIFICATE: &str = "certificate required";
const UNKNOWN_CA: &str = "unknown ca";
const EXPIRED: &str = "certificate expired";
const REVOKED: &str = "certificate revoked";
const UNSUPPORTED: &str = "unsupported certificate";
/// Of what TLS has no word for.
const OTHERWISE: &str = "certificate unknown";
/// What is signed cannot be verified: by the hash, the key, or because another one has signed it.
const NO_SIGNATURE: &str = "decrypt error";

impl Clients {
    /// Makes them in a directory.
    ///
    /// # Errors
    /// `openssl` cannot be run, or refuses.
    pub fn make(directory: &Path) -> anyhow::Result<Clients> {
        let root = Authority::root(directory, "clients", &Wanted::new("clients", CA))?;
        let rsa = Authority::root(directory, "clients-rsa", &Wanted { key: KeyKind::Rsa(2048), ..Wanted::new("clients-rsa", CA) })?;
        let strangers = Authority::root(directory, "strangers", &Wanted::new("strangers", CA))?;

        let mut cases = vec![ClientCase { name: "none", pair: None, alert: Some(NO_CERTIFICATE) }];
        let mut add = |name, pair, alert| cases.push(ClientCase { name, pair: Some(pair), alert });
        in_order(&root, &rsa, &mut add)?;
        out_of_order(directory, (&root, &rsa, &strangers), &mut add)?;
        from_between(&root, &mut add)?;

        let [trusted, too_many] = ["trusted.crt", "too-many.crt"].map(|file| directory.join(file));
        let known = fs::read_to_string(root.certificate())? + &fs::read_to_string(rsa.certificate())?;
        fs::write(&trusted, &known)?;
        fs::write(&too_many, known + &fs::read_to_string(strangers.certificate())?)?;
        Ok(Clients { cases, trusted, too_many, lists: vec![root.list()?, rsa.list()?] })
    }

    /// One that is taken.
    ///
    /// # Errors
    /// There is none.
    pub fn good(&self) -> anyhow::Result<&ClientCase> {
        let good = self.cases.iter().find(|case| case.alert.is_none());
        good.ok_or_else(|| anyhow::anyhow!("no client is taken"))
    }
}

/// Takes note of a case.
type Add<'a> = dyn FnMut(&'static str, Pair, Option<&'static str>) + 'a;

fn in_order(root: &Authority, rsa: &Authority, add: &mut Add<'_>) -> anyhow::Result<()> {
    add("in order", root.issue("erp", &ERP)?, None);
    for (name, file, key) in [
        ("in order, P-384", "erp-p384", KeyKind::P384),
        ("in order, Ed25519", "erp-ed25519", KeyKind::Ed25519),
        ("in order, RSA of 2048 bits", "erp-rsa", KeyKind::Rsa(2048)),
    ] {
        add(name, root.issue(file, &Wanted { key, ..ERP })?, None);
    }
    add("in order, signed by RSA", rsa.issue("erp-by-rsa", &ERP)?, None);
    add("for no purpose in particular", root.issue("erp-any", &Wanted { extensions: NO_PURPOSE, ..ERP })?, None);
    Ok(())
}

fn out_of_order(directory: &Path, (root, rsa, strangers): (&Authority, &Authority, &Authority), add: &mut Add<'_>) -> anyhow::Result<()> {
    for (name, file, wanted, alert) in [
        ("expired", "late", Wanted { dates: Some(OVER), ..ERP }, EXPIRED),
        ("not yet valid", "early", Wanted { dates: Some(TO_COME), ..ERP }, EXPIRED),
        ("of a server", "server-as-client", Wanted { extensions: SERVER, ..ERP }, UNSUPPORTED),
        ("of an authority", "ca-as-client", Wanted { extensions: CA_AS_CLIENT, ..ERP }, OTHERWISE),
        ("with a demand that nobody knows", "demand", Wanted { extensions: UNKNOWN_DEMAND, ..ERP }, OTHERWISE),
        ("RSA of 1024 bits", "erp-1024", Wanted { key: KeyKind::Rsa(1024), ..ERP }, NO_SIGNATURE),
        ("P-521", "erp-p521", Wanted { key: KeyKind::P521, ..ERP }, NO_SIGNATURE),
        ("signed with SHA-1 by ECDSA", "erp-sha1-ec", Wanted { digest: "sha1", ..ERP }, NO_SIGNATURE),
    ] {
        add(name, root.issue(file, &wanted)?, Some(alert));
    }
    add("signed with SHA-1", rsa.issue("erp-sha1", &Wanted { digest: "sha1", ..ERP })?, Some(NO_SIGNATURE));
    add("signed with MD5", rsa.issue("erp-md5", &Wanted { digest: "md5", ..ERP })?, Some(NO_SIGNATURE));

    let revoked = root.issue("revoked", &ERP)?;
    root.revoke(&revoked)?;
    add("revoked", revoked, Some(REVOKED));

    add("of another authority", strangers.issue("stranger", &ERP)?, Some(UNKNOWN_CA));
    // It has the name of the one that is trusted, and not its key.
    let impostor = Authority::root(directory, "impostor", &Wanted::new("clients", CA))?;
    add("of another authority of the same name", impostor.issue("forged", &ERP)?, Some(NO_SIGNATURE));
    add("signed by itself", self_signed(directory, "self-signed", &ERP)?, Some(UNKNOWN_CA));
    Ok(())
}

/// Of authorities below the one that is trusted.
fn from_between(root: &Authority, add: &mut Add<'_>) -> anyhow::Result<()> {
    let line = root.below("line", &Wanted::new("line", LAST_CA))?;
    let shown = line.issue("erp-line", &ERP)?;
    add("of an authority below", shown.clone(), None);
    add("of an authority below that is not shown", Pair { chain: None, ..shown }, Some(UNKNOWN_CA));
    let deep = line.below("deep", &Wanted::new("deep", CA))?;
    add("of an authority too far below", deep.issue("erp-deep", &ERP)?, Some(OTHERWISE));

    let gone = root.below("gone", &Wanted::new("gone", CA))?;
    let of_gone = gone.issue("erp-gone", &ERP)?;
    root.revoke(gone.pair())?;
    add("of an authority that was revoked", of_gone, Some(REVOKED));

    let weak = root.below("weak", &Wanted { key: KeyKind::Rsa(1024), ..Wanted::new("weak", CA) })?;
    add("of an authority with RSA of 1024 bits", weak.issue("erp-weak", &ERP)?, Some(NO_SIGNATURE));

    let narrow = root.below("narrow", &Wanted::new("narrow", NARROW_CA))?;
    add("beyond the names of its authority", narrow.issue("erp-narrow", &Wanted { extensions: OTHER_NAME, ..ERP })?, Some(OTHERWISE));

    let leaf = Authority::with(directory_of(root), "no-authority", root.issue("no-authority", &ERP)?, false)?;
    add("signed by a client", leaf.issue("grandchild", &ERP)?, Some(OTHERWISE));
    Ok(())
}

fn directory_of(authority: &Authority) -> &Path {
    authority.certificate().parent().unwrap_or(Path::new("."))
}
