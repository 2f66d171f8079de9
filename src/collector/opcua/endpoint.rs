//! Which of the endpoints that a server offers is used, and how the user logs on there.

use opcua::{
    crypto::{SecurityPolicy, X509},
    types::{ByteString, EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType},
};

use super::{device::OpcUaSettings, wire::certificate};

/// The offered endpoint with the configured security and a way for the configured user to log on.
///
/// # Errors
/// What the server offers instead, or why no way to log on can be taken.
pub fn choose(device: &OpcUaSettings, offered: &[EndpointDescription]) -> Result<EndpointDescription, String> {
    let policy_of = |endpoint: &EndpointDescription| SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref());
    let secured: Vec<_> = offered
        .iter()
        .filter(|endpoint| policy_of(endpoint) == device.policy && endpoint.security_mode == device.mode)
        // The same may be offered over HTTPS or WebSockets.
        .filter(|endpoint| !["http", "opc.http", "opc.ws"].iter().any(|other| endpoint.endpoint_url.as_ref().starts_with(other)))
        .collect();
    if secured.is_empty() {
        let name = |policy: SecurityPolicy| if policy == SecurityPolicy::Unknown { "a policy unknown here" } else { policy.to_str() };
        let offers: Vec<_> = offered.iter().map(|endpoint| format!("{} {}", name(policy_of(endpoint)), endpoint.security_mode)).collect();
        return Err(format!(
            "the server has no endpoint with security {} {}; it offers: {}",
            device.policy,
            device.mode,
            offers.join(", ")
        ));
    }
    let wanted = if device.user.is_some() { UserTokenType::UserName } else { UserTokenType::Anonymous };
    let mut best: Option<(Secrecy, EndpointDescription)> = None;
    let mut refusals = Vec::new();
    for endpoint in secured {
        for token in endpoint.user_identity_tokens.iter().flatten().filter(|token| token.token_type == wanted) {
            let secrecy = if device.user.is_some() { secrecy(device, endpoint, token) } else { Ok(Secrecy::Channel) };
            match secrecy {
                Ok(secrecy) if best.as_ref().is_none_or(|(before, _)| secrecy > *before) => {
                    best = Some((secrecy, prepared(device, endpoint, token, secrecy)));
                }
                Ok(_) => {}
                Err(why) => refusals.push(why),
            }
        }
    }
    match best {
        Some((_, endpoint)) => Ok(endpoint),
        None if device.user.is_none() => Err("the server's endpoint takes no anonymous user; set user and password_file".into()),
        None if refusals.is_empty() => Err("the server's endpoint takes no user name and password; remove user and password_file, \
             or let the server take them"
            .into()),
        None => Err(format!("the password is not sent: {}", refusals.join("; "))),
    }
}

/// Who can read the password on its way; the greater the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Secrecy {
    /// As clear text.
    None,
    /// As text in an encrypted channel.
    Channel,
    /// Encrypted for the server alone.
    Own,
}

/// How the password would go by this policy.
fn secrecy(device: &OpcUaSettings, endpoint: &EndpointDescription, token: &UserTokenPolicy) -> Result<Secrecy, String> {
    let uri = token.security_policy_uri.as_ref();
    let policy = if uri.is_empty() { device.policy } else { SecurityPolicy::from_uri(uri) };
    match policy {
        SecurityPolicy::Unknown => Err(format!("the server wants it encrypted by the policy {uri}, which is not known here")),
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
    // Only what was chosen: the library takes the first policy of the type and does not expect an unknown one.
    endpoint.user_identity_tokens = Some(vec![token.clone()]);
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
