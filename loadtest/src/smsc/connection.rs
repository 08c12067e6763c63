//! One client's connection: its bytes, its bind, its receipts and its counts. Knows nothing of other connections;
//! `session.rs` knows what the PDUs mean.

use super::pace::Pace;
use super::receipts::{ConnectionId, DeliverWindow};
use super::stats::BindStats;
use super::stream::Stream;

/// The kind of bind of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Transmitter,
    Receiver,
    Transceiver,
}

impl Role {
    /// Whether it may submit.
    pub(super) const fn submits(self) -> bool {
        matches!(self, Self::Transmitter | Self::Transceiver)
    }

    /// Whether it may be sent receipts.
    pub(super) const fn receives(self) -> bool {
        matches!(self, Self::Receiver | Self::Transceiver)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Transmitter => "transmitter",
            Self::Receiver => "receiver",
            Self::Transceiver => "transceiver",
        }
    }
}

/// A successful bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub role: Role,
    /// Index of the account.
    pub account: u32,
}

/// A connection from its acceptance to its end.
#[derive(Debug)]
pub(super) struct Connection {
    pub id: ConnectionId,
    pub stream: Stream,
    pub bound: Option<Bound>,
    pub receipts: DeliverWindow,
    pub pace: Pace,
    /// To be read again although the poll will not report it again.
    pub is_ready: bool,
    /// To be closed once its output is written.
    pub is_closing: bool,
    /// Submits whose answer is still in the wheel.
    pub unanswered: u32,
    /// Submits in the input that is being handled.
    pub in_this_read: u32,
    /// Those of them whose answer is written in the present round.
    pub answered_in_this_read: u32,
    pub submits: u64,
    pub outstanding_max: u32,
    pub receipts_acknowledged: u64,
}

impl Connection {
    /// A new connection, not bound; `window` limits its unacknowledged receipts.
    pub(super) fn new(id: ConnectionId, stream: Stream, window: usize) -> Self {
        Self {
            id,
            stream,
            bound: None,
            receipts: DeliverWindow::new(window),
            pace: Pace::default(),
            is_ready: false,
            is_closing: false,
            unanswered: 0,
            in_this_read: 0,
            answered_in_this_read: 0,
            submits: 0,
            outstanding_max: 0,
            receipts_acknowledged: 0,
        }
    }

    /// Its counts; `None` before a bind. `system_id` is the account's name.
    pub(super) fn stats(&self, system_id: &str, open: bool) -> Option<BindStats> {
        self.bound.map(|bound| BindStats {
            system_id: system_id.to_owned(),
            role: bound.role.name().to_owned(),
            open,
            submits: self.submits,
            outstanding_max: self.outstanding_max,
            worst_second_seen: self.pace.worst_seen(),
            worst_second_proven: self.pace.worst_proven(),
            receipts_acknowledged: self.receipts_acknowledged,
        })
    }
}
