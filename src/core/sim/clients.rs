//! The clients and their HTTP doors: clients invent messages, submit them in frames, retry with the same key when no
//! answer comes, cancel, look up, and at the end read every record. They know only what they were told.

use std::collections::{BTreeMap, VecDeque};

use crate::mesh::ShardMap;
use crate::model::prng::mix;
use crate::model::{
    Address, Content, Encoding, Frame, Head, KeyPrint, Msisdn, Prng, ReplyTo, SenderId, SetNumber, ShardId, TenantId,
    Wall, Whose,
};
use crate::shard::{Ask, FoundMessage, LineResult, Reply};

use super::agenda::{MS, SECOND};
use super::contract::route_id;
use super::happening::Happening;
use super::limits;
use super::oracle::{Intent, Question};
use super::part::body;
use super::plan::{Lives, Plan, pick};
use super::stage::{Stage, note};
use super::tally::Count;

/// How long a client waits for an answer.
const PATIENCE_NS: u64 = 5 * SECOND;
/// How often a client tries a request.
const TRIES_MAX: u32 = 8;
/// Copies of a request that are sent at the same time.
const COPIES: usize = 3;
/// How many of the latest keys may be used again; these are certainly still known.
const KEYS_USED_AGAIN: usize = 500;
/// A tenant without messages.
const NOBODYS: TenantId = TenantId(9_999);
/// Records in a page.
const PAGE: usize = 50;
/// The number of the first recipient.
pub(super) const RECIPIENT_BASE: u64 = 491_511_000_000;

#[derive(Debug)]
struct Request {
    shard: ShardId,
    messages: Vec<u32>,
    tries: u32,
}

/// Reads every record, shard by shard and tenant by tenant.
#[derive(Debug, Default)]
struct Reading {
    ticket: u64,
    shard: u8,
    /// Index in the list of owners that may have messages.
    owner: usize,
    from: Address,
    found: Vec<(ShardId, FoundMessage)>,
    is_done: bool,
}

/// All clients of the world.
#[derive(Debug)]
pub struct Clients {
    map: ShardMap,
    left: u32,
    tickets: u64,
    requests: BTreeMap<u64, Request>,
    /// Messages whose ids reached their client.
    known: Vec<u32>,
    keys: VecDeque<(u128, Wall)>,
    claims: Vec<u128>,
    reading: Option<Reading>,
}

impl Clients {
    /// The clients that the plan describes.
    pub fn new(plan: &Plan) -> Self {
        Self {
            map: ShardMap::new(plan.shards, plan.cores),
            left: plan.messages,
            tickets: 0,
            requests: BTreeMap::new(),
            known: Vec::new(),
            keys: VecDeque::new(),
            claims: Vec::new(),
            reading: None,
        }
    }

    /// Whether the clients have nothing more to say.
    pub fn are_done(&self) -> bool {
        self.left == 0 && self.requests.is_empty()
    }

    /// Whether no client waits for an answer or is going to retry.
    pub fn are_quiet(&self) -> bool {
        self.requests.is_empty()
    }

    /// A client starts something new.
    pub fn act(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.left == 0 {
            return;
        }
        match stage.chance.below(10) {
            0 if !self.known.is_empty() => self.cancel(plan, stage),
            1 | 2 if !self.known.is_empty() => self.look_up(plan, stage),
            _ => self.think_up(plan, stage),
        }
    }

    fn think_up(&mut self, plan: &Plan, stage: &mut Stage) {
        let many = stage.chance.between(1, 6).min(u64::from(self.left)) as u32;
        self.left -= many;
        let mut frames: BTreeMap<ShardId, Vec<u32>> = BTreeMap::new();
        let tenant = *pick(&mut stage.chance, &plan.owners());
        for _ in 0..many {
            let intent = self.intent(tenant, plan, stage);
            let shard = intent.shard;
            stage.tally.add(Count::Messages);
            let message = stage.oracle.intend(intent);
            frames.entry(shard).or_default().push(message);
        }
        for (shard, messages) in frames {
            if stage.fault(plan.claimed_ppm) {
                self.claim(shard, tenant, &messages, plan, stage);
            }
            let keyed = messages.iter().all(|message| is_keyed(*message, stage));
            let copied = keyed && stage.fault(plan.copied_ppm);
            if copied {
                stage.tally.add(Count::RequestsCopied);
            }
            for _ in 0..if copied { COPIES } else { 1 } {
                self.send(Request { shard, messages: messages.clone(), tries: 1 }, plan, stage);
            }
        }
    }

    /// Claims a key for a whole request, now and then one that was used before.
    fn claim(&mut self, shard: ShardId, tenant: TenantId, messages: &[u32], plan: &Plan, stage: &mut Stage) {
        let fresh = u128::from(shard.0) << 64 | u128::from(stage.chance.next_u64());
        let used = self.claims.iter().rev().find(|key| **key >> 64 == fresh >> 64).copied();
        let key = used.filter(|_| stage.chance.chance(300_000)).unwrap_or(fresh);
        self.claims.push(key);
        let content = messages.iter().fold(11, |hash, message| mix(hash ^ u64::from(*message)));
        let print = KeyPrint { key: key | 1 << 127, content };
        let copies = if stage.chance.chance(300_000) { COPIES } else { 1 };
        for _ in 0..copies {
            let reply = self.ticket();
            stage.tally.add(Count::Claims);
            let ask = Ask::Claim { reply, tenant, print, is_paid: true };
            stage.oracle.claims_asked += 1;
            self.ask(shard, reply.ticket, Question::Claim(print.key, content), ask, plan, stage);
        }
    }

    /// Draws a text; gives it with the number of its parts.
    fn text(plan: &Plan, stage: &mut Stage) -> (String, u8) {
        let chance = &mut stage.chance;
        let characters = match plan.kind.lives {
            None if plan.kind.limits.is_some() => limits::characters(chance),
            Some(lives) if chance.chance(lives.long_ppm) => chance.between(161, 700) as usize,
            Some(_) => chance.between(8, 150) as usize,
            None => match chance.below(10) {
                0 => chance.between(161, 700) as usize,
                _ => chance.between(8, 150) as usize,
            },
        };
        let ucs2 = chance.chance(100_000);
        let characters = if plan.kind.limits.is_some() && ucs2 { limits::wide(characters) } else { characters };
        let text = body(stage.oracle.next_message(), characters, ucs2);
        let parts = parts_of(text.chars().count(), ucs2);
        if parts > 1 {
            stage.tally.add(Count::Multipart);
        }
        (text, parts)
    }

    fn intent(&mut self, tenant: TenantId, plan: &Plan, stage: &mut Stage) -> Intent {
        let (wall, left_ms) = (stage.wall(), plan.chaos_ns.saturating_sub(stage.now_ns()) / MS);
        let number = RECIPIENT_BASE + stage.chance.below(u64::from(plan.recipients));
        let number = if plan.kind.limits.is_some() { limits::recipient(number) } else { number };
        let class = *pick(&mut stage.chance, &plan.classes);
        let (text, parts) = Self::text(plan, stage);
        let chance = &mut stage.chance;
        let route = chance.below(u64::from(plan.routes())) as usize;
        let (send_at, lasts_ms) = match plan.kind.lives {
            Some(lives) => lives.draw(wall, left_ms, chance),
            None => {
                let scheduled = chance.chance(100_000);
                let hurried = chance.chance(80_000) || plan.is_absent(route);
                let send_at = if scheduled { wall.after_ms(chance.between(1, 30_000)) } else { Wall(0) };
                (send_at, if hurried { chance.between(500, 20_000) } else { 48 * 3_600_000 })
            }
        };
        let mut content = Vec::new();
        let (from, tags) = if plan.kind.limits.is_some() { limits::looks(chance) } else { (Intent::SENDER, "") };
        let from = SenderId::parse(from).unwrap_or_default();
        Content { from, body: text.as_bytes(), tags, ..Content::default() }.encode(&mut content);
        let head = Head {
            to: Msisdn::from_number(number).unwrap_or_default(),
            tenant,
            class,
            encoding: Encoding::Auto,
            receipt: chance.chance(plan.receipts_ppm),
            flash: chance.chance(50_000),
            parts,
            route: route_id(route),
            set: SetNumber::NONE,
            accepted_at: Wall(0),
            send_at,
            expires_at: send_at.max(wall).after_ms(lasts_ms),
            content_at: 0,
            content_len: content.len() as u32,
        };
        let scope = number | u64::from(tenant.0) << 56;
        let key = chance.chance(plan.keyed_ppm).then(|| self.key(scope, plan.shard.key_window_ms, stage));
        let print = key.map(|key| (key, content.iter().fold(7, |hash, byte| mix(hash ^ u64::from(*byte)))));
        Intent { shard: self.map.shard_of(number), head, content, key: print }
    }

    /// A new key or, now and then, one that was used before and is certainly still known. Its scope is one recipient of a tenant.
    fn key(&mut self, scope: u64, window_ms: u64, stage: &mut Stage) -> u128 {
        let wall = stage.wall();
        let chance = &mut stage.chance;
        let fresh = u128::from(mix(scope)) << 64 | u128::from(chance.next_u64());
        let again = self.keys.iter().find(|(key, _)| *key >> 64 == fresh >> 64).copied();
        let is_known = |since: Wall| wall < since.after_ms(window_ms - window_ms / 10);
        match again {
            Some((used, since)) if is_known(since) && chance.chance(150_000) => used,
            Some(_) | None => {
                self.keys.push_front((fresh, wall));
                self.keys.truncate(KEYS_USED_AGAIN);
                fresh
            }
        }
    }

    fn send(&mut self, request: Request, plan: &Plan, stage: &mut Stage) {
        let reply = self.ticket();
        let ticket = reply.ticket;
        // The door decides which of the messages go into the frame.
        let frame = Frame { reply, ..Frame::default() };
        note!(stage, "ticket {ticket}: shard {} gets {:?}, try {}", request.shard.0, request.messages, request.tries);
        self.ask(request.shard, ticket, Question::Submit(request.messages.clone()), Ask::Submit(frame), plan, stage);
        stage.agenda.after(PATIENCE_NS, Happening::PatienceEnds(ticket));
        self.requests.insert(ticket, request);
    }

    fn ticket(&mut self) -> ReplyTo {
        self.tickets += 1;
        ReplyTo { core: (self.tickets % u64::from(self.map.cores())) as u8, ticket: self.tickets }
    }

    fn ask(&self, shard: ShardId, ticket: u64, question: Question, ask: Ask, plan: &Plan, stage: &mut Stage) {
        let delay = plan.door.draw(&mut stage.chance);
        stage.asks_under_way += 1;
        stage.agenda.after(delay, Happening::Asked(shard, ticket, question, Box::new(ask)));
    }

    fn cancel(&mut self, plan: &Plan, stage: &mut Stage) {
        let message = *pick(&mut stage.chance, &self.known);
        let Some(id) = stage.oracle.id_of(message) else { return };
        for _ in 0..stage.chance.between(1, COPIES as u64) {
            let reply = self.ticket();
            note!(stage, "ticket {}: cancel {message}", reply.ticket);
            let tenant = stage.oracle.tenant_of(message);
            let ask = Ask::Cancel { reply, tenant, id };
            self.ask(id.shard(), reply.ticket, Question::Cancel(message), ask, plan, stage);
        }
    }

    /// A tenant looks up or cancels another tenant's message, now and then at the same time as the owner.
    pub fn meddle(&mut self, plan: &Plan, stage: &mut Stage) {
        if self.known.is_empty() {
            return;
        }
        let message = *pick(&mut stage.kind_chance, &self.known);
        let (Some(id), owner) = (stage.oracle.id_of(message), stage.oracle.tenant_of(message)) else { return };
        let others: Vec<_> = plan.owners().into_iter().filter(|tenant| *tenant != owner).collect();
        let stranger = if others.is_empty() { NOBODYS } else { *pick(&mut stage.kind_chance, &others) };
        let reply = self.ticket();
        note!(stage, "ticket {}: {stranger:?} meddles with {message}", reply.ticket);
        if stage.kind_chance.chance(500_000) {
            let ask = Ask::Lookup { reply, whose: Whose::Of(stranger), ids: vec![id] };
            return self.ask(id.shard(), reply.ticket, Question::Pry(message), ask, plan, stage);
        }
        let ask = Ask::Cancel { reply, tenant: stranger, id };
        self.ask(id.shard(), reply.ticket, Question::Meddle(message), ask, plan, stage);
        if stage.kind_chance.chance(300_000) {
            let reply = self.ticket();
            let ask = Ask::Cancel { reply, tenant: owner, id };
            self.ask(id.shard(), reply.ticket, Question::Cancel(message), ask, plan, stage);
        }
    }

    fn look_up(&mut self, plan: &Plan, stage: &mut Stage) {
        let message = *pick(&mut stage.chance, &self.known);
        self.look_up_all(vec![message], plan, stage);
    }

    /// Looks up every message whose id reached its client.
    pub fn look_up_told(&mut self, plan: &Plan, stage: &mut Stage) {
        for shard in 0..plan.shards {
            let told = stage.oracle.told_of(ShardId(shard));
            for tenant in plan.owners() {
                let own: Vec<_> =
                    told.iter().copied().filter(|message| stage.oracle.tenant_of(*message) == tenant).collect();
                if !own.is_empty() {
                    self.look_up_all(own, plan, stage);
                }
            }
        }
    }

    fn look_up_all(&mut self, messages: Vec<u32>, plan: &Plan, stage: &mut Stage) {
        let (messages, ids): (Vec<_>, Vec<_>) =
            messages.into_iter().filter_map(|message| Some((message, stage.oracle.id_of(message)?))).unzip();
        let Some(shard) = ids.first().map(|id: &crate::model::MessageId| id.shard()) else { return };
        let reply = self.ticket();
        stage.tally.add_many(Count::Lookups, messages.len() as u64);
        let tenant = messages.first().map(|message| stage.oracle.tenant_of(*message)).unwrap_or_default();
        let ask = Ask::Lookup { reply, whose: Whose::Of(tenant), ids };
        self.ask(shard, reply.ticket, Question::Lookup(messages), ask, plan, stage);
    }

    /// Starts to read every record.
    pub fn read_all(&mut self, plan: &Plan, stage: &mut Stage) {
        self.reading = Some(Reading::default());
        self.read_on(plan, stage);
    }

    fn read_on(&mut self, plan: &Plan, stage: &mut Stage) {
        let reply = self.ticket();
        let Some(reading) = self.reading.as_mut() else { return };
        reading.ticket = reply.ticket;
        let (shard, from) = (ShardId(reading.shard), reading.from);
        let tenant = plan.owners().get(reading.owner).copied().unwrap_or_default();
        let ask = Ask::Records { reply, whose: Whose::Of(tenant), from, limit: PAGE };
        self.ask(shard, reply.ticket, Question::Records(tenant), ask, plan, stage);
    }

    /// Every record, once all have been read.
    pub fn read(&mut self) -> Option<Vec<(ShardId, FoundMessage)>> {
        self.reading.take_if(|reading| reading.is_done).map(|reading| reading.found)
    }

    /// Whether records are being read.
    pub fn are_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// An answer arrives at its client, or is lost on the way.
    pub fn replied(&mut self, to: ReplyTo, reply: Reply, plan: &Plan, stage: &mut Stage) {
        match reply {
            Reply::Submitted(results) => {
                if stage.fault(plan.reply_lost_ppm) {
                    stage.tally.add(Count::RepliesLost);
                } else if let Some(request) = self.requests.remove(&to.ticket) {
                    self.submitted(&request, &results, plan, stage);
                }
            }
            Reply::Records { found, next } => self.page(to, found, next, plan, stage),
            Reply::Found(_)
            | Reply::Cancelled(_)
            | Reply::Claimed(_)
            | Reply::Doubts { .. }
            | Reply::Inbound { .. }
            | Reply::Resolved(_)
            | Reply::Released(_)
            | Reply::Limits(_)
            | Reply::Parked(_)
            | Reply::Unreadable => {}
        }
    }

    fn submitted(&mut self, request: &Request, results: &[LineResult], plan: &Plan, stage: &mut Stage) {
        let mut again = Vec::new();
        for (message, result) in request.messages.iter().zip(results) {
            match result {
                LineResult::Accepted(_) | LineResult::Duplicate(_) => self.known.push(*message),
                LineResult::Refused(refusal) if refusal.retryable() && request.tries < TRIES_MAX => {
                    again.push(*message)
                }
                LineResult::Refused(_) => {}
            }
        }
        if !again.is_empty() {
            stage.tally.add(Count::RequestsRetried);
            self.send(Request { shard: request.shard, messages: again, tries: request.tries + 1 }, plan, stage);
        }
    }

    /// A door admits only the first messages of a request. The others become a request of their own, which gets no
    /// answer; the client retries it when its patience ends.
    pub fn turned_away(&mut self, ticket: u64, let_in: usize, stage: &mut Stage) {
        let Some(request) = self.requests.get_mut(&ticket) else { return };
        if let_in == request.messages.len() {
            return;
        }
        stage.tally.add_many(Count::TurnedAway, (request.messages.len() - let_in) as u64);
        if let_in > 0 {
            let rest = Request { messages: request.messages.split_off(let_in), ..*request };
            let ticket = self.ticket().ticket;
            stage.agenda.after(PATIENCE_NS, Happening::PatienceEnds(ticket));
            self.requests.insert(ticket, rest);
        }
    }

    fn page(&mut self, to: ReplyTo, found: Vec<FoundMessage>, next: Option<Address>, plan: &Plan, stage: &mut Stage) {
        let Some(reading) = self.reading.as_mut().filter(|reading| reading.ticket == to.ticket) else { return };
        reading.found.extend(found.into_iter().map(|found| (ShardId(reading.shard), found)));
        match next {
            Some(from) => reading.from = from,
            None if reading.owner + 1 < plan.owners().len() => {
                (reading.owner, reading.from) = (reading.owner + 1, Address::default());
            }
            None => (reading.shard, reading.owner, reading.from) = (reading.shard + 1, 0, Address::default()),
        }
        if reading.shard >= plan.shards {
            reading.is_done = true;
        } else {
            self.read_on(plan, stage);
        }
    }

    /// A client has waited long enough: with keys it is safe to retry.
    pub fn impatient(&mut self, ticket: u64, plan: &Plan, stage: &mut Stage) {
        let Some(request) = self.requests.remove(&ticket) else { return };
        let messages: Vec<_> = request.messages.iter().copied().filter(|message| is_keyed(*message, stage)).collect();
        if request.tries < TRIES_MAX && !messages.is_empty() {
            stage.tally.add(Count::RequestsRetried);
            self.send(Request { shard: request.shard, messages, tries: request.tries + 1 }, plan, stage);
        }
    }

    /// When the next client acts; chosen so that all have acted by the end of the chaos.
    pub fn next_act_ns(&self, plan: &Plan, stage: &mut Stage) -> u64 {
        let acts = u64::from(plan.messages / 2).max(1);
        let span_ns = if plan.burst { plan.chaos_ns / 10 } else { plan.chaos_ns };
        stage.chance.between(MS, 2 * span_ns / acts)
    }
}

impl Lives {
    /// Draws when a message is to be sent and for how many ms it is valid from then on; it is sent within `left_ms`.
    fn draw(self, wall: Wall, left_ms: u64, chance: &mut Prng) -> (Wall, u64) {
        let ahead_ms = chance.between(1, self.ahead_max_ms.min(left_ms).max(2));
        let send_at = if chance.chance(self.scheduled_ppm) { wall.after_ms(ahead_ms) } else { Wall(0) };
        (send_at, chance.between(60_000, self.lasts_max_ms))
    }
}

fn is_keyed(message: u32, stage: &Stage) -> bool {
    stage.oracle.intent(message).is_some_and(|intent| intent.key.is_some())
}

/// Number of parts as the door counts them: with an 8-bit reference, 153 septets or 67 UCS-2 characters a part.
fn parts_of(characters: usize, ucs2: bool) -> u8 {
    let (single, each) = if ucs2 { (70, 67) } else { (160, 153) };
    let parts = if characters <= single { 1 } else { characters.div_ceil(each) };
    u8::try_from(parts).unwrap_or(u8::MAX)
}
