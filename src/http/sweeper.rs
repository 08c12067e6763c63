//! Deadlines of connections, looked at four times a second for all connections of a core at once: a connection has
//! no timer of its own and the hot path reads no clock.
//!
//! Knows in which phase each connection stands and since when; does not know what is said on it. A [`Watch`] belongs
//! to one connection's task and lives on its core; the transport, the service and the body tell it what happens, the
//! sweep alone judges, and the task acts.
//!
//! ```text
//! Opening ─first byte→ Header ─parsed→ Handling ⇄ Body (while the handler reads it)
//!                         ↑               │ answer's body given to the socket
//!                         └─first byte─ Idle          any ─our last byte→ Closing
//! ```

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};

use super::limits::Limits;

/// Between two sweeps: what a deadline may be late by.
pub const SWEEP: Duration = Duration::from_millis(250);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted; nothing arrived yet, or a handshake is under way.
    Opening,
    /// A request's first bytes arrived, its headers are not complete.
    Header,
    /// A handler waits for the request's body.
    Body,
    /// A handler works or its answer is being written: no deadline of ours, unless the peer takes nothing.
    Handling,
    /// Between requests.
    Idle,
    /// Our side has ended; waiting for the peer's end.
    Closing,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// No complete headers: 408 if a request had begun.
    Header,
    /// No complete body: the reader of the body gets an error, the connection goes on to say so.
    Body,
    /// No further request.
    Idle,
    /// The peer takes nothing.
    Write,
    /// The peer does not end after us.
    Linger,
    /// The server stops and will not wait longer.
    Drain,
}

impl Overdue {
    /// Every deadline, in the order of [`Counters::overdue`].
    pub const ALL: [Self; 6] = [Self::Header, Self::Body, Self::Idle, Self::Write, Self::Linger, Self::Drain];
}

/// What happened on one core since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, those turned away included.
    pub accepted: u64,
    /// Connections turned away because `connections_max` were open.
    pub turned_away: u64,
    /// Times that accepting failed for want of descriptors or memory and backed off.
    pub accept_backoffs: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections ended by what the peer sent or by losing it in the middle of a request.
    pub broken: u64,
    /// Deadlines that passed, by the order of [`Overdue::ALL`].
    pub overdue: [u64; Overdue::ALL.len()],
}

/// All connections of one core.
#[derive(Debug)]
pub struct Sweeper {
    limits: Cell<Limits>,
    tick_ms: Cell<u64>,
    draining: Cell<bool>,
    watches: RefCell<Vec<Rc<Watch>>>,
    bodies_bytes: Cell<usize>,
    counters: Cell<Counters>,
}

impl Sweeper {
    /// A sweeper without connections.
    pub fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            limits: Cell::new(limits),
            tick_ms: Cell::new(0),
            draining: Cell::new(false),
            watches: RefCell::default(),
            bodies_bytes: Cell::new(0),
            counters: Cell::default(),
        })
    }

    /// The limits that it enforces.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Other limits from now on, also for connections that are open.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Watches one more connection; None when `connections_max` are open. Ends by [`Self::release`].
    pub fn watch(self: &Rc<Self>) -> Option<Rc<Watch>> {
        let mut watches = self.watches.borrow_mut();
        if watches.len() >= self.limits.get().connections_max {
            return None;
        }
        let watch = Rc::new(Watch {
            sweeper: Rc::clone(self),
            place: Cell::new(watches.len()),
            phase: Cell::new(Phase::Opening),
            since_ms: Cell::new(self.tick_ms.get()),
            body_bytes: Cell::new(0),
            read_ahead: Cell::new(false),
            stuck_ms: Cell::new(None),
            overdue: Cell::new(None),
            waker: RefCell::default(),
        });
        watches.push(Rc::clone(&watch));
        Some(watch)
    }

    /// The connection is gone.
    pub fn release(&self, watch: &Watch) {
        let mut watches = self.watches.borrow_mut();
        let place = watch.place.get();
        watches.swap_remove(place);
        if let Some(moved) = watches.get(place) {
            moved.place.set(place);
        }
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.watches.borrow().len()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// Looks at every connection. `now_ms` is monotonic, of any origin; called every [`SWEEP`].
    pub fn sweep(&self, now_ms: u64) {
        self.tick_ms.set(now_ms);
        for watch in &*self.watches.borrow() {
            if let Some(overdue) = watch.judge(now_ms, &self.limits.get()) {
                self.condemn(watch, overdue);
            }
        }
    }

    /// From now on connections end after the answer in hand; idle ones at once.
    pub fn drain(&self) {
        self.draining.set(true);
        self.watches.borrow().iter().for_each(|watch| watch.wake());
    }

    /// Whether [`Self::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Connections on which our side has not ended.
    pub fn unfinished(&self) -> usize {
        self.watches.borrow().iter().filter(|watch| watch.phase() != Phase::Closing).count()
    }

    /// Ends every connection that is still open.
    pub fn cut(&self) {
        self.watches.borrow().iter().for_each(|watch| self.condemn(watch, Overdue::Drain));
    }

    fn condemn(&self, watch: &Watch, overdue: Overdue) {
        self.count(|counters| counters.overdue[overdue as usize] += 1);
        watch.overdue.set(Some(overdue));
        watch.wake();
    }

    /// Takes room for `bytes` of bodies; None when the core holds too many already.
    pub fn claim(self: &Rc<Self>, bytes: usize) -> Option<Room> {
        let mut room = Room { sweeper: Rc::clone(self), bytes: 0 };
        room.grow(bytes).then_some(room)
    }
}

/// A claim on the core's memory for bodies; given back when dropped.
#[derive(Debug)]
pub struct Room {
    sweeper: Rc<Sweeper>,
    bytes: usize,
}

impl Room {
    /// Extends the claim to `bytes` in all; false, and nothing changed, when there is no room. Never shrinks.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let held = self.sweeper.bodies_bytes.get().saturating_add(more);
        let fits = held <= self.sweeper.limits.get().bodies_bytes_max;
        if fits {
            self.sweeper.bodies_bytes.set(held);
            self.bytes += more;
        }
        fits
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.sweeper.bodies_bytes.set(self.sweeper.bodies_bytes.get() - self.bytes);
    }
}

/// One connection's phase and deadline.
#[derive(Debug)]
pub struct Watch {
    sweeper: Rc<Sweeper>,
    place: Cell<usize>,
    phase: Cell<Phase>,
    since_ms: Cell<u64>,
    body_bytes: Cell<u64>,
    read_ahead: Cell<bool>,
    stuck_ms: Cell<Option<u64>>,
    overdue: Cell<Option<Overdue>>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// All connections of this core.
    pub fn sweeper(&self) -> &Rc<Sweeper> {
        &self.sweeper
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The task to wake when a deadline passes or the server drains.
    pub fn listen(&self, waker: &Waker) {
        let mut listening = self.waker.borrow_mut();
        if !listening.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *listening = Some(waker.clone());
        }
    }

    /// The deadline that passed and asks the task to end the connection. [`Overdue::Body`] does not.
    pub fn overdue(&self) -> Option<Overdue> {
        self.overdue.get().filter(|overdue| *overdue != Overdue::Body)
    }

    /// Whether the body's deadline passed; asking takes it down.
    pub fn take_body_overdue(&self) -> bool {
        let passed = self.overdue.get() == Some(Overdue::Body);
        if passed {
            self.overdue.set(None);
        }
        passed
    }

    /// `bytes` arrived.
    pub fn note_read(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Opening | Phase::Idle => self.enter(Phase::Header),
            Phase::Body => self.body_bytes.set(self.body_bytes.get() + bytes as u64),
            Phase::Handling => self.read_ahead.set(true),
            Phase::Header | Phase::Closing => {}
        }
    }

    /// The socket took bytes, or did not.
    pub fn note_write(&self, taken: bool) {
        match (taken, self.stuck_ms.get()) {
            (true, Some(_)) => {
                self.stuck_ms.set(None);
                self.since_ms.set(self.sweeper.tick_ms.get());
            }
            (false, None) => self.stuck_ms.set(Some(self.sweeper.tick_ms.get())),
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// A request's headers are complete.
    pub fn note_request(&self) {
        self.read_ahead.set(false);
        self.enter(Phase::Handling);
    }

    /// The handler waits for the body.
    pub fn note_body(&self) {
        self.body_bytes.set(0);
        self.enter(Phase::Body);
    }

    /// The body is complete, or no one waits for it any more.
    pub fn note_body_end(&self) {
        if self.phase.get() == Phase::Body {
            self.enter(Phase::Handling);
        }
    }

    /// The answer is on its way; a next request that was already read in part has begun.
    pub fn note_answer(&self) {
        if self.phase.get() != Phase::Closing {
            self.enter(if self.read_ahead.take() { Phase::Header } else { Phase::Idle });
        }
    }

    /// Our side has ended.
    pub fn note_end(&self) {
        self.enter(Phase::Closing);
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since_ms.set(self.sweeper.tick_ms.get());
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The deadline that has passed and was not yet told.
    fn judge(&self, now_ms: u64, limits: &Limits) -> Option<Overdue> {
        if self.overdue.get().is_some() {
            return None;
        }
        let (since_ms, allowed_ms, overdue) = match (self.stuck_ms.get(), self.phase.get()) {
            (_, Phase::Closing) => (self.since_ms.get(), limits.linger_ms, Overdue::Linger),
            (Some(stuck_ms), _) => (stuck_ms, limits.write_ms, Overdue::Write),
            (None, Phase::Opening | Phase::Header) => (self.since_ms.get(), limits.header_ms, Overdue::Header),
            (None, Phase::Body) => (self.since_ms.get(), self.body_ms(limits), Overdue::Body),
            (None, Phase::Idle) => (self.since_ms.get(), limits.idle_ms, Overdue::Idle),
            (None, Phase::Handling) => return None,
        };
        (now_ms.saturating_sub(since_ms) > allowed_ms).then_some(overdue)
    }

    fn body_ms(&self, limits: &Limits) -> u64 {
        limits.body_ms.saturating_add(self.body_bytes.get().saturating_mul(1_000) / limits.body_rate_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connections_max: 2, bodies_bytes_max: 64 << 20, ..Limits::DEFAULT };

    /// Plays `happens` on a fresh connection at 1 s, then sweeps at `at_s`.
    fn check(happens: impl FnOnce(&Watch), at_s: u64, expected: Option<Overdue>) {
        let sweeper = Sweeper::new(LIMITS);
        sweeper.sweep(1_000);
        let watch = sweeper.watch().expect("room");
        happens(&watch);
        sweeper.sweep(at_s * 1_000);
        assert_eq!(watch.overdue.get(), expected, "{:?}", watch.phase());
    }

    #[test]
    fn each_phase_has_its_deadline() {
        check(|_| {}, 11, None);
        check(|_| {}, 12, Some(Overdue::Header));
        check(|watch| watch.note_read(5), 12, Some(Overdue::Header));
        check(Watch::note_request, 100_000, None);
        check(Watch::note_body, 21, None);
        check(Watch::note_body, 22, Some(Overdue::Body));
        check(Watch::note_answer, 76, None);
        check(Watch::note_answer, 77, Some(Overdue::Idle));
        check(Watch::note_end, 4, Some(Overdue::Linger));
    }

    #[test]
    fn a_body_earns_time_by_arriving() {
        let slow = |watch: &Watch| {
            watch.note_body();
            watch.note_read(100 * (16 << 10));
        };
        check(slow, 121, None);
        check(slow, 122, Some(Overdue::Body));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_cut_even_while_its_answer_is_made() {
        let stuck = |watch: &Watch| {
            watch.note_request();
            watch.note_write(false);
        };
        check(stuck, 31, None);
        check(stuck, 32, Some(Overdue::Write));
        check(
            |watch| {
                stuck(watch);
                watch.note_write(true);
            },
            1_000,
            None,
        );
    }

    #[test]
    fn a_request_read_ahead_has_begun() {
        check(
            |watch| {
                watch.note_request();
                watch.note_read(10);
                watch.note_answer();
            },
            12,
            Some(Overdue::Header),
        );
    }

    #[test]
    fn places_and_room_come_back() {
        let sweeper = Sweeper::new(LIMITS);
        let (first, second) = (sweeper.watch().expect("one"), sweeper.watch().expect("two"));
        assert!(sweeper.watch().is_none());
        sweeper.release(&first);
        let third = sweeper.watch().expect("again");
        sweeper.release(&second);
        sweeper.release(&third);
        assert_eq!(sweeper.open(), 0);

        let mut room = sweeper.claim(60 << 20).expect("room");
        assert!(!room.grow(65 << 20) && sweeper.claim(5 << 20).is_none());
        assert!(room.grow(64 << 20));
        drop(room);
        assert_eq!(sweeper.bodies_bytes.get(), 0);
    }

    #[test]
    fn a_body_overdue_does_not_end_the_connection() {
        let sweeper = Sweeper::new(LIMITS);
        let watch = sweeper.watch().expect("room");
        watch.note_body();
        sweeper.sweep(60_000);
        assert_eq!((watch.overdue(), watch.take_body_overdue(), watch.take_body_overdue()), (None, true, false));
        assert_eq!(sweeper.counters().overdue, [0, 1, 0, 0, 0, 0]);
    }
}
