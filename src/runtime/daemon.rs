//! The process as a whole: `Recover` (directory, stores, shards), `Serve` (executors, links, listeners), `Drain` and `Stop`
//! (see `ending`). Its functions are in the order in which things must happen.

#[path = "daemon_reload.rs"]
mod reload;
#[path = "daemon_seats.rs"]
mod seats;

use std::{
    cell::RefCell,
    fmt, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    config::Config,
    disk::{
        directory::{self, DataDirectory, FORMAT_VERSION, Format, HighWaterFile},
        fjall::{FjallOptions, FjallStore},
        fjall_start::{self, Started},
    },
    egress::Dial,
    http::{self, Server, StatusBoard},
};
use stentor_core::{
    control::{Entries, applied},
    link,
    mesh::{self, CoreId, Inbox, Sender, ShardMap, waker::ThreadInbox},
    metrics::Metrics,
    model::{Mono, ShardId},
    node::NodeEvent,
    shard::Catalog,
    store::{Recovery, StoreError},
};

use super::{
    address,
    admin_socket::AdminSocket,
    allocator, backup, certificates,
    control::{ControlThread, Published},
    core::ToCore,
    descriptors, disk,
    ending::{self, Steps},
    exposition, feed, figures,
    scribe::{self, Scribe},
    signals::{self, Signal},
    starting::{self, Found, Past},
    stopping::{self, Told},
    storage::{self, Storage, Threads},
    tls, translate,
};
use crate::host::{
    clock::Clock,
    executor::{self, Executor, ExecutorError, Io, OnPanic, Running},
    net::Listener,
    probe::{self, ProbeError},
    resolver::Resolver,
    systemd, watchdog,
};

pub use reload::Reload;
use reload::{Command, carry_out};
use seats::{open_door, seat_core};

/// Items in a core's mailbox; each is a batch. If it is full, the sender waits.
const MAILBOX: usize = 8_192;
/// Most shards of a new directory if the configuration leaves the number open.
const SHARDS_AUTO_MAX: usize = 16;
/// For this long after the directory was locked, carriers with a rate are not sent to: by then the old process is certainly dead.
const SILENCE_NS: u64 = 1_000_000_000;

/// Time between two looks of a core for commands.
const COMMANDS: std::time::Duration = std::time::Duration::from_millis(50);

/// Pages added to the API, tried before a 404 is given: method, path, query, body.
pub type Extra = Arc<dyn Fn(&hyper::Method, &str, &str, &[u8]) -> Option<hyper::Response<bytes::Bytes>> + Send + Sync>;

/// Why the daemon does not start, as shown to the operator.
#[derive(Debug)]
pub enum StartError {
    /// The configuration cannot be used.
    Config(String),
    /// The data directory is refused.
    Data(directory::Refusal),
    /// A store cannot be opened.
    Store(StoreError),
    /// The machine lacks something that is needed.
    Host(ProbeError),
    /// The limit of descriptors is too low.
    Descriptors(descriptors::TooFew),
    /// An address cannot be listened on.
    Address(address::Refused),
    /// An executor cannot be started.
    Executor(ExecutorError),
    /// The operating system refused something: what, and its error.
    System(String, io::Error),
}

impl StartError {
    /// Exit code by sysexits: 78 if the configuration or machine must be changed, 74 for the disk, 71 for the operating system.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_) | Self::Data(directory::Refusal::Io { .. }) => 74,
            Self::Config(_) | Self::Data(_) | Self::Host(_) | Self::Descriptors(_) => 78,
            Self::Address(_) | Self::Executor(_) | Self::System(..) => 71,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => out.write_str(what),
            Self::Data(refusal) => write!(out, "{refusal}"),
            Self::Store(error) => write!(out, "{error}"),
            Self::Host(error) => write!(out, "{error}"),
            Self::Descriptors(error) => write!(out, "{error}"),
            Self::Address(refused) => write!(out, "{refused}"),
            Self::Executor(error) => write!(out, "{error}"),
            Self::System(what, error) => write!(out, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running daemon.
pub struct Daemon {
    addresses: Vec<SocketAddr>,
    signals: ThreadInbox<Signal>,
    cores: Vec<CoreHandle>,
    threads: Vec<Threads>,
    config: Config,
    shared: Arc<Shared>,
    tenants: Arc<http::auth::Tenants>,
    _disk: disk::Watching,
    _figures: figures::Looking,
    _certificates: certificates::Watching,
    _metrics: scribe::Writing,
    control: ControlThread,
    _admin: Option<AdminSocket>,
    /// The last field, so that its lock is released when everything else has ended.
    _directory: DataDirectory,
}

struct CoreHandle {
    running: Running,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Daemon").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Daemon {
    /// Starts everything; returns when messages can be accepted.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing is left running except threads that wait for nothing.
    pub fn start(config: Config, extra: Option<Extra>) -> Result<Self, StartError> {
        allocator::settle();
        look_before(&config)?;
        let blocked = signals::block().map_err(|error| StartError::System("signals".into(), error))?;
        let cores = executors(&config);
        let descriptors =
            descriptors::raise().map_err(|error| StartError::System("limit of descriptors".into(), error))?;
        let choice = probe::choose(config.node.io, cores).map_err(StartError::Host)?;
        let clock = Clock::start();
        let shards = shards_of_new(&config, cores);
        let directory = open_directory(&config, shards)?;
        starting::tell_of_directory(&directory);
        starting::tell_of_executors(&choice, cores);
        let silent_until = clock.mono().after_ns(SILENCE_NS);
        let shards = directory.format().shards.clamp(1, 255) as u8;
        let plan = share_out(descriptors, &config, cores, shards).map_err(StartError::Descriptors)?;
        let stores =
            FjallOptions { open_files_max: plan.tables_per_store, ..FjallOptions::shared_by(usize::from(shards) + 1) };
        let disk = disk::Guard::start(directory.path(), config.limits.disk_floor_bytes, shards)
            .map_err(|error| StartError::System(directory.path().display().to_string(), error))?;
        let map = ShardMap::new(shards, cores as u8);
        let (control, entries) = start_control(&directory, &config, stores, clock)?;
        let catalog = Arc::new(translate::catalog(&config, &entries, map));
        let (opened, past) = open_shards(&directory, shards, stores)?;

        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..cores).map(|_| mesh::mailbox::<ToCore>(MAILBOX)).unzip();
        let (seats, threads) = start_storages(opened, map, &directory, &senders)?;
        let (signal_sender, signals) = mesh::thread_mailbox(16);
        signals::listen(blocked, signal_sender).map_err(|error| StartError::System("signal thread".into(), error))?;
        let format = directory.format();
        let kept = (entries, &control);
        let shared =
            Shared::new(config.clone(), clock, map, kept, catalog, silent_until, senders, format, descriptors, extra)?;
        let disk = disk
            .watch(Arc::clone(&shared.board), shared.senders.clone())
            .map_err(|error| StartError::System("disk thread".into(), error))?;
        let figures =
            shared.snapshots.process.watch().map_err(|error| StartError::System("figures thread".into(), error))?;
        let certificates =
            shared.certificates.watch().map_err(|error| StartError::System("certificates thread".into(), error))?;
        let write = feed::renderer(Arc::clone(&shared.board), Arc::clone(&shared.snapshots), clock);
        let writing = shared.scribe.start(write).map_err(|error| StartError::System("metrics thread".into(), error))?;
        let Cores { handles: cores, addresses, admin, found } = start_cores(&shared, choice.io, inboxes, seats)?;
        shared.board.set_unready(Vec::new());
        past.tell(found);
        starting::warn_of_shortage(descriptors, &plan, &config);
        starting::tell_of_addresses(&addresses, config.http.tls.is_some());
        let tenants = Arc::clone(&shared.tenants);
        Ok(Self {
            addresses,
            signals,
            cores,
            threads,
            config,
            shared,
            tenants,
            _disk: disk,
            _figures: figures,
            _certificates: certificates,
            _metrics: writing,
            control,
            _admin: admin,
            _directory: directory,
        })
    }

    /// The addresses at which HTTP listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The configuration in use.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until SIGTERM or SIGINT, then ends in good order; returns the process's exit code. SIGHUP reads the configuration
    /// again, if `reload` is given. `tell` is called with a sentence about what the end waits for; a second such signal ends
    /// the process immediately.
    pub fn join(mut self, reload: Option<&Reload>, tell: Told<'_>) -> u8 {
        systemd::tell_ready("serving");
        let mut signals = Vec::new();
        'serving: loop {
            if self.signals.drain(&mut signals, 1) == 0 {
                break;
            }
            for signal in signals.drain(..) {
                match signal {
                    Signal::Terminate | Signal::Interrupt => break 'serving,
                    Signal::Hangup => match reload {
                        Some(reload) => self.reload(reload),
                        None => tracing::warn!("there is no configuration file to reload"),
                    },
                }
            }
        }
        systemd::tell_stopping("draining");
        tell(&stopping::sentence(&self.shared.board, self.config.node.drain_timeout_ms));
        stopping::end_at_the_next(self.signals);
        for core in &self.cores {
            let _ = core.commands.send(Command::End);
        }
        let mut code = 0;
        for core in self.cores.drain(..) {
            drop(core.commands);
            if let Err(error) = core.running.join() {
                tracing::error!(%error, "an executor failed");
                code = 70;
            }
        }
        for thread in self.threads.drain(..).flatten() {
            if thread.join().is_err() {
                code = 70;
            }
        }
        tracing::info!("stopped");
        code
    }
}

/// What every core is given.
struct Shared {
    config: Config,
    clock: Clock,
    map: ShardMap,
    /// The entries at the start.
    control: Arc<Entries>,
    catalog: Arc<Catalog>,
    board: Arc<StatusBoard>,
    snapshots: Arc<feed::Snapshots>,
    silent_until: Mono,
    resolver: Resolver,
    senders: Vec<Sender<ToCore>>,
    steps: Steps,
    /// The TLS configuration at the start.
    tls: Option<Arc<rustls::ServerConfig>>,
    certificates: certificates::InUse,
    tenants: Arc<http::auth::Tenants>,
    /// Fixed for the life of the installation: fingerprints are made with it.
    hash_seed: u64,
    /// Writes the metrics.
    scribe: Scribe,
    /// How many descriptors the process may have.
    descriptors: u64,
    extra: Option<Extra>,
    backup: http::backup::StartBackup,
    /// The entries that control has published by now.
    published: Arc<Published>,
    control_door: http::readers::ControlDoor,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "the one place where everything comes together")]
    fn new(
        config: Config,
        clock: Clock,
        map: ShardMap,
        (control, thread): (Arc<Entries>, &ControlThread),
        catalog: Arc<Catalog>,
        silent_until: Mono,
        senders: Vec<Sender<ToCore>>,
        format: Format,
        descriptors: u64,
        extra: Option<Extra>,
    ) -> Result<Arc<Self>, StartError> {
        let specs = translate::tenants(&config, &control);
        let tenants = Arc::new(http::auth::Tenants::new(specs, &translate::recipients(&config.recipients)));
        let snapshots = Arc::new(feed::Snapshots::new(senders.len(), Arc::clone(&catalog), Arc::clone(&tenants)));
        let certificates = snapshots.certificates.clone();
        certificates.put(certificates::look(&config));
        let tls = config.http.tls.as_ref().map(tls::server).transpose().map_err(StartError::Config)?;
        let board = Arc::new(StatusBoard::new(map.shards()));
        let steps = Steps::new(senders.len());
        let resolver = Resolver::start(clock).map_err(|error| StartError::System("threads for names".into(), error))?;
        let backup = backup::starter(backup::Source {
            format,
            cores: senders.clone(),
            shard_cores: catalog.shard_cores.clone(),
            control: Arc::clone(thread.published()),
        });
        Ok(Arc::new(Self {
            config,
            clock,
            map,
            control,
            catalog,
            board,
            snapshots,
            silent_until,
            resolver,
            senders,
            steps,
            tls,
            certificates,
            tenants,
            hash_seed: stentor_core::model::prng::mix(format.created),
            scribe: Scribe::default(),
            descriptors,
            extra,
            backup,
            published: Arc::clone(thread.published()),
            control_door: thread.door(),
        }))
    }
}

impl Shared {
    /// The HTTP limits of one core: as configured, but no more connections than there are descriptors for.
    fn http_limits(&self, config: &Config) -> http::Limits {
        let cores = self.senders.len() as u64;
        let allowed = share_out(self.descriptors, config, self.senders.len(), self.map.shards())
            .map_or(0, |plan| plan.connections.div_ceil(cores) as usize);
        let limits = translate::http_limits(config);
        http::Limits { connections_max: limits.connections_max.min(allowed.max(1)), ..limits }
    }
}

/// Checks whether the configuration can be used, before anything is touched.
fn look_before(config: &Config) -> Result<(), StartError> {
    translate::check(config, "configuration").map_err(|problems| StartError::Config(problems.to_string()))?;
    starting::warn(config);
    address::ensure_free(&config.http.listen).map_err(StartError::Address)
}

/// Divides the process's descriptors among what is configured.
pub(super) fn share_out(
    limit: u64,
    config: &Config,
    cores: usize,
    shards: u8,
) -> Result<descriptors::Plan, descriptors::TooFew> {
    let needs = descriptors::Needs {
        cores: cores as u64,
        listeners: (config.http.listen.len() + usize::from(config.node.admin_socket.is_some())) as u64,
        stores: u64::from(shards) + 1,
        binds: config.carriers.iter().map(|carrier| u64::from(carrier.binds)).sum(),
        connections: config.http.connections_max.into(),
    };
    descriptors::share_out(limit, &needs)
}

/// Number of executors.
pub(super) fn executors(config: &Config) -> usize {
    config.node.cores.map_or_else(cpus, usize::from).clamp(1, 255)
}

/// Number of shards of a data directory that is created now.
pub(super) fn shards_of_new(config: &Config, cores: usize) -> usize {
    config.node.shards.map_or(cores.min(SHARDS_AUTO_MAX), usize::from)
}

/// CPUs that this process may use.
pub(super) fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn open_directory(config: &Config, shards: usize) -> Result<DataDirectory, StartError> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let explicit = config.node.shards.is_some();
    let wanted = Format { version: FORMAT_VERSION, node: config.node.id, shards: shards as u16, created };
    match DataDirectory::open(&config.node.data_dir, wanted) {
        Err(directory::Refusal::Shards { found, .. }) if !explicit => {
            let wanted = Format { shards: found, ..wanted };
            DataDirectory::open(&config.node.data_dir, wanted).map_err(StartError::Data)
        }
        opened => opened.map_err(StartError::Data),
    }
}

/// Starts control with a number for every name of the configuration, and a new version for this configuration.
fn start_control(
    directory: &DataDirectory,
    config: &Config,
    options: FjallOptions,
    clock: Clock,
) -> Result<(ControlThread, Arc<Entries>), StartError> {
    let control = ControlThread::start(&directory.control(), options)?;
    let changes = [translate::names(config).changes(), vec![applied(clock.now().wall)]].concat();
    let entries = control.change(changes).map_err(|refused| StartError::Config(refused.to_string()))?;
    Ok((control, entries))
}

/// Opens all shards at once, because each start may have to replay a journal.
fn open_shards(
    directory: &DataDirectory,
    shards: u8,
    options: FjallOptions,
) -> Result<(Vec<Started>, Past), StartError> {
    let begun = Instant::now();
    let opening: Vec<_> = (0..shards)
        .map(|shard| {
            let path = directory.shard(u16::from(shard));
            thread::spawn(move || -> Result<Started, StartError> {
                let started = fjall_start::start(&path, options).map_err(StartError::Store)?;
                let opened = &started.opened;
                if opened.journals.torn.is_some() || !opened.runs_deleted.is_empty() {
                    tracing::warn!(shard, ?opened, "the last stop was not clean; the store is complete");
                }
                Ok(started)
            })
        })
        .collect();
    let opened = opening.into_iter().map(|thread| {
        thread.join().unwrap_or_else(|_| Err(StartError::Config("a store panicked while opening".into())))
    });
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    let past = Past::of(&opened, begun.elapsed());
    Ok((opened, past))
}

/// Starts the threads of each store; returns what each core is given.
fn start_storages(
    opened: Vec<Started>,
    map: ShardMap,
    directory: &DataDirectory,
    cores: &[Sender<ToCore>],
) -> Result<(Vec<Seats>, Vec<Threads>), StartError> {
    let mut threads = Vec::new();
    let mut seats: Vec<Seats> = cores.iter().map(|_| Vec::new()).collect();
    for (number, shard) in opened.into_iter().enumerate() {
        let id = ShardId(number as u8);
        let core = usize::from(map.core_of(id).0);
        let (storage, pair) = start_storage(id, shard.store, shard.mark, directory.quarantine(), cores[core].clone())?;
        threads.push(pair);
        seats[core].push((id, shard.found, storage));
    }
    Ok((seats, threads))
}

fn start_storage(
    id: ShardId,
    store: FjallStore,
    mark: HighWaterFile,
    quarantine: PathBuf,
    core: Sender<ToCore>,
) -> Result<(Storage, Threads), StartError> {
    let answer = move |stored| {
        let mut item = ToCore::Node(NodeEvent::Shard(id, stored));
        while let Err(mesh::Full(back)) = core.try_push(item) {
            item = back;
            thread::sleep(std::time::Duration::from_micros(200));
        }
    };
    storage::start(id, store, mark, quarantine, answer)
        .map_err(|error| StartError::System("storage thread".into(), error))
}

type Seats = Vec<(ShardId, Recovery, Storage)>;

/// The cores that run.
struct Cores {
    handles: Vec<CoreHandle>,
    addresses: Vec<SocketAddr>,
    admin: Option<AdminSocket>,
    found: Found,
}

fn start_cores(
    shared: &Arc<Shared>,
    io: Io,
    inboxes: Vec<Inbox<ToCore>>,
    seats: Vec<Seats>,
) -> Result<Cores, StartError> {
    let pinned = shared.senders.len() == cpus();
    let hearts: Vec<watchdog::Heartbeat> = inboxes.iter().map(|_| watchdog::Heartbeat::default()).collect();
    watchdog::watch(shared.clock, hearts.clone()).map_err(|error| StartError::System("watchdog".into(), error))?;
    let mut handles = Vec::new();
    let (mut addresses, mut found) = (Vec::new(), Found::default());
    // If the port is 0, the first core chooses one; the others must bind the same.
    let mut listen = shared.config.http.listen.clone();
    // Opening the stores may have taken a while, so the addresses are checked again.
    address::ensure_free(&listen).map_err(StartError::Address)?;
    let (mut admin, file) = seats::open_admin_socket(shared.config.node.admin_socket.as_deref())?.unzip();
    for (number, (inbox, seats)) in inboxes.into_iter().zip(seats).enumerate() {
        let (commands, told) = mpsc::channel();
        let (ready, listening) = mpsc::sync_channel(1);
        let executor = Executor {
            io,
            core: CoreId(number as u8),
            cpu: pinned.then_some(number),
            clock: shared.clock,
            heart: hearts[number].clone(),
        };
        let number = number as u8;
        let Shared { config, control, silent_until, map, resolver, .. } = &**shared;
        let links =
            translate::links(config, control, number, *silent_until, *map, resolver).map_err(StartError::Config)?;
        let (shared, listen_here, admin) = (Arc::clone(shared), listen.clone(), admin.take());
        let given = CoreGiven { shared, number, inbox, seats, links, listen: listen_here, admin };
        let running = executor.start(move || core_main(given, ready, told)).map_err(StartError::Executor)?;
        let bound = listening.recv().map_err(|_| StartError::Config("an executor ended at its start".into()))?;
        let (bound, seated) = bound?;
        listen.clone_from(&bound);
        addresses = bound;
        found += seated;
        handles.push(CoreHandle { running, commands });
    }
    Ok(Cores { handles, addresses, admin: file, found })
}

/// What the start of one core needs.
struct CoreGiven {
    shared: Arc<Shared>,
    number: u8,
    inbox: Inbox<ToCore>,
    seats: Seats,
    links: Vec<(link::Options, Dial)>,
    listen: Vec<SocketAddr>,
    /// The listening admin socket; only one core has it.
    admin: Option<OwnedFd>,
}

async fn core_main(
    given: CoreGiven,
    ready: mpsc::SyncSender<Result<(Vec<SocketAddr>, Found), StartError>>,
    told: mpsc::Receiver<Command>,
) {
    let CoreGiven { shared, number, inbox, seats, links, listen, admin } = given;
    let (listeners, bound) = match bind(&listen, admin) {
        Ok(listeners) => listeners,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let door = open_door(&shared, number);
    let core = seat_core(&shared, number, seats, links, &door);
    let found = Found::of(&core);
    let metrics = Rc::new(RefCell::new(Metrics::default()));
    let mut options = translate::http_options(
        &shared.config,
        Arc::clone(&shared.tenants),
        shared.hash_seed,
        Arc::clone(&shared.catalog),
        shared.map,
        door,
        Arc::clone(&shared.board),
        Rc::new({
            let scribe = shared.scribe.clone();
            move || Box::pin(scribe.clone().ask())
        }),
        shared.extra.clone(),
    );
    options.observe = Some(exposition::observer(&metrics));
    options.backup = Some(Arc::clone(&shared.backup));
    options.control = Some(shared.control_door.clone());
    let api = Rc::new(http::Api::new(options));
    let limits = shared.http_limits(&shared.config);
    let server = Rc::new(Server::start(listeners, shared.tls.clone(), Rc::clone(&api), limits));
    server.set_weights(translate::weights(&shared.config, &shared.control));
    let _ = ready.send(Ok((bound, found)));
    executor::spawn(
        OnPanic::Abort,
        "feed",
        feed::run(
            Rc::clone(&core),
            number,
            Arc::clone(&shared.board),
            Arc::clone(&shared.snapshots),
            Rc::clone(&server),
            metrics,
            (number == 0).then(|| shared.resolver.clone()),
        ),
    );
    executor::spawn(OnPanic::Abort, "ending", {
        let (core, steps, own) = (Rc::clone(&core), shared.steps.clone(), shared.senders[usize::from(number)].clone());
        let drain_ns = shared.config.node.drain_timeout_ms * 1_000_000;
        let shared = Arc::clone(&shared);
        async move {
            loop {
                match told.try_recv() {
                    Ok(Command::End) | Err(mpsc::TryRecvError::Disconnected) => break,
                    Ok(command) => carry_out(command, &shared, &core, &api, &server),
                    Err(mpsc::TryRecvError::Empty) => executor::sleep(COMMANDS).await,
                }
            }
            ending::end(core, server, own, steps, drain_ns).await;
        }
    });
    core.run(inbox).await;
}

/// All listeners of a core, and the addresses of those that have one.
fn bind(listen: &[SocketAddr], admin: Option<OwnedFd>) -> Result<(Vec<Listener>, Vec<SocketAddr>), StartError> {
    let bind = |address: &SocketAddr| Listener::bind(*address).map_err(|error| address::refused(*address, error));
    let mut listeners: Vec<Listener> =
        listen.iter().map(bind).collect::<Result<_, _>>().map_err(StartError::Address)?;
    let bound = listeners.iter().map(Listener::address).collect();
    let admin = admin.map(Listener::local).transpose();
    listeners.extend(admin.map_err(|error| StartError::System("node.admin_socket".into(), error))?);
    Ok((listeners, bound))
}
