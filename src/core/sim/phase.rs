//! Where in its turn a process is when it dies. A crash proves something only about the place that it hits, so crashes
//! are aimed at places and counted by them. Knows the names of the places; the process says which of them apply.

/// A place in the turn, or in the life of a process. Several can apply at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// This life has not made a batch durable yet.
    Fresh,
    /// A batch is decided but not handed to the disk, which is writing the batch before.
    Gathered,
    /// A batch is handed to the disk but not durable.
    Written,
    /// A batch is durable, but its shard does not know yet.
    Untold,
    /// Replies have left their shard but not reached their door.
    Replying,
    /// Mail between shards and links is on its way.
    Mail,
    /// Bytes for a carrier wait that no socket has accepted.
    Unsent,
    /// A carrier has parts that it has not answered.
    Unanswered,
    /// The reader thread folds events.
    Folding,
    /// A batch with a checkpoint is handed over and not durable.
    Checkpoint,
    /// Ranges are being dropped.
    Dropping,
    /// A run is being written.
    RunWriting,
    /// A run is written but its registration is not durable.
    RunLoose,
    /// A batch of control is handed over but not durable.
    ControlWritten,
    /// A batch of control is durable but not published.
    ControlUntold,
    /// The process was asked to end and waits for its links.
    Draining,
    /// The process was asked to end and writes its last checkpoint.
    Sealing,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 18] = [
        Self::Idle,
        Self::Fresh,
        Self::Gathered,
        Self::Written,
        Self::Untold,
        Self::Replying,
        Self::Mail,
        Self::Unsent,
        Self::Unanswered,
        Self::Folding,
        Self::Checkpoint,
        Self::Dropping,
        Self::RunWriting,
        Self::RunLoose,
        Self::ControlWritten,
        Self::ControlUntold,
        Self::Draining,
        Self::Sealing,
    ];
}

/// The places at which a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u32);

impl Phases {
    /// Adds this phase if `is_so`.
    pub const fn note(&mut self, phase: Phase, is_so: bool) {
        if is_so {
            self.0 |= 1 << phase as u8;
        }
    }

    /// Whether this phase applies.
    pub const fn has(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u8 != 0
    }

    /// Iterates over the phases that apply.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.has(*phase))
    }

    /// Whether no phase applies.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_noted() {
        let mut phases = Phases::default();
        assert!(phases.is_empty());
        phases.note(Phase::Mail, true);
        phases.note(Phase::Sealing, true);
        phases.note(Phase::Idle, false);
        assert_eq!(phases.iter().collect::<Vec<_>>(), [Phase::Mail, Phase::Sealing]);
    }
}
