//! The messages between shards and links: demands, grants, submits, outcomes, receipts and verdicts. Values only; shards and
//! links are on higher floors, and the mesh carries these values in batches from core to core.
//!
//! Invariants that both sides keep:
//! 1. A link never holds more messages of a shard than it granted.
//! 2. A shard hands a message over only after its attempt is durable.
//! 3. Each part that was handed over gets exactly one [`Outcome`] from the link, in whatever way the attempt ends; after
//!    [`Unanswered::ResponseTimeout`] the carrier's late answer may follow as a second one.
//! 4. A link acknowledges a receipt to the carrier only after a shard said [`Verdict::Kept`], which the shard says only once
//!    the receipt is durable.

use std::sync::Arc;

use crate::model::{
    Address, CarrierError, Class, Coding, GroupId, Head, LinkId, Mono, Numbers, ReceiptState, SenderId, ShardId, Tail,
    Wall,
};

/// From a shard to a link.
#[derive(Clone, Debug)]
pub enum ToLink {
    /// The number of messages that wait for this link.
    Demand(Demand),
    /// Messages whose attempt is durable, and the places of the grant that they use.
    Submits(SubmitBatch),
    /// The shard's verdicts on receipts.
    Verdicts(VerdictBatch),
    /// Messages whose state the carrier is to be asked for.
    Queries(QueryBatch),
}

/// From a link to a shard.
#[derive(Clone, Debug)]
pub enum ToShard {
    /// Places in the link's prepared queue.
    Grant(Grant),
    /// The outcomes of parts.
    Outcomes(OutcomeBatch),
    /// Receipts and messages from handsets for this shard.
    Receipts(ReceiptBatch),
    /// Whether the link can submit messages at all.
    Bound(Bound),
}

/// Whether a link has a bind that can submit. Every shard is told when this changes; until the first such message it counts as
/// not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub link: LinkId,
    pub is_bound: bool,
}

/// How many messages of each class wait at `shard` for this link. Absolute numbers: they replace the previous demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    pub shard: ShardId,
    /// Messages ready, by [`Class::index`].
    pub waiting: [u32; Class::COUNT],
}

/// Places for messages of one class. The shard uses them at once or gives them back in its next [`SubmitBatch`], except
/// standing ones, which it keeps: of an urgent class for any message, of another class for messages of tenants that have
/// just begun to wait. A grant of 0 messages is a recall: the shard gives back all places that it has of that class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub link: LinkId,
    pub class: Class,
    /// Number of places; each is for one message.
    pub messages: u32,
    /// The places were not demanded: they are for messages that may come later.
    pub standing: bool,
}

/// Messages of one class handed over under a grant.
#[derive(Clone, Debug)]
pub struct SubmitBatch {
    pub shard: ShardId,
    /// Class of the grant.
    pub class: Class,
    /// The messages, in the order in which they are to be sent.
    pub submits: Vec<Submit>,
    /// Places that the shard gives back because it has no message for them.
    pub unused: u32,
}

/// One message whose attempt is durable.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Its address in its shard.
    pub address: Address,
    /// Number of the attempt, from 1. Does not wrap: after 255 it stays at 255.
    pub attempt: u8,
    /// Reference shared by all parts of this message, kept across attempts at one carrier.
    pub reference: u16,
    /// The fixed-size fields of the message.
    pub head: Head,
    /// The arena that `head.content_at` points into.
    pub arena: Arc<Vec<u8>>,
    /// Parts that this carrier took in an earlier attempt and that are not sent again; `None`: all parts are sent.
    pub answered: Option<Box<PartSet>>,
    /// Number of parts into which it was cut in that attempt; 0 if `answered` is `None`.
    pub cut: u8,
    /// Set if a session was lost with this message: it is sent with no others beside it, so that those are not lost again.
    pub trial: Option<Trial>,
    /// The weight of its tenant where tenants take turns.
    pub weight: u32,
}

/// Which messages may be unanswered on a bind beside a message with which a session was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// None: if the session is lost again, no other message can be the cause.
    Alone,
    /// A few others that are on trial in a group too.
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

    /// Removes a part; true if it was there.
    pub fn remove(&mut self, part: u8) -> bool {
        let was_there = self.contains(part);
        self.0[usize::from(part / 64)] &= !(1 << (part % 64));
        was_there
    }

    /// Whether the part is in the set.
    pub const fn contains(&self, part: u8) -> bool {
        self.0[(part / 64) as usize] & (1 << (part % 64)) != 0
    }

    /// The parts in the set, ascending. Takes as many steps as there are parts.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let rest = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
            let bits = std::iter::successors(Some(*bits).filter(|bits| *bits != 0), rest);
            bits.map(move |bits| (word as u32 * 64 + bits.trailing_zeros()) as u8)
        })
    }

    /// Number of parts in the set.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// A run of bytes in the arena of the batch that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Number of bytes.
    pub len: u16,
}

impl Span {
    /// Appends `bytes` to `arena`, cut after 65,535 bytes, and returns where they are.
    pub fn append(arena: &mut Vec<u8>, bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
        let at = arena.len() as u32;
        arena.extend_from_slice(bytes);
        Self { at, len: bytes.len() as u16 }
    }

    /// The bytes; empty if the span lies outside this arena.
    pub fn of(self, arena: &[u8]) -> &[u8] {
        let at = self.at as usize;
        arena.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}

/// Outcomes of parts, gathered over one turn of a link.
#[derive(Clone, Debug, Default)]
pub struct OutcomeBatch {
    /// The link that sends the batch.
    pub link: LinkId,
    /// The carrier's group: its receipts are matched with messages of this group.
    pub group: GroupId,
    /// One for each part.
    pub outcomes: Vec<Outcome>,
    /// The carrier's message ids.
    pub arena: Vec<u8>,
}

/// How one part ended in one attempt. A message that was never cut into parts counts as part 1 of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub address: Address,
    /// Number of the attempt; the shard ignores an outcome of an older attempt.
    pub attempt: u8,
    /// Part number, from 1.
    pub part: u8,
    /// Number of parts of this message at this carrier.
    pub parts: u8,
    pub answer: Answer,
    /// Number of the bind on which it was written; without meaning if it was never written.
    pub bind: u16,
    /// By when the socket had taken the submit, for limits and to measure the latency from acceptance to submit; 0 if it was never
    /// written. Of a part that was not written at last: when it, or another part of the message, was written and throttled.
    pub written_at: Mono,
    /// Last digits of the sender's number; none if the sender is not a number, or the message was never planned.
    pub sender: Tail,
    /// The encoding in which it was sent; unknown if the message was never planned.
    pub coding: Coding,
}

impl Outcome {
    /// The outcome of the first attempt of a message of one part; tests change the fields that matter to them.
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
    /// The carrier took it under this message id (raw, in the batch's arena; may be empty).
    Accepted(Span),
    /// The carrier refused it with this error.
    Refused(CarrierError),
    /// The carrier does not have it: not a single byte was sent, or it was throttled. This consumes no attempt.
    NotWritten(NotWritten),
    /// It was written, wholly or in part, and not answered.
    Unanswered(Unanswered),
    /// The content cannot be encoded for this carrier.
    Unencodable,
}

/// Why a part was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NotWritten {
    /// The link cannot send: it has no bind that can submit, is paused, or its breaker is open. Also: its options changed while
    /// the message was partly sent.
    LinkDown = 1,
    /// The message expired in the prepared queue.
    Expired = 2,
    /// Another part of the same message was refused.
    SiblingRefused = 3,
    /// The daemon is draining.
    Drained = 4,
    /// The connection was lost before the bytes were written.
    ConnectionLost = 5,
    /// The message is now cut into another number of parts than when the carrier took some of them: all parts must be sent again.
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

    /// The reason with this number, as on disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == index)
    }
}

/// Why it is unknown whether the carrier has a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Unanswered {
    /// The connection was lost.
    ConnectionLost = 1,
    /// No response came within the response time-out.
    ResponseTimeout = 2,
    /// The daemon stopped before the answer.
    Stopped = 3,
    /// The daemon crashed; found at the next start.
    Crashed = 4,
    /// The message was unsent or unanswered in the backup from which this shard was restored, and it is unknown what happened to
    /// it after the backup.
    Restored = 5,
}

impl Unanswered {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::ConnectionLost, Self::ResponseTimeout, Self::Stopped, Self::Crashed, Self::Restored];

    /// Whether the carrier, or the connection to it, was the cause. Only such losses count against the message; losses that we
    /// caused ourselves do not.
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

    /// The reason with this number, as on disk.
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

    /// The reason with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Receipts and messages from handsets for one shard, gathered over one turn of a link.
#[derive(Clone, Debug, Default)]
pub struct ReceiptBatch {
    /// The link that received them.
    pub link: LinkId,
    /// The carrier's group, to which the ids belong.
    pub group: GroupId,
    pub receipts: Vec<ReceiptIn>,
    pub handsets: Vec<HandsetIn>,
    /// Raw ids, addresses and texts.
    pub arena: Vec<u8>,
}

/// A link's handle for a `deliver_sm` or `data_sm` that waits for its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptToken(pub u64);

impl ReceiptToken {
    /// The token of a receipt for which no carrier waits; an inquiry never has it.
    pub const NONE: Self = Self(u64::MAX);
}

/// Parts whose state is to be asked for at a carrier that sends no receipts.
#[derive(Clone, Debug, Default)]
pub struct QueryBatch {
    /// The shard that owns the messages.
    pub shard: ShardId,
    /// One for each part.
    pub queries: Vec<QueryOf>,
    /// Raw ids.
    pub arena: Vec<u8>,
}

/// One part that the carrier took and whose state is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOf {
    /// The message id, as in the carrier's `submit_sm_resp`.
    pub id: Span,
    /// The sender; empty: the carrier's default sender.
    pub sender: SenderId,
    /// Phone number of the recipient.
    pub recipient: u64,
    /// When the carrier took it.
    pub sent_at: Wall,
    /// No query is sent at or after this time.
    pub until: Wall,
}

/// One receipt on its way to the shard of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptIn {
    /// To be returned with the verdict.
    pub token: ReceiptToken,
    /// What the shard does if it does not know the id.
    pub if_unknown: IfUnknown,
    /// The address from which the receipt came, which should be our recipient; 0 if it is not a phone number.
    pub recipient: u64,
    /// Last digits of the two numbers in the receipt.
    pub numbers: Numbers,
    /// Only the form of its text says that it is a receipt.
    pub is_untyped: bool,
    /// Other shards may know its id as well: a shard may settle a part only if a number in the receipt agrees with it, not by the
    /// id alone.
    pub is_shared: bool,
    /// It is the answer to a query: the id is written as in the `submit_sm_resp`, and no verdict is expected.
    pub is_asked: bool,
    /// The carrier's message id, raw; empty if there is none.
    pub id: Span,
    pub state: ReceiptState,
    /// The error in the receipt; without a code if the receipt has none.
    pub error: CarrierError,
    /// The `user_message_reference` of our part, if the receipt carries it.
    pub reference: Option<u16>,
    /// When it came in.
    pub at: Wall,
    /// The beginning of its text, to be kept if the receipt is parked.
    pub text: Span,
}

/// One message from a handset, or a part of one, on its way to its sender's shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandsetIn {
    /// To be returned with the verdict, which is `Kept` or `Full`.
    pub token: ReceiptToken,
    /// The sender's phone number; 0 if the sender is not a phone number.
    pub from: u64,
    /// The sender as the carrier wrote it, if it is not a phone number; else empty.
    pub name: Span,
    /// The address that it was sent to, as the carrier wrote it.
    pub to: Span,
    /// As on the wire.
    pub data_coding: u8,
    /// Which part of a longer message it is; `None`: it is complete.
    pub part: Option<PartIn>,
    /// When it came in.
    pub at: Wall,
    /// Elements of its user data header, without those that `part` was read from.
    pub header: Span,
    /// The text after the header.
    pub text: Span,
}

/// The place of a part in a longer message from a handset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartIn {
    /// The same in all parts of a message.
    pub reference: u16,
    /// Number of parts, at least 2.
    pub parts: u8,
    /// From 1 to `parts`.
    pub part: u8,
}

/// What a shard does with a receipt whose id it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// Answer [`Verdict::Unknown`]: the link asks the other shards.
    Tell,
    /// Answer [`Verdict::Unknown`], unless the receipt can be about a message in doubt, which it then settles.
    Settle,
    /// Keep it durably until its message id becomes known, at most for as long as the shard waits for receipts.
    Park,
}

/// A shard's verdicts on receipts and messages from handsets. `Kept` is sent only after the commit that holds them.
#[derive(Clone, Debug, Default)]
pub struct VerdictBatch {
    pub shard: ShardId,
    pub verdicts: Vec<(ReceiptToken, Verdict)>,
}

/// A shard's verdict on a receipt or a message from a handset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable: acknowledge it to the carrier.
    Kept,
    /// This shard does not know the id: ask another shard.
    Unknown,
    /// This shard knows the id, but the numbers in the receipt do not prove that it is about one of its messages: ask the other
    /// shards first.
    Perhaps,
    /// It is not kept, because there is no room: the carrier must deliver it again later.
    Full,
}
