//! Hyper's reads and writes on our streams: without a buffer of its own and without zeroing; tells the peer's end from errors.
//! Knows bytes and reports them to the [`Watch`]; knows no HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::watch::Watch;
use crate::host::net::Stream;

/// How much is read and discarded from a peer that goes on sending after our last byte; a peer that sends more is cut off.
const LINGER_BYTES_MAX: usize = 1 << 20;
/// How hyper's own answers begin, to a head that it cannot parse; every answer of ours has [`NOSNIFF`].
const REFUSAL: &[u8] = b"HTTP/1.1 4";
const REFUSAL_BYTES_MAX: usize = 512;
const NOSNIFF: &[u8] = b"x-content-type-options: nosniff\r\n";
/// The most content of one TLS record.
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

    /// Adds the header that all answers have to a refusal that hyper made. It is small, so the kernel takes it completely, or
    /// the connection ends with it.
    fn poll_refusal(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let whole = with_nosniff(bytes)?;
        let written = Pin::new(&mut self.stream).poll_write(context, &whole);
        Some(written.map(|written| match written? {
            taken if taken == whole.len() => Ok(bytes.len()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }))
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.watch.note_write(Some(*bytes)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.note_write(None),
        }
    }

    /// Sends a last answer without waiting; over TLS nothing is sent. Whether the peer receives it is not known.
    pub fn say_now(&self, bytes: &[u8]) {
        if let Stream::Plain(socket) = &self.stream {
            let _ = socket.write_now(bytes);
        }
    }

    /// Ends the connection by a reset: the kernel drops what the peer has not taken, and the peer sees that its answer is
    /// incomplete. After an orderly close the kernel would keep the rest for as long as the peer takes a little of it.
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
                // SAFETY: a plain socket hands the slice to recv(2) alone, which writes and never reads it: on io_uring by
                // glommio 0.9.0 (net/stream.rs, unbuffered: `yolo_recv`, before and after it waits), on epoll by the standard
                // library's `Read for &TcpStream` (host/net/epoll.rs). No code in between reads it (host/net/mod.rs
                // only shortens it), and `advance` covers exactly the bytes that recv reports as written.
                #[allow(unsafe_code, reason = "zeroing up to 400 KiB before each read costs more than the read")]
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
        let written = match self.poll_refusal(context, bytes) {
            Some(refused) => refused,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        let written = match self.poll_refusal(context, first) {
            Some(refused) => refused,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes our side and waits for the peer's end: closing over unread bytes would reset the connection, and a client that is
    /// still sending would lose the answer. The sweeper bounds the wait.
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

/// A refusal of hyper's own with the header that it lacks; `None` if it is not one.
fn with_nosniff(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_refusal = bytes.starts_with(REFUSAL) && bytes.len() <= REFUSAL_BYTES_MAX && bytes.ends_with(b"\r\n\r\n");
    let has_it = || bytes.windows(NOSNIFF.len()).any(|window| window == NOSNIFF);
    if !is_refusal || has_it() {
        return None;
    }
    let (head, end) = bytes.split_at(bytes.len() - b"\r\n".len());
    Some([head, NOSNIFF, end].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hyper_refuses_by_itself_is_not_to_be_sniffed_either() {
        let refused = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let told = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-content-type-options: nosniff\r\n\r\n";
        assert_eq!(with_nosniff(refused).as_deref(), Some(&told[..]));
        for other in [&told[..], b"HTTP/1.1 200 OK\r\n\r\n", b"", b"{}", &refused[..30]] {
            assert_eq!(with_nosniff(other), None);
        }
    }
}
