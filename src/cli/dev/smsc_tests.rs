//! The simulated carrier over real sockets, called by a small SMPP client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::chaos::Chaos;
use super::super::handset::Text;
use super::*;
use crate::host::clock::Clock;
use stentor_smpp::pdu::{Address, Bind, BindMode, EsmClass, INTERFACE_VERSION_3_4, ShortMessage, npi, ton};
use stentor_smpp::session::{Event, Options, Session};
use stentor_smpp::status::CommandStatus;

/// Far more than any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A small SMPP client that records what happens in words.
struct Client {
    stream: TcpStream,
    session: Session<u32>,
    clock: Clock,
    seen: Vec<String>,
}

impl Client {
    fn bind(address: SocketAddr, mode: BindMode) -> Self {
        let clock = Clock::start();
        let bind = Bind {
            system_id: b"stentor",
            password: b"sandbox",
            interface_version: INTERFACE_VERSION_3_4,
            ..Bind::default()
        };
        let session = Session::client(&Options::default(), mode, &bind, clock.mono().0).expect("bind request");
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
        let mut client = Self { stream, session, clock, seen: Vec::new() };
        client.until("bound");
        client
    }

    fn submit(&mut self, token: u32, recipient: &str, part: Option<(u8, u8)>, text: &[u8]) {
        let header = part.map_or(Vec::new(), |(total, number)| vec![5, 0, 3, 77, total, number]);
        let user_data = [&header, text].concat();
        let message = ShortMessage {
            source: Address { ton: ton::ALPHANUMERIC, npi: npi::UNKNOWN, digits: b"ACME" },
            destination: Address { ton: ton::INTERNATIONAL, npi: npi::E164, digits: recipient.as_bytes() },
            esm_class: if part.is_some() { EsmClass::UDHI } else { EsmClass::DEFAULT },
            registered_delivery: 1,
            short_message: &user_data,
            ..ShortMessage::default()
        };
        self.session.submit(token, &message, self.clock.mono().0).expect("submitted");
    }

    /// Exchanges PDUs until `count` entries begin with `word`.
    fn until_seen(&mut self, word: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.iter().filter(|seen| seen.starts_with(word)).count() < count {
            assert!(Instant::now() < deadline, "no {count} × {word}: {:?}", self.seen);
            let mut bytes = Vec::new();
            if self.session.poll_transmit(&mut bytes) {
                self.stream.write_all(&bytes).expect("written");
                self.session.handle_written(bytes.len());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.lost(),
                Ok(read) => self.take(&buffer[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => self.lost(),
            }
        }
    }

    fn until(&mut self, word: &str) {
        self.until_seen(word, 1);
    }

    fn lost(&mut self) {
        self.session.handle_connection_lost();
        self.take(&[]);
    }

    fn take(&mut self, mut input: &[u8]) {
        let now = self.clock.mono().0;
        while let Some(event) = self.session.poll_event(&mut input, now) {
            let mut delivered = None;
            if let Event::Bound { .. } = event {
                self.seen.push("bound".to_owned());
            } else if let Event::SubmitResp(answer) = event {
                self.seen.push(format!("answer {} {}", answer.token, answer.status.0));
            } else if let Event::Deliver { sequence, message, .. } = event {
                let text = String::from_utf8_lossy(message.short_message);
                let state = text.split("stat:").nth(1).and_then(|rest| rest.split(' ').next());
                self.seen.push(state.map_or_else(|| format!("text {text}"), |state| format!("receipt {state}")));
                delivered = Some(sequence);
            } else if let Event::Closed { .. } = event {
                self.seen.push("closed".to_owned());
            }
            if let Some(sequence) = delivered {
                self.session.answer_deliver(sequence, CommandStatus::ROK).expect("answered");
            }
        }
    }

    fn words(&mut self) -> Vec<String> {
        let mut words = std::mem::take(&mut self.seen);
        words.sort();
        words
    }
}

fn started() -> (Arc<Exchange>, SocketAddr) {
    let exchange = Arc::new(Exchange::new(Clock::start(), 11, None));
    let address = start(Arc::clone(&exchange)).expect("listening");
    (exchange, address)
}

fn shown(exchange: &Exchange) -> serde_json::Value {
    serde_json::from_slice(&exchange.shown(0, 100)).expect("JSON")
}

#[test]
fn three_parts_arrive_as_one_text_and_three_receipts_come_back() {
    let (exchange, address) = started();
    let mut client = Client::bind(address, BindMode::Transceiver);
    for (number, text) in [(1, b"one "), (2, b"two "), (3, b"thre")] {
        client.submit(u32::from(number), "4915112340000", Some((3, number)), text);
    }
    client.until_seen("receipt", 3);
    let words = client.words();
    let expected =
        ["answer 1 0", "answer 2 0", "answer 3 0", "bound", "receipt DELIVRD", "receipt DELIVRD", "receipt DELIVRD"];
    assert_eq!(words, expected);
    let message = &shown(&exchange)["messages"][0];
    assert_eq!(
        (&message["text"], &message["to"], &message["from"]),
        (&"one two thre".into(), &"+4915112340000".into(), &"ACME".into())
    );
}

#[test]
fn magic_numbers_are_played() {
    let (_, address) = started();
    let mut client = Client::bind(address, BindMode::Transceiver);
    client.submit(1, "4915112340001", None, b"a");
    client.submit(4, "4915112340004", None, b"b");
    client.submit(6, "4915112340006", None, b"c");
    client.until("receipt");
    assert_eq!(client.words(), ["answer 1 0", "answer 4 88", "answer 6 11", "bound", "receipt UNDELIV"]);
    client.submit(13, "4915112340013", None, b"d");
    client.until("closed");
    assert_eq!(client.words(), ["closed"]);
}

/// The transmitter cannot receive it, and the receiver did not submit the message.
#[test]
fn a_receipt_comes_over_whichever_bind_can_receive() {
    let (_, address) = started();
    let mut transmitter = Client::bind(address, BindMode::Transmitter);
    transmitter.submit(1, "4915112340000", None, b"a");
    transmitter.until("answer");
    drop(transmitter);
    let mut receiver = Client::bind(address, BindMode::Receiver);
    receiver.until("receipt");
    assert_eq!(receiver.words(), ["bound", "receipt DELIVRD"]);
}

#[test]
fn a_receipt_whose_bind_was_lost_is_told_again() {
    let (exchange, address) = started();
    let mut first = Client::bind(address, BindMode::Transceiver);
    first.submit(1, "4915112340000", None, b"a");
    first.until("answer");
    drop(first);
    let mut second = Client::bind(address, BindMode::Transceiver);
    second.until("receipt DELIVRD");
    // The response to the receipt has arrived by the time that the next exchange shows it.
    second.submit(2, "4915112345678", None, b"b");
    second.until("answer 2");
    assert_eq!(shown(&exchange)["messages"][0]["parts"][0]["receipt"], "DELIVRD");
}

#[test]
fn what_a_phone_writes_comes_over_a_bind_and_is_noted_when_taken() {
    let (exchange, address) = started();
    exchange.write(&Text { from: "+4915112340000", to: "72345", text: "STOP" }).expect("written");
    let mut client = Client::bind(address, BindMode::Transceiver);
    client.until("text STOP");
    assert_eq!(client.words(), ["bound", "text STOP"]);
    // The response has arrived by the time that the next exchange shows it.
    client.submit(2, "4915112345678", None, b"b");
    client.until("answer 2");
    assert_eq!(shown(&exchange)["messages"][0]["parts"][0]["receipt"], "taken");
}

#[test]
fn a_switch_changes_what_is_answered() {
    let (exchange, address) = started();
    let mut client = Client::bind(address, BindMode::Transceiver);
    exchange.set_chaos(serde_json::from_str::<Chaos>("{\"throttle\":true}").expect("chaos"));
    (1..=5).for_each(|token| client.submit(token, "4915112345678", None, b"x"));
    client.until_seen("answer", 5);
    let throttled = client.words().iter().filter(|word| word.ends_with(" 88")).count();
    assert_eq!(throttled, 3);
}
