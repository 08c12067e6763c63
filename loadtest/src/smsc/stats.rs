//! The simulator's report as JSON: written at its end, answered on its control port, read by the scenarios. Only names
//! and units; counting is done elsewhere.

use serde::{Deserialize, Serialize};

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub submits: SubmitStats,
    pub messages: MessageStats,
    pub receipts: ReceiptStats,
    pub pace: PaceStats,
    pub connections: ConnectionStats,
    /// Every bind of this run, at most a thousand.
    pub binds: Vec<BindStats>,
}

/// `submit_sm` PDUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubmitStats {
    /// Arrived, whatever the outcome.
    pub received: u64,
    /// Taken by the carrier, whether it answered so or not.
    pub taken: u64,
    /// Answered "throttled".
    pub throttled: u64,
    /// Answered with any other error.
    pub refused: u64,
    /// Never answered.
    pub unanswered: u64,
    /// Sent beyond the window that the carrier permits.
    pub beyond_window: u64,
    /// Not allowed by the specification.
    pub malformed: u64,
}

/// Messages, told apart by the serial numbers in their bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageStats {
    /// Taken at least once.
    pub distinct: u64,
    /// How often a message was taken again after the first time.
    pub repeats: u64,
    /// Parts without a serial number.
    pub unmarked: u64,
    /// First submits that came after that of a later message to the same recipient.
    pub overtaken: u64,
    /// How many serials below the query's `expect` never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Time from the offer of a message to its first submit.
    pub age_us: Quantiles,
    /// Messages to watched recipients, and their ages, which are not among those above.
    #[serde(default)]
    pub watched: u64,
    #[serde(default)]
    pub watched_age_us: Quantiles,
}

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Quantiles {
    /// Reads the four quantiles from `value_at`, which takes 0 to 1.
    pub(crate) fn read(value_at: impl Fn(f64) -> u64) -> Self {
        Self { p50: value_at(0.5), p99: value_at(0.99), p999: value_at(0.999), max: value_at(1.0) }
    }
}

/// `deliver_sm` PDUs with receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReceiptStats {
    /// Planned; those neither acknowledged nor refused will still be sent (again).
    pub planned: u64,
    /// Written to a connection, repetitions after a lost connection included.
    pub sent: u64,
    /// Acknowledged by `deliver_sm_resp` with status 0.
    pub acknowledged: u64,
    /// Acknowledged with another status; sent again a second later.
    pub refused: u64,
    /// Queries about messages (`query_sm`).
    pub queries: u64,
    /// Answers to queries that told a final state.
    pub ends_told: u64,
}

/// The rate of submits over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PaceStats {
    pub parts: u64,
    /// Time from the first to the last, in seconds.
    pub span_s: f64,
    pub mean_per_s: f64,
    /// Parts in the worst sliding second, by the moments of reading.
    pub worst_second_seen: u32,
    /// Parts that were certainly written within one second of each other.
    pub worst_second_proven: u32,
    /// Width of the interval in which an arrival is known to be.
    pub jitter_us: Quantiles,
    /// Parts in each second since the first; the first hour.
    pub per_second: Vec<u32>,
}

/// TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionStats {
    pub accepted: u64,
    pub bound: u64,
    pub binds_refused: u64,
    /// Closed because their bytes were not SMPP.
    pub broken: u64,
    /// Closed by the simulator, because of its behaviour or a command.
    pub closed_by_us: u64,
    pub open: u64,
}

/// One bind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindStats {
    pub system_id: String,
    /// `transceiver`, `transmitter` or `receiver`.
    pub role: String,
    pub open: bool,
    pub submits: u64,
    /// The most submits that were certainly unanswered at one time.
    pub outstanding_max: u32,
    pub worst_second_seen: u32,
    pub worst_second_proven: u32,
    pub receipts_acknowledged: u64,
}
