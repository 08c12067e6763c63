//! The two threads beside each shard: one commits and syncs, one reads and maintains. Neither decides anything; each gets
//! its work by mailbox and answers to the shard's core.
//!
//! A failed write or sync ends the process, wherever it happens: the batch, the high-water mark, the maintenance, fjall's own
//! worker (whose failure poisons the store, which the next commit sees, or the next maintenance if nothing is committed).
//! Nothing is retried in place, because the kernel forgets a failed sync; the log is the truth, and the next start reads it.
//! A read may be retried: the store does so, and if it still fails, the process ends as well.

use std::{
    collections::VecDeque,
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    process,
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use crate::disk::{
    directory::HighWaterFile,
    fjall::{FjallReader, FjallStore},
    fjall_backup::StoreSnapshot,
    private,
};
use stentor_core::{
    mesh::{self, Full, Sender, waker::ThreadInbox},
    model::ShardId,
    node,
    shard::{Maintenance, ShardEvent},
    store::{
        Answerer, Backend, CommitSeq, Found, Quarantined, Step, StoreError, Walk, WriteBatch, backend::Maintainer,
        receipt_run,
    },
};

use super::backup;
use crate::host::logging;

/// Exit code after a failed write or sync (sysexits: input/output error).
pub const EXIT_IO: i32 = 74;

/// Batches under way to one storage thread; a shard sends the next only after the last one is durable.
const COMMITS_MAX: usize = 4;
/// Questions and maintenance tasks under way to one reader thread.
const READS_MAX: usize = 4_096;
/// How often the maintainer looks after journals, and the high-water mark is written.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// Work for the reader thread.
#[derive(Debug)]
pub enum Errand {
    /// Work for its shard.
    Work(node::Errand),
    /// A snapshot for a backup.
    BackUp(backup::Order),
}

/// The mailboxes of a shard's two threads.
#[derive(Debug)]
pub struct Storage {
    /// To the storage thread.
    pub commits: Sender<WriteBatch>,
    errands: Sender<Errand>,
    /// Work for which the reader thread had no room.
    waiting: VecDeque<Errand>,
}

impl Storage {
    /// Sends work to the reader thread, after everything that waits for it.
    pub fn ask(&mut self, errand: Errand) {
        self.waiting.push_back(errand);
        self.ask_again();
    }

    /// Tries again to send the work for which there was no room.
    pub fn ask_again(&mut self) {
        while let Some(errand) = self.waiting.pop_front() {
            if let Err(Full(errand)) = self.errands.try_push(errand) {
                return self.waiting.push_front(errand);
            }
        }
    }

    /// Whether work waits for room.
    pub fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// The threads end when their mailboxes are dropped.
pub type Threads = [thread::JoinHandle<()>; 2];

/// Starts both threads over a store. `answer` puts an answer into the mailbox of the shard's core, waiting if it is full;
/// damaged segments are copied to the directory `quarantine`.
///
/// # Errors
/// When a thread cannot be started.
pub fn start<A>(
    shard: ShardId,
    store: FjallStore,
    mark: HighWaterFile,
    quarantine: PathBuf,
    answer: A,
) -> io::Result<(Storage, Threads)>
where
    A: Fn(ShardEvent) + Clone + Send + 'static,
{
    let (commits, commit_inbox) = mesh::thread_mailbox(COMMITS_MAX);
    let (errands, errand_inbox) = mesh::thread_mailbox(READS_MAX);
    let (reader, maintainer) = (store.reader(), store.maintainer());
    let answer_reads = answer.clone();
    let writing = thread::Builder::new().name(format!("store-{}", shard.0)).spawn(move || {
        let _end = EndOnPanic(Owner::Shard(shard));
        write(shard, store, mark, commit_inbox, &answer);
    })?;
    let reading = thread::Builder::new().name(format!("read-{}", shard.0)).spawn(move || {
        let _end = EndOnPanic(Owner::Shard(shard));
        read(shard, reader, maintainer, errand_inbox, &Quarantine { shard, directory: quarantine }, &answer_reads);
    })?;
    Ok((Storage { commits, errands, waiting: VecDeque::new() }, [writing, reading]))
}

fn write(
    shard: ShardId,
    mut store: FjallStore,
    mut mark: HighWaterFile,
    mut inbox: ThreadInbox<WriteBatch>,
    answer: &impl Fn(ShardEvent),
) {
    let mut batches = Vec::new();
    let mut marked = Instant::now();
    let (mut last, mut told) = (CommitSeq(0), CommitSeq(0));
    loop {
        // If no other batch follows this one, nothing else would write the mark.
        let drained = match last == told {
            true => Some(inbox.drain(&mut batches, 1)),
            false => inbox.drain_for(&mut batches, 1, MAINTENANCE.saturating_sub(marked.elapsed())),
        };
        if drained == Some(0) {
            break;
        }
        for batch in batches.drain(..) {
            last = batch.seq;
            store.commit(batch.into_ops()).unwrap_or_else(|error| give_up(Owner::Shard(shard), &error));
            answer(ShardEvent::Committed(last));
        }
        if marked.elapsed() >= MAINTENANCE && last != told {
            (marked, told) = (Instant::now(), last);
            mark.write(last.0).unwrap_or_else(|error| give_up(Owner::Shard(shard), &unmarked(&error)));
        }
    }
    if last > CommitSeq(0) {
        mark.seal(last.0).unwrap_or_else(|error| give_up(Owner::Shard(shard), &unmarked(&error)));
    }
}

/// The high-water mark cannot be written.
pub fn unmarked(error: &io::Error) -> StoreError {
    StoreError::Failed(format!("high-water mark: {error}"))
}

/// Questions that are answered in steps take turns: one step of one of them, then whatever came meanwhile. So lists that run
/// low are read ahead of questions that ask for much, and such a question is held up only by others like it.
fn read<M: Maintainer>(
    shard: ShardId,
    reader: FjallReader,
    maintainer: M,
    mut inbox: ThreadInbox<Errand>,
    quarantine: &Quarantine,
    answer: &impl Fn(ShardEvent),
) {
    let answerer = Answerer::new(reader.clone());
    let mut reading = Reading { shard, reader, answerer, maintainer, quarantine, answer, walks: VecDeque::new() };
    let mut errands = Vec::new();
    let mut maintained = Instant::now();
    loop {
        if reading.walks.is_empty() {
            if inbox.drain_for(&mut errands, 64, MAINTENANCE.saturating_sub(maintained.elapsed())) == Some(0) {
                return;
            }
        } else {
            inbox.try_drain(&mut errands, 64);
        }
        if maintained.elapsed() >= MAINTENANCE {
            maintained = Instant::now();
            errands.push(Errand::Work(node::Errand::Maintain(Maintenance::Checkpoint)));
        }
        for errand in errands.drain(..) {
            reading.carry_out(errand).unwrap_or_else(|error| give_up(Owner::Shard(shard), &error));
        }
        if let Some(walk) = reading.walks.pop_front() {
            let step = reading.answerer.advance(walk);
            reading.went(step);
        }
    }
}

/// A reader thread at work.
struct Reading<'t, M, A> {
    shard: ShardId,
    reader: FjallReader,
    answerer: Answerer<FjallReader>,
    maintainer: M,
    quarantine: &'t Quarantine,
    answer: &'t A,
    /// Questions under way; the first is next in turn.
    walks: VecDeque<Box<Walk>>,
}

impl<M: Maintainer, A: Fn(ShardEvent)> Reading<'_, M, A> {
    fn carry_out(&mut self, errand: Errand) -> Result<(), StoreError> {
        match errand {
            Errand::Work(node::Errand::Read(request)) => {
                let step = self.answerer.begin(request);
                self.went(step);
                Ok(())
            }
            Errand::Work(node::Errand::Maintain(work)) => self.maintain(work),
            Errand::BackUp(backup::Order(answer)) => {
                // If sending fails, the backup no longer waits.
                let _ = answer.send((self.shard, StoreSnapshot::open(&self.reader)));
                Ok(())
            }
        }
    }

    fn maintain(&mut self, work: Maintenance) -> Result<(), StoreError> {
        match work {
            Maintenance::DropRange { space, from, to } => self.maintainer.drop_range(space, &from, &to),
            Maintenance::DeleteRun(run) => self.maintainer.delete_run(run),
            Maintenance::Checkpoint => self.maintainer.checkpoint(),
            Maintenance::WriteRun { run, mut notes } => {
                let written = self.maintainer.write_run(run, &mut |sink| receipt_run::put(&mut notes, sink));
                written.inspect(|()| (self.answer)(ShardEvent::RunWritten(run)))
            }
        }
    }

    fn went(&mut self, step: Step) {
        match step {
            Step::Done(Found::Failed { error: error @ StoreError::Failed(_), .. }) => {
                give_up(Owner::Shard(self.shard), &error)
            }
            Step::Done(found) => (self.answer)(ShardEvent::Found(found)),
            Step::More(walk) => self.walks.push_back(walk),
        }
        let damaged = self.answerer.take_quarantined();
        if !damaged.is_empty() {
            damaged.iter().for_each(|segment| self.quarantine.keep(segment));
            (self.answer)(ShardEvent::Quarantined(damaged.len() as u64));
        }
    }
}

/// The owner of a store.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// A shard.
    Shard(ShardId),
    /// Control.
    Control,
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(out, "shard {}", shard.0),
            Self::Control => out.write_str("control"),
        }
    }
}

/// Logs one clear line and ends the process: nothing may be acknowledged any more. When several threads fail at once, as they do on
/// one disk, only the first logs.
pub fn give_up(owner: Owner, error: &StoreError) -> ! {
    static ENDING: Once = Once::new();
    ENDING.call_once(|| {
        tracing::error!(%owner, %error, "storage failed; stopping, the next start recovers from the log");
        logging::last_words(&format!("stentor: {owner}: {error}"));
        process::exit(EXIT_IO);
    });
    unreachable!("the first to fail has ended the process")
}

/// Aborts the process on a panic, which would otherwise end its thread alone, so that the owner waited for ever.
#[derive(Debug)]
pub struct EndOnPanic(pub Owner);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(owner = %self.0, "panic beside a store: aborting, a restart recovers from the log");
            logging::abort();
        }
    }
}

/// Where the bytes of damaged segments are kept, in case something can still be read from them.
#[derive(Debug)]
struct Quarantine {
    shard: ShardId,
    directory: PathBuf,
}

impl Quarantine {
    /// Writes the bytes to a file and logs it. If they cannot be written, serving goes on all the same.
    fn keep(&self, damaged: &Quarantined) {
        let Quarantined { segment, why, bytes } = damaged;
        let shard = self.shard.0;
        let file = self.directory.join(format!("shard-{shard:02}-segment-{segment}"));
        let written = bytes.as_ref().map(|bytes| {
            private::directory(&self.directory)
                .and_then(|()| private::file(&file, OpenOptions::new().write(true).create(true).truncate(true)))
                .and_then(|mut file| file.write_all(bytes))
                .map(|()| file.display().to_string())
        });
        let kept = match &written {
            Some(Ok(file)) => file.as_str(),
            Some(Err(_)) => "cannot be written",
            None => "the store returned no bytes of it",
        };
        tracing::error!(
            shard,
            segment,
            why,
            kept,
            "a damaged segment: its messages cannot be read, all others are not affected"
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::fjall::FjallOptions;
    use stentor_core::store::record::TurnRecord;

    use super::*;

    /// Core B3: the mark was only written with a batch, so that on an idle daemon it lagged for hours.
    #[test]
    fn a_store_that_is_idle_sets_its_mark_once_more() {
        let root = tempfile::tempdir().expect("a directory");
        let (store, _) = FjallStore::open(root.path(), FjallOptions::shared_by(1)).expect("a store");
        let (mark, found) = HighWaterFile::open(root.path()).expect("a file");
        assert_eq!(found, None);
        let (storage, threads) =
            start(ShardId(0), store, mark, root.path().join("quarantine"), |_| {}).expect("threads");
        let batch = WriteBatch { seq: CommitSeq(7), turn: TurnRecord::default(), ..WriteBatch::default() };
        assert!(storage.commits.try_push(batch).is_ok(), "room for one");
        let deadline = Instant::now() + Duration::from_secs(120);
        let marked = || HighWaterFile::open(root.path()).expect("a file").1.map(|mark| (mark.commit, mark.is_clean));
        while marked() != Some((7, false)) {
            assert!(Instant::now() < deadline, "{:?}", marked());
            thread::sleep(Duration::from_millis(50));
        }
        drop(storage);
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        assert_eq!(marked(), Some((7, true)));
    }
}
