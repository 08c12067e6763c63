//! The result of a bench as JSON: written once, read again by the report and by `--compare`. Every number has its unit,
//! and every figure keeps the values of its repeats. Only shapes; nothing is measured here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::subject::Subject;
use crate::run::figure::{Better, Unit};
use crate::run::result::{Number, Series};

/// Version of this format; files of another version are refused.
pub(super) const FORMAT: u32 = 1;
/// A longer file cannot be a result.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The whole result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BenchResult {
    pub format: u32,
    /// When the bench began, in UTC.
    pub began: String,
    pub seconds: f64,
    /// `quick`, `full` or `tiny`.
    pub size: String,
    /// URL of the daemon, if it ran on another host.
    pub target: Option<String>,
    pub machine: Machine,
    pub subject: Subject,
    pub placement: Placement,
    pub load: Load,
    /// What the machine can do without Stentor.
    pub limits: Vec<Measurement>,
    pub measurements: Vec<Measurement>,
    /// What was not measured, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// CPUs that each process was given; `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placement {
    pub daemon: Option<String>,
    pub generator: Option<String>,
    pub simulator: Option<String>,
}

/// The settings of the generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Load {
    pub connections: u64,
    /// Messages per request.
    pub batch: u64,
    /// Characters per message.
    pub length: u64,
}

/// One measurement, repeated some times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measurement {
    pub name: String,
    pub title: String,
    /// Open or closed loop, and what that means here.
    pub model: String,
    /// What was on stable storage, and when it was.
    pub durability: String,
    /// Its settings: `count`, `rate`, `connections`, `batch`.
    pub parameters: BTreeMap<String, f64>,
    pub repeats: usize,
    pub figures: Vec<Figure>,
    /// The same figures at several points of an axis: cores, offered rates.
    #[serde(default)]
    pub points: Vec<Point>,
    /// Series of the last repeat.
    #[serde(default)]
    pub series: Vec<Series>,
    /// CPU of the daemon's threads in the last repeat.
    #[serde(default)]
    pub threads: Vec<Thread>,
    /// What was at its limit.
    #[serde(default)]
    pub bottleneck: Option<String>,
    /// Promises that did not hold.
    #[serde(default)]
    pub broken: Vec<String>,
    /// What a reader must know to judge the figures.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// One figure over its repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub name: String,
    pub unit: Unit,
    pub better: Better,
    /// The values in the order of the repeats; all finite, at least one.
    pub values: Vec<f64>,
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// The figures at one point of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    /// What the axis counts: `cores`, `offered/s`.
    pub axis: String,
    pub at: f64,
    pub figures: Vec<Figure>,
}

/// A thread of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Thread {
    pub name: String,
    /// CPUs that it used while messages were offered.
    pub cpus: f64,
}

/// What was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeftOut {
    pub name: String,
    pub why: String,
}

impl Figure {
    /// A figure of these repeats; `None` if no value is a finite number.
    pub(super) fn new(name: &str, unit: Unit, better: Better, values: &[f64]) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { name: name.to_owned(), unit, better, values, min, median, max })
    }

    /// How far the values of the repeats are apart, as a share of their median; 0 with one value, or if the median is 0.
    pub(super) fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / self.median.abs() }
    }
}

/// Joins the numbers of all repeats by name, in the order in which the names first occur.
pub(super) fn join(repeats: &[Vec<Number>]) -> Vec<Figure> {
    let mut joined: Vec<(&Number, Vec<f64>)> = Vec::new();
    for number in repeats.iter().flatten() {
        match joined.iter_mut().find(|(known, _)| known.name == number.name) {
            Some((_, values)) => values.push(number.value),
            None => joined.push((number, vec![number.value])),
        }
    }
    joined.iter().filter_map(|(number, values)| Figure::new(&number.name, number.unit, number.better, values)).collect()
}

impl Measurement {
    /// The figure of that name.
    pub(super) fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

impl BenchResult {
    /// Reads a result that was written before.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let bytes = fs::metadata(file).map_err(|error| told(&error))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(told(&format!("{bytes} bytes, no result is longer than {FILE_BYTES_MAX}")));
        }
        let text = fs::read_to_string(file).map_err(|error| told(&error))?;
        Self::parse(&text).map_err(|error| told(&error))
    }

    /// Parses a result.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let no_result = |error: serde_json::Error| format!("not a result of `loadtest bench`: {error}");
        let Head { format } = serde_json::from_str(text).map_err(no_result)?;
        if format != FORMAT {
            return Err(format!("a result of format {format}, and this program reads {FORMAT}"));
        }
        serde_json::from_str(text).map_err(no_result)
    }

    /// Writes the result.
    pub(super) fn write(&self, file: &Path) -> Result<(), String> {
        let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(file, json + "\n").map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The measurement of that name, of Stentor or of the machine.
    pub(super) fn find(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().chain(&self.limits).find(|measurement| measurement.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn a_figure_knows_its_spread_and_no_value_that_is_no_number() {
        let figure = |values: &[f64]| Figure::new("x", Unit::PerSecond, Better::Higher, values);
        let three = figure(&[30.0, 10.0, f64::NAN, 20.0, f64::INFINITY]).unwrap();
        assert_eq!((three.min, three.median, three.max, three.spread()), (10.0, 20.0, 30.0, 1.0));
        assert_eq!(three.values, [30.0, 10.0, 20.0]);
        assert_eq!(figure(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(figure(&[7.0]).unwrap().spread(), 0.0);
        assert_eq!(figure(&[0.0, 1.0, 0.0]).unwrap().spread(), 0.0);
        assert_eq!((figure(&[]), figure(&[f64::NAN])), (None, None));
    }

    #[test]
    fn repeats_are_joined_by_name() {
        let number = |name: &str, value: f64| Number {
            name: name.to_owned(),
            value,
            unit: Unit::Seconds,
            better: Better::Lower,
        };
        let joined = join(&[vec![number("a", 1.0), number("b", 5.0), number("a", 2.0)], vec![number("a", 3.0)]]);
        let shown: Vec<_> = joined.iter().map(|figure| (figure.name.as_str(), figure.values.as_slice())).collect();
        assert_eq!(shown, [("a", &[1.0, 2.0, 3.0][..]), ("b", &[5.0][..])]);
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let result = sample::result(&[100.0, 110.0]);
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(BenchResult::parse(&text), Ok(result));
    }

    #[test]
    fn what_is_no_result_is_refused_with_a_reason() {
        let error = |text: &str| BenchResult::parse(text).unwrap_err();
        assert!(error("{").contains("not a result"));
        assert!(error("{\"scenario\":\"million\"}").contains("not a result"));
        assert!(error("{\"format\":7}").contains("format 7"));
        assert!(error("{\"format\":1}").contains("not a result"));
    }
}
