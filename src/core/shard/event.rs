//! Everything that goes into a shard and comes out of it, as values.

use std::sync::Arc;

use crate::delivery::{DoubtFilter, DoubtPolicy, InDoubt, MessageView};
use crate::limit::{Counter, Given, Seen, ToHome};
use crate::model::{
    Address, Class, DiskRoom, Frame, Head, KeyPrint, LinkId, MessageId, Msisdn, Refusal, ReplyTo, TenantId, Wall, Whose,
};
use crate::store::backend::{RunId, Space};
use crate::store::fold::ReaderAt;
use crate::store::record::{HandsetRecord, ReceiptNote};
use crate::store::{CommitSeq, Found};
use crate::traffic::{ToLink, ToShard};

use super::catalog::Catalog;
use super::options::Options;

/// Input of a shard. Every event is handled at once; what follows from it becomes visible after the commit.
#[derive(Debug)]
pub enum ShardEvent {
    /// From a door: the HTTP side, on whatever core.
    Ask(Ask),
    /// From a link.
    Traffic(ToShard),
    /// The batch of that number is durable.
    Committed(CommitSeq),
    /// An answer of the reader thread.
    Found(Found),
    /// A run of receipts is durable.
    RunWritten(RunId),
    /// So many damaged segments were found and set aside.
    Quarantined(u64),
    /// The home of the counters of limits gives permits.
    Given(Given),
    /// The catalog changed.
    Catalog(Arc<Catalog>),
    /// How far the readers of this shard's records have come.
    Readers(Vec<ReaderAt>),
    /// The configuration was reloaded. Options that fix a size or layout at the start stay as they were.
    Reconfigure(Box<Options>),
    /// How much room the disk has; repeated from time to time while it is low.
    Disk(DiskRoom),
    /// Stop taking new messages, and hand nothing more to links.
    Drain,
    /// Take a checkpoint after the next commit, or after the last one if there is nothing to write. Sent in a clean stop.
    Checkpoint,
}

/// What a door asks for. Each gets exactly one [`Reply`] with the same `reply`.
#[derive(Debug)]
pub enum Ask {
    /// Admit the messages of this frame.
    Submit(Frame),
    /// Remember a request's key before its lines go out; `print.key` hashes (tenant, key), `print.content` the body. `is_paid` is
    /// false if the quota covers no message of the request: then a new key is not remembered either.
    Claim { reply: ReplyTo, tenant: TenantId, print: KeyPrint, is_paid: bool },
    /// The state of these messages, all of this shard.
    Lookup { reply: ReplyTo, whose: Whose, ids: Vec<MessageId> },
    /// Cancel this message.
    Cancel { reply: ReplyTo, tenant: TenantId, id: MessageId },
    /// Messages in the order of admission, beginning at `from`.
    Records { reply: ReplyTo, whose: Whose, from: Address, limit: usize },
    /// Messages to a recipient of this shard, newest first: from before `below` back to the time `since`. Answered as `Records`.
    Search { reply: ReplyTo, whose: Whose, to: Msisdn, since: Wall, below: Option<Address>, limit: usize },
    /// Messages from handsets in the order in which they were kept, beginning at `from`: a commit and a place in it, packed as an
    /// address.
    Inbound { reply: ReplyTo, whose: Whose, from: Address, limit: usize },
    /// The ledger of messages in doubt, of every tenant, beginning at `from`.
    Doubts { reply: ReplyTo, filter: DoubtFilter, from: Address, limit: usize },
    /// The operator decides about messages in doubt, of whichever tenant.
    Resolve { reply: ReplyTo, ids: Vec<MessageId>, action: DoubtAction },
    /// The operator decides about the messages that were unsent in the backup from which this shard was restored; of one class,
    /// or of all.
    Release { reply: ReplyTo, class: Option<Class>, policy: DoubtPolicy },
    /// How many messages wait for room of a limit.
    Parked { reply: ReplyTo },
}

/// What the operator may do with a message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtAction {
    /// Send it again, now.
    Resend,
    /// Give it up.
    Drop,
    /// Trust that the carrier has it, and wait for its receipt.
    Sent,
}

/// A shard's answer to a door.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// One result for each head of the frame, in order.
    Submitted(Vec<LineResult>),
    /// What is known of the key.
    Claimed(Claimed),
    /// One result for each id, in order.
    Found(Vec<Lookup>),
    /// Whether the message was cancelled.
    Cancelled(Cancelled),
    /// A page of messages, and where the next page begins; `None` at the end.
    Records { found: Vec<FoundMessage>, next: Option<Address> },
    /// A page of messages from handsets, each with its place, and where the next page begins; `None` at the end.
    Inbound { found: Vec<(Address, HandsetRecord)>, next: Option<Address> },
    /// A page of the ledger, and where the next page begins; `None` at the end.
    Doubts { found: Vec<FoundDoubt>, next: Option<Address> },
    /// One result for each id, in order.
    Resolved(Vec<Resolved>),
    /// The decision of `Ask::Release` concerns so many messages.
    Released(u64),
    /// The state of the counters of limits, ascending. Given by their home, not by a shard.
    Limits(Vec<Seen>),
    /// Messages that wait for room of a limit, by counter, ascending; one that waits for several is under each.
    Parked(Vec<(Counter, u64)>),
    /// The store could not answer because of damage; the operator is told as well.
    Unreadable,
}

/// The result of one line of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult {
    /// Accepted under this id. Sent after the message is durable.
    Accepted(MessageId),
    /// Accepted before, under this id.
    Duplicate(MessageId),
    /// Not accepted.
    Refused(Refusal),
}

/// The result of claiming a request's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// A new key, or the same request again: send the lines, and the lines' own keys find those that were accepted before.
    Ours,
    /// The key was used with another body.
    Reused,
    /// The window of keys is full.
    Full,
    /// No new key is remembered at present.
    Refused(Refusal),
}

/// The result of looking up an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The message.
    Found(Box<FoundMessage>),
    /// This tenant has no message whose id agrees in all 128 bits.
    Unknown,
    /// The id is older than the retention of history.
    Gone,
}

/// A message as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundMessage {
    pub id: MessageId,
    /// Its fixed part: recipient, class, times.
    pub head: Head,
    /// Its encoded content ([`crate::model::Content`]).
    pub content: Vec<u8>,
    /// Its state and timeline.
    pub view: MessageView,
}

/// An entry of the ledger as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundDoubt {
    /// The message in doubt.
    pub message: FoundMessage,
    /// The ledger's entry for it.
    pub doubt: InDoubt,
    /// Parts that the carrier is not known to have.
    pub parts_open: u32,
    /// What is done when its wait is over: the policy of its class, or the decision about a restored backup.
    pub policy: DoubtPolicy,
}

/// The result of an operator's decision about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Done.
    Done,
    /// The message is not in doubt, or not any more.
    NotInDoubt,
    /// There is no message under this id.
    Unknown,
    /// The id is older than the retention of history.
    Gone,
}

/// The result of cancelling a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent.
    Done,
    /// It is being sent already, or has ended.
    TooLate,
    /// This tenant has no message under this id.
    Unknown,
    /// The id is older than the retention of history.
    Gone,
    /// The bound of cancelled messages that are still to be passed over is reached: it is not cancelled, and the caller may ask
    /// again.
    Busy,
}

/// What a shard wants done. An effect that reveals a decision is only given out once the decision is durable.
#[derive(Debug)]
pub enum Effect {
    /// Tell a door.
    Reply(ReplyTo, Reply),
    /// Tell a link.
    Link(LinkId, ToLink),
    /// Tell the home of the counters of limits.
    Home(ToHome),
    /// Tell the maintenance thread.
    Maintain(Maintenance),
    /// Tell the operator.
    Alarm(String),
    /// Tell the operator; nothing is wrong.
    Note(String),
}

/// Maintenance that promises nothing: if a crash loses it, it is done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Free the keys from `from` up to, but not including, `to`: they are behind a cursor.
    DropRange { space: Space, from: Vec<u8>, to: Vec<u8> },
    /// Write a sorted run; answered by [`ShardEvent::RunWritten`].
    WriteRun { run: RunId, notes: Vec<ReceiptNote> },
    /// Delete a run that is no longer registered.
    DeleteRun(RunId),
    /// The checkpoint is written: journals that it makes unnecessary may be deleted.
    Checkpoint,
}
