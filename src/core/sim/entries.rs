//! What must be true of control's entries, judged from outside: what was answered is stored, what was refused is not, a
//! number belongs to one name for ever, and the version only grows, over crashes and restores. Knows nothing of how
//! control works.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Change, Entries, Kind};

type Key = (Kind, Vec<u8>);

/// A requested value that may be in force; `None` in it: the entry was removed.
#[derive(Clone, Debug)]
struct Wish {
    ticket: u64,
    value: Option<Vec<u8>>,
}

/// What was seen of control since the world began.
#[derive(Clone, Debug, Default)]
pub struct EntriesSeen {
    tickets: u64,
    /// The greatest version that was ever published.
    version: u64,
    /// Every name that was ever published.
    numbers: BTreeMap<Key, u16>,
    /// By key, in the order of requests: the requested values that were not refused.
    wishes: BTreeMap<Key, Vec<Wish>>,
    /// By key: the newest request that was answered.
    answered: BTreeMap<Key, u64>,
    /// By ticket: requests without an answer.
    open: BTreeMap<u64, Vec<Change>>,
}

impl EntriesSeen {
    /// The greatest version that was ever published.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The operator requests these changes; gives the ticket.
    pub fn asked(&mut self, changes: &[Change]) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        for change in changes {
            let (key, value) = match change {
                Change::Put { kind, key, value } => ((*kind, key.clone()), Some(value.clone())),
                Change::Replace { kind, key, value, .. } => ((*kind, key.clone()), value.clone()),
                Change::Remove { kind, key } => ((*kind, key.clone()), None),
                Change::Number { .. } => continue,
            };
            self.wishes.entry(key).or_default().push(Wish { ticket, value });
        }
        self.open.insert(ticket, changes.to_vec());
        ticket
    }

    /// Every node uses these entries from now on.
    ///
    /// # Errors
    /// What is impossible about them.
    pub fn published(&mut self, entries: &Entries) -> Result<(), String> {
        if entries.version() <= self.version {
            return Err(format!("version {} was published after {}", entries.version(), self.version));
        }
        self.found(entries)
    }

    /// A start has recovered these entries.
    ///
    /// # Errors
    /// What is impossible about them.
    pub fn found(&mut self, entries: &Entries) -> Result<(), String> {
        if entries.version() < self.version {
            return Err(format!("version {} was published, and now it is {}", self.version, entries.version()));
        }
        self.version = entries.version();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_numbered()) {
            self.judge_numbers(entries, kind)?;
        }
        self.wishes.iter().try_for_each(|(key, wishes)| self.judge_value(entries, key, wishes))
    }

    fn judge_numbers(&mut self, entries: &Entries, kind: Kind) -> Result<(), String> {
        let mut given = BTreeSet::new();
        for (name, _) in entries.iter(kind) {
            let shown = String::from_utf8_lossy(name).into_owned();
            let number = number(entries, kind, &shown).ok_or_else(|| format!("{kind:?} {shown} has no number"))?;
            if !given.insert(number) {
                return Err(format!("{kind:?}: number {number} was given twice, the second time to {shown}"));
            }
            let known = *self.numbers.entry((kind, name.to_vec())).or_insert(number);
            if known != number {
                return Err(format!("{kind:?} {shown} had number {known}, and has {number}"));
            }
        }
        let lost = self.numbers.keys().find(|(of, name)| *of == kind && entries.get(kind, name).is_none());
        lost.map_or(Ok(()), |(_, name)| Err(format!("{kind:?} {} has lost its number", String::from_utf8_lossy(name))))
    }

    fn judge_value(&self, entries: &Entries, key: &Key, wishes: &[Wish]) -> Result<(), String> {
        let value = entries.get(key.0, &key.1).map(|entry| entry.value.to_vec());
        let since = self.answered.get(key).copied().unwrap_or_default();
        let was_wished = wishes.iter().any(|wish| wish.ticket >= since && wish.value == value);
        if was_wished || value.is_none() && since == 0 {
            return Ok(());
        }
        Err(format!("{key:?} is {value:?}; request {since} was answered, and these were made: {wishes:?}"))
    }

    /// A request was answered; `entries` are those that were published then.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub fn answered(&mut self, ticket: u64, is_done: bool, entries: &Entries) -> Result<(), String> {
        let changes =
            self.open.remove(&ticket).ok_or_else(|| format!("request {ticket} is answered, and was not open"))?;
        if let Some((earlier, _)) = self.open.first_key_value().filter(|(earlier, _)| **earlier < ticket) {
            return Err(format!("request {ticket} was answered before {earlier}"));
        }
        if !is_done {
            self.wishes.values_mut().for_each(|wishes| wishes.retain(|wish| wish.ticket != ticket));
            return self.wishes.iter().try_for_each(|(key, wishes)| self.judge_value(entries, key, wishes));
        }
        for change in changes {
            match change {
                Change::Put { kind, key, .. } | Change::Remove { kind, key } | Change::Replace { kind, key, .. } => {
                    self.answered.insert((kind, key), ticket);
                }
                Change::Number { kind, name } if number(entries, kind, &name).is_none() => {
                    return Err(format!("request {ticket} was answered, and {kind:?} {name} has no number"));
                }
                Change::Number { .. } => {}
            }
        }
        self.wishes.iter().try_for_each(|(key, wishes)| self.judge_value(entries, key, wishes))
    }

    /// The process has died: open requests are never answered.
    pub fn forget_open(&mut self) {
        self.open.clear();
    }

    /// A backup of that time replaces all entries. Versions and tickets continue.
    pub fn restored(&mut self, then: &Self) {
        let (version, tickets) = (self.version, self.tickets);
        *self = Self { version, tickets, open: BTreeMap::new(), ..then.clone() };
    }
}

fn number(entries: &Entries, kind: Kind, name: &str) -> Option<u16> {
    match kind {
        Kind::Route => entries.route(name),
        Kind::Carrier => entries.carrier(name),
        Kind::Group => entries.group(name),
        Kind::Tenant => entries.tenant(name).and_then(|number| u16::try_from(number).ok()),
        Kind::Limit => entries.limit(name),
        Kind::Configuration | Kind::Readers => None,
    }
}
