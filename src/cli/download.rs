//! An answer that is too large to hold: its body is read as it comes. Knows HTTP's two framings; an answer that ends before
//! its framing says so is an error, not an end.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use super::client::{Client, ClientError, EXCHANGE_TIMEOUT, Response, read_answer};
use super::connection::Stream;

/// Most bytes of a head, or of a refusal.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// The answer to a download.
#[derive(Debug)]
pub(super) enum Download {
    /// Status 200, and the body that follows.
    Body(Body<BufReader<Stream>>),
    /// Any other status, read completely.
    Refused(Response),
}

impl Client {
    /// Asks for something large. Limits each pause, not the whole time.
    pub(super) fn download(&self, path: &str) -> Result<Download, ClientError> {
        let mut stream = self.connect()?;
        let ask = |stream: &mut Stream| -> io::Result<()> {
            stream.set_write_timeout(EXCHANGE_TIMEOUT)?;
            // Before the first byte every store takes a snapshot, which may take long.
            stream.set_read_timeout(3 * EXCHANGE_TIMEOUT)?;
            stream.write_all(format!("{}\r\n", self.head("GET", path)).as_bytes())
        };
        ask(&mut stream).map_err(ClientError::Exchange)?;
        read(BufReader::with_capacity(1 << 20, stream))
    }
}

fn read(mut stream: BufReader<Stream>) -> Result<Download, ClientError> {
    let head = read_head(&mut stream).map_err(ClientError::Exchange)?;
    if head.split(' ').nth(1) != Some("200") {
        let mut bytes = head.into_bytes();
        stream.take(HEAD_BYTES_MAX).read_to_end(&mut bytes).map_err(ClientError::Exchange)?;
        return read_answer(&bytes).map(Download::Refused);
    }
    let field = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let framing = match (field("transfer-encoding"), field("content-length").map(str::parse)) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunk(0),
        (None, Some(Ok(length))) => Framing::Length(length),
        (Some(_), _) | (None, Some(Err(_)) | None) => return Err(ClientError::Strange("an answer without a length")),
    };
    Ok(Download::Body(Body { input: stream, framing }))
}

/// Reads up to and with the empty line.
fn read_head(stream: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    let mut limited = stream.take(HEAD_BYTES_MAX);
    while limited.read_line(&mut head)? > 0 {
        if head.ends_with("\r\n\r\n") {
            return Ok(head);
        }
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "closed the connection without an answer"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Bytes left of a body with Content-Length.
    Length(u64),
    /// Bytes left of the current chunk.
    Chunk(u64),
    /// The last chunk was read.
    Through,
}

/// A body without its framing.
#[derive(Debug)]
pub(super) struct Body<R> {
    input: R,
    framing: Framing,
}

impl<R: BufRead> Body<R> {
    /// Reads the size line of the next chunk, after the end of the one before.
    fn next_chunk(&mut self) -> io::Result<Framing> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.input.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)? == 0 {
                return Err(cut());
            }
            if !line.ends_with('\n') {
                return Err(cut());
            }
            if line != "\r\n" {
                break;
            }
        }
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16);
        match size.map_err(|_| io::Error::new(ErrorKind::InvalidData, "a chunk without a size"))? {
            0 => Ok(Framing::Through),
            size => Ok(Framing::Chunk(size)),
        }
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunk(0) {
            self.framing = self.next_chunk()?;
        }
        let left = match self.framing {
            Framing::Length(left) | Framing::Chunk(left) => left,
            Framing::Through => 0,
        };
        let most = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let Some(room) = into.get_mut(..most).filter(|room| !room.is_empty()) else { return Ok(0) };
        let read = self.input.read(room)?;
        if read == 0 {
            return Err(cut());
        }
        self.framing = match self.framing {
            Framing::Length(left) => Framing::Length(left - read as u64),
            Framing::Chunk(left) => Framing::Chunk(left - read as u64),
            Framing::Through => Framing::Through,
        };
        Ok(read)
    }
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the daemon cut the answer off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(framing: Framing, bytes: &str) -> Result<String, ErrorKind> {
        let mut text = String::new();
        let mut body = Body { input: bytes.as_bytes(), framing };
        body.read_to_string(&mut text).map(|_| text).map_err(|error| error.kind())
    }

    #[test]
    fn a_body_is_whole_or_an_error() {
        let chunked = "5\r\nhello\r\n3;x=1\r\n, w\r\n0\r\n\r\n";
        assert_eq!(read_all(Framing::Chunk(0), chunked), Ok("hello, w".to_owned()));
        for cut in [0, 2, 5, 11, 16, 21, 22] {
            assert_eq!(read_all(Framing::Chunk(0), &chunked[..cut]), Err(ErrorKind::UnexpectedEof), "{cut}");
        }
        assert_eq!(read_all(Framing::Chunk(0), "x\r\n"), Err(ErrorKind::InvalidData));
        assert_eq!(read_all(Framing::Length(2), "abc"), Ok("ab".to_owned()));
        assert_eq!(read_all(Framing::Length(4), "abc"), Err(ErrorKind::UnexpectedEof));
    }
}
