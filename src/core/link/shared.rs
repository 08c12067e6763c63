//! The messages of one class that any bind of a link may send: tenants take turns by weight, and each is sent in its order.
//!
//! Knows tenants and messages by index. Refuses to know what is in a message: the caller says what it costs, in parts, and
//! what its tenant weighs. So a backlog of one tenant delays another's message by one message, not by the backlog. A tenant
//! without a message here is in no queue and no map.
//!
//! Invariants:
//! 1. A tenant waits for its turn as long as it has a message here; no queue is empty.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Sound, TenantId, holds};
use crate::queue::Turns;

use super::prepared::Index;

/// How many empty queues are kept for tenants that begin to wait.
const SPARE_MAX: usize = 8;

/// Messages that any bind may send, by tenant.
#[derive(Debug, Default)]
pub(super) struct Shared {
    turns: Turns<TenantId>,
    queues: BTreeMap<TenantId, VecDeque<Index>>,
    /// Empty, with room for messages: a tenant whose only message comes and goes needs no new memory for each.
    spare: Vec<VecDeque<Index>>,
}

/// What it costs to send a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub parts: u32,
    pub weight: u32,
}

impl Shared {
    /// The queue of a tenant, which begins to wait if it has none.
    fn queue(&mut self, tenant: TenantId) -> &mut VecDeque<Index> {
        let Self { turns, queues, spare } = self;
        queues.entry(tenant).or_insert_with(|| {
            turns.wait(tenant);
            spare.pop().unwrap_or_default()
        })
    }

    /// Adds a message behind all of its tenant.
    pub(super) fn push(&mut self, tenant: TenantId, index: Index) {
        self.queue(tenant).push_back(index);
    }

    /// Adds a message in front of those of its tenant that are not `older`.
    pub(super) fn insert(&mut self, tenant: TenantId, index: Index, is_older: impl Fn(Index) -> bool) {
        let queue = self.queue(tenant);
        let older = queue.iter().take_while(|other| is_older(**other)).count();
        queue.insert(older, index);
    }

    /// Takes the next message; its tenant's turn is over.
    pub(super) fn pop(&mut self, cost: impl FnOnce(Index) -> Cost) -> Option<Index> {
        let tenant = self.turns.first()?;
        let queue = self.queues.get_mut(&tenant)?;
        let index = queue.pop_front()?;
        let is_last = queue.is_empty();
        let Cost { parts, weight } = cost(index);
        self.turns.serve(tenant, parts, weight);
        if is_last {
            self.leave(tenant);
        }
        Some(index)
    }

    /// Takes a message out, wherever it is; it has cost nothing.
    pub(super) fn remove(&mut self, tenant: TenantId, index: Index) {
        let Some(queue) = self.queues.get_mut(&tenant) else { return };
        queue.retain(|other| *other != index);
        if queue.is_empty() {
            self.leave(tenant);
        }
    }

    /// Takes all messages out.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Index> + use<> {
        let queues = std::mem::take(&mut self.queues);
        queues.keys().for_each(|tenant| self.turns.leave(*tenant));
        queues.into_values().flatten()
    }

    fn leave(&mut self, tenant: TenantId) {
        self.turns.leave(tenant);
        if let Some(queue) = self.queues.remove(&tenant).filter(|_| self.spare.len() < SPARE_MAX) {
            self.spare.push(queue);
        }
    }

    /// The messages of each tenant, in their order.
    pub(super) fn queues(&self) -> impl Iterator<Item = (TenantId, &VecDeque<Index>)> {
        self.queues.iter().map(|(tenant, queue)| (*tenant, queue))
    }

    #[cfg(test)]
    pub(super) fn queue_mut(&mut self, tenant: TenantId) -> &mut VecDeque<Index> {
        self.queues.get_mut(&tenant).expect("it has messages")
    }

    /// Checks the invariant, and those of the turns.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub(super) fn check(&self) -> Sound {
        self.turns.check()?;
        let is_empty = self.queues.iter().find(|(_, queue)| queue.is_empty());
        holds!(1, is_empty.is_none(), "{is_empty:?} waits with no message");
        let (waiting, known) = (self.turns.len(), self.queues.len());
        let waits = waiting == known && self.turns.iter().all(|tenant| self.queues.contains_key(&tenant));
        holds!(1, waits, "{waiting} tenants wait, {known} have messages");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);
    const ONE: Cost = Cost { parts: 1, weight: 1 };

    #[test]
    fn one_message_of_another_tenant_is_next_whatever_waits() {
        let mut shared = Shared::default();
        (0..250).for_each(|index| shared.push(A, index));
        (0..100).for_each(|index| assert_eq!(shared.pop(|_| ONE), Some(index)));
        shared.push(B, 1_000);
        assert_eq!(shared.pop(|_| ONE), Some(1_000));
        assert_eq!(shared.pop(|_| ONE), Some(100));
        shared.push(B, 1_001);
        assert_eq!(shared.check(), Ok(()));
        let next: Vec<_> = (0..3).map_while(|_| shared.pop(|_| ONE)).collect();
        assert!(next.contains(&1_001), "{next:?}: it had its turn, and the next comes after one of the other");
    }

    #[test]
    fn parts_follow_the_weights() {
        let mut shared = Shared::default();
        let mut parts = [0_u32; 2];
        for index in 0..4_000 {
            shared.push(if index % 2 == 0 { A } else { B }, index);
        }
        // Messages of A have three parts and weigh 3, those of B one part and weigh 1.
        let cost = |index| if index % 2 == 0 { Cost { parts: 3, weight: 3 } } else { ONE };
        for _ in 0..1_000 {
            let index = shared.pop(cost).expect("there are more");
            parts[index as usize % 2] += cost(index).parts;
            assert!(parts[0].abs_diff(3 * parts[1]) <= 6, "{parts:?}");
        }
        assert_eq!(shared.check(), Ok(()));
    }

    #[test]
    fn a_tenant_without_messages_is_nowhere() {
        let mut shared = Shared::default();
        shared.push(A, 1);
        shared.push(B, 2);
        shared.insert(B, 3, |_| false);
        shared.remove(B, 2);
        shared.remove(B, 3);
        shared.remove(B, 9);
        assert_eq!(shared.queues().map(|(tenant, queue)| (tenant, queue.len())).collect::<Vec<_>>(), [(A, 1)]);
        assert_eq!(shared.take_all().collect::<Vec<_>>(), [1]);
        assert_eq!((shared.pop(|_| ONE), shared.turns.len(), shared.check()), (None, 0, Ok(())));
    }

    #[test]
    fn breaking_invariant_1_forgets_a_tenant() {
        let breaks: [fn(&mut Shared); 3] = [
            |shared| shared.turns.leave(A),
            |shared| shared.queue_mut(A).clear(),
            |shared| {
                shared.queues.insert(B, VecDeque::from([7]));
            },
        ];
        for (at, breaks) in breaks.into_iter().enumerate() {
            let mut shared = Shared::default();
            shared.push(A, 1);
            assert_eq!(shared.check(), Ok(()));
            breaks(&mut shared);
            assert_eq!(shared.check().expect_err("a breach").number, 1, "{at}");
        }
    }
}
