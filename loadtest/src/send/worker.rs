//! One connection of the generator: takes batches from the schedule, waits until each is due, sends it and, if
//! configured, retries it until it is answered. A repeated batch has the same bytes and the same `Idempotency-Key`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::answer::{self, Verdicts};
use super::batch::Renderer;
use super::report::Books;
use super::schedule::{Due, Schedule};
use crate::http::{Connection, Failure};

/// The pause after a failed connection or a refusal without `Retry-After`; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The settings and state that all workers share.
#[derive(Debug)]
pub(super) struct Errand {
    pub address: SocketAddr,
    /// Request line and the headers that never change, each line with its line end.
    pub head: String,
    /// API keys, which requests take in turn; empty: no authentication.
    pub bearers: Vec<String>,
    /// Separates the idempotency keys of this run from those of other runs; `None`: send no keys.
    pub key_prefix: Option<String>,
    /// How long a batch is retried; `None`: not at all.
    pub patience: Option<Duration>,
    pub timeout: Duration,
    pub schedule: Schedule,
    /// Messages acknowledged so far, for the progress bar.
    pub acknowledged: AtomicU64,
}

/// A worker and its connection.
#[derive(Debug)]
pub(super) struct Worker {
    errand: Arc<Errand>,
    renderer: Renderer,
    connection: Option<Connection>,
    has_connected: bool,
    books: Books,
}

impl Worker {
    /// A worker that has not connected yet.
    pub(super) fn new(errand: Arc<Errand>, renderer: Renderer) -> Self {
        Self { errand, renderer, connection: None, has_connected: false, books: Books::new() }
    }

    /// Works until the schedule has nothing left; gives its counts, and when it ended.
    pub(super) fn run(mut self, number: u64) -> (Books, Instant) {
        let mut had = 0;
        while let Some(due) = self.errand.schedule.next(number, had) {
            had += 1;
            self.send(&due);
        }
        (self.books, Instant::now())
    }

    fn send(&mut self, due: &Due) {
        if let Some(at) = due.at {
            thread::sleep(at.saturating_duration_since(Instant::now()));
        }
        let begun = Instant::now();
        let due_at = due.at.unwrap_or(begun);
        let lateness = begun.saturating_duration_since(due_at);
        self.books.record_lateness(lateness.as_micros() as u64);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let offered_us = wall.saturating_sub(lateness).as_micros() as u64;
        let body_len = self.renderer.render(due.serials.clone(), offered_us).len();
        let mut head = self.errand.head.clone();
        if !self.errand.bearers.is_empty() {
            let bearer = &self.errand.bearers[due.batch as usize % self.errand.bearers.len()];
            head.push_str(&format!("Authorization: Bearer {bearer}\r\n"));
        }
        if let Some(prefix) = &self.errand.key_prefix {
            head.push_str(&format!("Idempotency-Key: {prefix}-{}\r\n", due.batch));
        }
        head.push_str(&format!("Content-Length: {body_len}\r\n\r\n"));
        let lines = due.serials.end - due.serials.start;
        let verdicts = self.try_until_answered(head.as_bytes(), lines);
        self.errand.acknowledged.fetch_add(verdicts.accepted + verdicts.duplicates, Ordering::Relaxed);
        let latency_us = due_at.elapsed().as_micros() as u64;
        self.books.record_second(self.errand.schedule.elapsed().as_secs(), verdicts.accepted + verdicts.duplicates);
        self.books.record_batch(&due.serials, body_len, latency_us, &verdicts);
    }

    fn try_until_answered(&mut self, head: &[u8], lines: u64) -> Verdicts {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let (verdicts, retry_after_s) = self.try_once(head, lines);
            let is_patient = self.errand.patience.is_some_and(|patience| begun.elapsed() < patience);
            if !verdicts.is_retryable() || !is_patient || self.errand.schedule.is_stopped() {
                return verdicts;
            }
            self.books.record_retry();
            thread::sleep(retry_after_s.map_or(pause, Duration::from_secs));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn try_once(&mut self, head: &[u8], lines: u64) -> (Verdicts, Option<u64>) {
        let connection = self.connection.take().filter(|connection| !connection.is_spent());
        let connection = connection.map_or_else(|| self.connect(), Ok);
        let exchanged = connection.and_then(|mut connection| {
            let response = connection.exchange(head, self.renderer.body())?;
            let answer = (answer::read(&response, lines), response.retry_after_s);
            Ok((connection, answer))
        });
        match exchanged {
            Ok((connection, (verdicts, retry_after_s))) => {
                self.connection = Some(connection);
                if retry_after_s.is_none() {
                    let for_now = verdicts.refused.iter().filter(|refused| refused.is_retryable);
                    self.books.record_untold(for_now.map(|refused| refused.lines).sum());
                }
                (verdicts, retry_after_s)
            }
            Err(Failure::Connect(error)) => (answer::unconnected(lines, &error), None),
            Err(Failure::Exchange(_)) => (answer::unanswered(lines), None),
        }
    }

    fn connect(&mut self) -> Result<Connection, Failure> {
        if self.has_connected {
            self.books.record_reconnect();
        }
        let connection = Connection::connect(self.errand.address, self.errand.timeout)?;
        self.has_connected = true;
        Ok(connection)
    }
}
