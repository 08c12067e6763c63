//! The suite of the simulator. Environment variables set its size:
//!
//! - `STENTOR_SIM_SEEDS`: how many worlds (1,000); `STENTOR_SIM_FROM`: the first seed (1);
//! - `STENTOR_SIM_SEED`: one world alone, with its trace, of which `STENTOR_SIM_LINES` lines are shown (2,000);
//! - `STENTOR_SIM_KIND_SEEDS`: how many worlds of each special kind;
//! - `STENTOR_SIM_LARGE`: the number of messages in the large world (20,000);
//! - `STENTOR_SIM_MUTANT_SEEDS`: in how many worlds each mutant must be caught (600);
//! - `STENTOR_SIM_HOURS`: how long the long day is (4; the first two hours fill the disk); `STENTOR_SIM_FROM` is its seed.
//!
//! Worlds share nothing, so they run on every core.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::world::all_countries;
use super::*;

/// From this number of worlds on, every fault must have fired and every place in the turn must have been hit.
const FULL: u64 = 1_000;
/// How many failures are shown in full.
const TOLD: usize = 20;

/// # Panics
/// If the value is not a number: otherwise a run of the default size would be taken for the one that was asked for.
fn asked_for(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")))
}

/// Calls `each` with `from..from + times` on every core; gives the results in the order of the numbers.
fn on_every_core<T: Send>(from: u64, times: u64, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= from + times {
                return done;
            }
            done.push((number, each(number)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker panics only with its world")).collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, done)| done).collect()
}

/// Runs the world of a seed; a panic of the code under test is reported as a failure.
fn world(seed: u64, options: &SimOptions) -> Result<Report, String> {
    match catch_unwind(AssertUnwindSafe(|| run(seed, options))) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("seed {seed} panics; again: {}", simulator::command(seed))),
    }
}

#[test]
fn sim_seeds() {
    if let Some(seed) = asked_for("STENTOR_SIM_SEED") {
        let lines_max = asked_for("STENTOR_SIM_LINES").unwrap_or(2_000) as usize;
        match run(seed, &SimOptions { lines_max, ..SimOptions::default() }) {
            Ok(report) => println!("{report:#?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let (from, seeds) =
        (asked_for("STENTOR_SIM_FROM").unwrap_or(1), asked_for("STENTOR_SIM_SEEDS").unwrap_or(FULL).max(1));
    let options = SimOptions { numbering: Some(all_countries()), ..SimOptions::default() };
    let results = on_every_core(from, seeds, |seed| world(seed, &options).map(|report| report.tally));
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(one) => tally.merge(&one),
            Err(failure) => failures.push(failure),
        }
    }
    println!("{tally}");
    failures.iter().take(TOLD).for_each(|failure| println!("{failure}\n"));
    assert!(failures.is_empty(), "{} of {seeds} seeds failed", failures.len());
    println!("{seeds} seeds from {from} on are clean");
    if seeds >= FULL {
        let (missing, unhurt, idle) = (tally.missing(), tally.unhurt(), tally.idle());
        assert!(missing.is_empty(), "never happened, so nothing is proved of it: {missing:?}");
        assert!(idle.is_empty(), "never fired, so nothing is proved of it: {idle:?}");
        assert!(unhurt.is_empty(), "no process died there, so nothing is proved of it: {unhurt:?}");
    }
}

/// Number of worlds with limits.
const LIMITED: u64 = 150;
/// Small worlds with limits.
const BRIEF: u64 = 2_000;
/// The tallies of so many worlds are kept at once.
const SEEDS_AT_ONCE: u64 = 10_000;

/// Number of worlds whose carrier gives ids out again.
const GIVEN_AGAIN: u64 = 100;

#[test]
fn sim_ids_given_again() {
    special(GIVEN_AGAIN, run_ids_given_again);
}

#[test]
fn sim_culprit() {
    let tally = special(60, run_culprit);
    assert!(tally.of(Count::Exhausted) > 0, "a message is given up");
}

#[test]
fn sim_silent() {
    let tally = special(30, run_silent);
    assert!(tally.of(Count::InDoubt) > 0, "a message is in doubt");
    assert_eq!(tally.of(Count::Exhausted), 0);
}

#[test]
fn sim_queried() {
    let tally = special(60, run_queried);
    assert!(tally.of(Count::Queries) > 0, "carriers are queried");
    assert!(asked_for("STENTOR_SIM_SEED").is_some() || tally.of(Count::RunsWritten) > 0, "also in sealed epochs");
}

#[test]
fn sim_tended() {
    let tally = special(150, run_tended);
    let missing = tally.missing_of(&Count::TENDED);
    assert!(asked_for("STENTOR_SIM_SEED").is_some() || missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn sim_tardy() {
    special(100, run_tardy);
}

#[test]
fn sim_weeks() {
    let tally = special(60, run_weeks);
    let missing = tally.missing_of(&Count::WEEKS);
    assert!(asked_for("STENTOR_SIM_SEED").is_some() || missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn sim_strict() {
    special(40, run_strict);
}

#[test]
fn sim_crowded() {
    special(60, run_crowded);
}

#[test]
fn sim_limited() {
    let tally = special(LIMITED, run_limited);
    let missing = tally.missing_of(&Count::LIMITED);
    let is_one = asked_for("STENTOR_SIM_SEED").is_some();
    assert!(is_one || missing.is_empty(), "never happened: {missing:?}");
    let (bit, worlds) = (tally.of(Count::LimitsBit), asked_for("STENTOR_SIM_KIND_SEEDS").unwrap_or(LIMITED));
    assert!(is_one || bit * 2 >= worlds, "limits were reached, and messages waited for them, in {bit} worlds only");
}

#[test]
fn sim_limited_and_well() {
    special(20, run_limited_and_well);
}

/// A small world takes a millisecond or two, so a million of them can be run.
#[test]
fn sim_limited_briefly() {
    let seeds = asked_for("STENTOR_SIM_BRIEF_SEEDS").unwrap_or(BRIEF);
    let tally = worlds(seeds, run_limited_briefly);
    let (reached, is_one) = (tally.of(Count::LimitsReached), asked_for("STENTOR_SIM_SEED").is_some());
    assert!(is_one || reached * 2 >= seeds, "limits were reached {reached} times only");
}

/// Messages of the large world.
const LARGE: u64 = 20_000;

#[test]
fn sim_large() {
    let messages = asked_for("STENTOR_SIM_LARGE").unwrap_or(LARGE) as u32;
    let seed = asked_for("STENTOR_SIM_SEED").unwrap_or(1);
    let lines_max = asked_for("STENTOR_SIM_LINES").unwrap_or(0) as usize;
    let options = SimOptions { lines_max, ..SimOptions::default() };
    let report = run_large(seed, messages, &options).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.tally.of(Count::Messages), u64::from(messages));
}

/// Runs so many worlds of a kind, or the one seed that was asked for: none may fail.
fn special(usual: u64, run: fn(u64, &SimOptions) -> Result<Report, Box<Failure>>) -> Tally {
    worlds(asked_for("STENTOR_SIM_KIND_SEEDS").unwrap_or(usual), run)
}

/// Runs so many worlds of a kind; see [`special`].
fn worlds(seeds: u64, run: fn(u64, &SimOptions) -> Result<Report, Box<Failure>>) -> Tally {
    let lines_max = asked_for("STENTOR_SIM_LINES").unwrap_or(0) as usize;
    let options = SimOptions { lines_max, numbering: Some(all_countries()), ..SimOptions::default() };
    let from = asked_for("STENTOR_SIM_FROM").unwrap_or(1);
    let (from, seeds) = asked_for("STENTOR_SIM_SEED").map_or((from, seeds), |seed| (seed, 1));
    let world = |seed| match catch_unwind(AssertUnwindSafe(|| run(seed, &options))) {
        Ok(Ok(report)) => Ok(report.tally),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("seed {seed} panics")),
    };
    let (mut tally, mut failed) = (Tally::default(), 0);
    for first in (from..from + seeds).step_by(SEEDS_AT_ONCE as usize) {
        for result in on_every_core(first, SEEDS_AT_ONCE.min(from + seeds - first), world) {
            match result {
                Ok(one) => tally.merge(&one),
                Err(failure) => {
                    failed += 1;
                    if failed <= TOLD {
                        println!("{failure}\n");
                    }
                }
            }
        }
    }
    assert_eq!(failed, 0, "of {seeds} seeds failed");
    println!("{tally}");
    tally
}

#[test]
fn sim_day_nothing_grows() {
    let hours = asked_for("STENTOR_SIM_HOURS").unwrap_or(6).max(4);
    let seed = asked_for("STENTOR_SIM_FROM").unwrap_or(1);
    let lines_max = asked_for("STENTOR_SIM_LINES").unwrap_or(0) as usize;
    let options = SimOptions { lines_max, ..SimOptions::default() };
    let report = run_day(seed, hours, &options).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}", report.tally);
    for (at, hour) in report.measures.chunks(4).enumerate() {
        println!("hour {}: bytes on disk, length of what is remembered: {hour:?}", at + 1);
    }
    // The first two hours fill what retention keeps.
    let settled = &report.measures[8..];
    let (before, after) = settled.split_at(settled.len() / 2);
    // With few samples the highest depends on when they were taken; real growth also shows in the mean.
    let mean = |measures: &[(u64, u64)], of: fn(&(u64, u64)) -> u64| {
        measures.iter().map(of).sum::<u64>() / measures.len().max(1) as u64
    };
    for (what, of) in [("disk", (|size| size.0) as fn(&(u64, u64)) -> u64), ("memory", |size| size.1)] {
        let (before, after) = (mean(before, of), mean(after, of));
        assert!(after <= before + before / 3, "{what} grew from {before} to {after}");
    }
}

#[test]
fn sim_same_seed_same_run() {
    let runs = on_every_core(1, 40, |seed| {
        let mark = |hash_seed| {
            let report = run(seed, &SimOptions { hash_seed, ..SimOptions::default() });
            report.map(|report| (report.mark, report.virtual_ns, report.tally)).map_err(|failure| failure.to_string())
        };
        let first = mark(0);
        assert_eq!(first, mark(0), "seed {seed} twice");
        assert_eq!(first, mark(0x5EED_5EED), "seed {seed} under another hasher seed");
        first.map(|(mark, ..)| mark).expect("a clean run")
    });
    assert!(runs.iter().enumerate().all(|(at, mark)| !runs[..at].contains(mark)), "other seeds are other runs");
}

/// The kind of world in which a mutant can be caught.
const fn world_for(mutant: Mutant) -> fn(u64, &SimOptions) -> Result<Report, Box<Failure>> {
    match mutant {
        Mutant::ForgetTrials => run_culprit,
        Mutant::CeilingIgnored | Mutant::ForgetTenants => run_crowded,
        Mutant::IgnoreTenant => run_tended,
        Mutant::ForgetUsed
        | Mutant::ReportUnused
        | Mutant::CountOtherCarrier
        | Mutant::LoseParked
        | Mutant::KeepLimits
        | Mutant::GiveTwice
        | Mutant::ForgetAsk => run_limited,
        Mutant::HalveKeys | Mutant::ForgetRetired | Mutant::ForgetProgress => run_weeks,
        _ => run,
    }
}

#[test]
fn sim_mutants_are_caught() {
    let seeds = asked_for("STENTOR_SIM_MUTANT_SEEDS").unwrap_or(600);
    let numbering = all_countries();
    let caught = on_every_core(0, Mutant::ALL.len() as u64, |at| {
        let mutant = Some(Mutant::ALL[at as usize]);
        (1..=seeds).find_map(|seed| {
            let options = SimOptions { mutant, numbering: Some(Arc::clone(&numbering)), ..SimOptions::default() };
            let run = world_for(Mutant::ALL[at as usize]);
            let by = match catch_unwind(AssertUnwindSafe(|| run(seed, &options))) {
                Ok(Ok(_)) => return None,
                Ok(Err(failure)) => format!("{:?}", failure.violation.invariant),
                Err(_) => "an assertion of the code".to_owned(),
            };
            Some((seed, by))
        })
    });
    for (mutant, caught) in Mutant::ALL.iter().zip(&caught) {
        match caught {
            Some((seed, by)) => println!("{mutant:?} is caught by {by} in seed {seed}"),
            None => println!("{mutant:?} is not caught"),
        }
    }
    let free: Vec<_> = Mutant::ALL.iter().zip(&caught).filter(|(_, caught)| caught.is_none()).collect();
    assert!(free.is_empty(), "not caught in {seeds} seeds: {free:?}");
}
