//! One poll of one task, as its executor sees it: how much it may take in and put out, and for how long it ran. Knows
//! bytes and time; no socket and no task.
//!
//! Who is outside decides neither how often a loop over his bytes turns nor how long one poll is:
//! - Each poll begins with a fresh [`Share`]. When its bytes are used up, or the time that it may run for, the next read
//!   or write answers `Pending` with the task already woken again: it goes to the end of the run queue, and others run.
//! - Loops that compute over bytes from outside call [`breathe`] between slices of work, which yields when it is time.
//! - A first poll of a task that is spawned happens inside the poll of its spawner: shares nest.
//!
//! Each poll is measured in CPU time of the thread, for a machine that is starved or a process that is stopped says
//! nothing about a poll. Reading that clock is a system call (0.7 µs, where the monotonic clock takes 0.03), so it is
//! asked only at the end of a poll that took long by the monotonic clock, and at the beginning of one if the last answer
//! is old: what is told is never less than the truth, and more by at most [`SLICE`].

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

/// What a poll may read from sockets, bytes. Parsing takes about 1 ns a byte at its fastest and 20 at its slowest.
const INTAKE_BYTES: usize = 128 << 10;
/// What a poll may write to sockets, bytes: only a copy, but for a peer that reads as fast as we write.
const OUTLET_BYTES: usize = 512 << 10;
/// After this a turn of shards and links ends where it can.
const SLICE: Duration = Duration::from_millis(1);
/// After this a poll that reads, writes or computes for one peer ends where it can: many of them may be ready, and who comes anew
/// waits for all.
const PORTION: Duration = Duration::from_micros(500);
/// A poll that used more CPU time than this is told of.
const LONG_NS: u64 = 10_000_000;
/// A task's long polls are told of once in so long, the longest of all at once.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What is left to the poll that runs.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// None outside of polls: on threads that are no executors nothing is limited.
    began: Option<Instant>,
    intake: usize,
    outlet: usize,
}

impl Share {
    const NO_POLL: Self = Self { began: None, intake: INTAKE_BYTES, outlet: OUTLET_BYTES };

    fn is_over(&self, after: Duration) -> bool {
        self.began.is_some_and(|began| began.elapsed() >= after)
    }

    /// What one direction may still move: at least one read or write a poll, or a poll that is slow before it comes to
    /// its socket would never come further.
    fn left(&self, left: usize, whole: usize) -> Option<usize> {
        match self.began {
            None => Some(usize::MAX),
            Some(_) if left == whole => Some(left),
            Some(_) if left == 0 || self.is_over(PORTION) => None,
            Some(_) => Some(left),
        }
    }
}

/// The polls of one executor since it started, by the CPU time that they used.
#[derive(Debug, Default)]
pub struct Polls {
    /// All of them, µs.
    pub cpu_us: Distribution,
    /// The longest, ns.
    pub longest_ns: u64,
    /// Whose it was.
    pub longest_task: &'static str,
    /// When the thread's clock was asked last, and what it said.
    asked: Option<(Instant, u64)>,
    told: BTreeMap<&'static str, Instant>,
}

thread_local! {
    static SHARE: Cell<Share> = const { Cell::new(Share::NO_POLL) };
    static POLLS: RefCell<Polls> = RefCell::default();
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// Polls of tasks that this executor has begun since it started.
pub fn polls_begun() -> u64 {
    BEGUN.get()
}

/// Looks at what was measured on this executor.
pub fn polls<R>(read: impl FnOnce(&Polls) -> R) -> R {
    POLLS.with_borrow(read)
}

/// How many bytes this poll may still take in from outside; `Pending`, with the task woken again, when it had its share.
pub fn poll_intake(context: &mut Context<'_>) -> Poll<usize> {
    let share = SHARE.get();
    or_later(share.left(share.intake, INTAKE_BYTES), context)
}

/// So many bytes were taken in.
pub fn took(bytes: usize) {
    let share = SHARE.get();
    SHARE.set(Share { intake: share.intake.saturating_sub(bytes), ..share });
}

/// How many bytes this poll may still put out; `Pending`, with the task woken again, when it had its share.
pub fn poll_outlet(context: &mut Context<'_>) -> Poll<usize> {
    let share = SHARE.get();
    or_later(share.left(share.outlet, OUTLET_BYTES), context)
}

/// So many bytes were put out.
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

/// Whether this poll has run for about a millisecond: for turns that cannot wait and leave the rest to the next poll.
pub fn is_late() -> bool {
    SHARE.get().is_over(SLICE)
}

/// The same of two milliseconds: for what costs as much again when it is cut.
pub fn is_very_late() -> bool {
    SHARE.get().is_over(2 * SLICE)
}

/// Lets other tasks run if this poll has run for about half a millisecond. One look at the clock: for each bounded slice of work
/// over what came from outside (a hundred lines, some KiB), not for each byte.
pub async fn breathe() {
    if SHARE.get().is_over(PORTION) {
        futures_lite::future::yield_now().await;
    }
}

pin_project! {
    /// A task whose polls have shares and are measured.
    #[derive(Debug)]
    pub(super) struct Polled<F> {
        name: &'static str,
        is_measured: bool,
        #[pin]
        task: F,
    }
}

impl<F> Polled<F> {
    /// Every poll of `task`.
    pub(super) const fn new(name: &'static str, task: F) -> Self {
        Self { name, is_measured: true, task }
    }

    /// Every poll but the first, in which everything is set up and nobody is served yet.
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
    /// An outermost poll begins: one inside it would hide what the outer one used before.
    fn begin(&mut self, now: Instant) {
        if self.asked.is_none_or(|(at, _)| now.duration_since(at) >= SLICE) {
            self.asked = Some((now, thread_cpu_ns()));
        }
    }

    /// The CPU time of a poll that is to be told of.
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

/// CPU time that the calling thread has used, ns.
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

    /// On one executor after the other.
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

    /// What another task gets to see while `hog` runs: it ends when that one had its turns.
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
    fn nothing_is_limited_where_nobody_polls() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        took(usize::MAX);
        assert_eq!(poll_intake(&mut context), Poll::Ready(usize::MAX));
    }

    #[test]
    fn the_longest_poll_is_known_with_its_task() {
        run(|| async {
            spawn(OnPanic::Abort, "spawner", async {
                yield_now().await;
                // Polled inside of its spawner's poll, which is longer by this.
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
