//! An attacker's end of a connection: raw bytes, a source address of its own, a receive buffer as small as wanted, and
//! timeouts that end with the phase. Knows how to write a request's head, and reads only the status of an answer.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::attack::{Ending, Front};

/// How long one call may wait before it checks whether the phase is over.
const TICK: Duration = Duration::from_millis(200);
/// Timeout of connecting: a daemon that hangs accepts no connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Length of `HTTP/1.1 200`.
const STATUS_LEN: usize = 12;

/// One connection to the daemon.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    status: Vec<u8>,
}

/// The result of a read that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new.
    Open,
    /// So many bytes came.
    Read(usize),
    /// The connection has ended in this way.
    Ended(Ending),
}

impl Wire {
    /// Connects from 127.0.0.`from`, so that the daemon can tell attackers from other clients by their address.
    pub(super) fn open(front: &Front, from: u8) -> Result<Self, Ending> {
        Self::open_with(front, from, None)
    }

    /// As [`Self::open`], with a receive buffer of `bytes` bytes, or the least that the kernel grants.
    pub(super) fn open_narrow(front: &Front, from: u8, bytes: usize) -> Result<Self, Ending> {
        Self::open_with(front, from, Some(bytes))
    }

    fn open_with(front: &Front, from: u8, receive: Option<usize>) -> Result<Self, Ending> {
        let SocketAddr::V4(to) = front.http else { return Err(Ending::Refused) };
        let dial = || {
            let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            if let Some(bytes) = receive {
                set_socket_recv_buffer_size(&fd, bytes)?;
            }
            // On Linux the send timeout also applies to connecting.
            set_socket_timeout(&fd, Timeout::Send, Some(CONNECT_MAX))?;
            bind(&fd, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, from), 0))?;
            connect(&fd, &to)?;
            let stream = TcpStream::from(fd);
            stream.set_read_timeout(Some(TICK))?;
            stream.set_write_timeout(Some(TICK))?;
            std::io::Result::Ok(stream)
        };
        dial().map(|stream| Self { stream, status: Vec::new() }).map_err(|_| Ending::Refused)
    }

    /// Sends everything, if the other side reads it in time.
    pub(super) fn send(&mut self, front: &Front, bytes: &[u8], patience: Duration) -> Result<(), Ending> {
        let until = Instant::now() + patience;
        let mut rest = bytes;
        while !rest.is_empty() {
            if front.is_over() || Instant::now() >= until {
                return Err(Ending::Held);
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(Ending::Cut),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_passing(&error) => {}
                Err(_) => return Err(Ending::Cut),
            }
        }
        Ok(())
    }

    /// Reads to the end of the stream, if it comes in time.
    pub(super) fn read_to_end(&mut self, front: &Front, patience: Duration) -> Ending {
        let until = Instant::now() + patience;
        loop {
            if let Look::Ended(ending) = self.look() {
                return ending;
            }
            if front.is_over() || Instant::now() >= until {
                return self.ending(Ending::Held);
            }
        }
    }

    /// Sends a complete request and reads its complete answer, even if the answer comes before the request has been read.
    pub(super) fn exchange(&mut self, front: &Front, request: &[&[u8]], patience: Duration) -> Ending {
        for bytes in request {
            if self.send(front, bytes, patience).is_err() {
                break;
            }
        }
        self.read_to_end(front, patience)
    }

    /// Never waits from now on: for many connections in one thread.
    pub(super) fn do_not_wait(&self) {
        // If refused, the attack is slower.
        let _ = self.stream.set_nonblocking(true);
    }

    /// Writes what can be written at once; false if the connection has ended.
    pub(super) fn try_send(&mut self, bytes: &[u8]) -> bool {
        bytes.is_empty() || !matches!(self.stream.write(bytes), Err(error) if !is_passing(&error))
    }

    /// Reads once.
    pub(super) fn look(&mut self) -> Look {
        self.read_into(&mut [0; 16 * 1024])
    }

    /// Reads once, at most as many bytes as fit into `room`.
    pub(super) fn read_into(&mut self, room: &mut [u8]) -> Look {
        match self.stream.read(room) {
            Ok(0) => Look::Ended(self.ending(Ending::Cut)),
            Ok(read) => {
                let wanted = STATUS_LEN.saturating_sub(self.status.len()).min(read);
                self.status.extend_from_slice(&room[..wanted]);
                Look::Read(read)
            }
            Err(error) if is_passing(&error) => Look::Open,
            Err(_) => Look::Ended(self.ending(Ending::Cut)),
        }
    }

    /// The answer's status, if there was an answer.
    pub(super) fn ending(&self, otherwise: Ending) -> Ending {
        status(&self.status).map_or(otherwise, Ending::Answered)
    }

    /// Closes the sending direction.
    pub(super) fn finish_sending(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Closes it so that the other side gets a reset.
    pub(super) fn reset(self) {
        // If refused, the connection is closed normally.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }
}

/// The head of a request; without `length` it has no `Content-Length`.
pub(super) fn head(call: &str, key: Option<&str>, headers: &str, length: Option<usize>) -> Vec<u8> {
    let mut head = format!("{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    // Writing to a string cannot fail.
    if let Some(key) = key {
        let _ = write!(head, "Authorization: Bearer {key}\r\n");
    }
    if let Some(length) = length {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(..STATUS_LEN)?.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_answer_counts_also_when_the_connection_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Front::new(listener.local_addr().unwrap(), Duration::from_secs(60));
        thread::spawn(move || {
            for answer in ["HTTP/1.1 413 Too Large\r\n\r\n", ""] {
                let (mut stream, peer) = listener.accept().unwrap();
                assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 7));
                stream.read_exact(&mut [0; 4]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let patience = Duration::from_secs(20);
        let ask = || Wire::open(&front, 7).unwrap().exchange(&front, &[b"GE", b"T "], patience);
        assert_eq!([ask(), ask()], [Ending::Answered(413), Ending::Cut]);
    }

    #[test]
    fn a_head_is_whole() {
        let head = head("POST /v1/messages", Some("k"), "Content-Encoding: gzip\r\n", Some(3));
        let text = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
            Authorization: Bearer k\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), text);
        assert_eq!(
            (status(b"HTTP/1.1 40"), status(b"HTTP/1.1 404 x"), status(b"SSH-2.0-OpenSS")),
            (None, Some(404), None)
        );
    }
}
