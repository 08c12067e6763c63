//! What is on the wire: bytes as sockets accept them, cut into PDUs by code of its own, and judged against the contract
//! at the time of the write.

use std::collections::{BTreeMap, VecDeque};

use stentor_smpp::decode::decode;
use stentor_smpp::framer::Framer;
use stentor_smpp::pdu::Pdu;

use super::agenda::SECOND;
use super::happening::ConnId;
use super::part::PartSeen;

/// `command_id` of submit_sm (SMPP 3.4 §5.1.2.1).
const SUBMIT_SM: u32 = 0x0000_0004;

const PDU_BYTES_MAX: usize = 65_536;

/// How long after a reload parts that were taken under an older contract may still come out of a slow socket; includes
/// the second before.
const OLD_CONTRACT_NS: u64 = 4 * SECOND;

/// The agreed rates, in parts per second, each with the time since when it holds.
#[derive(Clone, Debug)]
struct Contract(Vec<(u64, Option<u32>)>);

impl Contract {
    fn new(rate: Option<u32>) -> Self {
        Self(vec![(0, rate)])
    }

    /// The greatest rate that was agreed recently; `None`: there was no limit.
    fn most(&self, at_ns: u64) -> Option<u32> {
        let newer = self.0.iter().rev().position(|(since_ns, _)| since_ns + OLD_CONTRACT_NS <= at_ns);
        let of_late = self.0.iter().rev().take(newer.map_or(usize::MAX, |newer| newer + 1));
        of_late.map(|(_, rate)| *rate).try_fold(0, |most, rate| rate.map(|rate| rate.max(most)))
    }
}

/// The parts of the last second.
#[derive(Debug, Default)]
struct Meter {
    instants: VecDeque<u64>,
}

/// What was seen on the wire.
#[derive(Debug, Default)]
pub struct Wire {
    /// By carrier: the contract of all its binds together, and of each.
    contracts: Vec<[Contract; 2]>,
    meters: Vec<Meter>,
    binds: BTreeMap<ConnId, Meter>,
    streams: BTreeMap<ConnId, Vec<u8>>,
    /// By message: its position in the order in which messages were first seen.
    first: BTreeMap<u32, u64>,
    next: u64,
    /// What could not be read, or breaks the contract.
    complaints: Vec<Complaint>,
}

/// What is wrong on the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Too many parts in a second.
    Rate(String),
    /// Too many submits without an answer.
    Window(String),
    /// Bytes that are not SMPP.
    Unreadable(String),
}

impl Wire {
    /// Carriers with these rates, in parts per second: of all binds together, and of each.
    pub fn new(rates: Vec<[Option<u32>; 2]>) -> Self {
        let meters = rates.iter().map(|_| Meter::default()).collect();
        Self { meters, contracts: rates.into_iter().map(|rates| rates.map(Contract::new)).collect(), ..Self::default() }
    }

    /// Other rates hold from now on.
    pub fn agree(&mut self, carrier: usize, rates: [Option<u32>; 2], at_ns: u64) {
        for (contract, rate) in self.contracts[carrier].iter_mut().zip(rates) {
            if contract.0.last().is_none_or(|(_, known)| *known != rate) {
                contract.0.push((at_ns, rate));
            }
        }
    }

    /// A socket accepted bytes at `at_ns`. Gives the parts that are now complete.
    pub fn wrote(&mut self, id: ConnId, carrier: usize, bytes: &[u8], at_ns: u64) -> Vec<PartSeen> {
        let stream = self.streams.entry(id).or_default();
        stream.extend_from_slice(bytes);
        let mut parts = Vec::new();
        while let Some(length) = stream.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) {
            if !(16..=PDU_BYTES_MAX).contains(&length) {
                self.complaints.push(Complaint::Unreadable(format!("a PDU of {length} bytes")));
                break;
            }
            if stream.len() < length {
                break;
            }
            let pdu: Vec<u8> = stream.drain(..length).collect();
            if pdu[4..8] == SUBMIT_SM.to_be_bytes() {
                parts.push(part_of(&pdu));
                let [all, each] = &self.contracts[carrier];
                let (of_all, of_each) = (all.most(at_ns), each.most(at_ns));
                let all =
                    self.meters[carrier].count(of_all, at_ns).map(|parts| format!("carrier {carrier} gets {parts}"));
                let bind = self.binds.entry(id).or_default().count(of_each, at_ns);
                let bind = bind.map(|parts| format!("{id:?} of carrier {carrier} gets {parts}"));
                self.complaints.extend(
                    all.into_iter().chain(bind).map(|what| Complaint::Rate(format!("{what} parts in a second"))),
                );
            }
        }
        parts
    }

    /// A message is seen; the first time counts.
    pub fn note_first(&mut self, message: u32) {
        self.next += 1;
        self.first.entry(message).or_insert(self.next);
    }

    /// The position of each message in the order in which they were first seen.
    pub const fn first(&self) -> &BTreeMap<u32, u64> {
        &self.first
    }

    /// Forgets the messages that had not been seen at that time.
    pub fn go_back_to(&mut self, then: &BTreeMap<u32, u64>) {
        self.first.clone_from(then);
    }

    /// The position of a message in the order in which they were first seen.
    pub fn first_of(&self, message: u32) -> Option<u64> {
        self.first.get(&message).copied()
    }

    /// Submits without an answer, as the carrier counts them.
    pub fn check_window(&mut self, carrier: usize, unanswered: u32, window: u32) {
        if unanswered > window {
            self.complaints.push(Complaint::Window(format!("carrier {carrier} has {unanswered} of {window}")));
        }
    }

    /// Bytes could not be read.
    pub fn report_malformed(&mut self, what: String) {
        self.complaints.push(Complaint::Unreadable(what));
    }

    /// A connection has ended.
    pub fn handle_end(&mut self, id: ConnId) {
        self.streams.remove(&id);
        self.binds.remove(&id);
    }

    /// Every connection has ended.
    pub fn handle_crash(&mut self) {
        self.streams.clear();
        self.binds.clear();
    }

    /// The next problem that was not reported yet.
    pub fn complaint(&mut self) -> Option<Complaint> {
        (!self.complaints.is_empty()).then(|| self.complaints.swap_remove(0))
    }
}

impl Meter {
    /// Counts one more part; gives the number of parts in the last second if that is too many.
    fn count(&mut self, most: Option<u32>, at_ns: u64) -> Option<usize> {
        self.instants.push_back(at_ns);
        while self.instants.front().is_some_and(|first| first + SECOND <= at_ns) {
            self.instants.pop_front();
        }
        let parts = self.instants.len();
        most.filter(|most| parts > *most as usize).map(|_| parts)
    }
}

fn part_of(pdu: &[u8]) -> PartSeen {
    let mut framer = Framer::new(PDU_BYTES_MAX as u32);
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
        let mut meter = Meter::default();
        let mut count = |at_ns| meter.count(Some(2), at_ns).is_some();
        assert_eq!([0, 10, SECOND - 1, SECOND + 11].map(&mut count), [false, false, true, false]);
        assert!(!count(3 * SECOND), "a second later the rate is within its limit");
    }

    #[test]
    fn the_higher_of_two_contracts_counts_while_one_takes_the_place_of_the_other() {
        let mut wire = Wire::new(vec![[Some(5), None]]);
        wire.agree(0, [Some(2), Some(1)], 10 * SECOND);
        let most = |at_ns| [0, 1].map(|which: usize| wire.contracts[0][which].most(at_ns));
        assert_eq!(most(9 * SECOND), [Some(5), None]);
        assert_eq!(most(13 * SECOND), [Some(5), None]);
        assert_eq!(most(14 * SECOND), [Some(2), Some(1)]);
    }
}
