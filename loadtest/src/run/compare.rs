//! Scenario `compare`: `million` alternately with this build and another one, or with other tenants or limits, A B B A A B B A …,
//! and the ratio of each pair, so that a machine whose speed drifts does not decide the result.

use std::path::PathBuf;

use super::ground::GroundOptions;
use super::million::{self, Pass};
use super::result::ScenarioResult;

/// The least confidence of the interval of the ratio.
const CONFIDENCE: f64 = 0.90;

/// The options of the scenario.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // `million` brings its own of that name
pub(crate) struct Options {
    #[command(flatten)]
    million: million::Options,
    /// The other stentor binary, for example an older build; by default the same one
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// How many tenants the other one has; by default as many
    #[arg(long)]
    against_tenants: Option<u32>,
    /// How many limits the other one has; by default as many
    #[arg(long)]
    against_limits: Option<u32>,
    /// How many routes are tried in vain by the other one; by default as many
    #[arg(long)]
    against_rules: Option<u32>,
    /// Pairs of passes
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// Fail if even the lower end of the ratio of CPU per message is above this
    #[arg(long, default_value_t = 1.05)]
    ratio_max: f64,
    /// Fail if even the upper end of the ratio of messages per second is below this
    #[arg(long, default_value_t = 0.0)]
    speed_min: f64,
}

impl Options {
    /// The options that all scenarios have.
    pub(crate) fn ground(&self) -> &GroundOptions {
        &self.million.ground
    }
}

/// Plays the pairs. A pass whose own claims do not hold ends the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut other = options.million.clone();
    if let Some(against) = &options.against {
        other.ground.stentor = Some(against.clone());
    }
    other.tenants = options.against_tenants.unwrap_or(other.tenants);
    other.limits = options.against_limits.unwrap_or(other.limits);
    other.rules = options.against_rules.unwrap_or(other.rules);
    let (mut cpu, mut speed, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..options.pairs {
        let this_first = number % 2 == 0;
        let first = cost(if this_first { &options.million } else { &other })?;
        let second = cost(if this_first { &other } else { &options.million })?;
        let (this, that) = if this_first { (first, second) } else { (second, first) };
        eprintln!("pair {number}: {:.2} and {:.2} µs of CPU a message", this.cpu_us, that.cpu_us);
        cpu.push(this.cpu_us / that.cpu_us);
        speed.push(this.messages_per_s / that.messages_per_s);
        costs.push((this.cpu_us, that.cpu_us));
    }
    let (mut these, mut those): (Vec<f64>, Vec<f64>) = costs.into_iter().unzip();
    let mut result = ScenarioResult::new("compare");
    result.figure("pairs", options.pairs);
    result
        .figure("CPU per message, median", format!("{:.2} µs, other {:.2} µs", median(&mut these), median(&mut those)));
    let (least, most) = interval(&mut cpu);
    let ratio = format!("{:.3}, {:.0} % interval {least:.3} to {most:.3}", median(&mut cpu), CONFIDENCE * 100.0);
    result.figure("ratio of CPU per message, median", ratio);
    let (slowest, fastest) = interval(&mut speed);
    let faster =
        format!("{:.3}, {:.0} % interval {slowest:.3} to {fastest:.3}", median(&mut speed), CONFIDENCE * 100.0);
    result.figure("ratio of end to end/s, median", faster);
    result.claim(format!("the ratio of speed is at least {}", options.speed_min), fastest >= options.speed_min);
    result.claim(format!("the ratio of CPU per message is at most {}", options.ratio_max), least <= options.ratio_max);
    Ok(result)
}

fn cost(options: &million::Options) -> Result<Pass, String> {
    let (result, pass) = million::pass(options)?;
    result.check().map(|()| pass)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Between which two of the values the true median is with [`CONFIDENCE`], whatever the distribution: the k-th from
/// either end, since each value is below the median with probability 1/2 (the interval of the sign test). With too few
/// values, all of them.
fn interval(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let (mut ways, mut below, mut cut) = (1.0, 1.0, 0);
    let all = 2_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    while cut + 1 < count / 2 {
        let next = ways * (count - cut) as f64 / (cut + 1) as f64;
        if 2.0 * (below + next) / all > 1.0 - CONFIDENCE {
            break;
        }
        (ways, below, cut) = (next, below + next, cut + 1);
    }
    match (values.get(cut), values.get((count - 1).saturating_sub(cut))) {
        (Some(least), Some(most)) => (*least, *most),
        (None, _) | (_, None) => (f64::NAN, f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        let values = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
        // Tables of the sign test: of 20 values the 6th from each end (95.9 %; the 7th would be 88.5 %), of 10 the 2nd (97.9 %).
        assert_eq!(interval(&mut values(20)), (6.0, 15.0));
        assert_eq!(interval(&mut values(10)), (2.0, 9.0));
        assert_eq!(interval(&mut values(3)), (1.0, 3.0));
        assert_eq!((median(&mut values(20)), median(&mut values(3))), (10.5, 2.0));
    }
}
