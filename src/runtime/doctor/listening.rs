//! Addresses to listen on: free, held by the daemon that uses this data directory, or held by another program.

use std::net::SocketAddr;

use super::finding::Finding;
use crate::runtime::address::{self, Refused};

const CHECK: &str = "http.listen";

/// Checks one address. `daemon`: the process that uses the data directory.
pub(super) fn look(address: SocketAddr, daemon: Option<i32>) -> Finding {
    // Port 0 takes a free port.
    if address.port() == 0 {
        return Finding::ok(CHECK, format!("{address}: the daemon will take a free port"));
    }
    judge(address, address::look(address), daemon)
}

fn judge(address: SocketAddr, found: Result<(), Refused>, daemon: Option<i32>) -> Finding {
    let refused = match (found, daemon) {
        (Ok(()), None) => return Finding::ok(CHECK, format!("{address} is free")),
        (Ok(()), Some(process)) => {
            let what = format!("{address} is free: process {process}, the running daemon, does not listen there");
            return Finding::warn(CHECK, what, "it was started with other addresses: restart it to change that");
        }
        (Err(refused), _) => refused,
    };
    let holder = refused.process().and_then(|process| i32::try_from(process).ok());
    match daemon.filter(|_| refused.is_taken()) {
        Some(daemon) if holder == Some(daemon) => {
            Finding::ok(CHECK, format!("{address} is held by the running daemon, process {daemon}"))
        }
        Some(daemon) if holder.is_none() => {
            let what = format!("{address} is in use, most likely by the running daemon, process {daemon}");
            Finding::ok(CHECK, what)
        }
        Some(_) | None => {
            let advice = match refused.is_taken() {
                true => "end that program, or set http.listen to another address",
                false => "set http.listen to an address of this machine; ports below 1024 need CAP_NET_BIND_SERVICE",
            };
            Finding::fail(CHECK, refused.why(), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn who_has_an_address_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("an address");
        let us = i32::try_from(std::process::id()).expect("a process");
        let ours = look(address, Some(us));
        assert_eq!(ours, Finding::ok(CHECK, format!("{address} is held by the running daemon, process {us}")));
        for daemon in [None, Some(us + 1)] {
            let taken = look(address, daemon);
            let says = format!("{address} is in use by process {us} (");
            assert!(taken.state == State::Fail && taken.what.starts_with(&says), "{taken:?}");
        }
        drop(listener);
        assert_eq!(look(address, None), Finding::ok(CHECK, format!("{address} is free")));
        assert_eq!(look(address, Some(us)).state, State::Warn);
    }

    #[test]
    fn an_address_that_is_not_ours_is_told() {
        for daemon in [None, Some(1)] {
            let found = look("192.0.2.1:8080".parse().expect("an address"), daemon);
            assert!(found.state == State::Fail && found.what.starts_with("192.0.2.1:8080: "), "{found:?}");
        }
        assert_eq!(look("127.0.0.1:0".parse().expect("an address"), None).state, State::Ok);
    }
}
