//! The result of a scenario: figures that were measured and claims that hold or do not, as a table and as JSON.

use std::fmt;

use serde::Serialize;

/// What a scenario found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    pub scenario: String,
    figures: Vec<Figure>,
    claims: Vec<Claim>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figure {
    name: String,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Claim {
    text: String,
    holds: bool,
}

impl Verdict {
    /// An empty verdict.
    pub fn new(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..Self::default() }
    }

    /// Adds a measured figure.
    pub fn figure(&mut self, name: &str, value: impl fmt::Display) {
        self.figures.push(Figure { name: name.to_owned(), value: value.to_string() });
    }

    /// Adds a claim, worded so that it says what is true when it holds.
    pub fn claim(&mut self, text: impl fmt::Display, holds: bool) {
        self.claims.push(Claim { text: text.to_string(), holds });
    }

    /// The first claim that does not hold as an error.
    pub fn check(&self) -> Result<(), String> {
        match self.claims.iter().find(|claim| !claim.holds) {
            Some(claim) => Err(format!("{}: not so: {}", self.scenario, claim.text)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{}", self.scenario)?;
        for Figure { name, value } in &self.figures {
            writeln!(f, "  {name:width$}  {value}")?;
        }
        for Claim { text, holds } in &self.claims {
            writeln!(f, "  {} {text}", if *holds { "holds:" } else { "FAILS:" })?;
        }
        Ok(())
    }
}

/// Quantiles in microseconds as a line of milliseconds.
pub fn quantiles_ms(quantiles: &crate::smsc::stats::Quantiles) -> String {
    let ms = |us: u64| us as f64 / 1_000.0;
    format!(
        "{:.2} / {:.2} / {:.2} / {:.2} ms",
        ms(quantiles.p50),
        ms(quantiles.p99),
        ms(quantiles.p999),
        ms(quantiles.max)
    )
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_false_claim_is_the_error() {
        let mut verdict = Verdict::new("peak");
        verdict.figure("parts", 7);
        verdict.claim("nothing is lost", true);
        assert_eq!(verdict.check(), Ok(()));
        verdict.claim("nothing comes twice", false);
        assert_eq!(verdict.check(), Err("peak: not so: nothing comes twice".to_owned()));
        let table = verdict.to_string();
        assert!(table.contains("parts  7") && table.contains("FAILS: nothing comes twice"), "{table}");
    }
}
