//! The state of a shard, as values for people and metrics.

use std::collections::BTreeMap;

use crate::model::{CarrierId, Class, Lane, LimitId, TenantId, Wall};
use crate::traffic::Unanswered;

use super::counters::{Counters, Measures};

/// The state of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Messages ready to be sent, by class.
    pub waiting: [u64; Class::COUNT],
    /// Lanes that hold such messages: how many, and when the oldest of those in memory was accepted.
    pub lanes: Vec<(Lane, u64, Option<Wall>)>,
    /// Entries of the delay queue, without alarms.
    pub scheduled: u64,
    /// Messages of each tenant that wait, ready or in the delay queue; only tenants that have any.
    pub tenants: Vec<(TenantId, u64)>,
    /// Attempts without an outcome.
    pub open: u64,
    /// Messages in doubt.
    pub doubts: u64,
    /// Messages in doubt by carrier, class and reason.
    pub ledger: BTreeMap<(CarrierId, Class, Unanswered), u64>,
    /// Idempotency keys in the window.
    pub keys: u64,
    /// Parts in the open epoch whose final receipt is missing.
    pub receipts_waiting: u64,
    /// Parts that are queried because their carrier sends no receipts.
    pub asked: u64,
    /// Parked receipts.
    pub orphans: u64,
    /// Messages from handsets that are kept, and their bytes.
    pub handsets: (u64, u64),
    /// Messages from handsets that still lack parts.
    pub handsets_incomplete: u64,
    /// Why nothing is sent from here; `None` if something may be sent. Judged for bulk classes.
    pub held_by: Option<Hold>,
    /// Messages that wait for room of a limit, by limit.
    pub parked: Vec<(LimitId, u64)>,
    /// When the oldest message at the head of a list was accepted; `None` if no head is in memory.
    pub oldest: Option<Wall>,
    /// What was counted since the start.
    pub counters: Counters,
    /// What was measured since the start.
    pub measures: Measures,
}

/// Why a shard begins no attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// As many attempts are open or in doubt as may be.
    LedgerFull,
    /// The disk has no room left.
    DiskOut,
}

impl Hold {
    /// All reasons.
    pub const ALL: [Self; 2] = [Self::LedgerFull, Self::DiskOut];

    /// The name in metrics and alarms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LedgerFull => "ledger_full",
            Self::DiskOut => "disk_full",
        }
    }
}
