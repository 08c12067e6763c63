//! Sockets on both kinds of executors behave as this module promises.

use std::net::Ipv4Addr;

use futures_lite::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::host::{
    clock::Clock,
    executor::{Executor, OnPanic, Running, now, spawn},
    watchdog::Heartbeat,
};
use stentor_core::mesh::CoreId;

const SECOND: Duration = Duration::from_secs(1);

/// Runs the test on each kind of executor that works here.
fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + Copy + 'static) {
    for io in Io::here() {
        let executor = Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
        executor.start(main).and_then(Running::join).expect("executor");
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn pair() -> (Socket, Socket) {
    let listener = Listener::bind(loopback()).expect("bind");
    let source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    let (client, server) = future::zip(Socket::connect(listener.address(), source, SECOND), listener.accept()).await;
    (client.expect("connect"), server.expect("accept"))
}

#[test]
fn bytes_travel_and_the_end_is_the_end() {
    run(|| async {
        let (mut client, mut server) = pair().await;
        assert_eq!(server.peer().map(|peer| peer.ip().to_string()).ok().as_deref(), Some("127.0.0.9"));
        assert!(
            SockRef::from(&server).tcp_nodelay().is_ok_and(|on| on)
                && SockRef::from(&client).tcp_nodelay().is_ok_and(|on| on)
        );
        assert!(SockRef::from(&server).tcp_user_timeout().is_ok_and(|timeout| timeout == Some(UNACKNOWLEDGED_MAX)));
        let written = client.write_vectored(&[IoSlice::new(b"12"), IoSlice::new(b""), IoSlice::new(b"345")]).await;
        client.close().await.expect("close");
        let mut got = Vec::new();
        assert_eq!((written.ok(), server.read_to_end(&mut got).await.ok()), (Some(5), Some(5)));
        assert_eq!((got.as_slice(), server.read(&mut [0; 4]).await.ok()), (&b"12345"[..], Some(0)));
        server.write_all(b"still here").await.expect("half closed");
    });
}

#[test]
fn a_reset_is_an_error_and_not_the_end() {
    run(|| async {
        let (client, mut server) = pair().await;
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(client);
        let read = server.read(&mut [0; 4]).await;
        assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn large_vectored_writes_wait_for_room() {
    run(|| async {
        let (mut client, mut server) = pair().await;
        let (head, tail) = (vec![7_u8; 3 << 20], vec![9_u8; 3 << 20]);
        spawn(OnPanic::Abort, "writer", async move {
            let mut slices = [IoSlice::new(&head), IoSlice::new(&tail)];
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let written = client.write_vectored(rest).await.expect("write");
                IoSlice::advance_slices(&mut rest, written);
            }
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.expect("read");
        assert_eq!((got.len(), got[(3 << 20) - 1], got[3 << 20]), (6 << 20, 7, 9));
    });
}

/// With its default, the kernel's send buffer would grow to some MiB.
#[test]
fn who_takes_nothing_is_written_little() {
    run(|| async {
        let (client, mut server) = pair().await;
        SockRef::from(&client).set_recv_buffer_size(1 << 10).expect("a small buffer");
        let mut written = 0;
        let stuck = async {
            while let Ok(taken) = server.write(&[7; 64 << 10]).await {
                written += taken;
            }
        };
        future::or(stuck, executor::sleep(Duration::from_millis(200))).await;
        assert!((1..=8 * UNTAKEN_BYTES_MAX).contains(&written), "{written}");
    });
}

/// Neither a task that reads from a peer which always has another byte, nor a task that writes to a peer which reads
/// everything, keeps other tasks from running.
#[test]
fn neither_reading_nor_writing_without_end_keeps_others_from_running() {
    run(|| async {
        let listener = Listener::bind(loopback()).expect("bind");
        let address = listener.address();
        let peer = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let mut feeds = std::net::TcpStream::connect(address).expect("connect");
            let mut takes = feeds.try_clone().expect("clone");
            let taking = std::thread::spawn(move || while takes.read(&mut [0; 1 << 16]).is_ok_and(|got| got > 0) {});
            while feeds.write(&[7; 1 << 16]).is_ok() {}
            taking.join().expect("takes");
        });
        let mut stream = Stream::Plain(listener.accept().await.expect("accept"));
        for reads in [true, false] {
            let turns = std::rc::Rc::new(std::cell::Cell::new(0));
            spawn(OnPanic::Abort, "other", {
                let turns = std::rc::Rc::clone(&turns);
                async move {
                    while turns.get() < 100 {
                        turns.set(turns.get() + 1);
                        executor::yield_now().await;
                    }
                }
            });
            while turns.get() < 100 {
                if reads {
                    assert_eq!(stream.read(&mut [0; 1]).await.ok(), Some(1));
                } else {
                    assert!(stream.write(&[9; 1 << 10]).await.is_ok_and(|written| written > 0));
                }
            }
        }
        drop(stream);
        peer.join().expect("peer");
    });
}

#[test]
fn refusals_and_silence_are_told_apart() {
    run(|| async {
        let listener = Listener::bind(loopback()).expect("bind");
        let gone = listener.address();
        listener.close();
        assert_eq!(listener.accept().await.map(drop).map_err(|e| e.raw_os_error()), Err(Some(libc::EINVAL)));
        drop(listener);
        let refused = Socket::connect(gone, None, SECOND).await.map(drop);
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionRefused));

        // A listener whose backlog is full does not answer: the kernel drops the handshake.
        let full = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        full.bind(&loopback().into()).and_then(|()| full.listen(0)).expect("listen");
        let address = full.local_addr().ok().and_then(|address| address.as_socket()).expect("address");
        let _first = Socket::connect(address, None, SECOND).await.expect("the one place");
        let (began, short) = (now().mono, Duration::from_millis(50));
        let silence = Socket::connect(address, None, short).await.map(drop);
        assert_eq!(silence.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        assert!(now().mono.since(began) >= 50_000_000);
    });
}

#[test]
fn closing_ends_a_waiting_accept() {
    run(|| async {
        let listener = std::rc::Rc::new(Listener::bind(loopback()).expect("bind"));
        let closer = std::rc::Rc::clone(&listener);
        spawn(OnPanic::Abort, "closer", async move {
            executor::sleep(Duration::from_millis(20)).await;
            closer.close();
        });
        assert_eq!(listener.accept().await.map(drop).map_err(|e| e.raw_os_error()), Err(Some(libc::EINVAL)));
    });
}

/// Two tasks wait for the two directions of one connection at the same time, and neither consumes the other's wake-up.
#[test]
fn each_direction_is_waited_for_by_itself() {
    const BYTES: usize = 4 << 20;
    run(|| async {
        let (client, server) = pair().await;
        let (mut reading, mut writing) = futures_lite::io::split(Stream::Plain(client));
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = std::rc::Rc::clone(&done);
        spawn(OnPanic::Abort, "writes", async move {
            writing.write_all(&vec![1; BYTES]).await.expect("write");
            counted.set(counted.get() + 1);
        });
        let counted = std::rc::Rc::clone(&done);
        spawn(OnPanic::Abort, "reads", async move {
            reading.read_exact(&mut vec![0; BYTES]).await.expect("read");
            counted.set(counted.get() + 1);
        });
        // Nothing to read and, soon, no room to write.
        executor::sleep(Duration::from_millis(50)).await;
        let mut server = server;
        server.read_exact(&mut vec![0; BYTES]).await.expect("read");
        server.write_all(&vec![2; BYTES]).await.expect("write");
        while done.get() < 2 {
            executor::yield_now().await;
        }
    });
}

/// Numbers of closed sockets are used again; late events of the old sockets do no harm to the new ones.
#[test]
fn connections_come_and_go() {
    run(|| async {
        let listener = Listener::bind(loopback()).expect("bind");
        for round in 0..200_u8 {
            let (client, server) =
                future::zip(Socket::connect(listener.address(), None, SECOND), listener.accept()).await;
            let (mut client, mut server) = (client.expect("connect"), server.expect("accept"));
            if round % 3 == 0 {
                client.reset();
                drop(client);
                assert!(server.read(&mut [0; 1]).await.is_err());
            } else {
                client.write_all(&[round]).await.expect("write");
                let mut got = [0];
                server.read_exact(&mut got).await.expect("read");
                assert_eq!(got, [round]);
            }
        }
    });
}

#[test]
fn a_source_that_is_not_ours_is_refused() {
    run(|| async {
        let listener = Listener::bind(loopback()).expect("bind");
        let foreign = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let refused = Socket::connect(listener.address(), foreign, SECOND).await.map(drop);
        assert_eq!(refused.map_err(|error| error.raw_os_error()), Err(Some(libc::EADDRNOTAVAIL)));
    });
}
