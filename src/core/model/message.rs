//! A message on its way into a shard: a fixed head that decisions read, its content in an arena, and frames of many
//! messages, so that no message needs an allocation of its own.

use super::class::Class;
use super::content::Encoding;
use super::ids::{Lane, RouteId, SetNumber, TenantId};
use super::msisdn::Msisdn;
use super::time::Wall;

/// The fixed part of a message: everything that admission, queue and delivery need for decisions. Stored in the
/// message's segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Recipient.
    pub to: Msisdn,
    /// The tenant that sent it.
    pub tenant: TenantId,
    /// Traffic class.
    pub class: Class,
    /// Coding that the client asked for.
    pub encoding: Encoding,
    /// Whether a receipt was asked for.
    pub receipt: bool,
    /// Whether the handset shows it at once and does not keep it (message class 0).
    pub flash: bool,
    /// Parts it takes with an 8-bit reference, 1..=255, as validated at ingest.
    pub parts: u8,
    /// The routing rule that was chosen for it.
    pub route: RouteId,
    /// The counters of limits on which it counts; set by the shard that accepts it.
    pub set: SetNumber,
    /// When the shard accepted it; 0 before that.
    pub accepted_at: Wall,
    /// Do not send before this time; 0 = send at once.
    pub send_at: Wall,
    /// Do not send after this time.
    pub expires_at: Wall,
    /// Where its encoded content starts in the arena, bytes.
    pub content_at: u32,
    /// Length of its encoded content, bytes.
    pub content_len: u32,
}

impl Head {
    /// The lane of a message that was never moved to another.
    pub const fn lane(&self) -> Lane {
        Lane { class: self.class, route: self.route, tenant: self.tenant, set: self.set }
    }
}

/// An idempotency fingerprint: 16 bytes of keyed hash over (tenant, recipient, key) and 8 of the content's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyPrint {
    /// Hash of tenant, recipient and key.
    pub key: u128,
    /// Hash of everything the client gave; other content under the same key is an error.
    pub content: u64,
}

/// A message of a frame that carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Index of the message in [`Frame::heads`].
    pub index: u32,
    /// The message's fingerprint.
    pub print: KeyPrint,
}

/// The receiver of a frame's result; opaque to floors 1–3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo {
    /// Core whose door is waiting.
    pub core: u8,
    /// That core's own number for the waiting request.
    pub ticket: u64,
}

/// Messages of one request for one shard, in the order of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Where the result goes.
    pub reply: ReplyTo,
    /// The messages.
    pub heads: Vec<Head>,
    /// Fingerprints of the messages that carry a key, ascending by index.
    pub keys: Vec<Line>,
    /// The encoded contents that the heads point into.
    pub arena: Vec<u8>,
    /// The request has no other frame for this shard, so its order is kept whenever the frame is taken.
    pub alone: bool,
    /// How many of the messages are not paid for: at most the number of the others is admitted; the rest only learn
    /// whether they are known.
    pub unpaid: u32,
}

impl Frame {
    /// How many of its messages may be admitted.
    pub const fn paid(&self) -> u32 {
        (self.heads.len() as u32).saturating_sub(self.unpaid)
    }
}
