//! How messages pass from machine to machine: one machine decides what an outcome, a receipt, the time or a grant means for a
//! message, and returns what the next machine has to do.

use std::sync::Arc;

use crate::delivery::DoubtPolicy;
use crate::model::{Address, Class, Point, Wall};
use crate::queue::{FifoName, Part, Taken};
use crate::store::expiry::Visited;
use crate::store::record::{HandsetRecord, InboundRecord, PartRecord, ReceiptNote};
use crate::traffic::{HandsetIn, IfUnknown, NotWritten, Outcome, OutcomeBatch, PartIn, ReceiptBatch, Submit, Verdict};

use super::Shard;
use super::books::Expired;
use super::gathering::Place;
use super::heard::{Heard, Judged, Probe, Told, Unknown};
use super::leaving::{Begun, Passed, Rerouted, Source};
use super::lookups::Listing;
use super::outcomes::{Expected, OutcomesLeft, Then};
use super::pull::Pull;
use super::receipts::Receipts;

/// Entries at the heads of lists that one turn passes over at most.
const PASSED_PER_TURN_MAX: usize = 4_096;
/// Messages that one turn reroutes at most.
const REROUTED_PER_TURN_MAX: usize = 4_096;
/// Messages unsent at a backup that one turn gives up at most.
const DROPPED_PER_TURN_MAX: usize = 8_192;

impl Shard {
    /// Tells lookups and alarms which messages have moved or ended: a cancellation that waits for the store's answer is too late,
    /// and a visit that found the message waiting must not end it.
    pub(super) fn settle_moved(&mut self) {
        for address in self.turn.moved.drain(..) {
            self.lookups.too_late(address);
            self.alarms.touch(address);
        }
    }

    pub(super) fn handle_outcomes(&mut self, batch: OutcomeBatch) {
        let given_back = self.ledger.given_back(&batch);
        let is_at_once = self.outcomes_left.is_at_once(&mut self.turn, &batch);
        if is_at_once {
            for outcome in &batch.outcomes {
                self.handle_outcome(&batch, outcome);
            }
            self.asked.tell_fresh(&mut self.turn);
        }
        if !given_back.is_empty() {
            for address in self.pull.recall_followers(&mut self.turn, batch.link, &given_back) {
                if let Some(open) = self.ledger.give_back(&mut self.turn, address, NotWritten::LinkDown) {
                    self.pull.handle_returned(&mut self.turn, address, open);
                }
            }
        }
        if !is_at_once {
            self.outcomes_left.push(batch);
        }
    }

    /// Takes in outcomes that are left from earlier turns, as many as one turn may.
    fn go_on_with_outcomes(&mut self) {
        let mut room = OutcomesLeft::PER_TURN_MAX;
        while let Some(taken) = self.outcomes_left.next(&self.turn, room) {
            for outcome in &taken.batch.outcomes[taken.from..taken.upto] {
                self.handle_outcome(&taken.batch, outcome);
            }
            // Without room, `next` still gives one outcome if the batch being gathered is empty.
            room = room.saturating_sub(taken.upto - taken.from);
            self.outcomes_left.put_back(taken);
        }
        self.asked.tell_fresh(&mut self.turn);
    }

    fn handle_outcome(&mut self, batch: &OutcomeBatch, outcome: &Outcome) {
        let answered = self.ledger.handle_outcome(&mut self.turn, batch, outcome);
        if answered.is_over {
            self.pull.handle_over(&mut self.turn, batch.link);
        }
        match answered.then {
            Then::Nothing => {}
            Then::Returned(open) => self.pull.handle_returned(&mut self.turn, outcome.address, open),
            Then::InDoubt => self.handle_doubt(outcome.address),
        }
        // Before the receipt is heard: a parked receipt may hold the part's end, and then the part must not stay among those asked.
        if let Some(note) = answered.asked {
            self.asked.keep(&mut self.turn, *note, batch.link);
        }
        match answered.receipt {
            None => {}
            Some(Expected::Receipt(note, sent_at)) => {
                let heard = self.receipts.await_part(&mut self.turn, note);
                self.hear(heard);
                self.hear_parked_nameless(&note, sent_at);
            }
            Some(Expected::NoReceipt(note)) => self.receipts.expect_none(&mut self.turn, &note),
        }
    }

    /// A message has gone in doubt: a parked receipt settles it, or the policy of its class is applied.
    pub(super) fn handle_doubt(&mut self, address: Address) {
        if !self.settle_by_parked(address) {
            self.ledger.apply_policy(&mut self.turn, address);
        }
    }

    /// Tries parked receipts for the recipient, which may have come before its attempt was given up. Returns whether the message
    /// is in doubt no longer.
    fn settle_by_parked(&mut self, address: Address) -> bool {
        let Some(doubt) = self.ledger.books.attempts.in_ledger(address) else { return true };
        let Some(group) = self.turn.carrier_group(doubt.carrier) else { return false };
        let parked = self.receipts.parked_for(doubt.recipient, group, doubt.sent_at);
        if parked.is_empty() {
            return false;
        }
        let (sole, several) = (self.ledger.books.attempts.sole_doubt(doubt.recipient), parked.len() > 1);
        for record in parked {
            let mut is_sole = !several && sole.is_some_and(|(at, _)| at == address);
            if is_sole && record.id.is_empty() {
                is_sole = self.receipts.learn_recipients(&mut self.turn) && self.receipts.waits_for_none(&record);
            }
            if self.ledger.is_about(address, &doubt, &record, is_sole) && self.settle_by_receipt(&record) {
                self.receipts.unpark(&mut self.turn, &record);
            }
        }
        self.ledger.books.attempts.in_ledger(address).is_none()
    }

    /// A catalog has come, so carriers and their groups are known: parked receipts may settle doubts that a restart has found.
    pub(super) fn settle_ledger_by_parked(&mut self) {
        if self.receipts.orphans() == 0 {
            return;
        }
        for address in self.ledger.addresses(|_| true) {
            self.settle_by_parked(address);
        }
    }

    /// A receipt with an unknown id. Returns whether it settled an entry of the ledger.
    fn settle_by_receipt(&mut self, record: &InboundRecord) -> bool {
        let Some((note, state)) = self.ledger.settle_by_receipt(&mut self.turn, record) else { return false };
        let note = ReceiptNote { key: self.receipts.key_of(record), ..note };
        let heard = self.receipts.handle_settled(&mut self.turn, note, state, record);
        self.hear(heard);
        true
    }

    /// Applies what a receipt says of a known part to its message.
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Note(address, what) => drop(self.ledger.happens(&mut self.turn, address, what)),
            Heard::Final(note, end, state) => {
                self.asked.forget(note.key, note.recipient);
                if self.ledger.handle_receipt(&mut self.turn, &note, end) {
                    let late = self.receipts.late(&mut self.turn, Address::from_packed(note.address), state);
                    self.hear(late);
                }
            }
        }
    }

    pub(super) fn handle_receipts(&mut self, batch: &ReceiptBatch) {
        let mut told = Told::with_capacity(batch.receipts.len() + batch.handsets.len());
        let mut sought = Vec::new();
        for receipt in &batch.receipts {
            match self.receipts.handle_receipt(&mut self.turn, batch, receipt) {
                Judged::Asked(asked) => sought.push(*asked),
                judged => told.add(receipt.token, self.handle_judged(receipt.if_unknown, judged)),
            }
        }
        for message in &batch.handsets {
            told.add(message.token, self.handle_handset(batch, message));
        }
        Receipts::answer(&mut self.turn, batch.link, told);
        if !sought.is_empty() {
            self.receipts.probe(&mut self.turn, Probe { link: Some(batch.link), sought });
        }
    }

    /// Keeps a message from a handset, or a part until the other parts are there. Over the bound, and while the disk is low, the
    /// carrier is asked to keep it instead.
    fn handle_handset(&mut self, batch: &ReceiptBatch, message: &HandsetIn) -> Verdict {
        let inbound = inbound(batch, message);
        let more = match &inbound {
            Inbound::Whole(record) => (1, record.bytes() + HandsetRecord::TENANT_BYTES),
            Inbound::Part(part) => self.joining.more_by(&self.turn, part),
        };
        if self.turn.disk.is_low() || !self.handsets.has_room(&self.turn, self.joining.waiting(), more) {
            self.turn.counters.handsets_refused += 1;
            return Verdict::Full;
        }
        let done = match inbound {
            Inbound::Whole(record) => vec![record],
            Inbound::Part(part) => self.joining.take(&mut self.turn, part),
        };
        self.keep_handsets(done);
        Verdict::Kept
    }

    pub(super) fn keep_handsets(&mut self, records: Vec<HandsetRecord>) {
        for record in records {
            let tenant = self.turn.options.inboxes.owner(&record.to).map(|owner| owner.0);
            self.turn.counters.handsets_kept[usize::from(tenant.is_none())] += 1;
            self.handsets.keep(&mut self.turn, HandsetRecord { tenant, ..record });
        }
    }

    /// The runs have answered. Responses to submits may have come in the meantime.
    pub(super) fn handle_probed(&mut self, token: u64, notes: &[Vec<(usize, ReceiptNote)>]) {
        // Unknown tokens are answers to questions that failed, and whose receipts were judged then.
        let Some(Probe { link, sought }) = self.receipts.take_probe(token) else { return };
        let mut told = Told::with_capacity(sought.len());
        for (sought, found) in sought.into_iter().zip(notes) {
            let (token, if_unknown) = (sought.token, sought.if_unknown);
            let parked = link.is_none().then(|| sought.record.clone());
            let judged = self.receipts.handle_probed(&mut self.turn, sought, found);
            match (parked, judged) {
                (Some(record), Judged::Heard(heard)) => self.hear_again(&record, heard),
                (Some(_), _) => {}
                (None, judged) => told.add(token, self.handle_judged(if_unknown, judged)),
            }
        }
        if let Some(link) = link {
            Receipts::answer(&mut self.turn, link, told);
        }
    }

    /// A carrier's dialect has changed: the parts of its parked receipts may be found now.
    pub(super) fn look_again(&mut self) {
        for (record, heard) in self.receipts.look_again(&mut self.turn) {
            self.hear_again(&record, heard);
        }
    }

    /// A parked receipt has found its part.
    fn hear_again(&mut self, record: &InboundRecord, heard: Heard) {
        self.receipts.unpark(&mut self.turn, record);
        self.hear(heard);
    }

    fn handle_judged(&mut self, if_unknown: IfUnknown, judged: Judged) -> Verdict {
        match judged {
            Judged::Heard(heard) => {
                self.hear(heard);
                Verdict::Kept
            }
            Judged::Unknown(record, why) => self.handle_unknown_receipt(if_unknown, *record, why),
            Judged::Nameless(record) => self.handle_nameless(*record),
            Judged::Asked(_) => unreachable!("receipts that the runs are asked about are judged later"),
        }
    }

    fn handle_unknown_receipt(&mut self, if_unknown: IfUnknown, mut record: InboundRecord, why: Unknown) -> Verdict {
        if if_unknown == IfUnknown::Tell {
            return if why == Unknown::Id { Verdict::Unknown } else { Verdict::Perhaps };
        }
        if self.settle_by_receipt(&record) {
            let heard = self.receipts.hear_parked_like(&mut self.turn, &record);
            self.hear(heard);
            return Verdict::Kept;
        }
        if if_unknown == IfUnknown::Settle {
            return Verdict::Unknown;
        }
        if why == Unknown::Number {
            self.receipts.note_strange_number(&mut self.turn, &record);
        }
        record.is_ambiguous = why == Unknown::Which;
        self.park(record, why != Unknown::Id);
        Verdict::Kept
    }

    /// A receipt without an id can only be about the one message to its number that is under way or waits for a receipt. Until
    /// the shard has learned which messages those are, the carrier is asked to deliver it again later.
    fn handle_nameless(&mut self, record: InboundRecord) -> Verdict {
        if !self.receipts.learn_recipients(&mut self.turn) {
            return Verdict::Full;
        }
        if !self.settle_by_nameless(&record) {
            self.park(record, false);
        }
        Verdict::Kept
    }

    /// Returns whether a receipt without an id has found its message.
    fn settle_by_nameless(&mut self, record: &InboundRecord) -> bool {
        if let Some(note) = self.receipts.sole_waiting(record) {
            let is_alone = !self.ledger.is_under_way_beside(record.from, Address::from_packed(note.address));
            if is_alone {
                let heard = self.receipts.handle_nameless(&mut self.turn, note, record);
                self.hear(heard);
            }
            return is_alone;
        }
        (record.reference.is_some() || self.receipts.waits_for_none(record)) && self.settle_by_receipt(record)
    }

    /// A part begins to wait for its receipt; a receipt without an id may have come since it was sent.
    fn hear_parked_nameless(&mut self, note: &ReceiptNote, sent_at: Wall) {
        let Some(record) = self.receipts.parked_nameless(note.group, note.recipient, sent_at) else { return };
        if self.receipts.learn_recipients(&mut self.turn) && self.settle_by_nameless(&record) {
            self.receipts.unpark(&mut self.turn, &record);
        }
    }

    /// Parks a receipt. `is_known`: there are parts under its id, so it may turn out later which of them it is about.
    fn park(&mut self, record: InboundRecord, is_known: bool) {
        if !self.receipts.outranks(&record) {
            let is_foreign = !is_known && !self.ledger.books.attempts.is_under_way_to(record.from);
            self.receipts.park(&mut self.turn, record, is_foreign);
        }
    }

    /// The reader thread has found which messages of some segments have expired.
    pub(super) fn handle_visited(&mut self, visited: Vec<Visited>) {
        let Self { turn, pull, ledger, alarms, folding, .. } = self;
        let was_asked = alarms.handle_visited(turn, visited, |turn, address, message| {
            let expired = ledger.expire(turn, address, message);
            if let Expired::Now(Some((lane, restored))) = expired {
                let list = pull.lanes.list_of(lane);
                pull.add_ended(turn, Part { list, restored }, 1);
            }
            expired
        });
        if was_asked {
            let events_from = folding.events_from();
            self.settle_moved();
            self.alarms.visit_overdue(&mut self.turn, events_from);
        }
    }

    /// Admits frames that waited and have room now.
    pub(super) fn admit_waiting(&mut self) {
        let Self { turn, intake, pull, .. } = self;
        intake.admit_waiting(turn, pull);
    }

    /// Ends the turn: what became ready enters its fifos, grants are used, and links are told what still waits.
    pub(super) fn close_turn(&mut self) {
        self.turn.gathering.close_segment();
        self.go_on_with_outcomes();
        if self.receipts.take_sealed() {
            let Self { turn, receipts, asked, .. } = self;
            let is_known = |key, recipient| receipts.is_in_epoch(key, recipient);
            asked.say_again(&mut turn.gathering.batch().receipts, is_known);
        }
        self.reroute();
        self.begin_sets();
        self.pull.place_ready(&mut self.turn);
        self.turn.sets.entered();
        self.alarms.settle(&mut self.turn);
        self.pull.place_due(&mut self.turn);
        // After `place_due`: an alarm that a visit has set again is in no queue before.
        if self.alarms.take_visited() {
            self.pull.forget_remainders(!self.alarms.is_empty());
        }
        self.drop_restored();
        self.pass_ended();
        let queued = self.pull.queued(&self.turn);
        self.turn.places.heal(queued);
        self.tend_permits();
        for at in 0..self.pull.links() {
            if self.outcomes_left.is_empty() {
                self.use_grants(at);
            }
            let held = Class::ALL.map(|class| self.ledger.hold(&self.turn, class).is_some());
            self.pull.demand(&mut self.turn, at, held);
        }
        self.tend_permits();
        debug_assert_eq!(self.pull.out(), self.ledger.books.attempts.open_count() as u64, "attempts are out at links");
        self.settle_moved();
    }

    /// Sets of counters that are new get their gates before their messages enter lists.
    fn begin_sets(&mut self) {
        let Self { turn, pull, permits, .. } = self;
        for set in turn.sets.unrecorded() {
            if !turn.sets.is_stale(set) {
                permits.begin(turn, &mut pull.lanes, set);
            }
        }
    }

    /// Attempts that have ended have used their permits, or give them back.
    pub(super) fn end_permits(&mut self, at: Wall) {
        let ended = std::mem::take(&mut self.ledger.books.attempts.ended);
        self.permits.end(&self.turn, ended, at);
    }

    fn tend_permits(&mut self) {
        self.end_permits(self.turn.now.wall);
        let Self { turn, pull, permits, .. } = self;
        let Pull { links, lanes, .. } = pull;
        let may_send = |(route, carrier)| links.may_send(route, carrier);
        permits.tend(turn, lanes, |lanes, set| lanes.ways_of(set).any(may_send));
    }

    fn use_grants(&mut self, at: usize) {
        for class in Class::ALL {
            let is_used = self.pull.has_place(at, class, 0) && self.ledger.hold(&self.turn, class).is_none();
            if is_used {
                let submits = self.begin_attempts(at, class);
                self.pull.hand_over(&mut self.turn, at, class, submits);
            }
            if self.ledger.hold(&self.turn, class).is_some() {
                self.pull.return_held_grants(&mut self.turn, at, class);
            }
            if is_used {
                self.pull.return_idle_grants(&mut self.turn, at, class);
            }
        }
    }

    fn begin_attempts(&mut self, at: usize, class: Class) -> Vec<Submit> {
        let link = self.pull.link(at);
        let mut submits = Vec::with_capacity(self.pull.places(at, class).min(1_024) as usize);
        while self.pull.has_place(at, class, submits.len() as u32)
            && self.ledger.hold(&self.turn, class).is_none()
            && self.ledger.may_attempt(&mut self.turn, class)
        {
            let Some((name, taken)) = self.pull.take(&mut self.turn, &mut self.permits, at, class) else { break };
            let is_over = self.is_over(&taken);
            let lanes = &self.pull.lanes;
            let source = Source { lane: lanes.lane(name.list), is_restored: lanes.is_restored(name.generation) };
            match self.ledger.begin(&mut self.turn, link, source, &taken, is_over) {
                Begun::Submit(submit) => submits.push(submit),
                Begun::Not(passed) => {
                    let parts = taken.segment.head(taken.slot).map_or(1, |head| head.parts);
                    let set = self.turn.sets.over(source.lane.set, link.carrier);
                    self.permits.put_back(&self.turn, set, parts);
                    self.passed(name, passed);
                }
            }
        }
        submits
    }

    fn is_over(&mut self, taken: &Taken) -> bool {
        self.alarms.has_ended(&mut self.turn, &taken.segment, taken.slot)
    }

    /// An entry of a list was passed over: counts it if its message had ended.
    fn passed(&mut self, name: FifoName, passed: Passed) {
        match passed {
            Passed::Ended => {
                let part = self.pull.lanes.part_of(name.list, name.generation);
                self.pull.add_ended(&mut self.turn, part, -1);
            }
            Passed::No | Passed::Closed => {}
        }
    }

    /// Moves messages out of lanes whose routes are gone or whose limits have changed, for whatever reason they wait there: as many
    /// as one turn may.
    fn reroute(&mut self) {
        // Before the first catalog no route is known. A stopping shard has no time for it; the next start does it.
        if self.turn.catalog.version == 0 || self.turn.draining {
            return;
        }
        let mut is_through = true;
        for _ in 0..REROUTED_PER_TURN_MAX {
            let Some((name, taken)) = self.pull.take_stray(&mut self.turn) else { break };
            let is_over = self.is_over(&taken);
            let restored = self.pull.lanes.is_restored(name.generation);
            is_through = false;
            let source = Source { lane: self.pull.lanes.lane(name.list), is_restored: restored };
            match self.ledger.reroute(&mut self.turn, &taken, is_over, source) {
                Rerouted::To(lane) => {
                    let address = taken.segment.address(taken.slot);
                    let place = Place::Due { lane, restored };
                    self.turn.gathering.ready_at_hand(place, address, Arc::clone(&taken.segment));
                    self.lookups.entered(address, Listing { lane, restored });
                    self.alarms.touch(address);
                }
                Rerouted::Not(passed) => self.passed(name, passed),
            }
        }
        if is_through {
            self.rerouting.tell(&mut self.turn);
        }
    }

    /// Gives up messages that were unsent at a backup, in classes whose policy is to drop them: as many as one turn may.
    fn drop_restored(&mut self) {
        let mut left = DROPPED_PER_TURN_MAX;
        for class in Class::ALL {
            while left > 0 && self.turn.restored.drops(class) {
                let Some((name, taken)) = self.pull.take_restored(&mut self.turn, class) else { break };
                left = if self.turn.buggify.at(Point::DropLater) { 0 } else { left - 1 };
                let is_over = self.is_over(&taken);
                let lane = self.pull.lanes.lane(name.list);
                let passed = self.ledger.drop_restored(&mut self.turn, lane, &taken, is_over);
                self.passed(name, passed);
            }
        }
    }

    /// Passes over ended messages at the heads of lists, even in lists that no link takes from.
    fn pass_ended(&mut self) {
        let mut left = PASSED_PER_TURN_MAX;
        for name in self.pull.lanes.perhaps_ended() {
            while left > 0
                && let Some((segment, slot)) = self.pull.lanes.peek(name)
            {
                let (address, head) = (segment.address(slot), segment.head(slot).copied());
                let is_over = self.alarms.has_ended(&mut self.turn, segment, slot);
                if !self.ledger.books.cancelled.contains_key(&address) && !is_over {
                    break;
                }
                self.pull.drop_first(&mut self.turn, name);
                let is_restored = self.pull.lanes.is_restored(name.generation);
                let passed = self.ledger.pass_over(&mut self.turn, address, head.as_ref(), is_over, is_restored);
                self.passed(name, passed);
                left -= 1;
            }
        }
    }

    /// The operator decided about messages that were unsent in a backup, of one class or of all. Returns how many messages it
    /// concerns.
    pub(super) fn handle_release(&mut self, class: Option<Class>, policy: DoubtPolicy) -> u64 {
        let classes = || Class::ALL.into_iter().filter(|own| class.is_none_or(|asked| asked == *own));
        let Some(put) = self.turn.restored.decide(classes(), policy) else { return 0 };
        let mut concerned = 0;
        for class in classes() {
            self.pull.lanes.set_unsent(class, self.turn.restored.unsent_in_lists(class));
            concerned += self.pull.lanes.restored_waiting(class);
        }
        self.turn.gathering.batch().extra.push(put);
        concerned + self.ledger.release(&mut self.turn, class, policy)
    }
}

/// What came in from a handset, in the form in which it is kept.
enum Inbound {
    Whole(HandsetRecord),
    Part(PartRecord),
}

fn inbound(batch: &ReceiptBatch, message: &HandsetIn) -> Inbound {
    let HandsetIn { from, data_coding, .. } = *message;
    let (wall, group) = (message.at.0, batch.group.0);
    let [name, to, header, text] =
        [message.name, message.to, message.header, message.text].map(|span| span.of(&batch.arena).to_vec());
    match message.part {
        Some(PartIn { reference, parts, part }) => {
            Inbound::Part(PartRecord { wall, group, from, name, to, reference, parts, part, data_coding, header, text })
        }
        None => {
            // The tenant is set by `keep_handsets`.
            let (tenant, parts, missing) = (None, 1, Vec::new());
            Inbound::Whole(HandsetRecord {
                wall,
                group,
                from,
                name,
                to,
                tenant,
                data_coding,
                header,
                text,
                parts,
                missing,
            })
        }
    }
}
