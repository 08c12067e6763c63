//! Where in a turn a crash falls: the trace, divided into the phases that the report counts.
//!
//! Knows what each file is for, and the driver's marks. Refuses to know what a crash does in a phase.

use super::marks::Mark;
use super::trace::{Change, Trace};

/// What was happening when the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Directories, the format file and an empty store are being made.
    Creation,
    /// An existing store is being started.
    Start,
    /// Part of a batch is in the journal.
    BatchBegun,
    /// All of a batch is in the journal, unsynced.
    BatchWritten,
    /// The batch is synced; its waiters may have been told or not.
    BatchSynced,
    /// As the three before, of a batch with a checkpoint; also the freeing of what it replaced.
    Checkpoint,
    /// A run is written, or its registration is.
    Run,
    /// A memtable becomes a table, or tables are merged.
    Flush,
    /// A journal is created or removed.
    Journal,
    /// The high-water mark is written.
    HighWater,
}

impl Phase {
    pub(super) const ALL: [Self; 10] = [
        Self::Creation,
        Self::Start,
        Self::BatchBegun,
        Self::BatchWritten,
        Self::BatchSynced,
        Self::Checkpoint,
        Self::Run,
        Self::Flush,
        Self::Journal,
        Self::HighWater,
    ];

    /// The name in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Creation => "directory and store being made",
            Self::Start => "start of an existing store",
            Self::BatchBegun => "batch being written",
            Self::BatchWritten => "batch written, not synced",
            Self::BatchSynced => "batch synced",
            Self::Checkpoint => "checkpoint",
            Self::Run => "run written and registered",
            Self::Flush => "memtable flushed or tables merged",
            Self::Journal => "journal begun or removed",
            Self::HighWater => "high-water mark",
        }
    }
}

/// The phase of a crash directly before change number N, for every N up to the number of changes.
pub(super) fn phases(trace: &Trace) -> Vec<Phase> {
    let mut phases = Vec::with_capacity(trace.changes.len() + 1);
    let mut state = State::default();
    phases.push(Phase::Creation);
    for (at, change) in trace.changes.iter().enumerate() {
        let phase = state.take(trace, change, trace.changes.get(at + 1));
        phases.push(phase);
    }
    phases
}

#[derive(Default)]
struct State {
    starting: Option<Phase>,
    /// The batch under way: whether it has a checkpoint, and whether it has a registration.
    batch: Option<(bool, bool)>,
    run: bool,
    freeing: bool,
}

impl State {
    fn take(&mut self, trace: &Trace, change: &Change, next: Option<&Change>) -> Phase {
        match change {
            Change::Marked(mark) => {
                self.mark(mark);
                self.otherwise()
            }
            Change::Made { parent, name, .. }
            | Change::Removed { parent, name }
            | Change::Renamed { parent, to: name, .. } => self.entry(&trace.paths[*parent], name),
            Change::Written { node, .. } => self.file(&trace.paths[*node], false, is_sync_of(next, *node)),
            Change::Length { node, .. } if trace.paths[*node].ends_with(".jnl") => self.entry("", ".jnl"),
            Change::Length { node, .. } => self.file(&trace.paths[*node], false, false),
            Change::Synced { node } => self.file(&trace.paths[*node], true, false),
        }
    }

    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Starting { is_new } => self.starting = Some(if *is_new { Phase::Creation } else { Phase::Start }),
            Mark::Serving => self.starting = None,
            Mark::Batch { is_checkpoint, is_registration, .. } => {
                self.batch = Some((*is_checkpoint, *is_registration));
                self.freeing = false;
            }
            Mark::Kept(_) => self.batch = None,
            Mark::Run { .. } => self.run = true,
            Mark::RunKept(_) => self.run = false,
            Mark::Drop { .. } => self.freeing = true,
            Mark::Checkpoint => self.freeing = false,
        }
    }

    fn otherwise(&self) -> Phase {
        match (self.starting, self.batch) {
            (Some(phase), _) => phase,
            (None, Some((true, _))) => Phase::Checkpoint,
            (None, Some((_, true))) => Phase::Run,
            (None, _) if self.run => Phase::Run,
            (None, _) if self.freeing => Phase::Checkpoint,
            (None, Some(_)) => Phase::BatchBegun,
            (None, None) => Phase::BatchSynced,
        }
    }

    fn entry(&self, parent: &str, name: &str) -> Phase {
        match self.starting {
            Some(phase) => phase,
            None if name.ends_with(".jnl") => Phase::Journal,
            None if name == "high-water" => Phase::HighWater,
            None if self.run => Phase::Run,
            None if self.freeing => Phase::Checkpoint,
            None if parent.contains("keyspaces") => Phase::Flush,
            None => self.otherwise(),
        }
    }

    fn file(&self, path: &str, is_sync: bool, is_last: bool) -> Phase {
        if self.starting.is_some() {
            return self.otherwise();
        }
        if path.ends_with("high-water") {
            return Phase::HighWater;
        }
        if !path.ends_with(".jnl") {
            return if path.contains("keyspaces") && !self.run && !self.freeing {
                Phase::Flush
            } else {
                self.otherwise()
            };
        }
        match self.batch {
            Some((false, false)) if is_sync => Phase::BatchSynced,
            Some((false, false)) if is_last => Phase::BatchWritten,
            Some((false, false)) => Phase::BatchBegun,
            Some(_) | None => self.otherwise(),
        }
    }
}

fn is_sync_of(next: Option<&Change>, node: usize) -> bool {
    matches!(next, Some(Change::Synced { node: synced }) if *synced == node)
}
