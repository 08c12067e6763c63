//! The simulator's second port: a few HTTP calls by which a test or a person queries and changes it while it runs.
//! Parses requests on its own thread and passes each as a command to the event loop; does not know what they do.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use mio::Waker;
use tiny_http::{Header, Response, Server};

/// What follows in a larger request body is not read.
const BODY_LEN_MAX: u64 = 64 * 1024;

/// A call to the simulator.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Request {
    /// `GET /stats?expect=N`
    Stats { expect: Option<u64> },
    /// `GET /missing?upto=N&limit=N`: serials that never came.
    Missing { upto: u64, limit: usize },
    /// `GET /repeated?limit=N`: serials that came more than once.
    Repeated { limit: usize },
    /// `GET /arrivals?from=N`: when each part arrived, from that number on.
    Arrivals { from: usize },
    /// `GET /behaviour`
    Behaviour,
    /// `POST /behaviour`: the given settings change, the others stay.
    ChangeBehaviour(serde_json::Value),
    /// `POST /disconnect`: every connection is closed at once.
    Disconnect,
    /// `POST /goodbye`: every client is sent `unbind`, and its requests are answered until it has unbound.
    Goodbye,
    /// `POST /pause`: connections stay open, nothing is read or written.
    Pause,
    /// `POST /resume`
    Resume,
    /// `POST /refuse-binds`, `POST /accept-binds`
    RefuseBinds(bool),
    /// `POST /reset`: counts and pending receipts are emptied.
    Reset,
}

/// A request with the channel for its answer: a JSON value, or what is wrong with the request.
#[derive(Debug)]
pub(super) struct Command {
    pub request: Request,
    pub answer: Sender<Result<serde_json::Value, String>>,
}

/// Serves the port on threads of its own until the process ends; commands come out of the returned receiver, each
/// announced through the waker.
///
/// # Errors
/// The listener cannot be served.
pub(super) fn serve(listener: TcpListener, waker: Arc<Waker>) -> Result<Receiver<Command>, String> {
    let (commands, incoming) = channel();
    let server = Server::from_listener(listener, None).map_err(|error| error.to_string())?;
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let (commands, waker) = (commands.clone(), Arc::clone(&waker));
            thread::spawn(move || {
                // A caller that disconnects early needs no handling.
                let _ = answer_one(request, &commands, &waker);
            });
        }
    });
    Ok(incoming)
}

fn answer_one(mut asked: tiny_http::Request, commands: &Sender<Command>, waker: &Waker) -> std::io::Result<()> {
    let mut body = Vec::new();
    asked.as_reader().take(BODY_LEN_MAX).read_to_end(&mut body)?;
    let (status, value) = match parse(asked.method().as_str(), asked.url(), &body) {
        Ok(request) => {
            let (answer, answered) = channel();
            let sent = commands.send(Command { request, answer }).is_ok();
            waker.wake()?;
            match answered.recv_timeout(Duration::from_secs(30)) {
                Ok(Ok(value)) => (200, value),
                Ok(Err(error)) => (422, serde_json::json!({ "error": error })),
                Err(_) if sent => (503, serde_json::json!({ "error": "no answer" })),
                Err(_) => (503, serde_json::json!({ "error": "stopping" })),
            }
        }
        Err(error) => (404, serde_json::json!({ "error": error })),
    };
    let mut response = Response::from_string(format!("{value}\n")).with_status_code(status);
    if let Ok(json) = Header::from_bytes("Content-Type", "application/json") {
        response.add_header(json);
    }
    asked.respond(response)
}

fn parse(method: &str, target: &str, body: &[u8]) -> Result<Request, String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameter = |name: &str| -> Option<u64> {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
    };
    let limit = parameter("limit").unwrap_or(100) as usize;
    match (method, path) {
        ("GET", "/stats") => Ok(Request::Stats { expect: parameter("expect") }),
        ("GET", "/missing") => Ok(Request::Missing { upto: parameter("upto").ok_or("upto is needed")?, limit }),
        ("GET", "/repeated") => Ok(Request::Repeated { limit }),
        ("GET", "/arrivals") => Ok(Request::Arrivals { from: parameter("from").unwrap_or(0) as usize }),
        ("GET", "/behaviour") => Ok(Request::Behaviour),
        ("POST", "/behaviour") => {
            serde_json::from_slice(body).map(Request::ChangeBehaviour).map_err(|error| error.to_string())
        }
        ("POST", "/disconnect") => Ok(Request::Disconnect),
        ("POST", "/goodbye") => Ok(Request::Goodbye),
        ("POST", "/pause") => Ok(Request::Pause),
        ("POST", "/resume") => Ok(Request::Resume),
        ("POST", "/refuse-binds") => Ok(Request::RefuseBinds(true)),
        ("POST", "/accept-binds") => Ok(Request::RefuseBinds(false)),
        ("POST", "/reset") => Ok(Request::Reset),
        _ => Err(format!("no such call: {method} {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart() {
        assert_eq!(parse("GET", "/stats", b""), Ok(Request::Stats { expect: None }));
        assert_eq!(parse("GET", "/arrivals?from=9", b""), Ok(Request::Arrivals { from: 9 }));
        assert_eq!(parse("GET", "/stats?expect=7", b""), Ok(Request::Stats { expect: Some(7) }));
        assert_eq!(parse("GET", "/missing?upto=9&limit=2", b""), Ok(Request::Missing { upto: 9, limit: 2 }));
        assert_eq!(
            parse("POST", "/behaviour", br#"{"rate_max":5}"#),
            Ok(Request::ChangeBehaviour(serde_json::json!({ "rate_max": 5 })))
        );
        for (method, target, body) in
            [("GET", "/", ""), ("GET", "/missing", ""), ("GET", "/pause", ""), ("POST", "/behaviour", "{")]
        {
            assert!(parse(method, target, body.as_bytes()).is_err(), "{method} {target}");
        }
    }
}
