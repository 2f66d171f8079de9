//! A small authority whose certificates may be wrong in any way.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use historian::model::{Clock, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// Certificates of servers and clients in a directory.
pub struct Mini {
    directory: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate says.
pub struct Wanted {
    pub common_name: String,
    pub names: Vec<SanType>,
    pub usage: ExtendedKeyUsagePurpose,
    /// Days from now.
    pub from: i32,
    pub to: i32,
    pub serial: u64,
}

impl Wanted {
    pub fn server(hosts: &[&str]) -> Wanted {
        let name = |host: &&str| match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*host).to_owned().try_into().unwrap()),
        };
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        Wanted { common_name: hosts[0].to_owned(), names: hosts.iter().map(name).collect(), usage, from: -1, to: 100, serial: 1 }
    }

    pub fn client(name: &str) -> Wanted {
        let uri = SanType::URI(format!("urn:client:{name}").try_into().unwrap());
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Wanted { common_name: name.to_owned(), names: vec![uri], usage, from: -1, to: 100, serial: 2 }
    }
}

/// Seconds since 1970, so many days from now.
fn in_days(days: i32) -> u64 {
    u64::try_from(SystemClock.now().0 / 1_000_000_000 + i64::from(days) * 86_400).unwrap()
}

impl Mini {
    /// An authority, its certificate in `<name>.crt`.
    pub fn new(directory: &Path, name: &str) -> Mini {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, name);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = wanted.self_signed(&key).unwrap();
        fs::write(directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Mini { directory: directory.to_owned(), name: name.to_owned(), issuer: Issuer::new(wanted, key) }
    }

    /// A certificate and its key in `<file>.crt` and `<file>.key`.
    pub fn issue(&self, file: &str, wanted: &Wanted) -> (PathBuf, PathBuf) {
        let mut certificate = CertificateParams::default();
        certificate.distinguished_name.push(DnType::CommonName, &wanted.common_name);
        certificate.subject_alt_names.clone_from(&wanted.names);
        certificate.extended_key_usages = vec![wanted.usage.clone()];
        certificate.is_ca = IsCa::ExplicitNoCa;
        certificate.use_authority_key_identifier_extension = true;
        certificate.serial_number = Some(SerialNumber::from(wanted.serial));
        let at = |days| date_time_ymd(1970, 1, 1) + Duration::from_secs(in_days(days));
        (certificate.not_before, certificate.not_after) = (at(wanted.from), at(wanted.to));
        let key = KeyPair::generate().unwrap();
        let made = certificate.signed_by(&key, &self.issuer).unwrap();
        let [certificate, secret] = ["crt", "key"].map(|ending| self.directory.join(format!("{file}.{ending}")));
        fs::write(&certificate, made.pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, secret)
    }

    /// The list of revoked certificates, in `<name>.crl`.
    pub fn revoke(&self, serials: &[u64]) {
        let at = |days| date_time_ymd(1970, 1, 1) + Duration::from_secs(in_days(days));
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(-1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: at(-1),
            next_update: at(30),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.directory.join(format!("{}.crl", self.name)), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }
}
