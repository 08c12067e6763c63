//! A daemon on epoll, for hosts that forbid io_uring: chosen automatically if a filter refuses the rings, or by
//! configuration. Real processes; all other tests run on epoll with `STENTOR__NODE__IO=epoll cargo test -p loadtest`.

mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use stage::daemon::Daemon;
use stage::process::Smsc;
use stage::{messages, scenario};

/// A launcher whose program may not use io_uring.
fn without_io_uring(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stage/without-io-uring.c");
    let launcher = directory.join("without-io-uring");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled = Command::new(compiler).arg("-o").arg(&launcher).arg(source).status().expect("a C compiler");
    assert!(compiled.success());
    launcher
}

fn config(smsc: &Smsc) -> String {
    let port = smsc.listening.port();
    format!(
        "[log]\nlevel = \"info\"\n\
         [[carrier]]\nname = \"north\"\nhosts = [\"127.0.0.1:{port}\"]\nsystem_id = \"me\"\n\
         [[route]]\nname = \"all\"\ncarriers = [{{ name = \"north\" }}]\n"
    )
}

fn delivered(daemon: &Daemon, number: u32) -> String {
    let message = json!({"to": format!("+49151100{number:05}"), "body": format!("message {number}")});
    let (status, answer) = daemon.post("/v1/messages", &message);
    assert_eq!(status, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    daemon.until("it is delivered", || is_delivered(daemon, &id));
    id
}

fn is_delivered(daemon: &Daemon, id: &str) -> bool {
    daemon.get(&format!("/v1/messages/{id}"))["state"] == "delivered"
}

/// The log lines in which it names its executors.
fn told(daemon: &Daemon) -> Vec<String> {
    let lines = || -> Vec<String> {
        daemon.log().lines().filter(|line| line.contains("executor ")).map(str::to_owned).collect()
    };
    // The log has its own thread: it may be behind the first answer.
    daemon.until("it names its executor", || !lines().is_empty());
    lines()
}

#[test]
fn where_io_uring_is_forbidden_epoll_serves_and_a_kill_loses_nothing() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let launcher = without_io_uring(place.path()).display().to_string();
    let smsc = Smsc::start(&[]);
    let mut daemon = Daemon::new("io = \"auto\"\ncores = 2\nshards = 2", &config(&smsc));
    daemon.set_wrapper(vec![launcher.clone()]);
    // Also when the whole suite runs on epoll.
    daemon.set_variables(&[("STENTOR__NODE__IO".to_owned(), "auto".to_owned())]);
    daemon.start();
    let [line] = &told(&daemon)[..] else { panic!("one line: {}", daemon.log()) };
    assert!(line.contains("executor epoll: io_uring is forbidden here (EPERM)"), "{line}");
    let before: Vec<String> = (0..5).map(|number| delivered(&daemon, number)).collect();
    daemon.end(Signal::KILL);
    daemon.start();
    assert_eq!(told(&daemon).len(), 1);
    assert!(before.iter().all(|id| is_delivered(&daemon, id)));
    delivered(&daemon, 5);
    let (status, _) = daemon.end(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());

    // If it is configured explicitly, it is not replaced.
    daemon.configure("io = \"io_uring\"\ncores = 2\nshards = 2", &config(&smsc));
    daemon.set_variables(&[("STENTOR__NODE__IO".to_owned(), "io_uring".to_owned())]);
    assert_eq!(daemon.refuses_after(&format!("exec {launcher} \"$0\" \"$@\"")), Some(78));
    assert!(daemon.log().contains("the kernel refuses io_uring to this process"), "{}", daemon.log());
}

#[test]
fn what_is_asked_for_is_taken_and_told() {
    let smsc = Smsc::start(&[]);
    let mut daemon = Daemon::new("io = \"epoll\"\ncores = 1\nshards = 1", &config(&smsc));
    daemon.start();
    let [line] = &told(&daemon)[..] else { panic!("one line: {}", daemon.log()) };
    assert!(line.contains("executor epoll: node.io wants it"), "{line}");
    delivered(&daemon, 0);
}

#[test]
fn on_epoll_a_kill_loses_nothing_and_repeats_only_what_was_in_doubt() {
    let count = messages(20_000).to_string();
    let played = ["restart", "--signal", "KILL", "--count", &count, "--rate", "10000", "--stall", "30"];
    let mut command = scenario::command(&played, Path::new(env!("CARGO_TARGET_TMPDIR")));
    let output = command.env("STENTOR__NODE__IO", "epoll").output().expect("loadtest run starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    print!("{stdout}");
    assert!(output.status.success(), "{stdout}{stderr}");
}
