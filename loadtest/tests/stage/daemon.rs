//! A real `stentor serve` in a directory of its own: started, queried over HTTP, signalled, started again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for anything before it gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(20);

/// A daemon, running or not, and its directory, which stays.
pub(crate) struct Daemon {
    directory: tempfile::TempDir,
    http: SocketAddr,
    child: Option<Child>,
    starts: u32,
    /// Its further environment variables.
    variables: Vec<(String, String)>,
    /// A program that is started instead and becomes the daemon.
    wrapper: Vec<String>,
}

impl Daemon {
    /// A daemon that is not started yet. `config` is the text below `[node]` and `[http]`.
    pub(crate) fn new(node: &str, config: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let http = listener.local_addr().expect("address");
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
        let daemon = Self { directory, http, child: None, starts: 0, variables: Vec::new(), wrapper: Vec::new() };
        daemon.configure(node, config);
        daemon
    }

    /// Writes another configuration.
    pub(crate) fn configure(&self, node: &str, config: &str) {
        let data = self.data();
        let head = format!("[node]\ndata_dir = {data:?}\n{node}\n[http]\nlisten = \"{}\"\n", self.http);
        std::fs::write(self.file(), head + config).expect("written");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("stentor.toml")
    }

    /// Sets environment variables for it and for its other commands.
    pub(crate) fn set_variables(&mut self, variables: &[(String, String)]) {
        self.variables = variables.to_vec();
    }

    /// Has it started by another program, which becomes it.
    pub(crate) fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let log = self.next_log();
        self.spawn(self.program(), log.try_clone().expect("log").into(), log.into());
        self.until_ready();
    }

    /// As [`Self::start`], from a shell that first executes `prelude`.
    pub(crate) fn start_after(&mut self, prelude: &str) {
        let log = self.next_log();
        self.spawn(in_shell(prelude), log.try_clone().expect("log").into(), log.into());
        self.until_ready();
    }

    /// As [`Self::start`], but it counts as ready when this command succeeds: for a daemon that does not answer plain HTTP.
    pub(crate) fn start_asked_by(&mut self, words: &[&str]) {
        let log = self.next_log();
        self.spawn(self.program(), log.try_clone().expect("log").into(), log.into());
        self.until("it is ready", || self.command(words).0 == Some(0));
    }

    /// As [`Self::start`], with these as its stdout and stderr.
    pub(crate) fn start_telling(&mut self, out: Stdio, err: Stdio) {
        self.starts += 1;
        self.spawn(self.program(), out, err);
        self.until_ready();
    }

    /// A start after `prelude` that must fail; gives the exit code.
    pub(crate) fn refuses_after(&mut self, prelude: &str) -> Option<i32> {
        let log = self.next_log();
        self.spawn(in_shell(prelude), log.try_clone().expect("log").into(), log.into());
        let mut child = self.child.take().expect("it runs");
        let mut ended = None;
        self.until("it refuses", || {
            ended = child.try_wait().expect("its state");
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }

    fn next_log(&mut self) -> std::fs::File {
        self.starts += 1;
        std::fs::File::create(self.log_file()).expect("log")
    }

    fn program(&self) -> Command {
        let mut words = self.wrapper.iter().map(std::ffi::OsString::from).chain([stentor().into_os_string()]);
        let mut command = Command::new(words.next().expect("at least its own name"));
        command.args(words);
        command
    }

    fn spawn(&mut self, mut command: Command, out: Stdio, err: Stdio) {
        command.args(["serve", "--config"]).arg(self.file());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("stentor starts"));
    }

    fn until_ready(&self) {
        self.until("it is ready", || matches!(self.try_call("GET", "/readyz", &[], ""), Some((200, _))));
    }

    /// Its HTTP address.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join(format!("log-{}", self.starts))
    }

    /// Its log since the last start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until `is_so`; fails with the log after the time limit.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "waiting until {what}\n{}", self.log());
            std::thread::sleep(TICK);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("signal");
    }

    /// Signals it and waits for its end; gives how it ended, and after how long.
    pub(crate) fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(signal);
        let status = self.child.take().expect("it runs").wait().expect("its end");
        (status, begun.elapsed())
    }

    /// Runs a command of the same binary; gives its exit code and output.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let url = format!("http://{}", self.http);
        let mut command = Command::new(stentor());
        command.args(arguments).env("STENTOR_URL", url).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends a request; gives status and document.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, Value) {
        self.try_call(method, path, headers, body).unwrap_or_else(|| panic!("{path}: no answer\n{}", self.log()))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call("POST", path, &["Content-Type: application/json"], &body.to_string())
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, document) = self.call("GET", path, &[], "");
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    /// Sends a complete request and disconnects without reading the answer.
    pub(crate) fn cut_off(&self, path: &str, headers: &[&str], body: &str) {
        let mut stream = TcpStream::connect(self.http).expect("connect");
        stream.write_all(request("POST", path, headers, body).as_bytes()).expect("write");
    }

    /// As [`Self::call`]; `None` if there is no answer.
    pub(crate) fn try_call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Option<(u16, Value)> {
        ask(self.http, method, path, headers, body)
    }
}

/// Sends a request to that address; gives status and document, `None` if there is no answer.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request(method, path, headers, body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let body = if is_chunked { joined(body)? } else { body.to_owned() };
    Some((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Joins the chunks of a body; `None` if it is cut off.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..length)?);
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn in_shell(prelude: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{prelude}; exec \"$0\" \"$@\"")).arg(stentor());
    command
}

/// The binary: that of `STENTOR_BIN`, or built once, because cargo builds only a package's own binaries for its tests.
pub(crate) fn stentor() -> PathBuf {
    if let Some(given) = std::env::var_os("STENTOR_BIN") {
        return given.into();
    }
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "stentor", "--bin", "stentor"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo starts").success(), "stentor does not build");
    });
    Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("stentor")
}
