//! Which of the endpoints that a server offers is used, and how the user logs on there.

use opcua::{
    crypto::{SecurityPolicy, X509},
    types::{ByteString, EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType},
};

use super::{
    device::{OpcUaSettings, UserIdentity},
    wire::certificate,
};

/// The offered endpoint with the configured security and a way for the configured user to log on.
///
/// # Errors
/// What the server offers instead, or why no way to log on can be taken.
pub fn choose(device: &OpcUaSettings, offered: &[EndpointDescription]) -> Result<EndpointDescription, String> {
    let channel = |endpoint: &EndpointDescription| SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref());
    let secured: Vec<_> = offered
        .iter()
        .filter(|endpoint| channel(endpoint) == device.policy && endpoint.security_mode == device.mode)
        // The same may be offered over HTTPS or WebSockets.
        .filter(|endpoint| !["http", "opc.http", "opc.ws"].iter().any(|other| endpoint.endpoint_url.as_ref().starts_with(other)))
        .collect();
    if secured.is_empty() {
        let name = |policy: SecurityPolicy| if policy == SecurityPolicy::Unknown { "a policy unknown here" } else { policy.to_str() };
        let offers: Vec<_> = offered.iter().map(|endpoint| format!("{} {}", name(channel(endpoint)), endpoint.security_mode)).collect();
        return Err(format!(
            "the server has no endpoint with security {} {}; it offers: {}",
            device.policy,
            device.mode,
            offers.join(", ")
        ));
    }
    let wanted = token_type(&device.user);
    let mut best: Option<(Secrecy, EndpointDescription)> = None;
    let mut refusals = Vec::new();
    for endpoint in &secured {
        for token in endpoint.user_identity_tokens.iter().flatten().filter(|token| token.token_type == wanted) {
            match way(device, endpoint, token) {
                Ok(secrecy) if best.as_ref().is_none_or(|(before, _)| secrecy > *before) => {
                    best = Some((secrecy, prepared(device, endpoint, token, secrecy)));
                }
                Ok(_) => {}
                Err(why) => refusals.push(why),
            }
        }
    }
    if let Some((_, endpoint)) = best {
        return Ok(endpoint);
    }
    let (missing, sent, keys) = match &device.user {
        UserIdentity::Anonymous => ("anonymous user", "", "set user and password_file, or another identity that it takes"),
        UserIdentity::Password { .. } => {
            ("user name and password", "the password is not sent", "remove user and password_file, or let the server take them")
        }
        UserIdentity::Certificate { .. } => (
            "certificate of a user",
            "the user's certificate is not shown",
            "remove user_certificate_file and user_key_file, or let the server take them",
        ),
        UserIdentity::Token { .. } => ("issued token", "the token is not sent", "remove token_file, or let the server take tokens"),
    };
    if refusals.is_empty() {
        return Err(format!("the server's endpoint takes no {missing}; it takes: {}; {keys}", taken(&secured)));
    }
    Err(format!("{sent}: {}", refusals.join("; ")))
}

fn token_type(user: &UserIdentity) -> UserTokenType {
    match user {
        UserIdentity::Anonymous => UserTokenType::Anonymous,
        UserIdentity::Password { .. } => UserTokenType::UserName,
        UserIdentity::Certificate { .. } => UserTokenType::Certificate,
        UserIdentity::Token { .. } => UserTokenType::IssuedToken,
    }
}

/// The kinds of users that endpoints take, in words.
fn taken(endpoints: &[&EndpointDescription]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for token in endpoints.iter().flat_map(|endpoint| endpoint.user_identity_tokens.iter().flatten()) {
        let issued: &str = token.issued_token_type.as_ref();
        let kind = match token.token_type {
            UserTokenType::Anonymous => "anonymous".to_owned(),
            UserTokenType::UserName => "user name and password".to_owned(),
            UserTokenType::Certificate => "certificate".to_owned(),
            UserTokenType::IssuedToken => format!("issued token {issued:?}"),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() { "nobody".to_owned() } else { kinds.join(", ") }
}

/// How the configured user would log on by this policy.
///
/// # Errors
/// Why that cannot be done without giving something away.
fn way(device: &OpcUaSettings, endpoint: &EndpointDescription, token: &UserTokenPolicy) -> Result<Secrecy, String> {
    match &device.user {
        UserIdentity::Anonymous => Ok(Secrecy::Channel),
        UserIdentity::Password { .. } => secrecy(device, endpoint, token),
        UserIdentity::Certificate { .. } => proof(device, endpoint, token),
        UserIdentity::Token { kind, .. } => {
            let offered: &str = token.issued_token_type.as_ref();
            // There are servers that leave it out.
            if !offered.is_empty() && offered != kind {
                return Err(format!("the server takes tokens of the type {offered}, and this one is {kind}; set issued_type if it is not"));
            }
            let secrecy = secrecy(device, endpoint, token)?;
            // Whoever reads it can be us anywhere until it expires, and nobody chose to use it in the clear.
            if secrecy == Secrecy::None {
                return Err("the server wants it as clear text in a channel without encryption; set security_policy and security_mode = \
                            \"SignAndEncrypt\""
                    .into());
            }
            let policy = policy_of(device, token);
            if secrecy == Secrecy::Own && policy.is_deprecated() {
                return Err(withdrawn(policy));
            }
            Ok(secrecy)
        }
    }
}

/// Whether the user's key can prove that the certificate is ours: it signs the server's certificate and a number that the server made up.
fn proof(device: &OpcUaSettings, endpoint: &EndpointDescription, token: &UserTokenPolicy) -> Result<Secrecy, String> {
    let policy = policy_of(device, token);
    match policy {
        SecurityPolicy::Unknown => {
            Err(format!("the server wants it proven by the policy {}, which is not known here", token.security_policy_uri))
        }
        SecurityPolicy::None => Err("the server asks for no proof that its key is ours; set a security_policy other than None".into()),
        policy if policy.is_deprecated() => Err(withdrawn(policy)),
        policy => {
            let shown = certificate::leaf(endpoint.server_certificate.as_ref());
            match X509::from_byte_string(&ByteString::from(shown)) {
                Ok(_) => Ok(Secrecy::Own),
                Err(error) => {
                    Err(format!("the proof ({policy}) is for the server's certificate, and it shows none that can be read ({error})"))
                }
            }
        }
    }
}

fn withdrawn(policy: SecurityPolicy) -> String {
    format!("the server wants it protected by {policy}, which is broken and withdrawn from the standard")
}

/// The policy that protects what the user shows: that of the channel where the server does not say.
fn policy_of(device: &OpcUaSettings, token: &UserTokenPolicy) -> SecurityPolicy {
    let uri = token.security_policy_uri.as_ref();
    if uri.is_empty() { device.policy } else { SecurityPolicy::from_uri(uri) }
}

/// Who can read a secret on its way; the greater the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Secrecy {
    /// As clear text.
    None,
    /// As text in an encrypted channel.
    Channel,
    /// Encrypted for the server alone.
    Own,
}

/// How a password or a token would go by this policy.
fn secrecy(device: &OpcUaSettings, endpoint: &EndpointDescription, token: &UserTokenPolicy) -> Result<Secrecy, String> {
    match policy_of(device, token) {
        SecurityPolicy::Unknown => {
            Err(format!("the server wants it encrypted by the policy {}, which is not known here", token.security_policy_uri))
        }
        SecurityPolicy::None if device.mode == MessageSecurityMode::Sign => {
            Err("the server wants it as clear text in a channel that is only signed; set security_mode = \"SignAndEncrypt\"".into())
        }
        SecurityPolicy::None if device.mode == MessageSecurityMode::SignAndEncrypt => Ok(Secrecy::Channel),
        SecurityPolicy::None => Ok(Secrecy::None),
        policy => {
            let shown = certificate::leaf(endpoint.server_certificate.as_ref());
            if shown.is_empty() {
                return Err(format!(
                    "the server wants it encrypted ({policy}), but shows no certificate to encrypt it with; set a security_policy \
                     other than None, or give the server a certificate"
                ));
            }
            let key = X509::from_byte_string(&ByteString::from(shown)).and_then(|certificate| certificate.public_key());
            let bits = key.map(|key| opcua::crypto::KeySize::bit_length(&key));
            match bits {
                Ok(bits) if policy.is_valid_keylength(bits) => Ok(Secrecy::Own),
                Ok(bits) => Err(format!("the key of the server's certificate has {bits} bits, which {policy} does not allow")),
                Err(error) => Err(format!("the server's certificate has no RSA key to encrypt it with ({error})")),
            }
        }
    }
}

fn prepared(device: &OpcUaSettings, endpoint: &EndpointDescription, token: &UserTokenPolicy, secrecy: Secrecy) -> EndpointDescription {
    let mut endpoint = endpoint.clone();
    let mut token = token.clone();
    if matches!(device.user, UserIdentity::Certificate { .. }) && token.security_policy_uri.is_empty() {
        // The library takes that for None, and would show the certificate without the signature that proves it.
        token.security_policy_uri = device.policy.to_uri().into();
    }
    // Only what was chosen: the library takes the first policy of the type and does not expect an unknown one.
    endpoint.user_identity_tokens = Some(vec![token]);
    if device.policy == SecurityPolicy::None && secrecy != Secrecy::Own {
        // Nothing is encrypted with it, and the library refuses what it cannot read.
        endpoint.server_certificate = ByteString::null();
    }
    endpoint
}

/// Host and port of `configured` with the path that the server advertises.
pub fn with_path_of(configured: &str, advertised: &str) -> String {
    let split = |url: &str| {
        let rest = url.strip_prefix("opc.tcp://").unwrap_or(url);
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        (authority.to_owned(), path.to_owned())
    };
    format!("opc.tcp://{}{}", split(configured).0, split(advertised).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpcUaConfig;
    use historian_collector::{SettingPosition, TagConfig};

    const NONE: &str = "http://opcfoundation.org/UA/SecurityPolicy#None";
    const BASIC: &str = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
    const OLD: &str = "http://opcfoundation.org/UA/SecurityPolicy#Basic256";
    const NEW: &str = "http://opcfoundation.org/UA/SecurityPolicy#ECC_nistP256";

    fn device(keys: &str) -> OpcUaSettings {
        let config: OpcUaConfig = toml::from_str(&format!("name = \"d\"\nendpoint = \"opc.tcp://h:4840\"\n{keys}\n")).unwrap();
        let tag = TagConfig { name: "a".into(), address: "i=2258".into(), ..TagConfig::default() };
        let built = config.collector(SettingPosition::default(), vec![tag]).unwrap_or_else(|problems| panic!("{problems:?}"));
        (*built.device).clone()
    }

    fn offer(policy: &str, mode: MessageSecurityMode, tokens: &[&str], certificate: &[u8]) -> EndpointDescription {
        let token = |uri: &&str| UserTokenPolicy {
            policy_id: (*uri).into(),
            token_type: UserTokenType::UserName,
            security_policy_uri: (*uri).into(),
            ..UserTokenPolicy::default()
        };
        EndpointDescription {
            endpoint_url: "opc.tcp://h:4840/".into(),
            security_policy_uri: policy.into(),
            security_mode: mode,
            user_identity_tokens: Some(tokens.iter().map(token).collect()),
            server_certificate: ByteString::from(certificate),
            ..EndpointDescription::default()
        }
    }

    #[test]
    fn a_policy_that_is_not_known_here_is_said_and_no_panic() {
        let offers = [offer(NEW, MessageSecurityMode::SignAndEncrypt, &[], b"")];
        let error = choose(&device("security_policy = \"None\""), &offers).unwrap_err();
        assert!(error.contains("it offers: a policy unknown here SignAndEncrypt"), "{error}");
    }

    #[test]
    fn a_password_goes_by_the_safest_way_that_can_be_taken_or_not_at_all() {
        let open = device("security_policy = \"None\"\nuser = \"u\"\npassword_file = \"/p\"");
        let way = |tokens: &[&str], certificate: &[u8]| {
            let chosen = choose(&open, &[offer(NONE, MessageSecurityMode::None, tokens, certificate)])?;
            let token = chosen.user_identity_tokens.unwrap_or_default().remove(0);
            Ok::<_, String>((token.security_policy_uri.as_ref().to_owned(), chosen.server_certificate.is_null_or_empty()))
        };
        let (certificate, _) = X509::cert_and_pkey(&opcua::crypto::X509Data::sample_cert()).unwrap();
        let certificate = certificate.to_der().unwrap();
        assert_eq!(way(&["", BASIC], &certificate), Ok((BASIC.into(), false)));
        assert_eq!(way(&["", NEW], &certificate), Ok((String::new(), true)));
        // A certificate that nobody can read is no obstacle where none is needed.
        assert_eq!(way(&[NONE], b"none"), Ok((NONE.into(), true)));
        for (tokens, certificate, expected) in [
            (&[BASIC][..], &b""[..], "shows no certificate"),
            (&[BASIC], b"none", "no RSA key"),
            (&[NEW], &certificate, "not known here"),
            (&[], &certificate, "takes no user name and password"),
        ] {
            let error = way(tokens, certificate).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_certificate_goes_with_its_proof_and_a_token_where_the_server_alone_reads_it() {
        let (certificate, _) = X509::cert_and_pkey(&opcua::crypto::X509Data::sample_cert()).unwrap();
        let certificate = certificate.to_der().unwrap();
        let secure = (BASIC, MessageSecurityMode::SignAndEncrypt, "pki_dir = \"/p\"");
        let signed = (BASIC, MessageSecurityMode::Sign, "pki_dir = \"/p\"\nsecurity_mode = \"Sign\"");
        let open = (NONE, MessageSecurityMode::None, "security_policy = \"None\"");
        let way = |user: &str, (policy, mode, keys): (&str, MessageSecurityMode, &str), uri: &str, shown: &[u8]| {
            let device = device(&format!("{keys}\n{user}"));
            let mut offered = offer(policy, mode, &[uri], shown);
            for token in offered.user_identity_tokens.iter_mut().flatten() {
                token.token_type = token_type(&device.user);
                token.issued_token_type = if token.token_type == UserTokenType::IssuedToken { "urn:t".into() } else { "".into() };
            }
            let chosen = choose(&device, &[offered])?;
            Ok::<_, String>(chosen.user_identity_tokens.unwrap_or_default().remove(0).security_policy_uri.as_ref().to_owned())
        };
        let with_certificate = "user_certificate_file = \"/c\"\nuser_key_file = \"/k\"";
        let with_token = "token_file = \"/t\"\nissued_type = \"urn:t\"";
        // Where the server does not say how, the channel does: the library would sign nothing.
        assert_eq!(way(with_certificate, signed, "", &certificate), Ok(BASIC.into()));
        assert_eq!(way(with_certificate, open, BASIC, &certificate), Ok(BASIC.into()));
        assert_eq!(way(with_token, signed, "", &certificate), Ok(String::new()));
        assert_eq!(way(with_token, secure, NONE, &certificate), Ok(NONE.into()));
        assert_eq!(way(with_token, open, BASIC, &certificate), Ok(BASIC.into()));
        for (user, channel, uri, shown, expected) in [
            (with_certificate, open, "", &certificate[..], "asks for no proof"),
            (with_certificate, secure, NONE, &certificate, "asks for no proof"),
            (with_certificate, secure, NEW, &certificate, "not known here"),
            (with_certificate, open, OLD, &certificate, "broken and withdrawn"),
            (with_certificate, open, BASIC, b"none", "none that can be read"),
            (with_token, open, "", &certificate, "clear text in a channel without encryption"),
            (with_token, signed, NONE, &certificate, "only signed"),
            (with_token, open, OLD, &certificate, "broken and withdrawn"),
            (with_token, open, BASIC, b"", "no certificate to encrypt it with"),
            ("token_file = \"/t\"", secure, "", &certificate, "takes tokens of the type urn:t"),
        ] {
            let error = way(user, channel, uri, shown).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let nobody = [offer(BASIC, MessageSecurityMode::SignAndEncrypt, &[BASIC], &certificate)];
        let error = choose(&device(&format!("pki_dir = \"/p\"\n{with_token}")), &nobody).unwrap_err();
        assert!(error.contains("takes no issued token; it takes: user name and password;"), "{error}");
    }

    #[test]
    fn the_configured_host_and_port_win_over_the_advertised() {
        for (configured, advertised, expected) in [
            ("opc.tcp://10.0.0.5:14840", "opc.tcp://plc7:4840/freeopcua/server/", "opc.tcp://10.0.0.5:14840/freeopcua/server/"),
            ("opc.tcp://10.0.0.5:4840/x", "opc.tcp://plc7:4840", "opc.tcp://10.0.0.5:4840"),
            ("opc.tcp://[::1]:4840", "opc.tcp://0.0.0.0:4840/a", "opc.tcp://[::1]:4840/a"),
        ] {
            assert_eq!(with_path_of(configured, advertised), expected);
        }
    }
}
