//! Receipts: which message and part a carrier's receipt is about, and what it says of it, in whatever order receipts and
//! responses come.

use std::collections::{BTreeMap, VecDeque};

use crate::delivery::Happened;
use crate::model::limits::RECEIPT_TEXT_MAX;
use crate::model::{
    Address, Agreement, CarrierError, CarrierId, GroupId, LinkId, Mono, Msisdn, Point, ReceiptState, Sound, Wall,
};
use crate::store::backend::{RunFamily, RunId};
use crate::store::record::{CheckpointRecord, InboundRecord, ReceiptNote, ReceiptsRecord};
use crate::store::{CommitSeq, ReadRequest, ReceiptKeys, run};
use crate::traffic::{IfUnknown, ReceiptBatch, ReceiptIn, ReceiptToken, ToLink, VerdictBatch};
use stentor_smpp::receipt_id::{Candidate, Dialect, IdRelation, id_key};

use super::awaited::{Awaited, Meant, Whose};
use super::catalog::Catalog;
use super::event::{Effect, Maintenance};
use super::heard::{Heard, Judged, Probe, Sought, Told, Unknown};
use super::manners::Manners;
use super::options::Options;
use super::orphans::{self, Displaced, Orphan, Orphans, Parked, Place};
use super::repeats::Repeats;
use super::sealing::{PACE, Sealing, Step};
use super::turn::Turn;

/// At least so many ids of answered receipts are remembered after their parts have left the open epoch.
const ANSWERED_MIN: usize = 1_024;
/// Entries of the open epoch that each receipt without an id makes the shard look at, until it knows which parts wait for which
/// recipient.
const LEARNED_PER_RECEIPT: usize = 4_096;
/// Entries of the open epoch that a checkpoint looks at, to find those whose wait is over.
const LATE_PER_CHECKPOINT: usize = 16_384;
/// Parked receipts that one turn looks at again after their carrier's dialect has changed.
const AGAIN_PER_TURN: usize = 256;

/// Everything a shard knows of receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    awaited: Awaited,
    orphans: Orphans,
    repeats: Repeats,
    manners: Manners,
    /// Parked receipts to look at again, because their carrier's dialect has changed.
    again: VecDeque<Place>,
    /// When recipients were learned last: one time stands for one batch of events, which learns once.
    learned_at: Option<Mono>,
    /// Sealed epochs, oldest first, each with the time until which its parts wait.
    runs: VecDeque<(u64, Wall)>,
    next_run: u64,
    sealing: Option<Sealing>,
    probes: BTreeMap<u64, Probe>,
    next_probe: u64,
    receipts_max: usize,
    /// Since `take_sealed` was called last, entries have left the epoch, so that a restart no longer reads their commits.
    has_sealed: bool,
}

/// What a receipt says, just received or parked before.
#[derive(Clone, Copy, Debug)]
struct Said<'a> {
    carrier: CarrierId,
    group: GroupId,
    id: &'a [u8],
    whose: Whose,
    state: ReceiptState,
    error: CarrierError,
    /// It answers a query, so the id is written as in the response to the submit.
    is_asked: bool,
}

impl Receipts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            awaited: Awaited::new((options.receipts_max / 4).max(ANSWERED_MIN)),
            orphans: Orphans::new(options.hash_seed, options.bounds.parked_max, options.bounds.parked_foreign_max),
            repeats: Repeats::default(),
            manners: Manners::default(),
            again: VecDeque::new(),
            learned_at: None,
            runs: VecDeque::new(),
            next_run: 1,
            sealing: None,
            probes: BTreeMap::new(),
            next_probe: 0,
            receipts_max: options.receipts_max,
            has_sealed: false,
        }
    }

    /// Parts in the open epoch whose final receipt is missing.
    pub(super) const fn waiting(&self) -> usize {
        self.awaited.waiting()
    }

    /// Checks the invariants of parked receipts.
    pub(super) fn check(&self) -> Sound {
        self.orphans.check()
    }

    /// The number of parked receipts.
    pub(super) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Receipts parked since `since` that came from `recipient` over that group.
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

    /// Takes what a checkpoint holds.
    pub(super) fn recover(&mut self, checkpoint: &CheckpointRecord) {
        self.next_run = self.next_run.max(checkpoint.next_run);
    }

    /// Puts what it knows into a checkpoint.
    pub(super) fn note(&self, checkpoint: &mut CheckpointRecord) {
        checkpoint.receipts_from = self.awaited.first_commit().unwrap_or(checkpoint.commit + 1);
        checkpoint.next_run = self.next_run;
    }
}

/// What a receipt turns out to be, before it is put into a [`Judged`] with its record.
enum Known {
    Heard(Heard),
    Not(Unknown),
    /// It has no id.
    Nameless,
    /// The runs must be asked for these forms of its id.
    Asked(Vec<Candidate>),
}

impl Receipts {
    /// A part begins to wait for its receipt. Returns what the receipt says if it was parked before.
    pub(super) fn await_part(&mut self, turn: &mut Turn, note: ReceiptNote) -> Heard {
        self.awaited.wait(note, &mut turn.gathering.batch().receipts);
        let heard = self.hear_parked(turn, note, false);
        self.seal_if_full(turn);
        heard
    }

    /// Takes the parked receipt of a part, if there is one, and returns what it says.
    fn hear_parked(&mut self, turn: &mut Turn, note: ReceiptNote, answered: bool) -> Heard {
        let Self { orphans, awaited, manners, .. } = self;
        if orphans.len() == 0 {
            return Heard::Nothing;
        }
        let is_alone = !awaited.waits_beside(&note);
        let Some(orphan) = orphans.take(&note, is_alone, |carrier| manners.writes(carrier)) else {
            return Heard::Nothing;
        };
        gone(turn, &orphan);
        match ReceiptState::from_index(orphan.record.state) {
            Some(state) => self.apply_receipt(turn, note, answered, state, orphan.record.error),
            None => Heard::Nothing,
        }
    }

    /// Asks the runs.
    pub(super) fn probe(&mut self, turn: &mut Turn, probe: Probe) {
        let keys_of = |sought: &Sought| {
            let is_number_ignored = self.manners.writes(CarrierId(sought.record.carrier)).1;
            let numbers = orphans::whose(&sought.record, is_number_ignored).numbers;
            ReceiptKeys { keys: sought.forms.iter().map(|form| form.key).collect(), numbers, is_number_ignored }
        };
        let (token, receipts) = (self.next_probe, probe.sought.iter().map(keys_of).collect());
        self.next_probe += 1;
        self.probes.insert(token, probe);
        turn.read(ReadRequest::Probe { token, receipts });
    }

    /// The runs have answered: returns what they were asked for.
    pub(super) fn take_probe(&mut self, token: u64) -> Option<Probe> {
        self.probes.remove(&token)
    }

    /// Tells a link its verdicts on receipts.
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
        let is_number_ignored = self.manners.writes(batch.link.carrier).1;
        let said = Said {
            carrier: batch.link.carrier,
            group: batch.group,
            id: receipt.id.of(&batch.arena),
            whose: Whose {
                number: receipt.recipient,
                numbers: receipt.numbers,
                is_number_ignored,
                is_untyped: receipt.is_untyped,
                is_shared: receipt.is_shared,
            },
            state: receipt.state,
            error: receipt.error,
            is_asked: receipt.is_asked,
        };
        let record = || {
            let mut record = inbound_record(batch, receipt);
            record.text.truncate(RECEIPT_TEXT_MAX);
            record
        };
        let ReceiptIn { token, if_unknown, is_shared, is_asked, .. } = *receipt;
        match self.judge(turn, said) {
            Known::Heard(heard) => Judged::Heard(heard),
            // An answer to a query about an unknown part is not kept: the part's end was learned in another way.
            Known::Not(_) | Known::Nameless if is_asked => Judged::Heard(Heard::Nothing),
            Known::Not(why) => Judged::Unknown(Box::new(record()), why),
            Known::Nameless => Judged::Nameless(Box::new(record())),
            Known::Asked(forms) => {
                Judged::Asked(Box::new(Sought { token, if_unknown, is_shared, is_asked, forms, record: record() }))
            }
        }
    }

    /// Finds what a receipt is about, as far as that is possible without the runs.
    fn judge(&mut self, turn: &mut Turn, said: Said<'_>) -> Known {
        if said.id.is_empty() {
            return Known::Nameless;
        }
        let dialect = match said.is_asked {
            true => Dialect::told(IdRelation::Same),
            false => self.manners.writes(said.carrier).0,
        };
        let forms = dialect.candidates(u64::from(said.group.0), said.id);
        let meant = self.awaited.meant(forms.clone(), &said.whose, &[]);
        match meant {
            // A part in a run that has the same id is older; only a number in the receipt could say that it is meant.
            Meant::Part { answered: false, .. } => Known::Heard(self.apply_meant(turn, said, meant)),
            Meant::Part { note, .. } if said.whose.agreement(&note) == Agreement::Agrees => {
                Known::Heard(self.apply_meant(turn, said, meant))
            }
            _ if !self.runs.is_empty() => Known::Asked(forms.collect()),
            _ => self.conclude(turn, said, meant),
        }
    }

    fn conclude(&mut self, turn: &mut Turn, said: Said<'_>, meant: Meant) -> Known {
        match meant {
            Meant::Part { .. } | Meant::Again => Known::Heard(self.apply_meant(turn, said, meant)),
            Meant::Several => Known::Not(Unknown::Which),
            Meant::Others => Known::Not(Unknown::Number),
            Meant::Nothing => Known::Not(Unknown::Id),
        }
    }

    fn apply_meant(&mut self, turn: &mut Turn, said: Said<'_>, meant: Meant) -> Heard {
        let Meant::Part { form, note, answered } = meant else {
            turn.counters.receipts_late += 1;
            return Heard::Nothing;
        };
        if !said.is_asked {
            self.manners.observe(said.carrier, form);
        }
        self.apply_receipt(turn, note, answered, said.state, said.error)
    }

    /// The runs have answered about one receipt. Responses to submits may have come in the meantime.
    pub(super) fn handle_probed(&mut self, turn: &mut Turn, sought: Sought, found: &[(usize, ReceiptNote)]) -> Judged {
        let Sought { forms, record, is_shared, is_asked, .. } = sought;
        let found: Vec<_> = found.iter().filter_map(|(at, note)| Some((*forms.get(*at)?, *note))).collect();
        let Some(mut said) = self.said_by(&record) else { return Judged::Heard(Heard::Nothing) };
        (said.whose.is_shared, said.is_asked) = (said.whose.is_shared | is_shared, is_asked);
        let meant = self.awaited.meant(forms.iter().copied(), &said.whose, &found);
        match self.conclude(turn, said, meant) {
            Known::Heard(heard) => Judged::Heard(heard),
            Known::Not(_) | Known::Nameless | Known::Asked(_) if is_asked => Judged::Heard(Heard::Nothing),
            Known::Not(why) => Judged::Unknown(Box::new(record), why),
            Known::Nameless | Known::Asked(_) => Judged::Unknown(Box::new(record), Unknown::Id),
        }
    }

    /// What a parked receipt says; `None` if its state is not known.
    fn said_by<'a>(&self, record: &'a InboundRecord) -> Option<Said<'a>> {
        let carrier = CarrierId(record.carrier);
        Some(Said {
            carrier,
            group: GroupId(record.group),
            id: &record.id,
            whose: orphans::whose(record, self.manners.writes(carrier).1),
            state: ReceiptState::from_index(record.state)?,
            error: record.error,
            is_asked: false,
        })
    }

    /// The part that a receipt without an id must be about: the only one to its number that waits. `None` if it may be about
    /// another.
    pub(super) fn sole_waiting(&self, record: &InboundRecord) -> Option<ReceiptNote> {
        let (_, sole) = self.awaited.waiting_for(record.group, record.from);
        sole.filter(|_| self.runs.is_empty() && record.from != 0)
    }

    /// Whether no part to the receipt's number waits.
    pub(super) fn waits_for_none(&self, record: &InboundRecord) -> bool {
        self.runs.is_empty() && self.awaited.waiting_for(record.group, record.from).0 == 0
    }

    /// Whether it is known by now which parts wait for which recipient. If not, the call learns some more, but only once for each
    /// point in time.
    pub(super) fn learn_recipients(&mut self, turn: &mut Turn) -> bool {
        // Once for all receipts that come at the same time.
        let is_new = self.learned_at.replace(turn.now.mono) != Some(turn.now.mono);
        let entries = match is_new {
            true if turn.buggify.at(Point::LearnLater) => 1,
            true => LEARNED_PER_RECEIPT,
            false => 0,
        };
        self.awaited.learn_recipients(entries)
    }

    /// A receipt without an id is about the only part to its number.
    pub(super) fn handle_nameless(&mut self, turn: &mut Turn, note: ReceiptNote, record: &InboundRecord) -> Heard {
        match ReceiptState::from_index(record.state) {
            Some(state) => self.apply_receipt(turn, note, false, state, record.error),
            None => Heard::Nothing,
        }
    }

    /// The newest parked receipt without an id from that number since `since`.
    pub(super) fn parked_nameless(&self, group: u16, recipient: u64, since: Wall) -> Option<InboundRecord> {
        self.orphans.nameless(group, recipient, since).cloned()
    }

    /// A receipt has a known id, but of parts to other numbers.
    pub(super) fn note_strange_number(&mut self, turn: &mut Turn, record: &InboundRecord) {
        turn.counters.receipts_strange += 1;
        self.manners.note_strange_number(turn, CarrierId(record.carrier));
    }

    /// Takes over how carriers write, as configured. If that has changed, their parked receipts are looked at again.
    pub(super) fn handle_catalog(&mut self, catalog: &Catalog) {
        let changed = self.manners.handle_catalog(catalog);
        if !changed.is_empty() && self.orphans.len() > 0 {
            self.again.extend(self.orphans.places_of(|carrier| changed.contains(&carrier)));
        }
    }

    /// Whether parked receipts remain to be looked at again.
    pub(super) fn looks_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Looks at parked receipts again, as many as one turn may. Returns what those say whose parts are known now, and asks the
    /// runs about the others.
    pub(super) fn look_again(&mut self, turn: &mut Turn) -> Vec<(InboundRecord, Heard)> {
        let (mut heard, mut sought) = (Vec::new(), Vec::new());
        for place in self.again.drain(..self.again.len().min(AGAIN_PER_TURN)).collect::<Vec<_>>() {
            let Some(record) = self.orphans.record(place).cloned() else { continue };
            let Some(said) = self.said_by(&record) else { continue };
            match self.judge(turn, said) {
                Known::Heard(what) => heard.push((record, what)),
                Known::Asked(forms) => {
                    let (token, if_unknown) = (ReceiptToken::default(), IfUnknown::Park);
                    sought.push(Sought { token, if_unknown, is_shared: false, is_asked: false, forms, record });
                }
                Known::Not(_) | Known::Nameless => {}
            }
        }
        if !sought.is_empty() {
            self.probe(turn, Probe { link: None, sought });
        }
        heard
    }

    /// A receipt with an unknown id, or none, has settled an entry of the ledger. From now on its part is known, under the
    /// receipt's id if it has one.
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

    /// Takes another parked receipt with the same id as one that has just settled a part, and returns what it says.
    pub(super) fn hear_parked_like(&mut self, turn: &mut Turn, record: &InboundRecord) -> Heard {
        match self.awaited.find(self.key_of(record), record.from) {
            Some((note, answered)) => self.hear_parked(turn, note, answered),
            None => Heard::Nothing,
        }
    }

    /// The key of the id under which the carrier would have answered the submit, made from the id in the receipt.
    pub(super) fn key_of(&self, record: &InboundRecord) -> u64 {
        let dialect = self.manners.writes(CarrierId(record.carrier)).0;
        let mut forms = dialect.candidates(u64::from(record.group), &record.id);
        forms.next().map_or_else(|| id_key(u64::from(record.group), &record.id), |form| form.key)
    }

    /// Whether a receipt of that id and number is parked already that is final.
    pub(super) fn outranks(&self, record: &InboundRecord) -> bool {
        self.orphans.outranks(record)
    }

    /// Parks a receipt whose part is not known. `is_foreign`: nothing is under way to its number.
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

    /// Takes over a parked receipt that a start has found. `is_foreign`: nothing is under way to its number.
    pub(super) fn replay_parked(&mut self, turn: &mut Turn, at: Parked, record: InboundRecord, is_foreign: bool) {
        self.insert_orphan(turn, Orphan { at, is_foreign, is_on_disk: true, record });
    }

    /// Drops parked receipts over the bound. As far as is known no message waits for them, and their carrier has its answer.
    pub(super) fn shed_orphans(&mut self, turn: &mut Turn) {
        while let Some(orphan) = self.orphans.shed() {
            shed(turn, &orphan);
        }
    }

    /// A part was taken under this id, and its receipt was not asked for: carriers may send one all the same, and it must not be
    /// parked.
    pub(super) fn expect_none(&mut self, turn: &mut Turn, note: &ReceiptNote) {
        let Self { orphans, awaited, manners, .. } = self;
        let is_alone = orphans.len() > 0 && !awaited.waits_beside(note);
        if let Some(orphan) = orphans.take(note, is_alone, |carrier| manners.writes(carrier)) {
            turn.counters.receipts_late += 1;
            gone(turn, &orphan);
        }
        awaited.answer(note.key, note.recipient, &mut turn.gathering.batch().receipts);
    }

    /// A receipt changes nothing. It becomes a note in the message's timeline, unless there are enough such notes.
    fn aside(&mut self, turn: &mut Turn, address: Address, what: Happened) -> Heard {
        if self.repeats.is_recorded(address) {
            return Heard::Note(address, what);
        }
        turn.counters.receipts_repeated += 1;
        Heard::Nothing
    }

    /// A receipt came after the message's end.
    pub(super) fn late(&mut self, turn: &mut Turn, address: Address, receipt: ReceiptState) -> Heard {
        turn.counters.receipts_late += 1;
        self.aside(turn, address, Happened::Late { receipt })
    }

    /// A parked receipt was used: it is parked no longer.
    pub(super) fn unpark(&mut self, turn: &mut Turn, record: &InboundRecord) {
        if let Some(orphan) = self.orphans.remove(record) {
            gone(turn, &orphan);
        }
    }

    /// A part begins to wait under an id that became known by its receipt.
    fn await_late(&mut self, turn: &mut Turn, note: ReceiptNote) {
        self.awaited.wait(note, &mut turn.gathering.batch().receipts);
        self.seal_if_full(turn);
    }

    /// A receipt without an id, whose part was found in another way.
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
        // When its wait was over, the message ended with `no_receipt`.
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

    /// Begins to seal the older half of a full epoch, or continues with it.
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
            Step::Done => {
                self.has_sealed = true;
                None
            }
        };
    }

    /// A run is durable: from now on it answers for the entries that it holds.
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

    /// Whether, since the last call, commits of the open epoch have become such that a restart no longer reads them.
    pub(super) const fn take_sealed(&mut self) -> bool {
        std::mem::replace(&mut self.has_sealed, false)
    }

    /// Whether a restart finds that part in the commits of the open epoch.
    pub(super) fn is_in_epoch(&self, key: u64, recipient: u64) -> bool {
        self.awaited.find(key, recipient).is_some()
    }

    /// Forgets what was waited for long enough: entire runs, and receipts parked before `horizon`.
    pub(super) fn expire(&mut self, turn: &mut Turn, horizon: Wall) {
        let now = turn.now.wall;
        self.awaited.forget_patience(u32::try_from(now.0 / 1_000).unwrap_or(u32::MAX), LATE_PER_CHECKPOINT);
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

/// A parked receipt is dropped because there is no room.
fn shed(turn: &mut Turn, orphan: &Orphan) {
    turn.counters.receipts_dropped[usize::from(!orphan.is_foreign)] += 1;
    gone(turn, orphan);
}

/// A receipt is no longer parked: it is removed from disk as well.
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
        carrier: batch.link.carrier.0,
        tails: (receipt.numbers.source.index(), receipt.numbers.destination.index()),
        is_ambiguous: false,
        is_untyped: receipt.is_untyped,
    }
}

/// The end that a receipt's state means; `None` for a state that is not final.
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
