//! From a request's body to frames: its messages are cut apart, parsed, judged, routed and packed. Pure: the clock, the rules and
//! the catalog are arguments; sending frames and collecting results is the caller's work.
//!
//! Invariants:
//! - Every message of the body is in exactly one place: in a frame, or among the flaws. The [`Report`] covers all, in order.
//! - The body is read in slices of work, however long a message is.

use super::{
    items::{Form, Items, Next},
    problem::{Code, Flaw, Problem},
    report::Report,
    spelling::{self, Scratch},
    typed::Typed,
    wording,
};
use stentor_core::{
    admission::{Charge, Intake, Outlook, Parcel, Place, Printer, Rules, Target},
    mesh::ShardMap,
    model::{KeyPrint, Now, Refusal},
    routing::Question,
    shard::Catalog,
};

/// Least work that a message counts for, in bytes: judging it costs more than reading it.
const MESSAGE_WORK: usize = 512;

/// How much one request may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of one message as the client wrote it.
    pub line_bytes_max: usize,
    /// Messages of one request.
    pub messages_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { line_bytes_max: 256 << 10, messages_max: 100_000 }
    }
}

/// What the messages of one request are judged and routed by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// The rules that each message is judged by.
    pub rules: Rules<'t>,
    /// Routes and carriers.
    pub catalog: &'t Catalog,
    /// Which shard each belongs to.
    pub shards: ShardMap,
    /// Makes fingerprints of idempotency keys.
    pub printer: Printer,
    pub limits: RequestLimits,
    /// When the request came, for the tenant's meter.
    pub now: Now,
}

/// A request while its messages are packed into frames.
#[derive(Debug)]
pub struct Ingest<'b> {
    items: Items<'b>,
    body_bytes: usize,
    request: Option<KeyPrint>,
    intake: Intake,
    report: Report,
    scratch: Scratch,
    said: Vec<u8>,
}

impl<'b> Ingest<'b> {
    /// Begins to read `body`. `request`: the fingerprint of the request's own idempotency key.
    pub fn new(body: &'b [u8], form: Form, terms: &Terms<'_>, request: Option<KeyPrint>) -> Self {
        let items = Items::new(body, form, terms.limits.line_bytes_max);
        Self {
            items,
            body_bytes: body.len(),
            request,
            intake: Intake::new(&terms.rules.tenant.meter, terms.shards.shards()),
            report: Report::default(),
            scratch: Scratch::default(),
            said: Vec::new(),
        }
    }

    /// Reads on for `work` bytes, or to the end of a message that began within them; false at the end of the body.
    ///
    /// # Errors
    /// What is wrong with the body as a whole: then none of its messages may be sent.
    pub fn advance(&mut self, terms: &Terms<'_>, mut work: usize) -> Result<bool, Problem> {
        let mut typed = Typed::default();
        while work > 0 {
            let before = work;
            let bytes = match self.items.next(&mut typed, &mut work)? {
                Next::Message(bytes) => bytes,
                Next::Pause => return Ok(true),
                Next::End if self.report.is_empty() => {
                    return Err(Problem::new(Code::NoMessages, "the body has no lines"));
                }
                Next::End => return Ok(false),
            };
            work = work.min(before.saturating_sub(MESSAGE_WORK));
            if self.report.len() == terms.limits.messages_max {
                let detail = format!("more than {} messages", terms.limits.messages_max);
                return Err(Problem::new(Code::TooManyMessages, detail));
            }
            if self.report.is_empty() {
                self.report.expect(outlook(&self.items, self.body_bytes, bytes, terms).messages);
            }
            match self.take(&typed, bytes, terms) {
                Ok(place) => self.report.sent(place),
                Err(flaw) => self.report.refused(flaw),
            }
        }
        Ok(true)
    }

    fn take(&mut self, typed: &Typed<'_>, bytes: usize, terms: &Terms<'_>) -> Result<Place, Flaw> {
        let Terms { rules, catalog, printer, .. } = terms;
        let (draft, meant) = spelling::meant(typed, &mut self.scratch, rules)?;
        let question = Question::of(&meant.head, &meant.content.from, meant.content.tags);
        let route = catalog.routes.find(&question).ok_or_else(|| Flaw::refused(Refusal::NoRoute))?.id;
        let place = (self.request, self.report.len());
        let print = printer.of(&draft, meant.head.tenant, meant.head.to, place, &mut self.said);
        let target = Target { shard: terms.shards.shard_of(meant.head.to.number()), route, print };
        let outlook = || outlook(&self.items, self.body_bytes, bytes, terms);
        let taken = self.intake.take(&meant, target, terms.now, outlook);
        taken.map_err(|used_up| wording::used_up(used_up, rules.tenant, terms.now.wall))
    }

    /// Memory held by what was made of the body so far, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.intake.held_bytes() + self.report.held_bytes()
    }

    /// Messages that go to shards and are charged to the tenant.
    pub const fn sent(&self) -> u64 {
        self.intake.taken()
    }

    /// The frames to send, the report that waits for their outcomes, and the charge to the tenant.
    pub fn finish(mut self, terms: &Terms<'_>) -> (Vec<Parcel>, Report, Charge) {
        if let Some(used_up) = self.intake.used_up() {
            let flaw = wording::used_up(used_up, terms.rules.tenant, terms.now.wall);
            self.report.used_up(flaw, used_up.more_in_s);
        }
        let one = self.items.is_one();
        let (parcels, charge) = self.intake.finish();
        (parcels, self.report.answered_by(one), charge)
    }
}

/// Estimates what the body holds, if all its messages are as long as the first one.
fn outlook(items: &Items<'_>, body_bytes: usize, bytes: usize, terms: &Terms<'_>) -> Outlook {
    if items.is_one() {
        return Outlook { messages: 1, bytes };
    }
    Outlook { messages: (body_bytes / bytes.max(32) + 8).min(terms.limits.messages_max), bytes: body_bytes }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
