//! What can happen to a message: the vocabulary of its timeline, and the octets that it has on disk. No other file knows these
//! octets; what an event means stands in [`super::view`].

use std::fmt;

use crate::model::{Address, CarrierId, DeadLetterReason, TenantId, Wall};
use crate::smpp::receipt::ReceiptState;
use crate::traffic::{NotWritten, Unanswered};

use super::doubt::{Lost, LostBind, Resolution};

/// Something that happened to a message. Admission is no event: the segment itself says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// To which message.
    pub address: Address,
    /// When.
    pub at: Wall,
    /// What.
    pub what: Happened,
}

/// What happened, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its `send_at` or the end of its wait has come.
    Due {
        /// It was unsent in the backup that its shard was restored from, and goes to what was.
        from_backup: bool,
    },
    /// An attempt is recorded.
    Attempt {
        /// To whom.
        carrier: CarrierId,
        /// Which, from 1.
        attempt: u8,
    },
    /// The carrier took one of several parts.
    PartAccepted {
        /// Which, from 1.
        part: u8,
        /// How many there are.
        parts: u8,
    },
    /// The carrier took all parts.
    Submitted {
        /// How many there are.
        parts: u8,
        /// A receipt is wanted.
        awaits_receipt: bool,
    },
    /// The attempt ended before anything left; ready again.
    Returned {
        /// Why it did not leave.
        why: NotWritten,
    },
    /// The carrier refused it for now.
    Refused {
        /// Command status.
        status: u32,
    },
    /// Parts went without an answer.
    InDoubt {
        /// How they were lost.
        lost: Lost,
    },
    /// In doubt no more: ready again.
    Resent {
        /// Who decided so.
        by: Resolution,
    },
    /// A receipt says that one of several parts was delivered.
    PartDelivered {
        /// Which, from 1.
        part: u8,
    },
    /// A receipt that is not final.
    Intermediate {
        /// What it says.
        receipt: ReceiptState,
    },
    /// A receipt after the final state.
    Late {
        /// What it says.
        receipt: ReceiptState,
    },
    /// Final: a receipt says so.
    Delivered {
        /// The receipt's error code.
        error: u32,
    },
    /// Final: a receipt says so.
    Undelivered {
        /// The receipt's error code.
        error: u32,
    },
    /// Final: its time was over.
    Expired {
        /// At the carrier: the error code of the receipt that says so. `None`: here.
        error: Option<u32>,
    },
    /// Final: the carrier refused it for good, by its answer or by a receipt.
    Rejected {
        /// Command status, or the receipt's error code.
        error: u32,
    },
    /// Final: somebody cancelled it.
    Cancelled {
        /// The tenant whose place it holds until it is passed over; 0: nobody's.
        place_of: TenantId,
    },
    /// Final: given up.
    Dead {
        /// Why.
        reason: DeadLetterReason,
        /// Who decided so, if it was in doubt.
        by: Option<Resolution>,
    },
    /// In doubt no more: the carrier has it.
    Resolved {
        /// Who says so.
        by: Resolution,
    },
    /// Final: the carrier has it, and its receipt did not come while one was waited for.
    NoReceipt,
}

/// Kinds of events: what a timeline calls them, without what belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    Due,
    Attempt,
    PartAccepted,
    Submitted,
    Returned,
    Refused,
    InDoubt,
    Resent,
    PartDelivered,
    Intermediate,
    Late,
    Delivered,
    Undelivered,
    Expired,
    Rejected,
    Cancelled,
    Dead,
    Resolved,
    NoReceipt,
}

impl EventKind {
    /// Those that end a message; nothing but notes follow.
    pub const FINALS: [Self; 7] = [
        Self::Delivered,
        Self::Undelivered,
        Self::Expired,
        Self::Rejected,
        Self::Cancelled,
        Self::Dead,
        Self::NoReceipt,
    ];

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
            Self::NoReceipt => "no_receipt",
        }
    }

    /// A message with this event has reached its end.
    pub fn is_final(self) -> bool {
        Self::FINALS.contains(&self)
    }
}

/// Octets of an event on disk, without its message and its time.
pub const EVENT_OCTETS: usize = 5;

/// Octets that no event has: damage, or a version that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub [u8; EVENT_OCTETS]);

impl fmt::Display for UnknownEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, a, b, c, d] = self.0;
        write!(out, "no event has kind {kind} and detail {:#x}", u32::from_le_bytes([a, b, c, d]))
    }
}

impl Happened {
    /// Its kind.
    pub const fn kind(self) -> EventKind {
        match self {
            Self::Due { .. } => EventKind::Due,
            Self::Attempt { .. } => EventKind::Attempt,
            Self::PartAccepted { .. } => EventKind::PartAccepted,
            Self::Submitted { .. } => EventKind::Submitted,
            Self::Returned { .. } => EventKind::Returned,
            Self::Refused { .. } => EventKind::Refused,
            Self::InDoubt { .. } => EventKind::InDoubt,
            Self::Resent { .. } => EventKind::Resent,
            Self::PartDelivered { .. } => EventKind::PartDelivered,
            Self::Intermediate { .. } => EventKind::Intermediate,
            Self::Late { .. } => EventKind::Late,
            Self::Delivered { .. } => EventKind::Delivered,
            Self::Undelivered { .. } => EventKind::Undelivered,
            Self::Expired { .. } => EventKind::Expired,
            Self::Rejected { .. } => EventKind::Rejected,
            Self::Cancelled { .. } => EventKind::Cancelled,
            Self::Dead { .. } => EventKind::Dead,
            Self::Resolved { .. } => EventKind::Resolved,
            Self::NoReceipt => EventKind::NoReceipt,
        }
    }

    /// A number that is never used again for something else, and 32 bits for what belongs to it, little endian.
    pub fn pack(self) -> [u8; EVENT_OCTETS] {
        let (number, detail): (u8, u32) = match self {
            Self::Due { from_backup } => (1, from_backup.into()),
            Self::Attempt { carrier, attempt } => (2, u32::from(carrier.0) << 8 | u32::from(attempt)),
            Self::PartAccepted { part, parts } => (3, u32::from(parts) << 8 | u32::from(part)),
            Self::Submitted { parts, awaits_receipt } => (4, u32::from(!awaits_receipt) << 8 | u32::from(parts)),
            Self::Returned { why } => (5, why as u32),
            Self::Refused { status } => (6, status),
            Self::InDoubt { lost } => (7, lost.pack()),
            Self::Resent { by } => (8, by as u32),
            Self::PartDelivered { part } => (9, part.into()),
            Self::Intermediate { receipt } => (10, receipt as u32),
            Self::Late { receipt } => (11, receipt as u32),
            Self::Delivered { error } => (12, error),
            Self::Undelivered { error } => (13, error),
            // 0 there means "here": a receipt without a code has a number of its own.
            Self::Expired { error: Some(0) } => (19, 0),
            Self::Expired { error } => (14, error.unwrap_or(0)),
            Self::Rejected { error } => (15, error),
            Self::Cancelled { place_of } => (16, place_of.0),
            Self::Dead { reason, by } => (17, by.map_or(0, |by| by as u32) << 8 | reason as u32),
            Self::Resolved { by } => (18, by as u32),
            Self::NoReceipt => (20, 0),
        };
        let [a, b, c, d] = detail.to_le_bytes();
        [number, a, b, c, d]
    }

    /// Back from [`Self::pack`].
    ///
    /// # Errors
    /// [`UnknownEvent`] for octets that it never gives.
    pub fn unpack(octets: [u8; EVENT_OCTETS]) -> Result<Self, UnknownEvent> {
        let [number, low, high, c, d] = octets;
        let detail = u32::from_le_bytes([low, high, c, d]);
        let happened = match number {
            1 => Some(Self::Due { from_backup: low != 0 }),
            2 => Some(Self::Attempt { carrier: CarrierId((detail >> 8) as u16), attempt: low }),
            3 => Some(Self::PartAccepted { part: low, parts: high }),
            4 => Some(Self::Submitted { parts: low, awaits_receipt: high == 0 }),
            5 => NotWritten::from_index(low).map(|why| Self::Returned { why }),
            6 => Some(Self::Refused { status: detail }),
            7 => Lost::unpack(detail).map(|lost| Self::InDoubt { lost }),
            8 => Resolution::from_index(low).map(|by| Self::Resent { by }),
            9 => Some(Self::PartDelivered { part: low }),
            10 => ReceiptState::from_code(low).map(|receipt| Self::Intermediate { receipt }),
            11 => ReceiptState::from_code(low).map(|receipt| Self::Late { receipt }),
            12 => Some(Self::Delivered { error: detail }),
            13 => Some(Self::Undelivered { error: detail }),
            14 => Some(Self::Expired { error: (detail != 0).then_some(detail) }),
            15 => Some(Self::Rejected { error: detail }),
            16 => Some(Self::Cancelled { place_of: TenantId(detail) }),
            17 => {
                DeadLetterReason::from_index(low).map(|reason| Self::Dead { reason, by: Resolution::from_index(high) })
            }
            18 => Resolution::from_index(low).map(|by| Self::Resolved { by }),
            19 => Some(Self::Expired { error: Some(0) }),
            20 => Some(Self::NoReceipt),
            _ => None,
        };
        // What is left over in the octets belongs to nothing.
        happened.filter(|happened| happened.pack() == octets).ok_or(UnknownEvent(octets))
    }
}

impl Lost {
    /// Bits 0–2 reason, 3 held, 4–15 and 24–28 bind + 1 (0: not known), 16–23 core.
    pub fn pack(self) -> u32 {
        let place = self.bind.map_or(0, |bind| {
            let number = u32::from(bind.number) + 1;
            (number >> 12) << 24 | u32::from(bind.core) << 16 | (number & 0xFFF) << 4
        });
        place | u32::from(self.held) << 3 | self.reason as u32
    }

    /// Back from [`Self::pack`]; `None` for what it never gives.
    pub fn unpack(packed: u32) -> Option<Self> {
        let number = (packed >> 24) << 12 | (packed >> 4 & 0xFFF);
        let bind = number.checked_sub(1).and_then(|number| u16::try_from(number).ok());
        let bind = bind.map(|number| LostBind { core: (packed >> 16) as u8, number });
        let reason = Unanswered::from_index((packed & 7) as u8)?;
        let lost = Self { reason, bind, held: packed & 8 != 0 };
        (lost.pack() == packed).then_some(lost)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::model::Prng;

    use super::*;

    /// A number, and what belongs to it: of all that there is where that is little, else the ends and some by chance.
    fn numbers() -> Vec<u32> {
        let mut chance = Prng::new(5);
        let mut numbers = vec![0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
        numbers.extend((0..200).map(|_| chance.next_u64() as u32 >> (chance.next_u64() % 32)));
        numbers
    }

    /// Events of every kind, with whatever may belong to them.
    pub(crate) fn samples() -> Vec<Happened> {
        let mut samples = Vec::new();
        for n in numbers() {
            let [low, high, ..] = n.to_le_bytes();
            let bind = Some(LostBind { core: high, number: n as u16 });
            let lost = |reason| [None, bind].map(|bind| Lost { reason, bind, held: n % 2 == 0 });
            samples.extend([
                Happened::Due { from_backup: n % 2 == 0 },
                Happened::Attempt { carrier: CarrierId(n as u16), attempt: low },
                Happened::PartAccepted { part: low, parts: high },
                Happened::Submitted { parts: low, awaits_receipt: n % 2 == 0 },
                Happened::Refused { status: n },
                Happened::PartDelivered { part: low },
                Happened::Delivered { error: n },
                Happened::Undelivered { error: n },
                Happened::Expired { error: None },
                Happened::Expired { error: Some(n) },
                Happened::Rejected { error: n },
                Happened::Cancelled { place_of: TenantId(n) },
            ]);
            samples.extend(Unanswered::ALL.into_iter().flat_map(lost).map(|lost| Happened::InDoubt { lost }));
        }
        samples.push(Happened::NoReceipt);
        samples.extend(NotWritten::ALL.map(|why| Happened::Returned { why }));
        let said = |receipt| [Happened::Intermediate { receipt }, Happened::Late { receipt }];
        samples.extend(ReceiptState::ALL.into_iter().flat_map(said));
        for by in Resolution::ALL {
            samples.extend([Happened::Resent { by }, Happened::Resolved { by }]);
            let dead = |reason| [None, Some(by)].map(|by| Happened::Dead { reason, by });
            samples.extend(DeadLetterReason::ALL.into_iter().flat_map(dead));
        }
        samples
    }

    #[test]
    fn every_event_survives_the_disk_and_no_two_have_the_same_octets() {
        let mut seen = std::collections::BTreeMap::new();
        for happened in samples() {
            let octets = happened.pack();
            assert_eq!(Happened::unpack(octets), Ok(happened));
            assert_eq!(*seen.entry(octets).or_insert(happened), happened, "{octets:?}");
        }
        let kinds: std::collections::BTreeSet<_> = seen.values().map(|happened| happened.kind()).collect();
        assert_eq!(kinds.len(), 19, "a kind without a sample proves nothing");
    }

    #[test]
    fn whatever_octets_there_are_they_are_an_events_or_are_refused() {
        let mut refused = 0;
        for number in 0..=u8::MAX {
            for [a, b, c, d] in numbers().into_iter().map(u32::to_le_bytes) {
                let octets = [number, a, b, c, d];
                match Happened::unpack(octets) {
                    Ok(happened) => assert_eq!(happened.pack(), octets),
                    Err(unknown) => refused += usize::from(unknown == UnknownEvent(octets)),
                }
            }
        }
        assert!(refused > 235 * numbers().len(), "{refused}");
        let told = UnknownEvent([99, 1, 2, 0, 0]).to_string();
        assert_eq!(told, "no event has kind 99 and detail 0x201");
    }

    /// Numbers and places of bits are part of the format.
    #[test]
    fn golden_octets_of_events() {
        let lost = Lost { reason: Unanswered::Stopped, bind: Some(LostBind { core: 1, number: 2 }), held: true };
        let golden = [
            (Happened::Due { from_backup: true }, [1, 1, 0, 0, 0]),
            (Happened::Attempt { carrier: CarrierId(0x405), attempt: 7 }, [2, 7, 5, 4, 0]),
            (Happened::PartAccepted { part: 2, parts: 3 }, [3, 2, 3, 0, 0]),
            (Happened::Submitted { parts: 3, awaits_receipt: true }, [4, 3, 0, 0, 0]),
            (Happened::Submitted { parts: 3, awaits_receipt: false }, [4, 3, 1, 0, 0]),
            (Happened::Returned { why: NotWritten::ConnectionLost }, [5, 5, 0, 0, 0]),
            (Happened::Refused { status: 0x58 }, [6, 0x58, 0, 0, 0]),
            (Happened::InDoubt { lost }, [7, 0x3B, 0, 1, 0]),
            (Happened::Resent { by: Resolution::HandResend }, [8, 6, 0, 0, 0]),
            (Happened::PartDelivered { part: 9 }, [9, 9, 0, 0, 0]),
            (Happened::Intermediate { receipt: ReceiptState::Accepted }, [10, 6, 0, 0, 0]),
            (Happened::Late { receipt: ReceiptState::Delivered }, [11, 2, 0, 0, 0]),
            (Happened::Delivered { error: 1 }, [12, 1, 0, 0, 0]),
            (Happened::Undelivered { error: 0x0403_0201 }, [13, 1, 2, 3, 4]),
            (Happened::Expired { error: None }, [14, 0, 0, 0, 0]),
            (Happened::Expired { error: Some(2) }, [14, 2, 0, 0, 0]),
            (Happened::Expired { error: Some(0) }, [19, 0, 0, 0, 0]),
            (Happened::Rejected { error: 11 }, [15, 11, 0, 0, 0]),
            (Happened::Cancelled { place_of: TenantId(5) }, [16, 5, 0, 0, 0]),
            (
                Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(Resolution::PolicyDrop) },
                [17, 2, 5, 0, 0],
            ),
            (Happened::Resolved { by: Resolution::LateAnswer }, [18, 1, 0, 0, 0]),
            (Happened::NoReceipt, [20, 0, 0, 0, 0]),
        ];
        for (happened, octets) in golden {
            assert_eq!((happened.pack(), Happened::unpack(octets)), (octets, Ok(happened)));
        }
    }
}
