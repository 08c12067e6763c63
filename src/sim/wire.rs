//! What stands on the wire: octets as sockets take them, cut into PDUs by a hand of its own, and judged against the
//! contract at the instants of write.

use std::collections::{BTreeMap, VecDeque};

use crate::smpp::decode::decode;
use crate::smpp::framer::Framer;
use crate::smpp::pdu::Pdu;

use super::agenda::SECOND;
use super::happening::ConnId;
use super::part::PartSeen;

/// `command_id` of submit_sm (SMPP 3.4 §5.1.2.1).
const SUBMIT_SM: u32 = 0x0000_0004;

const PDU_OCTETS_MAX: usize = 65_536;

/// The last parts of one carrier, at most as many as it permits in a second.
#[derive(Debug)]
struct Meter {
    rate: Option<u32>,
    instants: VecDeque<u64>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Wire {
    meters: Vec<Meter>,
    streams: BTreeMap<ConnId, Vec<u8>>,
    /// The order in which messages were first seen.
    first: BTreeMap<u32, u64>,
    next: u64,
    /// What cannot be read, or breaks the contract.
    complaints: Vec<Complaint>,
}

/// What is wrong on the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Too many parts in a second.
    Rate(String),
    /// Too many submits without an answer.
    Window(String),
    /// No SMPP.
    Unreadable(String),
}

impl Wire {
    /// Carriers with these rates, in parts per second.
    pub fn new(rates: Vec<Option<u32>>) -> Self {
        let meters = rates.into_iter().map(|rate| Meter { rate, instants: VecDeque::new() }).collect();
        Self { meters, ..Self::default() }
    }

    /// A socket took octets at that instant. Gives the parts that are now whole.
    pub fn wrote(&mut self, id: ConnId, carrier: usize, octets: &[u8], at_ns: u64) -> Vec<PartSeen> {
        let stream = self.streams.entry(id).or_default();
        stream.extend_from_slice(octets);
        let mut parts = Vec::new();
        while let Some(length) = stream.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) {
            if !(16..=PDU_OCTETS_MAX).contains(&length) {
                self.complaints.push(Complaint::Unreadable(format!("a PDU of {length} octets")));
                break;
            }
            if stream.len() < length {
                break;
            }
            let pdu: Vec<u8> = stream.drain(..length).collect();
            if pdu[4..8] == SUBMIT_SM.to_be_bytes() {
                parts.push(part_of(&pdu));
                if let Some(complaint) = self.meters[carrier].count(carrier, at_ns) {
                    self.complaints.push(complaint);
                }
            }
        }
        parts
    }

    /// A message is seen; the first time counts.
    pub fn note_first(&mut self, message: u32) {
        self.next += 1;
        self.first.entry(message).or_insert(self.next);
    }

    /// When messages were first seen.
    pub const fn first(&self) -> &BTreeMap<u32, u64> {
        &self.first
    }

    /// A message that had not been seen then counts as not seen.
    pub fn go_back_to(&mut self, then: &BTreeMap<u32, u64>) {
        self.first.clone_from(then);
    }

    /// When a message was first seen, in the order of all.
    pub fn first_of(&self, message: u32) -> Option<u64> {
        self.first.get(&message).copied()
    }

    /// Submits without an answer, as the carrier counts them.
    pub fn check_window(&mut self, carrier: usize, unanswered: u32, window: u32) {
        if unanswered > window {
            self.complaints.push(Complaint::Window(format!("carrier {carrier} has {unanswered} of {window}")));
        }
    }

    /// Somebody could not read something.
    pub fn report_malformed(&mut self, what: String) {
        self.complaints.push(Complaint::Unreadable(what));
    }

    /// A connection's end.
    pub fn handle_end(&mut self, id: ConnId) {
        self.streams.remove(&id);
    }

    /// Every connection's end.
    pub fn handle_crash(&mut self) {
        self.streams.clear();
    }

    /// What is wrong since the last time.
    pub fn complaint(&mut self) -> Option<Complaint> {
        (!self.complaints.is_empty()).then(|| self.complaints.swap_remove(0))
    }
}

impl Meter {
    fn count(&mut self, carrier: usize, at_ns: u64) -> Option<Complaint> {
        let rate = self.rate? as usize;
        self.instants.push_back(at_ns);
        if self.instants.len() <= rate {
            return None;
        }
        let first = self.instants.pop_front()?;
        let span = at_ns - first;
        (span < SECOND).then(|| Complaint::Rate(format!("carrier {carrier} gets {} parts in {span} ns", rate + 1)))
    }
}

fn part_of(pdu: &[u8]) -> PartSeen {
    let mut framer = Framer::new(PDU_OCTETS_MAX as u32);
    let mut input = pdu;
    let Some(Ok(frame)) = framer.next_frame(&mut input) else { return PartSeen::default() };
    match decode(&frame).map(|decoded| decoded.pdu) {
        Ok(Pdu::SubmitSm(message)) => PartSeen::of(&message),
        Ok(_) | Err(_) => PartSeen::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_part_too_many_and_no_other() {
        let mut meter = Meter { rate: Some(2), instants: VecDeque::new() };
        let mut count = |at_ns| meter.count(0, at_ns).is_some();
        assert_eq!([0, 10, SECOND - 1, SECOND + 9].map(&mut count), [false, false, true, true]);
        assert!(!count(3 * SECOND), "a second later all is well");
    }
}
