//! Whether an address to listen on is free, and which process has it if not. Every core binds the address for itself
//! (SO_REUSEPORT), and so could another daemon of the same user, which would get half of the requests: this checks before.
//!
//! Knows the kernel's tables of sockets under `/proc`. Not for executors, because it waits.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

/// How long the kernel may keep the sockets of a killed process: what io_uring holds is released some time after the process ends.
const GOING_MAX: Duration = Duration::from_secs(10);
/// Time between two checks whether the address has become free.
const LOOK: Duration = Duration::from_millis(50);

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct Refused {
    address: SocketAddr,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// A process listens there already; `None` if this user may not see which.
    Taken(Option<Holder>),
    Other(io::Error),
}

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    process: u32,
    name: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "http.listen: {}", self.why())
    }
}

impl Refused {
    /// The address and why it cannot be used.
    pub fn why(&self) -> String {
        let address = self.address;
        match &self.why {
            Why::Taken(Some(Holder { process, name })) => {
                format!("{address} is in use by process {process} ({name})")
            }
            Why::Taken(None) => format!("{address} is in use by another process, which this user cannot see"),
            Why::Other(error) => format!("{address}: {error}"),
        }
    }

    /// Whether another process has it.
    pub const fn is_taken(&self) -> bool {
        matches!(self.why, Why::Taken(_))
    }

    /// The process that has it, if this user may see it.
    pub fn process(&self) -> Option<u32> {
        match &self.why {
            Why::Taken(holder) => holder.as_ref().map(|holder| holder.process),
            Why::Other(_) => None,
        }
    }
}

/// Binds each address once, so that no other process has it, and releases it again. If another process takes it in between, the
/// final bind fails and says so. An address that no visible process has may be a killed one's, and is waited for.
///
/// # Errors
/// The first address that cannot be used.
pub(super) fn ensure_free(addresses: &[SocketAddr]) -> Result<(), Refused> {
    // Port 0 takes a free port.
    let named = addresses.iter().filter(|address| address.port() != 0);
    let until = Instant::now() + GOING_MAX;
    named.copied().try_for_each(|address| free_by(address, until))
}

fn free_by(address: SocketAddr, until: Instant) -> Result<(), Refused> {
    loop {
        let Err(error) = try_bind(address) else { return Ok(()) };
        let refused = refused(address, error);
        if !matches!(refused.why, Why::Taken(None)) || Instant::now() >= until {
            return Err(refused);
        }
        thread::sleep(LOOK);
    }
}

/// Checks once, without waiting.
///
/// # Errors
/// Why the address cannot be used now.
pub(super) fn look(address: SocketAddr) -> Result<(), Refused> {
    try_bind(address).map_err(|error| refused(address, error))
}

/// Why that address could not be bound.
pub(super) fn refused(address: SocketAddr, error: io::Error) -> Refused {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => Why::Taken(holder(address)),
        _ => Why::Other(error),
    };
    Refused { address, why }
}

fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Old connections of a process that has ended do not count; a listener does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

fn holder(address: SocketAddr) -> Option<Holder> {
    let read = |table: &str| fs::read_to_string(table).unwrap_or_default();
    let inodes = [listeners(&read("/proc/net/tcp"), address), listeners(&read("/proc/net/tcp6"), address)].concat();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let process = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|process: &u32| {
        let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some(Holder { process, name: name.trim_end().escape_debug().to_string() })
}

/// Inodes of the listening sockets in a table of `/proc` (proc_net_tcp) that conflict with `address`: same port, and the same
/// address or every address.
fn listeners(table: &str, address: SocketAddr) -> Vec<u64> {
    const LISTENS: &str = "0A";
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1).and_then(local)?;
        let state = fields.nth(1)?;
        let inode: u64 = fields.nth(5)?.parse().ok()?;
        let is_wide = local.ip().is_unspecified() || address.ip().is_unspecified();
        let meets = local.port() == address.port() && (is_wide || local.ip() == address.ip());
        (state == LISTENS && meets).then_some(inode)
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Parses an address as the kernel writes it: words of 32 bits in the machine's byte order, hexadecimal; then the port.
fn local(field: &str) -> Option<SocketAddr> {
    let (words, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(words.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_in_use_is_refused_with_its_holder() {
        // Bound with SO_REUSEPORT as a daemon does, and without it as other programs do.
        for shares in [true, false] {
            for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
                let holds = Socket::new(Domain::for_address((ip, 0).into()), Type::STREAM, None).expect("a socket");
                holds.set_reuse_port(shares).expect("an option");
                holds.set_reuse_address(true).expect("an option");
                holds.bind(&SocketAddr::new(ip, 0).into()).and_then(|()| holds.listen(1)).expect("listens");
                let address = holds.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
                let refused = ensure_free(&[address]).expect_err("taken").to_string();
                let us = format!("http.listen: {address} is in use by process {} (", std::process::id());
                assert!(refused.starts_with(&us), "{refused}");
                drop(holds);
                ensure_free(&[address]).expect("free again");
            }
        }
    }

    #[test]
    fn an_address_that_is_not_ours_is_told_with_its_reason() {
        let elsewhere = "192.0.2.1:8080".parse().expect("an address");
        let refused = ensure_free(&[elsewhere]).expect_err("not ours").to_string();
        assert!(refused.starts_with("http.listen: 192.0.2.1:8080: Cannot assign"), "{refused}");
    }

    #[test]
    fn a_process_that_has_ended_leaves_the_address_free() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("an address");
        // A connection that our side ended first stays in the kernel for a minute.
        let client = std::net::TcpStream::connect(address).expect("connects");
        drop(listener.accept().expect("accepts"));
        drop((client, listener));
        ensure_free(&[address]).expect("free");
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0 20 4 30 10 -1\n\
            2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n\
            3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000 0 0 14 1 0 100 0 0 10 0\nshort\n";
        let found = |address: &str| listeners(table, address.parse().expect("an address"));
        if cfg!(target_endian = "little") {
            assert_eq!(found("127.0.0.1:8080"), [11]);
            assert_eq!(found("0.0.0.0:8080"), [11, 14]);
            assert_eq!(found("127.0.0.1:8081"), [13]);
            assert_eq!(found("[::1]:8080"), [14]);
            assert_eq!(found("127.0.0.2:8080"), [0; 0]);
        }
    }
}
