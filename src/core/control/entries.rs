//! The entries that control holds as of one version: immutable once they are published, and shared by reference.
//!
//! A reader that last acted on version v looks at [`Entries::changed`] of its kind. If that is not above v, nothing of
//! the kind has changed. If it is, the reader goes through [`Entries::iter`]: entries with a version above v are new or
//! have changed, and what the reader knows but does not find there was removed. So a removal leaves no trace except the
//! version of its kind.
//!
//! A copy shares every kind with its original until one of them changes that kind. The change then costs as much as the
//! kind is large: once per commit, and never on an executor.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::control::{ControlRecord, EntryRecord, entry_key};
use crate::store::key::Key;
use crate::store::record::{decode, encode};

use super::kind::Kind;

/// A value, and the version that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version that put it.
    pub version: u64,
    /// The bytes of the kind's record.
    pub value: Arc<[u8]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shelf {
    /// The version of the last change: something of the kind was put or removed.
    changed: u64,
    /// Bytes of keys and values.
    bytes: u64,
    entries: BTreeMap<Vec<u8>, Entry>,
}

/// All entries of control as of one version; see the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    version: u64,
    shelves: [Arc<Shelf>; Kind::COUNT],
}

impl Entries {
    /// The version: grows with every commit; 0 before the first one. A version is never used again for other content.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The version of the last change of the kind; 0: it never changed.
    pub fn changed(&self, kind: Kind) -> u64 {
        self.shelf(kind).changed
    }

    /// The entry under that key.
    pub fn get(&self, kind: Kind, key: &[u8]) -> Option<&Entry> {
        self.shelf(kind).entries.get(key)
    }

    /// The entries of a kind, ascending by key.
    pub fn iter(&self, kind: Kind) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.shelf(kind).entries.iter().map(|(key, entry)| (&**key, entry))
    }

    /// How many entries of the kind there are.
    pub fn len(&self, kind: Kind) -> usize {
        self.shelf(kind).entries.len()
    }

    /// Bytes of all keys and values of the kind.
    pub fn bytes(&self, kind: Kind) -> u64 {
        self.shelf(kind).bytes
    }

    /// All entries in the store's encoding, for a backup: ascending by key.
    pub fn stored(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            self.iter(kind).map(move |(key, entry)| {
                let record = EntryRecord { version: entry.version, value: entry.value.to_vec() };
                (entry_key(kind.code(), key), encode(&record))
            })
        })
    }

    /// The record in `meta` in the store's encoding: key and value.
    pub fn stored_version(&self) -> (Vec<u8>, Vec<u8>) {
        (Key::Control.bytes(), encode(&self.record()))
    }

    pub(super) fn record(&self) -> ControlRecord {
        let changed = Kind::ALL.map(|kind| (kind.code(), self.changed(kind)));
        ControlRecord { version: self.version, changed: changed.into_iter().filter(|(_, at)| *at > 0).collect() }
    }

    /// The number given to that name, from 1.
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

    /// Puts an entry, or removes it (`None`); gives the one that was there before.
    pub(super) fn set(&mut self, kind: Kind, key: &[u8], entry: Option<Entry>) -> Option<Entry> {
        let shelf = self.shelf_mut(kind);
        let bytes = |entry: &Entry| (key.len() + entry.value.len()) as u64;
        let added = entry.as_ref().map_or(0, bytes);
        let before = match entry {
            Some(entry) => shelf.entries.insert(key.to_vec(), entry),
            None => shelf.entries.remove(key),
        };
        shelf.bytes = shelf.bytes + added - before.as_ref().map_or(0, bytes);
        before
    }
}

/// The number in a name's entry; `None` if its value cannot be read as one.
pub(super) fn number_of(entry: &Entry) -> Option<u16> {
    decode::<crate::store::control::NumberRecord>(&entry.value).ok().map(|number| number.0)
}
