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

fn waiting(exchange: &Exchange) -> Vec<Delivery> {
    exchange.lock().waiting.values().cloned().collect()
}

fn fate(delivery: &Delivery) -> Option<Fate> {
    if let Delivery::Receipt(receipt) = delivery { Some(receipt.fate) } else { None }
}

fn stop() -> Text<'static> {
    Text { from: "+4915100000000", to: "72345", text: "STOP" }
}

/// What the page shows: sender, text, and the outcome of the first part.
fn written(exchange: &Exchange) -> Vec<[Value; 3]> {
    let document: Value = serde_json::from_slice(&exchange.shown(0, 2_000)).expect("JSON");
    let messages = document["messages"].as_array().expect("messages");
    let written = messages.iter().filter(|message| message["written"] == true);
    written
        .map(|message| [&message["from"], &message["text"], &message["parts"][0]["receipt"]].map(Value::clone))
        .collect()
}

#[test]
fn what_is_taken_arrives_and_what_is_refused_does_not() {
    let exchange = exchange(None);
    assert!(matches!(submit(&exchange, "4915100000001"), Said::Resp(CommandStatus::ROK, id) if !id.is_empty()));
    assert_eq!(submit(&exchange, "4915100000006"), Said::Resp(CommandStatus(0x0B), Vec::new()));
    assert_eq!(submit(&exchange, "4915100000009"), Said::Nothing);
    assert_eq!(submit(&exchange, "4915100000013"), Said::HangUp);
    assert_eq!(receipts(&exchange), [("+4915100000001".to_owned(), "waiting".to_owned())]);
    assert_eq!(waiting(&exchange).iter().map(fate).collect::<Vec<_>>(), [Some(Fate::Undeliverable)]);
}

#[test]
fn a_receipt_goes_back_to_the_sender_and_is_noted_when_told() {
    let exchange = exchange(None);
    submit(&exchange, "4915100000000");
    let receipt = waiting(&exchange).remove(0);
    let mut body = ReceiptBody::default();
    exchange.write_body(&receipt, &mut body);
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
    let (enroute, owed): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| fate(told) == Some(Fate::Enroute));
    enroute.iter().for_each(|receipt| first.handle_told(receipt));
    drop(first);
    let second = exchange(Some(Journal::open(&path).expect("journal")));
    let words = |exchange: &Exchange| receipts(exchange).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    assert_eq!(words(&second), ["waiting", "ENROUTE"]);
    let found = waiting(&second);
    assert_eq!(found.len(), 2);
    assert!(owed.iter().all(|receipt| found.contains(receipt)), "{found:?}");
}

#[test]
fn what_a_phone_writes_goes_to_the_number_it_was_written_to() {
    let exchange = exchange(None);
    exchange.write(&stop()).expect("written");
    assert_eq!(written(&exchange), [["+4915100000000", "STOP", "waiting"].map(Value::from)]);
    let delivery = exchange.poll_delivery().expect("at once");
    let mut body = ReceiptBody::default();
    exchange.write_body(&delivery, &mut body);
    let message = delivery.message(&body);
    assert_eq!((message.source.ton, message.source.digits), (ton::INTERNATIONAL, &b"4915100000000"[..]));
    assert_eq!((message.destination.digits, message.short_message), (&b"72345"[..], &b"STOP"[..]));
    assert_eq!((message.esm_class, message.registered_delivery), (EsmClass::DEFAULT, 0));
    // Refused, or its connection was lost: it waits.
    exchange.hand_back(delivery);
    let [again] = &waiting(&exchange)[..] else { panic!("it is gone") };
    exchange.handle_told(again);
    assert_eq!(written(&exchange), [["+4915100000000", "STOP", "taken"].map(Value::from)]);
    assert_eq!(exchange.lock().unheard, 0);
}

#[test]
fn texts_that_no_bind_takes_are_bounded() {
    let exchange = exchange(None);
    let mut state = exchange.lock();
    let text = "x".repeat(400);
    let text = Text { text: &text, ..stop() };
    let now = |second: u64| Now { mono: Mono(second * 1_000_000_000), wall: Wall(second * 1_000) };
    let written = (0..PARTS_WAITING_MAX as u64).map_while(|second| state.write(&text, now(second)).ok()).count();
    assert_eq!((written, state.unheard), (PARTS_WAITING_MAX / 3, PARTS_WAITING_MAX / 3 * 3));
    assert_eq!(state.write(&text, now(9_999)), Err(Refused::TooManyWait));
    assert_eq!((state.waiting.len(), state.inbox.count().0), (state.unheard, written));
}

#[test]
fn what_a_killed_process_had_not_delivered_is_delivered_by_the_next() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("carrier.ndjson");
    let first = exchange(Some(Journal::open(&path).expect("journal")));
    for text in ["one", "two"] {
        first.write(&Text { text, ..stop() }).expect("written");
    }
    first.handle_told(&waiting(&first)[0]);
    let owed = waiting(&first).remove(1);
    drop(first);
    let second = exchange(Some(Journal::open(&path).expect("journal")));
    let shown =
        |exchange: &Exchange| written(exchange).into_iter().map(|[_, text, word]| [text, word]).collect::<Vec<_>>();
    // In the order of their last changes.
    assert_eq!(shown(&second), [["two", "waiting"], ["one", "taken"]].map(|row| row.map(Value::from)));
    assert_eq!((waiting(&second), second.lock().unheard), (vec![owed], 1));
    second.write(&Text { text: "three", ..stop() }).expect("written");
    let ids: Vec<u64> = waiting(&second)
        .iter()
        .filter_map(|told| if let Delivery::Text(part, _) = told { Some(part.id) } else { None })
        .collect();
    assert_eq!(ids, [2, 3], "no id is given twice");
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
