//! Claims that fit, wait, are lent and are given up; whatever happens, some claim finishes and nothing is held twice.

use std::{pin::pin, sync::Arc, task::Wake};

use super::*;
use stentor_core::model::Prng;

const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);
const MIB: usize = 1 << 20;

struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

fn poll(grow: Pin<&mut Grow<'_>>) -> Poll<Result<(), NoRoom>> {
    grow.poll(&mut Context::from_waker(&Waker::from(Arc::new(Silent))))
}

fn shared(bytes: usize, weights: &[(TenantId, u32)]) -> Rc<Memory> {
    let memory = Memory::new(bytes, 30_000);
    memory.set_limits(bytes, 30_000, weights);
    memory
}

/// A claim of `bytes` that did not have to wait.
fn held(memory: &Rc<Memory>, tenant: TenantId, bytes: usize) -> Room {
    let room = memory.open(tenant);
    assert!(room.grow_now(bytes), "{bytes} of {:?}", memory.measures());
    room
}

#[test]
fn what_does_not_fit_is_lent_to_one_and_the_next_waits_for_it() {
    let memory = shared(10 * MIB, &[]);
    let (first, second, third) = (held(&memory, A, 4 * MIB), memory.open(A), memory.open(A));
    assert_eq!(poll(pin!(second.grow(16 * MIB))), Poll::Ready(Ok(())), "lent");
    let mut waits = pin!(third.grow(16 * MIB));
    assert!(poll(waits.as_mut()).is_pending() && memory.is_waited_for());
    drop(first);
    assert!(poll(waits.as_mut()).is_pending(), "what is shared came back, but not enough");
    drop(second);
    assert_eq!(poll(waits.as_mut()), Poll::Ready(Ok(())));
    assert_eq!((third.bytes(), memory.is_waited_for(), memory.measures().waits), (16 * MIB, false, 1));
}

#[test]
fn small_ones_pass_beside_large_ones_that_wait() {
    let memory = shared(10 * MIB, &[]);
    let large: Vec<Room> = (0..9).map(|_| memory.open(A)).collect();
    let mut waits: Vec<_> = large.iter().map(|room| Box::pin(room.grow(3 * MIB))).collect();
    let waiting = waits.iter_mut().map(|wait| poll(wait.as_mut()).is_pending()).filter(|waits| *waits).count();
    assert_eq!(waiting, 9 - 3 - 1, "three fit, one is lent what it needs");
    let _small: Vec<Room> = (0..16).map(|_| held(&memory, B, 1_000)).collect();
    assert!(memory.measures().requests_bytes <= 13 * MIB);
}

#[test]
fn over_its_share_a_tenant_stops_before_the_last_tenth() {
    let memory = shared(10 * MIB, &[(A, 1), (B, 1)]);
    let _most = held(&memory, A, 9 * MIB);
    let more = memory.open(A);
    assert!(!more.grow_now(1_000), "however small");
    let _others = held(&memory, B, MIB / 4);
    assert!(!memory.open(B).grow_now(MIB), "nothing is left");
}

#[test]
fn the_loan_goes_from_tenant_to_tenant() {
    let memory = shared(MIB, &[(A, 1), (B, 1)]);
    let rooms: Vec<Room> = [A, A, A, A, B].iter().map(|tenant| memory.open(*tenant)).collect();
    let mut waits: Vec<_> = rooms.iter().map(|room| Box::pin(room.grow(16 * MIB))).collect();
    let ready = |waits: &mut Vec<Pin<Box<Grow<'_>>>>| -> Vec<usize> {
        (0..waits.len()).filter(|at| poll(waits[*at].as_mut()).is_ready()).collect()
    };
    assert_eq!(ready(&mut waits), [0]);
    rooms[0].shrink(0);
    assert!(poll(waits[1].as_mut()).is_ready(), "it came first");
    rooms[1].shrink(0);
    assert!(poll(waits[2].as_mut()).is_pending());
    assert!(poll(waits[4].as_mut()).is_ready(), "then the other tenant's, before the rest of the first's");
    rooms[4].shrink(0);
    assert!(poll(waits[2].as_mut()).is_ready());
}

#[test]
fn a_wait_in_vain_ends() {
    let memory = shared(MIB, &[]);
    memory.sweep(1_000);
    let (first, second) = (memory.open(A), memory.open(A));
    assert!(poll(pin!(first.grow(2 * MIB))).is_ready());
    let mut waits = pin!(second.grow(2 * MIB));
    assert!(poll(waits.as_mut()).is_pending());
    memory.sweep(31_000);
    assert!(poll(waits.as_mut()).is_pending());
    memory.sweep(31_250);
    assert_eq!(poll(waits.as_mut()), Poll::Ready(Err(NoRoom)));
    assert_eq!((second.bytes(), memory.measures().refused, memory.is_waited_for()), (0, 1, false));
}

#[test]
fn who_went_while_waiting_leaves_nothing_behind() {
    let memory = shared(MIB, &[]);
    let lent = memory.open(A);
    assert!(poll(pin!(lent.grow(2 * MIB))).is_ready());
    for _ in 0..1_000 {
        let gone = memory.open(A);
        assert!(poll(pin!(gone.grow(2 * MIB))).is_pending());
    }
    let last = memory.open(A);
    let mut waits = pin!(last.grow(2 * MIB));
    assert!(poll(waits.as_mut()).is_pending());
    let copy = lent.clone();
    drop(lent);
    assert!(poll(waits.as_mut()).is_pending(), "a copy is the same claim");
    drop(copy);
    assert!(poll(waits.as_mut()).is_ready());
    let state = memory.state.borrow();
    assert!(state.claims.len() <= 3 && state.lines.is_empty() && state.turns.is_empty());
}

#[test]
fn an_answer_is_told_apart() {
    let memory = shared(MIB, &[]);
    let room = held(&memory, A, 1_000);
    room.becomes_answer();
    room.shrink(600);
    let Measures { requests_bytes, answers_bytes, .. } = memory.measures();
    assert_eq!((requests_bytes, answers_bytes), (0, 600));
}

/// Bodies that need much more than there is, each growing bit by bit and finishing when it is complete: all finish, and
/// never is more held than the shared part and one complete body.
#[test]
fn everybody_finishes_and_no_more_is_held_than_promised() {
    const WHOLE: usize = 16 * MIB;
    for seed in 0..20 {
        let mut prng = Prng::new(seed);
        let weights = [(A, 1), (B, 3)];
        let memory = shared(4 * MIB, if seed % 2 == 0 { &weights } else { &[] });
        let rooms: Vec<Room> = (0..12).map(|_| memory.open(if prng.chance(500_000) { A } else { B })).collect();
        let mut waits: Vec<Option<Pin<Box<Grow<'_>>>>> = rooms.iter().map(|_| None).collect();
        let mut unfinished: Vec<usize> = (0..rooms.len()).collect();
        for step in 0.. {
            assert!(step < 100_000, "no claim finishes: {unfinished:?} {:?}", memory.measures());
            if unfinished.is_empty() {
                break;
            }
            let at = unfinished[prng.below(unfinished.len() as u64) as usize];
            let piece = prng.between(1_000, 2 << 20) as usize;
            let wait =
                waits[at].get_or_insert_with(|| Box::pin(rooms[at].grow((rooms[at].bytes() + piece).min(WHOLE))));
            if poll(wait.as_mut()).is_ready() {
                waits[at] = None;
                if rooms[at].bytes() == WHOLE {
                    rooms[at].shrink(0);
                    unfinished.retain(|other| *other != at);
                }
            }
            let held: usize = rooms.iter().map(Room::bytes).sum();
            assert_eq!(held, memory.measures().requests_bytes);
            assert!(held <= 4 * MIB + WHOLE, "{held}");
        }
        assert!(!memory.is_waited_for());
    }
}

/// One claim is lent what it needs, one waits, one has its share; then `breaks` breaks something.
fn broken(breaks: fn(&mut State)) -> Option<u8> {
    let memory = shared(10 * MIB, &[]);
    let (_shared, lent, waits) = (held(&memory, A, 4 * MIB), memory.open(A), memory.open(A));
    assert_eq!(poll(pin!(lent.grow(16 * MIB))), Poll::Ready(Ok(())));
    let mut waits = pin!(waits.grow(16 * MIB));
    assert!(poll(waits.as_mut()).is_pending());
    let state = &mut *memory.state.borrow_mut();
    assert_eq!(state.check(), Ok(()));
    let was = (state.shares.clone(), state.lent, state.lines.clone(), state.turns.clone(), state.measures);
    breaks(state);
    let found = state.check().err().map(|broken| broken.number);
    // Restores the sound state, so that the claims can be given back.
    (state.shares, state.lent, state.lines, state.turns, state.measures) = was;
    found
}

#[test]
fn breaking_invariant_1_is_noticed() {
    assert_eq!(broken(|state| state.shares.take(A, 1)), Some(1));
    assert_eq!(broken(|state| state.lent = Some(0)), Some(1), "what is lent is not the one that is counted so");
}

#[test]
fn breaking_invariant_2_is_noticed() {
    // As if the loan had become part of the shared memory, and no other claim had got the loan.
    assert_eq!(
        broken(|state| {
            state.lent = None;
            state.shares.take(A, 16 * MIB as u64);
        }),
        Some(2)
    );
}

#[test]
fn breaking_invariant_3_is_noticed() {
    let breaks: [fn(&mut State); 4] = [
        |state| state.lines.values_mut().for_each(|line| line.extend(line.clone())),
        |state| state.lines.clear(),
        |state| state.turns.push_back(B),
        |state| state.measures.waiting += 1,
    ];
    for (at, breaks) in breaks.into_iter().enumerate() {
        assert_eq!(broken(breaks), Some(3), "{at}");
    }
}
