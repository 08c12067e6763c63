//! One connection's phase and deadline. The transport, the service and the body report what happens; only the sweep
//! judges, and the connection's task acts. Knows times, rates and numbers of bytes; not what is sent.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use super::{
    limits::Limits,
    memory::Room,
    places::Origin,
    sweeper::{Overdue, Phase, Sweeper},
};
use stentor_core::model::TenantId;

/// The `place` of a watch whose connection has ended.
const GONE: usize = usize::MAX;
/// Most bytes of a body that the parser may have read and not yet passed on.
const READ_AHEAD_MAX: u64 = 128 << 10;

/// The watch of one connection. See the head of this file.
#[derive(Debug)]
pub struct Watch {
    sweeper: Rc<Sweeper>,
    origin: Origin,
    tenant: Cell<Option<TenantId>>,
    place: Cell<usize>,
    phase: Cell<Phase>,
    since_ms: Cell<u64>,
    /// Of the body that is being read: bytes that arrived, and how many of them are content.
    raw_bytes: Cell<u64>,
    body_bytes: Cell<u64>,
    /// How long the body had been read when its reader began to wait for memory.
    paused_ms: Cell<u64>,
    read_ahead: Cell<bool>,
    stuck_ms: Cell<Option<u64>>,
    /// How long we waited for the peer to take its answer, less the time that it earned by taking bytes.
    debt_us: Cell<u64>,
    pace: Pace,
    hurried: Cell<bool>,
    overdue: Cell<Option<Overdue>>,
    waker: RefCell<Option<Waker>>,
}

/// Bytes moved in a window of time.
#[derive(Debug, Default)]
struct Pace {
    since_ms: Cell<u64>,
    bytes: Cell<u64>,
    /// Whether the last complete window was slow.
    is_slow: Cell<bool>,
}

impl Pace {
    fn moved(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    fn begin(&self, now_ms: u64) {
        self.since_ms.set(now_ms);
        self.bytes.set(0);
        self.is_slow.set(false);
    }

    fn judge(&self, now_ms: u64, limits: &Limits) -> bool {
        let took_ms = now_ms.saturating_sub(self.since_ms.get());
        if took_ms >= limits.pace_ms {
            let is_slow = self.bytes.get().saturating_mul(1_000) < limits.pace_rate_min.saturating_mul(took_ms);
            self.begin(now_ms);
            self.is_slow.set(is_slow);
        }
        self.is_slow.get()
    }
}

impl Watch {
    /// The watch of a connection from `origin` that has just been accepted and is at `place` in the sweeper's list.
    pub(super) fn new(sweeper: &Rc<Sweeper>, origin: Origin, place: usize) -> Self {
        Self {
            sweeper: Rc::clone(sweeper),
            origin,
            tenant: Cell::new(None),
            place: Cell::new(place),
            phase: Cell::new(Phase::Opening),
            since_ms: Cell::new(sweeper.tick_ms()),
            raw_bytes: Cell::new(0),
            body_bytes: Cell::new(0),
            paused_ms: Cell::new(0),
            read_ahead: Cell::new(false),
            stuck_ms: Cell::new(None),
            debt_us: Cell::new(0),
            pace: Pace::default(),
            hurried: Cell::new(false),
            overdue: Cell::new(None),
            waker: RefCell::default(),
        }
    }

    /// The sweeper of this core.
    pub fn sweeper(&self) -> &Rc<Sweeper> {
        &self.sweeper
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Where the connection comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The tenant whose requests come in by the connection, once a request has named one.
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant.get()
    }

    pub(super) fn set_tenant(&self, tenant: Option<TenantId>) -> Option<TenantId> {
        self.tenant.replace(tenant)
    }

    pub(super) fn set_place(&self, place: usize) {
        self.place.set(place);
    }

    pub(super) fn leave(&self) -> usize {
        self.place.replace(GONE)
    }

    /// Whether its connection has ended.
    pub fn is_released(&self) -> bool {
        self.place.get() == GONE
    }

    /// A claim on the core's memory, on behalf of the current request.
    pub fn claim(&self) -> Room {
        self.sweeper.memory().open(self.tenant.get().unwrap_or_default())
    }

    /// Sets the task to wake when a deadline passes or the server drains.
    pub fn listen(&self, waker: &Waker) {
        let mut listening = self.waker.borrow_mut();
        if !listening.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *listening = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The deadline that passed, for which the task must end the connection. Never [`Overdue::Body`].
    pub fn overdue(&self) -> Option<Overdue> {
        self.overdue.get().filter(|overdue| *overdue != Overdue::Body)
    }

    pub(super) fn condemn(&self, overdue: Overdue) {
        self.overdue.set(Some(overdue));
        self.wake();
    }

    /// Marks the connection to be ended for its slowness, while others waited for memory.
    pub(super) fn hurry(&self) {
        self.hurried.set(true);
    }

    /// Why the body's reader must give up, if it must; reading this clears it.
    pub fn take_body_overdue(&self) -> Option<TooSlow> {
        if self.overdue.get() != Some(Overdue::Body) {
            return None;
        }
        self.overdue.set(None);
        Some(if self.hurried.take() { TooSlow::OthersWait } else { TooSlow::Deadline })
    }

    /// Since when nothing is under way on the connection; `None` while something is, or when it is ending already.
    pub fn idle_since_ms(&self) -> Option<u64> {
        let is_idle = match self.phase.get() {
            Phase::Opening | Phase::Header | Phase::Closing => true,
            Phase::Idle => self.stuck_ms.get().is_none(),
            Phase::Body | Phase::Handling => false,
        };
        (is_idle && self.overdue.get().is_none() && !self.is_released()).then(|| self.since_ms.get())
    }

    /// `bytes` arrived; false when the body that is being read is more framing than content: endless digits of a chunk's
    /// size, extensions, chunks of one byte.
    #[must_use]
    pub fn note_read(&self, bytes: usize) -> bool {
        match self.phase.get() {
            Phase::Opening | Phase::Idle => self.enter(Phase::Header),
            Phase::Body => {
                let raw = self.raw_bytes.get() + bytes as u64;
                self.raw_bytes.set(raw);
                let framing_max = self.sweeper.limits().framing_bytes_max + READ_AHEAD_MAX;
                if raw > self.body_bytes.get().saturating_mul(2) + framing_max {
                    self.sweeper.count(|counters| counters.padded += 1);
                    return false;
                }
            }
            Phase::Handling => self.read_ahead.set(true),
            Phase::Header | Phase::Closing => {}
        }
        true
    }

    /// `bytes` of the body's content were passed on.
    pub fn note_data(&self, bytes: usize) {
        self.body_bytes.set(self.body_bytes.get() + bytes as u64);
        self.pace.moved(bytes);
    }

    /// The socket took this many bytes; `None`: it cannot take any now.
    pub fn note_write(&self, taken: Option<usize>) {
        let now_ms = self.sweeper.tick_ms();
        match (taken, self.stuck_ms.get()) {
            (Some(taken), Some(stuck_ms)) => {
                self.stuck_ms.set(None);
                self.since_ms.set(now_ms);
                self.pace.moved(taken);
                let owed_us = self.debt_us.get() + now_ms.saturating_sub(stuck_ms) * 1_000;
                self.debt_us.set(owed_us.saturating_sub(self.earned_us(taken)));
            }
            (Some(taken), None) if self.debt_us.get() > 0 => {
                self.pace.moved(taken);
                self.debt_us.set(self.debt_us.get().saturating_sub(self.earned_us(taken)));
            }
            (None, None) => self.stuck_ms.set(Some(now_ms)),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }

    /// The time that a reader at the lowest permitted rate takes for this many bytes.
    fn earned_us(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(1_000_000) / self.sweeper.limits().answer_rate_min
    }

    /// A request's headers are complete.
    pub fn note_request(&self) {
        self.read_ahead.set(false);
        self.debt_us.set(0);
        self.enter(Phase::Handling);
    }

    /// The handler waits for the body.
    pub fn note_body(&self) {
        self.raw_bytes.set(0);
        self.body_bytes.set(0);
        self.enter(Phase::Body);
        self.pace.begin(self.since_ms.get());
    }

    /// The body's reader waits for memory: nothing is read from the sender, and its time stops.
    pub fn note_pause(&self) {
        if self.phase.get() == Phase::Body {
            self.paused_ms.set(self.sweeper.tick_ms().saturating_sub(self.since_ms.get()));
            self.enter(Phase::Handling);
        }
    }

    /// The body's reader goes on.
    pub fn note_resume(&self) {
        if self.phase.get() == Phase::Handling {
            self.enter(Phase::Body);
            self.read_ahead.set(false);
            self.pace.begin(self.since_ms.get());
            self.since_ms.set(self.since_ms.get().saturating_sub(self.paused_ms.get()));
        }
    }

    /// The body is complete, or its reader has given up.
    pub fn note_body_end(&self) {
        if self.phase.get() == Phase::Body {
            self.enter(Phase::Handling);
        }
    }

    /// The answer is being sent; a next request that was already read in part has begun.
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
        self.since_ms.set(self.sweeper.tick_ms());
    }

    /// The deadline that has passed and was not reported yet.
    pub(super) fn judge(&self, now_ms: u64, limits: &Limits) -> Option<Overdue> {
        if self.overdue.get().is_some() {
            return None;
        }
        let (since_ms, allowed_ms, overdue) = match (self.stuck_ms.get(), self.phase.get()) {
            (_, Phase::Closing) => (self.since_ms.get(), limits.linger_ms, Overdue::Linger),
            (Some(stuck_ms), _) => {
                (stuck_ms, limits.write_ms.saturating_sub(self.debt_us.get() / 1_000), Overdue::Write)
            }
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

    /// Why the connection must end if others wait for the memory that it holds: its body or answer moves too slowly.
    pub(super) fn judge_pace(&self, now_ms: u64, limits: &Limits) -> Option<Overdue> {
        let moving = match (self.stuck_ms.get(), self.phase.get()) {
            _ if self.overdue.get().is_some() => None,
            (_, Phase::Closing) => None,
            (Some(_), _) => Some(Overdue::Write),
            (None, Phase::Body) => Some(Overdue::Body),
            (None, Phase::Opening | Phase::Header | Phase::Handling | Phase::Idle) => None,
        };
        if moving.is_none() {
            self.pace.begin(now_ms);
        }
        moving.filter(|_| self.pace.judge(now_ms, limits))
    }
}

/// Why the reader of a body gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooSlow {
    /// The body was not complete in time.
    Deadline,
    /// Others waited for memory, and the body came slower than is allowed then.
    OthersWait,
}
