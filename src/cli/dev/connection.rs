//! One connection to the simulated carrier: a blocking socket, a session, and the answers that are not due yet.
//!
//! Knows bytes and when to wake; the [`Exchange`] decides the answers. Lives on a thread of its own, which
//! ends with the connection; what could not be delivered goes back to the exchange.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::exchange::{Delivery, DueResponse, Exchange, Said};
use stentor_core::model::Mono;
use stentor_core::sim::carrier::ReceiptBody;
use stentor_core::sim::server::{After, Desk, serve};
use stentor_smpp::decode::DecodeError;
use stentor_smpp::pdu::{Bind, BindMode, QuerySmResp, ShortMessage};
use stentor_smpp::session::{Options, Session};
use stentor_smpp::status::CommandStatus;

/// Longest sleep in ms, because other connections or the page may cause deliveries.
const LOOK_MS: u64 = 50;
/// Deliveries without a response at once.
const WINDOW: u32 = 100;
/// Time limit of a write, for a peer that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the connection until it ends.
pub(super) fn run(stream: TcpStream, exchange: &Exchange) {
    let options = Options { window: WINDOW, ..Options::default() };
    let session = Session::server(&options, exchange.now().mono.0);
    let mut connection = Connection {
        stream,
        exchange,
        session,
        answers: BTreeMap::new(),
        entered: 0,
        told: BTreeMap::new(),
        body: ReceiptBody::default(),
    };
    if let Err(error) = connection.run() {
        tracing::debug!(%error, "a connection to the simulated carrier broke");
        connection.session.handle_connection_lost();
        connection.handle_input(&[]);
    }
    for delivery in std::mem::take(&mut connection.told).into_values() {
        exchange.hand_back(delivery);
    }
}

struct Connection<'x> {
    stream: TcpStream,
    exchange: &'x Exchange,
    session: Session<u64>,
    /// Answers by the time at which they are due.
    answers: BTreeMap<(Mono, u64), Due>,
    entered: u64,
    /// Deliveries without a response yet, by the session's token.
    told: BTreeMap<u64, Delivery>,
    body: ReceiptBody,
}

enum Due {
    Resp { sequence: u32, status: CommandStatus, id: Vec<u8> },
    HangUp,
}

impl Connection<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let next_delivery = self.deliver();
            self.give_answers();
            self.flush()?;
            if self.session.is_closed() {
                return Ok(());
            }
            self.stream.set_read_timeout(Some(self.sleep(next_delivery)))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.handle_input(buffer.get(..read).unwrap_or_default()),
                Err(error) if is_timeout(&error) => {
                    self.session.handle_timeout(self.exchange.now().mono.0);
                    self.handle_input(&[]);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Time until something is due; never zero, which the socket refuses as a time limit.
    fn sleep(&self, next_delivery: Option<Mono>) -> Duration {
        let now = self.exchange.now().mono;
        let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.session.poll_timeout().map(Mono);
        let next = [answer, timeout, next_delivery].into_iter().flatten().min();
        let until = next.map_or(u64::MAX, |next| next.since(now));
        Duration::from_nanos(until.clamp(100_000, LOOK_MS * 1_000_000))
    }

    fn handle_input(&mut self, input: &[u8]) {
        let Self { exchange, session, answers, entered, told, .. } = self;
        let mut behind = Behind { exchange, answers, entered, told };
        if let Some(reason) = serve(session, input, exchange.now().mono.0, &mut behind) {
            tracing::debug!(%reason, "session ended");
        }
    }

    fn give_answers(&mut self) {
        let now = self.exchange.now().mono;
        while let Some(first) = self.answers.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Due::Resp { sequence, status, id } => {
                    // A session that has ended meanwhile needs no answer.
                    let _ = self.session.answer_submit(sequence, status, &id);
                }
                Due::HangUp => self.session.close(),
            }
        }
    }

    /// Sends what is due; returns when the next delivery is due, if this connection can send it.
    fn deliver(&mut self) -> Option<Mono> {
        let can_deliver = self.session.bound().is_some_and(BindMode::can_deliver);
        while can_deliver && self.session.window_free() > 0 {
            let delivery = match self.exchange.poll_delivery() {
                Ok(delivery) => delivery,
                Err(next) => return next,
            };
            self.exchange.write_body(&delivery, &mut self.body);
            self.entered += 1;
            let now = self.exchange.now().mono.0;
            match self.session.deliver(self.entered, &delivery.message(&self.body), now) {
                Ok(_) => drop(self.told.insert(self.entered, delivery)),
                Err(error) => {
                    tracing::debug!(%error, "a receipt or a text could not be delivered");
                    self.exchange.hand_back(delivery);
                    break;
                }
            }
        }
        None
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        // Closing reports everything that was open; the remaining events are only the end.
        self.handle_input(&[]);
        if self.session.poll_transmit(&mut bytes) {
            self.stream.write_all(&bytes)?;
            self.session.handle_written(bytes.len());
        }
        Ok(())
    }
}

/// What a connection needs to decide: all but the socket and the session.
struct Behind<'a> {
    exchange: &'a Exchange,
    answers: &'a mut BTreeMap<(Mono, u64), Due>,
    entered: &'a mut u64,
    told: &'a mut BTreeMap<u64, Delivery>,
}

impl Desk for Behind<'_> {
    const SYSTEM_ID: &'static [u8] = b"stentor-dev";

    fn bind(&mut self, bind: &Bind<'_>) -> CommandStatus {
        tracing::debug!(system_id = %String::from_utf8_lossy(bind.system_id), "bind");
        CommandStatus::ROK
    }

    fn submit(&mut self, sequence: u32, message: &ShortMessage<'_>) -> After {
        let DueResponse { at, said } = self.exchange.handle_submit(message);
        let due = match said {
            Said::Resp(status, id) => Due::Resp { sequence, status, id },
            Said::Nothing => return After::Stay,
            Said::HangUp => Due::HangUp,
        };
        *self.entered += 1;
        self.answers.insert((at, *self.entered), due);
        After::Stay
    }

    fn query(&mut self, _: &[u8], _: &[u8], answer: &mut dyn FnMut(CommandStatus, &QuerySmResp<'_>)) {
        answer(CommandStatus::RQUERYFAIL, &QuerySmResp::default());
    }

    fn delivered(&mut self, token: u64, status: CommandStatus) {
        match self.told.remove(&token) {
            Some(delivery) if status.is_ok() => self.exchange.handle_told(&delivery),
            Some(delivery) => self.exchange.hand_back(delivery),
            None => {}
        }
    }

    fn undelivered(&mut self, token: u64) {
        self.told.remove(&token).into_iter().for_each(|delivery| self.exchange.hand_back(delivery));
    }

    fn malformed(&mut self, error: &DecodeError) {
        tracing::debug!(%error, "malformed PDU");
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
