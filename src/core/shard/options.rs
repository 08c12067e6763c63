//! What a shard is told once.

use crate::delivery::{DoubtPolicy, RetryPolicy};
use crate::model::{Class, Inboxes, NodeId, ShardId, TenantId};

use super::bounds::Bounds;

/// Settings of a shard. Quantities are this shard's share, not the process's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its identity.
    pub shard: ShardId,
    /// The installation's, for ids.
    pub node: NodeId,
    /// How many shards there are.
    pub shards: u8,
    /// Seed of its hash maps; decisions do not depend on it.
    pub hash_seed: u64,
    /// Messages waiting before new ones are refused as `queue_full`.
    pub queue_messages_max: u64,
    /// Weights of the tenants that share these places and the fingerprints; none: there are no tenants.
    pub tenants: Vec<(TenantId, u32)>,
    /// Whose the numbers are that handsets write to.
    pub inboxes: Inboxes,
    /// Fingerprints in the window before keyed messages are refused as `key_window_full`.
    pub keys_max: usize,
    /// How long a fingerprint is kept at least, ms.
    pub key_window_ms: u64,
    /// Receipts waited for in memory before the rest is sealed into a run.
    pub receipts_max: usize,
    /// How long a message waits for its receipt, and a receipt for its message, ms.
    pub receipt_wait_ms: u64,
    /// How long parts of a message from a handset wait for the others, ms.
    pub joining_ms: u64,
    /// How long a message in doubt waits for a receipt before it is sent again, ms.
    pub in_doubt_wait_ms: u64,
    /// How often a session may be lost with a message alone on it before that is not sent again.
    pub doubts_max: u8,
    /// What each class does with a message in doubt.
    pub doubt: [DoubtPolicy; Class::COUNT],
    /// How refused messages are tried again.
    pub retry: RetryPolicy,
    /// How long the history of settled messages is kept, ms.
    pub retention_ms: u64,
    /// Events since the last checkpoint before the next one.
    pub fold_events: usize,
    /// Fifos not in memory whose records each checkpoint drops once more, in turn: what a crash brought back goes so. Each costs
    /// the store a version of its tables; the simulator sweeps more of them, to see what comes of it.
    pub swept_per_checkpoint: usize,
    /// How much is remembered of each kind.
    pub bounds: Bounds,
    /// How often what seldom happens happens, in a million; for the simulator ([`crate::model::buggify`]).
    pub buggify_ppm: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shard: ShardId(0),
            node: NodeId(0),
            shards: 1,
            hash_seed: 0,
            queue_messages_max: 100_000_000,
            tenants: Vec::new(),
            inboxes: Inboxes::default(),
            keys_max: 1_000_000,
            key_window_ms: 24 * 3_600_000,
            receipts_max: 1_000_000,
            receipt_wait_ms: crate::delivery::retention::RECEIPT_WAIT_MS,
            joining_ms: 24 * 3_600_000,
            in_doubt_wait_ms: 10_000,
            doubts_max: crate::delivery::policy::DOUBTS_MAX,
            doubt: Class::ALL.map(crate::delivery::policy::doubt_default),
            retry: RetryPolicy::default(),
            retention_ms: 72 * 3_600_000,
            fold_events: crate::model::limits::FOLD_DELTAS,
            swept_per_checkpoint: 1,
            bounds: Bounds::DEFAULT,
            buggify_ppm: 0,
        }
    }
}
