//! A message is refused only for a reason that applies, as far as can be seen from outside.

use crate::model::{MessageState, Refusal, ShardId};

use super::oracle::{Invariant, Oracle, Truth};
use super::tally::{Count, Tally};

/// Most entries of the delay queue that an attempt may leave behind.
const ENTRIES_MAX: u64 = 8;

impl Oracle {
    pub(super) fn told_refused(&mut self, message: u32, refusal: Refusal, key: Option<(u128, u64)>, tally: &mut Tally) {
        let sound = match refusal {
            Refusal::KeyReused => {
                tally.add(Count::KeysReused);
                key.and_then(|(key, _)| self.keys.get(&key)).is_some_and(|contents| contents.len() > 1)
            }
            Refusal::KeyWindowFull | Refusal::KeyShareFull => key.is_some(),
            Refusal::QueueFull | Refusal::QueueShareFull | Refusal::AlreadyExpired | Refusal::Draining => true,
            Refusal::DiskFull => self.was_short,
            // Whether enough was admitted is checked where the door turned the message away. For a message without a
            // key a shard is not even asked.
            Refusal::OverQuota => key.is_some() && self.quotas.has_quota(self.tenant_of(message)),
            Refusal::NoRoute => self.reloads.may_lose_routes,
            Refusal::OverLimit => {
                tally.add(Count::OverLimit);
                self.may_be_over_limit(message)
            }
            // There are more numbers for sets of counters than messages in any world.
            Refusal::LimitsFull => false,
            Refusal::QueueSlow => {
                tally.add(Count::QueueSlow);
                self.may_be_slow(message)
            }
        };
        if !sound {
            self.break_at(Invariant::Keys, format!("message {message} is refused: {refusal:?}"));
        }
        if self.truths[message as usize].id.is_some() {
            self.break_at(Invariant::Keys, format!("message {message} was taken, and is now refused: {refusal:?}"));
        }
    }

    /// Whether other messages of its class and tenant, which may have come to its list before it, may wait.
    fn may_be_slow(&self, message: u32) -> bool {
        let own = &self.truths[message as usize].intent;
        let (class, tenant) = (own.head.class, own.head.tenant);
        let is_before = |truth: &Truth| {
            let intent = &truth.intent;
            (intent.shard, intent.head.class, intent.head.tenant) == (own.shard, class, tenant)
        };
        let mut others =
            self.truths.iter().enumerate().filter(|(at, truth)| *at != message as usize && is_before(truth));
        self.class_wait_ms[class.index()] > 0 && others.any(|(_, truth)| !truth.state.is_final())
    }

    /// A refusal says that something is full: then as much may really be in it, as far as can be seen from outside.
    pub(super) fn told_full(&mut self, shard: ShardId, message: u32, refusal: Refusal, tally: &mut Tally) {
        let (queue, keys, tenants) = &self.limits;
        let tenant = self.tenant_of(message);
        // A scheduled message that was cancelled keeps its place in the delay queue until its time.
        let is_over = |truth: &Truth| {
            let is_put_off = truth.state == MessageState::Cancelled && truth.intent.head.send_at > self.wall;
            truth.id.is_some() && truth.state.is_final() && !is_put_off
        };
        let others = self
            .truths
            .iter()
            .enumerate()
            .filter(|(at, truth)| *at != message as usize && truth.intent.shard == shard && !is_over(truth));
        let own = |truth: &&Truth| truth.intent.head.tenant == tenant;
        let sum: u64 = tenants.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let weight = tenants.iter().find(|(known, _)| *known == tenant).map_or(0, |(_, weight)| *weight);
        let share = |total: u64| total * u64::from(weight) / sum.max(1);
        let others: Vec<&Truth> = others.map(|(_, truth)| truth).collect();
        let (most, needed) = match refusal {
            Refusal::QueueShareFull => (others.iter().copied().filter(own).count() as u64, share(*queue)),
            // Each attempt may leave an entry of the delay queue behind, and each start one more.
            Refusal::QueueFull => {
                let attempts = self.handed.iter().filter(|((of, _), _)| *of == shard);
                let left = |attempts: u32| u64::from(attempts) * ENTRIES_MAX + self.deaths;
                let left: u64 = attempts.map(|(_, attempts)| left(*attempts)).sum();
                (others.len() as u64 + left, *queue)
            }
            Refusal::KeyShareFull => {
                let keyed =
                    self.truths.iter().filter(|truth| truth.intent.shard == shard && truth.intent.key.is_some());
                (keyed.filter(own).count() as u64 + self.claims_asked, share(*keys))
            }
            Refusal::KeyWindowFull
            | Refusal::KeyReused
            | Refusal::AlreadyExpired
            | Refusal::Draining
            | Refusal::NoRoute
            | Refusal::OverQuota
            | Refusal::OverLimit
            | Refusal::LimitsFull
            | Refusal::QueueSlow
            | Refusal::DiskFull => return,
        };
        if matches!(refusal, Refusal::QueueShareFull | Refusal::KeyShareFull) {
            tally.add(Count::SharesRefused);
        }
        if most < needed {
            let what = format!("message {message} of {tenant:?} is refused, {refusal:?}: {most} of {needed} at most");
            self.break_at(Invariant::Shares, what);
        }
    }
}
