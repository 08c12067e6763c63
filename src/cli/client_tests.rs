//! The client against a listener of the test, and against bytes that no server should send.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use super::*;

/// Answers once a whole request has come, and returns the request.
fn serve(stream: &mut (impl Read + Write), answer: &[u8]) -> String {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).expect("request");
        request.extend_from_slice(&chunk[..read]);
    }
    stream.write_all(answer).expect("answered");
    String::from_utf8(request).expect("text")
}

/// Answers one connection with `answer` once a whole request has come; returns the request.
fn serve_once(answer: &'static [u8]) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = listener.local_addr().expect("address");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connection");
        serve(&mut stream, answer)
    });
    (Url::parse(&format!("http://{address}/base/")).expect("url"), serving)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().expect("length"))
}

#[test]
fn a_request_is_what_it_should_be() {
    let (url, serving) = serve_once(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}");
    let client = Client::new(url, Some("k".repeat(16))).expect("client");
    let answer = client.post("/v1/messages", b"{\"to\":1}").expect("answer");
    assert_eq!(answer, Response { status: 202, retry_after_s: Some(7), body: b"{}".to_vec() });
    let request = serving.join().expect("served");
    let (head, body) = request.split_once("\r\n\r\n").expect("head");
    let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("host: 127.0.0.1:")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "POST /base/v1/messages HTTP/1.1",
            "accept: application/json",
            "authorization: Bearer kkkkkkkkkkkkkkkk",
            "connection: close",
            "content-length: 8",
            "content-type: application/json",
            "user-agent: stentor",
        ]
    );
    assert_eq!(body, "{\"to\":1}");
}

#[test]
fn bodies_in_each_framing() {
    let table: [(&str, Option<&str>); 8] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", Some("abc")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd", Some("abc")),
        ("HTTP/1.1 200 OK\r\n\r\nall of it", Some("all of it")),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", Some("x")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n", Some("abcde")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncd", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", None),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", None),
    ];
    for (bytes, body) in table {
        let read = read_answer(bytes.as_bytes()).ok().map(|answer| String::from_utf8(answer.body).expect("text"));
        assert_eq!(read.as_deref(), body, "{bytes}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    proptest::proptest!(|(bytes: Vec<u8>, cut in 0..200_usize)| {
        let _ = read_answer(&bytes);
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nffffffffffffffff\r\ncde\r\n0\r\n\r\n";
        let _ = read_answer(&whole[..cut.min(whole.len())]);
    });
}

#[test]
fn what_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").expect("listener").local_addr().expect("address").port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("url");
    let error = Client::new(url, None).expect("client").get("/readyz").expect_err("no server there");
    assert!(error.to_string().starts_with("cannot connect: "), "{error}");
    let (url, serving) = serve_once(b"");
    let error = Client::new(url, None).expect("client").get("/readyz").expect_err("nothing said");
    assert!(error.to_string().contains("closed the connection without an answer"), "{error}");
    serving.join().expect("served");
}

#[test]
fn a_key_cannot_smuggle_a_header() {
    let url = Url::parse("http://127.0.0.1:1").expect("url");
    for key in ["", "a b", "a\r\nx: y", "ü"] {
        assert!(Client::new(url.clone(), Some(key.to_owned())).is_err(), "{key:?}");
    }
}

#[test]
fn without_a_url_the_packaged_socket_is_asked_if_a_daemon_listens_there() {
    let folder = tempfile::tempdir().expect("directory");
    let path = folder.path().join("admin.sock");
    let usual = Url::parse(USUAL).expect("url");
    assert_eq!(unsaid(&path), Ok((usual.clone(), None)));
    let listener = UnixListener::bind(&path).expect("listens");
    assert_eq!(unsaid(&path), Ok((Url::Unix(path.clone()), None)));
    drop(listener);
    assert_eq!(unsaid(&path), Ok((usual, None)), "left by a daemon that has ended");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o170_000, 0o140_000);
}

#[test]
fn a_socket_is_asked_as_localhost_without_a_key() {
    let folder = tempfile::tempdir().expect("directory");
    let path = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&path).expect("listens");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connection");
        serve(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    });
    let client = Server::at(&format!("unix:{}", path.display())).client().expect("client");
    assert!(client.is_no_tenant());
    assert_eq!(client.get("/v1/queues").expect("answer").body, b"{}");
    let request = serving.join().expect("served");
    assert!(request.starts_with("GET /v1/queues HTTP/1.1\r\nhost: localhost\r\n"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
    let keyed = Server { api_key: Some("k".repeat(16)), ..Server::at("unix:/x") };
    assert!(!keyed.client().expect("client").is_no_tenant());
}

#[test]
fn https_wants_to_be_told_whom_to_trust() {
    let refused = Server::at("https://127.0.0.1:1").client().expect_err("no --ca");
    assert!(refused.exit == Exit::USAGE && refused.what.contains("--ca FILE"), "{}", refused.what);
    let server = Server { ca: Some("/nowhere/ca.pem".into()), ..Server::at("https://127.0.0.1:1") };
    let refused = server.client().expect_err("no file");
    assert!(refused.exit == Exit::IO && refused.what.contains("/nowhere/ca.pem: No such file"), "{}", refused.what);
    let plain = Server { ca: Some("/nowhere/ca.pem".into()), ..Server::at("http://127.0.0.1:1") };
    assert!(plain.client().is_ok(), "STENTOR_CA is set for all commands");
}

#[test]
fn a_server_that_speaks_tls_is_told_from_a_stranger() {
    let error = read_answer(&[0x15, 3, 3, 0, 2, 2, 50]).expect_err("an alert").to_string();
    assert_eq!(error, "this is not a Stentor server: it speaks TLS: use https://");
    assert!(is_framed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab") && !is_framed(b"HTTP/1.1 200 OK\r\n\r\nab"));
}
