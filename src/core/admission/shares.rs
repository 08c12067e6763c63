//! What tenants may take of a shared resource: places in the queue, fingerprints, bytes of memory, connections. Holds
//! the one rule for all of them and the counts that it reads; only the caller knows what a unit is.
//!
//! The rule: a tenant over its share is refused only in the last tenth of the total; a tenant under its share is
//! refused only when nothing is left. So no tenant is held back while there is plenty, and the last tenth is for
//! tenants that have had less than their share. A share is the total × the tenant's weight / the sum of the weights.
//!
//! Invariants:
//! 1. [`Shares::used`] is the sum of what each tenant uses.
//! 2. Memory holds the tenants that have a weight and those that still use something: a removed tenant stays until it
//!    has given everything back.

use crate::model::invariant::WALKED_MAX;
use crate::model::{Sound, TenantId, holds};

/// The limit that a tenant would exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// The total: nothing is left for any tenant.
    #[default]
    Total,
    /// Its share: what is left is kept for tenants that have less than theirs.
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    tenant: TenantId,
    weight: u32,
    share: u64,
    used: u64,
}

/// The counts of one resource by tenant; see the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    total: u64,
    used: u64,
    /// Whether there are tenants. Without tenants, everything may be taken by any caller.
    shared: bool,
    /// Ascending by tenant.
    accounts: Vec<Share>,
}

impl Shares {
    /// A resource of `total` units without tenants: any caller may take every unit.
    pub fn new(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// Shares the total by `weights` from now on; with no weights it is not shared. What is in use stays in use, even
    /// for tenants without a weight.
    pub fn share_out(&mut self, total: u64, weights: &[(TenantId, u32)]) {
        (self.total, self.shared) = (total, !weights.is_empty());
        for account in &mut self.accounts {
            account.weight = 0;
        }
        for &(tenant, weight) in weights {
            let account = self.account(tenant);
            account.weight = account.weight.saturating_add(weight);
        }
        let sum: u64 = self.accounts.iter().map(|account| u64::from(account.weight)).sum();
        for account in &mut self.accounts {
            account.share = portion(total, account.weight, sum);
        }
        self.accounts.retain(|account| account.weight > 0 || account.used > 0);
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        if self.accounts.len() > WALKED_MAX {
            return Ok(());
        }
        let sum: u64 = self.accounts.iter().map(|account| account.used).sum();
        holds!(1, sum == self.used, "tenants use {sum}, counted are {}", self.used);
        let idle = self.accounts.iter().find(|account| account.weight == 0 && account.used == 0);
        holds!(2, idle.is_none(), "{idle:?} has no weight and uses nothing");
        let is_once = self.accounts.is_sorted_by(|a, b| a.tenant < b.tenant);
        holds!(2, is_once, "a tenant is remembered twice: {:?}", self.accounts);
        Ok(())
    }

    /// The total, in units.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Units in use.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Units that a tenant uses.
    pub fn used_by(&self, tenant: TenantId) -> u64 {
        self.find(tenant).map_or(0, |at| self.accounts[at].used)
    }

    /// Units that a tenant may have in any case, as long as any are left; 0 for a tenant that is not (or no longer)
    /// known.
    pub fn share_of(&self, tenant: TenantId) -> u64 {
        if !self.shared {
            return self.total;
        }
        self.find(tenant).map_or(0, |at| self.accounts[at].share)
    }

    /// Every tenant that uses something, and how many units.
    pub fn iter(&self) -> impl Iterator<Item = (TenantId, u64)> + '_ {
        self.accounts.iter().filter(|account| account.used > 0).map(|account| (account.tenant, account.used))
    }

    /// How many units a tenant may take now, and which limit it exceeds if it takes more.
    pub fn room(&self, tenant: TenantId) -> (u64, Over) {
        let left = self.total.saturating_sub(self.used);
        let open = (self.total - self.total / LAST).saturating_sub(self.used);
        let own = self.share_of(tenant).saturating_sub(self.used_by(tenant));
        let room = own.max(open).min(left);
        (room, if room < left { Over::Share } else { Over::Total })
    }

    /// Whether a tenant may take that many units now.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub fn may_take(&self, tenant: TenantId, units: u64) -> Result<(), Over> {
        let (room, over) = self.room(tenant);
        if units <= room { Ok(()) } else { Err(over) }
    }

    /// Records that a tenant has taken units. It does not check the limits, [`Self::may_take`] does; what was promised
    /// already, or is found at a start, is recorded however little is left.
    pub fn take(&mut self, tenant: TenantId, units: u64) {
        if units == 0 {
            return;
        }
        self.account(tenant).used += units;
        self.used += units;
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
    }

    /// Records that a tenant gives back units that it took. At most as many as it has are taken off: for a damaged
    /// segment, whose messages have no known tenant, [`super::places`] takes the excess off some tenant, and the messages
    /// of that tenant end later all the same.
    pub fn give_back(&mut self, tenant: TenantId, units: u64) {
        let Some(at) = self.find(tenant) else { return };
        let account = &mut self.accounts[at];
        let units = units.min(account.used);
        account.used -= units;
        self.used -= units;
        if account.used == 0 && account.weight == 0 {
            self.accounts.remove(at);
        }
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
    }

    fn find(&self, tenant: TenantId) -> Option<usize> {
        self.accounts.binary_search_by_key(&tenant, |account| account.tenant).ok()
    }

    fn account(&mut self, tenant: TenantId) -> &mut Share {
        let at = self.accounts.binary_search_by_key(&tenant, |account| account.tenant).unwrap_or_else(|at| {
            self.accounts.insert(at, Share { tenant, weight: 0, share: 0, used: 0 });
            at
        });
        &mut self.accounts[at]
    }
}

/// One part in this many of the total is kept for tenants under their share.
const LAST: u64 = 10;

fn portion(total: u64, weight: u32, sum: u64) -> u64 {
    let portion = u128::from(total) * u128::from(weight) / u128::from(sum.max(1));
    u64::try_from(portion).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prng;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);
    const C: TenantId = TenantId(3);

    fn shares(total: u64, weights: &[(TenantId, u32)]) -> Shares {
        let mut shares = Shares::new(total);
        shares.share_out(total, weights);
        shares
    }

    #[test]
    fn over_its_share_a_tenant_stops_at_the_last_tenth_which_is_for_those_under_theirs() {
        let mut shares = shares(1_000, &[(A, 1), (B, 1)]);
        assert_eq!(shares.room(A), (900, Over::Share), "no tenant is held back while there is plenty");
        shares.take(A, 900);
        assert_eq!((shares.may_take(A, 1), shares.room(B)), (Err(Over::Share), (100, Over::Total)));
        shares.take(B, 100);
        assert_eq!([A, B].map(|tenant| shares.may_take(tenant, 1)), [Err(Over::Total); 2], "nothing is left");
        shares.give_back(A, 200);
        assert_eq!(shares.room(A), (100, Over::Share));
        assert_eq!(shares.room(B), (200, Over::Total), "up to its share, all that is left");
        shares.take(B, 200);
        assert_eq!(shares.share_of(B) - shares.used_by(B), 200);
    }

    fn broken(shares: &Shares) -> Option<u8> {
        shares.check().err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let mut shares = shares(10, &[(A, 1), (B, 1)]);
        shares.take(A, 2);
        shares.accounts[0].used += 1;
        assert_eq!(broken(&shares), Some(1));
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        let mut shares = shares(10, &[(A, 1), (B, 1)]);
        // As if the check for what a tenant without a weight still uses were missing.
        shares.accounts[0].weight = 0;
        assert_eq!(broken(&shares), Some(2));
        shares.accounts[0] = shares.accounts[1];
        assert_eq!(broken(&shares), Some(2));
    }

    #[test]
    fn nothing_is_remembered_of_who_takes_nothing() {
        let mut shares = shares(10, &[(A, 1)]);
        shares.take(C, 0);
        assert_eq!(shares.accounts.len(), 1);
    }

    #[test]
    fn weights_say_how_large_a_share_is() {
        let mut shares = shares(1_000, &[(A, 1), (B, 4)]);
        assert_eq!([A, B, C].map(|tenant| shares.share_of(tenant)), [200, 800, 0]);
        shares.take(A, 200);
        shares.take(B, 700);
        assert_eq!((shares.room(A), shares.room(B)), ((0, Over::Share), (100, Over::Total)));
        shares.share_out(1_000, &[(A, 4), (B, 1)]);
        assert_eq!((shares.room(A), shares.room(B)), ((100, Over::Total), (0, Over::Share)));
        assert_eq!((shares.used(), shares.used_by(A)), (900, 200), "what is in use stays so");
    }

    #[test]
    fn without_tenants_and_with_a_single_one_everything_is_for_everybody() {
        for weights in [&[][..], &[(A, 7)]] {
            let mut shares = shares(10, weights);
            assert_eq!((shares.share_of(A), shares.room(A)), (10, (10, Over::Total)));
            shares.take(A, 10);
            assert_eq!(shares.may_take(A, 1), Err(Over::Total));
        }
        let mut shares = Shares::new(u64::MAX);
        shares.take(TenantId(0), 1);
        assert_eq!(shares.may_take(TenantId(0), u64::MAX - 1), Ok(()));
    }

    #[test]
    fn a_tenant_that_is_removed_counts_until_it_has_given_everything_back_and_is_forgotten_then() {
        let mut shares = shares(100, &[(A, 1), (B, 1)]);
        shares.take(A, 60);
        shares.share_out(100, &[(B, 1), (C, 1)]);
        assert_eq!((shares.used_by(A), shares.share_of(A), shares.share_of(C)), (60, 0, 50));
        assert_eq!((shares.room(B), shares.room(A)), ((40, Over::Total), (30, Over::Share)));
        shares.give_back(A, 60);
        assert_eq!((shares.used(), shares.accounts.len(), shares.iter().count()), (0, 2, 0));
        shares.take(A, 1);
        assert_eq!(shares.used_by(A), 1, "and may come back, as from a restored backup");
    }

    #[test]
    fn what_was_not_taken_is_not_given_back() {
        let mut shares = shares(10, &[(A, 1), (B, 1)]);
        shares.take(A, 2);
        shares.give_back(A, 5);
        shares.give_back(B, 5);
        shares.give_back(C, 5);
        assert_eq!((shares.used(), shares.used_by(A)), (0, 0));
    }

    /// The rule as the top of the file states it, checked over many states.
    #[test]
    fn the_rule_holds_whatever_happened_before() {
        let mut prng = Prng::new(9);
        for _ in 0..200 {
            let total = prng.between(1, 200);
            let weights: Vec<_> = (1..=prng.between(1, 4) as u32).map(|at| (TenantId(at), 1 + at % 3)).collect();
            let mut shares = shares(total, &weights);
            for _ in 0..400 {
                let tenant = TenantId(prng.between(1, 5) as u32);
                let (used, share) = (shares.used_by(tenant), shares.share_of(tenant));
                match shares.may_take(tenant, 1) {
                    Ok(()) if prng.chance(700_000) => shares.take(tenant, 1),
                    Ok(()) => shares.give_back(tenant, prng.between(0, 9)),
                    Err(Over::Total) => assert!(shares.used() >= total),
                    Err(Over::Share) => {
                        assert!(used >= share, "refused at {used} of {share}");
                        assert!(shares.used() >= total - total / 10 && shares.used() < total);
                        shares.give_back(TenantId(prng.between(1, 5) as u32), prng.between(0, 20));
                    }
                }
                assert_eq!(shares.used(), shares.iter().map(|(_, used)| used).sum::<u64>());
            }
        }
    }
}
