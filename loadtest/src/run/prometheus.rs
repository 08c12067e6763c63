//! Reads Stentor's `/metrics`: the text format, and the names that the scenarios use, all in one place.

use std::time::Duration;

/// The daemon's metrics are up to a second old.
pub(crate) const METRICS_AGE: Duration = Duration::from_millis(1_200);

/// Messages acknowledged to clients (counter).
pub(crate) const ACCEPTED: &str = "stentor_messages_accepted_total";
/// Messages that reached a final state, by `state` (counter).
pub(crate) const FINAL: &str = "stentor_messages_final_total";
/// Attempts that became in doubt since the start (counter).
pub(crate) const IN_DOUBT: &str = "stentor_in_doubt_total";
/// Messages in doubt (gauge).
pub(crate) const DOUBTS: &str = "stentor_in_doubt_messages";
/// CPU time of the longest poll of a task, and of the 999th of 1,000, in seconds (gauges).
pub(crate) const POLL_LONGEST: &str = "stentor_executor_poll_longest_seconds";
pub(crate) const POLL_TAIL: &str = "stentor_executor_poll_tail_seconds";
/// Lines of the log that could not be written (counter).
pub(crate) const LOG_DROPPED: &str = "stentor_log_lines_dropped_total";
/// Whether the daemon holds its ballast (gauge).
pub(crate) const BALLAST_GONE: &str = "stentor_disk_ballast_gone";
/// Whether a shard sends nothing, and why (gauge).
pub(crate) const HELD: &str = "stentor_shard_held";
/// How often messages of a segment were read back from disk (counter).
pub(crate) const SEGMENTS_READ: &str = "stentor_segments_read_total";
/// Resident memory and open descriptors of the process (gauges).
pub(crate) const RESIDENT: &str = "process_resident_memory_bytes";
pub(crate) const FDS: &str = "process_open_fds";
/// CPU time of the process, in seconds (counter).
pub(crate) const PROCESS_CPU: &str = "process_cpu_seconds_total";
/// The build, in its label `version`.
pub(crate) const BUILD: &str = "stentor_build_info";
/// From acceptance to the first byte on the wire, in seconds (histogram).
pub(crate) const ACCEPT_TO_SUBMIT: &str = "stentor_accept_to_submit_seconds";
/// How long a commit takes, in seconds (histogram).
pub(crate) const COMMIT: &str = "stentor_commit_seconds";
/// Batches that became durable, of all shards.
pub(crate) const COMMITS: &str = "stentor_commit_seconds_count";

/// One reading of all metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads the exposition; lines that are not samples are ignored.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(parse_line).collect())
    }

    /// The sum over all labels; `None` if the metric does not exist.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self.0.iter().filter(|sample| sample.name == name).map(|sample| sample.value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The sum over all series in which that label has that value; `None` if there is none.
    pub(crate) fn sum_of(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let own = self.0.iter().filter(|sample| sample.name == name && sample.label(label) == Some(value));
        let mut values = own.map(|sample| sample.value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The value of that label in the first series of that name.
    pub(crate) fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.0.iter().find(|sample| sample.name == name)?.label(label)
    }

    /// The difference to an earlier reading, for counters and histograms; gauges keep their value.
    pub(crate) fn since(&self, before: &Self) -> Self {
        const COUNTED: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];
        let rest = |sample: &Sample| {
            let is_counted = COUNTED.iter().any(|end| sample.name.ends_with(end));
            let same = |other: &&Sample| other.name == sample.name && other.labels == sample.labels;
            let earlier = before.0.iter().filter(|_| is_counted).find(same).map_or(0.0, |other| other.value);
            Sample { value: sample.value - earlier, ..sample.clone() }
        };
        Self(self.0.iter().map(rest).collect())
    }

    /// Number of series with that name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|sample| sample.name == name).count()
    }

    /// The upper bound of the bucket in which this quantile (0 to 1) of a histogram lies, over all labels.
    pub(crate) fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.name == bucket) {
            let bound = sample.label("le")?.parse().ok()?;
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let wanted = buckets.last()?.1 * quantile;
        buckets.iter().find(|(_, count)| *count >= wanted && *count > 0.0).map(|(bound, _)| *bound)
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        let pair = self.labels.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
        Some(pair.trim_matches('"'))
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let (series, value) = match line.rsplit_once('}') {
        Some((series, rest)) => (series, rest.split_whitespace().next()?),
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample { name: name.to_owned(), labels: labels.to_owned(), value: value.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_is_taken_off() {
        let read =
            |count: u32| Metrics::parse(&format!("a_total{{s=\"0\"}} {count}\ng 7\nb_info{{version=\"1.2\"}} 1\n"));
        let since = read(9).since(&read(4));
        assert_eq!((since.sum("a_total"), since.sum("g")), (Some(5.0), Some(7.0)));
        assert_eq!((since.label("b_info", "version"), since.label("x", "version")), (Some("1.2"), None));
        assert_eq!(read(9).since(&Metrics::default()), read(9));
    }

    #[test]
    fn sums_and_quantiles() {
        let text = "# HELP a x\na_total{shard=\"0\"} 3\na_total{shard=\"1\"} 4.5\nb 7\n\
            h_bucket{le=\"0.1\",c=\"x\"} 10\nh_bucket{le=\"1\",c=\"x\"} 99\nh_bucket{le=\"+Inf\",c=\"x\"} 100\n\
            h_bucket{le=\"0.1\",c=\"y\"} 10\nh_bucket{le=\"1\",c=\"y\"} 10\nh_bucket{le=\"+Inf\",c=\"y\"} 10\nnonsense\n";
        let metrics = Metrics::parse(text);
        assert_eq!((metrics.sum("a_total"), metrics.sum("b"), metrics.sum("c")), (Some(7.5), Some(7.0), None));
        assert_eq!(metrics.quantile("h", 0.1), Some(0.1));
        assert_eq!(metrics.quantile("h", 0.9), Some(1.0));
        assert_eq!(metrics.quantile("h", 1.0), Some(f64::INFINITY));
        assert_eq!(metrics.quantile("i", 0.5), None);
    }
}
