//! The thread of control: commits requested changes, publishes them, answers. Decides nothing; callers wait, executors
//! never do.
//!
//! Changes requested while a batch is synced go into the next one. The high-water mark is written and synced with every
//! commit, before any of it is published: control commits rarely, and a number that is lost must never be given again. A
//! failed write or sync ends the process, as beside a shard.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use crate::{
    disk::{
        directory::HighWaterFile,
        fjall::{FjallOptions, FjallStore},
        fjall_start::{self, StartedControl},
    },
    http::readers::ControlDoor,
};
use stentor_core::{
    control::{Bounds, Change, Control, ControlEvent, Effect, Entries, Refused},
    store::{Backend, StoreError, backend::Maintainer},
};

use super::{
    daemon::StartError,
    storage::{EndOnPanic, Owner, give_up, unmarked},
};

/// Requests that may wait for the thread; further callers wait as well.
const ASKS_MAX: usize = 64;

/// A request, and where its answer goes.
struct Ask {
    changes: Vec<Change>,
    answer: mpsc::SyncSender<Result<Arc<Entries>, Refused>>,
}

/// The entries that everything acts on: the newest durable ones.
#[derive(Debug, Default)]
pub struct Published(Mutex<Arc<Entries>>);

impl Published {
    /// The current entries.
    pub fn get(&self) -> Arc<Entries> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, entries: Arc<Entries>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = entries;
    }
}

/// The handle of the thread. Dropping it ends the thread and closes the store.
#[derive(Debug)]
pub(super) struct ControlThread {
    asks: Option<Arc<mpsc::SyncSender<Ask>>>,
    published: Arc<Published>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ControlThread {
    /// Opens the store in `path`, or creates it, and starts the thread with what it holds.
    ///
    /// # Errors
    /// [`StartError::Store`] for a store that does not open or holds what no control wrote; [`StartError::System`]
    /// when no thread can be started.
    pub(super) fn start(path: &Path, options: FjallOptions) -> Result<Self, StartError> {
        let StartedControl { store, mark, found } =
            fjall_start::start_control(path, options).map_err(StartError::Store)?;
        let control = Control::recover(found, Bounds::default());
        let control = control.map_err(|damage| StartError::Store(StoreError::Damaged(damage.to_string())))?;
        let published = Arc::new(Published::default());
        published.set(Arc::clone(control.published()));
        let (asks, inbox) = mpsc::sync_channel(ASKS_MAX);
        let keeper = Keeper { control, store, mark, published: Arc::clone(&published), asked: BTreeMap::new() };
        let run = move || {
            let _end = EndOnPanic(Owner::Control);
            keeper.run(&inbox);
        };
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(run)
            .map_err(|error| StartError::System("thread of control".into(), error))?;
        Ok(Self { asks: Some(Arc::new(asks)), published, thread: Some(thread) })
    }

    /// The newest durable entries.
    pub(super) const fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// How calls reach the thread without waiting for it. Closed when the thread is to end.
    pub(super) fn door(&self) -> ControlDoor {
        let (published, asks) =
            (Arc::clone(&self.published), self.asks.as_ref().map(Arc::downgrade).unwrap_or_default());
        ControlDoor {
            published: Arc::new(move || published.get()),
            change: Arc::new(move |changes| {
                let (answer, answered) = mpsc::sync_channel(1);
                asks.upgrade()?.try_send(Ask { changes, answer }).ok()?;
                Some(answered)
            }),
        }
    }

    /// Makes changes, all or none; returns when they are durable and published, with entries that include them. Waits
    /// for the disk: not for executors.
    ///
    /// # Errors
    /// [`Refused`] when there is no room for the changes.
    pub(super) fn change(&self, changes: Vec<Change>) -> Result<Arc<Entries>, Refused> {
        let (answer, answered) = mpsc::sync_channel(1);
        let sent = self.asks.as_ref().map(|asks| asks.send(Ask { changes, answer }));
        match (sent, answered.recv()) {
            (Some(Ok(())), Ok(result)) => result,
            _ => unreachable!("the thread ends after this, or with the process"),
        }
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.asks = None;
        // If the thread panicked, the panic has already ended the process.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// The state of the thread.
struct Keeper {
    control: Control,
    store: FjallStore,
    mark: HighWaterFile,
    published: Arc<Published>,
    /// The waiting callers, by ticket.
    asked: BTreeMap<u64, mpsc::SyncSender<Result<Arc<Entries>, Refused>>>,
}

impl Keeper {
    fn run(mut self, inbox: &mpsc::Receiver<Ask>) {
        let mut maintainer = self.store.maintainer();
        let mut tickets = 0;
        while let Ok(first) = inbox.recv() {
            for Ask { changes, answer } in std::iter::once(first).chain(inbox.try_iter().take(ASKS_MAX)) {
                tickets += 1;
                self.asked.insert(tickets, answer);
                self.control.handle(ControlEvent::Change { ticket: tickets, changes });
            }
            while let Some(batch) = self.control.poll_commit() {
                let version = batch.record.version;
                let committed = self.store.commit(batch.into_ops());
                let marked =
                    committed.and_then(|()| self.mark.write_durably(version).map_err(|error| unmarked(&error)));
                marked.unwrap_or_else(|error| give_up(Owner::Control, &error));
                self.control.handle_committed(version);
            }
            while let Some(effect) = self.control.poll_effect() {
                self.effect(effect);
            }
            maintainer.checkpoint().unwrap_or_else(|error| give_up(Owner::Control, &error));
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(entries) => self.published.set(entries),
            Effect::Reply(ticket, result) => {
                if let Some(answer) = self.asked.remove(&ticket) {
                    // If sending fails, the caller no longer waits.
                    let _ = answer.send(result.map(|_| Arc::clone(self.control.published())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::disk::directory::HIGH_WATER_FILE;
    use stentor_core::control::{Kind, Names, applied};
    use stentor_core::model::Wall;

    use super::*;

    fn start(path: &Path) -> Result<ControlThread, StartError> {
        ControlThread::start(path, FjallOptions::shared_by(1))
    }

    fn routes(names: &[&str]) -> Vec<Change> {
        Names { routes: names.iter().map(|&name| name.to_owned()).collect(), ..Names::default() }.changes()
    }

    #[test]
    fn numbers_and_versions_outlive_the_process() {
        let root = tempfile::tempdir().expect("a directory");
        let control = start(root.path()).expect("a new one");
        let first = control.change(routes(&["a", "b"])).expect("room");
        assert_eq!((first.version(), first.route("b")), (1, Some(2)));
        assert_eq!(control.change(vec![applied(Wall(5))]).expect("room").version(), 2);
        drop(control);
        let control = start(root.path()).expect("the same");
        assert_eq!(control.published().get().route("b"), Some(2));
        let later = control.change([routes(&["c", "a"]), vec![applied(Wall(5))]].concat()).expect("room");
        assert_eq!((later.version(), later.route("a"), later.route("c")), (3, Some(1), Some(3)));
        assert_eq!(control.published().get(), later);
        let wrong = Change::Remove { kind: Kind::Route, key: b"a".to_vec() };
        assert_eq!(control.change(vec![wrong]), Err(Refused::Numbered(Kind::Route)));
    }

    #[test]
    fn requests_of_many_threads_are_each_answered() {
        let root = tempfile::tempdir().expect("a directory");
        let control = start(root.path()).expect("a new one");
        thread::scope(|scope| {
            for name in 0..100 {
                let control = &control;
                scope.spawn(move || {
                    let name = format!("r{}", name / 2);
                    let entries = control.change(routes(&[&name])).expect("room");
                    assert!(entries.route(&name).is_some());
                    assert!(control.published().get().version() >= entries.version());
                });
            }
        });
        assert_eq!(control.published().get().len(Kind::Route), 50);
    }

    #[test]
    fn a_call_finds_its_change_durable_and_the_door_does_not_keep_the_thread() {
        let root = tempfile::tempdir().expect("a directory");
        let control = start(root.path()).expect("a new one");
        let door = control.door();
        let answer = (door.change)(routes(&["a"])).expect("room").recv().expect("an answer").expect("room");
        assert_eq!((answer.route("a"), (door.published)().route("a")), (Some(1), Some(1)));
        drop(control);
        assert!((door.change)(routes(&["b"])).is_none(), "the thread has ended");
        let control = start(root.path()).expect("the same");
        assert_eq!(control.published().get().route("a"), Some(1));
    }

    #[test]
    fn a_commit_that_was_told_and_is_missing_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let (before, path) = (root.path().join("before"), root.path().join("control"));
        let control = start(&path).expect("a new one");
        control.change(routes(&["a"])).expect("room");
        drop(control);
        copy(&path, &before);
        let control = start(&path).expect("the same");
        control.change(routes(&["b"])).expect("room");
        drop(control);
        fs::copy(path.join(HIGH_WATER_FILE), before.join(HIGH_WATER_FILE)).expect("copied");
        let told = start(&before).expect_err("b is missing").to_string();
        assert!(told.contains("commit 2 was acknowledged, but the log ends at 1"), "{told}");
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("made");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                copy(&path, &target);
            } else {
                fs::copy(path, target).expect("copied");
            }
        }
    }
}
