//! How often each thing happened in a run or in many: a fault that never fired proves nothing, and no more does a crash
//! that never hit some place in the turn.

use std::fmt;

use crate::model::buggify::{Fired, Point};

use super::phase::{Phase, Phases};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Count {
    /// Messages that clients thought up.
    Messages,
    /// Lines accepted, as told.
    Accepted,
    /// Lines that were duplicates.
    Duplicates,
    /// Lines refused.
    Refused,
    /// Lines refused because their tenant had more than its share.
    SharesRefused,
    /// Messages turned away at a door: their tenant's rate or quota was used up.
    TurnedAway,
    /// Keys used with another content.
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
    /// Crashes that nothing of a batch under way survived.
    BatchesLost,
    /// Crashes that some blocks of a batch under way survived.
    BatchesTorn,
    /// Crashes after which dropped ranges or runs came back.
    RangesCameBack,
    /// Crashes that a run survived which nobody had registered.
    RunsUnregistered,
    /// Crashes that half of such a run survived.
    RunsHalf,
    /// Crashes that took the directory entry of such a run.
    RunsLost,
    /// Writes of a batch that failed, and the process with them.
    WritesFailed,
    /// Syncs that failed.
    SyncsFailed,
    /// Ends of a process by a failed sync.
    EndsBySync,
    /// Reads that failed, and the process with them.
    ReadsFailed,
    /// Drops, runs and checkpoints that failed, and the process with them.
    UpkeepFailed,
    /// Starts that could not read what is there.
    OpensFailed,
    /// Faults of a disk that stayed until it was mended.
    FaultsForEver,
    /// Batches that waited for a disk that stood still.
    CommitsStalled,
    /// Times at which the disk was short of room.
    Shortages,
    /// Times at which the process stood still while the world went on.
    Stalls,
    /// Clean stops.
    Stops,
    /// Clean stops that ended by force.
    StopsForced,
    /// Times at which another core's mailbox was full.
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
    /// Sealed receipt epochs.
    RunsWritten,
    /// Sealed receipt epochs that were deleted.
    RunsDeleted,
    /// Parts that a carrier took.
    Taken,
    /// Parts refused as too fast.
    Throttled,
    /// Parts refused otherwise.
    PartsRefused,
    /// Submits without any answer.
    Silences,
    /// Answers after our patience had ended.
    AnswersLate,
    /// Submits answered twice.
    AnswersTwice,
    /// Answers to a submit that was never sent.
    AnswersAstray,
    /// Sessions that a carrier ended in order, with answers still to come.
    Goodbyes,
    /// Connections closed by a carrier instead of an answer.
    CarrierClosed,
    /// Connections cut by the network.
    Cuts,
    /// Connections that were silent for a while.
    Freezes,
    /// Connections that never came to be.
    Unreachable,
    /// Connections to a host that will hang up.
    HostsFaithless,
    /// Binds refused.
    BindsRefused,
    /// Sockets that did not take all bytes at once.
    SocketsSlow,
    /// Ends of a connection in the middle of a write.
    Torn,
    /// Receipts answered by us.
    Receipts,
    /// Receipts sent again because nobody answered.
    ReceiptsAgain,
    /// Receipts with an id that nobody was given.
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
    /// Requests to control that were done.
    Configured,
    /// Requests to control that were refused.
    ConfiguredNot,
    /// Messages that expired before any carrier had them.
    ExpiredHere,
    /// Messages given up because sessions were lost with them again and again.
    Exhausted,
    /// Waits for a receipt that did not come.
    WaitsEnded,
    /// Messages that went by another route, for theirs was gone.
    Rerouted,
    /// Error codes of receipts that were shown, as their carriers wrote them.
    ErrorsShown,
    /// Parts of what handsets wrote that we answered.
    FromHandsets,
    /// Messages from handsets that were joined, as seen at the end.
    HandsetsJoined,
    /// Messages from handsets that lack parts, likewise.
    HandsetsGivenUp,
    /// Looks at what waits, while all of it could have been ended.
    Patrols,
    /// Reloads of the configuration with something else in it.
    Reloads,
    /// Carriers paused.
    Paused,
    /// Carriers of which somebody wanted that they go on.
    Resumed,
    /// Carriers bound anew.
    Rebound,
    /// Decisions of a hand over what stood in the ledger, that were done.
    DecidedByHand,
    /// Messages that were asked for by somebody whose they are not.
    Pried,
    /// Messages that such a one wanted not to be sent.
    Meddled,
    /// Parts that came too soon for a carrier that spaces strictly.
    TooSoon,
    /// Questions that carriers were asked which send no receipts.
    Queries,
    /// Carriers that went away for hours or days.
    WentAway,
    /// Times at which hours or days passed in one step.
    Leaps,
    /// Starts without one of the carriers.
    LeftOut,
    /// Messages first sent when retention had passed since they came in.
    Outlived,
}

/// Counts of everything.
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
    /// Everything that is counted.
    pub const ALL: [Self; 90] = [
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
    ];

    /// What happens where an operator is always at it, or a carrier spaces strictly.
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

    /// What happens where carriers send no receipts.
    pub const QUERIED: [Self; 1] = [Self::Queries];

    /// What happens in worlds that last for weeks.
    pub const WEEKS: [Self; 6] =
        [Self::Reloads, Self::DecidedByHand, Self::WentAway, Self::Leaps, Self::LeftOut, Self::Outlived];
}

impl Tally {
    /// One more.
    pub const fn add(&mut self, what: Count) {
        self.counts[what as usize] += 1;
    }

    /// So many more.
    pub const fn add_many(&mut self, what: Count, times: u64) {
        self.counts[what as usize] += times;
    }

    /// How many.
    pub const fn of(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// A process died in these places of its turn.
    pub fn add_crash(&mut self, phases: Phases) {
        for phase in phases.iter() {
            self.crashes[phase as usize] += 1;
        }
    }

    /// What a shard or link was made to do.
    pub fn add_fired(&mut self, fired: &Fired) {
        self.fired.iter_mut().zip(fired).for_each(|(mine, more)| *mine += u64::from(*more));
    }

    /// How many processes died there.
    pub const fn crashes_in(&self, phase: Phase) -> u64 {
        self.crashes[phase as usize]
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        let mine = self.counts.iter_mut().chain(&mut self.crashes).chain(&mut self.fired);
        let theirs = other.counts.iter().chain(&other.crashes).chain(&other.fired);
        mine.zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// What never happened in usual worlds.
    pub fn missing(&self) -> Vec<Count> {
        let kinds = [&Count::TENDED[..], &Count::QUERIED, &Count::WEEKS];
        let is_of_a_kind = |what: &Count| kinds.iter().any(|kind| kind.contains(what));
        self.missing_of(&Count::ALL).into_iter().filter(|what| !is_of_a_kind(what)).collect()
    }

    /// What of this never happened.
    pub fn missing_of(&self, wanted: &[Count]) -> Vec<Count> {
        wanted.iter().copied().filter(|what| self.of(*what) == 0).collect()
    }

    /// Points in the real code that never fired.
    pub fn idle(&self) -> Vec<Point> {
        Point::ALL.into_iter().filter(|point| self.fired[*point as usize] == 0).collect()
    }

    /// Where no process ever died.
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
