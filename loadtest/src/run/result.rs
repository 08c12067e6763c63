//! The result of a scenario: figures that were measured and claims that hold or do not, as a table and as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::figure::{Better, Unit, Value};

/// The result of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ScenarioResult {
    pub scenario: String,
    figures: Vec<Figure>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<Series>,
    claims: Vec<Claim>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figure {
    name: String,
    #[serde(flatten)]
    value: Value,
    /// The figure is about the tools, so its changes say nothing about Stentor.
    #[serde(skip)]
    is_aside: bool,
}

/// Values that were counted at regular intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub name: String,
    pub unit: Unit,
    /// Seconds between two values.
    pub interval_s: f64,
    pub values: Vec<f64>,
}

/// A claim and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub text: String,
    pub holds: bool,
}

/// One number of a verdict; each quantile is a number of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub name: String,
    pub value: f64,
    pub unit: Unit,
    pub better: Better,
}

impl ScenarioResult {
    /// An empty verdict.
    pub(crate) fn new(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..Self::default() }
    }

    /// Adds a measured figure.
    pub(crate) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.push(Figure { name: name.to_owned(), value: value.into(), is_aside: false });
    }

    /// Adds a figure about the tools, which is not judged.
    pub(crate) fn aside(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.push(Figure { name: name.to_owned(), value: value.into(), is_aside: true });
    }

    /// Adds what was counted in each second.
    pub(crate) fn per_second(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        let values = values.into_iter().collect();
        self.series.push(Series { name: name.to_owned(), unit: Unit::PerSecond, interval_s: 1.0, values });
    }

    /// Adds a claim, worded as the statement that is true if it holds.
    pub(crate) fn claim(&mut self, text: impl fmt::Display, holds: bool) {
        self.claims.push(Claim { text: text.to_string(), holds });
    }

    /// The first claim that does not hold, as an error.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.claims.iter().find(|claim| !claim.holds) {
            Some(claim) => Err(format!("{}: not so: {}", self.scenario, claim.text)),
            None => Ok(()),
        }
    }

    /// All claims.
    pub(crate) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// All series.
    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    /// All figures that are numbers. The tail beyond p99 is shown but not judged: it is the luck of one run.
    pub(crate) fn numbers(&self) -> Vec<Number> {
        let mut numbers = Vec::new();
        for figure in &self.figures {
            let mut push = |name: String, value: f64, unit: Unit, is_judged: bool| {
                let better = if is_judged && !figure.is_aside { unit.better() } else { Better::Neither };
                numbers.push(Number { name, value, unit, better });
            };
            match &figure.value {
                Value::Number { value, unit } => push(figure.name.clone(), *value, *unit, true),
                Value::Quantiles { p50, p99, p999, max, unit } => {
                    // The name in the table lists the quantiles: `request p50/p99/p99.9/max`.
                    let name = figure.name.split(" p50").next().unwrap_or(&figure.name);
                    push(format!("{name} p50"), *p50, *unit, true);
                    push(format!("{name} p99"), *p99, *unit, true);
                    push(format!("{name} p99.9"), *p999, *unit, false);
                    push(format!("{name} max"), *max, *unit, false);
                }
                Value::Text { .. } => {}
            }
        }
        numbers
    }
}

impl fmt::Display for ScenarioResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{}", self.scenario)?;
        for Figure { name, value, .. } in &self.figures {
            writeln!(f, "  {name:width$}  {value}")?;
        }
        for Claim { text, holds } in &self.claims {
            writeln!(f, "  {} {text}", if *holds { "holds:" } else { "FAILS:" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::figure::quantiles_ms;
    use crate::smsc::stats::Quantiles;

    #[test]
    fn the_first_false_claim_is_the_error() {
        let mut result = ScenarioResult::new("peak");
        result.figure("parts", 7_u64);
        result.claim("nothing is lost", true);
        assert_eq!(result.check(), Ok(()));
        result.claim("nothing comes twice", false);
        assert_eq!(result.check(), Err("peak: not so: nothing comes twice".to_owned()));
        let table = result.to_string();
        assert!(table.contains("parts  7") && table.contains("FAILS: nothing comes twice"), "{table}");
    }

    #[test]
    fn numbers_stand_alone_and_know_who_is_judged_by_them() {
        let mut result = ScenarioResult::new("million");
        result.figure("request p50/p99/p99.9/max", quantiles_ms(&Quantiles { p50: 1, p99: 2, p999: 3, max: 4 }));
        result.aside("simulator CPU per message", Value::micros_per_message(1.0, 1));
        result.figure("name", "no number");
        let numbers: Vec<_> = result.numbers().into_iter().map(|number| (number.name, number.better)).collect();
        let expected = [
            ("request p50", Better::Lower),
            ("request p99", Better::Lower),
            ("request p99.9", Better::Neither),
            ("request max", Better::Neither),
            ("simulator CPU per message", Better::Neither),
        ];
        assert_eq!(numbers, expected.map(|(name, better)| (name.to_owned(), better)));
    }
}
