//! Reads everything that a store holds and reports what is not as it was written. A start reads only what it needs;
//! other data in tables is read only when a client asks for it.
//!
//! Knows: that every table has a checksum over all of its bytes, and that every record of Stentor has a form. Refuses
//! to know: how damaged data is replaced.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use fjall::AbstractTree;
use xxhash_rust::xxh3::Xxh3;

use super::fjall::FjallStore;
use stentor_core::store::backend::{Backend, Reader, Space, StoreError};
use stentor_core::store::book::PageRecord;
use stentor_core::store::control::{ControlRecord, EntryRecord};
use stentor_core::store::key::Key;
use stentor_core::store::record::{
    CheckpointRecord, DecodeError, DueRecord, HandsetRecord, InboundRecord, JoiningRecord, KeysRecord, ListRecord,
    NoticeRecord, ReadyRecord, ReceiptsRecord, RestoredRecord, StateRecord, TurnRecord, WaitingRecord, decode,
};
use stentor_core::store::{run, segment};

const READ_BYTES: usize = 1 << 20;

/// The result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Table files that were read.
    pub tables: u64,
    /// Entries that were read.
    pub entries: u64,
    /// One line for each damage found.
    pub damage: Vec<String>,
}

/// Reads every table and every record of an open store.
///
/// # Errors
/// [`StoreError::Failed`] if a file cannot be opened. Damage is not an error: it is in the result.
pub fn verify(store: &FjallStore) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    for (name, space) in store.key_spaces() {
        for table in space.tree.current_version().iter_tables() {
            verified.tables += 1;
            let path = space.path().join("tables").join(table.id().to_string());
            match checksum(&path) {
                Ok(sum) if sum == table.checksum().into_u128() => {}
                Ok(_) => verified.damage.push(format!("{name}: the checksum of {} does not match", path.display())),
                Err(error) => verified.damage.push(format!("{name}: {} cannot be read: {error}", path.display())),
            }
        }
    }
    for space in Space::ALL {
        records(store, space, &mut verified);
    }
    Ok(verified)
}

fn checksum(path: &Path) -> io::Result<u128> {
    let (mut file, mut chunk, mut hasher) = (File::open(path)?, vec![0; READ_BYTES], Xxh3::new());
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(hasher.digest128());
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
    }
}

fn records(store: &FjallStore, space: Space, verified: &mut Verified) {
    let Verified { entries, damage, .. } = verified;
    let found = store.reader().range(space, &[0], &[u8::MAX; 32], usize::MAX, &mut |key, value| {
        *entries += 1;
        if let Err(why) = record(space, key, value) {
            damage.push(format!("{} {}: {why}", space.name(), shown(key)));
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = found {
        damage.push(format!("{}: {error}", space.name()));
    }
}

/// The key as a number if it is one, otherwise its bytes.
fn shown(key: &[u8]) -> String {
    match (key.len(), Key::number(key)) {
        (8, Some(number)) => number.to_string(),
        _ => format!("{key:02x?}"),
    }
}

fn record(space: Space, key: &[u8], value: &[u8]) -> Result<(), String> {
    let told = |error: DecodeError| error.to_string();
    match space {
        Space::Segment => {
            let segment = segment::decode(value).map_err(told)?;
            let is_named = Key::number(key) == Some(segment.number);
            is_named.then_some(()).ok_or_else(|| format!("it carries number {}", segment.number))
        }
        Space::Ready => decode::<ReadyRecord>(value).map(drop).map_err(told),
        Space::Event => decode::<TurnRecord>(value).map(drop).map_err(told),
        Space::State => decode::<StateRecord>(value).map(drop).map_err(told),
        Space::Due => decode::<DueRecord>(value).map(drop).map_err(told),
        Space::Receipt => decode::<ReceiptsRecord>(value).map(drop).map_err(told),
        Space::Dedup => decode::<KeysRecord>(value).map(drop).map_err(told),
        Space::Orphan => decode::<InboundRecord>(value).map(drop).map_err(told),
        Space::Outbox => decode::<NoticeRecord>(value).map(drop).map_err(told),
        Space::Handset => decode::<HandsetRecord>(value).map(drop).map_err(told),
        Space::Joining => decode::<JoiningRecord>(value).map(drop).map_err(told),
        Space::Book => decode::<PageRecord>(value).map(drop).map_err(told),
        Space::Entry => decode::<EntryRecord>(value).map(drop).map_err(told),
        Space::Meta if *key == Key::Checkpoint.bytes() => decode::<CheckpointRecord>(value).map(drop).map_err(told),
        Space::Meta if *key == Key::Control.bytes() => decode::<ControlRecord>(value).map(drop).map_err(told),
        Space::Meta if *key == Key::Restored.bytes() => decode::<RestoredRecord>(value).map(drop).map_err(told),
        Space::Meta if *key == Key::Waiting.bytes() => decode::<WaitingRecord>(value).map(drop).map_err(told),
        Space::Meta if Key::list(key).is_some() => decode::<ListRecord>(value).map(drop).map_err(told),
        Space::Meta if run::parse_registration_key(key).is_some() => Ok(()),
        Space::Meta => Err("a key that Stentor does not write".to_owned()),
        // Stentor does not use these spaces yet.
        Space::DeadLetter | Space::Moved => Ok(()),
    }
}
