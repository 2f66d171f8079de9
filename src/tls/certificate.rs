//! What a certificate says: whose it is, for which names, from when to when, and its fingerprint.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use historian_model::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode, Tag, Tagged, asn1::ObjectIdentifier},
    ext::pkix::{SubjectAltName, name::GeneralName},
    name::Name,
    time::Time,
};

/// How long before its end a certificate is warned of.
pub const EXPIRES_SOON: Duration = Duration::from_hours(30 * 24);

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    pub subject: String,
    pub issuer: String,
    /// Alternative names with their kinds: `DNS:plant`, `IP:192.0.2.1`, `URI:urn:x`, `email:a@b`.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes it.
    pub fingerprint: String,
    pub serial: String,
}

/// Where a moment lies in the time of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateValidity {
    NotYet,
    Valid,
    ExpiresSoon,
    Expired,
}

impl CertificateFacts {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// It is none.
    pub fn of(der: &[u8]) -> Result<CertificateFacts, String> {
        let certificate = parse(der)?;
        let body = &certificate.tbs_certificate;
        Ok(CertificateFacts {
            subject: body.subject.to_string(),
            issuer: body.issuer.to_string(),
            names: alternative_names(&certificate)?.iter().filter_map(in_words).collect(),
            not_before: timestamp(body.validity.not_before),
            not_after: timestamp(body.validity.not_after),
            fingerprint: fingerprint(der),
            serial: hexadecimal(body.serial_number.as_bytes()),
        })
    }

    pub fn validity(&self, now: Timestamp) -> CertificateValidity {
        let soon = i64::try_from(EXPIRES_SOON.as_nanos()).unwrap_or(i64::MAX);
        match () {
            () if now < self.not_before => CertificateValidity::NotYet,
            () if now > self.not_after => CertificateValidity::Expired,
            () if now.0 > self.not_after.0.saturating_sub(soon) => CertificateValidity::ExpiresSoon,
            () => CertificateValidity::Valid,
        }
    }

    /// What an operator should do about its time; `None` while there is nothing to do.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        match self.validity(now) {
            CertificateValidity::Valid => None,
            CertificateValidity::NotYet => {
                Some(format!("the certificate is valid only from {} on, so clients refuse it; is the clock right?", self.not_before))
            }
            CertificateValidity::Expired => {
                Some(format!("the certificate expired on {}, so clients refuse it; put a new one in its place", self.not_after))
            }
            CertificateValidity::ExpiresSoon => {
                let days = (self.not_after.0.saturating_sub(now.0)) / (24 * 3600 * 1_000_000_000);
                Some(format!("the certificate expires on {}, in {days} days; put a new one in its place", self.not_after))
            }
        }
    }
}

/// Whom a client's certificate is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The first alternative name that is a URI, a DNS name or a mail address; without one the common name.
    pub name: String,
    pub subject: String,
    pub fingerprint: String,
}

impl ClientIdentity {
    /// The identity in a certificate in DER; `None` where it names nobody. Whether it is to be believed is for who checked its signature.
    pub fn of(der: &[u8]) -> Option<ClientIdentity> {
        let certificate = parse(der).ok()?;
        let subject = &certificate.tbs_certificate.subject;
        let alternative = alternative_names(&certificate).ok()?.into_iter().find_map(|name| match name {
            GeneralName::UniformResourceIdentifier(name) | GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => {
                Some(name.to_string())
            }
            _ => None,
        });
        let name = alternative.or_else(|| common_name(subject)).filter(|name| is_a_name(name))?;
        Some(ClientIdentity { name, subject: subject.to_string(), fingerprint: fingerprint(der) })
    }
}

/// Whether a text can stand for somebody in a log and a list.
fn is_a_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// SHA-256 of a certificate in DER, in pairs of digits.
pub fn fingerprint(der: &[u8]) -> String {
    hexadecimal(&Sha256::digest(der))
}

/// The subject's common name.
pub fn common_name_of(der: &[u8]) -> Result<Option<String>, String> {
    Ok(common_name(&parse(der)?.tbs_certificate.subject))
}

fn parse(der: &[u8]) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| format!("has a certificate that cannot be read: {error}"))
}

fn alternative_names(certificate: &Certificate) -> Result<Vec<GeneralName>, String> {
    let found: Option<(bool, SubjectAltName)> =
        certificate.tbs_certificate.get().map_err(|error| format!("has a certificate whose names cannot be read: {error}"))?;
    Ok(found.map(|(_, names)| names.0).unwrap_or_default())
}

fn common_name(subject: &Name) -> Option<String> {
    let value = subject.0.iter().flat_map(|part| part.0.iter()).find(|attribute| attribute.oid == COMMON_NAME).map(|found| &found.value)?;
    let is_utf8 = matches!(value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    is_utf8.then(|| String::from_utf8(value.value().to_vec()).ok()).flatten()
}

fn in_words(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(format!("DNS:{name}")),
        GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{name}")),
        GeneralName::Rfc822Name(name) => Some(format!("email:{name}")),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string());
            four.or_else(|| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string())).map(|address| format!("IP:{address}"))
        }
        _ => None,
    }
}

/// Later than any timestamp is the last one: certificates without an end say the year 9999.
fn timestamp(time: Time) -> Timestamp {
    i64::try_from(time.to_unix_duration().as_nanos()).map_or(Timestamp::MAX, Timestamp)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{}{byte:02X}", if text.is_empty() { "" } else { ":" });
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(common_name: &str, names: Vec<SanType>) -> Vec<u8> {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, common_name);
        wanted.subject_alt_names = names;
        (wanted.not_before, wanted.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 12, 31));
        wanted.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn at((year, month, day): (i32, u8, u8)) -> Timestamp {
        Timestamp(date_time_ymd(year, month, day).unix_timestamp() * 1_000_000_000)
    }

    #[test]
    fn the_identity_is_the_first_name_that_can_be_one() {
        let name = |text: &str| text.to_owned().try_into().unwrap();
        let identity = |names| ClientIdentity::of(&certificate("cn", names)).map(|identity| identity.name);
        assert_eq!(identity(vec![]).as_deref(), Some("cn"));
        assert_eq!(identity(vec![SanType::IpAddress([127, 0, 0, 1].into())]).as_deref(), Some("cn"));
        let all = || vec![SanType::URI(name("urn:a:b")), SanType::DnsName(name("host")), SanType::Rfc822Name(name("a@b"))];
        assert_eq!(identity(all()).as_deref(), Some("urn:a:b"));
        assert_eq!(identity(all().split_off(1)).as_deref(), Some("host"));
        assert_eq!(identity(all().split_off(2)).as_deref(), Some("a@b"));
        for nobody in ["", "  ", "a\nb", "a\u{1b}[0m"] {
            assert_eq!(ClientIdentity::of(&certificate(nobody, vec![])), None, "{nobody:?}");
        }
        assert_eq!(ClientIdentity::of(b"no certificate"), None);
    }

    #[test]
    fn a_certificate_is_told_in_words() {
        let der =
            certificate("plant", vec![SanType::DnsName("plant".to_owned().try_into().unwrap()), SanType::IpAddress([192, 0, 2, 1].into())]);
        let facts = CertificateFacts::of(&der).unwrap();
        assert_eq!(
            (facts.subject.as_str(), facts.names.as_slice()),
            ("CN=plant", &["DNS:plant".to_owned(), "IP:192.0.2.1".to_owned()][..])
        );
        assert_eq!((facts.not_before, facts.not_after), (at((2026, 1, 1)), at((2026, 12, 31))));
        assert_eq!((facts.fingerprint.len(), facts.fingerprint.matches(':').count()), (95, 31));
        for (now, validity, warned) in [
            ((2025, 12, 31), CertificateValidity::NotYet, true),
            ((2026, 1, 2), CertificateValidity::Valid, false),
            ((2026, 11, 30), CertificateValidity::Valid, false),
            ((2026, 12, 2), CertificateValidity::ExpiresSoon, true),
            ((2027, 1, 1), CertificateValidity::Expired, true),
        ] {
            assert_eq!((facts.validity(at(now)), facts.warning(at(now)).is_some()), (validity, warned), "{now:?}");
        }
        assert!(facts.warning(at((2026, 12, 2))).is_some_and(|text| text.contains("in 29 days")));
    }
}
