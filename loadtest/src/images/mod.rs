//! `loadtest images`: what a power cut may leave of a real data directory, thousands of times, each opened by the
//! shipped recovery. A driver works on a directory while the shim notes every change to its files; the images are made
//! from these notes, and each must contain what the driver was told is kept.
//!
//! Knows how many images each phase gets, and the report. Refuses to know how each step is done.

mod disk;
mod drive;
mod flips;
mod judge;
mod marks;
mod phase;
pub(crate) mod shim;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use stentor::disk::fjall_mutants::Mutant;
use stentor_core::model::{Prng, prng};
use tempfile::TempDir;

pub(crate) use drive::{Options as DriveOptions, run as drive};
pub(crate) use flips::{Options as FlipOptions, run as flips};

use disk::{Cut, Disk, Fate};
use judge::Expected;
use marks::Mark;
use phase::Phase;
use shim::Shim;
use trace::{Change, Trace};

/// One image of so many is opened a second time.
const TWICE: u64 = 8;
/// An image behind more bytes of the trace is expensive to make: three of four are taken from before.
const CHEAP_BYTES: usize = 8 << 20;
/// Failures that are shown in full.
const TOLD_MAX: usize = 20;
/// How many rounds of images a deliberate bug must survive before it counts as not caught.
const MUTANT_ROUNDS: u64 = 8;

/// The options on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many images
    #[arg(long, default_value_t = 2_000)]
    images: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fill a journal until it is rotated; without this some phases have no image
    #[arg(long)]
    flood: bool,
    /// Fail if a phase has no image
    #[arg(long)]
    every_phase: bool,
    /// Only the image with this number
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// Instead: run with each deliberate bug of the store in turn; each must be caught
    #[arg(long)]
    mutants: bool,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where images are made; by default in memory, as no step waits for a disk
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the directory, with the images that failed
    #[arg(long)]
    keep: bool,
}

/// One image to be made.
#[derive(Clone, Copy, Debug)]
struct Plan {
    number: u64,
    /// The crash comes directly before this change.
    at: usize,
    phase: Phase,
    cut: Cut,
}

/// An image that was not recovered correctly.
#[derive(Clone, Debug)]
struct Failure {
    plan: Plan,
    why: String,
}

/// Runs it, prints the report, and fails if an image was not recovered correctly.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let directory = workplace(options.dir.as_deref())?;
    let result =
        if options.mutants { run_mutants(options, directory.path()) } else { run_images(options, directory.path()) };
    if options.keep {
        println!("kept: {}", directory.keep().display());
    }
    result
}

fn workplace(dir: Option<&Path>) -> Result<TempDir, String> {
    let memory = Path::new("/dev/shm");
    let otherwise = || if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let parent = dir.map_or_else(otherwise, Path::to_owned);
    tempfile::Builder::new().prefix("stentor-images-").tempdir_in(parent).map_err(|error| error.to_string())
}

fn run_images(options: &Options, directory: &Path) -> Result<(), String> {
    let began = Instant::now();
    let trace = record(options, directory, None, options.flood)?;
    println!(
        "{} changes to {} files, traced in {:.1} s",
        trace.changes.len(),
        trace.paths.len(),
        began.elapsed().as_secs_f64()
    );
    let plans = plans(options, &trace, false);
    let failures = play(options, directory, &trace, &plans, None)?;
    report(&plans, &failures);
    println!("{} images in {:.1} s", plans.len(), began.elapsed().as_secs_f64());
    let empty: Vec<&str> = Phase::ALL
        .into_iter()
        .filter(|phase| !plans.iter().any(|plan| plan.phase == *phase))
        .map(Phase::name)
        .collect();
    if options.every_phase && !empty.is_empty() {
        return Err(format!("no crash fell into: {}", empty.join(", ")));
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("{} images were not recovered correctly", failures.len())) }
}

/// Each bug must be caught by at least one image. The images are from the phases where the bug can show.
fn run_mutants(options: &Options, directory: &Path) -> Result<(), String> {
    if !cfg!(debug_assertions) {
        return Err("deliberate bugs exist only in a build with debug assertions".to_owned());
    }
    let mut missed = Vec::new();
    for (number, mutant) in Mutant::ALL.into_iter().enumerate() {
        let (mut images, mut failures) = (0, Vec::new());
        // What is driven depends on thread timing, so a round may contain no moment at which the bug shows.
        for round in 0..MUTANT_ROUNDS {
            let place = directory.join(format!("{number}-{round}"));
            fs::create_dir(&place).map_err(|error| error.to_string())?;
            let options = Options { seed: options.seed + (round << 32), ..options.clone() };
            let (among, found) = run_mutant(&options, &place, number, mutant)?;
            (images, failures) = (images + among, found);
            fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
            if !failures.is_empty() {
                break;
            }
        }
        let first = failures.first().map_or("not caught", |failure| failure.why.as_str());
        println!("{mutant:?}: {images} images, caught by {}: {first}", failures.len());
        if failures.is_empty() {
            missed.push(mutant);
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {missed:?}")) }
}

/// Runs one bug: how many images there were, and which of them caught it.
fn run_mutant(options: &Options, place: &Path, number: usize, mutant: Mutant) -> Result<(usize, Vec<Failure>), String> {
    let (driven, opened, flood, phases): (_, _, _, &[Phase]) = match mutant {
        Mutant::SkipSync => (Some(number), None, false, &[Phase::BatchSynced]),
        Mutant::SkipDirectorySync => (Some(number), None, false, &[Phase::BatchSynced, Phase::Run]),
        Mutant::RegisterEarly => (Some(number), None, false, &[Phase::Run]),
        // While the journal still holds the dropped entries, they come back: only the first checkpoint after that can show it.
        Mutant::DropEarly => (Some(number), None, true, &[Phase::Checkpoint, Phase::Flush]),
        // This bug is in the recovery, not in the driver.
        Mutant::SkipScanner => (None, Some(mutant), false, &[Phase::BatchBegun, Phase::BatchWritten]),
    };
    let trace = record(options, place, driven, flood)?;
    let mut plans = plans(options, &trace, flood);
    plans.retain(|plan| phases.contains(&plan.phase));
    if mutant == Mutant::SkipScanner {
        // fjall itself detects data that is cut off at the end, but not holes.
        let holes = [Fate::Scattered, Fate::Zeroed];
        plans.iter_mut().for_each(|plan| plan.cut.data = holes[plan.number as usize % 2]);
    }
    let failures = play(options, place, &trace, &plans, opened)?;
    Ok((plans.len(), failures))
}

/// Runs the driver in a process of its own and reads what the shim recorded.
fn record(options: &Options, directory: &Path, mutant: Option<usize>, flood: bool) -> Result<Trace, String> {
    let (root, file) = (directory.join("root"), directory.join("trace"));
    fs::create_dir(&root).map_err(|error| error.to_string())?;
    let shim = Shim::build(directory)?;
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.arg("drive").arg("--root").arg(&root).args(["--seed", &options.seed.to_string()]);
    if flood {
        command.arg("--flood");
    }
    if let Some(mutant) = mutant {
        command.args(["--mutant", &mutant.to_string()]);
    }
    shim.trace(&mut command, &root, &file);
    let status = command.status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the driver ended with {status}"));
    }
    let trace = Trace::read(&file)?;
    check_complete(&trace, directory, &root)?;
    fs::remove_dir_all(&root).map_err(|error| error.to_string())?;
    Ok(trace)
}

/// The complete trace, replayed, must give the directory as it is: otherwise the shim has missed a change.
fn check_complete(trace: &Trace, directory: &Path, root: &Path) -> Result<(), String> {
    let copy = directory.join("copy");
    let mut disk = Disk::new(trace);
    disk.forward(trace.changes.len());
    disk.image(&copy, Cut::NOTHING_LOST, &mut Prng::new(0)).map_err(|error| error.to_string())?;
    let difference = disk::difference(root, &copy).map_err(|error| error.to_string())?;
    fs::remove_dir_all(&copy).map_err(|error| error.to_string())?;
    difference.map_or(Ok(()), |what| Err(format!("the shim has missed something: {what}")))
}

/// The same number of images for each phase, in the order of the trace; if `is_late`, only between the removal of the
/// last journal and the end of the first checkpoint after it.
fn plans(options: &Options, trace: &Trace, is_late: bool) -> Vec<Plan> {
    let mut by_phase: BTreeMap<Phase, Vec<usize>> = BTreeMap::new();
    let (from, to) = if is_late { late(trace) } else { (0, usize::MAX) };
    for (at, phase) in phase::phases(trace).into_iter().enumerate().take(to).skip(from) {
        by_phase.entry(phase).or_default().push(at);
    }
    let cheap_to = cheap_to(trace);
    let mut plans = Vec::new();
    let phases = by_phase.len().max(1) as u64;
    for (index, (phase, places)) in by_phase.into_iter().enumerate() {
        let cheap = places.partition_point(|at| *at < cheap_to) as u64;
        for round in 0..options.images.div_ceil(phases) {
            let number = round * phases + index as u64;
            let mut chance = Prng::new(prng::mix(options.seed ^ number << 20));
            let among = if cheap > 0 && chance.chance(750_000) { cheap } else { places.len() as u64 };
            let at = places[chance.below(among) as usize];
            let cut = Cut::draw(&mut chance);
            plans.push(Plan { number, at, phase, cut });
        }
    }
    plans.retain(|plan| plan.number < options.images && options.only.is_none_or(|only| only == plan.number));
    plans.sort_by_key(|plan| (plan.at, plan.number));
    plans
}

fn late(trace: &Trace) -> (usize, usize) {
    let is_end_of_journal = |change: &Change| matches!(change, Change::Removed { name, .. } if name.ends_with(".jnl"));
    let is_checkpoint = |change: &Change| matches!(change, Change::Marked(Mark::Batch { is_checkpoint: true, .. }));
    let is_kept = |change: &Change| matches!(change, Change::Marked(Mark::Kept(_)));
    let changes = &trace.changes;
    let from = changes.iter().rposition(is_end_of_journal).unwrap_or(0);
    let checkpoint = changes[from..].iter().position(is_checkpoint).map_or(changes.len(), |at| from + at);
    let to = changes[checkpoint..].iter().position(is_kept).map_or(changes.len(), |at| checkpoint + at);
    (from, to + 1)
}

fn cheap_to(trace: &Trace) -> usize {
    let mut bytes = 0;
    let written = trace.changes.iter().position(|change| {
        if let Change::Written { bytes: range, .. } = change {
            bytes += range.len();
        }
        bytes > CHEAP_BYTES
    });
    written.unwrap_or(trace.changes.len() + 1)
}

fn play(
    options: &Options,
    directory: &Path,
    trace: &Trace,
    plans: &[Plan],
    mutant: Option<Mutant>,
) -> Result<Vec<Failure>, String> {
    let share = plans.len().div_ceil(options.jobs.max(1)).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = plans
            .chunks(share)
            .map(|plans| scope.spawn(move || play_share(options, directory, trace, plans, mutant)))
            .collect();
        let mut failures = Vec::new();
        for worker in workers {
            failures.extend(worker.join().map_err(|_| "a worker panicked".to_owned())??);
        }
        Ok(failures)
    })
}

fn play_share(
    options: &Options,
    directory: &Path,
    trace: &Trace,
    plans: &[Plan],
    mutant: Option<Mutant>,
) -> Result<Vec<Failure>, String> {
    let (mut disk, mut expected, mut failures) = (Disk::new(trace), Expected::default(), Vec::new());
    for plan in plans {
        disk.forward(plan.at);
        expected.forward(trace, plan.at);
        let image = directory.join(format!("image-{}", plan.number));
        let mut chance = Prng::new(prng::mix(options.seed ^ plan.number << 20 ^ 1));
        disk.image(&image, plan.cut, &mut chance).map_err(|error| format!("{}: {error}", image.display()))?;
        let twice = plan.number.is_multiple_of(TWICE);
        if let Err(why) = judge::judge(&image, expected.clone(), mutant, twice) {
            failures.push(Failure { plan: *plan, why });
            if options.keep {
                continue;
            }
        }
        // A start that hangs may still write here.
        let _ = fs::remove_dir_all(&image);
    }
    Ok(failures)
}

fn report(plans: &[Plan], failures: &[Failure]) {
    println!("{:<36}{:>8}{:>8}", "the crash fell into", "images", "wrong");
    for phase in Phase::ALL {
        let images = plans.iter().filter(|plan| plan.phase == phase).count();
        let wrong = failures.iter().filter(|failure| failure.plan.phase == phase).count();
        println!("{:<36}{images:>8}{wrong:>8}", phase.name());
    }
    for Failure { plan, why } in failures.iter().take(TOLD_MAX) {
        println!("image {} ({}, before change {}, {:?}): {why}", plan.number, plan.phase.name(), plan.at, plan.cut,);
    }
}
