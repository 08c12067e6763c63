//! Tests of rates and quotas: never more than the limit comes in, and exactly what is admitted is charged.

use std::{sync::Barrier, thread};

use proptest::prelude::*;

use super::*;
/// `ms` after 2026-07-01 12:00 UTC.
fn at(ms: u64) -> Now {
    Now { mono: Mono(ms * 1_000_000), wall: Wall(1_782_907_200_000 + ms) }
}

const fn hourly(messages: u64) -> Option<Quota> {
    Some(Quota { messages, period: Period::Hour })
}

/// A request that brings this many messages and sends all of them to shards: how many the meter let in.
fn bring(meter: &Meter, messages: u64, now: Now) -> (u64, Charge) {
    let mut charge = meter.open();
    let taken = (0..messages).take_while(|at| charge.take(now, || messages - at).is_ok()).count() as u64;
    charge.close();
    charge.ask(taken);
    (taken, charge)
}

fn used_up(meter: &Meter, now: Now) -> Option<UsedUp> {
    meter.open().take(now, || 1).err()
}

#[test]
fn no_sliding_second_holds_more_than_the_rate() {
    let meter = Meter::new(Some(100), None);
    let taken: Vec<_> = (10_000..30_000).step_by(7).map(|ms| (ms, bring(&meter, 1 + ms % 9, at(ms)).0)).collect();
    let most = taken.iter().map(|&(from, _)| {
        taken.iter().filter(|(ms, _)| (from..from + 1_000).contains(ms)).map(|(_, messages)| messages).sum::<u64>()
    });
    assert_eq!(most.max(), Some(100));
    let mean = taken.iter().map(|(_, messages)| messages).sum::<u64>() / 20;
    assert!(mean >= 85, "{mean} a second");
    assert_eq!(used_up(&Meter::new(Some(0), None), at(0)), Some(UsedUp { limit: Limit::Rate, more_in_s: 1 }));
}

/// Calls `ask` with each number of a step at the same instant on all cores, and gives what each let in, by core.
fn at_once(cores: u64, steps: u64, ask: impl Fn(u64, u64) -> u64 + Sync) -> Vec<Vec<u64>> {
    let (ready, ask) = (Barrier::new(cores as usize), &ask);
    let core = |core| {
        let ready = &ready;
        move || {
            let ask = |step| {
                ready.wait();
                ask(core, step)
            };
            (0..steps).map(ask).collect::<Vec<_>>()
        }
    };
    thread::scope(|scope| {
        let asked: Vec<_> = (0..cores).map(|number| scope.spawn(core(number))).collect();
        asked.into_iter().map(|core| core.join().expect("a core")).collect()
    })
}

#[test]
fn cores_that_ask_at_once_get_no_more_than_the_rate_together() {
    const RATE: u64 = 100;
    let meter = Meter::new(Some(RATE as u32), None);
    // Cores read their clocks up to 3 ms apart.
    let instant = |core, step| 10_000 + step * 29 + core * 3;
    let taken = at_once(2, 500, |core, step| bring(&meter, 1 + (core + step) % 60, at(instant(core, step))).0);
    let mut all: Vec<(u64, u64)> = (0..)
        .zip(&taken)
        .flat_map(|(core, steps)| (0..).zip(steps).map(move |(step, taken)| (instant(core, step), *taken)))
        .collect();
    all.sort_unstable();
    for (at, (from, _)) in all.iter().enumerate() {
        let second = all[at..].iter().take_while(|(ms, _)| *ms < from + 1_000).map(|(_, messages)| messages);
        assert!(second.sum::<u64>() <= RATE, "in the second from {from} ms");
    }
    let total = all.iter().map(|(_, messages)| messages).sum::<u64>();
    assert!(total >= 14 * RATE / 2, "{total} in 14 s: they do not keep each other out");
}

#[test]
fn cores_that_ask_at_once_get_exactly_the_quota_together() {
    let meter = Meter::new(None, hourly(10_000));
    let taken = at_once(2, 1_000, |core, step| bring(&meter, 1 + (core + step) % 40, at(step)).0);
    assert_eq!(taken.iter().flatten().sum::<u64>(), 10_000);
}

/// A request that is read slowly borrows early and takes late.
#[test]
fn what_was_borrowed_in_one_second_is_not_taken_in_the_next() {
    let meter = Meter::new(Some(200), hourly(1_000));
    let mut slow = meter.open();
    assert_eq!(slow.take(at(10_000), || 200), Ok(()));
    let later = at(11_200);
    assert_eq!((meter.used(later.wall), bring(&meter, 200, later).0), (200, 200));
    assert!(slow.take(later, || 199).is_err(), "it would be number 201 of this second");
    drop(slow);
    assert_eq!(meter.used(later.wall), 200, "and what it did not use was given back");
}

#[test]
fn a_tenant_is_told_of_each_limit_that_it_has() {
    let quota = Some(Quota { messages: 50, period: Period::Month });
    let meter = Meter::new(Some(7), quota);
    assert_eq!(bring(&meter, 5, at(10_000)).0, 5);
    let rate = Some(Standing { messages: 7, window_s: 1, left: 2, renewed_in_s: 1 });
    let month_s = 31 * 86_400;
    let quota = Some(Standing { messages: 50, window_s: month_s, left: 45, renewed_in_s: month_s - 43_210 });
    assert_eq!(meter.standings(at(10_000)), Standings { rate, quota });
    assert_eq!(meter.standings(at(12_000)).rate.map(|rate| rate.left), Some(7));
    assert_eq!(meter.renewed(None, None).standings(at(0)), Standings::default());
    assert_eq!(Meter::default().standings(at(0)), Standings::default());
}

#[test]
fn a_quota_begins_anew_with_its_period() {
    let meter = Meter::new(Some(1_000), hourly(50));
    assert_eq!(bring(&meter, 45, at(0)).0, 45);
    assert_eq!(bring(&meter, 9, at(5_000)).0, 5);
    assert_eq!(used_up(&meter, at(5_000)), Some(UsedUp { limit: Limit::Quota, more_in_s: 3_595 }));
    assert_eq!(used_up(&meter, at(3_599_999)), Some(UsedUp { limit: Limit::Quota, more_in_s: 1 }));
    assert_eq!(bring(&meter, 7, at(3_600_000)).0, 7);
    assert_eq!((meter.used(at(3_600_000).wall), meter.used(at(7_200_000).wall)), (7, 0));
}

#[test]
fn a_clock_that_is_set_back_gives_no_period_twice() {
    let meter = Meter::new(None, hourly(50));
    assert_eq!(bring(&meter, 50, at(3_600_000)).0, 50);
    assert_eq!(used_up(&meter, at(3_500_000)), Some(UsedUp { limit: Limit::Quota, more_in_s: 3_700 }));
    assert_eq!(bring(&meter, 1, at(3_700_000)).0, 0);
    assert_eq!(bring(&meter, 60, at(0)).0, 0, "the hour before");
    let ahead = Meter::new(None, hourly(50));
    assert_eq!(bring(&ahead, 50, at(48 * 3_600_000)).0, 50);
    assert_eq!(bring(&ahead, 60, at(0)).0, 50, "a clock that was wrong by days is not waited for");
}

#[test]
fn who_has_no_limit_is_not_held_up() {
    let meter = Meter::default();
    assert_eq!((bring(&meter, 1_000, at(0)).0, meter.used(at(0).wall)), (1_000, 0));
}

#[test]
fn charged_is_what_was_admitted() {
    let meter = Meter::new(Some(1_000), hourly(100));
    let used = || meter.used(at(0).wall);
    let (taken, charge) = bring(&meter, 60, at(0));
    assert_eq!((taken, used()), (60, 60));
    charge.settle(20);
    assert_eq!(used(), 20);
    drop(bring(&meter, 10, at(0)).1);
    assert_eq!(used(), 30, "the outcome is not known");
    let mut charge = meter.open();
    assert!((0..50).all(|_| charge.take(at(0), || 1_000).is_ok()));
    assert_eq!(used(), 100, "a block was borrowed");
    charge.ask(5);
    drop(charge);
    assert_eq!(used(), 35, "no shard was asked for the others");
}

#[test]
fn a_request_that_was_cut_short_gets_nothing_more() {
    let meter = Meter::new(Some(10), None);
    let mut charge = meter.open();
    assert_eq!((0..20).filter(|_| charge.take(at(10_000), || 20).is_ok()).count(), 10);
    assert!(charge.take(at(20_000), || 1).is_err() && charge.used_up.is_some());
    assert!(meter.open().take(at(20_000), || 1).is_ok());
}

#[test]
fn what_a_slow_request_takes_late_wipes_out_nothing() {
    let meter = Meter::new(Some(10), None);
    let later = at(10_000 + 17 * 64);
    assert_eq!(bring(&meter, 10, later).0, 10);
    assert_eq!(bring(&meter, 10, at(10_000)).0, 0, "the same slot, an earlier tick");
    assert_eq!(bring(&meter, 10, later).0, 0);
}

#[test]
fn other_limits_count_on() {
    let before = Meter::new(None, hourly(100));
    let (_, under_way) = bring(&before, 60, at(0));
    let after = before.renewed(None, hourly(50)).renewed(None, None).renewed(Some(7), hourly(70));
    assert_eq!((after.used(at(0).wall), bring(&after, 60, at(0)).0), (60, 7));
    under_way.settle(0);
    assert_eq!(after.used(at(0).wall), 7);
}

proptest! {
    /// Overlapping requests, some settled and some dropped, compared with a plain count.
    #[test]
    fn never_more_than_the_quota_and_never_another_count(
        requests in prop::collection::vec((0_u64..40, 0_u64..40, 0_usize..4, 0_u64..2_000), 1..60),
    ) {
        let meter = Meter::new(None, hourly(200));
        let (mut open, mut charged, mut now) = (Vec::new(), 0, 0);
        for (messages, admitted, settled, ms) in requests {
            now = (now + ms).min(3_599_999);
            let (taken, charge) = bring(&meter, messages, at(now));
            prop_assert_eq!(taken, messages.min(200 - charged));
            charged += taken;
            open.push((taken, admitted.min(taken), charge));
            for (taken, admitted, charge) in open.drain(..settled.min(open.len())) {
                charge.settle(admitted);
                charged -= taken - admitted;
            }
            prop_assert_eq!(meter.used(at(now).wall), charged);
        }
    }
}
