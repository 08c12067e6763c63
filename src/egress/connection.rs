//! One connection: a single task opens it, reads, writes and ends it. The owner's wishes are flags that the task sees at its
//! next poll, so no future is ever cancelled.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    ops::Range,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_lite::{AsyncRead, AsyncWrite, future};

use crate::host::{
    executor::{self, OnPanic},
    net::Stream,
};
use stentor_core::link::{BindId, Disconnect, hosts::Way};

use super::{Dial, dial::NoWay, words};

/// Most bytes of one read: about 400 receipts.
const READ_BYTES: usize = 64 << 10;

/// The owner of a link, to which its connections report.
pub trait LinkOwner {
    /// The connection is established, including TLS.
    fn connected(&self, bind: BindId);
    /// Bytes came in. Returns how many of them were processed; the rest is passed again, after other tasks have run.
    fn bytes(&self, bind: BindId, bytes: &[u8]) -> usize;
    /// Appends to `out` the bytes that are to be written now; false if there are none.
    fn take_transmit(&self, bind: BindId, out: &mut Vec<u8>) -> bool;
    /// The socket accepted this many more bytes.
    fn written(&self, bind: BindId, bytes: usize);
    /// Explains, for the operator, the `disconnected` that follows.
    fn words(&self, bind: BindId, words: String);
    /// The connection has ended, or could not be opened.
    fn disconnected(&self, bind: BindId, reason: Disconnect, torn: bool);
}

/// The owner's handle to a connection; the connection's task obeys it at its next poll.
#[derive(Debug, Default)]
pub struct Connection {
    closing: Cell<bool>,
    paused: Cell<bool>,
    transmit: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// Opens a connection in a task of its own.
    pub fn open<O: LinkOwner + 'static>(bind: BindId, dial: Rc<Dial>, way: Way, owner: Rc<O>) -> Rc<Self> {
        let connection = Rc::new(Self::default());
        let task = run(bind, dial, way, Rc::clone(&owner), Rc::clone(&connection));
        executor::spawn(OnPanic::Abort, "egress", async move {
            // The first poll of a task happens inside this call. Yielding makes sure that the owner is called back only later.
            executor::yield_now().await;
            let (reason, torn) = task.await;
            owner.disconnected(bind, reason, torn);
        });
        connection
    }

    /// The owner has bytes to write.
    pub fn transmit(&self) {
        self.transmit.set(true);
        self.wake();
    }

    /// Closes the connection, without waiting for bytes to be written.
    pub fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Stops reading, or continues.
    pub fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.wake();
    }

    /// Registers the polling task, to be woken when the owner sets a flag.
    fn listen(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    fn poll_closing(&self, context: &Context<'_>) -> Poll<()> {
        self.listen(context);
        if self.closing.get() { Poll::Ready(()) } else { Poll::Pending }
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
    way: Way,
    owner: Rc<O>,
    connection: Rc<Connection>,
) -> (Disconnect, bool) {
    let unwanted = async {
        poll_fn(|context| connection.poll_closing(context)).await;
        Err(NoWay { reason: Disconnect::ByUs, words: None })
    };
    let stream = match future::or(unwanted, dial.connect(way)).await {
        Ok(stream) => stream,
        Err(NoWay { reason, words }) => {
            if let Some(words) = words {
                owner.words(bind, words);
            }
            return (reason, false);
        }
    };
    owner.connected(bind);
    let (out, read) = (Vec::new(), vec![0; READ_BYTES]);
    let mut pump = Pump { bind, owner, connection, stream, out, written: 0, read, unread: 0..0 };
    poll_fn(|context| pump.poll(context)).await
}

/// Both directions of an established connection.
struct Pump<O> {
    bind: BindId,
    owner: Rc<O>,
    connection: Rc<Connection>,
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    read: Vec<u8>,
    /// The range of `read` that the owner has not processed yet.
    unread: Range<usize>,
}

impl<O: LinkOwner> Pump<O> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Disconnect, bool)> {
        self.connection.listen(context);
        loop {
            if let Poll::Ready(Err(error)) = self.poll_write(context) {
                let last_word = self.last_word(context);
                return self.end(last_word.as_ref().unwrap_or(&error));
            }
            if self.connection.closing.get() {
                return Poll::Ready((Disconnect::ByUs, self.is_torn()));
            }
            if self.connection.paused.get() {
                return Poll::Pending;
            }
            if self.unread.is_empty() {
                match Pin::new(&mut self.stream).poll_read(context, &mut self.read) {
                    Poll::Pending if self.connection.transmit.get() && self.out.is_empty() => continue,
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready((Disconnect::ByPeer, self.is_torn())),
                    Poll::Ready(Ok(bytes)) => self.unread = 0..bytes,
                    Poll::Ready(Err(error)) => return self.end(&error),
                }
            }
            self.unread.start += self.owner.bytes(self.bind, &self.read[self.unread.clone()]);
            if !self.unread.is_empty() {
                // The peer decides how many PDUs it sends, but not how many are processed before other tasks run.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn end(&self, error: &io::Error) -> Poll<(Disconnect, bool)> {
        let reason = words::certificate_refused(error).unwrap_or(Disconnect::Broken);
        if reason == Disconnect::Broken {
            self.owner.words(self.bind, error.to_string());
        }
        Poll::Ready((reason, self.is_torn()))
    }

    /// After a failed write: if the peer sent a TLS alert that refuses our certificate before it closed the connection, that
    /// alert, which has not been read yet.
    fn last_word(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        match (&self.stream, self.unread.is_empty()) {
            (Stream::Tls(_), true) => match Pin::new(&mut self.stream).poll_read(context, &mut self.read) {
                Poll::Ready(Err(error)) => Some(error).filter(|error| words::certificate_refused(error).is_some()),
                Poll::Ready(Ok(_)) | Poll::Pending => None,
            },
            (Stream::Plain(_) | Stream::Tls(_), _) => None,
        }
    }

    /// Whether it is unknown if bytes given to the stream were sent: bytes of a write that has not finished.
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
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    if self.written == self.out.len() {
                        self.out.clear();
                    }
                    self.owner.written(self.bind, bytes);
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
