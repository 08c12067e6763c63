//! The memory of one core that requests and answers may hold: claimed as bytes come, given back as they go. Knows claims,
//! their tenants and which of them wait; knows no socket and no HTTP.
//!
//! - A part is **shared**: between tenants by [`Shares`], without tenants between the claims themselves: a claim larger than
//!   its part leaves the last tenth to the others. The last twentieth is for claims of at most [`SMALL_BYTES`].
//! - Beyond it, **one claim at a time is lent whatever its request needs**, in turn by tenant and within a tenant in the
//!   order of arrival, so that some request always finishes and gives back what it had of the shared part as well.
//! - A claim that does not fit **waits**: meanwhile nothing more is read from its sender. Waiting is hopeless when held memory is
//!   not given back, as when the disk hangs; so it ends after `wait_ms`, and only then is the request refused.
//!
//! Invariants:
//! 1. `shares.used()` is the sum of all claims that are not lent.
//! 2. While any claim waits, the loan is out.
//! 3. A claim is in at most one line, once; a claim that is dropped while it waits is skipped there.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use stentor_core::{
    admission::Shares,
    model::{Sound, TenantId, holds, invariant::WALKED_MAX},
};

/// Largest claim that may use the last twentieth: a message, or a few hundred.
pub const SMALL_BYTES: usize = 64 << 10;
/// The part that is kept for small claims: one in this many.
const SMALL_PART: usize = 20;
/// Without tenants, the part that a claim over its share leaves to the others: one in this many.
const LAST_PART: usize = 10;
/// How many claims of one tenant's line are tried when memory was given back: a small one behind a large one may fit.
const LOOKS_MAX: usize = 16;

/// No memory became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The current state, and counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Bytes of requests: bodies, decoded bodies, and their messages until the shards answered.
    pub requests_bytes: usize,
    /// Bytes of answers that are made and not yet taken by the client.
    pub answers_bytes: usize,
    /// Size of the shared part in bytes.
    pub shared_bytes: usize,
    /// Claims that wait now.
    pub waiting: usize,
    /// Claims that had to wait, since the start.
    pub waits: u64,
    /// Claims that waited in vain, since the start.
    pub refused: u64,
}

/// The memory of one core. See the head of this file.
#[derive(Debug)]
pub struct Memory {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    shares: Shares,
    has_tenants: bool,
    wait_ms: u64,
    now_ms: u64,
    claims: Vec<Claim>,
    free: Vec<u32>,
    lent: Option<u32>,
    /// Tenants that have a waiting claim, the next one first.
    turns: VecDeque<TenantId>,
    lines: BTreeMap<TenantId, VecDeque<Ticket>>,
    measures: Measures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    index: u32,
    generation: u32,
}

#[derive(Debug, Default)]
struct Claim {
    generation: u32,
    holders: u32,
    tenant: TenantId,
    bytes: usize,
    is_answer: bool,
    wait: Wait,
}

#[derive(Debug, Default)]
enum Wait {
    #[default]
    No,
    Line {
        bytes: usize,
        since_ms: u64,
        waker: Option<Waker>,
    },
    Granted,
    InVain,
}

impl Memory {
    /// A memory of `shared_bytes`, for which a claim waits at most `wait_ms`.
    pub fn new(shared_bytes: usize, wait_ms: u64) -> Rc<Self> {
        let state = State {
            shares: Shares::new(shared_bytes as u64),
            has_tenants: false,
            wait_ms,
            now_ms: 0,
            claims: Vec::new(),
            free: Vec::new(),
            lent: None,
            turns: VecDeque::new(),
            lines: BTreeMap::new(),
            measures: Measures { shared_bytes, ..Measures::default() },
        };
        Rc::new(Self { state: RefCell::new(state) })
    }

    /// Sets other limits from now on.
    pub fn set_limits(&self, shared_bytes: usize, wait_ms: u64, weights: &[(TenantId, u32)]) {
        let woken = {
            let state = &mut *self.state.borrow_mut();
            state.shares.share_out(shared_bytes as u64, weights);
            state.has_tenants = !weights.is_empty();
            state.wait_ms = wait_ms;
            state.measures.shared_bytes = shared_bytes;
            state.serve()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// An empty claim on behalf of `tenant`.
    pub fn open(self: &Rc<Self>, tenant: TenantId) -> Room {
        let index = self.state.borrow_mut().open(tenant);
        Room { memory: Rc::clone(self), index }
    }

    /// Whether any claim waits.
    pub fn is_waited_for(&self) -> bool {
        self.state.borrow().measures.waiting > 0
    }

    /// The current measures.
    pub fn measures(&self) -> Measures {
        self.state.borrow().measures
    }

    /// Ends waits that take too long. `now_ms` as for [`super::sweeper::Sweeper::sweep`].
    pub fn sweep(&self, now_ms: u64) {
        let woken = self.state.borrow_mut().sweep(now_ms);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn open(&mut self, tenant: TenantId) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.claims.push(Claim::default());
            self.claims.len() as u32 - 1
        });
        let claim = &mut self.claims[index as usize];
        *claim = Claim { generation: claim.generation, holders: 1, tenant, ..Claim::default() };
        index
    }

    /// Whether the invariants hold.
    fn check(&self) -> Sound {
        if self.claims.len() > WALKED_MAX {
            return Ok(());
        }
        let mut places = vec![0_usize; self.claims.len()];
        for ticket in self.lines.values().flatten().filter(|ticket| self.wanted(**ticket).is_some()) {
            places[ticket.index as usize] += 1;
        }
        let (mut shared, mut waiting) = (0, 0);
        for ((index, claim), places) in (0..).zip(&self.claims).zip(places) {
            shared += if self.lent == Some(index) { 0 } else { claim.bytes as u64 };
            let waits = matches!(claim.wait, Wait::Line { .. });
            waiting += usize::from(waits);
            holds!(3, places == usize::from(waits), "claim {index} is in line {places} times: {claim:?}");
        }
        let counted = self.shares.used();
        holds!(1, shared == counted, "claims that are not lent hold {shared} bytes, counted are {counted}");
        holds!(2, waiting == 0 || self.lent.is_some(), "{waiting} claims wait, and none has the loan");
        let counted = self.measures.waiting;
        holds!(3, waiting == counted, "{waiting} claims wait, counted are {counted}");
        let lines = (self.lines.len(), self.turns.len());
        let is_in_turn = |tenant: &TenantId| self.turns.iter().filter(|turn| *turn == tenant).count() == 1;
        holds!(3, lines.0 == lines.1 && self.lines.keys().all(is_in_turn), "lines and turns: {lines:?}");
        Ok(())
    }

    fn total(&self) -> usize {
        self.measures.shared_bytes
    }

    fn left(&self) -> usize {
        self.total().saturating_sub(self.shares.used() as usize)
    }

    /// Whether a claim of `bytes` in all is more than its owner's part of the shared memory.
    fn is_over_share(&self, index: u32, bytes: usize) -> bool {
        let claim = &self.claims[index as usize];
        if self.has_tenants {
            let more = bytes.saturating_sub(claim.bytes) as u64;
            return self.shares.used_by(claim.tenant) + more > self.shares.share_of(claim.tenant);
        }
        bytes > self.total() / (self.claims.len() - self.free.len()).max(1)
    }

    /// Whether the claim may have `bytes` in all.
    fn fits(&self, index: u32, bytes: usize) -> bool {
        if self.lent == Some(index) {
            return true;
        }
        self.may_add(index, bytes, bytes.saturating_sub(self.claims[index as usize].bytes))
    }

    /// Whether `more` bytes of the shared part may go to the claim, which then has `bytes`.
    fn may_add(&self, index: u32, bytes: usize, more: usize) -> bool {
        let tenant = self.claims[index as usize].tenant;
        let small = if bytes > SMALL_BYTES { self.total() / SMALL_PART } else { 0 };
        let last = if !self.has_tenants && self.is_over_share(index, bytes) { self.total() / LAST_PART } else { 0 };
        more <= self.left().saturating_sub(small.max(last)) && self.shares.may_take(tenant, more as u64).is_ok()
    }

    fn put(&mut self, index: u32, bytes: usize) {
        let is_lent = self.lent == Some(index);
        let claim = &mut self.claims[index as usize];
        let (before, tenant) = (claim.bytes, claim.tenant);
        claim.bytes = bytes;
        let held = if claim.is_answer { &mut self.measures.answers_bytes } else { &mut self.measures.requests_bytes };
        *held = *held + bytes - before;
        if is_lent {
            return;
        }
        match bytes.checked_sub(before) {
            Some(more) => self.shares.take(tenant, more as u64),
            None => self.shares.give_back(tenant, (before - bytes) as u64),
        }
    }

    /// Claims at once; false when the claim has to wait. A claim over its share does not overtake those that wait.
    fn grow(&mut self, index: u32, bytes: usize) -> bool {
        if bytes <= self.claims[index as usize].bytes {
            return true;
        }
        let goes_first = self.measures.waiting == 0 || self.lent == Some(index) || !self.is_over_share(index, bytes);
        let fits = goes_first && self.fits(index, bytes);
        if fits {
            self.put(index, bytes);
            debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        }
        fits
    }

    fn line_up(&mut self, index: u32, bytes: usize) {
        let since_ms = self.now_ms;
        let claim = &mut self.claims[index as usize];
        claim.wait = Wait::Line { bytes, since_ms, waker: None };
        let (tenant, ticket) = (claim.tenant, Ticket { index, generation: claim.generation });
        self.measures.waiting += 1;
        let line = self.lines.entry(tenant).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant);
        }
        line.push_back(ticket);
    }

    /// Ends a wait; the ticket stays in its line and is skipped there.
    fn leave(&mut self, index: u32, how: Wait) -> Option<Waker> {
        match std::mem::replace(&mut self.claims[index as usize].wait, how) {
            Wait::Line { waker, .. } => {
                self.measures.waiting -= 1;
                waker
            }
            Wait::No | Wait::Granted | Wait::InVain => None,
        }
    }

    /// The state of a wait; a wait that has ended is cleared.
    fn look(&mut self, index: u32, waker: &Waker) -> Poll<Result<(), NoRoom>> {
        let wait = &mut self.claims[index as usize].wait;
        match wait {
            Wait::Line { waker: known, .. } => {
                if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    *known = Some(waker.clone());
                }
                return Poll::Pending;
            }
            Wait::No | Wait::Granted | Wait::InVain => {}
        }
        let ended = std::mem::take(wait);
        Poll::Ready(if matches!(ended, Wait::InVain) { Err(NoRoom) } else { Ok(()) })
    }

    fn wanted(&self, ticket: Ticket) -> Option<usize> {
        match self.claims.get(ticket.index as usize) {
            Some(Claim { generation, wait: Wait::Line { bytes, .. }, .. }) if *generation == ticket.generation => {
                Some(*bytes)
            }
            Some(_) | None => None,
        }
    }

    /// Gives waiting claims what is free now.
    fn serve(&mut self) -> Vec<Waker> {
        let woken = if self.measures.waiting == 0 { Vec::new() } else { self.serve_lines() };
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        woken
    }

    fn serve_lines(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        self.take_back_loan();
        self.lend(&mut woken);
        for _ in 0..self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { break };
            let mut line = self.lines.remove(&tenant).unwrap_or_default();
            let mut looked_at = 0;
            line.retain(|ticket| {
                let Some(bytes) = self.wanted(*ticket) else { return false };
                looked_at += 1;
                let fits = looked_at <= LOOKS_MAX && self.fits(ticket.index, bytes);
                if fits {
                    self.put(ticket.index, bytes);
                    woken.extend(self.leave(ticket.index, Wait::Granted));
                }
                !fits
            });
            if !line.is_empty() {
                self.lines.insert(tenant, line);
                self.turns.push_back(tenant);
            }
        }
        woken
    }

    /// What was lent becomes part of the shared memory once it fits there.
    fn take_back_loan(&mut self) {
        let Some(index) = self.lent else { return };
        let Claim { tenant, bytes, .. } = self.claims[index as usize];
        if self.may_add(index, bytes, bytes) {
            self.lent = None;
            self.shares.take(tenant, bytes as u64);
        }
    }

    /// Lends to the next claim in turn, if none has the loan.
    fn lend(&mut self, woken: &mut Vec<Waker>) {
        while self.lent.is_none() {
            let Some(tenant) = self.turns.pop_front() else { return };
            let line = self.lines.entry(tenant).or_default();
            let next = line.pop_front();
            if line.is_empty() {
                self.lines.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            let Some((ticket, bytes)) = next.and_then(|ticket| Some((ticket, self.wanted(ticket)?))) else { continue };
            let held = self.claims[ticket.index as usize].bytes;
            self.shares.give_back(tenant, held as u64);
            self.lent = Some(ticket.index);
            self.put(ticket.index, bytes);
            woken.extend(self.leave(ticket.index, Wait::Granted));
        }
    }

    fn close(&mut self, index: u32) {
        self.leave(index, Wait::No);
        self.put(index, 0);
        if self.lent == Some(index) {
            self.lent = None;
        }
        let claim = &mut self.claims[index as usize];
        claim.generation = claim.generation.wrapping_add(1);
        self.free.push(index);
    }

    fn sweep(&mut self, now_ms: u64) -> Vec<Waker> {
        self.now_ms = now_ms;
        if self.measures.waiting == 0 {
            return Vec::new();
        }
        let too_long = |state: &Self, claim: &Claim| match claim.wait {
            Wait::Line { since_ms, .. } => now_ms.saturating_sub(since_ms) > state.wait_ms,
            Wait::No | Wait::Granted | Wait::InVain => false,
        };
        let mut woken = Vec::new();
        for index in 0..self.claims.len() as u32 {
            if too_long(self, &self.claims[index as usize]) {
                self.measures.refused += 1;
                woken.extend(self.leave(index, Wait::InVain));
            }
        }
        woken.extend(self.serve());
        woken
    }
}

/// A claim on a core's memory; a copy is the same claim, which is given back when the last copy is dropped.
#[derive(Debug)]
pub struct Room {
    memory: Rc<Memory>,
    index: u32,
}

impl Room {
    /// Extends the claim to `bytes` in all, waiting until there is room; never shrinks it. Only one call at a time.
    ///
    /// # Errors
    /// [`NoRoom`] when there was no room for too long; the claim is unchanged.
    pub fn grow(&self, bytes: usize) -> Grow<'_> {
        Grow { room: self, bytes, waits: false }
    }

    /// Like [`Self::grow`] without waiting; false, and nothing changed, when there is no room now.
    #[must_use]
    pub fn grow_now(&self, bytes: usize) -> bool {
        self.memory.state.borrow_mut().grow(self.index, bytes)
    }

    /// Gives back what the claim has above `bytes`.
    pub fn shrink(&self, bytes: usize) {
        let woken = {
            let state = &mut *self.memory.state.borrow_mut();
            if bytes >= state.claims[self.index as usize].bytes {
                return;
            }
            state.put(self.index, bytes);
            state.serve()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// From now on the claim counts as an answer's.
    pub fn becomes_answer(&self) {
        let state = &mut *self.memory.state.borrow_mut();
        let claim = &mut state.claims[self.index as usize];
        if !std::mem::replace(&mut claim.is_answer, true) {
            state.measures.requests_bytes -= claim.bytes;
            state.measures.answers_bytes += claim.bytes;
        }
    }

    /// Size of the claim.
    pub fn bytes(&self) -> usize {
        self.memory.state.borrow().claims[self.index as usize].bytes
    }
}

impl Clone for Room {
    fn clone(&self) -> Self {
        self.memory.state.borrow_mut().claims[self.index as usize].holders += 1;
        Self { memory: Rc::clone(&self.memory), index: self.index }
    }
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.memory, &other.memory) && self.index == other.index
    }
}

impl Eq for Room {}

impl Drop for Room {
    fn drop(&mut self) {
        let woken = {
            let state = &mut *self.memory.state.borrow_mut();
            let claim = &mut state.claims[self.index as usize];
            claim.holders -= 1;
            if claim.holders > 0 {
                return;
            }
            state.close(self.index);
            state.serve()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// See [`Room::grow`].
#[derive(Debug)]
#[must_use]
pub struct Grow<'r> {
    room: &'r Room,
    bytes: usize,
    waits: bool,
}

impl Future for Grow<'_> {
    type Output = Result<(), NoRoom>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (ended, woken) = {
            let state = &mut *self.room.memory.state.borrow_mut();
            if self.waits {
                (state.look(self.room.index, context.waker()), Vec::new())
            } else if state.grow(self.room.index, self.bytes) {
                return Poll::Ready(Ok(()));
            } else {
                state.line_up(self.room.index, self.bytes);
                let woken = state.serve();
                let ended = state.look(self.room.index, context.waker());
                state.measures.waits += u64::from(ended.is_pending());
                (ended, woken)
            }
        };
        self.waits = ended.is_pending();
        woken.into_iter().for_each(Waker::wake);
        ended
    }
}

impl Drop for Grow<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.room.memory.state.borrow_mut().leave(self.room.index, Wait::No);
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
