//! The carrier's side of the scenario: every part that it received so far, in the order of arrival.

use super::super::ground::{Ground, Smsc};
use crate::smsc::arrivals::Arrived;

/// Delays of a carrier that answers late, in microseconds.
const RESPONSE_US: [u64; 2] = [100_000, 400_000];
const RECEIPT_US: [u64; 2] = [3_000_000, 4_000_000];

/// The simulator, and what it told.
#[derive(Debug)]
pub(super) struct Carrier {
    pub smsc: Smsc,
    arrived: Vec<Arrived>,
}

impl Carrier {
    /// Starts it.
    pub(super) fn start(ground: &Ground) -> Result<Self, String> {
        Ok(Self { smsc: ground.start_smsc(&["--arrivals"])?, arrived: Vec::new() })
    }

    /// From now on it answers late, and its receipts come too late to settle what a kill leaves in doubt; or as usual again.
    pub(super) fn answer_late(&self, is_late: bool) -> Result<(), String> {
        let delay = |[min_us, max_us]: [u64; 2]| serde_json::json!({ "min_us": min_us, "max_us": max_us });
        let (response, receipt) = if is_late { (RESPONSE_US, RECEIPT_US) } else { ([0; 2], [0; 2]) };
        let change = serde_json::json!({ "response_delay": delay(response), "receipt_delay": delay(receipt) });
        self.smsc.behave(&change.to_string())
    }

    /// Asks what has arrived since the last time; gives that.
    pub(super) fn look(&mut self) -> Result<&[Arrived], String> {
        self.smsc.process.check_alive()?;
        let known = self.arrived.len();
        loop {
            let page = self.smsc.arrivals(self.arrived.len())?;
            if page.is_empty() {
                return Ok(&self.arrived[known..]);
            }
            self.arrived.extend(page);
        }
    }

    /// Everything up to the last look.
    pub(super) fn arrived(&self) -> &[Arrived] {
        &self.arrived
    }
}
