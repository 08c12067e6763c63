//! The window of idempotency fingerprints: exact, bounded, never silently shorter. When it is full, keyed messages are
//! refused by name until the oldest fingerprint is old enough to go.
//!
//! A ring of entries in the order of arrival and a table of indices into it: 45 to 50 bytes an entry.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::model::{Address, KeyPrint, Wall};

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is recorded now.
    New,
    /// The same content was taken under this address, then.
    Same(Address, Wall),
    /// Another content was taken under this key.
    Other,
    /// Nothing is known of it, and nothing can be remembered.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Two halves rather than a u128, whose alignment would cost 8 bytes.
    key: (u64, u64),
    content: u64,
    address: Address,
    at: Wall,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct KeyWindow {
    ring: VecDeque<Entry>,
    /// Entries that left the ring at its front: index + `gone` = number.
    gone: u32,
    table: HashTable<u32>,
    keys_max: usize,
    window_ms: u64,
}

impl KeyWindow {
    /// An empty window of at most `keys_max` fingerprints, each kept for at least `window_ms`.
    pub fn new(keys_max: usize, window_ms: u64) -> Self {
        Self { ring: VecDeque::new(), gone: 0, table: HashTable::new(), keys_max, window_ms }
    }

    /// Fingerprints in it.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Asks for a key and, if it is new, records it under `address`.
    pub fn claim(&mut self, print: KeyPrint, address: Address, now: Wall) -> Seen {
        if let Some(seen) = self.look(print, now) {
            return seen;
        }
        if self.ring.len() >= self.keys_max {
            return Seen::Full;
        }
        self.restore(print, address, now);
        Seen::New
    }

    /// What is known of a key, without recording it.
    pub fn look(&mut self, print: KeyPrint, now: Wall) -> Option<Seen> {
        self.expire(now);
        let entry = self.find(halves(print.key))?;
        Some(if entry.content == print.content { Seen::Same(entry.address, entry.at) } else { Seen::Other })
    }

    /// Puts back what a commit recorded at `at`; in the order of commits.
    pub fn restore(&mut self, print: KeyPrint, address: Address, at: Wall) {
        let number = self.gone.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Entry { key: halves(print.key), content: print.content, address, at });
        let (ring, gone) = (&self.ring, self.gone);
        self.table.insert_unique(hash(halves(print.key)), number, |number| rehash(ring, gone, *number));
    }

    fn find(&self, key: (u64, u64)) -> Option<Entry> {
        let entry = |number: u32| self.ring.get(number.wrapping_sub(self.gone) as usize);
        let number = self.table.find(hash(key), |number| entry(*number).is_some_and(|entry| entry.key == key))?;
        entry(*number).copied()
    }

    fn expire(&mut self, now: Wall) {
        let horizon = now.0.saturating_sub(self.window_ms);
        while let Some(front) = self.ring.front()
            && front.at.0 < horizon
        {
            let (key, number) = (front.key, self.gone);
            if let Ok(found) = self.table.find_entry(hash(key), |candidate| *candidate == number) {
                found.remove();
            }
            self.ring.pop_front();
            self.gone = self.gone.wrapping_add(1);
        }
    }
}

/// The key is a keyed hash already: any half of it is uniform.
const fn hash(key: (u64, u64)) -> u64 {
    key.1
}

const fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

fn rehash(ring: &VecDeque<Entry>, gone: u32, number: u32) -> u64 {
    ring.get(number.wrapping_sub(gone) as usize).map_or(0, |entry| hash(entry.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(key: u64, content: u64) -> KeyPrint {
        KeyPrint { key: u128::from(key) << 64 | u128::from(crate::model::prng::mix(key)), content }
    }

    #[test]
    fn knows_the_same_and_the_other() {
        let mut window = KeyWindow::new(10, 86_400_000);
        let (first, second) = (Address::new(1, 1), Address::new(2, 2));
        assert_eq!(window.claim(print(1, 5), first, Wall(0)), Seen::New);
        assert_eq!(window.claim(print(1, 5), second, Wall(1)), Seen::Same(first, Wall(0)));
        assert_eq!(window.claim(print(1, 6), second, Wall(1)), Seen::Other);
        assert_eq!(window.claim(print(2, 6), second, Wall(1)), Seen::New);
    }

    #[test]
    fn says_full_rather_than_forget() {
        let mut window = KeyWindow::new(2, 10_000);
        for key in 0..2 {
            assert_eq!(window.claim(print(key, 0), Address::new(1, 0), Wall(1_000)), Seen::New);
        }
        assert_eq!(window.claim(print(9, 0), Address::new(1, 0), Wall(11_000)), Seen::Full);
        assert_eq!(
            window.claim(print(0, 0), Address::new(1, 0), Wall(11_000)),
            Seen::Same(Address::new(1, 0), Wall(1_000))
        );
        assert_eq!(window.claim(print(9, 0), Address::new(1, 0), Wall(11_001)), Seen::New);
    }

    #[test]
    fn agrees_with_a_plain_map_over_many_keys() {
        let mut window = KeyWindow::new(1_000, 100_000);
        let mut model = std::collections::BTreeMap::new();
        let mut prng = crate::model::Prng::new(3);
        for step in 0..20_000_u64 {
            let (key, now) = (prng.below(3_000), Wall(step * 100));
            model.retain(|_, at: &mut u64| *at >= now.0.saturating_sub(100_000));
            let expected = match model.get(&key) {
                Some(at) => Seen::Same(Address::new(key, 0), Wall(*at)),
                None if model.len() >= 1_000 => Seen::Full,
                None => {
                    model.insert(key, now.0);
                    Seen::New
                }
            };
            assert_eq!(window.claim(print(key, key), Address::new(key, 0), now), expected, "step {step}");
        }
    }
}
