//! Limits and measures each poll of a task: how many bytes it may read and write, and how long it runs. Knows bytes and
//! time; no socket and no task.
//!
//! A peer can decide neither how often a loop over its bytes runs nor how long a poll takes:
//! - Each poll begins with a fresh [`Share`]. When its bytes or its time are used up, the next read or write returns
//!   `Pending` with the task already woken again: the task goes to the end of the run queue, and others run.
//! - Loops that process bytes from a peer call [`breathe`] between slices of work, which yields when the time is used up.
//! - The first poll of a spawned task happens inside the poll of the task that spawns it, so shares nest.
//!
//! Each poll is measured in CPU time of the thread, because wall time would include the time in which the machine runs
//! other processes or the process is stopped. Reading that clock is a system call (0.7 µs; the monotonic clock takes 0.03).
//! So it is read only at the end of a poll that took long by the monotonic clock, and at the beginning of a poll if the
//! last reading is old: the result is never too small, and too large by at most [`SLICE`].

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use stentor_core::metrics::Distribution;

/// Most bytes that a poll may read from sockets. Parsing takes between 1 and 20 ns for each byte.
const INTAKE_BYTES: usize = 128 << 10;
/// Most bytes that a poll may write to sockets. Writing is only a copy, but a peer that reads fast could keep it going.
const OUTLET_BYTES: usize = 512 << 10;
/// After this time a turn of a shard or link ends at the next possible place.
const SLICE: Duration = Duration::from_millis(1);
/// After this time a poll that reads, writes or computes for one peer ends at the next possible place: many such tasks may be
/// ready, and a new one waits for all of them.
const PORTION: Duration = Duration::from_micros(500);
/// A poll that used more CPU time than this is logged.
const LONG_NS: u64 = 10_000_000;
/// Long polls of the same task are logged at most once in this time, except a new longest one, which is logged at once.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What the running poll may still use.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// When the poll began. `None` outside of polls: on threads that are not executors nothing is limited.
    began: Option<Instant>,
    intake: usize,
    outlet: usize,
}

impl Share {
    const NO_POLL: Self = Self { began: None, intake: INTAKE_BYTES, outlet: OUTLET_BYTES };

    fn is_over(&self, after: Duration) -> bool {
        self.began.is_some_and(|began| began.elapsed() >= after)
    }

    /// Bytes that one direction may still move. Each poll may do at least one read or write; otherwise a poll that is slow
    /// before it reaches its socket would never make progress.
    fn left(&self, left: usize, whole: usize) -> Option<usize> {
        match self.began {
            None => Some(usize::MAX),
            Some(_) if left == whole => Some(left),
            Some(_) if left == 0 || self.is_over(PORTION) => None,
            Some(_) => Some(left),
        }
    }
}

/// Statistics of the polls of one executor since it started.
#[derive(Debug, Default)]
pub struct Polls {
    /// CPU times of all polls, µs.
    pub cpu_us: Distribution,
    /// CPU time of the longest poll, ns.
    pub longest_ns: u64,
    /// Name of the task of the longest poll.
    pub longest_task: &'static str,
    /// When the thread's CPU clock was last read, and its value in ns.
    asked: Option<(Instant, u64)>,
    told: BTreeMap<&'static str, Instant>,
}

thread_local! {
    static SHARE: Cell<Share> = const { Cell::new(Share::NO_POLL) };
    static POLLS: RefCell<Polls> = RefCell::default();
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// Number of polls that this executor has begun since it started.
pub fn polls_begun() -> u64 {
    BEGUN.get()
}

/// Passes the statistics of this executor to `read`.
pub fn polls<R>(read: impl FnOnce(&Polls) -> R) -> R {
    POLLS.with_borrow(read)
}

/// How many bytes this poll may still read; `Pending`, with the task woken again, if its share is used up.
pub fn poll_intake(context: &mut Context<'_>) -> Poll<usize> {
    let share = SHARE.get();
    or_later(share.left(share.intake, INTAKE_BYTES), context)
}

/// Subtracts bytes that were read from the poll's share.
pub fn took(bytes: usize) {
    let share = SHARE.get();
    SHARE.set(Share { intake: share.intake.saturating_sub(bytes), ..share });
}

/// How many bytes this poll may still write; `Pending`, with the task woken again, if its share is used up.
pub fn poll_outlet(context: &mut Context<'_>) -> Poll<usize> {
    let share = SHARE.get();
    or_later(share.left(share.outlet, OUTLET_BYTES), context)
}

/// Subtracts bytes that were written from the poll's share.
pub fn gave(bytes: usize) {
    let share = SHARE.get();
    SHARE.set(Share { outlet: share.outlet.saturating_sub(bytes), ..share });
}

fn or_later(left: Option<usize>, context: &mut Context<'_>) -> Poll<usize> {
    match left {
        Some(bytes) => Poll::Ready(bytes),
        None => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// Whether this poll has run for about 1 ms: for turns that cannot yield, and leave the rest to the next poll.
pub fn is_late() -> bool {
    SHARE.get().is_over(SLICE)
}

/// Whether this poll has run for about 2 ms: for work that must be repeated if it is interrupted.
pub fn is_very_late() -> bool {
    SHARE.get().is_over(2 * SLICE)
}

/// Lets other tasks run if this poll has run for about 0.5 ms. Reads the clock once, so call it for each bounded slice of
/// work on bytes from a peer (a hundred lines, some KiB), not for each byte.
pub async fn breathe() {
    if SHARE.get().is_over(PORTION) {
        futures_lite::future::yield_now().await;
    }
}

pin_project! {
    /// A task whose polls are limited and measured.
    #[derive(Debug)]
    pub(super) struct Polled<F> {
        name: &'static str,
        is_measured: bool,
        #[pin]
        task: F,
    }
}

impl<F> Polled<F> {
    /// Measures every poll of `task`.
    pub(super) const fn new(name: &'static str, task: F) -> Self {
        Self { name, is_measured: true, task }
    }

    /// Measures every poll except the first, in which everything is set up and no client is served yet.
    pub(super) const fn after_start(name: &'static str, task: F) -> Self {
        Self { name, is_measured: false, task }
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let began = Instant::now();
        let is_measured = std::mem::replace(this.is_measured, true);
        let outer = SHARE.replace(Share { began: Some(began), ..Share::NO_POLL });
        let is_outermost = outer.began.is_none();
        if is_outermost {
            BEGUN.set(BEGUN.get() + 1);
            POLLS.with_borrow_mut(|polls| polls.begin(began));
        }
        let polled = this.task.poll(context);
        SHARE.set(outer);
        if is_measured {
            let long = POLLS.with_borrow_mut(|polls| polls.end(this.name, began, is_outermost));
            if let Some(cpu_ns) = long {
                tracing::warn!(
                    task = this.name,
                    cpu_ms = cpu_ns / 1_000_000,
                    wall_ms = began.elapsed().as_millis() as u64,
                    "a task kept its executor for long"
                );
            }
        }
        polled
    }
}

impl Polls {
    /// To be called when an outermost poll begins. A nested poll must not read the clock: that would hide the time that the
    /// outer one used before.
    fn begin(&mut self, now: Instant) {
        if self.asked.is_none_or(|(at, _)| now.duration_since(at) >= SLICE) {
            self.asked = Some((now, thread_cpu_ns()));
        }
    }

    /// To be called when a poll ends. Returns its CPU time in ns if it is to be logged.
    fn end(&mut self, task: &'static str, began: Instant, is_outermost: bool) -> Option<u64> {
        let now = Instant::now();
        let wall_ns = now.duration_since(began).as_nanos() as u64;
        let cpu_ns = if now.duration_since(began) < SLICE {
            wall_ns
        } else {
            let cpu_ns = thread_cpu_ns();
            let used_ns = self.asked.map_or(wall_ns, |(_, before)| cpu_ns.saturating_sub(before));
            if is_outermost {
                self.asked = Some((now, cpu_ns));
            }
            used_ns.min(wall_ns)
        };
        self.cpu_us.record(cpu_ns / 1_000);
        let is_longest = cpu_ns > self.longest_ns;
        if is_longest {
            (self.longest_ns, self.longest_task) = (cpu_ns, task);
        }
        let is_told = || self.told.get(task).is_some_and(|at| now.duration_since(*at) < TOLD_EVERY);
        if cpu_ns < LONG_NS || !is_longest && is_told() {
            return None;
        }
        self.told.insert(task, now);
        Some(cpu_ns)
    }
}

/// CPU time that the calling thread has used so far, ns.
pub(super) fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call; the clock exists since Linux 2.6.12.
    #[allow(unsafe_code, reason = "the standard library has no clock of a thread")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::host::{
        clock::Clock,
        executor::{Executor, Io, OnPanic, Running, spawn, yield_now},
        watchdog::Heartbeat,
    };
    use stentor_core::mesh::CoreId;

    /// Runs the test on each kind of executor that works here.
    fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + Copy + 'static) {
        for io in Io::here() {
            let executor =
                Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
            executor.start(main).and_then(Running::join).expect("executor");
        }
    }

    fn burn(ns: u64) {
        let until = thread_cpu_ns() + ns;
        while thread_cpu_ns() < until {}
    }

    /// Runs `hog` and checks that another task runs in the meantime. `hog` can end once its flag is set.
    async fn others_run<F: Future<Output = ()> + 'static>(hog: impl FnOnce(Rc<Cell<bool>>) -> F) {
        let seen = Rc::new(Cell::new(false));
        spawn(OnPanic::Abort, "other", {
            let seen = Rc::clone(&seen);
            async move {
                for _ in 0..10 {
                    yield_now().await;
                }
                seen.set(true);
            }
        });
        hog(Rc::clone(&seen)).await;
        assert!(seen.get());
    }

    #[test]
    fn a_loop_that_breathes_lets_others_run() {
        run(|| {
            others_run(|seen| async move {
                while !seen.get() {
                    breathe().await;
                }
            })
        });
    }

    #[test]
    fn a_share_ends_and_the_next_poll_has_another() {
        run(|| async {
            let mut polls = 0;
            let mut taken = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                while taken < 10 * INTAKE_BYTES {
                    let left = std::task::ready!(poll_intake(context));
                    assert!((1..=INTAKE_BYTES).contains(&left));
                    took(left.min(INTAKE_BYTES / 2));
                    taken += left.min(INTAKE_BYTES / 2);
                }
                Poll::Ready(())
            })
            .await;
            assert!(polls >= 10, "{polls}");
            let mut polls = 0;
            let mut given = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                while given < 3 * OUTLET_BYTES {
                    given += std::task::ready!(poll_outlet(context));
                    gave(OUTLET_BYTES);
                }
                Poll::Ready(())
            })
            .await;
            assert!(polls >= 3, "{polls}");
        });
    }

    #[test]
    fn a_slow_poll_may_move_something_all_the_same() {
        run(|| async {
            let mut reads = 0;
            std::future::poll_fn(|context| {
                burn(2_000_000);
                while reads < 3 {
                    std::task::ready!(poll_intake(context));
                    took(1);
                    reads += 1;
                }
                Poll::Ready(())
            })
            .await;
        });
    }

    #[test]
    fn nothing_is_limited_where_there_are_no_polls() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        took(usize::MAX);
        assert_eq!(poll_intake(&mut context), Poll::Ready(usize::MAX));
    }

    #[test]
    fn the_longest_poll_is_known_with_its_task() {
        run(|| async {
            spawn(OnPanic::Abort, "spawner", async {
                yield_now().await;
                // Polled inside the spawner's poll, which therefore takes longer.
                spawn(OnPanic::Abort, "spawned", async { burn(LONG_NS) });
                burn(LONG_NS);
            });
            while polls(|polls| polls.longest_ns < 2 * LONG_NS) {
                yield_now().await;
            }
            polls(|polls| {
                assert_eq!(polls.longest_task, "spawner");
                assert_eq!(polls.told.keys().copied().collect::<Vec<_>>(), ["spawned", "spawner"]);
                assert!(polls.cpu_us.quantile(1.0) >= 2 * LONG_NS / 1_000);
            });
        });
    }

    #[test]
    fn a_poll_that_was_not_run_was_not_long() {
        run(|| async {
            spawn(OnPanic::Abort, "sleeper", async { std::thread::sleep(Duration::from_nanos(10 * LONG_NS)) });
            yield_now().await;
            assert!(polls(|polls| polls.cpu_us.count() > 0 && polls.longest_ns < 10 * LONG_NS));
        });
    }
}
