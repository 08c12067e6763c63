//! The events of a message: the entries of its timeline, and their bytes on disk. No other file knows these bytes; the meaning
//! of the events is defined in [`super::view`].

use std::fmt;

use crate::model::{
    Address, CarrierError, CarrierId, Coding, DeadLetterReason, ErrorFamily, ErrorOrigin, ErrorText, ReceiptState,
    RouteId, SetNumber, TenantId, Wall,
};
use crate::traffic::{NotWritten, Unanswered};

use super::doubt::{Lost, LostBind, Resolution};

/// Something that happened to a message. Admission is not an event: it is recorded by the segment that holds the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The message.
    pub address: Address,
    pub at: Wall,
    pub what: Happened,
}

/// A kind of event with its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its `send_at`, or the end of a pause before a retry, has come: it is ready to be sent.
    Due {
        /// The message was unsent in the backup from which its shard was restored, and waits in the list of such messages.
        from_backup: bool,
    },
    /// An attempt to send it was recorded.
    Attempt {
        carrier: CarrierId,
        /// Number of the attempt, from 1.
        attempt: u8,
    },
    /// The carrier took one of several parts.
    PartAccepted {
        /// Number of the part, from 1.
        part: u8,
        /// Number of parts of the message.
        parts: u8,
    },
    /// The carrier took all parts.
    Submitted {
        /// Number of parts.
        parts: u8,
        /// A receipt is wanted.
        awaits_receipt: bool,
        /// The encoding in which it was sent.
        coding: Coding,
    },
    /// The attempt ended before anything was sent; the message is ready again.
    Returned { why: NotWritten },
    /// The carrier refused it with an error after which it is tried again.
    Refused { error: CarrierError },
    /// Parts were sent and not answered: it is unknown whether the carrier has the message.
    InDoubt { lost: Lost },
    /// It is no longer in doubt: it is ready to be sent again.
    Resent { by: Resolution },
    /// A receipt says that one of several parts was delivered.
    PartDelivered {
        /// Number of the part, from 1.
        part: u8,
    },
    /// A receipt with a state that is not final.
    Intermediate { receipt: ReceiptState },
    /// A receipt that came after the final state.
    Late { receipt: ReceiptState },
    /// Final: delivered, according to a receipt.
    Delivered {
        /// The error code in the receipt, which some carriers send in spite of the delivery.
        error: Option<CarrierError>,
    },
    /// Final: not delivered, according to a receipt.
    Undelivered { error: CarrierError },
    /// Final: the message expired.
    Expired {
        /// The error in the receipt, if it expired at the carrier; `None`: it expired here.
        error: Option<CarrierError>,
    },
    /// Final: the carrier refused it for good, by its answer or by a receipt.
    Rejected { error: CarrierError },
    /// Final: its tenant cancelled it.
    Cancelled {
        /// The tenant in whose queue share it still counts until it is due in the delay queue; 0: its place was freed at once.
        place_of: TenantId,
    },
    /// Final: it was given up.
    Dead {
        reason: DeadLetterReason,
        /// How it was decided, if it was in doubt.
        by: Option<Resolution>,
    },
    /// It is no longer in doubt: the carrier has it.
    Resolved { by: Resolution },
    /// Final: the carrier has it, and no receipt came in the time for which the shard waited.
    NoReceipt,
    /// Its route was removed, and it now waits in the lane of this one.
    Rerouted { route: RouteId },
    /// The limits have changed, and it now waits with the messages of this set of counters.
    Regrouped { set: SetNumber },
}

/// The kinds of events, without details.
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
    Rerouted,
    Regrouped,
}

impl EventKind {
    /// Every kind. A test fails if the list lacks one.
    pub const ALL: [Self; 21] = [
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
        Self::NoReceipt,
        Self::Rerouted,
        Self::Regrouped,
    ];

    /// The kinds that end a message. Only notes ([`Self::Late`], for example) can follow.
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
            Self::Rerouted => "rerouted",
            Self::Regrouped => "limits_changed",
        }
    }

    /// Whether this kind of event ends a message.
    pub fn is_final(self) -> bool {
        Self::FINALS.contains(&self)
    }
}

/// Maximum size of an error on disk: family and origin, the length of the text, the text, the number.
pub const ERROR_BYTES_MAX: usize = 1 + 1 + ErrorText::BYTES_MAX + 4;
/// Maximum size of an event on disk, without its message and its time: its kind, and an error or a number.
pub const EVENT_BYTES_MAX: usize = 1 + ERROR_BYTES_MAX;

/// The bytes of an event or an error on disk. The first byte of the array is their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed([u8; 1 + EVENT_BYTES_MAX]);

impl Packed {
    /// The bytes without their length.
    pub fn bytes(&self) -> &[u8] {
        &self.with_len()[1..]
    }

    /// The byte of their length, and the bytes.
    pub fn with_len(&self) -> &[u8] {
        &self.0[..=usize::from(self.0[0])]
    }

    /// Appends bytes while there is room. There always is: [`EVENT_BYTES_MAX`] is the maximum total of all appends.
    fn append(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let len = self.0[0] + 1;
            if let Some(place) = self.0.get_mut(usize::from(len)) {
                *place = *byte;
                self.0[0] = len;
            }
        }
    }

    /// Appends a number in little-endian order, without trailing zero bytes.
    fn append_number(&mut self, number: u32) {
        let bytes = number.to_le_bytes();
        self.append(&bytes[..bytes_of(number)]);
    }

    fn append_error(&mut self, error: CarrierError) {
        self.append(&[(error.origin as u8) << 4 | error.family as u8]);
        if error.has_code() {
            self.append(&[error.text.bytes().len() as u8]);
            self.append(error.text.bytes());
            self.append_number(error.number);
        }
    }
}

/// Size of a number without trailing zero bytes.
const fn bytes_of(number: u32) -> usize {
    4 - number.leading_zeros() as usize / 8
}

/// The number that [`Packed::append_number`] wrote.
fn number(bytes: &[u8]) -> Option<u32> {
    let mut all = [0; 4];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u32::from_le_bytes(all))
}

/// The error that [`Packed::append_error`] wrote.
fn error(bytes: &[u8]) -> Option<CarrierError> {
    let (head, rest) = bytes.split_first()?;
    let (family, origin) = (ErrorFamily::from_index(head & 0xF)?, ErrorOrigin::from_index(head >> 4)?);
    let Some((len, rest)) = rest.split_first() else {
        return Some(CarrierError { family, origin, ..CarrierError::default() });
    };
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some(CarrierError { family, origin, text: ErrorText::whole(text)?, number: number(rest)? })
}

impl CarrierError {
    /// Family and origin in one byte; if the error has a code, then the length of its text, the text, and its number without
    /// trailing zero bytes.
    pub fn pack(self) -> Packed {
        let mut packed = Packed::default();
        packed.append_error(self);
        packed
    }

    /// Reverses [`Self::pack`]; `None` for bytes that it never writes.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        error(bytes).filter(|error| error.pack().bytes() == bytes)
    }
}

/// Bytes that are no valid event: they are damaged, or written by a newer version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub Vec<u8>);

impl fmt::Display for UnknownEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_first() {
            Some((number, rest)) => write!(out, "no event has number {number} and {rest:?}"),
            None => write!(out, "an event of no bytes"),
        }
    }
}

/// The details of an event on disk, after the number of its kind.
enum Detail {
    Number(u32),
    Error(CarrierError),
    /// An error, or no bytes.
    Perhaps(Option<CarrierError>),
}

impl Happened {
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
            Self::Rerouted { .. } => EventKind::Rerouted,
            Self::Regrouped { .. } => EventKind::Regrouped,
        }
    }

    /// The event on disk: the number of its kind, and its details. The number of a kind is never reused for another kind.
    pub fn pack(self) -> Packed {
        let (number, detail) = self.detail();
        let mut packed = Packed::default();
        packed.append(&[number]);
        match detail {
            Detail::Number(number) => packed.append_number(number),
            Detail::Error(error) | Detail::Perhaps(Some(error)) => packed.append_error(error),
            Detail::Perhaps(None) => {}
        }
        packed
    }

    /// Whether [`Self::pack`] gives these bytes, of which the first is the number of this kind. Most events are compared without
    /// packing them.
    fn packs_as(self, bytes: &[u8]) -> bool {
        let rest = bytes.get(1..).unwrap_or_default();
        match self.detail().1 {
            Detail::Number(known) => rest.len() == bytes_of(known) && number(rest) == Some(known),
            Detail::Perhaps(None) => rest.is_empty(),
            Detail::Error(_) | Detail::Perhaps(Some(_)) => self.pack().bytes() == bytes,
        }
    }

    fn detail(self) -> (u8, Detail) {
        match self {
            Self::Due { from_backup } => (1, Detail::Number(from_backup.into())),
            Self::Attempt { carrier, attempt } => (2, Detail::Number(u32::from(carrier.0) << 8 | u32::from(attempt))),
            Self::PartAccepted { part, parts } => (3, Detail::Number(u32::from(parts) << 8 | u32::from(part))),
            Self::Submitted { parts, awaits_receipt, coding } => {
                (4, Detail::Number((coding as u32) << 9 | u32::from(!awaits_receipt) << 8 | u32::from(parts)))
            }
            Self::Returned { why } => (5, Detail::Number(why as u32)),
            Self::Refused { error } => (6, Detail::Error(error)),
            Self::InDoubt { lost } => (7, Detail::Number(lost.pack())),
            Self::Resent { by } => (8, Detail::Number(by as u32)),
            Self::PartDelivered { part } => (9, Detail::Number(part.into())),
            Self::Intermediate { receipt } => (10, Detail::Number(receipt as u32)),
            Self::Late { receipt } => (11, Detail::Number(receipt as u32)),
            Self::Delivered { error } => (12, Detail::Perhaps(error)),
            Self::Undelivered { error } => (13, Detail::Error(error)),
            Self::Expired { error } => (14, Detail::Perhaps(error)),
            Self::Rejected { error } => (15, Detail::Error(error)),
            Self::Cancelled { place_of } => (16, Detail::Number(place_of.0)),
            Self::Dead { reason, by } => (17, Detail::Number(by.map_or(0, |by| by as u32) << 8 | reason as u32)),
            Self::Resolved { by } => (18, Detail::Number(by as u32)),
            Self::NoReceipt => (20, Detail::Number(0)),
            Self::Rerouted { route } => (21, Detail::Number(route.0.into())),
            Self::Regrouped { set } => (22, Detail::Number(set.0)),
        }
    }

    /// Reverses [`Self::pack`].
    ///
    /// # Errors
    /// [`UnknownEvent`] for bytes that it never writes.
    pub fn unpack(bytes: &[u8]) -> Result<Self, UnknownEvent> {
        // An event with unused bytes at its end is not valid: it must pack to exactly these bytes.
        let happened = Self::read(bytes).filter(|happened| happened.packs_as(bytes));
        happened.ok_or_else(|| UnknownEvent(bytes.to_vec()))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let perhaps = || if rest.is_empty() { Some(None) } else { error(rest).map(Some) };
        let detail = || number(rest);
        let [low, high] = [rest.first(), rest.get(1)].map(|byte| byte.copied().unwrap_or(0));
        match kind {
            1 => Some(Self::Due { from_backup: low != 0 }),
            2 => Some(Self::Attempt { carrier: CarrierId((detail()? >> 8) as u16), attempt: low }),
            3 => Some(Self::PartAccepted { part: low, parts: high }),
            4 => Coding::from_index(high >> 1).map(|coding| Self::Submitted {
                parts: low,
                awaits_receipt: high & 1 == 0,
                coding,
            }),
            5 => NotWritten::from_index(low).map(|why| Self::Returned { why }),
            6 => error(rest).map(|error| Self::Refused { error }),
            7 => Lost::unpack(detail()?).map(|lost| Self::InDoubt { lost }),
            8 => Resolution::from_index(low).map(|by| Self::Resent { by }),
            9 => Some(Self::PartDelivered { part: low }),
            10 => ReceiptState::from_index(low).map(|receipt| Self::Intermediate { receipt }),
            11 => ReceiptState::from_index(low).map(|receipt| Self::Late { receipt }),
            12 => perhaps().map(|error| Self::Delivered { error }),
            13 => error(rest).map(|error| Self::Undelivered { error }),
            14 => perhaps().map(|error| Self::Expired { error }),
            15 => error(rest).map(|error| Self::Rejected { error }),
            16 => Some(Self::Cancelled { place_of: TenantId(detail()?) }),
            17 => {
                DeadLetterReason::from_index(low).map(|reason| Self::Dead { reason, by: Resolution::from_index(high) })
            }
            18 => Resolution::from_index(low).map(|by| Self::Resolved { by }),
            20 => Some(Self::NoReceipt),
            21 => Some(Self::Rerouted { route: RouteId(u16::try_from(detail()?).ok()?) }),
            22 => Some(Self::Regrouped { set: SetNumber(detail()?) }),
            _ => None,
        }
    }
}

impl Lost {
    /// Bits 0–2 reason, 3 held, 4–15 and 24–28 bind + 1 (0: unknown), 16–23 core, 29 grouped.
    pub fn pack(self) -> u32 {
        let place = self.bind.map_or(0, |bind| {
            let number = u32::from(bind.number) + 1;
            (number >> 12) << 24 | u32::from(bind.core) << 16 | (number & 0xFFF) << 4
        });
        u32::from(self.grouped) << 29 | place | u32::from(self.held) << 3 | self.reason as u32
    }

    /// Reverses [`Self::pack`]; `None` for a number that it never gives.
    pub fn unpack(packed: u32) -> Option<Self> {
        let number = (packed >> 24 & 0x1F) << 12 | (packed >> 4 & 0xFFF);
        let bind = number.checked_sub(1).and_then(|number| u16::try_from(number).ok());
        let bind = bind.map(|number| LostBind { core: (packed >> 16) as u8, number });
        let reason = Unanswered::from_index((packed & 7) as u8)?;
        let lost = Self { reason, bind, held: packed & 8 != 0, grouped: packed >> 29 & 1 != 0 };
        (lost.pack() == packed).then_some(lost)
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::samples::{error, samples};
    use crate::model::Prng;

    use super::*;

    #[test]
    fn every_event_survives_the_disk_and_no_two_have_the_same_bytes() {
        let mut seen = std::collections::BTreeMap::new();
        for happened in samples() {
            let packed = happened.pack();
            assert_eq!(Happened::unpack(packed.bytes()), Ok(happened));
            assert_eq!(*seen.entry(packed).or_insert(happened), happened, "{packed:?}");
        }
        let kinds: std::collections::BTreeSet<_> = seen.values().map(|happened| happened.kind()).collect();
        assert_eq!(kinds, EventKind::ALL.into_iter().collect(), "a kind without a sample proves nothing");
        // The last one in the order of their declaration: a new one is in the list, too.
        assert_eq!(EventKind::ALL.map(|kind| kind as usize), std::array::from_fn(|at| at));
        let longest = seen.keys().map(|packed| packed.bytes().len()).max();
        assert_eq!(longest, Some(EVENT_BYTES_MAX), "a bound that nothing reaches proves nothing");
    }

    #[test]
    fn whatever_bytes_there_are_they_are_an_events_or_are_refused() {
        let mut chance = Prng::new(7);
        let (mut known, mut refused) = (0, 0);
        for number in 0..=u8::MAX {
            for _ in 0..200 {
                let rest = chance.below(EVENT_BYTES_MAX as u64 + 2);
                let mut bytes = vec![number];
                bytes.extend((0..rest).map(|_| chance.next_u64() as u8 >> (chance.next_u64() % 8)));
                match Happened::unpack(&bytes) {
                    Ok(happened) => {
                        known += 1;
                        assert_eq!(happened.pack().bytes(), bytes);
                    }
                    Err(unknown) => refused += usize::from(unknown == UnknownEvent(bytes)),
                }
            }
        }
        assert!(known > 150 && refused > 236 * 200 && known + refused == 256 * 200, "{known} {refused}");
        assert_eq!(Happened::unpack(&[]), Err(UnknownEvent(Vec::new())));
        let told = UnknownEvent(vec![99, 1, 2]).to_string();
        assert_eq!(told, "no event has number 99 and [1, 2]");
    }

    #[test]
    fn an_error_has_one_spelling() {
        let (permanent, receipt) = (ErrorFamily::Permanent, ErrorOrigin::Receipt);
        for odd in [
            &[][..],
            &[0x20],
            &[0x05],
            &[0x45],
            &[0x25, 0],
            &[0x25, 1],
            &[0x25, 0, 1, 0],
            &[0x25, 1, 0x1F],
            &[0x25, 9, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31],
            &[0x25, 0, 1, 2, 3, 4, 5],
        ] {
            assert_eq!(CarrierError::unpack(odd), None, "{odd:?}");
        }
        let read = CarrierError::unpack(&[0x25, 2, 0x32, 0x37, 27]);
        assert_eq!(read, Some(error(permanent, receipt, "27", 27)));
    }

    /// The numbers of kinds and the positions of bits are part of the format on disk.
    #[test]
    fn golden_bytes_of_events() {
        let lost = Lost {
            reason: Unanswered::Stopped,
            bind: Some(LostBind { core: 1, number: 2 }),
            held: true,
            grouped: false,
        };
        let throttled = CarrierError::of_answer(ErrorFamily::Throttle, 0x58);
        let unknown = |origin, text, number| error(ErrorFamily::Unknown, origin, text, number);
        let refused = error(ErrorFamily::Permanent, ErrorOrigin::Receipt, "ABSENT_S", 0x0403_0201);
        let dead = Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(Resolution::PolicyDrop) };
        let golden: [(Happened, &[u8]); 26] = [
            (Happened::Due { from_backup: false }, &[1]),
            (Happened::Due { from_backup: true }, &[1, 1]),
            (Happened::Attempt { carrier: CarrierId(0x405), attempt: 7 }, &[2, 7, 5, 4]),
            (Happened::PartAccepted { part: 2, parts: 3 }, &[3, 2, 3]),
            (Happened::Submitted { parts: 3, awaits_receipt: true, coding: Coding::Gsm7 }, &[4, 3]),
            (Happened::Submitted { parts: 3, awaits_receipt: false, coding: Coding::Ucs2 }, &[4, 3, 9]),
            (Happened::Returned { why: NotWritten::ConnectionLost }, &[5, 5]),
            (Happened::Refused { error: throttled }, &[6, 0x11, 0, 0x58]),
            (Happened::InDoubt { lost }, &[7, 0x3B, 0, 1]),
            (Happened::Resent { by: Resolution::OperatorResend }, &[8, 6]),
            (Happened::PartDelivered { part: 9 }, &[9, 9]),
            (Happened::Intermediate { receipt: ReceiptState::Accepted }, &[10, 6]),
            (Happened::Late { receipt: ReceiptState::Delivered }, &[11, 2]),
            (Happened::Delivered { error: None }, &[12]),
            (
                Happened::Delivered { error: Some(unknown(ErrorOrigin::Receipt, "nul", 0)) },
                &[12, 0x27, 3, 0x6E, 0x75, 0x6C],
            ),
            (Happened::Undelivered { error: unknown(ErrorOrigin::Network, "", 27) }, &[13, 0x37, 0, 27]),
            (Happened::Expired { error: None }, &[14]),
            (Happened::Expired { error: Some(CarrierError::default()) }, &[14, 0x27]),
            (
                Happened::Rejected { error: refused },
                &[15, 0x25, 8, 0x41, 0x42, 0x53, 0x45, 0x4E, 0x54, 0x5F, 0x53, 1, 2, 3, 4],
            ),
            (Happened::Cancelled { place_of: TenantId(5) }, &[16, 5]),
            (Happened::Cancelled { place_of: TenantId(0) }, &[16]),
            (dead, &[17, 2, 5]),
            (Happened::Resolved { by: Resolution::LateAnswer }, &[18, 1]),
            (Happened::NoReceipt, &[20]),
            (Happened::Rerouted { route: RouteId(0x203) }, &[21, 3, 2]),
            (Happened::Regrouped { set: SetNumber(0x1_0203) }, &[22, 3, 2, 1]),
        ];
        for (happened, bytes) in golden {
            assert_eq!((happened.pack().bytes(), Happened::unpack(bytes)), (bytes, Ok(happened)));
        }
    }
}
