//! The events that a link handles and the effects that it asks for. Values only.

use crate::model::{DiskRoom, ShardId};
use crate::traffic::{ToLink, ToShard};

use super::hosts::Way;
use super::options::Options;

/// The number of a connection of a link: of a transceiver, of a transmitter, or of one half of a pair (even numbers
/// transmit, odd ones receive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindId(pub u16);

/// What can happen to a link. Received bytes are no event; they go to [`super::Link::handle_bytes`].
#[derive(Debug)]
pub enum LinkEvent {
    /// A message from a shard.
    Traffic(ToLink),
    /// The connection asked for by [`LinkEffect::Connect`] is open.
    Connected { bind: BindId },
    /// The socket took bytes that [`super::Link::take_transmit`] handed out.
    Written {
        bind: BindId,
        /// Number of bytes since the last report.
        bytes: usize,
    },
    /// Details, as text, about the end of a connection whose [`Self::Disconnected`] follows.
    Words {
        bind: BindId,
        /// Cut after [`super::trouble::WORDS_MAX`] bytes.
        words: String,
    },
    /// The connection is closed, or could not be opened. Each [`LinkEffect::Connect`] ends with exactly one of these, whichever
    /// side closed it; every completed write was reported before.
    Disconnected {
        bind: BindId,
        reason: Disconnect,
        /// A write was under way, and it is unknown how far it got: all bytes that were taken may have been sent.
        torn: bool,
    },
    /// The operator pauses sending; sessions stay, receipts are still handled.
    Pause,
    /// The operator resumes sending; this also closes an open breaker.
    Resume,
    /// How much room the disk has. While it has none, receipts and messages from handsets are refused, and carriers deliver
    /// them again later. Sessions stay.
    Disk(DiskRoom),
    /// The operator wants new sessions; the old ones first wait for the answers to what is in flight.
    Rebind,
    /// The daemon is about to end: give back held messages, wait for the answers to what is in flight, unbind.
    Drain,
    /// The daemon stops waiting: parts that were sent and not answered get `Unanswered(Stopped)`, connections are closed.
    Stop,
    /// The configuration was reloaded.
    Reconfigure(Box<Options>),
}

/// Why a connection ended, as the task that owns its socket saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// It could not be opened: the name did not resolve, there was no route, or the host refused it or did not answer.
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// The peer rejects our certificate, or demands one, and said so by this TLS alert. Under TLS 1.3 the alert comes only after
    /// the handshake is complete on our side.
    CertificateRefused {
        /// Number of the alert (RFC 8446 §6.2).
        alert: u8,
    },
    /// The peer closed.
    ByPeer,
    /// Reading or writing failed.
    Broken,
    /// We closed it, by [`LinkEffect::Close`].
    ByUs,
}

/// What the link's owner must do.
#[derive(Debug)]
pub enum LinkEffect {
    /// Open a connection to this host; answered by `Connected` or `Disconnected`.
    Connect { bind: BindId, way: Way },
    /// There are bytes to write: take them by [`super::Link::take_transmit`], write all, report by `Written`. Not repeated
    /// before all bytes that were taken have been reported.
    Transmit { bind: BindId },
    /// Close the connection, even if bytes are not written; answered by `Disconnected`.
    Close { bind: BindId },
    /// Stop reading from the connection: too many receipts wait for the shards.
    PauseRead { bind: BindId },
    /// Read from the connection again.
    ResumeRead { bind: BindId },
    /// Send this to a shard.
    ToShard { shard: ShardId, traffic: ToShard },
    /// Tell the operator.
    Alarm(Alarm),
}

/// What the operator is told. Each variant's documentation begins with who must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The operator: the carrier refuses our account with this command status.
    AccountRefused {
        bind: BindId,
        /// Command status of the answer to the bind.
        status: u32,
    },
    /// The operator or us: [`super::breaker::REFUSALS_MAX`] submits in a row were refused for reasons that have nothing to do
    /// with the messages (the account, or our encoding). Nothing is sent until the carrier takes a probe.
    BreakerOpened {
        /// Command status of the last refusal.
        status: u32,
    },
    /// No one needs to act: the breaker has closed, submits are sent again.
    BreakerClosed,
    /// The operator or the carrier: a connection failed to open, or ended. Told when the text changes, and again every
    /// [`super::trouble::AGAIN_NS`] while the trouble continues.
    Trouble {
        bind: BindId,
        /// The host and what went wrong, as text.
        what: String,
        /// Time until the next attempt, ms; `None`: there is none.
        again_ms: Option<u64>,
        /// Number of attempts in a row that failed.
        failures: u32,
    },
    /// No one at first, as the link reconnects by itself: no connection can submit.
    LinkDown,
    /// No one: a connection can submit again.
    LinkUp,
    /// The carrier: a bound session ended although we wanted to keep it.
    SessionLost { bind: BindId, why: SessionLoss },
    /// Us or the carrier: it says that it could not read one of our submits.
    Unreadable {
        bind: BindId,
        /// Command status of its answer.
        status: u32,
    },
    /// The operator: there are more messages to ask about than [`super::queries::QUERIES_MAX`]. The rest is not asked about.
    /// Told once.
    QueriesFull,
    /// The carrier: it sent a PDU that cannot be read. Told at most once a minute.
    Unread {
        bind: BindId,
        /// The host, as the configuration names it.
        peer: String,
        /// What is wrong with the PDU.
        what: String,
        /// Its first bytes, at most [`super::smpp::unread::TOLD_BYTES_MAX`], in hexadecimal.
        hex: String,
        /// Number of unreadable PDUs since the last one that was told, without this one.
        untold: u64,
    },
}

/// Why a session ended that should have gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionLoss {
    /// A submit had no answer in time.
    ResponseTimeout,
    /// `enquire_link` had no answer within this time, and no other PDU came either.
    Silent { within_ms: u64 },
    /// The bind was not answered in time. A later answer is not read.
    BindUnanswered {
        /// The part of `connect_timeout` that was left when the connection was open.
        within_ms: u64,
    },
    /// The received bytes are not SMPP.
    Garbage,
    /// The carrier sent more meaningless PDUs than [`super::noise::NOISE_MAX`] allows.
    Noise,
    /// The carrier does not read our answers.
    NotReading,
    /// The carrier refused a submit because, as it says, the session is not bound.
    NotBound,
    /// The carrier sent `unbind`.
    PeerUnbound,
    /// The carrier refused the bind.
    BindRefused,
}

impl SessionLoss {
    /// Whether another host may do better, however long the session lasted.
    pub const fn is_its_hosts_fault(self) -> bool {
        match self {
            Self::ResponseTimeout | Self::Silent { .. } | Self::Garbage | Self::Noise | Self::NotReading => true,
            Self::BindUnanswered { .. } | Self::NotBound | Self::PeerUnbound | Self::BindRefused => false,
        }
    }
}
