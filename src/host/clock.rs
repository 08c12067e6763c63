//! The only place where the process reads its clocks. All other code receives a [`Now`], taken once per turn, so that all
//! parts of a decision see the same instant, and a simulator can replace the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stentor_core::model::{Mono, Now, Wall};

/// A monotonic clock and the wall clock. Copies share one origin, so they agree with each other on all threads.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts the monotonic clock at 0. To be called once, when the process starts.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time of both clocks. `mono` is CLOCK_MONOTONIC: it never jumps, and does not run while the machine is suspended.
    /// A `wall` before 1970 is returned as 0.
    pub fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }

    /// The time of the monotonic clock alone.
    pub fn mono(self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_and_never_go_back() {
        let clock = Clock::start();
        let copy = clock;
        let (first, second, third) = (clock.mono(), copy.now(), clock.mono());
        assert!(first <= second.mono && second.mono <= third);
        assert!(second.wall > Wall(1_700_000_000_000));
    }
}
