//! What the driver reports beside the disk, in the file `marks` under the traced directory: what it is about to do,
//! what it may tell the world, and the digests by which a recovered store is judged. Each mark is one write, so it has
//! its place among the writes to the disk.
//!
//! Knows how marks are written and read. Refuses to know the disk, and what follows from a mark.

use data_encoding::HEXLOWER;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use stentor_core::store::backend::{Op, RunFamily, Space};

/// The file's name.
pub(super) const FILE: &str = "marks";

/// One entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub space: Space,
    pub key: Vec<u8>,
    /// Digest of the value; `None` for a deletion.
    pub value: Option<u64>,
}

/// One mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A directory is made, or an existing one is started, from here on.
    Starting { is_new: bool },
    /// The start is complete.
    Serving,
    /// This batch goes to the store.
    Batch { seq: u64, is_checkpoint: bool, is_registration: bool, changes: Vec<Change> },
    /// The batch is durable: clients may be told.
    Kept(u64),
    /// This run is written now.
    Run { number: u64, entries: Vec<(Vec<u8>, u64)> },
    /// The run is durable.
    RunKept(u64),
    /// This range is freed.
    Drop { space: Space, from: Vec<u8>, to: Vec<u8> },
    /// The journals are checked for rotation.
    Checkpoint,
}

/// The digest of a value.
pub(super) fn digest(value: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::with_seed(0).build_hasher();
    hasher.write(value);
    hasher.finish()
}

/// The change that an operation makes, for a mark.
pub(super) fn change(op: &Op) -> Change {
    match op {
        Op::Put { space, key, value } => Change { space: *space, key: key.clone(), value: Some(digest(value)) },
        Op::Delete { space, key } => Change { space: *space, key: key.clone(), value: None },
    }
}

/// The file that marks go to.
#[derive(Debug)]
pub(super) struct Marks(File);

impl Marks {
    /// Opens the file in the traced directory.
    pub(super) fn open(root: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().create(true).append(true).open(root.join(FILE));
        file.map(Self).map_err(|error| format!("marks: {error}"))
    }

    /// Writes a mark.
    pub(super) fn set(&mut self, mark: &Mark) -> Result<(), String> {
        self.0.write_all(encode(mark).as_bytes()).map_err(|error| format!("marks: {error}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn encode(mark: &Mark) -> String {
    match mark {
        Mark::Starting { is_new } => format!("starting {is_new}\n"),
        Mark::Serving => "serving\n".to_owned(),
        Mark::Batch { seq, is_checkpoint, is_registration, changes } => {
            let mut text = format!("batch {seq} {is_checkpoint} {is_registration}\n");
            for Change { space, key, value } in changes {
                let value = value.map_or("-".to_owned(), |value| value.to_string());
                let _ = writeln!(text, "+ {} {} {value}", space.name(), hex(key));
            }
            text
        }
        Mark::Kept(seq) => format!("kept {seq}\n"),
        Mark::Run { number, entries } => {
            let mut text = format!("run {number}\n");
            for (key, value) in entries {
                let _ = writeln!(text, "+ {} {value}", hex(key));
            }
            text
        }
        Mark::RunKept(number) => format!("runkept {number}\n"),
        Mark::Drop { space, from, to } => format!("drop {} {} {}\n", space.name(), hex(from), hex(to)),
        Mark::Checkpoint => "checkpoint\n".to_owned(),
    }
}

/// Reads one mark back.
pub(super) fn decode(text: &str) -> Result<Mark, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let words: Vec<&str> = first.split(' ').collect();
    let mark = match words[..] {
        ["starting", is_new] => Some(Mark::Starting { is_new: is_new == "true" }),
        ["serving"] => Some(Mark::Serving),
        ["batch", seq, is_checkpoint, is_registration] => seq.parse().ok().and_then(|seq| {
            let changes: Option<Vec<Change>> = lines.map(decode_change).collect();
            let (is_checkpoint, is_registration) = (is_checkpoint == "true", is_registration == "true");
            Some(Mark::Batch { seq, is_checkpoint, is_registration, changes: changes? })
        }),
        ["kept", seq] => seq.parse().ok().map(Mark::Kept),
        ["run", number] => number.parse().ok().and_then(|number| {
            let entries: Option<Vec<(Vec<u8>, u64)>> = lines.map(decode_entry).collect();
            Some(Mark::Run { number, entries: entries? })
        }),
        ["runkept", number] => number.parse().ok().map(Mark::RunKept),
        ["drop", space, from, to] => {
            let bounds = space_named(space).zip(unhex(from)).zip(unhex(to));
            bounds.map(|((space, from), to)| Mark::Drop { space, from, to })
        }
        ["checkpoint"] => Some(Mark::Checkpoint),
        _ => None,
    };
    mark.ok_or_else(|| format!("no mark: {first}"))
}

fn decode_change(line: &str) -> Option<Change> {
    let words: Vec<&str> = line.strip_prefix("+ ")?.split(' ').collect();
    let [space, key, value] = words[..] else { return None };
    let value = if value == "-" { None } else { Some(value.parse().ok()?) };
    Some(Change { space: space_named(space)?, key: unhex(key)?, value })
}

fn decode_entry(line: &str) -> Option<(Vec<u8>, u64)> {
    let (key, value) = line.strip_prefix("+ ")?.split_once(' ')?;
    Some((unhex(key)?, value.parse().ok()?))
}

fn space_named(name: &str) -> Option<Space> {
    Space::ALL.into_iter().find(|space| space.name() == name)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

/// The only family of runs that is written today.
pub(super) const FAMILY: RunFamily = RunFamily::Receipt;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let change = |value| Change { space: Space::Meta, key: vec![1, 0xff], value };
        for mark in [
            Mark::Starting { is_new: true },
            Mark::Serving,
            Mark::Batch {
                seq: 7,
                is_checkpoint: true,
                is_registration: false,
                changes: vec![change(Some(3)), change(None)],
            },
            Mark::Kept(7),
            Mark::Run { number: 2, entries: vec![(vec![9], 4)] },
            Mark::RunKept(2),
            Mark::Drop { space: Space::Event, from: vec![0], to: vec![0, 1] },
            Mark::Checkpoint,
        ] {
            assert_eq!(decode(&encode(&mark)), Ok(mark));
        }
        assert!(decode("nonsense").is_err());
    }
}
