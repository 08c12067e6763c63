//! The window of idempotency fingerprints: exact, bounded, and never silently shorter than promised. When it is full,
//! messages with a key are refused with a named reason until the oldest fingerprint has expired. Tenants have shares of
//! it ([`Shares`]).
//!
//! Ages are measured by a clock that does not jump: setting the wall clock a day ahead does not make the keys a day
//! old.
//!
//! Built from a ring of entries in the order of arrival and a table of indices into it: 45 to 50 bytes an entry.

use std::collections::VecDeque;

use crate::model::{Address, KeyPrint, Pieces, TenantId, Wall};

use super::shares::{Over, Shares};

/// What the window knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The key is not known; it is recorded now.
    New,
    /// The same content was taken under this address, at this time.
    Same(Address, Wall),
    /// Other content was taken under this key.
    Other,
    /// The key is not known, and the window is full.
    Full,
    /// The key is not known, and the tenant has used its share: what is left is kept for other tenants.
    ShareFull,
}

/// The time of a claim, by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, as in the message's id.
    pub wall: Wall,
    /// Clock for ages, ms: it runs at the pace of the wall clock, but does not jump with it.
    pub steady_ms: u64,
}

impl Moment {
    /// The moment when the wall clock shows `wall` and is `ahead_ms` ahead of the clock for ages.
    pub const fn of(wall: Wall, ahead_ms: i64) -> Self {
        Self { wall, steady_ms: wall.0.wrapping_sub(ahead_ms as u64) }
    }

    /// How far the wall clock is ahead of the clock for ages, ms.
    pub const fn ahead_ms(self) -> i64 {
        self.wall.0.wrapping_sub(self.steady_ms) as i64
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The 128 bits of the key as two halves: a u128 has an alignment that would cost 8 bytes.
    key: (u64, u64),
    content: u64,
    address: Address,
    /// Upper 48 bits: when it was claimed, by the clock for ages (ms). Lower 16 bits: the tenant's account.
    stamp: u64,
}

impl Entry {
    fn new(print: KeyPrint, tenant: TenantId, address: Address, at: Moment) -> Self {
        let stamp = at.steady_ms << TENANT_BITS | u64::from(account(tenant).0);
        Self { key: halves(print.key), content: print.content, address, stamp }
    }

    const fn steady_ms(&self) -> u64 {
        self.stamp >> TENANT_BITS
    }

    const fn tenant(&self) -> TenantId {
        TenantId((self.stamp & ((1 << TENANT_BITS) - 1)) as u32)
    }
}

const TENANT_BITS: u32 = 16;

/// The number under which a tenant's fingerprints are counted: tenants from 65,535 on share one count.
fn account(tenant: TenantId) -> TenantId {
    tenant.min(TenantId((1 << TENANT_BITS) - 1))
}

/// The fingerprints of one shard; see the top of this file.
#[derive(Clone, Debug)]
pub struct KeyWindow {
    ring: VecDeque<Entry>,
    /// Entries that have left the ring at its front: index in the ring + `gone` = number of the entry.
    gone: u32,
    table: Pieces<u32, 1024>,
    /// How far the wall clock was ahead (ms), from which entry number on: one more pair for each jump.
    ahead_ms: VecDeque<(u32, i64)>,
    shares: Shares,
    window_ms: u64,
}

impl KeyWindow {
    /// An empty window of at most `keys_max` fingerprints, each kept for at least `window_ms`.
    pub fn new(keys_max: usize, window_ms: u64) -> Self {
        let shares = Shares::new(keys_max as u64);
        Self { ring: VecDeque::new(), gone: 0, table: Pieces::default(), ahead_ms: VecDeque::new(), shares, window_ms }
    }

    /// Sets the tenants that share the window, by weight; with none, every tenant may use all of it.
    pub fn share_out(&mut self, weights: &[(TenantId, u32)]) {
        let weights: Vec<_> = weights.iter().map(|(tenant, weight)| (account(*tenant), *weight)).collect();
        self.shares.share_out(self.shares.total(), &weights);
    }

    /// How many fingerprints of a tenant are in the window.
    pub fn len_of(&self, tenant: TenantId) -> u64 {
        self.shares.used_by(account(tenant))
    }

    /// How many fingerprints are in the window.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether the window is empty.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Looks up a tenant's key and, if it is new, records it under `address`.
    pub fn claim(&mut self, print: KeyPrint, tenant: TenantId, address: Address, now: Moment) -> Seen {
        if let Some(seen) = self.look(print, now) {
            return seen;
        }
        match self.shares.may_take(account(tenant), 1) {
            Ok(()) => {
                self.recover(print, tenant, address, now);
                Seen::New
            }
            Err(Over::Total) => Seen::Full,
            Err(Over::Share) => Seen::ShareFull,
        }
    }

    /// Looks up a key without recording it; `None`: it is not known.
    pub fn look(&mut self, print: KeyPrint, now: Moment) -> Option<Seen> {
        self.expire(now);
        let (number, entry) = self.find(halves(print.key))?;
        Some(match entry.content == print.content {
            true => Seen::Same(entry.address, self.wall_of(number, &entry)),
            false => Seen::Other,
        })
    }

    /// Puts back a fingerprint that a commit recorded at `at`. To be called in the order of commits.
    pub fn recover(&mut self, print: KeyPrint, tenant: TenantId, address: Address, at: Moment) {
        let number = self.gone.wrapping_add(self.ring.len() as u32);
        if self.ahead_ms.back().is_none_or(|(_, known)| *known != at.ahead_ms()) {
            self.ahead_ms.push_back((number, at.ahead_ms()));
        }
        self.ring.push_back(Entry::new(print, tenant, address, at));
        self.shares.take(account(tenant), 1);
        let (ring, gone) = (&self.ring, self.gone);
        self.table.insert_unique(hash(halves(print.key)), number, |number| rehash(ring, gone, *number));
    }

    /// The wall clock's time at which the entry was claimed.
    fn wall_of(&self, number: u32, entry: &Entry) -> Wall {
        let index = |number: u32| number.wrapping_sub(self.gone) as i32;
        let later = self.ahead_ms.partition_point(|(from, _)| index(*from) <= index(number));
        let ahead_ms = later.checked_sub(1).and_then(|at| self.ahead_ms.get(at)).map_or(0, |(_, ahead_ms)| *ahead_ms);
        Wall(entry.steady_ms().wrapping_add_signed(ahead_ms))
    }

    fn find(&self, key: (u64, u64)) -> Option<(u32, Entry)> {
        let entry = |number: u32| self.ring.get(number.wrapping_sub(self.gone) as usize);
        let number = self.table.find(hash(key), |number| entry(*number).is_some_and(|entry| entry.key == key))?;
        Some((*number, *entry(*number)?))
    }

    fn expire(&mut self, now: Moment) {
        let horizon = now.steady_ms.saturating_sub(self.window_ms);
        while let Some(front) = self.ring.front()
            && front.steady_ms() < horizon
        {
            let (key, tenant, number) = (front.key, front.tenant(), self.gone);
            self.shares.give_back(tenant, 1);
            self.table.remove(hash(key), |candidate| *candidate == number);
            self.ring.pop_front();
            self.gone = self.gone.wrapping_add(1);
            if self.ahead_ms.get(1).is_some_and(|(from, _)| *from == self.gone) {
                self.ahead_ms.pop_front();
            }
            // Entry numbers wrap around. So the mark is kept near the front: one far behind would look like a later
            // number.
            if let Some((from, _)) = self.ahead_ms.front_mut() {
                *from = self.gone;
            }
        }
    }
}

/// The key is already a keyed hash: each half of it is uniform.
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

    /// A moment by a clock that has not jumped.
    fn at(wall: u64) -> Moment {
        Moment { wall: Wall(wall), steady_ms: wall }
    }

    fn print(key: u64, content: u64) -> KeyPrint {
        KeyPrint { key: u128::from(key) << 64 | u128::from(crate::model::prng::mix(key)), content }
    }

    #[test]
    fn knows_the_same_and_the_other() {
        let mut window = KeyWindow::new(10, 86_400_000);
        let (first, second) = (Address::new(1, 1), Address::new(2, 2));
        assert_eq!(window.claim(print(1, 5), A, first, at(0)), Seen::New);
        assert_eq!(window.claim(print(1, 5), A, second, at(1)), Seen::Same(first, Wall(0)));
        assert_eq!(window.claim(print(1, 6), A, second, at(1)), Seen::Other);
        assert_eq!(window.claim(print(2, 6), A, second, at(1)), Seen::New);
    }

    #[test]
    fn says_full_rather_than_forget() {
        let mut window = KeyWindow::new(2, 10_000);
        for key in 0..2 {
            assert_eq!(window.claim(print(key, 0), A, Address::new(1, 0), at(1_000)), Seen::New);
        }
        assert_eq!(window.claim(print(9, 0), A, Address::new(1, 0), at(11_000)), Seen::Full);
        assert_eq!(
            window.claim(print(0, 0), A, Address::new(1, 0), at(11_000)),
            Seen::Same(Address::new(1, 0), Wall(1_000))
        );
        assert_eq!(window.claim(print(9, 0), A, Address::new(1, 0), at(11_001)), Seen::New);
    }

    #[test]
    fn agrees_with_a_plain_map_over_many_keys() {
        let mut window = KeyWindow::new(1_000, 100_000);
        let mut model = std::collections::BTreeMap::new();
        let mut prng = crate::model::Prng::new(3);
        for step in 0..20_000_u64 {
            let (key, now) = (prng.below(3_000), at(step * 100));
            model.retain(|_, known: &mut u64| *known >= now.steady_ms.saturating_sub(100_000));
            let expected = match model.get(&key) {
                Some(known) => Seen::Same(Address::new(key, 0), Wall(*known)),
                None if model.len() >= 1_000 => Seen::Full,
                None => {
                    model.insert(key, now.steady_ms);
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
        let mut claim = |tenant, key, now| window.claim(print(key, 0), tenant, Address::new(key, 0), at(now));
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
            window.recover(print(key, 0), A, Address::new(1, 0), at(1));
        }
        let far = TenantId(1 << 20);
        assert_eq!(window.claim(print(3, 0), far, Address::new(1, 0), at(1)), Seen::New);
        assert_eq!(window.claim(print(4, 0), A, Address::new(1, 0), at(1)), Seen::Full);
        assert_eq!((window.len_of(A), window.len_of(far), window.len_of(TenantId(65_535))), (3, 1, 1));
        window.share_out(&[(A, 1), (far, 1)]);
        assert_eq!(window.claim(print(4, 0), A, Address::new(1, 0), at(10_002)), Seen::New);
    }

    /// Core B5: a clock that was set a day ahead made all keys old.
    #[test]
    fn a_jump_of_the_clock_makes_no_key_old_and_an_id_tells_the_clock_of_its_time() {
        let mut window = KeyWindow::new(100, 86_400_000);
        let day = 86_400_000;
        let walls = [2 * day + 1_000, 3 * day + 2_000, 3 * day + 3_000, day + 4_000];
        let mut steady = (1..).map(|second| second * 1_000);
        let moments = walls.map(|wall| Moment { wall: Wall(wall), steady_ms: steady.next().unwrap_or_default() });
        let mut claim = |key, at| window.claim(print(key, 0), A, Address::new(key, 0), at);
        for (key, at) in (1..).zip(moments) {
            assert_eq!(claim(key, at), Seen::New);
        }
        for (key, at) in (1..).zip(moments) {
            assert_eq!(claim(key, moments[3]), Seen::Same(Address::new(key, 0), at.wall), "{key}");
        }
        let later = |steady_ms| Moment { wall: Wall(7), steady_ms };
        assert_eq!(claim(1, later(day + 1_001)), Seen::New);
        assert_eq!(claim(2, later(day + 2_000)), Seen::Same(Address::new(2, 0), moments[1].wall));
        assert_eq!(claim(3, later(day + 3_000)), Seen::Same(Address::new(3, 0), moments[2].wall));
        assert_eq!(claim(4, later(day + 4_000)), Seen::Same(Address::new(4, 0), moments[3].wall));
        assert_eq!(window.ahead_ms.len(), 2, "those of what has gone have gone");
    }
}
