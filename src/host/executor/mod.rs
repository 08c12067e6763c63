//! The only face to what runs tasks (with [`super::net`] for sockets): executors pinned to CPUs, tasks that are never
//! cancelled, and time to wait for. Knows nothing of what runs on it.
//!
//! There are two below, io_uring (`uring`, by glommio) and epoll (`epoll`), and nobody above can tell which one runs:
//! - [`spawn`] detaches, gives no handle, and so nothing can cancel a task; races happen between futures inside one task.
//! - A panic inside a task is caught by [`spawn`], which does as [`OnPanic`] says.
//! - Sockets and timers are looked at only when no task is ready, or when [`LOOK`] has passed.
//! - The heartbeat task of each executor (10 ms) fires the coarse timers, tells the watchdog that the executor turns, and
//!   bounds what a wake-up from another thread can be late on glommio.

mod epoll;
mod reactor;
mod timers;
mod uring;

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::FutureExt;

pub use super::poll::{
    Polls, breathe, gave, is_late, is_very_late, poll_intake, poll_outlet, polls, polls_begun, took,
};
pub use super::probe::Io;

use super::{clock::Clock, logging, poll::Polled, watchdog::Heartbeat};
use stentor_core::{
    mesh::CoreId,
    model::{Mono, Now},
};
use timers::Timers;

/// For sockets on epoll: the one face of what watches them.
pub(super) use self::{
    epoll::reactor,
    reactor::{Reactor, Side, Source},
};

/// Resolution of [`sleep`] and [`sleep_until`]: they end up to this much late, never early.
pub const HEARTBEAT: Duration = Duration::from_millis(10);
/// While tasks are ready, sockets and timers are looked at this often: glommio's own 100 ms would let tasks that only yield
/// to each other keep everybody who waits for a socket waiting. A look costs some µs.
const LOOK: Duration = Duration::from_millis(5);

/// One executor to start.
#[derive(Clone, Debug)]
pub struct Executor {
    /// What it stands on; one for the whole process.
    pub io: Io,
    /// Its number in this process.
    pub core: CoreId,
    /// The CPU that it is pinned to; None lets the kernel place it (tests, the simulated world).
    pub cpu: Option<usize>,
    /// The process's clock.
    pub clock: Clock,
    /// Its sign of life for the watchdog.
    pub heart: Heartbeat,
}

/// What becomes of the process when a task panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// Ends the process: the task owned state that the log must rebuild. Shards, links, inboxes.
    Abort,
    /// Counts it and goes on: the task owned only its connection.
    Survive,
}

/// An executor could not start or did not end well.
#[derive(Debug)]
pub struct ExecutorError(Failure);

#[derive(Debug)]
enum Failure {
    Uring(uring::Failure),
    Epoll(io::Error),
    /// It ended with a panic of its own.
    Panicked,
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Uring(error) => write!(out, "executor: {error}"),
            Failure::Epoll(error) => write!(out, "executor: {error}"),
            Failure::Panicked => out.write_str("executor: it panicked"),
        }
    }
}

impl std::error::Error for ExecutorError {}

/// A running executor.
#[derive(Debug)]
pub struct Running(Thread);

#[derive(Debug)]
enum Thread {
    Uring(uring::Running),
    Epoll(epoll::Running),
}

impl Running {
    /// Waits until its main future has ended.
    ///
    /// # Errors
    /// When the executor failed underneath its tasks.
    pub fn join(self) -> Result<(), ExecutorError> {
        match self.0 {
            Thread::Uring(running) => running.join().map_err(|error| ExecutorError(Failure::Uring(error))),
            Thread::Epoll(running) => running.join().map_err(|_| ExecutorError(Failure::Panicked)),
        }
    }
}

impl Executor {
    /// Starts the executor on a thread of its own and `main` on it; returns once it turns. Tasks that still run when
    /// `main` ends are dropped with the executor. A panic of `main` aborts. Ask [`super::probe::choose`] before the
    /// first one, and start helper threads before it too: they would inherit the pinning.
    ///
    /// # Errors
    /// When the thread, what it stands on or its pinning fail.
    pub fn start<M, F>(self, main: M) -> Result<Running, ExecutorError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (turning, turns) = mpsc::sync_channel(1);
        let Self { io, core, cpu, clock, .. } = self;
        let main = move || async move {
            let heart = self.heart.clone();
            enter(self);
            let _ = turning.send(());
            Polled::after_start("main", guarded(OnPanic::Abort, "main", main())).await;
            heart.retire();
        };
        let started = match io {
            Io::Uring => uring::start(core, cpu, main).map(Thread::Uring).map_err(Failure::Uring),
            Io::Epoll => epoll::start(core, cpu, clock, main).map(Thread::Epoll).map_err(Failure::Epoll),
        };
        let running = Running(started.map_err(ExecutorError)?);
        match turns.recv() {
            Ok(()) => Ok(running),
            Err(mpsc::RecvError) => running.join().and(Err(ExecutorError(Failure::Panicked))),
        }
    }
}

struct Local {
    executor: Executor,
    timers: RefCell<Timers>,
    panics: Cell<u64>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

fn enter(executor: Executor) {
    executor.heart.belongs_here();
    executor.heart.beat(executor.clock.mono());
    let entered = Local { executor, timers: RefCell::default(), panics: Cell::new(0) };
    LOCAL.with(|slot| *slot.borrow_mut() = Some(entered));
    spawn(OnPanic::Abort, "heartbeat", async {
        loop {
            match io() {
                Io::Uring => uring::beat().await,
                Io::Epoll => epoll::sleep_until(now().mono.after_ns(HEARTBEAT.as_nanos() as u64)).await,
            }
            let due = local(|local| {
                let now = local.executor.clock.mono();
                local.executor.heart.beat(now);
                local.timers.borrow_mut().due(now)
            });
            due.into_iter().for_each(Waker::wake);
        }
    });
}

/// # Panics
/// On a thread that is not one of ours: a mistake in the wiring, found by the first test.
#[allow(clippy::panic, reason = "no input reaches it")]
fn local<R>(read: impl FnOnce(&Local) -> R) -> R {
    LOCAL.with(|slot| match &*slot.borrow() {
        Some(local) => read(local),
        None => panic!("not on an executor"),
    })
}

/// Both hands of the clock. Once per turn.
pub fn now() -> Now {
    local(|local| local.executor.clock.now())
}

/// The executor that the caller runs on.
pub fn core() -> CoreId {
    local(|local| local.executor.core)
}

/// What the executor that the caller runs on stands on.
pub(super) fn io() -> Io {
    local(|local| local.executor.io)
}

/// Panics of surviving tasks on this executor since it started.
pub fn panics_survived() -> u64 {
    local(|local| local.panics.get())
}

/// Runs `task` to its end on this executor, detached. Its first poll happens inside this call: hold no borrow that the
/// task takes too. `name` stands in the log if it panics.
pub fn spawn(on_panic: OnPanic, name: &'static str, task: impl Future<Output = ()> + 'static) {
    let task = Polled::new(name, guarded(on_panic, name, task));
    match io() {
        Io::Uring => uring::spawn(task),
        Io::Epoll => epoll::spawn(task),
    }
}

/// Made of combinators: an `async fn` would hold the task twice, once as its argument and once where it awaits it.
fn guarded(on_panic: OnPanic, name: &'static str, task: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |outcome| match (outcome, on_panic) {
        (Ok(()), OnPanic::Abort | OnPanic::Survive) => {}
        (Err(_), OnPanic::Abort) => {
            tracing::error!(task = name, "panic in a task that owns state: aborting, a restart recovers from the log");
            logging::abort();
        }
        (Err(_), OnPanic::Survive) => {
            tracing::error!(task = name, "panic in a task; its peer is cut off, the rest goes on");
            local(|local| local.panics.set(local.panics.get() + 1));
        }
    })
}

/// Lets every other ready task run once.
pub async fn yield_now() {
    futures_lite::future::yield_now().await;
}

/// Ends `duration` from now or up to [`HEARTBEAT`] later.
pub fn sleep(duration: Duration) -> Sleep {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    sleep_until(local(|local| local.executor.clock.mono()).after_ns(ns))
}

/// Ends at `at` or up to [`HEARTBEAT`] later.
pub fn sleep_until(at: Mono) -> Sleep {
    Sleep { at, id: None }
}

/// Ends at `at` or within about 0.1 ms after, at the price of a kernel timer: for pacing at a millisecond's quantum.
pub async fn sleep_until_precisely(at: Mono) {
    let left = at.since(local(|local| local.executor.clock.mono()));
    match io() {
        _ if left == 0 => {}
        Io::Uring => uring::sleep(Duration::from_nanos(left)).await,
        Io::Epoll => epoll::sleep_until(at).await,
    }
}

/// Waiting for a coarse instant; dropped, it leaves nothing behind.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    at: Mono,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        local(|local| {
            let mut timers = local.timers.borrow_mut();
            if local.executor.clock.mono() >= self.at {
                timers.remove(self.at, self.id.take());
                return Poll::Ready(());
            }
            let id = *self.id.get_or_insert_with(|| timers.next_id());
            timers.set(self.at, id, context.waker());
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // An executor that ends drops its last tasks after its thread-locals.
            let _ = LOCAL.try_with(|slot| {
                if let Ok(Some(local)) = slot.try_borrow().as_deref() {
                    local.timers.borrow_mut().remove(self.at, Some(id));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
