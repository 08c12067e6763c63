//! Carriers that cannot be found, cannot be reached or are hostile, beside one that works: real processes. The working
//! carrier's messages are delivered, and the daemon does not end.
//!
//! Only the daemon sees the test's names: it runs in a mount namespace with the test's own files in `/etc`.

mod stage;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use stage::daemon::Daemon;
use stage::process::Smsc;
use stage::smpp_client::pdu;

/// An address that no other process uses, wherever the tests run.
const NAME_SERVER: &str = "127.0.0.153:53";
const ENQUIRE_LINK: u32 = 0x15;
const SUBMIT_SM_RESP: u32 = 0x8000_0004;

/// One carrier that works, and `bad` for numbers that begin with 43.
fn config(good: &Smsc, bad: &str) -> String {
    let port = good.listening.port();
    format!(
        "[[carrier]]\nname = \"good\"\nhosts = [\"127.0.0.1:{port}\"]\nsystem_id = \"me\"\n\
         [[carrier]]\nname = \"bad\"\nsystem_id = \"me\"\nreconnect_min = \"200ms\"\n{bad}\n\
         [[route]]\nname = \"bad\"\nwhen = {{ prefix = \"43\" }}\ncarriers = [{{ name = \"bad\" }}]\n\
         [[route]]\nname = \"all\"\ncarriers = [{{ name = \"good\" }}]\n"
    )
}

fn send(daemon: &Daemon, to: &str) -> Value {
    let (status, answer) = daemon.post("/v1/messages", &json!({"to": to, "body": "hello"}));
    assert_eq!(status, 202, "{answer}");
    answer["id"].clone()
}

fn is_delivered(daemon: &Daemon, id: &Value) -> bool {
    daemon.get(&format!("/v1/messages/{}", id.as_str().expect("an id")))["state"] == "delivered"
}

/// A message over the good carrier is delivered, and one for the other is accepted.
fn works(daemon: &Daemon) {
    send(daemon, "+436641234567");
    let id = send(daemon, "+4915112345678");
    daemon.until("the good carrier delivers", || is_delivered(daemon, &id));
}

fn metric(daemon: &Daemon, line: &str) -> f64 {
    let (_, text) = daemon.call("GET", "/metrics", &[], "");
    let text = text.as_str().expect("text");
    text.lines().find_map(|known| known.strip_prefix(line)?.trim().parse().ok()).unwrap_or_default()
}

/// Whether the daemon can be given files of its own; in CI it must be possible.
fn may_mount() -> bool {
    let may = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    assert!(may || std::env::var_os("CI").is_none(), "unshare is needed, as root");
    if !may {
        eprintln!("SKIPPED: needs unshare, as root");
    }
    may
}

/// Starts before the daemon: a shell that mounts `file` over `etc` and becomes the daemon.
fn mounting(file: &Path, etc: &str) -> Vec<String> {
    let script = format!("mount --bind {} {etc} && exec \"$0\" \"$@\"", file.display());
    ["unshare", "-m", "--", "sh", "-c", &script].map(str::to_owned).to_vec()
}

#[test]
fn a_name_server_that_does_not_answer_keeps_only_its_carrier_down() {
    if !may_mount() {
        return;
    }
    let silent = UdpSocket::bind(NAME_SERVER).expect("a name server's port");
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("resolv.conf");
    let (address, _) = NAME_SERVER.split_once(':').expect("a port");
    // Longer than the watchdog waits for an executor.
    std::fs::write(&file, format!("nameserver {address}\noptions timeout:6 attempts:1\n")).expect("written");
    let good = Smsc::start(&[]);
    let mut daemon = Daemon::new("cores = 2\nshards = 2", &config(&good, "hosts = [\"smsc.carrier.example\"]"));
    daemon.set_wrapper(mounting(&file, "/etc/resolv.conf"));
    daemon.start();
    works(&daemon);
    daemon.until("a lookup has ended", || metric(&daemon, "stentor_name_lookups_total{end=\"failed\"}") > 0.0);
    works(&daemon);
    assert!(daemon.log().contains("name not found"), "{}", daemon.log());
    let (status, _) = daemon.end(Signal::TERM);
    assert!(status.success(), "{status}\n{}", daemon.log());
    drop(silent);
}

#[test]
fn every_address_of_a_name_is_tried() {
    if !may_mount() {
        return;
    }
    let bad = TcpListener::bind("127.0.0.154:0").expect("a port");
    let port = bad.local_addr().expect("an address").port();
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("hosts");
    // The first address has no route on most machines; at the second no process listens.
    let hosts = "127.0.0.1 localhost\n2001:db8::1 smsc.test\n127.0.0.155 smsc.test\n127.0.0.154 smsc.test\n";
    std::fs::write(&file, hosts).expect("written");
    let good = Smsc::start(&[]);
    let mut daemon = Daemon::new("", &config(&good, &format!("hosts = [\"smsc.test:{port}\"]")));
    daemon.set_wrapper(mounting(&file, "/etc/hosts"));
    daemon.start();
    let (mut stream, _) = bad.accept().expect("it comes");
    let mut head = [0; 16];
    stream.read_exact(&mut head).expect("a bind");
    assert_eq!(head[4..8], [0, 0, 0, 9]);
}

/// Accepts every bind, and then sends `talk` without end.
fn flooder(talk: Vec<u8>, reads: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let talk = talk.clone();
            std::thread::spawn(move || flood(stream, &talk, reads));
        }
    });
    address
}

fn flood(mut stream: TcpStream, talk: &[u8], reads: bool) -> std::io::Result<()> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(head[3]) - 16];
    stream.read_exact(&mut body)?;
    let sequence = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
    stream.write_all(&pdu(0x8000_0009, sequence, b"smsc\0"))?;
    let mut answers = stream.try_clone()?;
    if reads {
        std::thread::spawn(move || while answers.read(&mut [0; 1 << 16]).is_ok_and(|bytes| bytes > 0) {});
    }
    loop {
        stream.write_all(talk)?;
    }
}

#[test]
fn a_carrier_that_talks_without_end_delays_no_other_carrier() {
    let talk = |command, body: &[u8]| (1..2_000).flat_map(|sequence| pdu(command, sequence, body)).collect::<Vec<_>>();
    let floods = [
        (talk(ENQUIRE_LINK, b""), true),
        (talk(ENQUIRE_LINK, b""), false),
        (talk(0x9999, b""), true),
        (talk(SUBMIT_SM_RESP, b"x\0"), false),
    ];
    let good = Smsc::start(&[]);
    for (talk, reads) in floods {
        let command = talk[7];
        let bad = flooder(talk, reads);
        let bad = format!("hosts = [\"{bad}\"]\nreconnect_max = \"200ms\"");
        let mut daemon = Daemon::new("cores = 1\nshards = 1", &config(&good, &bad));
        daemon.start();
        let noisy = "stentor_link_sessions_noisy_total{carrier=\"bad\"}";
        daemon.until("sessions were ended", || {
            works(&daemon);
            metric(&daemon, noisy) >= 2.0
        });
        let (status, _) = daemon.end(Signal::TERM);
        assert!(status.success(), "{command:#x} {reads}: {status}\n{}", daemon.log());
    }
}

/// A route's name is its identity: renaming it removes one route and adds another.
#[test]
fn what_waits_for_a_route_that_a_reload_renames_goes_by_the_new_one() {
    let good = Smsc::start(&[]);
    let closed = "hosts = [\"127.0.0.1:1\"]";
    let mut daemon = Daemon::new("", &config(&good, closed));
    daemon.start();
    let waiting: Vec<Value> = (0..20).map(|number| send(&daemon, &format!("+4366412345{number:02}"))).collect();
    let renamed = config(&good, closed).replace(
        "name = \"bad\"\nwhen = { prefix = \"43\" }\ncarriers = [{ name = \"bad\" }]",
        "name = \"other\"\nwhen = { prefix = \"43\" }\ncarriers = [{ name = \"good\" }]",
    );
    daemon.configure("", &renamed);
    daemon.signal(Signal::HUP);
    for id in &waiting {
        daemon.until("it is delivered", || is_delivered(&daemon, id));
        let message = daemon.get(&format!("/v1/messages/{}", id.as_str().expect("an id")));
        let timeline = message["timeline"].as_array().expect("a timeline");
        assert!(timeline.iter().any(|entry| entry["event"] == "rerouted"), "{message}");
    }
    daemon.until("the metric says so", || metric(&daemon, "stentor_rerouted_total") == 20.0);
}
