//! The worst sliding second of a stream of parts, as far as a receiver can know it. An arrival is only known to be
//! between the moment at which the socket was last seen empty and the moment at which it was read, so two figures are
//! kept: `seen` uses the moment of reading (if the reader stalls, arrivals pile up and it becomes too high), `proven`
//! counts only parts that were certainly written within one second of each other. Each read costs constant memory.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

const SECOND_NS: u64 = 1_000_000_000;

/// One read: `parts` parts arrived after `after_ns` and not later than `until_ns`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub after_ns: u64,
    pub until_ns: u64,
    pub parts: u32,
}

/// Follows one stream of arrivals; both instants must not run backwards.
#[derive(Debug)]
pub(super) struct Pace {
    seen: Window,
    proven: Window,
    uncertainty_us: Histogram<u64>,
    first_ns: Option<u64>,
    last_ns: u64,
    parts: u64,
    per_second: Vec<u32>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            seen: Window::default(),
            proven: Window::default(),
            uncertainty_us: Histogram::new_with_bounds(1, 60_000_000, 2)
                .unwrap_or_else(|_| unreachable!("fixed bounds")),
            first_ns: None,
            last_ns: 0,
            parts: 0,
            per_second: Vec::new(),
        }
    }
}

impl Pace {
    /// Takes one read into account.
    pub(super) fn record(&mut self, arrival: Arrival) {
        let Arrival { after_ns, until_ns, parts } = arrival;
        self.seen.push(until_ns, until_ns, parts);
        self.proven.push(after_ns, until_ns, parts);
        self.uncertainty_us.saturating_record(until_ns.saturating_sub(after_ns) / 1_000);
        let first_ns = *self.first_ns.get_or_insert(until_ns);
        self.last_ns = until_ns;
        self.parts += u64::from(parts);
        let second = (until_ns.saturating_sub(first_ns) / SECOND_NS) as usize;
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        self.per_second[second] += parts;
    }

    /// Parts recorded.
    pub(super) fn parts(&self) -> u64 {
        self.parts
    }

    /// Parts in the worst second, by the moments of reading.
    pub(super) fn worst_seen(&self) -> u32 {
        self.seen.worst
    }

    /// Parts that certainly fell into one second: never more than were written in the worst second.
    pub(super) fn worst_proven(&self) -> u32 {
        self.proven.worst
    }

    /// Width of the interval in which an arrival is known to be, in microseconds, at this quantile (0 to 1).
    pub(super) fn jitter_us(&self, quantile: f64) -> u64 {
        self.uncertainty_us.value_at_quantile(quantile)
    }

    /// Seconds from the first to the last arrival.
    pub(super) fn span_s(&self) -> f64 {
        self.last_ns.saturating_sub(self.first_ns.unwrap_or(self.last_ns)) as f64 / SECOND_NS as f64
    }

    /// Parts in each second since the first arrival.
    pub(super) fn per_second(&self) -> &[u32] {
        &self.per_second
    }
}

/// The largest sum of parts whose starts and ends all lie within less than one second.
#[derive(Debug, Default)]
struct Window {
    inside: VecDeque<(u64, u32)>,
    sum: u32,
    worst: u32,
}

impl Window {
    fn push(&mut self, start_ns: u64, end_ns: u64, parts: u32) {
        match self.inside.back_mut() {
            Some((start, count)) if *start == start_ns => *count += parts,
            Some(_) | None => self.inside.push_back((start_ns, parts)),
        }
        self.sum += parts;
        while let Some((start, count)) = self.inside.front().copied()
            && end_ns.saturating_sub(start) >= SECOND_NS
        {
            self.inside.pop_front();
            self.sum -= count;
        }
        self.worst = self.worst.max(self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn pace(arrivals: &[(u64, u64, u32)]) -> Pace {
        let mut pace = Pace::default();
        for (after_ms, until_ms, parts) in arrivals.iter().copied() {
            pace.record(Arrival { after_ns: after_ms * MS, until_ns: until_ms * MS, parts });
        }
        pace
    }

    #[test]
    fn a_second_is_half_open() {
        let pace = pace(&[(1_000, 1_000, 5), (1_999, 1_999, 5), (2_000, 2_000, 5), (3_001, 3_001, 1)]);
        assert_eq!((pace.worst_seen(), pace.worst_proven()), (10, 10));
    }

    #[test]
    fn a_stalled_reader_proves_nothing() {
        let pace = pace(&[(0, 1, 100), (1, 1_201, 120), (1_201, 1_202, 1)]);
        assert_eq!((pace.worst_seen(), pace.worst_proven()), (121, 100));
        assert_eq!(pace.jitter_us(1.0) / 10_000, 120);
    }

    #[test]
    fn an_excess_is_proven_when_the_reader_was_awake() {
        let arrivals: Vec<_> = (0..2_000).map(|ms| (ms, ms + 1, if ms == 1_500 { 7 } else { 5 })).collect();
        let pace = pace(&arrivals);
        assert_eq!((pace.worst_seen(), pace.worst_proven()), (5_002, 4_997));
        assert_eq!(pace.per_second(), [5_000, 5_002]);
        assert_eq!(pace.parts(), 10_002);
    }

    /// Compared with the definition, tried for every start.
    #[test]
    fn agrees_with_plain_counting() {
        let arrivals: Vec<_> = (0..600_u64).map(|i| (i * 37, i * 37 + i * i % 53, (i * i % 7) as u32 + 1)).collect();
        let mut sorted = arrivals.clone();
        sorted.sort_by_key(|(_, until, _)| *until);
        let plain = sorted
            .iter()
            .map(|(_, end, _)| {
                sorted.iter().filter(|(_, u, _)| *u <= *end && *u + 1_000 > *end).map(|a| a.2).sum::<u32>()
            })
            .max();
        let ordered: Vec<_> = sorted.iter().map(|(_, until, parts)| (*until, *until, *parts)).collect();
        assert_eq!(Some(pace(&ordered).worst_seen()), plain);
    }
}
