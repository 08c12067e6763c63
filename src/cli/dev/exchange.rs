//! The simulated carrier as its connections and the page share it: the messages it accepted, the receipts and handset texts
//! that wait, the switches that are on. Knows the carrier's behaviour, its inbox and its memory; knows no sockets and sessions.
//!
//! One lock protects all of it, held for one decision and never across a wait. What is delivered goes out over the first bind
//! that asks, so that a receipt survives the bind over which its message was submitted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::chaos::Chaos;
use super::handset::{PARTS_WAITING_MAX, Pace, Refused, Text};
use super::inbox::{Arrived, Inbox, Part, Place, Way};
use super::journal::{Journal, Note, Planned, Word};
use crate::host::clock::Clock;
use stentor_core::model::{Mono, Now, Wall};
use stentor_core::sim::carrier::{FakeCarrier, Fate, IssuedId, Reaction, ReceiptBody, Reply, SubmitSeen};
use stentor_smpp::pdu::{Address, EsmClass, ShortMessage, npi, ton};
use stentor_smpp::status::CommandStatus;
use stentor_smpp::tlv::Tlvs;

/// Messages that the page can show.
const KEPT_MAX: usize = 10_000;
/// Receipts and texts that may wait for a bind; beyond this the one due last is dropped. More than ten minutes of a laptop's load.
const WAITING_MAX: usize = 1_000_000;
/// Time until a refused delivery is tried again.
const REFUSED_PAUSE_MS: u64 = 1_000;

/// A connection's answer to a submit, and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DueResponse {
    /// Time on the exchange's clock.
    pub(super) at: Mono,
    pub(super) said: Said,
}

/// A connection's answer to a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A `submit_sm_resp`.
    Resp(CommandStatus, Vec<u8>),
    /// No answer, ever.
    Nothing,
    /// The connection is closed.
    HangUp,
}

/// A delivery receipt that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    id: IssuedId,
    fate: Fate,
    place: Place,
    to: String,
    from: String,
    submitted_ms: u64,
}

/// What a connection delivers to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// A part's delivery receipt.
    Receipt(Receipt),
    /// A part that a handset wrote, and its place in the inbox.
    Text(Part, Place),
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// Changes with each restart, because the numbers of changes begin anew.
    epoch: u64,
    chaos: Chaos,
    kept: usize,
    arrived: u64,
    messages: Vec<&'a Arrived>,
}

/// The simulated carrier. See the head of this file.
#[derive(Debug)]
pub(super) struct Exchange {
    clock: Clock,
    epoch: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    carrier: FakeCarrier,
    chaos: Chaos,
    inbox: Inbox,
    journal: Option<Journal>,
    waiting: BTreeMap<(Mono, u64), Delivery>,
    entered: u64,
    pace: Pace,
    /// Parts that handsets have ever written; gives them their ids.
    written: u64,
    /// Parts that handsets wrote and that the daemon has not accepted yet.
    unheard: usize,
}

impl Exchange {
    /// Begins with the memory of an earlier process. The seed must differ in each process, because ids follow from it.
    pub(super) fn new(clock: Clock, seed: u64, memory: Option<(Journal, Vec<Note>)>) -> Self {
        let (journal, notes) = memory.map_or((None, Vec::new()), |(journal, notes)| (Some(journal), notes));
        let chaos = Chaos::default();
        let mut state = State {
            carrier: FakeCarrier::new(chaos.behaviour(), seed),
            chaos,
            inbox: Inbox::new(KEPT_MAX),
            journal,
            waiting: BTreeMap::new(),
            entered: 0,
            pace: Pace::default(),
            written: 0,
            unheard: 0,
        };
        state.remember(notes, clock.now());
        Self { clock, epoch: seed, state: Mutex::new(state) }
    }

    /// The current time of its clock.
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Decides on a submit and stores the message if it is accepted.
    pub(super) fn handle_submit(&self, message: &ShortMessage<'_>) -> DueResponse {
        self.lock().handle_submit(message, self.clock.now())
    }

    /// A phone writes a text. Either all its parts will be delivered, or none is kept.
    ///
    /// # Errors
    /// The text was not kept, and why.
    pub(super) fn write(&self, text: &Text<'_>) -> Result<(), Refused> {
        self.lock().write(text, self.clock.now())
    }

    /// The next delivery that is due, or when one will be, as far as is known.
    pub(super) fn poll_delivery(&self) -> Result<Delivery, Option<Mono>> {
        match self.lock().waiting.first_entry() {
            Some(first) if first.key().0 <= self.clock.mono() => Ok(first.remove()),
            Some(first) => Err(Some(first.key().0)),
            None => Err(None),
        }
    }

    /// The delivery failed or was refused: it waits for another try.
    pub(super) fn hand_back(&self, delivery: Delivery) {
        let at = self.clock.mono().after_ms(REFUSED_PAUSE_MS);
        self.lock().enter(at, delivery);
    }

    /// The delivery was sent and answered.
    pub(super) fn handle_told(&self, delivery: &Delivery) {
        let mut state = self.lock();
        match delivery {
            Delivery::Receipt(receipt) => {
                state.inbox.note_receipt(receipt.place, receipt.fate);
                state.note(&Note::Told { id: receipt.id.0, fate: Word(receipt.fate) });
            }
            Delivery::Text(part, place) => {
                state.unheard -= 1;
                state.inbox.note_taken(*place);
                state.note(&Note::Heard { id: part.id });
            }
        }
    }

    /// Writes the content of a receipt's `deliver_sm`; a text has its own.
    pub(super) fn write_body(&self, delivery: &Delivery, body: &mut ReceiptBody) {
        let Delivery::Receipt(receipt) = delivery else { return };
        let submitted = Wall(receipt.submitted_ms);
        body.write(receipt.id, receipt.fate, submitted, self.clock.now().wall, self.lock().carrier.behaviour());
    }

    /// Sets the switches, from the next submit on.
    pub(super) fn set_chaos(&self, chaos: Chaos) {
        let mut state = self.lock();
        state.chaos = chaos;
        state.carrier.set_behaviour(chaos.behaviour());
    }

    /// A JSON document with at most `max` messages that changed after `revision`.
    pub(super) fn shown(&self, revision: u64, max: usize) -> Vec<u8> {
        let state = self.lock();
        let (kept, arrived) = state.inbox.count();
        let messages = state.inbox.since(revision, max);
        // Writing to memory cannot fail, and every key is a string.
        serde_json::to_vec(&Shown { epoch: self.epoch, chaos: state.chaos, kept, arrived, messages })
            .unwrap_or_default()
    }

    /// A poisoned lock still holds complete values, because each is changed in one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn handle_submit(&mut self, message: &ShortMessage<'_>, now: Now) -> DueResponse {
        let seen = SubmitSeen {
            recipient: message.destination.digits,
            registered_delivery: message.registered_delivery,
            user_data: message.user_data(),
        };
        let answer = self.carrier.handle_submit(&seen, now.mono);
        if let Some(id) = answer.taken {
            let part = Part {
                at_ms: now.wall.0,
                to: number(&message.destination),
                from: number(&message.source),
                data_coding: message.data_coding,
                has_header: message.esm_class.has_udh(),
                user_data: message.user_data().to_vec(),
                id: id.0,
            };
            self.take(part, &answer, now);
        }
        DueResponse { at: now.mono.after_ns(answer.reply_after_us * 1_000), said: self.said(answer.reply) }
    }

    fn said(&self, reply: Reply) -> Said {
        match reply {
            Reply::Accept(id) => {
                let mut text = Vec::new();
                id.write_in_response(self.carrier.behaviour().id_dialect, &mut text);
                Said::Resp(CommandStatus::ROK, text)
            }
            Reply::Refuse(status) => Said::Resp(CommandStatus(status), Vec::new()),
            Reply::Silence => Said::Nothing,
            Reply::Disconnect => Said::HangUp,
        }
    }

    fn take(&mut self, part: Part, answer: &Reaction, now: Now) {
        let awaits_receipt = answer.receipts().next().is_some();
        let place = self.inbox.take(&part, Way::Arrives { awaits_receipt });
        let mut receipts = Vec::new();
        for plan in answer.receipts() {
            let after_ns = plan.after_us * 1_000;
            receipts.push(Planned { at_ms: now.after_ns(after_ns).wall.0, fate: Word(plan.fate) });
            self.enter(now.mono.after_ns(after_ns), receipt(&part, place, plan.fate));
        }
        self.note(&Note::Taken { part, receipts });
    }

    fn note(&mut self, note: &Note) {
        if let Some(journal) = &mut self.journal {
            journal.write(note);
        }
    }

    fn write(&mut self, text: &Text<'_>, now: Now) -> Result<(), Refused> {
        let parts = text.parts(now, self.written + 1)?;
        if self.unheard + parts.len() > PARTS_WAITING_MAX {
            return Err(Refused::TooManyWait);
        }
        if !self.pace.take(now.mono) {
            return Err(Refused::TooOften);
        }
        for part in parts {
            self.note(&Note::Written { part: part.clone() });
            let place = self.take_written(&part);
            self.enter(now.mono, Delivery::Text(part, place));
        }
        Ok(())
    }

    fn take_written(&mut self, part: &Part) -> Place {
        self.written = self.written.max(part.id);
        self.unheard += 1;
        self.inbox.take(part, Way::Written)
    }

    fn enter(&mut self, at: Mono, delivery: Delivery) {
        self.entered += 1;
        self.waiting.insert((at, self.entered), delivery);
        if self.waiting.len() > WAITING_MAX
            && let Some((_, Delivery::Text(..))) = self.waiting.pop_last()
        {
            self.unheard -= 1;
        }
    }

    /// Replays an earlier process's notes. Deliveries whose time has passed are due at once.
    fn remember(&mut self, notes: Vec<Note>, now: Now) {
        let mut open: BTreeMap<u64, (Part, Place, Vec<Planned>)> = BTreeMap::new();
        let mut unheard: BTreeMap<u64, (Part, Place)> = BTreeMap::new();
        for note in notes {
            match note {
                Note::Taken { part, receipts } => {
                    let place = self.inbox.take(&part, Way::Arrives { awaits_receipt: !receipts.is_empty() });
                    open.insert(part.id, (part, place, receipts));
                }
                Note::Told { id, fate } => {
                    let Some((_, place, receipts)) = open.get_mut(&id) else { continue };
                    self.inbox.note_receipt(*place, fate.0);
                    if let Some(at) = receipts.iter().position(|planned| planned.fate == fate) {
                        receipts.remove(at);
                    }
                }
                Note::Written { part } => {
                    let place = self.take_written(&part);
                    unheard.insert(part.id, (part, place));
                }
                Note::Heard { id } => {
                    let Some((_, place)) = unheard.remove(&id) else { continue };
                    self.inbox.note_taken(place);
                }
            }
        }
        self.unheard = unheard.len();
        for (part, place) in unheard.into_values() {
            self.enter(now.mono, Delivery::Text(part, place));
        }
        for (part, place, receipts) in open.into_values() {
            for Planned { at_ms, fate } in receipts {
                self.enter(now.mono_at(Wall(at_ms)), receipt(&part, place, fate.0));
            }
        }
    }
}

fn receipt(part: &Part, place: Place, fate: Fate) -> Delivery {
    let (to, from) = (part.to.clone(), part.from.clone());
    Delivery::Receipt(Receipt { id: IssuedId(part.id), fate, place, to, from, submitted_ms: part.at_ms })
}

impl Delivery {
    /// The `deliver_sm`. `body` is what [`Exchange::write_body`] wrote for it.
    pub(super) fn message<'a>(&'a self, body: &'a ReceiptBody) -> ShortMessage<'a> {
        match self {
            // A receipt goes from the recipient back to the sender.
            Self::Receipt(receipt) => ShortMessage {
                source: address(&receipt.to),
                destination: address(&receipt.from),
                esm_class: EsmClass(body.esm_class),
                short_message: &body.short_message,
                tlvs: Tlvs::new(&body.tlvs),
                ..ShortMessage::default()
            },
            Self::Text(part, _) => ShortMessage {
                source: address(&part.from),
                destination: address(&part.to),
                esm_class: if part.has_header { EsmClass::UDHI } else { EsmClass::DEFAULT },
                data_coding: part.data_coding,
                short_message: &part.user_data,
                ..ShortMessage::default()
            },
        }
    }
}

/// The address as people write it.
fn number(address: &Address<'_>) -> String {
    let text: String = address.digits.iter().map(|byte| char::from(*byte)).filter(|c| !c.is_control()).collect();
    let international = address.ton == ton::INTERNATIONAL && !text.starts_with('+');
    if international { format!("+{text}") } else { text }
}

/// The reverse of [`number`]; characters that are not ASCII, which the wire does not allow, are dropped.
fn address(number: &str) -> Address<'_> {
    let ascii = number.find(|c: char| !c.is_ascii()).map_or(number, |at| &number[..at]);
    match ascii.strip_prefix('+') {
        Some(digits) => Address { ton: ton::INTERNATIONAL, npi: npi::E164, digits: digits.as_bytes() },
        None if ascii.bytes().all(|byte| byte.is_ascii_digit()) => {
            Address { ton: ton::NETWORK_SPECIFIC, npi: npi::UNKNOWN, digits: ascii.as_bytes() }
        }
        None => Address { ton: ton::ALPHANUMERIC, npi: npi::UNKNOWN, digits: ascii.as_bytes() },
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
