//! How often each thing happened in a run or in many: a fault that never fired proves nothing, and neither does a crash
//! that never hit some place in the turn.

use std::fmt;

use crate::model::buggify::{Fired, Point};

use super::phase::{Phase, Phases};

/// The things that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Count {
    /// Messages that clients planned.
    Messages,
    /// Messages that were answered as accepted.
    Accepted,
    /// Messages that were duplicates.
    Duplicates,
    /// Messages refused.
    Refused,
    /// Messages refused because their tenant had used up its share.
    SharesRefused,
    /// Messages turned away at a door: their tenant's rate or quota was used up.
    TurnedAway,
    /// Idempotency keys used with other content.
    KeysReused,
    /// Requests of which three copies were sent at once.
    RequestsCopied,
    /// Keys of requests claimed.
    Claims,
    /// Keys of requests claimed again with another body.
    ClaimsReused,
    /// Replies that did not reach their client.
    RepliesLost,
    /// Requests sent again.
    RequestsRetried,
    /// Messages cancelled in time.
    Cancelled,
    /// Messages looked up.
    Lookups,
    /// Crashes of the process.
    Crashes,
    /// Crashes that a batch under way survived.
    BatchesSurvived,
    /// Crashes that lost a whole batch under way.
    BatchesLost,
    /// Crashes that some blocks of a batch under way survived.
    BatchesTorn,
    /// Crashes after which dropped ranges or runs came back.
    RangesCameBack,
    /// Crashes after which a run existed that was not registered.
    RunsUnregistered,
    /// Crashes after which half of such a run existed.
    RunsHalf,
    /// Crashes that lost the directory entry of such a run.
    RunsLost,
    /// Writes of a batch that failed and ended the process.
    WritesFailed,
    /// Syncs that failed.
    SyncsFailed,
    /// Processes that a failed sync ended.
    EndsBySync,
    /// Reads that failed and ended the process.
    ReadsFailed,
    /// Drops, runs and checkpoints that failed and ended the process.
    UpkeepFailed,
    /// Starts that could not read the store.
    OpensFailed,
    /// Faults of a disk that stayed until the disk was repaired.
    FaultsForEver,
    /// Batches that waited for a stalled disk.
    CommitsStalled,
    /// How often the disk was short of room.
    Shortages,
    /// How often the process stalled while the rest of the world went on.
    Stalls,
    /// Clean stops.
    Stops,
    /// Clean stops that took too long and were forced.
    StopsForced,
    /// How often another core's mailbox was full.
    MailboxesFull,
    /// Turns that were late.
    TurnsLate,
    /// Jumps of the wall clock forwards.
    WallForward,
    /// Jumps of the wall clock backwards.
    WallBackward,
    /// Checkpoints written.
    Checkpoints,
    /// Ranges dropped.
    RangesDropped,
    /// Sealed receipt epochs that were written.
    RunsWritten,
    /// Sealed receipt epochs that were deleted.
    RunsDeleted,
    /// Parts that carriers took.
    Taken,
    /// Parts refused because of the rate.
    Throttled,
    /// Parts refused for other reasons.
    PartsRefused,
    /// Submits without any answer.
    Silences,
    /// Answers after our response timeout.
    AnswersLate,
    /// Submits answered twice.
    AnswersTwice,
    /// Answers to a submit that was never sent.
    AnswersAstray,
    /// Sessions that a carrier unbound with answers still due.
    Goodbyes,
    /// Connections closed by a carrier instead of an answer.
    CarrierClosed,
    /// Connections cut by the network.
    Cuts,
    /// Connections that were silent for a while.
    Freezes,
    /// Connections that could not be opened.
    Unreachable,
    /// Connections to a host that will hang up.
    HostsFaithless,
    /// Binds refused.
    BindsRefused,
    /// Sockets that did not take all bytes at once.
    SocketsSlow,
    /// Connections that ended during a write.
    Torn,
    /// Receipts that we answered.
    Receipts,
    /// Receipts sent again because they were not answered.
    ReceiptsAgain,
    /// Receipts with an id that was never given out.
    ReceiptsStray,
    /// Ledger entries seen in timelines at the end.
    InDoubt,
    /// Messages of several parts.
    Multipart,
    /// Backups made.
    Backups,
    /// Backups restored.
    Restores,
    /// Decisions about what was unsent in a backup, by shard and class.
    Decisions,
    /// Requests to control that were carried out.
    Configured,
    /// Requests to control that were refused.
    ConfiguredNot,
    /// Messages that expired before a carrier had them.
    ExpiredHere,
    /// Messages given up because they were lost with their session again and again.
    Exhausted,
    /// Messages whose awaited receipt did not come.
    WaitsEnded,
    /// Messages rerouted because their route was removed.
    Rerouted,
    /// Error codes of receipts that were shown as their carriers wrote them.
    ErrorsShown,
    /// Parts of handsets' messages that we answered.
    FromHandsets,
    /// Messages from handsets that were joined, as seen at the end.
    HandsetsJoined,
    /// Messages from handsets with missing parts, as seen at the end.
    HandsetsGivenUp,
    /// Checks that no message waits that should have ended.
    Patrols,
    /// Reloads that changed the configuration.
    Reloads,
    /// Carriers paused.
    Paused,
    /// Paused carriers that were resumed.
    Resumed,
    /// Carriers whose binds were renewed.
    Rebound,
    /// Decisions of the operator about the ledger that were carried out.
    DecidedByHand,
    /// Messages that a tenant asked for without owning them.
    Pried,
    /// Messages that a tenant tried to cancel without owning them.
    Meddled,
    /// Parts that came too soon for a carrier that enforces spacing.
    TooSoon,
    /// Queries to carriers that send no receipts.
    Queries,
    /// Carriers that went away for hours or days.
    WentAway,
    /// How often hours or days passed in one step.
    Leaps,
    /// Starts without one of the carriers.
    LeftOut,
    /// Messages first sent when retention had already passed since they were admitted.
    Outlived,
    /// Parts that made a counter hold as much as its limit allows.
    LimitsReached,
    /// Messages that were seen waiting because of a limit.
    Parked,
    /// Messages refused because of a limit.
    OverLimit,
    /// Reloads that changed limits.
    LimitsChanged,
    /// Worlds whose limits stayed in force to the end.
    LimitsKept,
    /// Worlds whose limits were raised or removed at the end.
    LimitsLifted,
    /// Starts before which the wall clock had been set while there was no process.
    ClockSetWhileDown,
    /// Worlds in which a limit was reached and messages waited for it.
    LimitsBit,
    /// Messages refused because they would wait too long.
    QueueSlow,
}

/// A count for each of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    counts: [u64; Count::ALL.len()],
    crashes: [u64; Phase::ALL.len()],
    fired: [u64; Point::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [0; Count::ALL.len()], crashes: [0; Phase::ALL.len()], fired: [0; Point::ALL.len()] }
    }
}

impl Count {
    /// All counts.
    pub const ALL: [Self; 99] = [
        Self::Messages,
        Self::Accepted,
        Self::Duplicates,
        Self::Refused,
        Self::SharesRefused,
        Self::TurnedAway,
        Self::KeysReused,
        Self::RequestsCopied,
        Self::Claims,
        Self::ClaimsReused,
        Self::RepliesLost,
        Self::RequestsRetried,
        Self::Cancelled,
        Self::Lookups,
        Self::Crashes,
        Self::BatchesSurvived,
        Self::BatchesLost,
        Self::BatchesTorn,
        Self::RangesCameBack,
        Self::RunsUnregistered,
        Self::RunsHalf,
        Self::RunsLost,
        Self::WritesFailed,
        Self::SyncsFailed,
        Self::EndsBySync,
        Self::ReadsFailed,
        Self::UpkeepFailed,
        Self::OpensFailed,
        Self::FaultsForEver,
        Self::CommitsStalled,
        Self::Shortages,
        Self::Stalls,
        Self::Stops,
        Self::StopsForced,
        Self::MailboxesFull,
        Self::TurnsLate,
        Self::WallForward,
        Self::WallBackward,
        Self::Checkpoints,
        Self::RangesDropped,
        Self::RunsWritten,
        Self::RunsDeleted,
        Self::Taken,
        Self::Throttled,
        Self::PartsRefused,
        Self::Silences,
        Self::AnswersLate,
        Self::AnswersTwice,
        Self::AnswersAstray,
        Self::Goodbyes,
        Self::CarrierClosed,
        Self::Cuts,
        Self::Freezes,
        Self::Unreachable,
        Self::HostsFaithless,
        Self::BindsRefused,
        Self::SocketsSlow,
        Self::Torn,
        Self::Receipts,
        Self::ReceiptsAgain,
        Self::ReceiptsStray,
        Self::InDoubt,
        Self::Multipart,
        Self::Backups,
        Self::Restores,
        Self::Decisions,
        Self::Configured,
        Self::ConfiguredNot,
        Self::ExpiredHere,
        Self::Exhausted,
        Self::WaitsEnded,
        Self::Rerouted,
        Self::ErrorsShown,
        Self::FromHandsets,
        Self::HandsetsJoined,
        Self::HandsetsGivenUp,
        Self::Patrols,
        Self::Reloads,
        Self::Paused,
        Self::Resumed,
        Self::Rebound,
        Self::DecidedByHand,
        Self::Pried,
        Self::Meddled,
        Self::TooSoon,
        Self::Queries,
        Self::WentAway,
        Self::Leaps,
        Self::LeftOut,
        Self::Outlived,
        Self::LimitsReached,
        Self::Parked,
        Self::OverLimit,
        Self::LimitsChanged,
        Self::LimitsKept,
        Self::LimitsLifted,
        Self::ClockSetWhileDown,
        Self::LimitsBit,
        Self::QueueSlow,
    ];

    /// What must happen in worlds with a busy operator, or with a carrier that enforces spacing.
    pub const TENDED: [Self; 8] = [
        Self::Reloads,
        Self::Paused,
        Self::Resumed,
        Self::Rebound,
        Self::DecidedByHand,
        Self::Pried,
        Self::Meddled,
        Self::TooSoon,
    ];

    /// What must happen where carriers send no receipts.
    pub const QUERIED: [Self; 1] = [Self::Queries];

    /// What must happen in worlds that last for weeks.
    pub const WEEKS: [Self; 6] =
        [Self::Reloads, Self::DecidedByHand, Self::WentAway, Self::Leaps, Self::LeftOut, Self::Outlived];

    /// What must happen in worlds with limits.
    pub const LIMITED: [Self; 8] = [
        Self::LimitsReached,
        Self::Parked,
        Self::OverLimit,
        Self::LimitsChanged,
        Self::LimitsKept,
        Self::LimitsLifted,
        Self::ClockSetWhileDown,
        Self::LimitsBit,
    ];
}

impl Tally {
    /// Adds one.
    pub const fn add(&mut self, what: Count) {
        self.counts[what as usize] += 1;
    }

    /// Adds `times`.
    pub const fn add_many(&mut self, what: Count, times: u64) {
        self.counts[what as usize] += times;
    }

    /// The count of `what`.
    pub const fn of(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// Adds a crash to the count of each of these phases.
    pub fn add_crash(&mut self, phases: Phases) {
        for phase in phases.iter() {
            self.crashes[phase as usize] += 1;
        }
    }

    /// Adds the fault points that fired in a shard or link.
    pub fn add_fired(&mut self, fired: &Fired) {
        self.fired.iter_mut().zip(fired).for_each(|(mine, more)| *mine += u64::from(*more));
    }

    /// Number of crashes in this phase.
    pub const fn crashes_in(&self, phase: Phase) -> u64 {
        self.crashes[phase as usize]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        let mine = self.counts.iter_mut().chain(&mut self.crashes).chain(&mut self.fired);
        let theirs = other.counts.iter().chain(&other.crashes).chain(&other.fired);
        mine.zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// What usual worlds should show but never happened.
    pub fn missing(&self) -> Vec<Count> {
        let kinds = [&Count::TENDED[..], &Count::QUERIED, &Count::WEEKS, &Count::LIMITED];
        let is_of_a_kind = |what: &Count| kinds.iter().any(|kind| kind.contains(what));
        self.missing_of(&Count::ALL).into_iter().filter(|what| !is_of_a_kind(what)).collect()
    }

    /// Which of `wanted` never happened.
    pub fn missing_of(&self, wanted: &[Count]) -> Vec<Count> {
        wanted.iter().copied().filter(|what| self.of(*what) == 0).collect()
    }

    /// Fault points in the real code that never fired.
    pub fn idle(&self) -> Vec<Point> {
        Point::ALL.into_iter().filter(|point| self.fired[*point as usize] == 0).collect()
    }

    /// Phases in which no process ever crashed.
    pub fn unhurt(&self) -> Vec<Phase> {
        Phase::ALL.into_iter().filter(|phase| self.crashes_in(*phase) == 0).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in Count::ALL {
            writeln!(out, "{:>12} {what:?}", self.of(what))?;
        }
        writeln!(out, "crashes by place in the turn:")?;
        Phase::ALL.into_iter().try_for_each(|phase| writeln!(out, "{:>12} {phase:?}", self.crashes_in(phase)))?;
        writeln!(out, "points in the code that fired:")?;
        Point::ALL.into_iter().try_for_each(|point| writeln!(out, "{:>12} {point:?}", self.fired[point as usize]))
    }
}
