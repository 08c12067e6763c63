//! The limit under late calls: no window over R, hardly less than R under backlog, no bursts.

use proptest::prelude::*;

use super::SlidingLimit;
use super::sliding::{QUANTUM_NS, WINDOW_NS};
use crate::model::{Mono, Prng};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Calls whenever the limit says so, each time up to `jitter_ns` late, for `span_ns`, with an endless backlog.
fn backlog(limit: &mut SlidingLimit, prng: &mut Prng, from: Mono, span_ns: u64, jitter_ns: u64) -> Vec<(Mono, u32)> {
    let (mut now, mut sent) = (from, Vec::new());
    while now.since(from) < span_ns {
        let parts = limit.allowance(now);
        assert!(limit.take(parts, now), "an allowance must be takeable");
        assert!(!limit.take(1, now), "no more than the allowance");
        if parts > 0 {
            sent.push((now, parts));
        }
        let next = limit.next_at(now);
        assert!(next > now, "nothing is left now, so the next instant lies ahead");
        now = next.after_ns(prng.below(jitter_ns + 1));
    }
    sent
}

/// Most parts in any half-open interval of `window_ns`.
fn most(sent: &[(Mono, u32)], window_ns: u64) -> u64 {
    let (mut most, mut sum, mut tail) = (0, 0_u64, 0);
    for &(at, parts) in sent {
        sum += u64::from(parts);
        while at.since(sent[tail].0) >= window_ns {
            sum -= u64::from(sent[tail].1);
            tail += 1;
        }
        most = most.max(sum);
    }
    most
}

fn total(sent: &[(Mono, u32)]) -> u64 {
    sent.iter().map(|&(_, parts)| u64::from(parts)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_over_and_hardly_under(
        seed: u64,
        rate in prop_oneof![1_u32..20, 20_u32..2_000, 2_000_u32..500_000],
        jitter_ns in 0..3 * MS,
        origin in 0..u64::from(u32::MAX) * 1_000,
    ) {
        let (mut limit, mut prng) = (SlidingLimit::new(rate), Prng::new(seed));
        let span = 10 * WINDOW_NS;
        let sent = backlog(&mut limit, &mut prng, Mono(origin), span, jitter_ns);
        prop_assert!(most(&sent, WINDOW_NS) <= u64::from(rate));
        let seconds = span as f64 / SECOND as f64;
        let wanted = (f64::from(rate) * 0.98 * seconds).floor() as u64;
        prop_assert!(total(&sent) >= wanted, "{} of {wanted} in {seconds} s", total(&sent));
        prop_assert!(sent.len() as u64 <= span / QUANTUM_NS + 1, "{} wakes", sent.len());
        let even = f64::from(rate) * 0.031 + 2.0;
        prop_assert!(most(&sent, 20 * MS) as f64 <= even, "{} parts in 20 ms at {rate}/s", most(&sent, 20 * MS));
    }

    /// Field P1: a carrier that throttles a part that comes sooner after the one before than the rate says.
    #[test]
    fn a_punctual_one_spaces_and_is_hardly_slower(
        seed: u64,
        rate in prop_oneof![1_u32..20, 20_u32..490, 490_u32..100_000],
        jitter_ns in 0..MS / 2,
        eased in 0_u32..100,
    ) {
        let (mut limit, mut prng) = (SlidingLimit::new(rate), Prng::new(seed));
        let span = 10 * WINDOW_NS;
        limit.be_punctual(Mono(2 * span), eased);
        let sent = backlog(&mut limit, &mut prng, Mono(7), span, jitter_ns);
        prop_assert!(most(&sent, WINDOW_NS) <= u64::from(rate));
        if rate < 490 {
            let closest = sent.windows(2).map(|two| two[1].0.since(two[0].0)).min().unwrap_or(u64::MAX);
            let wanted = SECOND / u64::from(rate) / 1_000 * (1_000 + u64::from(eased));
            prop_assert!(closest >= wanted, "{closest} of {wanted} ns at {rate}/s");
            prop_assert!(sent.iter().all(|(_, parts)| *parts == 1));
        }
        let late = u64::from(rate) * jitter_ns / 2;
        let eased = 1.0 + f64::from(eased) / 1_000.0;
        let wanted = 0.95 * f64::from(rate) * span as f64 / (SECOND as f64 * eased + late.min(SECOND) as f64);
        prop_assert!(total(&sent) as f64 >= wanted.floor() - 1.0, "{} of {wanted}", total(&sent));
    }

    #[test]
    fn never_over_whatever_happens(
        seed: u64,
        rate in 1_u32..3_000,
        steps in prop::collection::vec((0_u64..40 * MS, 0_u32..200, 0_u8..20), 1..400),
    ) {
        let (mut limit, mut rate, mut now) = (SlidingLimit::new(rate), rate, Mono(seed >> 24));
        let (mut sent, mut changes) = (Vec::new(), vec![(now, rate)]);
        for (pause, wanted, event) in steps {
            now = now.after_ns(pause);
            match event {
                0 => {
                    rate = wanted + 1;
                    limit.set_rate(rate);
                    changes.push((now, rate));
                }
                1 => now = now.after_ns(u64::from(wanted) * 20 * MS),
                2 => limit.silence(now.after_ms(u64::from(wanted))),
                3.. => {
                    let parts = limit.allowance(now).min(wanted);
                    prop_assert!(limit.take(parts, now));
                    let since = now.0.saturating_sub(WINDOW_NS - 1);
                    sent.push((now, parts));
                    let window: u32 = sent.iter().filter(|(at, _)| at.0 >= since).map(|(_, parts)| parts).sum();
                    prop_assert!(parts == 0 || window <= rate, "{window} at {rate}/s");
                }
            }
        }
    }
}

#[test]
fn idleness_saves_up_a_small_burst_only() {
    for (rate, burst) in [(1, 1), (50, 1), (1_000, 10), (5_000, 50), (100_000, 991)] {
        let mut limit = SlidingLimit::new(rate);
        assert_eq!(limit.allowance(Mono(90 * SECOND)), burst, "{rate}/s");
    }
}

#[test]
fn several_at_once_are_foretold_to_the_step() {
    for rate in [50, 400, 1_000, 5_000, 100_000] {
        let mut limit = SlidingLimit::new(rate);
        let start = Mono(90 * SECOND + MS / 3);
        let burst = limit.allowance(start);
        assert!(limit.take(burst, start));
        for parts in 1..=burst {
            let at = limit.next_for(parts, start).expect("no more than a burst");
            assert!(limit.clone().allowance(at) >= parts, "{parts} at {rate}/s");
            let before = Mono(at.0 - QUANTUM_NS);
            assert!(before <= start || limit.clone().allowance(before) < parts, "{parts} at {rate}/s, earlier");
        }
        assert_eq!(limit.next_for(burst + 1, start), None, "{rate}/s");
    }
}

#[test]
fn a_second_of_silence_is_silent() {
    let mut limit = SlidingLimit::new(100);
    limit.silence(Mono(SECOND));
    assert_eq!((limit.allowance(Mono(0)), limit.next_at(Mono(0))), (0, Mono(SECOND)));
    limit.silence(Mono(SECOND / 2));
    assert!(!limit.take(1, Mono(SECOND - 1)));
    assert!(limit.take(1, Mono(SECOND)));
}

#[test]
fn another_rate_keeps_what_has_left() {
    let (mut limit, mut prng) = (SlidingLimit::new(1_000), Prng::new(1));
    let sent = backlog(&mut limit, &mut prng, Mono(SECOND), SECOND / 2, 0);
    assert!(total(&sent) > 480);
    limit.set_rate(400);
    let now = Mono(SECOND + SECOND / 2);
    assert_eq!(limit.allowance(now), 0, "more than 400 have left within this second");
    let next = limit.next_at(now);
    assert!(
        limit.allowance(next) > 0 && next.since(sent[0].0) >= WINDOW_NS,
        "free once the first ones are a second old"
    );
    limit.set_rate(2_000);
    assert!(limit.allowance(now) > 0, "room again at the higher rate");
    let mut slow = SlidingLimit::new(1);
    assert!(slow.take(1, now));
    slow.set_rate(1_000);
    assert!(slow.allowance(now.after_ms(3)) > 0, "the old schedule does not hold the new rate back");
}

#[test]
fn parts_that_left_late_count_when_they_left() {
    let mut limit = SlidingLimit::new(10);
    let start = Mono(SECOND);
    assert!(limit.take(1, start));
    limit.set_stalled(9);
    assert_eq!(limit.allowance(start.after_ms(500)), 0, "one on record and nine that may leave at any instant");
    assert!(limit.next_at(start.after_ms(500)) > start.after_ms(500));
    limit.set_stalled(0);
    limit.charge(9, start.after_ms(500));
    assert_eq!(limit.allowance(start.after_ms(900)), 0);
    assert_eq!(limit.allowance(start.after_ms(1_100)), 1, "the first is a second old, the nine are not");
    assert_eq!(limit.used(start.after_ms(1_511)), 0);
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let mut limit = SlidingLimit::new(2);
    assert!(limit.take(1, Mono(5 * SECOND)));
    assert!(!limit.take(1, Mono(SECOND)), "judged at the latest instant seen");
    assert!(limit.take(1, Mono(6 * SECOND)));
}
