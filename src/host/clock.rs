//! The one place where the process reads its clocks. Everything below is handed a [`Now`], taken once per turn, so
//! that a decision sees one instant and a simulator can be the clock instead.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stentor_core::model::{Mono, Now, Wall};

/// Both hands of the clock with a common origin; copies, on any thread, agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts the monotonic hand. Made once, when the process starts.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Both hands. `mono` is CLOCK_MONOTONIC: it does not jump, and stands still while the machine is suspended.
    /// `wall` before 1970 reads as 0.
    pub fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }

    /// The monotonic hand alone.
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
