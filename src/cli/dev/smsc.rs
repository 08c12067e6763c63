//! The simulated carrier's door: a listener on loopback, and a thread for each connection.
//! Knows sockets and threads; what is spoken is the [`connection`]'s.

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
/// After an accept that failed: descriptors may be there again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on a free port until the process ends; says where.
///
/// # Errors
/// No port or no thread could be had.
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

/// One open connection, counted as long as this lives.
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
