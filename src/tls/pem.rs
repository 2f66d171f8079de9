//! What stands in PEM files, and in an operator's words what does not.

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

/// What a file begins with that has the bytes of a certificate as they are.
const DER_SEQUENCE: u8 = 0x30;

/// The certificates of a file in their order; at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = items(text)?;
    if !found.is_empty() {
        return Ok(found);
    }
    if text.first() == Some(&DER_SEQUENCE) {
        return Err("is in the binary form DER; write it as PEM with `openssl x509 -inform der -in FILE -out FILE.pem`".to_owned());
    }
    let message = if has_key(text) {
        "has a private key and no certificate; are the two files exchanged?"
    } else {
        "has no certificate, which would begin with -----BEGIN CERTIFICATE-----"
    };
    Err(message.to_owned())
}

/// The private key of a file.
pub fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if has(text, "BEGIN ENCRYPTED PRIVATE KEY") || has(text, "Proc-Type: 4,ENCRYPTED") {
        return Err(
            "is encrypted, and nobody is there to type its pass phrase at a start; write it without one with `openssl pkey -in FILE -out \
                    FILE.plain`, and let only the historian read that: `chmod 600 FILE.plain`"
                .to_owned(),
        );
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) if has(text, "BEGIN CERTIFICATE-----") => {
            Err("has a certificate and no private key; are the two files exchanged?".to_owned())
        }
        Err(Error::NoItemsFound) => Err("has no private key, which would begin with -----BEGIN PRIVATE KEY-----".to_owned()),
        Err(error) => Err(in_words(&error)),
    }
}

/// The lists of revoked certificates in a file; at least one.
pub fn crls(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let found: Vec<CertificateRevocationListDer<'static>> = items(text)?;
    if found.is_empty() {
        return Err("has no list of revoked certificates, which would begin with -----BEGIN X509 CRL-----".to_owned());
    }
    Ok(found)
}

/// Whether there is something of a private key, in whatever form.
pub fn has_key(text: &[u8]) -> bool {
    has(text, "PRIVATE KEY-----")
}

fn items<T: PemObject>(text: &[u8]) -> Result<Vec<T>, String> {
    T::pem_slice_iter(text).collect::<Result<Vec<T>, Error>>().map_err(|error| in_words(&error))
}

fn in_words(error: &Error) -> String {
    match error {
        Error::MissingSectionEnd { .. } => "ends in the middle of a section; is it written whole?".to_owned(),
        other => format!("is no PEM: {other}"),
    }
}

fn has(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|window| window == words.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_is_in_a_file_is_found_and_what_is_not_is_told() {
        let both = format!("{KEY}{CERTIFICATE}text\n{CERTIFICATE}");
        assert_eq!(certificates(both.as_bytes()).map(|found| found.len()), Ok(2));
        assert!(key(both.as_bytes()).is_ok());
        for (text, expected) in [
            ("", "has no certificate"),
            (KEY, "exchanged"),
            ("0\u{3}", "openssl x509 -inform der"),
            (&CERTIFICATE[..40], "in the middle"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "is no PEM"),
        ] {
            let message = certificates(text.as_bytes()).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        for (text, expected) in [
            ("", "has no private key"),
            (CERTIFICATE, "exchanged"),
            (&KEY[..30], "in the middle"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", "openssl pkey"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END RSA PRIVATE KEY-----\n", "openssl pkey"),
        ] {
            let message = key(text.as_bytes()).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        assert!(crls(CERTIFICATE.as_bytes()).unwrap_err().contains("X509 CRL"));
    }
}
