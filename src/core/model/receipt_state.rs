//! The states that receipts report. The words are SMPP's, which people in this field know; a link that speaks another
//! protocol translates its carrier's states into them.

/// The state of a message as its carrier reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptState {
    /// Under way: to be sent later.
    Scheduled = 0,
    /// Under way.
    Enroute = 1,
    /// The handset has it.
    Delivered = 2,
    /// It expired at the carrier.
    Expired = 3,
    /// Deleted at the carrier.
    Deleted = 4,
    /// It will not be delivered.
    Undeliverable = 5,
    /// Under way: the network has it.
    Accepted = 6,
    /// The carrier does not know its state.
    Unknown = 7,
    /// Refused after the carrier had taken it.
    Rejected = 8,
    /// The carrier did not send it.
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

    /// The name used in the API.
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

    /// Whether no other state is expected after it.
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
