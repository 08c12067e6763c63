//! The HTTP server against real sockets: clients that are quick, slow, broken, greedy or gone. Each test serves on a port of
//! its own; afterwards every connection must have given its place back.

use std::{
    io::{ErrorKind, Read, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use hyper::{Method, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use super::*;
use crate::host::{
    clock::Clock,
    executor::{Executor, Io},
    watchdog::Heartbeat,
};
use crate::http::problem::Code;
use stentor_core::mesh::{CoreId, mailbox};

/// A client that waits longer than this has found a hang.
const HANG: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits { body_bytes_max: 100_000, decoded_bytes_max: 200_000, ..Limits::DEFAULT };
const HASTY: Limits = Limits { header_ms: 100, body_ms: 100, idle_ms: 100, write_ms: 100, linger_ms: 100, ..LIMITS };

/// Answers by path: `/` returns the body, `/deaf` does not read it, the others do what their names say.
struct Echo;

impl Handler for Echo {
    async fn handle(self: Rc<Self>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/deaf" => Response::new("deaf".into()),
            "/panic" => panic!("on purpose"),
            "/late" => {
                executor::sleep(Duration::from_millis(300)).await;
                Response::new("late".into())
            }
            "/never" => std::future::pending().await,
            "/keep" => {
                let _kept = request.into_body().whole().await;
                std::future::pending().await
            }
            "/huge" => Response::new(vec![b'x'; 64 << 20].into()),
            "/pieces" | "/aborted" => pieces(path == "/pieces"),
            _ => match request.into_body().whole().await {
                Ok(body) => Response::new(body.to_vec().into()),
                Err(error) => {
                    let mut answer = Response::new(format!("{error}").into());
                    *answer.status_mut() = StatusCode::from_u16(error.status()).expect("status");
                    answer
                }
            },
        }
    }
}

fn pieces(all: bool) -> Response<ResponseBody> {
    let (mut sender, body) = ResponseBody::channel(1, None);
    executor::spawn(OnPanic::Abort, "pieces", async move {
        for piece in ["one ", "two ", "", "three"] {
            if sender.send(Bytes::from_static(piece.as_bytes())).await.is_err() {
                return;
            }
        }
        if all {
            sender.finish();
        }
    });
    Response::new(body)
}

/// Serves while `client` runs, then drains, on each kind of executor in turn; returns how many connections were cut
/// and the counters of each.
fn serve_while(
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    mut client: impl FnMut(SocketAddr),
) -> Vec<(usize, Counters)> {
    Io::here().into_iter().map(|io| serve_on(io, limits, tls.clone(), &mut client)).collect()
}

fn serve_on(
    io: Io,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    client: &mut impl FnMut(SocketAddr),
) -> (usize, Counters) {
    let ((stop, mut stopped), (address_to, address), (end_to, end)) =
        (mailbox::<()>(1), mpsc::channel(), mpsc::channel());
    let executor = Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
    let running = executor.start(move || async move {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
        address_to.send(listener.address()).expect("address");
        let server = Server::start(vec![listener], tls, Rc::new(Echo), limits);
        stopped.drain(&mut Vec::new(), 1).await;
        let cut = server.drain(Duration::from_secs(1)).await;
        assert_eq!(server.open(), 0);
        end_to.send((cut, server.counters())).expect("end");
    });
    client(address.recv().expect("address"));
    drop(stop);
    running.and_then(executor::Running::join).expect("executor");
    end.recv().expect("end")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(HANG)).expect("timeout");
    stream
}

/// Everything that the server sends until it ends; a reset after the answer is an end as well.
fn hear_out(mut stream: impl Read) -> String {
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&heard)),
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// Sends `bytes`; returns the status codes and the last body of what is answered until the end.
fn talk(address: SocketAddr, bytes: &[u8]) -> (Vec<u16>, String) {
    let mut stream = connect(address);
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    understand(&hear_out(stream))
}

fn understand(heard: &str) -> (Vec<u16>, String) {
    let codes = heard.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect();
    (codes, heard.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned())
}

fn check(limits: Limits, bytes: &[u8], codes: &[u16], body: &str) {
    serve_while(limits, None, |address| assert_eq!(talk(address, bytes), (codes.to_vec(), body.to_owned())));
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let first = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc".as_slice();
    check(LIMITS, &[first, b"GET /deaf HTTP/1.1\r\n\r\n", &post("", b"xyz")].concat(), &[200, 200, 200], "xyz");
}

#[test]
fn chunks_make_one_body() {
    let chunked =
        b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    check(LIMITS, chunked, &[200], "abcde");
    let malformed = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n";
    check(LIMITS, malformed, &[400], "the body's chunks are malformed");
}

#[test]
fn a_body_of_many_reads_is_whole() {
    let body: Vec<u8> = (0..100_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    check(LIMITS, &post("", &body), &[200], &String::from_utf8_lossy(&body));
}

#[test]
fn continue_is_said_only_to_what_will_be_read() {
    serve_while(LIMITS, None, |address| {
        let mut stream = connect(address);
        let head = b"POST / HTTP/1.1\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
        stream.write_all(head).expect("head");
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).expect("interim");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"ok").expect("body");
        assert_eq!(understand(&hear_out(stream)), (vec![200], "ok".to_owned()));
    });
    let greedy = b"POST / HTTP/1.1\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 100001\r\n\r\n";
    check(LIMITS, greedy, &[413], "the body is larger than 100000 bytes");
}

#[test]
fn a_client_that_sends_too_much_still_hears_why() {
    let body = vec![b'x'; 900_000];
    check(LIMITS, &post("", &body), &[413], "the body is larger than 100000 bytes");
    let head = b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\ndbba0\r\n".as_slice();
    check(LIMITS, &[head, &body, b"\r\n0\r\n\r\n"].concat(), &[413], "the body is larger than 100000 bytes");
}

#[test]
fn encodings_are_undone_within_limits() {
    let text = "long enough to be worth it. ".repeat(1_000);
    let gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).expect("gzip");
        encoder.finish().expect("gzip")
    };
    let zstd = |plain: &[u8]| zstd::encode_all(plain, 3).expect("zstd");
    let (gz, zst) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
    check(LIMITS, &post("content-encoding: GZIP\r\n", &gz), &[200], &text);
    check(LIMITS, &post("content-encoding: zstd\r\n", &zst), &[200], &text);
    check(LIMITS, &post("content-encoding: identity\r\n", b"as is"), &[200], "as is");

    let failed = "the body cannot be decoded as its Content-Encoding says";
    check(LIMITS, &post("content-encoding: gzip\r\n", &gz[..gz.len() - 3]), &[400], failed);
    check(LIMITS, &post("content-encoding: zstd\r\n", &zst[..zst.len() - 3]), &[400], failed);
    check(LIMITS, &post("content-encoding: gzip\r\n", b"not gzip at all"), &[400], failed);
    check(LIMITS, &post("content-encoding: zstd\r\n", b"not zstd at all"), &[400], failed);
    let unknown = "Content-Encoding must be gzip, zstd or absent";
    check(LIMITS, &post("content-encoding: br\r\n", b"x"), &[415], unknown);
    check(LIMITS, &post("content-encoding: gzip\r\ncontent-encoding: zstd\r\n", b"x"), &[415], unknown);

    let bomb = vec![0; 50 << 20];
    let limit = format!("the body is larger than {} bytes", LIMITS.decoded_bytes_max);
    check(LIMITS, &post("content-encoding: gzip\r\n", &gzip(&bomb)), &[413], &limit);
    check(LIMITS, &post("content-encoding: zstd\r\n", &zstd(&bomb)), &[413], &limit);
    let members = gzip(b"").repeat(20_000);
    let many = Limits { body_bytes_max: 1 << 20, decoded_bytes_max: 1 << 20, ..LIMITS };
    let limit_members = "the body has more than 10000 gzip members or zstd frames";
    check(many, &post("content-encoding: gzip\r\n", &members), &[413], limit_members);
    let ratio = Limits { decoded_ratio_max: 2, ..LIMITS };
    let limit = format!("the body is larger than {} bytes", 2 * zst.len() + (64 << 10));
    check(ratio, &post("content-encoding: zstd\r\n", &zstd(&text.repeat(4).into_bytes())), &[413], &limit);
}

#[test]
fn a_truncated_body_is_none() {
    serve_while(LIMITS, None, |address| {
        for head in ["content-length: 10\r\n\r\nfive", "transfer-encoding: chunked\r\n\r\n5\r\nfive"] {
            let mut stream = connect(address);
            write!(stream, "POST / HTTP/1.1\r\n{head}").expect("write");
            stream.shutdown(Shutdown::Write).expect("shutdown");
            assert_eq!(understand(&hear_out(stream)), (vec![400], "the body ended early".to_owned()));
        }
    });
}

#[test]
fn a_client_that_ended_its_side_still_hears_the_answer() {
    serve_while(LIMITS, None, |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /late HTTP/1.1\r\n\r\n").expect("write");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(understand(&hear_out(stream)), (vec![200], "late".to_owned()));
    });
}

#[test]
fn what_is_not_http_is_refused() {
    check(LIMITS, b"\x16\x03\x01\x02\x00 hello", &[400], "");
    check(LIMITS, b"GET / HTTP/1.1\r\nno colon\r\n\r\n", &[400], "");
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    check(LIMITS, long.as_bytes(), &[431], "");
    let smuggled = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde";
    check(LIMITS, smuggled, &[400], "");
}

#[test]
fn slow_clients_are_told_and_closed() {
    let counted = |client: fn(SocketAddr)| serve_while(HASTY, None, client).into_iter().map(|(_, is)| is.overdue);
    let silent = |address| assert_eq!(hear_out(connect(address)), "");
    counted(silent).for_each(|overdue| assert_eq!(overdue, [1, 0, 0, 0, 0, 0]));
    let half_a_header = |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").expect("write");
        assert_eq!(understand(&hear_out(stream)), (vec![408], String::new()));
    };
    counted(half_a_header).for_each(|overdue| assert_eq!(overdue, [1, 0, 0, 0, 0, 0]));
    let half_a_body = |address| {
        let mut stream = connect(address);
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf").expect("write");
        assert_eq!(understand(&hear_out(stream)), (vec![408], "the body came too slowly".to_owned()));
    };
    counted(half_a_body).for_each(|overdue| assert_eq!(overdue[1], 1));
    let idle = |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /deaf HTTP/1.1\r\n\r\n").expect("write");
        assert_eq!(understand(&hear_out(stream)), (vec![200], "deaf".to_owned()));
    };
    counted(idle).for_each(|overdue| assert_eq!(overdue[2], 1));
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let served = serve_while(HASTY, None, |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /huge HTTP/1.1\r\n\r\n").expect("write");
        let mut waiting = connect(address);
        waiting.write_all(b"GET /late HTTP/1.1\r\n\r\n").expect("write");
        hear_out(waiting);
        // Three sweeps and more have passed: the first connection is gone, and what it had not read is lost.
        hear_out(connect(address));
        let mut taken = Vec::new();
        let ended = stream.read_to_end(&mut taken).map_err(|error| error.kind());
        assert_eq!((ended, taken.len() < 64 << 20), (Err(ErrorKind::ConnectionReset), true));
    });
    served.into_iter().for_each(|(_, counters)| assert_eq!(counters.overdue[3], 1));
}

#[test]
fn resets_leave_nothing_behind() {
    let served = serve_while(LIMITS, None, |address| {
        for bytes in ["", "GET", "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf", "GET /late HTTP/1.1\r\n\r\n"] {
            let mut stream = connect(address);
            stream.write_all(bytes.as_bytes()).expect("write");
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
        }
        assert_eq!(talk(address, &post("", b"alive")), (vec![200], "alive".to_owned()));
    });
    served.into_iter().for_each(|(cut, counters)| assert_eq!((cut, counters.accepted), (0, 5)));
}

#[test]
fn a_panic_costs_one_connection() {
    let served = serve_while(LIMITS, None, |address| {
        assert_eq!(talk(address, b"GET /panic HTTP/1.1\r\n\r\n"), (vec![], String::new()));
        assert_eq!(talk(address, &post("", b"alive")), (vec![200], "alive".to_owned()));
    });
    served.into_iter().for_each(|(_, counters)| assert_eq!(counters.accepted, 2));
}

#[test]
fn an_answer_may_come_in_pieces() {
    let heard = |path: &str| {
        let mut heard = Vec::new();
        serve_while(LIMITS, None, |address| {
            let mut stream = connect(address);
            write!(stream, "{} {path} HTTP/1.1\r\nconnection: close\r\n\r\n", Method::GET).expect("write");
            heard.push(hear_out(stream));
        });
        heard
    };
    let whole = "\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n";
    assert!(heard("/pieces").iter().all(|heard| heard.ends_with(whole)));
    // Cut off: pieces that waited may be lost, but the end that would make the answer look complete is never sent.
    assert!(!heard("/aborted").iter().any(|heard| heard.ends_with("0\r\n\r\n")));
}

#[test]
fn one_connection_too_many_is_turned_away() {
    let one = Limits { connections_max: 1, ..LIMITS };
    let served = serve_while(one, None, |address| {
        let mut first = connect(address);
        // The first request of each is answered, and its second is being handled.
        first.write_all(b"GET /deaf HTTP/1.1\r\n\r\nGET /never HTTP/1.1\r\n\r\n").expect("write");
        let mut answer = [0; 12];
        first.read_exact(&mut answer).expect("answer");
        let heard = hear_out(connect(address));
        let (codes, told) = understand(&heard);
        let problem: serde_json::Value = serde_json::from_str(&told).expect("a problem");
        let code = Code::Overloaded;
        assert_eq!(
            (codes, &problem["code"], &problem["title"]),
            (vec![503], &code.text().into(), &code.title().into())
        );
        assert!(heard.contains("\r\nretry-after: 1\r\n"), "{heard}");
        assert!(heard.contains(&format!("\r\ncontent-length: {}\r\n", told.len())), "{heard}");
    });
    for (_, counters) in served {
        assert_eq!((counters.accepted, counters.turned_away, counters.evicted), (2, 1, 0));
    }
}

fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).and_then(|()| socket.connect(&address.into())).expect("connect");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(HANG)).expect("timeout");
    stream
}

#[test]
fn silent_connections_make_place_for_others() {
    let few = Limits { connections_max: 8, ..LIMITS };
    let served = serve_while(few, None, |address| {
        let mut innocent = connect(address);
        let say = |innocent: &mut TcpStream| {
            innocent.write_all(b"GET /deaf HTTP/1.1\r\n\r\n").expect("write");
            let (mut answer, mut byte) = (Vec::new(), [0]);
            while !answer.ends_with(b"deaf") {
                innocent.read_exact(&mut byte).expect("answer");
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"));
        };
        say(&mut innocent);
        let silent: Vec<_> = (0..40).map(|_| connect_from([127, 0, 0, 2], address)).collect();
        for _ in 0..20 {
            assert_eq!(talk(address, &post("", b"alive")), (vec![200], "alive".to_owned()));
        }
        say(&mut innocent);
        drop(silent);
    });
    for (_, counters) in served {
        assert_eq!(counters.turned_away, 0);
        assert!(counters.evicted >= 33, "{}", counters.evicted);
    }
}

#[test]
fn announced_bodies_that_do_not_come_delay_no_other_client() {
    let little = Limits { memory_bytes_max: 1 << 20, ..LIMITS };
    serve_while(little, None, |address| {
        let announced: Vec<_> = (0..40)
            .map(|_| {
                let mut stream = connect(address);
                stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 99999\r\n\r\n[").expect("write");
                stream
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(talk(address, &post("", b"alive")), (vec![200], "alive".to_owned()));
        }
        drop(announced);
    });
}

#[test]
fn bodies_beyond_the_cores_memory_come_in_turn_and_none_is_refused() {
    let little = Limits { memory_bytes_max: 200_000, ..LIMITS };
    let body = vec![b'x'; 100_000];
    serve_while(little, None, |address| {
        let mut halves: Vec<_> = (0..12)
            .map(|_| {
                let mut stream = connect(address);
                let request = post("", &body);
                // Even if the server does not read on, this write does not block: the kernel takes the bytes.
                stream.write_all(&request[..request.len() / 2]).expect("write");
                stream
            })
            .collect();
        for stream in &mut halves {
            let request = post("", &body);
            stream.write_all(&request[request.len() / 2..]).expect("write");
        }
        for stream in halves {
            let (codes, heard) = understand(&hear_out(stream));
            assert_eq!((codes, heard.len()), (vec![200], body.len()));
        }
    });
}

#[test]
fn memory_that_never_comes_back_is_waited_for_in_vain() {
    let none = Limits { memory_bytes_max: 10, memory_ms: 100, ..LIMITS };
    serve_while(none, None, |address| {
        let mut lent = connect(address);
        lent.write_all(b"POST /keep HTTP/1.1\r\ncontent-length: 12\r\n\r\neleven bytes").expect("write");
        let refused = loop {
            let answer = talk(address, &post("", b"eleven bytes"));
            // Accepted: the other request has not come that far.
            if answer.0 != [200] {
                break answer;
            }
        };
        assert_eq!(refused, (vec![503], "no memory for the body became free in time".to_owned()));
        assert_eq!(talk(address, &post("", b"fits")), (vec![200], "fits".to_owned()));
    });
}

#[test]
fn a_body_of_nothing_but_framing_is_refused() {
    let said = "the body's chunks are malformed";
    let head = b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    check(LIMITS, &[head, &vec![b'0'; 4 << 20]].concat(), &[400], said);
    check(LIMITS, &[head, &b"1\r\nx\r\n".repeat(90_000)].concat(), &[400], said);
    let deaf = b"POST /deaf HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    check(LIMITS, &[deaf, &vec![b'0'; 4 << 20]].concat(), &[200], "deaf");
    let words = [head, &b"8\r\n0123456\n\r\n".repeat(10_000), b"0\r\n\r\n"].concat();
    check(LIMITS, &words, &[200], &"0123456\n".repeat(10_000));
}

#[test]
fn a_drain_lets_answers_finish_and_cuts_the_rest() {
    let mut late = Vec::new();
    let served = serve_while(LIMITS, None, |address| {
        let mut idle = connect(address);
        idle.write_all(b"GET /deaf HTTP/1.1\r\n\r\n").expect("write");
        let mut answer = [0; 12];
        idle.read_exact(&mut answer).expect("answer");
        let streams: Vec<_> = ["/late", "/never"]
            .into_iter()
            .map(|path| {
                let mut stream = connect(address);
                write!(stream, "GET {path} HTTP/1.1\r\n\r\n").expect("write");
                stream
            })
            .collect();
        // The connection is accepted after the others: so those were accepted too.
        assert_eq!(talk(address, &post("", b"x")).0, [200]);
        late.push((idle, streams));
    });
    served.into_iter().for_each(|(cut, _)| assert_eq!(cut, 1));
    for (idle, streams) in late {
        assert!(hear_out(idle).ends_with("deaf"));
        let heard: Vec<_> = streams.into_iter().map(|stream| understand(&hear_out(stream)).1).collect();
        assert_eq!(heard, ["late", ""]);
    }
}

#[test]
fn tls_carries_the_same() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let certificate = CertificateDer::from(issued.cert.der().to_vec());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("root");
    let client = Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let body = vec![b'x'; 90_000];
    let served = serve_while(LIMITS, server.ok().map(Arc::new), |address| {
        let name = ServerName::try_from("localhost").expect("name");
        let session = rustls::ClientConnection::new(Arc::clone(&client), name).expect("session");
        let mut stream = rustls::StreamOwned::new(session, connect(address));
        stream.write_all(&post("", &body)).expect("write");
        let (codes, heard) = understand(&hear_out(&mut stream));
        assert_eq!((codes, heard.len()), (vec![200], body.len()));
        assert!(talk(address, b"GET / HTTP/1.1\r\n\r\n").0.is_empty());
    });
    for (_, counters) in served {
        assert_eq!((counters.accepted, counters.handshakes_failed), (2, 1));
    }
}

/// A self-signed certificate for "localhost", and the server's configuration with it.
fn issued() -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let certificate = CertificateDer::from(issued.cert.der().to_vec());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    (certificate, Arc::new(server.expect("server")))
}

/// Security H9: a renewed certificate was not served before a restart.
#[test]
fn connections_after_a_renewal_get_the_renewed_certificate_and_others_go_on() {
    Io::here().into_iter().for_each(renewal_on);
}

fn renewal_on(io: Io) {
    let ((old, first), (new, second)) = (issued(), issued());
    let mut roots = rustls::RootCertStore::empty();
    [&old, &new].into_iter().for_each(|certificate| roots.add(certificate.clone()).expect("root"));
    let client = Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let ((renew, mut renewed), (address_to, address)) = (mailbox::<()>(1), mpsc::channel());
    let executor = Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
    let running = executor.start(move || async move {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
        let server = Server::start(vec![listener], Some(first), Rc::new(Echo), LIMITS);
        let _ = address_to.send(server.listeners[0].address());
        renewed.drain(&mut Vec::new(), 1).await;
        server.set_tls(Some(second));
        let _ = address_to.send(server.listeners[0].address());
        renewed.drain(&mut Vec::new(), 1).await;
        server.drain(Duration::from_secs(1)).await;
    });
    let shaken = |address| {
        let name = ServerName::try_from("localhost").expect("name");
        let session = rustls::ClientConnection::new(Arc::clone(&client), name).expect("session");
        let mut stream = rustls::StreamOwned::new(session, connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).expect("handshake");
        }
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first).cloned();
        (stream, shown)
    };
    let (mut before, shown) = shaken(address.recv().expect("address"));
    assert_eq!(shown, Some(old));
    renew.try_push(()).expect("room");
    let (mut after, shown) = shaken(address.recv().expect("address"));
    assert_eq!(shown, Some(new));
    for stream in [&mut before, &mut after] {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("write");
        assert_eq!(understand(&hear_out(stream)).0, [200]);
    }
    drop((renew, before, after));
    running.and_then(executor::Running::join).expect("executor");
}
