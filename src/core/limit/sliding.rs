//! A limit in parts per sliding second, judged on the instants of write.
//!
//! Knows: when parts left, at most how many may leave now, and when the next one may. Refuses to know binds, windows,
//! priorities. It is told the time. To combine two limits, take the smaller allowance and charge both.
//!
//! Invariants:
//! 1. In any half-open interval of [`WINDOW_NS`] at most R parts are admitted, whatever the calls' jitter and whatever
//!    was changed in between, except those that the caller itself reported by [`SlidingLimit::charge`].
//! 2. An instant on record is never earlier than the true one, and at most [`MERGE_NS`] later.
//! 3. Memory is bound by the window, not by R: instants are kept as runs, at most `WINDOW_NS / MERGE_NS` of them and
//!    two, and at most as many as there are parts.
//!
//! Exactness comes from the record of instants; evenness from a schedule on top of it (the generic cell rate algorithm,
//! ITU-T I.371 annex A), whose steps are counted in quanta, so that a link wakes at most a thousand times a second and
//! writes several parts at once. For a peer that enforces the spacing of parts it can be made *punctual*: then a late
//! call does not catch up, and slow rates are not counted in quanta.

use std::collections::VecDeque;

use crate::model::invariant::WALKED_MAX;
use crate::model::{Mono, Sound, holds};

/// One second and a guard: the time that may pass from our recording an instant until the bytes are on the wire.
pub const WINDOW_NS: u64 = 1_000_000_000 + GUARD_NS;

/// The guard in [`WINDOW_NS`].
pub const GUARD_NS: u64 = 10_000_000;

/// The schedule moves in steps of this length.
pub const QUANTUM_NS: u64 = 1_000_000;

/// How far the schedule may be behind: what a late call may catch up, and the burst after idleness.
const LATENESS_NS: u64 = 10_000_000;

/// Instants closer than this share one entry, under the latest of them.
const MERGE_NS: u64 = 250_000;

/// A run begins where the one before is this old; the oldest may have begun before the window, and the newest has just begun.
const RUNS_MAX: u64 = WINDOW_NS / MERGE_NS + 2;

const _: () = assert!(MERGE_NS < QUANTUM_NS && QUANTUM_NS < LATENESS_NS && LATENESS_NS <= GUARD_NS);

/// At most R parts in any second. Used only on the core of the link that owns it.
#[derive(Clone, Debug)]
pub struct SlidingLimit {
    rate: u32,
    /// Time between two parts on the schedule; rounded down, because the record of instants ensures exactness.
    interval_ns: u64,
    /// When the next part is due on the schedule.
    due: Mono,
    silent_until: Mono,
    punctual_until: Mono,
    /// While it is punctual, parts are farther apart than the rate requires, by this many thousandths.
    eased_permille: u64,
    runs: VecDeque<Run>,
    /// Parts in `runs`.
    counted: u64,
    /// Parts taken that have not reached the wire in time; they count as if they left now.
    stalled: u32,
    latest: Mono,
    /// The exact instants behind `runs`. Only for the check: empty except in debug builds.
    truth: VecDeque<Taken>,
}

/// Parts that left, or are counted as leaving, at exactly that instant.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Mono,
    parts: u64,
    /// The rate at which they were taken; `None`: they were charged.
    rate: Option<u32>,
}

/// Parts that left at nearly the same instant.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Mono,
    latest: Mono,
    parts: u64,
}

impl SlidingLimit {
    /// A limit of `rate` parts per second; 0 is taken as 1, because a rate of 0 would be a pause, which is expressed in
    /// other ways.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1);
        Self {
            rate,
            interval_ns: interval(rate),
            due: Mono(0),
            silent_until: Mono(0),
            punctual_until: Mono(0),
            eased_permille: 0,
            runs: VecDeque::new(),
            counted: 0,
            stalled: 0,
            latest: Mono(0),
            truth: VecDeque::new(),
        }
    }

    /// Parts per second.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Changes the rate from now on; parts that have left stay on record and count against it.
    pub fn set_rate(&mut self, rate: u32) {
        self.rate = rate.max(1);
        self.interval_ns = interval(self.rate);
        self.due = self.due.min(self.latest.after_ns(self.interval_ns));
    }

    /// No part leaves before `until`. An end earlier than the present one changes nothing.
    pub fn silence(&mut self, until: Mono) {
        self.silent_until = self.silent_until.max(until);
    }

    /// Until `until` no two parts are closer than the rate says or, where several parts fall into a quantum, than a
    /// quantum: what a late call has missed is lost. They are also farther apart by `eased_permille` thousandths, to
    /// allow for jitter on their way.
    pub fn be_punctual(&mut self, until: Mono, eased_permille: u32) {
        self.punctual_until = self.punctual_until.max(until);
        self.eased_permille = eased_permille.into();
    }

    /// Whether it is punctual at `now`: parts come singly, and the place of one that does not leave in time is lost.
    pub const fn is_punctual(&self, now: Mono) -> bool {
        now.0 < self.punctual_until.0
    }

    /// Time between two parts on the schedule.
    const fn interval_ns(&self, now: Mono) -> u64 {
        let eased = if self.is_punctual(now) { self.eased_permille } else { 0 };
        self.interval_ns.saturating_add(self.interval_ns / 1_000 * eased + self.interval_ns % 1_000 * eased / 1_000)
    }

    /// The moment up to which the schedule has come, and how far a part may be behind it.
    const fn step(&self, now: Mono) -> (u64, u64) {
        if !self.is_punctual(now) {
            (quantum_of(now), LATENESS_NS)
        } else if self.interval_ns >= 2 * QUANTUM_NS {
            (now.0, 0)
        } else {
            (quantum_of(now), QUANTUM_NS)
        }
    }

    /// How many parts may leave at `now`.
    pub fn allowance(&mut self, now: Mono) -> u32 {
        let now = self.forget(now);
        if now < self.silent_until {
            return 0;
        }
        let room = self.room();
        let (step, lateness) = self.step(now);
        let due = self.due.0.max(step.saturating_sub(lateness));
        if room == 0 || due > step {
            return 0;
        }
        let scheduled = (step - due) / self.interval_ns(now) + 1;
        u32::try_from(scheduled).unwrap_or(u32::MAX).min(room)
    }

    /// Takes `parts` at `now`, all or none.
    pub fn take(&mut self, parts: u32, now: Mono) -> bool {
        if parts == 0 {
            return true;
        }
        if self.allowance(now) < parts {
            return false;
        }
        let (step, lateness) = self.step(self.latest);
        let from = self.due.0.max(step.saturating_sub(lateness));
        let interval_ns = self.interval_ns(self.latest);
        self.due = Mono(from.saturating_add(interval_ns.saturating_mul(u64::from(parts))));
        self.record(parts, Some(self.rate));
        true
    }

    /// The earliest time at which a part may leave, as far as known at `now`; `now` itself if one may leave now.
    pub fn next_at(&mut self, now: Mono) -> Mono {
        if self.allowance(now) > 0 {
            return now;
        }
        let mut wanted = (self.counted + u64::from(self.stalled) + 1).saturating_sub(u64::from(self.rate));
        let mut free = Mono(0);
        for run in &self.runs {
            if wanted == 0 {
                break;
            }
            free = run.latest.after_ns(WINDOW_NS);
            wanted = wanted.saturating_sub(run.parts);
        }
        let due = Mono(self.next_step(self.due.0, now));
        // Even without everything on record there is no room: the stalled parts must leave first, and the caller
        // reports when they have.
        let blocked = if wanted > 0 { self.latest.after_ns(WINDOW_NS) } else { Mono(0) };
        free.max(due).max(blocked).max(self.silent_until).max(self.latest.after_ns(1))
    }

    /// When, after `now`, the schedule lets `parts` leave at once if none leaves before; `None` if it never does,
    /// because the schedule is never that far behind. Parts that left in the last second may still forbid it then.
    pub fn next_for(&self, parts: u32, now: Mono) -> Option<Mono> {
        let behind_ns = self.interval_ns(now).saturating_mul(u64::from(parts.saturating_sub(1)));
        let (step, lateness) = self.step(now);
        if behind_ns > lateness {
            return None;
        }
        let due = self.due.0.max(step.saturating_sub(lateness)).saturating_add(behind_ns);
        let next = Mono(quantum_of(now)).after_ns(QUANTUM_NS);
        Some(Mono(self.next_step(due, now)).max(next).max(self.silent_until))
    }

    /// When the schedule, at `now`, reaches what is due at `due`.
    const fn next_step(&self, due: u64, now: Mono) -> u64 {
        match self.step(now) {
            (_, 0) => due,
            _ => due.div_ceil(QUANTUM_NS).saturating_mul(QUANTUM_NS),
        }
    }

    /// Sets how many parts were taken but are still not written although the guard is over. They count as leaving now
    /// until they are [charged](Self::charge) and this is set anew.
    pub fn set_stalled(&mut self, parts: u32) {
        self.stalled = parts;
    }

    /// Parts that were taken earlier have reached the wire only now: they count a second time, at `now`. Counting too
    /// many is safer than too few: it is not known which of the recorded instants were theirs.
    pub fn charge(&mut self, parts: u32, now: Mono) {
        self.forget(now);
        if parts > 0 {
            self.record(parts, None);
        }
    }

    /// Checks the invariants for what was taken last.
    ///
    /// # Errors
    /// The first invariant that is broken.
    pub fn check(&self) -> Sound {
        let parts: u64 = self.runs.iter().map(|run| run.parts).sum();
        holds!(3, parts == self.counted, "{parts} parts are on record, counted as {}", self.counted);
        let runs = self.runs.len() as u64;
        holds!(3, runs <= RUNS_MAX.min(parts), "{runs} runs for {parts} parts");
        if !cfg!(debug_assertions) || self.truth.len() > WALKED_MAX {
            return Ok(());
        }
        let taken = self.truth.iter().rev().filter_map(|taken| Some((taken, taken.rate?)));
        if let Some((last, rate)) = taken.clone().next() {
            let in_window = taken.take_while(|(taken, _)| last.at.since(taken.at) < WINDOW_NS);
            let most: u64 = in_window.map(|(taken, _)| taken.parts).sum();
            holds!(1, most <= u64::from(rate), "{most} parts in a window that ends at {:?}, of {rate}", last.at);
        }
        let mut truth = self.truth.iter();
        for run in &self.runs {
            let mut left = run.parts;
            while left > 0 {
                let (at, parts) = truth.next().map_or((Mono(0), left), |taken| (taken.at, taken.parts));
                let is_near = at <= run.latest && run.latest.since(at) <= MERGE_NS && parts <= left;
                holds!(2, is_near, "{parts} parts left at {at:?} and are recorded in {run:?}");
                left -= parts;
            }
        }
        Ok(())
    }

    /// Parts on record in the window that ends at `now`.
    pub fn used(&mut self, now: Mono) -> u32 {
        self.forget(now);
        u32::try_from(self.counted).unwrap_or(u32::MAX)
    }

    fn room(&self) -> u32 {
        let used = self.counted + u64::from(self.stalled);
        u32::try_from(u64::from(self.rate).saturating_sub(used)).unwrap_or(u32::MAX)
    }

    /// Drops what has left the window; returns the time, which never runs backwards here.
    fn forget(&mut self, now: Mono) -> Mono {
        self.latest = self.latest.max(now);
        while let Some(run) = self.runs.front() {
            if self.latest.since(run.latest) < WINDOW_NS {
                break;
            }
            self.counted -= run.parts;
            forget_truth(&mut self.truth, run.parts);
            self.runs.pop_front();
        }
        self.latest
    }

    fn record(&mut self, parts: u32, rate: Option<u32>) {
        let (now, parts) = (self.latest, u64::from(parts));
        if cfg!(debug_assertions) {
            match self.truth.back_mut() {
                Some(last) if last.at == now && last.rate == rate => last.parts += parts,
                Some(_) | None => self.truth.push_back(Taken { at: now, parts, rate }),
            }
        }
        self.counted += parts;
        match self.runs.back_mut() {
            Some(run) if now.since(run.first) < MERGE_NS => {
                run.latest = now;
                run.parts += parts;
            }
            Some(_) | None => self.runs.push_back(Run { first: now, latest: now, parts }),
        }
    }
}

const fn interval(rate: u32) -> u64 {
    let interval = WINDOW_NS / rate as u64;
    if interval == 0 { 1 } else { interval }
}

const fn quantum_of(at: Mono) -> u64 {
    at.0 / QUANTUM_NS * QUANTUM_NS
}

/// Removes the oldest `parts` parts.
fn forget_truth(truth: &mut VecDeque<Taken>, mut parts: u64) {
    while let Some(oldest) = truth.front().filter(|oldest| oldest.parts <= parts) {
        parts -= oldest.parts;
        truth.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A limit from which everything that may leave in one and a half seconds has left.
    fn limit() -> SlidingLimit {
        let mut limit = SlidingLimit::new(200);
        for ms in 5_000..6_500 {
            let now = Mono(ms * MS);
            let parts = limit.allowance(now);
            assert!(limit.take(parts, now));
        }
        assert_eq!(limit.check(), Ok(()));
        assert!(limit.counted > 190, "{}", limit.counted);
        limit
    }

    fn broken(limit: &SlidingLimit) -> Option<u8> {
        limit.check().err().map(|broken| broken.number)
    }

    #[test]
    #[cfg(debug_assertions)]
    fn breaking_invariant_1_is_noticed() {
        let mut limit = limit();
        // As if it had lost its record, and its schedule again and again.
        limit.counted = 0;
        limit.runs.clear();
        for ms in 6_500..6_520 {
            limit.due = Mono(0);
            let parts = limit.allowance(Mono(ms * MS));
            assert!(limit.take(parts, Mono(ms * MS)));
        }
        assert_eq!(broken(&limit), Some(1));
        let mut limit = self::limit();
        limit.charge(7, Mono(6_500 * MS));
        assert_eq!(limit.check(), Ok(()), "the limit does not answer for what the caller reported");
    }

    #[test]
    #[cfg(debug_assertions)]
    fn breaking_invariant_2_is_noticed() {
        for shift in [|at: Mono| Mono(at.0 - 1), |at: Mono| at.after_ns(MERGE_NS + 1)] {
            let mut limit = limit();
            let run = limit.runs.back_mut().expect("something left");
            run.latest = shift(run.latest);
            assert_eq!(broken(&limit), Some(2));
        }
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        let mut limit = limit();
        limit.counted -= 1;
        assert_eq!(broken(&limit), Some(3));
        let mut limit = self::limit();
        (0..RUNS_MAX).for_each(|_| limit.runs.push_back(Run { first: Mono(0), latest: Mono(0), parts: 0 }));
        assert_eq!(broken(&limit), Some(3));
    }
}
