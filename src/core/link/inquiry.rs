//! Receipts and messages from handsets that wait for a shard's verdict, and which shard to ask next.
//!
//! Knows tokens, shards and verdicts. Refuses to know sessions and what is in a receipt.
//!
//! A receipt is offered in this order: to the shard that the id table names; to the shard of the recipient (its home); to every
//! other shard; and if no shard knows the message, to the home again, which parks it. The home of a receipt without a
//! recipient is chosen by the hash of its id. If a shard knows the id but the numbers in the receipt do not prove that it is
//! about a message of that shard ([`Verdict::Perhaps`]), that shard parks the receipt, after the home was asked for a message in
//! doubt that it may be about. A message from a handset is offered only to its home, which keeps it.
//!
//! Invariants:
//! 1. A token is open from [`Inquiries::open`] until the first verdict `Kept` or `Full`. Later verdicts for it are void, even
//!    when its slot is used again.
//! 2. At most one shard is ever told to park an inquiry.
//! 3. The number of waiting inquiries of a connection, and their bytes, equal those of its open inquiries.

use std::collections::BTreeMap;

use crate::model::invariant::WALKED_MAX;
use crate::model::{ShardId, Sound, holds};
use crate::traffic::{IfUnknown, ReceiptIn, ReceiptToken, Verdict};

use super::event::BindId;

/// Capacity of a buffer that a free slot keeps for its next inquiry, bytes; a larger buffer is released.
const BYTES_KEPT_MAX: usize = 1_024;

/// Where the answer to the carrier goes once a shard has kept the receipt, or the message from a handset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The connection by which it came.
    pub bind: BindId,
    /// Number of the session on that connection ([`super::smpp::leg::Leg::generation`]).
    pub generation: u32,
    /// Sequence number of the PDU.
    pub sequence: u32,
    /// It came as `data_sm`, not as `deliver_sm`.
    pub is_data: bool,
    /// Bytes held until it is answered.
    pub bytes: u32,
}

/// The shards to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The shard that the id table names, if any.
    pub first: Option<ShardId>,
    /// The shard of the recipient, or of the id's hash; it parks the receipt if no shard knows it.
    pub home: ShardId,
    /// Number of shards.
    pub shards: u8,
}

/// What a verdict leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Acknowledge the delivery to the carrier.
    Answer(ReplyTo),
    /// Refuse it because there is no room: the carrier is to deliver it again later.
    Refuse(ReplyTo),
    /// Ask these shards; [`Inquiries::copy`] gives the receipt.
    Ask(Ask),
    /// Nothing: more verdicts are expected.
    Wait,
    /// Nothing: the token is not open.
    Void,
}

/// Which shards to ask, and what they do with an id that they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One shard.
    One(ShardId, IfUnknown),
    /// All shards except the two that were asked before.
    Others(ShardId, ShardId),
}

impl Ask {
    const fn is_to_park(self) -> bool {
        matches!(self, Self::One(_, IfUnknown::Park))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    First,
    Home,
    Others { unanswered: u8 },
    Settle,
    Park,
}

#[derive(Debug)]
struct Inquiry {
    reply: ReplyTo,
    way: Way,
    step: Step,
    /// The first shard that said [`Verdict::Perhaps`].
    perhaps: Option<ShardId>,
    /// Whether several shards said so.
    are_several: bool,
    /// Number of shards that were told to park it. Only for [`Inquiries::check`].
    parked: u8,
    /// `None`: a message from a handset.
    receipt: Option<ReceiptIn>,
    id_bytes: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// Number of inquiries that have ended in this slot. Only for [`Inquiries::check`].
    ended: u64,
    open: bool,
    inquiry: Option<Inquiry>,
}

/// All open inquiries of one link. Lives on the link's core.
#[derive(Debug, Default)]
pub struct Inquiries {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Inquiries {
    /// Opens an inquiry for a receipt and returns the shard to ask first.
    pub fn open(
        &mut self,
        reply: ReplyTo,
        way: Way,
        receipt: ReceiptIn,
        id: &[u8],
        text: &[u8],
    ) -> (ReceiptToken, Ask) {
        let nobody_to_ask = way.shards <= 1 || id.is_empty();
        let (step, ask) = match way.first {
            _ if nobody_to_ask => (Step::Park, Ask::One(way.home, IfUnknown::Park)),
            Some(first) if first != way.home => (Step::First, Ask::One(first, IfUnknown::Tell)),
            Some(_) | None => (Step::Home, Ask::One(way.home, IfUnknown::Tell)),
        };
        let (token, slot) = self.open_slot();
        let mut bytes = slot.inquiry.take().map(|inquiry| inquiry.bytes).unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(text);
        // If the id table names a shard, it has chosen among the shards that know the id: the receipt counts as that shard's alone.
        let is_shared = !nobody_to_ask && way.first.is_none();
        let receipt = Some(ReceiptIn { token, is_shared, ..receipt });
        let (perhaps, are_several, parked) = (None, false, u8::from(ask.is_to_park()));
        let id_bytes = id.len();
        slot.inquiry = Some(Inquiry { reply, way, step, perhaps, are_several, parked, receipt, id_bytes, bytes });
        (token, ask)
    }

    /// Opens an inquiry for a message from a handset. Only its home is asked, once.
    pub fn open_for_handset(&mut self, reply: ReplyTo, home: ShardId) -> ReceiptToken {
        let (token, slot) = self.open_slot();
        let bytes = slot.inquiry.take().map(|inquiry| inquiry.bytes).unwrap_or_default();
        let way = Way { first: None, home, shards: 1 };
        let (perhaps, are_several, parked) = (None, false, 1);
        let (step, receipt) = (Step::Park, None);
        slot.inquiry = Some(Inquiry { reply, way, step, perhaps, are_several, parked, receipt, id_bytes: 0, bytes });
        token
    }

    fn open_slot(&mut self) -> (ReceiptToken, &mut Slot) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.open = true;
        (ReceiptToken(u64::from(slot.generation) << 32 | u64::from(index)), slot)
    }

    /// The receipt of an open inquiry, its id and its text, to be sent to a shard. `None` for a message from a handset.
    pub fn copy(&self, token: ReceiptToken) -> Option<(ReceiptIn, &[u8], &[u8])> {
        let inquiry = self.slot(token)?.inquiry.as_ref()?;
        let (id, text) = inquiry.bytes.split_at_checked(inquiry.id_bytes)?;
        Some((inquiry.receipt?, id, text))
    }

    /// Handles a shard's verdict.
    pub fn handle_verdict(&mut self, shard: ShardId, token: ReceiptToken, verdict: Verdict) -> Next {
        let index = token.0 as u32;
        if self.slot(token).is_none() {
            return Next::Void;
        }
        let Some(slot) = self.slots.get_mut(index as usize) else { return Next::Void };
        let Some(inquiry) = slot.inquiry.as_mut() else { return Next::Void };
        match verdict {
            Verdict::Kept | Verdict::Full => {
                let reply = inquiry.reply;
                if inquiry.bytes.capacity() > BYTES_KEPT_MAX {
                    inquiry.bytes = Vec::new();
                }
                slot.open = false;
                slot.ended += 1;
                slot.generation = slot.generation.wrapping_add(1);
                self.free.push(index);
                if verdict == Verdict::Full { Next::Refuse(reply) } else { Next::Answer(reply) }
            }
            Verdict::Unknown => inquiry.go_on(),
            Verdict::Perhaps => {
                inquiry.are_several |= inquiry.perhaps.is_some_and(|known| known != shard);
                inquiry.perhaps = inquiry.perhaps.or(Some(shard));
                inquiry.go_on()
            }
        }
    }

    /// Checks the invariants. `counted`: by number of the connection, how many inquiries and bytes it counts as waiting.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self, counted: impl Iterator<Item = (u32, u64)>) -> Sound {
        if self.slots.len() > WALKED_MAX {
            return Ok(());
        }
        let mut waiting: BTreeMap<u16, (u32, u64)> = BTreeMap::new();
        for (at, slot) in self.slots.iter().enumerate() {
            holds!(
                1,
                slot.generation == slot.ended as u32,
                "{} have ended in place {at}, its token: {slot:?}",
                slot.ended
            );
            let Some(inquiry) = slot.inquiry.as_ref().filter(|_| slot.open) else {
                holds!(1, !slot.open, "slot {at} is open without an inquiry");
                continue;
            };
            let is_parked = inquiry.step == Step::Park;
            let told = inquiry.parked;
            holds!(2, told == u8::from(is_parked), "{told} shards were told to park what is at {:?}", inquiry.step);
            let of_bind = waiting.entry(inquiry.reply.bind.0).or_default();
            *of_bind = (of_bind.0 + 1, of_bind.1 + u64::from(inquiry.reply.bytes));
        }
        let open = |index: &&u32| self.slots.get(**index as usize).is_none_or(|slot| slot.open);
        let taken = self.free.iter().find(open);
        holds!(1, taken.is_none(), "place {taken:?} counts as free");
        let free = self.slots.iter().filter(|slot| !slot.open).count();
        holds!(1, free == self.free.len(), "{free} places are free, known are {}", self.free.len());
        for (bind, counted) in (0..).zip(counted) {
            let found = waiting.remove(&bind).unwrap_or_default();
            holds!(3, counted == found, "bind {bind} counts {counted:?} inquiries and bytes, open are {found:?}");
        }
        holds!(3, waiting.is_empty(), "open of no connection: {waiting:?}");
        Ok(())
    }

    /// Total capacity of the buffers in free slots, bytes.
    #[cfg(test)]
    pub fn spare_bytes(&self) -> usize {
        let spare = self.slots.iter().filter(|slot| !slot.open);
        spare.filter_map(|slot| Some(slot.inquiry.as_ref()?.bytes.capacity())).sum()
    }

    fn slot(&self, token: ReceiptToken) -> Option<&Slot> {
        let slot = self.slots.get(token.0 as u32 as usize)?;
        (slot.open && slot.generation == (token.0 >> 32) as u32).then_some(slot)
    }
}

impl Inquiry {
    fn go_on(&mut self) -> Next {
        let Way { first, home, shards } = self.way;
        let first = first.unwrap_or(home);
        let asked = if first == home { 1 } else { 2 };
        debug_assert!(asked <= shards, "asked {asked} of {shards} shards");
        let others = shards.saturating_sub(asked);
        let (step, ask) = match self.step {
            Step::First => (Step::Home, Ask::One(home, IfUnknown::Tell)),
            Step::Home if others > 0 => (Step::Others { unanswered: others }, Ask::Others(first, home)),
            Step::Others { unanswered } if unanswered > 1 => {
                self.step = Step::Others { unanswered: unanswered - 1 };
                return Next::Wait;
            }
            Step::Home | Step::Others { .. } if self.perhaps.is_some_and(|known| known != home) => {
                (Step::Settle, Ask::One(home, IfUnknown::Settle))
            }
            Step::Home | Step::Others { .. } | Step::Settle => {
                (Step::Park, Ask::One(self.perhaps.unwrap_or(home), IfUnknown::Park))
            }
            Step::Park => return Next::Wait,
        };
        if let Some(receipt) = &mut self.receipt {
            receipt.is_shared = step != Step::Park || self.are_several;
        }
        self.step = step;
        self.parked += u8::from(ask.is_to_park());
        Next::Ask(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: BindId = BindId(0);
    const REPLY: ReplyTo = ReplyTo { bind: BIND, generation: 0, sequence: 1, is_data: false, bytes: 9 };

    /// Two open inquiries for messages from handsets; the token is that of the first.
    fn inquiries() -> (Inquiries, ReceiptToken) {
        let mut inquiries = Inquiries::default();
        let token = inquiries.open_for_handset(REPLY, ShardId(1));
        inquiries.open_for_handset(REPLY, ShardId(1));
        assert_eq!(inquiries.check([(2, 18)].into_iter()), Ok(()));
        (inquiries, token)
    }

    fn broken(inquiries: &Inquiries, counted: &[(u32, u64)]) -> Option<u8> {
        inquiries.check(counted.iter().copied()).err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let (mut inquiries, token) = inquiries();
        assert_eq!(inquiries.handle_verdict(ShardId(1), token, Verdict::Kept), Next::Answer(REPLY));
        assert_eq!(broken(&inquiries, &[(1, 9)]), None);
        inquiries.slots[0].generation = 0;
        assert_eq!(broken(&inquiries, &[(1, 9)]), Some(1), "the next one there has the same token");
        let (mut inquiries, _) = self::inquiries();
        inquiries.free.push(0);
        assert_eq!(broken(&inquiries, &[(2, 18)]), Some(1), "its place goes to another");
        let (mut inquiries, _) = self::inquiries();
        inquiries.slots[0].open = false;
        assert_eq!(broken(&inquiries, &[(1, 9)]), Some(1), "its place is lost");
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        let (mut inquiries, token) = inquiries();
        let inquiry = inquiries.slots[0].inquiry.as_mut().expect("open");
        // As if it had forgotten that its home was already told to park it.
        (inquiry.step, inquiry.way.shards) = (Step::Settle, 2);
        assert_eq!(
            inquiries.handle_verdict(ShardId(1), token, Verdict::Unknown),
            Next::Ask(Ask::One(ShardId(1), IfUnknown::Park))
        );
        assert_eq!(broken(&inquiries, &[(2, 18)]), Some(2));
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        let (inquiries, _) = inquiries();
        for counted in [&[(1, 18)][..], &[(2, 17)], &[], &[(2, 18), (1, 0)]] {
            assert_eq!(broken(&inquiries, counted), Some(3), "{counted:?}");
        }
    }
}
