//! Waits for everything that an executor on epoll waits for: sockets, precise timers, and tasks woken by other threads, which
//! come through the door. Knows descriptors, wakers and instants; neither tasks nor bytes.
//!
//! - A socket is registered once, edge-triggered, for both directions. A task always tries to read or write first, and waits
//!   only when the kernel reports that it would block. An edge before that report is not needed, and an edge after it is seen
//!   at the next check, which the same thread makes. So no edge is lost, and a superfluous one costs only a try.
//! - All precise timers use one timerfd, set when the first of them changes, because `epoll_wait` counts in milliseconds and
//!   some hosts are too old for `epoll_pwait2`.
//! - A thread that puts a task into the door rings the bell only if the executor sleeps or is about to sleep. This is the
//!   protocol of `mesh/waker.rs`, with its proof: [`Door::put`] publishes, fences and reads `asleep` (P1 to P3);
//!   [`Reactor::look`] sets `asleep`, fences and checks the door again (C2 to C4). The bell (an eventfd, edge-triggered) is
//!   never read: each ring is an edge, and only 2^64 rings would fill it. A ring before `epoll_wait` makes that return at once.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    task::{Context, Waker},
};

use async_task::Runnable;
use crossbeam::{queue::SegQueue, utils::CachePadded};
use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, Timespec, epoll, eventfd},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime},
};

use super::{super::clock::Clock, timers::Timers};
use stentor_core::model::Mono;

/// Most events that one check takes; the next check takes the rest.
const EVENTS_MAX: usize = 256;
/// Numbers of the two descriptors that are not sockets.
const BELL: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Receives the tasks that other threads have woken.
pub(super) struct Door {
    woken: SegQueue<Runnable>,
    asleep: CachePadded<AtomicBool>,
    bell: OwnedFd,
}

impl fmt::Debug for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Door").field("woken", &self.woken.len()).finish_non_exhaustive()
    }
}

impl Door {
    /// Adds a woken task, and wakes the executor if needed. May be called on any thread.
    pub(super) fn put(&self, woken: Runnable) {
        self.woken.push(woken);
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            // The write fails only if the counter is full, and then the bell has rung.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Removes the next woken task. To be called by the executor.
    pub(super) fn take(&self) -> Option<Runnable> {
        self.woken.pop()
    }
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Incoming bytes or connections.
    Read,
    /// Outgoing bytes, or the establishment of a connection.
    Write,
}

/// A registered descriptor, with the tasks that wait for it.
pub(crate) struct Source {
    place: usize,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Source").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Source {
    /// Has the calling task woken when `side` may be ready; one task at a time for each side. To be called after the kernel has
    /// reported that the side would block.
    pub(crate) fn wait(&self, side: Side, context: &Context<'_>) {
        let slot = match side {
            Side::Read => &self.reader,
            Side::Write => &self.writer,
        };
        let known = slot.take().filter(|known| known.will_wake(context.waker()));
        slot.set(Some(known.unwrap_or_else(|| context.waker().clone())));
    }

    fn wake(&self, flags: epoll::EventFlags) {
        use epoll::EventFlags as Is;
        let is_over = flags.intersects(Is::ERR | Is::HUP);
        if (is_over || flags.intersects(Is::IN | Is::RDHUP))
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        if (is_over || flags.contains(Is::OUT))
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }
}

/// Registered descriptors, by the number that the kernel returns with an event.
#[derive(Debug, Default)]
struct Sources {
    places: Vec<Option<Rc<Source>>>,
    free: Vec<usize>,
}

/// The reactor of one executor.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    door: Arc<Door>,
    clock: Clock,
    sources: RefCell<Sources>,
    timers: RefCell<Timers>,
    /// The time to which the timerfd is set.
    armed: Cell<Option<Mono>>,
    events: RefCell<Vec<epoll::Event>>,
}

impl fmt::Debug for Reactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reactor")
            .field("sources", &self.sources)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}

impl Reactor {
    /// # Errors
    /// When no descriptors are left, or the kernel lacks epoll, eventfd or timerfd.
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        for (source, number) in [(&bell, BELL), (&timer, TIMER)] {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, source, epoll::EventData::new_u64(number), flags)?;
        }
        let door = Door { woken: SegQueue::new(), asleep: CachePadded::default(), bell };
        Ok(Self {
            epoll,
            timer,
            door: Arc::new(door),
            clock,
            sources: RefCell::default(),
            timers: RefCell::default(),
            armed: Cell::new(None),
            events: RefCell::new(Vec::with_capacity(EVENTS_MAX)),
        })
    }

    pub(super) const fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Watches `socket` until [`Self::forget`].
    ///
    /// # Errors
    /// When the kernel has no memory for it, or the user may not watch more descriptors (`fs.epoll.max_user_watches`).
    pub(crate) fn watch(&self, socket: &impl AsFd) -> io::Result<Rc<Source>> {
        let mut sources = self.sources.borrow_mut();
        let place = sources.free.last().copied().unwrap_or(sources.places.len());
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(place as u64), flags)?;
        let source = Rc::new(Source { place, reader: Cell::default(), writer: Cell::default() });
        if sources.free.pop().is_none() {
            sources.places.push(None);
        }
        sources.places[place] = Some(Rc::clone(&source));
        Ok(source)
    }

    /// Stops watching `socket`; to be called before it is closed. An event that was taken already may still wake the next socket
    /// with the same number once, which does no harm.
    pub(crate) fn forget(&self, socket: &impl AsFd, source: &Source) {
        // It was registered by `watch`.
        let _ = epoll::delete(&self.epoll, socket);
        let mut sources = self.sources.borrow_mut();
        sources.places[source.place] = None;
        sources.free.push(source.place);
    }

    pub(super) fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// Precise timers of this executor.
    pub(super) const fn timers(&self) -> &RefCell<Timers> {
        &self.timers
    }

    /// Wakes all tasks whose socket or timer is ready. With `may_sleep`, waits until there is at least one, or a task in the door.
    ///
    /// # Errors
    /// The kernel's error from epoll or the timer, which means a programming error here.
    pub(super) fn look(&self, may_sleep: bool) -> io::Result<()> {
        self.arm()?;
        let sleeps = may_sleep && {
            self.door.asleep.store(true, Ordering::Release);
            fence(Ordering::SeqCst);
            self.door.woken.is_empty()
        };
        let at_once = Timespec::default();
        let mut events = self.events.borrow_mut();
        events.clear();
        let taken = epoll::wait(&self.epoll, spare_capacity(&mut events), (!sleeps).then_some(&at_once));
        self.door.asleep.store(false, Ordering::Relaxed);
        match taken {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.iter() {
            match event.data.u64() {
                BELL => {}
                TIMER => self.armed.set(None),
                place => {
                    let source = self.sources.borrow().places.get(place as usize).cloned().flatten();
                    if let Some(source) = source {
                        source.wake(event.flags);
                    }
                }
            }
        }
        if self.timers.borrow().first().is_some_and(|first| first <= self.clock.mono()) {
            let due = self.timers.borrow_mut().due(self.clock.mono());
            due.into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// Sets the timerfd to the first timer, if that has changed. When no timer is left, the old setting remains: it causes one
    /// superfluous wake-up.
    fn arm(&self) -> io::Result<()> {
        let Some(first) = self.timers.borrow().first() else { return Ok(()) };
        if self.armed.get().is_some_and(|armed| armed == first) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let left_ns = first.since(self.clock.mono()).max(1);
        let it_value = Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as _ };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed.set(Some(first));
        Ok(())
    }
}
