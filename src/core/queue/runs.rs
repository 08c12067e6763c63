//! The slots of a segment that belong to a lane, as runs of neighbours: a segment of one class and route is a single
//! run.

/// Slots in ascending order of insertion, as (first, count) with count > 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotRuns(pub Vec<(u16, u16)>);

impl SlotRuns {
    /// A single slot.
    pub fn one(slot: u16) -> Self {
        Self(vec![(slot, 1)])
    }

    /// Adds a slot after the others.
    pub fn push(&mut self, slot: u16) {
        match self.0.last_mut() {
            Some((first, count)) if first.checked_add(*count) == Some(slot) => *count += 1,
            Some(_) | None => self.0.push((slot, 1)),
        }
    }

    /// The first `count` slots.
    #[must_use]
    pub fn first(&self, count: u32) -> Self {
        let (mut left, mut first) = (count, Self::default());
        for &(slot, run) in &self.0 {
            let own = u32::from(run).min(left);
            left -= own;
            if own > 0 {
                first.0.push((slot, own as u16));
            }
        }
        first
    }

    /// How many slots there are.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|&(_, count)| u32::from(count)).sum()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|&(first, count)| (0..count).map(move |step| first.saturating_add(step)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_neighbours_only() {
        let mut runs = SlotRuns::default();
        for slot in [0, 1, 2, 5, 6, 4] {
            runs.push(slot);
        }
        assert_eq!(runs.0, vec![(0, 3), (5, 2), (4, 1)]);
        assert_eq!(runs.iter().collect::<Vec<_>>(), vec![0, 1, 2, 5, 6, 4]);
        assert_eq!(runs.len(), 6);
    }

    #[test]
    fn the_first_slots_are_runs_too() {
        let runs = SlotRuns(vec![(0, 3), (5, 2), (4, 1)]);
        let first = |count| runs.first(count).0;
        assert_eq!((first(0), first(2), first(4)), (vec![], vec![(0, 2)], vec![(0, 3), (5, 1)]));
        assert_eq!((first(6), first(99)), (runs.0.clone(), runs.0.clone()));
    }

    #[test]
    fn the_last_slot_does_not_wrap() {
        let mut runs = SlotRuns::one(u16::MAX);
        runs.push(0);
        assert_eq!(runs.iter().collect::<Vec<_>>(), vec![u16::MAX, 0]);
    }
}
