//! Data directories and backups of every released format, opened by the current version (`golden/README.md`). The wall
//! clock is set back to the day on which they were made, so that nothing has expired. `STENTOR_GOLDEN_ADD=NAME` adds
//! one.

mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};
use stage::daemon::Daemon;
use stage::process::Smsc;

const NODE: &str = "shards = 2\nid = 7";
const ADMIN: &str = "Authorization: Bearer golden-admin-key-0001";
const TENANTS: [&str; 2] = [ADMIN, "Authorization: Bearer golden-other-key-0002"];
const JSON: &str = "Content-Type: application/json";

/// Two clients, two carriers of one group, two routes; messages in doubt are held, and retries wait for long.
fn config(smsc: u16) -> String {
    format!(
        r#"
[defaults]
in_doubt = {{ emergency = "hold", transactional = "hold", marketing = "hold" }}

[retry]
transient = {{ attempts_max = 5, backoff_min = "5h", backoff_max = "5h", jitter = 0 }}

[[carrier]]
name = "north"
group = "both"
hosts = ["127.0.0.1:{smsc}"]
system_id = "north"
window = 50
response_timeout = "2s"
reconnect_max = "1s"

[[carrier]]
name = "south"
group = "both"
hosts = ["127.0.0.1:{smsc}"]
system_id = "south"
window = 50
response_timeout = "2s"
reconnect_max = "1s"

[[route]]
name = "french"
when = {{ prefix = "33" }}
carriers = [{{ name = "south" }}]

[[route]]
name = "all"
carriers = [{{ name = "north" }}]

[[tenant]]
name = "first"
admin_keys = ["golden-admin-key-0001"]

[[tenant]]
name = "second"
keys = ["golden-other-key-0002"]
classes = ["emergency", "otp", "transactional", "marketing"]
"#
    )
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn sh(command: &str, arguments: &[&Path]) {
    let status = Command::new("sh").args(["-ec", command, "sh"]).args(arguments).status().expect("sh");
    assert!(status.success(), "{command}: {status}");
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn libfaketime() -> Option<String> {
    let of = |machine: &&str| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1");
    ["x86_64", "aarch64"].iter().map(of).find(|path| Path::new(path).exists())
}

/// The environment for a wall clock at `then` (seconds since 1970).
fn clock_at(then: u64) -> Vec<(String, String)> {
    let offset = then as i64 - now_s() as i64;
    let pairs = [
        ("LD_PRELOAD", libfaketime().expect("asked for before")),
        ("FAKETIME", format!("{offset:+}")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// Messages of every kind, to recipients with different outcomes; `from` keeps their numbers apart.
fn messages(from: u64, count: u64) -> Vec<Value> {
    let one = |number: u64| {
        let country = if number.is_multiple_of(5) { "+336" } else { "+49151" };
        let fate = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 500][(number % 12) as usize];
        let class = ["emergency", "otp", "transactional", "marketing"][(number / 12 % 4) as usize];
        let mut message = json!({"to": format!("{country}{number:04}{fate:04}"), "class": class});
        match number % 7 {
            0 => message["body"] = json!("ä".repeat(200)),
            1 => message["body"] = json!("Привет, 世界 🌍 ".repeat(12)),
            2 => message["data"] = json!("AAECAwT/"),
            3 => message["body"] = json!("[^{}] €"),
            _ => message["body"] = json!(format!("number {number}")),
        }
        match number % 11 {
            0 => message["key"] = json!(format!("key {number}")),
            1 => message["send_at"] = json!(rfc3339(now_s() + 5 * 86_400)),
            2 => message["tags"] = json!(["login", "golden"]),
            3 => message["ref"] = json!(format!("ref-{number}")),
            4 => message["tlvs"] = json!([{"tag": 0x1400, "text": "1101"}]),
            5 => message["from"] = json!("GOLDEN"),
            6 => message["receipt"] = json!(false),
            _ => {}
        }
        message
    };
    (from..from + count).map(one).collect()
}

/// The time as the API expects it; made with `date`, which every machine has.
fn rfc3339(seconds: u64) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(output.expect("date").stdout).expect("ASCII").trim().to_owned()
}

fn post(daemon: &Daemon, tenant: &str, messages: &[Value]) -> Vec<Value> {
    let body = Value::from(messages.to_vec()).to_string();
    let (status, answer) = daemon.call("POST", "/v1/messages", &[tenant, JSON], &body);
    assert_eq!(status, 202, "{answer}");
    let results = answer.as_array().expect("results").clone();
    assert!(results.iter().all(|result| result.get("id").is_some()), "{answer}");
    results
}

/// Everything that can be queried about the contents of a directory, so that it can be compared. Times that a start
/// creates (`then` and later, in ms) are left out.
fn observe(daemon: &Daemon, then: u64) -> Value {
    let mut told = json!({});
    for tenant in TENANTS {
        let (_, records) = daemon.call("GET", "/v1/records", &[tenant], "");
        let ids: Vec<Value> = lines(&records).into_iter().filter_map(|line| line.get("id").cloned()).collect();
        assert!(!ids.is_empty(), "{records}");
        for ids in ids.chunks(500) {
            let body = json!({ "ids": ids }).to_string();
            let (_, found) = daemon.call("POST", "/v1/messages/lookup", &[tenant, JSON], &body);
            for message in found["messages"].as_array().expect("messages") {
                let id = message["id"].as_str().expect("an id").to_owned();
                told["messages"][id] = without_later(message.clone(), &rfc3339(then - 1));
            }
        }
    }
    let (_, ledger) = daemon.call("GET", "/v1/in-doubt?limit=1000", &[ADMIN], "");
    told["in_doubt"] = without_later(ledger["in_doubt"].clone(), &rfc3339(then - 1));
    let (_, restored) = daemon.call("GET", "/v1/restored", &[ADMIN], "");
    told["restored"] = restored["classes"].clone();
    told
}

fn lines(records: &Value) -> Vec<Value> {
    match records {
        Value::String(text) => text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        one => vec![one.clone()],
    }
}

/// Times in this format sort as texts.
fn without_later(mut value: Value, then: &str) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_time = name == "at" || name.ends_with("_at") || name == "since";
                if is_time
                    && field.as_str().is_some_and(|at| at.get(..19) >= then.get(..19))
                    && name != "send_at"
                    && name != "expires_at"
                {
                    *field = json!("later");
                } else {
                    *field = without_later(field.take(), then);
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                *element = without_later(element.take(), then);
            }
        }
        _ => {}
    }
    value
}

/// Waits until the daemon's metrics count so many awaited receipts.
fn waits_for(daemon: &Daemon, receipts: &Value) {
    let mut told = Value::Null;
    daemon.until(&format!("{receipts} receipts are awaited"), || {
        let now = daemon.call("GET", "/v1/queues", &[ADMIN], "").1["awaiting_receipt"].take();
        if now != told {
            eprintln!("{now} receipts are awaited");
            told = now;
        }
        told == *receipts
    });
}

/// A daemon on the contents of a folder, with the clock at the time when they were left.
fn opened(folder: &Path, is_backup: bool, then: u64, smsc: u16) -> Daemon {
    let mut daemon = Daemon::new(NODE, &config(smsc));
    daemon.set_variables(&clock_at(then));
    let data = daemon.data();
    if is_backup {
        let file = data.with_file_name("backup");
        sh("gunzip -c \"$1\" > \"$2\"", &[&folder.join("backup.gz"), &file]);
        let path = |path: &Path| path.to_str().expect("a path").to_owned();
        let (code, output) = daemon.command(&["restore", &path(&file), "--to", &path(&data)]);
        assert_eq!(code, Some(0), "{output}");
    } else {
        sh("mkdir \"$2\" && tar -xzf \"$1\" -C \"$2\"", &[&folder.join("data.tar.gz"), &data]);
    }
    daemon.start();
    daemon
}

/// A port on which no process listens.
const NOBODY: u16 = 9;

fn open_and_compare(folder: &Path) {
    let unpacked = Command::new("gunzip").arg("-c").arg(folder.join("expected.json.gz")).output().expect("gunzip");
    let expected: Value = serde_json::from_slice(&unpacked.stdout).expect("JSON");
    let then = expected["left_at"].as_u64().expect("a time");
    for (name, is_backup) in [("data", false), ("backup", true)] {
        let daemon = opened(folder, is_backup, then, NOBODY);
        let told = observe(&daemon, then);
        for (id, message) in expected[name]["messages"].as_object().expect("messages") {
            assert_eq!(told["messages"][id], *message, "{}: {name}: {id}", folder.display());
        }
        assert_eq!(told, expected[name], "{}: {name}", folder.display());
        waits_for(&daemon, &expected["awaiting_receipt"][name]);
    }
    goes_on(folder, &expected, then);
}

/// Keys are still known, and waiting messages are sent.
fn goes_on(folder: &Path, expected: &Value, then: u64) {
    let smsc = Smsc::start(&[]);
    let daemon = opened(folder, false, then, smsc.listening.port());
    for known in expected["keys"].as_array().expect("keys") {
        let answer = post(&daemon, ADMIN, &[known["message"].clone()]);
        assert_eq!(answer[0], json!({"id": known["id"], "duplicate": true}), "{known}");
        let mut other = known["message"].clone();
        other["body"] = json!("another text");
        other.as_object_mut().expect("an object").remove("data");
        let body = other.to_string();
        let (status, answer) = daemon.call("POST", "/v1/messages", &[ADMIN, JSON], &body);
        assert_eq!((status, answer["code"].as_str()), (409, Some("key_reused")), "{answer}");
    }
    let queued: Vec<&String> = expected["data"]["messages"]
        .as_object()
        .expect("messages")
        .iter()
        .filter(|(_, message)| message["state"] == "queued")
        .map(|(id, _)| id)
        .collect();
    assert!(!queued.is_empty());
    daemon.until("what waited is delivered", || {
        let body = json!({ "ids": queued }).to_string();
        let documents = TENANTS.map(|tenant| daemon.call("POST", "/v1/messages/lookup", &[tenant, JSON], &body).1);
        let is_there =
            |state: &str, index: usize| documents.iter().any(|found| found["messages"][index]["state"] == state);
        (0..queued.len()).all(|index| is_there("delivered", index) || is_there("submitted", index))
    });
}

#[test]
fn every_released_format_is_opened() {
    if libfaketime().is_none() {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is missing");
        eprintln!("SKIPPED: libfaketime is missing");
        return;
    }
    if let Some(name) = std::env::var_os("STENTOR_GOLDEN_ADD") {
        add(&golden().join(name));
    }
    let mut folders: Vec<PathBuf> =
        fs::read_dir(golden()).expect("golden").map(|entry| entry.expect("entry").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(!folders.is_empty());
    for folder in &folders {
        open_and_compare(folder);
        eprintln!("{} is opened", folder.display());
    }
}

/// Makes a new folder: two lives of a daemon; then what the current version reports about their data.
#[allow(clippy::too_many_lines, reason = "run manually, once per format: one sequence of steps")]
fn add(folder: &Path) {
    fs::create_dir(folder).expect("a new folder");
    let behaviour = json!({"magic": true, "receipt_lost_ppm": 300_000, "receipt_unknown_ppm": 100_000,
        "receipt_delay": {"min_us": 0, "max_us": 1_000_000}});
    let smsc = Smsc::start(&["--behaviour", &behaviour.to_string()]);
    let mut daemon = Daemon::new(NODE, &config(smsc.listening.port()));
    let file = folder.join("backup");
    let mut keys = Vec::new();
    for life in 0..2 {
        daemon.start();
        let sent = messages(life * 2_000, 480);
        let results = post(&daemon, TENANTS[0], &sent);
        post(&daemon, TENANTS[1], &messages(life * 2_000 + 1_000, 120));
        let known = sent.iter().zip(&results).filter(|(message, _)| message.get("key").is_some());
        keys.extend(known.take(12).map(|(message, result)| json!({"message": message, "id": result["id"]})));
        let waiting = sent.iter().zip(&results).filter(|(message, _)| message.get("send_at").is_some());
        for (_, result) in waiting.step_by(4) {
            let path = format!("/v1/messages/{}", result["id"].as_str().expect("an id"));
            assert_eq!(daemon.call("DELETE", &path, &[TENANTS[0]], "").0, 200);
        }
        daemon.until("most is settled", || {
            let queues = daemon.call("GET", "/v1/queues", &[ADMIN], "").1;
            queues["in_flight"] == 0 && queues["depth"] == 0 && queues["in_doubt"].as_u64() > Some(0)
        });
        if life == 0 {
            daemon.until("what is given up is dead", || {
                let otps = daemon.call("GET", "/v1/in-doubt?class=otp", &[ADMIN], "").1;
                otps["in_doubt"].as_array().is_some_and(Vec::is_empty)
            });
            assert!(daemon.end(Signal::TERM).0.success());
            continue;
        }
        // The carrier accepts no binds: these messages are queued; then some are submitted and never answered.
        smsc.post("/refuse-binds", "");
        smsc.post("/disconnect", "");
        post(&daemon, TENANTS[0], &messages(5_000, 60));
        let path = file.to_str().expect("a path");
        let (code, output) = daemon.command(&["backup", path, "--api-key", "golden-admin-key-0001"]);
        assert_eq!(code, Some(0), "{output}");
        post(&daemon, TENANTS[1], &messages(6_000, 60));
        smsc.post("/behaviour", &json!({"magic": false, "swallowed_ppm": 1_000_000}).to_string());
        smsc.post("/accept-binds", "");
        daemon.until("windows are full", || {
            daemon.call("GET", "/v1/queues", &[ADMIN], "").1["in_flight"].as_u64() >= Some(50)
        });
        daemon.end(Signal::KILL);
    }
    drop(smsc);
    let leave = "tar --sparse --exclude=./ballast --exclude=./lock -C \"$1\" -czf \"$2\" . && gzip -9 \"$3\"";
    sh(leave, &[&daemon.data(), &folder.join("data.tar.gz"), &file]);
    // A second later than every event, and one more because fractions of seconds are cut off.
    let then = now_s() + 3;
    let mut expected = json!({"left_at": then, "keys": keys});
    for (name, is_backup) in [("data", false), ("backup", true)] {
        let daemon = opened(folder, is_backup, then, NOBODY);
        expected[name] = observe(&daemon, then);
        std::thread::sleep(std::time::Duration::from_secs(3));
        expected["awaiting_receipt"][name] =
            daemon.call("GET", "/v1/queues", &[ADMIN], "").1["awaiting_receipt"].clone();
    }
    let states: BTreeSet<&str> = ["data", "backup"]
        .iter()
        .flat_map(|name| expected[name]["messages"].as_object().expect("messages").values())
        .filter_map(|message| message["state"].as_str())
        .collect();
    eprintln!("states: {states:?}");
    for state in [
        "scheduled",
        "queued",
        "submitted",
        "in_doubt",
        "delivered",
        "undelivered",
        "expired",
        "rejected",
        "cancelled",
        "dead",
    ] {
        assert!(states.contains(state), "no message is {state}");
    }
    let file = folder.join("expected.json");
    fs::write(&file, format!("{expected:#}\n")).expect("written");
    sh("gzip -9 \"$1\"", &[&file]);
}
