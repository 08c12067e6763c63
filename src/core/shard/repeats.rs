//! How often receipts said the same of a message: a carrier that delivers one again and again is answered, and its history
//! holds so much of it. A table of fixed size in which a newer message takes the place of an older one: what it forgets is
//! written down a few times more.

use std::fmt;

use crate::model::Address;
use crate::model::prng::mix;

/// Receipts of one message that change nothing and are written down all the same.
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
    /// One more receipt that changes nothing: whether it is written down.
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
