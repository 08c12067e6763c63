//! What a node is told and what it has done by its host: its whole face, as values and one trait.

use crate::link::{self, BindId, LinkEvent, hosts::Way};
use crate::model::{DiskRoom, LinkId, ReplyTo, ShardId};
use crate::shard::{Maintenance, Reply, ShardEvent};
use crate::store::{ReadRequest, WriteBatch};

/// Mail for a node: from its doors and the threads beside its shards, from other nodes, from itself.
#[derive(Debug)]
pub enum NodeEvent {
    /// To one of its shards.
    Shard(ShardId, ShardEvent),
    /// To one of its links.
    Link(LinkId, LinkEvent),
    /// A shard answers one of the doors of this core.
    Reply(ReplyTo, Reply),
    /// The disk has so much room.
    Disk(DiskRoom),
    /// The process ends: shards and links drain.
    Drain,
    /// The process waits no longer for carriers: what they have not answered is in doubt.
    Stop,
    /// Checkpoints, as the last thing before the end.
    Seal,
    /// The end.
    End,
}

/// Work for the reader thread of a shard.
#[derive(Debug)]
pub enum Errand {
    /// A question; answered by [`ShardEvent::Found`].
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

/// What an operator is told.
#[derive(Debug)]
pub enum Alarm<'a> {
    /// By a shard.
    Shard(ShardId, String),
    /// By a shard, and nothing is wrong.
    Note(ShardId, String),
    /// By the link to the carrier of that name.
    Link(&'a str, link::Alarm),
    /// Mail that nobody here is named for: the wiring is wrong.
    Astray(NodeEvent),
}

/// What carries out what a node wants. It is asked in the middle of a turn, so it never calls the node back: what follows
/// comes as an event, later.
pub trait Host {
    /// Whether batches are handed out now; `_is_through`: no mail is left. If not, the host turns the node again of itself.
    fn takes_batches(&mut self, _is_through: bool) -> bool {
        true
    }

    /// To the storage thread of a shard; answered by [`ShardEvent::Committed`]. One at a time is under way.
    fn commit(&mut self, shard: ShardId, batch: WriteBatch);

    /// To the reader thread of a shard.
    fn errand(&mut self, shard: ShardId, errand: Errand);

    /// To a door of this core.
    fn reply(&mut self, to: ReplyTo, reply: Reply);

    /// To the node of another core. Gives it back where its mailbox is full: it is offered again, before anything later.
    fn post(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent>;

    /// To a connection of the link in that place.
    fn connection(&mut self, link: usize, bind: BindId, wanted: Wanted);

    /// To the operator.
    fn alarm(&mut self, alarm: Alarm<'_>);

    /// Whether the turn has had its time.
    fn is_late(&mut self) -> bool;

    /// Sees what a shard or a link here sends to somebody on `core`, be it this one, at the moment at which it says it. What is
    /// given back goes its way. Only the simulator looks.
    fn pass(&mut self, _core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        Some(mail)
    }
}
