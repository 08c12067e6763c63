//! The face of the second world: one seed, one run, one verdict.

use std::fmt;

use crate::model::Prng;

use super::mutants::Mutant;
use super::oracle::Violation;
use super::plan::Plan;
use super::tally::Tally;
use super::trace::TraceMark;
use super::world::World;

/// What a run is told beside its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimOptions {
    /// Seed of every hash map; nothing observable depends on it.
    pub hash_seed: u64,
    /// Lines of the trace that a failure shows.
    pub lines_max: usize,
    /// A bug to build in.
    pub mutant: Option<Mutant>,
}

/// A run without a broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// Equal for equal runs.
    pub mark: TraceMark,
    /// How long it was in virtual time, ns.
    pub virtual_ns: u64,
    /// What happened.
    pub tally: Tally,
    /// Octets on disk, and how much the process remembers, at each look; none in usual worlds.
    pub measures: Vec<(u64, u64)>,
}

/// A run with a broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// When in virtual time, ns.
    pub at_ns: u64,
    /// What is broken.
    pub violation: Violation,
    /// What happened before, as far as lines were kept.
    pub lines: Vec<String>,
    /// The command that shows it again.
    pub again: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(out, "{line}")?;
        }
        let Violation { invariant, what } = &self.violation;
        writeln!(out, "seed {} after {:.3} s: {invariant:?} is broken: {what}", self.seed, self.at_ns as f64 / 1e9)?;
        write!(out, "again: {}", self.again)
    }
}

impl std::error::Error for Failure {}

/// The command that shows a world again.
pub fn command(seed: u64) -> String {
    format!("STENTOR_SIM_SEED={seed} cargo test --lib sim_seeds -- --nocapture")
}

/// Runs the world of one seed to its end.
///
/// # Errors
/// The first broken promise, with the command line that shows it again.
pub fn run(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    finish(seed, World::new(seed, options), command(seed))
}

/// Runs a long time of everyday load and faults ([`Plan::day`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_day(seed: u64, hours: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again = format!("STENTOR_SIM_FROM={seed} STENTOR_SIM_HOURS={hours} cargo test --lib sim_day -- --nocapture");
    finish(seed, World::of(Plan::day(&mut chance, hours), chance, options), again)
}

/// Runs a world whose carrier gives ids again ([`Plan::ids_given_again`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_ids_given_again(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again = format!("STENTOR_SIM_SEED={seed} cargo test --lib sim_ids_given_again -- --nocapture");
    finish(seed, World::of(Plan::ids_given_again(&mut chance), chance, options), again)
}

/// Runs a world whose carrier hangs up at some messages ([`Plan::culprit`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_culprit(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again = format!("STENTOR_SIM_SEED={seed} cargo test --lib sim_culprit -- --nocapture");
    finish(seed, World::of(Plan::culprit(&mut chance), chance, options), again)
}

/// Runs a world whose carrier is silent for ten minutes ([`Plan::silent`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_silent(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again = format!("STENTOR_SIM_SEED={seed} cargo test --lib sim_silent -- --nocapture");
    finish(seed, World::of(Plan::silent(&mut chance), chance, options), again)
}

fn finish(seed: u64, mut world: World, again: String) -> Result<Report, Box<Failure>> {
    let broken = world.run();
    let stage = &world.stage;
    match broken {
        None => {
            let (mark, virtual_ns, tally) = (stage.trace.mark(), stage.now_ns(), stage.tally.clone());
            Ok(Report { seed, mark, virtual_ns, tally, measures: std::mem::take(&mut world.measures) })
        }
        Some(violation) => {
            let lines = stage.trace.lines().map(str::to_owned).collect();
            Err(Box::new(Failure { seed, at_ns: stage.now_ns(), violation, lines, again }))
        }
    }
}
