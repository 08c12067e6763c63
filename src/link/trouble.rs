//! What went wrong last with a carrier's connections, in an operator's words. Values and words only.

use std::fmt;

use crate::model::Wall;
use crate::smpp::status::CommandStatus;

use super::event::{Disconnect, SessionLoss};

/// How a connection, or an attempt at one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection.
    Connection(Disconnect),
    /// The carrier refused the bind with this command status.
    BindRefused(u32),
    /// The session was given up, or the carrier ended it.
    Session(SessionLoss),
}

/// The last one of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTrouble {
    /// When.
    pub at: Wall,
    /// With which host, as the configuration names it.
    pub peer: String,
    /// What.
    pub what: Trouble,
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(reason) => reason.fmt(out),
            Self::BindRefused(status) => write!(out, "bind refused: {}", CommandStatus(*status)),
            Self::Session(why) => why.fmt(out),
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => out.write_str("cannot be reached: the name is not found, or nobody answers there"),
            Self::Tls => out.write_str("no TLS: the log says why"),
            Self::CertificateRefused { alert } => {
                write!(out, "the carrier refused our certificate: {}", alert_words(*alert))
            }
            Self::ByPeer => out.write_str("the carrier closed the connection"),
            Self::Broken => out.write_str("the connection broke"),
            Self::ByUs => out.write_str("closed by us"),
        }
    }
}

impl fmt::Display for SessionLoss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResponseTimeout => out.write_str("a submit was not answered within `response_timeout`"),
            Self::Silent { within_ms } => write!(out, "enquire_link not answered within {}", Seconds(*within_ms)),
            Self::BindUnanswered { within_ms } => write!(out, "bind not answered within {}", Seconds(*within_ms)),
            Self::Garbage => out.write_str("what it sends is no SMPP"),
            Self::Noise => out.write_str("it sends too much that means nothing"),
            Self::NotReading => out.write_str("it does not read our answers"),
            Self::NotBound => out.write_str("it says that we are not bound"),
            Self::PeerUnbound => out.write_str("it unbound"),
            Self::BindRefused => out.write_str("it refused the bind"),
        }
    }
}

/// Milliseconds, told in seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (seconds, 0) => write!(out, "{seconds} s"),
            (seconds, ms) => write!(out, "{seconds}.{ms:03} s"),
        }
    }
}

/// Whether a TLS alert says that the certificate which we show, or do not show, is not taken (RFC 8446 §6.2).
pub const fn refuses_certificate(alert: u8) -> bool {
    matches!(alert, 41..=46 | 48 | 49 | 51 | 116)
}

/// What such an alert says.
fn alert_words(alert: u8) -> &'static str {
    match alert {
        41 | 116 => "it wants one and was shown none (`cert` and `key`)",
        42 => "it is damaged, or its signature is wrong",
        43 => "it is of a kind that the carrier does not take",
        44 => "it was revoked",
        45 => "it has ended, or is not valid yet",
        46 => "for a reason that the carrier does not say",
        48 => "it is signed by nobody whom the carrier trusts",
        49 => "it is valid, and its owner has no access",
        51 => "a signature in it, or by its key, does not hold",
        _ => "by an alert that nobody knows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_in_plain_words() {
        for (what, told) in [
            (Trouble::Session(SessionLoss::BindUnanswered { within_ms: 10_000 }), "bind not answered within 10 s"),
            (Trouble::Session(SessionLoss::BindUnanswered { within_ms: 9_050 }), "bind not answered within 9.050 s"),
            (Trouble::Session(SessionLoss::Silent { within_ms: 30_000 }), "enquire_link not answered within 30 s"),
            (
                Trouble::Connection(Disconnect::CertificateRefused { alert: 48 }),
                "the carrier refused our certificate: it is signed by nobody whom the carrier trusts",
            ),
        ] {
            assert_eq!(what.to_string(), told);
        }
        assert!(Trouble::BindRefused(0x0E).to_string().ends_with("ESME_RINVPASWD (0x0E)"));
    }

    #[test]
    fn every_alert_that_refuses_a_certificate_has_words() {
        let unknown = alert_words(0);
        assert!((0..=u8::MAX).all(|alert| refuses_certificate(alert) == (alert_words(alert) != unknown)));
    }
}
