//! `stentor check --data DIR`: starts every store as a daemon would, then reads everything in it, also what a start does not
//! read. Knows how damage is shown; `store` knows what damage is.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::exit::{Ended, Exit, Failure};
use crate::disk::directory::DataDirectory;
use crate::disk::fjall::{FjallOptions, FjallStore};
use crate::disk::fjall_start;
use crate::disk::fjall_verify::{self, Verified};
use stentor_core::control::{Bounds, Control, Damage};
use stentor_core::store::StoreError;

/// The result for one store.
struct Read {
    name: String,
    commit: u64,
    verified: Verified,
}

/// Shows what every store holds and what of it is damaged; exit code 74 if anything is.
pub(super) fn run(data: &Path, is_json: bool, out: &mut dyn Write) -> Ended {
    let directory = DataDirectory::open_existing(data).map_err(|refusal| Failure::of_place(&refusal))?;
    let shards = (0..directory.format().shards).map(|shard| directory.shard(shard));
    let shards = shards.map(|store| read(&store, start_shard));
    let read: Vec<Read> = shards.chain([read(&directory.control(), start_control)]).collect();
    let ok = read.iter().all(|read| read.verified.damage.is_empty());
    if is_json {
        let stores: Vec<_> = read.iter().map(document).collect();
        writeln!(out, "{}", json!({"data": data, "ok": ok, "stores": stores}))?;
    } else {
        read.iter().try_for_each(|read| tell(read, out))?;
    }
    Ok(if ok { Exit::DONE } else { Exit::IO })
}

/// An opened store, and its last commit.
type Opened = Result<(FjallStore, u64), StoreError>;

fn start_shard(store: &Path, options: FjallOptions) -> Opened {
    let started = fjall_start::start(store, options)?;
    Ok((started.store, started.found.last.0))
}

fn start_control(store: &Path, options: FjallOptions) -> Opened {
    let started = fjall_start::start_control(store, options)?;
    let damaged = |damage: Damage| StoreError::Damaged(damage.to_string());
    let control = Control::recover(started.found, Bounds::default()).map_err(damaged)?;
    Ok((started.store, control.published().version()))
}

fn read(store: &Path, start: impl FnOnce(&Path, FjallOptions) -> Opened) -> Read {
    let name = store.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let started = start(store, FjallOptions::shared_by(1));
    let read = started.and_then(|(store, commit)| Ok((commit, fjall_verify::verify(&store)?)));
    let (commit, verified) = read.unwrap_or_else(|error| (0, refused(&error)));
    Read { name, commit, verified }
}

fn refused(error: &StoreError) -> Verified {
    Verified { damage: vec![error.to_string()], ..Verified::default() }
}

fn tell(Read { name, commit, verified }: &Read, out: &mut dyn Write) -> std::io::Result<()> {
    let Verified { tables, entries, damage } = verified;
    let judged = if damage.is_empty() { "ok" } else { "DAMAGED" };
    writeln!(out, "{name}: {judged}; last commit {commit}, {entries} entries, {tables} tables")?;
    damage.iter().try_for_each(|what| writeln!(out, "  {what}"))
}

fn document(Read { name, commit, verified }: &Read) -> serde_json::Value {
    let Verified { tables, entries, damage } = verified;
    json!({"store": name, "commit": commit, "tables": tables, "entries": entries, "damage": damage})
}
