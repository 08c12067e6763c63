//! The window of idempotency fingerprints: exact, bounded, never silently shorter. When it is full, keyed messages are
//! refused by name until the oldest fingerprint is old enough to go. Tenants have shares of it ([`Shares`]).
//!
//! A ring of entries in the order of arrival and a table of indices into it: 45 to 50 bytes an entry.

use std::collections::VecDeque;

use crate::model::{Address, KeyPrint, Pieces, TenantId, Wall};

use super::shares::{Over, Shares};

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
    /// Nothing is known of it, and nothing more can be remembered for this tenant: what is left is kept for others.
    ShareFull,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Two halves rather than a u128, whose alignment would cost 8 bytes.
    key: (u64, u64),
    content: u64,
    address: Address,
    /// When, in the upper 48 bits; whose, in the lower 16.
    stamp: u64,
}

impl Entry {
    fn new(print: KeyPrint, tenant: TenantId, address: Address, at: Wall) -> Self {
        let stamp = at.0 << TENANT_BITS | u64::from(account(tenant).0);
        Self { key: halves(print.key), content: print.content, address, stamp }
    }

    const fn at(&self) -> Wall {
        Wall(self.stamp >> TENANT_BITS)
    }

    const fn tenant(&self) -> TenantId {
        TenantId((self.stamp & ((1 << TENANT_BITS) - 1)) as u32)
    }
}

const TENANT_BITS: u32 = 16;

/// Under which number a tenant's fingerprints are counted: those from 65,535 on are counted together.
fn account(tenant: TenantId) -> TenantId {
    tenant.min(TenantId((1 << TENANT_BITS) - 1))
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct KeyWindow {
    ring: VecDeque<Entry>,
    /// Entries that left the ring at its front: index + `gone` = number.
    gone: u32,
    table: Pieces<u32, 1024>,
    shares: Shares,
    window_ms: u64,
}

impl KeyWindow {
    /// An empty window of at most `keys_max` fingerprints, each kept for at least `window_ms`.
    pub fn new(keys_max: usize, window_ms: u64) -> Self {
        let shares = Shares::new(keys_max as u64);
        Self { ring: VecDeque::new(), gone: 0, table: Pieces::default(), shares, window_ms }
    }

    /// The tenants that share it from now on, by weight; none: it is everybody's.
    pub fn share_out(&mut self, weights: &[(TenantId, u32)]) {
        let weights: Vec<_> = weights.iter().map(|(tenant, weight)| (account(*tenant), *weight)).collect();
        self.shares.share_out(self.shares.total(), &weights);
    }

    /// Fingerprints of a tenant in it.
    pub fn len_of(&self, tenant: TenantId) -> u64 {
        self.shares.used_by(account(tenant))
    }

    /// Fingerprints in it.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Asks for a tenant's key and, if it is new, records it under `address`.
    pub fn claim(&mut self, print: KeyPrint, tenant: TenantId, address: Address, now: Wall) -> Seen {
        if let Some(seen) = self.look(print, now) {
            return seen;
        }
        match self.shares.may_take(account(tenant), 1) {
            Ok(()) => {
                self.restore(print, tenant, address, now);
                Seen::New
            }
            Err(Over::Total) => Seen::Full,
            Err(Over::Share) => Seen::ShareFull,
        }
    }

    /// What is known of a key, without recording it.
    pub fn look(&mut self, print: KeyPrint, now: Wall) -> Option<Seen> {
        self.expire(now);
        let entry = self.find(halves(print.key))?;
        Some(if entry.content == print.content { Seen::Same(entry.address, entry.at()) } else { Seen::Other })
    }

    /// Puts back what a commit recorded at `at`; in the order of commits.
    pub fn restore(&mut self, print: KeyPrint, tenant: TenantId, address: Address, at: Wall) {
        let number = self.gone.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Entry::new(print, tenant, address, at));
        self.shares.take(account(tenant), 1);
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
            && front.at().0 < horizon
        {
            let (key, tenant, number) = (front.key, front.tenant(), self.gone);
            self.shares.give_back(tenant, 1);
            self.table.remove(hash(key), |candidate| *candidate == number);
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

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn print(key: u64, content: u64) -> KeyPrint {
        KeyPrint { key: u128::from(key) << 64 | u128::from(crate::model::prng::mix(key)), content }
    }

    #[test]
    fn knows_the_same_and_the_other() {
        let mut window = KeyWindow::new(10, 86_400_000);
        let (first, second) = (Address::new(1, 1), Address::new(2, 2));
        assert_eq!(window.claim(print(1, 5), A, first, Wall(0)), Seen::New);
        assert_eq!(window.claim(print(1, 5), A, second, Wall(1)), Seen::Same(first, Wall(0)));
        assert_eq!(window.claim(print(1, 6), A, second, Wall(1)), Seen::Other);
        assert_eq!(window.claim(print(2, 6), A, second, Wall(1)), Seen::New);
    }

    #[test]
    fn says_full_rather_than_forget() {
        let mut window = KeyWindow::new(2, 10_000);
        for key in 0..2 {
            assert_eq!(window.claim(print(key, 0), A, Address::new(1, 0), Wall(1_000)), Seen::New);
        }
        assert_eq!(window.claim(print(9, 0), A, Address::new(1, 0), Wall(11_000)), Seen::Full);
        assert_eq!(
            window.claim(print(0, 0), A, Address::new(1, 0), Wall(11_000)),
            Seen::Same(Address::new(1, 0), Wall(1_000))
        );
        assert_eq!(window.claim(print(9, 0), A, Address::new(1, 0), Wall(11_001)), Seen::New);
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
            assert_eq!(window.claim(print(key, key), A, Address::new(key, 0), now), expected, "step {step}");
        }
    }

    #[test]
    fn a_tenant_that_fills_the_window_leaves_the_last_tenth_to_the_others() {
        let mut window = KeyWindow::new(100, 10_000);
        window.share_out(&[(A, 1), (B, 1)]);
        let mut claim = |tenant, key, now| window.claim(print(key, 0), tenant, Address::new(key, 0), Wall(now));
        let seen: Vec<_> = (0..120).map(|key| claim(A, key, 1_000)).collect();
        assert_eq!((seen[89], seen[90], seen[119]), (Seen::New, Seen::ShareFull, Seen::ShareFull));
        assert_eq!(claim(A, 5, 1_000), Seen::Same(Address::new(5, 0), Wall(1_000)), "what is known is known");
        assert!((1_000..1_010).all(|key| claim(B, key, 2_000) == Seen::New));
        assert_eq!((claim(B, 1_010, 2_000), claim(A, 200, 2_000)), (Seen::Full, Seen::Full));
        assert_eq!(claim(A, 200, 11_001), Seen::New, "the old ones of A have gone");
        assert_eq!((window.len_of(A), window.len_of(B), window.len()), (1, 10, 11));
    }

    #[test]
    fn without_tenants_the_window_is_everybodys_and_what_is_found_at_a_start_counts() {
        let mut window = KeyWindow::new(4, 10_000);
        for key in 0..3 {
            window.restore(print(key, 0), A, Address::new(1, 0), Wall(1));
        }
        let far = TenantId(1 << 20);
        assert_eq!(window.claim(print(3, 0), far, Address::new(1, 0), Wall(1)), Seen::New);
        assert_eq!(window.claim(print(4, 0), A, Address::new(1, 0), Wall(1)), Seen::Full);
        assert_eq!((window.len_of(A), window.len_of(far), window.len_of(TenantId(65_535))), (3, 1, 1));
        window.share_out(&[(A, 1), (far, 1)]);
        assert_eq!(window.claim(print(4, 0), A, Address::new(1, 0), Wall(10_002)), Seen::New);
    }
}
