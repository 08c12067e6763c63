//! What each phase allows, and what is given back when it is over.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::http::watch::TooSlow;
use std::future::Future;

const LIMITS: Limits = Limits { connections_max: 2, ..Limits::DEFAULT };
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn told(watch: &Watch) -> Option<Overdue> {
    watch.take_body_overdue().map(|_| Overdue::Body).or_else(|| watch.overdue())
}

/// Applies `happens` to a fresh connection at 1 s, then sweeps at `at_s`.
fn check(happens: impl FnOnce(&Watch), at_s: u64, expected: Option<Overdue>) {
    let sweeper = Sweeper::new(LIMITS);
    sweeper.sweep(1_000);
    let watch = sweeper.watch(HERE.into()).expect("room");
    happens(&watch);
    sweeper.sweep(at_s * 1_000);
    assert_eq!(told(&watch), expected, "{:?}", watch.phase());
}

#[test]
fn each_phase_has_its_deadline() {
    check(|_| {}, 11, None);
    check(|_| {}, 12, Some(Overdue::Header));
    check(|watch| assert!(watch.note_read(5)), 12, Some(Overdue::Header));
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
        watch.note_data(100 * (16 << 10));
    };
    check(slow, 121, None);
    check(slow, 122, Some(Overdue::Body));
}

#[test]
fn a_peer_that_takes_nothing_is_cut_even_while_its_answer_is_made() {
    let stuck = |watch: &Watch| {
        watch.note_request();
        watch.note_write(None);
    };
    check(stuck, 31, None);
    check(stuck, 32, Some(Overdue::Write));
    check(
        |watch| {
            stuck(watch);
            watch.note_write(Some(1 << 20));
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
            assert!(watch.note_read(10));
            watch.note_answer();
        },
        12,
        Some(Overdue::Header),
    );
}

#[test]
fn places_and_room_come_back() {
    let sweeper = Sweeper::new(LIMITS);
    let (first, second) = (sweeper.watch(HERE.into()).expect("one"), sweeper.watch(HERE.into()).expect("two"));
    assert!(sweeper.watch(HERE.into()).is_none());
    sweeper.release(&first);
    let third = sweeper.watch(HERE.into()).expect("again");
    sweeper.release(&second);
    sweeper.release(&third);
    assert_eq!(sweeper.open(), 0);
}

#[test]
fn a_body_overdue_does_not_end_the_connection() {
    let sweeper = Sweeper::new(LIMITS);
    let watch = sweeper.watch(HERE.into()).expect("room");
    watch.note_body();
    sweeper.sweep(60_000);
    assert_eq!(
        (watch.overdue(), watch.take_body_overdue(), watch.take_body_overdue()),
        (None, Some(TooSlow::Deadline), None)
    );
    assert_eq!(sweeper.counters().overdue, [0, 1, 0, 0, 0, 0]);
}

/// Sweeps every quarter of a second for `seconds`, each time after `happens`; returns when the connection was told to end.
fn told_after(sweeper: &Rc<Sweeper>, watch: &Watch, seconds: u64, mut happens: impl FnMut()) -> Option<(u64, Overdue)> {
    let began_ms = sweeper.tick_ms();
    (1..=seconds * 4).find_map(|quarter| {
        happens();
        sweeper.sweep(began_ms + quarter * 250);
        told(watch).map(|overdue| (quarter / 4, overdue))
    })
}

#[test]
fn a_reader_that_takes_a_little_now_and_then_is_cut_all_the_same() {
    let dripping = |bytes_per_quarter: usize| {
        let sweeper = Sweeper::new(LIMITS);
        let watch = sweeper.watch(HERE.into()).expect("place");
        watch.note_request();
        watch.note_write(None);
        told_after(&sweeper, &watch, 200, || {
            watch.note_write(Some(bytes_per_quarter));
            watch.note_write(None);
        })
    };
    assert_eq!(dripping(250), Some((32, Overdue::Write)), "1 kB/s, with 30 s of grace");
    assert_eq!(dripping(4_000), None, "16 kB/s, hardly less than the lower limit: no answer takes so long");
    assert_eq!(dripping(5_000), None);
}

#[test]
fn what_was_taken_fast_earns_no_rest_later() {
    let sweeper = Sweeper::new(LIMITS);
    let watch = sweeper.watch(HERE.into()).expect("place");
    watch.note_request();
    watch.note_write(None);
    watch.note_write(Some(1 << 30));
    watch.note_write(None);
    assert_eq!(told_after(&sweeper, &watch, 200, || {}), Some((30, Overdue::Write)));
}

#[test]
fn a_body_that_waits_for_memory_is_not_late() {
    let sweeper = Sweeper::new(LIMITS);
    let watch = sweeper.watch(HERE.into()).expect("place");
    watch.note_body();
    assert_eq!(told_after(&sweeper, &watch, 15, || {}), None);
    watch.note_pause();
    assert_eq!(told_after(&sweeper, &watch, 1_000, || {}), None);
    watch.note_resume();
    assert_eq!(told_after(&sweeper, &watch, 100, || {}), Some((5, Overdue::Body)), "of 20 s it had used 15");
}

#[test]
fn a_slow_body_goes_when_others_wait_for_memory_and_only_then() {
    let limits = Limits { memory_bytes_max: 1 << 20, body_ms: 600_000, ..LIMITS };
    for others_wait in [false, true] {
        let sweeper = Sweeper::new(limits);
        let (slow, fast) = (sweeper.watch(HERE.into()).expect("place"), sweeper.watch(HERE.into()).expect("place"));
        let rooms: Vec<_> = (0..2).map(|_| sweeper.memory().open(TenantId(0))).collect();
        let lent = rooms[0].grow(2 << 20);
        let waits = rooms[1].grow(2 << 20);
        let mut both = (Box::pin(lent), Box::pin(waits));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(both.0.as_mut().poll(&mut context).is_ready());
        if others_wait {
            assert!(both.1.as_mut().poll(&mut context).is_pending());
        }
        slow.note_body();
        fast.note_body();
        let told = told_after(&sweeper, &slow, 25, || {
            slow.note_data(15_000);
            fast.note_data(17_000);
        });
        assert_eq!(told, others_wait.then_some((10, Overdue::Body)));
        assert_eq!((sweeper.counters().hurried, fast.overdue()), (u64::from(others_wait), None));
    }
}

#[test]
fn a_body_is_more_content_than_framing() {
    let sweeper = Sweeper::new(LIMITS);
    let watch = sweeper.watch(HERE.into()).expect("place");
    watch.note_body();
    let zeros = (0..100).position(|_| !watch.note_read(32 << 10));
    assert_eq!(zeros, Some(6), "64 KiB, and what the parser holds");
    watch.note_body();
    for _ in 0..1_000 {
        assert!(watch.note_read(32 << 10));
        watch.note_data(17 << 10);
    }
    assert_eq!(sweeper.counters().padded, 1);
}

#[test]
fn over_its_share_of_connections_a_tenant_is_refused_in_the_last_tenth() {
    let sweeper = Sweeper::new(Limits { connections_max: 10, ..LIMITS });
    let (a, b) = (TenantId(1), TenantId(2));
    sweeper.set_weights(vec![(a, 1), (b, 1)]);
    let all: Vec<_> = (0..10).map(|_| sweeper.watch(HERE.into()).expect("place")).collect();
    let taken = all.iter().filter(|watch| sweeper.assign(watch, a)).count();
    assert_eq!((taken, sweeper.assign(&all[9], b), sweeper.counters().over_share), (9, true, 1));
    assert!(sweeper.assign(&all[0], a), "the same again is no second one");
    sweeper.release(&all[0]);
    let next = sweeper.watch(HERE.into()).expect("place");
    assert!(sweeper.assign(&next, b) && !sweeper.assign(&next, a));
}
