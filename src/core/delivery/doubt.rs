//! The types of the ledger of messages in doubt: an entry, how its attempt was lost, and how it left the ledger. A message is in
//! doubt while it is unknown whether the carrier has it. `event.rs` defines the bytes of these types on disk.

use crate::model::{Address, CarrierId, Class, Lane, Msisdn, TenantId, Wall};
use crate::traffic::{Trial, Unanswered};

/// A message of which it is unknown whether the carrier has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// Number of the attempt that is in doubt, from 1.
    pub attempt: u8,
    /// Concatenation reference, the same in all its parts.
    pub reference: u16,
    /// The carrier to which it was sent.
    pub carrier: CarrierId,
    /// The lane to which the message returns if it is sent again.
    pub lane: Lane,
    pub recipient: Msisdn,
    /// Number of parts, as counted at ingest.
    pub parts: u8,
    /// When the attempt was recorded.
    pub sent_at: Wall,
    /// Since when it is in doubt.
    pub since: Wall,
    /// Why, and on which bind.
    pub lost: Lost,
    /// When the policy of its class sends it again or gives it up. An entry of the delay queue that fires earlier belongs to an
    /// older doubt.
    pub decided_at: Wall,
    /// The operator said that the carrier has it. It is no longer in the ledger, but is kept to be matched with a receipt whose
    /// id is unknown.
    pub vouched: bool,
    /// How often the message was in doubt, this time included.
    pub doubts: Doubts,
}

impl InDoubt {
    /// [`Self::decided_at`] of a message that is held: it is never decided by time.
    pub const HELD: Wall = Wall(u64::MAX);
}

/// How often a message was in doubt because of its carrier; this decides how it is sent next. The first time it was one of many
/// messages whose session was lost, and any of them may be the cause. So it is sent again alone, or first in a small group, and
/// then alone if the group loses its session too. Only a session that is lost with the message alone on it counts against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubts {
    /// Number of times that it was in doubt because of its carrier; stops at 127.
    pub lost: u8,
    /// The second time it was, or will be, sent in a group.
    pub grouped: bool,
}

impl Doubts {
    /// The count stops here, as it is stored in 7 bits; no policy permits so many.
    const LOST_MAX: u8 = 0x7F;

    /// The value after one more loss. A loss that we caused ourselves does not count.
    #[must_use]
    pub fn after(self, lost: Lost) -> Self {
        if !lost.reason.is_by_carrier() {
            return self;
        }
        let grouped = if self.lost == 0 { lost.grouped } else { self.grouped };
        Self { lost: self.lost.saturating_add(1).min(Self::LOST_MAX), grouped }
    }

    /// Which messages may be beside it when it is sent next; `None`: any.
    pub const fn trial(self) -> Option<Trial> {
        match (self.lost, self.grouped) {
            (0, _) => None,
            (1, true) => Some(Trial::InGroup),
            _ => Some(Trial::Alone),
        }
    }

    /// How often a session was lost while the message was alone on it.
    pub const fn alone(self) -> u8 {
        self.lost.saturating_sub(1 + self.grouped as u8)
    }

    /// The byte on disk.
    pub const fn pack(self) -> u8 {
        (self.grouped as u8) << 7 | self.lost
    }

    /// Reverses [`Self::pack`].
    pub const fn unpack(packed: u8) -> Self {
        Self { lost: packed & Self::LOST_MAX, grouped: packed >> 7 != 0 }
    }
}

/// A bind of a carrier, as the operator sees it numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostBind {
    /// The core on which its link runs.
    pub core: u8,
    /// Its number on that link.
    pub number: u16,
}

/// How an attempt was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why there is no answer.
    pub reason: Unanswered,
    /// The bind on which the last unanswered part was sent; `None` if unknown, such as after a crash.
    pub bind: Option<LostBind>,
    /// The policy of its class was `hold`.
    pub held: bool,
    /// It was not among the first messages that its session left unanswered: it is sent again in a group, not alone.
    pub grouped: bool,
}

/// How a message left the ledger. Discriminants go to disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resolution {
    /// The carrier's answer came late.
    LateAnswer = 1,
    /// A receipt with an unknown id came, and this was the only message that it could be about.
    Receipt = 2,
    /// A receipt came that carried the `user_message_reference` of one of its parts.
    Reference = 3,
    /// The policy of its class sent it again.
    PolicyResend = 4,
    /// The policy of its class gave it up.
    PolicyDrop = 5,
    /// The operator had it sent again.
    OperatorResend = 6,
    /// The operator gave it up.
    OperatorDrop = 7,
    /// The operator said that the carrier has it.
    OperatorSent = 8,
    /// It expired while it was held: the message ended as expired.
    Expired = 9,
}

impl Resolution {
    /// Every resolution; the index of each is its number minus one.
    pub const ALL: [Self; 9] = [
        Self::LateAnswer,
        Self::Receipt,
        Self::Reference,
        Self::PolicyResend,
        Self::PolicyDrop,
        Self::OperatorResend,
        Self::OperatorDrop,
        Self::OperatorSent,
        Self::Expired,
    ];

    /// The name in timelines and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LateAnswer => "late_answer",
            Self::Receipt => "receipt",
            Self::Reference => "reference",
            Self::PolicyResend => "policy_resend",
            Self::PolicyDrop => "policy_drop",
            Self::OperatorResend => "operator_resend",
            Self::OperatorDrop => "operator_drop",
            Self::OperatorSent => "operator_sent",
            Self::Expired => "expired",
        }
    }

    /// Index in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// The resolution with this number on disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|how| *how as u8 == index)
    }
}

/// A selection of entries of the ledger. An entry must match every field that is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoubtFilter {
    pub tenant: Option<TenantId>,
    pub carrier: Option<CarrierId>,
    pub class: Option<Class>,
    pub reason: Option<Unanswered>,
    /// Only messages that are in doubt since this time or later.
    pub since: Option<Wall>,
}

impl DoubtFilter {
    /// Whether an entry matches.
    pub fn takes(&self, doubt: &InDoubt) -> bool {
        self.tenant.is_none_or(|tenant| tenant == doubt.lane.tenant)
            && self.carrier.is_none_or(|carrier| carrier == doubt.carrier)
            && self.class.is_none_or(|class| class == doubt.lane.class)
            && self.reason.is_none_or(|reason| reason == doubt.lost.reason)
            && self.since.is_none_or(|since| since <= doubt.since)
    }
}

/// The `user_message_reference` of a part, 16 bits, which the carrier may send back in the receipt. It is computed from the
/// part, so that it need not be stored.
pub const fn part_reference(address: Address, attempt: u8, part: u8) -> u16 {
    let mixed = crate::model::prng::mix(address.packed() ^ (attempt as u64) << 56 ^ (part as u64) << 48);
    (mixed >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_references_of_parts() {
        let reference = |slot, attempt, part| part_reference(Address::new(1, slot), attempt, part);
        let golden = [reference(0, 1, 1), reference(0, 1, 2), reference(0, 2, 1), reference(1, 1, 1)];
        assert_eq!(golden, [37_580, 62_425, 57_825, 38_454]);
    }

    #[test]
    fn only_what_is_lost_alone_counts_against_a_message() {
        let lost = |reason, grouped| Lost { reason, bind: None, held: false, grouped };
        let by_carrier = [Unanswered::ConnectionLost, Unanswered::ResponseTimeout];
        let (alone, in_group) = (Some(Trial::Alone), Some(Trial::InGroup));
        for (grouped, stages) in [
            (false, [(alone, 0), (alone, 1), (alone, 2), (alone, 3)]),
            (true, [(in_group, 0), (alone, 0), (alone, 1), (alone, 2)]),
        ] {
            let mut doubts = Doubts::default();
            assert_eq!((doubts.trial(), doubts.alone()), (None, 0));
            for (at, stage) in stages.into_iter().enumerate() {
                doubts = doubts.after(lost(by_carrier[at % 2], grouped));
                for ours in [Unanswered::Crashed, Unanswered::Stopped, Unanswered::Restored] {
                    assert_eq!(doubts.after(lost(ours, !grouped)), doubts, "what we did ourselves");
                }
                assert_eq!((doubts.trial(), doubts.alone()), stage, "grouped {grouped}, loss {}", at + 1);
                assert_eq!(Doubts::unpack(doubts.pack()), doubts);
            }
            (0..300).for_each(|_| doubts = doubts.after(lost(Unanswered::ConnectionLost, !grouped)));
            assert_eq!((doubts.lost, doubts.grouped), (Doubts::LOST_MAX, grouped));
        }
    }

    #[test]
    fn ways_have_their_numbers() {
        for (at, how) in Resolution::ALL.into_iter().enumerate() {
            assert_eq!((how.index(), Resolution::from_index(how as u8)), (at, Some(how)));
        }
        assert_eq!(Resolution::from_index(0), None);
    }
}
