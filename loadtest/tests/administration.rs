//! Administration of a running daemon: over its socket, over https, and the effect of a second signal to end. Real
//! processes, used as operators do.

mod stage;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use serde_json::json;

use stage::daemon::Daemon;
use stage::process::Smsc;

const SHOP: &str = "shop-key-0123456789";
const OPERATIONS: &str = "operations-key-0123";

/// The `ca.pem` of an authority, and `cert.pem` with `key.pem` for localhost, signed by it.
fn certificates(directory: &Path) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("authority");
    let own = KeyPair::generate().expect("key");
    let of_server = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let signed = of_server.signed_by(&own, &Issuer::new(params, key)).expect("certificate");
    for (file, text) in [("ca.pem", ca.pem()), ("cert.pem", signed.pem()), ("key.pem", own.serialize_pem())] {
        fs::write(directory.join(file), text).expect("written");
    }
}

fn carrier(smsc: &Smsc) -> String {
    let port = smsc.listening.port();
    format!(
        "[log]\nlevel = \"info\"\n\
         [[carrier]]\nname = \"north\"\nhosts = [\"127.0.0.1:{port}\"]\nsystem_id = \"me\"\nresponse_timeout = \"60s\"\n\
         [[route]]\nname = \"all\"\ncarriers = [{{ name = \"north\" }}]\n"
    )
}

/// The path of a file beside the configuration.
fn beside(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.file().with_file_name(name)
}

fn node(io: &str, socket: &Path) -> String {
    format!("io = \"{io}\"\ncores = 2\nshards = 2\ndrain_timeout = \"60s\"\nadmin_socket = {socket:?}")
}

/// A daemon with two tenants and TLS, and its socket.
fn secured(io: &str, smsc: &Smsc) -> (Daemon, PathBuf) {
    let mut daemon = Daemon::new("", "");
    let socket = beside(&daemon, "admin.sock");
    certificates(daemon.file().parent().expect("its directory"));
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| beside(&daemon, name));
    let tenants = format!(
        "[[tenant]]\nname = \"shop\"\nkeys = [\"{SHOP}\"]\n\
         [[tenant]]\nname = \"operations\"\nadmin_keys = [\"{OPERATIONS}\"]\n"
    );
    daemon.configure(
        &node(io, &socket),
        &format!("tls = {{ cert = {cert:?}, key = {key:?} }}\n{tenants}{}", carrier(smsc)),
    );
    daemon.start_asked_by(&["status", "--url", &url(&socket)]);
    (daemon, socket)
}

fn url(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

#[test]
fn members_of_the_group_administer_by_the_socket_without_a_key() {
    let smsc = Smsc::start(&[]);
    for io in ["auto", "epoll"] {
        let (daemon, socket) = secured(io, &smsc);
        let url = url(&socket);
        assert_eq!(fs::metadata(&socket).expect("there").mode() & 0o7777, 0o660);
        let ask = |words: &[&str]| daemon.command(&[words, &["--url", &url]].concat());
        let (code, text) = ask(&["status"]);
        assert!(code == Some(0) && text.starts_with(&format!("{url} is ready")), "{text}");
        // Without a key no client may send; with a tenant's key every client may.
        let send = ["send", "--to", "+4915112345678", "--body", "hello"];
        let (code, text) = ask(&send);
        assert!(code == Some(1) && text.contains("forbidden (HTTP 403)"), "{text}");
        let (code, text) = ask(&[&send[..], &["--wait", "--api-key", SHOP]].concat());
        assert!(code == Some(0) && text.contains("delivered"), "{text}");
        let id = text.lines().next().expect("its id").to_owned();
        let (code, text) = ask(&["status", &id]);
        assert!(code == Some(0) && text.contains("  tenant          shop\n"), "{text}");
        let (code, text) = ask(&["status", "--api-key", "another-key-0123456"]);
        assert!(code == Some(1) && text.contains("unauthorized"), "{text}");
        let file = beside(&daemon, "backup").display().to_string();
        let (code, text) = ask(&["backup", &file]);
        assert_eq!(
            (code, ask(&["inbound"]).0, ask(&["in-doubt"]).0, ask(&["restored"]).0),
            (Some(0), Some(0), Some(0), Some(0)),
            "{text}"
        );
    }
}

#[test]
fn a_socket_that_was_left_is_replaced_and_one_that_is_used_is_refused() {
    let smsc = Smsc::start(&[]);
    let (mut daemon, socket) = secured("auto", &smsc);
    let mut other = Daemon::new(&node("auto", &socket), &carrier(&smsc));
    assert_eq!(other.refuses_after("true"), Some(71));
    let log = other.log();
    assert!(log.contains(&socket.display().to_string()) && log.contains("already listens there"), "{log}");
    daemon.end(Signal::KILL);
    assert!(fs::metadata(&socket).expect("left").file_type().is_socket());
    daemon.start_asked_by(&["status", "--url", &url(&socket)]);
    let (status, _) = daemon.end(Signal::TERM);
    assert_eq!((status.code(), socket.exists()), (Some(0), false), "{}", daemon.log());
    fs::write(&socket, "precious").expect("written");
    assert_eq!(daemon.refuses_after("true"), Some(71));
    assert!(daemon.log().contains("is not a socket and is left alone"), "{}", daemon.log());
    assert_eq!(fs::read_to_string(&socket).expect("there"), "precious");
}

#[test]
fn commands_ask_by_https_whom_they_are_told_to_trust() {
    let smsc = Smsc::start(&[]);
    for io in ["auto", "epoll"] {
        let (daemon, _socket) = secured(io, &smsc);
        let ca = beside(&daemon, "ca.pem").display().to_string();
        let https = format!("https://localhost:{}", daemon.http().port());
        let ask = |words: &[&str]| daemon.command(&[words, &["--api-key", OPERATIONS]].concat());
        let (code, text) = ask(&["status", "--url", &https]);
        assert!(code == Some(2) && text.contains("--ca FILE"), "{text}");
        let (code, text) = ask(&["status", "--url", &https, "--ca", &ca]);
        assert!(code == Some(0) && text.starts_with(&format!("{https} is ready")), "{text}");
        let file = beside(&daemon, "backup").display().to_string();
        let (code, text) = ask(&["backup", &file, "--url", &https, "--ca", &ca]);
        assert!(code == Some(0) && Path::new(&file).exists(), "{text}");
        let other = beside(&daemon, "other");
        fs::create_dir(&other).expect("made");
        certificates(&other);
        let other = other.join("ca.pem").display().to_string();
        let (code, text) = ask(&["status", "--url", &https, "--ca", &other]);
        assert!(code == Some(69) && text.contains("no authority in --ca has signed its certificate"), "{text}");
        let (code, text) = ask(&["status", "--url", &https.replace("https", "http")]);
        assert!(code == Some(69) && text.contains("use https://"), "{text}");
    }
}

/// A request whose `Host` is the name of a web page: over TCP it is refused, because a page may have led a browser to send it.
fn asked_by_a_foreign_name(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.write_all(b"GET /v1/queues HTTP/1.1\r\nHost: page.example\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let smsc = Smsc::start(&["--behaviour", r#"{"answer_lost_ppm":1000000,"receipt_lost_ppm":1000000}"#]);
    let mut daemon = Daemon::new("", "");
    let socket = beside(&daemon, "admin.sock");
    daemon.configure(&node("auto", &socket), &carrier(&smsc));
    daemon.start();
    assert!(asked_by_a_foreign_name(&socket).starts_with("HTTP/1.1 200 "), "{}", asked_by_a_foreign_name(&socket));
    let (status, answer) = daemon.post("/v1/messages", &json!({"to": "+4915112345678", "body": "hello"}));
    assert_eq!(status, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    daemon.until("it is with the carrier", || daemon.get("/v1/queues")["in_flight"] == 1);
    let (code, text) = daemon.command(&["send", "--to", "+4915112345679", "--body", "x", "--wait", "--timeout", "0"]);
    assert!(code == Some(75) && text.contains(" after 0 s") && text.contains("; see: stentor status "), "{text}");
    daemon.until("both are with the carrier", || daemon.get("/v1/queues")["in_flight"] == 2);
    daemon.signal(Signal::TERM);
    let said = "stopping; waiting up to 60 s for 2 answers; Ctrl-C again stops now";
    daemon.until("it logs what it waits for", || daemon.log().contains(said));
    let (status, _) = daemon.end(Signal::TERM);
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status} {}", daemon.log());
    daemon.start();
    assert!(daemon.get("/v1/in-doubt")["in_doubt"].to_string().contains(&id), "{}", daemon.log());
}
