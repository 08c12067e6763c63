//! Counts how often receipts repeat the same of a message, so that a carrier that delivers one again and again is answered
//! without filling the message's history.
//!
//! A table of fixed size, in which a newer message may replace an older one. A message that was replaced gets a few notes more.

use std::fmt;

use crate::model::Address;
use crate::model::prng::mix;

/// Most receipts of one message that change nothing and are recorded all the same.
pub(super) const RECORDED_MAX: u16 = 64;

const PLACES: usize = 4_096;

pub(super) struct Repeats(Box<[(Address, u16)]>);

impl fmt::Debug for Repeats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Repeats").field("places", &self.0.len()).finish()
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self(vec![(Address::default(), 0); PLACES].into_boxed_slice())
    }
}

impl Repeats {
    /// Counts one more receipt that changes nothing. Returns whether it is recorded.
    pub(super) fn is_recorded(&mut self, address: Address) -> bool {
        let place = &mut self.0[mix(address.packed()) as usize % PLACES];
        if place.0 != address {
            *place = (address, 0);
        }
        place.1 = place.1.saturating_add(1);
        place.1 <= RECORDED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_message_are_written_down() {
        let mut repeats = Repeats::default();
        let written =
            |repeats: &mut Repeats, slot| (0..500).filter(|_| repeats.is_recorded(Address::new(1, slot))).count();
        assert_eq!([1, 2].map(|slot| written(&mut repeats, slot)), [usize::from(RECORDED_MAX); 2]);
        assert!(!repeats.is_recorded(Address::new(1, 2)));
    }
}
