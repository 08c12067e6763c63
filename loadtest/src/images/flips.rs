//! `loadtest flips`: a directory that was stopped cleanly is damaged, thousands of times, in one place each: a flipped
//! bit, a file cut off, a page of zeroes. A start and a full check (`stentor check --data`) must then raise an alarm if
//! anything is wrong or missing, and must not hang.
//!
//! Knows how damage is done and what counts as an alarm. Refuses to know what the files contain.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use stentor::disk::directory::DataDirectory;
use stentor::disk::fjall::FjallStore;
use stentor::disk::fjall_start::{self, Started};
use stentor::disk::fjall_verify;
use stentor_core::model::{Prng, prng};
use stentor_core::store::backend::{Backend, Reader, Space};

use super::judge::{everything, with_patience};
use super::marks::{self, FAMILY};
use super::{TOLD_MAX, drive, workplace};

const PAGE: u64 = 4_096;

/// The options on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many places are damaged, each in a directory of its own
    #[arg(long, default_value_t = 5_000)]
    count: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the damage with this number; its directory is kept
    #[arg(long, value_name = "N")]
    only: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where directories are made; by default in memory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Everything that a store contains: digests by space and key, and those of the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    last: u64,
    entries: BTreeMap<(Space, Vec<u8>), u64>,
    runs: Runs,
}

/// By run number: keys and digests.
type Runs = BTreeMap<u64, Vec<(Vec<u8>, u64)>>;

/// One damage that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Damage {
    file: PathBuf,
    what: String,
}

/// Its consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Consequence {
    /// All contents are unchanged.
    Harmless,
    /// The start was refused.
    Refused,
    /// The full check reported it.
    Named,
    /// Something is wrong, but was not reported.
    Silent(String),
}

/// Runs it, prints the report, and fails if a damage went unnoticed.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let began = Instant::now();
    let directory = workplace(options.dir.as_deref())?;
    let sound = directory.path().join("sound");
    make(&sound, options.seed)?;
    let whole = match read(&sound) {
        Ok(Ok(contents)) => contents,
        Ok(Err(alarm)) | Err(alarm) => return Err(format!("the undamaged directory is not sound: {alarm}")),
    };
    // A start may have changed files; from now on they stay unchanged.
    let files = files(&sound)?;
    let numbers: Vec<u64> =
        (0..options.count).filter(|number| options.only.is_none_or(|only| only == *number)).collect();
    let share = numbers.len().div_ceil(options.jobs.max(1)).max(1);
    let place = directory.path();
    let outcomes: Result<Vec<_>, String> = thread::scope(|scope| {
        let play = |number: u64| play(options, place, &sound, &files, &whole, number);
        let workers: Vec<_> = numbers
            .chunks(share)
            .map(|numbers| scope.spawn(move || numbers.iter().map(|number| play(*number)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| vec![Err("a panic".into())])).collect()
    });
    let outcomes = outcomes?;
    if options.only.is_some() {
        println!("kept: {}", directory.keep().display());
    }
    println!("{} entries, {} runs, {} files", whole.entries.len(), whole.runs.len(), files.len());
    report(&outcomes, began)
}

/// A directory that a shard has filled and left cleanly.
fn make(sound: &Path, seed: u64) -> Result<(), String> {
    fs::create_dir(sound).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let driven = Command::new(program)
        .args(["drive", "--stop", "--seed", &seed.to_string(), "--root"])
        .arg(sound)
        .status()
        .map_err(|error| error.to_string())?;
    driven.success().then_some(()).ok_or_else(|| format!("the driver ended with {driven}"))
}

/// Every file of the data directory, with the number of bytes that are not holes.
fn files(root: &Path) -> Result<Vec<(PathBuf, u64)>, String> {
    let (mut found, mut open) = (Vec::new(), vec![root.join("data")]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = fs::read(&path).map_err(|error| error.to_string())?;
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
            if used > 0 {
                found.push((path.strip_prefix(root).map_err(|error| error.to_string())?.to_owned(), used));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn play(
    options: &Options,
    place: &Path,
    sound: &Path,
    files: &[(PathBuf, u64)],
    whole: &Contents,
    number: u64,
) -> Result<(u64, Damage, Consequence), String> {
    let root = place.join(format!("damaged-{number}"));
    let told = |error: io::Error| format!("{}: {error}", root.display());
    copy(sound, &root).map_err(told)?;
    let mut chance = Prng::new(prng::mix(options.seed ^ number << 20));
    let damage = harm(&root, files, &mut chance).map_err(told)?;
    let outcome = match read(&root) {
        Err(hang) => Consequence::Silent(hang),
        Ok(Err(alarm)) if alarm.starts_with(NAMED) => Consequence::Named,
        Ok(Err(_)) => Consequence::Refused,
        Ok(Ok(contents)) if contents == *whole => Consequence::Harmless,
        Ok(Ok(contents)) => Consequence::Silent(difference(whole, &contents)),
    };
    if options.only.is_none() {
        let _ = fs::remove_dir_all(&root);
    }
    Ok((number, damage, outcome))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            sparse_copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Copies without the holes: journals are allocated long before they are full.
fn sparse_copy(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    fs::write(to, &bytes[..used])?;
    OpenOptions::new().write(true).open(to)?.set_len(bytes.len() as u64)
}

fn harm(root: &Path, files: &[(PathBuf, u64)], chance: &mut Prng) -> io::Result<Damage> {
    let (name, used) = &files[chance.below(files.len() as u64) as usize];
    let file = OpenOptions::new().read(true).write(true).open(root.join(name))?;
    let at = chance.below(*used);
    let what = match chance.below(4) {
        0 => {
            file.set_len(at)?;
            format!("cut off at {at}")
        }
        1 => {
            let page = at / PAGE * PAGE;
            let bytes = PAGE.min(file.metadata()?.len() - page);
            file.write_all_at(&vec![0; bytes as usize], page)?;
            format!("zeroes from {page}")
        }
        _ => {
            let (mut byte, bit) = ([0], chance.below(8));
            file.read_exact_at(&mut byte, at)?;
            file.write_all_at(&[byte[0] ^ 1 << bit], at)?;
            format!("bit {bit} of byte {at}")
        }
    };
    Ok(Damage { file: name.clone(), what })
}

/// How an alarm of the full check begins.
const NAMED: &str = "named: ";

/// The contents that the store reports, or its alarm; an error if it hangs or panics.
fn read(root: &Path) -> Result<Result<Contents, String>, String> {
    let root = root.to_owned();
    with_patience(move || read_here(&root))
}

fn read_here(root: &Path) -> Result<Contents, String> {
    let directory = DataDirectory::open(&root.join("data"), drive::format()).map_err(|error| error.to_string())?;
    let started = fjall_start::start(&directory.shard(0), drive::store_options(None));
    let Started { store, found, .. } = started.map_err(|error| error.to_string())?;
    let verified = fjall_verify::verify(&store).map_err(|error| error.to_string())?;
    if let Some(first) = verified.damage.first() {
        return Err(format!("{NAMED}{first}"));
    }
    let runs = runs(&store)?;
    Ok(Contents { last: found.last.0, entries: everything(&store)?, runs })
}

fn runs(store: &FjallStore) -> Result<Runs, String> {
    let reader = store.reader();
    let mut runs = Runs::new();
    for number in reader.runs(FAMILY) {
        let entries: &mut Vec<_> = runs.entry(number).or_default();
        let visit = &mut |key: &[u8], value: &[u8]| {
            entries.push((key.to_vec(), marks::digest(value)));
            ControlFlow::Continue(())
        };
        let read = reader.run_range((FAMILY, number), &[0], &[u8::MAX; 32], usize::MAX, visit);
        read.map_err(|error| format!("run {number}: {error}"))?;
    }
    Ok(runs)
}

fn difference(whole: &Contents, found: &Contents) -> String {
    if whole.last != found.last {
        return format!("the log ends at commit {} instead of {}", found.last, whole.last);
    }
    let differs = whole.entries.iter().find(|(key, digest)| found.entries.get(*key) != Some(*digest));
    let more = found.entries.keys().find(|key| !whole.entries.contains_key(*key));
    match (differs.map(|(key, _)| key).or(more), whole.runs == found.runs) {
        (Some((space, key)), _) => format!("{} {key:02x?} differs or is missing", space.name()),
        (None, false) => "a run differs".to_owned(),
        (None, true) => "nothing differs".to_owned(),
    }
}

fn report(outcomes: &[(u64, Damage, Consequence)], began: Instant) -> Result<(), String> {
    let count = |wanted: fn(&Consequence) -> bool| outcomes.iter().filter(|(_, _, outcome)| wanted(outcome)).count();
    let silent = count(|outcome| matches!(outcome, Consequence::Silent(_)));
    println!("{:>8} damaged in {:.1} s", outcomes.len(), began.elapsed().as_secs_f64());
    println!("{:>8} refused at the start", count(|outcome| *outcome == Consequence::Refused));
    println!("{:>8} named by the full reading", count(|outcome| *outcome == Consequence::Named));
    println!("{:>8} harmless: everything is there as it was", count(|outcome| *outcome == Consequence::Harmless));
    println!("{silent:>8} unnoticed");
    let unnoticed = outcomes.iter().filter_map(|(number, damage, outcome)| match outcome {
        Consequence::Silent(why) => Some((number, damage, why)),
        Consequence::Harmless | Consequence::Refused | Consequence::Named => None,
    });
    for (number, damage, why) in unnoticed.take(TOLD_MAX) {
        println!("damage {number}: {} {}: {why}", damage.file.display(), damage.what);
    }
    if silent == 0 { Ok(()) } else { Err(format!("{silent} damages went unnoticed")) }
}
