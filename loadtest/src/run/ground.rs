//! The ground of a scenario: a temporary directory, free ports on loopback, and the three kinds of process that run
//! there. Everything that it starts ends with it. Knows how to start and query them, not what a scenario is about.

use std::env;
use std::io::PipeWriter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cpus::{Cpus, Hold};
use super::guard::{self, Guard};
use super::process::Process;
use super::prometheus::{ACCEPTED, Metrics};
use super::roster::{Role, Roster};
use crate::http;
use crate::send::report::Report;
use crate::smsc::Started;
use crate::smsc::arrivals::Arrived;
use crate::smsc::stats::Stats;

/// How long a process may take to be ready, and a query to be answered.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);
/// How often the simulator is asked for its report.
const WATCH_TICK: Duration = Duration::from_millis(100);

/// The configuration for measurements, built in so that this program needs no checkout.
const CONFIG: &str = include_str!("../../../config/bench.toml");
/// How old Stentor's metrics may be, with some reserve.
const METRICS_AGE_MAX: Duration = Duration::from_secs(5);

/// The command line options that all scenarios have.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GroundOptions {
    /// The stentor binary; by default the one beside this program
    #[arg(long, value_name = "FILE")]
    pub stentor: Option<PathBuf>,
    /// Its configuration; data directory, HTTP address and the carrier's port are replaced. By default `config/bench.toml`,
    /// which is built in
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the carrier in the configuration that the simulator plays
    #[arg(long, default_value = "bench")]
    carrier: String,
    /// Where the temporary directory is made: choose a real disk, not a file system in memory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep the directory with data and logs
    #[arg(long)]
    keep: bool,
    /// Connections of the generator
    #[arg(long, default_value_t = 16)]
    pub connections: u64,
    /// Messages per request
    #[arg(long, default_value_t = 1_000)]
    pub batch: u64,
    /// Characters per message
    #[arg(long, default_value_t = 160)]
    pub length: usize,
    /// CPUs on which the daemon runs, as in 0-3,8
    #[arg(long, value_name = "CPUS")]
    pub cpus_daemon: Option<Cpus>,
    /// CPUs on which the generator runs
    #[arg(long, value_name = "CPUS")]
    pub cpus_load: Option<Cpus>,
    /// CPUs on which the simulator runs; it is one thread
    #[arg(long, value_name = "CPUS")]
    pub cpus_smsc: Option<Cpus>,
    /// Seconds without progress after which a scenario gives up
    #[arg(long, default_value_t = 60)]
    pub stall: u64,
    /// Write the verdict here as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Further keys of Stentor's configuration, as for [`Ground::set`].
    #[arg(skip)]
    pub settings: Vec<(String, String)>,
    /// Gets the process id of every daemon, generator and simulator that is started.
    #[arg(skip)]
    pub roster: Roster,
}

impl GroundOptions {
    /// Messages per request.
    pub(crate) const fn batch(&self) -> u64 {
        self.batch
    }

    /// Stentor's configuration, before anything in it is replaced.
    pub(crate) fn read_config(&self) -> Result<String, String> {
        let Some(file) = &self.config else { return Ok(CONFIG.to_owned()) };
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The stentor binary.
    pub(crate) fn binary(&self) -> Result<PathBuf, String> {
        self.stentor.clone().map_or_else(|| beside_this_program("stentor"), Ok)
    }
}

/// Directory, ports and options of one scenario.
#[derive(Debug)]
pub(crate) struct Ground {
    options: GroundOptions,
    /// Dropped before the directory is removed.
    _guard: Guard,
    directory: TempDir,
    /// Stentor's configuration.
    config: PathBuf,
    http: SocketAddr,
    smpp: SocketAddr,
    /// Given to Stentor as `STENTOR__…`: key path without prefix, value.
    environment: Vec<(String, String)>,
    /// Environment variables given to Stentor unchanged.
    variables: Vec<(String, String)>,
    /// A program and its first arguments, by which Stentor is started; empty: directly.
    wrapper: Vec<String>,
    /// The API key for queries to Stentor; `None` if it has no tenants.
    key: Option<String>,
    /// A file with the API keys of generators, one per line.
    bearers: Option<PathBuf>,
    /// Where Stentor's stderr goes; `None`: to its log file.
    stderr: Option<PipeWriter>,
    started: u32,
}

/// A running simulator.
#[derive(Debug)]
pub(crate) struct Smsc {
    pub process: Process,
    control: SocketAddr,
}

/// A running generator.
#[derive(Debug)]
pub(crate) struct Generator {
    pub process: Process,
    report: PathBuf,
}

impl Ground {
    /// Makes the directory and picks the ports.
    pub(crate) fn prepare(options: &GroundOptions) -> Result<Self, String> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("stentor-load-").disable_cleanup(options.keep);
        let directory = match &options.dir {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let directory = directory.map_err(|error| format!("temporary directory: {error}"))?;
        if options.keep {
            eprintln!("data and logs: {}", directory.path().display());
        }
        let (http, smpp) = (free_port()?, free_port()?);
        let config = directory.path().join("config.toml");
        std::fs::write(&config, options.read_config()?).map_err(|error| format!("{}: {error}", config.display()))?;
        let ground = Self {
            options: options.clone(),
            _guard: Guard::over(directory.path(), options.keep)?,
            directory,
            config,
            http,
            smpp,
            environment: options.settings.clone(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            key: None,
            bearers: None,
            stderr: None,
            started: 0,
        };
        Ok(ground)
    }

    /// Sets another key of Stentor's configuration, as in `("CARRIER__BENCH__RATE", "5000")`.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// Sets an environment variable of Stentor that is not part of its configuration.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Removes such a variable.
    pub(crate) fn unset_variable(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// Preloads libfaketime into Stentor, which is controlled by `FAKETIME` or a file; the monotonic clock stays correct.
    pub(crate) fn fake_wall_clock(&mut self) -> Result<(), String> {
        let library = ["x86_64", "aarch64"]
            .iter()
            .map(|machine| PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1")))
            .find(|path| path.exists())
            .ok_or("libfaketimeMT.so.1 is not where Debian's package libfaketime puts it")?;
        self.set_variable("LD_PRELOAD", &library.display().to_string());
        self.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.set_variable("FAKETIME_DONT_RESET", "1");
        Ok(())
    }

    /// Has Stentor started by another program, which must finally become it (`exec`).
    pub(crate) fn set_wrapper(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Gives Stentor this configuration instead of the one on the command line; the simulator plays the carrier of that name.
    pub(crate) fn use_config(&mut self, text: &str, carrier: &str) -> Result<(), String> {
        let file = self.path().join("stentor.toml");
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        self.config = file;
        self.options.carrier = carrier.to_owned();
        Ok(())
    }

    /// Changes Stentor's configuration; a running Stentor reads it again only when it is told to.
    pub(crate) fn change_config(&mut self, change: impl FnOnce(String) -> String) -> Result<(), String> {
        let read = std::fs::read_to_string(&self.config);
        let config = read.map_err(|error| format!("{}: {error}", self.config.display()))?;
        let carrier = self.options.carrier.clone();
        self.use_config(&change(config), &carrier)
    }

    /// Adds so many tenants to Stentor's configuration; 0: none, and no authentication. Generators use the tenants in
    /// turn for their requests; all other requests are made as the first tenant, which may see everything.
    pub(crate) fn use_tenants(&mut self, tenants: u32) -> Result<(), String> {
        if tenants == 0 {
            return Ok(());
        }
        self.change_config(|mut config| {
            for number in 0..tenants {
                let admin = if number == 0 { "admin_keys = [\"key-of-administrator\"]\n" } else { "" };
                config += &format!("\n[[tenant]]\nname = \"t{number}\"\nkeys = [\"{}\"]\n{admin}", key_of(number));
            }
            config
        })?;
        let (file, keys) =
            (self.path().join("keys"), (0..tenants).map(|number| key_of(number) + "\n").collect::<String>());
        std::fs::write(&file, keys).map_err(|error| format!("{}: {error}", file.display()))?;
        self.use_key("key-of-administrator");
        self.bearers = Some(file);
        Ok(())
    }

    /// Adds limits, by various values, that every message is under and that are far above what any machine sends.
    pub(crate) fn use_limits(&mut self, limits: u32) -> Result<(), String> {
        let by = ["all", "sender", "country", "tenant", "carrier"].into_iter().cycle();
        let limit = |(number, per): (u32, &str)| {
            let of = if number % 2 == 0 { "parts" } else { "messages" };
            format!("\n[[limit]]\nname = \"l{number}\"\nper = \"{per}\"\nof = \"{of}\"\nrate = \"1000000000/m\"\n")
        };
        let limits: String = (0..limits).zip(by).map(limit).collect();
        self.change_config(|config| config + &limits)
    }

    /// Adds routes before all others. No message takes them: they are for numbers of which there are none.
    pub(crate) fn use_rules(&mut self, rules: u32) -> Result<(), String> {
        let rule = |number| {
            format!(
                "[[route]]\nname = \"r{number}\"\nwhen = {{ prefix = \"+999{number:03}\" }}\ncarriers = [{{ name = \"bench\" }}]\n\n"
            )
        };
        let rules: String = (0..rules).map(rule).collect();
        self.change_config(|config| config.replacen("[[route]]", &format!("{rules}[[route]]"), 1))
    }

    /// From now on generators are this tenant, of those that [`Self::use_tenants`] added.
    pub(crate) fn speak_as(&mut self, tenant: u32) -> Result<(), String> {
        let file = self.path().join(format!("key-{tenant}"));
        std::fs::write(&file, key_of(tenant) + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
        self.bearers = Some(file);
        Ok(())
    }

    /// Uses the key of a real installation: generators get it in a file that only this user can read, so that it does
    /// not appear in the list of processes.
    pub(crate) fn use_secret_key(&mut self, key: &str) -> Result<(), String> {
        let file = self.path().join("key");
        std::fs::write(&file, format!("{key}\n")).map_err(|error| format!("{}: {error}", file.display()))?;
        self.bearers = Some(file);
        self.use_key(key);
        Ok(())
    }

    /// From now on requests to Stentor use this API key.
    pub(crate) fn use_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// The stderr of the next Stentor goes here.
    pub(crate) fn hear_stderr(&mut self, pipe: PipeWriter) {
        self.stderr = Some(pipe);
    }

    /// The log file of the Stentor that is started next.
    pub(crate) fn next_log(&self) -> PathBuf {
        Process::log_in(self.path(), &format!("stentor-{}", self.started + 1))
    }

    /// Stentor's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Sets another key of the carrier's configuration.
    pub(crate) fn set_carrier(&mut self, key: &str, value: &str) {
        self.set(&format!("CARRIER__{}__{key}", self.carrier_variable()), value);
    }

    fn carrier_variable(&self) -> String {
        self.options.carrier.to_uppercase().replace('-', "_")
    }

    /// Starts Stentor and waits until it is ready; gives the process and the seconds that it took.
    pub(crate) fn start_stentor(&mut self) -> Result<(Process, f64), String> {
        let begun = Instant::now();
        let mut process = self.launch_stentor()?;
        loop {
            if matches!(http::get(self.http, "/readyz", PATIENCE), Ok((200, _))) {
                return Ok((process, begun.elapsed().as_secs_f64()));
            }
            process.check_alive()?;
            if begun.elapsed() > PATIENCE {
                return Err(process.failure("not ready"));
            }
            thread::sleep(TICK);
        }
    }

    /// One of Stentor's other commands, to be run against the serving process.
    pub(crate) fn stentor_command(&self, arguments: &[&str]) -> Result<Command, String> {
        let mut command = Command::new(self.options.binary()?);
        command.args(arguments).env("STENTOR_URL", format!("http://{}", self.http)).env(guard::MARK, self.path());
        Ok(command)
    }

    /// Starts Stentor without waiting.
    pub(crate) fn launch_stentor(&mut self) -> Result<Process, String> {
        let binary = self.options.binary()?;
        let mut command = match self.wrapper.split_first() {
            None => Command::new(binary),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary);
                command
            }
        };
        command.arg("serve").arg("--config").arg(&self.config);
        command.env("STENTOR__NODE__DATA_DIR", self.data());
        command.env("STENTOR__HTTP__LISTEN", self.http.to_string());
        let port = format!("STENTOR__CARRIER__{}__PORT", self.carrier_variable());
        command.env(port, self.smpp.port().to_string());
        for (key, value) in &self.environment {
            command.env(format!("STENTOR__{key}"), value);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.started += 1;
        let stderr = self.stderr.take().map(Stdio::from);
        let _held = hold(self.options.cpus_daemon.as_ref())?;
        let process = Process::start_heard(&format!("stentor-{}", self.started), self.path(), &mut command, stderr)?;
        self.options.roster.enter(Role::Daemon, process.pid());
        Ok(process)
    }

    /// Starts the simulator on the carrier's port.
    pub(crate) fn start_smsc(&self, arguments: &[&str]) -> Result<Smsc, String> {
        let mut command = Command::new(this_program()?);
        command.args(["smsc", "--listen", &self.smpp.to_string(), "--control", "127.0.0.1:0"]).args(arguments);
        let held = hold(self.options.cpus_smsc.as_ref())?;
        let mut process = Process::start("smsc", self.path(), &mut command)?;
        drop(held);
        self.options.roster.enter(Role::Simulator, process.pid());
        let begun = Instant::now();
        loop {
            let first_line = process.output().lines().next().map(serde_json::from_str::<Started>);
            if let Some(Ok(started)) = first_line {
                return Ok(Smsc { process, control: started.control });
            }
            process.check_alive()?;
            if begun.elapsed() > PATIENCE {
                return Err(process.failure("not ready"));
            }
            thread::sleep(TICK);
        }
    }

    /// Starts the generator against Stentor.
    pub(crate) fn start_generator(&self, arguments: &[&str]) -> Result<Generator, String> {
        let sizes = [
            ("--connections", self.options.connections),
            ("--batch", self.options.batch),
            ("--length", self.options.length as u64),
        ];
        let sizes = sizes.map(|(name, value)| format!("{name}={value}"));
        let words: Vec<String> = sizes.into_iter().chain(arguments.iter().map(|word| (*word).to_owned())).collect();
        self.start_sender("send", &words)
    }

    /// Starts a generator of that name with only these arguments.
    pub(crate) fn start_sender(&self, name: &str, arguments: &[String]) -> Result<Generator, String> {
        let report = self.path().join(format!("{name}.json"));
        let mut command = Command::new(this_program()?);
        command.args(["send", "--to", &self.http.to_string()]).arg("--json").arg(&report).args(arguments);
        match (&self.bearers, &self.key) {
            (Some(file), _) => command.arg("--bearers").arg(file),
            (None, Some(key)) => command.args(["--bearer", key]),
            (None, None) => &mut command,
        };
        let _held = hold(self.options.cpus_load.as_ref())?;
        let process = Process::start(name, self.path(), &mut command)?;
        self.options.roster.enter(Role::Generator, process.pid());
        Ok(Generator { process, report })
    }

    /// Sends a `GET` to Stentor, with the API key if there is one; gives status and body.
    pub(crate) fn get(&self, target: &str, patience: Duration) -> Result<(u16, Vec<u8>), String> {
        http::ask(self.http, &format!("GET {target}"), &self.authorization(), "", patience)
            .map_err(|error| format!("{target}: {error}"))
    }

    /// Sends a `POST` with a JSON body.
    pub(crate) fn post(&self, target: &str, body: &str, patience: Duration) -> Result<(u16, Vec<u8>), String> {
        let headers = self.authorization() + "Content-Type: application/json\r\n";
        http::ask(self.http, &format!("POST {target}"), &headers, body, patience)
            .map_err(|error| format!("{target}: {error}"))
    }

    fn authorization(&self) -> String {
        self.key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default()
    }

    /// Stentor's metrics; empty when it does not answer.
    pub(crate) fn metrics(&self) -> Metrics {
        match self.get("/metrics", PATIENCE) {
            Ok((200, body)) => Metrics::parse(&String::from_utf8_lossy(&body)),
            Ok(_) | Err(_) => Metrics::default(),
        }
    }

    /// Stentor's metrics, once they count `accepted` accepted messages: they are up to a second old. If they do not
    /// after some seconds, gives them as they are.
    pub(crate) fn metrics_of(&self, accepted: u64) -> Metrics {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics();
            let is_there = metrics.sum(ACCEPTED).is_some_and(|sum| sum >= accepted as f64);
            if is_there || begun.elapsed() > METRICS_AGE_MAX {
                return metrics;
            }
            thread::sleep(WATCH_TICK);
        }
    }

    /// Waits until `is_done` is true for the simulator's report; gives up when nothing has changed for a while.
    pub(crate) fn watch(&self, smsc: &mut Smsc, what: &str, is_done: impl Fn(&Stats) -> bool) -> Result<Stats, String> {
        let mut changed = Instant::now();
        let mut last = (0, 0);
        loop {
            let stats = smsc.stats(None)?;
            if is_done(&stats) {
                return Ok(stats);
            }
            let progress = (stats.submits.received, stats.receipts.acknowledged);
            if progress != last {
                (last, changed) = (progress, Instant::now());
            }
            if changed.elapsed() > Duration::from_secs(self.options.stall) {
                let seen = serde_json::to_string(&(&stats.submits, &stats.messages, &stats.receipts));
                return Err(format!("waiting for {what}: nothing moves; {}", seen.unwrap_or_default()));
            }
            thread::sleep(WATCH_TICK);
        }
    }

    /// Waits until that many messages were submitted and every receipt was acknowledged.
    pub(crate) fn watch_delivered(&self, smsc: &mut Smsc, messages: u64) -> Result<Stats, String> {
        self.watch(smsc, "delivery", |stats| {
            stats.messages.distinct >= messages && stats.receipts.acknowledged >= stats.receipts.planned
        })
    }

    /// Stentor runs on another host: its HTTP address, and the address where it expects its carrier.
    pub(crate) fn use_target(&mut self, http: SocketAddr, smpp: SocketAddr) {
        (self.http, self.smpp) = (http, smpp);
    }

    /// From now on generators use so many connections, and so many messages per request.
    pub(crate) fn use_load(&mut self, connections: u64, batch: u64) {
        (self.options.connections, self.options.batch) = (connections, batch);
    }

    /// Stentor's HTTP address.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// The port on which Stentor expects its carrier.
    pub(crate) fn smpp_port(&self) -> u16 {
        self.smpp.port()
    }

    /// The directory with data and logs.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Seconds without progress after which a scenario gives up.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.options.stall)
    }
}

impl Smsc {
    /// Its report; with `expect` also how many of the serials below that never came.
    pub(crate) fn stats(&mut self, expect: Option<u64>) -> Result<Stats, String> {
        self.process.check_alive()?;
        let query = expect.map(|upto| format!("?expect={upto}")).unwrap_or_default();
        self.ask(&format!("/stats{query}"))
    }

    /// The first `limit` serials below `upto` that never came.
    pub(crate) fn missing(&self, upto: u64, limit: usize) -> Result<Vec<u64>, String> {
        self.ask(&format!("/missing?upto={upto}&limit={limit}"))
    }

    /// The first `limit` serials that came more than once.
    pub(crate) fn repeated(&self, limit: usize) -> Result<Vec<u64>, String> {
        self.ask(&format!("/repeated?limit={limit}"))
    }

    /// When each part arrived, from the arrival of that number on; empty when there are no more, or without `--arrivals`.
    pub(crate) fn arrivals(&self, from: usize) -> Result<Vec<Arrived>, String> {
        self.ask(&format!("/arrivals?from={from}"))
    }

    /// Changes some settings of its behaviour.
    pub(crate) fn behave(&self, knobs: &str) -> Result<(), String> {
        self.tell("/behaviour", knobs)
    }

    /// Has it unbind every client.
    pub(crate) fn say_goodbye(&self) -> Result<(), String> {
        self.tell("/goodbye", "")
    }

    /// Empties its counts.
    pub(crate) fn reset(&self) -> Result<(), String> {
        self.tell("/reset", "")
    }

    fn tell(&self, target: &str, body: &str) -> Result<(), String> {
        let told = http::post(self.control, target, "application/json", body, PATIENCE);
        match told.map_err(|error| format!("smsc: {error}"))? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("smsc: {status} {}", String::from_utf8_lossy(&body))),
        }
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, target: &str) -> Result<T, String> {
        let (_, body) = http::get(self.control, target, PATIENCE).map_err(|error| format!("smsc {target}: {error}"))?;
        serde_json::from_slice(&body).map_err(|error| format!("smsc {target}: {error}"))
    }
}

impl Generator {
    /// Waits for its end, however long its messages take; gives its report.
    pub(crate) fn finish(&mut self, timeout: Duration) -> Result<Report, String> {
        // Its exit code repeats what the report says.
        let _ = self.process.wait(timeout)?;
        let text = std::fs::read(&self.report).map_err(|error| self.process.failure(&error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", self.report.display()))
    }
}

fn hold(cpus: Option<&Cpus>) -> Result<Option<Hold>, String> {
    cpus.map(Cpus::hold).transpose()
}

fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no free port: {error}"))
}

fn this_program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("this program's path: {error}"))
}

/// The key of a tenant of [`Ground::use_tenants`].
pub(super) fn key_of(tenant: u32) -> String {
    format!("key-of-tenant-{tenant:06}")
}

fn beside_this_program(name: &str) -> Result<PathBuf, String> {
    let path = this_program()?.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(format!("{}: not built yet; or use --stentor", path.display())) }
}
