//! Counts noise, the PDUs of a peer that are of no use: endless `enquire_link`, unknown commands, answers without a request,
//! unreadable PDUs. Knows one level for one session; refuses to know PDUs.
//!
//! A leaky bucket: each such PDU adds one, each second takes some away, and so does each PDU of traffic, because a carrier
//! that answers everything twice still does its work. A peer that fills the bucket costs CPU and brings nothing: its session
//! is ended, and the pause before the next one grows.

use crate::model::Mono;

/// A session is ended when its level exceeds this number of PDUs.
pub const NOISE_MAX: u32 = 10_000;

/// Taken off the level each second: far more than any carrier's rate of `enquire_link`.
const FORGIVEN_PER_S: u64 = 100;

/// Taken off the level for each PDU of traffic.
const FORGIVEN_PER_PDU: u32 = 4;

const SECOND_NS: u64 = 1_000_000_000;

/// The noise level of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    level: u32,
    since: Mono,
}

impl Noise {
    /// A PDU of traffic came in.
    pub const fn handle_traffic(&mut self) {
        self.level = self.level.saturating_sub(FORGIVEN_PER_PDU);
    }

    /// A PDU of no use came in. True if the level is too high now.
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
