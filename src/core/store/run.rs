//! Sorted immutable runs: their names on disk, and the protocol that decides which of them exist.
//!
//! Knows: the name of a run's key space, the key of its registration in [`Space::Meta`], and what a start must do with
//! the runs that it finds.
//! Refuses to know: what a run holds, how it is written and looked up (`fjall`, `memory`), when runs are merged.
//!
//! A run is written outside the journal, so a crash may leave half of one. Therefore **only a registered run exists**:
//! 1. write: the maintainer ingests `run-<family>-<number>` and returns when it is durable;
//! 2. register: the next batch holds [`register`], together with the changes for what the run replaces (cursor, older
//!    runs);
//! 3. drop: only after that commit the write-ahead records that the run was made from are dropped;
//! 4. delete: a batch holds [`deregister`] first, then the run is deleted.
//!
//! A crash after 1 leaves a run without registration: [`reconcile`] has it deleted, and the epoch is sealed again from
//! its write-ahead records. A crash after the batch of 4 leaves the same. A registration without a run cannot come from
//! a crash: it is damage. Numbers are never reused within a family, so a run that is being deleted is never mistaken
//! for a new one.

use std::fmt;

use super::backend::{self, Op, RunFamily, RunId, RunSink, Space, StoreError};

/// Keys in [`Space::Meta`] that start with these bytes belong to this module.
pub const META_PREFIX: &[u8; 4] = b"run\0";

const NAME_PREFIX: &str = "run-";
const REGISTRATION_KEY_BYTES: usize = META_PREFIX.len() + 1 + 8;

/// The change that makes a written run survive a restart. `note` is the caller's own record about the run.
pub fn register(run: RunId, note: Vec<u8>) -> Op {
    Op::Put { space: Space::Meta, key: registration_key(run), value: note }
}

/// The change that must be committed before a run is deleted.
pub fn deregister(run: RunId) -> Op {
    Op::Delete { space: Space::Meta, key: registration_key(run) }
}

/// The key of a run's registration: prefix, family (one byte), number (big endian).
pub fn registration_key((family, number): RunId) -> Vec<u8> {
    let mut key = Vec::with_capacity(REGISTRATION_KEY_BYTES);
    key.extend_from_slice(META_PREFIX);
    key.push(family as u8);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Reads a registration key back; `None` for any other key.
pub fn parse_registration_key(key: &[u8]) -> Option<RunId> {
    let (&code, number) = key.strip_prefix(META_PREFIX)?.split_first()?;
    let family = RunFamily::ALL.into_iter().find(|family| *family as u8 == code)?;
    Some((family, u64::from_be_bytes(number.try_into().ok()?)))
}

/// The bounds of the keys of all registrations, first inclusive and last exclusive.
pub fn registration_bounds() -> (Vec<u8>, Vec<u8>) {
    let mut end = META_PREFIX.to_vec();
    end.push(u8::MAX);
    (META_PREFIX.to_vec(), end)
}

/// The name of a run's key space.
pub fn name((family, number): RunId) -> String {
    format!("{NAME_PREFIX}{}-{number:016x}", family.name())
}

/// Reads such a name back; `None` for any other name.
pub fn parse_name(name: &str) -> Option<RunId> {
    let (family, number) = name.strip_prefix(NAME_PREFIX)?.rsplit_once('-')?;
    let family = RunFamily::ALL.into_iter().find(|known| known.name() == family)?;
    let canonical = number.len() == 16 && number.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| u64::from_str_radix(number, 16).ok())?.map(|number| (family, number))
}

/// What a start must do with the runs that it finds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reconciled {
    /// Registered and present, ascending: these are looked up.
    pub keep: Vec<RunId>,
    /// Present without registration, ascending: these must be deleted.
    pub delete: Vec<RunId>,
}

/// Compares the runs on disk with the registrations.
///
/// # Errors
/// [`StoreError::Damaged`] if a registered run is not there.
pub fn reconcile(mut present: Vec<RunId>, mut registered: Vec<RunId>) -> Result<Reconciled, StoreError> {
    present.sort_unstable();
    registered.sort_unstable();
    if let Some(lost) = registered.iter().find(|run| present.binary_search(run).is_err()) {
        return Err(StoreError::Damaged(format!("{} is registered but not there", name(*lost))));
    }
    let (keep, delete) = present.into_iter().partition(|run| registered.binary_search(run).is_ok());
    Ok(Reconciled { keep, delete })
}

/// Writes one entry of a run: key, value.
pub type WriteEntry<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// A sink before the one that writes a run: it lets only valid keys in ascending order pass.
pub struct Ordered<'a> {
    write: WriteEntry<'a>,
    last: Vec<u8>,
}

impl<'a> Ordered<'a> {
    pub fn new(write: WriteEntry<'a>) -> Ordered<'a> {
        Ordered { write, last: Vec::new() }
    }
}

impl fmt::Debug for Ordered<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ordered").field("last", &self.last).finish_non_exhaustive()
    }
}

impl RunSink for Ordered<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        backend::check_key(key)?;
        if key <= self.last.as_slice() {
            return Err(StoreError::Misuse("the entries of a run are not in ascending order".to_owned()));
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        (self.write)(key, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_read_back() {
        for family in RunFamily::ALL {
            for number in [0, 1, 0xdead_beef, u64::MAX] {
                let run = (family, number);
                assert_eq!(parse_name(&name(run)), Some(run));
                assert_eq!(parse_registration_key(&registration_key(run)), Some(run));
                let (from, to) = registration_bounds();
                assert!(from <= registration_key(run) && registration_key(run) < to);
            }
        }
        assert_eq!(name((RunFamily::Receipt, 42)), "run-win-000000000000002a");
    }

    #[test]
    fn foreign_names_and_keys_are_not_runs() {
        for foreign in
            ["", "run-", "seg", "run-win-2a", "run-win-+00000000000002a", "run-nix-0000000000000000", "run-win"]
        {
            assert_eq!(parse_name(foreign), None, "{foreign:?}");
        }
        for foreign in [&b""[..], b"run", b"run\0", b"run\0\x09\0\0\0\0\0\0\0\0", b"run\0\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(parse_registration_key(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn the_registration_is_the_truth() {
        let (a, b, c) = ((RunFamily::Receipt, 1), (RunFamily::Receipt, 2), (RunFamily::Dedup, 1));
        let found = reconcile(vec![c, b, a], vec![c, a]);
        assert_eq!(found, Ok(Reconciled { keep: vec![a, c], delete: vec![b] }));
        assert!(matches!(reconcile(vec![a], vec![a, b]), Err(StoreError::Damaged(_))));
    }
}
