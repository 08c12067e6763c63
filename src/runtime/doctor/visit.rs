//! A visit to one host of a carrier: its name, TCP, TLS, and, if asked for, a bind followed by an unbind. On a thread that
//! may wait; each step has a time limit, which nothing that the host sends can extend, and nothing that it sends is kept.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::binding::{self, BindTrouble, Login};
use crate::egress::words;
use crate::host::names::ADDRESSES_MAX;
use crate::runtime::{certificates, tls};
use stentor_smpp::pdu::BindMode;

/// Time limit for the answer of the name servers.
const NAME: Duration = Duration::from_secs(5);
/// Time limit for TCP, for all addresses of a name together.
const CONNECT: Duration = Duration::from_secs(5);
/// Time limit for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A host that accepts a connection and hangs up does so within this time; most do so because they do not know our address.
const MOMENT: Duration = Duration::from_millis(500);
/// Name look-ups at once. A look-up cannot be cancelled: one that hangs outlives its visit.
const LOOKUPS_MAX: usize = 64;

/// One host to visit.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Name or address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) source_ip: Option<IpAddr>,
    /// `None`: plain TCP. The error is about the certificate files.
    pub(super) tls: Option<Result<Trust, String>>,
    /// If set, bind with this account.
    pub(super) account: Option<Login>,
}

/// How a host's certificate is checked, and the name in it if that is not the host's own.
pub(super) type Trust = (Arc<ClientConfig>, Option<ServerName<'static>>);

/// The result of a visit that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) address: SocketAddr,
    /// How long connecting took.
    pub(super) took: Duration,
    pub(super) tls: Option<Secured>,
    /// Modes that were bound, each with the carrier's `system_id`.
    pub(super) bound: Vec<(BindMode, String)>,
}

/// The result of the TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Secured {
    pub(super) version: &'static str,
    /// When the first of the host's certificates ends, in seconds since 1970.
    pub(super) ends_s: Option<i64>,
}

/// The step at which a visit failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The name has no address.
    Name(String),
    /// TCP could not connect.
    Connect(String),
    /// The TLS handshake failed.
    Tls(String),
    /// The host accepted the connection and closed it.
    HungUp,
    /// The bind failed.
    Bind(BindMode, BindTrouble),
    /// There was no time left for this host.
    NoTime,
}

/// Look-ups under way, of all visits.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookups(Arc<AtomicUsize>);

/// Ends at `end` at the latest, give or take a few milliseconds.
pub(super) fn visit(target: &Target, lookups: &Lookups, end: Instant) -> Result<Seen, Trouble> {
    if Instant::now() >= end {
        return Err(Trouble::NoTime);
    }
    let addresses = addresses(target, lookups, by(NAME, end)).map_err(Trouble::Name)?;
    let modes = target.account.as_ref().map_or(&[][..], |account| &account.modes);
    let mut seen = meet(target, &addresses, modes.first().copied(), end)?;
    for mode in modes.iter().skip(1) {
        seen.bound.append(&mut meet(target, &addresses, Some(*mode), end)?.bound);
    }
    Ok(seen)
}

/// One connection, from beginning to end.
fn meet(target: &Target, addresses: &[SocketAddr], mode: Option<BindMode>, end: Instant) -> Result<Seen, Trouble> {
    let begun = Instant::now();
    let connected = connect(addresses, target.source_ip, by(CONNECT, end));
    let (socket, address) = connected.map_err(Trouble::Connect)?;
    let mut seen = Seen { address, took: begun.elapsed(), tls: None, bound: Vec::new() };
    let until = Rc::new(Cell::new(by(HANDSHAKE, end)));
    let timed = Timed { socket, until: Rc::clone(&until) };
    let mut stream: Box<dyn Stream> = match &target.tls {
        None => Box::new(timed),
        Some(Err(why)) => return Err(Trouble::Tls(why.clone())),
        Some(Ok(trust)) => {
            let (stream, secured) = secure(timed, trust, &target.host).map_err(Trouble::Tls)?;
            seen.tls = Some(secured);
            Box::new(stream)
        }
    };
    match (mode, &target.account) {
        (Some(mode), Some(account)) => {
            let bound = binding::bind(&mut *stream, account, mode, &|time| until.set(by(time, end)));
            let name = bound.map_err(|trouble| Trouble::Bind(mode, trouble))?;
            seen.bound.push((mode, name));
        }
        (None, _) | (_, None) => {
            until.set(by(MOMENT, end));
            listen(&mut *stream)?;
        }
    }
    Ok(seen)
}

/// `time` from now, but not after `end`.
fn by(time: Duration, end: Instant) -> Instant {
    (Instant::now() + time).min(end)
}

fn addresses(target: &Target, lookups: &Lookups, until: Instant) -> Result<Vec<SocketAddr>, String> {
    let mut found = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => lookups.resolve(&target.host, until)?,
    };
    found.retain(|address| target.source_ip.is_none_or(|source| source.is_ipv4() == address.is_ipv4()));
    found.truncate(ADDRESSES_MAX);
    match found.is_empty() {
        true => Err("it has no address of the same IP version as source_ip".to_owned()),
        false => Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port)).collect()),
    }
}

impl Lookups {
    fn resolve(&self, name: &str, until: Instant) -> Result<Vec<IpAddr>, String> {
        self.resolve_by(name, until, |name| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
    }

    fn resolve_by(
        &self,
        name: &str,
        until: Instant,
        lookup: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> Result<Vec<IpAddr>, String> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return Err("too many other names are still being looked up".to_owned());
        }
        let (tell, told) = mpsc::sync_channel(1);
        let (under_way, name) = (Arc::clone(&self.0), name.to_owned());
        let started = thread::Builder::new().name("name".to_owned()).spawn(move || {
            let found = lookup(&name);
            under_way.fetch_sub(1, Ordering::Relaxed);
            let _ = tell.send(found);
        });
        started.map_err(|error| error.to_string())?;
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("no name server has answered in time".to_owned()),
        }
    }
}

/// Connects to the first address that answers; each gets an equal part of the time that is left.
fn connect(
    addresses: &[SocketAddr],
    source: Option<IpAddr>,
    until: Instant,
) -> Result<(TcpStream, SocketAddr), String> {
    let mut failed = "no address".to_owned();
    for (at, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now()) / (addresses.len() - at) as u32;
        match connect_one(*address, source, left) {
            Ok(socket) => return Ok((socket, *address)),
            Err(error) => failed = format!("{address}: {error}"),
        }
    }
    Err(failed)
}

fn connect_one(address: SocketAddr, source: Option<IpAddr>, time: Duration) -> io::Result<TcpStream> {
    if time.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&address.into(), time)?;
    Ok(socket.into())
}

fn secure(
    mut socket: Timed,
    trust: &Trust,
    host: &str,
) -> Result<(StreamOwned<ClientConnection, Timed>, Secured), String> {
    let (config, name) = trust;
    let name = match name {
        Some(name) => name.clone(),
        None => tls::server_name(host)?,
    };
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(|error| words::of_tls(&error))?;
    connection.complete_io(&mut socket).map_err(|error| in_time(&error))?;
    let shown = connection.peer_certificates().unwrap_or_default();
    let ends_s = shown.iter().filter_map(certificates::not_after).min();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(_) | None => "TLS 1.2",
    };
    Ok((StreamOwned::new(connection, socket), Secured { version, ends_s }))
}

/// In the words of the daemon's log, with the time limit of this visit.
fn in_time(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            format!(
                "it does not answer the handshake within {} s: perhaps this port does not speak TLS",
                HANDSHAKE.as_secs()
            )
        }
        _ => words::of_handshake(error),
    }
}

/// Whether the host hangs up at once. Under TLS 1.3 a host refuses our certificate only after the handshake is over for us.
fn listen(stream: &mut dyn Stream) -> Result<(), Trouble> {
    match stream.read(&mut [0; 64]) {
        Ok(0) => Err(Trouble::HungUp),
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut => Ok(()),
            io::ErrorKind::InvalidData => Err(Trouble::Tls(words::of_handshake(&error))),
            _ => Err(Trouble::HungUp),
        },
    }
}

/// What a bind is sent over.
pub(super) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A socket whose reads and writes end in time.
struct Timed {
    socket: TcpStream,
    until: Rc<Cell<Instant>>,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.get().saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

fn too_late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(into).map_err(too_late)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes).map_err(too_late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(out, "no address: {why}"),
            Self::Connect(why) => write!(out, "no connection: {why}"),
            Self::Tls(why) => write!(out, "no TLS: {why}"),
            Self::HungUp => out.write_str("it accepts the connection and hangs up"),
            Self::Bind(mode, trouble) => write!(out, "no bind as {}: {trouble}", binding::name(*mode)),
            Self::NoTime => out.write_str("not checked: other hosts took all the time"),
        }
    }
}

impl Trouble {
    /// What the operator can do about it.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Name(_) => "check the name in `hosts`, and this machine's name servers (/etc/resolv.conf)",
            Self::Connect(_) => {
                "check `hosts`, `source_ip`, firewalls and routes; ask the carrier whether it knows this machine's address"
            }
            Self::Tls(_) => {
                "check the carrier's `tls`; ask the carrier which certificate it shows and which it requires"
            }
            Self::HungUp => "ask the carrier whether it allows this machine's address",
            Self::Bind(_, trouble) => trouble.advice(),
            Self::NoTime => "try again when the other hosts can be reached",
        }
    }
}

#[cfg(test)]
#[path = "visit_tests.rs"]
mod tests;
