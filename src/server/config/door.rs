//! Who may reach the ports: what `[tls]` says, checked against its files, and the addresses that may be listened on.

use std::{net::SocketAddr, path::Path};

use historian_access::{AccessBook, AccessFile};
use historian_collector::{ConfigProblem, SettingPosition};
use historian_tls::{ClientCertificates, ServerPair, TlsFiles};

use super::settings::TlsSettings;

/// The flags of a file, as they are named in problems of what they gave.
fn flag(key: &str) -> &'static str {
    match key {
        "certificate" => "--tls-certificate",
        "key" => "--tls-key",
        "client_ca" => "--tls-client-ca",
        "client_certificates" => "--tls-client-certificates",
        _ => "--tls-client-crl",
    }
}

/// `[tls]` with relative paths of the file made whole.
pub(super) fn in_directory(mut written: TlsSettings, directory: &Path) -> TlsSettings {
    let single = [&mut written.certificate, &mut written.key, &mut written.client_ca].into_iter().flatten();
    for path in single.chain(&mut written.client_crls) {
        *path = directory.join(&*path);
    }
    written
}

/// What of `[tls]` holds, flags over the file, and where each part of it comes from.
struct Merged<'settings> {
    written: &'settings TlsSettings,
    given: &'settings TlsSettings,
}

impl Merged<'_> {
    fn settings(&self) -> TlsSettings {
        let Merged { written, given } = self;
        let crls = if given.client_crls.is_empty() { &written.client_crls } else { &given.client_crls };
        TlsSettings {
            certificate: given.certificate.clone().or_else(|| written.certificate.clone()),
            key: given.key.clone().or_else(|| written.key.clone()),
            client_ca: given.client_ca.clone().or_else(|| written.client_ca.clone()),
            client_certificates: given.client_certificates.or(written.client_certificates),
            client_crls: crls.clone(),
        }
    }

    fn is_given(&self, key: &str) -> bool {
        match key {
            "certificate" => self.given.certificate.is_some(),
            "key" => self.given.key.is_some(),
            "client_ca" => self.given.client_ca.is_some(),
            "client_certificates" => self.given.client_certificates.is_some(),
            _ => !self.given.client_crls.is_empty(),
        }
    }
}

/// The files of TLS, where there are some, and whether they can be served with.
pub(super) fn tls(
    written: &TlsSettings,
    given: &TlsSettings,
    position_of: impl Fn(&str) -> SettingPosition,
    problems: &mut Vec<ConfigProblem>,
) -> Option<TlsFiles> {
    let merged = Merged { written, given };
    let settings = merged.settings();
    if settings == TlsSettings::default() {
        return None;
    }
    let before = problems.len();
    let mut refuse = |key: &str, message: String| {
        let (position, key) = if merged.is_given(key) {
            (SettingPosition::default(), flag(key).to_owned())
        } else {
            (position_of(&format!("tls.{key}")), format!("tls.{key}"))
        };
        problems.push(ConfigProblem { position, key, message });
    };
    let asked = settings.client_certificates.unwrap_or_default();
    for (key, is_missing) in [("certificate", settings.certificate.is_none()), ("key", settings.key.is_none())] {
        if is_missing {
            refuse(key, "is needed for TLS and is not there; `historian tls init` makes certificate and key".to_owned());
        }
    }
    match (asked, &settings.client_ca) {
        (ClientCertificates::Off, Some(_)) => {
            let message =
                "names authorities of clients, and client_certificates asks for no certificate; say \"optional\" or \"required\" there";
            refuse("client_ca", message.to_owned());
        }
        (ClientCertificates::Optional | ClientCertificates::Required, None) => {
            refuse("client_certificates", "asks for certificates, and client_ca names no authority of theirs".to_owned());
        }
        _ => {}
    }
    if asked == ClientCertificates::Off && !settings.client_crls.is_empty() {
        refuse("client_crls", "has lists of revoked certificates, and client_certificates asks for no certificate".to_owned());
    }
    let files = TlsFiles {
        certificate: settings.certificate.unwrap_or_default(),
        key: settings.key.unwrap_or_default(),
        client_certificates: asked,
        client_ca: settings.client_ca,
        client_crls: settings.client_crls,
    };
    if let Err(found) = ServerPair::read(&files) {
        // Of a file that is not named enough is said.
        for problem in found.into_iter().filter(|problem| !problem.path.as_os_str().is_empty()) {
            refuse(problem.file.key(), problem.to_string());
        }
    }
    (problems.len() == before).then_some(files)
}

/// Why an address cannot be listened on with an identity provider or the tokens of a data directory; `None` where it can.
pub(super) fn unreachable_with(address: SocketAddr, has_tls: bool, has_oidc: bool, data_dir: &Path) -> Option<String> {
    if address.ip().is_loopback() {
        return None;
    }
    match AccessBook::open(&AccessFile::in_directory(data_dir)) {
        Ok(book) => unreachable(address, has_tls, has_oidc || !book.is_empty()),
        Err(error) => Some(format!("{address} can be reached from other machines, and the tokens cannot be read: {error}")),
    }
}

/// Why an address cannot be listened on; `None` where it can. This is the one place that lets a port be reached from other machines: where there
/// are both TLS and something that callers are asked for. It is asked where a configuration is read, and again with what a server has before it listens.
pub fn unreachable(address: SocketAddr, has_tls: bool, is_closed: bool) -> Option<String> {
    const TLS: &str = "TLS, which is not configured (`historian tls init` makes what it needs)";
    const TOKENS: &str = "API tokens, of which the data directory has none (`historian token create` makes the first one)";
    let missing = match (has_tls, is_closed) {
        _ if address.ip().is_loopback() => return None,
        (true, true) => return None,
        (true, false) => TOKENS.to_owned(),
        (false, true) => TLS.to_owned(),
        (false, false) => format!("{TLS}, and {TOKENS}"),
    };
    Some(format!("{address} can be reached from other machines; that takes {missing}. Until then use 127.0.0.1 or [::1]"))
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, parse};
    use super::*;

    fn told(text: &str, overrides: &Overrides) -> Vec<String> {
        match parse("f.toml", text, Path::new("/nowhere"), overrides) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_is_wrong_with_tls_is_told_with_its_line_or_flag() {
        let pair = "[tls]\ncertificate = \"a.crt\"\nkey = \"/b.key\"\n";
        for (text, expected) in [
            (
                pair.to_owned(),
                vec!["f.toml:2: tls.certificate: /nowhere/a.crt: there is no such file", "f.toml:3: tls.key: /b.key: there is no"],
            ),
            (
                "[tls]\ncertificate = \"a.crt\"\n".to_owned(),
                vec!["f.toml: tls.key: is needed", "f.toml:2: tls.certificate: /nowhere/a.crt"],
            ),
            (format!("{pair}client_ca = \"c\"\n"), vec!["f.toml:2: ", "f.toml:3: ", "f.toml:4: tls.client_ca: names authorities"]),
            (format!("{pair}client_crls = [\"c\"]\n"), vec!["f.toml:2: ", "f.toml:3: ", "f.toml:4: tls.client_crls: has lists"]),
            (
                format!("{pair}client_certificates = \"required\"\n"),
                vec!["f.toml:2: ", "f.toml:3: ", "f.toml:4: tls.client_certificates: asks for certificates"],
            ),
            (format!("{pair}client_certificates = \"on\"\n"), vec!["f.toml:4: tls.client_certificates: expected \"off\""]),
        ] {
            let found = told(&text, &Overrides::default());
            assert!(
                found.len() == expected.len() && found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected)),
                "{found:#?}"
            );
        }
        let given = Overrides { tls: TlsSettings { certificate: Some("c.crt".into()), ..TlsSettings::default() }, ..Overrides::default() };
        let found = told("[tls]\nkey = \"/b.key\"\n", &given);
        assert!(found.iter().any(|problem| problem.contains("--tls-certificate: c.crt: there is no such file")), "{found:#?}");
    }

    /// Whatever has become of a configuration since it was read: nothing listens, and nothing is made.
    #[tokio::test]
    async fn a_server_without_tokens_does_not_listen_where_others_reach_it() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let overrides = Overrides { data_dir: Some(data_dir.clone()), listen, http: listen, ..Overrides::default() };
        for is_http in [false, true] {
            let mut configuration = parse("f.toml", "", directory.path(), &overrides).unwrap();
            let opened = if is_http { &mut configuration.server.http } else { &mut configuration.server.listen };
            *opened = "0.0.0.0:0".parse().unwrap();
            let stop = tokio_util::sync::CancellationToken::new();
            let refused = crate::run(configuration, stop).await.unwrap_err().to_string();
            assert!(refused.contains("`historian tls init`") && refused.contains("`historian token create`"), "{refused}");
            assert!(!data_dir.exists());
        }
    }

    #[test]
    fn tokens_that_cannot_be_read_are_told_as_such() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("access.json"), "{").unwrap();
        let refused = unreachable_with("192.0.2.1:1".parse().unwrap(), true, false, directory.path()).unwrap();
        assert!(refused.contains("cannot be read") && refused.contains("access.json"), "{refused}");
        assert_eq!(unreachable_with("127.0.0.1:1".parse().unwrap(), false, false, directory.path()), None);
    }

    #[test]
    fn an_address_of_other_machines_is_refused_with_what_is_missing() {
        for address in ["127.0.0.1:1", "[::1]:1"] {
            assert_eq!(unreachable(address.parse().unwrap(), false, false), None);
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let told = |has_tls, has_tokens| unreachable(address.parse().unwrap(), has_tls, has_tokens);
            for (has_tls, has_tokens) in [(false, false), (false, true), (true, false)] {
                let told = told(has_tls, has_tokens).unwrap();
                assert_eq!(told.contains("`historian tls init`"), !has_tls, "{told}");
                assert_eq!(told.contains("`historian token create`"), !has_tokens, "{told}");
            }
            assert_eq!(told(true, true), None);
        }
    }
}
