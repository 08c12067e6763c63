//! The status of shards and links as the API shows it: each writes its own about four times a second, the requests of any core
//! read it. Knows no shard and no link; a lock is held for one copy, never across a wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use stentor_core::{
    link::LinkState,
    model::{CarrierId, Class, Lane, LinkId, RouteId, ShardId, TenantId, Wall},
    shard::{Catalog, RestoredStatus},
};
use stentor_smpp::status::CommandStatus;

use super::json::{Object, push_number};

/// Most tenants shown for each class and route: those with the most messages.
const TENANTS_SHOWN_MAX: usize = 50;

/// Messages that wait together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many are ready to be sent.
    pub depth: u64,
    /// When the oldest of them was accepted.
    pub oldest_at: Option<Wall>,
}

impl Waiting {
    fn add(&mut self, other: Self) {
        self.depth += other.depth;
        self.oldest_at = self.oldest_at.into_iter().chain(other.oldest_at).min();
    }
}

/// The messages of one class and route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneStatus {
    /// All of them.
    pub all: Waiting,
    /// Those of each tenant; at most [`TENANTS_SHOWN_MAX`], the ones with the most messages.
    pub tenants: BTreeMap<TenantId, Waiting>,
}

impl LaneStatus {
    /// Keeps the tenants with the most messages.
    fn cut(&mut self) {
        if self.tenants.len() > TENANTS_SHOWN_MAX {
            let mut depths: Vec<_> = self.tenants.iter().map(|(tenant, waiting)| (waiting.depth, *tenant)).collect();
            depths.sort_unstable();
            for (_, tenant) in &depths[..depths.len() - TENANTS_SHOWN_MAX] {
                self.tenants.remove(tenant);
            }
        }
    }
}

/// By class and route.
pub type LaneStatuses = BTreeMap<(Class, RouteId), LaneStatus>;

/// Sums what a shard says about its lanes.
pub fn lane_statuses(lanes: &[(Lane, u64, Option<Wall>)]) -> LaneStatuses {
    let mut statuses = LaneStatuses::new();
    for (lane, depth, oldest_at) in lanes {
        let waiting = Waiting { depth: *depth, oldest_at: *oldest_at };
        let status = statuses.entry((lane.class, lane.route)).or_default();
        status.all.add(waiting);
        status.tenants.entry(lane.tenant).or_default().add(waiting);
    }
    statuses.values_mut().for_each(LaneStatus::cut);
    statuses
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStatus {
    /// What waits in its lanes.
    pub lanes: LaneStatuses,
    /// Messages that wait for their `send_at` or for the end of a back-off.
    pub scheduled: u64,
    /// Attempts without a response yet.
    pub in_flight: u64,
    /// Attempts whose outcome is unknown.
    pub in_doubt: u64,
    /// Messages that the carrier accepted and whose delivery receipt is missing.
    pub awaiting_receipt: u64,
    /// State of the backup that it was restored from; `None` if it was not restored.
    pub restored: Option<RestoredStatus>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    pub link: LinkId,
    /// Sessions that are bound.
    pub binds: u16,
    /// Sessions that the configuration asks for.
    pub binds_wanted: u16,
    /// Parts that wait for a response, over all binds.
    pub window_used: u32,
    /// The most parts that may wait for a response, over all binds.
    pub window: u32,
    /// Messages that shards handed over and that are not written yet.
    pub prepared: u32,
    /// Parts written in the last second.
    pub rate: u32,
    /// Parts allowed per second; `None`: no limit.
    pub rate_allowed: Option<u32>,
    /// Parts that the carrier accepted since the start.
    pub accepted: u64,
    /// Refusals since the start, by command status.
    pub refused: Vec<(u32, u64)>,
    /// Delivery receipts since the start.
    pub receipts: u64,
    /// Whether the link sends, and why not.
    pub state: LinkState,
    /// The last error of one of its connections.
    pub last_error: Option<LinkError>,
    /// Since when it has had a bind, or had none.
    pub since: Wall,
    /// When a connection is tried next; `None` if none waits for that.
    pub next_try_at: Option<Wall>,
}

/// An error of one of a link's connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkError {
    pub at: Wall,
    /// Host and port of the connection.
    pub host: String,
    /// The error in words.
    pub what: String,
}

/// The disk that holds the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStatus {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Below this many free bytes, new messages are refused.
    pub floor_bytes: u64,
    /// New messages are refused now.
    pub is_full: bool,
    /// The ballast file was released: free space is nearly used up even below the floor.
    pub ballast_gone: bool,
}

impl DiskStatus {
    fn reason(&self) -> Option<String> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let text =
            || format!("disk_full: {:.1} MiB free, floor {:.1} MiB", mib(self.free_bytes), mib(self.floor_bytes));
        self.is_full.then(text)
    }
}

/// The latest status of everything. One for the process. See the head of this file.
#[derive(Debug)]
pub struct StatusBoard {
    shards: Vec<Mutex<ShardStatus>>,
    links: Mutex<BTreeMap<LinkId, LinkStatus>>,
    unready: Mutex<Vec<String>>,
    disk: Mutex<DiskStatus>,
}

impl StatusBoard {
    /// A board of empty shards; not ready, because the daemon is starting.
    pub fn new(shards: u8) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            links: Mutex::default(),
            unready: Mutex::new(vec!["starting".to_owned()]),
            disk: Mutex::default(),
        }
    }

    /// Called by the shard.
    pub fn put_shard(&self, shard: ShardId, status: ShardStatus) {
        if let Some(place) = self.shards.get(usize::from(shard.0)) {
            *lock(place) = status;
        }
    }

    /// Called by the link.
    pub fn put_link(&self, status: LinkStatus) {
        lock(&self.links).insert(status.link, status);
    }

    /// Forgets the links of a core that it has no more, as after a reload. `links` are those that it has.
    pub fn keep_links(&self, core: u8, links: &[LinkId]) {
        lock(&self.links).retain(|link, _| link.core != core || links.contains(link));
    }

    /// Stores the last measurement of the disk.
    pub fn put_disk(&self, status: DiskStatus) {
        *lock(&self.disk) = status;
    }

    /// The last measurement of the disk.
    pub fn disk(&self) -> DiskStatus {
        *lock(&self.disk)
    }

    /// Sets why the process cannot take messages now; empty: it can, as long as the disk is not full.
    pub fn set_unready(&self, reasons: Vec<String>) {
        *lock(&self.unready) = reasons;
    }

    /// Why no messages can be taken now; empty: ready.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = lock(&self.unready).clone();
        reasons.extend(self.disk().reason());
        reasons
    }

    /// Every shard, in the order of their numbers.
    pub fn shards(&self) -> Vec<ShardStatus> {
        self.shards.iter().map(|shard| lock(shard).clone()).collect()
    }

    /// Every link.
    pub fn links(&self) -> Vec<LinkStatus> {
        lock(&self.links).values().cloned().collect()
    }

    /// `GET /readyz`: writes the document; returns whether the daemon is ready.
    pub fn write_ready(&self, out: &mut Vec<u8>) -> bool {
        let reasons = self.unready();
        let mut object = Object::begin(out);
        object.truth("ready", reasons.is_empty());
        object.list("reasons", &reasons, |out, reason| super::json::push_text(out, reason));
        object.end();
        reasons.is_empty()
    }

    /// `GET /v1/queues`. `name_of`: a tenant's name; empty if it has none.
    pub fn write_queues<'n>(
        &self,
        catalog: &Catalog,
        name_of: impl Fn(TenantId) -> &'n str,
        now: Wall,
        out: &mut Vec<u8>,
    ) {
        let shards = self.shards();
        let mut lanes = LaneStatuses::new();
        for (lane, status) in shards.iter().flat_map(|shard| &shard.lanes) {
            let sum = lanes.entry(*lane).or_default();
            sum.all.add(status.all);
            status.tenants.iter().for_each(|(tenant, waiting)| sum.tenants.entry(*tenant).or_default().add(*waiting));
        }
        lanes.values_mut().for_each(LaneStatus::cut);
        let rates = self.rates();
        let sum = |of: fn(&ShardStatus) -> u64| shards.iter().map(of).sum::<u64>();
        let age = |waiting: &Waiting| waiting.oldest_at.map(|at| now.since(at));
        let mut object = Object::begin(out);
        object.number("depth", lanes.values().map(|status| status.all.depth).sum::<u64>());
        object.number("scheduled", sum(|shard| shard.scheduled)).number("in_flight", sum(|shard| shard.in_flight));
        object.number("in_doubt", sum(|shard| shard.in_doubt));
        object.number("awaiting_receipt", sum(|shard| shard.awaiting_receipt));
        object.list("lanes", &lanes, |out, ((class, route), status)| {
            let ahead = depth_ahead(&lanes, *class, *route);
            let rate = rate_over(&rates, catalog, *route);
            let mut item = Object::begin(out);
            item.text("class", class.name()).text("route", catalog.routes.get(*route).map_or("", |r| &r.name));
            item.number("depth", status.all.depth).number_or_null("oldest_age_ms", age(&status.all));
            item.number_or_null("drain_s", (rate > 0).then(|| ahead.div_ceil(rate)));
            let mut tenants: Vec<_> =
                status.tenants.iter().filter(|(tenant, _)| !name_of(**tenant).is_empty()).collect();
            tenants.sort_by_key(|(tenant, waiting)| (std::cmp::Reverse(waiting.depth), **tenant));
            if !tenants.is_empty() {
                item.list("tenants", &tenants, |out, (tenant, waiting)| {
                    let mut item = Object::begin(out);
                    item.text("tenant", name_of(**tenant)).number("depth", waiting.depth);
                    item.number_or_null("oldest_age_ms", age(waiting));
                    item.end();
                });
            }
            item.end();
        });
        object.end();
    }

    /// `GET /v1/carriers`.
    pub fn write_carriers(&self, catalog: &Catalog, out: &mut Vec<u8>) {
        let links = self.links();
        let mut object = Object::begin(out);
        object.list("carriers", &catalog.carriers, |out, carrier| {
            let own: Vec<_> = links.iter().filter(|status| status.link.carrier == carrier.id).collect();
            write_carrier(&carrier.name, &own, out);
        });
        object.end();
    }

    fn rates(&self) -> BTreeMap<CarrierId, u64> {
        let mut rates = BTreeMap::new();
        for status in self.links() {
            *rates.entry(status.link.carrier).or_default() += u64::from(status.rate);
        }
        rates
    }
}

/// Messages that leave before the last one of a class and route: these, and those of the route's more urgent classes.
fn depth_ahead(lanes: &LaneStatuses, class: Class, route: RouteId) -> u64 {
    let ahead = Class::ALL.into_iter().filter(|own| *own <= class);
    ahead.filter_map(|own| lanes.get(&(own, route))).map(|status| status.all.depth).sum()
}

/// Parts per second that all carriers of a route send together.
fn rate_over(rates: &BTreeMap<CarrierId, u64>, catalog: &Catalog, route: RouteId) -> u64 {
    let ways = catalog.routes.get(route).map_or(&[][..], |route| &route.ways);
    ways.iter().filter_map(|way| rates.get(&way.carrier)).sum()
}

fn write_carrier(name: &str, links: &[&LinkStatus], out: &mut Vec<u8>) {
    let sum = |of: fn(&LinkStatus) -> u64| links.iter().map(|link| of(link)).sum::<u64>();
    let mut refused: BTreeMap<u32, u64> = BTreeMap::new();
    for (status, count) in links.iter().flat_map(|link| &link.refused) {
        *refused.entry(*status).or_default() += count;
    }
    let limited = !links.is_empty() && links.iter().all(|link| link.rate_allowed.is_some());
    let mut item = Object::begin(out);
    item.text("name", name).number("binds", sum(|link| link.binds.into()));
    item.number("binds_wanted", sum(|link| link.binds_wanted.into()));
    item.number("window_used", sum(|link| link.window_used.into())).number("window", sum(|link| link.window.into()));
    item.number("prepared", sum(|link| link.prepared.into())).number("rate", sum(|link| link.rate.into()));
    let allowed = sum(|link| link.rate_allowed.unwrap_or_default().into());
    item.number_or_null("rate_allowed", limited.then_some(allowed));
    item.number("accepted", sum(|link| link.accepted)).number("receipts", sum(|link| link.receipts));
    item.list("refused", &refused, |out, (status, count)| {
        let mut entry = Object::begin(out);
        entry.text("status", &format!("0x{status:08X}")).text("name", CommandStatus(*status).name().unwrap_or(""));
        push_number(entry.value("count"), *count);
        entry.end();
    });
    item.list("held_by", held_by(links), |out, reason| super::json::push_text(out, reason.name()));
    match links.iter().filter_map(|link| link.last_error.as_ref()).max() {
        Some(error) => {
            let mut last = Object::begin(item.value("last_error"));
            last.time("at", error.at).text("host", &error.host).text("what", &error.what);
            last.end();
        }
        None => drop(item.null("last_error")),
    }
    // With several links: since the last one changed.
    match links.iter().map(|link| link.since).max().filter(|since| since.0 > 0) {
        Some(since) => item.time("since", since),
        None => item.null("since"),
    };
    match links.iter().filter_map(|link| link.next_try_at).min() {
        Some(at) => item.time("next_try_at", at),
        None => item.null("next_try_at"),
    };
    item.end();
}

/// Why links send nothing, each reason once. `Down` does not count while another link is not down: shards use that one.
fn held_by(links: &[&LinkStatus]) -> BTreeSet<LinkState> {
    let mut states: BTreeSet<_> = links.iter().map(|link| link.state).collect();
    states.remove(&LinkState::Up);
    if links.iter().any(|link| link.state != LinkState::Down) {
        states.remove(&LinkState::Down);
    }
    states
}

/// A poisoned lock still holds a complete value, because its holders only assign.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use stentor_core::{
        model::{GroupId, SetNumber},
        routing::{Condition, Route, RouteTable, Way},
        shard::CatalogCarrier,
    };

    fn catalog() -> Catalog {
        let carrier = CatalogCarrier {
            id: CarrierId(4),
            name: "north".to_owned(),
            group: GroupId(0),
            home: None,
            ..CatalogCarrier::default()
        };
        let ways = vec![Way { carrier: CarrierId(4), weight: 1 }];
        let route = Route { id: RouteId(2), name: "all".to_owned(), when: Condition::default(), ways };
        Catalog { routes: RouteTable { routes: vec![route] }, carriers: vec![carrier], ..Catalog::default() }
    }

    fn lane_of(class: Class, tenant: u32) -> Lane {
        Lane { class, route: RouteId(2), tenant: TenantId(tenant), set: SetNumber::NONE }
    }

    fn board() -> StatusBoard {
        let board = StatusBoard::new(2);
        let lane = |class, tenant, depth, at: u64| (lane_of(class, tenant), depth, Some(Wall(at)));
        let lanes = lane_statuses(&[lane(Class::Otp, 1, 50, 900), lane(Class::Marketing, 1, 100, 400)]);
        board.put_shard(ShardId(0), ShardStatus { lanes, scheduled: 3, ..ShardStatus::default() });
        let lanes = lane_statuses(&[lane(Class::Marketing, 1, 40, 500), lane(Class::Marketing, 2, 60, 300)]);
        board.put_shard(ShardId(1), ShardStatus { lanes, in_doubt: 1, ..ShardStatus::default() });
        for core in 0..2 {
            let link = LinkId { carrier: CarrierId(4), core };
            let refused = vec![(0x58, 2)];
            board.put_link(LinkStatus { link, binds: 1, binds_wanted: 1, rate: 10, refused, ..LinkStatus::default() });
        }
        board
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn queues_are_summed_by_class_and_route_and_by_tenant() {
        let shown = |names: fn(TenantId) -> &'static str| {
            written(|out| board().write_queues(&catalog(), names, Wall(1_000), out))
        };
        let queues = shown(|tenant| ["", "shop", "bank"][tenant.0 as usize]);
        let tenant = |name, depth, age| json!({"tenant": name, "depth": depth, "oldest_age_ms": age});
        let lane = |class, depth, age, drain, tenants| {
            json!({"class": class, "route": "all", "depth": depth, "oldest_age_ms": age, "drain_s": drain,
                "tenants": tenants})
        };
        let otp = lane("otp", 50, 100, 3, json!([tenant("shop", 50, 100)]));
        let most_first = json!([tenant("shop", 140, 600), tenant("bank", 60, 700)]);
        let marketing = lane("marketing", 200, 700, 13, most_first);
        assert_eq!(shown(|_| "")["lanes"][0].get("tenants"), None, "without tenants");
        assert_eq!(queues["lanes"], json!([otp, marketing]));
        assert_eq!([&queues["depth"], &queues["scheduled"], &queues["in_doubt"]], [250, 3, 1]);
    }

    #[test]
    fn of_many_tenants_those_with_the_most_messages_are_shown() {
        let many: Vec<_> =
            (0..1_000).map(|tenant| (lane_of(Class::Otp, tenant), u64::from(tenant) + 1, None)).collect();
        let status = lane_statuses(&many).remove(&(Class::Otp, RouteId(2))).expect("a lane");
        assert_eq!((status.all.depth, status.tenants.len()), (500_500, TENANTS_SHOWN_MAX));
        assert_eq!(status.tenants.keys().map(|tenant| tenant.0).min(), Some(950));
    }

    #[test]
    fn a_link_that_a_core_has_no_more_is_not_counted() {
        let board = board();
        board.keep_links(1, &[]);
        let carriers = written(|out| board.write_carriers(&catalog(), out));
        assert_eq!(carriers["carriers"][0]["binds"], 1);
        let kept = LinkId { carrier: CarrierId(4), core: 0 };
        board.keep_links(0, &[kept]);
        assert_eq!(board.links().iter().map(|status| status.link).collect::<Vec<_>>(), [kept]);
    }

    #[test]
    fn a_carrier_is_the_sum_of_its_links() {
        let carriers = written(|out| board().write_carriers(&catalog(), out));
        let north = &carriers["carriers"][0];
        assert_eq!((&north["name"], &north["binds"], &north["rate"]), (&json!("north"), &json!(2), &json!(20)));
        assert_eq!(north["rate_allowed"], Value::Null);
        assert_eq!(north["refused"], json!([{"status": "0x00000058", "name": "ESME_RTHROTTLED", "count": 4}]));
    }

    #[test]
    fn of_several_links_the_last_error_is_told() {
        let board = board();
        let errors = [Some((1, "the connection broke")), Some((2, "bind not answered within 10 s")), None];
        for (core, error) in (0..).zip(errors) {
            let link = LinkId { carrier: CarrierId(4), core };
            let told = |(at, what): (u64, &str)| LinkError { at: Wall(at), host: "h:1".into(), what: what.into() };
            board.put_link(LinkStatus { link, last_error: error.map(told), ..LinkStatus::default() });
        }
        let told = written(|out| board.write_carriers(&catalog(), out))["carriers"][0]["last_error"].clone();
        let last = json!({"at": "1970-01-01T00:00:00.002Z", "host": "h:1", "what": "bind not answered within 10 s"});
        assert_eq!(told, last);
    }

    #[test]
    fn a_carrier_is_as_it_is_since_its_last_link_changed_and_the_first_try_is_the_next() {
        let board = board();
        let told = || {
            let told = written(|out| board.write_carriers(&catalog(), out));
            ["since", "next_try_at"].map(|name| told["carriers"][0][name].clone())
        };
        assert_eq!(told(), [Value::Null, Value::Null]);
        for (core, (since, next)) in (0..).zip([(1, Some(9)), (2, Some(8)), (0, None)]) {
            let link = LinkId { carrier: CarrierId(4), core };
            let next_try_at = next.map(Wall);
            board.put_link(LinkStatus { link, since: Wall(since), next_try_at, ..LinkStatus::default() });
        }
        assert_eq!(told(), [json!("1970-01-01T00:00:00.002Z"), json!("1970-01-01T00:00:00.008Z")]);
    }

    #[test]
    fn a_link_without_a_bind_holds_nothing_up_beside_one_that_has_one() {
        let held_by = |states: [LinkState; 2]| {
            let board = StatusBoard::new(1);
            for (core, state) in (0..2).zip(states) {
                let link = LinkId { carrier: CarrierId(4), core };
                board.put_link(LinkStatus { link, state, ..LinkStatus::default() });
            }
            written(|out| board.write_carriers(&catalog(), out))["carriers"][0]["held_by"].clone()
        };
        let (up, down, throttled) = (LinkState::Up, LinkState::Down, LinkState::Throttled);
        assert_eq!(held_by([down, up]), json!([]));
        assert_eq!(held_by([down, down]), json!(["down"]));
        assert_eq!(held_by([throttled, down]), json!(["throttled"]));
        assert_eq!(held_by([throttled, up]), json!(["throttled"]));
    }

    #[test]
    fn readiness_has_reasons() {
        let board = StatusBoard::new(1);
        let ready = |board: &StatusBoard| written(|out| assert_eq!(board.write_ready(out), board.unready().is_empty()));
        assert_eq!(ready(&board), json!({"ready": false, "reasons": ["starting"]}));
        board.set_unready(Vec::new());
        assert_eq!(ready(&board), json!({"ready": true, "reasons": []}));
        let full = DiskStatus { free_bytes: 3 << 19, floor_bytes: 8 << 20, is_full: true, ballast_gone: false };
        board.put_disk(full);
        assert_eq!(ready(&board), json!({"ready": false, "reasons": ["disk_full: 1.5 MiB free, floor 8.0 MiB"]}));
        board.put_disk(DiskStatus { free_bytes: 9 << 20, is_full: false, ..full });
        assert_eq!(ready(&board), json!({"ready": true, "reasons": []}));
    }
}
