//! What carriers that send no receipts know of the messages that they took, for answers to `query_sm`.

use std::collections::BTreeMap;

use stentor_smpp::pdu::QuerySmResp;
use stentor_smpp::time_format::{SmppTime, TIME_BYTES};

use super::agenda::MS;
use super::carrier::{Fate, IssuedId};

/// The date at which virtual time begins in those answers, ms.
const START_MS: i64 = 1_700_000_000_000;

/// How a message ends at its carrier.
#[derive(Clone, Debug)]
pub struct End {
    /// The number behind its id.
    pub id: IssuedId,
    /// The final state of the message...
    pub fate: Fate,
    /// ... which it has from this time on.
    pub at_ns: u64,
    /// The address to which it was sent.
    pub recipient: Vec<u8>,
    /// The address from which it was sent.
    pub sender: Vec<u8>,
}

/// The ends of messages, by carrier and by id as the answer to the submit spelled it.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<(usize, Vec<u8>), End>);

impl Known {
    /// A carrier took a message under that id.
    pub fn note(&mut self, carrier: usize, id: Vec<u8>, end: End) {
        self.0.insert((carrier, id), end);
    }

    /// The message that a query is about. A query with another sender than the message had finds none.
    pub fn find(&self, carrier: usize, id: &[u8], sender: &[u8]) -> Option<&End> {
        let end = self.0.get(&(carrier, id.to_vec()))?;
        Some(end).filter(|end| sender.is_empty() || sender == end.sender)
    }
}

impl End {
    /// The state of the message at `now_ns`.
    pub fn fate_at(&self, now_ns: u64) -> Fate {
        if self.at_ns <= now_ns { self.fate } else { Fate::Enroute }
    }

    /// The answer to a query; `date` is filled if the message has reached its end.
    pub fn answer<'a>(&self, now_ns: u64, id: &'a [u8], date: &'a mut [u8; TIME_BYTES]) -> QuerySmResp<'a> {
        let fate = self.fate_at(now_ns);
        let written = SmppTime::Absolute { unix_ms: START_MS + (self.at_ns / MS) as i64 }.write();
        let final_date: &[u8] = match written {
            Ok(written) if fate != Fate::Enroute => {
                *date = written;
                date
            }
            Ok(_) | Err(_) => &[],
        };
        let error_code = if matches!(fate, Fate::Enroute | Fate::Delivered) { 0 } else { 27 };
        QuerySmResp { message_id: id, final_date, message_state: fate.state_byte(), error_code }
    }
}
