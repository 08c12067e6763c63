//! The drill: carriers that fail in each way that the guide names, found by log, `stentor status` and the API, and
//! repaired by a reload; a reload that is refused; and a customer who got no code. The operator in this drill has no
//! source and no debugger.
//!
//! It follows `docs/OPERATING.md`: each row of its table of troubles must be seen here.

mod stage;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};

use stage::daemon::Daemon;
use stage::process::Smsc;
use stage::smpp_client::pdu;

const GUIDE: &str = include_str!("../../docs/OPERATING.md");

const BIND_TRANSCEIVER: u32 = 0x9;
const ENQUIRE_LINK: u32 = 0x15;
const RESPONSE: u32 = 0x8000_0000;

/// A carrier that fails, and what the daemon says about it.
struct Way {
    name: &'static str,
    carrier: String,
    says: &'static str,
}

/// Accepts connections and calls `serve` for each, on threads of its own, as long as the test runs.
fn peer(serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Waits for the next input and ignores it.
fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 1_024]).map(drop)
}

/// A carrier that answers only these requests.
fn answering(answered: &'static [u32]) -> impl Fn(TcpStream) -> std::io::Result<()> + Clone {
    move |mut stream| {
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head)?;
            let [length, command, _, sequence] =
                [0, 4, 8, 12].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
            stream.read_exact(&mut vec![0; length as usize - 16])?;
            let body: &[u8] = if command == BIND_TRANSCEIVER { b"smsc\0" } else { b"" };
            if answered.contains(&command) {
                stream.write_all(&pdu(command | RESPONSE, sequence, body))?;
            }
        }
    }
}

/// A carrier that demands a client certificate; its own is written into a file.
fn choosy(file: &Path) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(file, made.cert.pem()).expect("written");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    let config = Arc::new(config);
    peer(move |mut stream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        while session.complete_io(&mut stream).is_ok() && session.is_handshaking() {}
        stream.shutdown(std::net::Shutdown::Write)?;
        while stream.read(&mut [0; 1_024])? > 0 {}
        Ok(())
    })
}

/// A host whose accept queue is full: further connections get no answer.
fn full() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let waiting = (0..10_000).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok());
    let waiting: Vec<_> = waiting.collect();
    (address, listener, waiting)
}

fn ways(secure: &Smsc, plain: &Smsc, full: SocketAddr, directory: &Path) -> Vec<Way> {
    let file = |name: &str| directory.join(name).display().to_string();
    let at = |address: SocketAddr| format!("hosts = [\"{address}\"]");
    let tls = |keys: &str| format!("{}\ntls = {{ {keys} }}", at(secure.listening));
    let ours = format!("ca = \"{}\"", file("good.pem"));
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let way = |name, carrier, says| Way { name, carrier, says };
    let silent = peer(|mut stream| hear(&mut stream).and_then(|()| hear(&mut stream)));
    let website = peer(|mut stream| {
        hear(&mut stream)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let confused = peer(|mut stream| {
        hear(&mut stream)?;
        stream.write_all(&[[0, 0, 0, 16], [0x80, 0, 0, 0], [0, 0, 0, 4], [0; 4]].concat())?;
        hear(&mut stream)
    });
    vec![
        way("unnamed", "hosts = [\"smpp.nowhere.invalid:2775\"]".to_owned(), "cannot be reached: name not found"),
        way("refused", at(closed), "cannot be reached: nothing listens on that port"),
        way("dropped", at(full), "cannot be reached: nothing answers there within `connect_timeout`"),
        way("stranger", tls(&format!("ca = \"{}\"", file("other.pem"))), "no TLS: "),
        way("misnamed", tls(&format!("{ours}, server_name = \"smpp.other.example\"")), "no TLS: "),
        way("plain", at(secure.listening), "what it sends is no SMPP"),
        way(
            "choosy",
            format!("{}\ntls = {{ ca = \"{}\" }}", at(choosy(&directory.join("choosy.pem"))), file("choosy.pem")),
            "the carrier refused our certificate: ",
        ),
        way("secured", format!("{}\ntls = {{ {ours} }}", at(plain.listening)), "no TLS: "),
        way("website", at(website), "what it sends is no SMPP"),
        way("password", format!("{}\npassword = \"wrong\"", at(plain.listening)), "bind refused: ESME_RINVPASWD"),
        way("confused", at(confused), "bind refused: ESME_RINVBNDSTS"),
        way("closing", at(peer(|mut stream| hear(&mut stream))), "the carrier closed the connection"),
        way("silent", at(silent), "bind not answered within"),
        way("dead", at(peer(answering(&[BIND_TRANSCEIVER]))), "enquire_link not answered within 1 s"),
        way(
            "stuck",
            format!("{}\nresponse_timeout = \"1s\"", at(peer(answering(&[BIND_TRANSCEIVER, ENQUIRE_LINK])))),
            "a submit was not answered within `response_timeout`",
        ),
    ]
}

/// Each carrier with a route of its own: for numbers that begin with 4366410, 4366411 and so on.
fn config(carriers: &[(&str, String)]) -> String {
    let carrier = |(name, keys): &(&str, String)| {
        format!(
            "[[carrier]]\nname = \"{name}\"\nsystem_id = \"me\"\nconnect_timeout = \"1s\"\nenquire_link = \"1s\"\n\
             reconnect_min = \"100ms\"\nreconnect_max = \"10m\"\n{keys}\n"
        )
    };
    let route = |(number, (name, _)): (usize, &(&str, String))| {
        format!(
            "[[route]]\nname = \"{name}\"\nwhen = {{ prefix = \"43664{}\" }}\ncarriers = [{{ name = \"{name}\" }}]\n",
            number + 10
        )
    };
    let routes: String = carriers.iter().enumerate().map(route).collect();
    let defaults = "[defaults]\nin_doubt_wait = \"1s\"\ndoubts_max = 100\n".to_owned();
    defaults + &carriers.iter().map(carrier).collect::<String>() + &routes
}

fn carrier(daemon: &Daemon, name: &str) -> Value {
    let document = daemon.get("/v1/carriers");
    let list = document["carriers"].as_array().expect("a list");
    list.iter().find(|carrier| carrier["name"] == name).expect("it is there").clone()
}

/// The line of a text that contains both words.
fn line<'t>(text: &'t str, one: &str, other: &str) -> Option<&'t str> {
    text.lines().find(|line| line.contains(one) && line.contains(other))
}

/// The first column of the guide's table: the beginning of each message, up to what varies.
fn rows() -> Vec<String> {
    let table = GUIDE.split_once("| what it says | what to do |").expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('|').nth(1)).map(|said| said.trim().replace(" …", "")).collect()
}

#[test]
fn a_carrier_that_fails_is_found_and_mended_by_what_the_guide_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let account = ["--system-id", "me", "--password", "pw"];
    let good = file("good.pem");
    let secure = Smsc::start(&[&account[..], &["--tls", "--tls-cert-out", &good]].concat());
    let _other = Smsc::start(&["--tls", "--tls-cert-out", &file("other.pem")]);
    let plain = Smsc::start(&account);
    let (full, _listener, _waiting) = full();
    let ways = ways(&secure, &plain, full, directory.path());
    let keys = |way: &Way| {
        let password = if way.carrier.contains("password") { "" } else { "\npassword = \"pw\"" };
        (way.name, format!("{}{password}", way.carrier))
    };
    let mut daemon = Daemon::new("", &config(&ways.iter().map(keys).collect::<Vec<_>>()));
    daemon.start();
    let ids: Vec<_> = (0..ways.len())
        .map(|number| {
            let (status, answer) =
                daemon.post("/v1/messages", &json!({"to": format!("+43664{}12345", number + 10), "body": "hello"}));
            assert_eq!(status, 202, "{answer}");
            answer["id"].as_str().expect("an id").to_owned()
        })
        .collect();

    // Finds each failure: in the log, in `status`, in the API.
    for Way { name, says, .. } in &ways {
        daemon.until(&format!("the log says of {name}: {says}"), || line(&daemon.log(), name, says).is_some());
        daemon.until(&format!("status says of {name}: {says}"), || {
            let (code, told) = daemon.command(&["status"]);
            assert_eq!(code, Some(0), "{told}");
            line(&told, name, says).is_some()
        });
        let document = carrier(&daemon, name);
        assert!(document["last_error"]["what"].as_str().is_some_and(|what| what.contains(says)), "{document}");
        assert!(document["since"].is_string(), "{document}");
    }
    let told = daemon.log();
    for row in rows() {
        let options: Vec<_> = row.split(", ").filter(|option| !option.is_empty()).collect();
        assert!(told.contains(&row) || options.iter().any(|option| told.contains(option)), "never seen: {row}");
    }

    // Repairs them; each connects again at once, without waiting for its next try, which may be minutes away.
    let hosts = format!("hosts = [\"{}\"]\npassword = \"pw\"", plain.listening);
    let mended: Vec<_> = ways.iter().map(|way| (way.name, hosts.clone())).collect();
    daemon.configure("", &config(&mended).replace("hosts =", "hots ="));
    let file = daemon.file().display().to_string();
    let (code, told) = daemon.command(&["reload", "--config", &file]);
    assert!(code == Some(78) && told.contains("hosts"), "{code:?} {told}");
    daemon.configure("shards = 99", &config(&mended));
    let (code, told) = daemon.command(&["reload", "--config", &file]);
    assert!(code == Some(78) && told.contains("needs a restart"), "{code:?} {told}");
    assert!(daemon.log().contains("reload refused, nothing was changed"), "{}", daemon.log());
    daemon.configure("", &config(&mended));
    let (code, told) = daemon.command(&["reload", "--config", &file]);
    assert!(code == Some(0) && told.contains("carrier.refused.hosts"), "{code:?} {told}");
    for (way, id) in ways.iter().zip(&ids) {
        // A message that a carrier left unanswered twice waits for ten minutes unless an operator decides.
        let is_delivered = || {
            let (code, told) = daemon.command(&["in-doubt", "--resolve", "resend", "--all"]);
            assert_eq!(code, Some(0), "{told}");
            daemon.get(&format!("/v1/messages/{id}"))["state"] == "delivered"
        };
        daemon.until(&format!("the message for {} is delivered", way.name), is_delivered);
    }
    let (status, _) = daemon.end(Signal::TERM);
    assert!(status.success(), "{status}\n{}", daemon.log());
}
