//! Parts of messages from handsets, until all parts of a message have come. They come in any order, over any session, some twice,
//! some never. Each is durable before its carrier gets its answer, so parts that wait survive a crash.
//!
//! Parts belong together if they agree in group, sender, recipient, reference, number of parts and coding. If a part comes whose
//! number is taken by another text, it belongs to another message with the same reference, and the older message is given up.
//! Also given up are the oldest message when there are too many, and a message whose other parts do not come for too long. A
//! message that is given up is kept with the parts that have come, and with the numbers of the missing ones.
//!
//! A carrier that did not hear our answer delivers a part again, perhaps after its message is complete. So the prints (hashes) of
//! its parts are remembered for a while; otherwise the part would wait here for a message that never comes.
//!
//! Invariants:
//! 1. The messages that wait are exactly those with part records in `joining`, and each lacks a part.
//! 2. A part is in one place: here, or in one message.
//! 3. `bytes` is the most room that all waiting messages would take as kept messages, bytes.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Sound, WALKED_MAX, Wall, holds};
use crate::store::record::{HandsetRecord, JoiningRecord, PartRecord, encode};
use stentor_smpp::receipt_id::id_hash;

use super::turn::Turn;

/// How long a repeated part is recognised, ms. Some senders give every message the same reference; the same text again after this
/// time is another message.
const TOLD_MS: u64 = 3_600_000;
/// Most prints, and most messages that wait no more, that are remembered, for each message that may lack parts.
const PRINTS_EACH: usize = 4;

/// Commit and index in it: where a record is on disk.
type Place = (u64, u32);

/// Everything in which the parts of one message agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    group: u16,
    from: u64,
    name: Vec<u8>,
    to: Vec<u8>,
    reference: u16,
    parts: u8,
    data_coding: u8,
}

#[derive(Debug)]
struct Part {
    at: Place,
    print: u64,
    header: Vec<u8>,
    text: Vec<u8>,
}

/// A message that lacks parts.
#[derive(Debug)]
struct Waiting {
    /// Where its first part is on disk, and when that came.
    since: (Place, Wall),
    bytes: u64,
    parts: BTreeMap<u8, Part>,
}

/// What a part that comes in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is a repetition: it is here, or was here recently.
    Known,
    /// No part of its message is here.
    First,
    /// Its message lacks it.
    Wanted,
    /// Its message has another text under this number: it is of another message with the same reference.
    Other,
}

/// The messages from handsets that lack parts.
#[derive(Debug, Default)]
pub(super) struct Joining {
    waiting: BTreeMap<Name, Waiting>,
    by_age: BTreeMap<Place, Name>,
    bytes: u64,
    /// Messages that wait no more, oldest first: where that is recorded, when that was, and the prints of their parts.
    told: VecDeque<(Place, Wall, Vec<u64>)>,
    /// Each print with the newest time at which its message stopped waiting.
    prints: BTreeMap<u64, Wall>,
}

impl Joining {
    /// How many messages wait, and the room that they may need, bytes.
    pub(super) fn waiting(&self) -> (u64, u64) {
        (self.waiting.len() as u64, self.bytes)
    }

    /// How many messages, and how much room, taking this part would add.
    pub(super) fn more_by(&self, turn: &Turn, part: &PartRecord) -> (u64, u64) {
        match self.find(turn, &name_of(part), part.part, print_of(part)) {
            Found::Known => (0, 0),
            Found::Wanted => (0, bytes_of(part)),
            Found::First | Found::Other => (1, bytes_of(part) + bytes_of_none(part)),
        }
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self) -> Sound {
        let (waiting, by_age) = (self.waiting.len(), self.by_age.len());
        holds!(1, waiting == by_age, "{waiting} messages, and {by_age} by age");
        if waiting > WALKED_MAX {
            return Ok(());
        }
        let mut bytes = 0;
        for (name, waiting) in &self.waiting {
            let (there, parts) = (waiting.parts.len(), usize::from(name.parts));
            holds!(1, (1..parts).contains(&there), "{there} parts of {parts}: {name:?}");
            let is_first = |part: &Part| waiting.since.0 <= part.at;
            let is_by_age = self.by_age.get(&waiting.since.0) == Some(name);
            holds!(1, is_by_age && waiting.parts.values().all(is_first), "{name:?} since {:?}", waiting.since);
            let texts = waiting.parts.values().map(|part| part.header.len() + part.text.len()).sum::<usize>() as u64;
            bytes += texts + bytes_without_parts(&name.name, &name.to, name.parts);
        }
        holds!(3, bytes == self.bytes, "{bytes} bytes, and {} are counted", self.bytes);
        Ok(())
    }

    fn find(&self, turn: &Turn, name: &Name, part: u8, print: u64) -> Found {
        let known = self.waiting.get(name).map(|waiting| waiting.parts.get(&part).map(|known| known.print));
        let was_told = self.prints.get(&print).is_some_and(|at| turn.now.wall.since(*at) <= TOLD_MS);
        match known {
            _ if was_told => Found::Known,
            None => Found::First,
            Some(None) => Found::Wanted,
            Some(Some(known)) if known == print => Found::Known,
            Some(Some(_)) => Found::Other,
        }
    }

    /// A part has come. Returns the messages that wait no more: because it was the last part, or because they are given up.
    pub(super) fn take(&mut self, turn: &mut Turn, part: PartRecord) -> Vec<HandsetRecord> {
        let horizon = Wall(turn.now.wall.0.saturating_sub(turn.options.joining_ms));
        let mut done = self.expire(turn, horizon);
        let (name, print) = (name_of(&part), print_of(&part));
        match self.find(turn, &name, part.part, print) {
            Found::Known => return done,
            Found::Other => done.extend(self.give_up(turn, &name)),
            Found::First | Found::Wanted => {}
        }
        let batch = turn.gathering.batch();
        let at = (batch.seq.0, batch.joining.len() as u32);
        batch.joining.push(JoiningRecord::Part(part.clone()));
        self.insert(at, &name, part, print);
        if self.waiting.get(&name).is_some_and(|waiting| waiting.parts.len() == usize::from(name.parts)) {
            turn.counters.handsets_joined += 1;
            done.extend(self.join(turn, &name));
        }
        done.extend(self.shed(turn));
        done
    }

    fn insert(&mut self, at: Place, name: &Name, part: PartRecord, print: u64) {
        let (more, when) = (bytes_of(&part), Wall(part.wall));
        let waiting = self.waiting.entry(name.clone()).or_insert_with(|| {
            self.by_age.insert(at, name.clone());
            self.bytes += bytes_of_none(&part);
            Waiting { since: (at, when), bytes: bytes_of_none(&part), parts: BTreeMap::new() }
        });
        waiting.bytes += more;
        self.bytes += more;
        waiting.parts.insert(part.part, Part { at, print, header: part.header, text: part.text });
    }

    /// Gives up the oldest messages over the bounds.
    pub(super) fn shed(&mut self, turn: &mut Turn) -> Vec<HandsetRecord> {
        let mut done = Vec::new();
        let bounds = turn.options.bounds;
        while (self.waiting.len() > bounds.joining_max || self.bytes > bounds.joining_bytes_max)
            && let Some((_, oldest)) = self.by_age.first_key_value()
        {
            let oldest = oldest.clone();
            done.extend(self.give_up(turn, &oldest));
        }
        while self.told.len().max(self.prints.len()) > bounds.joining_max * PRINTS_EACH {
            self.forget_oldest(turn);
        }
        done
    }

    /// Gives up messages that have waited since before `horizon`, and forgets prints that are too old.
    pub(super) fn expire(&mut self, turn: &mut Turn, horizon: Wall) -> Vec<HandsetRecord> {
        let mut done = Vec::new();
        while let Some((_, oldest)) = self.by_age.first_key_value()
            && self.waiting.get(oldest).is_some_and(|waiting| waiting.since.1 < horizon)
        {
            let oldest = oldest.clone();
            done.extend(self.give_up(turn, &oldest));
        }
        let now = turn.now.wall;
        while self.told.front().is_some_and(|(_, at, _)| now.since(*at) > TOLD_MS) {
            self.forget_oldest(turn);
        }
        done
    }

    fn give_up(&mut self, turn: &mut Turn, name: &Name) -> Option<HandsetRecord> {
        turn.counters.handsets_incomplete += 1;
        self.join(turn, name)
    }

    /// A message waits no more: returns it with the parts that have come.
    fn join(&mut self, turn: &mut Turn, name: &Name) -> Option<HandsetRecord> {
        let waiting = self.waiting.remove(name)?;
        self.by_age.remove(&waiting.since.0);
        self.bytes -= waiting.bytes;
        let prints: Vec<u64> = waiting.parts.values().map(|part| part.print).collect();
        let batch = turn.gathering.batch();
        batch.joining_gone.extend(waiting.parts.values().map(|part| part.at));
        let (at, wall) = ((batch.seq.0, batch.joining.len() as u32), turn.now.wall);
        batch.joining.push(JoiningRecord::Told { wall: wall.0, prints: prints.clone() });
        self.remember(at, wall, prints);
        Some(joined(name, &waiting))
    }

    fn remember(&mut self, at: Place, when: Wall, prints: Vec<u64>) {
        self.prints.extend(prints.iter().map(|print| (*print, when)));
        self.told.push_back((at, when, prints));
    }

    fn forget_oldest(&mut self, turn: &mut Turn) {
        let Some((at, when, prints)) = self.told.pop_front() else { return };
        turn.gathering.batch().joining_gone.push(at);
        for print in prints {
            // The same print may have been remembered again since.
            if self.prints.get(&print) == Some(&when) {
                self.prints.remove(&print);
            }
        }
    }

    /// Takes in what a start has found, in the order in which it was recorded.
    pub(super) fn replay(&mut self, found: Vec<(u64, u32, JoiningRecord)>) {
        for (commit, index, record) in found {
            match record {
                JoiningRecord::Part(part) => {
                    let (name, print) = (name_of(&part), print_of(&part));
                    self.insert((commit, index), &name, part, print);
                }
                JoiningRecord::Told { wall, prints } => self.remember((commit, index), Wall(wall), prints),
            }
        }
    }
}

fn name_of(part: &PartRecord) -> Name {
    let PartRecord { group, from, reference, parts, data_coding, .. } = *part;
    Name { group, from, name: part.name.clone(), to: part.to.clone(), reference, parts, data_coding }
}

/// A hash of everything in a part but its time. It is stored, so a change of the record's format matters, but for no longer than
/// [`TOLD_MS`].
fn print_of(part: &PartRecord) -> u64 {
    id_hash(u64::from(part.group), &encode(&PartRecord { wall: 0, ..part.clone() }))
}

/// The room that a part takes in its message, bytes.
const fn bytes_of(part: &PartRecord) -> u64 {
    part.header.len() as u64 + part.text.len() as u64
}

/// The room that a message takes without any part, bytes.
fn bytes_of_none(part: &PartRecord) -> u64 {
    bytes_without_parts(&part.name, &part.to, part.parts)
}

fn bytes_without_parts(name: &[u8], to: &[u8], parts: u8) -> u64 {
    let addresses = name.len() as u64 + to.len() as u64;
    HandsetRecord::BYTES + HandsetRecord::TENANT_BYTES + addresses + parts as u64 * HandsetRecord::MISSING_BYTES
}

/// Makes a message of the parts that have come. A header that several parts have is kept once.
fn joined(name: &Name, waiting: &Waiting) -> HandsetRecord {
    let Name { group, from, data_coding, parts, .. } = *name;
    let (name, to, wall) = (name.name.clone(), name.to.clone(), waiting.since.1.0);
    let mut record = HandsetRecord { wall, group, from, name, to, data_coding, parts, ..HandsetRecord::default() };
    for number in 1..=parts {
        match waiting.parts.get(&number) {
            Some(part) => {
                if !waiting.parts.range(..number).any(|(_, earlier)| earlier.header == part.header) {
                    record.header.extend_from_slice(&part.header);
                }
                record.text.extend_from_slice(&part.text);
            }
            None => record.missing.push((number, record.text.len() as u32)),
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two messages that lack parts, one of them more than one part. Returns the invariant that `change` breaks.
    fn breach(change: fn(&mut Joining)) -> u8 {
        let mut joining = Joining::default();
        for (commit, reference, part) in [(1, 7, 1), (2, 8, 2), (3, 7, 3)] {
            let record = PartRecord { reference, parts: 4, part, text: vec![b'x'; 9], ..PartRecord::default() };
            joining.insert((commit, 0), &name_of(&record), record.clone(), print_of(&record));
        }
        assert_eq!(joining.check(), Ok(()));
        change(&mut joining);
        joining.check().expect_err("a breach").number
    }

    fn first(joining: &mut Joining) -> &mut Waiting {
        joining.waiting.first_entry().expect("one").into_mut()
    }

    #[test]
    fn breaking_invariant_1_keeps_what_is_whole_or_forgets_what_waits() {
        let whole = |joining: &mut Joining| {
            for number in [2, 4] {
                let part = Part { at: (9, 0), print: 0, header: Vec::new(), text: Vec::new() };
                first(joining).parts.insert(number, part);
            }
        };
        assert_eq!(breach(whole), 1);
        assert_eq!(breach(|joining| first(joining).parts.clear()), 1);
        assert_eq!(breach(|joining| drop(joining.waiting.pop_first())), 1);
        assert_eq!(breach(|joining| drop(joining.by_age.pop_first())), 1);
        assert_eq!(breach(|joining| first(joining).since.0 = (2, 0)), 1);
    }

    #[test]
    fn breaking_invariant_3_counts_bytes_that_are_not_used() {
        assert_eq!(breach(|joining| joining.bytes += 1), 3);
        assert_eq!(breach(|joining| drop(first(joining).parts.pop_last())), 3);
    }
}
