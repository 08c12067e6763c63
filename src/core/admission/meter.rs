//! How many messages a tenant may bring in: per second (its rate), and per period of the calendar (its quota). All
//! cores share one meter. Each core first adds what it wants, then checks the sum, and takes back what is too much: of
//! cores that ask at the same instant, the one that reads last sees what all others have added, so they never get more
//! than the limit together. Reads no clock: times are arguments.
//!
//! A request holds a [`Charge`], which borrows from the meter in blocks. Invariants:
//! 1. Quota that a charge has taken, but for which no shard was asked, goes back when the charge is dropped.
//! 2. A charge that is settled has taken from the quota exactly what was admitted. Messages counted for the rate stay
//!    counted: the rate limits what comes in, whether it is admitted or not.
//!
//! Counts are in memory: both limits start from zero with the process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::model::{Mono, Now, Period, Wall};

/// The rate counts a second in this many slots...
const SLOTS: u64 = 16;
/// ... of this length, plus the one being filled: at most the last 1,088 ms are counted.
const SLOT_NS: u64 = 64_000_000;
/// Bits of a slot that hold the count; the bits above them hold the slot's tick.
const SLOT_BITS: u32 = 28;
/// Bits of the quota's count; the bits above them hold the number of the period.
const QUOTA_BITS: u32 = 42;
/// Largest quota: more than any tenant brings in in a month.
const QUOTA_MAX: u64 = (1 << QUOTA_BITS) - 1;
/// Most messages that a request borrows at once.
const BLOCK: u64 = 256;

const _: () = assert!(SLOTS * SLOT_NS >= 1_000_000_000);

/// A number of messages per calendar period, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages per period.
    pub messages: u64,
    /// The period.
    pub period: Period,
}

/// One of a tenant's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The limit on messages in any second.
    Rate,
    /// The limit on messages in a calendar period.
    Quota,
}

impl Limit {
    /// Its key in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Quota => "quota",
        }
    }
}

/// The state of one limit. What running requests have borrowed counts as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Messages allowed in a window.
    pub messages: u64,
    /// Length of the window: of a sliding second, or of the current period of the calendar, s.
    pub window_s: u32,
    /// Messages that may come in now.
    pub left: u64,
    /// Seconds until all of it may come in again, if nothing does meanwhile; at least 1.
    pub renewed_in_s: u32,
}

/// The state of each limit that a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Of its rate.
    pub rate: Option<Standing>,
    /// Of its quota.
    pub quota: Option<Standing>,
}

/// A limit is reached: nothing more may come in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// The limit that is reached.
    pub limit: Limit,
    /// Seconds until more may come in; at least 1.
    pub more_in_s: u32,
}

/// Counts what one tenant has brought in against its limits. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    rate: Option<u32>,
    quota: Option<Quota>,
    /// `None` as long as no limit was ever set.
    counts: Option<Arc<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The counts of the rate, by slot.
    slots: [AtomicU64; SLOTS as usize + 1],
    quota: AtomicU64,
}

/// What a request has borrowed from the limits.
#[derive(Clone, Copy, Debug, Default)]
struct Loan {
    messages: u64,
    /// The tick of the rate, and below it the period of the quota, in which the loan was counted.
    tick: u64,
    period: u64,
    /// Until when it may be used: a message is in the second that its loan was counted in.
    until: Mono,
}

impl Meter {
    /// A meter that has counted nothing. `rate` in messages per sliding second.
    pub fn new(rate: Option<u32>, quota: Option<Quota>) -> Self {
        Self { rate, quota, counts: (rate.is_some() || quota.is_some()).then(Arc::default) }
    }

    /// The same counts under other limits: what was counted still counts, and so does what running requests settle
    /// later.
    pub fn renewed(&self, rate: Option<u32>, quota: Option<Quota>) -> Self {
        let new = Self::new(rate, quota);
        Self { counts: self.counts.clone().or(new.counts), ..new }
    }

    /// Opens a charge for a new request.
    pub fn open(&self) -> Charge {
        Charge { meter: self.clone(), loan: Loan::default(), counted: 0, taken: 0, asked: 0, used_up: None }
    }

    /// Messages that count against the quota at `now`, including borrowed ones.
    pub fn used(&self, now: Wall) -> u64 {
        let (Some(quota), Some(counts)) = (self.quota, &self.counts) else { return 0 };
        used_in(counts.quota.load(SeqCst), quota.period.of(now).0).1
    }

    /// The state of the limits.
    pub fn standings(&self, now: Now) -> Standings {
        let Some(counts) = self.counts.as_deref() else { return Standings::default() };
        let rate = self.rate.map(|rate| {
            let messages = u64::from(rate);
            let left = messages.saturating_sub(counts.of_late(now.mono.0 / SLOT_NS));
            Standing { messages, window_s: 1, left, renewed_in_s: 1 }
        });
        let quota = self.quota.map(|Quota { messages, period }| {
            let messages = messages.min(QUOTA_MAX);
            let window_s = (period.length_ms(now.wall) / 1_000) as u32;
            let left = messages.saturating_sub(self.used(now.wall));
            Standing { messages, window_s, left, renewed_in_s: seconds_until(period.of(now.wall).1, now.wall) }
        });
        Standings { rate, quota }
    }

    /// Lends up to `wanted` messages and at least one, or says which limit is reached.
    fn lend(&self, wanted: u64, now: Now) -> Result<Loan, UsedUp> {
        let mut loan = Loan { messages: u64::MAX, until: Mono(u64::MAX), ..Loan::default() };
        let Some(counts) = self.counts.as_deref() else { return Ok(loan) };
        if let Some(rate) = self.rate {
            (loan.messages, loan.tick) = counts.take_of_rate(rate, wanted, now);
            if loan.messages == 0 {
                return Err(UsedUp { limit: Limit::Rate, more_in_s: 1 });
            }
            loan.until = Mono((loan.tick + 1) * SLOT_NS);
        }
        if let Some(quota) = self.quota {
            let wanted = wanted.min(loan.messages);
            let (messages, period, next) = counts.take_of_quota(quota, wanted, now.wall);
            if self.rate.is_some() {
                counts.give_back_to_rate(loan.tick, loan.messages - messages);
            }
            if messages == 0 {
                return Err(UsedUp { limit: Limit::Quota, more_in_s: seconds_until(next, now.wall) });
            }
            (loan.messages, loan.period) = (messages, period);
        }
        Ok(loan)
    }
}

fn seconds_until(next: Wall, now: Wall) -> u32 {
    next.since(now).div_ceil(1_000).max(1) as u32
}

impl Counts {
    /// How many of `wanted` fit into the rate, and the tick in which they are counted.
    fn take_of_rate(&self, rate: u32, wanted: u64, now: Now) -> (u64, u64) {
        let (rate, now) = (u64::from(rate), now.mono.0 / SLOT_NS);
        let wanted = wanted.min(rate);
        let tick = self.count(now, wanted);
        // The core that reads last sees what all others have taken and kept.
        let over = self.of_late(now).saturating_sub(rate).min(wanted);
        self.give_back_to_rate(tick, over);
        (wanted - over, tick)
    }

    /// Adds to the slot of `now`, or of a newer tick that has already reused the slot; gives the tick.
    fn count(&self, now: u64, messages: u64) -> u64 {
        let Some(slot) = self.slots.get((now % (SLOTS + 1)) as usize) else { return now };
        let mut tick = now;
        update(slot, |packed| {
            tick = now.max(packed >> SLOT_BITS);
            let count = if packed >> SLOT_BITS == tick { packed & ((1 << SLOT_BITS) - 1) } else { 0 };
            tick << SLOT_BITS | (count + messages)
        });
        tick
    }

    fn give_back_to_rate(&self, tick: u64, messages: u64) {
        let slot = self.slots.get((tick % (SLOTS + 1)) as usize).filter(|_| messages > 0);
        if let Some(slot) = slot {
            let less = |packed: u64| packed - messages.min(packed & ((1 << SLOT_BITS) - 1));
            update(slot, |packed| if packed >> SLOT_BITS == tick { less(packed) } else { packed });
        }
    }

    fn of_late(&self, now: u64) -> u64 {
        let recent = |packed: &u64| (packed >> SLOT_BITS) + SLOTS >= now;
        let counts = self.slots.iter().map(|slot| slot.load(SeqCst)).filter(recent);
        counts.map(|packed| packed & ((1 << SLOT_BITS) - 1)).sum()
    }

    /// How many of `wanted` fit into the quota, the number of the period in which they are counted, and when the next
    /// one begins.
    fn take_of_quota(&self, quota: Quota, wanted: u64, now: Wall) -> (u64, u64, Wall) {
        let (number, next) = quota.period.of(now);
        let (mut messages, mut period) = (0, number);
        update(&self.quota, |packed| {
            let (current, used) = used_in(packed, number);
            messages = quota.messages.min(QUOTA_MAX).saturating_sub(used).min(wanted);
            period = current;
            current << QUOTA_BITS | (used + messages)
        });
        let next = if period == number { next } else { quota.period.of(next).1 };
        (messages, period, next)
    }

    fn give_back_to_quota(&self, period: u64, messages: u64) {
        // When the clock is set back by more than one period, the count starts again: then less may be counted than was
        // lent.
        let less = |packed: u64| packed - messages.min(packed & QUOTA_MAX);
        update(&self.quota, |packed| if packed >> QUOTA_BITS == period { less(packed) } else { packed });
    }
}

/// The period to count in while the clock shows period `number`, and what is used of it. A clock that is set back over
/// the end of a period does not start the earlier period again.
const fn used_in(packed: u64, number: u64) -> (u64, u64) {
    let period = packed >> QUOTA_BITS;
    if period == number || period == number + 1 { (period, packed & QUOTA_MAX) } else { (number, 0) }
}

fn update(count: &AtomicU64, mut next: impl FnMut(u64) -> u64) {
    let mut before = count.load(SeqCst);
    while let Err(other) = count.compare_exchange_weak(before, next(before), SeqCst, SeqCst) {
        before = other;
    }
}

/// What one request takes from its tenant's limits. See the invariants at the top of this file.
#[derive(Debug)]
pub struct Charge {
    meter: Meter,
    /// What is left of the last loan.
    loan: Loan,
    /// Messages counted against the quota in the loan's period.
    counted: u64,
    taken: u64,
    /// How many of the taken messages were sent to shards.
    asked: u64,
    used_up: Option<UsedUp>,
}

impl Charge {
    /// Takes one message. `more`: an estimate of how many messages the request still brings, including this one.
    ///
    /// # Errors
    /// [`UsedUp`]. It is final for this request, so of its messages the first ones are taken.
    pub fn take(&mut self, now: Now, more: impl FnOnce() -> u64) -> Result<(), UsedUp> {
        if self.loan.messages == 0 || now.mono >= self.loan.until {
            self.borrow(more(), now)?;
        }
        self.loan.messages -= 1;
        self.taken += 1;
        Ok(())
    }

    /// Messages that the request has taken.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// The limit that ended the charge, if one did.
    pub const fn used_up(&self) -> Option<UsedUp> {
        self.used_up
    }

    #[cold]
    fn borrow(&mut self, more: u64, now: Now) -> Result<(), UsedUp> {
        if let Some(used_up) = self.used_up {
            return Err(used_up);
        }
        // What is left of a loan from an earlier slot would be missing in the second of the messages that use it.
        self.close();
        let loan = self.meter.lend(more.clamp(1, BLOCK), now).inspect_err(|used_up| self.used_up = Some(*used_up))?;
        if self.meter.quota.is_some() {
            let before = if loan.period == self.loan.period { self.counted } else { 0 };
            self.counted = before + loan.messages;
        }
        self.loan = loan;
        Ok(())
    }

    /// Ends the request: what it borrowed and did not take goes back.
    pub fn close(&mut self) {
        let rest = std::mem::take(&mut self.loan.messages);
        if let (Some(counts), Some(_)) = (&self.meter.counts, self.meter.rate) {
            counts.give_back_to_rate(self.loan.tick, rest);
        }
        self.give_back(rest);
    }

    /// Notes that a shard is asked for this many of the messages: they stay charged unless the charge is settled.
    pub const fn ask(&mut self, messages: u64) {
        self.asked += messages;
    }

    /// Charges the quota with the messages that were admitted, and gives the rest back.
    pub fn settle(mut self, admitted: u64) {
        self.close();
        debug_assert!(admitted <= self.taken, "{admitted} were admitted, and only {} paid for", self.taken);
        self.give_back(self.taken.saturating_sub(admitted));
        self.asked = self.taken;
    }

    /// What was counted in a past period is not given back: that period's count is no longer used.
    fn give_back(&mut self, messages: u64) {
        let messages = messages.min(self.counted);
        if let (Some(counts), 1..) = (&self.meter.counts, messages) {
            self.counted -= messages;
            counts.give_back_to_quota(self.loan.period, messages);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.close();
        self.give_back(self.taken.saturating_sub(self.asked));
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
