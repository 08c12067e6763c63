//! Scenario `fault`: the same fault again and again under full load, then everything is counted. Each round waits for a
//! random time, strikes, and goes on as soon as the daemon is ready again; clients retry unanswered requests with the
//! same key. At the end the load stops, the queue drains, and every single message is queried (`audit`).
//!
//! Knows the rounds; `strike` knows how each fault is caused.

pub(super) mod cgroup;
mod disk;
mod full;
mod site;
mod strike;

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::audit::Audit;
use super::figure::{Value, quantiles_ms};
use super::ground::{Generator, Ground, GroundOptions, Smsc};
use super::means::{Need, demand};
use super::process::Process;
use super::prometheus::{DOUBTS, IN_DOUBT};
use super::result::ScenarioResult;
use crate::http;
use cgroup::Cgroup;
use disk::{Disk, FileSystem, Under};

/// More than any run offers; each message has a recipient of its own, by which the audit identifies it.
const MESSAGES_MAX: u64 = 70_000_000;
/// The generator's first recipient.
const FIRST_RECIPIENT: u64 = 4_915_110_000_000;
const SHARDS: usize = 2;
const BINDS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);
/// Longest time of a stop by SIGTERM.
const TERM_MAX: Duration = Duration::from_secs(10);

/// What happens in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// kill -9
    Kill,
    /// The power is cut: no write reaches the disk any more, unsynced data is lost (root; xfs_io)
    Power,
    /// SIGSTOP, and SIGCONT up to seven seconds later: no effect may be visible
    Stop,
    /// The kernel's OOM killer (root; memory cgroups)
    Oom,
    /// Every write to the disk fails (root; nbdkit, nbdfuse)
    Eio,
    /// One call on the files of the data directory fails: in turn each kind of call on each kind of file, once or
    /// permanently (cc)
    Site,
    /// Every write takes `--delay` longer (root; nbdkit, nbdfuse)
    Slow,
    /// The disk fills up and is freed again (root)
    Full,
    /// The wall clock jumps by up to an hour, forwards and backwards (libfaketime)
    Clock,
}

/// Sizes and times.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// The fault
    fault: Fault,
    /// Number of rounds
    #[arg(long, default_value_t = 10, env = "STENTOR_FAULT_ROUNDS")]
    rounds: u64,
    /// Messages offered per second; by default as many as the windows let through
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Most milliseconds of load before each strike
    #[arg(long, default_value_t = 1_500)]
    pause_max: u64,
    /// Unanswered submits per bind
    #[arg(long, default_value_t = 100)]
    window: u64,
    /// Classes by weight; otp is dropped when in doubt, the others are sent again
    #[arg(long, default_value = "otp=2,transactional=7,marketing=1")]
    classes: String,
    /// File system for the faults that need a disk of their own
    #[arg(long, default_value = "ext4")]
    fs: FileSystem,
    /// Its size in MiB; the file is sparse
    #[arg(long, default_value_t = 6_144)]
    fs_size: u64,
    /// `slow`: how many milliseconds longer each write takes
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// `full`: the floor of free space, MiB
    #[arg(long, default_value_t = 256)]
    floor: u64,
    /// `full`: seconds from the moment at which there is room until messages are accepted
    #[arg(long, default_value_t = 5.0)]
    resume_max: f64,
    /// Seed of the times of the strikes
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Everything that takes part. Processes come first, because they must end before the disk is unmounted.
struct World {
    generator: Generator,
    stentor: Process,
    smsc: Smsc,
    cgroup: Option<Cgroup>,
    disk: Option<Disk>,
    ground: Ground,
    options: Options,
    chance: Chance,
    books: Books,
}

/// The results of the rounds.
#[derive(Debug, Default)]
struct Books {
    in_doubt: u64,
    in_doubt_round_max: u64,
    ready_s_max: f64,
    ended_s_max: f64,
    /// `site`: rounds so far, and in how many of them the chosen call was never reached.
    sites: u64,
    sites_missed: u64,
    /// The claims of all rounds, and whether each held in all of them.
    claims: Vec<(String, bool)>,
}

/// Random times of strikes: splitmix64.
struct Chance(u64);

impl Fault {
    fn needs(self, system: FileSystem) -> Vec<Need> {
        let mount = [Need::Root, Need::Tool("mount", "mount"), system.need()];
        let loops = Need::File("/dev/loop-control", "for loop devices");
        let nbd = [
            Need::Tool("nbdkit", "nbdkit"),
            Need::Tool("nbdfuse", "libnbd-bin"),
            Need::File("/dev/fuse", "for nbdfuse"),
        ];
        match self {
            Self::Kill | Self::Stop => Vec::new(),
            Self::Site => vec![Need::Tool("cc", "gcc")],
            Self::Power => [mount.as_slice(), &[loops, Need::Tool("xfs_io", "xfsprogs")]].concat(),
            Self::Full => [mount.as_slice(), &[loops]].concat(),
            Self::Eio | Self::Slow => [mount.as_slice(), &[loops], &nbd].concat(),
            Self::Oom => {
                let place = Cgroup::place().map_or("/sys/fs/cgroup/memory", |(_, is_v2)| {
                    if is_v2 { "/sys/fs/cgroup/cgroup.controllers" } else { "/sys/fs/cgroup/memory" }
                });
                vec![Need::Root, Need::File(place, "for memory cgroups")]
            }
            Self::Clock => vec![Need::Tool("faketime", "faketime")],
        }
    }

    /// Whether the daemon must survive the fault without any effect.
    const fn is_survived(self) -> bool {
        match self {
            Self::Stop | Self::Slow | Self::Full | Self::Clock => true,
            Self::Kill | Self::Power | Self::Oom | Self::Eio | Self::Site => false,
        }
    }

    const fn under(self, options: &Options) -> Option<Under> {
        match self {
            Self::Power | Self::Full => Some(Under::File),
            Self::Eio => Some(Under::Nbd { delay: Duration::ZERO }),
            Self::Slow => Some(Under::Nbd { delay: Duration::from_millis(options.delay) }),
            Self::Kill | Self::Stop | Self::Oom | Self::Site | Self::Clock => None,
        }
    }
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    demand(&options.fault.needs(options.fs));
    let mut world = World::start(options)?;
    for round in 1..=options.rounds {
        world.await_load()?;
        thread::sleep(Duration::from_millis(world.chance.below(options.pause_max + 1)));
        world.stentor.check_alive()?;
        world.strike().map_err(|error| format!("round {round}: {error}"))?;
        if round % 10 == 0 || round == options.rounds {
            eprintln!("round {round} of {}", options.rounds);
        }
    }
    world.await_load()?;
    world.finish()
}

impl World {
    fn start(options: &Options) -> Result<Self, String> {
        let mut ground = Ground::prepare(&options.ground)?;
        let under = options.fault.under(options);
        let disk = under
            .map(|under| Disk::make(ground.path(), &ground.data(), options.fs, options.fs_size, under))
            .transpose()?;
        let cgroup = (options.fault == Fault::Oom).then(Cgroup::make).transpose()?;
        options.configure(&mut ground, cgroup.as_ref())?;
        // Answers take long enough that the windows are full at every strike.
        let behaviour =
            r#"{"response_delay":{"min_us":10000,"max_us":30000},"receipt_delay":{"min_us":0,"max_us":500000}}"#;
        let smsc = ground.start_smsc(&["--behaviour", behaviour])?;
        let (stentor, _) = ground.start_stentor()?;
        let (count, rate) = (MESSAGES_MAX.to_string(), options.rate.to_string());
        let first = FIRST_RECIPIENT.to_string();
        let offer = ["--count", &count, "--rate", &rate, "--retry", "--patience", "3600", "--first-recipient", &first];
        let generator = ground.start_generator(&[offer.as_slice(), &["--classes", &options.classes]].concat())?;
        let chance = Chance(options.seed);
        let options = options.clone();
        Ok(Self { generator, stentor, smsc, cgroup, disk, ground, options, chance, books: Books::default() })
    }

    /// Waits until messages flow again after the last strike.
    fn await_load(&mut self) -> Result<(), String> {
        let before = self.smsc.stats(None)?.submits.received;
        let window = self.options.window;
        self.ground.watch(&mut self.smsc, "load", |stats| stats.submits.received > before + window).map(drop)
    }

    /// Starts the daemon again after its end, and records how much it found in doubt.
    fn start_again(&mut self) -> Result<(), String> {
        let (stentor, ready_s) = self.ground.start_stentor()?;
        self.stentor = stentor;
        self.books.ready_s_max = self.books.ready_s_max.max(ready_s);
        let in_doubt = self.found_in_doubt()?;
        self.books.in_doubt += in_doubt;
        self.books.in_doubt_round_max = self.books.in_doubt_round_max.max(in_doubt);
        Ok(())
    }

    /// Attempts in doubt since the daemon's start, once every shard reports them.
    fn found_in_doubt(&mut self) -> Result<u64, String> {
        let begun = Instant::now();
        loop {
            let metrics = self.ground.metrics();
            if metrics.count(DOUBTS) >= SHARDS {
                return Ok(metrics.sum(IN_DOUBT).unwrap_or(0.0) as u64);
            }
            self.stentor.check_alive()?;
            if begun.elapsed() > self.ground.stall() {
                return Err("no metrics of all shards".to_owned());
            }
            thread::sleep(TICK);
        }
    }

    /// Stops the load, waits until no message is on its way, audits every message, and tries a clean restart.
    fn finish(mut self) -> Result<ScenarioResult, String> {
        self.generator.process.signal(Signal::TERM);
        let report = self.generator.finish(self.ground.stall() + Duration::from_secs(60))?;
        // The backlog is sent as fast as possible.
        self.smsc.behave(r#"{"response_delay":{"min_us":0,"max_us":0}}"#)?;
        self.await_quiet()?;
        let audit = Audit::take(&self.ground, &mut self.smsc, &report, FIRST_RECIPIENT)?;
        let live_doubts = self.found_in_doubt()?;
        self.stentor.check_alive()?;
        self.stentor.signal(Signal::TERM);
        let is_clean = self.stentor.wait(TERM_MAX + self.ground.stall())?.success();
        let (stentor, _) = self.ground.start_stentor()?;
        self.stentor = stentor;
        let after_clean = self.found_in_doubt()?;

        let mut result = ScenarioResult::new(&format!("fault {:?}", self.options.fault).to_lowercase());
        let Books { in_doubt, in_doubt_round_max, ready_s_max, ended_s_max, sites, sites_missed, claims } = &self.books;
        result.figure("rounds", self.options.rounds);
        result.figure("batches sent again", report.retries);
        result.figure("of them known already", report.duplicates);
        result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
        if self.options.fault.is_survived() {
            result.figure("in doubt", live_doubts);
            if self.options.fault == Fault::Full {
                result.figure("taken again after there is room, at most", Value::seconds(*ready_s_max));
            }
            result.claim("nothing went in doubt", live_doubts == 0);
        } else {
            result.figure("in doubt, all rounds", *in_doubt);
            result.figure("in doubt, most in a round", *in_doubt_round_max);
            result.figure("ended after the fault, at most", Value::seconds(*ended_s_max));
            result.figure("ready again after, at most", Value::seconds(*ready_s_max));
            if self.options.fault == Fault::Site {
                result.figure("calls that failed", sites - sites_missed);
            }
            // A shard may use the room of an answer that another shard has not recorded yet, and standing places come on top of
            // what is prepared: a window more is much for both.
            let bound = 3 * BINDS * self.options.window;
            let ledger =
                format!("the ledger of a round is at most windows, prepared and answers not recorded, {bound}");
            result.claim(ledger, *in_doubt_round_max <= bound);
            result.claim("no more came twice than was in doubt", audit.repeats <= *in_doubt);
        }
        audit.tell(&mut result);
        claims.iter().for_each(|(text, holds)| result.claim(text, *holds));
        result.claim("a clean end on SIGTERM", is_clean);
        result.claim("nothing is in doubt after a clean restart", after_clean == 0);
        Ok(result)
    }

    fn await_quiet(&mut self) -> Result<(), String> {
        let (mut changed, mut last) = (Instant::now(), String::new());
        loop {
            self.stentor.check_alive()?;
            let (_, body) = http::get(self.ground.http(), "/v1/queues", PATIENCE).map_err(|error| error.to_string())?;
            let queues: serde_json::Value =
                serde_json::from_slice(&body).map_err(|error| format!("queues: {error}"))?;
            let waits = |name: &str| queues[name].as_u64().unwrap_or(1);
            let stats = self.smsc.stats(None)?;
            let is_told = stats.receipts.acknowledged >= stats.receipts.planned;
            if is_told && ["depth", "scheduled", "in_flight", "in_doubt"].into_iter().all(|name| waits(name) == 0) {
                return Ok(());
            }
            let now = format!("{queues} {:?} {:?}", stats.submits, stats.receipts);
            if now != last {
                (changed, last) = (Instant::now(), now);
            }
            if changed.elapsed() > self.ground.stall() {
                return Err(format!("it does not come to rest: {last}"));
            }
            thread::sleep(TICK);
        }
    }
}

impl Options {
    fn configure(&self, ground: &mut Ground, cgroup: Option<&Cgroup>) -> Result<(), String> {
        ground.set("NODE__SHARDS", &SHARDS.to_string());
        ground.set("NODE__CORES", "2");
        ground.set("DEFAULTS__IN_DOUBT_WAIT", "1s");
        // No fault may last, and no clock may jump, until a message expires.
        ground.set("DEFAULTS__CLASS_EXPIRES_IN__OTP", "2d");
        ground.set_carrier("WINDOW", &self.window.to_string());
        ground.set_carrier("BINDS", &BINDS.to_string());
        ground.set_carrier("RECONNECT_MIN", "100ms");
        match self.fault {
            Fault::Full => {
                ground.set("LIMITS__DISK_FLOOR", &format!("{}MiB", self.floor));
                // So that there is a queue, and messages can be sent while none are accepted.
                ground.set_carrier("RATE", &(self.rate / 2).max(1).to_string());
            }
            Fault::Oom => {
                let entrance = cgroup.map(Cgroup::entrance).ok_or("no cgroup")?;
                let entrance = entrance.to_str().ok_or("a path that is not UTF-8")?;
                ground.set_wrapper(&["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", entrance]);
            }
            Fault::Clock => strike::fake_clock(ground)?,
            Fault::Kill | Fault::Power | Fault::Stop | Fault::Eio | Fault::Site | Fault::Slow => {}
        }
        Ok(())
    }
}

impl Books {
    /// Records a claim of a round; once false it stays false.
    fn claim(&mut self, text: &str, holds: bool) {
        match self.claims.iter_mut().find(|(known, _)| known == text) {
            Some((_, all)) => *all &= holds,
            None => self.claims.push((text.to_owned(), holds)),
        }
    }
}

impl Chance {
    /// A random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
