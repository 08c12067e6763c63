//! Messages that count on no limit: one after the other at a steady pace, while others wait. They must not notice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::judge;
use crate::smsc::arrivals::Arrived;
use crate::smsc::stats::Quantiles;

/// The first recipient of such a message; no other message has it or a higher one.
pub(super) const FIRST: u64 = 4_917_010_000_000;
const TICK: Duration = Duration::from_millis(50);

/// When each message was offered, in microseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    first: u64,
    offered_us: Vec<u64>,
}

/// Sends until `is_over`; the recipients begin at `first`.
pub(super) fn send(client: &mut Client, first: u64, is_over: &AtomicBool) -> Result<Sent, String> {
    let mut sent = Sent { first, offered_us: Vec::new() };
    while !is_over.load(Ordering::Relaxed) {
        let to = first + sent.offered_us.len() as u64;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        sent.offered_us.push(wall.as_micros() as u64);
        let answer = client.send(&[format!("{{\"to\":\"+{to}\",\"body\":\"one of few\"}}")])?;
        if !answer.refused.is_empty() {
            return Err(format!("a message without a limit was refused: {answer:?}"));
        }
        thread::sleep(TICK.saturating_sub(wall_since(wall)));
    }
    Ok(sent)
}

/// Sends for so long, and nothing else meanwhile.
pub(super) fn send_for(client: &mut Client, first: u64, time: Duration) -> Result<Sent, String> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(client, first, &is_over));
        thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| "the steady sender panicked".to_owned())?
    })
}

fn wall_since(then: Duration) -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(then)
}

impl Sent {
    /// Number of messages.
    pub(super) fn count(&self) -> usize {
        self.offered_us.len()
    }

    /// How many of them have arrived, and how long that took from the offer of each.
    pub(super) fn arrived(&self, arrived: &[Arrived]) -> (usize, Quantiles) {
        let mut firsts: HashMap<u64, u64> = HashMap::new();
        for Arrived { to, until_us, .. } in arrived.iter().filter(|one| one.to >= self.first) {
            firsts.entry(*to).or_insert(*until_us);
        }
        let age = |(to, offered_us): (u64, &u64)| firsts.get(&to).map(|until_us| until_us.saturating_sub(*offered_us));
        let ages: Vec<u64> = (self.first..).zip(&self.offered_us).filter_map(age).collect();
        (ages.len(), judge::quantiles(ages))
    }
}
