//! Flow control: pauses after a throttled submit and, if no rate was agreed, finds one.
//!
//! Knows instants, counts and the agreed rate. Refuses to know which message was throttled and what happens to it.
//! If the carrier throttles a whole window of submits that were under way together, that is one event, not many: only a
//! submit written after the end of the last pause counts as a new event.

use crate::limit::SlidingLimit;
use crate::model::{Mono, Prng, Sound};

/// First pause, ms; doubles with each further throttled submit that follows a pause, until one is accepted.
const PAUSE_MIN_MS: u64 = 100;

/// Longest pause, ms.
const PAUSE_MAX_MS: u64 = 10_000;

/// Longest pause without an agreed rate, ms. It is short so that we soon notice when the carrier accepts submits again.
const PAUSE_MAX_OPEN_MS: u64 = 1_000;

/// For this time after a throttled submit the gaps between parts are never shorter than the rate says, not even to make up for a
/// delay, ms: the carrier may enforce the gaps strictly.
const PUNCTUAL_MS: u64 = 60_000;

/// Each recent throttling event widens the distance between parts by this many thousandths, up to a maximum: parts sent exactly
/// at the agreed rate do not arrive exactly at that rate…
const EASE_PERMILLE: u32 = 10;
const EASE_MAX_PERMILLE: u32 = 80;

/// …and after this time without an event the distance shrinks by one step, ms.
const EASE_STEP_MS: u64 = 10_000;

/// Without an agreed rate, a throttling event reduces the rate to this percentage of the rate that was too fast.
const DECREASE_PERCENT: u64 = 70;

/// Without an agreed rate, each second without an event adds this percentage of the rate that was last too fast…
const INCREASE_PERCENT: u64 = 10;

/// …until the rate is this many times the one that was too fast; then the limit is dropped.
const FORGET_AT: u64 = 4;

const STEP_MS: u64 = 1_000;

/// Without an agreed rate, the lowest rate that counts as too fast, parts per second: one refusal on an idle link is not a
/// measurement.
const PACE_MIN: u32 = 10;

/// The sending rate of one link. The limit inside also measures it.
#[derive(Clone, Debug)]
pub struct FlowControl {
    agreed: Option<u32>,
    limit: SlidingLimit,
    /// The rate that was last too fast; `None`: there is no limit except the agreed one.
    ceiling: Option<u32>,
    next_step: Mono,
    pause_until: Mono,
    /// Pauses since a submit was last accepted after a pause.
    pauses: u32,
    /// By how much the distance between parts is widened, in thousandths.
    eased_permille: u32,
    /// When that shrinks next.
    next_ease: Mono,
    prng: Prng,
}

/// A rate that holds nothing back: the limit only measures.
const UNLIMITED: u32 = u32::MAX;

impl FlowControl {
    /// Starts at the agreed rate, or without a limit.
    pub fn new(agreed: Option<u32>, silent_until: Mono, prng: Prng) -> Self {
        let mut limit = SlidingLimit::new(agreed.unwrap_or(UNLIMITED));
        if agreed.is_some() {
            limit.silence(silent_until);
        }
        Self {
            agreed,
            limit,
            ceiling: None,
            next_step: Mono(0),
            pause_until: Mono(0),
            pauses: 0,
            eased_permille: 0,
            next_ease: Mono(0),
            prng,
        }
    }

    /// The agreed rate has changed.
    pub fn set_agreed(&mut self, agreed: Option<u32>) {
        if self.agreed != agreed {
            self.agreed = agreed;
            self.ceiling = None;
            self.limit.set_rate(agreed.unwrap_or(UNLIMITED));
        }
    }

    /// Checks the invariants of the limit.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        self.limit.check()
    }

    /// Whether there is a limit at present.
    pub const fn is_limited(&self) -> bool {
        self.agreed.is_some() || self.ceiling.is_some()
    }

    /// Parts per second allowed at present.
    pub const fn allowed(&self) -> Option<u32> {
        if self.is_limited() { Some(self.limit.rate()) } else { None }
    }

    /// See [`SlidingLimit::is_punctual`].
    pub const fn is_punctual(&self, now: Mono) -> bool {
        self.limit.is_punctual(now)
    }

    /// The end of the pause, if there is one at `now`.
    pub fn paused_until(&self, now: Mono) -> Option<Mono> {
        (now < self.pause_until).then_some(self.pause_until)
    }

    /// How many parts may be sent now.
    pub fn allowance(&mut self, now: Mono) -> u32 {
        self.recover(now);
        if now < self.pause_until { 0 } else { self.limit.allowance(now) }
    }

    /// Takes tokens for `parts` parts, all or none.
    pub fn take(&mut self, parts: u32, now: Mono) -> bool {
        parts == 0 || now >= self.pause_until && self.limit.take(parts, now)
    }

    /// When at least one part may be sent.
    pub fn next_at(&mut self, now: Mono) -> Mono {
        self.limit.next_at(now).max(self.pause_until)
    }

    /// When `parts` parts may be sent together, if none is sent before; `None` if the limit never allows so many.
    pub fn next_for(&self, parts: u32, now: Mono) -> Option<Mono> {
        Some(self.limit.next_for(parts, now)?.max(self.pause_until))
    }

    /// Number of parts sent within the last second.
    pub fn used(&mut self, now: Mono) -> u32 {
        self.limit.used(now)
    }

    /// See [`SlidingLimit::set_stalled`].
    pub fn set_stalled(&mut self, parts: u32) {
        self.limit.set_stalled(parts);
    }

    /// See [`SlidingLimit::charge`].
    pub fn charge(&mut self, parts: u32, now: Mono) {
        self.limit.charge(parts, now);
    }

    /// A submit written at `written_at` was throttled.
    pub fn handle_throttled(&mut self, written_at: Mono, now: Mono) {
        if written_at < self.pause_until || now < self.pause_until {
            return;
        }
        let longest_ms = if self.agreed.is_some() { PAUSE_MAX_MS } else { PAUSE_MAX_OPEN_MS };
        let pause_ms = (PAUSE_MIN_MS << self.pauses.min(16)).min(longest_ms);
        let is_first = self.pauses == 0;
        self.pauses = self.pauses.saturating_add(1);
        self.pause_until = now.after_ms(self.prng.between(pause_ms, pause_ms + pause_ms / 4));
        self.eased_permille = (self.eased_permille + EASE_PERMILLE).min(EASE_MAX_PERMILLE);
        self.next_ease = now.after_ms(EASE_STEP_MS);
        self.limit.be_punctual(now.after_ms(PUNCTUAL_MS), self.eased_permille);
        if self.agreed.is_none() {
            // A refusal right after a pause, with nothing accepted in between, does not measure a rate: hardly anything was sent.
            if is_first || self.ceiling.is_none() {
                let pace = self.limit.used(now).min(self.limit.rate()).max(PACE_MIN);
                self.ceiling = Some(pace);
                self.limit.set_rate(percent(pace, DECREASE_PERCENT));
            }
            self.next_step = self.pause_until.after_ms(STEP_MS);
        }
    }

    /// A submit written at `written_at` was accepted.
    pub fn handle_accepted(&mut self, written_at: Mono) {
        if written_at >= self.pause_until {
            self.pauses = 0;
        }
    }

    fn recover(&mut self, now: Mono) {
        if self.eased_permille > 0 && now >= self.next_ease {
            self.eased_permille -= EASE_PERMILLE.min(self.eased_permille);
            self.next_ease = now.after_ms(EASE_STEP_MS);
            self.limit.be_punctual(Mono(0), self.eased_permille);
        }
        // Without a ceiling, no rate was too fast.
        let Some(ceiling) = self.ceiling else { return };
        if now < self.next_step {
            return;
        }
        let steps = now.since(self.next_step) / (STEP_MS * 1_000_000) + 1;
        self.next_step = self.next_step.after_ms(steps.saturating_mul(STEP_MS));
        let added = u64::from(percent(ceiling, INCREASE_PERCENT)).saturating_mul(steps);
        let rate = u64::from(self.limit.rate()).saturating_add(added);
        if rate >= u64::from(ceiling).saturating_mul(FORGET_AT) {
            self.ceiling = None;
            self.limit.set_rate(UNLIMITED);
        } else {
            self.limit.set_rate(u32::try_from(rate).unwrap_or(UNLIMITED));
        }
    }
}

/// That percentage of `of`, but at least 1.
fn percent(of: u32, percent: u64) -> u32 {
    u32::try_from(u64::from(of) * percent / 100).unwrap_or(UNLIMITED).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(5_000_000_000).after_ms(ms)
    }

    #[test]
    fn one_flight_of_throttled_submits_is_one_pause() {
        let mut flow = FlowControl::new(Some(1_000), Mono(0), Prng::new(1));
        flow.handle_throttled(at(0), at(1));
        let until = flow.paused_until(at(1)).expect("a pause");
        assert!(until >= at(101) && until <= at(126), "{until:?}");
        assert_eq!(flow.allowance(at(50)), 0);
        flow.handle_throttled(at(0), at(2));
        flow.handle_throttled(at(0), until.after_ms(40));
        assert_eq!(flow.paused_until(at(2)), Some(until), "they left before the pause");
        flow.handle_throttled(until.after_ms(1), until.after_ms(2));
        let longer = flow.paused_until(until.after_ms(2)).expect("another pause");
        assert!(longer.since(until) >= 200_000_000, "twice as long");
        assert_eq!(flow.allowed(), Some(1_000), "an agreed rate stays");
        flow.handle_accepted(longer);
        flow.handle_throttled(longer.after_ms(1), longer.after_ms(1));
        assert!(flow.paused_until(longer.after_ms(1)).expect("a pause").since(longer) <= 127_000_000, "short again");
    }

    #[test]
    fn without_an_agreed_rate_it_finds_one_and_forgets_it() {
        let mut flow = FlowControl::new(None, Mono(0), Prng::new(1));
        assert_eq!((flow.allowed(), flow.is_limited()), (None, false));
        for ms in 0..1_000 {
            assert!(flow.take(1, at(ms)));
        }
        flow.handle_throttled(at(999), at(1_000));
        assert_eq!(flow.allowed(), Some(700));
        let until = flow.paused_until(at(1_000)).expect("a pause");
        assert!(flow.allowance(until.after_ms(1_000)) > 0);
        assert_eq!(flow.allowed(), Some(800));
        flow.handle_accepted(until.after_ms(1_050));
        flow.handle_throttled(until.after_ms(1_100), until.after_ms(1_100));
        assert_eq!(flow.allowed(), Some(7), "it was throttled while hardly anything was sent");
        assert!(flow.allowance(at(120_000)) > 1_000);
        assert_eq!(flow.allowed(), None, "long ago");
    }

    /// Field P1: if the carrier throttles again and again at the agreed rate, we send slightly below it, and return to it later.
    #[test]
    fn who_is_throttled_again_and_again_keeps_a_little_more_distance() {
        let mut flow = FlowControl::new(Some(50), Mono(0), Prng::new(1));
        let mut now = at(0);
        let mut in_ten_seconds = |flow: &mut FlowControl, throttled: bool| {
            let (end, mut sent) = (now.after_ms(10_000), 0);
            while now < end {
                now = flow.next_at(now).max(now.after_ns(1));
                flow.allowance(now);
                if flow.take(1, now) {
                    sent += 1;
                    flow.handle_accepted(now);
                    if throttled {
                        flow.handle_throttled(now, now);
                    }
                }
            }
            sent
        };
        in_ten_seconds(&mut flow, true);
        let eased = in_ten_seconds(&mut flow, false);
        assert!((440..480).contains(&eased), "{eased}");
        for _ in 0..9 {
            in_ten_seconds(&mut flow, false);
        }
        let back = in_ten_seconds(&mut flow, false);
        assert!((490..=500).contains(&back), "{back}");
    }

    /// Field P3: four seconds in which the carrier accepted nothing had slowed sending for half a minute.
    #[test]
    fn a_time_in_which_nothing_is_taken_is_one_measurement() {
        let mut flow = FlowControl::new(None, Mono(0), Prng::new(1));
        for ms in 0..1_000 {
            assert!(flow.take(1, at(ms)));
        }
        let mut now = at(1_000);
        while now < at(5_000) {
            flow.handle_throttled(now, now);
            now = flow.paused_until(now).expect("a pause").after_ms(1);
        }
        assert!(now < at(6_300), "{now:?}: it is not left alone for long");
        assert_eq!(flow.allowed(), Some(700), "probes that are refused say nothing of the pace");
        flow.handle_accepted(now);
        flow.allowance(at(10_000));
        assert!(flow.allowed().is_some_and(|allowed| allowed >= 900), "{:?}", flow.allowed());
    }
}
