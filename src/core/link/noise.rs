//! How much a peer says that means nothing: enquire_link without end, unknown commands, answers to nothing, what cannot be
//! read. Knows one level for one session; refuses to know PDUs.
//!
//! A bucket that leaks: each such PDU adds one, each second takes some away, and so does each PDU of traffic, for a carrier
//! that answers everything twice does its work all the same. Who fills it costs CPU and brings nothing: his session is
//! ended, and the pause before the next one grows.

use crate::model::Mono;

/// PDUs without meaning until a session is ended.
pub const NOISE_MAX: u32 = 10_000;

/// Forgiven with each second: far more than anybody asks whether we live.
const FORGIVEN_PER_S: u64 = 100;

/// Forgiven with each PDU of traffic.
const FORGIVEN_PER_PDU: u32 = 4;

const SECOND_NS: u64 = 1_000_000_000;

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    level: u32,
    since: Mono,
}

impl Noise {
    /// A PDU that means something.
    pub const fn handle_traffic(&mut self) {
        self.level = self.level.saturating_sub(FORGIVEN_PER_PDU);
    }

    /// One that does not. True if it is one too many.
    pub fn handle_noise(&mut self, now: Mono) -> bool {
        let seconds = now.since(self.since) / SECOND_NS;
        if seconds > 0 {
            let forgiven = u32::try_from(seconds.saturating_mul(FORGIVEN_PER_S)).unwrap_or(u32::MAX);
            self.level = self.level.saturating_sub(forgiven);
            self.since = self.since.after_ns(seconds.saturating_mul(SECOND_NS));
        }
        self.level = self.level.saturating_add(1);
        self.level > NOISE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_too_much() {
        let mut noise = Noise::default();
        let now = Mono(7 * SECOND_NS);
        assert_eq!((0..=NOISE_MAX).filter(|_| noise.handle_noise(now)).count(), 1);
    }

    #[test]
    fn what_time_forgives_goes_on_for_ever() {
        let mut noise = Noise::default();
        for tenth in 0..100_000 {
            let now = Mono(tenth * SECOND_NS / 10);
            assert!((0..FORGIVEN_PER_S / 10).all(|_| !noise.handle_noise(now)), "{tenth}");
        }
    }

    #[test]
    fn a_carrier_that_answers_everything_twice_does_its_work() {
        let mut noise = Noise::default();
        for _ in 0..10 * NOISE_MAX {
            noise.handle_traffic();
            assert!(!noise.handle_noise(Mono(1)));
        }
    }
}
