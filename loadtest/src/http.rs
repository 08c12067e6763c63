//! A minimal HTTP/1.1 client for load: one blocking connection, one request at a time, keep-alive. Knows framing, not
//! what is asked; allocates nothing per request once its buffer has grown.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const HEAD_LEN_MAX: usize = 64 * 1024;

/// A connection that can carry requests one after another.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    is_spent: bool,
}

/// One answer; the body is borrowed from the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub status: u16,
    /// Seconds, from `Retry-After`.
    pub retry_after_s: Option<u64>,
    pub body: &'a [u8],
}

/// Status, body length and other facts from the head.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    closes: bool,
    retry_after_s: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of the request was written: it certainly had no effect.
    Connect(io::Error),
    /// The request may or may not have had an effect.
    Exchange(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connect: {error}"),
            Self::Exchange(error) => write!(f, "exchange: {error}"),
        }
    }
}

impl Connection {
    /// Connects; `timeout` holds for connecting and for each wait for the server.
    pub(crate) fn connect(address: SocketAddr, timeout: Duration) -> Result<Self, Failure> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&address, timeout)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(stream)
        };
        let stream = connect().map_err(Failure::Connect)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024), is_spent: false })
    }

    /// Whether the server said that it will close after the last answer.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Sends head and body unchanged and reads the answer. After an error the connection must not be used again.
    pub(crate) fn exchange(&mut self, head: &[u8], body: &[u8]) -> Result<Response<'_>, Failure> {
        // A server may answer and close before it has read everything: then the answer counts, not the failed write.
        let written = self.write(head, body);
        match self.read_answer() {
            Ok((head, range)) => {
                self.is_spent = head.closes;
                let body = &self.buffer[range];
                Ok(Response { status: head.status, retry_after_s: head.retry_after_s, body })
            }
            Err(error) => Err(Failure::Exchange(written.err().unwrap_or(error))),
        }
    }

    fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let mut slices = [IoSlice::new(head), IoSlice::new(body)];
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match self.stream.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads one answer: its head, and where in the buffer its body is.
    fn read_answer(&mut self) -> io::Result<(Head, std::ops::Range<usize>)> {
        self.buffer.clear();
        let body_start = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_LEN_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "endless head"));
            }
            self.read_more()?;
        };
        let head = parse_head(&self.buffer[..body_start])
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer"))?;
        if head.is_chunked {
            let end = self.read_chunks(body_start)?;
            return Ok((head, body_start..end));
        }
        let end = body_start + head.length.unwrap_or(0);
        while self.buffer.len() < end {
            self.read_more()?;
        }
        Ok((head, body_start..end))
    }

    /// Reads a chunked body and joins its chunks; gives the end of the joined body.
    fn read_chunks(&mut self, body_start: usize) -> io::Result<usize> {
        let invalid = || io::Error::new(ErrorKind::InvalidData, "broken chunk");
        let (mut end, mut at) = (body_start, body_start);
        loop {
            let line_len = loop {
                match find(&self.buffer[at..], b"\r\n") {
                    Some(found) => break found,
                    None => self.read_more()?,
                }
            };
            let line = std::str::from_utf8(&self.buffer[at..at + line_len]).map_err(|_| invalid())?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid())?;
            at += line_len + 2;
            while self.buffer.len() < at + size + 2 {
                self.read_more()?;
            }
            if size == 0 {
                return Ok(end);
            }
            self.buffer.copy_within(at..at + size, end);
            end += size;
            at += size + 2;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let start = self.buffer.len();
        self.buffer.resize(start + 8 * 1024, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[start..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(start + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// One `GET` on a connection of its own: status and body.
pub(crate) fn get(address: SocketAddr, path: &str, timeout: Duration) -> Result<(u16, Vec<u8>), Failure> {
    ask(address, &format!("GET {path}"), "", "", timeout)
}

/// One `POST` on a connection of its own: status and body.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    media: &str,
    body: &str,
    timeout: Duration,
) -> Result<(u16, Vec<u8>), Failure> {
    ask(address, &format!("POST {path}"), &format!("Content-Type: {media}\r\n"), body, timeout)
}

/// One request on a connection of its own: status and body. `call` is method and target, `headers` are complete lines.
pub(crate) fn ask(
    address: SocketAddr,
    call: &str,
    headers: &str,
    body: &str,
    timeout: Duration,
) -> Result<(u16, Vec<u8>), Failure> {
    let mut head = format!("{call} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut connection = Connection::connect(address, timeout)?;
    connection.exchange(head.as_bytes(), body.as_bytes()).map(|response| (response.status, response.body.to_vec()))
}

fn parse_head(head: &[u8]) -> Option<Head> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let mut parsed = Head { status: words.next()?.parse().ok()?, ..Head::default() };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            parsed.length = Some(value.parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            parsed.is_chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            parsed.closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("retry-after") {
            parsed.retry_after_s = value.parse().ok();
        }
    }
    Some(parsed)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that writes these answers, one per request head, in pieces of `piece` bytes.
    fn server(answers: &'static [&'static str], piece: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let mut received = Vec::new();
                while find(&received, b"\r\n\r\nbody").is_none() {
                    let mut bytes = [0; 64];
                    let read = stream.read(&mut bytes).unwrap();
                    received.extend_from_slice(&bytes[..read]);
                }
                for bytes in answer.as_bytes().chunks(piece) {
                    stream.write_all(bytes).unwrap();
                    stream.flush().unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn reads_answers_in_any_framing_and_any_pieces() {
        const ANSWERS: &[&str] = &[
            "HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        ];
        for piece in [1, 7, 1_000] {
            let mut connection = Connection::connect(server(ANSWERS, piece), Duration::from_secs(5)).unwrap();
            let mut ask = || {
                let response = connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b"body").unwrap();
                (response.status, response.retry_after_s, String::from_utf8_lossy(response.body).into_owned())
            };
            assert_eq!(ask(), (202, None, "hello".to_owned()));
            assert_eq!(ask(), (503, Some(2), "abcde".to_owned()));
            assert_eq!(ask(), (204, None, String::new()));
            assert!(connection.is_spent());
            assert!(matches!(connection.exchange(b"x", b""), Err(Failure::Exchange(_))));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut connection = Connection::connect(server(&["SMTP ready\r\n\r\n"], 100), Duration::from_secs(5)).unwrap();
        assert!(connection.exchange(b"\r\n\r\n", b"body").is_err());
    }
}
