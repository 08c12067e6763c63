//! Where a process stands in its turn when it dies. A crash proves something only about the place that it hits, so crashes
//! are aimed at places, and counted by them. Knows names; what is true of a process, its owner says.

/// A place in the turn, or in the life of a process. Several are true at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is under way.
    Idle,
    /// A life that has not had a batch durable yet.
    Fresh,
    /// Decided, and not handed to the disk, which is at the batch before.
    Gathered,
    /// Handed to the disk, and not durable.
    Written,
    /// Durable, and its shard does not know.
    Untold,
    /// Replies have left and have not reached their door.
    Replying,
    /// Letters between shards and links are on their way.
    Mail,
    /// Bytes for a carrier, which no socket has taken.
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
    /// A run is written and its registration is not durable.
    RunLoose,
    /// A batch of control is handed over and not durable.
    ControlWritten,
    /// A batch of control is durable, and nobody has published it.
    ControlUntold,
    /// The process is asked to end, and waits for links.
    Draining,
    /// The process is asked to end, and writes its last checkpoint.
    Sealing,
}

impl Phase {
    /// All of them.
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

/// Where a process stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u32);

impl Phases {
    /// Also there, if that is so.
    pub const fn note(&mut self, phase: Phase, is_so: bool) {
        if is_so {
            self.0 |= 1 << phase as u8;
        }
    }

    /// Whether it is there.
    pub const fn has(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u8 != 0
    }

    /// Every one.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.has(*phase))
    }

    /// Nowhere.
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
