//! What can happen to a message: the vocabulary of its timeline. Goes to disk packed to 13 octets.

use crate::model::{Address, Wall};

/// Something that happened to a message. Admission is no event: the segment itself says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// To which message.
    pub address: Address,
    /// What.
    pub kind: EventKind,
    /// What belongs to it: see each kind.
    pub detail: u32,
    /// When.
    pub at: Wall,
}

/// Kinds of events. Discriminants go to disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// Its `send_at` has come. Detail 0.
    Due = 1,
    /// An attempt is recorded. Detail: carrier << 8 | attempt.
    Attempt = 2,
    /// The carrier took one of several parts. Detail: parts << 8 | part.
    PartAccepted = 3,
    /// The carrier took all parts. Detail: number of parts.
    Submitted = 4,
    /// The attempt ended before anything left; ready again. Detail: [`crate::traffic::NotWritten`].
    Returned = 5,
    /// The carrier refused it for now. Detail: command status.
    Refused = 6,
    /// Parts went without an answer. Detail: [`super::Lost`].
    InDoubt = 7,
    /// In doubt no more: ready again by policy or by hand. Detail: [`super::Resolution`].
    Resent = 8,
    /// A receipt says that one of several parts was delivered. Detail: part.
    PartDelivered = 9,
    /// A receipt that is not final. Detail: the receipt's state as SMPP numbers it.
    Intermediate = 10,
    /// A receipt after the final state. Detail: the receipt's state as SMPP numbers it.
    Late = 11,
    /// Final. Detail: the receipt's error code.
    Delivered = 12,
    /// Final. Detail: the receipt's error code.
    Undelivered = 13,
    /// Final. Detail: 0 here, the receipt's error code at the carrier.
    Expired = 14,
    /// Final. Detail: command status, or the receipt's error code.
    Rejected = 15,
    /// Final. Detail: the tenant whose place it holds until it is passed over, 0 for none.
    Cancelled = 16,
    /// Final. Detail: [`crate::model::DeadLetterReason`], and by which [`super::Resolution`] << 8 if it was in doubt.
    Dead = 17,
    /// In doubt no more: the carrier has it. Detail: [`super::Resolution`].
    Resolved = 18,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::Due,
        Self::Attempt,
        Self::PartAccepted,
        Self::Submitted,
        Self::Returned,
        Self::Refused,
        Self::InDoubt,
        Self::Resent,
        Self::PartDelivered,
        Self::Intermediate,
        Self::Late,
        Self::Delivered,
        Self::Undelivered,
        Self::Expired,
        Self::Rejected,
        Self::Cancelled,
        Self::Dead,
        Self::Resolved,
    ];

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == index)
    }

    /// The name in the timeline.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Attempt => "attempt",
            Self::PartAccepted => "part_accepted",
            Self::Submitted => "submitted",
            Self::Returned => "returned",
            Self::Refused => "refused",
            Self::InDoubt => "in_doubt",
            Self::Resent => "resent",
            Self::PartDelivered => "part_delivered",
            Self::Intermediate => "intermediate",
            Self::Late => "late",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
            Self::Resolved => "resolved",
        }
    }

    /// A message with this event is in a final state.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Due
            | Self::Attempt
            | Self::PartAccepted
            | Self::Submitted
            | Self::Returned
            | Self::Refused
            | Self::InDoubt
            | Self::Resent
            | Self::PartDelivered
            | Self::Intermediate
            | Self::Late
            | Self::Resolved => false,
            Self::Delivered | Self::Undelivered | Self::Expired | Self::Rejected | Self::Cancelled | Self::Dead => true,
        }
    }
}
