//! Certificates that are trusted because the configuration names them: by the SHA-256 of the certificate, or of its public key
//! (SubjectPublicKeyInfo, as in RFC 7469), or by a file that holds the certificate.
//!
//! Knows digests and the one certificate that a server shows. If the configuration also names authorities, their check is added.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use std::{path::PathBuf, sync::Arc};

use ring::digest::{SHA256, digest};
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::http::base64;

/// A SHA-256 digest.
pub type Print = [u8; 32];

/// The value of `pin` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The digest of the certificate or of its public key.
    Print(Print),
    /// A file with the certificate, in PEM.
    File(PathBuf),
}

/// The SHA-256 of these bytes.
pub fn print(bytes: &[u8]) -> Print {
    let mut print = Print::default();
    print.copy_from_slice(digest(&SHA256, bytes).as_ref());
    print
}

/// The SHA-256 of a certificate's public key; `None`: it cannot be read.
pub fn of_key(certificate: &CertificateDer<'_>) -> Option<Print> {
    ParsedCertificate::try_from(certificate).ok().map(|read| print(&read.subject_public_key_info()))
}

impl Pin {
    /// 64 hexadecimal digits, with or without colons, or base64, each with or without `sha256:` or `sha256/` before it;
    /// anything else is the name of a file.
    pub fn parse(text: &str) -> Self {
        let bare =
            ["sha256//", "sha256/", "sha256:", "SHA256:"].into_iter().find_map(|prefix| text.strip_prefix(prefix));
        let bare = bare.unwrap_or(text);
        match hexadecimal(bare).or_else(|| of_base64(bare)) {
            Some(print) => Self::Print(print),
            None => Self::File(PathBuf::from(text)),
        }
    }
}

fn hexadecimal(text: &str) -> Option<Print> {
    HEXLOWER_PERMISSIVE.decode(text.replace(':', "").as_bytes()).ok()?.try_into().ok()
}

fn of_base64(text: &str) -> Option<Print> {
    let mut bytes = Vec::new();
    base64::decode(text, &mut bytes).ok()?;
    bytes.try_into().ok()
}

fn shown(print: &Print) -> String {
    HEXLOWER.encode(print)
}

/// Accepts a server that shows one of these certificates, or one with one of these keys, if the other verifier, when there is one,
/// accepts it too. Without another verifier neither names nor dates count.
#[derive(Debug)]
pub struct Pinned {
    pub prints: Vec<Print>,
    pub judge: Option<Arc<dyn ServerCertVerifier>>,
    pub provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let whole = print(certificate);
        // A certificate that cannot be parsed has no key that could be pinned.
        let key = of_key(certificate);
        if !self.prints.iter().any(|pinned| *pinned == whole || Some(*pinned) == key) {
            let of_key = key.map_or_else(String::new, |key| format!(", that of its public key {}", shown(&key)));
            let whole = shown(&whole);
            return Err(Error::General(format!(
                "its certificate is not the one in `pin`: its SHA-256 is {whole}{of_key}"
            )));
        }
        match &self.judge {
            Some(judge) => judge.verify_server_cert(certificate, chain, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_digest_in_any_usual_spelling_or_a_file() {
        let print = print(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(shown(&print), hex, "FIPS 180-2, appendix B.1");
        let colons: Vec<String> = print.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        for text in
            [hex, &hex.to_uppercase(), &colons.join(":"), base64, &format!("sha256/{base64}"), &format!("sha256:{hex}")]
        {
            assert_eq!(Pin::parse(text), Pin::Print(print), "{text}");
        }
        for text in ["/etc/stentor/carrier.pem", &hex[1..], "carrier", "", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIA"] {
            assert_eq!(Pin::parse(text), Pin::File(text.into()), "{text}");
        }
    }
}
