//! Whose messages wait: places in the shard's queue by tenant, so that each keeps its share ([`Shares`]).
//!
//! A message has a place from its admission, or from coming back, until it is taken from its list or is cancelled or expires
//! in it; one that is cancelled in the delay queue, until its time has come. Everything that makes a message wait calls
//! [`Places::enter`], everything that ends its waiting [`Places::leave`]; beside them only [`Places::heal`] changes a count. How
//! much waits in all is counted by the queue itself, and told to [`Places::room`]: what belongs to no tenant (waits of the
//! ledger, what was there before there were tenants) is the rest.
//!
//! The counts are durable with the commit that changes them ([`Places::take_changed`]): a start finds them as they were.

use crate::model::TenantId;

use super::shares::{Over, Shares};

/// Of whom no share is kept.
const NOBODY: TenantId = TenantId(0);

/// Entries in lists, also of what has ended, for each message that may wait.
const ENTRIES_PER_PLACE_MAX: u64 = 16;

/// See the head of this file.
#[derive(Debug)]
pub struct Places {
    shares: Shares,
    /// Something has changed that no commit holds yet.
    is_changed: bool,
}

impl Places {
    /// So many places, shared by weight.
    pub fn new(total: u64, weights: &[(TenantId, u32)]) -> Self {
        let mut shares = Shares::new(total);
        shares.share_out(total, weights);
        Self { shares, is_changed: false }
    }

    /// Other limits from now on.
    pub fn share_out(&mut self, total: u64, weights: &[(TenantId, u32)]) {
        self.shares.share_out(total, weights);
    }

    /// How many messages of a tenant may be admitted while `waiting` wait in all, and what it is over when it brings more.
    pub fn room(&mut self, tenant: TenantId, waiting: u64) -> (u64, Over) {
        self.settle(waiting);
        self.shares.room(tenant)
    }

    /// Messages of a tenant begin to wait.
    pub fn enter(&mut self, tenant: TenantId, messages: u64) {
        if tenant != NOBODY && messages > 0 {
            self.shares.take(tenant, messages);
            self.is_changed = true;
        }
    }

    /// A message of a tenant waits no more.
    pub fn leave(&mut self, tenant: TenantId) {
        if tenant != NOBODY {
            self.shares.give_back(tenant, 1);
            self.is_changed = true;
        }
    }

    /// Messages that wait, by tenant.
    pub fn iter(&self) -> impl Iterator<Item = (TenantId, u64)> + '_ {
        self.shares.iter().filter(|(tenant, _)| *tenant != NOBODY)
    }

    /// How many places count as taken, with so many messages that wait and so many entries in lists. Entries of what has
    /// ended are passed over as soon as they stand at the head of their list; where something that waits for long stands
    /// before them they take room on the disk, and with too many of them all is full.
    pub const fn taken(&self, messages: u64, entries: u64) -> u64 {
        let total = self.shares.total();
        if entries >= total.saturating_mul(ENTRIES_PER_PLACE_MAX) { total } else { messages }
    }

    /// What the next commit has to hold: the messages of each tenant that wait, if they have changed.
    pub fn take_changed(&mut self) -> Option<Vec<(u32, u64)>> {
        std::mem::take(&mut self.is_changed)
            .then(|| self.iter().map(|(tenant, messages)| (tenant.0, messages)).collect())
    }

    /// As the last commit left it.
    pub fn restore(&mut self, waiting: &[(u32, u64)]) {
        for &(tenant, messages) in waiting {
            self.shares.take(TenantId(tenant), messages);
        }
    }

    /// Tenants cannot use more places than messages wait. What is too much, since whose a message was could not be told when it
    /// left, is taken off.
    pub fn heal(&mut self, waiting: u64) {
        if self.shares.used() > waiting {
            self.settle(waiting);
        }
    }

    /// What tenants do not use of `waiting` belongs to nobody. They cannot use more than that: a damaged segment does not say
    /// any more whose messages it held, and what is too much is then taken off whoever has most.
    fn settle(&mut self, waiting: u64) {
        self.shares.give_back(NOBODY, self.shares.used_by(NOBODY));
        while self.shares.used() > waiting {
            let Some((tenant, used)) = self.shares.iter().max_by_key(|(_, used)| *used) else { break };
            self.shares.give_back(tenant, used.min(self.shares.used() - waiting));
            self.is_changed = true;
        }
        self.shares.take(NOBODY, waiting - self.shares.used());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn counts(places: &Places) -> Vec<(TenantId, u64)> {
        places.iter().collect()
    }

    #[test]
    fn what_is_nobodys_takes_room_and_is_no_tenants() {
        let mut places = Places::new(100, &[(A, 1), (B, 1)]);
        places.enter(NOBODY, 5);
        places.enter(A, 60);
        assert_eq!(places.room(A, 60), (30, Over::Share));
        assert_eq!(places.room(A, 80), (10, Over::Share), "20 wait that are no tenant's");
        assert_eq!(places.room(B, 80), (20, Over::Total));
        assert_eq!(places.room(B, 60), (40, Over::Total));
        assert_eq!(counts(&places), [(A, 60)]);
    }

    #[test]
    fn a_start_finds_what_the_last_commit_held() {
        let mut places = Places::new(100, &[(A, 1), (B, 1)]);
        assert!(places.take_changed().is_none());
        places.enter(A, 3);
        places.enter(B, 2);
        places.leave(B);
        assert_eq!(places.take_changed(), Some(vec![(1, 3), (2, 1)]));
        assert!(places.take_changed().is_none(), "said once");
        let mut again = Places::new(100, &[(B, 1)]);
        again.restore(&[(1, 3), (2, 1)]);
        assert_eq!(counts(&again), counts(&places), "a tenant that was removed keeps its own");
        assert!(again.take_changed().is_none());
    }

    /// Nobody can say whose the messages of a damaged segment were.
    #[test]
    fn no_tenant_is_charged_for_what_does_not_wait() {
        let mut places = Places::new(100, &[(A, 1), (B, 1)]);
        places.enter(A, 50);
        places.enter(B, 10);
        assert_eq!(places.room(A, 40), (50, Over::Share));
        assert_eq!(counts(&places), [(A, 30), (B, 10)]);
        assert_eq!(places.room(A, 0), (90, Over::Share));
        assert_eq!(counts(&places), []);
    }

    #[test]
    fn too_many_entries_of_what_has_ended_take_all_places() {
        let places = Places::new(100, &[]);
        assert_eq!([places.taken(7, 1_599), places.taken(7, 1_600)], [7, 100]);
        assert_eq!(Places::new(u64::MAX, &[]).taken(7, u64::MAX - 1), 7);
    }
}
