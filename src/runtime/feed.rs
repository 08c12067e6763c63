//! Four times a second each core records the state of its shards and links: for the status board, and for scrapes of
//! the metrics. A core to which nothing happens does so once a second, for what only time changes. A lock is held for one
//! assignment.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::http::auth::Tenants;
use crate::http::{LinkError, LinkStatus, Server, ShardStatus, StatusBoard, lane_statuses};
use stentor_core::{
    link::{self, smpp::leg::LegState},
    metrics::{self, Metrics},
    model::{LimitId, LinkId, Now, ShardId},
    shard::{self, Catalog},
};

use super::{certificates::InUse, core::Core, exposition, figures::LastLook};
use crate::host::{clock::Clock, executor, resolver::Resolver};

/// Time between two records.
const PERIOD: Duration = Duration::from_millis(250);
/// The same when nothing has happened since the last [`QUIET`] records: rates, which look back a second, are 0 then.
const REST: Duration = Duration::from_secs(1);
const QUIET: u32 = 5;

/// What one core last recorded.
#[derive(Clone, Debug, Default)]
pub struct CoreSnapshot {
    pub shards: Vec<(ShardId, shard::Status)>,
    /// Its links: name, state, counters.
    pub links: Vec<(LinkId, String, link::Status, link::Counters)>,
    /// How much of each limit is used, from 0 to 1; only the core that counts says so.
    pub limits: Vec<(LimitId, f64)>,
    /// The metrics of its HTTP server.
    pub metrics: metrics::Snapshot,
    /// Panics that ended a task but not the process.
    pub panics: u64,
}

/// What all cores last recorded, by core.
#[derive(Debug)]
pub struct Snapshots {
    cores: Vec<Mutex<CoreSnapshot>>,
    /// The catalog that names routes and carriers in the metrics.
    catalog: Mutex<Arc<Catalog>>,
    /// The tenants, which are named in the metrics too.
    tenants: Mutex<Arc<Tenants>>,
    /// The process's figures.
    pub process: LastLook,
    /// The certificates in use.
    pub certificates: InUse,
}

impl Snapshots {
    /// Empty records for this many cores.
    pub fn new(cores: usize, catalog: Arc<Catalog>, tenants: Arc<Tenants>) -> Self {
        Self {
            cores: (0..cores).map(|_| Mutex::default()).collect(),
            catalog: Mutex::new(catalog),
            tenants: Mutex::new(tenants),
            process: LastLook::default(),
            certificates: InUse::default(),
        }
    }

    /// The current catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the catalog.
    pub fn publish(&self, catalog: Arc<Catalog>) {
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = catalog;
    }

    /// Replaces the tenants.
    pub fn publish_tenants(&self, tenants: Arc<Tenants>) {
        *self.tenants.lock().unwrap_or_else(PoisonError::into_inner) = tenants;
    }

    fn tenants(&self) -> Arc<Tenants> {
        Arc::clone(&self.tenants.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Copies of all records, by core.
    pub fn all(&self) -> Vec<CoreSnapshot> {
        self.cores.iter().map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    fn put(&self, core: u8, snapshot: CoreSnapshot) {
        if let Some(place) = self.cores.get(usize::from(core)) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        }
    }
}

/// Writes the answer to `GET /metrics`.
pub fn renderer(board: Arc<StatusBoard>, snapshots: Arc<Snapshots>, clock: Clock) -> impl Fn() -> String {
    move || {
        let (figures, ends) = (snapshots.process.figures(), snapshots.certificates.ends());
        let (catalog, tenants) = (snapshots.catalog(), snapshots.tenants());
        exposition::render(&snapshots.all(), &board, &catalog, &tenants, &figures, &ends, clock.now())
    }
}

/// Records until the core ends. One core also records `names`, which belongs to the whole process.
pub async fn run(
    core: Rc<Core>,
    number: u8,
    board: Arc<StatusBoard>,
    snapshots: Arc<Snapshots>,
    server: Rc<Server>,
    metrics: Rc<RefCell<Metrics>>,
    names: Option<Resolver>,
) {
    let (mut turns, mut quiet) = (0, 0);
    loop {
        // A core that has nothing to do learns here that the wall clock was set.
        core.follow_clock();
        let now = executor::now();
        let (panics, limits) = (executor::panics_survived(), core.limits_used());
        let mut snapshot = CoreSnapshot { panics, limits, ..CoreSnapshot::default() };
        metrics.borrow().fill(&mut snapshot.metrics);
        exposition::door(&mut snapshot.metrics, server.open(), &server.counters(), &server.memory());
        names.iter().for_each(|names| exposition::names(&mut snapshot.metrics, names.counters()));
        executor::polls(|polls| exposition::polls(&mut snapshot.metrics, number, polls));
        // One shard or link at a time: counting a ledger takes time, and there may be hundreds of links.
        let mut look_at_shard = |id, shard: &shard::Shard| {
            let status = shard.status();
            board.put_shard(id, shard_status(shard, &status));
            snapshot.shards.push((id, status));
        };
        let mut place = 0;
        while core.visit_shard(place, &mut look_at_shard).is_some() {
            place += 1;
            executor::breathe().await;
        }
        let mut look_at_link = |id, link: &mut link::Link| {
            let status = link.status(now.mono);
            board.put_link(link_status(id, &status, link.counters(), now));
            snapshot.links.push((id, link.name().to_owned(), status, link.counters().clone()));
        };
        let mut place = 0;
        while core.visit_link(place, &mut look_at_link).is_some() {
            place += 1;
            executor::breathe().await;
        }
        let links: Vec<_> = snapshot.links.iter().map(|(id, ..)| *id).collect();
        board.keep_links(number, &links);
        snapshots.put(number, snapshot);
        quiet = if core.turns() == turns { quiet + 1 } else { 0 };
        turns = core.turns();
        executor::sleep(if quiet < QUIET { PERIOD } else { REST }).await;
    }
}

fn shard_status(shard: &shard::Shard, status: &shard::Status) -> ShardStatus {
    ShardStatus {
        lanes: lane_statuses(&status.lanes),
        scheduled: status.scheduled,
        in_flight: status.open,
        in_doubt: status.doubts,
        awaiting_receipt: status.receipts_waiting,
        restored: shard.restored(),
    }
}

fn link_status(id: LinkId, status: &link::Status, counters: &link::Counters, now: Now) -> LinkStatus {
    LinkStatus {
        link: id,
        binds: status.binds.iter().filter(|bind| bind.state == LegState::Bound).count() as u16,
        binds_wanted: status.binds.len() as u16,
        window_used: status.outstanding,
        window: status.window,
        prepared: status.prepared,
        rate: status.rate_now,
        rate_allowed: status.rate_allowed,
        accepted: counters.accepted,
        refused: counters.statuses.clone(),
        receipts: counters.receipts,
        state: status.state,
        last_error: status.last_trouble.as_ref().map(|last| LinkError {
            at: last.at,
            host: last.peer.clone(),
            what: last.said(),
        }),
        since: status.since,
        next_try_at: status.next_try_ms.map(|ms| now.wall.after_ms(ms)),
    }
}
