//! A circuit breaker: stops sending when a carrier refuses every submit because of the account or the coding of our PDUs.
//!
//! Knows runs of such refusals, and when to try one message as a probe. Refuses to know statuses. Refusals because of the
//! message itself, or of the rate, do not change a run; as the answer to a probe they show that the account works again.

use crate::model::Mono;

/// Number of such refusals in a row that opens the breaker.
pub const REFUSALS_MAX: u32 = 10;

/// Pause before the first probe, ms; doubles with each that fails.
const PAUSE_MIN_MS: u64 = 30_000;

/// Longest pause, ms.
const PAUSE_MAX_MS: u64 = 600_000;

/// The state of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    #[default]
    Closed,
    /// Nothing passes before this time; then one message is sent as a probe.
    Open { until: Mono },
    /// One message at a time passes, as a probe.
    HalfOpen,
}

/// A change of state that the link must react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerTurn {
    /// Stop sending, and give back the held messages.
    Opened,
    /// Send again.
    Closed,
}

/// The breaker of one link.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: BreakerState,
    /// Refusals in a row.
    refusals: u32,
    /// Pauses since the breaker was last closed.
    pauses: u32,
}

impl Breaker {
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// How many submits may be unanswered now.
    pub const fn in_flight_max(&self) -> u32 {
        match self.state {
            BreakerState::Closed => u32::MAX,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 0,
        }
    }

    /// When [`Self::handle_timeout`] must be called.
    pub const fn poll_timeout(&self) -> Option<Mono> {
        match self.state {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    /// Lets a probe through if the pause is over. True if the state changed.
    pub fn handle_timeout(&mut self, now: Mono) -> bool {
        let over = self.poll_timeout().is_some_and(|until| now >= until);
        if over {
            self.state = BreakerState::HalfOpen;
        }
        over
    }

    /// A submit was accepted.
    pub fn handle_accepted(&mut self) -> Option<BreakerTurn> {
        self.refusals = 0;
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { .. } | BreakerState::HalfOpen => {
                *self = Self::default();
                Some(BreakerTurn::Closed)
            }
        }
    }

    /// A submit was refused because of the message itself or the rate.
    pub fn handle_other(&mut self) -> Option<BreakerTurn> {
        match self.state {
            BreakerState::Closed | BreakerState::Open { .. } => None,
            BreakerState::HalfOpen => self.handle_accepted(),
        }
    }

    /// A submit was refused because of the account or our coding.
    pub fn handle_refused(&mut self, now: Mono) -> Option<BreakerTurn> {
        self.refusals = self.refusals.saturating_add(1);
        match self.state {
            BreakerState::Open { .. } => None,
            BreakerState::Closed if self.refusals < REFUSALS_MAX => None,
            BreakerState::Closed | BreakerState::HalfOpen => {
                let pause_ms = (PAUSE_MIN_MS << self.pauses.min(16)).min(PAUSE_MAX_MS);
                self.pauses += 1;
                self.state = BreakerState::Open { until: now.after_ms(pause_ms) };
                Some(BreakerTurn::Opened)
            }
        }
    }

    /// Closes the breaker: the operator says that the cause is gone.
    pub fn reset(&mut self) -> Option<BreakerTurn> {
        let was = std::mem::take(self).state;
        (was != BreakerState::Closed).then_some(BreakerTurn::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_a_run_probes_with_one_and_closes() {
        let mut breaker = Breaker::default();
        for _ in 1..REFUSALS_MAX {
            assert_eq!(breaker.handle_refused(Mono(0)), None);
        }
        assert_eq!(breaker.handle_accepted(), None, "a run must be unbroken");
        for _ in 1..REFUSALS_MAX {
            assert_eq!(breaker.handle_refused(Mono(0)), None);
        }
        assert_eq!(breaker.handle_refused(Mono(0)), Some(BreakerTurn::Opened));
        assert_eq!((breaker.in_flight_max(), breaker.poll_timeout()), (0, Some(Mono(0).after_ms(30_000))));
        assert!(!breaker.handle_timeout(Mono(0).after_ms(29_999)));
        assert!(breaker.handle_timeout(Mono(0).after_ms(30_000)));
        assert_eq!(breaker.in_flight_max(), 1);
        assert_eq!(breaker.handle_refused(Mono(0).after_ms(31_000)), Some(BreakerTurn::Opened), "the probe failed");
        assert_eq!(breaker.poll_timeout(), Some(Mono(0).after_ms(91_000)), "twice as long");
        assert_eq!(breaker.handle_accepted(), Some(BreakerTurn::Closed));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.reset(), None);
    }
}
