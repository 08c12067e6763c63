//! `loadtest send`: offers messages to Stentor over HTTP, in an open loop at a fixed rate or as fast as they are answered.

pub(crate) mod answer;
pub(crate) mod batch;
mod progress;
pub(crate) mod report;
mod schedule;
mod worker;

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use batch::{Renderer, Shape};
use report::{Books, Report};
use schedule::{Plan, Schedule};
use worker::{Errand, Worker};

/// How often the main thread checks its workers.
const TICK: Duration = Duration::from_millis(50);

/// The generator's command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where Stentor listens
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    to: String,
    /// Total messages; without it `--duration` ends the run
    #[arg(long, required_unless_present = "duration")]
    count: Option<u64>,
    /// Duration in seconds
    #[arg(long)]
    duration: Option<f64>,
    /// Messages per second, open loop: sent when they are due, answered or not
    #[arg(long, conflicts_with = "saturate", required_unless_present = "saturate")]
    rate: Option<f64>,
    /// As fast as answers come, closed loop
    #[arg(long)]
    saturate: bool,
    /// Connections, each with a thread
    #[arg(long, default_value_t = 16)]
    connections: u64,
    /// Messages per request
    #[arg(long, default_value_t = 1_000)]
    batch: u64,
    /// Characters per message
    #[arg(long, default_value_t = 160)]
    length: usize,
    /// The first recipient
    #[arg(long, default_value_t = 4_915_110_000_000)]
    first_recipient: u64,
    /// Number of recipients, which take turns; when they repeat, each stays on one connection, so that their order is defined
    #[arg(long, default_value_t = 80_000_000)]
    recipients: u64,
    /// The serial number in the first message, so that the simulator can tell the messages of several generators apart
    #[arg(long, default_value_t = 0)]
    first_mark: u64,
    /// Sender of every message
    #[arg(long)]
    from: Option<String>,
    /// Classes by weight, as in `otp=1,transactional=9`
    #[arg(long, value_delimiter = ',', value_parser = parse_weight)]
    classes: Vec<(String, u32)>,
    /// Give each message an idempotency key
    #[arg(long)]
    keys: bool,
    /// Whether to ask for receipts; by default the server decides
    #[arg(long)]
    receipt: Option<bool>,
    /// Compress request bodies
    #[arg(long)]
    gzip: bool,
    /// Ask for a result per message instead of a summary per request
    #[arg(long)]
    full: bool,
    /// API key
    #[arg(long)]
    bearer: Option<String>,
    /// File with API keys, one per line; requests take them in turn, instead of `--bearer`
    #[arg(long, value_name = "FILE")]
    bearers: Option<PathBuf>,
    /// Send an `Idempotency-Key` with each request
    #[arg(long)]
    idempotent: bool,
    /// Retry unanswered and retryable requests with the same `Idempotency-Key`
    #[arg(long)]
    retry: bool,
    /// For how many seconds a request is retried
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// Timeout of an answer in seconds
    #[arg(long, default_value_t = 60.0)]
    timeout: f64,
    /// Write the result here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the generator and prints its result; fails if a message was not acknowledged.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let report = offer(options)?;
    println!("{report}");
    if let Some(path) = &options.json {
        let json = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if report.is_complete() { Ok(()) } else { Err("not every message was acknowledged".to_owned()) }
}

fn offer(options: &Options) -> Result<Report, String> {
    let shape = options.shape();
    shape.check()?;
    if options.connections == 0 || options.batch == 0 || options.rate.is_some_and(|rate| rate <= 0.0) {
        return Err("--connections, --batch and --rate must be greater than 0".to_owned());
    }
    let started = Instant::now();
    let errand = Arc::new(options.errand(started)?);
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| format!("signals: {error}"))?;
    }
    let workers: Vec<_> = (0..options.connections)
        .map(|number| {
            let renderer = Renderer::new(shape.clone(), options.batch as usize, options.gzip);
            let worker = Worker::new(Arc::clone(&errand), renderer);
            thread::spawn(move || worker.run(number))
        })
        .collect();
    let bar = progress::Bar::new(options.count);
    while workers.iter().any(|worker| !worker.is_finished()) {
        thread::sleep(TICK);
        bar.show(errand.acknowledged.load(Ordering::Relaxed));
        if interrupted.load(Ordering::Relaxed) {
            errand.schedule.stop();
        }
    }
    bar.finish();
    let mut books = Books::new();
    let mut ended = started;
    for worker in workers {
        let (worker_books, worker_ended) = worker.join().map_err(|_| "a worker panicked".to_owned())?;
        books.merge(worker_books);
        ended = ended.max(worker_ended);
    }
    Ok(books.close(ended.duration_since(started).as_secs_f64()))
}

impl Options {
    fn shape(&self) -> Shape {
        Shape {
            length: self.length,
            first_recipient: self.first_recipient,
            recipients: self.recipients,
            first_mark: self.first_mark,
            from: self.from.clone(),
            classes: self.classes.clone(),
            keys: self.keys,
            receipt: self.receipt,
        }
    }

    fn errand(&self, started: Instant) -> Result<Errand, String> {
        let plan = Plan {
            count: self.count,
            duration: self.duration.map(Duration::from_secs_f64),
            rate: self.rate,
            batch: self.batch,
            workers: self.connections,
            is_pinned: self.count.is_none_or(|count| self.recipients < count),
        };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Errand {
            address: resolve(&self.to)?,
            head: self.head(),
            bearers: self.bearers()?,
            key_prefix: (self.idempotent || self.retry).then(|| format!("load-{:x}", since_epoch.as_nanos())),
            patience: self.retry.then(|| Duration::from_secs_f64(self.patience)),
            timeout: Duration::from_secs_f64(self.timeout),
            schedule: Schedule::new(plan, started),
            acknowledged: AtomicU64::new(0),
        })
    }

    fn head(&self) -> String {
        let query = if self.full { "" } else { "?ack=summary" };
        let mut head =
            format!("POST /v1/messages{query} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\n", self.to);
        if self.gzip {
            head.push_str("Content-Encoding: gzip\r\n");
        }
        head
    }

    fn bearers(&self) -> Result<Vec<String>, String> {
        let Some(file) = &self.bearers else { return Ok(self.bearer.iter().cloned().collect()) };
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let mut found = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    found.next().ok_or_else(|| format!("{address}: no address"))
}

fn parse_weight(text: &str) -> Result<(String, u32), String> {
    let (class, weight) = text.split_once('=').ok_or("CLASS=WEIGHT is needed")?;
    weight.parse().map(|weight| (class.to_owned(), weight)).map_err(|error| format!("{text}: {error}"))
}
