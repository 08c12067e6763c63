//! Points in the real code that can be made to behave as they rarely do: a limit that is reached early, a pause between
//! two steps, a list that is not in memory. The simulator switches them on, so that paths run that otherwise only a
//! machine under full load takes; the daemon never does.
//!
//! A point must be harmless wherever it fires: it changes when something happens and by which path, never whether it
//! happens.

use super::Prng;

/// A place in the code that can fire, and what it does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Point {
    /// The turn admits no more frames.
    TurnFull,
    /// A segment is closed although it is not full.
    SegmentFull,
    /// A message that becomes ready does not enter the window in memory.
    WindowFull,
    /// A turn moves no more of the entries that have come due.
    DueLater,
    /// A turn gives up no more of the messages that a restore left.
    DropLater,
    /// Memory takes no more alarms of expiry that are due.
    AlarmsFull,
    /// Outcomes are left to the next turn.
    OutcomesLater,
    /// The windows of all lists together hold no more than one chunk each.
    WindowsFull,
    /// No more attempts may be opened.
    AttemptsFull,
    /// A checkpoint is due.
    FoldDue,
    /// The epoch of receipts is full.
    EpochFull,
    /// Sealing proceeds by one entry only.
    SealLater,
    /// A turn reads only one more entry that says which part waits for which recipient.
    LearnLater,
    /// A link has room for one message.
    RoomForOne,
    /// Too many receipts of a connection are waiting for their shard.
    ReceiptsFull,
    /// A connection's reader stops after one PDU.
    ReadLater,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 16] = [
        Self::TurnFull,
        Self::SegmentFull,
        Self::WindowFull,
        Self::DueLater,
        Self::DropLater,
        Self::AlarmsFull,
        Self::OutcomesLater,
        Self::WindowsFull,
        Self::AttemptsFull,
        Self::FoldDue,
        Self::LearnLater,
        Self::EpochFull,
        Self::SealLater,
        Self::RoomForOne,
        Self::ReceiptsFull,
        Self::ReadLater,
    ];
}

/// How often each point fired.
pub type Fired = [u32; Point::ALL.len()];

/// The random choices of one shard or link.
#[derive(Clone, Debug)]
pub struct Buggify {
    ppm: u32,
    chance: Prng,
    fired: Fired,
}

impl Buggify {
    /// Each point fires with probability `ppm` in a million; 0: never.
    pub const fn new(ppm: u32, seed: u64) -> Self {
        Self { ppm, chance: Prng::new(seed), fired: [0; Point::ALL.len()] }
    }

    /// Whether the point fires this time.
    pub const fn at(&mut self, point: Point) -> bool {
        if self.ppm == 0 || !self.chance.chance(self.ppm) {
            return false;
        }
        self.fired[point as usize] += 1;
        true
    }

    /// How often each point fired so far, in the order of [`Point::ALL`].
    pub const fn fired(&self) -> &Fired {
        &self.fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_as_often_as_told_and_counts() {
        let fired = |ppm| {
            let mut buggify = Buggify::new(ppm, 7);
            let _ = (0..1_000).filter(|_| buggify.at(Point::FoldDue)).count();
            buggify.fired()[Point::FoldDue as usize]
        };
        assert_eq!([fired(0), fired(1_000_000)], [0, 1_000]);
        assert!((150..250).contains(&fired(200_000)));
    }
}
