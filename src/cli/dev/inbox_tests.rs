//! The inbox, given parts and receipts directly.

use serde_json::{Value, json};

use super::*;
use stentor_smpp::udh::port_header;

const RECEIPT: Way = Way::Arrives { awaits_receipt: true };
const NO_RECEIPT: Way = Way::Arrives { awaits_receipt: false };

fn part(user_data: &[u8]) -> Part {
    Part {
        at_ms: 7,
        to: "+491".to_owned(),
        from: "ACME".to_owned(),
        user_data: user_data.to_vec(),
        id: 5,
        ..Part::default()
    }
}

fn piece(reference: u8, total: u8, number: u8, data_coding: u8, bytes: &[u8]) -> Part {
    let header = [5, 0, 3, reference, total, number];
    Part { has_header: true, data_coding, ..part(&[&header[..], bytes].concat()) }
}

fn all(inbox: &Inbox) -> Vec<Value> {
    inbox.since(0, usize::MAX).iter().map(|message| serde_json::to_value(message).expect("JSON")).collect()
}

#[test]
fn a_short_text_is_shown_whole() {
    let mut inbox = Inbox::new(10);
    inbox.take(&part(b"\x00 1\x1be"), RECEIPT);
    let expected = json!({
        "number": 1, "revision": 1, "written": false, "at_ms": 7, "to": "+491", "from": "ACME", "text": "@ 1€", "bytes": null,
        "ports": null, "flash": false, "encoding": "GSM 7-bit", "parts_total": 1,
        "parts": [{"number": 1, "bytes": 5, "id": 5, "receipt": "waiting"}],
    });
    assert_eq!(all(&inbox), [expected]);
}

#[test]
fn parts_become_one_message_in_any_order_even_across_a_cut_pair() {
    let mut inbox = Inbox::new(10);
    inbox.take(&piece(9, 3, 3, 8, b"\0c"), RECEIPT);
    inbox.take(&piece(9, 3, 1, 8, b"\0a\xD8\x3D"), RECEIPT);
    assert_eq!((all(&inbox).len(), &all(&inbox)[0]["text"]), (1, &Value::Null));
    inbox.take(&piece(9, 3, 2, 8, b"\xDE\0\0b"), NO_RECEIPT);
    let message = &all(&inbox)[0];
    assert_eq!((&message["text"], &message["parts_total"]), (&json!("a😀bc"), &json!(3)));
    let order: Vec<_> = message["parts"].as_array().into_iter().flatten().map(|part| &part["number"]).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn a_reference_used_again_is_another_message() {
    let mut inbox = Inbox::new(10);
    for number in [1, 2, 1, 2] {
        inbox.take(&piece(1, 2, number, 0, b"x"), RECEIPT);
    }
    let texts: Vec<_> = all(&inbox).iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts, ["xx", "xx"]);
}

#[test]
fn another_recipient_or_total_is_another_message() {
    let mut inbox = Inbox::new(10);
    inbox.take(&piece(1, 2, 1, 0, b"x"), RECEIPT);
    inbox.take(&Part { to: "+492".to_owned(), ..piece(1, 2, 2, 0, b"x") }, RECEIPT);
    inbox.take(&piece(1, 3, 2, 0, b"x"), RECEIPT);
    assert_eq!(inbox.count(), (3, 3));
    assert!(all(&inbox).iter().all(|message| message["text"].is_null()));
}

#[test]
fn flash_binary_and_odd_codings_are_named() {
    let shown = |part: Part| {
        let mut inbox = Inbox::new(10);
        inbox.take(&part, RECEIPT);
        let message = all(&inbox).remove(0);
        ["text", "bytes", "ports", "flash", "encoding"].map(|name| message[name].clone())
    };
    let flash = Part { data_coding: 0x10, ..part(b"hi") };
    assert_eq!(shown(flash), [json!("hi"), json!(null), json!(null), json!(true), json!("GSM 7-bit")]);
    let binary = [&port_header(2948, 9200)[..], b"\x01\xFF"].concat();
    let binary = Part { data_coding: 4, has_header: true, ..part(&binary) };
    assert_eq!(shown(binary), [json!(null), json!("01ff"), json!([2948, 9200]), json!(false), json!("binary")]);
    let odd = Part { data_coding: 0x0D, ..part(b"x") };
    assert_eq!(shown(odd)[4], json!("data_coding 0x0D"));
}

#[test]
fn a_receipt_is_noted_and_what_is_final_stays() {
    let mut inbox = Inbox::new(10);
    let (first, second) = (inbox.take(&part(b"a"), RECEIPT), inbox.take(&part(b"b"), RECEIPT));
    let word = |inbox: &Inbox, at: usize| all(inbox)[at]["parts"][0]["receipt"].clone();
    inbox.note_receipt(first, Fate::Enroute);
    assert_eq!(word(&inbox, 1), "ENROUTE");
    inbox.note_receipt(first, Fate::Delivered);
    inbox.note_receipt(first, Fate::Enroute);
    assert_eq!((word(&inbox, 0), word(&inbox, 1)), (json!("waiting"), json!("DELIVRD")));
    inbox.note_receipt(second, Fate::Expired);
    assert_eq!(word(&inbox, 1), "EXPIRED");
}

#[test]
fn what_a_handset_wrote_is_another_message_than_what_came_to_it() {
    let mut inbox = Inbox::new(10);
    let there = |number| Part { from: "+492".to_owned(), ..piece(1, 2, number, 0, b"x") };
    let back = |number| Part { to: "+492".to_owned(), from: "+491".to_owned(), ..piece(1, 2, number, 0, b"y") };
    inbox.take(&there(1), RECEIPT);
    // A number that writes to itself.
    inbox.take(&there(2), Way::Written);
    let places = [1, 2].map(|number| inbox.take(&back(number), Way::Written));
    let shown = |inbox: &Inbox| -> Vec<Value> {
        all(inbox).iter().map(|message| json!([message["written"], message["text"]])).collect()
    };
    assert_eq!(shown(&inbox), [json!([false, null]), json!([true, null]), json!([true, "yy"])]);
    let words = |inbox: &Inbox| [0, 1].map(|at| all(inbox).last().expect("one")["parts"][at]["receipt"].clone());
    assert_eq!(words(&inbox), ["waiting", "waiting"]);
    inbox.note_taken(places[1]);
    assert_eq!(words(&inbox), ["waiting", "taken"]);
    inbox.note_taken(Place { message: 99, part: 1 });
}

#[test]
fn who_looks_again_sees_changes_only() {
    let mut inbox = Inbox::new(10);
    let places: Vec<_> = (0..4).map(|_| inbox.take(&part(b"a"), RECEIPT)).collect();
    let numbers = |inbox: &Inbox, after, max| -> Vec<(u64, u64)> {
        inbox.since(after, max).iter().map(|message| (message.number, message.revision)).collect()
    };
    assert_eq!(numbers(&inbox, 0, 2), [(1, 1), (2, 2)]);
    assert_eq!(numbers(&inbox, 2, 9), [(3, 3), (4, 4)]);
    inbox.note_receipt(places[1], Fate::Delivered);
    assert_eq!(numbers(&inbox, 4, 9), [(2, 5)]);
    assert_eq!(numbers(&inbox, 5, 9), []);
    assert_eq!(numbers(&inbox, u64::MAX, 9), []);
    assert_eq!(numbers(&inbox, 0, 9), [(1, 1), (3, 3), (4, 4), (2, 5)]);
}

#[test]
fn the_oldest_are_forgotten_with_all_that_is_theirs() {
    let mut inbox = Inbox::new(3);
    let first = inbox.take(&piece(1, 2, 1, 0, b"x"), RECEIPT);
    for _ in 0..5 {
        inbox.take(&part(b"a"), RECEIPT);
    }
    inbox.note_receipt(first, Fate::Delivered);
    assert_eq!(inbox.count(), (3, 6));
    assert_eq!((inbox.changes.len(), inbox.gathering.len()), (3, 0));
    inbox.take(&piece(1, 2, 2, 0, b"x"), RECEIPT);
    assert!(all(&inbox)[2]["text"].is_null(), "its other part is gone");
}
