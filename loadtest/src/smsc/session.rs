//! What the simulator does with each PDU, and the state that all connections share: carrier, counts, accounts, the
//! wheel of scheduled events. Handles one connection at a time and no socket; `simulator.rs` decides which connections
//! are read and written.

use std::collections::VecDeque;

use stentor_core::model::time::{Mono, Wall};
use stentor_core::sim::carrier::{Behaviour, FakeCarrier, Fate, Reaction, ReceiptBody, ReceiptPlan, Reply, SubmitSeen};
use stentor_smpp::time_format::SmppTime;

use super::arrivals::Arrivals;
use super::connection::{Bound, Connection, Role};
use super::queries::{End, Ends};
use super::receipts::{ConnectionId, OwnedAddress, Receipt};
use super::stats::{ConnectionStats, ReceiptStats, SubmitStats};
use super::tally::{Tally, Watch};
use super::wheel::Wheel;
use super::wire::{self, Cut, Deliver, Header, command, status};
use crate::mark::read_digits;

/// Sequence number of `unbind`: those of receipts count up from 1 and do not reach it.
const GOODBYE_SEQUENCE: u32 = 0x7FFF_FFFF;
/// After this time a receipt that the client refused is sent again.
const REFUSED_AGAIN_MS: u64 = 1_000;

/// One reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// Nanoseconds since the simulator's start.
    pub mono_ns: u64,
    /// Microseconds since the Unix epoch.
    pub wall_us: u64,
}

impl Instant {
    /// Milliseconds since the simulator's start.
    pub(super) const fn mono_ms(self) -> u64 {
        self.mono_ns / 1_000_000
    }
}

/// A scheduled event in the wheel.
#[derive(Debug)]
pub(super) enum Later {
    /// The answer to a submit.
    Answer { to: ConnectionId, sequence: u32, reply: Reply },
    /// A receipt.
    Deliver(Receipt),
}

/// An account: all binds with one `system_id`, which share receipts.
#[derive(Debug)]
pub(super) struct Account {
    pub system_id: String,
    /// Connections that accept receipts.
    pub receivers: Vec<ConnectionId>,
    /// Connections that are bound.
    pub bound: u32,
    /// When the last submit was taken that kept the spacing.
    pub spaced_ns: Option<u64>,
    /// Receipts for which no connection is bound.
    pub orphans: VecDeque<Receipt>,
}

/// Which clients may bind, and how much may be outstanding.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// The only permitted name; `None`: any.
    pub system_id: Option<String>,
    pub password: Option<String>,
    /// Unanswered submits per bind, beyond which submits are throttled; 0 = no limit.
    pub window: u32,
    /// Binds of one account at a time; 0 = no limit.
    pub binds_max: u32,
    /// A submit of an account that comes sooner than this after the last one is throttled; 0: no limit.
    pub spacing_ns: u64,
}

/// Whether a connection continues after a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    /// Close at once.
    Close,
}

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct Desk {
    pub carrier: FakeCarrier,
    pub tally: Tally,
    pub arrivals: Arrivals,
    pub wheel: Wheel<Later>,
    pub accounts: Vec<Account>,
    pub submits: SubmitStats,
    pub receipts: ReceiptStats,
    pub connections: ConnectionStats,
    pub is_refusing_binds: bool,
    rules: Rules,
    body: ReceiptBody,
    ends: Ends,
}

impl Desk {
    /// A desk without accounts.
    pub(super) fn new(behaviour: Behaviour, seed: u64, rules: Rules, watch: Watch) -> Self {
        Self {
            carrier: FakeCarrier::new(behaviour, seed),
            tally: Tally::new(watch),
            arrivals: Arrivals::new(watch.arrivals),
            wheel: Wheel::new(0),
            accounts: Vec::new(),
            submits: SubmitStats::default(),
            receipts: ReceiptStats::default(),
            connections: ConnectionStats::default(),
            is_refusing_binds: false,
            rules,
            body: ReceiptBody::default(),
            ends: Ends::default(),
        }
    }

    /// Handles every complete PDU that the connection has received and appends the answers to its output. Gives the
    /// number of submits among them.
    pub(super) fn handle_input(&mut self, connection: &mut Connection, at: Instant) -> (u32, Next) {
        let (input, range) = connection.stream.take_input();
        let mut consumed = range.start;
        let mut next = Next::Continue;
        connection.in_this_read = 0;
        connection.answered_in_this_read = 0;
        while next == Next::Continue {
            match wire::cut(&input[consumed..range.end]) {
                Cut::Pdu(header, body) => {
                    consumed += header.length;
                    next = self.handle_pdu(connection, header, body, at);
                }
                Cut::Incomplete => break,
                Cut::Broken => {
                    self.connections.broken += 1;
                    next = Next::Close;
                }
            }
        }
        connection.stream.put_input(input, consumed);
        (connection.in_this_read, next)
    }

    fn handle_pdu(&mut self, connection: &mut Connection, header: Header, body: &[u8], at: Instant) -> Next {
        let Header { command: id, sequence, .. } = header;
        let out = &mut connection.stream.output;
        match id {
            command::SUBMIT_SM => return self.handle_submit(connection, sequence, body, at),
            command::QUERY_SM => self.handle_query(connection, sequence, body, at),
            command::DELIVER_SM_RESP => self.handle_acknowledgement(connection, header, at),
            command::BIND_TRANSMITTER => self.handle_bind(connection, header, body, Role::Transmitter),
            command::BIND_RECEIVER => self.handle_bind(connection, header, body, Role::Receiver),
            command::BIND_TRANSCEIVER => self.handle_bind(connection, header, body, Role::Transceiver),
            command::ENQUIRE_LINK => wire::write_empty(out, command::ENQUIRE_LINK_RESP, status::OK, sequence),
            command::UNBIND => {
                wire::write_empty(out, command::UNBIND_RESP, status::OK, sequence);
                connection.is_closing = true;
            }
            command::UNBIND_RESP => connection.is_closing = true,
            response if response & command::RESPONSE != 0 => {}
            _ => wire::write_empty(out, command::GENERIC_NACK, status::INVALID_COMMAND_ID, sequence),
        }
        Next::Continue
    }

    fn handle_bind(&mut self, connection: &mut Connection, header: Header, body: &[u8], role: Role) {
        let result = match wire::read_bind(body) {
            Err(_) => Err(status::INVALID_COMMAND_LENGTH),
            Ok(_) if connection.bound.is_some() => Err(status::ALREADY_BOUND),
            Ok(_) if self.is_refusing_binds => Err(status::SYSTEM_ERROR),
            Ok(bind) if !self.rules.permit(&bind) => Err(status::INVALID_PASSWORD),
            Ok(bind) => {
                let account = self.account_of(bind.system_id);
                let bound = self.accounts.get(account as usize).map_or(0, |account| account.bound);
                if self.rules.binds_max > 0 && bound >= self.rules.binds_max {
                    Err(status::BIND_FAILED)
                } else {
                    Ok(account)
                }
            }
        };
        match result {
            Ok(account) => {
                connection.bound = Some(Bound { role, account });
                self.connections.bound += 1;
                if let Some(account) = self.accounts.get_mut(account as usize) {
                    account.bound += 1;
                    if role.receives() {
                        account.receivers.push(connection.id);
                        account.orphans.drain(..).for_each(|receipt| connection.receipts.push(receipt));
                    }
                }
            }
            Err(_) => {
                self.connections.binds_refused += 1;
                connection.is_closing = connection.bound.is_none();
            }
        }
        let answer = header.command | command::RESPONSE;
        let status = result.err().unwrap_or(status::OK);
        wire::write_bind_response(&mut connection.stream.output, answer, status, header.sequence);
    }

    fn account_of(&mut self, system_id: &[u8]) -> u32 {
        let system_id = String::from_utf8_lossy(system_id);
        let known = self.accounts.iter().position(|account| account.system_id == system_id);
        let index = known.unwrap_or_else(|| {
            let system_id = system_id.into_owned();
            self.accounts.push(Account {
                system_id,
                receivers: Vec::new(),
                bound: 0,
                spaced_ns: None,
                orphans: VecDeque::new(),
            });
            self.accounts.len() - 1
        });
        index as u32
    }

    fn handle_submit(&mut self, connection: &mut Connection, sequence: u32, body: &[u8], at: Instant) -> Next {
        self.submits.received += 1;
        connection.submits += 1;
        connection.in_this_read += 1;
        // No answer of this round has been sent yet, so all of them are open at this moment.
        connection.answered_in_this_read += 1;
        let outstanding = connection.unanswered + connection.answered_in_this_read;
        connection.outstanding_max = connection.outstanding_max.max(outstanding);
        let account = match connection.bound {
            Some(bound) if bound.role.submits() => bound.account,
            Some(_) | None => return self.refuse(connection, sequence, status::INVALID_BIND_STATUS),
        };
        let Ok(submit) = wire::read_submit(body) else {
            self.submits.malformed += 1;
            return self.refuse(connection, sequence, status::INVALID_MESSAGE_LENGTH);
        };
        if self.rules.window > 0 && outstanding > self.rules.window {
            self.submits.beyond_window += 1;
            return self.refuse(connection, sequence, status::THROTTLED);
        }
        if !self.is_spaced(account, at) {
            return self.refuse(connection, sequence, status::THROTTLED);
        }
        let seen = SubmitSeen {
            recipient: submit.destination.digits,
            registered_delivery: submit.registered_delivery,
            user_data: submit.user_data,
        };
        let answer = self.carrier.handle_submit(&seen, Mono(at.mono_ns));
        if answer.taken.is_some() {
            self.submits.taken += 1;
            let recipient = read_digits(submit.destination.digits).unwrap_or(0);
            self.tally.record_taken(recipient, submit.text, at.wall_us);
            self.arrivals.note(recipient, at.wall_us);
        }
        let submitted = Wall(at.wall_us / 1_000);
        let due_ms = |after_us: u64| at.mono_ms() + after_us.div_ceil(1_000);
        let is_asked = self.carrier.behaviour().receipts_on_query;
        if is_asked {
            self.note_end(&answer, &submit, due_ms);
        }
        for plan in answer.receipts().filter(|_| !is_asked) {
            self.receipts.planned += 1;
            let receipt = Receipt {
                id: plan.id,
                fate: plan.fate,
                way: plan.way,
                submitted,
                origin: connection.id,
                account,
                recipient: OwnedAddress::new(&submit.destination),
                sender: OwnedAddress::new(&submit.source),
            };
            self.wheel.insert(due_ms(plan.after_us), Later::Deliver(receipt));
        }
        if answer.reply_after_us == 0 {
            return self.answer(connection, sequence, answer.reply);
        }
        connection.unanswered += 1;
        connection.answered_in_this_read -= 1;
        let later = Later::Answer { to: connection.id, sequence, reply: answer.reply };
        self.wheel.insert(due_ms(answer.reply_after_us), later);
        Next::Continue
    }

    /// Records what queries about a submit will be answered.
    fn note_end(&mut self, answer: &Reaction, submit: &wire::Submit<'_>, due_ms: impl Fn(u64) -> u64) {
        let is_end = |plan: &&ReceiptPlan| Some(plan.id) == answer.taken && plan.fate != Fate::Enroute;
        let Some(plan) = answer.receipts().find(is_end) else { return };
        let mut id = Vec::new();
        plan.id.write_in_response(self.carrier.behaviour().id_dialect, &mut id);
        let (due_ms, sender) = (due_ms(plan.after_us), OwnedAddress::new(&submit.source));
        self.ends.note(id, End { fate: plan.fate, due_ms, sender });
    }

    fn handle_query(&mut self, connection: &mut Connection, sequence: u32, body: &[u8], at: Instant) {
        self.receipts.queries += 1;
        let answer = command::QUERY_SM | command::RESPONSE;
        let out = &mut connection.stream.output;
        let submits = connection.bound.is_some_and(|bound| bound.role.submits());
        let query = match wire::read_query(body) {
            Ok(query) if submits => query,
            Ok(_) => return wire::write_empty(out, answer, status::INVALID_BIND_STATUS, sequence),
            Err(_) => {
                self.submits.malformed += 1;
                return wire::write_empty(out, answer, status::INVALID_COMMAND_LENGTH, sequence);
            }
        };
        let Some(fate) = self.ends.find(query.message_id, query.source.digits, at.mono_ms()) else {
            return wire::write_empty(out, answer, status::QUERY_FAILED, sequence);
        };
        let now = SmppTime::Absolute { unix_ms: (at.wall_us / 1_000) as i64 }.write().ok();
        let date = now.filter(|_| fate != Fate::Enroute);
        self.receipts.ends_told += u64::from(fate != Fate::Enroute);
        let error = if matches!(fate, Fate::Enroute | Fate::Delivered) { 0 } else { 1 };
        let date = date.as_ref().map_or(&[][..], |date| &date[..]);
        wire::write_query_response(out, sequence, query.message_id, date, fate.state_byte(), error);
    }

    /// Whether a submit comes late enough after the last one that did.
    fn is_spaced(&mut self, account: u32, at: Instant) -> bool {
        let Some(account) = self.accounts.get_mut(account as usize).filter(|_| self.rules.spacing_ns > 0) else {
            return true;
        };
        let is_spaced = account.spaced_ns.is_none_or(|last| at.mono_ns >= last + self.rules.spacing_ns);
        if is_spaced {
            account.spaced_ns = Some(at.mono_ns);
        }
        is_spaced
    }

    /// Sends `unbind` to the client; requests that it still sends are answered.
    pub(super) fn say_goodbye(&mut self, connection: &mut Connection) {
        wire::write_empty(&mut connection.stream.output, command::UNBIND, status::OK, GOODBYE_SEQUENCE);
    }

    fn refuse(&mut self, connection: &mut Connection, sequence: u32, status: u32) -> Next {
        self.answer(connection, sequence, Reply::Refuse(status))
    }

    /// Sends the carrier's reply to one submit.
    pub(super) fn answer(&mut self, connection: &mut Connection, sequence: u32, reply: Reply) -> Next {
        let out = &mut connection.stream.output;
        let dialect = self.carrier.behaviour().id_dialect;
        match reply {
            Reply::Accept(id) => {
                let write_id = |out: &mut Vec<u8>| id.write_in_response(dialect, out);
                wire::write_submit_response(out, status::OK, sequence, Some(write_id));
            }
            Reply::Refuse(status) => {
                let body = self.carrier.behaviour().error_body.then_some(|_: &mut Vec<u8>| ());
                wire::write_submit_response(out, status, sequence, body);
                let count =
                    if status == status::THROTTLED { &mut self.submits.throttled } else { &mut self.submits.refused };
                *count += 1;
            }
            Reply::Silence => self.submits.unanswered += 1,
            Reply::Disconnect => {
                self.submits.unanswered += 1;
                self.connections.closed_by_us += 1;
                return Next::Close;
            }
        }
        Next::Continue
    }

    /// Writes as many queued receipts as the window permits.
    pub(super) fn write_receipts(&mut self, connection: &mut Connection, at: Instant) {
        while let Some((sequence, receipt)) = connection.receipts.poll() {
            let done = Wall(at.wall_us / 1_000);
            self.body.write(receipt.id, receipt.fate, receipt.submitted, done, self.carrier.behaviour());
            let deliver = Deliver {
                source: receipt.recipient.borrow(),
                destination: receipt.sender.borrow(),
                esm_class: self.body.esm_class,
                short_message: &self.body.short_message,
                tlvs: &self.body.tlvs,
            };
            wire::write_deliver(&mut connection.stream.output, sequence, &deliver);
            self.receipts.sent += 1;
        }
    }

    fn handle_acknowledgement(&mut self, connection: &mut Connection, header: Header, at: Instant) {
        let Some(receipt) = connection.receipts.handle_acknowledgement(header.sequence) else { return };
        if header.status == status::OK {
            self.receipts.acknowledged += 1;
            connection.receipts_acknowledged += 1;
        } else {
            self.receipts.refused += 1;
            self.wheel.insert(at.mono_ms() + REFUSED_AGAIN_MS, Later::Deliver(receipt));
        }
    }

    /// Takes back the receipts of a lost connection: they are sent again over another.
    pub(super) fn handle_lost(&mut self, connection: &mut Connection, at: Instant) {
        let Some(bound) = connection.bound else { return };
        if let Some(account) = self.accounts.get_mut(bound.account as usize) {
            account.receivers.retain(|id| *id != connection.id);
            account.bound -= 1;
        }
        for receipt in connection.receipts.take_unsettled() {
            self.wheel.insert(at.mono_ms(), Later::Deliver(receipt));
        }
    }

    /// Forgets messages, pending receipts and counts; connections and ids continue.
    pub(super) fn reset(&mut self, watch: Watch) {
        self.tally = Tally::new(watch);
        self.arrivals = Arrivals::new(watch.arrivals);
        self.wheel.clear();
        self.accounts.iter_mut().for_each(|account| account.orphans.clear());
        self.submits = SubmitStats::default();
        self.receipts = ReceiptStats::default();
        self.connections = ConnectionStats::default();
    }
}

impl Rules {
    fn permit(&self, bind: &wire::Bind<'_>) -> bool {
        let fits =
            |wanted: &Option<String>, given: &[u8]| wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == given);
        fits(&self.system_id, bind.system_id) && fits(&self.password, bind.password)
    }
}
