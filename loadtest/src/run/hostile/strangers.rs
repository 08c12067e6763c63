//! Attacks by clients without a key: connections that say nothing, drip, lie, or never end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attack::{Attack, Ending, Front, Tally};
use super::stage::{CONNECTIONS_MAX, KEY_B};
use super::wire::{Look, Wire, head};

/// Source addresses (last number of 127.0.0.…) of these attackers, several so that no single one has all connections.
const ADDRESSES: [u8; 4] = [2, 3, 4, 5];
const ADDRESS: u8 = 6;
/// More connections than the daemon accepts.
const CROWD: usize = CONNECTIONS_MAX + 200;
const CROWD_TIME: Duration = Duration::from_secs(20);
const CROWD_TICK: Duration = Duration::from_millis(200);
/// Connections opened per tick.
const CROWD_STEP: usize = 200;
/// Descriptors that this process needs for everything else.
const FDS_KEPT: usize = 800;
/// Connections of each kind that drip at the same time.
const DRIPS: usize = 8;
/// Longer than the daemon's watchdog waits.
const FLOOD_TIME: Duration = Duration::from_secs(8);
const ZEROS: &[u8] = &[b'0'; 1 << 20];

/// Beginnings of requests, and what follows a byte or a line at a time, for ever.
const DRIPPED: [(&str, &str); 9] = [
    ("GET /livez HTTP/1.1\r\nX: ", "a"),
    ("\r\n", "\r\n"),
    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", " "),
    ("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", " "),
    (
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n",
        " ",
    ),
    (
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
        " ",
    ),
    ("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
    ("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", "a"),
    ("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
];

/// Beginnings that are never continued, or are not HTTP.
const FRAGMENTS: [&[u8]; 8] = [
    b"GET / HT",
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\xff\xfe\x00\x01\x02\x03\x80\x81",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// All attacks of this file; `fds` is how many descriptors this process may have.
pub(super) fn attacks(fds: usize) -> Vec<Attack> {
    let crowd = CROWD.min(fds.saturating_sub(FDS_KEPT));
    let fragments = AtomicU64::new(0);
    vec![
        Attack {
            name: "silent connections",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(move |front, tally| hold_crowd(front, tally, crowd, |_| ("", ""))),
        },
        Attack {
            name: "heads and bodies that drip",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(|front, tally| {
                hold_crowd(front, tally, DRIPS * DRIPPED.len(), |index| DRIPPED[index % DRIPPED.len()]);
            }),
        },
        Attack {
            name: "fragments, garbage, TLS, half-closed",
            hands: 1,
            pause: Duration::from_millis(20),
            round: Box::new(move |front, tally| {
                tally.note(send_fragment(front, fragments.fetch_add(1, Ordering::Relaxed)));
            }),
        },
        Attack {
            name: "endless zeros in a chunk size, no key",
            hands: 1,
            pause: Duration::from_secs(1),
            round: Box::new(|front, tally| tally.note(send_zeros(front, tally, None))),
        },
        Attack {
            name: "endless zeros in a chunk size",
            hands: 2,
            pause: Duration::from_secs(1),
            round: Box::new(|front, tally| tally.note(send_zeros(front, tally, Some(KEY_B)))),
        },
    ]
}

/// Keeps `size` connections open for a while, each of them dripping; those that the daemon closes are opened again.
fn hold_crowd(front: &Front, tally: &Tally, size: usize, member: impl Fn(usize) -> (&'static str, &'static str)) {
    let mut crowd: Vec<(Wire, &str)> = Vec::with_capacity(size);
    let (mut opened, until) = (0, front.elapsed() + CROWD_TIME);
    while !front.is_over() && front.elapsed() < until {
        for _ in 0..size.saturating_sub(crowd.len()).min(CROWD_STEP) {
            let (first, drip) = member(opened);
            match Wire::open(front, ADDRESSES[opened % ADDRESSES.len()]) {
                Ok(mut wire) => {
                    wire.do_not_wait();
                    wire.try_send(first.as_bytes());
                    crowd.push((wire, drip));
                    opened += 1;
                }
                Err(ending) => {
                    tally.note(ending);
                    break;
                }
            }
        }
        crowd.retain_mut(|(wire, drip)| {
            wire.try_send(drip.as_bytes());
            match wire.look() {
                Look::Open | Look::Read(_) => true,
                Look::Ended(ending) => {
                    tally.note(ending);
                    false
                }
            }
        });
        front.wait(CROWD_TICK);
    }
    crowd.iter().for_each(|(wire, _)| tally.note(wire.ending(Ending::Held)));
}

fn send_fragment(front: &Front, number: u64) -> Ending {
    let mut wire = match Wire::open(front, ADDRESS) {
        Ok(wire) => wire,
        Err(ending) => return ending,
    };
    let patience = Duration::from_millis(100);
    let fragment = FRAGMENTS[number as usize % FRAGMENTS.len()];
    if let Err(ending) = wire.send(front, fragment, patience) {
        return ending;
    }
    // In turn: half-closed, reset, closed, waited for.
    match number / FRAGMENTS.len() as u64 % 4 {
        0 => {
            wire.finish_sending();
            wire.read_to_end(front, patience)
        }
        1 => {
            wire.reset();
            Ending::Held
        }
        2 => Ending::Held,
        _ => wire.read_to_end(front, patience),
    }
}

fn send_zeros(front: &Front, tally: &Tally, key: Option<&str>) -> Ending {
    let mut wire = match Wire::open(front, ADDRESS) {
        Ok(wire) => wire,
        Err(ending) => return ending,
    };
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let (head, until) = (head("POST /v1/messages", key, headers, None), front.elapsed() + FLOOD_TIME);
    let mut sent = wire.send(front, &head, FLOOD_TIME);
    while sent.is_ok() && front.elapsed() < until {
        sent = wire.send(front, ZEROS, FLOOD_TIME);
        tally.count(u64::from(sent.is_ok()));
    }
    wire.read_to_end(front, Duration::from_millis(500))
}
