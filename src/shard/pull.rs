//! Grants and what is done with them: a link permits, the shard records attempts and hands messages over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delivery::{Happened, OpenAttempt, attempt::Verdict};
use crate::model::limits::OPEN_ATTEMPTS_MAX;
use crate::model::{Address, Class, DeadLetterReason, Head, LinkId, Point, RouteId};
use crate::queue::{Chunk, DueEntry, FifoKind, FifoName, InsertReason, Taken, Tick};
use crate::store::batch::fifo_code;
use crate::traffic::{Demand, Grant, Submit, SubmitBatch, ToLink};

use super::Shard;
use super::catalog::Catalog;
use super::checkpoint::attempt_note;
use super::event::Effect;

/// A link as this shard knows it.
#[derive(Debug)]
pub(super) struct LinkSlot {
    pub id: LinkId,
    pub routes: Vec<RouteId>,
    /// What the link believes to be waiting, by class, those included that it has granted places for.
    told: [u32; Class::COUNT],
    /// Places that it granted and that are not used yet, by class.
    grants: [u32; Class::COUNT],
    /// The same of places that nobody demanded: they are kept for what cannot wait.
    standing: [u32; Class::COUNT],
    /// Messages handed over whose batch has not left this shard yet, by class. The link still counts them as waiting.
    leaving: [u32; Class::COUNT],
}

impl LinkSlot {
    /// Messages that were to be handed over stay here after all.
    pub(super) fn recalled(&mut self, class: Class, messages: u32) {
        let leaving = &mut self.leaving[class.index()];
        *leaving = leaving.saturating_sub(messages);
    }
}

impl Shard {
    pub(super) fn adopt(&mut self, catalog: Arc<Catalog>) {
        let before = std::mem::take(&mut self.links);
        for (id, routes) in catalog.links_of(self.options.shard) {
            let (told, grants, standing, leaving) = before
                .iter()
                .find(|slot| slot.id == id)
                .map_or_else(Default::default, |slot| (slot.told, slot.grants, slot.standing, slot.leaving));
            self.links.push(LinkSlot { id, routes, told, grants, standing, leaving });
        }
        let kept: Vec<LinkId> = self.links.iter().map(|slot| slot.id).collect();
        for gone in before.iter().filter(|slot| !kept.contains(&slot.id)) {
            for class in Class::ALL {
                self.give_back(gone.id, class, gone.grants[class.index()] + gone.standing[class.index()]);
            }
        }
        self.catalog = catalog;
    }

    pub(super) fn granted(&mut self, grant: Grant) {
        let class = grant.class.index();
        let slot = self.links.iter_mut().find(|slot| slot.id == grant.link);
        match slot {
            // A grant of nothing recalls what is left of earlier ones.
            Some(slot) if grant.messages == 0 => {
                let unused = std::mem::take(&mut slot.grants[class]) + std::mem::take(&mut slot.standing[class]);
                self.give_back(grant.link, grant.class, unused);
            }
            Some(slot) if !self.draining && grant.standing => slot.standing[class] += grant.messages,
            Some(slot) if !self.draining => slot.grants[class] += grant.messages,
            Some(_) | None => self.give_back(grant.link, grant.class, grant.messages),
        }
    }

    fn give_back(&mut self, link: LinkId, class: Class, unused: u32) {
        if unused > 0 {
            let batch = SubmitBatch { shard: self.options.shard, class, submits: Vec::new(), unused };
            self.prompt.push_back(Effect::Link(link, ToLink::Submits(batch)));
        }
    }

    pub(super) fn return_grants(&mut self) {
        for at in 0..self.links.len() {
            let slot = &mut self.links[at];
            let (id, grants, standing) =
                (slot.id, std::mem::take(&mut slot.grants), std::mem::take(&mut slot.standing));
            for class in Class::ALL {
                self.give_back(id, class, grants[class.index()] + standing[class.index()]);
            }
        }
    }

    /// Ends the turn: what became ready enters its fifos, grants are used, links are told what still waits.
    pub(super) fn close_turn(&mut self) {
        self.gathering.close_segment();
        self.go_on_with_outcomes();
        self.place_ready();
        self.settle_alarms();
        self.place_due();
        self.drop_restored();
        self.pass_ended();
        self.places.heal(self.queued());
        for at in 0..self.links.len() {
            if self.outcomes_left.is_empty() {
                self.use_grants(at);
            }
            self.demand(at);
        }
    }

    fn place_ready(&mut self) {
        let commit = self.gathering.seq().0;
        for (name, pieces) in self.gathering.drain_ready() {
            let messages = pieces.iter().map(|piece| piece.runs.len()).sum();
            let records = pieces.iter().map(|piece| (piece.segment, piece.runs.clone())).collect();
            let chunks: Vec<_> = pieces
                .into_iter()
                .filter_map(|piece| Some(Chunk { commit, segment: piece.at_hand?, runs: piece.runs }))
                .collect();
            let is_left_on_disk = !chunks.is_empty() && self.buggify.at(Point::WindowFull);
            let chunks = if is_left_on_disk { Vec::new() } else { chunks };
            self.lanes.append(name, commit, messages, chunks);
            let batch = self.gathering.batch();
            batch.ready.push((name, records));
            batch.turn.appended.push((fifo_code(name), messages));
        }
    }

    fn place_due(&mut self) {
        let commit = self.gathering.seq().0;
        let mut by_tick: BTreeMap<Tick, Vec<DueEntry>> = BTreeMap::new();
        for (tick, entries) in self.gathering.drain_due() {
            // The head may have moved since the entry was put off.
            by_tick.entry(tick.max(self.scheduled.head().tick)).or_default().extend(entries);
        }
        for (tick, entries) in by_tick {
            self.scheduled.insert(tick, commit, &entries);
            let batch = self.gathering.batch();
            batch.turn.put_off += entries.len() as u32;
            let alarms = entries.iter().filter(|entry| entry.reason == InsertReason::Expiry).count();
            batch.turn.alarms.armed += alarms as u32;
            batch.due.push((tick, entries));
        }
    }

    fn use_grants(&mut self, at: usize) {
        for class in Class::ALL {
            let slot = &self.links[at];
            let granted = slot.grants[class.index()] + slot.standing[class.index()];
            if granted == 0 || self.hold(class).is_some() {
                self.return_held_grants(at, class);
                continue;
            }
            let (link, routes) = (slot.id, slot.routes.clone());
            let mut submits = Vec::with_capacity(granted.min(1_024) as usize);
            while (submits.len() as u32) < granted && self.hold(class).is_none() && self.may_attempt(class) {
                let Some((name, taken)) = self.lanes.take(class, &routes) else { break };
                let head = self.lanes.fifo(name).head();
                self.gathering.taken(name, head);
                submits.extend(self.begin(link, name, taken));
            }
            let used = submits.len() as u32;
            let slot = &mut self.links[at];
            let demanded = used.min(slot.grants[class.index()]);
            slot.grants[class.index()] -= demanded;
            slot.standing[class.index()] -= used - demanded;
            slot.leaving[class.index()] += used;
            if used > 0 {
                self.counters.attempts += u64::from(used);
                let batch = SubmitBatch { shard: self.options.shard, class, submits, unused: 0 };
                self.tell_link(link, ToLink::Submits(batch));
            }
            self.return_held_grants(at, class);
            self.return_idle_grants(at, class);
        }
    }

    /// Places of a class that nothing may be sent of at present go back, also those that nobody demanded: their link would
    /// keep slots for them.
    fn return_held_grants(&mut self, at: usize, class: Class) {
        if self.hold(class).is_some() {
            let (slot, index) = (&mut self.links[at], class.index());
            let unused = std::mem::take(&mut slot.grants[index]) + std::mem::take(&mut slot.standing[index]);
            let id = slot.id;
            self.give_back(id, class, unused);
        }
    }

    /// One more attempt may be open; if not, an outcome of those that are goes on with what waits. Never refuses an urgent
    /// one: its link keeps a slot for it, and may hold back the very attempts that we would wait for.
    fn may_attempt(&mut self, class: Class) -> bool {
        match self.books.attempts.open_count() {
            0 => true,
            _ if class.is_urgent() => true,
            OPEN_ATTEMPTS_MAX.. => false,
            _ => !self.buggify.at(Point::AttemptsFull),
        }
    }

    /// Places that were demanded and that nothing waits for any more go back.
    fn return_idle_grants(&mut self, at: usize, class: Class) {
        let slot = &mut self.links[at];
        if self.lanes.waiting(class, &slot.routes) == 0 {
            let (id, unused) = (slot.id, std::mem::take(&mut slot.grants[class.index()]));
            self.give_back(id, class, unused);
        }
    }

    /// A message that had not ended was taken from its list: its place is free.
    pub(super) fn waits_no_more(&mut self, address: Address, head: Option<&Head>) {
        self.leaves_list(address);
        if let Some(head) = head {
            self.places.leave(head.tenant);
        }
    }

    /// Records the attempt of a message just taken; `None` if it is not to be sent after all.
    fn begin(&mut self, link: LinkId, name: FifoName, taken: Taken) -> Option<Submit> {
        let address = taken.segment.address(taken.slot);
        let head = taken.segment.head(taken.slot).copied();
        if self.pass_over(name, address, head.as_ref()) {
            return None;
        }
        self.waits_no_more(address, head.as_ref());
        let Some(head) = head else {
            // Its segment is damaged, and was told to the operator.
            self.die(address, DeadLetterReason::Unreadable);
            return None;
        };
        if matches!(name.kind, FifoKind::Held(_)) {
            self.begin_restored(address);
        }
        // Of a time that knew no alarms.
        if head.expires_at <= self.now.wall {
            self.finish(address, Happened::Expired { error: None });
            return None;
        }
        let attempt = self.books.next_attempt(address);
        let progress = self.books.attempts.progress.get(&address).filter(|known| known.carrier == link.carrier);
        let (reference, answered) = match progress {
            Some(known) => (known.reference, (!known.accepted.is_empty()).then(|| Box::new(known.accepted))),
            None => (self.reference(head.parts), None),
        };
        let open = OpenAttempt {
            attempt,
            reference,
            carrier: link.carrier,
            lane: name.lane,
            recipient: head.to,
            tenant: head.tenant,
            parts: head.parts,
            at: self.now.wall,
            segment: Some(taken.segment.clone()),
            outcomes: 0,
            resumed: answered.as_ref().map_or(0, |set| set.len() as u8),
            verdict: Verdict::Accepted,
            answered: false,
            lost_on: None,
            unnoted: false,
        };
        self.gathering.batch().turn.attempts.push(attempt_note(address, &open));
        self.books.begin(address, open);
        Some(Submit { address, attempt, reference, head, arena: taken.segment.arena.clone(), answered })
    }

    /// A message leaves its list, or has ended: who wants to cancel it is too late, and so is who found it waiting.
    pub(super) fn leaves_list(&mut self, address: Address) {
        self.lookups.too_late(address);
        self.alarms.touch(address);
    }

    /// A fresh part reference. A message whose parts the carrier's splitting makes more of than were counted at ingest
    /// needs one as well, so every message that is not surely single gets one.
    fn reference(&mut self, parts: u8) -> u16 {
        if parts > 1 {
            self.next_reference = self.next_reference.wrapping_add(1);
        }
        self.next_reference
    }

    /// A batch leaves for its link: from now on the link counts as this shard does.
    pub(super) fn note_leaving(&mut self, link: LinkId, batch: &SubmitBatch) {
        let Some(slot) = self.links.iter_mut().find(|slot| slot.id == link) else { return };
        let (class, left) = (batch.class.index(), batch.submits.len() as u32);
        slot.leaving[class] = slot.leaving[class].saturating_sub(left);
        slot.told[class] = if batch.unused > 0 { 0 } else { slot.told[class].saturating_sub(left) };
    }

    /// Tells a link what waits, when it would otherwise not know or far underrate it.
    fn demand(&mut self, at: usize) {
        if self.draining {
            return;
        }
        let held = Class::ALL.map(|class| self.hold(class).is_some());
        let slot = &self.links[at];
        let mut waiting = [0; Class::COUNT];
        let mut news = false;
        for class in Class::ALL {
            let index = class.index();
            let ready = self.lanes.waiting(class, &slot.routes).min(u64::from(u32::MAX)) as u32;
            let ready = if held[class.index()] { 0 } else { ready };
            waiting[index] = ready.saturating_add(slot.leaving[index]);
            let (told, placed) = (slot.told[index], slot.grants[index] + slot.standing[index] + slot.leaving[index]);
            news |= ready > 0 && (waiting[index] / 2 > told || (waiting[index] > told && told <= placed));
        }
        if news {
            let (id, shard) = (slot.id, self.options.shard);
            self.links[at].told = waiting;
            self.prompt.push_back(Effect::Link(id, ToLink::Demand(Demand { shard, waiting })));
        }
    }
}
