//! Hosts that serve, refuse, hang, hang up, flood, or show various certificates: each visit ends in time, in its own words.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Mutex;
use std::{fs, thread};

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::ServerConnection;
use tempfile::TempDir;

use super::*;
use crate::config::{CarrierTls, Config, HttpTls};
use stentor_smpp::status::CommandStatus;

/// What a test waits for at most; none takes nearly as long.
const LONG: Duration = Duration::from_secs(60);
/// The time limit of a visit that reaches it.
const SHORT: Duration = Duration::from_millis(300);

/// A host that calls `serve` with the first connection, and then holds it until the other side closes.
fn host(serve: impl FnOnce(&mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listens");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client connects");
        serve(&mut socket);
        let _ = io::copy(&mut socket, &mut io::sink());
    });
    port
}

fn target(port: u16) -> Target {
    Target { host: "127.0.0.1".to_owned(), port, source_ip: None, tls: None, account: None }
}

fn account() -> Option<Login> {
    let text = "[[carrier]]\nname = \"a\"\nhosts = [\"h\"]\nsystem_id = \"us\"\n[[route]]\nname = \"r\"\ncarriers = [{ name = \"a\" }]\n";
    let config = Config::parse("test", text, []).expect("a configuration");
    config.carriers.first().map(Login::of)
}

fn see(target: &Target, time: Duration) -> Result<Seen, Trouble> {
    visit(target, &Lookups::default(), Instant::now() + time)
}

/// `cert.pem` and `key.pem` for "localhost", self-signed, valid until that year. The year is part of the issuer's name: two of one
/// name would be taken for one authority with a wrong signature.
fn files(year: i32) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    params.not_after = date_time_ymd(year, 1, 1);
    params.distinguished_name.push(DnType::CommonName, format!("until {year}"));
    let made = params.self_signed(&key).expect("a certificate");
    fs::write(directory.path().join("cert.pem"), made.pem()).expect("written");
    fs::write(directory.path().join("key.pem"), key.serialize_pem()).expect("written");
    directory
}

/// A host with that certificate; `wants_ours`: it requires a client certificate.
fn tls_host(at: &Path, wants_ours: bool) -> u16 {
    let file = |name: &str| at.join(name);
    let typed =
        HttpTls { cert: file("cert.pem"), key: file("key.pem"), client_ca: wants_ours.then(|| file("cert.pem")) };
    let server = tls::server(&typed).expect("a server");
    host(move |socket| {
        let mut connection = ServerConnection::new(server).expect("a server");
        // If this fails, the other side is at fault, or its alert is sent.
        let _ = connection.complete_io(socket);
    })
}

fn trusting(port: u16, tls: CarrierTls) -> Target {
    let typed = CarrierTls { server_name: Some("localhost".to_owned()), ..tls };
    Target { tls: Some(tls::client(&typed)), ..target(port) }
}

fn pinned(at: &Path) -> CarrierTls {
    CarrierTls { pin: vec![at.join("cert.pem").display().to_string()], ..CarrierTls::default() }
}

#[test]
fn one_that_listens_is_seen_and_one_that_does_not_is_no_connection() {
    let seen = see(&target(host(|_| {})), LONG).expect("it listens");
    assert_eq!((seen.tls, seen.bound), (None, Vec::new()));
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port");
    let refused = see(&target(free.port()), LONG).expect_err("no server listens").to_string();
    assert!(refused.starts_with(&format!("no connection: {free}: ")), "{refused}");
}

#[test]
fn a_source_address_has_its_say() {
    let from = |source: &str, port| Target { source_ip: source.parse().ok(), ..target(port) };
    see(&from("127.0.0.2", host(|_| {})), LONG).expect("from there");
    let other_kind = see(&from("::1", 1), LONG).expect_err("another kind");
    assert_eq!(other_kind.to_string(), "no address: it has no address of the same IP version as source_ip");
    let foreign = see(&from("192.0.2.1", host(|_| {})), LONG).expect_err("not ours");
    assert!(matches!(foreign, Trouble::Connect(_)), "{foreign}");
}

#[test]
fn one_that_hangs_up_at_once_is_told() {
    let port = host(|socket| drop(socket.shutdown(std::net::Shutdown::Both)));
    assert_eq!(see(&target(port), LONG), Err(Trouble::HungUp));
}

#[test]
fn names_that_hang_end_in_time_and_hold_a_bounded_number_of_threads() {
    let (lookups, until) = (Lookups::default(), Instant::now() + Duration::from_millis(50));
    let (let_go, told) = mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let hang = |_: &str| {
        let told = Arc::clone(&told);
        move |_: &str| {
            let _ = told.lock().map(|told| told.recv());
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
        }
    };
    let mut said: Vec<_> = (0..LOOKUPS_MAX + 1).map(|_| lookups.resolve_by("n", until, hang("n"))).collect();
    assert!(said.pop().expect("the last").expect_err("no thread").starts_with("too many other names"));
    assert!(said.iter().all(|said| said.as_ref().is_err_and(|why| why.starts_with("no name server"))), "{said:?}");
    drop(let_go);
    while lookups.0.load(Ordering::Relaxed) > 0 {
        thread::yield_now();
    }
    let found = lookups.resolve_by("n", Instant::now() + LONG, |_| Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    assert_eq!(found, Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    let none = lookups.resolve_by("n", Instant::now() + LONG, |_| Err(io::Error::other("unknown")));
    assert_eq!(none, Err("unknown".to_owned()));
}

#[test]
fn the_certificate_that_is_trusted_is_told_with_its_end() {
    let at = files(2031);
    let seen = see(&trusting(tls_host(at.path(), false), pinned(at.path())), LONG).expect("trusted");
    assert_eq!(seen.tls, Some(Secured { version: "TLS 1.3", ends_s: Some(1_924_992_000) }));
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_by_why() {
    let (at, other) = (files(2031), files(2032));
    let of_other = CarrierTls { ca: Some(other.path().join("cert.pem")), ..CarrierTls::default() };
    for (tls, says) in [(of_other, "signed by no authority in `ca`"), (pinned(other.path()), "is not the one in `pin`")]
    {
        let told = see(&trusting(tls_host(at.path(), false), tls), LONG).expect_err("not trusted").to_string();
        assert!(told.starts_with("no TLS: ") && told.contains(says), "{told}");
    }
    let told =
        see(&trusting(tls_host(at.path(), true), pinned(at.path())), LONG).expect_err("it wants ours").to_string();
    assert!(told.contains("client certificate"), "{told}");
    let broken = Target { tls: Some(Err("ca.pem: gone".to_owned())), ..target(host(|_| {})) };
    assert_eq!(see(&broken, LONG), Err(Trouble::Tls("ca.pem: gone".to_owned())));
}

#[test]
fn one_that_is_silent_ends_by_the_time_given() {
    let at = files(2031);
    let told = see(&trusting(host(|_| {}), pinned(at.path())), SHORT).expect_err("silent").to_string();
    assert!(told.contains("does not answer the handshake"), "{told}");
    let silent = see(&Target { account: account(), ..target(host(|_| {})) }, SHORT);
    assert_eq!(silent, Err(Trouble::Bind(BindMode::Transceiver, BindTrouble::Silent)));
    assert_eq!(see(&target(1), Duration::ZERO), Err(Trouble::NoTime));
}

/// The header of a PDU without a body.
fn header(command: u32, status: u32, sequence: u32) -> Vec<u8> {
    [16, command, status, sequence].into_iter().flat_map(u32::to_be_bytes).collect()
}

#[test]
fn one_that_sends_without_end_ends_by_the_time_given() {
    let port = host(|socket| {
        let _ = socket.set_write_timeout(Some(Duration::from_millis(100)));
        let ping = header(0x15, 0, 7).repeat(100);
        while socket.write_all(&ping).is_ok() {}
    });
    let told = see(&Target { account: account(), ..target(port) }, SHORT).expect_err("never bound");
    assert!(matches!(told, Trouble::Bind(BindMode::Transceiver, _)), "{told}");
}

#[test]
fn one_that_refuses_the_account_or_speaks_something_else_is_told() {
    let binding = |answer: Vec<u8>| {
        let port = host(move |socket| {
            let mut length = [0; 4];
            socket.read_exact(&mut length).expect("a bind");
            let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
            socket.read_exact(&mut rest).expect("all of it");
            socket.write_all(&answer).expect("an answer");
        });
        see(&Target { account: account(), ..target(port) }, LONG)
    };
    let refused = binding(header(0x8000_0009, 0x0E, 1)).expect_err("refused");
    let wrong_password = BindTrouble::Refused(CommandStatus::RINVPASWD);
    assert_eq!(refused, Trouble::Bind(BindMode::Transceiver, wrong_password));
    assert_eq!(refused.to_string(), "no bind as transceiver: refused with ESME_RINVPASWD (0x0E)");
    assert!(refused.advice().contains("`password`"));
    let full = binding(header(0x8000_0009, 0x05, 1)).expect_err("refused");
    assert!(full.advice().contains("a running daemon uses some"), "{}", full.advice());
    let other = binding(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).expect_err("no SMPP");
    assert!(other.advice().contains("does not speak SMPP"), "{other}");
}

#[test]
fn every_trouble_has_words_and_advice() {
    let bind = |trouble| Trouble::Bind(BindMode::Receiver, trouble);
    for trouble in [
        Trouble::Name("x".to_owned()),
        Trouble::Connect("x".to_owned()),
        Trouble::Tls("x".to_owned()),
        Trouble::HungUp,
        Trouble::NoTime,
        bind(BindTrouble::HungUp),
        bind(BindTrouble::Refused(CommandStatus::RSYSERR)),
        bind(BindTrouble::Refused(CommandStatus(0x400))),
    ] {
        assert!(!trouble.to_string().is_empty() && !trouble.advice().is_empty(), "{trouble:?}");
    }
}
