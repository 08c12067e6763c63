//! Attacks by clients that send requests and do not read the answer: not at all, or a hundred bytes a second.

use std::sync::OnceLock;
use std::time::Duration;

use super::attack::{Attack, Ending, Front, Tally};
use super::bodies::{self, Request};
use super::stage::KEY_B;
use super::wire::{Look, Wire, head};

/// Last number of the source address (127.0.0.…) of these attackers.
const ADDRESS: u8 = 8;
/// The kernel raises it to the least that it supports.
const RECEIVE_LEN: usize = 2_048;
const CROWD: usize = 10;
const HOLD_TIME: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a slow reader takes in one tick.
const SLOW_LEN: usize = 10;
/// Requests sent one after the other on one connection.
const PIPELINED: usize = 2_000;

/// All attacks of this file.
pub(super) fn attacks() -> Vec<Attack> {
    let amplified = [OnceLock::new(), OnceLock::new()];
    let [never, slowly] = amplified;
    vec![
        Attack {
            name: "large refusals, never read",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(move |front, tally| {
                let request: &Request = never.get_or_init(bodies::amplified);
                hold(front, tally, 0, &[&request.head(KEY_B), request.body()]);
            }),
        },
        Attack {
            name: "large refusals, read at 100 bytes a second",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(move |front, tally| {
                let request: &Request = slowly.get_or_init(bodies::amplified);
                hold(front, tally, SLOW_LEN, &[&request.head(KEY_B), request.body()]);
            }),
        },
        Attack {
            name: "the list of messages in doubt, read at 100 bytes a second",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(|front, tally| {
                let request = head("GET /v1/in-doubt?limit=1000", Some(super::stage::KEY_B_ADMIN), "", None);
                hold(front, tally, SLOW_LEN, &[&request]);
            }),
        },
        Attack {
            name: "pipelined requests, answers never read, no key",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(|front, tally| {
                let question = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PIPELINED);
                hold(front, tally, 0, &[&question]);
            }),
        },
    ]
}

/// Keeps a few connections for a while that send this request and read `bytes` bytes of the answer per tick.
fn hold(front: &Front, tally: &Tally, bytes: usize, request: &[&[u8]]) {
    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        match Wire::open_narrow(front, ADDRESS, RECEIVE_LEN) {
            Ok(mut wire) => {
                // That a request is not read because its answers are not is part of the attack.
                let _ = request.iter().try_for_each(|part| wire.send(front, part, PATIENCE / CROWD as u32));
                wire.do_not_wait();
                crowd.push(wire);
            }
            Err(ending) => tally.note(ending),
        }
    }
    let until = front.elapsed() + HOLD_TIME;
    let mut room = vec![0; bytes];
    while !front.is_over() && front.elapsed() < until && !crowd.is_empty() {
        front.wait(TICK);
        if bytes > 0 {
            crowd.retain_mut(|wire| match wire.read_into(&mut room) {
                Look::Open | Look::Read(_) => true,
                Look::Ended(ending) => {
                    tally.note(ending);
                    false
                }
            });
        }
    }
    crowd.iter().for_each(|wire| tally.note(wire.ending(Ending::Held)));
}
