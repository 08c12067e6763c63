//! Attacks by queries with a tenant's key: short queries that make the daemon search for long, and ids of other tenants
//! or forged ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attack::{Attack, Ending, Front};
use super::stage::{KEY_A, KEY_B, KEY_B_ADMIN};
use super::wire::{Wire, head};

/// Last number of the source address (127.0.0.…) of these attackers.
const ADDRESS: u8 = 9;
const PATIENCE: Duration = Duration::from_secs(30);
/// Ids per lookup, the API's limit.
const IDS: usize = 1_000;
/// The position in an id where time, version and variant end and the address of the message begins.
const ID_TAIL: usize = 18;

/// All attacks of this file. Tenant b has no messages of its own: each of its searches goes through those of others.
pub(super) fn attacks() -> Vec<Attack> {
    let (deletes, lookups) = (AtomicU64::new(0), AtomicU64::new(0));
    let ask = |call: &'static str, key: &'static str| {
        move |front: &Front, tally: &super::attack::Tally| tally.note(exchange(front, call, key, "", b""))
    };
    let short = Duration::from_millis(20);
    vec![
        Attack {
            name: "records one by one, of a tenant without messages",
            hands: 2,
            pause: short,
            round: Box::new(ask("GET /v1/records?limit=1", KEY_B)),
        },
        Attack {
            name: "records one by one, of a tenant with many",
            hands: 1,
            pause: short,
            round: Box::new(ask("GET /v1/records?limit=1&settled=true", KEY_A)),
        },
        Attack {
            name: "all records, again and again",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(ask("GET /v1/records?limit=20000", KEY_A)),
        },
        Attack {
            name: "the list of messages in doubt",
            hands: 1,
            pause: short,
            round: Box::new(ask("GET /v1/in-doubt?limit=1000", KEY_B_ADMIN)),
        },
        Attack {
            name: "DELETE of another tenant's ids and of forged ones",
            hands: 2,
            pause: Duration::from_millis(10),
            round: Box::new(move |front, tally| {
                let number = deletes.fetch_add(1, Ordering::Relaxed);
                match front.id(number) {
                    Some(id) => {
                        let call = format!("DELETE /v1/messages/{}", forged(&id, number));
                        tally.note(exchange(front, &call, KEY_B, "", b""));
                    }
                    None => tally.note(Ending::Held),
                }
            }),
        },
        Attack {
            name: "lookups of another tenant's ids",
            hands: 1,
            pause: Duration::from_millis(100),
            round: Box::new(move |front, tally| {
                let number = lookups.fetch_add(1, Ordering::Relaxed);
                let ids: Vec<String> =
                    (0..IDS as u64).filter_map(|index| front.id(number + index).map(|id| forged(&id, index))).collect();
                let body = serde_json::json!({ "ids": ids }).to_string();
                let json = "Content-Type: application/json\r\n";
                tally.note(exchange(front, "POST /v1/messages/lookup", KEY_B, json, body.as_bytes()));
            }),
        },
    ]
}

/// Every second id unchanged, the others with the same address and another time.
fn forged(id: &str, number: u64) -> String {
    match id.get(ID_TAIL..) {
        Some(tail) if number % 2 == 1 => format!("00000000-0000-7000{tail}"),
        Some(_) | None => id.to_owned(),
    }
}

fn exchange(front: &Front, call: &str, key: &str, headers: &str, body: &[u8]) -> Ending {
    let length = (!body.is_empty()).then_some(body.len());
    match Wire::open(front, ADDRESS) {
        Ok(mut wire) => wire.exchange(front, &[&head(call, Some(key), headers, length), body], PATIENCE),
        Err(ending) => ending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_id_has_the_same_address() {
        let id = "0198c8a2-7b1e-7000-8000-000000010000";
        assert_eq!(forged(id, 0), id);
        assert_eq!(forged(id, 1), "00000000-0000-7000-8000-000000010000");
        assert_eq!(forged("x", 1), "x");
    }
}
