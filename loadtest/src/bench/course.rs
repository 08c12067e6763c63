//! The course of a bench: passes are repeated, watched and collected, and left out when the time is over. Knows how to
//! measure; what is measured is in `scenes.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Options;
use super::bottleneck::Allotted;
use super::machine::Machine;
use super::plan::{PASS_S_MIN, Sizes, Subject};
use super::result::{LeftOut, Measurement, join};
use super::sampler::{Sampler, Watched};
use crate::run::cpus::Cpus;
use crate::run::ground::GroundOptions;
use crate::run::million::Pass;
use crate::run::result::ScenarioResult;
use crate::run::roster::Roster;

/// The state of a bench, and its results so far.
#[derive(Debug)]
pub(super) struct Course<'a> {
    pub options: &'a Options,
    pub sizes: Sizes,
    /// CPUs of the machine, and CPUs that this program may use.
    pub cpus: (usize, usize),
    /// What a 202 guarantees with the data in this place.
    pub durability: String,
    /// File system and device of the data.
    pub place: String,
    pub limits: Vec<Measurement>,
    pub measurements: Vec<Measurement>,
    pub left_out: Vec<LeftOut>,
    /// Passes that ended with an error.
    pub failures: usize,
    /// End-to-end speed in messages per second: of the warm-up at first, then of `million`.
    pub rate: f64,
    begun: Instant,
    longest: Duration,
}

/// One pass of a scenario.
#[derive(Debug)]
pub(super) struct Trial {
    pub verdict: ScenarioResult,
    pub pass: Option<Pass>,
    pub watched: Watched,
}

/// The result of a pass.
pub(super) type Found = Result<(ScenarioResult, Option<Pass>), String>;

impl<'a> Course<'a> {
    /// A course in which nothing has been measured yet.
    pub(super) fn new(options: &'a Options, machine: &Machine) -> Self {
        let files = &machine.file_system;
        Self {
            options,
            sizes: options.sizes(),
            cpus: (machine.cpus, machine.cpus_allowed),
            durability: options.durability(machine),
            place: format!("{} on {}", files.kind, files.device),
            limits: Vec::new(),
            measurements: Vec::new(),
            left_out: Vec::new(),
            failures: 0,
            rate: 0.0,
            begun: Instant::now(),
            longest: Duration::ZERO,
        }
    }

    /// Whether a subject is to be measured; if not, that is recorded.
    pub(super) fn wants(&mut self, subject: Subject, name: &str) -> bool {
        let is_wanted = self.options.only.is_empty() || self.options.only.contains(&subject);
        if !is_wanted {
            self.leave_out(name, "it was not asked for (--only)");
        }
        is_wanted
    }

    /// Records what is not measured, and why.
    pub(super) fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(LeftOut { name: name.to_owned(), why: why.to_owned() });
    }

    /// Records an error; the bench goes on.
    pub(super) fn fail(&mut self, name: &str, error: &str) {
        eprintln!("{name}: {error}");
        self.failures += 1;
        self.leave_out(name, error);
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The options of the ground for a pass.
    pub(super) fn ground(&self) -> GroundOptions {
        let mut ground = self.options.ground.clone();
        ground.stall = ground.stall.min(self.sizes.stall_max);
        ground.roster = Roster::default();
        ground
    }

    /// Plays up to `repeats` passes, as long as there is time and no pass fails.
    pub(super) fn trials(
        &mut self,
        name: &str,
        repeats: usize,
        ground: &GroundOptions,
        mut play: impl FnMut(&GroundOptions) -> Found,
    ) -> Vec<Trial> {
        let mut trials = Vec::new();
        for number in 1..=repeats {
            let is_late = self.sizes.limit.is_some_and(|limit| self.elapsed() + self.longest > limit);
            if is_late {
                self.leave_out(name, &format!("the time was over after {} of {repeats} repeats", trials.len()));
                break;
            }
            let mut own = ground.clone();
            // With a daemon on another host the same simulator serves all passes.
            own.roster = if self.options.target.is_some() { ground.roster.clone() } else { Roster::default() };
            let begun = Instant::now();
            let sampler = Sampler::start(own.roster.clone(), self.sizes.interval);
            let found = play(&own);
            let watched = sampler.finish(self.cpus.0);
            self.longest = self.longest.max(begun.elapsed());
            match found {
                Ok((verdict, pass)) => {
                    let speed =
                        pass.map_or(String::new(), |pass| format!(": {:.0} msg/s end to end", pass.messages_per_s));
                    eprintln!("{name} {number}/{repeats}{speed}");
                    trials.push(Trial { verdict, pass, watched });
                }
                Err(error) => {
                    self.fail(name, &error);
                    break;
                }
            }
        }
        trials
    }

    /// Fills a measurement with the results of its repeats.
    pub(super) fn gather(&self, mut measurement: Measurement, trials: &[Trial], allotted: Allotted) -> Measurement {
        measurement.repeats = trials.len();
        measurement.figures = join(&trials.iter().map(|trial| trial.verdict.numbers()).collect::<Vec<_>>());
        for trial in trials {
            let broken = trial.verdict.claims().iter().filter(|claim| !claim.holds);
            for claim in broken.map(|claim| &claim.text) {
                if !measurement.broken.contains(claim) {
                    measurement.broken.push(claim.clone());
                }
            }
        }
        let Some(last) = trials.last() else { return measurement };
        measurement.series = last.verdict.series().iter().chain(&last.watched.series).cloned().collect();
        measurement.threads.clone_from(&last.watched.threads);
        if last.pass.is_some() {
            measurement.bottleneck = last.watched.shares.map(|shares| shares.bottleneck(allotted));
        }
        measurement.remarks.extend(remarks(trials));
        measurement
    }

    /// The CPUs that the daemon and the generator may use.
    pub(super) fn allotted(&self) -> Allotted {
        let ground = &self.options.ground;
        let count = |cpus: &Option<Cpus>| cpus.as_ref().map_or(self.cpus.1, Cpus::count) as f64;
        let daemon = if self.options.target.is_some() { f64::INFINITY } else { count(&ground.cpus_daemon) };
        Allotted { daemon, generator: count(&ground.cpus_load) }
    }

    /// An empty measurement with its names and parameters.
    pub(super) fn measurement(&self, name: &str, title: &str, model: &str, parameters: &[(&str, f64)]) -> Measurement {
        let parameters: BTreeMap<_, _> = parameters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Measurement {
            name: name.to_owned(),
            title: title.to_owned(),
            model: model.to_owned(),
            durability: self.durability.clone(),
            parameters,
            ..Measurement::default()
        }
    }
}

/// What a reader must know about the repeats.
fn remarks(trials: &[Trial]) -> Vec<String> {
    let mut remarks = Vec::new();
    let shortest = trials.iter().filter_map(|trial| trial.pass).map(|pass| pass.seconds).fold(f64::INFINITY, f64::min);
    if shortest < PASS_S_MIN {
        remarks.push(format!(
            "Too short to mean much: a pass lasted {shortest:.2} s, at least {PASS_S_MIN:.0} s are needed."
        ));
    }
    if trials.len() == 1 {
        remarks.push("Measured once: how much it varies is not known.".to_owned());
    }
    let most = trials.iter().filter_map(|trial| trial.watched.shares).max_by(|a, b| a.others.total_cmp(&b.others));
    if let Some(words) = most.and_then(|shares| shares.disturbance()) {
        remarks.push(format!("The machine was not quiet: {words}."));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bottleneck::Shares;

    fn trial(seconds: f64, others: f64) -> Trial {
        let shares = Some(Shares { others, cpus: 2.0, ..Shares::default() });
        Trial {
            verdict: ScenarioResult::new("x"),
            pass: Some(Pass { seconds, ..Pass::default() }),
            watched: Watched { shares, ..Watched::default() },
        }
    }

    #[test]
    fn a_reader_is_warned() {
        assert_eq!(remarks(&[trial(5.0, 0.0), trial(5.0, 0.0)]), [] as [String; 0]);
        let told = remarks(&[trial(0.11, 1.0)]);
        assert!(told[0].contains("Too short") && told[1].contains("once") && told[2].contains("1.00 of 2"), "{told:?}");
        assert_eq!(remarks(&[]).len(), 0);
    }
}
