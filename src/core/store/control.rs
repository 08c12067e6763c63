//! The store of control: its records and keys, what a commit writes, what a start reads, what a restore changes.
//!
//! Knows: that an entry is stored under its kind and key, and that a commit has the version after the last one. Refuses
//! to know: which kinds there are and what their values mean (`control`), who asks for a change.
//!
//! A commit writes the entries that changed and always the [`ControlRecord`] with its version: the number of the commit
//! is the version, so neither is used for other content once it is durable. An entry that is removed is deleted; that
//! its kind has changed stays in the record.

use std::ops::ControlFlow;
use std::sync::Arc;

use bincode::{Decode, Encode};

use super::backend::{Op, Reader, Space, StoreError};
use super::backup::{Piece, Table};
use super::key::Key;
use super::record::{DecodeError, Record, decode, encode};
use super::restored::{self, Entry};

/// `entry`: a value, and the version at which it was put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct EntryRecord {
    /// The version that put it.
    pub version: u64,
    /// The bytes of the kind's own record, its version byte among them.
    pub value: Vec<u8>,
}

/// `meta` of control: version and changes. Overwritten by each commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ControlRecord {
    /// The version, which is the number of the commit.
    pub version: u64,
    /// For each kind that ever had an entry: the version that last put or removed one of its entries.
    pub changed: Vec<(u8, u64)>,
}

/// Value of a name's entry: its number, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NumberRecord(pub u16);

/// Value of the entry of the configuration that is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ConfigurationRecord {
    /// When it was read, ms since 1970.
    pub at: u64,
}

/// Value of the entry of a tenant's readers, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReadersRecord(pub Vec<ReaderRecord>);

/// A reader of records, as the entry of its tenant holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReaderRecord {
    /// Its name.
    pub name: String,
    /// By shard: the packed address up to which it has read everything (exclusive).
    pub positions: Vec<u64>,
    /// When it last confirmed that, ms since 1970.
    pub confirmed_at: u64,
}

impl Record for EntryRecord {}
impl Record for ControlRecord {}
impl Record for NumberRecord {}
impl Record for ConfigurationRecord {}
impl Record for ReadersRecord {}

/// Sorts after every key of an entry: kinds end at 254.
const BEHIND_ALL: [u8; 1] = [u8::MAX];

/// The key of an entry in its space: the kind's number, then the entry's own key, which is not empty.
pub fn entry_key(kind: u8, key: &[u8]) -> Vec<u8> {
    [&[kind][..], key].concat()
}

/// Reads such a key back: kind and own key.
pub fn parse_entry_key(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&kind, key) = bytes.split_first()?;
    (!key.is_empty()).then_some((kind, key))
}

/// One change of an entry: its kind, its own key, and the new value; `None` if the entry is removed.
pub type EntryChange = (u8, Vec<u8>, Option<Arc<[u8]>>);

/// The changes of one turn of control, durable together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlBatch {
    /// The version that the batch makes durable, and the changes by kind.
    pub record: ControlRecord,
    /// Ascending by kind and key.
    pub changes: Vec<EntryChange>,
}

impl ControlBatch {
    /// The changes, encoded.
    pub fn into_ops(self) -> Vec<Op> {
        let version = self.record.version;
        let op = |(kind, key, value): EntryChange| {
            let (space, key) = (Space::Entry, entry_key(kind, &key));
            match value {
                Some(value) => {
                    let record = EntryRecord { version, value: value.to_vec() };
                    Op::Put { space, key, value: encode(&record) }
                }
                None => Op::Delete { space, key },
            }
        };
        let mut ops: Vec<Op> = self.changes.into_iter().map(op).collect();
        let key = Key::Control;
        ops.push(Op::Put { space: key.space(), key: key.bytes(), value: encode(&self.record) });
        ops
    }
}

/// What a start finds in the store of control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundControl {
    /// The last durable version, and the changes by kind.
    pub record: ControlRecord,
    /// Every entry by kind and key, ascending.
    pub entries: Vec<(u8, Vec<u8>, EntryRecord)>,
}

/// Reads everything that the store of control holds.
///
/// # Errors
/// [`StoreError::Damaged`], naming the place: a record that cannot be read, a key that Stentor does not write, or an
/// entry that is newer than the version; and the reader's errors.
pub fn recover<R: Reader>(reader: &R) -> Result<FoundControl, StoreError> {
    let damaged = |what: String| StoreError::Damaged(format!("control: {what}"));
    let key = Key::Control;
    let record = reader.get(key.space(), &key.bytes())?.map(|bytes| decode(&bytes)).transpose();
    let record: ControlRecord = record.map_err(|error| damaged(format!("its version: {error}")))?.unwrap_or_default();
    let (mut entries, mut failure) = (Vec::new(), None);
    reader.range(Space::Entry, &[0], &BEHIND_ALL, usize::MAX, &mut |key, value| {
        match entry(key, value, record.version) {
            Ok(found) => entries.push(found),
            Err(what) => failure = Some(damaged(what)),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failure.map_or(Ok(FoundControl { record, entries }), Err)
}

fn entry(key: &[u8], value: &[u8], version: u64) -> Result<(u8, Vec<u8>, EntryRecord), String> {
    let (kind, own) = parse_entry_key(key).ok_or_else(|| format!("entry {key:02x?}: no key has this form"))?;
    let named = || format!("entry of kind {kind}, {}", String::from_utf8_lossy(own).escape_debug());
    let record: EntryRecord = decode(value).map_err(|error| format!("{}: {error}", named()))?;
    if record.version > version {
        return Err(format!("{}: it is of version {}, control of {version}", named(), record.version));
    }
    Ok((kind, own.to_vec(), record))
}

/// What a restore must know of control before it writes anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlSurvey {
    record: ControlRecord,
}

impl ControlSurvey {
    /// Reads entries of control's store.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that a start could not read.
    pub fn note(&mut self, piece: &Piece) -> Result<(), DecodeError> {
        for (key, value) in piece.entries() {
            match piece.table {
                Table::Space(Space::Entry) => {
                    let _: EntryRecord = decode(value)?;
                }
                Table::Space(Space::Meta) if key == Key::Control.bytes() => self.record = decode(value)?,
                Table::Space(_) | Table::Run(_) => {
                    return Err(DecodeError(format!("{:?} in control, which has none", piece.table)));
                }
            }
        }
        Ok(())
    }
}

/// How control is restored: its version jumps past every version that any process can have committed since the backup,
/// as segment numbers do ([`restored`]); and everything counts as changed at that version, so that a reader that
/// remembers a version from before the restore reads everything again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlan {
    record: ControlRecord,
}

impl ControlPlan {
    /// `mark` is the time in the manifest, `at` is now (ms).
    pub fn new(survey: &ControlSurvey, mark: u64, at: u64) -> Self {
        let version = restored::beyond(survey.record.version, mark, at);
        let changed = survey.record.changed.iter().map(|(kind, _)| (*kind, version)).collect();
        Self { record: ControlRecord { version, changed } }
    }

    /// The version of the restored control.
    pub const fn version(&self) -> u64 {
        self.record.version
    }

    /// An entry as it is to be written; `None`: leave it out, because [`Self::record`] replaces it.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that a start could not read.
    pub fn rewrite(&self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Entry>, DecodeError> {
        if table != Table::Space(Space::Entry) {
            return Ok(None);
        }
        let record: EntryRecord = decode(value)?;
        Ok(Some((key.to_vec(), encode(&EntryRecord { version: self.version(), ..record }))))
    }

    /// The record to be written into `meta`.
    pub fn record(&self) -> Entry {
        (Key::Control.bytes(), encode(&self.record))
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Backend;
    use crate::store::memory::{Drops, MemoryStore};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    fn batch(version: u64) -> ControlBatch {
        let record = ControlRecord { version, changed: vec![(1, version)] };
        ControlBatch { record, changes: vec![(1, b"r".to_vec(), Some(Arc::from(&[1, 7, 0][..])))] }
    }

    fn store(batches: Vec<ControlBatch>) -> MemoryStore {
        let mut store = MemoryStore::new(Drops::AtOnce);
        batches.into_iter().for_each(|batch| store.commit(batch.into_ops()).expect("committed"));
        store
    }

    #[test]
    fn golden_bytes_of_version_1() {
        assert_eq!(entry_key(3, b"n"), [3, b'n']);
        assert_eq!(parse_entry_key(&[3, b'n']), Some((3, &b"n"[..])));
        assert_eq!((parse_entry_key(&[3]), parse_entry_key(&[])), (None, None));
        let entry = EntryRecord { version: 2, value: vec![9, 8] };
        assert_eq!(hex(&encode(&entry)), "01020000000000000002000000000000000908");
        let record = ControlRecord { version: 5, changed: vec![(1, 4)] };
        assert_eq!(hex(&encode(&record)), "0105000000000000000100000000000000010400000000000000");
        assert_eq!(hex(&encode(&NumberRecord(0x0102))), "010201");
        assert_eq!(hex(&encode(&ConfigurationRecord { at: 3 })), "010300000000000000");
        let reader = ReaderRecord { name: "b".to_owned(), positions: vec![0x0102], confirmed_at: 3 };
        let readers = hex(&encode(&ReadersRecord(vec![reader])));
        let (name, position, at) = ("010000000000000062", "01000000000000000201000000000000", "0300000000000000");
        assert_eq!(readers, format!("010100000000000000{name}{position}{at}"));
    }

    #[test]
    fn a_start_finds_what_was_committed_and_nothing_that_was_removed() {
        let removal = ControlBatch {
            record: ControlRecord { version: 2, changed: vec![(1, 2)] },
            changes: vec![(1, b"r".to_vec(), None), (2, b"s".to_vec(), Some(Arc::from(&[1][..])))],
        };
        let found = recover(&store(vec![batch(1), removal.clone()]).reader()).expect("found");
        assert_eq!(found.record, removal.record);
        assert_eq!(found.entries, [(2, b"s".to_vec(), EntryRecord { version: 2, value: vec![1] })]);
        assert_eq!(recover(&store(Vec::new()).reader()), Ok(FoundControl::default()));
    }

    #[test]
    fn damage_is_named() {
        let said = |key: Vec<u8>, value: Vec<u8>, space| {
            let mut store = store(vec![batch(1)]);
            store.commit(vec![Op::Put { space, key, value }]).expect("committed");
            recover(&store.reader()).expect_err("damage").to_string()
        };
        let newer = encode(&EntryRecord { version: 2, value: Vec::new() });
        let told = said(entry_key(1, b"r"), newer, Space::Entry);
        assert!(told.contains("entry of kind 1, r: it is of version 2, control of 1"), "{told}");
        let told = said(entry_key(1, b"r"), vec![77], Space::Entry);
        assert!(told.contains("entry of kind 1, r: unreadable record: version 77"), "{told}");
        let told = said(Key::Control.bytes(), vec![], Space::Meta);
        assert!(told.contains("its version: unreadable record"), "{told}");
    }

    #[test]
    fn a_restored_control_is_newer_than_whatever_came_after_its_backup() {
        let record = ControlRecord { version: 9, changed: vec![(1, 3)] };
        let plan = ControlPlan::new(&ControlSurvey { record }, 1_000, 61_000);
        assert!(plan.version() > 9 + 60_000, "a commit a millisecond");
        let before = encode(&EntryRecord { version: 3, value: vec![5] });
        let entry = plan.rewrite(Table::Space(Space::Entry), b"k", &before).expect("read").expect("kept");
        assert_eq!(entry.0, b"k");
        assert_eq!(decode(&entry.1), Ok(EntryRecord { version: plan.version(), value: vec![5] }));
        let changed = vec![(1, plan.version())];
        assert_eq!(decode(&plan.record().1), Ok(ControlRecord { version: plan.version(), changed }));
    }
}
