//! `stentor doctor` as a process: on this machine, on a more restricted one, and with carriers of every kind.

mod stage;

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use stage::daemon::{Daemon, stentor};
use stage::process::Smsc;

/// Forbids io_uring_setup (its number is the same on every architecture) to the program that it becomes, as container
/// runtimes do.
const WITHOUT_URING: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
program = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
bytes = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxP", 4, ctypes.addressof(bytes))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_char_p(filter), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// A configuration to be examined.
struct Patient {
    directory: TempDir,
}

/// The findings, and the exit code.
struct Found {
    code: Option<i32>,
    list: Vec<Value>,
}

impl Patient {
    /// `data`: its data directory; `None`: a new one on the disk where tests are kept.
    fn new(data: Option<&Path>, carriers: &str) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let data = data.map_or_else(|| directory.path().join("data"), Path::to_path_buf);
        let head = format!(
            "[node]\ndata_dir = {data:?}\nshards = 2\ncores = 2\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [limits]\ndisk_floor = \"1MiB\"\n"
        );
        let patient = Self { directory };
        std::fs::write(patient.file(), head + carriers).expect("written");
        // The file contains passwords.
        std::fs::set_permissions(patient.file(), Permissions::from_mode(0o600)).expect("a mode");
        patient
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("stentor.toml")
    }

    fn examined(&self, extra: &[&str]) -> Found {
        examined(&mut Command::new(stentor()), &self.file(), extra)
    }

    /// Runs `doctor` from a shell that first executes `prelude`.
    fn examined_after(&self, prelude: &str) -> Found {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{prelude}; exec \"$0\" \"$@\"")).arg(stentor());
        examined(&mut shell, &self.file(), &[])
    }
}

fn examined(command: &mut Command, file: &Path, extra: &[&str]) -> Found {
    // These tests are about what "auto" finds, also when the whole suite runs on epoll.
    command.env_remove("STENTOR__NODE__IO");
    let output = command.args(["doctor", "--json", "--config"]).arg(file).args(extra).output().expect("it runs");
    let list = serde_json::from_slice(&output.stdout);
    let list = list.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    Found { code: output.status.code(), list }
}

impl Found {
    /// Asserts that every finding of that check has this state and text.
    fn check(&self, check: &str, state: &str, says: &str) {
        let of_it: Vec<_> = self.list.iter().filter(|finding| finding["check"] == check).collect();
        assert!(!of_it.is_empty(), "nothing about {check}: {:#?}", self.list);
        for finding in of_it {
            let text =
                format!("{} → {}", finding["what"].as_str().expect("text"), finding["advice"].as_str().expect("text"));
            assert!(finding["state"] == state && text.contains(says), "{says:?} is missing: {finding:#}");
        }
    }

    fn fails(&self) -> usize {
        self.list.iter().filter(|finding| finding["state"] == "fail").count()
    }
}

/// The configuration of a carrier at that port of this machine.
fn carrier(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[carrier]]\nname = \"{name}\"\nhosts = [\"127.0.0.1:{port}\"]\nsystem_id = \"me\"\npassword = \"pw\"\n{more}\n"
    )
}

fn route(to: &[&str]) -> String {
    let shares: Vec<_> = to.iter().map(|name| format!("{{ name = \"{name}\" }}")).collect();
    format!("[[route]]\nname = \"all\"\ncarriers = [{}]\n", shares.join(", "))
}

/// The certificate of another server, for another name.
fn stranger() -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "a stranger");
    params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

fn one(smsc: &Smsc) -> String {
    carrier("good", smsc.listening.port(), "") + &route(&["good"])
}

#[test]
fn on_a_machine_that_runs_the_tests_nothing_fails() {
    let smsc = Smsc::start(&[]);
    let patient = Patient::new(None, &one(&smsc));
    let found = patient.examined(&[]);
    assert_eq!((found.code, found.fails()), (Some(0), 0), "{:#?}", found.list);
    for check in ["configuration", "kernel", "io_uring", "locked memory", "data", "daemon", "free space", "http.listen"]
    {
        found.check(check, "ok", "");
    }
    let good = format!("carrier.good 127.0.0.1:{}", smsc.listening.port());
    found.check(&good, "ok", "answered after");
    assert_eq!(smsc.get("/stats")["binds"].as_array().map(Vec::len), Some(0), "no client bound");
    assert!(!patient.directory.path().join("data").exists(), "nothing was made");
    let found = patient.examined(&["--bind"]);
    found.check(&good, "ok", "bound as transceiver by");
    let binds = &smsc.stop()["binds"];
    assert_eq!((binds.as_array().map(Vec::len), &binds[0]["open"]), (Some(1), &false.into()), "{binds}");
}

#[test]
fn what_the_surroundings_refuse_is_told() {
    let smsc = Smsc::start(&[]);
    let patient = Patient::new(None, &one(&smsc));
    let found = patient.examined_after("ulimit -l 64");
    assert_eq!(found.code, Some(0), "{:#?}", found.list);
    found.check("locked memory", "warn", "only 64 KiB may be locked");
    let found = patient.examined_after("ulimit -n 1024");
    assert_eq!(found.code, Some(0));
    found.check("descriptors", "warn", "1024 are allowed: enough for ");
    let found = patient.examined_after("ulimit -n 128");
    assert_eq!((found.code, found.fails()), (Some(78), 1), "{:#?}", found.list);
    found.check("descriptors", "fail", "LimitNOFILE=");
}

#[test]
fn a_filter_that_forbids_io_uring_is_told() {
    let mut python = Command::new("python3");
    if !python.arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI has python3");
        println!("skipped: there is no python3 to forbid io_uring with");
        return;
    }
    let smsc = Smsc::start(&[]);
    let patient = Patient::new(None, &one(&smsc));
    let mut python = Command::new("python3");
    python.args(["-c", WITHOUT_URING]).arg(stentor());
    let found = examined(&mut python, &patient.file(), &[]);
    assert_eq!((found.code, found.fails()), (Some(0), 0), "{:#?}", found.list);
    found.check("io_uring", "warn", "io_uring is forbidden: executors run on epoll");
    found.check("io_uring", "warn", "seccomp");
}

#[test]
fn a_data_directory_in_memory_is_told_and_one_of_others_is_refused() {
    let smsc = Smsc::start(&[]);
    if Path::new("/dev/shm").is_dir() {
        let memory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let found = Patient::new(Some(memory.path()), &one(&smsc)).examined(&[]);
        assert_eq!(found.code, Some(0), "{:#?}", found.list);
        found.check("file system", "warn", "tmpfs: a 202 would not survive");
        found.check("sync", "warn", "may not keep what it acknowledges");
        assert_eq!(std::fs::read_dir(memory.path()).expect("a directory").count(), 0, "nothing is left there");
    }
    let foreign = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::write(foreign.path().join("letter.txt"), "dear").expect("written");
    let found = Patient::new(Some(foreign.path()), &one(&smsc)).examined(&[]);
    assert_eq!(found.code, Some(78));
    found.check("data", "fail", "letter.txt");
}

#[test]
fn a_running_daemon_is_seen_and_left_alone() {
    let smsc = Smsc::start(&[]);
    let mut daemon = Daemon::new("shards = 2\ncores = 2", &one(&smsc));
    daemon.start();
    daemon.until("it is bound", || smsc.get("/stats")["binds"].as_array().is_some_and(|binds| !binds.is_empty()));
    let binds = smsc.get("/stats")["binds"].as_array().map(Vec::len);
    let found = examined(&mut Command::new(stentor()), &daemon.file(), &[]);
    assert_eq!((found.code, found.fails()), (Some(0), 0), "{:#?}", found.list);
    found.check("daemon", "ok", "runs with this data directory");
    found.check("data", "ok", "made for node 0 with 2 shards");
    found.check("http.listen", "ok", "is held by the running daemon, process ");
    assert_eq!(smsc.get("/stats")["binds"].as_array().map(Vec::len), binds, "no other client bound");
    assert!(!daemon.data().join("trial").exists());
    assert_eq!(daemon.call("GET", "/readyz", &[], "").0, 200);
}

#[test]
fn carriers_that_cannot_serve_are_told_each_in_its_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let good = Smsc::start(&["--tls", "--tls-cert-out", &file("good.pem"), "--system-id", "me", "--password", "other"]);
    std::fs::write(file("stranger.pem"), stranger()).expect("written");
    let silent = TcpListener::bind("127.0.0.1:0").expect("listens");
    let silent = silent.local_addr().map(|address| (address.port(), silent)).expect("an address");
    let refuses = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let tls = |pem: &str| format!("tls = {{ ca = \"{}\", server_name = \"localhost\" }}", file(pem));
    let port = good.listening.port();
    let carriers = [
        carrier("good", port, &tls("good.pem")),
        carrier("pinned", port, &format!("tls = {{ pin = [\"{}\"] }}", file("good.pem"))),
        carrier("wrong", port, &tls("stranger.pem")),
        carrier("silent", silent.0, &tls("good.pem")),
        carrier("refuses", refuses, ""),
        "[[carrier]]\nname = \"nameless\"\nhosts = [\"nowhere.invalid:2775\"]\nsystem_id = \"me\"\n".to_owned(),
        route(&["good", "pinned", "wrong", "silent", "refuses", "nameless"]),
    ];
    let patient = Patient::new(None, &carriers.concat());
    let found = patient.examined(&[]);
    assert_eq!((found.code, found.fails()), (Some(78), 4), "{:#?}", found.list);
    let at = |name: &str, port: u16| format!("carrier.{name} 127.0.0.1:{port}");
    found.check(&at("good", port), "ok", "TLS 1.3, certificate until ");
    found.check(&at("pinned", port), "ok", "TLS 1.3, certificate until ");
    found.check(&at("wrong", port), "fail", "signed by no authority in `ca`");
    found.check(&at("silent", silent.0), "fail", "does not answer the handshake");
    found.check(&at("refuses", refuses), "fail", "no connection: ");
    found.check("carrier.nameless nowhere.invalid:2775", "fail", "no address: ");
    let found = patient.examined(&["--bind"]);
    assert_eq!(found.fails(), 6, "{:#?}", found.list);
    found.check(&at("good", port), "fail", "no bind as transceiver: refused with ");
    found.check(&at("good", port), "fail", "`password`");
}
