//! Entry point of the simulator: one seed, one run, one verdict.

use std::fmt;
use std::sync::Arc;

use crate::admission::numbering::Numbering;
use crate::model::Prng;

use super::mutants::Mutant;
use super::oracle::Violation;
use super::plan::Plan;
use super::tally::Tally;
use super::trace::TraceMark;
use super::world::World;

/// Settings of a run beside its seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimOptions {
    /// Seed of every hash map; nothing observable depends on it.
    pub hash_seed: u64,
    /// How many lines of the trace a failure shows.
    pub lines_max: usize,
    /// A bug to build in.
    pub mutant: Option<Mutant>,
    /// The countries of phone numbers, for many runs: making it takes longer than a small world. `None`: the run makes its own.
    pub numbering: Option<Arc<Numbering>>,
}

/// A run without a broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed of the run.
    pub seed: u64,
    /// Equal for equal runs.
    pub mark: TraceMark,
    /// Length of the run in virtual time, ns.
    pub virtual_ns: u64,
    /// How often each thing happened.
    pub tally: Tally,
    /// Bytes on disk and amount of memory used by the process, at each measurement; empty in usual worlds.
    pub measures: Vec<(u64, u64)>,
}

/// A run with a broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// When the promise was broken, in virtual time, ns.
    pub at_ns: u64,
    /// The broken promise.
    pub violation: Violation,
    /// The last lines of the trace before it, as many as were kept.
    pub lines: Vec<String>,
    /// The command that repeats the run.
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

/// The command that repeats the run of a seed.
pub fn command(seed: u64) -> String {
    format!("STENTOR_SIM_SEED={seed} cargo test -p stentor-core sim_seeds -- --nocapture")
}

/// Runs the world of one seed to its end.
///
/// # Errors
/// The first broken promise, with the command that repeats the run.
pub fn run(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    finish(seed, World::new(seed, options), command(seed))
}

/// Runs a long time of everyday load and faults ([`Plan::day`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_day(seed: u64, hours: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again =
        format!("STENTOR_SIM_FROM={seed} STENTOR_SIM_HOURS={hours} cargo test -p stentor-core sim_day -- --nocapture");
    finish(seed, World::of(Plan::day(&mut chance, hours), chance, options), again)
}

/// Runs a world whose carrier gives ids out again ([`Plan::ids_given_again`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_ids_given_again(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::ids_given_again, "sim_ids_given_again", options)
}

/// Runs a world whose carrier closes the connection on some messages ([`Plan::culprit`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_culprit(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::culprit, "sim_culprit", options)
}

/// Runs a world whose carrier is silent for ten minutes ([`Plan::silent`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_silent(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::silent, "sim_silent", options)
}

/// Runs a world whose carriers send no receipts ([`Plan::queried`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_queried(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::queried, "sim_queried", options)
}

/// Runs a world with an operator who is always busy ([`Plan::tended`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_tended(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::tended, "sim_tended", options)
}

/// Runs a world whose carriers answer late ([`Plan::tardy`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_tardy(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::tardy, "sim_tardy", options)
}

/// Runs a world that lasts for weeks ([`Plan::weeks`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_weeks(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::weeks, "sim_weeks", options)
}

/// Runs a world whose carrier enforces spacing ([`Plan::strict`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_strict(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::strict, "sim_strict", options)
}

/// Runs a world in which classes and tenants compete for a link ([`Plan::crowded`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_crowded(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::crowded, "sim_crowded", options)
}

/// Runs a world with limits by rules ([`Plan::limited`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_limited(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::limited, "sim_limited", options)
}

/// Runs the small world with limits of a seed ([`Plan::limited_briefly`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_limited_briefly(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::limited_briefly, "sim_limited_briefly", options)
}

/// Runs a world whose limit is used up ([`Plan::limited_and_well`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_limited_and_well(seed: u64, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, Plan::limited_and_well, "sim_limited_and_well", options)
}

/// Runs a world of that many messages ([`Plan::large`]) to its end.
///
/// # Errors
/// As [`run`].
pub fn run_large(seed: u64, messages: u32, options: &SimOptions) -> Result<Report, Box<Failure>> {
    of_kind(seed, |prng| Plan::large(prng, messages), "sim_large", options)
}

fn of_kind(
    seed: u64,
    plan: impl FnOnce(&mut Prng) -> Plan,
    test: &str,
    options: &SimOptions,
) -> Result<Report, Box<Failure>> {
    let mut chance = Prng::new(seed);
    let again = format!("STENTOR_SIM_SEED={seed} cargo test -p stentor-core {test} -- --nocapture");
    let plan = plan(&mut chance);
    finish(seed, World::of(plan, chance, options), again)
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
