//! The identity provider of `[oidc]`: whether all is there that it takes, and whether its files can be read.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use historian_collector::{ConfigProblem, SettingPosition};
use historian_oidc::{KeySource, OidcSettings};
use historian_tls::ClientTls;
use serde::Deserialize;

const SUBJECT_CLAIM: &str = "sub";
const ROLES_CLAIM: &str = "roles";
const LEEWAY_S: u64 = 30;
/// More than clocks of machines that are kept in time ever differ.
const LEEWAY_S_MAX: u64 = 300;

/// An identity provider whose tokens are taken: `[oidc]`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OidcSection {
    /// As its tokens name it.
    issuer: Option<String>,
    /// What its tokens name this historian.
    audience: Option<String>,
    /// File with its keys. Without it they are asked for where the issuer tells.
    keys_file: Option<PathBuf>,
    /// An authority to trust beside those of this machine, where the provider is asked.
    ca: Option<PathBuf>,
    /// Claim with the name of the subject.
    subject_claim: Option<String>,
    /// Claim with its roles.
    roles_claim: Option<String>,
    /// By how much the clocks may differ.
    leeway_s: Option<u64>,
}

/// The provider, where one is configured. Relative paths start at `directory`.
pub(super) fn provider(
    written: OidcSection,
    directory: &Path,
    position_of: impl Fn(&str) -> SettingPosition,
    problems: &mut Vec<ConfigProblem>,
) -> Option<OidcSettings> {
    if written == OidcSection::default() {
        return None;
    }
    let before = problems.len();
    let mut refuse = |key: &str, message: String| {
        let key = format!("oidc.{key}");
        problems.push(ConfigProblem { position: position_of(&key), key, message });
    };
    let OidcSection { issuer, audience, keys_file, ca, subject_claim, roles_claim, leeway_s } = written;
    let mut needed = |key: &str, text: Option<String>, what: &str| {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            refuse(key, format!("is needed: {what}"));
        }
        text
    };
    let issuer = needed("issuer", issuer, "the address of the provider, as its tokens have it in `iss`");
    let audience = needed("audience", audience, "what tokens for this historian have in `aud`");
    let subject_claim = needed("subject_claim", Some(subject_claim.unwrap_or_else(|| SUBJECT_CLAIM.to_owned())), "the name of a claim");
    let roles_claim = needed("roles_claim", Some(roles_claim.unwrap_or_else(|| ROLES_CLAIM.to_owned())), "the name of a claim");
    let leeway_s = leeway_s.unwrap_or(LEEWAY_S);
    if leeway_s > LEEWAY_S_MAX {
        refuse("leeway_s", format!("{leeway_s} is not from 0 to {LEEWAY_S_MAX}"));
    }
    let keys = keys_file.map_or(KeySource::Discovery, |path| KeySource::File(directory.join(path)));
    let ca = ca.map(|path| directory.join(path));
    if ca.is_some() && keys != KeySource::Discovery {
        refuse("ca", "is for asking the provider, and keys_file says that nobody is asked".to_owned());
    } else if let Err(problem) = (ClientTls { ca: ca.clone(), pair: None }).config() {
        refuse("ca", problem.to_string());
    }
    let is_file = keys != KeySource::Discovery;
    let settings = OidcSettings { issuer, audience, keys, ca, subject_claim, roles_claim, leeway: Duration::from_secs(leeway_s) };
    if let Err(message) = settings.check()
        && !settings.issuer.is_empty()
    {
        refuse(if is_file { "keys_file" } else { "issuer" }, message);
    }
    (problems.len() == before).then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, parse};
    use super::*;

    fn told(text: &str) -> Result<Option<OidcSettings>, Vec<String>> {
        let parsed = parse("f.toml", text, Path::new("/nowhere"), &Overrides::default());
        parsed.map(|configuration| configuration.oidc).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_provider_is_read_with_its_defaults() {
        assert_eq!(told("").unwrap(), None);
        let provider = told("[oidc]\nissuer = \"https://id.example/realms/plant\"\naudience = \"historian\"\n").unwrap().unwrap();
        assert_eq!((provider.subject_claim.as_str(), provider.roles_claim.as_str(), provider.leeway.as_secs()), ("sub", "roles", 30));
        assert_eq!((provider.keys, provider.ca), (KeySource::Discovery, None));
    }

    #[test]
    fn what_is_wrong_with_a_provider_is_told_with_its_line() {
        let whole = "[oidc]\nissuer = \"https://id.example\"\naudience = \"historian\"\n";
        for (text, expected) in [
            ("[oidc]\naudience = \"historian\"\n".to_owned(), "f.toml: oidc.issuer: is needed"),
            ("[oidc]\nissuer = \"https://id.example\"\n".to_owned(), "f.toml: oidc.audience: is needed"),
            (whole.replace("https", "http"), "f.toml:2: oidc.issuer: http://id.example is without TLS"),
            (whole.replace("https://id.example", "id.example"), "f.toml:2: oidc.issuer: \"id.example\" is no address"),
            (format!("{whole}keys_file = \"k.json\"\n"), "f.toml:4: oidc.keys_file: /nowhere/k.json: "),
            (format!("{whole}ca = \"ca.crt\"\n"), "f.toml:4: oidc.ca: /nowhere/ca.crt: there is no such file"),
            (format!("{whole}leeway_s = 301\n"), "f.toml:4: oidc.leeway_s: 301 is not from 0 to 300"),
            (format!("{whole}roles_claim = \"\"\n"), "f.toml:4: oidc.roles_claim: is needed"),
            (format!("{whole}secret = \"x\"\n"), "f.toml:4: oidc.secret"),
        ] {
            let found = told(&text).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:#?}");
        }
    }
}
