//! The disk fills up, is used up almost completely by a foreign file, and is freed again, all under load.

use std::thread;
use std::time::{Duration, Instant};

use super::super::prometheus::{BALLAST_GONE, HELD};
use super::{PATIENCE, TICK, World};
use crate::http;

/// Free space above the floor that the foreign file leaves, so that the load itself goes below the floor, bytes.
const HEADROOM: u64 = 16 << 20;
/// How long the disk stays full while messages must still be sent.
const HOLD: Duration = Duration::from_secs(2);
/// A message to a recipient that the generator does not use.
const PROBE: &str = r#"{"to":"+4915199999999","body":"probe"}"#;

impl World {
    pub(super) fn fill_disk(&mut self) -> Result<(), String> {
        let floor = self.options.floor << 20;
        self.disk()?.fill_up(floor + HEADROOM)?;
        self.await_answer("disk_full under load", 503)?;
        let (_, body) = self.probe()?;
        self.books.claim("refused as disk_full", code(&body) == "disk_full");
        let (_, reasons) = http::get(self.ground.http(), "/readyz", PATIENCE).map_err(|error| error.to_string())?;
        let says_why = String::from_utf8_lossy(&reasons).contains("disk_full");
        self.books.claim("/readyz says why", says_why);
        self.must_send("while the disk is full")?;

        self.disk()?.fill_up(floor / 8)?;
        self.await_metric("the ballast stays, though the disk is nearly used up", BALLAST_GONE, |gone| gone == 1.0)?;
        self.must_send("on the ballast")?;

        self.disk()?.fill_up(floor / 8)?;
        self.await_metric("messages are sent, though the disk is used up", HELD, |held| held > 0.0)?;
        let before = self.smsc.stats(None)?.connections.accepted;
        thread::sleep(HOLD);
        self.stentor.check_alive()?;
        self.books
            .claim("sessions stay while carriers are held", self.smsc.stats(None)?.connections.accepted == before);

        self.disk()?.free_up()?;
        let begun = Instant::now();
        self.await_answer("room", 202)?;
        let resumed_s = begun.elapsed().as_secs_f64();
        let within = format!("taken again {} s after there is room", self.options.resume_max);
        self.books.claim(&within, resumed_s <= self.options.resume_max);
        self.books.ready_s_max = self.books.ready_s_max.max(resumed_s);
        self.stentor.check_alive()
    }

    fn disk(&self) -> Result<&super::Disk, String> {
        self.disk.as_ref().ok_or_else(|| "no disk".to_owned())
    }

    /// Submits and receipts must continue.
    fn must_send(&mut self, when: &str) -> Result<(), String> {
        let before = self.smsc.stats(None)?;
        thread::sleep(HOLD);
        self.stentor.check_alive()?;
        let after = self.smsc.stats(None)?;
        self.books.claim(&format!("messages leave {when}"), after.submits.taken > before.submits.taken);
        let receipts = after.receipts.acknowledged > before.receipts.acknowledged;
        self.books.claim(&format!("receipts are taken {when}"), receipts);
        Ok(())
    }

    fn await_metric(&mut self, otherwise: &str, name: &str, is_there: fn(f64) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !self.ground.metrics().sum(name).is_some_and(is_there) {
            self.stentor.check_alive()?;
            if begun.elapsed() > self.ground.stall() {
                return Err(otherwise.to_owned());
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn await_answer(&mut self, what: &str, wanted: u16) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let (status, body) = self.probe()?;
            if status == wanted {
                return Ok(());
            }
            if begun.elapsed() > self.ground.stall() {
                return Err(format!("waiting for {what}: {status} {}", String::from_utf8_lossy(&body)));
            }
            thread::sleep(TICK);
        }
    }

    fn probe(&mut self) -> Result<(u16, Vec<u8>), String> {
        self.stentor.check_alive()?;
        http::post(self.ground.http(), "/v1/messages", "application/json", PROBE, PATIENCE)
            .map_err(|error| format!("probe: {error}"))
    }
}

fn code(problem: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(problem).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}
