//! A small authority of the `openssl` program, which signs whatever it is asked to: with old hashes, short keys, for other purposes and times.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// Of an authority, and how its lists are made. A list without a number and the key of its issuer is none for rustls.
const SETTINGS: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\npolicy = any\n\
                        unique_subject = no\ndefault_days = 100\ndefault_crl_days = 30\ncrlnumber = number\ncrl_extensions = list\n[any]\n\
                        commonName = supplied\n[list]\nauthorityKeyIdentifier = keyid:always\n[req]\ndistinguished_name = name\n[name]\n";

/// What makes a certificate one of an authority.
pub const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa(u32),
}

impl KeyKind {
    fn arguments(self) -> Vec<String> {
        let curve = |name: &str| ["ec", "-pkeyopt", &format!("ec_paramgen_curve:{name}")].map(str::to_owned).to_vec();
        match self {
            KeyKind::P256 => curve("P-256"),
            KeyKind::P384 => curve("P-384"),
            KeyKind::P521 => curve("P-521"),
            KeyKind::Ed25519 => vec!["ed25519".to_owned()],
            KeyKind::Rsa(bits) => vec![format!("rsa:{bits}")],
        }
    }
}

/// A certificate and its key, and the certificates between it and its root.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub chain: Option<PathBuf>,
}

impl Pair {
    /// `[tls]` of a configuration, to which keys can be added.
    pub fn section(&self) -> String {
        format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", self.certificate.display(), self.key.display())
    }
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub common_name: &'a str,
    pub key: KeyKind,
    pub digest: &'a str,
    /// First and last moment, as `YYYYMMDDHHMMSSZ`; without them from now on.
    pub dates: Option<(&'a str, &'a str)>,
    pub extensions: &'a str,
}

impl<'a> Wanted<'a> {
    pub fn new(common_name: &'a str, extensions: &'a str) -> Wanted<'a> {
        Wanted { common_name, key: KeyKind::P256, digest: "sha256", dates: None, extensions }
    }
}

/// Signs certificates, and keeps what it has signed.
pub struct Authority {
    directory: PathBuf,
    name: String,
    pair: Pair,
    /// Shown behind what it signs.
    is_root: bool,
}

impl Authority {
    /// One that nobody has signed but itself, its certificate in `<name>.crt`.
    ///
    /// # Errors
    /// `openssl` cannot be run, or refuses.
    pub fn root(directory: &Path, name: &str, wanted: &Wanted<'_>) -> anyhow::Result<Authority> {
        let pair = self_signed(directory, name, wanted)?;
        Authority::with(directory, name, pair, true)
    }

    /// Whoever has this pair, whether that makes it an authority or not.
    ///
    /// # Errors
    /// As [`Authority::root`].
    pub fn with(directory: &Path, name: &str, pair: Pair, is_root: bool) -> anyhow::Result<Authority> {
        let own = directory.join(format!("{name}.ca"));
        fs::create_dir_all(&own)?;
        fs::write(own.join("index"), "")?;
        fs::write(own.join("number"), "01\n")?;
        fs::write(own.join("settings"), SETTINGS)?;
        Ok(Authority { directory: directory.to_owned(), name: name.to_owned(), pair, is_root })
    }

    /// One below this one.
    ///
    /// # Errors
    /// As [`Authority::root`].
    pub fn below(&self, name: &str, wanted: &Wanted<'_>) -> anyhow::Result<Authority> {
        Authority::with(&self.directory, name, self.issue(name, wanted)?, false)
    }

    pub fn certificate(&self) -> &Path {
        &self.pair.certificate
    }

    /// Its own certificate and key.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A certificate and its key, in `<file>.crt` and `<file>.key`.
    ///
    /// # Errors
    /// As [`Authority::root`].
    pub fn issue(&self, file: &str, wanted: &Wanted<'_>) -> anyhow::Result<Pair> {
        let path = |ending: &str| self.directory.join(format!("{file}.{ending}"));
        let (certificate, key, request, extensions) = (path("crt"), path("key"), path("csr"), path("ext"));
        requested(wanted, &self.own("settings"), &key, &request, &[])?;
        fs::write(&extensions, format!("{}authorityKeyIdentifier=keyid\n", wanted.extensions))?;
        let mut signing = self.signing();
        signing.args(["-batch", "-notext", "-md", wanted.digest]).arg("-in").arg(&request).arg("-extfile").arg(&extensions);
        if let Some((from, to)) = wanted.dates {
            signing.args(["-startdate", from, "-enddate", to]);
        }
        run(signing.arg("-out").arg(&certificate))?;
        Ok(Pair { certificate, key, chain: self.chain(file)? })
    }

    /// What stands between what it signs and its root, in `<file>.chain`.
    fn chain(&self, file: &str) -> anyhow::Result<Option<PathBuf>> {
        if self.is_root {
            return Ok(None);
        }
        let mut text = fs::read_to_string(&self.pair.certificate)?;
        if let Some(above) = &self.pair.chain {
            text += &fs::read_to_string(above)?;
        }
        let path = self.directory.join(format!("{file}.chain"));
        fs::write(&path, text)?;
        Ok(Some(path))
    }

    /// Takes a certificate back.
    ///
    /// # Errors
    /// As [`Authority::root`].
    pub fn revoke(&self, pair: &Pair) -> anyhow::Result<()> {
        run(self.signing().arg("-revoke").arg(&pair.certificate))
    }

    /// The list of what was taken back, in `<name>.crl`.
    ///
    /// # Errors
    /// As [`Authority::root`].
    pub fn list(&self) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(format!("{}.crl", self.name));
        run(self.signing().arg("-gencrl").arg("-out").arg(&path))?;
        Ok(path)
    }

    fn own(&self, file: &str) -> PathBuf {
        self.directory.join(format!("{}.ca", self.name)).join(file)
    }

    /// `openssl ca` where its files are.
    fn signing(&self) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(self.directory.join(format!("{}.ca", self.name)));
        command.args(["ca", "-config", "settings", "-cert"]).arg(&self.pair.certificate).arg("-keyfile").arg(&self.pair.key);
        command
    }
}

/// A certificate that is signed by its own key, in `<file>.crt` and `<file>.key`.
///
/// # Errors
/// As [`Authority::root`].
pub fn self_signed(directory: &Path, file: &str, wanted: &Wanted<'_>) -> anyhow::Result<Pair> {
    let path = |ending: &str| directory.join(format!("{file}.{ending}"));
    let (certificate, key, settings) = (path("crt"), path("key"), path("settings"));
    fs::write(&settings, SETTINGS)?;
    let mut more = vec!["-x509".to_owned(), "-days".to_owned(), "100".to_owned()];
    for extension in wanted.extensions.lines() {
        more.extend(["-addext".to_owned(), extension.to_owned()]);
    }
    requested(wanted, &settings, &key, &certificate, &more)?;
    Ok(Pair { certificate, key, chain: None })
}

/// A new key, and with it what `openssl req` makes.
fn requested(wanted: &Wanted<'_>, settings: &Path, key: &Path, made: &Path, more: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-nodes", "-subj", &format!("/CN={}", wanted.common_name), "-newkey"]);
    command.args(wanted.key.arguments()).arg("-config").arg(settings).args(more);
    run(command.arg("-keyout").arg(key).arg("-out").arg(made))?;
    fs::set_permissions(key, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Runs to the end.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context("openssl cannot be run")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
