//! The outcome of a request, message by message: results of shards and flaws, in the order of the request, or as one
//! problem. Pure. An answer is written in slices of work, however long a message or a flaw is.

use super::{
    json::{Object, push_id},
    problem::{Code, ERRORS_BYTES_MAX, Flaw, Problem},
};
use stentor_core::{admission, model::Refusal, shard::LineResult};

/// The outcome of a parcel: a result for each of its messages, or why there is none.
pub type ParcelResult = Result<Vec<LineResult>, Code>;

/// Where a message's result comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Sent(admission::Place),
    Flawed(u32),
}

/// The final outcome of one message.
#[derive(Clone, Debug)]
enum Fate<'r> {
    Known(LineResult),
    Flawed(&'r Flaw),
    Failed(Code),
}

/// The outcome of one request. See the head of this file.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether it is answered by one result instead of a list.
    one: bool,
    places: Vec<Origin>,
    flaws: Vec<Flaw>,
    /// Bytes of all texts of the flaws.
    flaws_bytes: usize,
    outcomes: Vec<ParcelResult>,
    /// Seconds until the tenant may send more, if a limit is used up.
    more_in_s: u32,
    /// The flaw that names the limit that is used up.
    over_quota: Option<Flaw>,
}

/// Numbers of messages by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted: on stable storage now.
    pub accepted: u64,
    /// Accepted by an earlier request.
    pub duplicates: u64,
    /// Refused.
    pub rejected: u64,
}

impl Report {
    /// Sets whether it is answered by one result (for a message that was not sent in a list) or by a list.
    pub fn answered_by(self, one: bool) -> Self {
        Self { one, ..self }
    }

    /// Prepares for about this many messages.
    pub fn expect(&mut self, messages: usize) {
        self.places.reserve(messages);
    }

    /// Adds a message that goes to a shard.
    pub fn sent(&mut self, place: admission::Place) {
        self.places.push(Origin::Sent(place));
    }

    /// Adds a message that is refused. The details of its flaw are kept only while an answer has room for them.
    pub fn refused(&mut self, flaw: Flaw) {
        let has_room = self.flaws_bytes + flaw.text_bytes() <= ERRORS_BYTES_MAX;
        let kept = if has_room { flaw } else { flaw.in_short() };
        self.flaws_bytes += kept.text_bytes();
        self.places.push(Origin::Flawed(self.flaws.len() as u32));
        self.flaws.push(kept);
    }

    /// The tenant's limit is used up, as `flaw` says; more may be sent after `more_in_s` seconds.
    pub fn used_up(&mut self, flaw: Flaw, more_in_s: u32) {
        (self.over_quota, self.more_in_s) = (Some(flaw), more_in_s);
    }

    /// The path of the request's only message, if it was accepted.
    pub fn location(&self) -> Option<String> {
        let Fate::Known(LineResult::Accepted(id) | LineResult::Duplicate(id)) = self.fate(0) else { return None };
        self.one.then(|| format!("/v1/messages/{id}"))
    }

    /// Number of messages.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has no messages.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Memory that it holds, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Origin>() + self.flaws.capacity() * size_of::<Flaw>() + self.flaws_bytes
    }

    /// Memory that it will hold once each message has a result, in bytes.
    pub fn settled_bytes(&self) -> usize {
        self.held_bytes() + self.places.len() * size_of::<LineResult>()
    }

    /// Bytes of the texts of all flaws.
    #[cfg(test)]
    pub(super) const fn flaws_bytes(&self) -> usize {
        self.flaws_bytes
    }

    /// Adds the outcomes, in the order of the parcels.
    pub fn settle(&mut self, outcomes: Vec<ParcelResult>) {
        self.outcomes = outcomes;
    }

    fn fate(&self, index: usize) -> Fate<'_> {
        match (self.told_fate(index), &self.over_quota) {
            (Fate::Known(LineResult::Refused(Refusal::OverQuota)), Some(flaw)) => Fate::Flawed(flaw),
            (fate, _) => fate,
        }
    }

    fn told_fate(&self, index: usize) -> Fate<'_> {
        match self.places.get(index) {
            Some(Origin::Flawed(flaw)) => {
                self.flaws.get(*flaw as usize).map_or(Fate::Failed(Code::Internal), Fate::Flawed)
            }
            Some(Origin::Sent(admission::Place { parcel, index })) => match self.outcomes.get(*parcel as usize) {
                Some(Ok(results)) => {
                    results.get(*index as usize).map_or(Fate::Failed(Code::Internal), |result| Fate::Known(*result))
                }
                Some(Err(code)) => Fate::Failed(*code),
                None => Fate::Failed(Code::Internal),
            },
            None => Fate::Failed(Code::Internal),
        }
    }

    /// Counts the messages by outcome.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { rejected: self.flaws.len() as u64, ..Tally::default() };
        let mut sent_and_failed = self.places.len() as u64 - tally.rejected;
        for result in self.outcomes.iter().flatten().flatten() {
            match result {
                LineResult::Accepted(_) => tally.accepted += 1,
                LineResult::Duplicate(_) => tally.duplicates += 1,
                LineResult::Refused(_) => continue,
            }
            sent_and_failed = sent_and_failed.saturating_sub(1);
        }
        tally.rejected += sent_and_failed;
        tally
    }

    /// Seconds until what was refused makes sense again, in an answer that some messages were accepted; 0: not stated,
    /// because nothing was refused for a limit.
    pub fn rest_after_s(&self) -> u32 {
        let of_shards = self.outcomes.iter().flatten().flatten().filter_map(|result| Fate::Known(*result).code());
        let of_mail = self.outcomes.iter().filter_map(|outcome| outcome.as_ref().err().copied());
        let codes = self.flaws.iter().map(|flaw| flaw.code).chain(of_shards).chain(of_mail);
        let worst = codes.map(Code::status).filter(|status| matches!(status, 429 | 503)).max();
        worst.map_or(0, |status| self.retry_after_s(status))
    }

    fn retry_after_s(&self, status: u16) -> u32 {
        match status {
            429 => self.more_in_s.max(1),
            503 => 1,
            _ => 0,
        }
    }

    /// Writes the answer for `ack=summary`: counts, and the messages that were refused. Begins at message `from` and stops once
    /// `work` bytes were written or looked at; returns where to go on, `None` at the end. `told`: bytes of flaws reported so
    /// far.
    pub fn write_summary(&self, from: usize, work: usize, told: &mut usize, out: &mut Vec<u8>) -> Option<usize> {
        if from == 0 {
            let Tally { accepted, duplicates, rejected } = self.tally();
            let mut object = Object::begin(out);
            object.number("accepted", accepted).number("duplicates", duplicates).number("rejected", rejected);
            object.value("errors").push(b'[');
        }
        let (mut index, until) = (from, out.len() + work);
        while index < self.len() && out.len() + (index - from) * FATE_WORK < until {
            for flaw in self.fate(index).flaw().iter().flat_map(Flaw::each) {
                if *told > 0 {
                    out.push(b',');
                }
                write_item(index, flaw, told, out);
            }
            index += 1;
        }
        if index < self.len() {
            return Some(index);
        }
        out.extend_from_slice(b"]}");
        None
    }

    /// Writes the results from message `from` on, as a part of the whole answer, until `work` bytes were written; returns where
    /// to go on, `None` after the last one. `told`: bytes of flaws reported so far.
    pub fn write_results(&self, from: usize, work: usize, told: &mut usize, out: &mut Vec<u8>) -> Option<usize> {
        let (mut index, until) = (from, out.len() + work);
        if from == 0 && !self.one {
            out.push(b'[');
        }
        while index < self.len() && (out.len() < until || index == from) {
            if index > 0 {
                out.push(b',');
            }
            self.fate(index).write(told, out);
            index += 1;
        }
        if index < self.len() {
            return Some(index);
        }
        if !self.one {
            out.push(b']');
        }
        None
    }

    /// One problem that says why, when nothing was accepted. Looks at each message once, and keeps as many flaws as are told in
    /// full.
    pub fn problem(&self) -> Problem {
        let (mut failed, mut items, mut items_bytes) = (Failed::default(), Vec::new(), 0);
        for (index, fate) in (0..self.len()).map(|index| (index, self.fate(index))) {
            let Some(code) = fate.code() else { continue };
            failed.add(code);
            if items_bytes < ERRORS_BYTES_MAX
                && let Some(flaw) = fate.flaw()
            {
                items_bytes += flaw.text_bytes() + ITEM_BYTES;
                items.push((index, flaw));
            }
        }
        let first = failed.first.unwrap_or(Code::Internal);
        let mut problem = if failed.is_one_code {
            let detail = match &items[..] {
                [(_, flaw)] => flaw.told(),
                [_, ..] | [] => format!("{} messages, none accepted", failed.count),
            };
            Problem::new(first, detail)
        } else {
            let detail = format!("{} messages, none accepted; `errors` says why each", failed.count);
            let worst = failed.has_503.then_some(503).or(failed.has_429.then_some(429));
            let status = if failed.is_one_status { Some(first.status()) } else { worst };
            let problem = Problem::new(Code::NothingAccepted, detail);
            Problem { status: status.unwrap_or(problem.status), ..problem }
        };
        problem.retry_after_s = self.retry_after_s(problem.status);
        Problem { items_omitted: failed.count - items.len(), items, ..problem }
    }
}

/// What a message that is looked at counts for in a slice of work, in bytes written.
const FATE_WORK: usize = 16;
/// Approximate bytes of a problem's item without its texts.
const ITEM_BYTES: usize = 80;

/// The messages that failed, and their codes.
#[derive(Debug)]
struct Failed {
    count: usize,
    first: Option<Code>,
    is_one_code: bool,
    is_one_status: bool,
    has_503: bool,
    has_429: bool,
}

impl Default for Failed {
    fn default() -> Self {
        Self { count: 0, first: None, is_one_code: true, is_one_status: true, has_503: false, has_429: false }
    }
}

impl Failed {
    fn add(&mut self, code: Code) {
        let first = *self.first.get_or_insert(code);
        self.count += 1;
        self.is_one_code &= code == first;
        self.is_one_status &= code.status() == first.status();
        self.has_503 |= code.status() == 503;
        self.has_429 |= code.status() == 429;
    }
}

/// Writes a failed message as an item; without details if much was reported already.
fn write_item(index: usize, flaw: &Flaw, told: &mut usize, out: &mut Vec<u8>) {
    let before = out.len();
    let mut item = Object::begin(out);
    item.number("index", index as u64);
    flaw.write_within(*told, &mut item);
    item.end();
    *told += out.len() - before;
}

impl Fate<'_> {
    /// Why the message was refused, if it was.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Known(LineResult::Accepted(_) | LineResult::Duplicate(_)) => None,
            Self::Known(LineResult::Refused(refusal)) => Some(Code::from(*refusal)),
            Self::Flawed(flaw) => Some(flaw.code),
            Self::Failed(code) => Some(*code),
        }
    }

    fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Known(LineResult::Accepted(_) | LineResult::Duplicate(_)) => None,
            Self::Known(LineResult::Refused(refusal)) => Some(Flaw::refused(*refusal)),
            Self::Flawed(flaw) => Some(Flaw::clone(flaw)),
            Self::Failed(code) => Some(Flaw::whole(*code, code.title())),
        }
    }

    fn write(&self, told: &mut usize, out: &mut Vec<u8>) {
        match self {
            Self::Known(LineResult::Accepted(id)) => {
                out.extend_from_slice(b"{\"id\":");
                push_id(out, *id);
                out.push(b'}');
            }
            Self::Known(LineResult::Duplicate(id)) => {
                out.extend_from_slice(b"{\"id\":");
                push_id(out, *id);
                out.extend_from_slice(b",\"duplicate\":true}");
            }
            Self::Known(LineResult::Refused(_)) | Self::Flawed(_) | Self::Failed(_) => {
                let before = out.len();
                out.extend_from_slice(b"{\"error\":");
                let mut object = Object::begin(out);
                if let Some(flaw) = self.flaw() {
                    flaw.write_whole(*told, &mut object);
                }
                object.end();
                out.push(b'}');
                *told += out.len() - before;
            }
        }
    }
}
