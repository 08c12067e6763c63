//! Why a TLS handshake failed, in the operator's words: what is wrong, and what to change. Pure.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use stentor_core::link::{Disconnect, trouble::refuses_certificate};

/// Why no address of a host was reached.
pub fn of_connect(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens on that port (connection refused)".to_owned(),
        io::ErrorKind::TimedOut => "nobody answers there within `connect_timeout`".to_owned(),
        _ => error.to_string(),
    }
}

/// What a carrier's handshake ended with.
pub fn of_handshake(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it ended the connection during the handshake: perhaps this port speaks no TLS, or wants a client certificate \
             (`cert` and `key`)"
                .to_owned()
        }
        io::ErrorKind::TimedOut => {
            "it does not answer the handshake within `connect_timeout`: perhaps this port speaks no TLS".to_owned()
        }
        _ => error.to_string(),
    }
}

/// That a carrier does not take our certificate, if that is what it says: under TLS 1.3 it says so when we take the handshake to
/// be over, to whoever reads first.
pub fn certificate_refused(error: &io::Error) -> Option<Disconnect> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => {
            let alert = u8::from(*alert);
            refuses_certificate(alert).then_some(Disconnect::CertificateRefused { alert })
        }
        _ => None,
    }
}

/// What rustls says.
pub fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "what it sends is no TLS: perhaps this port is for plain SMPP".to_owned()
        }
        Error::PeerIncompatible(why) => format!("it speaks neither TLS 1.2 nor 1.3 in a way that is safe ({why:?})"),
        Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        Error::General(words) => words.clone(),
        other => other.to_string(),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it wants a client certificate (`cert` and `key`)".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            format!("it does not take our client certificate, or wants one (`cert` and `key`): {alert:?}")
        }
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            format!("it has no version or cipher of TLS in common with us, or wants a client certificate: {alert:?}")
        }
        AlertDescription::UnrecognisedName => "it knows no such name: see `server_name`".to_owned(),
        other => format!("it refused the handshake: {other:?}"),
    }
}

/// Whether a certificate was refused for being that of an authority; webpki's own error, which rustls has no name for.
pub fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

/// The names of a certificate; rustls gives them in a form of its own: `DnsName("sms.example")`.
pub fn names_of(presented: &[String]) -> String {
    let plain = |name: &String| name.trim_start_matches("DnsName(\"").trim_end_matches("\")").to_owned();
    let names: Vec<String> = presented.iter().map(plain).collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// Why the dates of a certificate do not fit, if that is what is wrong.
pub fn of_dates(error: &CertificateError) -> Option<&'static str> {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("its certificate has ended, or the clock here is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("its certificate is not valid yet, or the clock here is wrong")
        }
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> String {
    if let Some(told) = of_dates(error) {
        return told.to_owned();
    }
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by no authority in `ca`; a self-signed one is trusted by `pin`".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (wanted, names) = (expected.to_str(), names_of(presented));
            format!("its certificate is not for {wanted}, but for {names}: say `server_name`")
        }
        CertificateError::NotValidForName => {
            "its certificate is not for this name: say which by `server_name`".to_owned()
        }
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::BadSignature => "its certificate's signature is wrong".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers".to_owned()
        }
        other if is_authority(other) => {
            "its certificate is that of an authority, as a self-signed one often is: trust this very certificate by `pin`"
                .to_owned()
        }
        other => format!("its certificate is not taken ({other}); a self-signed one is trusted by `pin`"),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, pki_types::ServerName};

    use super::*;

    #[test]
    fn every_refusal_says_what_to_change() {
        let name = ServerName::try_from("smpp.example").expect("a name");
        let presented = vec!["DnsName(\"a.example\")".to_owned(), "b.example".to_owned()];
        let other_name = CertificateError::NotValidForNameContext { expected: name, presented };
        for (error, says) in [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "`pin`"),
            (
                Error::InvalidCertificate(other_name),
                "not for smpp.example, but for a.example, b.example: say `server_name`",
            ),
            (Error::InvalidCertificate(CertificateError::Expired), "has ended"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "`cert` and `key`"),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "client certificate: HandshakeFailure"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "plain SMPP"),
            (Error::General("not the pinned one".to_owned()), "not the pinned one"),
        ] {
            let told = of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
            assert!(told.contains(says), "{told}");
        }
        let alert = |alert| io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(alert));
        let refused = certificate_refused(&alert(AlertDescription::CertificateExpired)).map(|why| why.to_string());
        let told = "the carrier refused our certificate: it has ended, or is not valid yet";
        assert_eq!(refused.as_deref(), Some(told));
        assert_eq!(certificate_refused(&alert(AlertDescription::CloseNotify)), None);
        assert_eq!(certificate_refused(&io::ErrorKind::ConnectionReset.into()), None);
        assert!(of_handshake(&io::ErrorKind::UnexpectedEof.into()).contains("`cert` and `key`"));
        assert!(of_handshake(&io::ErrorKind::TimedOut.into()).contains("connect_timeout"));
    }
}
