//! Events of special kinds of worlds: an operator who reloads, pauses, rebinds and resolves messages in doubt while
//! traffic runs, carriers that go away for days, hours that pass in one step. Decides what is changed; the plan says
//! how often.

use crate::delivery::{DoubtFilter, DoubtPolicy};
use crate::link::LinkEvent;
use crate::model::{Address, Class, ReplyTo, ShardId};
use crate::shard::{Ask, DoubtAction, FoundDoubt};
use stentor_smpp::split::Splitting;

use super::agenda::{MS, SECOND};
use super::happening::{Happening, Special};
use super::limits;
use super::operator::Operator;
use super::oracle::Question;
use super::plan::{Plan, pick};
use super::stage::{Stage, note};
use super::tally::Count;
use super::world::World;

/// Longest pause of a carrier.
const PAUSE_NS: u64 = 20 * SECOND;
/// Longest time that passes in one step, ms.
const LEAP_MS: u64 = 12 * 3_600_000;
/// After how long a step is tried again that would come between a question and its answer.
const LATER_NS: u64 = 10 * SECOND;
/// Entries of the ledger that the operator sees at once.
const PAGE: usize = 20;

impl World {
    /// Schedules the events that are certain to happen.
    pub(super) fn put_down_kind(&mut self) {
        let (plan, stage) = (&self.plan, &mut self.stage);
        let mut some = |times: u32, what: Special| {
            for _ in 0..times {
                let at_ns = stage.kind_chance.below(plan.chaos_ns);
                stage.agenda.at(at_ns, Happening::Special(what));
            }
        };
        some(plan.kind.reloads, Special::Reload);
        some(plan.kind.tended, Special::Tend);
        some(plan.kind.strangers, Special::StrangerActs);
        some(plan.kind.leaps, Special::Leap);
        for (at, carrier) in plan.carriers.iter().enumerate() {
            carrier
                .away
                .iter()
                .for_each(|(from_ns, _)| stage.agenda.at(*from_ns, Happening::Special(Special::GoesAway(at))));
        }
        if let Some((_, from_ns, until_ns)) = plan.kind.left_out {
            stage.agenda.at(from_ns, Happening::Stop);
            stage.agenda.at(until_ns, Happening::Stop);
        }
        if let Some(every_ns) = plan.kind.looked_up_ns {
            stage.agenda.at(every_ns, Happening::Special(Special::LookUp));
        }
    }

    pub(super) fn happen_specially(&mut self, what: Special) {
        match what {
            Special::Reload => self.reload(),
            Special::Tend => self.tend(),
            Special::Resume(carrier) => self.resume(carrier),
            Special::StrangerActs => self.clients.meddle(&self.plan, &mut self.stage),
            Special::GoesAway(carrier) => self.go_away(carrier),
            Special::Leap => self.leap(),
            Special::LookUp => self.look_up(),
        }
    }

    /// The configuration is read again with one or two changes; if no process is alive, the next one starts with it.
    fn reload(&mut self) {
        if self.stage.calm || self.process.as_ref().is_some_and(|process| process.is_ending()) {
            return;
        }
        let before = self.plan.clone();
        for _ in 0..self.stage.kind_chance.between(1, 3) {
            if !limits::change(&mut self.plan, &mut self.stage) {
                change(&mut self.plan, &mut self.stage);
            }
        }
        self.stage.tally.add(Count::Reloads);
        let now_ns = self.stage.now_ns();
        self.stage.oracle.reloaded(&before, &self.plan, now_ns);
        if let Some(process) = self.process.as_mut() {
            process.reload(&self.plan, &mut self.net, &mut self.stage);
        }
    }

    /// The operator does one of several things.
    fn tend(&mut self) {
        let (plan, stage) = (&self.plan, &mut self.stage);
        let Some(process) = self.process.as_mut().filter(|process| !process.is_ending() && !stage.calm) else { return };
        let carrier = stage.kind_chance.below(plan.carriers.len() as u64) as usize;
        match stage.kind_chance.below(5) {
            0 => {
                note!(stage, "carrier {carrier} is paused");
                stage.tally.add(Count::Paused);
                let for_ns = stage.kind_chance.below(PAUSE_NS);
                stage.agenda.after(for_ns, Happening::Special(Special::Resume(carrier)));
                process.tell_links(carrier, || LinkEvent::Pause, plan, &mut self.net, stage);
            }
            1 => {
                note!(stage, "carrier {carrier} is bound anew");
                stage.tally.add(Count::Rebound);
                process.tell_links(carrier, || LinkEvent::Rebind, plan, &mut self.net, stage);
            }
            2 => self.resume(carrier),
            _ => {
                let shard = ShardId(stage.kind_chance.below(u64::from(plan.shards)) as u8);
                self.operator.look_at_doubts(shard, plan, stage);
            }
        }
    }

    /// Sending to a carrier is resumed; its breaker starts anew.
    pub(super) fn resume(&mut self, carrier: usize) {
        let (plan, stage) = (&self.plan, &mut self.stage);
        if let Some(process) = self.process.as_mut() {
            note!(stage, "carrier {carrier} goes on");
            stage.tally.add(Count::Resumed);
            process.tell_links(carrier, || LinkEvent::Resume, plan, &mut self.net, stage);
        }
    }

    /// A carrier goes away: all of its connections end.
    fn go_away(&mut self, carrier: usize) {
        note!(self.stage, "carrier {carrier} goes away");
        self.stage.tally.add(Count::WentAway);
        for id in self.net.standing() {
            if self.net.get(id).is_some_and(|conn| conn.carrier == carrier) {
                self.stage.agenda.after(0, Happening::CarrierLoses(id));
            }
        }
    }

    /// Hours or days pass in one step, as when a machine was suspended. Never between a question and its answer, for
    /// which clients would not wait so long.
    fn leap(&mut self) {
        if self.stage.calm {
            return;
        }
        if !self.clients.are_quiet() || self.stage.asks_under_way + self.stage.replies_under_way > 0 {
            return self.stage.agenda.after(LATER_NS, Happening::Special(Special::Leap));
        }
        let ms = self.stage.kind_chance.between(60_000, LEAP_MS);
        note!(self.stage, "{ms} ms pass");
        self.stage.tally.add(Count::Leaps);
        self.stage.age(ms);
        self.troubled_until_ns = self.troubled_until_ns.max(self.stage.now_ns());
        if let Some(process) = self.process.as_mut() {
            process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        }
    }

    /// Looks up every message whose id was told, as long as there are faults.
    fn look_up(&mut self) {
        let Some(every_ns) = self.plan.kind.looked_up_ns.filter(|_| !self.stage.calm) else { return };
        if self.process.is_some() {
            self.clients.look_up_told(&self.plan, &mut self.stage);
        }
        self.stage.agenda.after(every_ns, Happening::Special(Special::LookUp));
    }
}

/// Changes one setting of the configuration.
fn change(plan: &mut Plan, stage: &mut Stage) {
    let chance = &mut stage.kind_chance;
    let at = chance.below(plan.carriers.len() as u64) as usize;
    let carrier = &mut plan.carriers[at];
    let what = match chance.below(8) {
        0 => {
            // A carrier without a rate may have a link on every core; giving it a rate would move its links.
            carrier.rate = carrier.rate.map(|_| chance.between(3, 60) as u32);
            "rate"
        }
        1 => {
            carrier.window = chance.between(1, 12) as u32;
            "window"
        }
        2 => {
            carrier.binds = chance.between(1, 3) as u16;
            "binds"
        }
        3 => {
            carrier.splitting = *pick(chance, &[Splitting::Udh8, Splitting::Udh16, Splitting::Sar, Splitting::Payload]);
            "splitting"
        }
        4 => {
            carrier.bind_rate = chance.chance(600_000).then(|| chance.between(2, 30) as u32);
            "bind_rate"
        }
        5 => {
            let class = pick(chance, &Class::ALL).index();
            plan.shard.doubt[class] = *pick(chance, &[DoubtPolicy::Resend, DoubtPolicy::Hold, DoubtPolicy::Drop]);
            "doubt"
        }
        6 => {
            let attempts_max = chance.between(1, 12) as u8;
            let retry = &mut plan.shard.retry[pick(chance, &Class::ALL).index()];
            for backoff in [
                &mut retry.transient,
                &mut retry.session,
                &mut retry.credential,
                &mut retry.our_bug,
                &mut retry.unknown,
            ] {
                backoff.attempts_max = attempts_max;
            }
            "retry"
        }
        _ => {
            let tenants = &mut plan.shard.tenants;
            tenants.iter_mut().for_each(|(_, weight)| *weight = chance.between(1, 3) as u32);
            plan.shard.queue_messages_max = plan.shard.queue_messages_max.max(40) * 2;
            "shares"
        }
    };
    note!(stage, "a reload changes {what}: {:?}, {:?}", plan.carriers[at], plan.shard);
}

impl Operator {
    /// The operator lists the ledger of a shard.
    pub(super) fn look_at_doubts(&mut self, shard: ShardId, plan: &Plan, stage: &mut Stage) {
        let reply = self.ticket();
        let (from, filter) = (Address::default(), DoubtFilter::default());
        let ask = Ask::Doubts { reply, filter, from, limit: PAGE };
        put(shard, reply, Question::Doubts, ask, plan, stage);
    }

    /// The operator has been given the ledger of a shard and decides about some of it.
    pub(super) fn sees(&mut self, found: &[FoundDoubt], plan: &Plan, stage: &mut Stage) {
        let Some(shard) = found.first().map(|doubt| doubt.message.id.shard()) else { return };
        let action = *pick(&mut stage.kind_chance, &[DoubtAction::Resend, DoubtAction::Drop, DoubtAction::Sent]);
        let ids: Vec<_> = found.iter().map(|doubt| doubt.message.id).collect();
        let ids: Vec<_> = ids.into_iter().filter(|_| stage.kind_chance.chance(600_000)).collect();
        if ids.is_empty() {
            return;
        }
        note!(stage, "the operator decides about {ids:?}: {action:?}");
        // Sometimes two operators make the same decision.
        for _ in 0..stage.kind_chance.between(1, 2) {
            let reply = self.ticket();
            let ask = Ask::Resolve { reply, ids: ids.clone(), action };
            put(shard, reply, Question::Resolve(ids.clone()), ask, plan, stage);
        }
    }
}

fn put(shard: ShardId, reply: ReplyTo, question: Question, ask: Ask, plan: &Plan, stage: &mut Stage) {
    stage.asks_under_way += 1;
    let delay = plan.door.draw(&mut stage.kind_chance).max(MS);
    stage.agenda.after(delay, Happening::Asked(shard, reply.ticket, question, Box::new(ask)));
}
