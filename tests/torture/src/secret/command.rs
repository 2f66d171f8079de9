//! Every command of the program that talks to a historian or looks at its files, with tokens that are valid and that are not: what each prints
//! is a place.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use historian_test_support::program::{self, Historian};

use super::{
    canary::Kind,
    place::{Place, places},
    site::{SAMPLE, Site, VARIABLE, WRONG_TOKEN},
};

/// A command that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_mins(1);
const SQL_AND_SAMPLES: [Kind; 2] = [Kind::Statement, Kind::Sample];

/// Runs commands, and keeps what they print.
pub struct Commands<'a> {
    site: &'a Site,
    /// How clients call the historian.
    server: Vec<String>,
    addresses: [String; 2],
    pub places: Vec<Place>,
}

impl<'a> Commands<'a> {
    pub fn new(site: &'a Site, historian: &Historian) -> Commands<'a> {
        let server = match &site.tls {
            None => vec!["--server".to_owned(), historian.url()],
            Some(tls) => {
                let url = format!("grpc+tls://localhost:{}", historian.grpc.port());
                vec!["--server".to_owned(), url, "--tls-ca".to_owned(), tls.join("ca.crt").display().to_string()]
            }
        };
        let addresses = [historian.grpc.to_string(), historian.http.to_string()];
        Commands { site, server, addresses, places: Vec::new() }
    }

    /// Runs a command with a token in its variables; whether it succeeded.
    ///
    /// # Errors
    /// It hangs.
    pub fn run(&mut self, words: &[&str], token: &str, free: &[Kind]) -> anyhow::Result<bool> {
        let mut command = program::command(&self.site.program);
        command.args(words).env("HISTORIAN_TOKEN", token).env("PLANT_PASSWORD", self.site.text(VARIABLE));
        let (is_done, printed) = output(&mut command)?;
        // The log of a command is a place as well as its answer.
        let shown = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        self.places.push(Place::new(format!("historian {shown}"), printed).but(free));
        Ok(is_done)
    }

    /// A command that asks the server.
    fn ask(&mut self, words: &[&str], token: &str) -> anyhow::Result<bool> {
        let server = self.server.clone();
        let words: Vec<&str> = words.iter().copied().chain(server.iter().map(String::as_str)).collect();
        self.run(&words, token, &[])
    }

    /// All that ask a historian that runs.
    ///
    /// # Errors
    /// One hangs, or one that must succeed fails.
    pub fn ask_all(&mut self) -> anyhow::Result<()> {
        let (boss, wrong) = (self.site.boss.clone(), format!("hst_{}", self.site.text(WRONG_TOKEN)));
        let export = self.site.directory.join("audit.jsonl").display().to_string();
        for words in [
            &["status"][..],
            &["whoami"],
            &["audit"],
            &["audit", "head"],
            &["audit", "export", &export],
            &["backup"],
            &["backup", "list"],
            &["inspect"],
            &["tag", "list"],
            &["gaps"],
            &["health"],
            &["compact"],
        ] {
            ensure!(self.ask(words, &boss)?, "historian {words:?}: {}", self.last());
            self.ask(words, &wrong)?;
        }
        ensure!(self.ask(&["whoami"], &self.site.subject.clone())?, "whoami with a token of the provider: {}", self.last());
        for token in [self.site.forged.clone(), format!("Bearer {}", self.site.text(WRONG_TOKEN)), format!("{wrong}\u{1}{wrong}")] {
            self.ask(&["whoami"], &token)?;
        }
        for file in ["wrong-token", "no-token", "password"] {
            let file = self.site.directory.join(file).display().to_string();
            self.ask(&["whoami", "--token-file", &file], "")?;
        }
        // A samples' answer is to who asks for it.
        let server = self.server.clone();
        let query: Vec<&str> = ["query", "current", "**"].into_iter().chain(server.iter().map(String::as_str)).collect();
        ensure!(self.run(&query, &boss, &[Kind::Sample])?, "{}", self.last());
        if self.site.tls.is_none() {
            let answer = self.places.last().map(|place| place.bytes.clone()).unwrap_or_default();
            ensure!(String::from_utf8_lossy(&answer).contains(&self.site.text(SAMPLE)), "the sample was not written: {}", self.last());
        }
        self.places.push(Place::new("audit export", fs::read(&export)?));
        Ok(())
    }

    /// All that look at files, with a configuration that is in order or not; none of them asks a device.
    ///
    /// # Errors
    /// One hangs.
    pub fn look(&mut self) -> anyhow::Result<()> {
        let [config, data] = [&self.site.config, &self.site.data].map(|path| path.display().to_string());
        let boss = self.site.boss.clone();
        for words in [
            &["doctor", "--offline", "--config", &config, "--data-dir", &data][..],
            &["doctor", "--offline", "--format", "json", "--config", &config, "--data-dir", &data],
            &["check", "--offline", "--config", &config],
            &["token", "list", "--data-dir", &data],
            &["grant", "list", "--data-dir", &data],
            &["tls", "show", "--config", &config],
        ] {
            self.run(words, &boss, &[])?;
        }
        Ok(())
    }

    /// The one that asks the devices, and shows the values to who asks for them.
    ///
    /// # Errors
    /// It hangs.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let (config, boss) = (self.site.config.display().to_string(), self.site.boss.clone());
        self.run(&["check", "--config", &config], &boss, &[Kind::Sample])?;
        Ok(())
    }

    /// A report with this log, unpacked; it asks the devices unless told otherwise.
    ///
    /// # Errors
    /// There is none.
    pub fn report(&mut self, log: &Path, name: &str, more: &[&str]) -> anyhow::Result<()> {
        let file = self.site.directory.join(format!("{name}.tar.gz"));
        let [config, data, file_text, log] = [&self.site.config, &self.site.data, &file, log].map(|path| path.display().to_string());
        let [listen, http] = self.addresses.clone();
        let words =
            ["bugreport", "-o", &file_text, "--config", &config, "--data-dir", &data, "--listen", &listen, "--http", &http, "--log", &log];
        let boss = self.site.boss.clone();
        let words: Vec<&str> = words.iter().chain(more).copied().collect();
        ensure!(self.run(&words, &boss, &[])?, "bugreport: {}", self.last());
        let unpacked = self.site.directory.join(name);
        fs::create_dir_all(&unpacked)?;
        let status = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(&unpacked).status().context("tar cannot be run")?;
        ensure!(status.success(), "a bug report cannot be unpacked");
        let (found, _, _) = places(&format!("bug report {name}"), &unpacked, &[])?;
        ensure!(found.len() >= 6, "a bug report has only {} parts", found.len());
        let is_log = |place: &Place| place.name.ends_with("log.txt");
        // What a log may have may be in it, too.
        let is_trace = self.site.way.level == "trace";
        self.places.extend(found.into_iter().map(|place| if is_trace && is_log(&place) { place.but(&SQL_AND_SAMPLES) } else { place }));
        Ok(())
    }

    fn last(&self) -> String {
        self.places.last().map(|place| String::from_utf8_lossy(&place.bytes).into_owned()).unwrap_or_default()
    }
}

/// All that a command prints, and whether it succeeded.
fn output(command: &mut Command) -> anyhow::Result<(bool, Vec<u8>)> {
    use std::process::Stdio;

    let file = tempfile::NamedTempFile::new()?;
    command.stdout(file.reopen()?).stderr(file.reopen()?).stdin(Stdio::null());
    let mut process = historian_test_support::process::Process::start(command)?;
    let status = process.end(PATIENCE).with_context(|| format!("{:?}", command.get_args().next()))?;
    Ok((status.success(), fs::read(file.path())?))
}
