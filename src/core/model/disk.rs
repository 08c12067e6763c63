//! How much room the disk has, as everybody is told who must write less.

/// From most to least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskRoom {
    /// Enough.
    #[default]
    Ample,
    /// Under the floor: nothing new is taken; what was acknowledged goes on.
    Low,
    /// What was set aside for that is nearly used up: nothing is sent and nothing is taken from carriers either, until there
    /// is room again. What is left is for the answers that are still out, and for what makes room.
    Out,
}

impl DiskRoom {
    /// New messages are refused.
    pub fn is_low(self) -> bool {
        self >= Self::Low
    }

    /// Carriers are held as well.
    pub fn is_out(self) -> bool {
        self >= Self::Out
    }
}
