//! What is measured: the catalog of every metric with its meaning, and the counters and histograms that one core owns.
//!
//! Nothing here is shared: a core records into its own [`Metrics`], a shard into its own [`Distribution`]s; copies are
//! merged only when `/metrics` is read. Does not know the rooms that are measured (they count for themselves, in plain
//! fields), nor text formats and clocks.

pub mod catalog;
pub mod distribution;
pub mod sample;

pub use catalog::{Family, Kind, Metric};
pub use distribution::Distribution;
pub use sample::{Snapshot, Value};

/// What one core counts about the requests that it answers. Used only on that core; copies are merged by [`Snapshot`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Requests answered, by the first digit of their status.
    requests: [u64; Metrics::STATUSES.len()],
    /// Time from a request's headers until its answer's, µs.
    request_us: Distribution,
    /// Messages in requests, by outcome.
    messages: [u64; Metrics::ENDS.len()],
}

impl Metrics {
    /// Classes of HTTP statuses, as labels.
    pub const STATUSES: [&'static str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    /// Outcomes of a message at the door, as labels.
    pub const ENDS: [&'static str; 3] = ["accepted", "duplicate", "rejected"];

    /// A request was answered with `status` after `micros`. A status outside 100..=599 counts as 5xx.
    pub fn request(&mut self, status: u16, micros: u64) {
        let class = usize::from(status / 100).wrapping_sub(1).min(Self::STATUSES.len() - 1);
        if let Some(count) = self.requests.get_mut(class) {
            *count += 1;
        }
        self.request_us.record(micros);
    }

    /// A request contained so many messages of each outcome, in the order of [`Self::ENDS`].
    pub fn messages(&mut self, ended: [u64; Self::ENDS.len()]) {
        self.messages.iter_mut().zip(ended).for_each(|(sum, count)| *sum += count);
    }

    /// Enters every value under its name.
    pub fn fill(&self, snapshot: &mut Snapshot) {
        for (status, count) in Self::STATUSES.into_iter().zip(self.requests) {
            snapshot.count(Metric::HttpRequests, &[status], count);
        }
        for (end, count) in Self::ENDS.into_iter().zip(self.messages) {
            snapshot.count(Metric::HttpMessages, &[end], count);
        }
        snapshot.distribution(Metric::HttpRequestSeconds, &[], &self.request_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_class_of_status() {
        let mut metrics = Metrics::default();
        [200, 202, 204, 404, 503, 0, 999].into_iter().for_each(|status| metrics.request(status, 1_000));
        assert_eq!(metrics.requests, [0, 3, 0, 1, 3]);
        assert_eq!(metrics.request_us.count(), 7);
    }

    #[test]
    fn cores_add_up_where_they_are_scraped() {
        let (mut one, mut other, mut both) = (Metrics::default(), Metrics::default(), Metrics::default());
        for metrics in [&mut one, &mut both] {
            metrics.request(202, 10);
            metrics.messages([5, 1, 0]);
        }
        for metrics in [&mut other, &mut both] {
            metrics.request(503, 30_000);
            metrics.messages([7, 0, 2]);
        }
        let (mut apart, mut merged, mut whole) = (Snapshot::default(), Snapshot::default(), Snapshot::default());
        one.fill(&mut apart);
        other.fill(&mut merged);
        merged.merge(&apart);
        both.fill(&mut whole);
        assert_eq!(merged, whole);
    }
}
