//! The test world: a link in virtual time between model shards and a carrier made of server sessions. The shards check the
//! invariants of `traffic` at every step: no more messages than granted, one outcome for each part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::link::{Alarm, BindId, Disconnect, Link, LinkEffect, LinkEvent, Options};
use crate::mesh::ShardMap;
use crate::model::{
    Address, CarrierId, Class, Coding, Content, GroupId, Head, LinkId, Mono, Msisdn, Now, SenderId, ShardId, Wall,
};
use crate::traffic::{
    Answer, Demand, HandsetIn, Outcome, ReceiptIn, ReceiptToken, Span, Submit, SubmitBatch, ToLink, ToShard,
    Unanswered, Verdict, VerdictBatch,
};
use stentor_smpp::pdu::QuerySmResp;
use stentor_smpp::session::{Event, Options as SessionOptions, Session};
use stentor_smpp::status::CommandStatus;

pub(super) const START: Now = Now { mono: Mono(1_000_000_000_000), wall: Wall(1_700_000_000_000) };

/// A submit that the carrier received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub bind: BindId,
    /// Number of the session on its bind.
    pub session: u32,
    pub sequence: u32,
    pub at: Mono,
    pub source: (u8, u8, Vec<u8>),
    pub to: Vec<u8>,
    pub esm_class: u8,
    pub data_coding: u8,
    pub registered: u8,
    pub validity: Vec<u8>,
    pub text: Vec<u8>,
    pub tlvs: Vec<u8>,
}

impl Got {
    pub(super) fn body(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// A query that the carrier received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queried {
    pub bind: BindId,
    pub at: Mono,
    pub id: Vec<u8>,
    pub source: (u8, u8, Vec<u8>),
}

/// An outcome that a shard received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub address: Address,
    pub part: u8,
    pub parts: u8,
    pub answer: Answer,
    pub id: Vec<u8>,
    pub written_at: Mono,
    pub coding: Coding,
}

/// A receipt that a shard received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReceiptTold {
    pub shard: ShardId,
    pub receipt: ReceiptIn,
    pub id: Vec<u8>,
    pub text: Vec<u8>,
}

/// A message from a handset that a shard received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandsetTold {
    pub shard: ShardId,
    pub message: HandsetIn,
    pub name: Vec<u8>,
    pub to: Vec<u8>,
    pub header: Vec<u8>,
    pub text: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct ShardModel {
    pub waiting: [VecDeque<Submit>; Class::COUNT],
    /// Granted places that the shard holds, by class.
    pub places: [u32; Class::COUNT],
    /// Standing places of bulk classes, which are not in `places`.
    pub standing: [u32; Class::COUNT],
    /// Messages handed over that have parts without an outcome, and their parts that have one.
    pub open: BTreeMap<Address, BTreeSet<u8>>,
}

/// A link with its shards and its carrier.
pub(super) struct World {
    pub link: Link,
    pub now: Now,
    pub servers: BTreeMap<BindId, Session<u64>>,
    pub shards: Vec<ShardModel>,
    pub got: Vec<Got>,
    pub told: Vec<Told>,
    /// Outcomes of late answers, after the part was reported as unanswered.
    pub late: Vec<Told>,
    missed: BTreeSet<(Address, u8)>,
    pub receipts: Vec<ReceiptTold>,
    pub handsets: Vec<HandsetTold>,
    pub queried: Vec<Queried>,
    /// What the carrier answers to queries: state and error by message id. It does not know other ids.
    pub states: BTreeMap<Vec<u8>, (u8, u8)>,
    /// The carrier does not answer queries.
    pub is_dumb: bool,
    /// Shards that were told whether the link has a bind that can submit.
    pub bound_told: Vec<(ShardId, bool)>,
    pub delivered: Vec<(BindId, u64, CommandStatus)>,
    pub alarms: Vec<Alarm>,
    pub connects: Vec<(BindId, u16)>,
    /// Number of rounds through all hosts before each attempt to connect.
    pub turns: Vec<u32>,
    pub reads_paused: BTreeSet<BindId>,
    /// If set, connections open at once and binds are answered with this status.
    pub accepts: Option<CommandStatus>,
    /// If set, submits are answered at once with this status.
    pub answers: Option<CommandStatus>,
    /// The socket takes written bytes at once.
    pub writes: bool,
    /// Shards use grants at once.
    pub uses_grants: bool,
    pub unwritten: BTreeMap<BindId, Vec<u8>>,
    pub connecting: BTreeSet<BindId>,
    pub sessions: BTreeMap<BindId, u32>,
    /// Submits that the carrier answered, as indices into `got`.
    pub answered: BTreeSet<usize>,
    /// The window that the carrier enforces; 0: it does not check.
    pub outstanding_max: usize,
    /// Messages in the order of handing over.
    pub handed: Vec<Address>,
    next_slot: u64,
    next_id: u64,
}

impl World {
    pub(super) fn new(change: impl FnOnce(&mut Options)) -> Self {
        let link = LinkId { carrier: CarrierId(3), core: 0 };
        let mut options = Options::new("test", link, GroupId(7), ShardMap::new(2, 1));
        options.account.system_id = b"us".to_vec();
        options.receipt_table_bits = 10;
        change(&mut options);
        let shards = (0..options.shards.shards()).map(|_| ShardModel::default()).collect();
        Self {
            link: Link::new(options, 1, START),
            now: START,
            servers: BTreeMap::new(),
            shards,
            got: Vec::new(),
            told: Vec::new(),
            late: Vec::new(),
            missed: BTreeSet::new(),
            receipts: Vec::new(),
            handsets: Vec::new(),
            queried: Vec::new(),
            states: BTreeMap::new(),
            is_dumb: false,
            bound_told: Vec::new(),
            delivered: Vec::new(),
            alarms: Vec::new(),
            connects: Vec::new(),
            turns: Vec::new(),
            reads_paused: BTreeSet::new(),
            accepts: Some(CommandStatus::ROK),
            answers: None,
            writes: true,
            uses_grants: true,
            unwritten: BTreeMap::new(),
            connecting: BTreeSet::new(),
            sessions: BTreeMap::new(),
            answered: BTreeSet::new(),
            outstanding_max: 0,
            handed: Vec::new(),
            next_slot: 0,
            next_id: 100,
        }
    }

    /// A world whose link is bound and idle.
    pub(super) fn bound(change: impl FnOnce(&mut Options)) -> Self {
        let mut world = Self::new(change);
        world.advance_ms(1);
        world
    }

    pub(super) fn submit_of(
        &mut self,
        to: u64,
        class: Class,
        content: &Content<'_>,
        change: impl FnOnce(&mut Submit),
    ) -> Submit {
        let mut arena = Vec::new();
        content.encode(&mut arena);
        let head = Head {
            to: Msisdn::from_number(to).expect("a number"),
            class,
            receipt: true,
            parts: 1,
            content_len: arena.len() as u32,
            ..Head::default()
        };
        let address = Address::new(self.next_slot / 1_000, (self.next_slot % 1_000) as u16);
        self.next_slot += 1;
        let mut submit = Submit {
            address,
            attempt: 1,
            reference: 0x1234,
            head,
            arena: Arc::new(arena),
            answered: None,
            cut: 0,
            trial: None,
            weight: 1,
        };
        change(&mut submit);
        submit
    }

    /// Adds a text that waits at a shard. The link learns of it by [`Self::demand`].
    pub(super) fn wait(&mut self, shard: u8, to: u64, class: Class, text: &str) -> Address {
        let from = SenderId::parse("Bank").expect("a sender");
        let content = Content { from, body: text.as_bytes(), ..Content::default() };
        let submit = self.submit_of(to, class, &content, |_| {});
        let address = submit.address;
        self.shards[usize::from(shard)].waiting[class.index()].push_back(submit);
        address
    }

    /// [`Self::wait`], followed by the demand.
    pub(super) fn send(&mut self, shard: u8, to: u64, class: Class, text: &str) -> Address {
        let address = self.wait(shard, to, class, text);
        self.demand(shard);
        address
    }

    /// The shard uses its standing places if it has any, else it tells the link its demand.
    pub(super) fn demand(&mut self, shard: u8) {
        let model = &self.shards[usize::from(shard)];
        if let Some(class) = Class::ALL
            .into_iter()
            .find(|class| model.places[class.index()] > 0 && !model.waiting[class.index()].is_empty())
        {
            self.use_places(ShardId(shard), class, false);
        }
        let waiting = self.shards[usize::from(shard)].waiting.each_ref().map(|waiting| waiting.len() as u32);
        self.handle(LinkEvent::Traffic(ToLink::Demand(Demand { shard: ShardId(shard), waiting })));
    }

    /// Hands over as many messages as there are places. Gives unused places back if `give_back` says so.
    pub(super) fn use_places(&mut self, shard: ShardId, class: Class, give_back: bool) {
        let model = &mut self.shards[usize::from(shard.0)];
        let places = model.places[class.index()] as usize;
        let submits: Vec<Submit> = (0..places).map_while(|_| model.waiting[class.index()].pop_front()).collect();
        let rest = (places - submits.len()) as u32;
        let unused = if give_back { rest } else { 0 };
        model.places[class.index()] = rest - unused;
        for submit in &submits {
            model.open.insert(submit.address, BTreeSet::new());
            self.handed.push(submit.address);
        }
        if !submits.is_empty() || unused > 0 {
            let batch = SubmitBatch { shard, class, submits, unused };
            self.handle(LinkEvent::Traffic(ToLink::Submits(batch)));
        }
    }

    /// Hands over the next message of a bulk class over a standing place, as that of a tenant that has just begun to wait. Both
    /// sides count demanded places as used first.
    pub(super) fn use_standing(&mut self, shard: ShardId, class: Class) {
        let model = &mut self.shards[usize::from(shard.0)];
        if model.standing[class.index()] == 0 {
            return;
        }
        let Some(submit) = model.waiting[class.index()].pop_front() else { return };
        let of = if model.places[class.index()] > 0 { &mut model.places } else { &mut model.standing };
        of[class.index()] -= 1;
        model.open.insert(submit.address, BTreeSet::new());
        self.handed.push(submit.address);
        let batch = SubmitBatch { shard, class, submits: vec![submit], unused: 0 };
        self.handle(LinkEvent::Traffic(ToLink::Submits(batch)));
    }

    pub(super) fn handle(&mut self, event: LinkEvent) {
        self.link.handle(event, self.now);
        self.settle();
    }

    /// Carries out all effects until there are no more.
    pub(super) fn settle(&mut self) {
        while let Some(effect) = self.link.poll_effect() {
            match effect {
                LinkEffect::Connect { bind, way } => {
                    self.connects.push((bind, way.host));
                    self.turns.push(way.turn);
                    self.connecting.insert(bind);
                    if self.accepts.is_some() {
                        self.connect(bind);
                    }
                }
                LinkEffect::Transmit { bind } => self.transmit(bind),
                LinkEffect::Close { bind } => self.disconnect(bind, Disconnect::ByUs),
                LinkEffect::ToShard { shard, traffic } => self.tell(shard, traffic),
                LinkEffect::PauseRead { bind } => assert!(self.reads_paused.insert(bind), "paused twice"),
                LinkEffect::ResumeRead { bind } => assert!(self.reads_paused.remove(&bind), "resumed twice"),
                LinkEffect::Alarm(alarm) => self.alarms.push(alarm),
            }
        }
        assert_eq!(self.link.check(), Ok(()));
    }

    pub(super) fn connect(&mut self, bind: BindId) {
        assert!(self.connecting.remove(&bind), "a connection that the link did not ask for");
        let options = SessionOptions { window: 1_000, enquire_link_ns: None, ..SessionOptions::default() };
        self.servers.insert(bind, Session::server(&options, self.now.mono.0));
        *self.sessions.entry(bind).or_default() += 1;
        self.link.handle(LinkEvent::Connected { bind }, self.now);
        self.settle();
    }

    /// The connection ends, or cannot be opened.
    pub(super) fn disconnect(&mut self, bind: BindId, reason: Disconnect) {
        let existed = self.servers.remove(&bind).is_some() | self.connecting.remove(&bind);
        assert!(existed, "{bind:?} has no connection");
        self.unwritten.remove(&bind);
        self.reads_paused.remove(&bind);
        self.link.handle(LinkEvent::Disconnected { bind, reason, torn: false }, self.now);
        self.settle();
    }

    fn transmit(&mut self, bind: BindId) {
        let mut out = Vec::new();
        if self.link.take_transmit(bind, &mut out) {
            self.unwritten.entry(bind).or_default().extend(out);
            if self.writes {
                self.write(bind, usize::MAX);
            }
        }
    }

    /// The socket takes up to `bytes` bytes; the carrier reads them at once.
    pub(super) fn write(&mut self, bind: BindId, bytes: usize) {
        let Some(waiting) = self.unwritten.get_mut(&bind) else { return };
        let bytes = bytes.min(waiting.len());
        let written: Vec<u8> = waiting.drain(..bytes).collect();
        self.link.handle(LinkEvent::Written { bind, bytes }, self.now);
        self.serve(bind, &written);
        self.settle();
    }

    /// The carrier reads `bytes` and answers.
    pub(super) fn serve(&mut self, bind: BindId, bytes: &[u8]) {
        let Some(mut server) = self.servers.remove(&bind) else { return };
        let (mut input, now) = (bytes, self.now.mono);
        while let Some(event) = server.poll_event(&mut input, now.0) {
            match event {
                Event::BindRequest { .. } => {
                    if let Some(status) = self.accepts {
                        let _ = server.answer_bind(status, b"smsc", now.0);
                    }
                }
                Event::Submit { sequence, message, .. } => {
                    let source = message.source;
                    self.got.push(Got {
                        bind,
                        session: self.sessions.get(&bind).copied().unwrap_or_default(),
                        sequence,
                        at: now,
                        source: (source.ton, source.npi, source.digits.to_vec()),
                        to: message.destination.digits.to_vec(),
                        esm_class: message.esm_class.0,
                        data_coding: message.data_coding,
                        registered: message.registered_delivery,
                        validity: message.validity_period.to_vec(),
                        text: message.short_message.to_vec(),
                        tlvs: message.tlvs.bytes().to_vec(),
                    });
                    assert!(self.outstanding_max == 0 || self.outstanding(bind) <= self.outstanding_max, "window");
                    if let Some(status) = self.answers {
                        self.answered.insert(self.got.len() - 1);
                        self.next_id += 1;
                        let id = if status.is_ok() { self.next_id.to_string() } else { String::new() };
                        let _ = server.answer_submit(sequence, status, id.as_bytes());
                    }
                }
                Event::Query { sequence, query } => {
                    let (id, source) = (query.message_id.to_vec(), query.source);
                    let source = (source.ton, source.npi, source.digits.to_vec());
                    let known = self.states.get(&id).copied();
                    let (message_state, error_code) = known.unwrap_or_default();
                    let found = QuerySmResp { message_id: &id, message_state, error_code, ..QuerySmResp::default() };
                    let _ = match known {
                        _ if self.is_dumb => Ok(()),
                        Some(_) => server.answer_query(sequence, CommandStatus::ROK, &found),
                        None => server.answer_query(sequence, CommandStatus::RQUERYFAIL, &QuerySmResp::default()),
                    };
                    self.queried.push(Queried { bind, at: now, id, source });
                }
                Event::DeliverResp(answer) | Event::DataResp(answer) => {
                    self.delivered.push((bind, answer.token, answer.status));
                }
                _ => {}
            }
        }
        self.servers.insert(bind, server);
        self.hear(bind);
    }

    /// The bytes that the carrier wants to send reach the link.
    pub(super) fn hear(&mut self, bind: BindId) {
        let mut out = Vec::new();
        if self.servers.get_mut(&bind).is_some_and(|server| server.poll_transmit(&mut out)) {
            if let Some(server) = self.servers.get_mut(&bind) {
                server.handle_written(out.len());
            }
            self.feed(bind, &out);
        }
    }

    /// The link receives bytes and handles all of them.
    pub(super) fn feed(&mut self, bind: BindId, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let dealt_with = self.link.handle_bytes(bind, rest, self.now);
            assert!(dealt_with > 0, "it goes on");
            rest = &rest[dealt_with..];
            self.settle();
        }
    }

    /// Number of submits of a bind's current session that the carrier has not answered.
    pub(super) fn outstanding(&self, bind: BindId) -> usize {
        self.pending().filter(|at| self.got[*at].bind == bind).count()
    }

    /// Submits that can still be answered, as indices into `got`.
    pub(super) fn pending(&self) -> impl Iterator<Item = usize> {
        let alive = |got: &Got| {
            self.servers.contains_key(&got.bind) && self.sessions.get(&got.bind).copied() == Some(got.session)
        };
        (0..self.got.len()).filter(move |at| !self.answered.contains(at) && alive(&self.got[*at]))
    }

    /// The carrier answers a submit.
    pub(super) fn answer(&mut self, got: &Got, status: CommandStatus, id: &[u8]) {
        self.answered.extend(self.got.iter().position(|other| other == got));
        let server = self.servers.get_mut(&got.bind).expect("a session");
        server.answer_submit(got.sequence, status, id).expect("an answer");
        self.hear(got.bind);
    }

    fn tell(&mut self, shard: ShardId, traffic: ToShard) {
        let model = &mut self.shards[usize::from(shard.0)];
        match traffic {
            ToShard::Grant(grant) if grant.standing && !grant.class.is_urgent() => {
                model.standing[grant.class.index()] += grant.messages;
            }
            ToShard::Grant(grant) => {
                let recall = grant.messages == 0;
                let standing = &mut model.standing[grant.class.index()];
                model.places[grant.class.index()] += if recall { std::mem::take(standing) } else { 0 };
                model.places[grant.class.index()] += grant.messages;
                let keep = grant.class.is_urgent() && !recall;
                if self.uses_grants || recall {
                    self.use_places(shard, grant.class, !keep);
                }
            }
            ToShard::Bound(bound) => self.bound_told.push((shard, bound.is_bound)),
            ToShard::Outcomes(batch) => {
                for outcome in &batch.outcomes {
                    self.conclude(shard, outcome, &batch.arena);
                }
            }
            ToShard::Receipts(batch) => {
                let bytes = |span: Span| span.of(&batch.arena).to_vec();
                for message in batch.handsets {
                    let [name, to, header, text] = [message.name, message.to, message.header, message.text].map(bytes);
                    self.handsets.push(HandsetTold { shard, message, name, to, header, text });
                }
                for receipt in batch.receipts {
                    let (id, text) = (bytes(receipt.id), bytes(receipt.text));
                    self.receipts.push(ReceiptTold { shard, receipt, id, text });
                }
            }
        }
    }

    fn conclude(&mut self, shard: ShardId, outcome: &Outcome, arena: &[u8]) {
        let Outcome { address, part, parts, answer, written_at, coding, .. } = *outcome;
        let id = if let Answer::Accepted(span) = answer { span.of(arena).to_vec() } else { Vec::new() };
        let told = Told { address, part, parts, answer, id, written_at, coding };
        let open = &self.shards[usize::from(shard.0)].open;
        let is_told = open.get(&address).is_none_or(|answered| answered.contains(&part));
        if is_told && self.missed.remove(&(address, part)) {
            self.late.push(told);
            return;
        }
        if answer == Answer::Unanswered(Unanswered::ResponseTimeout) {
            self.missed.insert((address, part));
        }
        let open = &mut self.shards[usize::from(shard.0)].open;
        let answered = open.get_mut(&address).unwrap_or_else(|| panic!("{address} is not open"));
        assert!((1..=parts).contains(&part), "part {part} of {parts}");
        assert!(answered.insert(part), "a second outcome for part {part} of {address}");
        if answered.len() == usize::from(parts) {
            open.remove(&address);
        }
        self.told.push(told);
    }

    /// A shard gives its verdict on a receipt.
    pub(super) fn judge(&mut self, shard: ShardId, token: ReceiptToken, verdict: Verdict) {
        let batch = VerdictBatch { shard, verdicts: vec![(token, verdict)] };
        self.handle(LinkEvent::Traffic(ToLink::Verdicts(batch)));
    }

    /// Lets time pass, and calls the link at each of its timeouts.
    pub(super) fn advance_ns(&mut self, ns: u64) {
        let end = self.now.mono.after_ns(ns);
        while let Some(at) = self.link.poll_timeout().filter(|at| *at <= end) {
            let step = at.since(self.now.mono).max(1);
            self.pass(step);
            self.link.handle_timeout(self.now);
            self.settle();
        }
        self.pass(end.since(self.now.mono));
    }

    fn pass(&mut self, ns: u64) {
        let mono = self.now.mono.after_ns(ns);
        let wall = START.wall.after_ms(mono.since(START.mono) / 1_000_000);
        self.now = Now { mono, wall };
    }

    pub(super) fn advance_ms(&mut self, ms: u64) {
        self.advance_ns(ms * 1_000_000);
    }

    /// The texts that the carrier received, in order.
    pub(super) fn texts(&self) -> Vec<String> {
        self.got.iter().map(Got::body).collect()
    }

    /// The answers in the outcomes that the shards received.
    pub(super) fn outcomes(&self) -> Vec<Answer> {
        self.told.iter().map(|told| told.answer).collect()
    }

    /// Number of messages handed over that have parts without an outcome.
    pub(super) fn open(&self) -> usize {
        self.shards.iter().map(|shard| shard.open.len()).sum()
    }
}
