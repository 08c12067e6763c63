//! The least HTTP/1.1 client that a command needs: blocking, one connection a request, bounded in time and size.
//! Knows framing and the key header, not what is asked. No TLS: for a server behind TLS there is curl.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;

use super::exit::Failure;
use crate::model::Quoted;

pub(super) use super::download::Download;

/// Which server to ask, as typed.
#[derive(Clone, Debug, Args)]
pub(super) struct Server {
    /// Where the server is
    #[arg(long, value_name = "URL", env = "STENTOR_URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// The tenant's key; better by the environment, where others cannot see it
    #[arg(long, value_name = "KEY", env = "STENTOR_API_KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

impl Server {
    /// What is meant.
    pub(super) fn client(self) -> Result<Client, Failure> {
        let url = Url::parse(&self.url).map_err(Failure::usage)?;
        Client::new(url, self.api_key).map_err(Failure::usage)
    }
}

/// For one address to take the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole exchange.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of one answer, head included.
const ANSWER_OCTETS_MAX: usize = 64 << 20;

/// Where the server is: `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    host: String,
    port: u16,
    /// Without its last slash.
    path: String,
}

impl Url {
    /// As typed. The error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not a URL such as http://127.0.0.1:8080", Quoted(text));
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err("this command does not speak TLS; ask over http://, or use curl".to_owned());
            }
            Some(_) | None => return Err(wrong()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            Some(_) | None => (authority, 80),
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        let path_octet = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if host.is_empty() || !host.bytes().all(named) || !path.bytes().all(path_octet) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (host, self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// 200 to 599.
    pub(super) status: u16,
    /// Seconds, if the server said so.
    pub(super) retry_after_s: Option<u64>,
    /// Without its framing.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// Nothing was sent.
    Connect(io::Error),
    /// Sent, perhaps in part; whether it had an effect is not known.
    Exchange(io::Error),
    /// What answered is not what we speak to.
    Strange(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(out, "cannot connect: {error}"),
            Self::Exchange(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                write!(out, "no answer within {} s", EXCHANGE_TIMEOUT.as_secs())
            }
            Self::Exchange(error) => write!(out, "the connection broke: {error}"),
            Self::Strange(what) => write!(out, "that is no Stentor: {what}"),
        }
    }
}

/// Asks one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Where.
    pub(super) url: Url,
    key: Option<String>,
}

impl Client {
    /// `key` is what stands behind `Bearer`; the error says why it cannot.
    pub(super) fn new(url: Url, key: Option<String>) -> Result<Self, String> {
        if key.as_ref().is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("the API key is empty or holds a character that no key has".to_owned());
        }
        Ok(Self { url, key })
    }

    /// `path` begins with a slash.
    pub(super) fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.exchange(&self.head("GET", path), &[])
    }

    /// Posts a JSON document. Not repeated by itself: with an idempotency key inside, the caller may.
    pub(super) fn post(&self, path: &str, document: &[u8]) -> Result<Answer, ClientError> {
        let mut head = self.head("POST", path);
        head.push_str("content-type: application/json\r\n");
        head.push_str(&format!("content-length: {}\r\n", document.len()));
        self.exchange(&head, document)
    }

    pub(super) fn head(&self, method: &str, path: &str) -> String {
        let Url { host, port, path: base } = &self.url;
        let mut head = format!("{method} {base}{path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n");
        head.push_str("accept: application/json\r\nuser-agent: stentor\r\n");
        if let Some(key) = &self.key {
            head.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        head
    }

    fn exchange(&self, head: &str, body: &[u8]) -> Result<Answer, ClientError> {
        let mut stream = self.url.connect().map_err(ClientError::Connect)?;
        let deadline = Instant::now() + EXCHANGE_TIMEOUT;
        let request = [head.as_bytes(), b"\r\n", body].concat();
        let written = stream.set_write_timeout(Some(EXCHANGE_TIMEOUT)).and_then(|()| stream.write_all(&request));
        // A server may answer and close before it has read everything: then the answer counts, not the broken write.
        let octets = match (read_all(&mut stream, deadline), written) {
            (Ok(octets), Ok(())) => octets,
            (Ok(octets), Err(_)) if !octets.is_empty() => octets,
            (_, Err(error)) | (Err(error), _) => return Err(ClientError::Exchange(error)),
        };
        read_answer(&octets)
    }
}

fn read_all(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(octets),
            Ok(read) => octets.extend(chunk.iter().take(read)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if octets.len() > ANSWER_OCTETS_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer is endless"));
        }
    }
}

/// Reads all that the server sent until it closed; interim answers (1xx) are passed over.
pub(super) fn read_answer(octets: &[u8]) -> Result<Answer, ClientError> {
    let strange = ClientError::Strange("the answer is not HTTP/1.1");
    let Some(at) = octets.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Err(if octets.is_empty() {
            ClientError::Exchange(io::Error::new(ErrorKind::UnexpectedEof, "closed without an answer"))
        } else {
            strange
        });
    };
    let (head, body) = (&octets[..at], &octets[at + 4..]);
    let Ok(head) = std::str::from_utf8(head) else { return Err(strange) };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse::<u16>().ok());
    let Some(status) = status else { return Err(strange) };
    if (100..200).contains(&status) {
        return read_answer(body);
    }
    let field = |wanted: &str| {
        head.split("\r\n").skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let body = if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        unchunk(body)
    } else {
        match field("content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => body.get(..length).map(<[u8]>::to_vec),
            Some(Err(_)) => None,
            None => Some(body.to_vec()),
        }
    };
    let cut = || ClientError::Exchange(io::Error::new(ErrorKind::UnexpectedEof, "the answer was cut off"));
    let retry_after_s = field("retry-after").and_then(|seconds| seconds.parse().ok());
    Ok(Answer { status, retry_after_s, body: body.ok_or_else(cut)? })
}

/// The content of a chunked body (RFC 9112 §7.1); `None` if it ends early or is none.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
