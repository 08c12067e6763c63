//! The states of a message as the API shows them.

/// What became of a message so far. Final states do not regress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageState {
    /// Waits for its `send_at`, or for the end of a backoff.
    Scheduled = 0,
    /// Ready, waits for a place at a carrier.
    #[default]
    Queued = 1,
    /// An attempt is recorded; the carrier has not answered all its parts.
    Sending = 2,
    /// The carrier took every part; no final receipt yet.
    Submitted = 3,
    /// An attempt went without an answer: nobody knows whether the carrier has it.
    InDoubt = 4,
    /// Final: a receipt says that the handset has it.
    Delivered = 5,
    /// Final: a receipt says that it will not be delivered.
    Undelivered = 6,
    /// Final: its time ran out, here or at the carrier.
    Expired = 7,
    /// Final: a carrier refused it for good.
    Rejected = 8,
    /// Final: cancelled before it was sent.
    Cancelled = 9,
    /// Final: given up; the dead-letter reason says why.
    Dead = 10,
}

impl MessageState {
    /// Every state, in the order of life.
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

    /// Nothing but a note in the timeline can follow.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Sending | Self::Submitted | Self::InDoubt => false,
            Self::Delivered | Self::Undelivered | Self::Expired | Self::Rejected | Self::Cancelled | Self::Dead => true,
        }
    }
}
