//! Hyper's reads and writes on our streams: no buffer of its own, no zeroing, the peer's end told apart from errors.
//! Knows bytes and tells the [`Watch`] about them; knows no HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::watch::Watch;
use crate::runtime::net::Stream;

/// Discarded from a peer that goes on sending after our last word; one that sends more is cut off.
const LINGER_BYTES_MAX: usize = 1 << 20;
/// A TLS record holds no more.
const TLS_RECORD_BYTES: usize = 16 << 10;

/// One connection as hyper sees it.
#[derive(Debug)]
pub struct Transport {
    stream: Stream,
    watch: Rc<Watch>,
    peer_ended: bool,
    ended: bool,
    discarded: usize,
}

impl Transport {
    /// Wraps an open stream.
    pub fn new(stream: Stream, watch: Rc<Watch>) -> Self {
        Self { stream, watch, peer_ended: false, ended: false, discarded: 0 }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.watch.note_write(Some(*bytes)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.note_write(None),
        }
    }

    /// Says a last word without waiting; under TLS nothing is said. Whether the peer hears it is not known.
    pub fn say_now(&self, bytes: &[u8]) {
        if let Stream::Plain(socket) = &self.stream {
            let _ = socket.write_now(bytes);
        }
    }

    /// Ends the connection by a reset: the kernel drops what the peer has not taken, and the peer sees that its answer is not
    /// whole. After an orderly end the kernel would go on keeping it for as long as the peer takes a little of it.
    pub fn reset(self) {
        self.stream.socket().reset();
    }
}

impl Read for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = match &mut this.stream {
            Stream::Plain(socket) => {
                // SAFETY: a plain socket hands the slice to recv(2) alone (glommio 0.9.0, net/stream.rs, unbuffered),
                // which writes and never reads it; `advance` covers exactly the bytes that recv reports as written.
                #[allow(unsafe_code)] // zeroing up to 400 KiB before each read costs more than the read
                unsafe {
                    let unfilled = into.as_mut();
                    let slice = &mut *(std::ptr::from_mut(unfilled) as *mut [u8]);
                    let read = ready!(Pin::new(socket).poll_read(context, slice))?;
                    into.advance(read);
                    read
                }
            }
            Stream::Tls(tls) => {
                let room = into.remaining().min(TLS_RECORD_BYTES);
                let mut record = [0; TLS_RECORD_BYTES];
                let read = ready!(Pin::new(tls).poll_read(context, &mut record[..room]))?;
                into.put_slice(&record[..read]);
                read
            }
        };
        if read == 0 {
            this.peer_ended = true;
        } else if !this.watch.note_read(read) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "more framing than content")));
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Ends our side and waits for the peer's: closing over unread bytes would reset the connection and take the
    /// answer from a client that is still sending. The sweeper bounds the wait.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ended {
            ready!(Pin::new(&mut this.stream).poll_close(context))?;
            this.ended = true;
            this.watch.note_end();
        }
        let mut scratch = [0; 4096];
        while !this.peer_ended && this.discarded <= LINGER_BYTES_MAX {
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut scratch)) {
                Ok(0) | Err(_) => this.peer_ended = true,
                Ok(read) => this.discarded += read,
            }
        }
        Poll::Ready(Ok(()))
    }
}
