//! Everything that can happen in the simulated world, as values on its agenda.

use crate::link::{BindId, Disconnect};
use crate::model::{ReplyTo, ShardId};
use crate::node::NodeEvent;
use crate::shard::{Ask, Reply, ShardEvent};
use crate::store::CommitSeq;

use super::oracle::Question;
use super::plan::HostPlan;

/// A connection between a link and a carrier; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Something happens.
#[derive(Debug)]
pub enum Happening {
    /// Within the process of that life; void if it has ended.
    Inside(u32, Inside),
    /// The carrier's side of a connection gets bytes.
    CarrierHears(ConnId, Vec<u8>),
    /// The carrier's side of a connection notices its end.
    CarrierLoses(ConnId),
    /// A carrier's session wants to be asked.
    CarrierWakes(ConnId),
    /// The carrier answers, or closes.
    CarrierAnswers(ConnId, u64),
    /// A receipt is to be delivered.
    ReceiptDue(usize, u64),
    /// A handset writes.
    HandsetWrites,
    /// A part of what a handset wrote is to be delivered.
    PartDue(usize, u64),
    /// A client does something new.
    ClientActs,
    /// A door brings a question with its ticket to the process, whichever life it is in.
    Asked(ShardId, u64, Question, Box<Ask>),
    /// A client hears from its door.
    Replied(ReplyTo, Box<Reply>),
    /// A client's patience with one request ends.
    PatienceEnds(u64),
    /// Somebody pulls the plug, now or when the process stands where it is wanted.
    Crash,
    /// The process stands still.
    Stall,
    /// A disk stands still.
    DiskStalls,
    /// The disk is short of room for a while.
    DiskShort,
    /// It has room again.
    DiskAmple,
    /// An operation of a disk is going to fail.
    DiskFails,
    /// The operator makes a backup.
    Backup,
    /// The operator restores the last one.
    Restore,
    /// The operator decides what becomes of what was unsent.
    Decide,
    /// The operator changes what control keeps.
    Configure,
    /// The configuration is reloaded without the route over all.
    RouteGone,
    /// Something that only worlds of a kind have.
    Special(Special),
    /// Does anything wait that should not?
    Patrol,
    /// Somebody asks the process to end.
    Stop,
    /// The process starts.
    Start,
    /// The wall clock is set.
    WallJumps,
    /// The network cuts a connection.
    Cut,
    /// A connection goes silent for a while.
    Freeze,
    /// From now on all is well.
    Calm,
    /// Has everything come to rest?
    Look,
    /// How large everything is, is written down.
    Measure,
}

impl Happening {
    /// Whether a process that stands still does not see it. Its disk goes on.
    pub const fn is_for_process(&self) -> bool {
        match self {
            Self::Inside(_, inside) => {
                !matches!(inside, Inside::Durable(..) | Inside::ErrandDone(_) | Inside::ControlDurable(_))
            }
            Self::Asked(..) => true,
            _ => false,
        }
    }
}

/// Something happens that only worlds of a kind have.
#[derive(Clone, Copy, Debug)]
pub enum Special {
    /// The configuration is reloaded with something else in it.
    Reload,
    /// The operator does something by hand.
    Tend,
    /// Sending to a carrier goes on, for the operator has paused it.
    Resume(usize),
    /// A tenant wants something of a message that is not his.
    StrangerActs,
    /// A carrier goes away: its connections end.
    GoesAway(usize),
    /// Hours or days pass in one step.
    Leap,
    /// Somebody looks up everything that was told.
    LookUp,
}

/// Something happens within the process.
#[derive(Debug)]
pub enum Inside {
    /// A node takes mail out of its mailbox.
    Arrives(u8, Box<NodeEvent>),
    /// A node wants to be turned.
    Wakes(usize),
    /// A batch becomes durable.
    Durable(usize, CommitSeq),
    /// The reader thread has finished what it was at.
    ErrandDone(usize),
    /// The threads beside a shard tell it something.
    Told(usize, Box<ShardEvent>),
    /// A batch of control, by its version, becomes durable.
    ControlDurable(u64),
    /// Control learns of it.
    ControlTold(u64),
    /// An attempt to connect, by number, comes to something, at a host of that kind, or not.
    Connected(usize, BindId, u64, Option<HostPlan>),
    /// The socket takes bytes.
    SocketTakes(ConnId),
    /// Bytes come in.
    Hears(ConnId, Vec<u8>),
    /// The link's side of a connection notices its end.
    Loses(ConnId, Disconnect),
    /// Patience with a drain ends.
    DrainOver,
}
