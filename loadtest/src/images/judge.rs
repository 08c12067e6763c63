//! What a store must hold after a crash, and whether the shipped recovery finds it.
//!
//! Knows the driver's marks up to the crash. A batch that was kept is there completely; the batch under way is there
//! completely or not at all; nothing else is there; data that was freed may be there or not; a registered run contains
//! what was written into it; and no crash is mistaken for damage. Refuses to know what the records mean.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use stentor::disk::directory::DataDirectory;
use stentor::disk::fjall::FjallStore;
use stentor::disk::fjall_mutants::Mutant;
use stentor::disk::fjall_start::{self, Started};
use stentor_core::link::BindId;
use stentor_core::model::{ReplyTo, ShardId};
use stentor_core::node::{Alarm, Errand, Host, NodeEvent, Wanted};
use stentor_core::shard::Reply;
use stentor_core::store::backend::{Backend, Op, Reader, Space};
use stentor_core::store::{CommitSeq, WriteBatch, run};

use super::drive;
use super::marks::{self, FAMILY, Mark};
use super::trace::{Change, Trace};

/// A start that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Digests by space and key.
pub(super) type Entries = BTreeMap<(Space, Vec<u8>), u64>;

/// The driver's marks up to a point. Only moves forward along the trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    at: usize,
    entries: Entries,
    runs: BTreeMap<u64, Vec<(Vec<u8>, u64)>>,
    /// By space and first key: up to which key it was freed.
    freed: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    kept: u64,
    under_way: Option<(u64, Vec<marks::Change>)>,
}

impl Expected {
    /// Takes in all marks before change number `to`.
    pub(super) fn forward(&mut self, trace: &Trace, to: usize) {
        for change in &trace.changes[self.at..to.max(self.at)] {
            if let Change::Marked(mark) = change {
                self.take(mark);
            }
        }
        self.at = self.at.max(to);
    }

    fn take(&mut self, mark: &Mark) {
        match mark {
            Mark::Batch { seq, changes, .. } => self.under_way = Some((*seq, changes.clone())),
            Mark::Kept(seq) => {
                if let Some((_, changes)) = self.under_way.take() {
                    apply(&mut self.entries, &changes);
                }
                self.kept = *seq;
            }
            Mark::Run { number, entries } => drop(self.runs.insert(*number, entries.clone())),
            Mark::Drop { space, from, to } => drop(self.freed.insert((*space, from.clone()), to.clone())),
            Mark::Starting { .. } | Mark::Serving | Mark::RunKept(_) | Mark::Checkpoint => {}
        }
    }

    fn is_freed(&self, space: Space, key: &[u8]) -> bool {
        let mut freed = self.freed.range((space, Vec::new())..=(space, key.to_vec()));
        freed.any(|(_, to)| key < to.as_slice())
    }

    fn compare(&self, store: &FjallStore, last: CommitSeq) -> Result<(), String> {
        let mut wanted = &self.entries;
        let with_last;
        match &self.under_way {
            Some((seq, changes)) if last.0 == *seq => {
                let mut entries = self.entries.clone();
                apply(&mut entries, changes);
                with_last = entries;
                wanted = &with_last;
            }
            _ if last.0 == self.kept => {}
            _ => return Err(format!("the log ends at commit {}, but {} was kept", last.0, self.kept)),
        }
        let found = everything(store)?;
        for ((space, key), value) in wanted {
            if found.get(&(*space, key.clone())) != Some(value) && !self.is_freed(*space, key) {
                let what = if found.contains_key(&(*space, key.clone())) { "is another" } else { "is missing" };
                return Err(format!("{} {key:02x?} {what} after commit {}", space.name(), last.0));
            }
        }
        for (space, key) in found.keys() {
            if !wanted.contains_key(&(*space, key.clone())) && !self.is_freed(*space, key) {
                return Err(format!("{} {key:02x?} should not be there after commit {}", space.name(), last.0));
            }
        }
        self.compare_runs(store, wanted)
    }

    fn compare_runs(&self, store: &FjallStore, wanted: &Entries) -> Result<(), String> {
        let registered: Vec<u64> = wanted
            .keys()
            .filter_map(|(space, key)| (*space == Space::Meta).then(|| run::parse_registration_key(key)).flatten())
            .map(|(_, number)| number)
            .collect();
        let reader = store.reader();
        if reader.runs(FAMILY) != registered {
            return Err(format!("runs {registered:?} are registered, found are {:?}", reader.runs(FAMILY)));
        }
        for number in registered {
            let mut found = Vec::new();
            reader
                .run_range((FAMILY, number), &[0], &[u8::MAX; 32], usize::MAX, &mut |key, value| {
                    found.push((key.to_vec(), marks::digest(value)));
                    ControlFlow::Continue(())
                })
                .map_err(|error| format!("run {number}: {error}"))?;
            if self.runs.get(&number) != Some(&found) {
                return Err(format!("run {number} holds something else than was written"));
            }
        }
        Ok(())
    }
}

fn apply(entries: &mut Entries, changes: &[marks::Change]) {
    for change in changes {
        let key = (change.space, change.key.clone());
        match change.value {
            Some(value) => drop(entries.insert(key, value)),
            None => drop(entries.remove(&key)),
        }
    }
}

/// Digests of everything in a store.
pub(super) fn everything(store: &FjallStore) -> Result<Entries, String> {
    let (mut found, reader) = (Entries::new(), store.reader());
    for space in Space::ALL {
        reader
            .range(space, &[0], &[u8::MAX; 32], usize::MAX, &mut |key, value| {
                found.insert((space, key.to_vec()), marks::digest(value));
                ControlFlow::Continue(())
            })
            .map_err(|error| format!("{}: {error}", space.name()))?;
    }
    Ok(found)
}

/// Opens an image as a start does, compares, continues to work on it, and opens it once more if `twice`.
pub(super) fn judge(image: &Path, expected: Expected, mutant: Option<Mutant>, twice: bool) -> Result<(), String> {
    let image = image.to_owned();
    with_patience(move || judge_here(&image, &expected, mutant, twice)).unwrap_or_else(Err)
}

/// Runs something that may hang or panic in a thread of its own.
pub(super) fn with_patience<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let working = thread::Builder::new().name("judge".into()).spawn(move || {
        // If it took too long, the receiver is gone.
        let _ = sender.send(work());
    });
    let working = working.map_err(|error| error.to_string())?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(done) => Ok(done),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("no answer after {PATIENCE:?}")),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = working.join().err().and_then(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            });
            Err(format!("panicked: {}", panic.unwrap_or_default()))
        }
    }
}

fn judge_here(image: &Path, expected: &Expected, mutant: Option<Mutant>, twice: bool) -> Result<(), String> {
    let refused = |error: &dyn std::fmt::Display| format!("refused: {error}");
    let directory = DataDirectory::open(&image.join("data"), drive::format()).map_err(|error| refused(&error))?;
    let path = directory.shard(0);
    let start = || fjall_start::start(&path, drive::store_options(mutant)).map_err(|error| refused(&error));
    let Started { mut store, mark, found, .. } = start()?;
    let last = found.last;
    let commits: Vec<u64> = found.turns.iter().map(|(commit, _)| *commit).collect();
    if commits != (found.checkpoint.commit + 1..=last.0).collect::<Vec<_>>() {
        return Err(format!("turns {commits:?} follow the checkpoint of commit {}", found.checkpoint.commit));
    }
    expected.compare(&store, last)?;
    let now = drive::moment(1_000_000, 0);
    let mut first = FirstBatch::default();
    drive::node(1, found, now).turn(now, &mut first);
    let FirstBatch(batch) = first;
    let next = batch.as_ref().map(|batch| batch.seq);
    if let Some(batch) = batch {
        store.commit(batch.into_ops()).map_err(|error| format!("the next batch: {error}"))?;
    }
    if twice {
        store
            .commit(vec![Op::Put { space: Space::DeadLetter, key: b"goes on".to_vec(), value: Vec::new() }])
            .map_err(|error| format!("the next batch: {error}"))?;
        drop((store, mark));
        let Started { store, found, .. } = start().map_err(|error| format!("the second start {error}"))?;
        if found.last != next.unwrap_or(last) {
            return Err(format!("the second start ends at {}, the first at {}", found.last.0, last.0));
        }
        if store.reader().get(Space::DeadLetter, b"goes on") != Ok(Some(Default::default())) {
            return Err("what was written after the start is gone".to_owned());
        }
    }
    Ok(())
}

/// Collects what a node wants written first after a start; the node gets no answers.
#[derive(Default)]
struct FirstBatch(Option<WriteBatch>);

impl Host for FirstBatch {
    fn commit(&mut self, _: ShardId, batch: WriteBatch) {
        self.0 = Some(batch);
    }

    fn errand(&mut self, _: ShardId, _: Errand) {}

    fn reply(&mut self, _: ReplyTo, _: Reply) {}

    fn post(&mut self, _: u8, _: NodeEvent) -> Option<NodeEvent> {
        None
    }

    fn connection(&mut self, _: usize, _: BindId, _: Wanted) {}

    fn alarm(&mut self, _: Alarm<'_>) {}

    fn is_late(&mut self) -> bool {
        false
    }
}
