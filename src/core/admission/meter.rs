//! How many messages a tenant may bring in: so many in any second (its rate), so many in a period of the calendar (its
//! quota). All cores ask one meter. Each takes first and looks then, so whatever they take in one instant, together they
//! never get more than there is. Knows no clock.
//!
//! A request holds a [`Charge`], which borrows from the meter in blocks. Invariants:
//! 1. What a charge has taken of the quota and nobody has asked a shard for goes back when the charge is dropped.
//! 2. A charge that is settled has taken of the quota exactly what was admitted. What the rate counted stays counted: it
//!    is for what comes in, taken or not.
//!
//! Counts are in memory: both limits begin anew with the process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::model::{Now, Period, Wall};

/// A second is counted in so many slots...
const SLOTS: u64 = 16;
/// ... of this length, and the one that is being filled: 1,088 ms at most are looked back on.
const SLOT_NS: u64 = 64_000_000;
/// Bits of a slot that count; above them stands when.
const SLOT_BITS: u32 = 28;
/// Bits of the quota's count that count; above them stands the number of the period.
const QUOTA_BITS: u32 = 42;
/// More than any tenant brings in in a month.
const QUOTA_MAX: u64 = (1 << QUOTA_BITS) - 1;
/// Messages that a request borrows at once, at most.
const BLOCK: u64 = 256;

const _: () = assert!(SLOTS * SLOT_NS >= 1_000_000_000);

/// So many messages per calendar period, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// In each of these.
    pub period: Period,
}

/// One of a tenant's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Messages in any second.
    Rate,
    /// Messages in a period of the calendar.
    Quota,
}

impl Limit {
    /// As it is called in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Quota => "quota",
        }
    }
}

/// How a quota stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Messages in a period.
    pub messages: u64,
    /// Of them, those that may still come in.
    pub left: u64,
    /// Seconds until the next period begins; at least 1.
    pub renewed_in_s: u32,
}

/// Nothing more may come in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// By which limit.
    pub limit: Limit,
    /// Seconds until there is more; at least 1.
    pub more_in_s: u32,
}

/// What one tenant has brought in, against its limits. A clone counts with it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    rate: Option<u32>,
    quota: Option<Quota>,
    /// None as long as there never was a limit.
    counts: Option<Arc<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Of the rate.
    slots: [AtomicU64; SLOTS as usize + 1],
    quota: AtomicU64,
}

/// What a request was lent.
#[derive(Clone, Copy, Debug, Default)]
struct Loan {
    messages: u64,
    /// By which of the rate's slots, and in which of the quota's periods, it was counted.
    tick: u64,
    period: u64,
}

impl Meter {
    /// A meter that has counted nothing. `rate` in messages per sliding second.
    pub fn new(rate: Option<u32>, quota: Option<Quota>) -> Self {
        Self { rate, quota, counts: (rate.is_some() || quota.is_some()).then(Arc::default) }
    }

    /// The same under other limits: what was counted still counts, also what requests under way settle later.
    pub fn renewed(&self, rate: Option<u32>, quota: Option<Quota>) -> Self {
        let new = Self::new(rate, quota);
        Self { counts: self.counts.clone().or(new.counts), ..new }
    }

    /// For a request that begins.
    pub fn open(&self) -> Charge {
        Charge { meter: self.clone(), loan: Loan::default(), counted: 0, taken: 0, asked: 0, used_up: None }
    }

    /// Messages that count against the quota at `now`, borrowed ones among them.
    pub fn used(&self, now: Wall) -> u64 {
        let (Some(quota), Some(counts)) = (self.quota, &self.counts) else { return 0 };
        used_in(counts.quota.load(SeqCst), quota.period.of(now).0).1
    }

    /// How the quota stands, if there is one; what requests under way have borrowed is gone.
    pub fn standing(&self, now: Wall) -> Option<Standing> {
        let Quota { messages, period } = self.quota?;
        let renewed_in_s = period.of(now).1.since(now).div_ceil(1_000).max(1) as u32;
        Some(Standing { messages, left: messages.saturating_sub(self.used(now)), renewed_in_s })
    }

    /// Lends up to `wanted` messages, at least one.
    fn lend(&self, wanted: u64, now: Now) -> Result<Loan, UsedUp> {
        let mut loan = Loan { messages: u64::MAX, ..Loan::default() };
        let Some(counts) = self.counts.as_deref() else { return Ok(loan) };
        if let Some(rate) = self.rate {
            (loan.messages, loan.tick) = counts.take_of_rate(rate, wanted, now);
            if loan.messages == 0 {
                return Err(UsedUp { limit: Limit::Rate, more_in_s: 1 });
            }
        }
        if let Some(quota) = self.quota {
            let wanted = wanted.min(loan.messages);
            let (messages, period, next) = counts.take_of_quota(quota, wanted, now.wall);
            if self.rate.is_some() {
                counts.give_back_to_rate(loan.tick, loan.messages - messages);
            }
            if messages == 0 {
                let more_in_s = next.since(now.wall).div_ceil(1_000).max(1);
                return Err(UsedUp { limit: Limit::Quota, more_in_s: more_in_s as u32 });
            }
            (loan.messages, loan.period) = (messages, period);
        }
        Ok(loan)
    }
}

impl Counts {
    /// How many of `wanted` there are, and the tick by which they are counted.
    fn take_of_rate(&self, rate: u32, wanted: u64, now: Now) -> (u64, u64) {
        let (rate, now) = (u64::from(rate), now.mono.0 / SLOT_NS);
        let wanted = wanted.min(rate);
        let tick = self.count(now, wanted);
        // Whoever looks last sees what all others have taken and kept.
        let over = self.of_late(now).saturating_sub(rate).min(wanted);
        self.give_back_to_rate(tick, over);
        (wanted - over, tick)
    }

    /// Into the slot of `now`, or of a newer tick that has taken its place.
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

    /// How many of `wanted` there are, the number of the period in which they are counted, and when the next one begins.
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
        // A clock that is set back over more than one period begins that one anew: then less is counted than was lent.
        let less = |packed: u64| packed - messages.min(packed & QUOTA_MAX);
        update(&self.quota, |packed| if packed >> QUOTA_BITS == period { less(packed) } else { packed });
    }
}

/// The period that counts while the clock shows the one of that number, and what is used of it. A clock that is set back
/// over the end of a period does not begin that period anew.
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

/// What one request takes of its tenant's limits. See the head of this file.
#[derive(Debug)]
pub struct Charge {
    meter: Meter,
    /// What is left of what was lent last.
    loan: Loan,
    /// Of the quota, in the loan's period.
    counted: u64,
    taken: u64,
    /// Of what was taken, what shards were asked for.
    asked: u64,
    used_up: Option<UsedUp>,
}

impl Charge {
    /// Takes one message. `more`: how many the request probably still brings, with this one.
    ///
    /// # Errors
    /// [`UsedUp`], and so it stays for this request: of its messages the first ones are taken.
    pub fn take(&mut self, now: Now, more: impl FnOnce() -> u64) -> Result<(), UsedUp> {
        if self.loan.messages == 0 {
            self.borrow(more(), now)?;
        }
        self.loan.messages -= 1;
        self.taken += 1;
        Ok(())
    }

    /// Messages that it has taken.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// The limit that has ended it, if one has.
    pub const fn used_up(&self) -> Option<UsedUp> {
        self.used_up
    }

    #[cold]
    fn borrow(&mut self, more: u64, now: Now) -> Result<(), UsedUp> {
        if let Some(used_up) = self.used_up {
            return Err(used_up);
        }
        let loan = self.meter.lend(more.clamp(1, BLOCK), now).inspect_err(|used_up| self.used_up = Some(*used_up))?;
        if self.meter.quota.is_some() {
            let before = if loan.period == self.loan.period { self.counted } else { 0 };
            self.counted = before + loan.messages;
        }
        self.loan = loan;
        Ok(())
    }

    /// The request brings nothing more: what it borrowed and did not take goes back.
    pub fn close(&mut self) {
        let rest = std::mem::take(&mut self.loan.messages);
        if let (Some(counts), Some(_)) = (&self.meter.counts, self.meter.rate) {
            counts.give_back_to_rate(self.loan.tick, rest);
        }
        self.give_back(rest);
    }

    /// A shard is asked for so many of the messages: they stay charged unless the charge is settled.
    pub const fn ask(&mut self, messages: u64) {
        self.asked += messages;
    }

    /// So many of the messages were admitted, and that is what the quota is charged with.
    pub fn settle(mut self, admitted: u64) {
        self.close();
        debug_assert!(admitted <= self.taken, "{admitted} were admitted, and only {} paid for", self.taken);
        self.give_back(self.taken.saturating_sub(admitted));
        self.asked = self.taken;
    }

    /// What was counted in a period that is over is not given back: nobody counts in it any more.
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
