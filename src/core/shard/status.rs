//! How a shard stands, as values.

use std::collections::BTreeMap;

use crate::model::{CarrierId, Class, TenantId, Wall};
use crate::traffic::Unanswered;

use super::counters::{Counters, Measures};

/// How a shard stands, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Messages ready, by class.
    pub waiting: [u64; Class::COUNT],
    /// Entries put off.
    pub scheduled: u64,
    /// Messages of each tenant that wait, ready or put off; of those that have any.
    pub tenants: Vec<(TenantId, u64)>,
    /// Attempts without an outcome.
    pub open: u64,
    /// Ledger entries.
    pub doubts: u64,
    /// The same by carrier, class and reason.
    pub ledger: BTreeMap<(CarrierId, Class, Unanswered), u64>,
    /// Fingerprints in the window.
    pub keys: u64,
    /// Parts in the open epoch whose final receipt is missing.
    pub receipts_waiting: u64,
    /// Parts about which carriers are asked that send no receipts.
    pub asked: u64,
    /// Receipts parked.
    pub orphans: u64,
    /// Messages from handsets kept, and their bytes.
    pub handsets: (u64, u64),
    /// Messages from handsets of which parts are missing.
    pub handsets_incomplete: u64,
    /// Why nothing is sent from here, if nothing is.
    pub held_by: Option<Hold>,
    /// When the oldest ready message at a head was accepted.
    pub oldest: Option<Wall>,
    /// What was counted since the start.
    pub counters: Counters,
    /// What was measured since the start.
    pub measures: Measures,
}

/// Why a shard begins no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// As many attempts are without an answer, or in doubt, as may be.
    LedgerFull,
    /// The disk has no room.
    DiskOut,
}

impl Hold {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LedgerFull, Self::DiskOut];

    /// The name in metrics and alarms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LedgerFull => "ledger_full",
            Self::DiskOut => "disk_full",
        }
    }
}
