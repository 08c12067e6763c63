//! What receipts say of a message. The words are those of SMPP's, which people of this field know; a link that speaks another
//! protocol tells its carrier's states in them.

/// What became of a message, as its carrier puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptState {
    /// On its way: to be sent later.
    Scheduled = 0,
    /// On its way.
    Enroute = 1,
    /// With the handset.
    Delivered = 2,
    /// Its time ran out at the carrier.
    Expired = 3,
    /// Deleted at the carrier.
    Deleted = 4,
    /// It will not be delivered.
    Undeliverable = 5,
    /// On its way: the network has it.
    Accepted = 6,
    /// The carrier does not know.
    Unknown = 7,
    /// Refused after it was taken.
    Rejected = 8,
    /// Left out by the carrier.
    Skipped = 9,
}

impl ReceiptState {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Scheduled,
        Self::Enroute,
        Self::Delivered,
        Self::Expired,
        Self::Deleted,
        Self::Undeliverable,
        Self::Accepted,
        Self::Unknown,
        Self::Rejected,
        Self::Skipped,
    ];

    /// The word in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDUL",
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
            Self::Accepted => "ACCEPTD",
            Self::Unknown => "UNKNOWN",
            Self::Rejected => "REJECTD",
            Self::Skipped => "SKIPPED",
        }
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// Whether no other state is to be expected.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Enroute | Self::Accepted => false,
            Self::Delivered | Self::Expired | Self::Deleted | Self::Undeliverable => true,
            Self::Unknown | Self::Rejected | Self::Skipped => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for state in ReceiptState::ALL {
            assert_eq!(ReceiptState::from_index(state as u8), Some(state));
        }
        assert_eq!(ReceiptState::from_index(10), None);
    }
}
