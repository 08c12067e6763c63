//! `loadtest bench`: measures Stentor on this machine, or one on another host, and compares it with what the machine
//! itself can do; writes figures as JSON and a report as one HTML page. `--compare` compares two results.
//!
//! The scenarios are those of `run`; this module adds what makes them a measurement: warm-up, repeats, pinning, and the
//! bottleneck.

mod bottleneck;
mod compare;
mod course;
mod machine;
mod page;
mod plan;
mod plot;
mod raw;
mod remote;
mod result;
#[cfg(test)]
mod sample;
mod sampler;
mod scenes;
mod subject;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use stentor::http::rfc3339;
use stentor_core::model::Wall;

use course::Course;
use machine::Machine;
use plan::{Size, Sizes};
use remote::Remote;
use result::{BenchResult, FORMAT, Load, Placement};
use subject::Subject;

use crate::run::cpus::Cpus;
use crate::run::ground::GroundOptions;

/// Exit code when a figure is worse than `--fail` allows, or a promise did not hold. If the bench could not run at all
/// the code is 2.
const WORSE: u8 = 1;
const IMPOSSIBLE: u8 = 2;
const REPEATS_MAX: u64 = 1_000;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ground: GroundOptions,
    /// Less than five minutes on two cores; the same as `--size quick`
    #[arg(long, conflicts_with = "size")]
    quick: bool,
    /// How thorough
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// Repeats of every measurement, instead of what the size says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=REPEATS_MAX))]
    repeats: Option<u64>,
    /// How many seconds a pass should last, instead of what the size says
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Numbers of cores for the ladder; by default 1, 2, 4 … and all
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    cores: Vec<usize>,
    /// Measure only these
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    only: Vec<plan::Subject>,
    /// A daemon on another host, as http://HOST:PORT; its carrier must be this host's `--smsc-listen`
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// API key for `--target`; better given in the environment, where it does not appear in the list of processes
    #[arg(long, env = "STENTOR_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Where the simulator listens for `--target`
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:2775")]
    smsc_listen: SocketAddr,
    /// Commit of the daemon, if its binary is not in a checkout
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
    /// Write the report here; by default `bench.html`, while the figures go to `bench.json` (`--json`)
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Measure nothing; compare the second result with the first
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with_all = ["quick", "target", "render"])]
    compare: Vec<PathBuf>,
    /// With `--compare`: exit with 1 if a figure is worse by more than this, and by more than its repeats differ
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = compare::threshold)]
    fail: f64,
    /// Measure nothing; write the report of an earlier result
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "target"])]
    render: Option<PathBuf>,
}

/// Runs what the options ask for. It has exit codes of its own, so that a script can tell "worse" from "impossible".
pub(crate) fn run(options: &Options) -> ExitCode {
    let done = match (options.compare.as_slice(), &options.render) {
        ([before, after], _) => compare(before, after, options.fail),
        (_, Some(file)) => BenchResult::read(file).and_then(|result| options.write_page(&result)).map(|()| true),
        (_, None) => measure(options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(WORSE),
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(IMPOSSIBLE)
        }
    }
}

fn compare(before: &Path, after: &Path, threshold: f64) -> Result<bool, String> {
    let comparison = compare::compare(&BenchResult::read(before)?, &BenchResult::read(after)?, threshold)?;
    println!("{comparison}");
    Ok(comparison.worse().next().is_none())
}

/// Whether every promise held and nothing failed.
fn measure(options: &Options) -> Result<bool, String> {
    let began = now();
    let directory = options.directory();
    let machine = Machine::read(&directory);
    let mut course = Course::new(options, &machine);
    let subject = match &options.target {
        None => {
            let subject = Subject::read(&options.ground, options.commit.as_deref())?;
            course.run()?;
            subject
        }
        Some(url) => {
            let ground = course.ground();
            let target = remote::resolve(url)?;
            let mut remote = Remote::prepare(&ground, target, options.smsc_listen, options.key.as_deref())?;
            let subject = Subject::elsewhere(remote.version(), options.commit.as_deref());
            course.run_remote(&mut remote, &ground)?;
            subject
        }
    };
    let failures = course.failures;
    let result = BenchResult {
        format: FORMAT,
        began,
        seconds: course.elapsed().as_secs_f64(),
        size: course.sizes.name.to_owned(),
        target: options.target.clone(),
        machine,
        subject,
        placement: options.placement(),
        load: Load {
            connections: options.ground.connections,
            batch: options.ground.batch,
            length: options.ground.length as u64,
        },
        limits: course.limits,
        measurements: course.measurements,
        left_out: course.left_out,
    };
    let json = options.ground.json.clone().unwrap_or_else(|| "bench.json".into());
    result.write(&json)?;
    options.write_page(&result)?;
    println!("figures: {}", json.display());
    let broken: Vec<_> = result.measurements.iter().flat_map(|one| one.broken.iter().map(|b| (&one.name, b))).collect();
    broken.iter().for_each(|(name, broken)| println!("{name}: not so: {broken}"));
    Ok(broken.is_empty() && failures == 0)
}

impl Options {
    fn sizes(&self) -> Sizes {
        let mut sizes = if self.quick { Size::Quick } else { self.size }.sizes();
        if let Some(repeats) = self.repeats {
            let repeats = usize::try_from(repeats).unwrap_or(usize::MAX);
            (sizes.repeats, sizes.rounds) = (repeats, repeats);
        }
        sizes.pass_s = self.seconds.unwrap_or(sizes.pass_s);
        sizes
    }

    /// The directory for the daemon's data.
    fn directory(&self) -> PathBuf {
        self.ground.dir.clone().unwrap_or_else(env::temp_dir)
    }

    fn durability(&self, machine: &Machine) -> String {
        let files = &machine.file_system;
        match &self.target {
            Some(url) => format!("fdatasync before every 202, on whatever disk the daemon at {url} has"),
            None if files.is_memory() => format!("none: {} is in memory ({})", files.directory, files.kind),
            None => format!("fdatasync before every 202 and every submit, {} on {}", files.kind, files.device),
        }
    }

    fn placement(&self) -> Placement {
        let shown = |cpus: &Option<Cpus>| cpus.as_ref().map(ToString::to_string);
        Placement {
            daemon: shown(&self.ground.cpus_daemon),
            generator: shown(&self.ground.cpus_load),
            simulator: shown(&self.ground.cpus_smsc),
        }
    }

    fn write_page(&self, result: &BenchResult) -> Result<(), String> {
        let file = self.html.clone().unwrap_or_else(|| "bench.html".into());
        fs::write(&file, page::page(result)).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("report: {}", file.display());
        Ok(())
    }
}

fn now() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = Vec::new();
    rfc3339::push(&mut text, Wall(since_epoch.as_millis() as u64));
    String::from_utf8_lossy(&text).into_owned()
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    number.ok_or_else(|| format!("`{text}`: 0.01 to 86400"))
}
