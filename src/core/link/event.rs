//! What a link is told and what it asks for. Values only.

use crate::model::{DiskRoom, ShardId};
use crate::traffic::{ToLink, ToShard};

use super::hosts::Way;
use super::options::Options;

/// One connection of a link: a transceiver, or half of a pair (even numbers transmit, odd ones receive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindId(pub u16);

/// Something happened; bytes that came in go to [`super::Link::handle_bytes`].
#[derive(Debug)]
pub enum LinkEvent {
    /// A shard speaks.
    Traffic(ToLink),
    /// The connection asked for by [`LinkEffect::Connect`] stands.
    Connected {
        /// Which.
        bind: BindId,
    },
    /// The socket took bytes of what [`super::Link::take_transmit`] handed out.
    Written {
        /// Of which connection.
        bind: BindId,
        /// How many more.
        octets: usize,
    },
    /// More about the end of a connection that is told next, in words.
    Words {
        /// Which.
        bind: BindId,
        /// What; of more than [`super::trouble::WORDS_MAX`] bytes the rest is left out.
        words: String,
    },
    /// The connection is gone, or never came to be. Exactly one of these answers each [`LinkEffect::Connect`] in the
    /// end, whoever closed; every write that was completed was reported before.
    Disconnected {
        /// Which.
        bind: BindId,
        /// Why.
        reason: Disconnect,
        /// A write was under way and nobody knows how far it got: all that was taken may have been sent.
        torn: bool,
    },
    /// The operator wants nothing sent; sessions stay, receipts go on.
    Pause,
    /// The operator lets it go on; also closes an open breaker.
    Resume,
    /// The disk has so much room: when it is out of it, what carriers deliver is theirs to deliver again. Sessions stay.
    Disk(DiskRoom),
    /// The operator wants new sessions; what is in flight is waited for.
    Rebind,
    /// The daemon is about to end: answer what is held, wait for what is in flight, unbind.
    Drain,
    /// The daemon waits no longer: what was sent and not answered is `Unanswered(Stopped)`, connections are closed.
    Stop,
    /// The configuration was reloaded.
    Reconfigure(Box<Options>),
}

/// Why a connection is gone, as its owner saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// Name, route or refused: there never was one.
    Unreachable,
    /// No TLS with this peer.
    Tls,
    /// The peer does not take our certificate, or wants one, and said so by this TLS alert: under TLS 1.3 it does so only when
    /// the handshake is over for us.
    CertificateRefused {
        /// RFC 8446 §6.2.
        alert: u8,
    },
    /// The peer closed.
    ByPeer,
    /// Reading or writing failed.
    Broken,
    /// We closed it, by [`LinkEffect::Close`].
    ByUs,
}

/// Something is to be done by the link's owner.
#[derive(Debug)]
pub enum LinkEffect {
    /// Open a connection; answered by `Connected` or `Disconnected`.
    Connect {
        /// Which.
        bind: BindId,
        /// Where to.
        way: Way,
    },
    /// There are bytes to write: take them by [`super::Link::take_transmit`], write all, report by `Written`. Comes
    /// again only when all that was taken has been reported.
    Transmit {
        /// Which.
        bind: BindId,
    },
    /// Close it, written or not; answered by `Disconnected`.
    Close {
        /// Which.
        bind: BindId,
    },
    /// Stop reading from it: the shards are slow.
    PauseRead {
        /// Which.
        bind: BindId,
    },
    /// Read on.
    ResumeRead {
        /// Which.
        bind: BindId,
    },
    /// To a shard.
    ToShard {
        /// Which.
        shard: ShardId,
        /// What.
        traffic: ToShard,
    },
    /// Somebody should know.
    Alarm(Alarm),
}

/// What an operator is told, once per change. The type says who must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The operator: the carrier refuses our account with this command status.
    AccountRefused {
        /// On which connection.
        bind: BindId,
        /// The bind's answer.
        status: u32,
    },
    /// The operator or us: so many submits in a row were refused for reasons that no message has, the last one with
    /// this status; nothing is sent until a probe gets through.
    BreakerOpened {
        /// The last refusal.
        status: u32,
    },
    /// All is well again.
    BreakerClosed,
    /// The operator or the carrier: a connection did not come to be, or did not hold. Told when what it says changes, and every
    /// [`super::trouble::AGAIN_NS`] while it goes on.
    Trouble {
        /// On which connection.
        bind: BindId,
        /// What, with the host.
        what: String,
        /// When it is tried again, from now; `None`: not at all.
        again_ms: Option<u64>,
        /// Attempts that failed in a row.
        failures: u32,
    },
    /// Nobody at once: the link is without a bind.
    LinkDown,
    /// It has one again.
    LinkUp,
    /// The carrier: the session had to be given up.
    SessionLost {
        /// On which connection.
        bind: BindId,
        /// Why.
        why: SessionLoss,
    },
    /// Us or the carrier: it says that it could not read a submit of ours.
    Unreadable {
        /// On which connection.
        bind: BindId,
        /// What it answered.
        status: u32,
    },
    /// The operator: more messages are to be asked about than [`super::queries::QUERIES_MAX`]. Those over it are not; told once.
    QueriesFull,
    /// The carrier: it sent what cannot be read. Told once in a minute at most.
    Unread {
        /// On which connection.
        bind: BindId,
        /// The host, as the configuration names it.
        peer: String,
        /// What is wrong with it.
        what: String,
        /// Its first bytes, [`super::unread::TOLD_OCTETS_MAX`] at most, in hexadecimal.
        hex: String,
        /// So many others came since the last one that was told.
        untold: u64,
    },
}

/// Why a session was given up by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionLoss {
    /// A submit had no answer in time.
    ResponseTimeout,
    /// `enquire_link` had no answer in time, and nothing else came either.
    Silent {
        /// That time.
        within_ms: u64,
    },
    /// The bind was not answered in time. An answer that comes later is not read.
    BindUnanswered {
        /// What was left of `connect_timeout` when the connection stood.
        within_ms: u64,
    },
    /// What came in was no SMPP.
    Garbage,
    /// More came in that means nothing than [`super::noise::NOISE_MAX`].
    Noise,
    /// Our answers are not read.
    NotReading,
    /// The carrier says that we are not bound.
    NotBound,
    /// The carrier unbound.
    PeerUnbound,
    /// The bind was refused.
    BindRefused,
}

impl SessionLoss {
    /// Another host may do better, however long the session stood.
    pub const fn is_its_hosts_fault(self) -> bool {
        match self {
            Self::ResponseTimeout | Self::Silent { .. } | Self::Garbage | Self::Noise | Self::NotReading => true,
            Self::BindUnanswered { .. } | Self::NotBound | Self::PeerUnbound | Self::BindRefused => false,
        }
    }
}
