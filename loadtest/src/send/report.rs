//! The result of a run of the generator, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::answer::Verdicts;
use crate::smsc::stats::Quantiles;

/// Seconds of a run that are listed one by one.
const SECONDS_MAX: usize = 3_600;

/// The counts of one worker; merged into a [`Report`] at the end.
#[derive(Debug)]
pub(crate) struct Books {
    latency_us: Histogram<u64>,
    accepted_us: Histogram<u64>,
    lateness_us: Histogram<u64>,
    report: Report,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Messages of all batches that were begun.
    pub offered: u64,
    /// Messages acknowledged as new.
    pub accepted: u64,
    /// Messages acknowledged as known (after a repeated batch: those whose first answer was lost).
    pub duplicates: u64,
    /// Messages refused or never answered, by code.
    pub errors: BTreeMap<String, u64>,
    /// Messages that may be sent again later, refused by an answer that did not say when.
    #[serde(default)]
    pub untold: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Connections opened beyond the first of each worker.
    pub reconnects: u64,
    pub seconds: f64,
    pub acknowledged_per_s: f64,
    /// Time from the moment at which a request was due to its (last) answer.
    pub latency_us: Quantiles,
    /// The same, of requests of which something was acknowledged.
    #[serde(default)]
    pub accepted_us: Quantiles,
    /// How late requests left: the generator's own share, and waiting for a free connection.
    pub lateness_us: Quantiles,
    /// Size of the request bodies as sent, after compression.
    pub body_bytes: u64,
    /// Messages acknowledged in each second since the first was due; the first hour.
    #[serde(default)]
    pub per_second: Vec<u64>,
    /// Serials that were acknowledged, as ranges `[from, to)`.
    pub acknowledged: Vec<(u64, u64)>,
}

impl Books {
    /// Empty counts.
    pub(crate) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("fixed bounds"));
        Self { latency_us: histogram(), accepted_us: histogram(), lateness_us: histogram(), report: Report::default() }
    }

    /// Records how late a request left.
    pub(crate) fn record_lateness(&mut self, us: u64) {
        self.lateness_us.saturating_record(us);
    }

    /// Counts one more try of a batch.
    pub(crate) fn record_retry(&mut self) {
        self.report.retries += 1;
    }

    /// Counts messages that were refused for now by an answer without `Retry-After`.
    pub(crate) fn record_untold(&mut self, messages: u64) {
        self.report.untold += messages;
    }

    /// Counts a connection that had to be opened again.
    pub(crate) fn record_reconnect(&mut self) {
        self.report.reconnects += 1;
    }

    /// Counts messages that were acknowledged in that second of the run.
    pub(crate) fn record_second(&mut self, second: u64, messages: u64) {
        let index = usize::try_from(second).unwrap_or(usize::MAX);
        if index >= SECONDS_MAX {
            return;
        }
        let seconds = &mut self.report.per_second;
        if seconds.len() <= index {
            seconds.resize(index + 1, 0);
        }
        seconds[index] += messages;
    }

    /// Records the outcome of a batch.
    pub(crate) fn record_batch(
        &mut self,
        serials: &std::ops::Range<u64>,
        bytes: usize,
        latency_us: u64,
        verdicts: &Verdicts,
    ) {
        self.latency_us.saturating_record(latency_us);
        if verdicts.accepted + verdicts.duplicates > 0 {
            self.accepted_us.saturating_record(latency_us);
        }
        self.report.offered += serials.end - serials.start;
        self.report.accepted += verdicts.accepted;
        self.report.duplicates += verdicts.duplicates;
        self.report.body_bytes += bytes as u64;
        for refused in &verdicts.refused {
            *self.report.errors.entry(refused.code.clone()).or_insert(0) += refused.lines;
        }
        self.report.acknowledged.extend(verdicts.acknowledged(serials));
    }

    /// Adds the counts of another worker.
    pub(crate) fn merge(&mut self, other: Self) {
        // All histograms have the same bounds, so adding cannot fail.
        let _ = self.latency_us.add(other.latency_us);
        let _ = self.accepted_us.add(other.accepted_us);
        let _ = self.lateness_us.add(other.lateness_us);
        self.report.offered += other.report.offered;
        self.report.accepted += other.report.accepted;
        self.report.duplicates += other.report.duplicates;
        self.report.untold += other.report.untold;
        self.report.retries += other.report.retries;
        self.report.reconnects += other.report.reconnects;
        self.report.body_bytes += other.report.body_bytes;
        self.report.acknowledged.extend(other.report.acknowledged);
        for (second, messages) in (0..).zip(other.report.per_second) {
            self.record_second(second, messages);
        }
        for (code, lines) in other.report.errors {
            *self.report.errors.entry(code).or_insert(0) += lines;
        }
    }

    /// The result after `seconds` seconds.
    pub(crate) fn close(mut self, seconds: f64) -> Report {
        self.report.seconds = seconds;
        self.report.acknowledged_per_s = self.report.acknowledged_count() as f64 / seconds.max(1e-9);
        self.report.latency_us = Quantiles::read(|quantile| self.latency_us.value_at_quantile(quantile));
        self.report.accepted_us = Quantiles::read(|quantile| self.accepted_us.value_at_quantile(quantile));
        self.report.lateness_us = Quantiles::read(|quantile| self.lateness_us.value_at_quantile(quantile));
        self.report.acknowledged = join(std::mem::take(&mut self.report.acknowledged));
        self.report
    }
}

impl Report {
    /// Messages acknowledged, new or known.
    pub(crate) fn acknowledged_count(&self) -> u64 {
        self.accepted + self.duplicates
    }

    /// Whether every message offered was acknowledged.
    pub(crate) fn is_complete(&self) -> bool {
        self.acknowledged_count() == self.offered
    }

    /// Whether this serial was acknowledged.
    pub(crate) fn is_acknowledged(&self, serial: u64) -> bool {
        let after = self.acknowledged.partition_point(|(from, _)| *from <= serial);
        after.checked_sub(1).and_then(|index| self.acknowledged.get(index)).is_some_and(|(_, to)| serial < *to)
    }
}

/// Sorts ranges and joins those that touch or overlap.
fn join(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some((_, last)) if *last >= from => *last = to.max(*last),
            Some(_) | None => joined.push((from, to)),
        }
    }
    joined
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1_000.0;
        let quantiles =
            |q: &Quantiles| format!("{:.2} / {:.2} / {:.2} / {:.2}", ms(q.p50), ms(q.p99), ms(q.p999), ms(q.max));
        writeln!(f, "offered               {}", self.offered)?;
        writeln!(f, "accepted              {}", self.accepted)?;
        writeln!(f, "duplicates            {}", self.duplicates)?;
        for (code, lines) in &self.errors {
            writeln!(f, "error {code:<15} {lines}")?;
        }
        writeln!(f, "batches sent again    {}", self.retries)?;
        writeln!(f, "seconds               {:.3}", self.seconds)?;
        writeln!(f, "acknowledged/s        {:.0}", self.acknowledged_per_s)?;
        writeln!(f, "request p50/p99/p99.9/max ms   {}", quantiles(&self.latency_us))?;
        writeln!(f, "left late p50/p99/p99.9/max ms {}", quantiles(&self.lateness_us))?;
        write!(f, "MB sent               {:.1}", self.body_bytes as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_all_workers_are_added_up_to_an_hour() {
        let (mut books, mut others) = (Books::new(), Books::new());
        books.record_second(0, 5);
        others.record_second(2, 7);
        others.record_second(1 << 40, 9);
        books.merge(others);
        assert_eq!(books.close(3.0).per_second, [5, 0, 7]);
    }

    #[test]
    fn requests_that_were_refused_as_a_whole_have_no_part_in_the_times_of_accepted_ones() {
        let mut books = Books::new();
        books.record_batch(&(0..1), 9, 1_000, &Verdicts { accepted: 1, ..Verdicts::default() });
        books.record_batch(&(1..2), 9, 5_000, &crate::send::answer::unanswered(1));
        let report = books.close(1.0);
        assert_eq!((report.latency_us.max, report.accepted_us.max), (5_003, 1_000));
    }

    #[test]
    fn ranges_join_and_answer() {
        let acknowledged = join(vec![(10, 20), (0, 5), (5, 7), (20, 21), (15, 16)]);
        assert_eq!(acknowledged, [(0, 7), (10, 21)]);
        let report = Report { acknowledged, ..Report::default() };
        let found: Vec<_> = (0..23).filter(|serial| report.is_acknowledged(*serial)).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    }
}
