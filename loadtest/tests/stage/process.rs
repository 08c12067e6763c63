//! Real `loadtest` processes: started, queried over their control port, ended with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

/// A running SMSC simulator.
pub(crate) struct Smsc {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub listening: SocketAddr,
    pub control: SocketAddr,
}

impl Smsc {
    /// Starts one on free ports, with these further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["smsc", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("loadtest smsc starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints where it listens");
        let started: Value = serde_json::from_str(&line).expect("as JSON");
        let address = |name: &str| started[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { child, stdout, listening: address("listening"), control: address("control") }
    }

    /// CPU time used so far, in seconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc");
        let (_, fields) = stat.rsplit_once(") ").expect("name in brackets");
        let ticks = |index: usize| fields.split(' ').nth(index).and_then(|field| field.parse::<u64>().ok());
        let ticks = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
        ticks.expect("utime and stime") as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Sends a `GET` to the control port.
    pub(crate) fn get(&self, target: &str) -> Value {
        self.call("GET", target, "")
    }

    /// Sends a command to the control port; the answer must be a success.
    pub(crate) fn post(&self, target: &str, body: &str) {
        let answer = self.call("POST", target, body);
        assert_eq!(answer["done"], true, "{target}: {answer}");
    }

    /// The answer's body as JSON, success or not.
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.control).expect("control port");
        let head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        let (_, body) = answer.split_once("\r\n\r\n").expect("head and body");
        serde_json::from_str(body).expect("JSON")
    }

    /// Sends SIGTERM; gives the report that it prints at its end.
    pub(crate) fn stop(mut self) -> Value {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
        let mut report = String::new();
        self.stdout.read_to_string(&mut report).expect("report");
        assert!(self.child.wait().expect("end").success());
        serde_json::from_str(&report).expect("report as JSON")
    }
}

impl Drop for Smsc {
    fn drop(&mut self) {
        // It has already ended after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `loadtest send` to its end.
pub(crate) fn send(to: SocketAddr, arguments: &[&str]) -> (Output, Value) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let json = directory.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["send", "--to", &to.to_string(), "--json"])
        .arg(&json)
        .args(arguments)
        .output()
        .expect("loadtest send runs");
    let report = std::fs::read(&json).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    (output, report)
}
