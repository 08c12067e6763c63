//! The only face to glommio (with [`super::net`] for sockets): executors pinned to CPUs, tasks that are never
//! cancelled, and time to wait for. Knows nothing of what runs on it.
//!
//! What glommio 0.9.0 demands, and where it is kept:
//! - A cancelled task leaks about 105 bytes: [`spawn`] detaches, gives no handle, and so nothing can cancel it; races
//!   happen between futures inside one task.
//! - A panic inside a task would end its executor silently: [`spawn`] catches it and does as [`OnPanic`] says.
//! - More than 32,767 wakers of one task panic: never join over messages; one completion per batch.
//! - It falls asleep with tasks that are ready, without a timer, when its thread got no CPU for [`LOOK`] at the wrong moment
//!   (`run_task_queues` takes "preempt" for "nothing to run"): the heartbeat has timers behind it that wake it again.
//! - Sockets and timers are looked at only when no task is ready, or when a timer says so: [`LOOK`].
//! - A wake-up from another thread can be late when it meets the executor falling asleep: the heartbeat task of each
//!   executor (10 ms) bounds that, fires the coarse timers and tells the watchdog that the executor turns.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::FutureExt;
use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement, timer::Timer};

pub use super::poll::{
    Polls, breathe, gave, is_late, is_very_late, poll_intake, poll_outlet, polls, polls_begun, took,
};

use super::{
    clock::Clock,
    logging,
    poll::Polled,
    probe::{IO_MEMORY, RING_DEPTH},
    watchdog::Heartbeat,
};
use crate::{
    mesh::CoreId,
    model::{Mono, Now},
};

/// Resolution of [`sleep`] and [`sleep_until`]: they end up to this much late, never early.
pub const HEARTBEAT: Duration = Duration::from_millis(10);
/// Timers behind each heartbeat, ms after it: the first soon, and so many that never all of them pass unseen.
const GUARDS_MS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];
/// While tasks are ready, sockets and timers are looked at this often; glommio's own 100 ms would let tasks that only yield
/// to each other keep everybody who waits for a socket waiting. A look costs some µs.
const LOOK: Duration = Duration::from_millis(5);

/// One executor to start.
#[derive(Clone, Debug)]
pub struct Executor {
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
pub struct ExecutorError(GlommioError<()>);

impl fmt::Display for ExecutorError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "executor: {}", self.0)
    }
}

impl std::error::Error for ExecutorError {}

/// A running executor.
#[derive(Debug)]
pub struct Running(ExecutorJoinHandle<()>);

impl Running {
    /// Waits until its main future has ended.
    ///
    /// # Errors
    /// When the executor failed underneath its tasks.
    pub fn join(self) -> Result<(), ExecutorError> {
        self.0.join().map_err(ExecutorError)
    }
}

impl Executor {
    /// Starts the executor on a thread of its own and `main` on it; returns once it turns. Tasks that still run when
    /// `main` ends are dropped with the executor. A panic of `main` aborts. Call [`super::probe::probe`] before the
    /// first one, and start helper threads before it too: they would inherit the pinning.
    ///
    /// # Errors
    /// When the thread, its rings or its pinning fail.
    pub fn start<M, F>(self, main: M) -> Result<Running, ExecutorError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (turning, turns) = mpsc::sync_channel(1);
        let running = LocalExecutorBuilder::new(self.cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(&format!("core-{}", self.core.0))
            .io_memory(IO_MEMORY)
            .ring_depth(RING_DEPTH as usize)
            .spin_before_park(Duration::ZERO)
            .preempt_timer(LOOK)
            .spawn(move || async move {
                let heart = self.heart.clone();
                enter(self);
                let _ = turning.send(());
                Polled::after_start("main", guarded(OnPanic::Abort, "main", main())).await;
                heart.retire();
            })
            .map_err(ExecutorError)?;
        match turns.recv() {
            Ok(()) => Ok(Running(running)),
            Err(mpsc::RecvError) => Err(running.join().map_or_else(ExecutorError, |()| unreachable!("it turned"))),
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
            beat().await;
            let due = local(|local| {
                let now = local.executor.clock.mono();
                local.executor.heart.beat(now);
                local.timers.borrow_mut().due(now)
            });
            due.into_iter().for_each(Waker::wake);
        }
    });
}

/// Ends after [`HEARTBEAT`]. While it has ended and its task has not run yet, further timers stand behind it: an executor that
/// falls asleep with tasks that are ready (see the head of this file) is woken by the next of them.
async fn beat() {
    let mut guards = GUARDS_MS.map(|ms| Timer::new(HEARTBEAT + Duration::from_millis(ms)));
    let mut beat = Timer::new(HEARTBEAT);
    let mut is_armed = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut is_armed, true) {
            for guard in &mut guards {
                // Armed by being asked.
                let _ = Pin::new(guard).poll(context);
            }
        }
        Pin::new(&mut beat).poll(context).map(drop)
    })
    .await;
}

/// # Panics
/// On a thread that is not one of ours: a mistake in the wiring, found by the first test.
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

/// Panics of surviving tasks on this executor since it started.
pub fn panics_survived() -> u64 {
    local(|local| local.panics.get())
}

/// Runs `task` to its end on this executor, detached. Its first poll happens inside this call: hold no borrow that the
/// task takes too. `name` stands in the log if it panics.
pub fn spawn(on_panic: OnPanic, name: &'static str, task: impl Future<Output = ()> + 'static) {
    drop(glommio::spawn_local(Polled::new(name, guarded(on_panic, name, task))).detach());
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
    if left > 0 {
        glommio::timer::sleep(Duration::from_nanos(left)).await;
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

/// All coarse timers of one executor. Few: a connection has none of its own, a sweeper looks after all of them.
#[derive(Debug, Default)]
struct Timers {
    waiting: BTreeMap<(Mono, u64), Waker>,
    ids: u64,
}

impl Timers {
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn set(&mut self, at: Mono, id: u64, waker: &Waker) {
        let entry = self.waiting.entry((at, id)).or_insert_with(|| waker.clone());
        entry.clone_from(waker);
    }

    fn remove(&mut self, at: Mono, id: Option<u64>) {
        if let Some(id) = id {
            self.waiting.remove(&(at, id));
        }
    }

    fn due(&mut self, now: Mono) -> Vec<Waker> {
        let later = self.waiting.split_off(&(now.after_ns(1), 0));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::mesh::{mailbox, thread_mailbox};

    fn executor() -> Executor {
        Executor { core: CoreId(3), cpu: None, clock: Clock::start(), heart: Heartbeat::default() }
    }

    fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + 'static) {
        executor().start(main).and_then(Running::join).expect("executor");
    }

    #[test]
    fn sleeps_end_in_order_and_never_early() {
        run(|| async {
            let order = std::rc::Rc::new(RefCell::new(Vec::new()));
            for ms in [40_u64, 5, 20] {
                let (order, until) = (std::rc::Rc::clone(&order), now().mono.after_ms(ms));
                spawn(OnPanic::Abort, "sleeper", async move {
                    sleep_until(until).await;
                    assert!(now().mono >= until);
                    order.borrow_mut().push(ms);
                });
            }
            let dropped = sleep(Duration::from_secs(3600));
            let until = now().mono.after_ms(60);
            futures_lite::future::or(dropped, sleep_until(until)).await;
            assert_eq!(*order.borrow(), [5, 20, 40]);
            assert!(local(|local| local.timers.borrow().waiting.is_empty()));
        });
    }

    #[test]
    fn a_surviving_task_may_panic() {
        run(|| async {
            spawn(OnPanic::Survive, "clumsy", async { panic!("on purpose") });
            spawn(OnPanic::Survive, "clumsy later", async {
                yield_now().await;
                panic!("on purpose")
            });
            while panics_survived() < 2 {
                yield_now().await;
            }
            assert_eq!(core(), CoreId(3));
        });
    }

    #[test]
    fn an_impossible_cpu_is_an_error() {
        let started = Executor { cpu: Some(1_000), ..executor() }.start(|| async {});
        assert!(started.is_err());
    }

    #[test]
    fn a_retired_executor_is_not_watched() {
        let (turned, heart) = (Arc::new(AtomicU32::new(0)), Heartbeat::default());
        let (seen, beating) = (Arc::clone(&turned), heart.clone());
        let main = move || async move {
            assert!(beating.last().is_some());
            seen.fetch_add(1, Ordering::SeqCst);
        };
        Executor { heart: heart.clone(), ..executor() }.start(main).and_then(Running::join).expect("executor");
        assert_eq!((turned.load(Ordering::SeqCst), heart.last()), (1, None));
    }

    /// Executor → executor → thread, one item in flight: each round needs three wake-ups across threads.
    #[test]
    fn mailboxes_wake_tasks_on_other_executors() {
        const ROUNDS: u32 = 2_000;
        let ((first, mut first_in), (second, mut second_in)) = (mailbox(1), mailbox(1));
        let (back, mut back_in) = thread_mailbox(1);
        let forward = executor().start(move || async move {
            let mut got = Vec::new();
            while first_in.drain(&mut got, 1).await > 0 {
                got.drain(..).for_each(|item| assert_eq!(second.try_push(item), Ok(())));
            }
        });
        let reply = executor().start(move || async move {
            let mut got = Vec::new();
            while second_in.drain(&mut got, 1).await > 0 {
                got.drain(..).for_each(|item| assert_eq!(back.try_push(item), Ok(())));
            }
        });
        let mut got = Vec::new();
        for round in 0..ROUNDS {
            assert_eq!(first.try_push(round), Ok(()));
            assert_eq!((back_in.drain(&mut got, 1), got.pop()), (1, Some(round)));
        }
        drop(first);
        forward.and_then(Running::join).expect("forward");
        reply.and_then(Running::join).expect("reply");
    }
}
