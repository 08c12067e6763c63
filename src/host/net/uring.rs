//! Sockets of an executor on io_uring: glommio's, made from sockets with our options. Knows how to pass descriptors to glommio.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::{GlommioError, net};

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    inner: net::TcpListener,
    fd: RawFd,
}

impl Listener {
    pub(super) fn new(socket: socket2::Socket) -> Self {
        let fd = socket.as_raw_fd();
        // SAFETY: the descriptor is a listening stream socket whose only owner hands it over here; what glommio does
        // with it, accept(2), is the same for a Unix socket.
        #[allow(unsafe_code, reason = "glommio has no other way to take a socket with our options")]
        let inner = unsafe { net::TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Self { inner, fd }
    }

    pub(super) async fn accept(&self) -> io::Result<Socket> {
        self.inner.accept().await.map(Socket).map_err(flatten)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and outlives the borrow, which is tied to `&self`.
        #[allow(unsafe_code, reason = "glommio's listener does not implement AsFd itself, nor AsRawFd")]
        unsafe {
            BorrowedFd::borrow_raw(self.fd)
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Socket(net::TcpStream);

impl Socket {
    pub(super) fn new(socket: socket2::Socket) -> Self {
        // SAFETY: the descriptor is a stream socket whose only owner hands it over here.
        #[allow(unsafe_code, reason = "glommio takes sockets only by descriptor or as an older socket2's type")]
        Self(unsafe { net::TcpStream::from_raw_fd(socket.into_raw_fd()) })
    }

    /// Waits for the handshake by an empty send, which reports its result. glommio's own connect cannot bind a source address.
    pub(super) fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_write(context, &[]).map_ok(drop)
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map_err(flatten)
    }

    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and outlives the borrow, which is tied to `&self`.
        #[allow(unsafe_code, reason = "glommio's streams do not implement AsFd themselves")]
        unsafe {
            BorrowedFd::borrow_raw(self.0.as_raw_fd())
        }
    }
}

fn flatten(error: GlommioError<()>) -> io::Error {
    io::Error::from(error)
}
