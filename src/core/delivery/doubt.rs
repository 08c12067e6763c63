//! The ledger's words: an attempt of which nobody knows whether the carrier has it, where it was lost, and how it left the
//! ledger. How both go to disk is told in `event.rs`.

use crate::model::{Address, CarrierId, Class, Lane, Msisdn, TenantId, Wall};
use crate::traffic::{Trial, Unanswered};

/// An entry of the ledger: nobody knows whether the carrier has this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// Which attempt.
    pub attempt: u8,
    /// The reference that its parts share.
    pub reference: u16,
    /// Where it was sent.
    pub carrier: CarrierId,
    /// Where it returns to if it is sent again.
    pub lane: Lane,
    /// To whom.
    pub recipient: Msisdn,
    /// Whose.
    pub tenant: TenantId,
    /// Parts, as counted at ingest.
    pub parts: u8,
    /// When the attempt was recorded.
    pub sent_at: Wall,
    /// Since when it is in doubt.
    pub since: Wall,
    /// Why, and on which bind.
    pub lost: Lost,
    /// When its class's policy sends it again or gives it up; an entry of the delay queue that fires earlier belongs to an older doubt.
    pub decided_at: Wall,
    /// Somebody says that the carrier has it: in the ledger no more, and kept for the receipt whose id nobody knows.
    pub vouched: bool,
    /// How often the message was in doubt, this time included.
    pub doubts: Doubts,
}

impl InDoubt {
    /// Nobody decides by the clock: [`Self::decided_at`] of what is held.
    pub const HELD: Wall = Wall(u64::MAX);
}

/// How often a message was in doubt by what its carrier did, and so how it goes next. The first time it was one of many whose
/// session was lost, and the cause may be any of them. So it goes again beside nothing else, or first in a small group, and alone
/// if that loses its session too. Only what is lost alone speaks against the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubts {
    /// How often.
    pub lost: u8,
    /// The second time it was, or will be, one of a group.
    pub grouped: bool,
}

impl Doubts {
    /// The count stops here: no policy permits as many.
    const LOST_MAX: u8 = 0x7F;

    /// It is in doubt once more. What we did ourselves does not count.
    #[must_use]
    pub fn after(self, lost: Lost) -> Self {
        if !lost.reason.is_by_carrier() {
            return self;
        }
        let grouped = if self.lost == 0 { lost.grouped } else { self.grouped };
        Self { lost: self.lost.saturating_add(1).min(Self::LOST_MAX), grouped }
    }

    /// Beside what it goes next; `None`: beside whatever there is.
    pub const fn trial(self) -> Option<Trial> {
        match (self.lost, self.grouped) {
            (0, _) => None,
            (1, true) => Some(Trial::InGroup),
            _ => Some(Trial::Alone),
        }
    }

    /// How often a session was lost while it was alone.
    pub const fn alone(self) -> u8 {
        self.lost.saturating_sub(1 + self.grouped as u8)
    }

    /// On disk.
    pub const fn pack(self) -> u8 {
        (self.grouped as u8) << 7 | self.lost
    }

    /// Back from [`Self::pack`].
    pub const fn unpack(packed: u8) -> Self {
        Self { lost: packed & Self::LOST_MAX, grouped: packed >> 7 != 0 }
    }
}

/// A bind of a link, as people count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostBind {
    /// The core of its link.
    pub core: u8,
    /// Its number there.
    pub number: u16,
}

/// How an attempt was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why there is no answer.
    pub reason: Unanswered,
    /// On which bind the last unanswered part went; after a crash nobody knows.
    pub bind: Option<LostBind>,
    /// Its class's policy was `hold`.
    pub held: bool,
    /// It was not among the first that its session left unanswered: it goes again in a group, and not alone.
    pub grouped: bool,
}

/// How a message left the ledger. Discriminants go to disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resolution {
    /// The carrier answered after all.
    LateAnswer = 1,
    /// By a receipt whose id nobody knew, of which it was the only one that it could be about.
    Receipt = 2,
    /// By a receipt that carried the reference of one of its parts.
    Reference = 3,
    /// Its class's policy sent it again.
    PolicyResend = 4,
    /// Its class's policy gave it up.
    PolicyDrop = 5,
    /// Somebody wanted it sent again.
    HandResend = 6,
    /// Somebody gave it up.
    HandDrop = 7,
    /// Somebody says that the carrier has it.
    HandSent = 8,
    /// Its time was over while it was held: the message ended as expired.
    Expired = 9,
}

impl Resolution {
    /// Every way, in the order of its number less one.
    pub const ALL: [Self; 9] = [
        Self::LateAnswer,
        Self::Receipt,
        Self::Reference,
        Self::PolicyResend,
        Self::PolicyDrop,
        Self::HandResend,
        Self::HandDrop,
        Self::HandSent,
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
            Self::HandResend => "hand_resend",
            Self::HandDrop => "hand_drop",
            Self::HandSent => "hand_sent",
            Self::Expired => "expired",
        }
    }

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|how| *how as u8 == index)
    }
}

/// Which entries of the ledger are meant; nothing set: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoubtFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// At this carrier.
    pub carrier: Option<CarrierId>,
    /// Of this class.
    pub class: Option<Class>,
    /// For this reason.
    pub reason: Option<Unanswered>,
    /// In doubt not before.
    pub since: Option<Wall>,
}

impl DoubtFilter {
    /// Whether an entry is meant.
    pub fn takes(&self, doubt: &InDoubt) -> bool {
        self.tenant.is_none_or(|tenant| tenant == doubt.tenant)
            && self.carrier.is_none_or(|carrier| carrier == doubt.carrier)
            && self.class.is_none_or(|class| class == doubt.lane.class)
            && self.reason.is_none_or(|reason| reason == doubt.lost.reason)
            && self.since.is_none_or(|since| since <= doubt.since)
    }
}

/// The 16 bits that a carrier is given with a part, as `user_message_reference`, and may carry back in its receipt. A
/// function of the part, so that nothing need be remembered of it.
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
