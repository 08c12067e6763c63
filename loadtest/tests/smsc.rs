//! The SMSC simulator as a process, with a client that shares no code with it.

mod stage;

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::sync::Arc;
use std::time::Instant;

use stage::messages;
use stage::process::Smsc;
use stage::smpp_client::{Client, DELIVER_SM, SUBMIT_SM_RESP, pdu, submit};

const TRANSCEIVER: u32 = 9;
const TRANSMITTER: u32 = 2;
const RECEIVER: u32 = 1;
const RECIPIENT: u64 = 4_915_110_000_000;

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

#[test]
fn every_submit_is_answered_and_receipted_once() {
    let smsc = Smsc::start(&["--order", "--seed", "1"]);
    let mut client = Client::bind(smsc.listening, TRANSCEIVER);
    let bytes: Vec<u8> = (0..500).flat_map(|i| submit(i + 2, u64::from(i), RECIPIENT + u64::from(i % 7))).collect();
    client.send(&bytes);
    let received = client.receive_and_acknowledge(1_000);
    let answered: BTreeSet<_> = received.iter().filter(|p| p.command == SUBMIT_SM_RESP).map(|p| p.sequence).collect();
    assert_eq!(answered, (2..502).collect());
    let ids: BTreeSet<_> =
        received.iter().filter(|p| p.command == SUBMIT_SM_RESP).map(|p| text(&p.body).replace('\0', "")).collect();
    assert_eq!(ids.len(), 500);
    for receipt in received.iter().filter(|p| p.command == DELIVER_SM) {
        let receipt = text(&receipt.body);
        let id = receipt.split("id:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(ids.contains(id) && receipt.contains("stat:DELIVRD"), "{receipt}");
    }
    client.send(&pdu(0x15, 9_999, b""));
    assert_eq!(client.receive().map(|p| (p.command, p.sequence)), Some((0x8000_0015, 9_999)));
    let stats = smsc.get("/stats?expect=501");
    assert_eq!(stats["messages"]["distinct"], 500);
    assert_eq!(stats["messages"]["missing"], 1);
    assert_eq!(stats["messages"]["overtaken"], 0);
    assert_eq!(stats["receipts"]["acknowledged"], 500);
    assert_eq!(smsc.get("/missing?upto=501"), serde_json::json!([500]));
    client.send(&pdu(6, 10_000, b""));
    assert_eq!(client.receive().map(|p| p.command), Some(0x8000_0006));
    assert_eq!(client.receive(), None);
    let report = smsc.stop();
    assert_eq!(report["binds"][0]["open"], false);
    assert_eq!(report["binds"][0]["submits"], 500);
}

#[test]
fn repeated_and_overtaken_messages_are_seen() {
    let smsc = Smsc::start(&["--order"]);
    let mut client = Client::bind(smsc.listening, TRANSCEIVER);
    for (sequence, serial) in [(2, 0), (3, 5), (4, 3), (5, 5)] {
        client.send(&submit(sequence, serial, RECIPIENT));
    }
    client.receive_and_acknowledge(8);
    let stats = smsc.get("/stats");
    assert_eq!((&stats["messages"]["repeats"], &stats["messages"]["overtaken"]), (&1.into(), &1.into()));
    assert_eq!(smsc.get("/repeated"), serde_json::json!([5]));
    smsc.post("/reset", "");
    assert_eq!(smsc.get("/stats")["messages"]["distinct"], 0);
}

#[test]
fn unacknowledged_receipts_come_again_on_the_next_bind() {
    let smsc = Smsc::start(&[]);
    let mut first = Client::bind(smsc.listening, TRANSCEIVER);
    first.send(&[submit(2, 0, RECIPIENT), submit(3, 1, RECIPIENT + 1)].concat());
    for _ in 0..4 {
        first.receive().unwrap();
    }
    drop(first);
    let mut second = Client::bind(smsc.listening, RECEIVER);
    let receipts = second.receive_and_acknowledge(2);
    assert!(receipts.iter().all(|p| p.command == DELIVER_SM));
    second.send(&pdu(0x15, 7, b""));
    assert_eq!(second.receive().map(|p| p.command), Some(0x8000_0015));
    let receipts = &smsc.get("/stats")["receipts"];
    assert_eq!((&receipts["planned"], &receipts["acknowledged"]), (&2.into(), &2.into()));
}

#[test]
fn behaviour_changes_while_it_runs() {
    let smsc = Smsc::start(&["--magic"]);
    let mut client = Client::bind(smsc.listening, TRANSMITTER);
    let status_of = |client: &mut Client, recipient| {
        client.send(&submit(5, 0, recipient));
        client.receive().map(|p| p.status)
    };
    assert_eq!(status_of(&mut client, RECIPIENT + 6), Some(0x0B));
    assert_eq!(status_of(&mut client, RECIPIENT + 77), Some(0));
    smsc.post("/behaviour", r#"{"throttled_ppm":1000000}"#);
    assert_eq!(status_of(&mut client, RECIPIENT + 77), Some(0x58));
    assert_eq!(status_of(&mut client, RECIPIENT + 6), Some(0x0B), "other settings stay");
    let refusal = smsc.call("POST", "/behaviour", r#"{"throttle":1}"#);
    assert!(refusal["error"].as_str().is_some_and(|error| error.contains("throttle")), "{refusal}");
    smsc.post("/behaviour", r#"{"magic":false,"throttled_ppm":0,"disconnect_ppm":1000000}"#);
    assert_eq!(status_of(&mut client, RECIPIENT), None);
    assert_eq!(smsc.get("/stats")["connections"]["closed_by_us"], 1);
}

#[test]
fn window_is_honoured() {
    let smsc = Smsc::start(&["--window", "3", "--response-delay", "100"]);
    let mut client = Client::bind(smsc.listening, TRANSMITTER);
    client.send(&(0..5).flat_map(|i| submit(i + 2, u64::from(i), RECIPIENT)).collect::<Vec<_>>());
    let received: Vec<_> = (0..5).map(|_| client.receive().map(|p| (p.sequence, p.status)).unwrap()).collect();
    assert_eq!(received, [(5, 0x58), (6, 0x58), (2, 0), (3, 0), (4, 0)]);
    let stats = smsc.stop();
    assert_eq!((&stats["submits"]["beyond_window"], &stats["submits"]["taken"]), (&2.into(), &3.into()));
}

#[test]
fn who_may_not_bind_is_told() {
    let smsc = Smsc::start(&["--system-id", "test", "--password", "secret"]);
    for (system_id, password, status) in [("test", "wrong", 0x0E), ("other", "secret", 0x0E), ("test", "secret", 0)] {
        let mut client = Client::connect(smsc.listening);
        assert_eq!(client.try_bind(TRANSCEIVER, system_id, password), status);
    }
    smsc.post("/refuse-binds", "");
    assert_eq!(Client::connect(smsc.listening).try_bind(TRANSCEIVER, "test", "secret"), 0x08);
    smsc.post("/accept-binds", "");
    assert_eq!(Client::connect(smsc.listening).try_bind(TRANSCEIVER, "test", "secret"), 0);
    let mut unbound = Client::connect(smsc.listening);
    unbound.send(&submit(1, 0, RECIPIENT));
    assert_eq!(unbound.receive().map(|p| p.status), Some(0x04));
}

#[test]
fn bytes_that_are_no_smpp_close_one_connection_alone() {
    let smsc = Smsc::start(&[]);
    let mut good = Client::bind(smsc.listening, TRANSCEIVER);
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 16], b"\0\0\0\x0f\0\0\0\x04"] {
        let mut bad = Client::connect(smsc.listening);
        bad.stream.write_all(nonsense).unwrap();
        assert_eq!(bad.receive(), None);
    }
    good.send(&pdu(4, 8, b"\0\0\0\0\0\0\0"));
    assert_eq!(good.receive().map(|p| (p.sequence, p.status)), Some((8, 1)));
    good.send(&pdu(0x55, 9, b""));
    assert_eq!(good.receive().map(|p| (p.command, p.sequence, p.status)), Some((0x8000_0000, 9, 3)));
    let stats = smsc.stop();
    assert_eq!((&stats["connections"]["broken"], &stats["submits"]["malformed"]), (&3.into(), &1.into()));
}

#[test]
fn commands_close_and_pause() {
    let smsc = Smsc::start(&[]);
    let mut client = Client::bind(smsc.listening, TRANSCEIVER);
    smsc.post("/pause", "");
    client.send(&pdu(0x15, 2, b""));
    smsc.post("/resume", "");
    assert_eq!(client.receive().map(|p| p.sequence), Some(2));
    smsc.post("/disconnect", "");
    assert_eq!(client.receive(), None);
}

#[test]
fn speaks_tls() {
    let directory = tempfile::tempdir().unwrap();
    let cert = directory.path().join("cert.pem");
    let smsc = Smsc::start(&["--tls", "--tls-cert-out", cert.to_str().unwrap()]);
    let mut roots = rustls::RootCertStore::empty();
    let mut pem = BufReader::new(std::fs::File::open(&cert).unwrap());
    for cert in rustls::pki_types::pem::PemObject::pem_reader_iter(&mut pem) {
        roots.add(cert.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = rustls::StreamOwned::new(session, Client::connect(smsc.listening).stream);
    let mut client = Client { stream };
    assert_eq!(client.try_bind(TRANSCEIVER, "test", "secret"), 0);
    client.send(&(0..300).flat_map(|i| submit(i + 2, u64::from(i), RECIPIENT)).collect::<Vec<_>>());
    let received = client.receive_and_acknowledge(600);
    assert_eq!(received.iter().filter(|p| p.command == SUBMIT_SM_RESP).count(), 300);
}

/// Prints how much one thread of the simulator takes from one client, and the CPU cost; asserts only that nothing is lost.
#[test]
fn keeps_up() {
    let (count, window) = (messages(20_000), 2_000);
    let smsc = Smsc::start(&["--response-delay", "0"]);
    let mut client = Client::bind(smsc.listening, TRANSCEIVER);
    let begun = Instant::now();
    for first in (0..count).step_by(window) {
        let serials = first..count.min(first + window as u64);
        let sent = (serials.end - serials.start) as usize;
        client.send(
            &serials.flat_map(|serial| submit(serial as u32 + 2, serial, RECIPIENT + serial)).collect::<Vec<_>>(),
        );
        client.receive_and_acknowledge(2 * sent);
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} messages/s with receipts, {:.2} µs CPU each", smsc.cpu_s() * 1e6 / count as f64);
    client.send(&pdu(0x15, 1, b""));
    while client.receive().is_some_and(|p| p.command != 0x8000_0015) {}
    let stats = smsc.stop();
    assert_eq!(stats["messages"]["distinct"], count);
    assert_eq!(stats["receipts"]["acknowledged"], count);
}

#[test]
fn who_asks_is_told_what_became_of_a_message_and_gets_no_receipt() {
    let smsc = Smsc::start(&["--behaviour", r#"{"receipts_on_query":true}"#, "--magic", "--receipt-delay", "0"]);
    let mut client = Client::bind(smsc.listening, TRANSMITTER);
    client.send(&submit(2, 0, RECIPIENT + 1));
    let id = client.receive().map(|answer| answer.body).expect("an answer");
    let mut ask = |id: &[u8], sender: &str| {
        client.send(&pdu(3, 5, &[id, b"\x05\0", sender.as_bytes(), b"\0"].concat()));
        let answer = client.receive().expect("an answer");
        assert_eq!((answer.command, answer.sequence), (0x8000_0003, 5));
        (answer.status, answer.body)
    };
    let (status, told) = ask(&id, "TEST");
    assert_eq!((status, &told[..id.len()], told.len()), (0, &id[..], id.len() + 19));
    assert_eq!(told[told.len() - 2], 5, "undeliverable, as the number says");
    assert_eq!(ask(b"1\0", "TEST"), (0x67, Vec::new()), "the id is unknown");
    assert_eq!(ask(&id, "OTHER"), (0x67, Vec::new()), "it had another sender");
    let stats = smsc.stop();
    let receipts = &stats["receipts"];
    assert_eq!((&receipts["planned"], &receipts["queries"], &receipts["ends_told"]), (&0.into(), &3.into(), &1.into()));
}
