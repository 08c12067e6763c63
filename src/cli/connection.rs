//! A connection of a command to a daemon: TCP, TLS over it, or a Unix socket; blocking, each wait bounded. Knows how to come to one,
//! and says in the operator's words why it does not.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, StreamOwned};
use socket2::{Domain, SockAddr, Socket, Type};

use super::url::Url;
use crate::egress::words::{is_authority, names_of, of_dates};
use crate::runtime::tls;

/// For one address to take the connection, and then for its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// See the head of this file.
#[derive(Debug)]
pub(super) enum Stream {
    /// As it is.
    Tcp(TcpStream),
    /// After a handshake.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// On this machine.
    Unix(UnixStream),
}

impl Stream {
    /// Connects; `trust` is for a URL of `https`. The error is in words.
    pub(super) fn open(url: &Url, trust: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        match (url, trust) {
            (Url::Unix(path), _) => enter(path).map(Self::Unix).map_err(|error| unopened(path, &error)),
            (Url::Net { is_secure: false, host, port, .. }, _) => reach(host, *port).map(Self::Tcp),
            (Url::Net { is_secure: true, host, port, .. }, Some(trust)) => {
                let name = tls::server_name(bare(host))?;
                let session = ClientConnection::new(Arc::clone(trust), name).map_err(|error| of_tls(&error))?;
                let tcp = reach(host, *port)?;
                shake(session, tcp).map(|shaken| Self::Tls(Box::new(shaken)))
            }
            (Url::Net { is_secure: true, .. }, None) => Err("nobody is said whose certificate is trusted".to_owned()),
        }
    }

    /// For each read.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(Some(timeout)),
            Self::Tls(tls) => tls.sock.set_read_timeout(Some(timeout)),
            Self::Unix(unix) => unix.set_read_timeout(Some(timeout)),
        }
    }

    /// For each write.
    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_write_timeout(Some(timeout)),
            Self::Tls(tls) => tls.sock.set_write_timeout(Some(timeout)),
            Self::Unix(unix) => unix.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(into),
            Self::Tls(tls) => tls.read(into),
            Self::Unix(unix) => unix.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
            Self::Unix(unix) => unix.flush(),
        }
    }
}

/// Of a host as a URL has it.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Where many wait to be accepted, this waits too, and no longer than for any other address.
fn enter(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

fn reach(host: &str, port: u16) -> Result<TcpStream, String> {
    let mut last = "the name has no address".to_owned();
    for address in (bare(host), port).to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// The handshake, as a whole within its time.
fn shake(
    mut session: ClientConnection,
    mut tcp: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let until = Instant::now() + CONNECT_TIMEOUT;
    let broke = |error: io::Error| format!("no TLS: {}", of_io(&error).unwrap_or_else(|| of_end(&error)));
    while session.is_handshaking() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(broke(ErrorKind::TimedOut.into()));
        }
        tcp.set_read_timeout(Some(left)).and_then(|()| tcp.set_write_timeout(Some(left))).map_err(broke)?;
        while session.wants_write() {
            session.write_tls(&mut tcp).map_err(broke)?;
        }
        if !session.is_handshaking() || !session.wants_read() {
            continue;
        }
        if session.read_tls(&mut tcp).map_err(broke)? == 0 {
            return Err(broke(ErrorKind::UnexpectedEof.into()));
        }
        if let Err(error) = session.process_new_packets() {
            // The other side is told why, if it still listens.
            let _ = session.write_tls(&mut tcp);
            return Err(format!("no TLS: {}", of_tls(&error)));
        }
    }
    Ok(StreamOwned::new(session, tcp))
}

/// How a handshake ends that nobody refused.
fn of_end(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("the handshake is not answered within {} s", CONNECT_TIMEOUT.as_secs())
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the other side ended the handshake: perhaps it is to be asked by http://".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What TLS has to say of a connection that broke, if it has.
pub(super) fn of_io(error: &io::Error) -> Option<String> {
    error.get_ref()?.downcast_ref::<Error>().map(of_tls)
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "what answers there speaks no TLS: ask by http://".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) => "it wants a certificate of its clients (`http.tls.client_ca`), and commands show none: ask by \
              `node.admin_socket`, or by curl"
            .to_owned(),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    if let Some(told) = of_dates(error) {
        return told.to_owned();
    }
    match error {
        // Of an authority that only has the same name, the signature does not fit.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody in --ca has signed its certificate: name the file of who did, or of the certificate itself if it is none of an \
             authority"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (wanted, names) = (expected.to_str(), names_of(presented));
            format!("its certificate is not for {wanted}, but for {names}: ask by a name that it has")
        }
        CertificateError::NotValidForName => "its certificate is for another name: ask by one that it has".to_owned(),
        other if is_authority(other) => "its certificate is that of an authority (CA:TRUE), as `openssl req -x509` makes it: add \
                                         `-addext basicConstraints=critical,CA:FALSE`"
            .to_owned(),
        other => format!("its certificate is not taken: {other}"),
    }
}

/// Why a socket's file does not open.
fn unopened(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket: no daemon runs with this `node.admin_socket`".to_owned(),
        ErrorKind::ConnectionRefused => "no daemon listens there any more".to_owned(),
        ErrorKind::PermissionDenied => members_only(path),
        _ => error.to_string(),
    }
}

/// Who may open it.
pub(super) fn members_only(path: &Path) -> String {
    let group = group_of(path).or_else(|| group_of(path.parent()?));
    let Some(group) = group else { return "its file may not be opened by this user".to_owned() };
    format!("only members of the group `{group}` may open it: usermod -aG {group} NAME, then log in again")
}

/// By name, or by number where this machine's own list has none.
fn group_of(path: &Path) -> Option<String> {
    let wanted = fs::metadata(path).ok()?.gid();
    let known = fs::read_to_string("/etc/group").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(wanted)).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| wanted.to_string()))
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
