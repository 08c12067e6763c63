//! A real `stentor` with `config/bench.toml`: started on a directory, queried over HTTP, killed with its test; and its
//! other commands.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::daemon::stentor;

/// Runs one of its commands to the end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(stentor()).args(arguments).output().expect("stentor runs")
}

/// A running daemon with `config/bench.toml`.
pub(crate) struct Daemon {
    child: Child,
    pub http: SocketAddr,
}

impl Daemon {
    /// Starts it on `data` with `carrier` as its carrier, and waits until it is ready. `settings` are further keys.
    pub(crate) fn start(data: &Path, carrier: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let http = free_port();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/bench.toml");
        let mut command = Command::new(stentor());
        command.arg("serve").arg("--config").arg(config);
        command.env("STENTOR__NODE__DATA_DIR", data).env("STENTOR__HTTP__LISTEN", http.to_string());
        command.env("STENTOR__CARRIER__BENCH__PORT", carrier.port().to_string());
        for (key, value) in settings {
            command.env(format!("STENTOR__{key}"), value);
        }
        let mut daemon = Self { child: command.spawn().expect("stentor serve starts"), http };
        let begun = Instant::now();
        while daemon.try_call("GET", "/readyz", "").is_none_or(|(status, _)| status != 200) {
            assert!(daemon.child.try_wait().expect("a child").is_none(), "it ended during its start");
            assert!(begun.elapsed() < Duration::from_secs(60), "not ready");
            thread::sleep(Duration::from_millis(50));
        }
        daemon
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Sends a request; gives the answer's status and body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_call(method, path, body).expect("an answer")
    }

    /// As [`Self::call`]; `None` if no process listens, or if it ends meanwhile.
    pub(crate) fn try_call(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        call(self.http, method, path, body)
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has already ended after `kill`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One exchange; `None` if there was no complete answer.
pub(crate) fn call(to: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let media = if body.starts_with('{') && body.contains('\n') { "application/x-ndjson" } else { "application/json" };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {media}\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address")
}
