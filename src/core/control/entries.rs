//! What control holds as of one version: immutable once it is published, and shared by reference.
//!
//! A reader that acted on version v looks at [`Entries::changed`] of its kind. If that is not beyond v, nothing of the kind has
//! changed. If it is, the reader goes through [`Entries::iter`]: entries of versions beyond v are new or have changed, and what
//! it knows and does not meet was removed. So a removal leaves nothing behind but the version of its kind.
//!
//! A copy shares every kind with its original until one of them changes that kind, which then costs as much as the kind is
//! large: once a commit, and never on an executor.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::control::{ControlRecord, EntryRecord, entry_key};
use crate::store::key::Key;
use crate::store::record::{decode, encode};

use super::kind::Kind;

/// A value, and since when it is that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version at which it was put.
    pub version: u64,
    /// The bytes of the kind's record.
    pub value: Arc<[u8]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shelf {
    /// The version at which something was put or removed last.
    changed: u64,
    /// Bytes of keys and values.
    octets: u64,
    entries: BTreeMap<Vec<u8>, Entry>,
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    version: u64,
    shelves: [Arc<Shelf>; Kind::COUNT],
}

impl Entries {
    /// Grows with every commit; 0 before the first one. It is never used again for something else.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The version at which something of the kind was put or removed last; 0 for never.
    pub fn changed(&self, kind: Kind) -> u64 {
        self.shelf(kind).changed
    }

    /// The entry of that key.
    pub fn get(&self, kind: Kind, key: &[u8]) -> Option<&Entry> {
        self.shelf(kind).entries.get(key)
    }

    /// The entries of a kind by key, ascending.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.shelf(kind).entries.iter().map(|(key, entry)| (&**key, entry))
    }

    /// How many entries of the kind there are.
    pub fn len(&self, kind: Kind) -> usize {
        self.shelf(kind).entries.len()
    }

    /// Bytes of all keys and values of the kind.
    pub fn octets(&self, kind: Kind) -> u64 {
        self.shelf(kind).octets
    }

    /// Everything as the store keeps it, for a backup: entries by key, ascending.
    pub fn stored(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            self.iter(kind).map(move |(key, entry)| {
                let record = EntryRecord { version: entry.version, value: entry.value.to_vec() };
                (entry_key(kind.code(), key), encode(&record))
            })
        })
    }

    /// Likewise what stands in `meta`: key and value.
    pub fn stored_version(&self) -> (Vec<u8>, Vec<u8>) {
        (Key::Control.bytes(), encode(&self.record()))
    }

    pub(super) fn record(&self) -> ControlRecord {
        let changed = Kind::ALL.map(|kind| (kind.code(), self.changed(kind)));
        ControlRecord { version: self.version, changed: changed.into_iter().filter(|(_, at)| *at > 0).collect() }
    }

    /// The number of that name, from 1.
    pub(super) fn number(&self, kind: Kind, name: &str) -> Option<u16> {
        number_of(self.get(kind, name.as_bytes())?)
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        &self.shelves[kind.index()]
    }

    fn shelf_mut(&mut self, kind: Kind) -> &mut Shelf {
        Arc::make_mut(&mut self.shelves[kind.index()])
    }

    pub(super) const fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    pub(super) fn set_changed(&mut self, kind: Kind, version: u64) {
        self.shelf_mut(kind).changed = version;
    }

    /// Puts an entry, or takes it away; gives the one that was there.
    pub(super) fn set(&mut self, kind: Kind, key: &[u8], entry: Option<Entry>) -> Option<Entry> {
        let shelf = self.shelf_mut(kind);
        let octets = |entry: &Entry| (key.len() + entry.value.len()) as u64;
        let added = entry.as_ref().map_or(0, octets);
        let before = match entry {
            Some(entry) => shelf.entries.insert(key.to_vec(), entry),
            None => shelf.entries.remove(key),
        };
        shelf.octets = shelf.octets + added - before.as_ref().map_or(0, octets);
        before
    }
}

/// The number in a name's entry; none if its value is no number.
pub(super) fn number_of(entry: &Entry) -> Option<u16> {
    decode::<crate::store::control::NumberRecord>(&entry.value).ok().map(|number| number.0)
}
