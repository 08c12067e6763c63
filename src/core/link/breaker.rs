//! Stops sending when a carrier refuses everything for reasons that no message has: the account, or our own PDUs.
//!
//! Knows runs of such refusals and when to try one message again. Refuses to know statuses. Refusals that concern a
//! message, or the pace, leave a run as it is; as the answer to a probe they show that the account is served again.

use crate::model::Mono;

/// Such refusals in a row that open it.
pub const REFUSALS_MAX: u32 = 10;

/// Pause before the first probe, ms; doubles with each that fails.
const PAUSE_MIN_MS: u64 = 30_000;

/// Longest pause, ms.
const PAUSE_MAX_MS: u64 = 600_000;

/// Where it stands; each state is named by what it lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    #[default]
    Closed,
    /// Nothing passes before that instant.
    Open {
        /// When one message may try.
        until: Mono,
    },
    /// One message at a time passes.
    HalfOpen,
}

/// What a change of state means for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerTurn {
    /// Stop sending; hand back what is held.
    Opened,
    /// Send again.
    Closed,
}

/// One per link.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: BreakerState,
    refusals: u32,
    pauses: u32,
}

impl Breaker {
    /// Where it stands.
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// How many submits may be without an answer now.
    pub const fn in_flight_max(&self) -> u32 {
        match self.state {
            BreakerState::Closed => u32::MAX,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 0,
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub const fn poll_timeout(&self) -> Option<Mono> {
        match self.state {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    /// The pause may be over. True if the state changed.
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

    /// A submit was refused for a reason of its own.
    pub fn handle_other(&mut self) -> Option<BreakerTurn> {
        match self.state {
            BreakerState::Closed | BreakerState::Open { .. } => None,
            BreakerState::HalfOpen => self.handle_accepted(),
        }
    }

    /// A submit was refused because of the account or of our coding.
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

    /// The operator says that the cause is gone.
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
