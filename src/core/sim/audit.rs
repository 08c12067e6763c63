//! The final audit: when everything has come to rest, each stored message is compared with all that was seen of it from outside.

use std::collections::BTreeMap;

use crate::delivery::{DoubtPolicy, EventKind, Happened, Resolution};
use crate::model::{CarrierError, Content, DeadLetterReason, ErrorFamily, ErrorOrigin, MessageState, ShardId};
use crate::shard::FoundMessage;

use super::agenda::SECOND;
use super::carrier::Fate;
use super::copies::twice;
use super::oracle::{Invariant, Oracle, TakenPart, Truth, doubts_in, losses_in};
use super::part::PartSeen;
use super::plan::Plan;
use super::tally::{Count, Tally};

/// Longest time until a message is given up when its carrier always hangs up on it: four waits of ten minutes, and the
/// time between them.
const CULPRIT_NS: u64 = 3_000 * SECOND;

impl Oracle {
    /// The time by which everything must have come to rest, ns. Where only a few messages may be in doubt at a time,
    /// those on which a carrier always hangs up are given up one after the other, and the others wait for them.
    pub fn rest_ns(&self, plan: &Plan) -> u64 {
        let culprits = self.truths.iter().filter(|truth| is_culprit(plan, truth)).count();
        plan.kind.rest_ns + CULPRIT_NS * culprits.div_ceil(plan.shard.bounds.unanswered_max.max(1)) as u64
    }

    /// Judges all messages that the shards hold, each given with its shard, and which of the acknowledged ones are missing.
    pub fn judge_all(&mut self, plan: &Plan, stored: &[(ShardId, FoundMessage)], tally: &mut Tally) {
        let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
        for (shard, found) in stored {
            let body = Content::decode(&found.content).map(|content| content.body.to_vec()).unwrap_or_default();
            let Some(number) = PartSeen::number_in(&body).filter(|number| *number < self.next_message()) else {
                return self.break_at(Invariant::Answers, format!("no client sent {found:?}"));
            };
            *copies.entry(number).or_default() += 1;
            if found.id.shard() != *shard {
                return self.break_at(Invariant::IdsUnique, format!("shard {} holds {}", shard.0, found.id));
            }
            self.judge_found(number, found);
            self.judge_end(plan, number, found, tally);
        }
        let twice = copies.iter().find(|(_, copies)| **copies > 1).map(|(number, _)| *number);
        if let Some(number) = twice {
            self.break_at(Invariant::Keys, format!("message {number} is stored {} times", copies[&number]));
        }
        for number in 0..self.next_message() {
            if !copies.contains_key(&number) {
                self.judge_last(plan, number, tally);
            }
            let truth = &self.truths[number as usize];
            tally.add_many(Count::InDoubt, doubts_in(&truth.timeline) as u64);
            if truth.id.is_some() && !copies.contains_key(&number) && !self.may_be_gone(number) {
                self.break_at(Invariant::NothingLost, format!("message {number} is not among the records"));
            }
        }
        self.judge_order(plan);
        self.judge_pace(plan);
    }

    /// Judges a message that retention has removed by its last seen state, if that state was final. One that was seen when its time
    /// was over, and before its shard had ended it, is not judged.
    fn judge_last(&mut self, plan: &Plan, number: u32, tally: &mut Tally) {
        let truth = &self.truths[number as usize];
        let has_ended = |last: &FoundMessage| {
            let was_ended = last.view.timeline.iter().any(|entry| entry.what.is_final());
            last.view.is_final() && (was_ended || last.view.state != MessageState::Expired)
        };
        let Some(last) = truth.last.clone().filter(|last| has_ended(last)) else { return };
        self.judge_end(plan, number, &last, tally);
    }

    fn judge_end(&mut self, plan: &Plan, number: u32, found: &FoundMessage, tally: &mut Tally) {
        let truth = &self.truths[number as usize];
        let class = truth.intent.head.class;
        let policy = plan.shard.doubt[class.index()];
        let state = found.view.state;
        let ended = state.is_final()
            || state == MessageState::Submitted
            || (state == MessageState::InDoubt && policy == DoubtPolicy::Hold);
        let told =
            format!("message {number} ({class:?}): {state:?}, {:?}, taken {:?}", found.view.timeline, truth.taken);
        if !ended {
            return self.break_at(Invariant::EverythingEnds, told);
        }
        let waits_for_ever = self.aged && state == MessageState::Submitted && truth.intent.head.receipt;
        if waits_for_ever && !found.view.is_final() {
            return self.break_at(Invariant::EverythingEnds, format!("it waits for a receipt for ever: {told}"));
        }
        if found.view.timeline.iter().any(|entry| entry.what == Happened::NoReceipt) {
            tally.add(Count::WaitsEnded);
        }
        if found.view.route.is_some() {
            tally.add(Count::Rerouted);
        }
        if truth.cancelled && state != MessageState::Cancelled {
            return self.break_at(Invariant::Cancelled, told);
        }
        let attempts = found.view.timeline.iter().filter(|entry| entry.kind() == EventKind::Attempt).count();
        let handed = self.handed.get(&(found.id.shard(), found.id.address())).copied().unwrap_or(0);
        if (attempts as u32) < handed {
            return self.break_at(Invariant::Causes, format!("{told}, handed over {handed} times"));
        }
        if let Some(why) = too_often(plan, truth, found) {
            return self.break_at(Invariant::DoubtsBounded, format!("{why}: {told}, seen {:?}", truth.seen));
        }
        if found.view.reason == Some(DeadLetterReason::InDoubtExhausted) {
            tally.add(Count::Exhausted);
        }
        let always = (!self.reloads.policies_changed).then_some(policy);
        if let Some(why) = twice(truth, always) {
            return self.break_at(Invariant::NothingTwice, format!("{why}: {told}"));
        }
        if state == MessageState::Expired && truth.taken.is_empty() {
            tally.add(Count::ExpiredHere);
        }
        if let Some(why) = self.uncaused(plan, truth, found) {
            return self.break_at(Invariant::Causes, format!("{why}: {told}"));
        }
        if let Some(why) = self.unfounded(plan, truth, found) {
            return self.break_at(Invariant::Causes, format!("{why}: {told}, refused {:?}", truth.refusals));
        }
        if let Some(why) = self.mishandled(plan, truth, &found.view.timeline) {
            return self.break_at(Invariant::Cancelled, format!("{why}: {told}"));
        }
        for entry in &found.view.timeline {
            match self.error_shown(truth, entry.what) {
                Some(true) => tally.add(Count::ErrorsShown),
                Some(false) => return self.break_at(Invariant::Errors, format!("{:?}: {told}", entry.what)),
                None => {}
            }
        }
        let is_open = state == MessageState::Submitted && truth.intent.head.receipt && !is_vouched_for(found);
        if plan.kind.settled_by_query && is_open {
            return self.break_at(Invariant::Receipts, format!("its carrier could have told its end: {told}"));
        }
        let is_known = !is_vouched_for(found) && !self.was_heard_late(plan, truth, found);
        if state == MessageState::Submitted && is_known && self.receipt_forgotten(plan, truth) {
            self.break_at(Invariant::Receipts, told);
        }
    }

    /// Whether an event shows the error that a carrier gave (code and family); `None` if there is no code to show.
    fn error_shown(&self, truth: &Truth, what: Happened) -> Option<bool> {
        let of_receipt = |fate: Fate, family: ErrorFamily, error: CarrierError| {
            let said = self.said.get(&(truth.recipient(), fate));
            let is_said = said.is_some_and(|said| said.iter().any(|code| shown(code) == error.text.as_str()));
            let is_sound = is_said && error.family == family && error.origin == ErrorOrigin::Receipt;
            (!is_sound || error.has_code()).then_some(is_sound)
        };
        match what {
            Happened::Refused { error } | Happened::Rejected { error } if error.origin == ErrorOrigin::Answer => {
                // The family of each status that the fake carrier uses, by the table of SMPP 3.4.
                let family = match error.number {
                    0x58 => ErrorFamily::Throttle,
                    0x08 => ErrorFamily::Transient,
                    0x0B => ErrorFamily::Permanent,
                    _ => return None,
                };
                (error.family != family || !error.text.is_empty()).then_some(false)
            }
            Happened::Rejected { error } => of_receipt(Fate::Rejected, ErrorFamily::Permanent, error),
            Happened::Undelivered { error } => of_receipt(Fate::Undeliverable, ErrorFamily::Unknown, error),
            Happened::Expired { error: Some(error) } => of_receipt(Fate::Expired, ErrorFamily::Transient, error),
            Happened::Delivered { error } => {
                of_receipt(Fate::Delivered, ErrorFamily::Unknown, error.unwrap_or_default())
            }
            Happened::Refused { .. } => Some(false),
            Happened::Due { .. }
            | Happened::Attempt { .. }
            | Happened::PartAccepted { .. }
            | Happened::Submitted { .. }
            | Happened::Returned { .. }
            | Happened::InDoubt { .. }
            | Happened::Resent { .. }
            | Happened::PartDelivered { .. }
            | Happened::Intermediate { .. }
            | Happened::Late { .. }
            | Happened::Expired { error: None }
            | Happened::Cancelled { .. }
            | Happened::Dead { .. }
            | Happened::Resolved { .. }
            | Happened::NoReceipt
            | Happened::Rerouted { .. }
            | Happened::Regrouped { .. } => None,
        }
    }

    /// Why the outside world shows no cause for a message's state; `None` if it does.
    fn uncaused(&self, plan: &Plan, truth: &Truth, found: &FoundMessage) -> Option<&'static str> {
        let recipient = truth.recipient();
        let claimed = |fate| self.claimed.contains(&(recipient.clone(), fate));
        let taken = !truth.taken.is_empty() || !truth.elsewhere.is_empty();
        match found.view.state {
            MessageState::Delivered if !claimed(Fate::Delivered) => Some("no receipt says so"),
            MessageState::Delivered if self.misled.contains(&recipient) && doubts_in(&found.view.timeline) > 0 => None,
            MessageState::Delivered if !wholly_taken(truth) => Some("no carrier took all of it"),
            MessageState::Delivered => {
                (!self.is_told_of_all(plan, truth)).then_some("those receipts are about another message")
            }
            MessageState::Undelivered if !claimed(Fate::Undeliverable) => Some("no receipt says so"),
            MessageState::Undelivered => (!self.is_told_of_one(plan, truth, Fate::Undeliverable))
                .then_some("that receipt is about another message"),
            // A receipt for a forgotten message was taken for this one's and settled its doubt.
            MessageState::Submitted if self.misled.contains(&recipient) && doubts_in(&found.view.timeline) > 0 => None,
            MessageState::Submitted => (!taken && !is_vouched_for(found)).then_some("no carrier took it"),
            MessageState::Dead => undue(plan, found),
            MessageState::Scheduled
            | MessageState::Queued
            | MessageState::Sending
            | MessageState::InDoubt
            | MessageState::Cancelled
            | MessageState::Rejected => None,
            MessageState::Expired => {
                let Some(end) = found.view.timeline.iter().find(|entry| entry.what.is_final()) else {
                    return Some("nothing has ended it");
                };
                // It is not known by which setting of the wall clock the end was recorded.
                let is_here =
                    end.what == Happened::Expired { error: None } && !claimed(Fate::Expired) && plan.wall_jumps == 0;
                (is_here && end.at < truth.intent.head.expires_at).then_some("it had not expired")
            }
        }
    }

    /// Whether each of its parts had a receipt that says delivered. Two cases count as well: a carrier may have sent
    /// such a receipt for this recipient under an unknown id, and for a message that a restore brought back the
    /// carrier's receipt may be older than what was seen.
    fn is_told_of_all(&self, plan: &Plan, truth: &Truth) -> bool {
        let told = |carrier, part| {
            let mut copies = truth.taken.iter().filter(|taken| (taken.carrier, taken.part) == (carrier, part));
            copies.any(|taken| self.is_told(taken, Fate::Delivered))
        };
        let is_told = truth.taken.iter().any(|last| (1..=last.parts).all(|part| told(last.carrier, part)));
        is_told || self.is_beyond(plan, truth)
    }

    pub(super) fn is_told_of_one(&self, plan: &Plan, truth: &Truth, fate: Fate) -> bool {
        truth.taken.iter().any(|taken| self.is_told(taken, fate)) || self.is_beyond(plan, truth)
    }

    fn is_told(&self, taken: &TakenPart, fate: Fate) -> bool {
        self.has_told((taken.carrier, taken.issued), fate)
    }

    fn is_beyond(&self, plan: &Plan, truth: &Truth) -> bool {
        let is_nameless = has_nameless_receipts(plan, truth);
        is_nameless || self.misled.contains(&truth.recipient()) || truth.is_restored || !truth.elsewhere.is_empty()
    }

    /// For a message that counts as waiting for receipts: whether we answered enough of them to know its end. A part
    /// that was taken more than once is known only if each copy is, because from outside it cannot be seen which copy
    /// counted.
    fn receipt_forgotten(&self, plan: &Plan, truth: &Truth) -> bool {
        let Some(parts) = truth.taken.last().map(|last| last.parts) else { return false };
        if has_nameless_receipts(plan, truth) {
            return false;
        }
        if truth.taken.iter().any(|taken| taken.parts != parts) {
            // Two carriers split it differently: a receipt from one about a part says nothing about the other's part.
            return false;
        }
        let fate_of = |part: u8| {
            let copies = truth.taken.iter().filter(|taken| taken.part == part);
            let fates: Option<Vec<_>> =
                copies.map(|taken| self.answered.get(&(taken.carrier, taken.issued)).copied()).collect();
            fates.filter(|fates| !fates.is_empty())
        };
        let fates: Vec<_> = (1..=parts).map(fate_of).collect();
        let failed = |fates: &Vec<Fate>| fates.iter().all(|fate| *fate != Fate::Delivered);
        truth.intent.head.receipt && (fates.iter().flatten().any(failed) || fates.iter().all(Option::is_some))
    }

    /// First submits of one recipient and class over one carrier leave in the order of admission.
    fn judge_order(&mut self, plan: &Plan) {
        let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for number in 0..self.next_message() {
            let truth = &self.truths[number as usize];
            let held_up = truth.timeline.iter().any(|entry| {
                matches!(
                    entry.kind(),
                    EventKind::Due
                        | EventKind::Refused
                        | EventKind::InDoubt
                        | EventKind::Cancelled
                        | EventKind::Rerouted
                        | EventKind::Regrouped
                )
            });
            let shared = usize::from(truth.intent.head.route.0) > plan.carriers.len();
            // The rest of its history is unknown if it may have been removed.
            if self.may_be_gone(number) {
                continue;
            }
            if let (Some(id), Some(first), false, false) = (truth.id, self.wire.first_of(number), held_up, shared) {
                lanes.entry(self.lane_of(number)).or_default().push((id.address(), first, number));
            }
        }
        for (lane, mut messages) in lanes {
            messages.sort_unstable();
            if let Some(pair) = messages.windows(2).find(|pair| pair[0].1 > pair[1].1) {
                let what = format!("{lane:?}: message {} was sent after {}", pair[0].2, pair[1].2);
                return self.break_at(Invariant::Order, what);
            }
        }
    }
}

/// The form in which a code is shown: empty if it consists of zeros; else its first eight bytes, with unprintable ones
/// as a question mark.
fn shown(code: &[u8]) -> String {
    if code.iter().all(|byte| *byte == b'0') {
        return String::new();
    }
    let seen = |byte: &u8| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '?' };
    code.iter().take(8).map(seen).collect()
}

/// Whether some carrier hangs up on this message.
fn is_culprit(plan: &Plan, truth: &Truth) -> bool {
    let recipient = truth.recipient();
    plan.carriers.iter().any(|carrier| carrier.behaviour.hangs_up_on.as_bytes() == recipient)
}

/// Whether some of it was taken by a carrier that leaves ids out of receipts: it cannot be known which of several
/// messages such a receipt is about.
fn has_nameless_receipts(plan: &Plan, truth: &Truth) -> bool {
    truth.taken.iter().any(|taken| plan.carriers[taken.carrier].behaviour.id_missing)
}

/// Whether one carrier took every part.
fn wholly_taken(truth: &Truth) -> bool {
    let has = |carrier, part| truth.taken.iter().any(|taken| taken.carrier == carrier && taken.part == part);
    truth.taken.iter().any(|last| (1..=last.parts).all(|part| has(last.carrier, part)))
}

/// Explains how a message was sent more often than it may; `None` if it was not. It may be lost once together with
/// others, perhaps once in a group, and alone as often as the configuration permits; our own crashes come on top. Where
/// hanging up is the only fault, every message that the carriers do not hang up on is answered once it is sent alone.
fn too_often(plan: &Plan, truth: &Truth, found: &FoundMessage) -> Option<String> {
    let losses = losses_in(&found.view.timeline);
    let by_operator = Happened::Resent { by: Resolution::OperatorResend };
    let wanted = found.view.timeline.iter().filter(|entry| entry.what == by_operator).count();
    if losses > 2 + usize::from(plan.shard.doubts_max) + wanted {
        return Some(format!("it was lost {losses} times"));
    }
    let copies_max = plan.innocents_copies_max?;
    let hangs_up = is_culprit(plan, truth);
    let copies = truth.seen.values().copied().max().unwrap_or(0);
    let bound = if hangs_up { 2 + u32::from(plan.shard.doubts_max) } else { copies_max };
    if copies > bound {
        return Some(format!("it was sent {copies} times"));
    }
    (!hangs_up && found.view.state == MessageState::Dead)
        .then(|| "it is given up, and nothing is wrong with it".to_owned())
}

/// The operator has said that the carrier has it.
fn is_vouched_for(found: &FoundMessage) -> bool {
    let by_operator = Happened::Resolved { by: Resolution::OperatorSent };
    found.view.timeline.iter().any(|entry| entry.what == by_operator)
}

/// Why a message was given up without a valid reason; `None` if the reason is valid.
fn undue(plan: &Plan, found: &FoundMessage) -> Option<&'static str> {
    let timeline = &found.view.timeline;
    let has = |kind| timeline.iter().any(|entry| entry.kind() == kind);
    match found.view.reason? {
        DeadLetterReason::InDoubtDropped => (doubts_in(timeline) == 0).then_some("it was never in doubt"),
        DeadLetterReason::InDoubtExhausted => {
            let is_early = losses_in(timeline) <= usize::from(plan.shard.doubts_max);
            is_early.then_some("its carrier was not queried often enough")
        }
        DeadLetterReason::AttemptsExhausted => (!has(EventKind::Refused)).then_some("no carrier refused it"),
        DeadLetterReason::NoRoute => (!plan.may_lose_routes()).then_some("its route exists"),
        // Simulated disks do not flip bits.
        DeadLetterReason::Unreadable => Some("nothing is damaged"),
        DeadLetterReason::CarrierRejected
        | DeadLetterReason::Unencodable
        | DeadLetterReason::ExpiredHere
        | DeadLetterReason::OverLimit => None,
    }
}
