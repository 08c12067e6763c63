//! How many messages a tenant brought in of late, against its rate and its quota.
//!
//! Shared by all cores and counted by relaxed atomics: requests that arrive on several cores in the same instant may each
//! see room for the same messages, so the limit is exceeded by what the other cores take between a look and a charge.
//! The quota is counted since the start of the process. Both become exact with leases from a home shard. Knows no clock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::Now;

use super::rfc3339::Period;

/// A second is counted in so many slots...
const SLOTS: u64 = 16;
/// ... of this length, and the one that is being filled: 1,088 ms at most are looked back on.
const SLOT_NS: u64 = 64_000_000;
/// Bits of a slot that count; above them stands when.
const COUNT_BITS: u32 = 28;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

const _: () = assert!(SLOTS * SLOT_NS >= 1_000_000_000);

/// So many messages per calendar period, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// In each of these.
    pub period: Period,
}

/// Counts one tenant's messages.
#[derive(Debug, Default)]
pub struct Meter {
    rate: Option<u32>,
    quota: Option<Quota>,
    slots: [AtomicU64; SLOTS as usize + 1],
    /// Number of the period that `used` belongs to.
    period: AtomicU64,
    used: AtomicU64,
}

/// What may come in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub messages: u64,
    /// Seconds until there is more; at least 1.
    pub more_in_s: u32,
    /// Which limit it is, for people.
    pub limit: &'static str,
}

impl Meter {
    /// A meter that has counted nothing. `rate` in messages per sliding second.
    pub fn new(rate: Option<u32>, quota: Option<Quota>) -> Self {
        Self { rate, quota, ..Self::default() }
    }

    /// The same under other limits: what was counted still counts.
    pub fn renewed(&self, rate: Option<u32>, quota: Option<Quota>) -> Self {
        let copy = |count: &AtomicU64| AtomicU64::new(count.load(Relaxed));
        Self { rate, quota, slots: self.slots.each_ref().map(copy), period: copy(&self.period), used: copy(&self.used) }
    }

    /// How many messages may come in at `now`.
    pub fn room(&self, now: Now) -> Room {
        let by_rate = self.rate.map(|rate| Room {
            messages: u64::from(rate).saturating_sub(self.of_late(now)),
            more_in_s: 1,
            limit: "rate",
        });
        let by_quota = self.quota.map(|quota| {
            let (number, next) = quota.period.of(now.wall);
            let used = if self.period.load(Relaxed) == number { self.used.load(Relaxed) } else { 0 };
            let wait_s = next.since(now.wall).div_ceil(1_000).max(1);
            Room { messages: quota.messages.saturating_sub(used), more_in_s: wait_s as u32, limit: "quota" }
        });
        let unlimited = Room { messages: u64::MAX, more_in_s: 1, limit: "" };
        [by_quota, by_rate].into_iter().flatten().min_by_key(|room| room.messages).unwrap_or(unlimited)
    }

    /// So many have come in.
    pub fn charge(&self, messages: u64, now: Now) {
        if self.rate.is_some() {
            self.charge_rate(messages, now);
        }
        if let Some(quota) = self.quota {
            self.charge_quota(messages, quota.period.of(now.wall).0);
        }
    }

    fn charge_rate(&self, messages: u64, now: Now) {
        let tick = now.mono.0 / SLOT_NS;
        let Some(slot) = self.slots.get((tick % (SLOTS + 1)) as usize) else { return };
        let _ = slot.fetch_update(Relaxed, Relaxed, |packed| {
            let count = if packed >> COUNT_BITS == tick { packed & COUNT_MAX } else { 0 };
            Some(tick << COUNT_BITS | (count + messages).min(COUNT_MAX))
        });
    }

    fn charge_quota(&self, messages: u64, period: u64) {
        if self.period.swap(period, Relaxed) == period {
            self.used.fetch_add(messages, Relaxed);
        } else {
            self.used.store(messages, Relaxed);
        }
    }

    fn of_late(&self, now: Now) -> u64 {
        let tick = now.mono.0 / SLOT_NS;
        let recent = |packed: &u64| tick.wrapping_sub(packed >> COUNT_BITS) <= SLOTS;
        self.slots.iter().map(|slot| slot.load(Relaxed)).filter(recent).map(|packed| packed & COUNT_MAX).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mono, Wall};

    fn at(ms: u64) -> Now {
        Now { mono: Mono(ms * 1_000_000), wall: Wall(1_782_907_200_000 + ms) }
    }

    #[test]
    fn no_sliding_second_holds_more_than_the_rate() {
        let meter = Meter::new(Some(100), None);
        let mut taken = Vec::new();
        for ms in (10_000..30_000).step_by(7) {
            let messages = meter.room(at(ms)).messages.min(1 + ms % 9);
            meter.charge(messages, at(ms));
            taken.push((ms, messages));
        }
        let most = taken.iter().map(|&(from, _)| {
            taken.iter().filter(|(ms, _)| (from..from + 1_000).contains(ms)).map(|(_, messages)| messages).sum::<u64>()
        });
        assert_eq!(most.max(), Some(100));
        let mean = taken.iter().map(|(_, messages)| messages).sum::<u64>() / 20;
        assert!(mean >= 85, "{mean} a second");
    }

    #[test]
    fn a_quota_begins_anew_with_its_period() {
        let meter = Meter::new(Some(1_000), Some(Quota { messages: 50, period: Period::Hour }));
        meter.charge(45, at(0));
        assert_eq!(meter.room(at(5_000)), Room { messages: 5, more_in_s: 3_595, limit: "quota" });
        meter.charge(5, at(5_000));
        assert_eq!(meter.room(at(3_599_999)), Room { messages: 0, more_in_s: 1, limit: "quota" });
        assert_eq!(meter.room(at(3_600_000)).messages, 50);
        meter.charge(7, at(3_600_000));
        assert_eq!(meter.room(at(3_600_000)).messages, 43);
    }

    #[test]
    fn who_has_no_limit_is_not_held_up() {
        let meter = Meter::default();
        meter.charge(1 << 40, at(0));
        assert_eq!(meter.room(at(0)).messages, u64::MAX);
    }
}
