//! Control: a durable identity beside the shards, with its own store and turn, for data that does not belong to a
//! recipient. Today it keeps the numbers of names, the version of the catalog and the positions of readers of records;
//! pauses, templates, broadcasts and tenants' counters are planned as further kinds of entries.
//!
//! Knows: entries by kind and key, their bounds, which version is durable. Refuses to know: what the value of an entry
//! means (except numbers), which routes and carriers exist, who sends a request.
//!
//! Control works like a shard and is called in the same order: [`Control::handle`] takes a request and decides;
//! [`Control::poll_commit`] gives the batch to commit, one at a time; [`Control::handle_committed`] reports that it is
//! durable; [`Control::poll_effect`] gives what may be done then. Requests that come while a batch is being committed
//! go into the next one.
//!
//! Invariants:
//! 1. Nothing is published, and no request answered, before the batch that holds it is durable.
//! 2. The version grows by one with each batch. Only the version of a durable batch is published, so no reader sees one
//!    version with two different contents.
//! 3. A request is applied whole or not at all.
//! 4. Numbers of a kind are 1, 2, 3 … in the order in which names came; a name keeps its number and is never removed.
//! 5. Neither a kind nor all kinds together grow beyond their bound ([`Bounds`]); what a start finds beyond it does not
//!    grow.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::model::{Sound, WALKED_MAX, holds};
use crate::store::control::{ControlBatch, FoundControl};

mod entries;
mod kind;
mod names;
#[cfg(test)]
mod tests;

pub use entries::{Entries, Entry};
pub use kind::{Bound, Bounds, KEY_BYTES_MAX, Kind, Refused, VALUE_BYTES_MAX};
pub use names::{Names, applied};

/// One change of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the key to this value, also if it has that value already.
    Put {
        /// A kind that is not numbered.
        kind: Kind,
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        key: Vec<u8>,
        /// The bytes of the kind's record.
        value: Vec<u8>,
    },
    /// Removes the key; nothing changes if it is not there.
    Remove {
        /// A kind that is not numbered.
        kind: Kind,
        /// The key as it was put.
        key: Vec<u8>,
    },
    /// Sets the key to this value, or removes it, but only if its entry is still the one that the caller saw: for
    /// callers that decide by what they have read.
    Replace {
        /// A kind that is not numbered.
        kind: Kind,
        /// As in `Put`.
        key: Vec<u8>,
        /// The version of the entry that the caller saw; 0: there was no entry.
        seen: u64,
        /// As in `Put`; `None`: the entry is removed.
        value: Option<Vec<u8>>,
    },
    /// Gives the name a number; nothing changes if it has one.
    Number {
        /// A numbered kind.
        kind: Kind,
        /// 1 to [`KEY_BYTES_MAX`] bytes.
        name: String,
    },
}

/// What control reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEvent {
    /// A request for changes: all of them are made or none.
    Change {
        /// The caller's own number, which comes back in the reply.
        ticket: u64,
        /// The changes, applied in this order.
        changes: Vec<Change>,
    },
}

/// What the caller may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// All readers use these entries from now on. Comes before the replies to the requests that they contain.
    Publish(Arc<Entries>),
    /// The answer to the request with that ticket: durable and published since this version, or refused as a whole.
    Reply(u64, Result<u64, Refused>),
}

/// Entries on disk that control never wrote. One line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage(pub String);

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "control: {}", self.0)
    }
}

impl std::error::Error for Damage {}

type Address = (Kind, Vec<u8>);

/// Control's state; see the top of this file.
#[derive(Debug, Default)]
pub struct Control {
    bounds: Bounds,
    /// The bounds, or what the start found where that is more.
    most: Bounds,
    /// All changes decided so far; the version is that of the last batch given out.
    decided: Entries,
    /// Changes decided since that batch: the new value, or `None` if the entry is removed.
    gathered: BTreeMap<Address, Option<Arc<[u8]>>>,
    /// The entries of the batch that is being committed.
    under_way: Option<Arc<Entries>>,
    published: Arc<Entries>,
    /// Entries were published, and no [`Effect::Publish`] has been given out for them yet.
    is_untold: bool,
    /// Replies in the order of requests: ticket, the version that must be durable first, and the refusal if there is
    /// one.
    replies: VecDeque<(u64, u64, Option<Refused>)>,
}

impl Control {
    /// Continues from what the store holds.
    ///
    /// # Errors
    /// [`Damage`]: kinds that this version does not know, or numbers that are missing or given twice.
    pub fn recover(found: FoundControl, bounds: Bounds) -> Result<Self, Damage> {
        let mut entries = Entries::default();
        entries.set_version(found.record.version);
        let known =
            |code| Kind::from_code(code).ok_or_else(|| Damage(format!("entries of kind {code}, which is unknown")));
        for (code, changed) in found.record.changed {
            entries.set_changed(known(code)?, changed);
        }
        for (code, key, record) in found.entries {
            let entry = Entry { version: record.version, value: record.value.into() };
            entries.set(known(code)?, &key, Some(entry));
        }
        Kind::ALL.into_iter().filter(|kind| kind.is_numbered()).try_for_each(|kind| check_numbers(&entries, kind))?;
        let published = Arc::new(entries.clone());
        let mut control = Self { bounds, most: bounds, decided: entries, published, ..Self::default() };
        control.most = control.held(Bound::max);
        Ok(control)
    }

    /// For each kind and for all: what it holds combined with its bound, by `with`.
    fn held(&self, with: impl Fn(Bound, Bound) -> Bound) -> Bounds {
        let of = |kind| Bound { entries: self.decided.len(kind) as u32, bytes: self.decided.bytes(kind) };
        let (mut kinds, mut all) = (self.most.kinds, Bound::default());
        for kind in Kind::ALL {
            let held = of(kind);
            all = Bound { entries: all.entries + held.entries, bytes: all.bytes + held.bytes };
            kinds[kind.index()] = with(held, kinds[kind.index()]);
        }
        Bounds { kinds, all: with(all, self.most.all) }
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let [decided, published] = [&self.decided, &*self.published].map(Entries::version);
        let under_way = self.under_way.as_ref().map(|entries| entries.version());
        let is_next = under_way.is_none_or(|version| version == published + 1);
        let shown = || format!("{decided} decided, {under_way:?} under way, {published} published");
        holds!(2, is_next && decided == under_way.unwrap_or(published), "{}", shown());
        let most = self.held(Bound::max);
        holds!(5, most == self.most, "{most:?} of {:?}", self.most);
        for kind in Kind::ALL.into_iter().filter(|kind| self.decided.len(*kind) <= WALKED_MAX) {
            let bytes = self.decided.iter(kind).map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>() as u64;
            holds!(5, bytes == self.decided.bytes(kind), "{kind:?}: {bytes} bytes are not what is counted");
            if kind.is_numbered() {
                let given = check_numbers(&self.decided, kind);
                holds!(4, given.is_ok(), "{given:?}");
                let number = |entries: &Entries, name: &[u8]| entries.get(kind, name).and_then(entries::number_of);
                let mut before = self.published.iter(kind).map(|(name, _)| name);
                let other = before.find(|name| number(&self.published, name) != number(&self.decided, name));
                holds!(4, other.is_none(), "{kind:?}: {other:?} has another number");
            }
        }
        Ok(())
    }

    /// The entries that readers may use: the last ones that were published, and durable.
    pub const fn published(&self) -> &Arc<Entries> {
        &self.published
    }

    /// Whether nothing is gathered, being committed, or waiting to be published or answered.
    pub fn is_idle(&self) -> bool {
        self.gathered.is_empty() && self.under_way.is_none() && !self.is_untold && self.replies.is_empty()
    }

    /// Handles a request.
    pub fn handle(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Change { ticket, changes } => {
                let refused = self.change(changes).err();
                // The state that a request finds may come from a batch that is not durable yet, even if the request
                // changes nothing.
                let waits_for = self.decided.version() + u64::from(!self.gathered.is_empty());
                self.replies.push_back((ticket, waits_for, refused));
            }
        }
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
    }

    /// The next batch, if there are changes and no other batch is being committed.
    pub fn poll_commit(&mut self) -> Option<ControlBatch> {
        if self.under_way.is_some() || self.gathered.is_empty() {
            return None;
        }
        let version = self.next_version();
        self.decided.set_version(version);
        let gathered = std::mem::take(&mut self.gathered);
        gathered.keys().for_each(|(kind, _)| self.decided.set_changed(*kind, version));
        self.under_way = Some(Arc::new(self.decided.clone()));
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
        let changes = gathered.into_iter().map(|((kind, key), value)| (kind.code(), key, value)).collect();
        Some(ControlBatch { record: self.decided.record(), changes })
    }

    /// Reports that the batch of that version is durable.
    pub fn handle_committed(&mut self, version: u64) {
        let durable = self.under_way.take_if(|entries| entries.version() == version);
        debug_assert!(durable.is_some(), "version {version} is not under way");
        if let Some(entries) = durable {
            self.published = entries;
            self.is_untold = true;
        }
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
    }

    /// What may be done next; `None`: nothing for now.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if std::mem::take(&mut self.is_untold) {
            return Some(Effect::Publish(Arc::clone(&self.published)));
        }
        let durable = self.published.version();
        let (ticket, version, refused) = self.replies.pop_front_if(|(_, version, _)| *version <= durable)?;
        Some(Effect::Reply(ticket, refused.map_or(Ok(version), Err)))
    }

    const fn next_version(&self) -> u64 {
        self.decided.version() + 1
    }

    /// Makes all of the changes, or none.
    fn change(&mut self, changes: Vec<Change>) -> Result<(), Refused> {
        let mut undo = Vec::new();
        let done = changes.into_iter().try_for_each(|change| self.apply(change, &mut undo));
        if done.is_err() {
            for (address, entry, gathered) in undo.into_iter().rev() {
                self.decided.set(address.0, &address.1, entry);
                match gathered {
                    Some(value) => self.gathered.insert(address, value),
                    None => self.gathered.remove(&address),
                };
            }
        }
        done
    }

    fn apply(&mut self, change: Change, undo: &mut Vec<Undo>) -> Result<(), Refused> {
        let version = self.next_version();
        let (kind, key, entry) = match change {
            Change::Put { kind, .. } | Change::Remove { kind, .. } | Change::Replace { kind, .. }
                if kind.is_numbered() =>
            {
                return Err(Refused::Numbered(kind));
            }
            Change::Replace { kind, key, seen, .. }
                if self.decided.get(kind, &key).map_or(0, |entry| entry.version) != seen =>
            {
                return Err(Refused::Changed(kind));
            }
            Change::Replace { kind, key, value: Some(value), .. } => {
                (kind, key, Some(Entry { version, value: value.into() }))
            }
            Change::Replace { value: None, seen: 0, .. } => return Ok(()),
            Change::Replace { kind, key, value: None, .. } => (kind, key, None),
            Change::Put { kind, key, value } => (kind, key, Some(Entry { version, value: value.into() })),
            Change::Remove { kind, key } if self.decided.get(kind, &key).is_none() => return Ok(()),
            Change::Remove { kind, key } => (kind, key, None),
            Change::Number { kind, .. } if !kind.is_numbered() => return Err(Refused::NotNumbered(kind)),
            Change::Number { kind, name } if self.decided.get(kind, name.as_bytes()).is_some() => return Ok(()),
            Change::Number { kind, name } => {
                let full = Refused::KindEntries(kind, self.bounds.kinds[kind.index()].entries.min(kind::NUMBERS_MAX));
                let number = u16::try_from(self.decided.len(kind) + 1).map_err(|_| full)?;
                (kind, name.into_bytes(), Some(names::numbered(number, version)))
            }
        };
        if let Some(entry) = &entry {
            self.judge(kind, &key, entry)?;
        }
        let value = entry.as_ref().map(|entry| Arc::clone(&entry.value));
        let before = self.decided.set(kind, &key, entry);
        let address = (kind, key);
        let gathered = self.gathered.insert(address.clone(), value);
        undo.push((address, before, gathered));
        Ok(())
    }

    /// Whether there is room for the entry; it replaces the one under its key.
    fn judge(&self, kind: Kind, key: &[u8], entry: &Entry) -> Result<(), Refused> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Refused::Key(kind, key.len()));
        }
        if entry.value.len() > VALUE_BYTES_MAX {
            return Err(Refused::Value(kind, entry.value.len()));
        }
        let before = self.decided.get(kind, key);
        let more = u64::from(before.is_none());
        let bytes = |entry: &Entry| (key.len() + entry.value.len()) as u64;
        let (added, freed) = (bytes(entry), before.map_or(0, bytes));
        let Bounds { kinds, all } = &self.bounds;
        let of = |kind: Kind| (self.decided.len(kind) as u64, self.decided.bytes(kind));
        let sum = |(entries, bytes), kind| (entries + of(kind).0, bytes + of(kind).1);
        let (own, whole) = (of(kind), Kind::ALL.into_iter().fold((0, 0), sum));
        // A change that makes nothing larger is never refused, not even if the start found more than the bound allows.
        let over = |held: u64, added: u64, freed: u64, most: u64| added > freed && held + added - freed > most;
        let own_bound = kinds[kind.index()];
        if over(own.0, more, 0, own_bound.entries.into()) {
            return Err(Refused::KindEntries(kind, own_bound.entries));
        }
        if over(own.1, added, freed, own_bound.bytes) {
            return Err(Refused::KindBytes(kind, own_bound.bytes));
        }
        if over(whole.0, more, 0, all.entries.into()) {
            return Err(Refused::AllEntries(all.entries));
        }
        if over(whole.1, added, freed, all.bytes) {
            return Err(Refused::AllBytes(all.bytes));
        }
        Ok(())
    }
}

/// For undoing a change: the address, the entry that was there, and what had been gathered for it.
type Undo = (Address, Option<Entry>, Option<Option<Arc<[u8]>>>);

/// Checks that the numbers given so far run from 1 on without a gap.
fn check_numbers(entries: &Entries, kind: Kind) -> Result<(), Damage> {
    let mut holders: BTreeMap<u16, &[u8]> = BTreeMap::new();
    for (name, entry) in entries.iter(kind) {
        let shown = |name: &[u8]| String::from_utf8_lossy(name).escape_debug().to_string();
        let unreadable = || Damage(format!("{}: {} has no readable number", kind.plural(), shown(name)));
        let number = entries::number_of(entry).filter(|number| *number > 0).ok_or_else(unreadable)?;
        if let Some(other) = holders.insert(number, name) {
            let (one, two) = (shown(other), shown(name));
            return Err(Damage(format!("{}: {one} and {two} both have number {number}", kind.plural())));
        }
    }
    let last = holders.last_key_value().map_or(0, |(number, _)| usize::from(*number));
    if last != holders.len() {
        let what = format!("{}: of {last} numbers {} are missing", kind.plural(), last - holders.len());
        return Err(Damage(what));
    }
    Ok(())
}
