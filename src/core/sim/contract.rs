//! Turns the plan into what the real code is told: the catalog and the settings of shards and links. A mutant's wrong
//! setting is applied here; the oracle uses the plan.

use std::sync::Arc;

use crate::delivery::DoubtPolicy;
use crate::limit::LimitTable;
use crate::link::{Account, Options as LinkOptions};
use crate::mesh::ShardMap;
use crate::model::{CarrierId, Class, GroupId, LinkId, Mono, RouteId, ShardId};
use crate::routing::{Condition, Route, RouteTable, Way};
use crate::shard::{Catalog, CatalogCarrier, Options as ShardOptions};
use stentor_smpp::receipt_id::Dialect;
use stentor_smpp::split::CarrierText;

use super::mutants::Mutant;
use super::plan::{CarrierPlan, Plan};

/// The id of the carrier with this index.
pub const fn carrier_id(at: usize) -> CarrierId {
    CarrierId(at as u16 + 1)
}

/// The group of the carrier with this index.
pub const fn group_id(at: usize) -> GroupId {
    GroupId(at as u16 + 1)
}

/// The route over only the carrier with this index; the id after the last of them is the route over all carriers.
pub const fn route_id(at: usize) -> RouteId {
    RouteId(at as u16 + 1)
}

/// The catalog that every shard is given.
pub fn catalog(plan: &Plan, mutant: Option<Mutant>) -> Catalog {
    let dialect = |carrier: &CarrierPlan| match mutant {
        Some(Mutant::IgnoreDialect) => Dialect::untold(),
        _ => carrier.spelling.dialect(carrier.behaviour.id_dialect),
    };
    let way = |at| Way { carrier: carrier_id(at), weight: 1 };
    let route = |at: usize, ways| Route { id: route_id(at), name: format!("r{at}"), when: Condition::default(), ways };
    let mut routes: Vec<_> = (0..plan.carriers.len()).map(|at| route(at, vec![way(at)])).collect();
    if plan.shared_route {
        routes.push(route(routes.len(), (0..plan.carriers.len()).map(way).collect()));
    }
    let carriers = plan.carriers.iter().enumerate();
    let map = ShardMap::new(plan.shards, plan.cores);
    Catalog {
        version: 1,
        routes: RouteTable { routes },
        carriers: carriers
            .map(|(at, carrier)| CatalogCarrier {
                id: carrier_id(at),
                name: format!("c{at}"),
                group: group_id(at),
                home: carrier.home,
                dialect: dialect(carrier),
                is_queried: carrier.query.is_some(),
                ..CatalogCarrier::default()
            })
            .collect(),
        shard_cores: (0..plan.shards).map(|shard| map.core_of(ShardId(shard)).0).collect(),
        limits: Arc::new(LimitTable { rules: plan.limits().to_vec() }),
        numbering: None,
    }
}

/// The catalog without the route over all carriers: messages for it are rerouted over the first route whose
/// carrier is not absent.
pub fn catalog_without_shared(plan: &Plan, mutant: Option<Mutant>) -> Catalog {
    let mut catalog = catalog(plan, mutant);
    let routes = &mut catalog.routes.routes;
    if mutant == Some(Mutant::RouteUnheard) {
        // No link takes what waits for the route, and the shards are not told that the route is gone.
        routes.iter_mut().skip(plan.carriers.len()).for_each(|route| route.ways.clear());
        return catalog;
    }
    routes.truncate(plan.carriers.len());
    routes.sort_by_key(|route| plan.is_absent(usize::from(route.id.0) - 1));
    catalog
}

/// The catalog without one carrier and the route over it alone.
pub fn leave_out(mut catalog: Catalog, carrier: usize) -> Catalog {
    let id = carrier_id(carrier);
    catalog.carriers.retain(|known| known.id != id);
    catalog.routes.routes.iter_mut().for_each(|route| route.ways.retain(|way| way.carrier != id));
    catalog.routes.routes.retain(|route| !route.ways.is_empty());
    catalog
}

/// The settings of one shard.
pub fn shard_options(plan: &Plan, shard: ShardId, hash_seed: u64, mutant: Option<Mutant>) -> ShardOptions {
    let mut options = ShardOptions { shard, shards: plan.shards, hash_seed, ..plan.shard.clone() };
    if mutant == Some(Mutant::IgnorePolicy) {
        options.doubt = Class::ALL.map(|_| DoubtPolicy::Resend);
    }
    if mutant == Some(Mutant::UncountDoubts) {
        options.doubts_max = u8::MAX;
    }
    if mutant == Some(Mutant::HalveKeys) {
        options.key_window_ms /= 2;
    }
    options
}

/// The settings of every link, each with the index of its carrier.
pub fn links(plan: &Plan, map: ShardMap, silent_until: Mono, mutant: Option<Mutant>) -> Vec<(usize, LinkOptions)> {
    let mut links = Vec::new();
    for (at, carrier) in plan.carriers.iter().enumerate() {
        let cores = carrier.home.map_or(0..plan.cores, |home| home..home + 1);
        for core in cores {
            let link = LinkId { carrier: carrier_id(at), core };
            links.push((at, link_options(carrier, at, link, map, silent_until, (plan, mutant))));
        }
    }
    links
}

fn link_options(
    plan: &CarrierPlan,
    at: usize,
    link: LinkId,
    map: ShardMap,
    silent_until: Mono,
    (world, mutant): (&Plan, Option<Mutant>),
) -> LinkOptions {
    let exceeds = |which| mutant == Some(which);
    LinkOptions {
        account: Account { system_id: b"stentor".to_vec(), password: b"secret".to_vec(), ..Account::default() },
        hosts: plan.hosts.len() as u16,
        binds_before: u16::from(link.core) * plan.binds,
        bind: plan.kind,
        binds: plan.binds,
        window: if exceeds(Mutant::ExceedWindow) { plan.window * 2 } else { plan.window },
        rate_parts_per_s: plan.rate.map(|rate| if exceeds(Mutant::DoubleRate) { rate * 2 } else { rate }),
        bind_rate_parts_per_s: plan.bind_rate,
        class_ceiling: if exceeds(Mutant::CeilingIgnored) { 100 } else { plan.class_ceiling },
        dialect: plan.spelling.dialect(plan.behaviour.id_dialect),
        text: CarrierText { splitting: plan.splitting, ..CarrierText::default() },
        query: plan.query,
        connect_timeout_ms: 3_000,
        response_timeout_ms: plan.response_timeout_ms,
        enquire_link_ms: world.kind.enquire_link_ms,
        reconnect_min_ms: 100,
        reconnect_max_ms: world.kind.reconnect_max_ms,
        silent_until,
        receipt_table_bits: 8,
        buggify_ppm: world.shard.buggify_ppm,
        ..LinkOptions::new(&format!("c{at}"), link, group_id(at), map)
    }
}
