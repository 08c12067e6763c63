//! Deadlines of connections, checked four times a second for all connections of a core at once: a connection has
//! no timer of its own and the hot path reads no clock. [`Places`] decides how many there may be and which is closed when there are
//! too many; [`Memory`] limits what requests and answers hold.
//!
//! Knows which phase each connection is in and since when; does not know what is sent on it. A [`Watch`] belongs
//! to one connection's task and lives on its core.
//!
//! ```text
//! Opening ─first byte→ Header ─parsed→ Handling ⇄ Body (while the handler reads it, save where it waits for memory)
//!                         ↑               │ answer's body given to the socket
//!                         └─first byte─ Idle          any ─our last byte→ Closing
//! ```

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use super::{
    limits::Limits,
    memory::Memory,
    places::{Origin, Places},
};
use stentor_core::{admission::Shares, model::TenantId};

pub use super::{memory::Room, watch::Watch};

/// Time between two sweeps: how late a deadline may be noticed.
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
    /// Our side has ended; the peer's end has not come yet.
    Closing,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The headers are not complete in time: 408 if a request had begun.
    Header,
    /// The body is not complete in time: its reader gets an error, and the connection stays open for the answer that says so.
    Body,
    /// No further request came.
    Idle,
    /// The peer takes nothing of its answer, or takes it too slowly.
    Write,
    /// The peer does not close after us.
    Linger,
    /// The server stops and waits no longer.
    Drain,
    /// Not a deadline: the connection was idle, and its place was needed.
    Evicted,
}

impl Overdue {
    /// Every deadline, in the order of [`Counters::overdue`]; [`Self::Evicted`] is counted apart.
    pub const ALL: [Self; 6] = [Self::Header, Self::Body, Self::Idle, Self::Write, Self::Linger, Self::Drain];
}

/// What happened on one core since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, those turned away included.
    pub accepted: u64,
    /// Connections turned away because `connections_max` were open and all of them at work.
    pub turned_away: u64,
    /// Connections closed to make room for others, because they were idle longest.
    pub evicted: u64,
    /// Requests refused because their tenant has more than its share of connections.
    pub over_share: u64,
    /// Bodies refused for having more framing than content.
    pub padded: u64,
    /// Bodies and answers cut off for being slow while other requests waited for memory.
    pub hurried: u64,
    /// Times that accepting paused because descriptors or memory were short.
    pub accept_backoffs: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections ended because of what the peer sent, or lost in the middle of a request.
    pub broken: u64,
    /// Deadlines that passed, in the order of [`Overdue::ALL`].
    pub overdue: [u64; Overdue::ALL.len()],
}

/// All connections of one core.
#[derive(Debug)]
pub struct Sweeper {
    limits: Cell<Limits>,
    tick_ms: Cell<u64>,
    draining: Cell<bool>,
    watches: RefCell<Vec<Rc<Watch>>>,
    places: Places,
    /// Connections by tenant, once a request has named one.
    connections: RefCell<Shares>,
    weights: RefCell<Vec<(TenantId, u32)>>,
    memory: Rc<Memory>,
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
            places: Places::default(),
            connections: RefCell::new(Shares::new(limits.connections_max as u64)),
            weights: RefCell::default(),
            memory: Memory::new(limits.memory_bytes_max, limits.memory_ms),
            counters: Cell::default(),
        })
    }

    /// The limits that it enforces.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Sets other limits from now on, also for open connections.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.share_out();
    }

    /// Sets the tenants and the weights of their shares of memory and connections; empty: there are no tenants.
    pub fn set_weights(&self, weights: Vec<(TenantId, u32)>) {
        self.weights.replace(weights);
        self.share_out();
    }

    fn share_out(&self) {
        let (limits, weights) = (self.limits.get(), self.weights.borrow());
        self.connections.borrow_mut().share_out(limits.connections_max as u64, &weights);
        self.memory.set_limits(limits.memory_bytes_max, limits.memory_ms, &weights);
    }

    /// The memory that requests and answers of this core may hold.
    pub fn memory(&self) -> &Rc<Memory> {
        &self.memory
    }

    /// Watches one more connection; `None` when `connections_max` are open. Must be ended by [`Self::release`].
    pub fn watch(self: &Rc<Self>, origin: Origin) -> Option<Rc<Watch>> {
        let mut watches = self.watches.borrow_mut();
        if watches.len() >= self.limits.get().connections_max {
            return None;
        }
        self.places.take(origin);
        let watch = Rc::new(Watch::new(self, origin, watches.len()));
        watches.push(Rc::clone(&watch));
        Some(watch)
    }

    /// Tells the connection that can best be spared to close; false when all are busy.
    pub fn make_place(&self) -> bool {
        let Some(watch) = self.places.whom(&self.watches.borrow(), self.tick_ms.get()) else { return false };
        self.condemn(&watch, Overdue::Evicted);
        true
    }

    /// Ends the watch of a connection that has ended.
    pub fn release(&self, watch: &Watch) {
        self.places.give_back(watch.origin());
        if let Some(tenant) = watch.set_tenant(None) {
            self.connections.borrow_mut().give_back(tenant, 1);
        }
        let mut watches = self.watches.borrow_mut();
        let place = watch.leave();
        watches.swap_remove(place);
        if let Some(moved) = watches.get(place) {
            moved.set_place(place);
        }
    }

    /// The connection's requests are `tenant`'s; false when the tenant has more than its share of connections.
    pub fn assign(&self, watch: &Watch, tenant: TenantId) -> bool {
        if watch.tenant() == Some(tenant) {
            return true;
        }
        let connections = &mut *self.connections.borrow_mut();
        if connections.may_take(tenant, 1).is_err() {
            self.count(|counters| counters.over_share += 1);
            return false;
        }
        connections.take(tenant, 1);
        if let Some(before) = watch.set_tenant(Some(tenant)) {
            connections.give_back(before, 1);
        }
        true
    }

    pub(super) fn tick_ms(&self) -> u64 {
        self.tick_ms.get()
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.watches.borrow().len()
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    /// Changes a counter.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// Checks every connection. `now_ms` is monotonic, of any origin; called every [`SWEEP`].
    pub fn sweep(&self, now_ms: u64) {
        self.tick_ms.set(now_ms);
        self.memory.sweep(now_ms);
        let (limits, is_waited_for) = (self.limits.get(), self.memory.is_waited_for());
        for watch in &*self.watches.borrow() {
            if let Some(overdue) = watch.judge(now_ms, &limits) {
                self.condemn(watch, overdue);
            } else if let Some(overdue) = watch.judge_pace(now_ms, &limits).filter(|_| is_waited_for) {
                self.count(|counters| counters.hurried += 1);
                watch.hurry();
                self.condemn(watch, overdue);
            }
        }
    }

    /// From now on connections end after the current answer; idle ones end at once.
    pub fn drain(&self) {
        self.draining.set(true);
        self.watches.borrow().iter().for_each(|watch| watch.wake());
    }

    /// Whether [`Self::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Number of connections on which our side has not ended.
    pub fn unfinished(&self) -> usize {
        self.watches.borrow().iter().filter(|watch| watch.phase() != Phase::Closing).count()
    }

    /// Ends every connection that is still open.
    pub fn cut(&self) {
        self.watches.borrow().iter().for_each(|watch| self.condemn(watch, Overdue::Drain));
    }

    fn condemn(&self, watch: &Watch, overdue: Overdue) {
        self.count(|counters| match counters.overdue.get_mut(overdue as usize) {
            Some(counted) => *counted += 1,
            None => counters.evicted += 1,
        });
        watch.condemn(overdue);
    }
}

#[cfg(test)]
#[path = "sweeper_tests.rs"]
mod tests;
