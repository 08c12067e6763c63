//! The smallest HTTP/1.1 client that a command needs: blocking, one connection per request, bounded in time and size. All commands
//! use it, over any way to a daemon (`url`, `connection`). Knows framing and the key header, not what is asked.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rustls::ClientConfig;

use super::connection::{self, Stream};
use super::exit::{Exit, Failure};
use super::url::Url;
use crate::config::CarrierTls;
use crate::runtime::tls;

pub(super) use super::download::Download;

/// The arguments that say which server to ask.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Server {
    /// The daemon: http://HOST:PORT, https://HOST:PORT (with --ca) or unix:/PATH of its `node.admin_socket`, which needs no key.
    /// Default: unix:/run/stentor/admin.sock if this user may open it and a daemon listens there, else http://127.0.0.1:8080
    #[arg(long, value_name = "URL", env = "STENTOR_URL")]
    pub(super) url: Option<String>,
    /// For https, a PEM file of certificates: trust a daemon whose certificate one of them has signed.
    /// /etc/ssl/certs/ca-certificates.crt has all authorities that Debian trusts
    #[arg(long, value_name = "FILE", env = "STENTOR_CA")]
    pub(super) ca: Option<PathBuf>,
    /// The tenant's key; better set in the environment, where other users cannot see it
    #[arg(long, value_name = "KEY", env = "STENTOR_API_KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

/// The socket of the service that the package installs.
const PACKAGED: &str = "/run/stentor/admin.sock";
/// Where a daemon listens by default.
const USUAL: &str = "http://127.0.0.1:8080";

impl Server {
    /// The client for these arguments.
    pub(super) fn client(self) -> Result<Client, Failure> {
        let (url, hint) = match &self.url {
            Some(typed) => (Url::parse(typed).map_err(Failure::usage)?, None),
            None => unsaid(Path::new(PACKAGED))?,
        };
        let trust = match (&url, self.ca) {
            (Url::Net { is_secure: true, .. }, None) => {
                let what =
                    "https needs --ca FILE (or STENTOR_CA): the certificate of the authority that signed the daemon's";
                return Err(Failure::usage(format!("{url}: {what}")));
            }
            (Url::Net { is_secure: true, .. }, ca @ Some(_)) => {
                let (trust, _) = tls::client(&CarrierTls { ca, ..CarrierTls::default() })
                    .map_err(|what| Failure::new(Exit::IO, format!("--ca: {what}")))?;
                Some(trust)
            }
            (Url::Net { is_secure: false, .. } | Url::Unix(_), _) => None,
        };
        let client = Client::new(url, self.api_key).map_err(Failure::usage)?;
        Ok(Client { trust, hint, ..client })
    }

    /// Arguments that name this server.
    #[cfg(test)]
    pub(super) fn at(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::default() }
    }
}

/// The socket at `packaged` if it can be used, else the default address; and a hint if there is a socket that cannot be used.
fn unsaid(packaged: &Path) -> Result<(Url, Option<String>), Failure> {
    let hint = match UnixStream::connect(packaged) {
        Ok(_) => return Ok((Url::Unix(packaged.to_owned()), None)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Some(format!("unix:{}: {}", packaged.display(), connection::members_only(packaged)))
        }
        // A daemon without a socket, or no daemon.
        Err(_) => None,
    };
    Ok((Url::parse(USUAL).map_err(Failure::usage)?, hint))
}

/// Time limit of a whole exchange.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of one answer, with its head.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// One HTTP answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    /// 200 to 599.
    pub(super) status: u16,
    /// `Retry-After` in seconds, if the server sent one.
    pub(super) retry_after_s: Option<u64>,
    /// The content, without framing.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// Nothing was sent; the reason in words.
    Connect(String),
    /// The request was sent, perhaps in part; whether it had an effect is not known.
    Exchange(io::Error),
    /// The answer is not one that this client understands.
    Strange(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(out, "cannot connect: {error}"),
            Self::Exchange(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                write!(out, "no answer within {} s", EXCHANGE_TIMEOUT.as_secs())
            }
            Self::Exchange(error) => {
                let why = connection::of_io(error).unwrap_or_else(|| error.to_string());
                write!(out, "the connection broke: {why}")
            }
            Self::Strange(what) => write!(out, "this is not a Stentor server: {what}"),
        }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) url: Url,
    key: Option<String>,
    /// Set for https.
    trust: Option<Arc<ClientConfig>>,
    /// Why another server than the packaged one is asked, if so.
    hint: Option<String>,
}

impl Client {
    /// `key` is sent after `Bearer`; the error says why it cannot be.
    pub(super) fn new(url: Url, key: Option<String>) -> Result<Self, String> {
        if key.as_ref().is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("the API key is empty or contains a character that no key has".to_owned());
        }
        Ok(Self { url, key, trust: None, hint: None })
    }

    /// `path` begins with a slash.
    pub(super) fn get(&self, path: &str) -> Result<Response, ClientError> {
        self.exchange(&self.head("GET", path), &[])
    }

    /// Posts a JSON document. Never repeated here: a caller whose document holds an idempotency key may repeat it.
    pub(super) fn post(&self, path: &str, document: &[u8]) -> Result<Response, ClientError> {
        let mut head = self.head("POST", path);
        head.push_str("content-type: application/json\r\n");
        head.push_str(&format!("content-length: {}\r\n", document.len()));
        self.exchange(&head, document)
    }

    pub(super) fn head(&self, method: &str, path: &str) -> String {
        let (host, base) = self.url.head();
        let mut head = format!("{method} {base}{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        head.push_str("accept: application/json\r\nuser-agent: stentor\r\n");
        if let Some(key) = &self.key {
            head.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        head
    }

    pub(super) fn connect(&self) -> Result<Stream, ClientError> {
        Stream::open(&self.url, self.trust.as_ref()).map_err(ClientError::Connect)
    }

    /// Whether it uses the socket without a key and so is no tenant: then a request must say whose messages it means.
    pub(super) fn is_no_tenant(&self) -> bool {
        self.url.is_unix() && self.key.is_none()
    }

    /// An extra line for a failure that another server or socket would not have; else empty.
    pub(super) fn hint(&self) -> String {
        self.hint.as_ref().map_or_else(String::new, |hint| format!("\n  {hint}"))
    }

    fn exchange(&self, head: &str, body: &[u8]) -> Result<Response, ClientError> {
        let mut stream = self.connect()?;
        let deadline = Instant::now() + EXCHANGE_TIMEOUT;
        let request = [head.as_bytes(), b"\r\n", body].concat();
        let written = stream.set_write_timeout(EXCHANGE_TIMEOUT).and_then(|()| stream.write_all(&request));
        // A server may answer and close before it has read everything: then the answer counts, not the failed write.
        let bytes = match (read_all(&mut stream, deadline), written) {
            (Ok(bytes), Ok(())) => bytes,
            (Ok(bytes), Err(_)) if !bytes.is_empty() => bytes,
            (_, Err(error)) | (Err(error), _) => return Err(ClientError::Exchange(error)),
        };
        read_answer(&bytes)
    }
}

fn read_all(stream: &mut Stream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(left)?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend(chunk.iter().take(read)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Over TLS an end without close_notify may be an attacker's; a framed answer shows by itself whether it is complete.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && is_framed(&bytes) => return Ok(bytes),
            Err(error) => return Err(error),
        }
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too long"));
        }
    }
}

fn is_framed(bytes: &[u8]) -> bool {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").and_then(|at| bytes.get(..at));
    let head = String::from_utf8_lossy(head.unwrap_or_default()).to_ascii_lowercase();
    ["\r\ncontent-length:", "\r\ntransfer-encoding:"].into_iter().any(|field| head.contains(field))
}

/// Whether the bytes begin like a TLS record: an alert, or a handshake.
const fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// Parses all that the server sent until it closed; skips interim answers (1xx).
pub(super) fn read_answer(bytes: &[u8]) -> Result<Response, ClientError> {
    let strange = ClientError::Strange("the answer is not HTTP/1.1");
    let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Err(if bytes.is_empty() {
            ClientError::Exchange(io::Error::new(ErrorKind::UnexpectedEof, "closed the connection without an answer"))
        } else if is_tls(bytes) {
            ClientError::Strange("it speaks TLS: use https://")
        } else {
            strange
        });
    };
    let (head, body) = (&bytes[..at], &bytes[at + 4..]);
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
    Ok(Response { status, retry_after_s, body: body.ok_or_else(cut)? })
}

/// The content of a chunked body (RFC 9112 §7.1); `None` if it ends early or is malformed.
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
