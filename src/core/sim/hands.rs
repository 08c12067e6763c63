//! What must be true where operators are at work while traffic runs: of an operator's decisions, of what other tenants
//! are told, of reloads, and of contracts with a carrier that enforces the spacing of parts.

use crate::delivery::{EventKind, Happened, Resolution, TimelineEntry};
use crate::limit::Span;
use crate::model::{MessageId, MessageState, ShardId, TenantId, Wall};
use crate::shard::{Cancelled, FoundMessage, Lookup, Options, Resolved};

use super::agenda::{MS, SECOND};
use super::oracle::{Invariant, Oracle, TakenPart, Truth};
use super::part::PartSeen;
use super::plan::Plan;
use super::tally::{Count, Tally};

/// From so many parts on, a carrier's pace is judged.
pub(super) const PACE_PARTS_MIN: usize = 60;

/// What reloads have changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// The least number of attempts after which a message is given up, under any policy so far.
    pub attempts_least: u8,
    /// The policy of a class for messages in doubt was changed.
    pub policies_changed: bool,
    /// A route may be gone.
    pub may_lose_routes: bool,
}

impl Reloads {
    /// No reload yet.
    pub fn new(options: &Options) -> Self {
        Self { attempts_least: attempts_least(options), policies_changed: false, may_lose_routes: false }
    }
}

/// After how many attempts a message of the least patient class is given up.
fn attempts_least(options: &Options) -> u8 {
    options.retry.iter().map(|policy| policy.transient.attempts_max).min().unwrap_or_default()
}

impl Oracle {
    /// From now on `plan` is in force.
    pub fn reloaded(&mut self, before: &Plan, plan: &Plan, now_ns: u64) {
        let options = &plan.shard;
        self.limited.set_rules(plan.limits(), now_ns);
        self.reloads.attempts_least = self.reloads.attempts_least.min(attempts_least(options));
        self.reloads.policies_changed |= before.shard.doubt != options.doubt;
        // A refusal may be told later than it was decided, and by shares that have changed since.
        if before.shard.tenants != options.tenants {
            (self.limits.0, self.limits.1) = (0, 0);
        }
        self.limits.0 = self.limits.0.min(options.queue_messages_max);
        for (at, carrier) in plan.carriers.iter().enumerate() {
            self.wire.agree(at, [carrier.rate, carrier.bind_rate], now_ns);
        }
    }

    /// Whether nothing can have settled a message: it was never handed over, it has not expired, and it was not cancelled.
    pub(super) fn is_untouched(&self, message: u32) -> bool {
        let Truth { id, cancelled, state, ref intent, .. } = self.truths[message as usize];
        let was_handed = id.is_none_or(|id| self.handed.contains_key(&(id.shard(), id.address())));
        !self.reloads.may_lose_routes
            && !was_handed
            && !cancelled
            && !state.is_final()
            && intent.head.expires_at > self.wall
    }

    /// Whether a part is the first of a message that was admitted so long ago that retention might have removed it, had
    /// it been settled.
    pub fn outlives_retention(&self, part: &PartSeen) -> bool {
        let truth = part.message.and_then(|number| self.truths.get(number as usize));
        let (Some(truth), Some(ms)) = (truth, self.known_ms) else { return false };
        truth.seen.is_empty() && truth.born.after_ms(ms) < self.wall
    }

    pub(super) fn told_page(&mut self, tenant: TenantId, found: &[FoundMessage]) {
        if let Some(foreign) = found.iter().find(|found| found.head.tenant != tenant) {
            self.break_at(Invariant::Whose, format!("{tenant:?} is shown {foreign:?}"));
        }
    }

    pub(super) fn told_stranger(&mut self, message: u32, found: &[Lookup], tally: &mut Tally) {
        tally.add(Count::Pried);
        // Once retention has removed a message, its owner is unknown.
        let is_gone = self.may_be_gone(message);
        let may_be_told = |lookup: &Lookup| *lookup == Lookup::Unknown || *lookup == Lookup::Gone && is_gone;
        if !found.iter().all(may_be_told) {
            self.break_at(Invariant::Whose, format!("another tenant is told of message {message}: {found:?}"));
        }
    }

    pub(super) fn told_meddler(&mut self, message: u32, cancelled: Cancelled, tally: &mut Tally) {
        tally.add(Count::Meddled);
        if cancelled != Cancelled::Unknown && !(cancelled == Cancelled::Gone && self.may_be_gone(message)) {
            self.break_at(Invariant::Whose, format!("another tenant cancels message {message}: {cancelled:?}"));
        }
    }

    /// An operator is told the results of decisions.
    pub(super) fn told_resolved(&mut self, ids: &[MessageId], results: &[Resolved], tally: &mut Tally) {
        for (id, result) in ids.iter().zip(results) {
            let truth = self.truths.iter_mut().find(|truth| truth.id == Some(*id));
            match (result, truth) {
                (Resolved::Done, Some(truth)) => {
                    truth.decided += 1;
                    tally.add(Count::DecidedByHand);
                }
                (Resolved::NotInDoubt | Resolved::Gone, _) | (Resolved::Done, None) => {}
                (Resolved::Unknown, _) => {
                    self.break_at(Invariant::Answers, format!("{id} was in the ledger, and is unknown"));
                }
            }
        }
    }

    /// What is wrong with a message about which an operator, or its owner, has decided; `None` if nothing is.
    pub(super) fn mishandled(&self, plan: &Plan, truth: &Truth, timeline: &[TimelineEntry]) -> Option<String> {
        let by_operator = timeline.iter().filter(|entry| is_by_operator(entry.what)).count();
        if truth.decided > by_operator {
            return Some(format!("the operator has decided {} times", truth.decided));
        }
        let told = truth.too_late.filter(|_| plan.wall_jumps == 0 && plan.backups == 0)?;
        let has_moved = |entry: &TimelineEntry| {
            let moves = [EventKind::Attempt, EventKind::InDoubt, EventKind::Rerouted].contains(&entry.kind());
            (moves || entry.what.is_final()) && entry.at <= told
        };
        let is_in_time = !timeline.iter().any(has_moved) && truth.intent.head.expires_at > told;
        is_in_time.then(|| format!("at {told:?} it was too late to cancel it"))
    }

    /// Whether a receipt came when it was no longer awaited.
    pub(super) fn was_heard_late(&self, plan: &Plan, truth: &Truth, found: &FoundMessage) -> bool {
        let Some(first) = found.view.timeline.iter().find(|entry| entry.kind() == EventKind::Attempt) else {
            return false;
        };
        let until = first.at.after_ms(plan.shard.receipt_wait_ms);
        let heard = |taken: &TakenPart| self.heard.get(&(taken.carrier, taken.issued)).is_some_and(|at| *at > until);
        truth.taken.iter().any(heard)
    }

    /// A carrier that enforces spacing takes a part, or the first part of a message that counts on limits is written.
    pub fn note_pace(&mut self, carrier: usize, at_ns: u64) {
        self.paces.entry(carrier).or_default().push(at_ns);
    }

    /// The rate of a carrier that enforces spacing, or a limit, is used up, apart from the beginning and the end.
    pub(super) fn judge_pace(&mut self, plan: &Plan) {
        let Some(percent) = plan.kind.used_percent else { return };
        for (carrier, instants) in std::mem::take(&mut self.paces) {
            let rate = plan.carriers[carrier].rate.map(|rate| (u64::from(rate), SECOND));
            let limit = plan.limits().first().and_then(|rule| match rule.span {
                Span::Sliding(ms) => Some((rule.amount, ms * MS)),
                Span::Month(_) => None,
            });
            let parts = instants.len();
            let Some((amount, span_ns)) = rate.or(limit).filter(|_| parts >= PACE_PARTS_MIN) else { continue };
            // What a limit lets through comes in bursts: the first of one is compared with the first of another.
            let burst = if rate.is_some() { 1 } else { amount as usize };
            let (from, to) = (parts / 4 / burst * burst, parts * 3 / 4 / burst * burst);
            let took_ns = instants[to] - instants[from];
            let could = took_ns * amount / span_ns;
            if (to - from) as u64 * 100 < could * percent {
                let what = format!("carrier {carrier} took {} parts where it may take {could}", to - from);
                self.break_at(Invariant::Used, what);
            }
        }
    }

    /// The messages counted as waiting are not more than could be: those whose end was not seen and which have not
    /// expired long ago.
    pub fn judge_places(&mut self, places: &[(ShardId, TenantId, u64)], since: Wall) {
        for (shard, tenant, waiting) in places {
            let own = |truth: &&Truth| truth.intent.shard == *shard && truth.intent.head.tenant == *tenant;
            let may_wait = |truth: &&Truth| {
                let head = &truth.intent.head;
                let is_cancelled = truth.cancelled || truth.state == MessageState::Cancelled;
                // A message that was ended by a receipt for one of its parts while it was postponed keeps its place
                // until its turn comes.
                let is_cut_short = truth.taken.iter().any(|taken| taken.parts > 1);
                let is_over = truth.state.is_final() && !(is_cancelled && head.send_at > since) && !is_cut_short;
                !is_over && head.expires_at > since
            };
            let alive = self.truths.iter().filter(own).filter(may_wait).count() as u64;
            if *waiting > alive {
                let what = format!("shard {} counts {waiting} of {tenant:?} as waiting, and {alive} may", shard.0);
                self.break_at(Invariant::Expiry, what);
            }
        }
    }
}

/// Whether an operator caused this event.
pub(super) const fn is_by_operator(what: Happened) -> bool {
    let by = match what {
        Happened::Resent { by } | Happened::Resolved { by } | Happened::Dead { by: Some(by), .. } => by,
        _ => return false,
    };
    matches!(by, Resolution::OperatorResend | Resolution::OperatorDrop | Resolution::OperatorSent)
}
