//! The settings of a shard, given at its start and again at a reload.

use std::collections::BTreeMap;

use crate::delivery::{DoubtPolicy, RetryPolicy};
use crate::model::{Class, Inboxes, NodeId, ShardId, TenantId};

use super::bounds::Bounds;

/// Settings of a shard. Quantities are this shard's share, not the process's.
#[derive(Clone, Debug)]
pub struct Options {
    pub shard: ShardId,
    /// The node of this installation, which goes into message ids.
    pub node: NodeId,
    /// How many shards the process has.
    pub shards: u8,
    /// Seed of its hash maps; decisions do not depend on it.
    pub hash_seed: u64,
    /// Messages waiting before new ones are refused as `queue_full`.
    pub queue_messages_max: u64,
    /// Weights of the tenants that share the queue places and the idempotency keys; empty if there are no tenants.
    pub tenants: Vec<(TenantId, u32)>,
    /// Weights by which tenants take turns to be sent; a tenant that is not here has weight 1.
    pub weights: BTreeMap<TenantId, u32>,
    /// Which tenant owns which of the numbers that handsets write to.
    pub inboxes: Inboxes,
    /// Fingerprints of idempotency keys in the window before keyed messages are refused as `key_window_full`.
    pub keys_max: usize,
    /// How long a fingerprint is kept at least, ms.
    pub key_window_ms: u64,
    /// Parts in the open epoch of receipts before its older half is sealed into a run.
    pub receipts_max: usize,
    /// How long a message waits for its receipt, and a parked receipt for its message, ms.
    pub receipt_wait_ms: u64,
    /// How long parts of a message from a handset wait for the other parts, ms.
    pub joining_ms: u64,
    /// How long a message in doubt waits for a receipt before its class's policy is applied, ms.
    pub in_doubt_wait_ms: u64,
    /// A message is not sent again once this many sessions were lost while it was alone on them.
    pub doubts_max: u8,
    /// What each class does with a message in doubt.
    pub doubt: [DoubtPolicy; Class::COUNT],
    /// When and how often refused messages are tried again.
    pub retry: [RetryPolicy; Class::COUNT],
    /// By class: a new message that is expected to wait longer is refused, ms; 0: none is.
    pub class_wait_ms: [u64; Class::COUNT],
    /// How long the history of settled messages is kept, ms.
    pub retention_ms: u64,
    /// Events since the last checkpoint that make the next one due.
    pub fold_events: usize,
    /// How many fifos that are not in memory each checkpoint clears once more, in rotation. A crash may bring dropped records
    /// back, and this removes them. Each costs the store a version of its tables, so the simulator sweeps more of them, to test
    /// that.
    pub swept_per_checkpoint: usize,
    pub bounds: Bounds,
    /// How often the simulator injects a rare event, per million ([`crate::model::buggify`]); 0 outside the simulator.
    pub buggify_ppm: u32,
}

impl Options {
    /// The weight by which a tenant takes turns.
    pub fn weight_of(&self, tenant: TenantId) -> u32 {
        self.weights.get(&tenant).copied().unwrap_or(1)
    }
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
            weights: BTreeMap::new(),
            inboxes: Inboxes::default(),
            keys_max: 1_000_000,
            key_window_ms: 24 * 3_600_000,
            receipts_max: 1_000_000,
            receipt_wait_ms: crate::delivery::retention::RECEIPT_WAIT_MS,
            joining_ms: 24 * 3_600_000,
            in_doubt_wait_ms: 10_000,
            doubts_max: crate::delivery::policy::DOUBTS_MAX,
            doubt: Class::ALL.map(crate::delivery::policy::doubt_default),
            retry: [RetryPolicy::default(); Class::COUNT],
            class_wait_ms: [0; Class::COUNT],
            retention_ms: 72 * 3_600_000,
            fold_events: crate::model::limits::FOLD_DELTAS,
            swept_per_checkpoint: 1,
            bounds: Bounds::DEFAULT,
            buggify_ppm: 0,
        }
    }
}
