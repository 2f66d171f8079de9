//! Why a handshake failed, in the words of whoever has to do something about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The error of TLS within one of input and output.
fn within(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a client did not come in, as the server sees it.
pub fn of_client(error: &io::Error) -> String {
    match within(error) {
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the client closed the connection in the middle of it".to_owned(),
        None => error.to_string(),
        Some(Error::NoCertificatesPresented) => "the client showed no certificate, and tls.client_certificates is \"required\"".to_owned(),
        Some(Error::InvalidCertificate(error)) => format!("the client's certificate {}", judged_client(error)),
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA | AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
                format!("the client does not trust our certificate ({alert:?}); give it the certificate of our authority")
            }
            AlertDescription::CertificateExpired => "the client says that our certificate has expired".to_owned(),
            other => format!("the client gave up ({other:?})"),
        },
        Some(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Came with TLS 1.2.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        )) => "the client speaks neither TLS 1.2 nor 1.3".to_owned(),
        Some(Error::NoApplicationProtocol) => "the client speaks another protocol than this port (ALPN)".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// What somebody who connects can do, in the words of the place where it is set.
struct Remedies {
    /// Where authorities are named.
    trusted: &'static str,
    /// How a certificate is shown.
    shown: &'static str,
    /// How another name is given.
    renamed: &'static str,
    /// How it is without TLS.
    plain: &'static str,
}

const OF_COMMAND: Remedies =
    Remedies { trusted: "--tls-ca", shown: "give --tls-cert and --tls-key", renamed: "call it by one of these", plain: "it is grpc://" };
const OF_DEVICE: Remedies = Remedies {
    trusted: "ca_file",
    shown: "name certificate_file and key_file",
    renamed: "set server_name to one of these",
    plain: "leave tls out",
};

/// Why a server was not taken, as its client sees it. `host` is what the client was told to call it.
pub fn of_server(error: &io::Error, host: &str) -> String {
    not_taken(error, host, &OF_COMMAND)
}

/// Why a device was not taken, as its collector sees it, in the words of the collector's configuration.
pub fn of_device(error: &io::Error, host: &str) -> String {
    not_taken(error, host, &OF_DEVICE)
}

fn not_taken(error: &io::Error, host: &str, remedies: &Remedies) -> String {
    match within(error) {
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{host} closed the connection in the middle of the handshake; does it speak TLS? Without, {}", remedies.plain)
        }
        None => error.to_string(),
        Some(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            let names: Vec<&str> = presented.iter().map(|name| in_brackets(name)).collect();
            format!("the server's certificate is not for {host} but for {}; {}", names.join(", "), remedies.renamed)
        }
        Some(Error::InvalidCertificate(error)) => format!("the server's certificate {}", judged(error, remedies.trusted)),
        Some(Error::InvalidMessage(_)) => format!("{host} does not answer with TLS; without, {}", remedies.plain),
        Some(Error::AlertReceived(alert)) => of_alert(*alert, remedies),
        Some(other) => other.to_string(),
    }
}

/// Why a server ended a connection that its client took to be made: with TLS 1.3 a server judges its client last.
pub fn refused_later(error: &io::Error) -> Option<String> {
    later(error, &OF_COMMAND)
}

/// As [`refused_later`], of a device.
pub fn refused_by_device(error: &io::Error) -> Option<String> {
    later(error, &OF_DEVICE)
}

fn later(error: &io::Error, remedies: &Remedies) -> Option<String> {
    match within(error) {
        Some(Error::AlertReceived(alert)) => Some(of_alert(*alert, remedies)),
        _ => None,
    }
}

fn of_alert(alert: AlertDescription, remedies: &Remedies) -> String {
    match alert {
        AlertDescription::CertificateRequired => format!("the server asks for a certificate of its clients; {}", remedies.shown),
        AlertDescription::CertificateRevoked => "the server says that our certificate is revoked".to_owned(),
        AlertDescription::CertificateExpired => "the server says that our certificate has expired or is not valid yet".to_owned(),
        AlertDescription::UnknownCA => "the server does not know the authority of our certificate".to_owned(),
        AlertDescription::InternalError => "the server has no room for another connection, or failed".to_owned(),
        other => format!("the server gave up ({other:?})"),
    }
}

/// What is wrong with a client's certificate, as the end of a sentence.
pub(crate) fn judged_client(error: &CertificateError) -> String {
    judged(error, "tls.client_ca")
}

/// What is wrong with a certificate, as the end of a sentence; `trusted` says where authorities are named.
fn judged(error: &CertificateError, trusted: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => format!("is of an authority that is not trusted; name the right one with {trusted}"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; are both clocks right?".to_owned()
        }
        CertificateError::Revoked => "is revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "is for another purpose".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that is not taken: weak, or of a kind that is not known; RSA from 2048 bits, ECDSA and Ed25519 with SHA-256 or more are"
                .to_owned()
        }
        CertificateError::ApplicationVerificationFailure => "is another one than the configured".to_owned(),
        other => format!("was not taken: {other}"),
    }
}

/// `plant` of `DnsName("plant")`, as the library tells names.
fn in_brackets(name: &str) -> &str {
    name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_with_what_to_do() {
        let failed = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (error, expected) in [
            (failed(Error::NoCertificatesPresented), "showed no certificate"),
            (failed(CertificateError::UnknownIssuer.into()), "tls.client_ca"),
            (failed(CertificateError::Revoked.into()), "is revoked"),
            (failed(Error::AlertReceived(AlertDescription::UnknownCA)), "does not trust our certificate"),
            (failed(PeerIncompatible::Tls12NotOffered.into()), "neither TLS 1.2 nor 1.3"),
            (io::ErrorKind::UnexpectedEof.into(), "closed the connection"),
        ] {
            let text = of_client(&error);
            assert!(text.contains(expected), "{error:?}: {text}");
        }
        let presented = vec!["DnsName(\"plant\")".to_owned(), "IpAddress(192.0.2.1)".to_owned()];
        let expected = rustls::pki_types::ServerName::try_from("other").unwrap();
        for (error, expected) in [
            (CertificateError::NotValidForNameContext { expected, presented }, "not for other but for plant, 192.0.2.1;"),
            (CertificateError::UnknownIssuer, "--tls-ca"),
            (CertificateError::Expired, "has expired"),
        ] {
            let text = of_server(&failed(error.into()), "other");
            assert!(text.contains(expected), "{text}");
        }
        let broker = of_device(&failed(CertificateError::UnknownIssuer.into()), "broker");
        assert!(broker.contains("ca_file") && !broker.contains("--tls-ca"), "{broker}");
        let late = failed(Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(refused_later(&late).is_some_and(|text| text.contains("--tls-cert")));
        assert_eq!(refused_later(&io::Error::other("x")), None);
    }
}
