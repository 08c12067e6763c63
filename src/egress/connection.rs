//! One connection: opened, read, written, ended, by one task. What its owner wants is flagged from outside and seen at the
//! next poll, so nothing is ever cancelled.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_lite::{AsyncRead, AsyncWrite, future};
use futures_rustls::TlsConnector;
use rustls::{ClientConfig, pki_types::ServerName};

use crate::{
    link::{BindId, Disconnect},
    runtime::{
        executor::{self, OnPanic},
        net::{Socket, Stream},
    },
};

/// Octets read at once: about 400 receipts.
const READ_BYTES: usize = 64 << 10;

/// Where a carrier can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// Port.
    pub port: u16,
}

/// What opening a connection needs.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Tried in turn, by the link's word.
    pub hosts: Vec<Host>,
    /// Address to connect from.
    pub source_ip: Option<IpAddr>,
    /// TLS, and the name that the certificate must hold where it is not the host's.
    pub tls: Option<(Arc<ClientConfig>, Option<ServerName<'static>>)>,
    /// For TCP and the handshake together.
    pub timeout: Duration,
}

/// Whoever owns the link of these connections.
pub trait LinkOwner {
    /// It stands.
    fn connected(&self, bind: BindId);
    /// Octets came in.
    fn bytes(&self, bind: BindId, bytes: &[u8]);
    /// What is to be written now, behind what is in `out`; false if nothing.
    fn take_transmit(&self, bind: BindId, out: &mut Vec<u8>) -> bool;
    /// The socket took so many octets.
    fn written(&self, bind: BindId, octets: usize);
    /// It is gone, or never was.
    fn disconnected(&self, bind: BindId, reason: Disconnect, torn: bool);
}

/// The owner's handle to a connection; what it says is obeyed at the next poll.
#[derive(Debug, Default)]
pub struct Connection {
    closing: Cell<bool>,
    paused: Cell<bool>,
    transmit: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// Opens a connection in a task of its own.
    pub fn open<O: LinkOwner + 'static>(bind: BindId, dial: Rc<Dial>, host: u16, owner: Rc<O>) -> Rc<Self> {
        let connection = Rc::new(Self::default());
        let task = run(bind, dial, host, Rc::clone(&owner), Rc::clone(&connection));
        executor::spawn(OnPanic::Abort, "egress", async move {
            // The first poll happens inside the owner's call; everything after belongs to later ones.
            executor::yield_now().await;
            let (reason, torn) = task.await;
            owner.disconnected(bind, reason, torn);
        });
        connection
    }

    /// There is something to write.
    pub fn transmit(&self) {
        self.transmit.set(true);
        self.wake();
    }

    /// Close it, written or not.
    pub fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Stop reading, or read on.
    pub fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

async fn run<O: LinkOwner>(
    bind: BindId,
    dial: Rc<Dial>,
    host: u16,
    owner: Rc<O>,
    connection: Rc<Connection>,
) -> (Disconnect, bool) {
    let stream = match connect(&dial, host).await {
        Ok(stream) => stream,
        Err(reason) => return (reason, false),
    };
    if connection.closing.get() {
        return (Disconnect::ByUs, false);
    }
    owner.connected(bind);
    let mut pump = Pump { bind, owner, connection, stream, out: Vec::new(), written: 0, read: vec![0; READ_BYTES] };
    poll_fn(|context| pump.poll(context)).await
}

async fn connect(dial: &Dial, host: u16) -> Result<Stream, Disconnect> {
    let host = dial.hosts.get(usize::from(host)).or(dial.hosts.first()).ok_or(Disconnect::Unreachable)?;
    let address = resolve(host).ok_or(Disconnect::Unreachable)?;
    let socket = Socket::connect(address, dial.source_ip, dial.timeout).await.map_err(|error| {
        tracing::debug!(host = host.name, port = host.port, %error, "no connection");
        Disconnect::Unreachable
    })?;
    let Some((config, name)) = &dial.tls else { return Ok(Stream::Plain(socket)) };
    let name = match name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.name.clone()).map_err(|_| Disconnect::Tls)?,
    };
    let handshake = async { TlsConnector::from(Arc::clone(config)).connect(name, socket).await };
    let too_late = async {
        executor::sleep(dial.timeout).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    match future::or(handshake, too_late).await {
        Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
        Err(error) => {
            tracing::warn!(host = host.name, port = host.port, %error, "TLS handshake");
            Err(Disconnect::Tls)
        }
    }
}

/// Addresses need no resolver; a name is looked up on the spot, which blocks this core for as long as the system's
/// resolver takes: carriers are named by address where that matters.
fn resolve(host: &Host) -> Option<SocketAddr> {
    if let Ok(ip) = host.name.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, host.port));
    }
    (host.name.as_str(), host.port).to_socket_addrs().ok()?.next()
}

/// Both directions of a connection that stands.
struct Pump<O> {
    bind: BindId,
    owner: Rc<O>,
    connection: Rc<Connection>,
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    read: Vec<u8>,
}

impl<O: LinkOwner> Pump<O> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Disconnect, bool)> {
        let known = self.connection.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !known {
            *self.connection.waker.borrow_mut() = Some(context.waker().clone());
        }
        loop {
            if let Poll::Ready(Err(error)) = self.poll_write(context) {
                return self.end(&error);
            }
            if self.connection.closing.get() {
                return Poll::Ready((Disconnect::ByUs, self.is_torn()));
            }
            if self.connection.paused.get() {
                return Poll::Pending;
            }
            match Pin::new(&mut self.stream).poll_read(context, &mut self.read) {
                Poll::Pending if self.connection.transmit.get() && self.out.is_empty() => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready((Disconnect::ByPeer, self.is_torn())),
                Poll::Ready(Ok(octets)) => self.owner.bytes(self.bind, &self.read[..octets]),
                Poll::Ready(Err(error)) => return self.end(&error),
            }
        }
    }

    fn end(&self, error: &io::Error) -> Poll<(Disconnect, bool)> {
        tracing::debug!(bind = self.bind.0, %error, "connection broken");
        Poll::Ready((Disconnect::Broken, self.is_torn()))
    }

    /// Octets were handed to the stream whose fate is unknown: under TLS any of them, in the clear those of a write that
    /// is under way.
    fn is_torn(&self) -> bool {
        !self.out.is_empty()
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.out.is_empty() {
                if !self.connection.transmit.replace(false) || !self.owner.take_transmit(self.bind, &mut self.out) {
                    return self.poll_flush(context);
                }
                self.written = 0;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(octets)) => {
                    self.written += octets;
                    if self.written == self.out.len() {
                        self.out.clear();
                    }
                    self.owner.written(self.bind, octets);
                }
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(_) => Pin::new(&mut self.stream).poll_flush(context),
        }
    }
}
