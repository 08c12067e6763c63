//! Why a command cannot connect to a daemon, each in words that say what to do.

use std::net::TcpListener;
use std::thread;

use rcgen::{CertificateParams, Issuer, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::config::{CarrierTls, HttpTls};

/// An authority's `ca.pem`, and `cert.pem` with `key.pem` for `name`, signed by it; expired if `is_over`.
fn files(name: &str, is_over: bool) -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("authority");
    let own = KeyPair::generate().expect("key");
    let mut of_server = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    if is_over {
        of_server.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let signed = of_server.signed_by(&own, &Issuer::new(params, key)).expect("certificate");
    for (file, text) in [("ca.pem", ca.pem()), ("cert.pem", signed.pem()), ("key.pem", own.serialize_pem())] {
        fs::write(directory.path().join(file), text).expect("write");
    }
    directory
}

/// The result of opening a connection to a server of those `files`, trusting the authority in `ca`; the server may ask for a
/// client certificate.
fn ends(at: &TempDir, ca: &TempDir, client_ca: bool) -> Result<String, String> {
    let file = |name: &str| at.path().join(name);
    let typed = HttpTls { cert: file("cert.pem"), key: file("key.pem"), client_ca: client_ca.then(|| file("ca.pem")) };
    let server = tls::server(&typed).expect("server");
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("address").port();
    let serving = thread::spawn(move || {
        let (socket, _) = listener.accept().expect("connection");
        let session = rustls::ServerConnection::new(server).expect("session");
        let mut stream = StreamOwned::new(session, socket);
        // A server that refuses us closes the connection here.
        let _ = stream.write_all(b"hello").and_then(|()| {
            stream.conn.send_close_notify();
            stream.flush()
        });
    });
    let trust = tls::client(&CarrierTls { ca: Some(ca.path().join("ca.pem")), ..CarrierTls::default() });
    let trust = trust.expect("authority").0;
    let url = Url::parse(&format!("https://localhost:{port}")).expect("url");
    let ended = Stream::open(&url, Some(&trust)).and_then(|mut stream| {
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        read.map(|_| text).map_err(|error| of_io(&error).unwrap_or_else(|| error.to_string()))
    });
    serving.join().expect("served");
    ended
}

#[test]
fn a_certificate_is_taken_or_told_why_not() {
    let (good, other) = (files("localhost", false), files("localhost", false));
    assert_eq!(ends(&good, &good, false), Ok("hello".to_owned()));
    let refused = |at: &TempDir, ca: &TempDir, client_ca| ends(at, ca, client_ca).expect_err("refused");
    assert!(refused(&good, &other, false).starts_with("no TLS: no authority in --ca has signed its certificate"));
    let named = files("sms.example", false);
    assert_eq!(
        refused(&named, &named, false),
        "no TLS: its certificate is not for localhost, but for sms.example: use a name that it has"
    );
    let over = files("localhost", true);
    assert_eq!(refused(&over, &over, false), "no TLS: its certificate has ended, or the clock here is wrong");
    assert!(refused(&good, &good, true).contains("`http.tls.client_ca`"));
}

#[test]
fn plain_http_behind_https_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("address").port();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("connection");
        let mut hello = [0; 16];
        socket.read_exact(&mut hello).expect("a hello");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("answered");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let ca = files("localhost", false);
    let trust = tls::client(&CarrierTls { ca: Some(ca.path().join("ca.pem")), ..CarrierTls::default() });
    let url = Url::parse(&format!("https://localhost:{port}")).expect("url");
    let refused = Stream::open(&url, Some(&trust.expect("authority").0)).expect_err("no TLS");
    assert_eq!(refused, "no TLS: the server does not speak TLS: use http://");
    serving.join().expect("served");
}

#[test]
fn a_socket_that_does_not_open_says_why() {
    let folder = tempfile::tempdir().expect("directory");
    let path = folder.path().join("admin.sock");
    let open = || Stream::open(&Url::Unix(path.clone()), None).map(drop).expect_err("no server");
    assert!(open().starts_with("there is no such socket: "));
    drop(std::os::unix::net::UnixListener::bind(&path).expect("listens"));
    assert_eq!(open(), "no daemon listens there any more");
    let group = group_of(&path).expect("its group");
    let denied = unopened(&path, &ErrorKind::PermissionDenied.into());
    assert_eq!(
        denied,
        format!("only members of the group `{group}` may open it: usermod -aG {group} NAME, then log in again")
    );
    assert!(unopened(&folder.path().join("none"), &ErrorKind::PermissionDenied.into()).contains("only members of"));
}
