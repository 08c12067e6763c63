//! Compares two results, figure by figure: which are worse by more than a threshold, and by more than the repeats
//! differ among themselves. Decides; prints nothing.

use std::fmt;

use super::result::{BenchResult, Figure, Measurement};
use crate::run::figure::{Better, Unit};

/// How a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It differs by less than the threshold.
    Same,
    /// It differs by more, but the repeats of both overlap: it may be chance.
    WithinSpread,
    Better,
    Worse,
}

/// One figure that both results have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub measurement: String,
    pub figure: String,
    pub unit: Unit,
    /// The medians of both.
    pub medians: (f64, f64),
    /// How much better (above 0) or worse (below), as a share of the first.
    pub gain: f64,
    pub change: Change,
}

/// All figures that both results have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Comparison {
    pub rows: Vec<Row>,
    /// Differences between the two runs, apart from Stentor.
    pub differences: Vec<String>,
    pub threshold: f64,
}

/// Reads a threshold: `5%` or `0.05`.
pub(super) fn threshold(text: &str) -> Result<f64, String> {
    let (number, divisor) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / divisor);
    share.filter(|share| (0.0..=10.0).contains(share)).ok_or_else(|| format!("`{text}`: must be a share such as 5%"))
}

/// Compares `after` with `before`. Only figures of the same measurement under the same load are compared.
pub(super) fn compare(before: &BenchResult, after: &BenchResult, threshold: f64) -> Result<Comparison, String> {
    let mut comparison = Comparison { threshold, differences: differences(before, after), ..Comparison::default() };
    for first in &before.measurements {
        let Some(second) = after.measurements.iter().find(|second| second.name == first.name) else {
            comparison.differences.push(format!("{} is in the first result only", first.name));
            continue;
        };
        if first.model != second.model {
            comparison.differences.push(format!("{}: {} and {}", first.name, first.model, second.model));
            continue;
        }
        rows(&mut comparison.rows, first, second, threshold);
    }
    if comparison.rows.is_empty() {
        return Err("the two results have no figure in common".to_owned());
    }
    Ok(comparison)
}

fn rows(rows: &mut Vec<Row>, first: &Measurement, second: &Measurement, threshold: f64) {
    let judged = |name: &str, before: &[Figure], after: &[Figure], rows: &mut Vec<Row>| {
        for figure in before {
            let other = after.iter().find(|other| other.name == figure.name && other.unit == figure.unit);
            rows.extend(other.and_then(|other| row(name, figure, other, threshold)));
        }
    };
    judged(&first.name, &first.figures, &second.figures, rows);
    for point in &first.points {
        let same = second.points.iter().find(|other| other.axis == point.axis && other.at == point.at);
        if let Some(other) = same {
            judged(&format!("{} at {} {}", first.name, point.at, point.axis), &point.figures, &other.figures, rows);
        }
    }
}

fn row(measurement: &str, before: &Figure, after: &Figure, threshold: f64) -> Option<Row> {
    let sign = match before.better {
        Better::Higher => 1.0,
        Better::Lower => -1.0,
        Better::Neither => return None,
    };
    // A change cannot be a share of nothing.
    if before.median <= 0.0 {
        return None;
    }
    let gain = sign * (after.median - before.median) / before.median;
    let overlaps = before.min <= after.max && after.min <= before.max;
    let change = match gain {
        _ if gain.abs() <= threshold => Change::Same,
        _ if overlaps => Change::WithinSpread,
        gain if gain > 0.0 => Change::Better,
        _ => Change::Worse,
    };
    Some(Row {
        measurement: measurement.to_owned(),
        figure: before.name.clone(),
        unit: before.unit,
        medians: (before.median, after.median),
        gain,
        change,
    })
}

fn differences(before: &BenchResult, after: &BenchResult) -> Vec<String> {
    let load = |result: &BenchResult| {
        let load = result.load;
        format!("{} connections, {} messages a request, {} characters", load.connections, load.batch, load.length)
    };
    let facts = |result: &BenchResult| {
        let (machine, placement) = (&result.machine, &result.placement);
        [
            ("CPU", machine.cpu.clone()),
            ("CPUs", machine.cpus_allowed.to_string()),
            ("kernel", machine.kernel.clone()),
            ("governor", machine.governor.clone()),
            ("file system", format!("{} on {}", machine.file_system.kind, machine.file_system.disk)),
            ("pinning", format!("{placement:?}")),
            ("load", load(result)),
            ("size", result.size.clone()),
            ("target", result.target.clone().unwrap_or_else(|| "this machine".to_owned())),
            ("optimised build", (!result.subject.is_debug).to_string()),
        ]
    };
    let pairs = facts(before).into_iter().zip(facts(after));
    pairs.filter(|(a, b)| a.1 != b.1).map(|(a, b)| format!("{}: {} and {}", a.0, a.1, b.1)).collect()
}

impl Comparison {
    /// The figures that are worse by more than the threshold and by more than the spread of the repeats.
    pub(super) fn worse(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.change == Change::Worse)
    }
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::WithinSpread => "within the spread",
            Self::Better => "better",
            Self::Worse => "WORSE",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "unlike: {difference}")?;
        }
        let width = |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (first, second) = (width(|row| &row.measurement), width(|row| &row.figure));
        for row in &self.rows {
            let [before, after] = [row.medians.0, row.medians.1].map(|median| row.unit.show(median));
            let (measurement, figure, gain) = (&row.measurement, &row.figure, row.gain * 100.0);
            let word = row.change.word();
            writeln!(f, "{measurement:first$}  {figure:second$}  {before:>18}  {after:>18}  {gain:>+7.1} %  {word}")?;
        }
        let (worse, threshold) = (self.worse().count(), self.threshold * 100.0);
        write!(f, "{worse} of {} figures are worse by more than {threshold} %", self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    fn compared(before: &[f64], after: &[f64], limit: f64) -> Change {
        let comparison = compare(&sample::result(before), &sample::result(after), limit).unwrap();
        let row = comparison.rows.iter().find(|row| row.figure == "end to end/s").unwrap();
        assert_eq!(comparison.worse().count() > 0, row.change == Change::Worse);
        row.change
    }

    #[test]
    fn worse_is_what_lies_beyond_threshold_and_spread() {
        assert_eq!(compared(&[100.0, 101.0], &[98.0, 99.0], 0.05), Change::Same);
        assert_eq!(compared(&[100.0, 101.0], &[90.0, 91.0], 0.05), Change::Worse);
        assert_eq!(compared(&[90.0, 100.0, 101.0], &[80.0, 85.0, 95.0], 0.05), Change::WithinSpread);
        assert_eq!(compared(&[100.0], &[120.0], 0.05), Change::Better);
        assert_eq!(compared(&[100.0], &[94.0], 0.1), Change::Same);
    }

    #[test]
    fn what_is_better_lower_is_turned_round_and_tails_are_not_judged() {
        let (before, mut after) = (sample::result(&[100.0]), sample::result(&[100.0]));
        after.measurements[0].figures[1] = sample::figure("request p50", Unit::Millis, &[9.0]);
        after.measurements[0].figures[2].median = 900.0;
        let comparison = compare(&before, &after, 0.05).unwrap();
        let worse: Vec<_> = comparison.worse().map(|row| (row.figure.as_str(), row.gain)).collect();
        assert_eq!(worse, [("request p50", -0.8)]);
        assert!(comparison.to_string().contains("1 of 3 figures are worse"), "{comparison}");
    }

    #[test]
    fn unlike_machines_are_told_and_strangers_refused() {
        let (before, mut after) = (sample::result(&[100.0]), sample::result(&[100.0]));
        after.machine.kernel = "other".to_owned();
        let told = compare(&before, &after, 0.05).unwrap().differences;
        assert!(told.len() == 1 && told[0].starts_with("kernel"), "{told:?}");
        after.measurements.clear();
        assert!(compare(&before, &after, 0.05).is_err());
    }

    #[test]
    fn thresholds_are_shares() {
        assert_eq!((threshold("5%"), threshold("0.05"), threshold("0")), (Ok(0.05), Ok(0.05), Ok(0.0)));
        for text in ["", "%", "-1%", "x", "NaN", "5000%"] {
            assert!(threshold(text).is_err(), "{text}");
        }
    }
}
