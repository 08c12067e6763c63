//! A client that repeats each request with its key until it is answered, also while the daemon is down or starts.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::super::ground::{Ground, key_of};
use crate::http::Connection;
use crate::send::answer::{self, Refused};

/// How long a request is repeated, and how long each answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
const ANSWER: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// The code of a message that is refused because of a limit.
const OVER_LIMIT: &str = "over_limit";

/// One client of one tenant.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    bearer: String,
    /// Begins the keys of its requests; no other client has it.
    name: String,
    connection: Option<Connection>,
    requests: u64,
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The places in the request of the messages that were refused because of a limit.
    pub refused: Vec<u64>,
    pub has_retry_after: bool,
}

impl Client {
    /// Connects with its first request.
    pub(super) fn new(ground: &Ground, tenant: u32, name: &str) -> Self {
        let (bearer, name) = (key_of(tenant), name.to_owned());
        Self { address: ground.http(), bearer, name, connection: None, requests: 0 }
    }

    /// Sends messages, one object of JSON each; gives the answer that says what became of them.
    ///
    /// # Errors
    /// There is no such answer in time, or a message was refused for another reason than a limit.
    pub(super) fn send(&mut self, messages: &[String]) -> Result<Answer, String> {
        self.requests += 1;
        let body = messages.join("\n") + "\n";
        let head = format!(
            "POST /v1/messages?ack=summary HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\n\
             Authorization: Bearer {}\r\nIdempotency-Key: {}-{}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.bearer,
            self.name,
            self.requests,
            body.len()
        );
        let begun = Instant::now();
        loop {
            let why = match self.ask(&head, &body, messages.len() as u64) {
                Ok((refused, has_retry_after)) => match refused.iter().find(|one| one.code != OVER_LIMIT) {
                    None => return Ok(Answer { refused: places(&refused, messages.len()), has_retry_after }),
                    Some(other) if !other.is_retryable => return Err(format!("{}: refused: {other:?}", self.name)),
                    Some(other) => other.code.clone(),
                },
                Err(error) => error,
            };
            if begun.elapsed() > PATIENCE {
                return Err(format!("{}: {why}", self.name));
            }
            thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self, head: &str, body: &str, lines: u64) -> Result<(Vec<Refused>, bool), String> {
        let connection = self.connection.take().filter(|connection| !connection.is_spent());
        let connection = connection.map_or_else(|| Connection::connect(self.address, ANSWER), Ok);
        let mut connection = connection.map_err(|error| error.to_string())?;
        let answer = connection.exchange(head.as_bytes(), body.as_bytes()).map_err(|error| error.to_string())?;
        let read = (answer::read(&answer, lines).refused, answer.retry_after_s.is_some());
        self.connection = Some(connection);
        Ok(read)
    }
}

/// The places in the request of what was refused.
fn places(refused: &[Refused], lines: usize) -> Vec<u64> {
    if refused.iter().any(|one| one.index.is_none()) {
        return (0..lines as u64).collect();
    }
    refused.iter().filter_map(|one| one.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_as_a_whole_is_every_message() {
        let refused = |index| Refused { index, lines: 1, code: OVER_LIMIT.to_owned(), is_retryable: true };
        assert_eq!(places(&[refused(Some(2)), refused(Some(0))], 3), [2, 0]);
        assert_eq!(places(&[refused(None)], 3), [0, 1, 2]);
        assert_eq!(places(&[], 3), [0_u64; 0]);
    }
}
