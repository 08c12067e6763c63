//! A command's connection to a daemon: TCP, TLS over TCP, or a Unix socket; blocking, each wait bounded. Opens it, and says
//! in the operator's words why it cannot.

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

/// Time limit for one address to accept the connection, and again for its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection. See the head of this file.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS, after the handshake.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// A socket on this machine.
    Unix(UnixStream),
}

impl Stream {
    /// Connects; `trust` is for URLs of `https`. The error is for the operator.
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
            (Url::Net { is_secure: true, .. }, None) => Err("no certificate to trust is given".to_owned()),
        }
    }

    /// Time limit of each read.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(Some(timeout)),
            Self::Tls(tls) => tls.sock.set_read_timeout(Some(timeout)),
            Self::Unix(unix) => unix.set_read_timeout(Some(timeout)),
        }
    }

    /// Time limit of each write.
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

/// A URL's host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Connects to a socket. If its queue is full, waits as long as for any other address.
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

/// Does the handshake; the time limit is for all of it.
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
            // Tells the other side why, if it still listens.
            let _ = session.write_tls(&mut tcp);
            return Err(format!("no TLS: {}", of_tls(&error)));
        }
    }
    Ok(StreamOwned::new(session, tcp))
}

/// Why a handshake failed if neither side refused it.
fn of_end(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("the handshake was not answered within {} s", CONNECT_TIMEOUT.as_secs())
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the other side ended the handshake: perhaps it needs http://".to_owned()
        }
        _ => error.to_string(),
    }
}

/// TLS's reason for a failed connection, if it has one.
pub(super) fn of_io(error: &io::Error) -> Option<String> {
    error.get_ref()?.downcast_ref::<Error>().map(of_tls)
}

fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "the server does not speak TLS: use http://".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) => "it requires a client certificate (`http.tls.client_ca`), which commands do not have: use \
              `node.admin_socket`, or curl"
            .to_owned(),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    if let Some(told) = of_dates(error) {
        return told.to_owned();
    }
    match error {
        // If only the authority's name is the same, the signature does not fit.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority in --ca has signed its certificate: name the file of the one that did, or of the certificate itself if \
             it is self-signed"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (wanted, names) = (expected.to_str(), names_of(presented));
            format!("its certificate is not for {wanted}, but for {names}: use a name that it has")
        }
        CertificateError::NotValidForName => "its certificate is for another name: use one that it has".to_owned(),
        other if is_authority(other) => "its certificate is that of an authority (CA:TRUE), as `openssl req -x509` makes it: add \
                                         `-addext basicConstraints=critical,CA:FALSE`"
            .to_owned(),
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// Why a socket's file cannot be opened.
fn unopened(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket: no daemon is running with this `node.admin_socket`".to_owned(),
        ErrorKind::ConnectionRefused => "no daemon listens there any more".to_owned(),
        ErrorKind::PermissionDenied => members_only(path),
        _ => error.to_string(),
    }
}

/// Which users may open it.
pub(super) fn members_only(path: &Path) -> String {
    let group = group_of(path).or_else(|| group_of(path.parent()?));
    let Some(group) = group else { return "its file may not be opened by this user".to_owned() };
    format!("only members of the group `{group}` may open it: usermod -aG {group} NAME, then log in again")
}

/// The group's name, or its number if this machine's /etc/group has none.
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
