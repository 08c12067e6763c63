//! Receipts: from a carrier's word about an id to a message's final state, in whatever order the words come.

use std::collections::{BTreeMap, VecDeque};

use crate::delivery::Happened;
use crate::model::limits::RECEIPT_TEXT_MAX;
use crate::model::{Address, CarrierId, Class, GroupId, Msisdn, Point, TenantId, Wall};
use crate::smpp::receipt::ReceiptState;
use crate::smpp::receipt_id::{Candidate, Dialect, IdForm, id_key};
use crate::store::backend::{RunFamily, RunId};
use crate::store::key::Key;
use crate::store::record::{InboundRecord, OutboxRecord, ReceiptNote, encode};
use crate::store::{CommitSeq, ReadRequest, ReceiptKeys, run};
use crate::traffic::{IfUnknown, Outcome, ReceiptBatch, ReceiptIn, ReceiptToken, ToLink, Verdict, VerdictBatch};

use super::answered::Answered;
use super::event::{Effect, Maintenance};
use super::orphans::{Orphan, Orphans};
use super::receipt_epoch::ReceiptEpoch;
use super::repeats::Repeats;
use super::{Options, Shard};

/// Ids of answered receipts that are remembered behind the open epoch at least.
const ANSWERED_MIN: usize = 1_024;
/// Octets that a message from a handset takes on disk beside its text, about.
const HANDSET_OCTETS: u64 = 64;
/// How many of the latest answered receipts are written down once more when entries leave the epoch.
const ANSWERED_AGAIN_MAX: usize = 65_536;

/// Everything a shard knows of receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    epoch: ReceiptEpoch,
    answered: Answered,
    orphans: Orphans,
    repeats: Repeats,
    dialects: BTreeMap<GroupId, Dialect>,
    /// Sealed epochs, oldest first, with when they were sealed.
    runs: VecDeque<(u64, Wall)>,
    next_run: u64,
    sealing: Option<Sealing>,
    probes: BTreeMap<u64, Probe>,
    next_probe: u64,
    receipts_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sealing {
    run: u64,
    entries: usize,
}

/// Receipts of one batch whose ids the open epoch does not hold, while the runs are asked.
#[derive(Debug)]
struct Probe {
    link: crate::model::LinkId,
    group: GroupId,
    sought: Vec<Sought>,
}

#[derive(Debug)]
struct Sought {
    receipt: ReceiptIn,
    forms: Vec<Candidate>,
    record: InboundRecord,
}

impl Receipts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            epoch: ReceiptEpoch::default(),
            answered: Answered::new((options.receipts_max / 4).max(ANSWERED_MIN)),
            orphans: Orphans::new(options.hash_seed, options.bounds.parked_max, options.bounds.parked_foreign_max),
            repeats: Repeats::default(),
            dialects: BTreeMap::new(),
            runs: VecDeque::new(),
            next_run: 1,
            sealing: None,
            probes: BTreeMap::new(),
            next_probe: 0,
            receipts_max: options.receipts_max,
        }
    }

    /// Parts in the open epoch whose final receipt is missing.
    pub(super) const fn waiting(&self) -> usize {
        self.epoch.unanswered()
    }

    pub(super) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Receipts parked since `since` that came from `recipient` by that group, with their keys.
    pub(super) fn parked_for(&self, recipient: Msisdn, group: GroupId, since: Wall) -> Vec<(u64, InboundRecord)> {
        self.orphans.of(recipient.number(), group.0, since)
    }

    pub(super) fn committed(&mut self, seq: CommitSeq) {
        self.epoch.committed(seq.0);
    }

    pub(super) fn first_commit(&self) -> Option<u64> {
        self.epoch.first_commit()
    }

    pub(super) const fn next_run(&self) -> u64 {
        self.next_run
    }

    pub(super) fn replay(&mut self, commit: u64, entries: &[ReceiptNote], answered: &[(u64, u64)]) {
        entries.iter().for_each(|note| self.epoch.insert(*note));
        self.epoch.committed(commit);
        for (key, recipient) in answered {
            if !self.epoch.answer(*key) {
                self.answered.insert(*key, *recipient);
            }
        }
    }

    pub(super) fn replay_run(&mut self, run: u64, sealed_at: Wall) {
        self.runs.push_back((run, sealed_at));
        self.next_run = self.next_run.max(run + 1);
    }

    pub(super) fn replay_next_run(&mut self, next: u64) {
        self.next_run = self.next_run.max(next);
    }
}

/// What a shard says to a receipt at once.
enum Judged {
    Told(Verdict),
    /// Nothing yet: the runs are to be asked.
    Asked(Sought),
}

/// Verdicts for one link.
struct Told {
    /// Once what they say is durable.
    kept: Vec<(ReceiptToken, Verdict)>,
    /// At once.
    prompt: Vec<(ReceiptToken, Verdict)>,
}

impl Told {
    fn with_capacity(receipts: usize) -> Self {
        Self { kept: Vec::with_capacity(receipts), prompt: Vec::new() }
    }

    fn add(&mut self, token: ReceiptToken, verdict: Verdict) {
        match verdict {
            Verdict::Kept => self.kept.push((token, verdict)),
            Verdict::Unknown | Verdict::Full => self.prompt.push((token, verdict)),
        }
    }
}

/// Whose receipt is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub group: GroupId,
    pub recipient: Msisdn,
    pub tenant: TenantId,
    pub class: Class,
    pub reference: u16,
}

impl Shard {
    /// A part was taken under this id: its receipt is waited for, or was parked before.
    pub(super) fn await_receipt(&mut self, of: Awaited, id: &[u8], outcome: &Outcome) {
        if id.is_empty() {
            return;
        }
        let Awaited { group, recipient, tenant, class, reference } = of;
        let note = ReceiptNote {
            key: id_key(u64::from(group.0), id),
            address: outcome.address.packed(),
            recipient: recipient.number(),
            since: (self.now.wall.0 / 1_000) as u32,
            tenant: tenant.0,
            class: class as u8,
            part: outcome.part,
            parts: outcome.parts,
            flags: 0,
            reference,
        };
        self.await_part(note);
    }

    /// A part waits for its receipt, unless that was parked before.
    pub(super) fn await_part(&mut self, note: ReceiptNote) {
        self.receipts.epoch.insert(note);
        self.gathering.batch().receipts.entries.push(note);
        self.hear_parked(note, false);
        self.seal_if_full();
    }

    /// What was parked under an id that is known by now.
    fn hear_parked(&mut self, note: ReceiptNote, answered: bool) {
        let Some(orphan) = self.receipts.orphans.take(note.key, note.recipient) else { return };
        self.gone(&orphan);
        if let Some(state) = orphan.record.state.and_then(ReceiptState::from_code) {
            self.apply_receipt(note, answered, state, orphan.record.error);
        }
    }

    pub(super) fn receipts(&mut self, batch: &ReceiptBatch) {
        let mut told = Told::with_capacity(batch.receipts.len());
        let mut sought = Vec::new();
        for receipt in &batch.receipts {
            match self.receipt(batch, receipt) {
                Judged::Told(verdict) => told.add(receipt.token, verdict),
                Judged::Asked(asked) => sought.push(asked),
            }
        }
        self.verdicts(batch.link, told);
        if !sought.is_empty() {
            self.probe(Probe { link: batch.link, group: batch.group, sought });
        }
    }

    fn probe(&mut self, probe: Probe) {
        let keys_of = |sought: &Sought| ReceiptKeys {
            keys: sought.forms.iter().map(|candidate| (candidate.key, candidate.form == IdForm::Same)).collect(),
            recipient: sought.receipt.recipient,
        };
        let (token, receipts) = (self.receipts.next_probe, probe.sought.iter().map(keys_of).collect());
        self.receipts.next_probe += 1;
        self.receipts.probes.insert(token, probe);
        self.reads.push_back((CommitSeq(0), ReadRequest::Probe { token, receipts }));
    }

    fn verdicts(&mut self, link: crate::model::LinkId, told: Told) {
        let shard = self.options.shard;
        if !told.kept.is_empty() {
            self.tell_link(link, ToLink::Verdicts(VerdictBatch { shard, verdicts: told.kept }));
        }
        if !told.prompt.is_empty() {
            let traffic = ToLink::Verdicts(VerdictBatch { shard, verdicts: told.prompt });
            self.prompt.push_back(Effect::Link(link, traffic));
        }
    }

    fn receipt(&mut self, batch: &ReceiptBatch, receipt: &ReceiptIn) -> Judged {
        let id = receipt.id.of(&batch.arena);
        let Some(state) = receipt.state else {
            return Judged::Told(self.handset_message(batch, receipt));
        };
        let dialect = self.receipts.dialects.entry(batch.group).or_default();
        let candidates = dialect.candidates(u64::from(batch.group.0), id);
        if self.apply_if_awaited(batch.group, receipt, candidates.clone(), state) {
            return Judged::Told(Verdict::Kept);
        }
        let mut record = inbound_record(batch, receipt);
        record.text.truncate(RECEIPT_TEXT_MAX);
        if self.receipts.runs.is_empty() || id.is_empty() {
            return Judged::Told(self.unknown_receipt(receipt, record));
        }
        Judged::Asked(Sought { receipt: *receipt, forms: candidates.collect(), record })
    }

    /// Applies a receipt whose id the open epoch holds, or that came before.
    fn apply_if_awaited(
        &mut self,
        group: GroupId,
        receipt: &ReceiptIn,
        mut forms: impl Iterator<Item = Candidate> + Clone,
        state: ReceiptState,
    ) -> bool {
        let epoch = &self.receipts.epoch;
        let found = forms.clone().find_map(|Candidate { form, key }| {
            let (note, answered) = epoch.find(key)?;
            (form == IdForm::Same || note.recipient == receipt.recipient).then_some((form, note, answered))
        });
        let Some((form, note, answered)) = found else {
            let again = forms.any(|Candidate { form, key }| {
                let of = self.receipts.answered.recipient_of(key);
                of.is_some_and(|recipient| form == IdForm::Same || recipient == receipt.recipient)
            });
            self.counters.receipts_late += u64::from(again);
            return again;
        };
        self.receipts.dialects.entry(group).or_default().observe(form);
        self.apply_receipt(note, answered, state, receipt.error);
        true
    }

    /// The runs have answered. Responses may have come meanwhile.
    pub(super) fn probed(&mut self, token: u64, notes: &[Option<(usize, ReceiptNote)>]) {
        let Some(Probe { link, group, sought }) = self.receipts.probes.remove(&token) else { return };
        let mut told = Told::with_capacity(sought.len());
        for (Sought { receipt, forms, record }, note) in sought.into_iter().zip(notes) {
            told.add(receipt.token, self.found_receipt(group, &receipt, &forms, record, *note));
        }
        self.verdicts(link, told);
    }

    fn found_receipt(
        &mut self,
        group: GroupId,
        receipt: &ReceiptIn,
        forms: &[Candidate],
        record: InboundRecord,
        found: Option<(usize, ReceiptNote)>,
    ) -> Verdict {
        let Some(state) = receipt.state else { return Verdict::Unknown };
        if self.apply_if_awaited(group, receipt, forms.iter().copied(), state) {
            return Verdict::Kept;
        }
        let Some((at, note)) = found else { return self.unknown_receipt(receipt, record) };
        if let Some(candidate) = forms.get(at) {
            self.receipts.dialects.entry(group).or_default().observe(candidate.form);
        }
        self.apply_receipt(note, false, state, receipt.error);
        Verdict::Kept
    }

    fn unknown_receipt(&mut self, receipt: &ReceiptIn, record: InboundRecord) -> Verdict {
        if receipt.if_unknown == IfUnknown::Tell {
            return Verdict::Unknown;
        }
        if !self.settle_by_receipt(&record) {
            self.park(record);
        } else if let Some((note, answered)) = self.receipts.epoch.find(id_key(u64::from(record.group), &record.id)) {
            self.hear_parked(note, answered);
        }
        Verdict::Kept
    }

    /// A message from a handset is kept whole. Over the bound, and while the disk is low, its carrier keeps it instead.
    fn handset_message(&mut self, batch: &ReceiptBatch, receipt: &ReceiptIn) -> Verdict {
        let (messages, octets) = self.outbox.handsets();
        let (bounds, more) = (&self.options.bounds, u64::from(receipt.text.len) + HANDSET_OCTETS);
        let fits = messages < bounds.handset_messages_max as u64 && octets + more <= bounds.handset_octets_max;
        if !fits || self.disk.is_low() {
            self.counters.handsets_refused += 1;
            return Verdict::Full;
        }
        self.outbox.add_handsets(self.gathering.seq().0, 1, more);
        self.gathering.batch().outbox.push(OutboxRecord::Handset(inbound_record(batch, receipt)));
        Verdict::Kept
    }

    fn park(&mut self, record: InboundRecord) {
        if self.receipts.orphans.outranks(&record) {
            return;
        }
        self.counters.receipts_parked += 1;
        let at = (self.gathering.seq().0, self.gathering.batch().orphans.len() as u32);
        let is_foreign = !self.books.attempts.is_under_way_to(record.from);
        if !is_foreign {
            self.gathering.batch().orphans.push(record.clone());
        }
        self.insert_orphan(Orphan { at, is_foreign, is_on_disk: !is_foreign, record });
        self.shed_orphans();
    }

    fn insert_orphan(&mut self, mut orphan: Orphan) {
        orphan.record.text = Vec::new();
        if let Some(older) = self.receipts.orphans.insert(orphan) {
            self.gone(&older);
        }
    }

    /// It is parked no more, on disk either.
    fn gone(&mut self, orphan: &Orphan) {
        if orphan.is_on_disk {
            self.gathering.batch().orphans_gone.push(orphan.at);
        }
    }

    /// What there is no room for is given up: nobody waits for it as far as we know, and its carrier was answered.
    fn shed_orphans(&mut self) {
        while let Some(gone) = self.receipts.orphans.shed() {
            self.counters.receipts_dropped[usize::from(!gone.is_foreign)] += 1;
            self.gone(&gone);
        }
    }

    /// Parked receipts that a start has found, the latest of them. What it has left out goes from the disk as well.
    pub(super) fn replay_orphans(&mut self, found: Vec<(u64, u32, InboundRecord)>, left_out: bool) {
        if let Some((commit, index, _)) = found.first().filter(|_| left_out) {
            let (key, from) = (Key::Orphan(*commit, *index), vec![0]);
            let dropped = Maintenance::DropRange { space: key.space(), from, to: key.bytes() };
            self.effect(Effect::Maintain(dropped));
        }
        for (commit, index, record) in found {
            let is_foreign = !self.books.attempts.is_under_way_to(record.from);
            self.insert_orphan(Orphan { at: (commit, index), is_foreign, is_on_disk: true, record });
        }
        self.shed_orphans();
    }

    /// A part was taken under this id, and nobody wants its receipt: carriers may send it all the same.
    pub(super) fn expect_no_receipt(&mut self, of: Awaited, id: &[u8]) {
        if id.is_empty() {
            return;
        }
        let (key, recipient) = (id_key(u64::from(of.group.0), id), of.recipient.number());
        if let Some(orphan) = self.receipts.orphans.take(key, recipient) {
            self.counters.receipts_late += 1;
            self.gone(&orphan);
        }
        self.receipts.answered.insert(key, recipient);
        self.gathering.batch().receipts.answered.push((key, recipient));
    }

    /// A receipt that changes nothing stands in the timeline, unless enough of them do.
    fn aside(&mut self, address: Address, what: Happened) {
        if self.receipts.repeats.is_recorded(address) {
            self.happens(address, what);
        } else {
            self.counters.receipts_repeated += 1;
        }
    }

    /// A receipt after the end.
    fn late(&mut self, address: Address, receipt: ReceiptState) {
        self.counters.receipts_late += 1;
        self.aside(address, Happened::Late { receipt });
    }

    pub(super) fn carrier_group(&self, carrier: CarrierId) -> Option<GroupId> {
        self.catalog.carriers.iter().find(|known| known.id == carrier).map(|known| known.group)
    }

    /// A parked receipt was used after all.
    pub(super) fn unpark(&mut self, key: u64) {
        if let Some(orphan) = self.receipts.orphans.remove(key) {
            self.gone(&orphan);
        }
    }

    /// A part waits under an id that its receipt, which is at hand, has made known.
    pub(super) fn await_late(&mut self, note: ReceiptNote) {
        self.receipts.epoch.insert(note);
        self.gathering.batch().receipts.entries.push(note);
        self.seal_if_full();
    }

    /// A receipt that bears no id, and whose part is known all the same.
    pub(super) fn receipt_without_id(&mut self, note: ReceiptNote, state: ReceiptState, error: u32) {
        self.counters.receipts += 1;
        let address = Address::from_packed(note.address);
        match end_by(state, error) {
            None => self.aside(address, Happened::Intermediate { receipt: state }),
            Some(end) => self.final_receipt(address, note, end, state),
        }
    }

    pub(super) fn apply_receipt(&mut self, note: ReceiptNote, answered: bool, state: ReceiptState, error: u32) {
        let address = Address::from_packed(note.address);
        self.counters.receipts += 1;
        let end = match end_by(state, error) {
            None if answered => return self.aside(address, Happened::Late { receipt: state }),
            None => return self.aside(address, Happened::Intermediate { receipt: state }),
            Some(_) if answered => return self.late(address, state),
            Some(end) => end,
        };
        if !self.receipts.epoch.answer(note.key) {
            self.receipts.answered.insert(note.key, note.recipient);
        }
        self.gathering.batch().receipts.answered.push((note.key, note.recipient));
        self.final_receipt(address, note, end, state);
    }

    fn final_receipt(&mut self, address: Address, note: ReceiptNote, end: Happened, state: ReceiptState) {
        if note.parts <= 1 {
            self.finish(address, end);
        } else {
            self.part_receipt(address, note, end, state);
        }
    }

    /// A message is delivered when all parts of one attempt are, and failed when one is. A receipt of an attempt that
    /// was given up for another one counts no more.
    fn part_receipt(&mut self, address: Address, note: ReceiptNote, end: Happened, state: ReceiptState) {
        let progress = self.books.attempts.progress.get(&address).filter(|known| known.reference == note.reference);
        let Some(progress) = progress else { return self.late(address, state) };
        if progress.closed {
            self.late(address, state);
            return self.books.part_settled(address, note.part);
        }
        if !matches!(end, Happened::Delivered { .. }) {
            self.finish(address, end);
            return self.books.part_settled(address, note.part);
        }
        self.happens(address, Happened::PartDelivered { part: note.part });
        let delivered = self.books.attempts.progress.get(&address).map_or(0, |progress| progress.delivered.len());
        if delivered >= u32::from(note.parts) {
            self.finish(address, end);
        }
    }

    /// Seals the older half of a full epoch; where all of it is answered, there is nothing to be kept.
    fn seal_if_full(&mut self) {
        let receipts = &mut self.receipts;
        let entries = receipts.epoch.len();
        if receipts.sealing.is_some() || entries < 2 {
            return;
        }
        if entries < receipts.receipts_max && !self.buggify.at(Point::EpochFull) {
            return;
        }
        let entries = receipts.epoch.len() / 2;
        let notes = receipts.epoch.oldest_unanswered(entries);
        if notes.is_empty() {
            return self.forget_oldest(entries);
        }
        let run = receipts.next_run;
        receipts.next_run += 1;
        receipts.sealing = Some(Sealing { run, entries });
        let entries = notes.iter().map(|note| (note.key.to_be_bytes().to_vec(), encode(note))).collect();
        self.effect(Effect::Maintain(Maintenance::WriteRun { run: (RunFamily::Receipt, run), entries }));
    }

    /// A run is on stable storage: from now on it answers for the entries that it holds.
    pub(super) fn handle_run_written(&mut self, written: RunId) {
        let Some(sealing) = self.receipts.sealing.take_if(|sealing| sealing.run == written.1) else { return };
        self.forget_oldest(sealing.entries);
        self.receipts.runs.push_back((sealing.run, self.now.wall));
        let sealed_at = self.now.wall.0.to_be_bytes().to_vec();
        self.gathering.batch().extra.push(run::register(written, sealed_at));
    }

    /// The oldest entries of the epoch leave it. With them go, after a restart, the commits that say what was answered; of
    /// the latest it is said again, for a carrier that heard no answer delivers once more after its reconnection.
    fn forget_oldest(&mut self, entries: usize) {
        let Receipts { epoch, answered, .. } = &mut self.receipts;
        epoch.forget(entries, |note| answered.insert(note.key, note.recipient));
        self.gathering.batch().receipts.answered.extend(answered.latest(ANSWERED_AGAIN_MAX));
    }

    /// Forgets what was waited for long enough: whole runs, and parked receipts.
    pub(super) fn expire_receipts(&mut self) {
        let horizon = Wall(self.now.wall.0.saturating_sub(self.options.orphan_ms));
        while let Some(&(number, sealed_at)) = self.receipts.runs.front()
            && sealed_at < horizon
        {
            self.receipts.runs.pop_front();
            let id = (RunFamily::Receipt, number);
            self.gathering.batch().extra.push(run::deregister(id));
            self.effect(Effect::Maintain(Maintenance::DeleteRun(id)));
        }
        for old in self.receipts.orphans.expire(horizon) {
            self.gone(&old);
        }
        self.books.attempts.progress.expire(horizon);
        self.books.attempts.forget_once_in_doubt(horizon);
    }
}

fn inbound_record(batch: &ReceiptBatch, receipt: &ReceiptIn) -> InboundRecord {
    InboundRecord {
        wall: receipt.at.0,
        group: batch.group.0,
        from: receipt.recipient,
        id: receipt.id.of(&batch.arena).to_vec(),
        state: receipt.state.map(|state| state as u8),
        error: receipt.error,
        reference: receipt.reference,
        text: receipt.text.of(&batch.arena).to_vec(),
    }
}

/// The end that a receipt's state means; `None` for one that is not final.
const fn end_by(state: ReceiptState, error: u32) -> Option<Happened> {
    match state {
        ReceiptState::Delivered => Some(Happened::Delivered { error }),
        ReceiptState::Expired => Some(Happened::Expired { error: Some(error) }),
        ReceiptState::Rejected => Some(Happened::Rejected { error }),
        ReceiptState::Deleted | ReceiptState::Undeliverable | ReceiptState::Unknown | ReceiptState::Skipped => {
            Some(Happened::Undelivered { error })
        }
        ReceiptState::Enroute | ReceiptState::Accepted | ReceiptState::Scheduled => None,
    }
}
