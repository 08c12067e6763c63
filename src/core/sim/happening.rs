//! Everything that can happen in the simulated world, as values on its agenda.

use crate::link::{BindId, Disconnect};
use crate::model::{ReplyTo, ShardId};
use crate::node::NodeEvent;
use crate::shard::{Ask, Reply, ShardEvent};
use crate::store::CommitSeq;

use super::oracle::Question;
use super::plan::HostPlan;

/// A connection between a link and a carrier; numbers are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// An event of the world.
#[derive(Debug)]
pub enum Happening {
    /// An event within the process of that life; void if that process has ended.
    Inside(u32, Inside),
    /// Bytes arrive at the carrier's side of a connection.
    CarrierHears(ConnId, Vec<u8>),
    /// The carrier's side of a connection notices its end.
    CarrierLoses(ConnId),
    /// The timer of a carrier's session runs out.
    CarrierWakes(ConnId),
    /// The carrier answers a submit, or closes the connection.
    CarrierAnswers(ConnId, u64),
    /// A receipt is to be sent.
    ReceiptDue(usize, u64),
    /// A handset writes a message.
    HandsetWrites,
    /// A part of a handset's message is to be delivered.
    PartDue(usize, u64),
    /// A client starts something new.
    ClientActs,
    /// A door brings a question, with its ticket, to whichever process is alive.
    Asked(ShardId, u64, Question, Box<Ask>),
    /// A client gets the answer from its door.
    Replied(ReplyTo, Box<Reply>),
    /// A client's patience with one request ends.
    PatienceEnds(u64),
    /// The process crashes, now or when it reaches the chosen phase of its turn.
    Crash,
    /// The process stalls.
    Stall,
    /// A disk stalls.
    DiskStalls,
    /// The disk is short of room for a while.
    DiskShort,
    /// It has room again.
    DiskAmple,
    /// An operation of a disk is going to fail.
    DiskFails,
    /// The operator makes a backup.
    Backup,
    /// The operator restores the last backup.
    Restore,
    /// The operator decides about the messages that were unsent in a restored backup.
    Decide,
    /// The operator changes entries of control.
    Configure,
    /// The configuration is reloaded without the route over all carriers.
    RouteGone,
    /// An event that only special kinds of worlds have.
    Special(Special),
    /// Checks whether anything waits that should not.
    Patrol,
    /// The process is asked to end.
    Stop,
    /// The process starts.
    Start,
    /// The wall clock is set.
    WallJumps,
    /// The network cuts a connection.
    Cut,
    /// A connection goes silent for a while.
    Freeze,
    /// From now on there are no faults.
    Calm,
    /// Checks whether everything has come to rest.
    Look,
    /// Records how large everything is.
    Measure,
}

impl Happening {
    /// Whether a stalled process does not see the event. Its disk goes on.
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

/// An event that only special kinds of worlds have.
#[derive(Clone, Copy, Debug)]
pub enum Special {
    /// The configuration is reloaded with changes.
    Reload,
    /// The operator does something.
    Tend,
    /// Sending to a carrier is resumed after the operator has paused it.
    Resume(usize),
    /// A tenant asks about, or cancels, another tenant's message.
    StrangerActs,
    /// A carrier goes away: its connections end.
    GoesAway(usize),
    /// Hours or days pass in one step.
    Leap,
    /// Every message whose id was told is looked up.
    LookUp,
}

/// An event within the process.
#[derive(Debug)]
pub enum Inside {
    /// A node takes mail out of its mailbox.
    Arrives(u8, Box<NodeEvent>),
    /// A node runs a turn, as it asked for.
    Wakes(usize),
    /// A batch becomes durable.
    Durable(usize, CommitSeq),
    /// The reader thread has finished its errand.
    ErrandDone(usize),
    /// The threads beside a shard report something to it.
    Told(usize, Box<ShardEvent>),
    /// A batch of control becomes durable; identified by its version.
    ControlDurable(u64),
    /// Control is told of it.
    ControlTold(u64),
    /// An attempt to connect, identified by its number, succeeds at a host of that kind, or fails (`None`).
    Connected(usize, BindId, u64, Option<HostPlan>),
    /// The socket accepts bytes.
    SocketTakes(ConnId),
    /// Bytes arrive from the carrier.
    Hears(ConnId, Vec<u8>),
    /// The link's side of a connection notices its end.
    Loses(ConnId, Disconnect),
    /// The time limit of a drain ends.
    DrainOver,
}
