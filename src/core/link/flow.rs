//! Answers to "slower, please": pauses after a throttled submit, and, where no rate was agreed, finds one.
//!
//! Knows instants, counts and the agreed rate. Refuses to know which message was throttled and what becomes of it.
//! A window full of submits that were under way when the carrier lost patience is one event, not many: only a submit
//! written after the last pause ended counts as a new one.

use crate::limit::SlidingLimit;
use crate::model::{Mono, Prng, Sound};

/// First pause, ms; doubles with each throttled submit that follows a pause without an accepted one between.
const PAUSE_MIN_MS: u64 = 100;

/// Longest pause, ms.
const PAUSE_MAX_MS: u64 = 10_000;

/// The same with no agreed rate: how long the carrier is left alone at the end of a time in which it took nothing.
const PAUSE_MAX_OPEN_MS: u64 = 1_000;

/// So long after a throttled submit nothing is made up for, ms: the carrier may space strictly.
const PUNCTUAL_MS: u64 = 60_000;

/// By so much of a thousand parts are farther apart then, for each event of late, and at most: what leaves as the rate says does
/// not arrive so…
const EASE_PERMILLE: u32 = 10;
const EASE_MAX_PERMILLE: u32 = 80;

/// …and one step less after so long without an event, ms.
const EASE_STEP_MS: u64 = 10_000;

/// With no agreed rate, one event leaves this share of the pace that was too fast.
const DECREASE_PERCENT: u64 = 70;

/// With no agreed rate, each second without an event adds this share of the pace that was last too fast…
const INCREASE_PERCENT: u64 = 10;

/// …until it is this many times that pace; then there is no limit again.
const FORGET_AT: u64 = 4;

const STEP_MS: u64 = 1_000;

/// With no agreed rate, the least pace that counts as too fast: one refusal on an idle link is not a measurement.
const PACE_MIN: u32 = 10;

/// Pace of one link. The limit inside is also its meter.
#[derive(Clone, Debug)]
pub struct FlowControl {
    agreed: Option<u32>,
    limit: SlidingLimit,
    /// The pace that was last too fast; `None`: no limit but the agreed one.
    ceiling: Option<u32>,
    next_step: Mono,
    pause_until: Mono,
    pauses: u32,
    eased_permille: u32,
    next_ease: Mono,
    prng: Prng,
}

/// Nothing to hold anybody back: the limit is only a meter.
const UNLIMITED: u32 = u32::MAX;

impl FlowControl {
    /// At the agreed rate, or at none.
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

    /// Another rate was agreed.
    pub fn set_agreed(&mut self, agreed: Option<u32>) {
        if self.agreed != agreed {
            self.agreed = agreed;
            self.ceiling = None;
            self.limit.set_rate(agreed.unwrap_or(UNLIMITED));
        }
    }

    /// Whether its limit keeps what it promises.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check(&self) -> Sound {
        self.limit.check()
    }

    /// Whether parts are counted against a limit at present.
    pub const fn is_limited(&self) -> bool {
        self.agreed.is_some() || self.ceiling.is_some()
    }

    /// Parts per second allowed at present.
    pub const fn allowed(&self) -> Option<u32> {
        if self.is_limited() { Some(self.limit.rate()) } else { None }
    }

    /// When the pause ends, if there is one at `now`.
    pub fn paused_until(&self, now: Mono) -> Option<Mono> {
        (now < self.pause_until).then_some(self.pause_until)
    }

    /// How many parts may leave.
    pub fn allowance(&mut self, now: Mono) -> u32 {
        self.recover(now);
        if now < self.pause_until { 0 } else { self.limit.allowance(now) }
    }

    /// Takes `parts`, all or none.
    pub fn take(&mut self, parts: u32, now: Mono) -> bool {
        parts == 0 || now >= self.pause_until && self.limit.take(parts, now)
    }

    /// When at least one part may leave.
    pub fn next_at(&mut self, now: Mono) -> Mono {
        self.limit.next_at(now).max(self.pause_until)
    }

    /// When `parts` may leave at once, if none leaves before; `None` if so many never may.
    pub fn next_for(&self, parts: u32, now: Mono) -> Option<Mono> {
        Some(self.limit.next_for(parts, now)?.max(self.pause_until))
    }

    /// Parts that left within the last second.
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
            // What is refused after a pause, with nothing taken in between, is no measurement: hardly anything was sent.
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
        // Nobody found it too fast.
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

/// At least 1.
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

    /// Field P1: an agreed rate that is throttled again and again goes a little below itself, and finds the way back.
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

    /// Field P3: four seconds in which the carrier took nothing cost half a minute.
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
