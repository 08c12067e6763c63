//! Limits questions to shards that are read from the store: on a core a few questions of one tenant run at
//! once and the others wait in line, so that a tenant that asks much holds up only itself.
//!
//! A turn is for one question, not for a request: a client that takes its answer slowly holds no turn.
//!
//! Invariants:
//! 1. Of each tenant at most [`Turns::AT_ONCE`] turns are taken; waiting questions get theirs in the order of asking.
//! 2. A turn that is dropped, or was given to a question that has gone, is given to the next.
//! 3. A tenant without turns and with an empty line is not remembered.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use stentor_core::model::{Sound, TenantId, holds, invariant::WALKED_MAX};

/// One per core.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: RefCell<BTreeMap<TenantId, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    taken: usize,
    waiting: VecDeque<Rc<Place>>,
}

#[derive(Debug, Default)]
struct Place {
    is_called: Cell<bool>,
    has_gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Turns {
    /// Questions of one tenant that may run at once.
    pub(super) const AT_ONCE: usize = 4;

    /// Joins the line; the result is ready when the turn has come.
    pub(super) fn wait(self: &Rc<Self>, tenant: TenantId) -> Waiting {
        let place = Rc::new(Place::default());
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(tenant).or_default();
        if line.taken < Self::AT_ONCE {
            line.taken += 1;
            place.is_called.set(true);
        } else {
            line.waiting.push_back(Rc::clone(&place));
        }
        drop(lines);
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        Waiting { turns: Rc::clone(self), tenant, place, is_done: false }
    }

    /// Whether the invariants hold.
    fn check(&self) -> Sound {
        for (tenant, Line { taken, waiting }) in self.lines.borrow().iter().take(WALKED_MAX) {
            holds!(1, *taken <= Self::AT_ONCE, "{tenant:?} has {taken} turns");
            let called = waiting.iter().filter(|place| place.is_called.get()).count();
            holds!(1, called == 0, "{called} of {tenant:?} have a turn and are still in line");
            let here = waiting.iter().filter(|place| !place.has_gone.get()).count();
            holds!(2, here == 0 || *taken == Self::AT_ONCE, "{here} of {tenant:?} wait, {taken} turns are taken");
            holds!(3, *taken > 0, "{tenant:?} has no turn but is remembered");
        }
        Ok(())
    }

    fn pass_on(&self, tenant: TenantId) {
        let next = self.next(tenant);
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        next.into_iter().for_each(Waker::wake);
    }

    /// Gives a turn to the next in line; returns the waker to wake for it.
    fn next(&self, tenant: TenantId) -> Option<Waker> {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(&tenant) else { unreachable!("a tenant with a turn is remembered") };
        while let Some(next) = line.waiting.pop_front() {
            if !next.has_gone.get() {
                next.is_called.set(true);
                return next.waker.borrow_mut().take();
            }
        }
        line.taken -= 1;
        if line.taken == 0 {
            lines.remove(&tenant);
        }
        None
    }
}

/// A place in line. If it is dropped, the turn goes to the next.
#[derive(Debug)]
pub(super) struct Waiting {
    turns: Rc<Turns>,
    tenant: TenantId,
    place: Rc<Place>,
    is_done: bool,
}

impl Future for Waiting {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn> {
        if !self.place.is_called.get() {
            *self.place.waker.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.is_done = true;
        Poll::Ready(Turn { turns: Rc::clone(&self.turns), tenant: self.tenant })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match (self.is_done, self.place.is_called.get()) {
            (true, _) => {}
            (false, true) => self.turns.pass_on(self.tenant),
            (false, false) => self.place.has_gone.set(true),
        }
    }
}

/// The right to ask one question. When it is dropped, the next in line gets it.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Rc<Turns>,
    tenant: TenantId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.pass_on(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn take(turns: &Rc<Turns>, tenant: TenantId) -> Turn {
        poll(&mut turns.wait(tenant)).expect("a turn")
    }

    #[test]
    fn one_tenant_waits_in_line_while_another_goes_on() {
        let turns = Rc::new(Turns::default());
        let mut taken: Vec<_> = (0..Turns::AT_ONCE).map(|_| take(&turns, A)).collect();
        let (mut first, mut second) = (turns.wait(A), turns.wait(A));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        let other = take(&turns, B);
        taken.pop();
        assert!(poll(&mut second).is_none(), "not before the first");
        taken.extend(poll(&mut first));
        assert_eq!(taken.len(), Turns::AT_ONCE);
        drop(first);
        assert!(poll(&mut second).is_none(), "who had his turn has no second one to give");
        drop((taken, other));
        assert!(poll(&mut second).is_some());
        drop(second);
        assert!(turns.lines.borrow().is_empty(), "no tenant is remembered");
    }

    #[test]
    fn who_goes_away_gives_his_turn_to_the_next() {
        let turns = Rc::new(Turns::default());
        let mut taken: Vec<_> = (0..Turns::AT_ONCE).map(|_| take(&turns, A)).collect();
        let (gone, called, mut last) = (turns.wait(A), turns.wait(A), turns.wait(A));
        drop(gone);
        taken.pop();
        drop(called);
        assert!(poll(&mut last).is_some(), "over one who has gone and one who was called and has gone");
        drop((taken, last));
        assert!(turns.lines.borrow().is_empty());
    }

    /// All turns of a tenant are taken and one question waits; then `breaks` breaks something.
    fn broken(breaks: fn(&mut Line)) -> Option<u8> {
        let turns = Rc::new(Turns::default());
        let taken: Vec<_> = (0..Turns::AT_ONCE).map(|_| take(&turns, A)).collect();
        let waits = turns.wait(A);
        assert_eq!(turns.check(), Ok(()));
        let (was, place) = {
            let lines = &mut *turns.lines.borrow_mut();
            let line = lines.get_mut(&A).expect("remembered");
            let was = (line.taken, line.waiting.clone());
            breaks(line);
            let place = Rc::clone(&was.1[0]);
            (was, place)
        };
        let found = turns.check().err().map(|broken| broken.number);
        place.is_called.set(false);
        turns.lines.borrow_mut().insert(A, Line { taken: was.0, waiting: was.1 });
        drop((taken, waits));
        found
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        assert_eq!(broken(|line| line.taken += 1), Some(1));
        assert_eq!(broken(|line| line.waiting[0].is_called.set(true)), Some(1));
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        // As if a turn was dropped and not given to the next.
        assert_eq!(broken(|line| line.taken -= 1), Some(2));
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        assert_eq!(
            broken(|line| {
                line.taken = 0;
                line.waiting.clear();
            }),
            Some(3)
        );
    }
}
