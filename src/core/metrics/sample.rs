//! Values under their names: collected when metrics are read, added up over cores, and listed in order.

use std::collections::BTreeMap;

use super::catalog::{Kind, Metric};
use super::distribution::Distribution;

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count that grows from the start of the process.
    Counter(u64),
    /// The present value.
    Gauge(f64),
    /// In the unit of [`Kind::Histogram`].
    Histogram(Distribution),
}

/// Series by metric and labels, in the order of the catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    series: BTreeMap<(Metric, Vec<String>), Value>,
}

impl Snapshot {
    /// Adds to a counter. `labels` are the values of the metric's labels, in their order.
    pub fn count(&mut self, metric: Metric, labels: &[&str], count: u64) {
        debug_assert_eq!(metric.family().kind, Kind::Counter);
        if let Value::Counter(sum) = self.entry(metric, labels, || Value::Counter(0)) {
            *sum += count;
        }
    }

    /// Adds to a gauge: two parts with the same labels are added up.
    pub fn gauge(&mut self, metric: Metric, labels: &[&str], part: f64) {
        debug_assert_eq!(metric.family().kind, Kind::Gauge);
        if let Value::Gauge(sum) = self.entry(metric, labels, || Value::Gauge(0.0)) {
            *sum += part;
        }
    }

    /// Raises a gauge: of two values with the same labels the greater one counts.
    pub fn gauge_max(&mut self, metric: Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.family().kind, Kind::Gauge);
        if let Value::Gauge(greatest) = self.entry(metric, labels, || Value::Gauge(value)) {
            *greatest = greatest.max(value);
        }
    }

    /// Adds to a histogram.
    pub fn distribution(&mut self, metric: Metric, labels: &[&str], part: &Distribution) {
        debug_assert!(matches!(metric.family().kind, Kind::Histogram { .. }));
        if let Value::Histogram(sum) = self.entry(metric, labels, || Value::Histogram(Distribution::default())) {
            sum.merge(part);
        }
    }

    /// Adds the values of another core; all gauges are treated as parts of one whole.
    pub fn merge(&mut self, other: &Self) {
        for (metric, labels, value) in other.iter() {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            match value {
                Value::Counter(count) => self.count(metric, &labels, *count),
                Value::Gauge(part) => self.gauge(metric, &labels, *part),
                Value::Histogram(part) => self.distribution(metric, &labels, part),
            }
        }
    }

    /// Every series: metric, values of its labels, value. Metrics in the order of the catalog, labels ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, &[String], &Value)> {
        self.series.iter().map(|((metric, labels), value)| (*metric, labels.as_slice(), value))
    }

    fn entry(&mut self, metric: Metric, labels: &[&str], fresh: impl FnOnce() -> Value) -> &mut Value {
        debug_assert_eq!(labels.len(), metric.family().labels.len(), "{}", metric.family().name);
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.series.entry((metric, labels)).or_insert_with(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bears_the_same_labels_adds_up() {
        let mut snapshot = Snapshot::default();
        snapshot.count(Metric::Accepted, &["otp"], 3);
        snapshot.count(Metric::Accepted, &["otp"], 4);
        snapshot.count(Metric::Accepted, &["marketing"], 1);
        snapshot.gauge(Metric::LinkBinds, &["north"], 2.0);
        snapshot.gauge(Metric::LinkBinds, &["north"], 1.0);
        snapshot.gauge_max(Metric::QueueOldest, &[], 2.0);
        snapshot.gauge_max(Metric::QueueOldest, &[], 1.0);
        let mut distribution = Distribution::default();
        distribution.record(5);
        snapshot.distribution(Metric::CommitMessages, &[], &distribution);
        snapshot.distribution(Metric::CommitMessages, &[], &distribution);
        let value = |metric, labels: &[&str]| {
            let mut found = snapshot.iter().filter(|(of, has, _)| *of == metric && *has == labels);
            found.next().map(|(_, _, value)| value.clone())
        };
        assert_eq!(value(Metric::Accepted, &["otp"]), Some(Value::Counter(7)));
        assert_eq!(value(Metric::Accepted, &["marketing"]), Some(Value::Counter(1)));
        assert_eq!(value(Metric::LinkBinds, &["north"]), Some(Value::Gauge(3.0)));
        assert_eq!(value(Metric::QueueOldest, &[]), Some(Value::Gauge(2.0)));
        let Some(Value::Histogram(merged)) = value(Metric::CommitMessages, &[]) else { panic!("a histogram") };
        assert_eq!((merged.count(), merged.sum()), (2, 10));
    }
}
