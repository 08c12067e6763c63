//! What the arrivals on one counter show: how much the fullest span held, how much of the limit was used, how late the
//! counter woke. Knows instants and amounts.

use crate::smsc::arrivals::Arrived;
use crate::smsc::stats::Quantiles;

/// The most arrivals that certainly lie within less than `span_us`. They must be in their order.
pub(super) fn most_proven(arrived: &[Arrived], span_us: u64) -> u64 {
    most(arrived, span_us, |one| one.after_us)
}

/// The same by the instants at which they were read: too high if the reader was late for the first of them.
pub(super) fn most_seen(arrived: &[Arrived], span_us: u64) -> u64 {
    most(arrived, span_us, |one| one.until_us)
}

fn most(arrived: &[Arrived], span_us: u64, from: impl Fn(&Arrived) -> u64) -> u64 {
    let (mut most, mut first) = (0, 0);
    for (last, one) in arrived.iter().enumerate() {
        while one.until_us.saturating_sub(from(&arrived[first])) >= span_us && first < last {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most as u64
}

/// The part of the limit that was used: the shortest time in which it allows so many arrivals, over the time that they
/// took. `None` if it allows them all at once.
pub(super) fn used(arrived: &[Arrived], amount: u64, span_us: u64) -> Option<f64> {
    let spans = (arrived.len() as u64).div_ceil(amount.max(1)).saturating_sub(1);
    let took_us = arrived.last()?.until_us - arrived.first()?.until_us;
    (spans > 0).then(|| (spans * span_us) as f64 / took_us.max(1) as f64)
}

/// How late a counter woke, in microseconds, each time: from the instant at which its oldest use left the span to the
/// next arrival. It woke where the arrivals make a pause.
pub(super) fn lateness(arrived: &[Arrived], amount: u64, span_us: u64) -> Vec<u64> {
    let amount = amount as usize;
    let woke = |at: &usize| arrived[*at].until_us - arrived[*at - 1].until_us > span_us / 4;
    let late = |at: usize| arrived[at].until_us.saturating_sub(arrived[at - amount].until_us + span_us);
    (amount.max(1)..arrived.len()).filter(woke).map(late).collect()
}

/// Quantiles of some times.
pub(super) fn quantiles(mut times_us: Vec<u64>) -> Quantiles {
    times_us.sort_unstable();
    let rank = |quantile: f64| ((quantile * times_us.len() as f64).ceil() as usize).saturating_sub(1);
    Quantiles::read(|quantile| times_us.get(rank(quantile)).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(instants: &[(u64, u64)]) -> Vec<Arrived> {
        instants
            .iter()
            .map(|(after_us, until_us)| Arrived { to: 0, after_us: *after_us, until_us: *until_us })
            .collect()
    }

    #[test]
    fn a_span_is_half_open_and_only_what_is_certain_counts() {
        let exact = arrived(&[(0, 0), (500, 500), (1_000, 1_000), (1_499, 1_499)]);
        assert_eq!((most_proven(&exact, 1_000), most_seen(&exact, 1_000)), (3, 3));
        assert_eq!(most_proven(&exact, 500), 2);
        // The first two may have arrived long before they were read.
        let late = arrived(&[(0, 900), (0, 900), (900, 1_800)]);
        assert_eq!((most_proven(&late, 1_000), most_seen(&late, 1_000)), (2, 3));
        assert_eq!(most_proven(&[], 1_000), 0);
    }

    #[test]
    fn a_limit_that_is_kept_busy_is_used_by_nearly_all_of_it() {
        let bursts: Vec<_> = (0..5).flat_map(|burst| [(burst * 1_010, burst * 1_010); 4]).collect();
        let arrived = arrived(&bursts);
        let share = used(&arrived, 4, 1_000).expect("a share");
        assert!((0.985..0.995).contains(&share), "{share}");
        assert_eq!(used(&arrived[..4], 4, 1_000), None);
        assert_eq!(lateness(&arrived, 4, 1_000), [10, 10, 10, 10]);
        assert_eq!(lateness(&arrived[..4], 4, 1_000), [0_u64; 0]);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let found = quantiles((1..=100).rev().collect());
        assert_eq!((found.p50, found.p99, found.p999, found.max), (50, 99, 100, 100));
        assert_eq!(quantiles(Vec::new()), Quantiles::default());
    }
}
