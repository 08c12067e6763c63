//! What a node of the process can use during a turn: disks, mailboxes that are sometimes full, connections. Knows where
//! mail goes, and applies the mutants that tamper with mail; the process does what remains after the turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limit::LimitTable;
use crate::link::{BindId, LinkEvent};
use crate::model::{ErrorText, Numbers, ReplyTo, ShardId, TenantId};
use crate::node::{Alarm, Errand, Host, NodeEvent, Wanted};
use crate::shard::{Reply, ShardEvent};
use crate::store::WriteBatch;
use crate::traffic::{Answer, Outcome, ReceiptBatch, ToLink, ToShard, Verdict, VerdictBatch};

use super::agenda::InOrder;
use super::disk::Disk;
use super::happening::{Happening, Inside};
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::plan::Plan;
use super::sabotage;
use super::stage::{Stage, note};
use super::tally::Count;

/// The mailboxes of all cores, by core number.
#[derive(Debug)]
pub struct Mailboxes {
    life: u32,
    places: u32,
    boxes: Vec<Mailbox>,
    /// Tickets of replies on their way to a door of another core.
    replies: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Mailbox {
    taken: u32,
    order: InOrder,
}

impl Mailboxes {
    /// Empty mailboxes with `places` places each.
    pub fn new(life: u32, cores: u8, places: u32) -> Self {
        let boxes = (0..cores).map(|_| Mailbox::default()).collect();
        Self { life, places, boxes, replies: BTreeSet::new() }
    }

    fn is_full(&self, core: u8) -> bool {
        self.boxes[usize::from(core)].taken >= self.places
    }

    /// Adds mail behind everything that is in the mailbox. It does not check for room: [`Machine`] asks before, and the
    /// order to end the process is always delivered.
    pub fn put(&mut self, core: u8, mail: NodeEvent, plan: &Plan, stage: &mut Stage) {
        let mailbox = &mut self.boxes[usize::from(core)];
        mailbox.taken += 1;
        let arrival = mailbox.order.arrival(stage.now_ns() + plan.mailbox.draw(&mut stage.chance));
        stage.agenda.at(arrival, Happening::Inside(self.life, Inside::Arrives(core, Box::new(mail))));
    }

    /// A piece of mail was taken out of the mailbox.
    pub fn handle_taken(&mut self, core: u8) {
        self.boxes[usize::from(core)].taken -= 1;
    }

    /// Whether no mail is under way.
    pub fn are_empty(&self) -> bool {
        self.boxes.iter().all(|mailbox| mailbox.taken == 0)
    }
}

/// What mutants remember of the mail, and of the start.
#[derive(Debug, Default)]
pub struct Tampering {
    /// The limits at the start.
    pub limits: Arc<LimitTable>,
    batches: u64,
    /// How often permits were asked for.
    asks: u64,
    /// The id of the last receipt, which a mutant gives to another message.
    last_id: Vec<u8>,
}

impl Tampering {
    /// Nothing yet, and the limits at the start.
    pub fn new(limits: &Arc<LimitTable>) -> Self {
        Self { limits: Arc::clone(limits), ..Self::default() }
    }
}

/// The host of one node during a turn.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The number of the node's core.
    pub core: u8,
    /// The plan of the world.
    pub plan: &'a Plan,
    /// The state that the whole world shares.
    pub stage: &'a mut Stage,
    /// By shard.
    pub disks: &'a mut [Disk],
    /// By core.
    pub mailboxes: &'a mut Mailboxes,
    /// State of the mutants that tamper with mail.
    pub tampering: &'a mut Tampering,
    /// What links want of their connections, in order.
    pub wanted: Vec<(usize, BindId, Wanted)>,
    /// Mail that a mutant adds.
    pub forged: Vec<(u8, NodeEvent)>,
    /// The node was told to wait with its batches; a batch may be waiting.
    pub gathers: bool,
}

impl Host for Machine<'_> {
    fn takes_batches(&mut self, _: bool) -> bool {
        self.gathers = self.stage.fault(self.plan.late_ppm);
        !self.gathers
    }

    fn commit(&mut self, shard: ShardId, batch: WriteBatch) {
        let seq = batch.seq;
        self.disks[usize::from(shard.0)].commit(batch, self.stage);
        if self.stage.is_mutant(Mutant::AcknowledgeEarly) {
            self.forged.push((self.core, NodeEvent::Shard(shard, ShardEvent::Committed(seq))));
        }
    }

    fn errand(&mut self, shard: ShardId, mut errand: Errand) {
        sabotage::ask(&mut errand, self.stage.mutant);
        self.disks[usize::from(shard.0)].push(errand, self.stage);
    }

    fn reply(&mut self, to: ReplyTo, reply: Reply) {
        if !self.mailboxes.replies.remove(&to.ticket) {
            self.told(to, &reply);
        }
        let delay = self.plan.door.draw(&mut self.stage.chance);
        self.stage.replies_under_way += 1;
        self.stage.agenda.after(delay, Happening::Replied(to, Box::new(reply)));
    }

    fn post(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        if self.mailboxes.is_full(core) {
            self.stage.tally.add(Count::MailboxesFull);
            return Some(mail).filter(|_| !self.stage.is_mutant(Mutant::DropRefused));
        }
        self.mailboxes.put(core, mail, self.plan, self.stage);
        None
    }

    fn connection(&mut self, link: usize, bind: BindId, wanted: Wanted) {
        self.wanted.push((link, bind, wanted));
    }

    fn alarm(&mut self, alarm: Alarm<'_>) {
        match alarm {
            Alarm::Shard(_, what) => self.stage.oracle.break_at(Invariant::NoAlarm, what),
            Alarm::Note(_, what) => note!(self.stage, "{what}"),
            Alarm::Link(carrier, alarm) => note!(self.stage, "link to {carrier} alarm {alarm:?}"),
            Alarm::Misrouted(mail) => {
                self.stage.oracle.break_at(Invariant::NoAlarm, format!("core {}: {mail:?} has no receiver", self.core));
            }
        }
    }

    fn is_late(&mut self) -> bool {
        let is_late = self.stage.fault(self.plan.late_ppm);
        if is_late {
            self.stage.tally.add(Count::TurnsLate);
        }
        is_late
    }

    fn pass(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        match mail {
            NodeEvent::Reply(to, reply) => {
                self.told(to, &reply);
                self.mailboxes.replies.insert(to.ticket);
                Some(NodeEvent::Reply(to, reply))
            }
            NodeEvent::Link(link, LinkEvent::Traffic(mut traffic)) => {
                note!(self.stage, "to {link:?}: {}", summary_to_link(&traffic));
                if let ToLink::Submits(batch) = &mut traffic {
                    let now_ns = self.stage.now_ns();
                    for submit in &batch.submits {
                        self.stage.oracle.handed_over(batch.shard, submit);
                        self.stage.oracle.crowd.arrives(link, batch.shard, submit, now_ns);
                    }
                    self.tampering.batches += 1;
                    if self.stage.is_mutant(Mutant::ForgetTenants) {
                        batch.submits.iter_mut().for_each(|submit| submit.head.tenant = TenantId::default());
                    }
                    if self.stage.is_mutant(Mutant::ForgetTrials) {
                        batch.submits.iter_mut().for_each(|submit| submit.trial = None);
                    }
                    if self.stage.is_mutant(Mutant::SubmitTwice) && self.tampering.batches % 7 == 3 {
                        self.forged.push((core, NodeEvent::Link(link, LinkEvent::Traffic(traffic.clone()))));
                    }
                }
                Some(NodeEvent::Link(link, LinkEvent::Traffic(traffic)))
            }
            NodeEvent::Shard(shard, ShardEvent::Traffic(mut traffic)) => {
                note!(self.stage, "to shard {}: {}", shard.0, summary_to_shard(&traffic));
                let arrives = self.tamper(shard, &mut traffic);
                arrives.then_some(NodeEvent::Shard(shard, ShardEvent::Traffic(traffic)))
            }
            NodeEvent::Shard(shard, ShardEvent::Given(given)) => {
                note!(self.stage, "to shard {}: {given:?}", shard.0);
                if self.stage.is_mutant(Mutant::GiveTwice) {
                    self.forged.push((core, NodeEvent::Shard(shard, ShardEvent::Given(given))));
                }
                Some(NodeEvent::Shard(shard, ShardEvent::Given(given)))
            }
            NodeEvent::Home(mail) => {
                note!(self.stage, "to the limits' home: {mail:?}");
                sabotage::report(mail, &mut self.tampering.asks, self.stage.mutant).map(NodeEvent::Home)
            }
            other => Some(other),
        }
    }
}

impl Machine<'_> {
    /// A shard releases a reply.
    fn told(&mut self, to: ReplyTo, reply: &Reply) {
        self.stage.told(to, reply);
        note!(self.stage, "core {} replies {to:?}", self.core);
    }

    /// Applies the mutants to mail for a shard; false if the mail is dropped.
    fn tamper(&mut self, shard: ShardId, traffic: &mut ToShard) -> bool {
        if let ToShard::Outcomes(_) | ToShard::Receipts(_) = traffic {
            self.tampering.batches += 1;
        }
        let is_every = |each, place| self.tampering.batches % each == place;
        match traffic {
            ToShard::Receipts(batch) => {
                let forgets = self.stage.is_mutant(Mutant::ForgetReceipt) && is_every(8, 5);
                if self.stage.is_mutant(Mutant::DropErrorText) {
                    batch.receipts.iter_mut().for_each(|receipt| receipt.error.text = ErrorText::default());
                }
                if self.stage.is_mutant(Mutant::IgnoreNumbers) {
                    batch.receipts.iter_mut().for_each(|receipt| receipt.numbers = Numbers::default());
                }
                if self.stage.is_mutant(Mutant::MatchWrongId) {
                    sabotage::exchange_ids(batch, &mut self.tampering.last_id);
                }
                if forgets || self.stage.is_mutant(Mutant::AnswerReceiptsEarly) {
                    let kept = LinkEvent::Traffic(ToLink::Verdicts(all_kept(shard, batch)));
                    self.forged.push((self.core, NodeEvent::Link(batch.link, kept)));
                }
                !forgets
            }
            ToShard::Outcomes(batch) => {
                let unsent = |outcome: &&Outcome| matches!(outcome.answer, Answer::NotWritten(_));
                for outcome in batch.outcomes.iter().filter(unsent) {
                    self.stage.oracle.crowd.returns(batch.link, shard, outcome.address);
                }
                !(self.stage.is_mutant(Mutant::DropOutcomes) && is_every(16, 7))
            }
            ToShard::Grant(_) => true,
            ToShard::Bound(bound) => bound.is_bound || !self.stage.is_mutant(Mutant::UnheardAbsence),
        }
    }
}

fn all_kept(shard: ShardId, batch: &ReceiptBatch) -> VerdictBatch {
    let receipts = batch.receipts.iter().map(|receipt| receipt.token);
    let tokens = receipts.chain(batch.handsets.iter().map(|message| message.token));
    VerdictBatch { shard, verdicts: tokens.map(|token| (token, Verdict::Kept)).collect() }
}

fn summary_to_link(traffic: &ToLink) -> String {
    match traffic {
        ToLink::Demand(demand) => format!("demand {:?}", demand.waiting),
        ToLink::Submits(batch) => {
            let submits: Vec<_> = batch.submits.iter().map(|s| format!("{}#{}", s.address, s.attempt)).collect();
            format!("submits {:?} {submits:?} unused {}", batch.class, batch.unused)
        }
        ToLink::Verdicts(batch) => format!("verdicts {:?}", batch.verdicts),
        ToLink::Queries(batch) => format!("queries {:?}", batch.queries),
    }
}

fn summary_to_shard(traffic: &ToShard) -> String {
    match traffic {
        ToShard::Grant(grant) => format!("grant {} {:?}", grant.messages, grant.class),
        ToShard::Bound(bound) => format!("{bound:?}"),
        ToShard::Outcomes(batch) => {
            let outcomes: Vec<_> = batch
                .outcomes
                .iter()
                .map(|o| format!("{}#{} {}/{} {:?}", o.address, o.attempt, o.part, o.parts, o.answer))
                .collect();
            format!("outcomes {outcomes:?}")
        }
        ToShard::Receipts(batch) => {
            let id =
                |receipt: &crate::traffic::ReceiptIn| String::from_utf8_lossy(receipt.id.of(&batch.arena)).into_owned();
            let receipts: Vec<_> = batch
                .receipts
                .iter()
                .map(|r| format!("{:?} {} {:?} {:?}", r.token, id(r), r.state, r.if_unknown))
                .collect();
            let handsets: Vec<_> = batch.handsets.iter().map(|m| (m.token, m.from, m.part)).collect();
            format!("receipts {receipts:?} handsets {handsets:?}")
        }
    }
}
