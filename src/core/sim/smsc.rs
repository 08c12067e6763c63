//! The carriers: real server sessions around the fake carrier's decisions, which keep receipts until we answer them.
//! Knows what it took and what it told; the oracle judges what it should have been sent.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::{Mono, Wall};
use stentor_smpp::decode::DecodeError;
use stentor_smpp::encode::encode;
use stentor_smpp::pdu::{Address, Bind, EsmClass, MessageResp, Pdu, QuerySmResp, ShortMessage};
use stentor_smpp::session::{Options as SessionOptions, SendError, Session};
use stentor_smpp::status::CommandStatus;
use stentor_smpp::time_format::TIME_BYTES;
use stentor_smpp::tlv::Tlvs;

use super::agenda::{MS, SECOND, US};
use super::carrier::{
    Behaviour, FakeCarrier, Fate, IssuedId, Reaction, ReceiptBody, ReceiptPlan, Reply, SubmitSeen, Way,
};
use super::handsets::{self, PartSent};
use super::happening::{ConnId, Happening};
use super::network::Network;
use super::part::PartSeen;
use super::plan::{CarrierPlan, HostPlan, Plan, pick};
use super::queries::{End, Known};
use super::server::{After, Desk, serve};
use super::stage::{Stage, note};
use super::tally::Count;

/// A carrier that enforces spacing accepts a part that comes this much too early.
const SPACING_SLACK_NS: u64 = 20 * MS;

/// Added to a sequence number to get one that no session of ours reaches.
const MISDIRECTED: u32 = 1_000_000;

#[derive(Debug)]
struct Seat {
    carrier: usize,
    session: Session<u64>,
    /// Submits that were not answered yet, and the most there may be by the contract at the start of the session.
    unanswered: u32,
    window: u32,
    wake_at: Option<u64>,
}

impl Seat {
    fn can_deliver(&self, carrier: usize) -> bool {
        self.carrier == carrier && self.session.bound().is_some_and(|mode| mode.can_deliver())
    }
}

/// An answer that is to be sent.
#[derive(Clone, Copy, Debug)]
struct DueAnswer {
    sequence: u32,
    reply: Reply,
    /// It is the first answer to its submit.
    counts: bool,
}

/// A receipt that is kept until it is answered.
#[derive(Debug)]
struct DueReceipt {
    carrier: usize,
    id: IssuedId,
    fate: Fate,
    /// The connection over which its submit came.
    conn: ConnId,
    way: Way,
    recipient: Vec<u8>,
    sender: Vec<u8>,
    /// When its submit was taken.
    taken_at: Wall,
    tried: bool,
}

/// All carriers of the world.
#[derive(Debug)]
pub struct Carriers {
    fakes: Vec<FakeCarrier>,
    seats: BTreeMap<ConnId, Seat>,
    answers: BTreeMap<u64, DueAnswer>,
    receipts: BTreeMap<u64, DueReceipt>,
    /// Parts of handsets' messages, until they are answered.
    parts: BTreeMap<u64, PartSent>,
    next: u64,
    /// When each carrier accepts its next part.
    earliest_ns: Vec<u64>,
    /// What is known by the carriers that send no receipts.
    known: Known,
    body: ReceiptBody,
}

impl Carriers {
    /// The carriers that the plan describes.
    pub fn new(plan: &Plan, seed: u64) -> Self {
        let fake = |(at, carrier): (usize, &CarrierPlan)| {
            FakeCarrier::new(carrier.behaviour.clone(), seed.wrapping_add(at as u64))
        };
        Self {
            fakes: plan.carriers.iter().enumerate().map(fake).collect(),
            seats: BTreeMap::new(),
            answers: BTreeMap::new(),
            receipts: BTreeMap::new(),
            parts: BTreeMap::new(),
            next: 0,
            earliest_ns: vec![0; plan.carriers.len()],
            known: Known::default(),
            body: ReceiptBody::default(),
        }
    }

    /// From now on every carrier accepts everything; the way it writes ids and numbers stays.
    pub fn calm_down(&mut self) {
        for fake in &mut self.fakes {
            let now = fake.behaviour().clone();
            fake.set_behaviour(Behaviour {
                response_delay: now.response_delay,
                receipt_delay: now.receipt_delay,
                // That belongs to the message and is no temporary fault.
                hangs_up_on: now.hangs_up_on,
                id_recipients: now.id_recipients,
                id_dialect: now.id_dialect,
                id_missing: now.id_missing,
                receipt_form: now.receipt_form,
                error_dialect: now.error_dialect,
                date_digits: now.date_digits,
                tlv_unterminated: now.tlv_unterminated,
                error_body: now.error_body,
                ..Behaviour::default()
            });
        }
    }

    /// Number of receipts, and of parts of handsets' messages, that we have not answered.
    pub fn receipts_open(&self) -> usize {
        self.receipts.len() + self.parts.len()
    }

    /// Bytes arrive.
    pub fn hears(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, net: &mut Network, stage: &mut Stage) {
        if !net.carrier_reads(id) {
            return;
        }
        if let Entry::Vacant(vacant) = self.seats.entry(id) {
            let Some(carrier) = net.get(id).map(|conn| conn.carrier) else { return };
            let options = SessionOptions {
                window: 20,
                enquire_link_ns: None,
                response_ns: 5 * SECOND,
                ..SessionOptions::default()
            };
            let session = Session::server(&options, stage.now_ns());
            let window = plan.carriers[carrier].window;
            vacant.insert(Seat { carrier, session, unanswered: 0, window, wake_at: None });
        }
        self.run(id, bytes, plan, net, stage);
    }

    /// The connection's other side has ended it.
    pub fn loses(&mut self, id: ConnId, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        if net.lose_at_carrier(id)
            && let Some(seat) = self.seats.get_mut(&id)
        {
            seat.session.handle_connection_lost();
            self.run(id, &[], plan, net, stage);
        }
    }

    /// A session's timer runs out.
    pub fn wakes(&mut self, id: ConnId, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.wake_at = None;
        seat.session.handle_timeout(stage.now_ns());
        self.run(id, &[], plan, net, stage);
    }

    fn run(&mut self, id: ConnId, bytes: &[u8], plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some(mut seat) = self.seats.remove(&id) else { return };
        let Seat { carrier, session, unanswered, window, .. } = &mut seat;
        let now_ns = stage.now_ns();
        let mut behind =
            Behind { carriers: self, id, carrier: *carrier, unanswered, window: *window, plan, net, stage };
        let over = serve(session, bytes, now_ns, &mut behind).is_some();
        flush(id, &mut seat, plan, net, stage);
        if over {
            net.close_by_carrier(id, plan, stage);
        } else {
            self.seats.insert(id, seat);
        }
    }

    /// A part came in: the fake carrier decides.
    fn submitted(
        &mut self,
        id: ConnId,
        carrier: usize,
        sequence: u32,
        message: &ShortMessage<'_>,
        plan: &Plan,
        stage: &mut Stage,
    ) {
        let seen = SubmitSeen {
            recipient: message.destination.digits,
            registered_delivery: message.registered_delivery,
            user_data: message.user_data(),
        };
        let part = PartSeen::of(message);
        stage.oracle.seen(&part);
        if self.comes_too_soon(carrier, plan, stage) {
            let reply = Reply::Refuse(self.fakes[carrier].behaviour().throttled_status);
            note!(stage, "carrier {carrier} sees {part:?} too soon");
            stage.tally.add(Count::TooSoon);
            stage.oracle.refused(&part, self.fakes[carrier].behaviour().throttled_status);
            return self.put_down(id, DueAnswer { sequence, reply, counts: true }, MS, carrier, plan, stage);
        }
        let fake = &mut self.fakes[carrier];
        let answer = fake.handle_submit(&seen, Mono(stage.now_ns()));
        let behaviour = fake.behaviour();
        let counted = match answer.reply {
            Reply::Accept(_) => Count::Taken,
            Reply::Refuse(status) if status == behaviour.throttled_status => Count::Throttled,
            Reply::Refuse(_) => Count::PartsRefused,
            Reply::Silence => Count::Silences,
            Reply::Disconnect => Count::CarrierClosed,
        };
        stage.tally.add(counted);
        note!(stage, "carrier {carrier} sees {part:?}: {:?} taken {:?}", answer.reply, answer.taken);
        if let Reply::Refuse(status) = answer.reply {
            stage.oracle.refused(&part, status);
        }
        if let Some(issued) = answer.taken {
            stage.oracle.taken(id, carrier, &part, issued);
        }
        if answer.reply != Reply::Silence {
            let after_ns = answer.reply_after_us * US;
            self.put_down(
                id,
                DueAnswer { sequence, reply: answer.reply, counts: true },
                after_ns,
                carrier,
                plan,
                stage,
            );
        }
        match plan.carriers[carrier].query {
            None => self.plan_receipts(id, carrier, &answer, message, stage),
            Some(_) => self.plan_answers(carrier, &answer, message, stage),
        }
    }

    /// Plans what queries about a submit will be answered.
    fn plan_answers(&mut self, carrier: usize, answer: &Reaction, message: &ShortMessage<'_>, stage: &mut Stage) {
        let is_end = |receipt: &&ReceiptPlan| Some(receipt.id) == answer.taken && receipt.fate != Fate::Enroute;
        let Some(taken) = answer.taken else { return };
        // A message without a wanted receipt has an end, too: a link that got no answer in time may query it.
        let end = answer.receipts().find(is_end).map(|receipt| (receipt.fate, receipt.after_us));
        let (fate, after_us) = end.unwrap_or((Fate::Delivered, answer.reply_after_us));
        let (recipient, sender) = (message.destination.digits.to_vec(), message.source.digits.to_vec());
        stage.oracle.receipt_made(&recipient, fate, false);
        let mut id = Vec::new();
        taken.write_in_response(self.fakes[carrier].behaviour().id_dialect, &mut id);
        let at_ns = stage.now_ns() + after_us * US;
        self.known.note(carrier, id, End { id: taken, fate, at_ns, recipient, sender });
    }

    /// Plans the receipts of a submit.
    fn plan_receipts(
        &mut self,
        id: ConnId,
        carrier: usize,
        answer: &Reaction,
        message: &ShortMessage<'_>,
        stage: &mut Stage,
    ) {
        for receipt in answer.receipts() {
            self.next += 1;
            if Some(receipt.id) != answer.taken {
                stage.tally.add(Count::ReceiptsStray);
            }
            let misleads = Some(receipt.id) != answer.taken || message.registered_delivery == 0;
            stage.oracle.receipt_made(message.destination.digits, receipt.fate, misleads);
            self.receipts.insert(
                self.next,
                DueReceipt {
                    carrier,
                    id: receipt.id,
                    fate: receipt.fate,
                    conn: id,
                    way: receipt.way,
                    recipient: message.destination.digits.to_vec(),
                    sender: message.source.digits.to_vec(),
                    taken_at: stage.wall(),
                    tried: false,
                },
            );
            stage.agenda.after(receipt.after_us * US, Happening::ReceiptDue(carrier, self.next));
        }
    }

    /// Whether a carrier that enforces spacing refuses a part because it comes too soon. Refused parts do not count.
    fn comes_too_soon(&mut self, carrier: usize, plan: &Plan, stage: &mut Stage) -> bool {
        let CarrierPlan { rate, is_strict, .. } = plan.carriers[carrier];
        let Some(rate) = rate.filter(|_| is_strict) else { return false };
        let (now_ns, earliest_ns) = (stage.now_ns(), self.earliest_ns[carrier]);
        if now_ns < earliest_ns {
            return true;
        }
        self.earliest_ns[carrier] = now_ns + (SECOND / u64::from(rate)).saturating_sub(SPACING_SLACK_NS);
        stage.oracle.note_pace(carrier, now_ns);
        false
    }

    /// Schedules an answer: in time, or late, or twice, or under a sequence number that was not used.
    fn put_down(&mut self, id: ConnId, due: DueAnswer, after_ns: u64, carrier: usize, plan: &Plan, stage: &mut Stage) {
        let faults = &plan.carriers[carrier];
        let mut after_ns = after_ns;
        let add = |carriers: &mut Self, due: DueAnswer, after_ns: u64, stage: &mut Stage| {
            carriers.next += 1;
            carriers.answers.insert(carriers.next, due);
            stage.agenda.after(after_ns, Happening::CarrierAnswers(id, carriers.next));
        };
        if stage.fault(faults.answer_late_ppm) {
            stage.tally.add(Count::AnswersLate);
            after_ns += faults.response_timeout_ms * MS + stage.chance.below(SECOND);
        }
        if stage.fault(faults.answer_astray_ppm) {
            stage.tally.add(Count::AnswersAstray);
            let misrouted = DueAnswer { sequence: due.sequence + MISDIRECTED, counts: false, ..due };
            add(self, misrouted, after_ns, stage);
            if stage.chance.chance(500_000) {
                return;
            }
        }
        if stage.fault(faults.answer_twice_ppm) {
            stage.tally.add(Count::AnswersTwice);
            let again = DueAnswer { counts: false, ..due };
            add(self, again, after_ns + stage.chance.below(2 * SECOND), stage);
        }
        add(self, due, after_ns, stage);
    }

    /// An answer is to be sent now.
    pub fn answer(&mut self, id: ConnId, number: u64, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some(due) = self.answers.remove(&number) else { return };
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.unanswered = seat.unanswered.saturating_sub(u32::from(due.counts));
        let behaviour = self.fakes[seat.carrier].behaviour();
        let mut text = Vec::new();
        let status = match due.reply {
            Reply::Accept(issued) => {
                issued.write_in_response(behaviour.id_dialect, &mut text);
                CommandStatus::ROK
            }
            Reply::Refuse(status) => CommandStatus(status),
            Reply::Silence => return,
            Reply::Disconnect if stage.fault(plan.carriers[seat.carrier].goodbye_ppm) => {
                stage.tally.add(Count::Goodbyes);
                note!(stage, "carrier unbinds {id:?}, {} answers to come", seat.unanswered);
                seat.session.unbind(0, stage.now_ns());
                return self.run(id, &[], plan, net, stage);
            }
            Reply::Disconnect => {
                note!(stage, "carrier closes {id:?}");
                seat.session.handle_connection_lost();
                return self.run(id, &[], plan, net, stage);
            }
        };
        if due.counts {
            // A session that is ending accepts no answers any more; then the answer is lost.
            let _ = seat.session.answer_submit(due.sequence, status, &text);
            return flush(id, seat, plan, net, stage);
        }
        let mut bytes = Vec::new();
        let answer = Pdu::SubmitSmResp(MessageResp { message_id: &text, ..MessageResp::default() });
        if seat.session.bound().is_some() && encode(&mut bytes, due.sequence, status, &answer).is_ok() {
            net.send_down(id, &bytes, plan, stage);
        }
    }

    /// Whether a carrier has parts that it has not answered.
    pub fn are_asked(&self) -> bool {
        self.seats.values().any(|seat| seat.unanswered > 0)
    }

    /// A receipt is to be sent now.
    pub fn deliver(&mut self, carrier: usize, number: u64, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some(receipt) = self.receipts.get_mut(&number) else { return };
        let may = |seat: &Seat| seat.can_deliver(carrier);
        let same = self.seats.get(&receipt.conn).filter(|seat| may(seat)).map(|_| receipt.conn);
        let mut others = self.seats.iter().filter(|(id, seat)| **id != receipt.conn && may(seat)).map(|(id, _)| *id);
        let chosen = match receipt.way {
            Way::Same => same.or_else(|| others.next()),
            Way::Elsewhere => others.next().or(same),
        };
        let Some((id, seat)) = chosen.and_then(|id| Some((id, self.seats.get_mut(&id)?))) else {
            return stage.agenda.after(plan.kind.receipt_retry_ns, Happening::ReceiptDue(carrier, number));
        };
        let behaviour = self.fakes[carrier].behaviour();
        let wall = stage.wall();
        self.body.write(receipt.id, receipt.fate, wall, wall, behaviour);
        // A receipt for a message that is no longer kept: it may be taken for another message to that number that is in doubt.
        let is_forgotten = wall.since(receipt.taken_at) > plan.shard.receipt_wait_ms;
        // The same holds for a receipt that is sent again without an id: it cannot be seen that it was received before.
        let is_repeated = behaviour.id_missing && stage.oracle.has_told((carrier, receipt.id), receipt.fate);
        stage.oracle.receipt_made(&receipt.recipient, receipt.fate, is_forgotten || is_repeated);
        stage.oracle.receipt_said((carrier, receipt.id), &receipt.recipient, receipt.fate, self.body.error());
        let (from, to) = plan.carriers[carrier].spelling.write(&receipt.recipient, &receipt.sender);
        let message = ShortMessage {
            source: Address { ton: 1, npi: 1, digits: &from },
            destination: Address { ton: 5, npi: 0, digits: &to },
            esm_class: EsmClass(self.body.esm_class),
            short_message: &self.body.short_message,
            tlvs: Tlvs::new(&self.body.tlvs),
            ..ShortMessage::default()
        };
        match seat.session.deliver(number, &message, stage.now_ns()) {
            Ok(_) => {
                if std::mem::replace(&mut receipt.tried, true) {
                    stage.tally.add(Count::ReceiptsAgain);
                }
                note!(stage, "carrier {carrier} delivers {:?} {:?} on {id:?}", receipt.id, receipt.fate);
                flush(id, seat, plan, net, stage);
            }
            Err(SendError::Encode(error)) => stage.oracle.wire.report_malformed(format!("receipt: {error:?}")),
            Err(SendError::NotBound | SendError::WrongDirection | SendError::WindowFull | SendError::Backlogged) => {
                stage.agenda.after(plan.kind.receipt_retry_ns, Happening::ReceiptDue(carrier, number));
            }
        }
    }

    /// A handset writes.
    pub fn handset_writes(&mut self, plan: &Plan, stage: &mut Stage) {
        for (after_ns, part) in handsets::write(plan, stage) {
            self.next += 1;
            self.parts.insert(self.next, part);
            stage.agenda.after(after_ns, Happening::PartDue(part.carrier, self.next));
        }
    }

    /// A part of a handset's message is to be sent now.
    pub fn deliver_part(&mut self, carrier: usize, number: u64, plan: &Plan, net: &mut Network, stage: &mut Stage) {
        let Some(part) = self.parts.get(&number) else { return };
        let able: Vec<_> = self.seats.iter().filter(|(_, seat)| seat.can_deliver(carrier)).map(|(id, _)| *id).collect();
        let again = Happening::PartDue(carrier, number);
        if able.is_empty() {
            return stage.agenda.after(plan.kind.receipt_retry_ns, again);
        }
        let id = *pick(&mut stage.handset_chance, &able);
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let now_ns = stage.now_ns();
        match part.write(|message| seat.session.deliver(number, message, now_ns)) {
            Ok(_) => {
                note!(stage, "carrier {carrier} delivers {part:?} on {id:?}");
                stage.oracle.handsets.delivered(part);
                flush(id, seat, plan, net, stage);
            }
            Err(SendError::Encode(error)) => stage.oracle.wire.report_malformed(format!("{part:?}: {error:?}")),
            Err(SendError::NotBound | SendError::WrongDirection | SendError::WindowFull | SendError::Backlogged) => {
                stage.agenda.after(plan.kind.receipt_retry_ns, again);
            }
        }
    }

    fn part_answered(&mut self, id: ConnId, number: u64, status: CommandStatus, plan: &Plan, stage: &mut Stage) {
        let Some(part) = self.parts.get(&number) else { return };
        note!(stage, "{part:?} answered {status:?}");
        if status != CommandStatus::ROK {
            return stage.agenda.after(plan.kind.receipt_retry_ns, Happening::PartDue(part.carrier, number));
        }
        stage.tally.add(Count::FromHandsets);
        stage.oracle.part_answered(id, part);
        self.parts.remove(&number);
    }

    /// We answered a receipt, or a part of a handset's message.
    fn answered(&mut self, id: ConnId, number: u64, status: CommandStatus, plan: &Plan, stage: &mut Stage) {
        if self.parts.contains_key(&number) {
            return self.part_answered(id, number, status, plan, stage);
        }
        let Some(receipt) = self.receipts.get(&number) else { return };
        if status != CommandStatus::ROK {
            note!(stage, "receipt {:?} {:?} refused {status:?}", receipt.id, receipt.fate);
            return stage.agenda.after(plan.kind.receipt_retry_ns, Happening::ReceiptDue(receipt.carrier, number));
        }
        let Some(receipt) = self.receipts.remove(&number) else { return };
        stage.tally.add(Count::Receipts);
        note!(stage, "receipt {:?} {:?} answered {status:?}", receipt.id, receipt.fate);
        stage.oracle.receipt_answered(id, receipt.carrier, receipt.id, receipt.fate);
    }

    /// It was not answered: it is sent again later.
    fn unanswered(&self, number: u64, carrier: usize, plan: &Plan, stage: &mut Stage) {
        if self.parts.contains_key(&number) {
            stage.agenda.after(plan.kind.receipt_retry_ns, Happening::PartDue(carrier, number));
        }
        if self.receipts.contains_key(&number) {
            stage.agenda.after(plan.kind.receipt_retry_ns, Happening::ReceiptDue(carrier, number));
        }
    }
}

/// All carriers as one connection sees them. The connection itself is not among `carriers.seats` meanwhile.
struct Behind<'a> {
    carriers: &'a mut Carriers,
    id: ConnId,
    carrier: usize,
    unanswered: &'a mut u32,
    window: u32,
    plan: &'a Plan,
    net: &'a mut Network,
    stage: &'a mut Stage,
}

impl Desk for Behind<'_> {
    const SYSTEM_ID: &'static [u8] = b"smsc";

    fn bind(&mut self, _: &Bind<'_>) -> CommandStatus {
        let plan = &self.plan.carriers[self.carrier];
        let of_it = |other: &&Seat| other.carrier == self.carrier && other.session.bound().is_some();
        let taken = self.carriers.seats.values().filter(of_it).count();
        let full = plan.binds_max.is_some_and(|most| taken >= usize::from(most));
        let refused = self.stage.fault(plan.bind_refused_ppm) || full;
        if refused {
            self.stage.tally.add(Count::BindsRefused);
        }
        let status = if refused { CommandStatus::RBINDFAIL } else { CommandStatus::ROK };
        note!(self.stage, "{:?} binds: {status:?}", self.id);
        status
    }

    fn submit(&mut self, sequence: u32, message: &ShortMessage<'_>) -> After {
        if self.net.get(self.id).is_some_and(|conn| conn.host == HostPlan::Faithless) {
            note!(self.stage, "{:?} hangs up on a submit", self.id);
            return After::BreakOff;
        }
        *self.unanswered += 1;
        self.stage.oracle.wire.check_window(self.carrier, *self.unanswered, self.window);
        self.carriers.submitted(self.id, self.carrier, sequence, message, self.plan, self.stage);
        After::Stay
    }

    /// Sometimes the carrier has no answer, or does not know the message.
    fn query(&mut self, id: &[u8], sender: &[u8], answer: &mut dyn FnMut(CommandStatus, &QuerySmResp<'_>)) {
        let (carrier, stage) = (self.carrier, &mut *self.stage);
        let now_ns = stage.now_ns();
        stage.tally.add(Count::Queries);
        let is_dumb = stage.fault(self.plan.carriers[carrier].answer_late_ppm);
        let is_lost = stage.fault(self.plan.carriers[carrier].answer_twice_ppm);
        let found = self.carriers.known.find(carrier, id, sender).filter(|_| !is_lost);
        let mut date = [0; TIME_BYTES];
        let (status, told) = match found {
            Some(end) => (CommandStatus::ROK, end.answer(now_ns, id, &mut date)),
            None => (CommandStatus::RQUERYFAIL, QuerySmResp::default()),
        };
        note!(stage, "carrier {carrier} is asked about {}: {told:?}", String::from_utf8_lossy(id));
        if is_dumb {
            return;
        }
        if let Some(end) = found.filter(|end| end.fate_at(now_ns) != Fate::Enroute) {
            stage.oracle.receipt_said((carrier, end.id), &end.recipient, end.fate, b"");
        }
        answer(status, &told);
    }

    fn delivered(&mut self, token: u64, status: CommandStatus) {
        self.carriers.answered(self.id, token, status, self.plan, self.stage);
    }

    fn undelivered(&mut self, token: u64) {
        self.carriers.unanswered(token, self.carrier, self.plan, self.stage);
    }

    fn malformed(&mut self, error: &DecodeError) {
        self.stage.oracle.wire.report_malformed(format!("{error:?}"));
    }
}

/// Sends a session's output, and sets its timer.
fn flush(id: ConnId, seat: &mut Seat, plan: &Plan, net: &mut Network, stage: &mut Stage) {
    let mut bytes = Vec::new();
    if seat.session.poll_transmit(&mut bytes) {
        seat.session.handle_written(bytes.len());
        net.send_down(id, &bytes, plan, stage);
    }
    if let Some(wanted) = seat.session.poll_timeout()
        && seat.wake_at.is_none_or(|known| known > wanted)
    {
        seat.wake_at = Some(wanted);
        stage.agenda.at(wanted, Happening::CarrierWakes(id));
    }
}
