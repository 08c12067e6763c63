//! A minimal SMPP client: blocking, PDUs as bytes. Independent of the simulator's reader and of Stentor's codec.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
pub(crate) const DELIVER_SM: u32 = 5;

/// One PDU as received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pdu {
    pub command: u32,
    pub status: u32,
    pub sequence: u32,
    pub body: Vec<u8>,
}

/// A client over anything that reads and writes.
pub(crate) struct Client<S = TcpStream> {
    pub stream: S,
}

impl Client {
    /// Connects without binding.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        Self { stream }
    }

    /// Connects and binds; the bind must succeed.
    pub(crate) fn bind(address: SocketAddr, command: u32) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.try_bind(command, "test", "secret"), 0);
        client
    }
}

impl<S: Read + Write> Client<S> {
    /// Binds; gives the status of the answer.
    pub(crate) fn try_bind(&mut self, command: u32, system_id: &str, password: &str) -> u32 {
        let body = format!("{system_id}\0{password}\0\0\x34\0\0\0");
        self.send(&pdu(command, 1, body.as_bytes()));
        let answer = self.receive().expect("an answer to the bind");
        assert_eq!(answer.command, command | 0x8000_0000);
        answer.status
    }

    /// Writes bytes unchanged.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    /// The next PDU; `None` when the peer closed.
    pub(crate) fn receive(&mut self) -> Option<Pdu> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).ok()?;
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let mut body = vec![0; word(0) as usize - 16];
        self.stream.read_exact(&mut body).ok()?;
        Some(Pdu { command: word(4), status: word(8), sequence: word(12), body })
    }

    /// Receives `count` PDUs and acknowledges every `deliver_sm` among them.
    pub(crate) fn receive_and_acknowledge(&mut self, count: usize) -> Vec<Pdu> {
        let mut received = Vec::new();
        let mut acknowledgements = Vec::new();
        while received.len() < count {
            let one = self.receive().expect("another PDU");
            if one.command == DELIVER_SM {
                acknowledgements.extend(pdu(0x8000_0005, one.sequence, b"\0"));
            }
            received.push(one);
        }
        self.send(&acknowledgements);
        received
    }
}

/// A PDU with status 0.
pub(crate) fn pdu(command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [body.len() as u32 + 16, command, 0, sequence] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A `submit_sm` that asks for a receipt; its text begins with the mark of `serial`.
pub(crate) fn submit(sequence: u32, serial: u64, recipient: u64) -> Vec<u8> {
    let text = format!("#{serial:010} {:016} {}", 1_795_000_000_000_000_u64, "x".repeat(130));
    let mut body = format!("\0\x05\0TEST\0\x01\x01{recipient}\0").into_bytes();
    body.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, text.len() as u8]);
    body.extend_from_slice(text.as_bytes());
    pdu(4, sequence, &body)
}
