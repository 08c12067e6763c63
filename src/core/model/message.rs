//! A message on its way into a shard: a fixed head that decisions read, its content in an arena beside it,
//! and frames of many such lines, so that nothing is allocated per message.

use super::class::Class;
use super::content::Encoding;
use super::ids::{RouteId, TenantId};
use super::msisdn::Msisdn;
use super::time::Wall;

/// The fixed part of a message: all that admission, queue and delivery decide upon. Lives in its segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Recipient.
    pub to: Msisdn,
    /// Owner.
    pub tenant: TenantId,
    /// Urgency.
    pub class: Class,
    /// Coding asked for.
    pub encoding: Encoding,
    /// A receipt is asked for.
    pub receipt: bool,
    /// Shown at once, not kept by the handset (message class 0).
    pub flash: bool,
    /// Parts it takes with an 8-bit reference, 1..=255, as validated at ingest.
    pub parts: u8,
    /// Rule that it was routed by.
    pub route: RouteId,
    /// When it was accepted; 0 until the shard has.
    pub accepted_at: Wall,
    /// Not before; 0 = at once.
    pub send_at: Wall,
    /// Not after.
    pub expires_at: Wall,
    /// Start of its encoded content in the arena.
    pub content_at: u32,
    /// Bytes of its encoded content.
    pub content_len: u32,
}

/// An idempotency fingerprint: 16 bytes of keyed hash over (tenant, recipient, key) and 8 of the content's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyPrint {
    /// Of the scope and the key.
    pub key: u128,
    /// Of everything the sender said; another content under one key is an error.
    pub content: u64,
}

/// One line of a frame that carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Index into [`Frame::heads`].
    pub index: u32,
    /// Its fingerprint.
    pub print: KeyPrint,
}

/// Whom a frame's result goes to; opaque to floors 1–3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo {
    /// Core whose door waits.
    pub core: u8,
    /// That core's own number for the waiting request.
    pub ticket: u64,
}

/// Messages of one request for one shard, in the order of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Whom to tell.
    pub reply: ReplyTo,
    /// The messages.
    pub heads: Vec<Head>,
    /// Those of them that carry a key, by ascending index.
    pub keys: Vec<Line>,
    /// The encoded contents that the heads point into.
    pub arena: Vec<u8>,
    /// The request has no other frame for this shard: in whatever order it is taken, the request's own order stays.
    pub alone: bool,
    /// So many of the messages nobody has paid for: the others at most are admitted, and what is more only said to be known.
    pub unpaid: u32,
}

impl Frame {
    /// Messages of it that may be admitted.
    pub const fn paid(&self) -> u32 {
        (self.heads.len() as u32).saturating_sub(self.unpaid)
    }
}
