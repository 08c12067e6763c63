//! Troubles with a carrier's connections: their texts for the operator, and which of them are news. Values and texts only.

use std::fmt;

use crate::model::{Mono, Wall};
use stentor_smpp::status::CommandStatus;

use super::event::{Alarm, Disconnect, SessionLoss};

/// A trouble that continues is told again after this time.
pub const AGAIN_NS: u64 = 300_000_000_000;

/// Maximum number of bytes that are kept of a text from the operating system or the TLS library.
pub const WORDS_MAX: usize = 300;

/// How a connection, or an attempt at one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection ended, or could not be opened.
    Connection(Disconnect),
    /// The carrier refused the bind with this command status.
    BindRefused(u32),
    /// The session was given up, or the carrier ended it.
    Session(SessionLoss),
}

/// The last trouble of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTrouble {
    pub at: Wall,
    /// The host, as the configuration names it.
    pub peer: String,
    pub what: Trouble,
    /// Details from the operating system, the resolver or TLS, if there are any.
    pub words: Option<Box<str>>,
}

impl LastTrouble {
    /// The text for the operator, with all details.
    pub fn said(&self) -> String {
        match (&self.what, &self.words) {
            (what, Some(words)) => format!("{what}: {words}"),
            (Trouble::Connection(Disconnect::Unreachable), None) => {
                "cannot be reached: nothing answers there within `connect_timeout`".to_owned()
            }
            (what, None) => what.to_string(),
        }
    }
}

/// For each host, the last text that the operator was told, and when.
#[derive(Debug, Default)]
pub struct Told(Vec<Option<(String, Mono)>>);

impl Told {
    /// Whether the operator should be told of this: it differs from the last text about this host, or that was told long ago.
    /// If true, it counts as told from now on.
    pub fn is_news(&mut self, host: u16, what: &str, now: Mono) -> bool {
        let host = usize::from(host);
        if self.0.len() <= host {
            self.0.resize_with(host + 1, || None);
        }
        let known = &mut self.0[host];
        let is_known = known.as_ref().is_some_and(|(told, at)| told == what && now.since(*at) < AGAIN_NS);
        if !is_known {
            *known = Some((what.to_owned(), now));
        }
        !is_known
    }

    /// The link is up again: the next trouble is news.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountRefused { status, .. } => {
                write!(out, "it refuses our account: {}", CommandStatus(*status))
            }
            Self::BreakerOpened { status } => write!(
                out,
                "nothing is sent for now: it refuses every submit, the last one with {}; a single one is tried from time to time",
                CommandStatus(*status)
            ),
            Self::BreakerClosed => out.write_str("it takes submits again"),
            Self::Trouble { what, again_ms, failures, .. } => {
                out.write_str(what)?;
                match again_ms {
                    Some(ms) if *failures > 1 => {
                        write!(out, "; {failures} attempts failed; next try in {}", Seconds(*ms))
                    }
                    Some(ms) => write!(out, "; next try in {}", Seconds(*ms)),
                    None => Ok(()),
                }
            }
            Self::LinkDown => out.write_str("not bound: nothing is sent there"),
            Self::LinkUp => out.write_str("bound"),
            Self::SessionLost { why, .. } => write!(out, "session lost: {why}"),
            Self::Unreadable { status, .. } => {
                write!(out, "it says that it cannot read one of our submits: {}", CommandStatus(*status))
            }
            Self::QueriesFull => {
                out.write_str("there are too many messages to ask about: the rest will end with `no_receipt`")
            }
            Self::Unread { what, .. } => write!(out, "a PDU that cannot be read: {what}"),
        }
    }
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
            Self::Unreachable => out.write_str("cannot be reached"),
            Self::Tls => out.write_str("no TLS"),
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

/// Milliseconds, shown in seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (seconds, 0) => write!(out, "{seconds} s"),
            (seconds, ms) => write!(out, "{seconds}.{ms:03} s"),
        }
    }
}

/// Whether a TLS alert means that the peer rejects our certificate, or demands one that we did not send (RFC 8446 §6.2).
pub const fn refuses_certificate(alert: u8) -> bool {
    matches!(alert, 41..=46 | 48 | 49 | 51 | 116)
}

/// The meaning of such an alert, for the operator.
fn alert_words(alert: u8) -> &'static str {
    match alert {
        41 | 116 => "the carrier requires one, but none was sent (set `cert` and `key`)",
        42 => "it is damaged, or its signature is wrong",
        43 => "it is of a kind that the carrier does not accept",
        44 => "it was revoked",
        45 => "it has ended, or is not valid yet",
        46 => "the carrier does not say why",
        48 => "it is not signed by an authority that the carrier trusts",
        49 => "it is valid, but its owner has no access",
        51 => "a signature in it, or by its key, is wrong",
        _ => "unknown TLS alert",
    }
}

#[cfg(test)]
mod tests {
    use crate::link::BindId;

    use super::*;

    #[test]
    fn troubles_are_told_in_plain_words() {
        for (what, told) in [
            (Trouble::Session(SessionLoss::BindUnanswered { within_ms: 10_000 }), "bind not answered within 10 s"),
            (Trouble::Session(SessionLoss::BindUnanswered { within_ms: 9_050 }), "bind not answered within 9.050 s"),
            (Trouble::Session(SessionLoss::Silent { within_ms: 30_000 }), "enquire_link not answered within 30 s"),
            (
                Trouble::Connection(Disconnect::CertificateRefused { alert: 48 }),
                "the carrier refused our certificate: it is not signed by an authority that the carrier trusts",
            ),
        ] {
            assert_eq!(what.to_string(), told);
        }
        assert!(Trouble::BindRefused(0x0E).to_string().ends_with("ESME_RINVPASWD (0x0E)"));
    }

    #[test]
    fn what_goes_on_is_told_once_in_five_minutes_and_what_is_new_at_once() {
        let (mut told, at) = (Told::default(), |s: u64| Mono(s * 1_000_000_000));
        let news = [(0, "refused", 1), (0, "refused", 2), (1, "refused", 3), (0, "refused", 300), (0, "refused", 301)];
        let is_news = news.map(|(host, what, s)| told.is_news(host, what, at(s)));
        assert_eq!(is_news, [true, false, true, false, true]);
        assert!(told.is_news(0, "no name", at(302)) && told.is_news(0, "refused", at(303)));
        told.forget();
        assert!(told.is_news(0, "refused", at(304)), "after it was well");
    }

    #[test]
    fn a_trouble_says_with_whom_what_and_what_comes_next() {
        let last = |what, words: Option<&str>| {
            LastTrouble { at: Wall(0), peer: "a:1".to_owned(), what, words: words.map(Into::into) }.said()
        };
        let unreachable = Trouble::Connection(Disconnect::Unreachable);
        assert_eq!(last(unreachable, Some("name not found")), "cannot be reached: name not found");
        assert_eq!(last(unreachable, None), "cannot be reached: nothing answers there within `connect_timeout`");
        let told = |again_ms, failures| {
            Alarm::Trouble { bind: BindId(0), what: "a:1: no TLS".to_owned(), again_ms, failures }.to_string()
        };
        assert_eq!(told(Some(1_500), 1), "a:1: no TLS; next try in 1.500 s");
        assert_eq!(told(Some(8_000), 3), "a:1: no TLS; 3 attempts failed; next try in 8 s");
        assert_eq!(told(None, 3), "a:1: no TLS");
    }

    #[test]
    fn every_alert_that_refuses_a_certificate_has_words() {
        let unknown = alert_words(0);
        assert!((0..=u8::MAX).all(|alert| refuses_certificate(alert) == (alert_words(alert) != unknown)));
    }
}
