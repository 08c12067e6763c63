//! One accepted TCP connection, plain or TLS: non-blocking reads into a buffer, writes out of one. Knows bytes and
//! readiness, not PDUs.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

/// How much one read asks for: some thousand short PDUs.
const READ_LEN: usize = 256 * 1024;

/// How a round of reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The socket is empty; the poll will report it again.
    Drained,
    /// There may be more.
    More,
    /// The peer has closed the connection.
    Closed,
}

/// A connection and the bytes on their way through it.
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Received but not yet consumed: `input[consumed..filled]`.
    input: Vec<u8>,
    consumed: usize,
    filled: usize,
    /// To be sent; append here, then call [`Stream::flush`].
    pub output: Vec<u8>,
    written: usize,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Stream {
    /// Takes over an accepted socket.
    pub(super) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let tls = tls.map(|config| ServerConnection::new(Arc::clone(config)).map(Box::new)).transpose();
        let mut tls = tls.map_err(io::Error::other)?;
        if let Some(tls) = &mut tls {
            // The window of receipts limits what may wait for the peer, so there is no limit here.
            tls.set_buffer_limit(None);
        }
        Ok(Self {
            socket,
            tls,
            input: vec![0; READ_LEN],
            consumed: 0,
            filled: 0,
            output: Vec::with_capacity(READ_LEN),
            written: 0,
        })
    }

    /// The socket, to be registered in the poll.
    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads once. A short read of a plain socket means that it is empty (epoll(7), question 9).
    pub(super) fn fill(&mut self) -> Reading {
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        let room = &mut self.input[self.filled..];
        let result = match &mut self.tls {
            None => self.socket.read(room).map(|read| (read, read < room.len())),
            Some(tls) => read_tls(tls, &mut self.socket, room),
        };
        match result {
            Ok((0, _)) => Reading::Closed,
            Ok((read, drained)) => {
                self.filled += read;
                if drained { Reading::Drained } else { Reading::More }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Reading::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => Reading::More,
            Err(_) => Reading::Closed,
        }
    }

    /// Lends out the received bytes; give them back with [`Stream::put_input`].
    pub(super) fn take_input(&mut self) -> (Vec<u8>, std::ops::Range<usize>) {
        (std::mem::take(&mut self.input), self.consumed..self.filled)
    }

    /// Gives the input buffer back; everything before `consumed` has been handled.
    pub(super) fn put_input(&mut self, input: Vec<u8>, consumed: usize) {
        self.input = input;
        self.consumed = consumed;
    }

    /// Writes as much of the output as the socket accepts. An error means that the connection has ended.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(&self.output)?;
            self.output.clear();
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Bytes that the peer has not read yet (TLS keeps its own buffer, which is not counted).
    pub(super) fn unsent(&self) -> usize {
        self.output.len() - self.written
    }
}

/// Reads until `room` is full or the socket empty: bytes read, and whether the socket is empty.
fn read_tls(tls: &mut ServerConnection, socket: &mut TcpStream, room: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut filled = 0;
    loop {
        match tls.reader().read(&mut room[filled..]) {
            Ok(0) if filled < room.len() => return Ok((filled, true)),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if filled == room.len() {
            return Ok((filled, false));
        }
        match tls.read_tls(socket) {
            Ok(0) => return Ok((filled, true)),
            Ok(_) => {
                tls.process_new_packets().map_err(io::Error::other)?;
                if tls.is_handshaking() {
                    tls.write_tls(socket)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok((filled, true)),
            Err(error) => return Err(error),
        }
    }
}
