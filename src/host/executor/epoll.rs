//! Executors on epoll, for hosts that forbid io_uring: a thread, a queue of ready tasks, and a [`Reactor`] that waits when no
//! task is ready. Knows tasks; the reactor knows what they wait for.
//!
//! - A task belongs to its thread: it is polled and dropped only there, which `async-task` checks. A waker may be used on any
//!   thread; on another thread it puts the task into the [`Door`].
//! - Tasks are never cancelled. Tasks that still run when the executor ends are dropped on its thread.
//! - While tasks are ready, sockets, timers and the door are checked every [`LOOK`].

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::Instant,
};

use async_task::Runnable;
use pin_project_lite::pin_project;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{
    super::{clock::Clock, logging},
    LOOK,
    reactor::{Door, Reactor},
};
use stentor_core::{mesh::CoreId, model::Mono};

/// A running executor.
pub(super) type Running = JoinHandle<()>;

/// The executor of the calling thread.
#[derive(Debug)]
struct Here {
    reactor: Rc<Reactor>,
    ready: RefCell<VecDeque<Runnable>>,
    tasks: RefCell<Tasks>,
}

/// The wakers of all tasks, used to drop the tasks when the executor ends.
#[derive(Debug, Default)]
struct Tasks {
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Tasks {
    fn add(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }
}

thread_local! {
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

#[allow(clippy::panic, reason = "as `local` in mod.rs: no input reaches it")]
fn here() -> Rc<Here> {
    HERE.with_borrow(Option::clone).unwrap_or_else(|| panic!("not on an executor"))
}

/// Starts a thread that runs until the future that `main` makes on it has ended.
///
/// # Errors
/// When the thread cannot be started or pinned, or no descriptors are left.
pub(super) fn start<M, F>(core: CoreId, cpu: Option<usize>, clock: Clock, main: M) -> io::Result<Running>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (told, ready) = mpsc::sync_channel(1);
    let running = thread::Builder::new().name(format!("core-{}", core.0)).spawn(move || {
        let reactor = cpu.map_or(Ok(()), pin).and_then(|()| Reactor::new(clock));
        let reactor = match reactor {
            Ok(reactor) => reactor,
            Err(error) => return drop(told.send(Err(error))),
        };
        let _ = told.send(Ok(()));
        // Tasks catch their own panics, so this is a panic of the executor, or of a destructor in a task.
        if std::panic::catch_unwind(AssertUnwindSafe(|| run(reactor, main))).is_err() {
            tracing::error!("panic in an executor: aborting, a restart recovers from the log");
            logging::abort();
        }
    })?;
    match ready.recv() {
        Ok(Ok(())) => Ok(running),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(io::Error::other("its thread ended")),
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(io::Error::from)
}

fn run<M, F>(reactor: Reactor, main: M)
where
    M: FnOnce() -> F,
    F: Future<Output = ()> + 'static,
{
    let here = Rc::new(Here { reactor: Rc::new(reactor), ready: RefCell::default(), tasks: RefCell::default() });
    HERE.set(Some(Rc::clone(&here)));
    let has_ended = Rc::new(Cell::new(false));
    let main = futures_util::FutureExt::map(main(), {
        let has_ended = Rc::clone(&has_ended);
        move |()| has_ended.set(true)
    });
    spawn(main);
    here.turn(&has_ended);
    here.end();
    HERE.set(None);
}

impl Here {
    fn turn(&self, has_ended: &Cell<bool>) {
        let mut looked = Instant::now();
        while !has_ended.get() {
            self.take_woken();
            // Tasks that become ready in this round run in the next one, after those woken by other threads.
            let round = self.ready.borrow().len();
            for _ in 0..round {
                let Some(task) = self.ready.borrow_mut().pop_front() else { break };
                task.run();
                if has_ended.get() || looked.elapsed() >= LOOK {
                    break;
                }
            }
            let is_idle = self.ready.borrow().is_empty() && !has_ended.get();
            if is_idle || looked.elapsed() >= LOOK {
                if let Err(error) = self.reactor.look(is_idle) {
                    tracing::error!(%error, "an executor cannot wait: aborting, a restart recovers from the log");
                    logging::abort();
                }
                looked = Instant::now();
            }
        }
    }

    fn take_woken(&self) {
        while let Some(woken) = self.reactor.door().take() {
            self.ready.borrow_mut().push_back(woken);
        }
    }

    /// Drops all tasks. A task that another thread is waking at this moment will arrive at the door; the loop waits for it.
    fn end(&self) {
        loop {
            let left: Vec<Waker> = self.tasks.borrow().places.iter().flatten().cloned().collect();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(Waker::wake);
            self.take_woken();
            let ready = std::mem::take(&mut *self.ready.borrow_mut());
            if ready.is_empty() {
                thread::yield_now();
            }
            // Dropping a task without running it ends it.
            drop(ready);
        }
    }
}

/// Runs `task` to its end; the first poll happens inside this call.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    let here = here();
    let place = here.tasks.borrow_mut().add();
    let door = Arc::clone(here.reactor.door());
    let (first, handle) =
        async_task::spawn_local(Kept { task, place: Place(place) }, move |woken| schedule(&door, woken));
    here.tasks.borrow_mut().places[place] = Some(first.waker());
    handle.detach();
    first.run();
}

fn schedule(door: &Arc<Door>, woken: Runnable) {
    let mut woken = Some(woken);
    // A thread that is ending has no executor any more.
    let _ = HERE.try_with(|slot| {
        if let Some(here) = slot.borrow().as_ref().filter(|here| Arc::ptr_eq(here.reactor.door(), door)) {
            here.ready.borrow_mut().extend(woken.take());
        }
    });
    if let Some(woken) = woken {
        door.put(woken);
    }
}

pin_project! {
    /// A task that is registered in [`Tasks`] until it is dropped.
    struct Kept<F> {
        #[pin]
        task: F,
        place: Place,
    }
}

/// The index of a task in [`Tasks`].
struct Place(usize);

impl<F: Future> Future for Kept<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().task.poll(context)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let known = HERE.with_borrow(|here| {
            let mut tasks = here.as_ref()?.tasks.borrow_mut();
            tasks.free.push(self.0);
            tasks.places[self.0].take()
        });
        drop(known);
    }
}

/// The reactor that watches the sockets of the calling thread.
pub(in crate::host) fn reactor() -> Rc<Reactor> {
    Rc::clone(&here().reactor)
}

/// Ends at `at`, or about 0.1 ms later.
pub(super) fn sleep_until(at: Mono) -> Sleep {
    Sleep { at, id: None, reactor: reactor() }
}

/// A precise timer; when dropped, it is removed.
pub(super) struct Sleep {
    at: Mono,
    id: Option<u64>,
    reactor: Rc<Reactor>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut timers = this.reactor.timers().borrow_mut();
        if this.reactor.now() >= this.at {
            timers.remove(this.at, this.id.take());
            return Poll::Ready(());
        }
        let id = *this.id.get_or_insert_with(|| timers.next_id());
        timers.set(this.at, id, context.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.reactor.timers().borrow_mut().remove(self.at, self.id.take());
    }
}
