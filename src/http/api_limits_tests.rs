//! The counters of limits over real sockets: what an administrator and a tenant see of them.

use super::*;
use stentor_core::{
    limit::{self, Counter, LimitTable, Of, Over, Per, Rule, Span, Value, When},
    model::{LimitId, SenderId, Zone},
};

/// A limit for all, one for each tenant and one for each sender.
pub(super) fn table() -> LimitTable {
    let rule = |id, name: &str, per, amount| {
        let (of, span, over) = (Of::Messages, Span::Month(Zone::UTC), Over::Wait);
        Rule { id: LimitId(id), name: name.to_owned(), when: When::default(), per, of, amount, span, over }
    };
    let rules =
        vec![rule(1, "whole", Per::All, 100), rule(2, "each", Per::Tenant, 10), rule(3, "brand", Per::Sender, 5)];
    LimitTable { rules }
}

fn counter(rule: u16, value: Value) -> Counter {
    Counter { rule: LimitId(rule), value }
}

/// What was used. The last counter is of a limit that is gone.
pub(super) fn seen() -> Vec<limit::Seen> {
    let tenant = |tenant| Value::Tenant(TenantId(tenant));
    let seen = |counter, used, wakes_in_ms| limit::Seen { counter, used, wakes_in_ms };
    vec![
        seen(counter(2, tenant(7)), 10, Some(60_000)),
        seen(counter(2, tenant(8)), 4, None),
        seen(counter(3, Value::Sender(SenderId::parse("ACME").expect("a sender"))), 5, Some(1_000)),
        seen(counter(4, Value::All), 9, None),
    ]
}

/// What waits in each shard.
pub(super) fn parked() -> Vec<(Counter, u64)> {
    vec![(counter(2, Value::Tenant(TenantId(7))), 3)]
}

fn shown(name: &str, value: Option<&str>, [used, allowed, parked]: [u64; 3], wakes: bool) -> serde_json::Value {
    json!({"name": name, "value": value, "used": used, "allowed": allowed, "parked": parked, "wakes_at": wakes})
}

#[test]
fn limits_are_shown_by_name_and_a_tenant_sees_its_own() {
    let tenant = |id, name: &str| TenantOptions { id: TenantId(id), name: name.into(), ..Default::default() };
    let shop = TenantSpec { tenant: tenant(7, "shop"), keys: vec!["shop-key".into()], ..TenantSpec::default() };
    let boss = TenantSpec { tenant: tenant(8, "boss"), admin_keys: vec!["boss-key".into()], ..TenantSpec::default() };
    serve(vec![shop, boss], false, |client| {
        let ask = |line: &str, key: &str| client.call(line, &[&format!("authorization: Bearer {key}")], b"");
        let told = |key: &str| {
            let mut told = ask("GET /v1/limits", key).json();
            for counter in told["limits"].as_array_mut().expect("limits") {
                let wakes = counter["wakes_at"].as_str().map(|at| at.starts_with("20") && at.ends_with('Z'));
                assert_ne!(wakes, Some(false), "{counter}");
                counter["wakes_at"] = json!(wakes.is_some());
            }
            told["limits"].clone()
        };
        let own = shown("each", Some("shop"), [10, 10, 9], true);
        let all = [
            shown("brand", Some("ACME"), [5, 5, 0], true),
            shown("each", Some("boss"), [4, 10, 0], false),
            own.clone(),
            shown("whole", None, [0, 100, 0], false),
        ];
        assert_eq!(told("boss-key"), json!(all));
        assert_eq!(told("shop-key"), json!([own]));
        assert_eq!(ask("GET /v1/limits?tenant=shop", "boss-key").code(), is(422, "invalid_parameter"));
        assert_eq!(client.get("/v1/limits").code(), is(401, "unauthorized"));
    });
    serve(Vec::new(), true, |client| assert_eq!(client.get("/v1/limits").code(), is(503, "overloaded")));
}
