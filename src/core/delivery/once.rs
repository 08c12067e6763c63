//! The list of messages that were recently in doubt, settled or not. Their carriers may have taken them under unknown ids, and
//! may still send the receipts.
//!
//! The list is bounded: the oldest message is forgotten first. While messages may have been forgotten, it is unknown whether a
//! message to a recipient is the only one.
//!
//! Invariant: both indexes hold the same messages, each once.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Address, Msisdn, Wall};

/// Messages that were recently in doubt.
#[derive(Clone, Debug)]
pub struct OnceInDoubt {
    since: BTreeMap<(Msisdn, Address), Wall>,
    by_age: BTreeSet<(Wall, Msisdn, Address)>,
    messages_max: usize,
}

impl OnceInDoubt {
    /// An empty list for at most `messages_max` messages.
    pub const fn new(messages_max: usize) -> Self {
        Self { since: BTreeMap::new(), by_age: BTreeSet::new(), messages_max }
    }

    /// Adds a message that is in doubt since `since`; updates the time if the message is in the list already.
    pub fn insert(&mut self, recipient: Msisdn, address: Address, since: Wall) {
        if let Some(before) = self.since.insert((recipient, address), since) {
            self.by_age.remove(&(before, recipient, address));
        }
        self.by_age.insert((since, recipient, address));
        while self.by_age.len() > self.messages_max {
            let Some((_, recipient, address)) = self.by_age.pop_first() else { return };
            self.since.remove(&(recipient, address));
        }
    }

    /// Whether older messages may have been forgotten to make room. The oldest message is always the first to go, so once a
    /// message has left by age ([`Self::expire`]), all that were forgotten before would have left by age as well.
    pub fn is_full(&self) -> bool {
        self.by_age.len() >= self.messages_max
    }

    /// The messages to one recipient.
    pub fn of(&self, recipient: Msisdn) -> impl Iterator<Item = Address> {
        let (first, last) = (Address::from_packed(0), Address::from_packed(u64::MAX));
        self.since.range((recipient, first)..=(recipient, last)).map(|((_, address), _)| *address)
    }

    /// All messages: recipient, message, since when.
    pub fn iter(&self) -> impl Iterator<Item = (Msisdn, Address, Wall)> {
        self.since.iter().map(|((recipient, address), since)| (*recipient, *address, *since))
    }

    /// Forgets the messages that were in doubt before `horizon`.
    pub fn expire(&mut self, horizon: Wall) {
        while let Some(&(since, recipient, address)) = self.by_age.first()
            && since < horizon
        {
            self.by_age.pop_first();
            self.since.remove(&(recipient, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_it_is_full_until_one_went_by_age() {
        let mut once = OnceInDoubt::new(2);
        let recipient = Msisdn::default();
        for slot in 1..=3 {
            once.insert(recipient, Address::new(1, slot), Wall(u64::from(slot)));
        }
        once.insert(recipient, Address::new(1, 2), Wall(9));
        let known = |once: &OnceInDoubt| once.iter().map(|(_, address, since)| (address.slot(), since.0)).collect();
        let known: Vec<(u16, u64)> = known(&once);
        assert_eq!((known, once.is_full()), (vec![(2, 9), (3, 3)], true));
        once.expire(Wall(3));
        assert!(once.is_full());
        once.expire(Wall(4));
        assert_eq!((once.is_full(), once.of(recipient).count(), once.by_age.len()), (false, 1, 1));
    }
}
