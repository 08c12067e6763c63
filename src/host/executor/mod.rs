//! Executors: threads pinned to CPUs that run tasks, which are never cancelled, and timers. With [`super::net`] for sockets,
//! this is the only interface to the runtime. Knows nothing of what runs on it.
//!
//! There are two kinds, on io_uring (`uring`, by glommio) and on epoll (`epoll`). Both behave alike for their callers:
//! - [`spawn`] detaches the task and returns no handle, so no task can be cancelled; races happen between futures in a task.
//! - [`spawn`] catches a panic of a task, and acts as [`OnPanic`] says.
//! - Sockets and timers are checked only when no task is ready, or when [`LOOK`] has passed.
//! - The heartbeat task of each executor (10 ms) fires the coarse timers, shows the watchdog that the executor runs, and
//!   limits how late a wake-up from another thread can be with glommio.

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

/// For sockets on epoll: the interface to the reactor that watches them.
pub(super) use self::{
    epoll::reactor,
    reactor::{Reactor, Side, Source},
};

/// Resolution of [`sleep`] and [`sleep_until`]: they end up to this much too late, but never early.
pub const HEARTBEAT: Duration = Duration::from_millis(10);
/// How often sockets and timers are checked while tasks are ready. glommio's default of 100 ms would let tasks that only
/// yield to each other delay all tasks that wait for a socket. A check takes some µs.
const LOOK: Duration = Duration::from_millis(5);

/// One executor to start.
#[derive(Clone, Debug)]
pub struct Executor {
    /// The kernel interface; the same for all executors of the process.
    pub io: Io,
    /// Its number in this process.
    pub core: CoreId,
    /// The CPU to which it is pinned; `None`: the kernel chooses (tests, the simulated world).
    pub cpu: Option<usize>,
    /// The process's clock.
    pub clock: Clock,
    /// Its heartbeat for the watchdog.
    pub heart: Heartbeat,
}

/// What happens when a task panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The process ends, because the task owned state that must be rebuilt from disk: shards, links, inboxes.
    Abort,
    /// The panic is counted and the process goes on, because the task owned only its connection.
    Survive,
}

/// Why an executor could not start, or how it failed.
#[derive(Debug)]
pub struct ExecutorError(Failure);

#[derive(Debug)]
enum Failure {
    Uring(uring::Failure),
    Epoll(io::Error),
    /// The executor itself panicked.
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
    /// When the executor itself failed.
    pub fn join(self) -> Result<(), ExecutorError> {
        match self.0 {
            Thread::Uring(running) => running.join().map_err(|error| ExecutorError(Failure::Uring(error))),
            Thread::Epoll(running) => running.join().map_err(|_| ExecutorError(Failure::Panicked)),
        }
    }
}

impl Executor {
    /// Starts the executor on a thread of its own, with `main` as its first task; returns once it runs. Tasks that still run when
    /// `main` ends are dropped with the executor. A panic of `main` aborts the process. Call [`super::probe::choose`] before the
    /// first executor is started, and start helper threads before that too: threads started later inherit the pinning.
    ///
    /// # Errors
    /// When the thread cannot be started or pinned, or the kernel interface fails.
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
    // The first heartbeat comes once `main` waits for the first time: until then it recovers what the executor owns, which takes
    // as long as there are records to replay. A watchdog that ended that would end every start again.
    executor.heart.belongs_here();
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
/// On a thread that is not an executor's: a programming error, which any test finds.
#[allow(clippy::panic, reason = "no input reaches it")]
fn local<R>(read: impl FnOnce(&Local) -> R) -> R {
    LOCAL.with(|slot| match &*slot.borrow() {
        Some(local) => read(local),
        None => panic!("not on an executor"),
    })
}

/// The current time of both clocks. To be called once per turn.
pub fn now() -> Now {
    local(|local| local.executor.clock.now())
}

/// The number of the executor that the caller runs on.
pub fn core() -> CoreId {
    local(|local| local.executor.core)
}

/// The kernel interface of the executor that the caller runs on.
pub(super) fn io() -> Io {
    local(|local| local.executor.io)
}

/// Panics of tasks with [`OnPanic::Survive`] on this executor since it started.
pub fn panics_survived() -> u64 {
    local(|local| local.panics.get())
}

/// Runs `task` to its end on this executor, detached. The first poll happens inside this call, so the caller must not hold a
/// borrow that the task takes too. `name` appears in the log if the task panics or its polls take long.
pub fn spawn(on_panic: OnPanic, name: &'static str, task: impl Future<Output = ()> + 'static) {
    let task = Polled::new(name, guarded(on_panic, name, task));
    match io() {
        Io::Uring => uring::spawn(task),
        Io::Epoll => epoll::spawn(task),
    }
}

/// Catches panics of `task`. Made of combinators, because an `async fn` would store the task twice: as its argument, and
/// where it awaits it.
fn guarded(on_panic: OnPanic, name: &'static str, task: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |outcome| match (outcome, on_panic) {
        (Ok(()), OnPanic::Abort | OnPanic::Survive) => {}
        (Err(_), OnPanic::Abort) => {
            tracing::error!(task = name, "panic in a task that owns state: aborting, a restart recovers from the log");
            logging::abort();
        }
        (Err(_), OnPanic::Survive) => {
            tracing::error!(task = name, "panic in a task; its peer is disconnected, all others go on");
            local(|local| local.panics.set(local.panics.get() + 1));
        }
    })
}

/// Lets every other ready task run once.
pub async fn yield_now() {
    futures_lite::future::yield_now().await;
}

/// Ends after `duration`, or up to [`HEARTBEAT`] later.
pub fn sleep(duration: Duration) -> Sleep {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    sleep_until(local(|local| local.executor.clock.mono()).after_ns(ns))
}

/// Ends at `at`, or up to [`HEARTBEAT`] later.
pub fn sleep_until(at: Mono) -> Sleep {
    Sleep { at, id: None }
}

/// Ends at `at`, or up to about 0.1 ms later. It needs a kernel timer; for rate limits with a resolution of 1 ms.
pub async fn sleep_until_precisely(at: Mono) {
    let left = at.since(local(|local| local.executor.clock.mono()));
    match io() {
        _ if left == 0 => {}
        Io::Uring => uring::sleep(Duration::from_nanos(left)).await,
        Io::Epoll => epoll::sleep_until(at).await,
    }
}

/// A coarse timer; when dropped, it is removed.
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
            // When an executor ends, its last tasks are dropped after its thread-locals.
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
