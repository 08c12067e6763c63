//! `stentor dev` as a process: its phones write messages, and `stentor inbound --follow` reads them.

mod stage;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use stage::daemon::{ask, stentor};

/// How long a line may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

const JSON: &[&str] = &["Content-Type: application/json"];

/// A process whose output lines are read, and which ends with its test.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("stentor starts");
        let read = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || read.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// Ends it with a signal: its exit code, or the signal that killed it.
    fn end(mut self, signal: Signal) -> (Option<i32>, Option<i32>) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal");
        let status = self.child.wait().expect("its end");
        (status.code(), status.signal())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has already ended after `end`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running sandbox, and its address.
fn sandbox(data: &Path, listen: &str) -> (Running, SocketAddr) {
    let sandbox = Running::start(Command::new(stentor()).args(["dev", "--listen", listen, "--data"]).arg(data));
    loop {
        let line = sandbox.line();
        if let Some(rest) = line.strip_prefix("Inbox: http://") {
            return (sandbox, rest.trim_end_matches('/').parse().expect("an address"));
        }
    }
}

fn get(address: SocketAddr, path: &str) -> Value {
    ask(address, "GET", path, &[], "").expect("an answer").1
}

fn writing(address: SocketAddr, text: &str) -> String {
    let token = get(address, "/dev/sandbox")["token"].clone();
    json!({"token": token, "from": "+4915112340000", "to": "72345", "text": text}).to_string()
}

fn write(address: SocketAddr, text: &str) {
    let (status, told) = ask(address, "POST", "/dev/handset", JSON, &writing(address, text)).expect("an answer");
    assert_eq!(status, 200, "{told}");
}

#[test]
fn what_a_phone_writes_is_followed_over_a_restart_until_interrupted() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let (running, address) = sandbox(directory.path(), "127.0.0.1:0");
    let url = format!("http://{address}");
    let follow = ["inbound", "--follow", "--json", "--url", &url];
    let follower = Running::start(Command::new(stentor()).args(follow));
    let hears = |text: &str| {
        let message: Value = serde_json::from_str(&follower.line()).expect("a message");
        let told = [&message["from"], &message["to"], &message["text"]];
        assert_eq!(told, [&json!("+4915112340000"), &json!("72345"), &json!(text)]);
        let cursor: Value = serde_json::from_str(&follower.line()).expect("a cursor");
        cursor["cursor"].as_str().expect("text").to_owned()
    };
    write(address, "one");
    let first = hears("one");
    let long = "Ж".repeat(200);
    write(address, &long);
    assert_ne!(hears(&long), first);
    let shown = get(address, "/dev/messages");
    let of = |at: usize, part: usize| shown["messages"][at]["parts"][part]["receipt"].clone();
    assert_eq!([of(0, 0), of(1, 0), of(1, 1), of(1, 2)], ["taken"; 4], "{shown}");

    assert_eq!(running.end(Signal::TERM), (Some(0), None));
    let (_running, again) = sandbox(directory.path(), &address.to_string());
    assert_eq!(again, address);
    write(address, "three");
    let last = hears("three");
    // Not SIGINT, which shells set to ignored for background jobs.
    assert_eq!(follower.end(Signal::TERM), (None, Some(Signal::TERM.as_raw())));

    let mut command = Command::new(stentor());
    let output = command.args(["inbound", "--json", "--url", &url, "--cursor", &first]).output().expect("it runs");
    let told = String::from_utf8(output.stdout).expect("text");
    let texts: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(texts.iter().filter(|line| line["id"].is_string()).count(), 2, "{told}");
    assert_eq!(texts.last().map(|line| &line["cursor"]), Some(&json!(last)));
}

#[test]
fn no_page_of_another_origin_writes_from_a_phone() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let (_running, address) = sandbox(directory.path(), "127.0.0.1:0");
    let body = writing(address, "STOP");
    for foreign in ["Origin: http://evil.example", "Origin: null", "Origin: http://localhost:1"] {
        let (status, told) = ask(address, "POST", "/dev/handset", &[JSON[0], foreign], &body).expect("an answer");
        assert_eq!((status, &told["code"]), (421, &json!("host_not_allowed")), "{foreign}");
    }
    assert_eq!(get(address, "/dev/messages")["messages"], json!([]));
    let (status, told) = ask(address, "POST", "/dev/handset", JSON, &body).expect("an answer");
    assert_eq!(status, 200, "{told}");
}
