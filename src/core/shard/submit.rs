//! Admits the messages of frames, line by line, into the segment of this turn.

use std::collections::VecDeque;

use crate::admission::{Allowance, Gate, KeyWindow, Known, Moment, Seen};
use crate::model::limits::{TURN_BYTES_MAX, TURN_MESSAGES_MAX};
use crate::model::{
    Address, Frame, Head, KeyPrint, Lane, MessageId, Point, Refusal, ReplyTo, SetNumber, TenantId, Wall,
};
use crate::queue::{DueEntry, InsertReason, LISTS_MAX};
use crate::store::key::Key;
use crate::store::record::{CheckpointRecord, KeysRecord, WaitingRecord, encode};
use crate::store::{Op, WriteBatch};

use super::event::{Claimed, LineResult, Reply};
use super::gathering::Place;
use super::options::Options;
use super::pull::Pull;
use super::sets::SETS_MAX;
use super::turn::Turn;

/// Most messages of a frame that need not wait behind frames of large requests.
const PASSING_MESSAGES_MAX: usize = 64;
/// Most messages of such frames on top of a full turn.
const PASSING_BEYOND: usize = TURN_MESSAGES_MAX / 16;
/// Whether a frame need not wait behind others: it is all of its request, so no request's order suffers when it is admitted
/// earlier.
fn passes(frame: &Frame) -> bool {
    frame.alone && frame.heads.len() <= PASSING_MESSAGES_MAX
}

/// How many messages above the usual limit a turn may have with this frame.
fn beyond(frame: &Frame) -> usize {
    if passes(frame) { PASSING_BEYOND } else { 0 }
}

/// Frames that wait for room, and the window of idempotency keys.
#[derive(Debug)]
pub(super) struct Intake {
    keys: KeyWindow,
    /// Commits that recorded fingerprints, oldest first, each with its time on the clock without jumps, ms.
    key_commits: VecDeque<(u64, u64)>,
    /// Frames that did not fit into the batch being gathered.
    pub waiting_frames: VecDeque<Frame>,
}

impl Intake {
    pub(super) fn new(options: &Options) -> Self {
        let mut keys = KeyWindow::new(options.keys_max, options.key_window_ms);
        keys.share_out(&options.tenants);
        Self { keys, key_commits: VecDeque::new(), waiting_frames: VecDeque::new() }
    }

    /// Admits a frame now, or with the next batch if this one is full. A small frame that is all of its request does not wait
    /// behind frames of large requests, and may be added to a full batch.
    pub(super) fn submit(&mut self, turn: &mut Turn, pull: &Pull, frame: Frame) {
        let waits = !self.waiting_frames.is_empty() && !passes(&frame);
        if waits || !has_room_for(turn, &frame) {
            self.waiting_frames.push_back(frame);
            return;
        }
        self.admit_frame(turn, pull, frame);
    }

    /// Admits frames that waited and have room now: a quarter of a turn in one call, since a whole one takes long; the rest at
    /// the next call, for which `Shard::poll_timeout` asks.
    pub(super) fn admit_waiting(&mut self, turn: &mut Turn, pull: &Pull) {
        let messages = turn.gathering.messages() + TURN_MESSAGES_MAX / 4;
        let bytes = turn.gathering.bytes() + TURN_BYTES_MAX / 4;
        while turn.gathering.messages() < messages
            && turn.gathering.bytes() < bytes
            && let Some(frame) = self.waiting_frames.pop_front()
        {
            if !has_room_for(turn, &frame) {
                self.waiting_frames.push_front(frame);
                return;
            }
            self.admit_frame(turn, pull, frame);
        }
    }

    /// Whether the first waiting frame could be admitted by the next call.
    pub(super) fn has_admissible(&self, turn: &Turn) -> bool {
        self.waiting_frames
            .front()
            .is_some_and(|frame| turn.gathering.has_room(frame.heads.len(), frame.arena.len(), beyond(frame)))
    }

    fn admit_frame(&mut self, turn: &mut Turn, pull: &Pull, frame: Frame) {
        let mut allowance = Allowance::default();
        let mut keys = frame.keys.iter().peekable();
        let mut results = Vec::with_capacity(frame.heads.len());
        let mut paid = frame.paid();
        for (index, head) in frame.heads.iter().enumerate() {
            let print = keys.next_if(|line| line.index as usize == index).map(|line| line.print);
            let at = head.content_at as usize;
            let content = frame.arena.get(at..at + head.content_len as usize).unwrap_or_default();
            let result = match print.and_then(|print| self.keys.look(print, turn.moment())) {
                Some(seen) => known(turn, seen.into()),
                None if paid == 0 => refuse(turn, Refusal::OverQuota),
                None => self.admit(turn, pull, head, print, content, &mut allowance),
            };
            paid -= u32::from(matches!(result, LineResult::Accepted(_)));
            results.push(result);
        }
        allowance.close(&mut turn.places);
        turn.reply(frame.reply, Reply::Submitted(results));
    }

    /// Admits a message whose key is not known, or that has none.
    fn admit(
        &mut self,
        turn: &mut Turn,
        pull: &Pull,
        head: &Head,
        print: Option<KeyPrint>,
        content: &[u8],
        allowance: &mut Allowance,
    ) -> LineResult {
        if !allowance.is_of(head.tenant) {
            allowance.close(&mut turn.places);
            let taken = pull.queued(turn);
            *allowance = Allowance::of(head.tenant, &mut turn.places, taken);
        }
        if let Some(refusal) = gate(turn).refusal(head, allowance) {
            return refuse(turn, refusal);
        }
        let set = match counted(turn, pull, head, content) {
            Ok(set) => set,
            Err(refusal) => return refuse(turn, refusal),
        };
        if turn.gathering.is_building() && turn.buggify.at(Point::SegmentFull) {
            turn.gathering.close_segment();
        }
        if let Some(print) = print {
            let address = turn.gathering.next_address(content.len(), turn.next_segment);
            let at = turn.moment();
            match self.keys.claim(print, head.tenant, address, at) {
                Seen::New => turn.gathering.batch().keys.push((print, head.tenant, address, at)),
                seen @ (Seen::Same(..) | Seen::Other | Seen::Full | Seen::ShareFull) => {
                    return known(turn, seen.into());
                }
            }
        }
        allowance.take();
        let head = Head { accepted_at: turn.now.wall, set, ..*head };
        let address = turn.gathering.admit(head, content, &mut turn.next_segment);
        turn.whereabouts.admitted(address);
        place(turn, &head, address);
        turn.counters.accepted[head.class.index()] += 1;
        LineResult::Accepted(MessageId::new(turn.now.wall, turn.options.node, turn.options.shard, address))
    }

    /// Claims the key of a request, before its lines.
    pub(super) fn claim(&mut self, turn: &mut Turn, reply: ReplyTo, tenant: TenantId, print: KeyPrint, is_paid: bool) {
        // A known key is answered before any refusal, as a known message is.
        let is_known = self.keys.look(print, turn.moment()).is_some();
        if !is_known && !is_paid {
            return turn.reply(reply, Reply::Claimed(Claimed::Ours));
        }
        if let Some(refusal) = gate(turn).refusal_of_keys().filter(|_| !is_known) {
            return turn.reply(reply, Reply::Claimed(Claimed::Refused(refusal)));
        }
        let at = turn.moment();
        let claimed = match self.keys.claim(print, tenant, Address::default(), at) {
            Seen::New => {
                turn.gathering.batch().keys.push((print, tenant, Address::default(), at));
                Claimed::Ours
            }
            Seen::ShareFull => Claimed::Refused(Refusal::KeyShareFull),
            Seen::Same(..) => Claimed::Ours,
            Seen::Other => Claimed::Reused,
            Seen::Full => Claimed::Full,
        };
        turn.reply(reply, Reply::Claimed(claimed));
    }

    /// A batch is handed out: remembers whether it recorded fingerprints.
    pub(super) fn committed(&mut self, turn: &Turn, batch: &WriteBatch) {
        if !batch.keys.is_empty() {
            self.key_commits.push_back((batch.seq.0, turn.moment().steady_ms));
        }
    }

    /// Whether no frame waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting_frames.is_empty()
    }

    /// Fingerprints in the window.
    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The tenants that share the window have changed.
    pub(super) fn share_out(&mut self, tenants: &[(TenantId, u32)]) {
        self.keys.share_out(tenants);
    }

    /// Puts what it knows into a checkpoint.
    pub(super) fn note(&mut self, turn: &Turn, checkpoint: &mut CheckpointRecord) {
        checkpoint.ahead_ms = turn.ahead_ms;
        let key_horizon = turn.moment().steady_ms.saturating_sub(turn.options.key_window_ms);
        while self.key_commits.front().is_some_and(|(_, at)| *at < key_horizon) {
            self.key_commits.pop_front();
        }
        checkpoint.keys_from = self.key_commits.front().map_or(checkpoint.commit + 1, |(commit, _)| *commit);
    }

    /// Takes in the fingerprints that a commit recorded.
    pub(super) fn replay(&mut self, commit: u64, record: &KeysRecord) {
        let mut newest = Moment::default();
        let mut ahead_ms = record.ahead_ms.iter().peekable();
        let mut ahead = 0;
        for (index, &(key, content, address, at, tenant)) in (0..).zip(&record.keys) {
            if let Some((_, changed)) = ahead_ms.next_if(|(from, _)| *from == index) {
                ahead = *changed;
            }
            newest = Moment::of(Wall(at), ahead);
            let (print, address) = (KeyPrint { key, content }, Address::from_packed(address));
            self.keys.recover(print, TenantId(tenant), address, newest);
        }
        self.key_commits.push_back((commit, newest.steady_ms));
    }
}

fn has_room_for(turn: &mut Turn, frame: &Frame) -> bool {
    turn.gathering.has_room(frame.heads.len(), frame.arena.len(), beyond(frame))
        && (turn.gathering.messages() == 0 || !turn.buggify.at(Point::TurnFull))
}

const fn gate(turn: &Turn) -> Gate {
    Gate { now: turn.now.wall, is_draining: turn.draining, disk: turn.disk }
}

/// The set of counters on which a new message counts, if it need not wait too long there.
fn counted(turn: &mut Turn, pull: &Pull, head: &Head, content: &[u8]) -> Result<SetNumber, Refusal> {
    let is_full = pull.lanes.lists() >= LISTS_MAX / 2;
    let sets_max = if is_full { 0 } else { SETS_MAX };
    let set = turn.sets.judge(head, content, &turn.catalog, sets_max)?;
    if head.send_at > turn.now.wall {
        return Ok(set);
    }
    if !turn.sets.admits(set, || pull.lanes.waiting_of(set), turn.options.shards) {
        return Err(Refusal::OverLimit);
    }
    if pull.is_too_slow(turn, Lane { set, ..head.lane() }) {
        return Err(Refusal::QueueSlow);
    }
    Ok(set)
}

fn known(turn: &mut Turn, known: Known) -> LineResult {
    match known {
        Known::Before(first, at) => {
            turn.counters.duplicates += 1;
            LineResult::Duplicate(MessageId::new(at, turn.options.node, turn.options.shard, first))
        }
        Known::Refused(refusal) => refuse(turn, refusal),
    }
}

fn refuse(turn: &mut Turn, refusal: Refusal) -> LineResult {
    if let Some(at) = Refusal::ALL.iter().position(|known| *known == refusal) {
        turn.counters.refused[at] += 1;
    }
    LineResult::Refused(refusal)
}

fn place(turn: &mut Turn, head: &Head, address: Address) {
    let lane = head.lane();
    if head.send_at > turn.now.wall {
        let entry = DueEntry { address, lane, reason: InsertReason::Scheduled };
        turn.put_off(head.send_at, entry);
    } else {
        turn.gathering.ready(Place::Fresh(lane), address);
    }
}

/// The record of how many messages of each tenant wait, if that changed and the next commit must hold it.
pub(super) fn waiting_record(turn: &mut Turn) -> Option<Op> {
    let (key, record) = (Key::Waiting, WaitingRecord(turn.places.take_changed()?));
    Some(Op::Put { space: key.space(), key: key.bytes(), value: encode(&record) })
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
