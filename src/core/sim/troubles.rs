//! What goes wrong in the simulated world: crashes aimed at a place in the turn, processes and disks that stall or
//! fail, clocks that are set, connections that end; and the calm after all of it. Decides when and where; the plan says
//! how often.

use crate::model::DiskRoom;

use super::agenda::SECOND;
use super::faulty::{Fault, Operation};
use super::happening::Happening;
use super::phase::Phase;
use super::plan::pick;
use super::stage::note;
use super::tally::Count;
use super::world::World;

/// How long a crash waits until the process reaches the place at which it is aimed.
const AIM_NS: u64 = 10 * SECOND;
/// Longest stall of a process or a disk.
pub(super) const STALL_NS: u64 = 20 * SECOND;

impl World {
    pub(super) fn crash(&mut self) {
        if self.stage.calm || self.crashes_left == 0 {
            return;
        }
        let aimed = self.stage.chance.chance(600_000);
        let phase = *pick(&mut self.stage.chance, &Phase::ALL);
        if !aimed || phase == Phase::Fresh {
            self.kill();
        }
        if !aimed {
            return;
        }
        self.aim = Some((phase, self.stage.now_ns() + AIM_NS));
        if matches!(phase, Phase::Draining | Phase::Sealing)
            && let Some(process) = self.process.as_mut()
        {
            process.drain(&self.plan, &mut self.stage);
        }
    }

    pub(super) fn kill(&mut self) {
        self.aim = None;
        if self.crashes_left == 0 {
            return;
        }
        let phases = self.phases();
        let Some(process) = self.process.take() else { return };
        self.crashes_left -= 1;
        self.stage.tally.add(Count::Crashes);
        self.stage.tally.add_crash(phases);
        note!(self.stage, "life {} is killed: {:?}", process.life, phases.iter().collect::<Vec<_>>());
        self.bury(process);
    }

    pub(super) fn stall(&mut self) {
        let stands = self.stage.now_ns() < self.stalled_until_ns;
        if !self.stage.calm && self.process.is_some() && !stands {
            let ns = self.stage.chance.below(STALL_NS);
            note!(self.stage, "the process stalls for {ns} ns");
            self.stage.tally.add(Count::Stalls);
            self.stalled_until_ns = self.stage.now_ns() + ns;
            self.stage.oracle.limited.stalls(self.stage.now_ns(), self.stalled_until_ns);
            self.troubled_until_ns = self.troubled_until_ns.max(self.stalled_until_ns);
        }
    }

    pub(super) fn stall_disk(&mut self) {
        let shard = self.stage.chance.below(u64::from(self.plan.shards)) as usize;
        let until_ns = self.stage.now_ns() + self.stage.chance.below(STALL_NS);
        if let Some(disk) = self.process.as_mut().and_then(|process| process.disk(shard)) {
            disk.stall(until_ns);
            self.troubled_until_ns = self.troubled_until_ns.max(until_ns);
        }
    }

    /// The disk has little room, or none, for a while.
    pub(super) fn run_short(&mut self) {
        if self.stage.calm {
            return;
        }
        let room = *pick(&mut self.stage.chance, &[DiskRoom::Low, DiskRoom::Out]);
        let for_ns = self.stage.chance.below(STALL_NS / 2);
        self.stage.tally.add(Count::Shortages);
        self.stage.oracle.was_short = true;
        self.have_room(room);
        self.troubled_until_ns = self.troubled_until_ns.max(self.stage.now_ns() + for_ns);
        self.stage.agenda.after(for_ns, Happening::DiskAmple);
    }

    pub(super) fn have_room(&mut self, room: DiskRoom) {
        note!(self.stage, "the disk's room: {room:?}");
        self.disk_room = room;
        if let Some(process) = self.process.as_mut() {
            process.disk_has(room, &self.plan, &mut self.net, &mut self.stage);
        }
    }

    pub(super) fn break_disk(&mut self) {
        if self.stage.calm {
            return;
        }
        let stage = &mut self.stage;
        let shard = stage.chance.below(u64::from(self.plan.shards)) as usize;
        let for_ever = stage.chance.chance(300_000);
        let fault = Fault {
            operation: *pick(&mut stage.chance, &Operation::ALL),
            after: stage.chance.below(6) as u32,
            until_ns: for_ever.then(|| stage.now_ns() + stage.chance.below(2 * STALL_NS)),
        };
        note!(stage, "disk {shard}: {fault:?}");
        if for_ever {
            stage.tally.add(Count::FaultsForEver);
        }
        let faults = match self.process.as_mut() {
            Some(process) => process.disk(shard).map(|disk| &mut disk.faults),
            None => {
                self.disks.as_mut().and_then(|disks| disks.shards.get_mut(shard)).map(|platter| &mut platter.faults)
            }
        };
        if let Some(faults) = faults {
            faults.push(fault);
        }
    }

    pub(super) fn jump_wall(&mut self) {
        if self.stage.calm {
            return;
        }
        let before = self.stage.wall();
        let forward = self.stage.jump_wall(self.plan.kind.wall_jump_max_ms);
        self.clock_is_set(before);
        self.troubled_until_ns = self.troubled_until_ns.max(self.stage.now_ns());
        self.stage.tally.add(if forward { Count::WallForward } else { Count::WallBackward });
        note!(self.stage, "the wall clock jumps to {:?}", self.stage.wall());
        if let Some(process) = self.process.as_mut() {
            process.turn_all(&self.plan, &mut self.net, &mut self.stage);
        }
    }

    pub(super) fn cut(&mut self) {
        let standing = self.net.standing();
        if !self.stage.calm && !standing.is_empty() {
            let id = *pick(&mut self.stage.chance, &standing);
            self.net.cut(id, &mut self.stage);
        }
    }

    pub(super) fn freeze(&mut self) {
        let standing = self.net.standing();
        if !self.stage.calm && !standing.is_empty() {
            let id = *pick(&mut self.stage.chance, &standing);
            let ns = self.stage.chance.between(SECOND, 30 * SECOND);
            self.net.freeze(id, ns, &mut self.stage);
        }
    }

    pub(super) fn calm(&mut self) {
        note!(self.stage, "calm");
        self.stage.calm = true;
        self.calm_since = self.stage.now_ns();
        self.carriers.calm_down();
        self.right_clock();
        self.have_room(DiskRoom::Ample);
        self.aim = None;
        if let Some(process) = self.process.as_mut() {
            process.control().faults.clear();
            let shards = 0..usize::from(self.plan.shards);
            shards.for_each(|at| process.disk(at).into_iter().for_each(|disk| disk.faults.clear()));
        }
        if let Some(disks) = self.disks.as_mut() {
            disks.iter_mut().for_each(|disk| disk.faults.clear());
        }
        if let Some(process) = self.process.as_mut().filter(|process| process.has_left_out()) {
            process.drain(&self.plan, &mut self.stage);
        }
        if self.plan.kind.tended > 0 {
            (0..self.plan.carriers.len()).for_each(|carrier| self.resume(carrier));
        }
        self.lift_limits();
        self.stage.agenda.after(SECOND, Happening::Look);
    }
}
