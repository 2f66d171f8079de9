//! A historian that has a secret in every place that takes one, and the canaries by which they are known.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use historian_test_support::program;

use super::{
    canary::{Canary, Kind, word},
    device::{NODE, USER},
    provider::{AUDIENCE, ISSUER, Provider},
};
use crate::{context::Context, oracle::Dice};

/// How a historian runs.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub level: &'static str,
    pub format: &'static str,
    pub has_tls: bool,
}

/// Directories, files and secrets of one run.
pub struct Site {
    pub way: Way,
    pub directory: PathBuf,
    pub data: PathBuf,
    pub config: PathBuf,
    pub program: PathBuf,
    pub canaries: Vec<Canary>,
    /// A token of an administrator, of a reader, and one of the identity provider.
    pub boss: String,
    pub ana: String,
    pub subject: String,
    /// One of the provider with another signature.
    pub forged: String,
    /// The configuration as it is in order.
    pub sound: String,
    pub tls: Option<PathBuf>,
}

impl Site {
    /// Makes it: the passwords and samples of the device are known already.
    ///
    /// # Errors
    /// The program refuses, or a file cannot be written.
    pub fn new(context: &Context, number: usize, way: Way, device: (&str, &[Canary]), dice: &mut Dice) -> anyhow::Result<Site> {
        let directory = context.work.join(format!("run-{number}"));
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let mut canaries = device.1.to_vec();
        let boss = made(&context.program, &data, &["token", "create", "boss", "--role", "admin"])?;
        let ana = made(&context.program, &data, &["token", "create", "ana", "--role", "reader"])?;
        made(&context.program, &data, &["grant", "add", "oidc:plant-erp", "--role", "reader"])?;
        let provider = Provider::new()?;
        let (subject, signature) = provider.token("plant-erp")?;
        let forged_signature = BASE64_STANDARD.encode(word(dice)).replace(['+', '/', '='], "x");
        let forged = subject.replace(&signature, &forged_signature);
        for (name, secret) in [
            ("token", &boss[4..]),
            ("token of a reader", &ana[4..]),
            ("token of the provider", &signature),
            ("forged token of the provider", &forged_signature),
        ] {
            canaries.push(Canary::new(name, Kind::Credential, secret));
        }
        for name in CREDENTIALS {
            canaries.push(Canary::made(name, Kind::Credential, dice));
        }
        for name in STATEMENTS {
            canaries.push(Canary::made(name, Kind::Statement, dice));
        }
        canaries.push(Canary::made(SAMPLE, Kind::Sample, dice));

        let tls = way.has_tls.then(|| directory.join("tls"));
        if let Some(tls) = &tls {
            let mut command = program::command(&context.program);
            let output = command.args(["tls", "init", "--host", "localhost", "127.0.0.1", "--dir"]).arg(tls).output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            canaries.extend(of_key("TLS key", &tls.join("server.key"))?);
        }
        let config = directory.join("historian.toml");
        let mut site = Site {
            way,
            directory,
            data,
            config,
            program: context.program.clone(),
            canaries,
            boss,
            ana,
            subject,
            forged,
            sound: String::new(),
            tls,
        };
        private(&site.directory.join("keys.json"), &provider.keys())?;
        private(&site.directory.join("password"), &format!("{}\n", site.text(PASSWORD)))?;
        private(&site.directory.join("wrong-token"), &format!("hst_{}\n", site.text(WRONG_TOKEN)))?;
        private(&site.directory.join("no-token"), &format!("{} {0}\u{1}\n", site.text(NO_TOKEN)))?;
        site.sound = site.configuration(device.0);
        fs::write(&site.config, &site.sound)?;
        Ok(site)
    }

    /// The text of a canary.
    pub fn text(&self, name: &str) -> String {
        self.canaries.iter().find(|canary| canary.name == name).map(Canary::text).unwrap_or_default()
    }

    fn configuration(&self, endpoint: &str) -> String {
        let Way { level, format, .. } = self.way;
        let own = |name: &str| self.directory.join(name).display().to_string();
        let (backups, keys, heads, password) = (own("backups"), own("keys.json"), own("heads.jsonl"), own("password"));
        let mut text = format!(
            "[log]\nlevel = \"{level}\"\nformat = \"{format}\"\nslow_query_ms = 1\n[backup]\ndirectory = \"{backups}\"\n[oidc]\n\
             issuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nkeys_file = \"{keys}\"\n[audit]\nheads_file = \"{heads}\"\n\
             heads_interval_s = 10\n"
        );
        if self.tls.is_some() {
            text += &format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", own("tls/server.crt"), own("tls/server.key"));
        }
        let open = "security_policy = \"None\"\nsecurity_mode = \"None\"\n";
        for (name, user, more) in [
            ("plain", USER, open.to_owned()),
            ("secured", USER, format!("pki_dir = \"{}\"\n", own("data/pki"))),
            // Refused by the device.
            ("stranger", "nobody", format!("timeout_ms = 500\n{open}")),
        ] {
            text += &format!(
                "[[opcua]]\nname = \"{name}\"\nendpoint = \"opc.tcp://{endpoint}\"\nuser = \"{user}\"\npassword_file = \"{password}\"\n\
                 trust_server_certificate = true\nverify_hostname = false\nverify_application_uri = false\n{more}[[opcua.tag]]\n\
                 name = \"{name}/note\"\naddress = \"{NODE}\"\ntype = \"string\"\n"
            );
        }
        text
    }

    /// Configurations with secrets where none belongs: what is wrong is to be told without them.
    pub fn broken(&self) -> Vec<String> {
        let (inline, open, url) = (self.text(INLINE), self.text(OPEN), self.text(URL));
        let sound = &self.sound;
        vec![
            format!("{sound}[[opcua]]\nname = \"x\"\nendpoint = \"opc.tcp://127.0.0.1:1\"\npassword = \"{inline}\"\n"),
            format!("{sound}[[opcua]]\npassword = {inline}\n"),
            format!("password = \"{open}\n{sound}"),
            format!("# {open}\n{sound}\ntoken = '{open}' x\n"),
            sound.replace("issuer", &format!("client_secret = \"{inline}\"\nissuer")),
            sound.replace("https://id.example", &format!("https://historian:{url}@id.example")),
            sound.replace("https://id.example", &format!("https://historian:{url}@id.example")).replace("keys_file", "ca"),
            format!("{sound}[[opcua]]\nname = \"y\"\nendpoint = \"https://plant:{url}@127.0.0.1/\"\n"),
            format!("{sound}[[modbus]]\nname = \"y\"\nendpoint = \"plant:{url}@127.0.0.1:502\"\n"),
            format!(
                "{sound}[[opcua]]\nname = \"y\"\nendpoint = \"opc.tcp://plant:{url}@127.0.0.1:1/\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n"
            ),
        ]
    }
}

/// Secrets by name: of the device, of callers, of the environment, of configurations, and where no secret belongs.
pub const PASSWORD: &str = "password of a device";
pub const WRONG_TOKEN: &str = "token that is not valid";
pub const NO_TOKEN: &str = "token that is none";
pub const COOKIE: &str = "cookie";
pub const OF_PROXY: &str = "password of a proxy";
pub const IN_PATH: &str = "token in a path";
pub const VARIABLE: &str = "variable";
pub const SERVER_TOKEN: &str = "token in the variables of the server";
const URL: &str = "password in a URL";
const INLINE: &str = "password in a configuration";
const OPEN: &str = "password in a configuration that cannot be read";
const CREDENTIALS: [&str; 10] = [WRONG_TOKEN, NO_TOKEN, COOKIE, OF_PROXY, IN_PATH, VARIABLE, SERVER_TOKEN, URL, INLINE, OPEN];

pub const STATEMENT: &str = "text of a statement";
pub const BROKEN_STATEMENT: &str = "text of a statement that is wrong";
pub const PARAMETER: &str = "parameter of a statement";
const STATEMENTS: [&str; 3] = [STATEMENT, BROKEN_STATEMENT, PARAMETER];

pub const SAMPLE: &str = "sample";
/// Of the device.
pub const DEVICE_SAMPLE: &str = "sample of a device";

/// Runs a command on the data directory; the last line that it prints.
fn made(program: &Path, data: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = program::command(program).args(arguments).arg("--data-dir").arg(data).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A file of its owner alone.
fn private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// What of a key file nobody else has: private bytes of the key, and a line of its text.
///
/// # Errors
/// It is no key in PEM, or in the digits of the key of the audit log.
pub fn of_key(name: &str, path: &Path) -> anyhow::Result<Vec<Canary>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    // Some programs end lines as others begin them.
    let lines: Vec<&str> = text.split(['\r', '\n']).filter(|line| !line.is_empty() && !line.starts_with("-----")).collect();
    if !text.starts_with("-----") {
        return Ok(vec![Canary::new(name, Kind::Credential, bytes_of(text.trim())?)]);
    }
    let whole = BASE64_STANDARD.decode(lines.concat()).with_context(|| format!("{} is no PEM", path.display()))?;
    // The private number of a key of P-256 (RFC 5915) stands in the middle; of one of RSA (RFC 8017) the last number is private.
    let mark = [2, 1, 1, 4, 32];
    let private = match whole.windows(mark.len()).position(|part| part == mark) {
        Some(at) => whole.get(at + mark.len()..at + mark.len() + 32),
        None => whole.get(whole.len().saturating_sub(48)..),
    };
    let private = private.with_context(|| format!("{} is too short", path.display()))?;
    let line = lines.get(lines.len() * 2 / 3 - usize::from(lines.len() == 3)).copied().unwrap_or_default();
    Ok(vec![Canary::new(name, Kind::Credential, private), Canary::new(format!("{name}, a line"), Kind::Credential, line)])
}

fn bytes_of(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}
