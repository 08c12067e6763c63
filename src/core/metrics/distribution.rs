//! Values and how often each came, to two significant digits: durations in µs, counts as they are.
//!
//! Knows how to record at the cost of an array access, to merge, and to answer for bounds and quantiles. Refuses to
//! know units and names. Takes no memory until the first value, then at most about 30 KiB.

use std::fmt;

use hdrhistogram::Histogram;

/// The largest value that is told apart: 2³² µs are 71 minutes. Larger values are recorded as this one; the sum stays exact.
const VALUE_MAX: u64 = 1 << 32;

/// The recorded values of one series. Owned by one core.
#[derive(Clone, Default)]
pub struct Distribution {
    histogram: Option<Histogram<u64>>,
    sum: u64,
}

/// Shows the count and the sum only; the thousands of buckets would say nothing to a reader.
impl fmt::Debug for Distribution {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.histogram.as_ref().map_or(0, Histogram::len);
        out.debug_struct("Distribution").field("values", &values).field("sum", &self.sum).finish()
    }
}

impl PartialEq for Distribution {
    fn eq(&self, other: &Self) -> bool {
        self.sum == other.sum && self.recorded().eq(other.recorded())
    }
}

impl Eq for Distribution {}

impl Distribution {
    /// Records a value.
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Records a value that came `times` times.
    pub fn record_many(&mut self, value: u64, times: u64) {
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_max(VALUE_MAX, 2).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(value.min(VALUE_MAX), times);
        }
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
    }

    /// Adds the values that another one recorded.
    pub fn merge(&mut self, other: &Self) {
        for (value, times) in other.recorded() {
            self.record_many(value, times);
        }
        // The recorded values are rounded, the sums are not.
        let rounded: u64 = other.recorded().map(|(value, times)| value.saturating_mul(times)).sum();
        self.sum = self.sum.saturating_sub(rounded).saturating_add(other.sum);
    }

    /// Number of recorded values.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// Their sum.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that this share (0 to 1) of all values does not exceed; 0 if there are no values.
    pub fn quantile(&self, share: f64) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(share))
    }

    /// How many values did not exceed each of these ascending bounds, as exact as the two digits that are kept.
    pub fn not_above(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len()];
        for (value, times) in self.recorded() {
            if let Some(count) = counts.get_mut(bounds.partition_point(|bound| *bound < value)) {
                *count += times;
            }
        }
        let mut below = 0;
        for count in &mut counts {
            below += *count;
            *count = below;
        }
        counts
    }

    /// The least value of each bucket that is not empty, and its count.
    fn recorded(&self) -> impl Iterator<Item = (u64, u64)> {
        self.histogram.iter().flat_map(|histogram| {
            let least = |value| histogram.lowest_equivalent(value);
            histogram.iter_recorded().map(move |step| (least(step.value_iterated_to()), step.count_at_value()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|value| distribution.record(*value));
        distribution
    }

    #[test]
    fn a_bound_counts_what_equals_it() {
        let distribution = of(&[0, 999, 1_000, 1_020, 50_000, 7_000_000_000]);
        assert_eq!(distribution.not_above(&[0, 1_000, 50_000, VALUE_MAX]), [1, 3, 5, 6]);
        assert_eq!(distribution.not_above(&[100]), [1]);
        assert_eq!((distribution.count(), distribution.sum()), (6, 7_000_053_019));
    }

    #[test]
    fn two_merged_are_as_one() {
        let (low, high) = ([1, 2, 3, 12_345, 987_654], [3, 4, 1_000_001]);
        let mut merged = of(&low);
        merged.merge(&of(&high));
        assert_eq!(merged, of(&[&low[..], &high].concat()));
        let mut empty = Distribution::default();
        empty.merge(&merged);
        assert_eq!(empty, merged);
        empty.merge(&Distribution::default());
        assert_eq!(empty, merged);
    }

    #[test]
    fn quantiles_are_right_to_two_digits() {
        let values: Vec<u64> = (1..=100_000).collect();
        let distribution = of(&values);
        for (share, exact) in [(0.5, 50_000_u64), (0.99, 99_000), (0.999, 99_900)] {
            let error = distribution.quantile(share).abs_diff(exact);
            assert!(error * 100 <= exact, "{share}: {}", distribution.quantile(share));
        }
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }
}
