//! One carrier as `dev`, the load test and the simulator meet it: for each submit it decides, from a seed alone, the
//! answer and the receipts to come. It knows behaviour, magic numbers and dialects. It refuses to know clocks, sockets,
//! binds, PDUs and timers: the caller keeps the pending receipts and sends them when they are due.
//!
//! Invariants: the same seed and the same calls give the same answers; an id is given out once per seed, unless the
//! behaviour reuses ids, and then to other recipients; no receipt is planned for a message that was not taken.

mod behaviour;
mod magic;
mod receipt;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub use behaviour::{Behaviour, Delay, ErrorDialect, IdDialect, Ppm, ReceiptForm};
pub use magic::Magic;
pub use receipt::{Fate, IssuedId, ReceiptBody};

use crate::model::prng::{Prng, mix};
use crate::model::time::Mono;

/// Most receipts that one submit can cause: a stray one, an intermediate one, the final one, its duplicate, a regress.
const RECEIPTS_MAX: usize = 5;
/// Most earlier tries of magic messages that are remembered; the oldest is forgotten first.
const TRIES_MAX: usize = 65_536;
/// How many of the latest ids may be given out again.
const GIVEN_AGAIN_MAX: usize = 4;
/// Time from a receipt to its response when the receipt must come first, and to a duplicate or a regress.
const RECEIPT_LEAD_US: u64 = 1_000;
/// Added to an id to get one outside the range that is ever given out.
const STRAY_OFFSET: u64 = 500_000_000_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What the carrier looks at in a `submit_sm`, which carries one part of a message.
#[derive(Clone, Copy, Debug)]
pub struct SubmitSeen<'a> {
    /// Destination address, as on the wire without NUL.
    pub recipient: &'a [u8],
    /// `registered_delivery` as on the wire.
    pub registered_delivery: u8,
    /// `short_message` or `message_payload`, user data header included; tells parts of one recipient apart.
    pub user_data: &'a [u8],
}

/// The answer to a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `submit_sm_resp` with status 0 and this id.
    Accept(IssuedId),
    /// `submit_sm_resp` with this command status.
    Refuse(u32),
    /// No response.
    Silence,
    /// Close the connection, without a response.
    Disconnect,
}

/// The bind over which a receipt is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The bind of the submit, if it can receive.
    Same,
    /// Another bind of the account, if there is one.
    Elsewhere,
}

/// One receipt that is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptPlan {
    /// Microseconds after the submit.
    pub after_us: u64,
    /// The id it carries.
    pub id: IssuedId,
    /// The state that it reports.
    pub fate: Fate,
    /// The bind over which it is sent.
    pub way: Way,
}

/// Everything that one submit causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// What is answered.
    pub reply: Reply,
    /// Microseconds from the submit to the reply (or to the disconnect).
    pub reply_after_us: u64,
    /// The id under which the carrier took the message, whether or not the response tells it; `None`: not taken.
    pub taken: Option<IssuedId>,
    receipts: [Option<ReceiptPlan>; RECEIPTS_MAX],
}

impl Reaction {
    /// The receipts to come, in the order in which they were planned (not by time).
    pub fn receipts(&self) -> impl Iterator<Item = &ReceiptPlan> {
        self.receipts.iter().flatten()
    }

    fn refused(reply: Reply, reply_after_us: u64) -> Self {
        Self { reply, reply_after_us, taken: None, receipts: [None; RECEIPTS_MAX] }
    }
}

/// What happens to a message after it was taken, chosen by chance or by a magic number.
#[derive(Clone, Copy, Debug)]
struct Course {
    fate: Fate,
    lost: bool,
    twice: bool,
    first: bool,
    intermediate: bool,
    reply: CourseReply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CourseReply {
    Told,
    Silent,
    Disconnect,
}

impl Course {
    const DELIVERED: Self = Self {
        fate: Fate::Delivered,
        lost: false,
        twice: false,
        first: false,
        intermediate: false,
        reply: CourseReply::Told,
    };
}

enum Decision {
    Refuse(Reply),
    Take(Course),
}

/// The carrier. Its owner calls it from one thread; it needs no lock.
#[derive(Debug)]
pub struct FakeCarrier {
    behaviour: Behaviour,
    prng: Prng,
    next_id: u64,
    /// Ids that may be given out again, with the recipients that have had them.
    given: VecDeque<(u64, Vec<Vec<u8>>)>,
    /// Instants at which the last `rate_max` parts were taken.
    taken_at: VecDeque<Mono>,
    tries: BTreeMap<u64, u8>,
    tries_order: VecDeque<u64>,
}

impl FakeCarrier {
    /// A carrier whose every decision and id follows from the seed.
    pub fn new(behaviour: Behaviour, seed: u64) -> Self {
        Self {
            behaviour,
            prng: Prng::new(seed),
            next_id: 10_000_000 * (1 + mix(seed ^ 0x1D) % 900_000),
            given: VecDeque::new(),
            taken_at: VecDeque::new(),
            tries: BTreeMap::new(),
            tries_order: VecDeque::new(),
        }
    }

    /// The behaviour in force.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Changes the behaviour from the next submit on; the id counter and the random sequence continue.
    pub fn set_behaviour(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
    }

    /// Decides the answer and the receipts of one submit. `now` is used for `rate_max` alone and must not run backwards.
    pub fn handle_submit(&mut self, submit: &SubmitSeen<'_>, now: Mono) -> Reaction {
        let reply_after_us = self.draw_delay(self.behaviour.response_delay);
        if self.is_over_rate(now) {
            return Reaction::refused(Reply::Refuse(self.behaviour.throttled_status), reply_after_us);
        }
        if !submit.recipient.is_empty() && self.behaviour.hangs_up_on.as_bytes() == submit.recipient {
            return Reaction::refused(Reply::Disconnect, reply_after_us);
        }
        let magic = if self.behaviour.magic { Magic::of(submit.recipient) } else { None };
        let decision = match magic {
            Some(magic) => self.decide_by_magic(magic, submit),
            None => self.decide_by_chance(),
        };
        match decision {
            Decision::Refuse(reply) => Reaction::refused(reply, reply_after_us),
            Decision::Take(course) => {
                self.note_taken(now);
                self.take(course, submit, reply_after_us, magic.is_some())
            }
        }
    }

    fn is_over_rate(&self, now: Mono) -> bool {
        self.behaviour.rate_max > 0
            && self.taken_at.len() >= self.behaviour.rate_max as usize
            && self.taken_at.front().is_some_and(|first| now.since(*first) < SECOND_NS)
    }

    fn note_taken(&mut self, now: Mono) {
        if self.behaviour.rate_max == 0 {
            return;
        }
        self.taken_at.push_back(now);
        while self.taken_at.len() > self.behaviour.rate_max as usize {
            self.taken_at.pop_front();
        }
    }

    fn decide_by_magic(&mut self, magic: Magic, submit: &SubmitSeen<'_>) -> Decision {
        let course = Course::DELIVERED;
        Decision::Take(match magic {
            Magic::Delivered => course,
            Magic::Undeliverable => Course { fate: Fate::Undeliverable, ..course },
            Magic::Expired => Course { fate: Fate::Expired, ..course },
            Magic::Rejected => Course { fate: Fate::Rejected, ..course },
            Magic::ThrottledTwice if self.count_try(submit) <= 2 => {
                return Decision::Refuse(Reply::Refuse(self.behaviour.throttled_status));
            }
            Magic::NoReceipt => Course { lost: true, ..course },
            Magic::RefusedForGood => return Decision::Refuse(Reply::Refuse(self.behaviour.permanent_status)),
            Magic::RefusedOnce if self.count_try(submit) <= 1 => {
                return Decision::Refuse(Reply::Refuse(self.behaviour.transient_status));
            }
            Magic::ReceiptFirst => Course { first: true, ..course },
            Magic::Swallowed => return Decision::Refuse(Reply::Silence),
            Magic::ReceiptTwice => Course { twice: true, ..course },
            Magic::AnswerLost => Course { reply: CourseReply::Silent, ..course },
            Magic::Intermediate => Course { intermediate: true, ..course },
            Magic::DisconnectedOnce if self.count_try(submit) <= 1 => return Decision::Refuse(Reply::Disconnect),
            Magic::ThrottledTwice | Magic::RefusedOnce | Magic::DisconnectedOnce => course,
        })
    }

    fn decide_by_chance(&mut self) -> Decision {
        let Behaviour { throttled_ppm, transient_ppm, permanent_ppm, swallowed_ppm, disconnect_ppm, .. } =
            self.behaviour;
        if self.roll(throttled_ppm) {
            return Decision::Refuse(Reply::Refuse(self.behaviour.throttled_status));
        }
        if self.roll(transient_ppm) {
            return Decision::Refuse(Reply::Refuse(self.behaviour.transient_status));
        }
        if self.roll(permanent_ppm) {
            return Decision::Refuse(Reply::Refuse(self.behaviour.permanent_status));
        }
        if self.roll(swallowed_ppm) {
            return Decision::Refuse(Reply::Silence);
        }
        if self.roll(disconnect_ppm) {
            return Decision::Refuse(Reply::Disconnect);
        }
        let fate = self.roll_fate();
        let reply = self.roll_course_reply();
        Decision::Take(Course {
            fate,
            lost: self.roll(self.behaviour.receipt_lost_ppm),
            twice: self.roll(self.behaviour.receipt_twice_ppm),
            first: self.roll(self.behaviour.receipt_first_ppm),
            intermediate: self.roll(self.behaviour.intermediate_ppm),
            reply,
        })
    }

    fn roll_fate(&mut self) -> Fate {
        if self.roll(self.behaviour.undelivered_ppm) {
            Fate::Undeliverable
        } else if self.roll(self.behaviour.expired_ppm) {
            Fate::Expired
        } else if self.roll(self.behaviour.rejected_ppm) {
            Fate::Rejected
        } else {
            Fate::Delivered
        }
    }

    fn roll_course_reply(&mut self) -> CourseReply {
        if self.roll(self.behaviour.answer_lost_ppm) {
            CourseReply::Silent
        } else if self.roll(self.behaviour.taken_disconnect_ppm) {
            CourseReply::Disconnect
        } else {
            CourseReply::Told
        }
    }

    fn take(&mut self, course: Course, submit: &SubmitSeen<'_>, reply_after_us: u64, magic: bool) -> Reaction {
        let id = self.issue(submit.recipient);
        let mut answer = Reaction {
            reply: match course.reply {
                CourseReply::Told => Reply::Accept(id),
                CourseReply::Silent => Reply::Silence,
                CourseReply::Disconnect => Reply::Disconnect,
            },
            reply_after_us,
            taken: Some(id),
            receipts: [None; RECEIPTS_MAX],
        };
        if course.lost || !self.is_receipt_due(submit.registered_delivery, course.fate) {
            return answer;
        }
        self.plan_receipts(&mut answer, id, course, magic);
        answer
    }

    fn issue(&mut self, recipient: &[u8]) -> IssuedId {
        let most = usize::from(self.behaviour.id_recipients);
        let fits = |of: &[Vec<u8>]| of.len() < most && !of.iter().any(|known| known == recipient);
        if let Some((id, of)) = self.given.iter_mut().find(|(_, of)| fits(of)) {
            of.push(recipient.to_vec());
            return IssuedId::again(*id, of.len() - 1);
        }
        let id = self.next_id;
        self.next_id += 1;
        if most > 1 {
            self.given.push_back((id, vec![recipient.to_vec()]));
        }
        if self.given.len() > GIVEN_AGAIN_MAX {
            self.given.pop_front();
        }
        IssuedId(id)
    }

    fn plan_receipts(&mut self, answer: &mut Reaction, id: IssuedId, course: Course, magic: bool) {
        let way = if self.roll(self.behaviour.receipt_elsewhere_ppm) { Way::Elsewhere } else { Way::Same };
        // Unless the receipt must come first, it is never sent before the response: a random delay alone must not reorder them.
        let mut after_us = self.draw_delay(self.behaviour.receipt_delay).max(answer.reply_after_us);
        if course.first {
            after_us = answer.reply_after_us / 2;
            answer.reply_after_us = answer.reply_after_us.max(after_us + RECEIPT_LEAD_US);
        }
        let receipt = ReceiptPlan { after_us, id, fate: course.fate, way };
        let stray = !magic && self.roll(self.behaviour.receipt_unknown_ppm);
        let regress = !magic && self.roll(self.behaviour.regress_ppm);
        let enroute_us = if course.first { after_us } else { answer.reply_after_us.midpoint(after_us) };
        answer.receipts = [
            stray.then_some(ReceiptPlan { id: IssuedId(id.0 + STRAY_OFFSET), ..receipt }),
            course.intermediate.then_some(ReceiptPlan { after_us: enroute_us, fate: Fate::Enroute, ..receipt }),
            Some(receipt),
            course.twice.then_some(ReceiptPlan { after_us: after_us + RECEIPT_LEAD_US, ..receipt }),
            regress.then_some(ReceiptPlan { after_us: after_us + RECEIPT_LEAD_US, fate: Fate::Enroute, ..receipt }),
        ];
    }

    /// `registered_delivery` bits 1-0: 0 none, 1 both, 2 failure only, 3 success only (the last is SMPP 5.0).
    fn is_receipt_due(&mut self, registered_delivery: u8, fate: Fate) -> bool {
        match registered_delivery & 0x03 {
            0 => self.roll(self.behaviour.receipt_unasked_ppm),
            2 => fate != Fate::Delivered,
            3 => fate == Fate::Delivered,
            _ => true,
        }
    }

    /// Counts this try of the message; gives its number, from 1.
    fn count_try(&mut self, submit: &SubmitSeen<'_>) -> u8 {
        let mut print = 0xCBF2_9CE4_8422_2325_u64;
        for byte in submit.recipient.iter().chain(submit.user_data) {
            print = (print ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if !self.tries.contains_key(&print) {
            self.tries_order.push_back(print);
        }
        let tries = self.tries.entry(print).or_insert(0);
        *tries = tries.saturating_add(1);
        let count = *tries;
        if self.tries_order.len() > TRIES_MAX
            && let Some(oldest) = self.tries_order.pop_front()
        {
            self.tries.remove(&oldest);
        }
        count
    }

    fn roll(&mut self, ppm: Ppm) -> bool {
        ppm > 0 && self.prng.chance(ppm)
    }

    fn draw_delay(&mut self, delay: Delay) -> u64 {
        if delay.max_us <= delay.min_us { delay.min_us } else { self.prng.between(delay.min_us, delay.max_us) }
    }
}
