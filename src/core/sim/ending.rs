//! How a simulated world ends: everything comes to rest, every record is read and judged, the process ends cleanly, and all is
//! read again.

use crate::model::Wall;

use super::agenda::{MS, SECOND};
use super::happening::Happening;
use super::oracle::Invariant;
use super::stage::note;
use super::tally::Count;
use super::troubles::STALL_NS;
use super::world::{PATROL_NS, World};

/// How long expired messages may still wait once faults and their consequences have ended, ms.
const EXPIRY_MS: u64 = 60_000;
/// How long after a deadline its consequences must have happened, ns.
const SETTLED_AFTER: u64 = 30 * SECOND;

/// What the world waits for once it is calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything comes to rest.
    Rest,
    /// Every record is read.
    Reading,
    /// The process ends cleanly and starts again.
    Stopping,
    /// Every record is read again.
    ReadingAgain,
}

impl World {
    /// Faults and their consequences are over: expired messages may not wait any more.
    pub(super) fn judge_waiting(&mut self) {
        let quiet_since_ns = self.calm_since.max(self.started_ns) + STALL_NS;
        let Some(process) = self.process.as_ref().filter(|process| !process.is_ending()) else { return };
        // What was postponed while the clock was ahead may wait until then.
        let was_ahead = self.stage.wall() < self.stage.ahead_until.after_ms(EXPIRY_MS);
        if was_ahead || self.stage.now_ns() < quiet_since_ns + EXPIRY_MS * MS {
            return;
        }
        let since = Wall(self.stage.wall().0.saturating_sub(EXPIRY_MS));
        let stranded = process.stranded(&self.plan, &self.stage);
        self.stage.oracle.judge_stranded(&stranded);
        for (shard, route, waiting) in process.waiting_in_vain(&self.plan) {
            self.stage.oracle.judge_waiting(shard, route, waiting, since);
        }
    }

    /// At any time, and whichever carriers are away: a message that has ended, or expired a while ago, holds no place.
    pub(super) fn patrol(&mut self) {
        self.stage.agenda.after(PATROL_NS, Happening::Patrol);
        self.note_parked();
        let quiet_since_ns = self.started_ns.max(self.troubled_until_ns);
        let Some(process) = self.process.as_ref().filter(|process| !process.is_ending()) else { return };
        let was_ahead = self.stage.wall() < self.stage.ahead_until.after_ms(EXPIRY_MS);
        if was_ahead || self.stage.now_ns() < quiet_since_ns + EXPIRY_MS * MS {
            return;
        }
        let since = Wall(self.stage.wall().0.saturating_sub(EXPIRY_MS));
        self.stage.tally.add(Count::Patrols);
        self.stage.oracle.judge_places(&process.places(), since);
    }

    pub(super) fn look(&mut self) {
        self.judge_waiting();
        self.note_parked();
        let plan = &self.plan;
        let unrest = match self.process.as_mut() {
            None => Some("the process is down".to_owned()),
            Some(_) if !self.operator.has_decided() => Some("the operator has not decided".to_owned()),
            Some(_) if !self.clients.are_done() => Some("clients are not done".to_owned()),
            Some(_) if self.stage.now_ns() < self.stalled_until_ns => Some("the process is stalled".to_owned()),
            Some(_) if self.stage.asks_under_way + self.stage.replies_under_way > 0 => {
                Some("doors are not done".to_owned())
            }
            Some(process) if process.is_ending() => Some("the process is ending".to_owned()),
            Some(_) if self.carriers.receipts_open() > 0 => Some("receipts are not answered".to_owned()),
            Some(_) if self.stage.oracle.unanswered().is_some() && self.ending == Ending::Rest => {
                Some(format!("ticket {:?} is not answered", self.stage.oracle.unanswered()))
            }
            Some(process) => process.unrest(plan, &self.stage),
        };
        match (unrest, self.ending) {
            (Some(what), _) if self.stage.now_ns() - self.calm_since > self.stage.oracle.rest_ns(plan) => {
                self.stage.oracle.break_at(Invariant::EverythingEnds, format!("{:?}: {what}", self.ending));
            }
            (Some(_), _) => {}
            (None, Ending::Rest) => {
                self.clients.read_all(plan, &mut self.stage);
                self.ending = Ending::Reading;
            }
            (None, Ending::Reading | Ending::ReadingAgain) => self.judge(),
            (None, Ending::Stopping) => {}
        }
        if !self.over {
            self.stage.agenda.after(self.plan.kind.look_ns, Happening::Look);
        }
    }

    fn judge(&mut self) {
        let Some(stored) = self.clients.read() else {
            if self.ending == Ending::ReadingAgain && !self.clients.are_reading() {
                self.clients.read_all(&self.plan, &mut self.stage);
            }
            return;
        };
        let stage = &mut self.stage;
        note!(stage, "{} messages are stored", stored.len());
        let mut tally = std::mem::take(&mut stage.tally);
        stage.oracle.judge_all(&self.plan, &stored, &mut tally);
        // Retention removes messages from handsets as well.
        if let Some(process) = self.process.as_ref().filter(|_| !stage.oracle.aged)
            && let Err(what) = stage.oracle.handsets.judge(&process.stores(), &self.plan.shard, &mut tally)
        {
            stage.oracle.break_at(Invariant::Handsets, what);
        }
        stage.tally = tally;
        if self.ending == Ending::ReadingAgain {
            self.over = true;
            return;
        }
        let mut stop_in = 0;
        if self.plan.ages {
            self.age();
            stop_in = SETTLED_AFTER;
        }
        self.ending = Ending::Stopping;
        self.stops_left = 1;
        self.stage.agenda.after(stop_in, Happening::Stop);
    }

    /// Lets retention pass, and the time for which receipts are awaited, without any other event.
    fn age(&mut self) {
        note!(self.stage, "time passes");
        let shard = &self.plan.shard;
        let ms = 2 * (shard.receipt_wait_ms + shard.retention_ms);
        self.stage.age(ms);
        self.stage.oracle.aged = true;
        if let Some(process) = self.process.as_mut() {
            process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        }
    }
}
