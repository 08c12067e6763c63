//! Sockets of an executor on epoll: non-blocking sockets of the standard library, each watched by the executor's reactor.
//!
//! Knows that a task must try an operation before it waits (`executor/reactor.rs` says why no edge is lost).

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    task::{Context, Poll},
};

use rustix::net::{SocketFlags, accept_with};

use super::super::executor::{self, Reactor, Side, Source};

/// A socket and the tasks that wait for it. It stays on its thread, as its reactor does.
#[derive(Debug)]
struct Watched<S: AsFd> {
    socket: S,
    source: Rc<Source>,
    reactor: Rc<Reactor>,
}

impl<S: AsFd> Watched<S> {
    fn new(socket: S) -> io::Result<Self> {
        let reactor = executor::reactor();
        let source = reactor.watch(&socket)?;
        Ok(Self { socket, source, reactor })
    }

    /// Calls `attempt` until it does not have to wait for `side`, and returns its result.
    fn poll<R>(
        &self,
        side: Side,
        context: &Context<'_>,
        mut attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match attempt(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.wait(side, context);
                    return Poll::Pending;
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

impl<S: AsFd> Drop for Watched<S> {
    fn drop(&mut self) {
        self.reactor.forget(&self.socket, &self.source);
    }
}

/// A listening socket. One task at a time waits for it.
#[derive(Debug)]
pub(super) struct Listener(Watched<TcpListener>);

impl Listener {
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Watched::new(socket.into()).map(Self)
    }

    pub(super) async fn accept(&self) -> io::Result<Socket> {
        let accepted = poll_fn(|context| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            self.0.poll(Side::Read, context, |listener| accept_with(listener, flags).map_err(io::Error::from))
        });
        Watched::new(TcpStream::from(accepted.await?)).map(Socket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

/// A connection. One task at a time waits for each direction.
#[derive(Debug)]
pub(super) struct Socket(Watched<TcpStream>);

impl Socket {
    /// Takes a non-blocking socket that is connected or has begun to connect.
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        Watched::new(socket.into()).map(Self)
    }

    /// Whether the connection is established. A socket with neither an error nor a peer address is still in its handshake.
    pub(super) fn poll_connected(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(Side::Write, context, |stream| match stream.take_error()? {
            Some(error) => Err(error),
            None => match stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                connected => connected.map(drop),
            },
        })
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        self.0.socket.peer_addr()
    }

    /// Only recv(2) writes `into`, as many bytes as it returns; `into` is never read.
    pub(super) fn poll_read(&self, context: &Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll(Side::Read, context, |mut stream| stream.read(into))
    }

    pub(super) fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(Side::Write, context, |mut stream| stream.write(bytes))
    }

    pub(super) fn close(&self) -> io::Result<()> {
        self.0.socket.shutdown(Shutdown::Write)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}
