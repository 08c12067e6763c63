//! Messages for the operator about failed connections and TLS handshakes: what is wrong, and what to change.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use stentor_core::link::{Disconnect, trouble::refuses_certificate};

/// The message for a host of which no address could be reached.
pub fn of_connect(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens on that port (connection refused)".to_owned(),
        io::ErrorKind::TimedOut => "nothing answers there within `connect_timeout`".to_owned(),
        _ => error.to_string(),
    }
}

/// The message for a TLS handshake that failed.
pub fn of_handshake(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it ended the connection during the handshake: perhaps this port does not speak TLS, or requires a client \
             certificate (`cert` and `key`)"
                .to_owned()
        }
        io::ErrorKind::TimedOut => {
            "it does not answer the handshake within `connect_timeout`: perhaps this port does not speak TLS".to_owned()
        }
        _ => error.to_string(),
    }
}

/// [`Disconnect::CertificateRefused`] if the error means that the carrier refuses our client certificate. Under TLS 1.3 this
/// error can come from the first read after the handshake, because the carrier checks the certificate after our side considers
/// the handshake finished.
pub fn certificate_refused(error: &io::Error) -> Option<Disconnect> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => {
            let alert = u8::from(*alert);
            refuses_certificate(alert).then_some(Disconnect::CertificateRefused { alert })
        }
        _ => None,
    }
}

/// The message for an error of rustls.
pub fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "it does not speak TLS: perhaps this port is for plain SMPP".to_owned()
        }
        Error::PeerIncompatible(why) => format!("it offers no secure version of TLS 1.2 or 1.3 ({why:?})"),
        Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        Error::General(words) => words.clone(),
        other => other.to_string(),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it requires a client certificate (`cert` and `key`)".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            format!("it refuses our client certificate, or requires one (`cert` and `key`): {alert:?}")
        }
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            format!("no TLS version or cipher in common with it, or it requires a client certificate: {alert:?}")
        }
        AlertDescription::UnrecognisedName => "it does not know this name: check `server_name`".to_owned(),
        other => format!("it refused the handshake: {other:?}"),
    }
}

/// Whether a certificate was refused because it is that of an authority. This error is webpki's own; rustls has no variant for it.
pub fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

/// The names of a certificate as a list. rustls gives them in a form of its own: `DnsName("sms.example")`.
pub fn names_of(presented: &[String]) -> String {
    let plain = |name: &String| name.trim_start_matches("DnsName(\"").trim_end_matches("\")").to_owned();
    let names: Vec<String> = presented.iter().map(plain).collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// The message for a certificate that has expired or is not valid yet; `None` for any other error.
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
            format!("its certificate is not for {wanted}, but for {names}: set `server_name`")
        }
        CertificateError::NotValidForName => {
            "its certificate is not for this name: set the right one as `server_name`".to_owned()
        }
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::BadSignature => "its certificate's signature is wrong".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not valid for servers".to_owned()
        }
        other if is_authority(other) => {
            "its certificate is that of an authority, as self-signed ones often are: to trust this certificate, use `pin`"
                .to_owned()
        }
        other => format!("its certificate is not accepted ({other}); a self-signed one is trusted by `pin`"),
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
                "not for smpp.example, but for a.example, b.example: set `server_name`",
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
