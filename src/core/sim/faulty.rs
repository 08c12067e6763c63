//! Disk operations that fail: the Nth of its kind, once or from then on. Knows kinds and counts; the disk knows what an
//! operation is and what its failure means.

/// The kinds of operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A batch is written.
    Write,
    /// A batch is synced.
    Sync,
    /// A question is answered from the store.
    Read,
    /// A range is dropped, a run written or deleted, a checkpoint made.
    Upkeep,
    /// A start reads the store.
    Open,
}

impl Operation {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Write, Self::Sync, Self::Read, Self::Upkeep, Self::Open];
}

/// A fault that waits for its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of operation that fails.
    pub operation: Operation,
    /// How many operations of the kind still succeed.
    pub after: u32,
    /// Until when every operation of the kind fails, once the first has failed; `None`: it fails once.
    pub until_ns: Option<u64>,
}

/// The faults of one disk. It outlives the process.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    waiting: Vec<Fault>,
    broken: Vec<(Operation, u64)>,
}

impl Faults {
    /// Adds a fault.
    pub fn push(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    /// The disk is repaired: no fault is left.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.broken.clear();
    }

    /// Whether this operation fails now.
    pub fn strikes(&mut self, operation: Operation, now_ns: u64) -> bool {
        self.broken.retain(|(_, until_ns)| *until_ns > now_ns);
        if self.broken.iter().any(|(kind, _)| *kind == operation) {
            return true;
        }
        let Some(at) = self.waiting.iter().position(|fault| fault.operation == operation) else { return false };
        let fault = &mut self.waiting[at];
        if fault.after > 0 {
            fault.after -= 1;
            return false;
        }
        self.broken.extend(fault.until_ns.map(|until_ns| (operation, until_ns)));
        self.waiting.swap_remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_fails_once_or_until_it_is_mended() {
        let mut faults = Faults::default();
        faults.push(Fault { operation: Operation::Sync, after: 1, until_ns: None });
        let strikes = |faults: &mut Faults, at| faults.strikes(Operation::Sync, at);
        assert_eq!([0, 0, 0].map(|at| strikes(&mut faults, at)), [false, true, false]);
        faults.push(Fault { operation: Operation::Sync, after: 0, until_ns: Some(5) });
        assert!(!faults.strikes(Operation::Write, 0));
        assert_eq!([1, 4, 5].map(|at| strikes(&mut faults, at)), [true, true, false]);
    }
}
