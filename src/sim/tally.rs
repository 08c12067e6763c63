//! How often each thing happened in a run or in many: a fault that never fired proves nothing.

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
    /// Keys used with another content.
    KeysReused,
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
    /// Crashes that a batch under way did not survive.
    BatchesLost,
    /// Crashes after which dropped ranges came back.
    RangesCameBack,
    /// Clean stops.
    Stops,
    /// Clean stops that ended by force.
    StopsForced,
    /// Jumps of the wall clock.
    WallJumps,
    /// Checkpoints written.
    Checkpoints,
    /// Sealed receipt epochs.
    RunsWritten,
    /// Parts that a carrier took.
    Taken,
    /// Parts refused as too fast.
    Throttled,
    /// Parts refused otherwise.
    PartsRefused,
    /// Submits without any answer.
    Silences,
    /// Connections closed by a carrier instead of an answer.
    CarrierClosed,
    /// Connections cut by the network.
    Cuts,
    /// Connections that were silent for a while.
    Freezes,
    /// Connections that never came to be.
    Unreachable,
    /// Binds refused.
    BindsRefused,
    /// Sockets that did not take all octets at once.
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
}

/// Counts of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    counts: [u64; Count::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [0; Count::ALL.len()] }
    }
}

impl Count {
    /// Everything that is counted.
    pub const ALL: [Self; 34] = [
        Self::Messages,
        Self::Accepted,
        Self::Duplicates,
        Self::Refused,
        Self::KeysReused,
        Self::RepliesLost,
        Self::RequestsRetried,
        Self::Cancelled,
        Self::Lookups,
        Self::Crashes,
        Self::BatchesSurvived,
        Self::BatchesLost,
        Self::RangesCameBack,
        Self::Stops,
        Self::StopsForced,
        Self::WallJumps,
        Self::Checkpoints,
        Self::RunsWritten,
        Self::Taken,
        Self::Throttled,
        Self::PartsRefused,
        Self::Silences,
        Self::CarrierClosed,
        Self::Cuts,
        Self::Freezes,
        Self::Unreachable,
        Self::BindsRefused,
        Self::SocketsSlow,
        Self::Torn,
        Self::Receipts,
        Self::ReceiptsAgain,
        Self::ReceiptsStray,
        Self::InDoubt,
        Self::Multipart,
    ];
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

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<Count> {
        Count::ALL.into_iter().filter(|what| self.of(*what) == 0).collect()
    }
}
