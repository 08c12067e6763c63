//! How much room the disk has, for every part of the program that must write less when it runs out.

/// From most room to least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskRoom {
    /// Enough: nothing is restricted.
    #[default]
    Ample,
    /// Below the floor: nothing new is taken; work on acknowledged messages goes on.
    Low,
    /// The reserve for that work is nearly used up: nothing is sent, and nothing is taken from carriers either, until
    /// there is room again. What is left of the reserve is for responses that are still expected, and for work that
    /// frees room.
    Out,
}

impl DiskRoom {
    /// Whether new messages are refused.
    pub fn is_low(self) -> bool {
        self >= Self::Low
    }

    /// Whether carriers' links are paused as well.
    pub fn is_out(self) -> bool {
        self >= Self::Out
    }
}
