//! The simulator's one thread: waits for sockets, lets `session.rs` handle what was read, writes each connection once
//! per round, and runs the events of the wheel that are due. One thread is enough because a round handles thousands of
//! PDUs with one read and one write per connection. Knows readiness and connections, not PDUs.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;
use stentor_core::sim::carrier::{Behaviour, Way};

use super::connection::Connection;
use super::control::{Command, Request};
use super::pace::{Arrival, Pace};
use super::receipts::{ConnectionId, Receipt};
use super::session::{Desk, Instant, Later, Next};
use super::stats::{BindStats, PaceStats, Quantiles, Stats};
use super::stream::{Reading, Stream};
use super::tally::Watch;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// The longest sleep: a signal that arrives directly before a sleep is noticed after it.
const SLEEP_MAX_MS: u64 = 100;
/// The longest sleep if arrivals are kept: the instant of an arrival is known as exactly as this.
const SLEEP_PRECISE_MS: u64 = 1;
/// A client with this many unread bytes gets no more receipts until it reads.
const UNSENT_MAX: usize = 1 << 20;
/// Closed binds whose counts are kept.
const CLOSED_BINDS_MAX: usize = 1_000;

/// Settings that stay the same for a whole run.
#[derive(Debug)]
pub(super) struct Settings {
    pub tls: Option<Arc<ServerConfig>>,
    /// Most unacknowledged receipts per bind.
    pub receipt_window: usize,
    pub watch: Watch,
}

/// The event loop and its connections.
#[derive(Debug)]
pub(super) struct Simulator {
    settings: Settings,
    desk: Desk,
    poll: Poll,
    listener: TcpListener,
    started: std::time::Instant,
    started_wall_us: u64,
    connections: Vec<Option<Box<Connection>>>,
    next_generation: u32,
    closed_binds: Vec<BindStats>,
    pace: Pace,
    /// When every socket was last known to be empty.
    drained_ns: u64,
    /// When the present poll was called, and the one before the last round that left every socket empty: what arrives was not
    /// there yet at that time, even if this thread was held up after a poll.
    polled_ns: u64,
    emptied_ns: u64,
    is_paused: bool,
    due: Vec<Later>,
    next_receiver: usize,
}

impl Simulator {
    /// Binds the SMPP port.
    pub(super) fn new(listen: SocketAddr, settings: Settings, desk: Desk) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(listen)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            settings,
            desk,
            poll,
            listener,
            started: std::time::Instant::now(),
            started_wall_us: since_epoch.as_micros() as u64,
            connections: Vec::new(),
            next_generation: 0,
            closed_binds: Vec::new(),
            pace: Pace::default(),
            drained_ns: 0,
            polled_ns: 0,
            emptied_ns: 0,
            is_paused: false,
            due: Vec::new(),
            next_receiver: 0,
        })
    }

    /// The address that the socket was bound to.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Interrupts the sleep; for the control thread.
    pub(super) fn waker(&self) -> io::Result<Arc<Waker>> {
        Waker::new(self.poll.registry(), WAKER).map(Arc::new)
    }

    /// Runs until `stop` is set.
    pub(super) fn run(&mut self, stop: &AtomicBool, commands: &Receiver<Command>) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        while !stop.load(Ordering::Relaxed) {
            self.polled_ns = self.now().mono_ns;
            match self.poll.poll(&mut events, Some(self.sleep())) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => {}
                    Token(index) => {
                        if let Some(Some(connection)) = self.connections.get_mut(index) {
                            connection.is_ready = true;
                        }
                    }
                }
            }
            while let Ok(command) = commands.try_recv() {
                let answer = self.handle_command(command.request);
                // The caller may have disconnected.
                let _ = command.answer.send(answer);
            }
            if !self.is_paused {
                self.round();
            }
        }
        Ok(())
    }

    fn sleep(&self) -> Duration {
        let is_ready = |connection: &Option<Box<Connection>>| connection.as_ref().is_some_and(|c| c.is_ready);
        if !self.is_paused && self.connections.iter().any(is_ready) {
            return Duration::ZERO;
        }
        let now_ns = self.now().mono_ns;
        let due_ns = self.desk.wheel.next_ms().map(|ms| (ms * 1_000_000).saturating_sub(now_ns));
        let longest = if self.settings.watch.arrivals { SLEEP_PRECISE_MS } else { SLEEP_MAX_MS };
        let longest = Duration::from_millis(longest);
        if self.is_paused { longest } else { due_ns.map_or(longest, |ns| Duration::from_nanos(ns).min(longest)) }
    }

    fn now(&self) -> Instant {
        let elapsed = self.started.elapsed();
        Instant { mono_ns: elapsed.as_nanos() as u64, wall_us: self.started_wall_us + elapsed.as_micros() as u64 }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.desk.connections.accepted += u64::from(self.admit(socket).is_ok()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn admit(&mut self, socket: mio::net::TcpStream) -> io::Result<()> {
        let mut stream = Stream::new(socket, self.settings.tls.as_ref())?;
        let index = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream.socket_mut(), Token(index), both)?;
        let id = ConnectionId { index: index as u32, generation: self.next_generation };
        self.next_generation += 1;
        if index == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index] = Some(Box::new(Connection::new(id, stream, self.settings.receipt_window)));
        Ok(())
    }

    /// Reads every ready connection once, runs what is due, and writes every connection that has output.
    fn round(&mut self) {
        let begun_ns = self.now().mono_ns;
        let mut read_all = true;
        for index in 0..self.connections.len() {
            let Some(mut connection) = self.connections[index].take_if(|c| c.is_ready) else { continue };
            let next = self.read(&mut connection);
            read_all &= !connection.is_ready;
            self.put_back(index, connection, next);
        }
        if read_all {
            (self.drained_ns, self.emptied_ns) = (begun_ns, self.polled_ns);
        }
        self.play_due();
        for index in 0..self.connections.len() {
            let Some(mut connection) = self.connections[index].take() else { continue };
            let next = self.write(&mut connection);
            self.put_back(index, connection, next);
        }
    }

    fn read(&mut self, connection: &mut Connection) -> Next {
        let reading = connection.stream.fill();
        connection.is_ready = reading == Reading::More;
        let at = self.now();
        self.desk.arrivals.begin(self.started_wall_us + self.emptied_ns / 1_000);
        let (parts, next) = self.desk.handle_input(connection, at);
        if parts > 0 {
            let arrival = Arrival { after_ns: self.drained_ns, until_ns: at.mono_ns, parts };
            self.pace.record(arrival);
            connection.pace.record(arrival);
        }
        if reading == Reading::Closed { Next::Close } else { next }
    }

    fn write(&mut self, connection: &mut Connection) -> Next {
        if connection.stream.unsent() < UNSENT_MAX {
            let at = self.now();
            self.desk.write_receipts(connection, at);
        }
        match connection.stream.flush() {
            Err(_) => Next::Close,
            Ok(()) if connection.is_closing && connection.stream.unsent() == 0 => Next::Close,
            Ok(()) => Next::Continue,
        }
    }

    fn put_back(&mut self, index: usize, mut connection: Box<Connection>, next: Next) {
        match next {
            Next::Continue => self.connections[index] = Some(connection),
            Next::Close => {
                // Answers that are ready are sent as far as the socket accepts them.
                let _ = connection.stream.flush();
                self.close(&mut connection);
            }
        }
    }

    fn close(&mut self, connection: &mut Connection) {
        let at = self.now();
        self.desk.handle_lost(connection, at);
        if self.closed_binds.len() < CLOSED_BINDS_MAX {
            self.closed_binds.extend(self.bind_stats(connection, false));
        }
        // Dropping the socket closes it, whether or not it could be removed from the poll.
        let _ = self.poll.registry().deregister(connection.stream.socket_mut());
    }

    fn play_due(&mut self) {
        let now_ms = self.now().mono_ms();
        let mut due = std::mem::take(&mut self.due);
        self.desk.wheel.take_due(now_ms, &mut due);
        for later in due.drain(..) {
            match later {
                Later::Answer { to, sequence, reply } => {
                    let index = to.index as usize;
                    let slot = self.connections.get_mut(index);
                    let Some(mut connection) = slot.and_then(|slot| slot.take_if(|c| c.id == to)) else { continue };
                    connection.unanswered -= 1;
                    let next = self.desk.answer(&mut connection, sequence, reply);
                    self.put_back(index, connection, next);
                }
                Later::Deliver(receipt) => self.deliver(receipt),
            }
        }
        self.due = due;
    }

    fn deliver(&mut self, receipt: Receipt) {
        let Some(account) = self.desk.accounts.get_mut(receipt.account as usize) else { return };
        let others = || account.receivers.iter().filter(|id| **id != receipt.origin);
        let is_origin_bound = account.receivers.contains(&receipt.origin);
        let takes_origin = is_origin_bound && (receipt.way == Way::Same || others().next().is_none());
        let chosen = if takes_origin {
            Some(receipt.origin)
        } else {
            self.next_receiver = self.next_receiver.wrapping_add(1);
            others().nth(self.next_receiver % others().count().max(1)).copied()
        };
        let slot = chosen.and_then(|id| self.connections.get_mut(id.index as usize));
        match slot.and_then(|slot| slot.as_mut()) {
            Some(connection) => connection.receipts.push(receipt),
            None => account.orphans.push_back(receipt),
        }
    }

    fn handle_command(&mut self, request: Request) -> Result<serde_json::Value, String> {
        let json = |value: Stats| serde_json::to_value(value).map_err(|error| error.to_string());
        let done = || Ok(serde_json::json!({ "done": true }));
        match request {
            Request::Stats { expect } => json(self.stats(expect)),
            Request::Missing { upto, limit } => Ok(self.desk.tally.list_missing(upto, limit).into()),
            Request::Repeated { limit } => Ok(self.desk.tally.list_repeated(limit).into()),
            Request::Arrivals { from } => {
                serde_json::to_value(self.desk.arrivals.page(from)).map_err(|error| error.to_string())
            }
            Request::Behaviour => serde_json::to_value(self.desk.carrier.behaviour()).map_err(|e| e.to_string()),
            Request::ChangeBehaviour(change) => {
                let behaviour = overlay(self.desk.carrier.behaviour(), change)?;
                self.desk.carrier.set_behaviour(behaviour);
                done()
            }
            Request::Disconnect => {
                for index in 0..self.connections.len() {
                    let Some(mut connection) = self.connections[index].take() else { continue };
                    self.desk.connections.closed_by_us += 1;
                    self.close(&mut connection);
                }
                done()
            }
            Request::Goodbye => {
                let bound = self.connections.iter_mut().flatten().filter(|connection| connection.bound.is_some());
                bound.for_each(|connection| self.desk.say_goodbye(connection));
                done()
            }
            Request::Pause => {
                self.is_paused = true;
                done()
            }
            Request::Resume => {
                self.is_paused = false;
                done()
            }
            Request::RefuseBinds(refuse) => {
                self.desk.is_refusing_binds = refuse;
                done()
            }
            Request::Reset => {
                self.desk.reset(self.settings.watch);
                self.pace = Pace::default();
                self.closed_binds.clear();
                done()
            }
        }
    }

    fn bind_stats(&self, connection: &Connection, open: bool) -> Option<BindStats> {
        let account = self.desk.accounts.get(connection.bound?.account as usize)?;
        connection.stats(&account.system_id, open)
    }

    /// The report; with `expect` also how many of the serials below it never came.
    pub(super) fn stats(&self, expect: Option<u64>) -> Stats {
        let tally = &self.desk.tally;
        let open = || self.connections.iter().flatten();
        let mut connections = self.desk.connections.clone();
        connections.open = open().count() as u64;
        let mut stats = Stats {
            submits: self.desk.submits.clone(),
            receipts: self.desk.receipts.clone(),
            pace: pace_stats(&self.pace),
            connections,
            binds: self.closed_binds.clone(),
            ..Stats::default()
        };
        stats.messages.distinct = tally.distinct();
        stats.messages.repeats = tally.repeats();
        stats.messages.unmarked = tally.unmarked();
        stats.messages.overtaken = tally.overtaken();
        stats.messages.missing = expect.map(|upto| tally.missing(upto));
        stats.messages.age_us = Quantiles::read(|quantile| tally.age_us(quantile));
        (stats.messages.watched, stats.messages.watched_age_us) = tally.watched();
        stats.binds.extend(open().filter_map(|connection| self.bind_stats(connection, true)));
        stats
    }
}

fn pace_stats(pace: &Pace) -> PaceStats {
    let span_s = pace.span_s();
    PaceStats {
        parts: pace.parts(),
        span_s,
        mean_per_s: if span_s > 0.0 { pace.parts() as f64 / span_s } else { 0.0 },
        worst_second_seen: pace.worst_seen(),
        worst_second_proven: pace.worst_proven(),
        jitter_us: Quantiles::read(|quantile| pace.jitter_us(quantile)),
        per_second: pace.per_second().iter().take(3_600).copied().collect(),
    }
}

/// The behaviour with the given settings changed.
fn overlay(behaviour: &Behaviour, change: serde_json::Value) -> Result<Behaviour, String> {
    let mut whole = serde_json::to_value(behaviour).map_err(|error| error.to_string())?;
    match (whole.as_object_mut(), change) {
        (Some(whole), serde_json::Value::Object(change)) => whole.extend(change),
        (Some(_) | None, _) => return Err("an object of settings is needed".to_owned()),
    }
    serde_json::from_value(whole).map_err(|error| error.to_string())
}
