//! Handles `deliver_sm` and `data_sm`: receipts go to their shard, messages from handsets (`handsets.rs`) to the shard of their
//! sender. The carrier gets its answer only after a shard has kept them.

use crate::model::limits::{CARRIER_ID_BYTES_MAX, RECEIPT_TEXT_MAX};
use crate::model::{Now, Numbers, Point, ReceiptState, ShardId, Tail};
use crate::traffic::{IfUnknown, ReceiptIn, ReceiptToken, Span, VerdictBatch};
use stentor_smpp::pdu::{DataSm, EsmClass, ShortMessage};
use stentor_smpp::receipt::{Receipt, ReceiptSource};
use stentor_smpp::receipt_id::id_hash;
use stentor_smpp::session::Session;
use stentor_smpp::status::CommandStatus;
use stentor_smpp::tlv::Tlvs;

use super::super::Link;
use super::super::event::{BindId, LinkEffect};
use super::super::inquiry::{Ask, Next, ReplyTo, Way};
use super::compose::recipient_of;
use super::leg::Word;
use super::spelling;

/// When more receipts of one connection wait for a shard, the connection is no longer read.
pub(in crate::link) const INQUIRIES_MAX: u32 = 4_096;
/// The same limit for their bytes, as a receipt or a message from a handset may be 64 KiB long.
pub(in crate::link) const INQUIRY_BYTES_MAX: u64 = 1 << 20;

/// The fields of a `deliver_sm` or `data_sm` that are used.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) struct Delivered<'a> {
    sequence: u32,
    is_data: bool,
    pub esm_class: EsmClass,
    pub from: &'a [u8],
    pub to: &'a [u8],
    pub data_coding: u8,
    pub text: &'a [u8],
    pub tlvs: Tlvs<'a>,
}

impl Link {
    pub(in crate::link) fn handle_deliver(
        &mut self,
        bind: BindId,
        sequence: u32,
        message: &ShortMessage<'_>,
        now: Now,
    ) {
        let delivered = Delivered {
            sequence,
            is_data: false,
            esm_class: message.esm_class,
            from: message.source.digits,
            to: message.destination.digits,
            data_coding: message.data_coding,
            text: message.user_data(),
            tlvs: message.tlvs,
        };
        self.handle_delivered(bind, &delivered, now);
    }

    pub(in crate::link) fn handle_data(&mut self, bind: BindId, sequence: u32, message: &DataSm<'_>, now: Now) {
        let delivered = Delivered {
            sequence,
            is_data: true,
            esm_class: message.esm_class,
            from: message.source.digits,
            to: message.destination.digits,
            data_coding: message.data_coding,
            text: message.user_data(),
            tlvs: message.tlvs,
        };
        self.handle_delivered(bind, &delivered, now);
    }

    fn handle_delivered(&mut self, bind: BindId, delivered: &Delivered<'_>, now: Now) {
        if self.disk.is_out() {
            self.counters.deferred += 1;
            // The session is handling this input: `answer_put_off` answers when it has finished.
            let Some(leg) = self.leg(bind) else { return };
            leg.noise.handle_traffic();
            return leg.put_off.push((delivered.sequence, delivered.is_data));
        }
        let source = ReceiptSource {
            esm_class: delivered.esm_class.0,
            text: delivered.text,
            receipted_message_id: delivered.tlvs.receipted_message_id(),
            message_state: delivered.tlvs.message_state(),
            network_error_code: delivered.tlvs.network_error_code(),
        };
        match source.is_receipt() {
            true => self.handle_receipt(bind, delivered, &source, now),
            false => self.handle_handset(bind, delivered, now),
        }
    }

    fn handle_receipt(&mut self, bind: BindId, delivered: &Delivered<'_>, source: &ReceiptSource<'_>, now: Now) {
        self.counters.receipts += 1;
        let mut scratch = std::mem::take(&mut self.receipt_text);
        let receipt = Receipt::parse(source, &mut scratch);
        let recipient = recipient_of(delivered.from);
        let (id, first) = self.shard_by_id(&receipt, recipient);
        self.counters.receipts_direct += u64::from(first.is_some());
        let home = self.home_of(recipient, id);
        let receipt_in = ReceiptIn {
            token: ReceiptToken::default(),
            if_unknown: IfUnknown::Park,
            recipient,
            numbers: Numbers { source: Tail::of_written(delivered.from), destination: Tail::of_written(delivered.to) },
            is_untyped: !source.is_typed(),
            is_shared: false,
            is_asked: false,
            id: Span::default(),
            // A receipt without a state settles nothing; it counts as "still on the way".
            state: receipt.state.map_or(ReceiptState::Enroute, spelling::state),
            error: spelling::error(&receipt),
            reference: self.options.part_references.then(|| delivered.tlvs.user_message_reference()).flatten(),
            at: now.wall,
            text: Span::default(),
        };
        let text = delivered.text.get(..RECEIPT_TEXT_MAX).unwrap_or(delivered.text);
        self.open_inquiry(bind, &Delivered { text, ..*delivered }, receipt_in, (id, first, home));
        self.receipt_text = scratch;
    }

    /// The message id of a receipt, and the shard that the id table names for it.
    fn shard_by_id<'a>(&mut self, receipt: &Receipt<'a>, recipient: u64) -> (&'a [u8], Option<ShardId>) {
        let home = (recipient != 0).then(|| self.options.shards.shard_of(recipient));
        let (seed, dialect) = (self.id_seed(), self.options.dialect);
        let mut find =
            |id: &[u8]| dialect.candidates(seed, id).find_map(|candidate| self.ids.find(candidate.key, home));
        let cut = |id: &'a [u8]| id.get(..CARRIER_ID_BYTES_MAX).unwrap_or(id);
        let ids = [receipt.id, receipt.other_id].into_iter().flatten().map(cut);
        let found = ids.clone().find_map(|id| find(id).map(|shard| (id, Some(shard))));
        found.unwrap_or_else(|| (ids.clone().next().unwrap_or_default(), None))
    }

    /// The home of a receipt or message from a handset: the shard of the phone number, or of the hash of `bytes` if there is none.
    pub(in crate::link) fn home_of(&self, recipient: u64, bytes: &[u8]) -> ShardId {
        let identity = if recipient == 0 { id_hash(self.id_seed(), bytes) } else { recipient };
        self.options.shards.shard_of(identity)
    }

    fn open_inquiry(
        &mut self,
        bind: BindId,
        delivered: &Delivered<'_>,
        receipt: ReceiptIn,
        (id, first, home): (&[u8], Option<ShardId>, ShardId),
    ) {
        let way = Way { first, home, shards: self.options.shards.shards() };
        let Some(reply) = self.owe_answer(bind, delivered, id.len() + delivered.text.len()) else { return };
        let (token, ask) = self.inquiries.open(reply, way, receipt, id, delivered.text);
        self.ask(token, ask);
    }

    /// Counts a delivery that is answered only after a shard's verdict. `bytes`: bytes held until then.
    pub(in crate::link) fn owe_answer(
        &mut self,
        bind: BindId,
        delivered: &Delivered<'_>,
        bytes: usize,
    ) -> Option<ReplyTo> {
        let leg = self.leg(bind)?;
        let bytes = bytes as u32;
        leg.noise.handle_traffic();
        leg.inquiries += 1;
        leg.inquiry_bytes += u64::from(bytes);
        let (sequence, is_data) = (delivered.sequence, delivered.is_data);
        let reply = ReplyTo { bind, generation: leg.generation, sequence, is_data, bytes };
        self.pause_reading_if_full(bind);
        Some(reply)
    }

    /// Stops reading from a connection with too many waiting receipts, or too many bytes of them. Receipts of earlier sessions
    /// count too, or each new session would add as many again.
    pub(in crate::link) fn pause_reading_if_full(&mut self, bind: BindId) {
        let Some(waiting) = self.leg(bind).map(|leg| leg.inquiries).filter(|waiting| *waiting > 0) else { return };
        let inquiries_max = if self.buggify.at(Point::ReceiptsFull) { 0 } else { INQUIRIES_MAX };
        let Some(leg) = self.leg(bind).filter(|leg| !leg.read_paused) else { return };
        if waiting > inquiries_max || leg.inquiry_bytes > INQUIRY_BYTES_MAX {
            leg.read_paused = true;
            self.effects.push_back(LinkEffect::PauseRead { bind });
        }
    }

    fn ask(&mut self, token: ReceiptToken, ask: Ask) {
        let copy = self.inquiries.copy(token);
        debug_assert!(copy.is_some(), "{token:?} is not open, or belongs to a message from a handset");
        let Some((receipt, id, text)) = copy else { return };
        match ask {
            Ask::One(shard, if_unknown) => {
                self.counters.receipts_parked += u64::from(if_unknown == IfUnknown::Park);
                self.outbox.push_receipt(shard, ReceiptIn { if_unknown, ..receipt }, id, text);
            }
            Ask::Others(first, second) => {
                self.counters.receipts_asked_all += 1;
                let others = (0..self.options.shards.shards()).map(ShardId);
                for shard in others.filter(|shard| *shard != first && *shard != second) {
                    let receipt = ReceiptIn { if_unknown: IfUnknown::Tell, ..receipt };
                    self.outbox.push_receipt(shard, receipt, id, text);
                }
            }
        }
    }

    pub(in crate::link) fn handle_verdicts(&mut self, batch: &VerdictBatch) {
        for (token, verdict) in &batch.verdicts {
            match self.inquiries.handle_verdict(batch.shard, *token, *verdict) {
                Next::Answer(reply) => self.answer_receipt(reply, CommandStatus::ROK),
                Next::Refuse(reply) => {
                    self.counters.deferred += 1;
                    self.answer_receipt(reply, CommandStatus::RX_T_APPN);
                }
                Next::Ask(ask) => self.ask(*token, ask),
                Next::Wait | Next::Void => {}
            }
        }
    }

    /// Answers a delivery. A session that has ended in the meantime gets no answer: its carrier delivers again.
    fn answer_receipt(&mut self, reply: ReplyTo, status: CommandStatus) {
        let bind = reply.bind;
        let Some(leg) = self.leg(bind) else { return };
        debug_assert!(leg.inquiries > 0 && leg.inquiry_bytes >= u64::from(reply.bytes), "{reply:?} was not counted");
        leg.inquiries = leg.inquiries.saturating_sub(1);
        leg.inquiry_bytes = leg.inquiry_bytes.saturating_sub(u64::from(reply.bytes));
        if leg.generation == reply.generation {
            self.answer_delivered(bind, reply.sequence, reply.is_data, status);
        }
        let Some(leg) = self.leg(bind) else { return };
        if leg.read_paused && leg.inquiries <= INQUIRIES_MAX / 2 && leg.inquiry_bytes <= INQUIRY_BYTES_MAX / 2 {
            leg.read_paused = false;
            self.effects.push_back(LinkEffect::ResumeRead { bind });
        }
    }

    fn answer_delivered(&mut self, bind: BindId, sequence: u32, is_data: bool, status: CommandStatus) {
        if let Some(session) = self.leg(bind).and_then(|leg| leg.session.as_mut()) {
            answer(session, sequence, is_data, status);
        }
    }

    /// Refuses the deliveries that were put off because the disk is full: the carrier delivers them again later.
    pub(in crate::link) fn answer_put_off(&mut self, bind: BindId) {
        let Some(leg) = self.leg(bind) else { return };
        let put_off = std::mem::take(&mut leg.put_off);
        if let Some(session) = leg.session.as_mut() {
            for (sequence, is_data) in put_off {
                answer(session, sequence, is_data, CommandStatus::RX_T_APPN);
            }
        }
    }
}

/// Answers a `deliver_sm` or `data_sm`. An error is ignored: it only means that the session has ended.
fn answer(session: &mut Session<Word>, sequence: u32, is_data: bool, status: CommandStatus) {
    let _ = match is_data {
        true => session.answer_data(sequence, status, &[]),
        false => session.answer_deliver(sequence, status),
    };
}
