//! TCP on an executor, plain or under TLS: the sockets half of the face to glommio. Knows bytes, options and ends of
//! streams; no protocol, no deadline (a coarse sweeper or the caller's own race has those).
//!
//! What a poll may read and write is limited ([`executor::poll_intake`]), so no loop over a socket keeps its executor.
//!
//! Truths kept here: `Ok(0)` from a read is the peer's end and nothing else is; an error is an error; a short write is
//! reported with its length, so that a caller can tell "certainly not written" from "maybe".

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_lite::{AsyncRead, AsyncWrite, future};
use futures_rustls::TlsStream;
use glommio::{GlommioError, net};
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};

use super::executor;

/// Connections that the kernel keeps for us while an accept task is busy; capped by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether the peer still exists.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// What the kernel keeps for a peer that takes its answer slowly; it counts twice as much with its own overhead. Left to
/// itself it keeps some MiB, and who reads nothing would be through with us.
const UNTAKEN_BYTES_MAX: usize = 256 << 10;
/// Bytes that stay unacknowledged for this long end the connection: the peer is gone without a word.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A listening socket of one executor; every executor binds its own (SO_REUSEPORT) and the kernel spreads connections.
#[derive(Debug)]
pub struct Listener {
    inner: net::TcpListener,
    address: SocketAddr,
    fd: RawFd,
}

impl Listener {
    /// Binds and listens. Port 0 takes a free one; see [`Self::address`].
    ///
    /// # Errors
    /// What the kernel answers: address in use, not permitted, not available.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        set_options(&SockRef::from(&socket))?;
        socket.set_send_buffer_size(UNTAKEN_BYTES_MAX)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        let fd = socket.as_raw_fd();
        // SAFETY: the descriptor is a listening TCP socket whose only owner hands it over here.
        #[allow(unsafe_code)] // glommio has no other way to take a socket with our options
        let inner = unsafe { net::TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Ok(Self { inner, address, fd })
    }

    /// The next connection, with the options of [`Self::bind`] inherited: no delay, keepalive, a limit on silence.
    ///
    /// # Errors
    /// EMFILE and ENFILE when descriptors have run out (back off), EINVAL after [`Self::close`], or what befell the
    /// one connection (go on).
    pub async fn accept(&self) -> io::Result<Socket> {
        self.inner.accept().await.map(Socket).map_err(flatten)
    }

    /// The address really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends a waiting [`Self::accept`] with EINVAL and turns later connections away; nothing is cancelled.
    pub fn close(&self) {
        let _ = SockRef::from(self).shutdown(Shutdown::Both);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and outlives the borrow, which is tied to `&self`.
        #[allow(unsafe_code)] // glommio's listener does not implement AsFd itself, nor AsRawFd
        unsafe {
            BorrowedFd::borrow_raw(self.fd)
        }
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Socket(net::TcpStream);

impl Socket {
    /// Connects, from `source` if one is given, within `timeout`.
    ///
    /// # Errors
    /// `TimedOut`, or what the kernel answers: refused, unreachable, source not available.
    pub async fn connect(to: SocketAddr, source: Option<IpAddr>, timeout: Duration) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        set_options(&SockRef::from(&socket))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        // SAFETY: the descriptor is a TCP socket whose only owner hands it over here.
        #[allow(unsafe_code)] // glommio takes sockets only by descriptor or as an older socket2's type
        let mut stream = unsafe { net::TcpStream::from_raw_fd(socket.into_raw_fd()) };
        // An empty send waits for the handshake and reports how it ended; glommio's own connect takes no source.
        let connected = future::poll_fn(|context| Pin::new(&mut stream).poll_write(context, &[]));
        let too_late = async {
            executor::sleep(timeout).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        future::or(connected, too_late).await?;
        Ok(Self(stream))
    }

    /// The other end's address.
    ///
    /// # Errors
    /// When the connection is already gone.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map_err(flatten)
    }

    /// Writes what the socket takes right now, without waiting: a last word before the connection is closed.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, or that the connection is gone.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    }

    /// When it is closed, the peer is told of a reset, and what it has not taken is dropped.
    pub fn reset(&self) {
        // A connection that is gone has nothing left to drop.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and outlives the borrow, which is tied to `&self`.
        #[allow(unsafe_code)] // glommio's streams do not implement AsFd themselves
        unsafe {
            BorrowedFd::borrow_raw(self.0.as_raw_fd())
        }
    }
}

impl AsyncRead for Socket {
    /// As much as this poll may still take in. The only place where bytes from outside come in.
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let may_be = ready!(executor::poll_intake(context)).min(into.len());
        let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut into[..may_be]))?;
        executor::took(read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Socket {
    /// As much as this poll may still put out.
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let may_be = ready!(executor::poll_outlet(context)).min(bytes.len());
        let written = ready!(Pin::new(&mut self.0).poll_write(context, &bytes[..may_be]))?;
        executor::gave(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The last of them may be larger than what is left: the next write waits for the next poll.
        ready!(executor::poll_outlet(context));
        match SockRef::from(&*self).send_vectored_with_flags(slices, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(written) => {
                executor::gave(written);
                return Poll::Ready(Ok(written));
            }
        }
        // Glommio tries the first slice once more and then waits for room.
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
        self.poll_write(context, first)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our direction (FIN); what the peer still sends can be read. A peer already gone is no error.
    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_close(context)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A connection, plain or under TLS in either role.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they are.
    Plain(Socket),
    /// After a handshake.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// The TCP connection underneath.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether several slices written at once travel in one piece; TLS copies them anyway.
    pub fn is_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(socket) => Pin::new(socket).poll_close(context),
            Self::Tls(tls) => Pin::new(tls).poll_close(context),
        }
    }
}

/// Linux hands these from a listening socket to what it accepts, so an accepted connection costs no further call.
fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

fn flatten(error: GlommioError<()>) -> io::Error {
    io::Error::from(error)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        mesh::CoreId,
        runtime::{
            clock::Clock,
            executor::{Executor, OnPanic, Running, now, spawn},
            watchdog::Heartbeat,
        },
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + 'static) {
        let executor = Executor { core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
        executor.start(main).and_then(Running::join).expect("executor");
    }

    fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    async fn pair() -> (Socket, Socket) {
        let listener = Listener::bind(loopback()).expect("bind");
        let source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
        let (client, server) =
            future::zip(Socket::connect(listener.address(), source, SECOND), listener.accept()).await;
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

    /// The kernel's own growing buffers would take some MiB.
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

    /// One who reads and is fed without end, a byte at a time, so that there is always another; one who writes to somebody
    /// who takes everything. Either keeps nobody from running.
    #[test]
    fn neither_reading_nor_writing_without_end_keeps_others_from_running() {
        run(|| async {
            let listener = Listener::bind(loopback()).expect("bind");
            let address = listener.address();
            let peer = std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let mut feeds = std::net::TcpStream::connect(address).expect("connect");
                let mut takes = feeds.try_clone().expect("clone");
                let taking =
                    std::thread::spawn(move || while takes.read(&mut [0; 1 << 16]).is_ok_and(|got| got > 0) {});
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
}
