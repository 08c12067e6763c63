//! What is measured, scene by scene: each plays a scenario of `run` under a load that the machine can bear, and
//! explains its figures.

use super::bottleneck::Allotted;
use super::course::{Course, Found, Trial};
use super::plan::{Subject, ladder};
use super::raw::{self, Probe};
use super::result::{Figure, Measurement, Point, join};
use crate::run::cpus::Cpus;
use crate::run::figure::Unit;
use crate::run::ground::GroundOptions;
use crate::run::million::{self, Pass};
use crate::run::restart::{self, Ending};
use crate::run::result::ScenarioResult;
use crate::run::{backlog, peak};

/// A rate counts as kept if this share of it was acknowledged,
const KEPT_MIN: f64 = 0.97;
/// and the p99 from offer to submit stayed below this.
const AGE_MS_MAX: f64 = 1_000.0;
/// Requests that leave later than this at p99 are mentioned.
const LATE_MS_MAX: f64 = 10.0;
/// Connections that send one message per request, measured beside a single connection.
const SINGLES: u64 = 64;
/// No commit is larger than this.
const BLOCK_BYTES_MAX: f64 = 64e6;
/// The daemon is stopped while it runs at this share of what the machine can do.
const RESTART_SHARE: f64 = 0.5;

const CLOSED: &str = "closed loop: each connection sends its next request when the last was answered";
const OPEN: &str =
    "open loop: a request is due at its place in time, answered or not, and its latency counts from there";

impl Course<'_> {
    /// Measures everything, in order. Stops if the warm-up fails.
    pub(super) fn run(&mut self) -> Result<(), String> {
        if self.wants(Subject::Limits, "limits") {
            self.limits()?;
        }
        self.warm_up()?;
        if self.wants(Subject::Million, "million") {
            self.million();
        }
        if self.wants(Subject::Single, "single") {
            self.single("single", "One message, one connection", 1);
            self.single("singles", "One message a request, many connections", SINGLES);
        }
        if self.wants(Subject::Peak, "peak") {
            self.peak();
        }
        if self.wants(Subject::Backlog, "backlog") {
            self.backlog();
        }
        if self.wants(Subject::Restart, "restart") {
            self.restart("restart-term", "SIGTERM in the middle", Ending::Term);
            self.restart("restart-kill", "kill -9 in the middle", Ending::Kill);
        }
        // The longest come last: if the time is short, they are cut.
        if self.wants(Subject::Sweep, "sweep") {
            self.sweep();
        }
        if self.wants(Subject::Ladder, "ladder") {
            self.ladder();
        }
        Ok(())
    }

    /// The machine's limits, before Stentor is started.
    fn limits(&mut self) -> Result<(), String> {
        let ground = &self.options.ground;
        let (daemon, load) = (ground.cpus_daemon.as_ref(), ground.cpus_load.as_ref());
        let (batch, time) = (ground.batch, self.sizes.probe);
        let directory = self.options.directory();
        let (one, many) = (raw::body(1, ground.length)?, raw::body(batch, ground.length)?);
        let disk = |body: &[u8], messages: u64| raw::disk(&directory, body, messages as f64, time, daemon);
        let threads = daemon.map_or(self.cpus.1, Cpus::count);
        let probes = [
            (
                "limit-disk-one",
                "Disk, a message at a time",
                "one thread appends the bytes of one message to a file",
                disk(&one, 1)?,
            ),
            (
                "limit-disk",
                "Disk, a request at a time",
                "one thread appends the bytes of one request to a file",
                disk(&many, batch)?,
            ),
            (
                "limit-loopback",
                "Loopback",
                "each connection sends the bytes of one request over TCP to 127.0.0.1 and waits for a short answer",
                raw::loopback(&many, batch, ground.connections, time, (daemon, load))?,
            ),
            (
                "limit-parse",
                "Parsing alone",
                "serde_json reads the bytes of one request again and again, a thread on each CPU of the daemon",
                raw::parse(&many, batch, threads, time, daemon)?,
            ),
        ];
        for (name, title, what, probe) in probes {
            let is_disk = name.starts_with("limit-disk");
            self.limit(name, title, what, is_disk, probe);
        }
        Ok(())
    }

    fn limit(&mut self, name: &str, title: &str, what: &str, is_durable: bool, probe: Probe) {
        let mut measurement = self.measurement(name, title, &format!("closed loop: {what}"), &[]);
        measurement.durability = match is_durable {
            true => format!("fdatasync after each append, {}", self.place),
            false => "nothing is kept".to_owned(),
        };
        measurement.repeats = 1;
        measurement.figures = join(&[probe.figures]);
        eprintln!("{name}: {}", measurement.figures.first().map_or(String::new(), |rate| rate.unit.show(rate.median)));
        self.limits.push(measurement);
    }

    /// The disk once more, with as many bytes per sync as the daemon wrote.
    fn limit_as_written(&mut self, trials: &[Trial]) {
        const NAME: &str = "limit-disk-as-written";
        if !self.options.only.is_empty() && !self.options.only.contains(&Subject::Limits) {
            return;
        }
        let passes: Vec<Pass> = trials.iter().filter_map(|trial| trial.pass).collect();
        let mean = |of: fn(&Pass) -> f64| passes.iter().map(of).sum::<f64>() / passes.len().max(1) as f64;
        let messages = mean(|pass| pass.messages_per_commit);
        let bytes = (messages * mean(|pass| pass.bytes_per_message)).min(BLOCK_BYTES_MAX);
        if bytes < 1.0 {
            self.leave_out(NAME, "the daemon had nothing written to a disk, or did not say how often");
            return;
        }
        let probe = raw::body(1, self.options.ground.length).and_then(|line| {
            let block: Vec<u8> = line.iter().copied().cycle().take(bytes as usize).collect();
            let cpus = self.options.ground.cpus_daemon.as_ref();
            raw::disk(&self.options.directory(), &block, messages, self.sizes.probe, cpus)
        });
        match probe {
            Ok(probe) => {
                let what = format!(
                    "one thread appends as many bytes as the daemon had written for each of its commits in `million`, which \
                     are {messages:.0} messages"
                );
                self.limit(NAME, "Disk, a commit of the daemon at a time", &what, true, probe);
            }
            Err(error) => self.fail(NAME, &error),
        }
    }

    /// Passes whose results are thrown away, until one was long enough to size the others by.
    fn warm_up(&mut self) -> Result<(), String> {
        let mut count = self.sizes.count(0.0, self.options.ground.batch, self.sizes.warm_up);
        for _ in 0..3 {
            let (verdict, pass) = million::pass(&through(&self.ground(), count, None))?;
            verdict.check()?;
            self.rate = pass.messages_per_s;
            eprintln!("warm-up: {:.0} msg/s end to end", self.rate);
            if pass.seconds >= self.sizes.pass_s / 2.0 {
                break;
            }
            count = self.sizes.count(self.rate, self.options.ground.batch, 0);
        }
        Ok(())
    }

    fn million(&mut self) {
        let ground = self.ground();
        let count = self.sizes.count(self.rate, ground.batch, self.sizes.million_min);
        let trials = self.trials("million", self.sizes.repeats, &ground, |ground| {
            played(million::pass(&through(ground, count, None)))
        });
        let parameters = [
            ("messages", count as f64),
            ("connections", ground.connections as f64),
            ("messages a request", ground.batch as f64),
        ];
        let empty = self.measurement("million", "As fast as it can", CLOSED, &parameters);
        let measurement = self.gather(empty, &trials, self.allotted());
        if let Some(rate) = measurement.figure("end to end/s") {
            self.rate = rate.median;
        }
        self.push(measurement);
        self.limit_as_written(&trials);
    }

    fn single(&mut self, name: &str, title: &str, connections: u64) {
        let mut ground = self.ground();
        (ground.batch, ground.connections) = (1, connections);
        // A first, short pass shows how many fit into the time.
        let tried = million::pass(&through(&ground, 20 * connections, None));
        let rate = match tried {
            Ok((_, pass)) => pass.accepted_per_s,
            Err(error) => return self.fail(name, &error),
        };
        let count = self.sizes.count(rate, 1, 1);
        let trials = self
            .trials(name, self.sizes.repeats, &ground, |ground| played(million::pass(&through(ground, count, None))));
        let parameters = [("messages", count as f64), ("connections", connections as f64), ("messages a request", 1.0)];
        let empty = self.measurement(name, title, CLOSED, &parameters);
        let measurement = self.gather(empty, &trials, self.allotted());
        self.push(measurement);
    }

    fn sweep(&mut self) {
        let ground = self.ground();
        let (mut points, mut kept, mut late, mut last) = (Vec::new(), Vec::new(), Vec::new(), None);
        for share in self.sizes.shares {
            let rate = self.rate * share;
            let count = self.sizes.count(rate, ground.batch, 0);
            let trials = self.trials(&format!("sweep at {rate:.0}/s"), self.sizes.rounds, &ground, |ground| {
                played(million::pass(&through(ground, count, Some(rate))))
            });
            let step = self.gather(Measurement::default(), &trials, self.allotted());
            note_kept(&mut kept, &trials, rate);
            late.extend(lateness(&trials, rate));
            if !trials.is_empty() {
                points.push(Point { axis: "offered/s".to_owned(), at: rate, figures: step.figures.clone() });
                last = Some(step);
            }
        }
        let parameters = [("connections", ground.connections as f64), ("messages a request", ground.batch as f64)];
        let mut measurement = self.measurement("sweep", "Rising rates", OPEN, &parameters);
        let Some(last) = last else { return };
        measurement.repeats = last.repeats;
        (measurement.bottleneck, measurement.broken) = (last.bottleneck, last.broken);
        measurement.figures.extend(Figure::new(
            "highest rate kept/s",
            Unit::PerSecond,
            Unit::PerSecond.better(),
            &kept,
        ));
        measurement.remarks = last.remarks.into_iter().chain(late).collect();
        measurement.remarks.push(format!(
            "A rate counts as kept if {:.0} % of it were acknowledged in time and the p99 from offer to submit stayed below \
             {AGE_MS_MAX:.0} ms. What was at the limit is said of the highest rate.",
            KEPT_MIN * 100.0
        ));
        measurement.points = points;
        self.push(measurement);
    }

    fn ladder(&mut self) {
        let allowed = self.options.ground.cpus_daemon.as_ref().map_or(self.cpus.1, Cpus::count);
        let steps = if self.options.cores.is_empty() { ladder(allowed) } else { self.options.cores.clone() };
        let (mut points, mut last) = (Vec::new(), None);
        for cores in steps {
            if cores == 0 || cores > allowed {
                self.leave_out(&format!("ladder, {cores} cores"), &format!("the daemon may use {allowed}"));
                continue;
            }
            let mut ground = self.ground();
            ground.settings.push(("NODE__CORES".to_owned(), cores.to_string()));
            let count = self.sizes.count(self.rate * cores as f64 / allowed as f64, ground.batch, 0);
            let trials = self.trials(&format!("ladder, {cores} cores"), self.sizes.repeats, &ground, |ground| {
                played(million::pass(&through(ground, count, None)))
            });
            let allotted = Allotted { daemon: cores as f64, ..self.allotted() };
            let mut step = self.gather(Measurement::default(), &trials, allotted);
            if !trials.is_empty() {
                points.push(Point {
                    axis: "cores".to_owned(),
                    at: cores as f64,
                    figures: std::mem::take(&mut step.figures),
                });
                let earlier = last.take().map_or(Vec::new(), |earlier: Measurement| earlier.remarks);
                let said = step.bottleneck.iter().map(|who| format!("With {cores} cores at the limit: {who}."));
                let own: Vec<_> =
                    said.chain(step.remarks.iter().map(|word| format!("{cores} cores: {word}"))).collect();
                step.remarks = earlier.into_iter().chain(own).collect();
                last = Some(step);
            }
        }
        let Some(last) = last else { return };
        let mut measurement = self.measurement("ladder", "By cores", CLOSED, &[]);
        (measurement.repeats, measurement.broken, measurement.remarks) = (last.repeats, last.broken, last.remarks);
        measurement.points = points;
        self.push(measurement);
    }

    fn peak(&mut self) {
        let (count, rate) = self.sizes.peak;
        let play = |ground: &GroundOptions| {
            let options = peak::Options { ground: ground.clone(), count, rate, mean_min: 0.0, kill: false };
            peak::play(&options).map(|verdict| (verdict, None))
        };
        let model = format!("{OPEN}; all of it within one second, to a carrier that takes {rate} parts a second");
        let parameters = [("messages", count as f64), ("parts a second", f64::from(rate))];
        self.scene("peak", "A burst above the carrier's rate", &model, &parameters, play);
    }

    fn backlog(&mut self) {
        let count = self.sizes.backlog;
        let play = |ground: &GroundOptions| {
            let ground = ground.clone();
            // Their limits hold for one machine and size; they are not claimed here.
            let (rss_max, ready_max) = (u64::MAX >> 20, f64::INFINITY);
            let options = backlog::Options { ground, count, rss_max, ready_max, keyed: false, cold: false, tenants: 0 };
            backlog::play(&options).map(|verdict| (verdict, None))
        };
        let model = format!("{CLOSED}; the messages stay queued until the daemon has been killed and started again");
        self.scene("backlog", "A backlog over kill -9", &model, &[("messages", count as f64)], play);
    }

    fn restart(&mut self, name: &str, title: &str, signal: Ending) {
        let rate = self.rate * RESTART_SHARE;
        let count = self.sizes.count(rate, self.options.ground.batch, 0);
        let play = |ground: &GroundOptions| {
            let options =
                restart::Options { ground: ground.clone(), count, rate, signal, rounds: 1, in_doubt_max: count };
            restart::play(&options).map(|verdict| (verdict, None))
        };
        let model = format!("{OPEN}; unanswered requests are sent again with their key");
        self.scene(name, title, &model, &[("messages", count as f64), ("offered a second", rate)], play);
    }

    fn scene(
        &mut self,
        name: &str,
        title: &str,
        model: &str,
        parameters: &[(&str, f64)],
        play: impl FnMut(&GroundOptions) -> Found,
    ) {
        let ground = self.ground();
        let trials = self.trials(name, self.sizes.rounds, &ground, play);
        let empty = self.measurement(name, title, model, parameters);
        let measurement = self.gather(empty, &trials, self.allotted());
        self.push(measurement);
    }

    /// Keeps a measurement if there was at least one pass.
    pub(super) fn push(&mut self, measurement: Measurement) {
        if measurement.repeats > 0 {
            self.measurements.push(measurement);
        }
    }
}

/// All messages once: without minimum rates, with one tenant, receipts sent at once.
fn through(ground: &GroundOptions, count: u64, rate: Option<f64>) -> million::Options {
    million::Options {
        ground: ground.clone(),
        count,
        rate,
        accepted_min: 0.0,
        end_to_end_min: 0.0,
        // The window of `config/bench.toml`; another configuration has its own.
        window: if ground.config.is_none() { 2_000 } else { u32::MAX },
        tenants: 0,
        limits: 0,
        rules: 0,
        receipt_delay: "0".to_owned(),
    }
}

fn played(found: Result<(ScenarioResult, Pass), String>) -> Found {
    found.map(|(verdict, pass)| (verdict, Some(pass)))
}

/// A remark about requests that left late although the rate was kept: part of their latency is the generator's.
fn lateness(trials: &[Trial], rate: f64) -> Option<String> {
    let kept = trials.iter().filter_map(|trial| trial.pass).filter(|pass| is_kept(pass, rate));
    let late_ms = kept.map(|pass| pass.late_ms).fold(0.0, f64::max);
    (late_ms > LATE_MS_MAX).then(|| {
        format!(
            "At {rate:.0}/s requests left {late_ms:.1} ms late at p99: so much of their latency is the generator's."
        )
    })
}

/// Whether a pass kept its rate.
fn is_kept(pass: &Pass, rate: f64) -> bool {
    pass.accepted_per_s >= KEPT_MIN * rate && pass.age_ms <= AGE_MS_MAX
}

/// For each repeat, the highest rate that it kept so far. Rates rise.
pub(super) fn note_kept(kept: &mut Vec<f64>, trials: &[Trial], rate: f64) {
    for (number, pass) in trials.iter().map(|trial| trial.pass).enumerate() {
        if kept.len() <= number {
            kept.resize(number + 1, f64::NAN);
        }
        if pass.is_some_and(|pass| is_kept(&pass, rate)) {
            kept[number] = rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sampler::Watched;

    fn trial(accepted_per_s: f64, age_ms: f64) -> Trial {
        let pass = Pass { accepted_per_s, age_ms, ..Pass::default() };
        Trial { verdict: ScenarioResult::new("x"), pass: Some(pass), watched: Watched::default() }
    }

    #[test]
    fn the_knee_is_the_last_rate_that_a_repeat_kept() {
        let mut kept = Vec::new();
        note_kept(&mut kept, &[trial(100.0, 5.0), trial(99.0, 5.0)], 100.0);
        note_kept(&mut kept, &[trial(198.0, 5.0), trial(150.0, 5.0)], 200.0);
        note_kept(&mut kept, &[trial(300.0, 5_000.0)], 300.0);
        assert_eq!(kept, [200.0, 100.0]);
        let mut none = Vec::new();
        note_kept(&mut none, &[trial(1.0, 5.0)], 100.0);
        assert!(none.len() == 1 && none[0].is_nan());
    }

    #[test]
    fn a_late_generator_is_told_of_where_the_rate_was_kept() {
        let late = |accepted_per_s: f64, late_ms: f64| {
            let mut trial = trial(accepted_per_s, 5.0);
            trial.pass = trial.pass.map(|pass| Pass { late_ms, ..pass });
            lateness(&[trial], 100.0).is_some()
        };
        assert_eq!((late(100.0, 1.0), late(100.0, 30.0), late(50.0, 30.0)), (false, true, false));
    }
}
