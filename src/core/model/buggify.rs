//! Points in the real code that may always do what they seldom do: a limit that is reached early, a pause between two steps, a
//! list that is not in memory. The simulator asks for it, so that paths are walked which else only a full machine walks;
//! the daemon never does.
//!
//! A point must be harmless wherever it fires: it changes when something happens and by which path, never whether.

use super::Prng;

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Point {
    /// The turn admits no more frames.
    TurnFull,
    /// A segment is closed before it is full.
    SegmentFull,
    /// What becomes ready does not enter the window in memory.
    WindowFull,
    /// A turn moves no more of what has come due.
    DueLater,
    /// A turn gives up no more of what a restore left.
    DropLater,
    /// Memory holds no more alarms of expiry that are due.
    AlarmsFull,
    /// Outcomes are left for the next turn.
    OutcomesLater,
    /// The windows of all lists together hold no more than one chunk each.
    WindowsFull,
    /// No more attempts may be open.
    AttemptsFull,
    /// A checkpoint is due.
    FoldDue,
    /// The epoch of receipts is full.
    EpochFull,
    /// Sealing goes on by one entry.
    SealLater,
    /// It is learned of one entry more which part waits for whom.
    LearnLater,
    /// A link has room for one message.
    RoomForOne,
    /// Too many receipts of a connection wait for their shard.
    ReceiptsFull,
    /// A connection's reader stops after one PDU.
    ReadLater,
}

impl Point {
    /// All of them.
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

/// The chance of one shard or link.
#[derive(Clone, Debug)]
pub struct Buggify {
    ppm: u32,
    chance: Prng,
    fired: Fired,
}

impl Buggify {
    /// Each point fires with that probability, in a million; 0 for never.
    pub const fn new(ppm: u32, seed: u64) -> Self {
        Self { ppm, chance: Prng::new(seed), fired: [0; Point::ALL.len()] }
    }

    /// Whether it fires this time.
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
