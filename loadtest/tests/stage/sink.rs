//! An HTTP server that accepts batches and answers by a script: the generator is tested against it before, and beside,
//! the real daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the sink does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// 202 with a summary that accepts every line.
    Accept,
    /// 503 with a problem document.
    Refuse,
    /// Close the connection without an answer, after reading everything.
    HangUp,
    /// 202 with a summary that refuses the first line permanently.
    RefuseFirst,
}

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub key: Option<String>,
    pub body: Vec<u8>,
}

/// A running sink.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Sink {
    /// Starts one; `act` chooses by the number of the request, from 0.
    pub(crate) fn start(act: fn(usize) -> Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let sink = Self { address: listener.local_addr().expect("address"), received: Arc::default() };
        let received = Arc::clone(&sink.received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&received);
                thread::spawn(move || serve(stream, &received, act));
            }
        });
        sink
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("lock").clone()
    }
}

fn serve(stream: TcpStream, all: &Mutex<Vec<Received>>, act: fn(usize) -> Act) {
    let mut writer = stream.try_clone().expect("clone");
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let lines = request.body.iter().filter(|byte| **byte == b'\n').count();
        let number = {
            let mut all = all.lock().expect("lock");
            all.push(request);
            all.len() - 1
        };
        let (status, body) = match act(number) {
            Act::Accept => {
                ("202 Accepted", format!(r#"{{"accepted":{lines},"duplicates":0,"rejected":0,"errors":[]}}"#))
            }
            Act::Refuse => ("503 Service Unavailable", r#"{"code":"queue_full","retryable":true}"#.to_owned()),
            Act::HangUp => return,
            Act::RefuseFirst => {
                let errors = r#"[{"index":0,"code":"invalid_recipient","retryable":false}]"#;
                ("202 Accepted", format!(r#"{{"accepted":{},"rejected":1,"errors":{errors}}}"#, lines - 1))
            }
        };
        write!(writer, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("write");
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some(("Idempotency-Key", value)) => key = Some(value.to_owned()),
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) | None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { key, body })
}
