//! What must be true, judged from outside: what doors were told, what was on the wire, what carriers took and what was
//! answered to them. Knows nothing of the code's internal records; it asks the code only what a client may ask.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::{EventKind, Happened, TimelineEntry};
use crate::model::{
    Address, Class, Head, Lane, MessageId, MessageState, Refusal, ReplyTo, RouteId, SetNumber, ShardId, TenantId, Wall,
};
use crate::shard::{Cancelled, Claimed, FoundMessage, LineResult, Lookup, Options, Reply};
use crate::store::record::AttemptNote;
use crate::traffic::Submit;

use super::carrier::{Fate, IssuedId};
use super::crowd::Crowd;
use super::entries::EntriesSeen;
use super::hands::Reloads;
use super::handsets::{HandsetsSeen, PartSent};
use super::happening::ConnId;
use super::limited::Limited;
use super::part::PartSeen;
use super::quotas::Quotas;
use super::tally::Tally;
use super::wire::Wire;

/// The promises, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// What was acknowledged is found under its id, with its content.
    NothingLost,
    /// Every message comes to rest: it is final, or with its carrier, or in the ledger.
    EverythingEnds,
    /// A carrier takes no part twice unless the ledger explains it; never in a class that gives up messages in doubt.
    NothingTwice,
    /// A message that is lost again and again is given up, and no other message is given up with it.
    DoubtsBounded,
    /// Never more parts in a second than the contract says.
    Rate,
    /// Never more within a limit's span than it allows.
    Limits,
    /// Never more submits without an answer than the contract says.
    Window,
    /// First submits of one tenant, recipient and class go in the order of acknowledgement.
    Order,
    /// A class takes no more than its ceiling of a link while a less urgent one waits there.
    Ceiling,
    /// Tenants of one class with messages at a link take turns by weight.
    Turns,
    /// An urgent message waits at its link for one window turn and one scheduling quantum at most, whatever else waits.
    Urgent,
    /// No id is given to two messages.
    IdsUnique,
    /// One key belongs to one message.
    Keys,
    /// A receipt that was answered takes effect.
    Receipts,
    /// A handset's message that we answered is kept once, and joined when all its parts are there.
    Handsets,
    /// An error is shown as its carrier wrote it.
    Errors,
    /// History only grows, and a final state stays.
    History,
    /// A message that was cancelled in time is not sent, and one that can still be cancelled is cancelled.
    Cancelled,
    /// No tenant is told of another tenant's message.
    Whose,
    /// A carrier that enforces spacing is sent as much as it permits.
    Used,
    /// A tenant is limited to its share only when the share is used up, and to the total only when that is used up.
    Shares,
    /// A tenant submits no more than its rate and its quota, and is charged for exactly what was admitted.
    Quotas,
    /// No message is sent before its scheduled time.
    NotEarly,
    /// An attempt is recorded before it leaves, and states have a cause.
    Causes,
    /// After a clean stop nothing is in doubt.
    CleanStop,
    /// Every question gets one answer, the one that belongs to it.
    Answers,
    /// A link is given no more of a shard's messages than it granted.
    Granted,
    /// No alarm is raised for the operator.
    NoAlarm,
    /// The store finds what it stores.
    StoreSound,
    /// A number belongs to one name for ever, control keeps what it answered, and its version only grows.
    Control,
    /// A message that has expired waits no longer, whichever carriers are away.
    Expiry,
    /// Messages that wait for a route that is gone are sent over another one.
    Routes,
    /// No component repeats the same work for ever.
    NoSpin,
    /// Everything that is sent over the wire can be parsed.
    Readable,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise that is broken.
    pub invariant: Invariant,
    /// What happened.
    pub what: String,
}

/// A message as its client planned it.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The shard that it is for.
    pub shard: ShardId,
    /// The head that was submitted.
    pub head: Head,
    /// The encoded content that was submitted.
    pub content: Vec<u8>,
    /// Idempotency key and fingerprint of the content, if it has a key.
    pub key: Option<(u128, u64)>,
}

impl Intent {
    /// The sender of all messages.
    pub const SENDER: &'static str = "Stentor";
}

/// What a carrier did with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenPart {
    pub carrier: usize,
    pub part: u8,
    pub parts: u8,
    pub issued: IssuedId,
}

/// A message and all that was seen of it.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub intent: Intent,
    pub id: Option<MessageId>,
    pub cancelled: bool,
    pub taken: Vec<TakenPart>,
    pub timeline: Vec<TimelineEntry>,
    pub state: MessageState,
    pub born: Wall,
    /// It was acknowledged after a backup that was restored.
    pub is_forgotten: bool,
    /// It was acknowledged, or taken by a carrier, before the backup that was restored last.
    pub is_restored: bool,
    /// As `is_restored`, and nothing of it may be sent until the operator decides: it was due at the time of the
    /// restore, and no carrier had refused it (a refused message waits for a retry time of its own).
    pub is_held: bool,
    /// A carrier has refused a part.
    pub is_refused: bool,
    /// The statuses with which carriers refused parts of it.
    pub refusals: Vec<u32>,
    /// How many decisions of the operator about it were confirmed.
    pub decided: usize,
    /// When its owner was told that it is too late to cancel it.
    pub too_late: Option<Wall>,
    /// How it was last seen; only in worlds that last longer than retention.
    pub last: Option<Box<FoundMessage>>,
    /// How often each part was sent to a carrier.
    pub seen: BTreeMap<u8, u32>,
    /// It may be sent a second time: the operator decided to send it, although the process that was backed up may have sent it.
    pub may_repeat: bool,
    /// How many entries of `taken` were taken before the backup.
    pub taken_before: usize,
    /// Parts taken between a backup and its restore.
    pub elsewhere: Vec<TakenPart>,
    /// The set of counters with which it was accepted.
    pub set: SetNumber,
}

impl Truth {
    /// The digits of its recipient.
    pub(super) fn recipient(&self) -> Vec<u8> {
        let mut digits = [0; 15];
        self.intent.head.to.write_digits(&mut digits).as_bytes().to_vec()
    }

    pub(super) const fn new(intent: Intent, born: Wall) -> Self {
        Self {
            intent,
            id: None,
            cancelled: false,
            taken: Vec::new(),
            timeline: Vec::new(),
            state: MessageState::Queued,
            born,
            is_forgotten: false,
            is_restored: false,
            is_held: false,
            is_refused: false,
            refusals: Vec::new(),
            decided: 0,
            too_late: None,
            last: None,
            seen: BTreeMap::new(),
            may_repeat: false,
            taken_before: 0,
            elsewhere: Vec::new(),
            set: SetNumber::NONE,
        }
    }
}

/// What a ticket asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Submit these messages.
    Submit(Vec<u32>),
    /// Look up these messages, by number.
    Lookup(Vec<u32>),
    /// Cancel this message.
    Cancel(u32),
    /// Claim this key for a request with a body of that fingerprint.
    Claim(u128, u64),
    /// Read a page of a tenant's records.
    Records(TenantId),
    /// Look up this message as a tenant that does not own it.
    Pry(u32),
    /// Cancel this message as a tenant that does not own it.
    Meddle(u32),
    /// List the ledger.
    Doubts,
    /// Decide about these entries of the ledger.
    Resolve(Vec<MessageId>),
    /// Decide about restored messages.
    Release,
}

/// All that was seen from outside, and the first promise that was broken.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The first broken promise.
    pub broken: Option<Violation>,
    /// The disk was short of room at some time: messages may be refused for that reason.
    pub was_short: bool,
    /// By class: how long a new message may be expected to wait, ms; 0: any time.
    pub(super) class_wait_ms: [u64; Class::COUNT],
    /// What was seen on the wire.
    pub wire: Wire,
    /// What waits at links.
    pub crowd: Crowd,
    /// What was seen of control.
    pub entries: EntriesSeen,
    /// What was seen of messages from handsets.
    pub handsets: HandsetsSeen,
    pub(super) truths: Vec<Truth>,
    questions: BTreeMap<u64, Question>,
    /// Messages by shard and address, neither of which may be used twice.
    ids: BTreeMap<(ShardId, Address), u32>,
    pub(super) keys: BTreeMap<u128, BTreeSet<u64>>,
    pub(super) key_ids: BTreeMap<u128, u32>,
    /// Keys of requests, with the body for which each was first confirmed as new.
    pub(super) claims: BTreeMap<u128, u64>,
    /// So much time has passed that settled messages may have been removed.
    pub aged: bool,
    /// How long a message is certainly kept, ms; below it, the present wall clock time.
    pub known_ms: Option<u64>,
    pub wall: Wall,
    /// How often each message was handed to a link; 0: an attempt began but was not handed over.
    pub(super) handed: BTreeMap<(ShardId, Address), u32>,
    pub(super) issued: BTreeMap<(usize, IssuedId), u32>,
    /// Final receipts that we answered.
    pub(super) answered: BTreeMap<(usize, IssuedId), Fate>,
    /// When each of these receipts was first answered.
    pub(super) heard: BTreeMap<(usize, IssuedId), Wall>,
    /// What the receipts of a carrier said, by the id that it gave.
    pub(super) told: BTreeMap<(usize, IssuedId), BTreeSet<Fate>>,
    /// Final receipts that a carrier made, by recipient; strays are included.
    pub(super) claimed: BTreeSet<(Vec<u8>, Fate)>,
    /// Error codes of the receipts that carriers sent, by recipient and reported state.
    pub(super) said: BTreeMap<(Vec<u8>, Fate), BTreeSet<Vec<u8>>>,
    /// Recipients about whom a carrier sent a receipt that was not asked for, or one under an id that we cannot know.
    pub(super) misled: BTreeSet<Vec<u8>>,
    /// Shards and classes whose unsent messages the operator decided to send after the last restore.
    pub(super) released: BTreeSet<(ShardId, Class)>,
    /// How often keys of requests were asked for, copies included.
    pub claims_asked: u64,
    /// Most messages and most keys of a shard, and the weights of the tenants that share them.
    pub(super) limits: (u64, u64, Vec<(TenantId, u32)>),
    /// How often the process has crashed.
    pub(super) deaths: u64,
    /// Successive checks that found messages waiting for a route that is gone.
    stranded_looks: u32,
    /// What tenants have submitted.
    pub quotas: Quotas,
    /// What counts for limits.
    pub limited: Limited,
    /// The newest connection at the time of the last restore.
    pub(super) conns_before: ConnId,
    /// What reloads have changed.
    pub(super) reloads: Reloads,
    /// When parts were taken by each carrier that enforces spacing.
    pub(super) paces: BTreeMap<usize, Vec<u64>>,
}

/// In how many successive checks messages may wait for a route that is gone.
const STRANDED_LOOKS_MAX: u32 = 5;

impl Oracle {
    /// An oracle for carriers with these rates, and shards with these limits.
    pub fn new(rates: Vec<[Option<u32>; 2]>, shard: &Options) -> Self {
        let limits = (shard.queue_messages_max, shard.keys_max as u64, shard.tenants.clone());
        let class_wait_ms = shard.class_wait_ms;
        Self { wire: Wire::new(rates), limits, class_wait_ms, reloads: Reloads::new(shard), ..Self::default() }
    }

    /// Records a broken promise; only the first one counts.
    pub fn break_at(&mut self, invariant: Invariant, what: String) {
        self.broken.get_or_insert(Violation { invariant, what });
    }

    /// Records a message that a client planned; gives its number.
    pub fn intend(&mut self, intent: Intent) -> u32 {
        if let Some((key, content)) = intent.key {
            self.keys.entry(key).or_default().insert(content);
        }
        self.truths.push(Truth::new(intent, self.wall));
        self.truths.len() as u32 - 1
    }

    /// The number that the next message gets.
    pub fn next_message(&self) -> u32 {
        self.truths.len() as u32
    }

    /// What a client intended.
    pub fn intent(&self, message: u32) -> Option<&Intent> {
        self.truths.get(message as usize).map(|truth| &truth.intent)
    }

    /// The id that was given for a message.
    pub fn id_of(&self, message: u32) -> Option<MessageId> {
        self.truths.get(message as usize)?.id
    }

    /// The tenant that owns a message.
    pub fn tenant_of(&self, message: u32) -> TenantId {
        self.intent(message).map_or_else(TenantId::default, |intent| intent.head.tenant)
    }

    /// Messages of a shard whose ids were told to clients.
    pub fn told_of(&self, shard: ShardId) -> Vec<u32> {
        let told = |(_, truth): &(usize, &Truth)| truth.id.is_some() && truth.intent.shard == shard;
        self.truths.iter().enumerate().filter(told).map(|(number, _)| number as u32).collect()
    }

    /// A question is asked.
    pub fn asked(&mut self, ticket: u64, question: Question) {
        self.questions.insert(ticket, question);
    }

    /// The process has crashed: the questions that it was asked are never answered.
    pub fn process_died(&mut self) {
        self.deaths += 1;
        self.questions.clear();
    }

    /// A ticket that has not been answered.
    pub fn unanswered(&self) -> Option<u64> {
        self.questions.keys().next().copied()
    }

    /// A shard releases a reply: from now on it is a promise.
    pub fn told(&mut self, to: ReplyTo, reply: &Reply, tally: &mut Tally) {
        let Some(question) = self.questions.remove(&to.ticket) else {
            return self.break_at(Invariant::Answers, format!("{to:?} is answered, and did not ask: {reply:?}"));
        };
        match (question, reply) {
            (Question::Submit(messages), Reply::Submitted(results)) if messages.len() == results.len() => {
                for (message, result) in messages.into_iter().zip(results) {
                    self.told_line(message, *result, tally);
                }
            }
            (Question::Lookup(messages), Reply::Found(found)) if messages.len() == found.len() => {
                for (message, lookup) in messages.into_iter().zip(found) {
                    match lookup {
                        Lookup::Found(found) => self.judge_found(message, found),
                        Lookup::Gone if self.may_be_gone(message) => {}
                        Lookup::Unknown | Lookup::Gone => self.lost(message, &format!("{lookup:?}")),
                    }
                }
            }
            (Question::Cancel(message), Reply::Cancelled(cancelled)) => self.told_cancelled(message, *cancelled, tally),
            (Question::Records(tenant), Reply::Records { found, .. }) => self.told_page(tenant, found),
            (Question::Release, Reply::Released(_)) | (Question::Doubts, Reply::Doubts { .. }) => {}
            (Question::Pry(message), Reply::Found(found)) => self.told_stranger(message, found, tally),
            (Question::Meddle(message), Reply::Cancelled(cancelled)) => self.told_meddler(message, *cancelled, tally),
            (Question::Resolve(ids), Reply::Resolved(results)) if ids.len() == results.len() => {
                self.told_resolved(&ids, results, tally)
            }
            (Question::Claim(key, content), Reply::Claimed(claimed)) => {
                self.told_claimed(key, content, *claimed, tally)
            }
            (question, reply) => {
                self.break_at(Invariant::Answers, format!("{question:?} is answered by {reply:?}"));
            }
        }
    }

    /// Whether retention may have removed a message: it is settled, perhaps by a receipt that came after it was last
    /// looked up, or too much time has passed for anything but a message that was never handed over.
    pub(super) fn may_be_gone(&self, message: u32) -> bool {
        let Truth { state, born, ref taken, .. } = self.truths[message as usize];
        let is_answered = |taken: &TakenPart| self.answered.contains_key(&(taken.carrier, taken.issued));
        self.aged && (state.is_final() || state == MessageState::Submitted || taken.iter().any(is_answered))
            || self.known_ms.is_some_and(|ms| born.after_ms(ms) < self.wall) && !self.is_untouched(message)
    }

    fn lost(&mut self, message: u32, how: &str) {
        // The client may know it by the id that the restore has removed.
        if self.truths[message as usize].is_forgotten {
            return;
        }
        let Truth { id, state, ref timeline, ref taken, .. } = self.truths[message as usize];
        let told = format!("message {message}, told as {id:?}, last seen {state:?}, {timeline:?}, taken {taken:?}");
        self.break_at(Invariant::NothingLost, format!("{told}: {how}"));
    }

    fn told_line(&mut self, message: u32, result: LineResult, tally: &mut Tally) {
        use super::tally::Count;
        let Intent { key, shard, .. } = self.truths[message as usize].intent;
        match result {
            LineResult::Accepted(id) => {
                tally.add(Count::Accepted);
                if id.shard() != shard || self.ids.insert((id.shard(), id.address()), message).is_some() {
                    self.break_at(Invariant::IdsUnique, format!("{id} for message {message}"));
                }
                self.truths[message as usize].id = Some(id);
                if let Some((key, _)) = key
                    && let Some(older) = self.key_ids.insert(key, message)
                {
                    self.break_at(Invariant::Keys, format!("messages {older} and {message} have one key"));
                }
            }
            LineResult::Duplicate(id) => {
                tally.add(Count::Duplicates);
                self.told_duplicate(message, id, key);
            }
            LineResult::Refused(refusal) => {
                tally.add(Count::Refused);
                self.told_refused(message, refusal, key, tally);
                self.told_full(shard, message, refusal, tally);
            }
        }
    }

    fn told_duplicate(&mut self, message: u32, id: MessageId, key: Option<(u128, u64)>) {
        let Some((key, content)) = key else {
            return self.break_at(Invariant::Keys, format!("message {message} has no key and is a duplicate of {id}"));
        };
        match self.key_ids.get(&key).copied() {
            Some(first) => {
                let of_first = self.truths[first as usize].intent.key.map(|(_, content)| content);
                if self.id_of(first) != Some(id) || of_first != Some(content) {
                    let what = format!("message {message} is a duplicate of {id}, but {first} has its key");
                    self.break_at(Invariant::Keys, what);
                }
            }
            None => {
                self.key_ids.insert(key, message);
                self.ids.insert((id.shard(), id.address()), message);
                self.truths[message as usize].id = Some(id);
            }
        }
    }

    fn told_claimed(&mut self, key: u128, content: u64, claimed: Claimed, tally: &mut Tally) {
        let owner = self.claims.get(&key).copied();
        match (claimed, owner) {
            (Claimed::Ours, None) => drop(self.claims.insert(key, content)),
            (Claimed::Ours, Some(owner)) if owner != content => {
                self.break_at(Invariant::Keys, format!("request key {key:x} is two requests'"));
            }
            (Claimed::Ours, Some(_)) => {}
            (Claimed::Reused | Claimed::Full | Claimed::Refused(_), Some(owner)) if owner == content => {
                self.break_at(Invariant::Keys, format!("request key {key:x} was ours and is now {claimed:?}"));
            }
            (Claimed::Reused, _) => tally.add(super::tally::Count::ClaimsReused),
            (Claimed::Full | Claimed::Refused(Refusal::KeyShareFull), _) => {}
            (Claimed::Refused(Refusal::DiskFull), _) if self.was_short => {}
            (Claimed::Refused(refusal), _) => {
                self.break_at(Invariant::Keys, format!("request key {key:x} is refused: {refusal:?}"));
            }
        }
    }

    fn told_cancelled(&mut self, message: u32, cancelled: Cancelled, tally: &mut Tally) {
        match cancelled {
            Cancelled::Done => {
                tally.add(super::tally::Count::Cancelled);
                let truth = &mut self.truths[message as usize];
                if std::mem::replace(&mut truth.cancelled, true) {
                    self.break_at(Invariant::Cancelled, format!("message {message} is cancelled twice"));
                }
            }
            Cancelled::TooLate => drop(self.truths[message as usize].too_late.get_or_insert(self.wall)),
            Cancelled::Gone if self.may_be_gone(message) => {}
            Cancelled::Busy => {}
            Cancelled::Unknown | Cancelled::Gone => self.lost(message, &format!("{cancelled:?}")),
        }
    }

    /// A shard records that attempts begin: one that it does not hand over before a crash is in doubt afterwards.
    pub fn begun(&mut self, shard: ShardId, attempts: &[AttemptNote], now_ns: u64) {
        self.limited.begun(shard, attempts, now_ns);
        for attempt in attempts {
            self.handed.entry((shard, Address::from_packed(attempt.address))).or_default();
        }
    }

    /// A shard hands an attempt to a link.
    pub fn handed_over(&mut self, shard: ShardId, submit: &Submit) {
        let at = (shard, submit.address);
        *self.handed.entry(at).or_default() += 1;
        self.limited.handed_over(shard, submit);
        if let Some(message) = self.ids.get(&at).filter(|message| self.truths[**message as usize].cancelled) {
            self.break_at(Invariant::Cancelled, format!("message {message} is handed over although cancelled"));
        }
    }

    /// A complete part is on the wire.
    pub fn wrote(&mut self, carrier: usize, part: &PartSeen, wall: Wall) {
        let Some((number, truth)) = part.message.and_then(|number| Some((number, self.truths.get(number as usize)?)))
        else {
            return self.break_at(Invariant::Readable, format!("carrier {carrier} is sent {part:?}"));
        };
        // A message that was in doubt may have been on its way already; the cancellation only means that it is not sent again.
        let was_handed = |id: MessageId| self.handed.contains_key(&(id.shard(), id.address()));
        if truth.cancelled && !truth.id.is_some_and(was_handed) {
            return self.break_at(Invariant::Cancelled, format!("message {number} is sent although cancelled"));
        }
        if truth.is_held && !self.released.contains(&(truth.intent.shard, truth.intent.head.class)) {
            return self.break_at(Invariant::NothingTwice, format!("message {number} is sent while held back"));
        }
        if truth.intent.head.send_at > wall {
            return self.break_at(Invariant::NotEarly, format!("message {number} is sent at {wall:?}"));
        }
        self.wire.note_first(number);
    }

    /// A carrier takes a part that came over this connection.
    pub fn taken(&mut self, conn: ConnId, carrier: usize, part: &PartSeen, issued: IssuedId) {
        let Some(number) = part.message else { return };
        self.issued.insert((carrier, issued), number);
        let is_elsewhere = conn <= self.conns_before;
        if let Some(truth) = self.truths.get_mut(number as usize) {
            let taken = TakenPart { carrier, part: part.part, parts: part.parts, issued };
            if is_elsewhere {
                self.misled.insert(truth.recipient());
            }
            if is_elsewhere { &mut truth.elsewhere } else { &mut truth.taken }.push(taken);
        }
    }

    /// A part reaches a carrier.
    pub fn seen(&mut self, part: &PartSeen) {
        if let Some(truth) = part.message.and_then(|number| self.truths.get_mut(number as usize)) {
            *truth.seen.entry(part.part).or_default() += 1;
        }
    }

    /// A carrier refuses a part with that status.
    pub fn refused(&mut self, part: &PartSeen, status: u32) {
        if let Some(truth) = part.message.and_then(|number| self.truths.get_mut(number as usize)) {
            truth.is_refused = true;
            truth.refusals.push(status);
        }
    }

    /// A carrier made a receipt; also one with an id that it never gave out, or one that was not asked for.
    pub fn receipt_made(&mut self, recipient: &[u8], fate: Fate, misleads: bool) {
        self.claimed.insert((recipient.to_vec(), fate));
        if misleads {
            self.misled.insert(recipient.to_vec());
        }
    }

    /// Whether a carrier has sent that receipt before.
    pub fn has_told(&self, of: (usize, IssuedId), fate: Fate) -> bool {
        self.told.get(&of).is_some_and(|told| told.contains(&fate))
    }

    /// A carrier sends a receipt with that error code.
    pub fn receipt_said(&mut self, (carrier, id): (usize, IssuedId), recipient: &[u8], fate: Fate, error: &[u8]) {
        self.told.entry((carrier, id)).or_default().insert(fate);
        self.said.entry((recipient.to_vec(), fate)).or_default().insert(error.to_vec());
    }

    /// A receipt was answered by the process at the other end of this connection. Connections older than the last
    /// restore do not count.
    pub fn receipt_answered(&mut self, conn: ConnId, carrier: usize, id: IssuedId, fate: Fate) {
        if fate != Fate::Enroute && conn > self.conns_before {
            self.answered.entry((carrier, id)).or_insert(fate);
            self.heard.entry((carrier, id)).or_insert(self.wall);
        }
    }

    /// A part of a handset's message was answered; the same rule for connections holds.
    pub fn part_answered(&mut self, conn: ConnId, part: &PartSent) {
        if conn > self.conns_before {
            self.handsets.answered(part);
        }
    }

    /// A message that was found must be the one that was submitted, and its history must only have grown.
    pub fn judge_found(&mut self, message: u32, found: &FoundMessage) {
        let Some(truth) = self.truths.get_mut(message as usize) else {
            return self.break_at(Invariant::Answers, format!("there is no message {message}"));
        };
        let Head { accepted_at, content_at, content_len, set, .. } = found.head;
        truth.set = set;
        // A message that was due before it reached its door is due at once.
        let send_at = if found.head.send_at == Wall(0) { Wall(0) } else { truth.intent.head.send_at };
        let intended = Head { accepted_at, send_at, content_at, content_len, set, ..truth.intent.head };
        if found.head != intended || found.content != truth.intent.content {
            let what = format!("message {message} is found as {found:?}");
            return self.break_at(Invariant::NothingLost, what);
        }
        if truth.id.is_some_and(|id| id != found.id) {
            let what = format!("message {message} is {:?} and {}", truth.id, found.id);
            return self.break_at(Invariant::IdsUnique, what);
        }
        let timeline = &found.view.timeline;
        if !timeline.starts_with(&truth.timeline) {
            let what = format!("message {message} had {:?}, has {timeline:?}", truth.timeline);
            return self.break_at(Invariant::History, what);
        }
        let was_final = truth.timeline.iter().any(|entry| entry.what.settles());
        if was_final && truth.state != found.view.state {
            let what = format!("message {message} was {:?}, is {:?}", truth.state, found.view.state);
            return self.break_at(Invariant::History, what);
        }
        truth.timeline.clone_from(timeline);
        truth.state = found.view.state;
        if self.known_ms.is_some() {
            truth.last = Some(Box::new(found.clone()));
        }
    }

    /// Messages wait at a shard for a route that was removed long ago. A message that has just become due is rerouted
    /// in the same turn, which may not have ended; so it must be found in several checks, a second apart.
    pub fn judge_stranded(&mut self, stranded: &[(ShardId, RouteId, u64)]) {
        self.stranded_looks = if stranded.is_empty() { 0 } else { self.stranded_looks + 1 };
        if self.stranded_looks > STRANDED_LOOKS_MAX {
            self.break_at(Invariant::Routes, format!("shard, route that is gone, how many wait: {stranded:?}"));
        }
    }

    /// Messages wait at a shard on a route that no link serves: there may be no more than those that had not expired at `since`.
    pub fn judge_waiting(&mut self, shard: ShardId, route: RouteId, waiting: u64, since: Wall) {
        let own = |truth: &&Truth| truth.intent.shard == shard && truth.intent.head.route == route;
        let alive = self.truths.iter().filter(own).filter(|truth| truth.intent.head.expires_at > since).count() as u64;
        if waiting > alive {
            let what =
                format!("{waiting} wait at shard {} on route {}, and {alive} have not expired", shard.0, route.0);
            self.break_at(Invariant::Expiry, what);
        }
    }

    /// The lane in which messages of one recipient must keep their order, by recipient, class, route, tenant and limits.
    pub(super) fn lane_of(&self, message: u32) -> (u64, Lane) {
        let Truth { set, ref intent, .. } = self.truths[message as usize];
        (intent.head.to.number(), Lane { set, ..intent.head.lane() })
    }
}

/// How often it was in doubt because of its carrier, not because of our crashes.
pub(super) fn losses_in(timeline: &[TimelineEntry]) -> usize {
    let by_carrier =
        |entry: &&TimelineEntry| matches!(entry.what, Happened::InDoubt { lost } if lost.reason.is_by_carrier());
    timeline.iter().filter(by_carrier).count()
}

/// How often it was in doubt.
pub(super) fn doubts_in(timeline: &[TimelineEntry]) -> usize {
    timeline.iter().filter(|entry| entry.kind() == EventKind::InDoubt).count()
}
