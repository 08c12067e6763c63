//! Backup and restore with real processes: a daemon under load is backed up, killed, and restored elsewhere, while its
//! carrier remembers everything that it ever took.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use stage::bench_daemon::{Daemon, call, run};
use stage::process::Smsc;
use stage::{messages, until};

/// Messages per request.
const BATCH: u64 = 250;

/// Messages that were acknowledged: their serials by id.
type Kept = BTreeMap<String, u64>;

/// Sends one request with the serials from `first` on; gives the ids if it was acknowledged.
fn post(to: SocketAddr, first: u64) -> Option<Kept> {
    let line = |serial: u64| {
        let body = format!("#{serial:010} {:016} {}", 0, "x".repeat(40));
        let class = if serial.is_multiple_of(5) { "otp" } else { "transactional" };
        json!({"to": format!("+4915{:09}", serial % 1_000_000_000), "body": body, "class": class}).to_string() + "\n"
    };
    let lines: String = (first..first + BATCH).map(line).collect();
    let (status, answer) = call(to, "POST", "/v1/messages", &lines)?;
    assert_eq!(status, 202, "{answer}");
    let results = answer["results"].as_array().or_else(|| answer.as_array()).expect("results");
    Some(results.iter().zip(first..).map(|(result, serial)| (text(&result["id"]), serial)).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The documents of these messages, in order.
fn look_up(daemon: &Daemon, ids: &[&String]) -> Vec<Value> {
    ids.chunks(1_000)
        .flat_map(|ids| {
            let (status, mut answer) = daemon.call("POST", "/v1/messages/lookup", &json!({ "ids": ids }).to_string());
            assert_eq!(status, 200, "{answer}");
            answer["messages"].as_array_mut().map(std::mem::take).expect("documents")
        })
        .collect()
}

fn taken(smsc: &Smsc) -> u64 {
    smsc.get("/stats")["messages"]["distinct"].as_u64().expect("a number")
}

/// Messages acknowledged before the backup, after it, and in between.
struct Loaded {
    before: Kept,
    after: Kept,
}

/// Backs a daemon up while messages come in and go out at `rate` parts a second, then kills it.
fn backed_up_under_load(data: &Path, smsc: &Smsc, file: &Path, count: u64) -> Loaded {
    let rate = (count / 20).max(20).to_string();
    let daemon = Daemon::start(data, smsc.listening, &[("CARRIER__BENCH__RATE", &rate)]);
    let (mut before, mut after) = (Kept::new(), Kept::new());
    let mut serial = 0;
    while serial < count {
        before.extend(post(daemon.http, serial).expect("acknowledged"));
        serial += BATCH;
    }
    until("some messages to be sent", || taken(smsc) > 0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let noise = scope.spawn(|| {
            let mut first = 10 * count;
            while !ended.load(Ordering::Relaxed) {
                post(daemon.http, first).expect("acknowledged");
                first += BATCH;
            }
        });
        let file = file.to_str().expect("a path");
        let output = run(&["backup", file, "--json", "--url", &daemon.url()]);
        ended.store(true, Ordering::Relaxed);
        noise.join().expect("no panic");
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(told["bytes"], fs::metadata(file).expect("the file").len(), "{told}");
    });
    let at_mark = taken(smsc);
    while serial < count + 2 * BATCH {
        after.extend(post(daemon.http, serial).expect("acknowledged"));
        serial += BATCH;
    }
    until("some messages to be sent after the mark", || taken(smsc) > at_mark + 20);
    daemon.kill();
    Loaded { before, after }
}

#[test]
fn what_was_acknowledged_before_the_mark_is_there_and_nothing_is_sent_again_silently() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let smsc = Smsc::start(&[]);
    let count = messages(2_000).next_multiple_of(BATCH);
    let Loaded { before, after } = backed_up_under_load(&at("old"), &smsc, &at("b"), count);
    let sent_by_the_old = taken(&smsc);
    assert!(sent_by_the_old < count, "{sent_by_the_old}: some messages must be unsent, or this test proves nothing");

    let restored = run(&["restore", at("b").to_str().expect("a path"), "--to", at("new").to_str().expect("a path")]);
    assert!(restored.status.success(), "{restored:?}");
    let daemon = Daemon::start(&at("new"), smsc.listening, &[]);

    let ids: Vec<&String> = before.keys().collect();
    let found = look_up(&daemon, &ids);
    let states: BTreeSet<&str> = found.iter().map(|message| message["state"].as_str().unwrap_or("none")).collect();
    assert!(states.is_subset(&BTreeSet::from(["submitted", "delivered", "in_doubt"])), "{states:?}");
    let in_doubt: BTreeSet<&String> =
        ids.iter().zip(&found).filter(|(_, message)| message["state"] == "in_doubt").map(|(id, _)| *id).collect();
    assert!(!in_doubt.is_empty());
    let unknown = look_up(&daemon, &after.keys().collect::<Vec<_>>());
    assert!(unknown.iter().all(|message| message["error"]["code"] == "message_not_found"), "after the mark");

    // New messages are sent; those that were unsent are not.
    let first = 20 * count;
    let fresh = post(daemon.http, first).expect("acknowledged");
    assert!(fresh.keys().all(|id| !before.contains_key(id) && !after.contains_key(id)), "an id twice");
    until("new messages to be delivered", || taken(&smsc) == sent_by_the_old + BATCH);
    assert_eq!(smsc.get("/stats")["messages"]["repeats"], 0, "nothing was sent again");
    let (_, told) = daemon.call("GET", "/v1/restored", "");
    let held: u64 = told["classes"].as_array().expect("classes").iter().filter_map(|c| c["messages"].as_u64()).sum();
    let (_, queues) = daemon.call("GET", "/v1/queues", "");
    assert!(held + queues["in_doubt"].as_u64().expect("a number") >= in_doubt.len() as u64, "{told} {queues}");

    // The decision: the class of which the old process sent some after the mark is sent, the other is given up.
    let resolve = |what: Value| daemon.call("POST", "/v1/restored/resolve", &what.to_string());
    let (status, resent) = resolve(json!({"action": "resend", "class": "otp"}));
    assert_eq!(status, 200, "{resent}");
    let (status, dropped) = resolve(json!({"action": "drop", "class": "transactional"}));
    assert_eq!(status, 200, "{dropped}");
    let doubtful: Vec<&String> = in_doubt.into_iter().collect();
    until("the decision to be carried out", || {
        let settled = ["delivered", "dead"];
        look_up(&daemon, &doubtful).iter().all(|message| settled.iter().any(|state| message["state"] == *state))
    });
    let mut repeated = 0;
    for message in look_up(&daemon, &doubtful) {
        let events: Vec<&str> =
            message["timeline"].as_array().expect("a timeline").iter().filter_map(|at| at["event"].as_str()).collect();
        assert!(events.contains(&"in_doubt"), "{message}");
        let expected = if message["class"] == "otp" { "delivered" } else { "dead" };
        assert_eq!(message["state"], expected, "{message}");
        repeated += u64::from(expected == "delivered");
    }
    let stats = smsc.get("/stats");
    let repeats = stats["messages"]["repeats"].as_u64().expect("a number");
    // The messages in between are in doubt as well, so the number of released messages includes them.
    let released = resent["messages"].as_u64().expect("a number");
    assert!(repeats > 0 && repeats <= released && repeated <= released, "{repeats} of {released}: {stats}");
}

#[test]
fn a_broken_backup_or_a_full_directory_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let smsc = Smsc::start(&[]);
    let daemon = Daemon::start(Path::new(&at("old")), smsc.listening, &[]);
    post(daemon.http, 0).expect("acknowledged");
    let output = run(&["backup", &at("b"), "--url", &daemon.url()]);
    assert!(output.status.success(), "{output:?}");
    let again = run(&["backup", &at("b"), "--url", &daemon.url()]);
    assert_eq!(again.status.code(), Some(1), "a backup is not overwritten: {again:?}");
    daemon.kill();
    assert!(run(&["restore", &at("b"), "--check"]).status.success());

    let whole = fs::read(at("b")).expect("the backup");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let broken = [(&whole[..whole.len() / 2], "cut off"), (&flipped, "damaged"), (b"a letter", "not a Stentor backup")];
    for (bytes, expected) in broken {
        fs::write(at("broken"), bytes).expect("written");
        let refused = run(&["restore", &at("broken"), "--to", &at("nowhere")]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!((refused.status.code(), told.lines().count()), (Some(65), 1), "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(!Path::new(&at("nowhere")).exists(), "nothing is written");
    }
    let full = run(&["restore", &at("b"), "--to", &at("old")]);
    assert_eq!(full.status.code(), Some(78), "{full:?}");
    assert!(String::from_utf8_lossy(&full.stderr).contains("is not empty"), "{full:?}");
    assert_eq!(run(&["backup", &at("c"), "--url", "http://127.0.0.1:9"]).status.code(), Some(69));
}
