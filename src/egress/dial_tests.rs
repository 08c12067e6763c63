//! Connections to real sockets; a function of the test looks up the names.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use futures_lite::AsyncReadExt;

use super::*;
use crate::host::{
    clock::Clock,
    executor::{Executor, Io, Running},
    watchdog::Heartbeat,
};
use stentor_core::mesh::CoreId;

const FAR: Duration = Duration::from_secs(60);

/// Runs the test on each kind of executor that works here.
fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce(Clock) -> F + Send + Clone + 'static) {
    for io in Io::here() {
        let (clock, main) = (Clock::start(), main.clone());
        let executor = Executor { io, core: CoreId(0), cpu: None, clock, heart: Heartbeat::default() };
        executor.start(move || main(clock)).and_then(Running::join).expect("executor");
    }
}

fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A server that sends the last byte of its own address and closes the connection.
fn carrier(last: u8, port: u16) -> u16 {
    let listener = TcpListener::bind((loopback(last), port)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        use std::io::Write;
        for accepted in listener.incoming() {
            let _ = accepted.and_then(|mut stream| stream.write_all(&[last]));
        }
    });
    port
}

fn dial(clock: Clock, port: u16, addresses: &[IpAddr], timeout: Duration) -> Dial {
    let addresses = addresses.to_vec();
    let resolver = Resolver::with(clock, 1, move |_| Ok(addresses.clone())).expect("a thread");
    let hosts = vec![Host { name: "smsc.test".to_owned(), port }];
    Dial { hosts, resolver, source_ip: None, tls: None, timeout, pdus: None }
}

async fn reached(dial: &Dial, turn: u32) -> Result<u8, Disconnect> {
    let mut stream = dial.connect(Way { host: 0, turn }).await.map_err(|no_way| no_way.reason)?;
    let mut last = [0];
    assert_eq!(stream.read(&mut last).await.ok(), Some(1));
    Ok(last[0])
}

#[test]
fn every_address_of_a_name_is_tried() {
    run(|clock| async move {
        let port = carrier(11, 0);
        // In order: no route, refused, listening.
        let nowhere = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        let dial = dial(clock, port, &[nowhere, loopback(12), loopback(11)], FAR);
        assert_eq!(reached(&dial, 0).await, Ok(11));
        assert_eq!(reached(&dial, 7).await, Ok(11));
    });
}

#[test]
fn an_address_that_is_silent_leaves_the_others_their_time() {
    run(|clock| async move {
        // A listener whose backlog is full does not answer: the kernel drops the handshake.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
        full.bind(&SocketAddr::new(loopback(13), 0).into()).and_then(|()| full.listen(0)).expect("listen");
        let port = full.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").port();
        let first =
            Socket::connect((Ipv4Addr::new(127, 0, 0, 13), port).into(), None, FAR).await.expect("the one place");
        carrier(14, port);
        let dial = dial(clock, port, &[loopback(13), loopback(14)], Duration::from_millis(400));
        assert_eq!(reached(&dial, 0).await, Ok(14));
        drop((first, full));
    });
}

#[test]
fn a_host_that_was_passed_is_begun_with_another_address() {
    run(|clock| async move {
        let port = carrier(15, 0);
        carrier(16, port);
        let dial = dial(clock, port, &[loopback(15), loopback(16)], FAR);
        let mut last = Vec::new();
        for turn in 0..3 {
            last.push(reached(&dial, turn).await);
        }
        assert_eq!(last, [Ok(15), Ok(16), Ok(15)]);
    });
}

#[test]
fn only_addresses_of_the_sources_kind_are_tried() {
    run(|clock| async move {
        let port = carrier(17, 0);
        let mut dial = dial(clock, port, &[IpAddr::V6(Ipv6Addr::LOCALHOST), loopback(17)], FAR);
        dial.source_ip = Some(loopback(18));
        assert_eq!(reached(&dial, 0).await, Ok(17));
        dial.source_ip = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        dial.hosts[0].name = "127.0.0.17".to_owned();
        assert_eq!(reached(&dial, 0).await, Err(Disconnect::Unreachable));
    });
}

#[test]
fn a_name_that_is_not_found_is_no_connection() {
    run(|clock| async move {
        let dial = dial(clock, 1, &[], FAR);
        assert_eq!(reached(&dial, 0).await, Err(Disconnect::Unreachable));
    });
}
