//! TCP and Unix sockets on an executor, plain or under TLS.
//!
//! Knows bytes, options and ends of streams; no protocol, and no deadlines (callers have those). The executor on which a
//! socket is made decides whether it is glommio's (`uring`) or the standard library's (`epoll`).
//!
//! The bytes that a poll may read and write are limited ([`executor::poll_intake`]), so no loop over a socket can occupy its
//! executor.
//!
//! Guarantees: a read returns `Ok(0)` only when the peer has ended its direction, and never for an error; a short write is
//! reported with its length, so that a caller can distinguish "certainly not written" from "maybe written".

mod epoll;
mod uring;

use std::{
    fmt,
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_lite::{AsyncRead, AsyncWrite, future};
use futures_rustls::TlsStream;
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};

use super::executor::{self, Io};

/// Connections that the kernel queues while the accept task is busy; limited by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel sends keep-alive probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Size of the kernel's send buffer; with its overhead the kernel counts twice as much. By default it would grow to some MiB,
/// so that a whole answer would fit into it, and a client that reads nothing would not be noticed.
const UNTAKEN_BYTES_MAX: usize = 256 << 10;
/// If sent bytes are not acknowledged for this long, the connection ends: the peer has disappeared.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// The peer of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client over TCP, with its address.
    Remote(SocketAddr),
    /// A process that may open the file of the Unix socket.
    Local,
}

impl Peer {
    /// Whether the peer is a process of this machine.
    pub fn is_here(self) -> bool {
        match self {
            Self::Remote(address) => address.ip().to_canonical().is_loopback(),
            Self::Local => true,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Remote(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(address) => write!(out, "{address}"),
            Self::Local => out.write_str("the Unix socket"),
        }
    }
}

/// A listening socket of one executor. For TCP each executor binds a socket of its own (SO_REUSEPORT), and the kernel
/// distributes the connections.
#[derive(Debug)]
pub struct Listener {
    inner: Listening,
    /// `None` for a Unix socket.
    address: Option<SocketAddr>,
}

#[derive(Debug)]
enum Listening {
    Uring(uring::Listener),
    Epoll(epoll::Listener),
}

impl Listening {
    fn new(socket: socket2::Socket) -> io::Result<Self> {
        Ok(match executor::io() {
            Io::Uring => Self::Uring(uring::Listener::new(socket)),
            Io::Epoll => Self::Epoll(epoll::Listener::new(socket)?),
        })
    }
}

impl Listener {
    /// Binds and listens. For port 0 the kernel chooses a free one; see [`Self::address`].
    ///
    /// # Errors
    /// The kernel's error: address in use, not permitted, or not available.
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
        Ok(Self { inner: Listening::new(socket)?, address: Some(address) })
    }

    /// Takes a Unix socket that is listening already. Its file is made elsewhere, on a thread that may block.
    ///
    /// # Errors
    /// When the executor cannot watch it.
    pub fn local(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { inner: Listening::new(socket.into())?, address: None })
    }

    /// The next connection. It inherits the options set in [`Self::bind`]: no delay, keep-alive, a limit for unacknowledged bytes.
    ///
    /// # Errors
    /// EMFILE and ENFILE when no descriptors are left (back off), EINVAL after [`Self::close`], or an error of this one
    /// connection (go on).
    pub async fn accept(&self) -> io::Result<Socket> {
        let accepted = match &self.inner {
            Listening::Uring(listener) => listener.accept().await.map(Connection::Uring),
            Listening::Epoll(listener) => listener.accept().await.map(Connection::Epoll),
        };
        accepted.map(Socket)
    }

    /// The address that was bound; 0.0.0.0:0 for a Unix socket.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
    }

    /// Whether it is a Unix socket.
    pub fn is_local(&self) -> bool {
        self.address.is_none()
    }

    /// The peer of a connection that this listener accepted.
    ///
    /// # Errors
    /// When the connection is already gone.
    pub fn peer_of(&self, socket: &Socket) -> io::Result<Peer> {
        if self.is_local() { Ok(Peer::Local) } else { socket.peer().map(Peer::Remote) }
    }

    /// Ends a waiting [`Self::accept`] with EINVAL and refuses later connections; no future is cancelled.
    pub fn close(&self) {
        let _ = SockRef::from(self).shutdown(Shutdown::Both);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Listening::Uring(listener) => listener.as_fd(),
            Listening::Epoll(listener) => listener.as_fd(),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Socket(Connection);

#[derive(Debug)]
enum Connection {
    Uring(uring::Socket),
    Epoll(epoll::Socket),
}

impl Socket {
    /// Connects, from `source` if one is given, within `timeout`.
    ///
    /// # Errors
    /// `TimedOut`, or the kernel's error: refused, unreachable, source not available.
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
        let mut connection = match executor::io() {
            Io::Uring => Connection::Uring(uring::Socket::new(socket)),
            Io::Epoll => Connection::Epoll(epoll::Socket::new(socket)?),
        };
        let connected = future::poll_fn(|context| match &mut connection {
            Connection::Uring(socket) => socket.poll_connected(context),
            Connection::Epoll(socket) => socket.poll_connected(context),
        });
        let too_late = async {
            executor::sleep(timeout).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        future::or(connected, too_late).await?;
        Ok(Self(connection))
    }

    /// The other end's address.
    ///
    /// # Errors
    /// When the connection is already gone.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Connection::Uring(socket) => socket.peer(),
            Connection::Epoll(socket) => socket.peer(),
        }
    }

    /// Writes as much as the socket accepts without waiting: for last bytes before the connection is closed.
    ///
    /// # Errors
    /// `WouldBlock` when it accepts nothing, or the error of a lost connection.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    }

    /// Makes closing reset the connection and discard the bytes that the peer has not read.
    pub fn reset(&self) {
        // A connection that is lost has nothing left to discard.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Connection {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Uring(socket) => socket.poll_read(context, into),
            Self::Epoll(socket) => socket.poll_read(context, into),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Uring(socket) => socket.poll_write(context, bytes),
            Self::Epoll(socket) => socket.poll_write(context, bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Connection::Uring(socket) => socket.as_fd(),
            Connection::Epoll(socket) => socket.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    /// Reads at most as much as this poll may still read. All bytes from peers come in here.
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let may_be = ready!(executor::poll_intake(context)).min(into.len());
        let read = ready!(self.0.poll_read(context, &mut into[..may_be]))?;
        executor::took(read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Socket {
    /// Writes at most as much as this poll may still write.
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let may_be = ready!(executor::poll_outlet(context)).min(bytes.len());
        let written = ready!(self.0.poll_write(context, &bytes[..may_be]))?;
        executor::gave(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The slices may be larger than what is left of the share: then the next write waits for the next poll.
        ready!(executor::poll_outlet(context));
        match SockRef::from(&*self).send_vectored_with_flags(slices, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(written) => {
                executor::gave(written);
                return Poll::Ready(Ok(written));
            }
        }
        // The first slice is tried once more, and then waits for room.
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
        self.poll_write(context, first)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends this side's direction (FIN); bytes that the peer still sends can be read. It is no error if the peer is already gone.
    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = match &mut self.0 {
            Connection::Uring(socket) => ready!(socket.poll_close(context)),
            Connection::Epoll(socket) => socket.close(),
        };
        match closed {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A connection, plain or under TLS in either role.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(Socket),
    /// With TLS, after the handshake.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// The connection underneath.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether several slices can be written with one system call; TLS copies them anyway.
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

/// Sets the options of a socket. On Linux accepted connections inherit them from the listening socket, which saves calls.
fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}

#[cfg(test)]
mod tests;
