//! What a shard is told and what it wants done: its whole face, as values.

use std::sync::Arc;

use crate::delivery::{DoubtFilter, DoubtPolicy, InDoubt, MessageView};
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

/// To a shard. Every one is handled at once; what follows from it waits for the commit.
#[derive(Debug)]
pub enum ShardEvent {
    /// From a door.
    Ask(Ask),
    /// From a link.
    Traffic(ToShard),
    /// The batch of that number is on stable storage.
    Committed(CommitSeq),
    /// An answer of the reader thread.
    Found(Found),
    /// A run is on stable storage.
    RunWritten(RunId),
    /// So many segments were found damaged, and set aside.
    Quarantined(u64),
    /// The catalog changed.
    Catalog(Arc<Catalog>),
    /// How far the readers of this shard's records have come.
    Readers(Vec<ReaderAt>),
    /// The configuration was reloaded. What is laid out at the start only is left as it is.
    Reconfigure(Box<Options>),
    /// How much room the disk has; said again every now and then while it is low.
    Disk(DiskRoom),
    /// No new messages from now on, and nothing more is handed to links.
    Drain,
    /// A checkpoint is wanted after the next commit, or after the last one if there is nothing to write: in a clean stop.
    Checkpoint,
}

/// What a door asks for. Each gets exactly one [`Reply`] with the same `reply`.
#[derive(Debug)]
pub enum Ask {
    /// Take these messages.
    Submit(Frame),
    /// Remember a request's key before its lines go out; `print.key` hashes (tenant, key), `print.content` the body. Where
    /// nothing of it `is_paid`, a key that is not known is not remembered either.
    Claim { reply: ReplyTo, tenant: TenantId, print: KeyPrint, is_paid: bool },
    /// What became of these messages of this shard?
    Lookup { reply: ReplyTo, whose: Whose, ids: Vec<MessageId> },
    /// Do not send this one.
    Cancel { reply: ReplyTo, tenant: TenantId, id: MessageId },
    /// Messages in the order of admission, from a place on.
    Records { reply: ReplyTo, whose: Whose, from: Address, limit: usize },
    /// Messages to a recipient of this shard, the newest first, from before a place on back to a time; answered as `Records`.
    Search { reply: ReplyTo, whose: Whose, to: Msisdn, since: Wall, below: Option<Address>, limit: usize },
    /// Messages from handsets in the order in which they were kept, from a place on: commit and place in it, as an address.
    Inbound { reply: ReplyTo, whose: Whose, from: Address, limit: usize },
    /// The ledger of what is in doubt, of every tenant, from a place on.
    Doubts { reply: ReplyTo, filter: DoubtFilter, from: Address, limit: usize },
    /// Somebody decides over messages in doubt, whosever they are.
    Resolve { reply: ReplyTo, ids: Vec<MessageId>, action: DoubtAction },
    /// What becomes of what was unsent in the backup that this shard was restored from; of one class, or of all.
    Release { reply: ReplyTo, class: Option<Class>, policy: DoubtPolicy },
}

/// What a hand may do with a message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtAction {
    /// Send it again, now.
    Resend,
    /// Give it up.
    Drop,
    /// The carrier has it: wait for its receipt.
    Sent,
}

/// A shard's answer to a door.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// One for each head of the frame, in order.
    Submitted(Vec<LineResult>),
    /// What is known of the key.
    Claimed(Claimed),
    /// One for each id, in order.
    Found(Vec<Lookup>),
    /// Whether it was still in time.
    Cancelled(Cancelled),
    /// A page of messages, and where the next begins; `None` at the end.
    Records { found: Vec<FoundMessage>, next: Option<Address> },
    /// A page of messages from handsets, each with its place, and where the next page begins; `None` at the end.
    Inbound { found: Vec<(Address, HandsetRecord)>, next: Option<Address> },
    /// A page of the ledger, and where the next begins; `None` at the end.
    Doubts { found: Vec<FoundDoubt>, next: Option<Address> },
    /// One for each id, in order.
    Resolved(Vec<Resolved>),
    /// So many messages of a restored backup have another fate now.
    Released(u64),
    /// The store could not answer: damage, told to the operator as well.
    Unreadable,
}

/// What became of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult {
    /// Durable under this id.
    Accepted(MessageId),
    /// It was taken before, under this id.
    Duplicate(MessageId),
    /// Not taken.
    Refused(Refusal),
}

/// What became of a request's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// New, or the same request again: send the lines, their own keys sort out the rest.
    Ours,
    /// Another body was sent under this key.
    Reused,
    /// The window is full.
    Full,
    /// Nothing new is remembered now.
    Refused(Refusal),
}

/// What was found under an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// This.
    Found(Box<FoundMessage>),
    /// Nothing of this tenant under all 128 bits of it.
    Unknown,
    /// Its history is past retention.
    Gone,
}

/// A message as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundMessage {
    /// Its id.
    pub id: MessageId,
    /// Its fixed part.
    pub head: Head,
    /// Its encoded content ([`crate::model::Content`]).
    pub content: Vec<u8>,
    /// What became of it.
    pub view: MessageView,
}

/// An entry of the ledger as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundDoubt {
    /// Its message.
    pub message: FoundMessage,
    /// The entry.
    pub doubt: InDoubt,
    /// Parts that the carrier is not known to have.
    pub parts_open: u32,
    /// What its class does with it.
    pub policy: DoubtPolicy,
}

/// What became of a hand's decision over one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is done.
    Done,
    /// The message is not in doubt, or not any more.
    NotInDoubt,
    /// Nothing under this id.
    Unknown,
    /// Its history is past retention.
    Gone,
}

/// Whether a message could be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent.
    Done,
    /// It is under way or final already.
    TooLate,
    /// Nothing of this tenant under this id.
    Unknown,
    /// Its history is past retention.
    Gone,
    /// As many are cancelled and not yet passed over as may be: not cancelled, and it may be tried again.
    Busy,
}

/// What a shard wants done; only what is durable.
#[derive(Debug)]
pub enum Effect {
    /// Tell a door.
    Reply(ReplyTo, Reply),
    /// Tell a link.
    Link(LinkId, ToLink),
    /// Tell the maintenance thread.
    Maintain(Maintenance),
    /// Tell the operator.
    Alarm(String),
    /// Somebody should know: nothing is wrong.
    Note(String),
}

/// Work without a promise in it: its loss in a crash is made good by doing it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Free what lies behind cursors.
    DropRange { space: Space, from: Vec<u8>, to: Vec<u8> },
    /// Write a sorted run; the answer is [`ShardEvent::RunWritten`].
    WriteRun { run: RunId, notes: Vec<ReceiptNote> },
    /// Delete a run whose registration is gone.
    DeleteRun(RunId),
    /// Let old journals go.
    Checkpoint,
}
