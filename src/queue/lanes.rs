//! All fifos of a shard. A lane has two: what comes back (retries, scheduled messages whose time has come) goes before
//! what is fresh, for it is older.

use std::collections::BTreeMap;

use crate::model::{Class, Lane, RouteId};

use super::fifo::{Chunk, Fifo, Position, Taken};

/// Which of a lane's two fifos. The order is the order of taking; the discriminants go to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FifoKind {
    /// Ready again, or ready at last.
    Returned = 0,
    /// Ready since admission.
    Fresh = 1,
}

/// A fifo's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FifoName {
    /// Class × route.
    pub lane: Lane,
    /// Which of the two.
    pub kind: FifoKind,
}

/// The fifos that ever held a message since the last time they were all empty.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    fifos: BTreeMap<FifoName, Fifo>,
}

impl Lanes {
    /// The fifo of that name, made when it is first needed.
    pub fn fifo(&mut self, name: FifoName) -> &mut Fifo {
        self.fifos.entry(name).or_default()
    }

    /// Every fifo, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&FifoName, &Fifo)> {
        self.fifos.iter()
    }

    /// Every fifo, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&FifoName, &mut Fifo)> {
        self.fifos.iter_mut()
    }

    /// Puts a fifo back as a checkpoint left it.
    pub fn restore(&mut self, name: FifoName, fifo: Fifo) {
        self.fifos.insert(name, fifo);
    }

    /// Records new ready messages of one commit.
    pub fn append(&mut self, name: FifoName, commit: u64, messages: u32, chunks: Vec<Chunk>) {
        self.fifo(name).append(commit, messages, chunks);
    }

    /// Messages of a class that wait on any of `routes`.
    pub fn waiting(&self, class: Class, routes: &[RouteId]) -> u64 {
        self.of_class(class).filter(|(name, _)| routes.contains(&name.lane.route)).map(|(_, fifo)| fifo.waiting()).sum()
    }

    /// Messages that wait in all lanes.
    pub fn waiting_total(&self) -> u64 {
        self.fifos.values().map(Fifo::waiting).sum()
    }

    /// Takes the next message of a class from the lanes of `routes`: what comes back first, then the oldest fresh one
    /// that is in memory.
    pub fn take(&mut self, class: Class, routes: &[RouteId]) -> Option<(FifoName, Taken)> {
        let name = self
            .of_class(class)
            .filter(|(name, fifo)| fifo.in_window() > 0 && routes.contains(&name.lane.route))
            .min_by_key(|(name, fifo)| (name.kind, fifo.peek().map(|(segment, slot)| segment.address(slot))))
            .map(|(name, _)| *name)?;
        let taken = self.fifo(name).take()?;
        Some((name, taken))
    }

    /// The next read that a fifo needs, when everything up to and with commit `durable` is on disk.
    pub fn wants_read(&mut self, durable: u64) -> Option<(FifoName, Position)> {
        self.fifos.iter_mut().find_map(|(name, fifo)| fifo.wants_read(durable).map(|from| (*name, from)))
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = (&FifoName, &Fifo)> {
        let edge = |route, kind| FifoName { lane: Lane { class, route: RouteId(route) }, kind };
        self.fifos.range(edge(0, FifoKind::Returned)..=edge(u16::MAX, FifoKind::Fresh))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::Segment;

    use super::super::runs::SlotRuns;
    use super::*;

    fn append(lanes: &mut Lanes, kind: FifoKind, route: u16, commit: u64) {
        let name = FifoName { lane: Lane { class: Class::Otp, route: RouteId(route) }, kind };
        let segment = Arc::new(Segment { number: commit, ..Segment::default() });
        lanes.append(name, commit, 1, vec![Chunk { commit, segment, runs: SlotRuns::one(0) }]);
    }

    #[test]
    fn what_comes_back_goes_first_then_the_oldest_of_the_routes() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 2, 1);
        append(&mut lanes, FifoKind::Fresh, 1, 2);
        append(&mut lanes, FifoKind::Fresh, 9, 3);
        append(&mut lanes, FifoKind::Returned, 1, 4);
        let routes = [RouteId(1), RouteId(2)];
        assert_eq!(lanes.waiting(Class::Otp, &routes), 3);
        assert_eq!(lanes.waiting(Class::Marketing, &routes), 0);
        let order: Vec<_> =
            std::iter::from_fn(|| lanes.take(Class::Otp, &routes)).map(|(_, t)| t.segment.number).collect();
        assert_eq!(order, vec![4, 1, 2]);
        assert_eq!(lanes.waiting_total(), 1);
    }
}
