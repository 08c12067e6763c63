//! The interface of a node: the events that it is given, and the [`Host`] that carries out what it asks for.

use crate::limit::ToHome;
use crate::link::{self, BindId, LinkEvent, hosts::Way};
use crate::model::{DiskRoom, LinkId, ReplyTo, ShardId};
use crate::shard::{Maintenance, Reply, ShardEvent};
use crate::store::{ReadRequest, WriteBatch};

/// Mail for a node: from its doors and the threads beside its shards, from other nodes, from itself.
#[derive(Debug)]
pub enum NodeEvent {
    /// An event for one of its shards.
    Shard(ShardId, ShardEvent),
    /// An event for one of its links.
    Link(LinkId, LinkEvent),
    /// Mail for the home of the counters of limits, which is on core 0.
    Home(ToHome),
    /// A shard's reply to one of the doors of this core.
    Reply(ReplyTo, Reply),
    /// The room on the disk has changed.
    Disk(DiskRoom),
    /// The process ends: shards and links drain.
    Drain,
    /// The process waits no longer for carriers: submits that they have not answered are in doubt.
    Stop,
    /// Shards write their last checkpoints.
    Seal,
    /// The node drops its shards; it is the last event.
    End,
}

/// Work for the reader thread of a shard.
#[derive(Debug)]
pub enum Errand {
    /// A read; answered by [`ShardEvent::Found`].
    Read(ReadRequest),
    /// Maintenance; a run is answered by [`ShardEvent::RunWritten`].
    Maintain(Maintenance),
}

/// What a link wants of one of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Open it; answered by [`super::Node::handle_connected`] or [`super::Node::handle_disconnected`].
    Connect(Way),
    /// There are bytes to write: [`super::Node::take_transmit`], later [`super::Node::handle_written`].
    Transmit,
    /// Close it, written or not; answered by [`super::Node::handle_disconnected`].
    Close,
    /// Stop reading from it.
    Pause,
    /// Read on.
    Resume,
}

/// What the operator is told.
#[derive(Debug)]
pub enum Alarm<'a> {
    /// A shard reports a problem.
    Shard(ShardId, String),
    /// A shard reports an event that is no problem.
    Note(ShardId, String),
    /// The link to the carrier of that name reports a problem.
    Link(&'a str, link::Alarm),
    /// Mail for a shard, link or core that is not here: the wiring is wrong.
    Misrouted(NodeEvent),
}

/// Carries out what a node asks for. It is called during a turn, so it never calls the node back: results come later, as events.
pub trait Host {
    /// Whether the node may hand out batches now; `_is_through`: no mail is left. If it returns false, the host must
    /// turn the node again by itself.
    fn takes_batches(&mut self, _is_through: bool) -> bool {
        true
    }

    /// Hands a batch to the storage thread of a shard; answered by [`ShardEvent::Committed`]. At most one batch of a
    /// shard is under way.
    fn commit(&mut self, shard: ShardId, batch: WriteBatch);

    /// Hands work to the reader thread of a shard.
    fn errand(&mut self, shard: ShardId, errand: Errand);

    /// Hands a reply to a door of this core.
    fn reply(&mut self, to: ReplyTo, reply: Reply);

    /// Sends mail to the node of another core. Gives it back if the mailbox there is full: the node offers it again,
    /// before any later mail.
    fn post(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent>;

    /// Tells the connection of a bind what the link with this index wants.
    fn connection(&mut self, link: usize, bind: BindId, wanted: Wanted);

    /// Tells the operator.
    fn alarm(&mut self, alarm: Alarm<'_>);

    /// Whether the turn has used up its time.
    fn is_late(&mut self) -> bool;

    /// Is shown everything that a shard or a link here sends to a shard, link or door on `core`, which may be this
    /// core, when it is sent. What it gives back is sent on; `None` drops it. Only the simulator uses it.
    fn pass(&mut self, _core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        Some(mail)
    }
}
