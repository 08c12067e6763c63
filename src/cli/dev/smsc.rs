//! The simulated carrier's listener on loopback, with a thread for each connection.
//! Knows sockets and threads; [`connection`] speaks the protocol.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::connection;
use super::exchange::Exchange;

/// Connections at once; one more is closed.
const CONNECTIONS_MAX: usize = 64;
/// Pause after an accept that failed, until descriptors may be free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on a free port until the process ends; returns the address.
///
/// # Errors
/// No port or no thread was available.
pub(super) fn start(exchange: Arc<Exchange>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("dev smsc".to_owned()).spawn(move || accept(&listener, &exchange))?;
    Ok(address)
}

fn accept(listener: &TcpListener, exchange: &Arc<Exchange>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the simulated carrier cannot accept");
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let place = Open::take(&open);
        if open.load(Ordering::Relaxed) > CONNECTIONS_MAX {
            continue;
        }
        let exchange = Arc::clone(exchange);
        let serve = move || {
            connection::run(stream, &exchange);
            drop(place);
        };
        if let Err(error) = thread::Builder::new().name("dev smsc bind".to_owned()).spawn(serve) {
            tracing::warn!(%error, "the simulated carrier cannot serve a connection");
        }
    }
}

/// Counts an open connection as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "smsc_tests.rs"]
mod tests;
