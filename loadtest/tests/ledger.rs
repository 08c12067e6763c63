//! The ledger of messages in doubt, a stop under a silent carrier, a reload, and idempotency keys through crashes and
//! cuts: real processes, used as clients and operators do.

mod stage;

use rustix::process::Signal;
use serde_json::{Value, json};

use stage::daemon::Daemon;
use stage::process::Smsc;

const WINDOW: usize = 10;
const SENT: usize = 40;

fn config(smsc: &Smsc, in_doubt: &str) -> String {
    let port = smsc.listening.port();
    format!(
        "[defaults]\nin_doubt_wait = \"1s\"\nin_doubt = {{ {in_doubt} }}\n\
         [[carrier]]\nname = \"north\"\nhosts = [\"127.0.0.1:{port}\"]\nsystem_id = \"me\"\nbinds = 1\n\
         window = {WINDOW}\nresponse_timeout = \"60s\"\n\
         [[route]]\nname = \"all\"\ncarriers = [{{ name = \"north\" }}]\n"
    )
}

fn submits(smsc: &Smsc) -> u64 {
    smsc.get("/stats")["submits"]["received"].as_u64().expect("a number")
}

fn message(number: usize, class: &str) -> Value {
    json!({"to": format!("+49151100{number:05}"), "body": format!("message {number}"), "class": class})
}

fn ledger(daemon: &Daemon) -> Vec<Value> {
    let page = daemon.get("/v1/in-doubt?limit=1000");
    assert_eq!(page["next"], Value::Null);
    page["in_doubt"].as_array().expect("entries").clone()
}

fn ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["id"].as_str().expect("an id")).collect()
}

fn state(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/v1/messages/{id}"))
}

fn metric(daemon: &Daemon, line: &str) -> Option<f64> {
    let (_, text) = daemon.call("GET", "/metrics", &[], "");
    let text = text.as_str().expect("text").to_owned();
    text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok())
}

/// A carrier that takes everything and answers nothing, and a daemon that was stopped meanwhile.
fn stopped(in_doubt: &str) -> (Smsc, Daemon, Vec<Value>) {
    let smsc = Smsc::start(&["--behaviour", r#"{"answer_lost_ppm":1000000,"receipt_lost_ppm":1000000}"#]);
    let mut daemon = Daemon::new("drain_timeout = \"1s\"", &config(&smsc, in_doubt));
    daemon.start();
    let messages: Vec<Value> = (0..SENT).map(|number| message(number, "transactional")).collect();
    let (status, results) = daemon.post("/v1/messages", &Value::Array(messages));
    assert_eq!((status, results.as_array().map(Vec::len)), (202, Some(SENT)));
    daemon.until("the window is full", || submits(&smsc) == WINDOW as u64);
    let (status, took) = daemon.end(Signal::TERM);
    println!("SIGTERM with {WINDOW} submits unanswered: ended after {took:?}");
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert_eq!(submits(&smsc), WINDOW as u64, "nothing was sent while draining");
    smsc.post("/behaviour", r#"{"answer_lost_ppm":0,"receipt_lost_ppm":0}"#);
    daemon.start();
    let entries = ledger(&daemon);
    assert_eq!(entries.len(), WINDOW);
    for entry in &entries {
        let named = [&entry["reason"], &entry["carrier"], &entry["class"], &entry["bind"], &entry["parts_open"]];
        assert_eq!(named, [&json!("stopped"), &json!("north"), &json!("transactional"), &json!(0), &json!(1)]);
    }
    (smsc, daemon, entries)
}

#[test]
fn a_stop_lists_what_was_not_answered_and_nothing_else() {
    let (smsc, daemon, entries) = stopped("transactional = \"hold\"");
    daemon.until("the rest is delivered", || submits(&smsc) == SENT as u64);
    let gauge = "stentor_in_doubt_messages{carrier=\"north\",class=\"transactional\",reason=\"stopped\"}";
    daemon.until("the metric says so", || metric(&daemon, gauge) == Some(WINDOW as f64));
    assert_eq!(ids(&ledger(&daemon)), ids(&entries), "what is held stays");
    // The operator decides: one is sent again, one is dropped, one is marked as sent; the second decision about one is refused.
    let ids = ids(&entries);
    for (id, action, result) in [(ids[0], "resend", "resent"), (ids[1], "drop", "dropped"), (ids[2], "sent", "sent")] {
        let decision = json!({"action": action, "ids": [id]});
        let (status, answer) = daemon.post("/v1/in-doubt/resolve", &decision);
        assert_eq!((status, &answer["results"][0]["result"]), (200, &json!(result)), "{answer}");
        let (status, answer) = daemon.post("/v1/in-doubt/resolve", &decision);
        assert_eq!((status, &answer["code"]), (409, &json!("not_in_doubt")), "{answer}");
    }
    daemon.until("it is delivered", || state(&daemon, ids[0])["state"] == "delivered");
    let dropped = state(&daemon, ids[1]);
    assert_eq!((&dropped["state"], &dropped["reason"]), (&json!("dead"), &json!("in_doubt_dropped")));
    let last = dropped["timeline"].as_array().and_then(|timeline| timeline.last());
    assert_eq!(last.map(|entry| &entry["by"]), Some(&json!("operator_drop")), "{dropped}");
    assert_eq!(state(&daemon, ids[2])["state"], "submitted");
    let (code, text) = daemon.command(&["in-doubt", "--carrier", "north", "--resolve", "resend"]);
    assert_eq!((code, text.lines().count()), (Some(0), WINDOW - 3), "{text}");
    daemon.until("all are sent again", || submits(&smsc) == (SENT + 1 + WINDOW - 3) as u64);
    assert_eq!(daemon.command(&["in-doubt"]), (Some(0), "nothing is in doubt\n".to_owned()));
    let by_operator = "stentor_in_doubt_resolved_total{by=\"operator_resend\"}";
    daemon.until("the metric says so", || metric(&daemon, by_operator) == Some((WINDOW - 2) as f64));
}

#[test]
fn what_a_class_drops_is_dead_and_never_sent_twice() {
    let smsc = Smsc::start(&["--behaviour", r#"{"answer_lost_ppm":1000000,"receipt_lost_ppm":1000000}"#]);
    let mut daemon = Daemon::new("", &config(&smsc, "otp = \"drop\""));
    daemon.start();
    let messages: Vec<Value> = (0..WINDOW).map(|number| message(number, "otp")).collect();
    let (_, results) = daemon.post("/v1/messages", &Value::Array(messages));
    daemon.until("all are written", || submits(&smsc) == WINDOW as u64);
    daemon.end(Signal::KILL);
    smsc.post("/behaviour", r#"{"answer_lost_ppm":0,"receipt_lost_ppm":0}"#);
    daemon.start();
    daemon.until("their receipts are not awaited any more", || ledger(&daemon).is_empty());
    for result in results.as_array().expect("results") {
        let message = state(&daemon, result["id"].as_str().expect("an id"));
        assert_eq!((&message["state"], &message["reason"]), (&json!("dead"), &json!("in_doubt_dropped")));
        let events: Vec<_> =
            message["timeline"].as_array().expect("timeline").iter().map(|entry| &entry["event"]).collect();
        assert_eq!(events, ["attempt", "in_doubt", "dead"]);
        assert_eq!(message["timeline"][1]["reason"], "crashed");
    }
    let (_, last) = daemon.post("/v1/messages", &message(WINDOW, "otp"));
    let last = last["id"].as_str().expect("an id").to_owned();
    daemon.until("the next one is delivered", || state(&daemon, &last)["state"] == "delivered");
    assert_eq!(submits(&smsc), WINDOW as u64 + 1, "none was sent twice");
}

#[test]
fn a_reload_is_applied_whole_or_not_at_all() {
    let (smsc, daemon, entries) = stopped("transactional = \"hold\"");
    let config_of = |window: usize, in_doubt: &str| {
        config(&smsc, in_doubt).replace(&format!("window = {WINDOW}"), &format!("window = {window}"))
    };
    let node = "drain_timeout = \"1s\"";
    // Refused as a whole, with the reason: nothing of it is applied.
    daemon.configure("drain_timeout = \"1s\"\nid = 7", &config_of(20, "transactional = \"drop\""));
    daemon.signal(Signal::HUP);
    daemon.until("it is refused", || daemon.log().contains("node.id: 0 → 7 (needs a restart)"));
    daemon.configure(node, "[defaults]\nin_doubt = { transactional = \"perhaps\" }\n");
    daemon.signal(Signal::HUP);
    daemon.until("it is refused", || daemon.log().matches("reload refused").count() >= 2);
    let window = || daemon.get("/v1/carriers")["carriers"][0]["window"].clone();
    daemon.until("the carrier is bound", || window() == WINDOW);
    assert_eq!(ledger(&daemon)[0]["policy"], "hold");
    // Applied: the link has its new window, and messages in doubt follow the new policy. A carrier may be added too.
    let more = "[[carrier]]\nname = \"south\"\nhosts = [\"127.0.0.1:1\"]\nsystem_id = \"me\"\nbinds = 1\n";
    daemon.configure(node, &(config_of(20, "transactional = \"drop\"") + more));
    let file = daemon.file();
    let told = |more: &[&str]| daemon.command(&[&["reload", "--config", file.to_str().expect("text")], more].concat());
    let (code, text) = told(&["--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("carrier.north.window: 10 → 20") && text.contains("nothing was applied"), "{text}");
    assert_eq!(window(), WINDOW);
    let (code, text) = told(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("carrier.north.window: 10 → 20") && text.contains("applied"), "{text}");
    daemon.until("the window is the new one", || window() == 20);
    daemon.configure("drain_timeout = \"1s\"\nid = 7", &config_of(20, "transactional = \"drop\""));
    for more in [&["--dry-run"][..], &[]] {
        let (code, text) = told(more);
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains("node.id: 0 → 7 (needs a restart)"), "{text}");
    }
    daemon.until("the ledger is empty", || ledger(&daemon).is_empty());
    let dropped = state(&daemon, ids(&entries)[0]);
    let last = dropped["timeline"].as_array().and_then(|timeline| timeline.last());
    assert_eq!(last.map(|entry| &entry["by"]), Some(&json!("policy_drop")), "{dropped}");
    assert_eq!(daemon.get("/v1/carriers")["carriers"][1]["name"], "south");
    let log = daemon.log();
    assert!(log.contains("reloaded: carrier.north.window: 10 → 20"), "{log}");
    daemon.until("the rest is sent", || submits(&smsc) == SENT as u64);
}

#[test]
fn a_key_stands_for_one_message_whatever_happens() {
    let smsc = Smsc::start(&[]);
    let mut daemon = Daemon::new("", &config(&smsc, ""));
    daemon.start();
    let keyed = |number: usize, key: &str| {
        let mut message = message(number, "transactional");
        message["key"] = key.into();
        message
    };
    // Three copies at once.
    let one = keyed(1, "one");
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| daemon.post("/v1/messages", &one))).collect();
        asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let id = answers[0].1["id"].clone();
    assert!(answers.iter().all(|(status, answer)| *status == 202 && answer["id"] == id), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, answer)| answer["duplicate"] == true).count(), 2, "{answers:?}");
    // A client that disconnects before its answer.
    let two = keyed(2, "two");
    daemon.cut_off("/v1/messages", &["Content-Type: application/json"], &two.to_string());
    let (_, again) = daemon.post("/v1/messages", &two);
    let second = again["id"].clone();
    // A whole request under a key, and the same with the connection cut.
    let lines = format!("{}\n{}\n{}\n", message(3, "otp"), message(4, "otp"), message(5, "otp"));
    let headers = ["Content-Type: application/x-ndjson", "Idempotency-Key: request"];
    daemon.cut_off("/v1/messages", &headers, &lines);
    let (status, results) = daemon.call("POST", "/v1/messages", &headers, &lines);
    let ids_of = |results: &Value| -> Vec<Value> {
        results.as_array().expect("results").iter().map(|result| result["id"].clone()).collect()
    };
    let third = ids_of(&results);
    assert_eq!((status, third.len()), (202, 3));

    daemon.end(Signal::KILL);
    daemon.start();
    for (message, id) in [(&one, &id), (&two, &second)] {
        let (status, answer) = daemon.post("/v1/messages", message);
        assert_eq!((status, &answer["id"], &answer["duplicate"]), (202, id, &json!(true)), "{answer}");
    }
    let (status, results) = daemon.call("POST", "/v1/messages", &headers, &lines);
    assert_eq!((status, ids_of(&results)), (202, third));
    // A key with other content is refused with its error code, and leaves nothing behind.
    let mut changed = one.clone();
    changed["body"] = "another".into();
    let (status, answer) = daemon.post("/v1/messages", &changed);
    assert_eq!((status, &answer["code"]), (409, &json!("key_reused")), "{answer}");
    let (status, answer) = daemon.call("POST", "/v1/messages", &headers, &lines.replace("message 5", "another"));
    assert_eq!((status, &answer["code"]), (409, &json!("key_reused")), "{answer}");
    // Every message came once, and the next one after them. Of the messages that the crash left in doubt the daemon may
    // have repeated one or, in a class that drops them, never have sent it; the ledger says for how many that is
    // possible.
    let (_, last) = daemon.post("/v1/messages", &keyed(6, "six"));
    let last = last["id"].as_str().expect("an id").to_owned();
    daemon.until("it is delivered", || state(&daemon, &last)["state"] == "delivered");
    let records = daemon.call("GET", "/v1/records", &[], "").1;
    let text = records.as_str().expect("lines").to_owned();
    assert_eq!(text.matches("\"accepted_at\"").count(), 6, "{text}");
    let doubts = metric(&daemon, "stentor_in_doubt_total").unwrap_or_default() as u64;
    assert!(
        (6_u64.saturating_sub(doubts)..=6 + doubts).contains(&submits(&smsc)),
        "{} submits, {doubts} in doubt",
        submits(&smsc)
    );
}
