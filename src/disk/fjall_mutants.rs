//! Deliberate bugs of the store on disk: each breaks one promise about the order of syncs. The crash images must detect
//! all of them (`loadtest images --mutants`), or they prove nothing.
//!
//! They exist only in builds with debug assertions: in a release build [`FjallOptions::has`] is false for all of them.

use super::fjall::FjallOptions;
use super::fjall_ranges;
use stentor_core::store::backend::{Op, Space, StoreError};
use stentor_core::store::key::Key;
use stentor_core::store::record::{CheckpointRecord, decode};

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A batch is acknowledged once it is written, without a sync.
    SkipSync,
    /// The directory of a key space that was just made is not synced.
    SkipDirectorySync,
    /// A run is registered before it is written and synced.
    RegisterEarly,
    /// What a checkpoint replaces is dropped before the checkpoint is durable.
    DropEarly,
    /// The journals are not checked before fjall opens them.
    SkipScanner,
}

impl Mutant {
    /// All mutants.
    pub const ALL: [Self; 5] =
        [Self::SkipSync, Self::SkipDirectorySync, Self::RegisterEarly, Self::DropEarly, Self::SkipScanner];
}

impl FjallOptions {
    /// Whether this store has that bug.
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        cfg!(debug_assertions) && self.mutant == Some(mutant)
    }
}

/// Drops the events that a checkpoint in `ops` has folded, before the checkpoint is synced.
pub(super) fn drop_early(ops: &[Op], events: &fjall::Keyspace) -> Result<(), StoreError> {
    let checkpoint = ops.iter().find_map(|op| match op {
        Op::Put { space: Space::Meta, key, value } if *key == Key::Checkpoint.bytes() => Some(value),
        Op::Put { .. } | Op::Delete { .. } => None,
    });
    let Some(Ok(checkpoint)) = checkpoint.map(|bytes| decode::<CheckpointRecord>(bytes)) else { return Ok(()) };
    let failed = |error: fjall::Error| StoreError::Failed(error.to_string());
    fjall_ranges::rotate(events).map_err(failed)?;
    while fjall_ranges::is_flushing(events) {
        std::thread::yield_now();
    }
    fjall_ranges::drop_range(events, &[0], &Key::Turn(checkpoint.commit + 1).bytes()).map_err(failed)
}
