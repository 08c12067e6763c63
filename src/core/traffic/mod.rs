//! The vocabulary between shards and links: who asks, who permits, who hands over, who answers. Values only; both sides
//! live on higher floors, and the mesh carries these in batches from core to core.
//!
//! Invariants that both sides keep:
//! 1. A link never holds more messages of a shard than it granted.
//! 2. A shard hands a message over only after its attempt is durable.
//! 3. Each part that was handed over gets exactly one [`Outcome`] from the link, however the attempt ends; after
//!    [`Unanswered::ResponseTimeout`] the carrier's late answer may follow as a second one.
//! 4. A link answers a receipt to the carrier only after a shard said [`Verdict::Kept`], which it says only once that
//!    is durable.

use std::sync::Arc;

use crate::model::{
    Address, CarrierError, Class, Coding, GroupId, Head, LinkId, Mono, Numbers, ReceiptState, SenderId, ShardId, Tail,
    Wall,
};

/// From a shard to a link.
#[derive(Clone, Debug)]
pub enum ToLink {
    /// What waits for this link.
    Demand(Demand),
    /// Messages whose attempt is durable, with the grant they use up.
    Submits(SubmitBatch),
    /// What became of receipts.
    Verdicts(VerdictBatch),
    /// Messages of which the carrier is to be asked what became of them.
    Queries(QueryBatch),
}

/// From a link to a shard.
#[derive(Clone, Debug)]
pub enum ToShard {
    /// Places in the link's prepared queue.
    Grant(Grant),
    /// What the carrier said, or did not say, to parts.
    Outcomes(OutcomeBatch),
    /// Receipts for recipients of this shard.
    Receipts(ReceiptBatch),
    /// Whether messages can be submitted at all.
    Bound(Bound),
}

/// Whether a link has a bind that can submit. Every shard is told when that changes; before the first word it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Who says so.
    pub link: LinkId,
    /// It has one.
    pub is_bound: bool,
}

/// How many messages of each class wait at `shard` for this link. Absolute: replaces what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who asks.
    pub shard: ShardId,
    /// Messages ready, by [`Class::index`].
    pub waiting: [u32; Class::COUNT],
}

/// Places for messages of one class. The shard uses them at once or gives them back in its next [`SubmitBatch`], but for
/// standing ones, which it keeps. No messages: the shard gives back whatever it has of that class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who grants.
    pub link: LinkId,
    /// For messages of this class.
    pub class: Class,
    /// How many messages.
    pub messages: u32,
    /// Nobody demanded them: for what may come and cannot wait.
    pub standing: bool,
}

/// Messages of one class handed over under a grant.
#[derive(Clone, Debug)]
pub struct SubmitBatch {
    /// Who hands over.
    pub shard: ShardId,
    /// Class of the grant.
    pub class: Class,
    /// The messages, in the order in which they shall leave.
    pub submits: Vec<Submit>,
    /// Places of the grant that found no message.
    pub unused: u32,
}

/// One message whose attempt is durable.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Its address in its shard.
    pub address: Address,
    /// Which attempt this is, from 1; wraps never (retries end before).
    pub attempt: u8,
    /// Reference shared by all parts of this message, kept across attempts at one carrier.
    pub reference: u16,
    /// Its fixed part.
    pub head: Head,
    /// The arena that `head.content_at` points into.
    pub arena: Arc<Vec<u8>>,
    /// Parts already answered by this carrier in an earlier attempt; `None` = send all.
    pub answered: Option<Box<PartSet>>,
    /// Into how many parts it was cut then; 0 if none was answered.
    pub cut: u8,
    /// A session was lost with it: it goes beside no others, so that those are not lost with it again.
    pub trial: Option<Trial>,
}

/// What may be unanswered on a bind beside a message with which a session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Nothing else: if the session is lost again, it is by this message, or by nobody's fault.
    Alone,
    /// A few others of its kind.
    InGroup,
}

/// A set of part numbers 1..=255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartSet([u64; 4]);

impl PartSet {
    /// Adds a part; true if it was not there.
    pub fn insert(&mut self, part: u8) -> bool {
        let (word, bit) = (usize::from(part / 64), 1 << (part % 64));
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }

    /// Takes a part out; true if it was there.
    pub fn remove(&mut self, part: u8) -> bool {
        let was_there = self.contains(part);
        self.0[usize::from(part / 64)] &= !(1 << (part % 64));
        was_there
    }

    /// Whether the part is in it.
    pub const fn contains(&self, part: u8) -> bool {
        self.0[(part / 64) as usize] & (1 << (part % 64)) != 0
    }

    /// The parts in it, ascending: as many steps as there are parts.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let rest = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
            let bits = std::iter::successors(Some(*bits).filter(|bits| *bits != 0), rest);
            bits.map(move |bits| (word as u32 * 64 + bits.trailing_zeros()) as u8)
        })
    }

    /// How many parts are in it.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// No part is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// A run of bytes in the arena of the batch that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub at: u32,
    /// How many.
    pub len: u16,
}

impl Span {
    /// Appends `bytes` to `arena` (cut at 65,535 bytes) and remembers where.
    pub fn append(arena: &mut Vec<u8>, bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
        let at = arena.len() as u32;
        arena.extend_from_slice(bytes);
        Self { at, len: bytes.len() as u16 }
    }

    /// The bytes; empty if the span does not belong to this arena.
    pub fn of(self, arena: &[u8]) -> &[u8] {
        let at = self.at as usize;
        arena.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

/// Outcomes of parts, gathered over one turn of a link.
#[derive(Clone, Debug, Default)]
pub struct OutcomeBatch {
    /// Whose carrier it was.
    pub link: LinkId,
    /// Receipts of this carrier are matched within this group.
    pub group: GroupId,
    /// One for each part.
    pub outcomes: Vec<Outcome>,
    /// Carrier message ids.
    pub arena: Vec<u8>,
}

/// What became of one part of one attempt. A message that never became parts counts as part 1 of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub address: Address,
    /// The attempt that this belongs to; an outcome of an older one is void.
    pub attempt: u8,
    /// Part number, from 1.
    pub part: u8,
    /// Parts of this message at this carrier.
    pub parts: u8,
    /// What the carrier did.
    pub answer: Answer,
    /// The bind that it was written on, by number; means nothing if it never was.
    pub bind: u16,
    /// When the submit was written (accept→submit latency); 0 if never.
    pub written_at: Mono,
    /// What the number ends in that it was sent from; none if it was no number, or never sent.
    pub sender: Tail,
    /// In what it was sent; unknown if it never was.
    pub coding: Coding,
}

impl Outcome {
    /// That of a message of one part, at its first attempt: tests change what they are about.
    pub fn first(address: Address, answer: Answer) -> Self {
        Self {
            address,
            attempt: 1,
            part: 1,
            parts: 1,
            answer,
            bind: 0,
            written_at: Mono(0),
            sender: Tail::NONE,
            coding: Coding::Gsm7,
        }
    }
}

/// How a part's attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken under this message id (raw, in the batch's arena; may be empty).
    Accepted(Span),
    /// Refused, and this was said.
    Refused(CarrierError),
    /// Not a single byte left: it consumed no attempt.
    NotWritten(NotWritten),
    /// Written, in whole or in part, and never answered.
    Unanswered(Unanswered),
    /// The content cannot be coded for this carrier.
    Unencodable,
}

/// Why a part was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NotWritten {
    /// The link lost its last bind, or was paused.
    LinkDown = 1,
    /// Its time ran out in the prepared queue.
    Expired = 2,
    /// Another part of the same message was refused.
    SiblingRefused = 3,
    /// The daemon drains.
    Drained = 4,
    /// The connection went before its bytes did.
    ConnectionLost = 5,
    /// It is cut into another number of parts than when some of them were taken: all of it goes again.
    CutChanged = 6,
}

impl NotWritten {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::LinkDown, Self::Expired, Self::SiblingRefused, Self::Drained, Self::ConnectionLost, Self::CutChanged];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkDown => "link_down",
            Self::Expired => "expired",
            Self::SiblingRefused => "sibling_refused",
            Self::Drained => "drained",
            Self::ConnectionLost => "connection_lost",
            Self::CutChanged => "cut_changed",
        }
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == index)
    }
}

/// Why nobody knows whether the carrier has a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Unanswered {
    /// The connection went.
    ConnectionLost = 1,
    /// No response within the response time.
    ResponseTimeout = 2,
    /// The daemon stopped before the answer.
    Stopped = 3,
    /// The daemon crashed; found at the next start.
    Crashed = 4,
    /// Unsent, or without an answer, in the backup that this shard was restored from: what happened after is not known.
    Restored = 5,
}

impl Unanswered {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::ConnectionLost, Self::ResponseTimeout, Self::Stopped, Self::Crashed, Self::Restored];

    /// The carrier, or the way to it, was the cause: it counts against the message. What we did ourselves does not.
    pub const fn is_by_carrier(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::ResponseTimeout)
    }

    /// The name in the API and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::ResponseTimeout => "response_timeout",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Restored => "restored",
        }
    }

    /// As read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            1 => Some(Self::ConnectionLost),
            2 => Some(Self::ResponseTimeout),
            3 => Some(Self::Stopped),
            4 => Some(Self::Crashed),
            5 => Some(Self::Restored),
            0 | 6.. => None,
        }
    }

    /// The reason of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Receipts and messages from handsets for one shard, gathered over one turn of a link.
#[derive(Clone, Debug, Default)]
pub struct ReceiptBatch {
    /// Where they came in.
    pub link: LinkId,
    /// The carrier group whose ids these are.
    pub group: GroupId,
    /// The receipts.
    pub receipts: Vec<ReceiptIn>,
    /// The messages from handsets.
    pub handsets: Vec<HandsetIn>,
    /// Raw ids, addresses and texts.
    pub arena: Vec<u8>,
}

/// A link's own handle for a `deliver_sm` that waits for its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptToken(pub u64);

impl ReceiptToken {
    /// Of a receipt for which no carrier waits: never one that a link gives.
    pub const NOBODY: Self = Self(u64::MAX);
}

/// Messages that a carrier which sends no receipts is to be asked about.
#[derive(Clone, Debug, Default)]
pub struct QueryBatch {
    /// Whose they are.
    pub shard: ShardId,
    /// Each part.
    pub queries: Vec<QueryOf>,
    /// Raw ids.
    pub arena: Vec<u8>,
}

/// One part that the carrier took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOf {
    /// As in the carrier's `submit_sm_resp`.
    pub id: Span,
    /// From whom it was sent; empty: from the carrier's own.
    pub sender: SenderId,
    /// To whom.
    pub recipient: u64,
    /// When the carrier took it.
    pub sent_at: Wall,
    /// Until when anybody wants to know.
    pub until: Wall,
}

/// One receipt on its way to the shard that can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptIn {
    /// To be quoted in the verdict.
    pub token: ReceiptToken,
    /// What the shard shall do if it does not know the id.
    pub if_unknown: IfUnknown,
    /// The address the receipt came from, which should be our recipient; 0 if it has no shape of a number.
    pub recipient: u64,
    /// What the two numbers end in that it names.
    pub numbers: Numbers,
    /// Nothing but the look of its text says that it is a receipt.
    pub is_untyped: bool,
    /// Other shards may know its id as well: a part that its numbers do not name is not the only one.
    pub is_shared: bool,
    /// The carrier was asked, and answered this: the id is written as in its `submit_sm_resp`, and nobody waits for a verdict.
    pub is_asked: bool,
    /// The carrier's message id, raw; empty if it had none.
    pub id: Span,
    /// What it says.
    pub state: ReceiptState,
    /// What it says of an error; where it knows of none, without a code.
    pub error: CarrierError,
    /// The reference of our part, if the receipt carries one back.
    pub reference: Option<u16>,
    /// When it came in.
    pub at: Wall,
    /// The beginning of the short message, for parking.
    pub text: Span,
}

/// One message from a handset, or a part of one, on its way to its sender's shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandsetIn {
    /// To be quoted in the verdict, which is `Kept` or `Full`.
    pub token: ReceiptToken,
    /// The number that it came from; 0 if it has no shape of a number.
    pub from: u64,
    /// What it came from, as the carrier wrote it, where that has no shape of a number; else empty.
    pub name: Span,
    /// What it was sent to, as the carrier wrote it.
    pub to: Span,
    /// As on the wire.
    pub data_coding: u8,
    /// Which part of how many; `None`: it is whole.
    pub part: Option<PartIn>,
    /// When it came in.
    pub at: Wall,
    /// Elements of its user data header, without those that `part` tells.
    pub header: Span,
    /// What stands behind the header.
    pub text: Span,
}

/// Which part of a longer message something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartIn {
    /// The same in all parts of a message.
    pub reference: u16,
    /// How many parts there are: more than one.
    pub parts: u8,
    /// From 1 to `parts`.
    pub part: u8,
}

/// What a shard does with a receipt whose id it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// Say so: the link asks the other shards.
    Tell,
    /// Say so, unless a message in doubt can be meant.
    Settle,
    /// Keep it durably until its message id turns up, for as long as receipts are waited for.
    Park,
}

/// What became of receipts, after the commit that holds them.
#[derive(Clone, Debug, Default)]
pub struct VerdictBatch {
    /// Who says so.
    pub shard: ShardId,
    /// By token.
    pub verdicts: Vec<(ReceiptToken, Verdict)>,
}

/// A shard's word on a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Durable: answer the carrier.
    Kept,
    /// A receipt that is not one of mine: ask another.
    Unknown,
    /// Its id is one of mine, and its numbers do not say that a part of mine is meant: ask the others before.
    Perhaps,
    /// Not kept, for there is no room: ask the carrier to deliver it later.
    Full,
}
