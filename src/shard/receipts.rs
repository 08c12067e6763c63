//! Receipts: from a carrier's word about an id to a message's final state, in whatever order the words come.

use std::collections::{BTreeMap, VecDeque};

use crate::delivery::Happened;
use crate::model::limits::RECEIPT_TEXT_MAX;
use crate::model::{Address, CarrierError, GroupId, LinkId, Msisdn, Point, ReceiptState, Wall};
use crate::smpp::receipt_id::{Candidate, Dialect, IdForm, id_key};
use crate::store::backend::{RunFamily, RunId};
use crate::store::record::{CheckpointRecord, InboundRecord, ReceiptNote, ReceiptsRecord};
use crate::store::{CommitSeq, ReadRequest, ReceiptKeys, run};
use crate::traffic::{ReceiptBatch, ReceiptIn, ReceiptToken, ToLink, Verdict, VerdictBatch};

use super::awaited::{Awaited, Meant};
use super::event::{Effect, Maintenance};
use super::options::Options;
use super::orphans::{Displaced, Orphan, Orphans, Parked};
use super::repeats::Repeats;
use super::sealing::{PACE, Sealing, Step};
use super::turn::Turn;

/// Ids of answered receipts that are remembered behind the open epoch at least.
const ANSWERED_MIN: usize = 1_024;
/// So many receipts in a row that name other numbers than their parts went to, and the carrier is taken for one that writes
/// numbers in a way of its own: the runs are not asked for a part that fits better.
const STRANGE_NUMBERS_MAX: u8 = 16;

/// Everything a shard knows of receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    awaited: Awaited,
    orphans: Orphans,
    repeats: Repeats,
    manners: BTreeMap<GroupId, Manner>,
    /// Sealed epochs, oldest first, with until when their parts wait.
    runs: VecDeque<(u64, Wall)>,
    next_run: u64,
    sealing: Option<Sealing>,
    probes: BTreeMap<u64, Probe>,
    next_probe: u64,
    receipts_max: usize,
}

/// How a group of carriers writes what tells whose a receipt is.
#[derive(Debug, Default)]
struct Manner {
    dialect: Dialect,
    /// Receipts in a row whose number was not that of the part under their id.
    strange_numbers: u8,
}

/// Receipts of one batch whose ids the open epoch does not hold, while the runs are asked.
#[derive(Debug)]
pub(super) struct Probe {
    pub link: LinkId,
    pub group: GroupId,
    pub sought: Vec<Sought>,
}

#[derive(Debug)]
pub(super) struct Sought {
    pub receipt: ReceiptIn,
    forms: Vec<Candidate>,
    record: InboundRecord,
}

impl Receipts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            awaited: Awaited::new((options.receipts_max / 4).max(ANSWERED_MIN)),
            orphans: Orphans::new(options.hash_seed, options.bounds.parked_max, options.bounds.parked_foreign_max),
            repeats: Repeats::default(),
            manners: BTreeMap::new(),
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
        self.awaited.waiting()
    }

    pub(super) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Receipts parked since `since` that came from `recipient` by that group.
    pub(super) fn parked_for(&self, recipient: Msisdn, group: GroupId, since: Wall) -> Vec<InboundRecord> {
        self.orphans.of(recipient.number(), group.0, since)
    }

    pub(super) fn committed(&mut self, seq: CommitSeq) {
        self.awaited.committed(seq.0);
    }

    pub(super) fn replay(&mut self, commit: u64, record: &ReceiptsRecord) {
        self.awaited.replay(commit, record);
    }

    pub(super) fn replay_run(&mut self, run: u64, until: Wall) {
        self.runs.push_back((run, until));
        self.next_run = self.next_run.max(run + 1);
    }

    /// As a checkpoint left it.
    pub(super) fn restore(&mut self, checkpoint: &CheckpointRecord) {
        self.next_run = self.next_run.max(checkpoint.next_run);
    }

    /// What it knows goes into a checkpoint.
    pub(super) fn note(&self, checkpoint: &mut CheckpointRecord) {
        checkpoint.receipts_from = self.awaited.first_commit().unwrap_or(checkpoint.commit + 1);
        checkpoint.next_run = self.next_run;
    }
}

/// What a receipt is, as far as the ids say that are known.
#[derive(Debug)]
pub(super) enum Judged {
    /// Of a part that is known.
    Heard(Heard),
    /// Of an id that nobody knows: the ledger may know its recipient.
    Unknown(Box<InboundRecord>),
    /// The runs are to be asked.
    Asked(Box<Sought>),
}

/// What a receipt says of a part that is known: for the message's history.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing that is not there already.
    Nothing,
    /// It changes nothing.
    Note(Address, Happened),
    /// The end of this part, and what said so.
    Final(ReceiptNote, Happened, ReceiptState),
}

/// Verdicts for one link.
#[derive(Debug)]
pub(super) struct Told {
    /// Once what they say is durable.
    kept: Vec<(ReceiptToken, Verdict)>,
    /// At once.
    prompt: Vec<(ReceiptToken, Verdict)>,
}

impl Told {
    pub(super) fn with_capacity(receipts: usize) -> Self {
        Self { kept: Vec::with_capacity(receipts), prompt: Vec::new() }
    }

    pub(super) fn add(&mut self, token: ReceiptToken, verdict: Verdict) {
        match verdict {
            Verdict::Kept => self.kept.push((token, verdict)),
            Verdict::Unknown | Verdict::Full => self.prompt.push((token, verdict)),
        }
    }
}

impl Receipts {
    /// A part waits for its receipt, unless that was parked before: what it says.
    pub(super) fn await_part(&mut self, turn: &mut Turn, note: ReceiptNote) -> Heard {
        self.awaited.wait(note, &mut turn.gathering.batch().receipts);
        let heard = self.hear_parked(turn, note, false);
        self.seal_if_full(turn);
        heard
    }

    /// What was parked under an id that is known by now.
    fn hear_parked(&mut self, turn: &mut Turn, note: ReceiptNote, answered: bool) -> Heard {
        let Some(orphan) = self.orphans.take(note.key, note.recipient) else { return Heard::Nothing };
        gone(turn, &orphan);
        match ReceiptState::from_index(orphan.record.state) {
            Some(state) => self.apply_receipt(turn, note, answered, state, orphan.record.error),
            None => Heard::Nothing,
        }
    }

    /// The runs are asked.
    pub(super) fn probe(&mut self, turn: &mut Turn, probe: Probe) {
        let keys_of = |sought: &Sought| ReceiptKeys {
            keys: sought.forms.iter().map(|candidate| (candidate.key, candidate.form == IdForm::Same)).collect(),
            recipient: sought.receipt.recipient,
        };
        let (token, receipts) = (self.next_probe, probe.sought.iter().map(keys_of).collect());
        self.next_probe += 1;
        self.probes.insert(token, probe);
        turn.read(ReadRequest::Probe { token, receipts });
    }

    /// The runs have answered: what was asked.
    pub(super) fn take_probe(&mut self, token: u64) -> Option<Probe> {
        self.probes.remove(&token)
    }

    /// What the links are told of their receipts.
    pub(super) fn answer(turn: &mut Turn, link: LinkId, told: Told) {
        let shard = turn.options.shard;
        if !told.kept.is_empty() {
            turn.tell_link(link, ToLink::Verdicts(VerdictBatch { shard, verdicts: told.kept }));
        }
        if !told.prompt.is_empty() {
            let traffic = ToLink::Verdicts(VerdictBatch { shard, verdicts: told.prompt });
            turn.prompt.push_back(Effect::Link(link, traffic));
        }
    }

    /// A receipt has come in.
    pub(super) fn handle_receipt(&mut self, turn: &mut Turn, batch: &ReceiptBatch, receipt: &ReceiptIn) -> Judged {
        let id = receipt.id.of(&batch.arena);
        let dialect = &self.manners.entry(batch.group).or_default().dialect;
        let forms = dialect.candidates(u64::from(batch.group.0), id);
        if let Some(meant) = self.awaited.by_number(forms.clone(), receipt.recipient) {
            return Judged::Heard(self.apply_meant(turn, batch.group, receipt, receipt.state, meant));
        }
        let asked = self.forms_to_ask(batch.group, receipt, forms.clone());
        if asked.is_empty()
            && let Some(meant) = self.awaited.meant(forms, receipt.recipient, None)
        {
            return Judged::Heard(self.apply_meant(turn, batch.group, receipt, receipt.state, meant));
        }
        let mut record = inbound_record(batch, receipt);
        record.text.truncate(RECEIPT_TEXT_MAX);
        match asked.is_empty() {
            true => Judged::Unknown(Box::new(record)),
            false => Judged::Asked(Box::new(Sought { receipt: *receipt, forms: asked, record })),
        }
    }

    /// Under which ids the runs are asked for a receipt of whose number no part is known. Where the open epoch holds a part that
    /// was given that very id, they can only have one that fits better.
    fn forms_to_ask(
        &self,
        group: GroupId,
        receipt: &ReceiptIn,
        forms: impl Iterator<Item = Candidate> + Clone,
    ) -> Vec<Candidate> {
        let is_strange = || {
            let known = self.manners.get(&group).map_or(0, |manner| manner.strange_numbers);
            receipt.recipient == 0 || known >= STRANGE_NUMBERS_MAX
        };
        let is_of_no_use = self.runs.is_empty() || receipt.id.len == 0;
        if is_of_no_use || self.awaited.holds_id(forms.clone()) && is_strange() { Vec::new() } else { forms.collect() }
    }

    fn apply_meant(
        &mut self,
        turn: &mut Turn,
        group: GroupId,
        receipt: &ReceiptIn,
        state: ReceiptState,
        meant: Meant,
    ) -> Heard {
        let Meant::Part { form, note, answered } = meant else {
            turn.counters.receipts_late += 1;
            return Heard::Nothing;
        };
        let manner = self.manners.entry(group).or_default();
        manner.dialect.observe(form);
        manner.strange_numbers = match receipt.recipient {
            0 => manner.strange_numbers,
            own if own == note.recipient => 0,
            _ => manner.strange_numbers.saturating_add(1),
        };
        self.apply_receipt(turn, note, answered, state, receipt.error)
    }

    /// The runs have answered about one receipt. Responses may have come meanwhile.
    pub(super) fn handle_probed(
        &mut self,
        turn: &mut Turn,
        group: GroupId,
        sought: Sought,
        found: Option<(usize, ReceiptNote)>,
    ) -> Judged {
        let Sought { receipt, forms, record } = sought;
        let found = found.and_then(|(at, note)| forms.get(at).map(|candidate| (candidate.form, note)));
        match self.awaited.meant(forms.iter().copied(), receipt.recipient, found) {
            Some(meant) => Judged::Heard(self.apply_meant(turn, group, &receipt, receipt.state, meant)),
            None => Judged::Unknown(Box::new(record)),
        }
    }

    /// A receipt that nobody knew has settled an entry of the ledger: its part is known from now on, and its id if it bears one.
    pub(super) fn handle_settled(
        &mut self,
        turn: &mut Turn,
        note: ReceiptNote,
        state: ReceiptState,
        record: &InboundRecord,
    ) -> Heard {
        if record.id.is_empty() {
            return self.receipt_without_id(turn, note, state, record.error);
        }
        self.await_late(turn, note);
        self.apply_receipt(turn, note, false, state, record.error)
    }

    /// The same: what was parked under its id.
    pub(super) fn hear_parked_like(&mut self, turn: &mut Turn, record: &InboundRecord) -> Heard {
        match self.awaited.find(id_key(u64::from(record.group), &record.id), record.from) {
            Some((note, answered)) => self.hear_parked(turn, note, answered),
            None => Heard::Nothing,
        }
    }

    /// Whether a receipt of that id and number is parked already that says more.
    pub(super) fn outranks(&self, record: &InboundRecord) -> bool {
        self.orphans.outranks(record)
    }

    /// Nobody knows its id yet. `is_foreign`: nothing is under way to its number.
    pub(super) fn park(&mut self, turn: &mut Turn, record: InboundRecord, is_foreign: bool) {
        turn.counters.receipts_parked += 1;
        let at = (turn.gathering.seq().0, turn.gathering.batch().orphans.len() as u32);
        if !is_foreign {
            turn.gathering.batch().orphans.push(record.clone());
        }
        self.insert_orphan(turn, Orphan { at, is_foreign, is_on_disk: !is_foreign, record });
        self.shed_orphans(turn);
    }

    fn insert_orphan(&mut self, turn: &mut Turn, mut orphan: Orphan) {
        orphan.record.text = Vec::new();
        match self.orphans.insert(orphan) {
            None => {}
            Some(Displaced::Older(older)) => gone(turn, &older),
            Some(Displaced::Shed(oldest)) => shed(turn, &oldest),
        }
    }

    /// A parked receipt that a start has found. `is_foreign`: nothing is under way to its number.
    pub(super) fn replay_parked(&mut self, turn: &mut Turn, at: Parked, record: InboundRecord, is_foreign: bool) {
        self.insert_orphan(turn, Orphan { at, is_foreign, is_on_disk: true, record });
    }

    /// What there is no room for is given up: nobody waits for it as far as we know, and its carrier was answered.
    pub(super) fn shed_orphans(&mut self, turn: &mut Turn) {
        while let Some(orphan) = self.orphans.shed() {
            shed(turn, &orphan);
        }
    }

    /// A part was taken under this id, and nobody wants its receipt: carriers may send it all the same.
    pub(super) fn expect_none(&mut self, turn: &mut Turn, key: u64, recipient: u64) {
        if let Some(orphan) = self.orphans.take(key, recipient) {
            turn.counters.receipts_late += 1;
            gone(turn, &orphan);
        }
        self.awaited.answer(key, recipient, &mut turn.gathering.batch().receipts);
    }

    /// A receipt that changes nothing stands in the timeline, unless enough of them do.
    fn aside(&mut self, turn: &mut Turn, address: Address, what: Happened) -> Heard {
        if self.repeats.is_recorded(address) {
            return Heard::Note(address, what);
        }
        turn.counters.receipts_repeated += 1;
        Heard::Nothing
    }

    /// A receipt after the end.
    pub(super) fn late(&mut self, turn: &mut Turn, address: Address, receipt: ReceiptState) -> Heard {
        turn.counters.receipts_late += 1;
        self.aside(turn, address, Happened::Late { receipt })
    }

    /// A parked receipt was used after all.
    pub(super) fn unpark(&mut self, turn: &mut Turn, record: &InboundRecord) {
        if let Some(orphan) = self.orphans.remove(record) {
            gone(turn, &orphan);
        }
    }

    /// A part waits under an id that its receipt, which is at hand, has made known.
    fn await_late(&mut self, turn: &mut Turn, note: ReceiptNote) {
        self.awaited.wait(note, &mut turn.gathering.batch().receipts);
        self.seal_if_full(turn);
    }

    /// A receipt that bears no id, and whose part is known all the same.
    fn receipt_without_id(
        &mut self,
        turn: &mut Turn,
        note: ReceiptNote,
        state: ReceiptState,
        error: CarrierError,
    ) -> Heard {
        turn.counters.receipts += 1;
        let address = Address::from_packed(note.address);
        match end_by(state, error) {
            None => self.aside(turn, address, Happened::Intermediate { receipt: state }),
            Some(end) => Heard::Final(note, end, state),
        }
    }

    fn apply_receipt(
        &mut self,
        turn: &mut Turn,
        note: ReceiptNote,
        answered: bool,
        state: ReceiptState,
        error: CarrierError,
    ) -> Heard {
        let address = Address::from_packed(note.address);
        turn.counters.receipts += 1;
        // By then its message has ended, with `no_receipt`.
        let answered = answered || until(&note) <= turn.now.wall;
        let end = match end_by(state, error) {
            None if answered => return self.aside(turn, address, Happened::Late { receipt: state }),
            None => return self.aside(turn, address, Happened::Intermediate { receipt: state }),
            Some(_) if answered => return self.late(turn, address, state),
            Some(end) => end,
        };
        self.awaited.answer(note.key, note.recipient, &mut turn.gathering.batch().receipts);
        Heard::Final(note, end, state)
    }

    /// Seals the older half of a full epoch, or goes on with it.
    fn seal_if_full(&mut self, turn: &mut Turn) {
        if self.sealing.is_none() {
            let entries = self.awaited.len();
            let mut is_full = || entries >= self.receipts_max || turn.buggify.at(Point::EpochFull);
            self.sealing = (entries >= 2 && is_full()).then(|| Sealing::of(entries / 2));
        }
        self.go_on_sealing(turn);
    }

    fn go_on_sealing(&mut self, turn: &mut Turn) {
        let Some(sealing) = self.sealing.take() else { return };
        let pace = if turn.buggify.at(Point::SealLater) { 1 } else { PACE };
        self.sealing = match sealing.step(pace, &mut self.awaited, &mut turn.gathering.batch().receipts) {
            Step::Under(sealing) => Some(sealing),
            Step::Collected { entries, notes } => {
                let (number, until) = (self.next_run, notes.iter().map(until).max().unwrap_or_default());
                self.next_run += 1;
                let run = (RunFamily::Receipt, number);
                turn.effect(Effect::Maintain(Maintenance::WriteRun { run, notes }));
                Some(Sealing::Writing { entries, run: number, until })
            }
            Step::Done => None,
        };
    }

    /// A run is on stable storage: from now on it answers for the entries that it holds.
    pub(super) fn handle_run_written(&mut self, turn: &mut Turn, written: RunId) {
        let Some(Sealing::Writing { entries, run: number, until }) = self.sealing else { return };
        if number != written.1 {
            return;
        }
        self.runs.push_back((number, until));
        turn.gathering.batch().extra.push(run::register(written, until.0.to_be_bytes().to_vec()));
        self.sealing = Some(Sealing::Leaving { entries });
        self.go_on_sealing(turn);
    }

    /// Forgets what was waited for long enough: whole runs, and receipts parked before `horizon`.
    pub(super) fn expire(&mut self, turn: &mut Turn, horizon: Wall) {
        let now = turn.now.wall;
        self.runs.retain(|(number, until)| {
            let is_waited_for = *until > now;
            if !is_waited_for {
                let id = (RunFamily::Receipt, *number);
                turn.gathering.batch().extra.push(run::deregister(id));
                turn.effect(Effect::Maintain(Maintenance::DeleteRun(id)));
            }
            is_waited_for
        });
        for old in self.orphans.expire(horizon) {
            gone(turn, &old);
        }
    }
}

/// Until when a part's receipt is waited for.
const fn until(note: &ReceiptNote) -> Wall {
    Wall(note.until as u64 * 1_000)
}

/// There is no room for it.
fn shed(turn: &mut Turn, orphan: &Orphan) {
    turn.counters.receipts_dropped[usize::from(!orphan.is_foreign)] += 1;
    gone(turn, orphan);
}

/// It is parked no more, on disk either.
fn gone(turn: &mut Turn, orphan: &Orphan) {
    if orphan.is_on_disk {
        turn.gathering.batch().orphans_gone.push(orphan.at);
    }
}

fn inbound_record(batch: &ReceiptBatch, receipt: &ReceiptIn) -> InboundRecord {
    InboundRecord {
        wall: receipt.at.0,
        group: batch.group.0,
        from: receipt.recipient,
        id: receipt.id.of(&batch.arena).to_vec(),
        state: receipt.state as u8,
        error: receipt.error,
        reference: receipt.reference,
        text: receipt.text.of(&batch.arena).to_vec(),
    }
}

/// The end that a receipt's state means; `None` for one that is not final.
fn end_by(state: ReceiptState, error: CarrierError) -> Option<Happened> {
    match state {
        ReceiptState::Delivered => Some(Happened::Delivered { error: error.has_code().then_some(error) }),
        ReceiptState::Expired => Some(Happened::Expired { error: Some(error) }),
        ReceiptState::Rejected => Some(Happened::Rejected { error }),
        ReceiptState::Deleted | ReceiptState::Undeliverable | ReceiptState::Unknown | ReceiptState::Skipped => {
            Some(Happened::Undelivered { error })
        }
        ReceiptState::Enroute | ReceiptState::Accepted | ReceiptState::Scheduled => None,
    }
}
