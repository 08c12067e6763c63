//! `GET /v1/limits`: the counters of the configuration's limits, how much of each is used and how many messages wait for it.
//! Asks the core that counts, and every shard; puts names in the place of numbers. Decides nothing.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    api::{Answered, Api, Asked, no_query, typed},
    auth::{Caller, Scope, Tenants},
    body::ResponseBody,
    json::Object,
    problem::Problem,
    submit::unexpected,
};
use crate::host::executor;
use stentor_core::{
    limit::{Counter, Per, Rule, Seen, Value},
    model::{LimitId, ShardId, Wall, Whose},
    shard::{Ask, Catalog, Reply},
};

/// Counters that are handled between two looks at the clock.
const AT_ONCE: usize = 64;
/// Estimated memory of a counter until its text is written, and of that text.
const COUNTER_BYTES: usize = 512;

/// How a counter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    used: u64,
    /// Messages that wait, in all shards.
    parked: u64,
    /// When there will be room.
    wakes_at: Option<Wall>,
}

/// A counter as it is shown. Ordered by name and value; `counter` tells apart what has the same names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown<'a> {
    limit: &'a str,
    value: Option<String>,
    counter: Counter,
}

impl Api {
    pub(super) async fn limits(self: &Rc<Self>, asked: &Asked, caller: Caller<'_>, tenants: &Tenants) -> Answered {
        no_query(asked)?;
        let _turn = self.turns.wait(caller.tenant.id()).await;
        let whose = if caller.scope >= Scope::Admin { Whose::All } else { Whose::Of(caller.tenant.id()) };
        let (catalog, room) = (self.catalog(), asked.body.claim());
        let rules: BTreeMap<LimitId, &Rule> = catalog.limits.rules.iter().map(|rule| (rule.id, rule)).collect();
        let mut standings = self.standings(&rules, whose).await?;
        if whose == Whose::All {
            // A limit for all messages together has its counter from the start.
            for rule in rules.values().filter(|rule| rule.per == Per::All) {
                standings.entry(Counter { rule: rule.id, value: Value::All }).or_default();
            }
        }
        room.grow(standings.len() * COUNTER_BYTES).await?;
        let mut shown = BTreeMap::new();
        for (place, (counter, standing)) in standings.into_iter().enumerate() {
            if let Some(rule) = rules.get(&counter.rule) {
                let value = value_name(&counter.value, &catalog, tenants);
                shown.insert(Shown { limit: &rule.name, value, counter }, (standing, rule.amount));
            }
            breathe(place).await;
        }
        let mut out = b"{\"limits\":[".to_vec();
        for (place, (counter, (standing, allowed))) in shown.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write(counter.limit, counter.value.as_deref(), standing, *allowed, &mut out);
            breathe(place).await;
        }
        out.extend_from_slice(b"]}");
        drop(shown);
        room.becomes_answer();
        room.shrink(out.capacity());
        Ok(typed("application/json", ResponseBody::Metered(out.into(), room)))
    }

    /// How the counters stand that the caller may see.
    async fn standings(
        self: &Rc<Self>,
        rules: &BTreeMap<LimitId, &Rule>,
        whose: Whose,
    ) -> Result<BTreeMap<Counter, Standing>, Problem> {
        let mut standings: BTreeMap<Counter, Standing> = BTreeMap::new();
        if rules.is_empty() {
            return Ok(standings);
        }
        let seen = match self.door.look().await? {
            Reply::Limits(seen) => seen,
            other => return Err(unexpected(&other)),
        };
        let now = executor::now().wall;
        for (place, Seen { counter, used, wakes_in_ms }) in seen.into_iter().enumerate() {
            if is_seen(&counter.value, whose) {
                let wakes_at = wakes_in_ms.map(|ms| now.after_ms(ms));
                standings.insert(counter, Standing { used, parked: 0, wakes_at });
            }
            breathe(place).await;
        }
        for shard in (0..self.shards.shards()).map(ShardId) {
            let parked = match self.door.ask(shard, |reply| Ask::Parked { reply }).await? {
                Reply::Parked(parked) => parked,
                other => return Err(unexpected(&other)),
            };
            for (place, (counter, messages)) in parked.into_iter().enumerate() {
                if is_seen(&counter.value, whose) {
                    standings.entry(counter).or_default().parked += messages;
                }
                breathe(place).await;
            }
        }
        Ok(standings)
    }
}

/// Lets other tasks run, each time after [`AT_ONCE`] counters.
async fn breathe(place: usize) {
    if place % AT_ONCE == AT_ONCE - 1 {
        executor::breathe().await;
    }
}

/// A tenant sees the counters that count it alone: others would tell it what other tenants send.
fn is_seen(value: &Value, whose: Whose) -> bool {
    match (whose, value) {
        (Whose::All, _) => true,
        (Whose::Of(own), Value::Tenant(tenant)) => own == *tenant,
        (Whose::Of(_), Value::All | Value::Carrier(_) | Value::Sender(_) | Value::Country(_) | Value::Tag(_)) => false,
    }
}

/// The value as the configuration and messages have it; `None` if a limit has only one counter, or if the configuration does
/// not have this value any more.
fn value_name(value: &Value, catalog: &Catalog, tenants: &Tenants) -> Option<String> {
    match value {
        Value::All => None,
        Value::Tenant(id) => Some(tenants.name_of(*id)).filter(|name| !name.is_empty()).map(str::to_owned),
        Value::Carrier(id) => catalog.carrier_name(*id).map(str::to_owned),
        Value::Sender(sender) => Some(sender.as_str().to_owned()),
        Value::Country(country) => Some(country.code().to_owned()),
        Value::Tag(tag) => Some(tag.clone()),
    }
}

fn write(limit: &str, value: Option<&str>, standing: &Standing, allowed: u64, out: &mut Vec<u8>) {
    let Standing { used, parked, wakes_at } = *standing;
    let mut item = Object::begin(out);
    item.text("name", limit);
    match value {
        Some(value) => item.text("value", value),
        None => item.null("value"),
    };
    item.number("used", used).number("allowed", allowed).number("parked", parked);
    match wakes_at {
        Some(at) => item.time("wakes_at", at),
        None => item.null("wakes_at"),
    };
    item.end();
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use stentor_core::model::{CarrierId, Country, SenderId, TenantId};

    /// A document with a counter that has a value and one that has none.
    pub(in crate::http) fn write_two(out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"limits\":[");
        write("a", None, &Standing::default(), 1, out);
        out.push(b',');
        write("a", Some("shop"), &Standing { used: 2, parked: 3, wakes_at: Some(Wall(4)) }, 5, out);
        out.extend_from_slice(b"]}");
    }

    #[test]
    fn a_tenant_sees_what_counts_it_alone() {
        let own = Whose::Of(TenantId(7));
        let others = [
            Value::All,
            Value::Tenant(TenantId(8)),
            Value::Carrier(CarrierId(7)),
            Value::Sender(SenderId::default()),
            Value::Country(Country::new("DE").expect("a country")),
            Value::Tag("7".to_owned()),
        ];
        for value in others {
            assert!(is_seen(&value, Whose::All) && !is_seen(&value, own), "{value:?}");
        }
        assert!(is_seen(&Value::Tenant(TenantId(7)), own));
    }
}
