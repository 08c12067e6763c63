//! The states of a message as the API shows them.

/// The state of a message. From a final state a message does not go back to an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageState {
    /// Waits for its `send_at`, or for the end of a back-off.
    Scheduled = 0,
    /// Ready; waits for a free slot at a carrier.
    #[default]
    Queued = 1,
    /// An attempt is recorded; the carrier has not responded to all parts.
    Sending = 2,
    /// The carrier took every part; no final receipt yet.
    Submitted = 3,
    /// An attempt got no response: it is not known whether the carrier has the message.
    InDoubt = 4,
    /// Final: a receipt says that the handset has it.
    Delivered = 5,
    /// Final: a receipt says that it will not be delivered.
    Undelivered = 6,
    /// Final: it expired, here or at the carrier.
    Expired = 7,
    /// Final: a carrier refused it permanently.
    Rejected = 8,
    /// Final: cancelled before it was sent.
    Cancelled = 9,
    /// Final: given up; the dead-letter reason says why.
    Dead = 10,
}

impl MessageState {
    /// Every state, in the order of a message's life.
    pub const ALL: [Self; 11] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Submitted,
        Self::InDoubt,
        Self::Delivered,
        Self::Undelivered,
        Self::Expired,
        Self::Rejected,
        Self::Cancelled,
        Self::Dead,
    ];

    /// The name used in the API and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Submitted => "submitted",
            Self::InDoubt => "in_doubt",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// The state of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it is final: only notes in the timeline can follow.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Sending | Self::Submitted | Self::InDoubt => false,
            Self::Delivered | Self::Undelivered | Self::Expired | Self::Rejected | Self::Cancelled | Self::Dead => true,
        }
    }
}
