//! The places in a shard's queue, counted by tenant, so that each tenant keeps its share ([`Shares`]).
//!
//! A message has a place from its admission, or from the moment it returns to the queue, until it is taken from its
//! list, or is cancelled or expires there; one that is cancelled in the delay queue keeps its place until its time has
//! come. Everything that makes a message wait calls [`Places::enter`], everything that ends its waiting calls
//! [`Places::leave`]; apart from these only [`Places::heal`] changes a count. The queue itself counts how much waits in
//! all, and passes that to [`Places::room`]: what belongs to no tenant (waits of the ledger, messages from before
//! tenants were configured) is the difference.
//!
//! The counts are durable with the commit that changes them ([`Places::take_changed`]), so a start finds them as they
//! were.

use crate::model::TenantId;

use super::shares::{Over, Shares};

/// Messages of this tenant number belong to no configured tenant: no share is kept for them.
const NOBODY: TenantId = TenantId(0);

/// Most list entries, including those of ended messages, for each message that may wait.
const ENTRIES_PER_PLACE_MAX: u64 = 16;

/// The counts of waiting messages by tenant; see the top of this file.
#[derive(Debug)]
pub struct Places {
    shares: Shares,
    /// A count has changed since the last commit.
    is_changed: bool,
}

impl Places {
    /// `total` places, shared by weight.
    pub fn new(total: u64, weights: &[(TenantId, u32)]) -> Self {
        let mut shares = Shares::new(total);
        shares.share_out(total, weights);
        Self { shares, is_changed: false }
    }

    /// Sets other limits from now on.
    pub fn share_out(&mut self, total: u64, weights: &[(TenantId, u32)]) {
        self.shares.share_out(total, weights);
    }

    /// How many messages of a tenant may be admitted while `waiting` messages wait in all, and which limit it is over
    /// if it brings more.
    pub fn room(&mut self, tenant: TenantId, waiting: u64) -> (u64, Over) {
        self.settle(waiting);
        self.shares.room(tenant)
    }

    /// Counts messages of a tenant that begin to wait.
    pub fn enter(&mut self, tenant: TenantId, messages: u64) {
        if tenant != NOBODY && messages > 0 {
            self.shares.take(tenant, messages);
            self.is_changed = true;
        }
    }

    /// Counts a message of a tenant that no longer waits.
    pub fn leave(&mut self, tenant: TenantId) {
        if tenant != NOBODY {
            self.shares.give_back(tenant, 1);
            self.is_changed = true;
        }
    }

    /// Waiting messages by tenant.
    pub fn iter(&self) -> impl Iterator<Item = (TenantId, u64)> + '_ {
        self.shares.iter().filter(|(tenant, _)| *tenant != NOBODY)
    }

    /// How many places count as taken, for this many waiting messages and this many entries in lists. Entries of ended
    /// messages are skipped as soon as they reach the head of their list. Behind something that waits for long they
    /// stay and use the disk, so too many of them make the queue full.
    pub const fn taken(&self, messages: u64, entries: u64) -> u64 {
        let total = self.shares.total();
        if entries >= total.saturating_mul(ENTRIES_PER_PLACE_MAX) { total } else { messages }
    }

    /// What the next commit has to record: how many messages of each tenant wait, if that has changed.
    pub fn take_changed(&mut self) -> Option<Vec<(u32, u64)>> {
        std::mem::take(&mut self.is_changed)
            .then(|| self.iter().map(|(tenant, messages)| (tenant.0, messages)).collect())
    }

    /// Restores the counts that the last commit recorded.
    pub fn recover(&mut self, waiting: &[(u32, u64)]) {
        for &(tenant, messages) in waiting {
            self.shares.take(TenantId(tenant), messages);
        }
    }

    /// Lowers the counts so that tenants together do not use more places than messages wait. They can be too high
    /// because, for some messages that left, the tenant was not known.
    pub fn heal(&mut self, waiting: u64) {
        if self.shares.used() > waiting {
            self.settle(waiting);
        }
    }

    /// Sets the part of `waiting` that belongs to no tenant to what the tenants do not use. Tenants cannot use more
    /// than `waiting`: a damaged segment no longer says which tenant its messages had, so an excess is taken off the
    /// tenant that has most.
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
    fn what_is_no_tenants_takes_room_and_is_no_tenants() {
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
        again.recover(&[(1, 3), (2, 1)]);
        assert_eq!(counts(&again), counts(&places), "a tenant that was removed keeps its own");
        assert!(again.take_changed().is_none());
    }

    /// When a segment is damaged, the tenants of its messages are not known.
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
