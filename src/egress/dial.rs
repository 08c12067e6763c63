//! Opens connections to a carrier: its hosts and their addresses, TCP, TLS.
//!
//! Knows how to open one connection within the time allowed; the link decides which host to try, and when to try again.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_lite::future;
use futures_rustls::TlsConnector;
use rustls::{ClientConfig, pki_types::ServerName};

use super::{pdus::PduLog, words};
use crate::host::{
    executor,
    net::{Socket, Stream},
    resolver::Resolver,
};
use stentor_core::{
    link::{Disconnect, hosts::Way},
    model::Mono,
};

/// An address at which a carrier listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name to be resolved, or IP address.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

/// Everything needed to open a connection to a carrier.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The carrier's hosts; the link chooses among them.
    pub hosts: Vec<Host>,
    /// Looks up the addresses of names.
    pub resolver: Resolver,
    /// Address to connect from; `None`: the kernel chooses.
    pub source_ip: Option<IpAddr>,
    /// TLS, and the name that the certificate must contain if it is not the host's. `None`: plain TCP.
    pub tls: Option<(Arc<ClientConfig>, Option<ServerName<'static>>)>,
    /// Time for looking up the name, TCP and the handshake together.
    pub timeout: Duration,
    /// Logs each PDU; `None` while that is switched off.
    pub pdus: Option<PduLog>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoWay {
    /// The reason, for the link.
    pub reason: Disconnect,
    /// An explanation for the operator, if there is more to say than the reason.
    pub words: Option<String>,
}

impl NoWay {
    fn new(reason: Disconnect, words: impl ToString) -> Self {
        Self { reason, words: Some(words.to_string()) }
    }
}

impl Dial {
    /// Opens a connection.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, way: Way) -> Result<Stream, NoWay> {
        let deadline = executor::now().mono.after_ns(nanos(self.timeout));
        let host = self.host(way).ok_or(NoWay { reason: Disconnect::Unreachable, words: None })?;
        let reached = match self.addresses(host, deadline).await {
            Ok(addresses) => self.reach(&in_turn(addresses, way.turn), host.port, deadline).await,
            Err(error) => Err(error),
        };
        let socket = reached.map_err(|error| NoWay::new(Disconnect::Unreachable, words::of_connect(&error)))?;
        self.secure(host, socket, deadline).await
    }

    /// The addresses of a host that can be reached from `source_ip`.
    async fn addresses(&self, host: &Host, deadline: Mono) -> io::Result<Vec<IpAddr>> {
        let mut addresses = match host.name.parse() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.addresses(&host.name, deadline).await.map_err(io::Error::other)?,
        };
        addresses.retain(|address| self.source_ip.is_none_or(|source| source.is_ipv4() == address.is_ipv4()));
        match addresses.is_empty() {
            true => Err(io::Error::other("the name has no address of the same IP version as source_ip")),
            false => Ok(addresses),
        }
    }

    /// Connects to the first address that answers. Each address gets an equal share of the remaining time, so that a silent one
    /// does not use up the time of the others; the share of one that refuses at once goes to the others.
    async fn reach(&self, addresses: &[IpAddr], port: u16, deadline: Mono) -> io::Result<Socket> {
        let mut failed = io::Error::from(io::ErrorKind::TimedOut);
        for (at, address) in addresses.iter().enumerate() {
            let left_ns = deadline.since(executor::now().mono) / (addresses.len() - at) as u64;
            let to = SocketAddr::new(*address, port);
            match Socket::connect(to, self.source_ip, Duration::from_nanos(left_ns)).await {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    tracing::debug!(%to, %error, "no connection to this address");
                    failed = error;
                }
            }
        }
        Err(failed)
    }

    /// The host that the link chose.
    pub(super) fn host(&self, way: Way) -> Option<&Host> {
        self.hosts.get(usize::from(way.host)).or(self.hosts.first())
    }

    async fn secure(&self, host: &Host, socket: Socket, deadline: Mono) -> Result<Stream, NoWay> {
        let Some((config, name)) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let name = match name {
            Some(name) => name.clone(),
            None => {
                let no_name = |_| NoWay::new(Disconnect::Tls, "its name cannot be in a certificate: set `server_name`");
                ServerName::try_from(host.name.clone()).map_err(no_name)?
            }
        };
        let handshake = async { TlsConnector::from(Arc::clone(config)).connect(name, socket).await };
        let too_late = async {
            executor::sleep_until(deadline).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        match future::or(handshake, too_late).await {
            Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
            Err(error) => {
                let reason = words::certificate_refused(&error);
                Err(reason.map_or_else(
                    || NoWay::new(Disconnect::Tls, words::of_handshake(&error)),
                    |reason| NoWay { reason, words: None },
                ))
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Rotates the addresses, so that each further attempt at a host begins with another address; every attempt tries all.
fn in_turn(mut addresses: Vec<IpAddr>, turn: u32) -> Vec<IpAddr> {
    let first = turn as usize % addresses.len().max(1);
    addresses.rotate_left(first);
    addresses
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
