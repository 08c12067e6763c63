//! The generator as a process, against a scripted HTTP server.

mod stage;

use std::collections::BTreeSet;

use stage::messages;
use stage::process::send;
use stage::sink::{Act, Received, Sink};

fn serials(received: &[Received]) -> Vec<u64> {
    let mut serials: Vec<u64> = received
        .iter()
        .flat_map(|request| {
            String::from_utf8(request.body.clone()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["body"].as_str().unwrap()[1..11].parse().unwrap()
        })
        .collect();
    serials.sort_unstable();
    serials
}

#[test]
fn every_message_is_offered_once() {
    let sink = Sink::start(|_| Act::Accept);
    let count = messages(25_500);
    let (output, report) = send(sink.address, &["--saturate", "--count", &count.to_string(), "--connections", "3"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&report["offered"], &report["accepted"]), (&count.into(), &count.into()));
    assert_eq!(report["acknowledged"], serde_json::json!([[0, count]]));
    assert_eq!(serials(&sink.received()), (0..count).collect::<Vec<_>>());
}

#[test]
fn unanswered_and_refused_batches_come_again_unchanged() {
    let sink = Sink::start(|number| match number % 3 {
        0 => Act::HangUp,
        1 => Act::Refuse,
        _ => Act::Accept,
    });
    let arguments = ["--rate", "20000", "--count", "1000", "--batch", "100", "--connections", "1", "--retry"];
    let (output, report) = send(sink.address, &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&report["accepted"], &report["retries"]), (&1_000.into(), &20.into()));
    let received = sink.received();
    assert_eq!(received.len(), 30);
    for tries in received.chunks(3) {
        assert!(tries.iter().all(|request| *request == tries[0]));
    }
    let keys: BTreeSet<_> = received.iter().map(|request| request.key.clone().unwrap()).collect();
    assert_eq!(keys.len(), 10);
}

#[test]
fn what_was_not_acknowledged_is_named() {
    let sink = Sink::start(|number| if number == 0 { Act::RefuseFirst } else { Act::HangUp });
    let arguments = ["--saturate", "--count", "20", "--batch", "10", "--connections", "1"];
    let (output, report) = send(sink.address, &arguments);
    assert!(!output.status.success());
    assert_eq!(report["errors"], serde_json::json!({ "invalid_recipient": 1, "unanswered": 10 }));
    assert_eq!(report["acknowledged"], serde_json::json!([[1, 10]]));
}

#[test]
fn no_listener_is_told_apart_from_no_answer() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (output, report) = send(closed, &["--saturate", "--count", "20", "--batch", "10", "--connections", "1"]);
    assert!(!output.status.success());
    assert_eq!(report["errors"], serde_json::json!({ "connection_refused": 20 }));
}

#[test]
fn recipients_that_repeat_stay_on_their_connection() {
    let sink = Sink::start(|_| Act::Accept);
    let arguments = ["--saturate", "--count", "4000", "--batch", "10", "--recipients", "40", "--connections", "4"];
    let (output, _) = send(sink.address, &arguments);
    assert!(output.status.success(), "{output:?}");
    let mut latest = [0; 40];
    for request in sink.received() {
        for serial in serials(&[request]) {
            let seen = &mut latest[(serial % 40) as usize];
            assert!(serial >= *seen);
            *seen = serial;
        }
    }
}

#[test]
fn impossible_wishes_are_refused() {
    let sink = Sink::start(|_| Act::Accept);
    for arguments in [
        &["--saturate"][..],
        &["--count", "1"],
        &["--saturate", "--count", "1", "--length", "5"],
        &["--saturate", "--count", "1", "--classes", "vip=1"],
        &["--rate", "0", "--count", "1"],
    ] {
        assert!(!send(sink.address, arguments).0.status.success(), "{arguments:?}");
    }
    assert!(sink.received().is_empty());
}
