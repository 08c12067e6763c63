//! The exchange without sockets: decisions, receipts, switches, and its memory across a restart.

use serde_json::Value;

use super::*;

fn exchange(memory: Option<(Journal, Vec<Note>)>) -> Exchange {
    Exchange::new(Clock::start(), 3, memory)
}

fn submit(exchange: &Exchange, digits: &'static str) -> Said {
    let message = ShortMessage {
        source: address("ACME"),
        destination: Address { ton: ton::INTERNATIONAL, npi: npi::E164, digits: digits.as_bytes() },
        registered_delivery: 1,
        short_message: b"hi",
        ..ShortMessage::default()
    };
    exchange.handle_submit(&message).said
}

fn receipts(exchange: &Exchange) -> Vec<(String, String)> {
    let document: Value = serde_json::from_slice(&exchange.shown(0, 100)).expect("JSON");
    let messages = document["messages"].as_array().expect("messages");
    let word = |value: &Value| value.as_str().expect("text").to_owned();
    messages.iter().map(|message| (word(&message["to"]), word(&message["parts"][0]["receipt"]))).collect()
}

fn waiting(exchange: &Exchange) -> Vec<Receipt> {
    exchange.lock().waiting.values().cloned().collect()
}

#[test]
fn what_is_taken_arrives_and_what_is_refused_does_not() {
    let exchange = exchange(None);
    assert!(matches!(submit(&exchange, "4915100000001"), Said::Resp(CommandStatus::ROK, id) if !id.is_empty()));
    assert_eq!(submit(&exchange, "4915100000006"), Said::Resp(CommandStatus(0x0B), Vec::new()));
    assert_eq!(submit(&exchange, "4915100000009"), Said::Nothing);
    assert_eq!(submit(&exchange, "4915100000013"), Said::HangUp);
    assert_eq!(receipts(&exchange), [("+4915100000001".to_owned(), "waiting".to_owned())]);
    assert_eq!(waiting(&exchange).iter().map(|receipt| receipt.fate).collect::<Vec<_>>(), [Fate::Undeliverable]);
}

#[test]
fn a_receipt_goes_back_to_the_sender_and_is_noted_when_told() {
    let exchange = exchange(None);
    submit(&exchange, "4915100000000");
    let receipt = waiting(&exchange).remove(0);
    let mut body = ReceiptBody::default();
    exchange.write_receipt(&receipt, &mut body);
    let message = receipt.message(&body);
    assert_eq!((message.source.digits, message.source.ton), (&b"4915100000000"[..], ton::INTERNATIONAL));
    assert_eq!((message.destination.digits, message.destination.ton), (&b"ACME"[..], ton::ALPHANUMERIC));
    assert!(String::from_utf8_lossy(message.short_message).contains("stat:DELIVRD"));
    exchange.handle_told(&receipt);
    assert_eq!(receipts(&exchange)[0].1, "DELIVRD");
}

#[test]
fn switches_hold_from_the_next_submit_on() {
    let exchange = exchange(None);
    exchange.set_chaos(serde_json::from_str("{\"lost_receipts\":true}").expect("chaos"));
    submit(&exchange, "4915112345678");
    exchange.set_chaos(Chaos::default());
    submit(&exchange, "4915112345678");
    let words: Vec<_> = receipts(&exchange).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["none", "waiting"]);
}

#[test]
fn what_a_killed_process_owed_is_told_by_the_next() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("carrier.ndjson");
    let first = exchange(Some(Journal::open(&path).expect("journal")));
    submit(&first, "4915100000000");
    submit(&first, "4915100000012");
    let told = waiting(&first);
    let (enroute, owed): (Vec<_>, Vec<_>) = told.into_iter().partition(|receipt| receipt.fate == Fate::Enroute);
    enroute.iter().for_each(|receipt| first.handle_told(receipt));
    drop(first);
    let second = exchange(Some(Journal::open(&path).expect("journal")));
    let words = |exchange: &Exchange| receipts(exchange).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    assert_eq!(words(&second), ["waiting", "ENROUTE"]);
    let mut found = waiting(&second);
    found.sort_by_key(|receipt| receipt.id);
    assert_eq!(found.len(), 2);
    assert!(owed.iter().all(|receipt| found.contains(receipt)), "{found:?}");
}

#[test]
fn numbers_are_for_people_and_back() {
    for (ton, digits, text) in [
        (ton::INTERNATIONAL, "491511", "+491511"),
        (ton::ALPHANUMERIC, "ACME 24", "ACME 24"),
        (ton::NETWORK_SPECIFIC, "72345", "72345"),
    ] {
        let there = number(&Address { ton, npi: 0, digits: digits.as_bytes() });
        assert_eq!(there, text);
        let back = address(text);
        assert_eq!((back.ton, back.digits), (ton, digits.as_bytes()));
    }
    assert_eq!(address("héllo").digits, b"h");
}
