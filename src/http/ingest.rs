//! A request's messages, from its body to frames and from the shards' results to the answer. Pure: the clock, the rules
//! and the catalog are arguments; who carries frames and results is somebody else.
//!
//! Invariants:
//! - Every message of the body has exactly one place: in a frame, or among the flaws. The answer tells of each, in order.
//! - A frame is a small part of a shard's turn: the shard takes it as one event, and between two events others have theirs.
//! - What is read, and what is written of an answer, is cut into slices of work, however long a message or a flaw is.

use super::{
    items::{Form, Items, Next},
    json::{Object, push_id},
    keys::{self, Printer},
    line::{self, Rules, Scratch},
    meter::Room,
    problem::{Code, ERRORS_BYTES_MAX, Flaw, Problem},
    typed::Typed,
};
use crate::{
    mesh::ShardMap,
    model::{Frame, Head, KeyPrint, Line, Refusal, ShardId, limits},
    routing::Question,
    shard::{Catalog, LineResult},
};

/// Messages of one frame at most: about a third of a millisecond of a shard.
const FRAME_MESSAGES_MAX: usize = 1_024;
/// Octets of content in one frame at most, unless one message alone is larger.
const FRAME_BYTES_MAX: usize = 256 << 10;
/// What a message counts for in a slice of work at least, in octets: judging it costs more than reading it.
const MESSAGE_WORK: usize = 512;

const _: () =
    assert!(FRAME_MESSAGES_MAX <= limits::TURN_MESSAGES_MAX / 4 && FRAME_BYTES_MAX <= limits::TURN_BYTES_MAX / 4);

/// How much one request may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Octets of one message as it is typed.
    pub line_bytes_max: usize,
    /// Messages.
    pub messages_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { line_bytes_max: 256 << 10, messages_max: 100_000 }
    }
}

/// The terms under which a request's messages are taken.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// What each is judged by.
    pub rules: Rules<'t>,
    /// Where each goes.
    pub catalog: &'t Catalog,
    /// Which shard each belongs to.
    pub shards: ShardMap,
    /// Makes fingerprints of keys.
    pub printer: Printer,
    /// How much may come at once.
    pub limits: RequestLimits,
    /// What the tenant's rate and quota leave.
    pub room: Room,
}

/// Messages for one shard.
#[derive(Debug)]
pub struct Parcel {
    /// Which.
    pub shard: ShardId,
    /// Its `reply` is for the door to fill in.
    pub frame: Frame,
}

impl Parcel {
    /// What it takes in memory.
    pub fn held_bytes(&self) -> usize {
        let Frame { heads, keys, arena, .. } = &self.frame;
        heads.capacity() * size_of::<Head>() + keys.capacity() * size_of::<Line>() + arena.capacity()
    }
}

/// What became of a parcel: a result for each of its messages, or why there is none.
pub type Outcome = Result<Vec<LineResult>, Code>;

#[derive(Clone, Copy, Debug)]
enum Place {
    Sent { parcel: u32, index: u32 },
    Flawed(u32),
}

/// A request on its way to frames.
#[derive(Debug)]
pub struct Ingest<'b> {
    items: Items<'b>,
    body_bytes: usize,
    request: Option<KeyPrint>,
    places: Vec<Place>,
    flaws: Vec<Flaw>,
    /// Of all that the flaws say.
    flaws_bytes: usize,
    parcels: Vec<Parcel>,
    /// The parcel that a shard's messages go to; one past the last if it has none yet.
    open: Vec<u32>,
    scratch: Scratch,
    said: Vec<u8>,
    sent: u64,
}

const NOT_OPEN: u32 = u32::MAX;

impl<'b> Ingest<'b> {
    /// Begins to read `body`. `request`: the fingerprint of the request's own key.
    pub fn new(body: &'b [u8], form: Form, terms: &Terms<'_>, request: Option<KeyPrint>) -> Self {
        Self {
            items: Items::new(body, form, terms.limits.line_bytes_max),
            body_bytes: body.len(),
            request,
            places: Vec::new(),
            flaws: Vec::new(),
            flaws_bytes: 0,
            parcels: Vec::new(),
            open: vec![NOT_OPEN; usize::from(terms.shards.shards())],
            scratch: Scratch::default(),
            said: Vec::new(),
            sent: 0,
        }
    }

    /// Reads on for a slice of `work` octets, or to the end of a message that began in it; false at the end of the body.
    ///
    /// # Errors
    /// What is wrong with the body as a whole: then nothing of it may be sent.
    pub fn advance(&mut self, terms: &Terms<'_>, mut work: usize) -> Result<bool, Problem> {
        let mut typed = Typed::default();
        while work > 0 {
            let before = work;
            let octets = match self.items.next(&mut typed, &mut work)? {
                Next::Message(octets) => octets,
                Next::Pause => return Ok(true),
                Next::End if self.places.is_empty() => {
                    return Err(Problem::new(Code::NoMessages, "the body has no line"));
                }
                Next::End => return Ok(false),
            };
            work = work.min(before.saturating_sub(MESSAGE_WORK));
            if self.places.len() == terms.limits.messages_max {
                let detail = format!("more than {} messages", terms.limits.messages_max);
                return Err(Problem::new(Code::TooManyMessages, detail));
            }
            if self.places.is_empty() {
                self.places.reserve(self.expected(octets, terms));
            }
            let place = match self.take(&typed, octets, terms) {
                Ok(place) => place,
                Err(flaw) => self.keep(flaw),
            };
            self.places.push(place);
        }
        Ok(true)
    }

    /// Keeps its words only while an answer has room for them.
    fn keep(&mut self, flaw: Flaw) -> Place {
        let has_room = self.flaws_bytes + flaw.text_bytes() <= ERRORS_BYTES_MAX;
        let kept = if has_room { flaw } else { flaw.in_short() };
        self.flaws_bytes += kept.text_bytes();
        self.flaws.push(kept);
        Place::Flawed(self.flaws.len() as u32 - 1)
    }

    /// Messages that the body probably holds, if they are as long as its first.
    fn expected(&self, first_octets: usize, terms: &Terms<'_>) -> usize {
        if self.items.is_one() {
            1
        } else {
            (self.body_bytes / first_octets.max(32) + 8).min(terms.limits.messages_max)
        }
    }

    fn take(&mut self, typed: &Typed<'_>, octets: usize, terms: &Terms<'_>) -> Result<Place, Flaw> {
        let meant = line::judge(typed, &terms.rules, &mut self.scratch)?;
        let question = Question::of(&meant.head, &meant.content.from, meant.content.tags);
        let route = terms.catalog.routes.find(&question).ok_or_else(|| Flaw::refused(Refusal::NoRoute))?.id;
        if self.sent >= terms.room.messages {
            let detail = format!("the tenant's {} is used up", terms.room.limit);
            return Err(Flaw::whole(Code::OverQuota, detail));
        }
        let print = print(typed, meant.key, &meant.head, self.request, self.places.len(), &mut self.said, terms);
        let shard = terms.shards.shard_of(meant.head.to.number());
        let parcel = open(&mut self.open, &mut self.parcels, shard, || {
            let one = self.items.is_one();
            let expected = if one { 1 } else { (self.body_bytes / octets.max(32)).min(terms.limits.messages_max) };
            let share = |whole: usize| whole / usize::from(terms.shards.shards()) * 9 / 8 + 1;
            (share(expected), if one { octets } else { share(self.body_bytes) })
        });
        let Some(Parcel { frame, .. }) = self.parcels.get_mut(parcel as usize) else {
            return Err(Flaw::whole(Code::Internal, "a message without a frame"));
        };
        let index = frame.heads.len() as u32;
        let content_at = frame.arena.len() as u32;
        meant.content.encode(&mut frame.arena);
        let content_len = frame.arena.len() as u32 - content_at;
        frame.heads.push(Head { route, content_at, content_len, ..meant.head });
        if let Some(print) = print {
            frame.keys.push(Line { index, print });
        }
        self.sent += 1;
        Ok(Place::Sent { parcel, index })
    }

    /// What was made of the body so far takes in memory.
    pub fn held_bytes(&self) -> usize {
        let parcels: usize = self.parcels.iter().map(Parcel::held_bytes).sum();
        parcels + held_bytes(&self.places, &self.flaws, self.flaws_bytes)
    }

    /// Messages that go to shards.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// The frames to be sent, and the report that waits for their outcomes.
    pub fn finish(mut self, room: Room) -> (Vec<Parcel>, Report) {
        let mut frames = vec![0_u32; self.open.len()];
        for Parcel { shard, .. } in &self.parcels {
            frames[usize::from(shard.0)] += 1;
        }
        for Parcel { shard, frame } in &mut self.parcels {
            frame.alone = frames[usize::from(shard.0)] == 1;
        }
        let one = self.items.is_one();
        let Self { places, flaws, flaws_bytes, parcels, .. } = self;
        let report = Report { one, places, flaws, flaws_bytes, outcomes: Vec::new(), room };
        (parcels, report)
    }
}

fn held_bytes(places: &Vec<Place>, flaws: &Vec<Flaw>, flaws_bytes: usize) -> usize {
    places.capacity() * size_of::<Place>() + flaws.capacity() * size_of::<Flaw>() + flaws_bytes
}

fn print(
    typed: &Typed<'_>,
    key: Option<&str>,
    head: &Head,
    request: Option<KeyPrint>,
    line: usize,
    said: &mut Vec<u8>,
    terms: &Terms<'_>,
) -> Option<KeyPrint> {
    if key.is_none() && request.is_none() {
        return None;
    }
    said.clear();
    keys::said(typed, said);
    match (key, request) {
        (Some(key), _) => Some(terms.printer.message(head.tenant, head.to, key, said)),
        (None, Some(request)) => Some(terms.printer.line(request, line as u64, said)),
        (None, None) => None,
    }
}

/// The parcel that the shard's next message goes to; `room` says for how many messages and octets a new one is made.
fn open(open: &mut [u32], parcels: &mut Vec<Parcel>, shard: ShardId, room: impl FnOnce() -> (usize, usize)) -> u32 {
    let Some(current) = open.get_mut(usize::from(shard.0)) else { return NOT_OPEN };
    let has_room = parcels.get(*current as usize).is_some_and(|Parcel { frame, .. }| {
        frame.heads.len() < FRAME_MESSAGES_MAX && frame.arena.len() < FRAME_BYTES_MAX
    });
    if !has_room {
        let (messages, octets) = room();
        let heads = Vec::with_capacity(messages.min(FRAME_MESSAGES_MAX));
        let arena = Vec::with_capacity(octets.min(FRAME_BYTES_MAX + limits::BODY_BYTES_MAX));
        *current = parcels.len() as u32;
        parcels.push(Parcel { shard, frame: Frame { heads, arena, ..Frame::default() } });
    }
    *current
}

/// What became of one message.
#[derive(Clone, Debug)]
enum Fate<'r> {
    Known(LineResult),
    Flawed(&'r Flaw),
    Failed(Code),
}

/// What became of a request.
#[derive(Debug)]
pub struct Report {
    one: bool,
    places: Vec<Place>,
    flaws: Vec<Flaw>,
    flaws_bytes: usize,
    outcomes: Vec<Outcome>,
    room: Room,
}

/// How many messages ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Durable now.
    pub accepted: u64,
    /// Durable before.
    pub duplicates: u64,
    /// Not taken.
    pub rejected: u64,
}

impl Report {
    /// Messages in it.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none; never so after [`Ingest::advance`] came to its end.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What it takes in memory, with a result for each message.
    pub fn held_bytes(&self) -> usize {
        held_bytes(&self.places, &self.flaws, self.flaws_bytes) + self.places.len() * size_of::<LineResult>()
    }

    /// The outcomes are there, in the order of the parcels.
    pub fn settle(&mut self, outcomes: Vec<Outcome>) {
        self.outcomes = outcomes;
    }

    fn fate(&self, index: usize) -> Fate<'_> {
        match self.places.get(index) {
            Some(Place::Flawed(flaw)) => {
                self.flaws.get(*flaw as usize).map_or(Fate::Failed(Code::Internal), Fate::Flawed)
            }
            Some(Place::Sent { parcel, index }) => match self.outcomes.get(*parcel as usize) {
                Some(Ok(results)) => {
                    results.get(*index as usize).map_or(Fate::Failed(Code::Internal), |result| Fate::Known(*result))
                }
                Some(Err(code)) => Fate::Failed(*code),
                None => Fate::Failed(Code::Internal),
            },
            None => Fate::Failed(Code::Internal),
        }
    }

    /// Counts.
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

    /// `ack=summary`: counts, and the messages that were not taken. Written from the message `from` on until `work` octets
    /// were written or looked at; where to go on, `None` at its end. `told`: octets of flaws told so far.
    pub fn write_summary(&self, from: usize, work: usize, told: &mut usize, out: &mut Vec<u8>) -> Option<usize> {
        if from == 0 {
            let Tally { accepted, duplicates, rejected } = self.tally();
            let mut object = Object::begin(out);
            object.number("accepted", accepted).number("duplicates", duplicates).number("rejected", rejected);
            object.value("errors").push(b'[');
        }
        let (mut index, until) = (from, out.len() + work);
        while index < self.len() && out.len() + (index - from) * FATE_WORK < until {
            if let Some(flaw) = self.fate(index).flaw() {
                if *told > 0 {
                    out.push(b',');
                }
                write_item(index, &flaw, told, out);
            }
            index += 1;
        }
        if index < self.len() {
            return Some(index);
        }
        out.extend_from_slice(b"]}");
        None
    }

    /// The results from the message `from` on, as a part of the whole answer, until `work` octets were written; where to go
    /// on, `None` when the last one was written. `told`: octets of flaws told so far.
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

    /// When nothing was taken: why, as one problem. Looks at each message once, and keeps as many flaws as are told in full.
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
                [(_, flaw)] => flaw.detail.clone().into_owned(),
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
        problem.retry_after_s = match problem.status {
            429 => self.room.more_in_s,
            503 => 1,
            _ => 0,
        };
        Problem { items_omitted: failed.count - items.len(), items, ..problem }
    }
}

/// What a message that is looked at counts for in a slice of work, in octets written.
const FATE_WORK: usize = 16;
/// Octets of an item of a problem beside its texts, about.
const ITEM_BYTES: usize = 80;

/// The codes of all messages that failed.
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

/// A failed message among others, in short if much was told already.
fn write_item(index: usize, flaw: &Flaw, told: &mut usize, out: &mut Vec<u8>) {
    let before = out.len();
    let mut item = Object::begin(out);
    item.number("index", index as u64);
    flaw.write_within(*told, &mut item);
    item.end();
    *told += out.len() - before;
}

impl Fate<'_> {
    /// Why it was not taken.
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
                    flaw.write_within(*told, &mut object);
                }
                object.end();
                out.push(b'}');
                *told += out.len() - before;
            }
        }
    }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
