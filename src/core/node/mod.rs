//! One core, without its threads and sockets: its shards and links, the mail between them, and the order of their calls.
//! Decides nothing. The daemon, the simulator and the tests drive this same object, each as a [`Host`] of its own.
//!
//! Calling order: any number of events ([`Node::push`], `handle_*`), then [`Node::turn`], then sleep until
//! [`Node::poll_timeout`], or call `turn` again if it returned false.
//!
//! A turn repeats these steps until no mail is left or it is late: deliver mail; then take each shard's batch, reads
//! and effects; then each link's effects; then offer mail again that other cores had no room for.
//!
//! Invariants:
//! 1. Only the node asks its shards and links what they want done.
//! 2. Mail between one sender and one receiver arrives in the order in which it was sent, and none is lost: what a full
//!    mailbox gives back stays here, and all later mail for the same core waits behind it.
//! 3. A turn takes at least one item of mail, however late it is: a node whose turns are always late still makes progress.

pub mod event;
#[cfg(test)]
mod tests;
pub mod world;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limit::{Home, ToHome};
use crate::link::{self, BindId, Disconnect, Link, LinkEffect, LinkEvent};
use crate::model::{DiskRoom, LimitId, LinkId, Mono, Now, ReplyTo, ShardId, Sound};
use crate::shard::{self, Catalog, Effect, Reply, Shard, ShardEvent};
use crate::store::Recovery;
use crate::store::fold::ReaderAt;

pub use event::{Alarm, Errand, Host, NodeEvent, Wanted};

/// Time until a full mailbox is tried again.
const RETRY_MS: u64 = 1;

/// The stage of its life in which a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stretch {
    /// Everything is accepted.
    #[default]
    Serving,
    /// Nothing new is accepted; the node waits for what is under way.
    Draining,
    /// Last checkpoints are written.
    Sealing,
    /// The end: there are no shards any more.
    Ended,
}

/// The shards and links of one core.
#[derive(Debug)]
pub struct Node {
    core: u8,
    catalog: Arc<Catalog>,
    shards: Vec<(ShardId, Shard)>,
    /// The home of the counters of limits; on core 0 alone.
    home: Option<Home>,
    /// The index of a link never changes.
    links: Vec<(LinkId, Link)>,
    /// Mail to be delivered: what this core sent to itself, and what was pushed. What a late turn leaves is delivered
    /// in the next one.
    mail: VecDeque<NodeEvent>,
    /// By core: mail for which its mailbox had no room.
    refused: Vec<VecDeque<NodeEvent>>,
    retry_at: Option<Mono>,
    disk: DiskRoom,
    stretch: Stretch,
    /// The time at the last turn.
    clocks: Option<Now>,
}

impl Node {
    /// A node without shards and links; `cores` is the number of nodes.
    pub fn new(core: u8, cores: usize, catalog: Arc<Catalog>) -> Self {
        let shards = (0..=u8::MAX).map(ShardId).take(catalog.shard_cores.len());
        let home = (core == 0).then(|| Home::new(shards, Arc::clone(&catalog.limits)));
        Self {
            core,
            catalog,
            home,
            shards: Vec::new(),
            links: Vec::new(),
            mail: VecDeque::new(),
            refused: (0..cores).map(|_| VecDeque::new()).collect(),
            retry_at: None,
            disk: DiskRoom::Ample,
            stretch: Stretch::Serving,
            clocks: None,
        }
    }

    /// Adds a shard, recovered from its store.
    pub fn seat_shard(&mut self, options: shard::Options, seed: u64, found: Recovery, now: Now) {
        let id = options.shard;
        let mut shard = Shard::recover(options, seed, found, now);
        shard.handle(ShardEvent::Catalog(Arc::clone(&self.catalog)), now);
        self.shards.push((id, shard));
    }

    /// Adds a link behind the last one, or gives new options to a link that exists. Gives its index. Links are never removed.
    pub fn seat_link(&mut self, options: link::Options, seed: u64, now: Now) -> usize {
        let id = options.link;
        if let Some(place) = self.links.iter().position(|(known, _)| *known == id) {
            self.links[place].1.handle(LinkEvent::Reconfigure(Box::new(options)), now);
            return place;
        }
        let mut link = Link::new(options, seed, now);
        link.handle(LinkEvent::Disk(self.disk), now);
        self.links.push((id, link));
        self.links.len() - 1
    }

    /// A new catalog is in force.
    pub fn handle_catalog(&mut self, catalog: &Arc<Catalog>, now: Now) {
        self.catalog = Arc::clone(catalog);
        if let Some(home) = &mut self.home {
            home.set_rules(&catalog.limits, now);
        }
        self.tell_shards(|| ShardEvent::Catalog(Arc::clone(catalog)), now);
    }

    /// Tells every shard how far readers of records have come.
    pub fn handle_readers(&mut self, of: impl Fn(ShardId) -> Vec<ReaderAt>, now: Now) {
        for (id, shard) in &mut self.shards {
            shard.handle(ShardEvent::Readers(of(*id)), now);
        }
    }

    /// Gives new options to one of the shards.
    pub fn handle_options(&mut self, options: shard::Options, now: Now) {
        if let Some(shard) = find(&mut self.shards, options.shard) {
            shard.handle(ShardEvent::Reconfigure(Box::new(options)), now);
        }
    }

    /// Adds mail; the next turn delivers it.
    pub fn push(&mut self, mail: NodeEvent) {
        self.mail.push_back(mail);
    }

    /// A connection was opened.
    pub fn handle_connected(&mut self, link: usize, bind: BindId, now: Now) {
        self.tell_link(link, LinkEvent::Connected { bind }, now);
    }

    /// Bytes arrived on a connection. Gives how many were consumed; the caller lets others run before it passes the rest.
    pub fn handle_bytes(&mut self, link: usize, bind: BindId, bytes: &[u8], now: Now) -> usize {
        self.links.get_mut(link).map_or(bytes.len(), |(_, link)| link.handle_bytes(bind, bytes, now))
    }

    /// Appends the bytes to be written on a connection to `out`. False if there are none.
    pub fn take_transmit(&mut self, link: usize, bind: BindId, out: &mut Vec<u8>) -> bool {
        self.links.get_mut(link).is_some_and(|(_, link)| link.take_transmit(bind, out))
    }

    /// The beginning of a PDU whose rest has not arrived on a connection.
    pub fn begun(&self, link: usize, bind: BindId) -> &[u8] {
        self.links.get(link).map_or(&[], |(_, link)| link.begun(bind))
    }

    /// The socket accepted `bytes` bytes.
    pub fn handle_written(&mut self, link: usize, bind: BindId, bytes: usize, now: Now) {
        self.tell_link(link, LinkEvent::Written { bind, bytes }, now);
    }

    /// The reason of a connection's end in words; the end itself is reported next.
    pub fn handle_words(&mut self, link: usize, bind: BindId, words: String, now: Now) {
        self.tell_link(link, LinkEvent::Words { bind, words }, now);
    }

    /// A connection has ended, or could not be opened.
    pub fn handle_disconnected(&mut self, link: usize, bind: BindId, reason: Disconnect, torn: bool, now: Now) {
        self.tell_link(link, LinkEvent::Disconnected { bind, reason, torn }, now);
    }

    fn tell_link(&mut self, link: usize, event: LinkEvent, now: Now) {
        if let Some((_, link)) = self.links.get_mut(link) {
            link.handle(event, now);
        }
    }

    /// Does everything that can be done. False if it was late: then it must be called again after other tasks have run.
    pub fn turn(&mut self, now: Now, host: &mut impl Host) -> bool {
        self.handle_timeouts(now);
        loop {
            self.dispatch(now, host);
            self.tell_given(host);
            let takes_batches = host.takes_batches(self.mail.is_empty());
            for at in 0..self.shards.len() {
                self.turn_shard(at, takes_batches, host);
            }
            for at in 0..self.links.len() {
                self.turn_link(at, host);
            }
            self.post_again(host);
            if self.mail.is_empty() || host.is_late() {
                break;
            }
        }
        let is_refused = self.refused.iter().any(|mail| !mail.is_empty());
        self.retry_at = is_refused.then(|| now.mono.after_ms(RETRY_MS));
        debug_assert_eq!(self.check(), Ok(()), "the invariants at the head of that type's file");
        self.mail.is_empty()
    }

    /// Checks the invariants of the shards and links on this core.
    ///
    /// # Errors
    /// The first invariant that is broken.
    pub fn check(&self) -> Sound {
        self.shards.iter().try_for_each(|(_, shard)| shard.check())?;
        self.home.iter().try_for_each(Home::check)?;
        self.links.iter().try_for_each(|(_, link)| link.check())
    }

    /// Whether the wall clock was set since the last turn. Then a turn is wanted: shards record it, also those with nothing to do.
    pub fn is_clock_set(&self, now: Now) -> bool {
        self.clocks.is_some_and(|before| now.jumped_ms(before) != 0)
    }

    fn handle_timeouts(&mut self, now: Now) {
        if self.is_clock_set(now) {
            self.shards.iter_mut().for_each(|(_, shard)| shard.handle_timeout(now));
        }
        self.clocks = Some(now);
        if let Some(home) = &mut self.home {
            home.handle_timeout(now);
        }
        for (_, shard) in &mut self.shards {
            if shard.poll_timeout().is_some_and(|at| at <= now.mono) {
                shard.handle_timeout(now);
            }
        }
        for (_, link) in &mut self.links {
            if link.poll_timeout().is_some_and(|at| at <= now.mono) {
                link.handle_timeout(now);
            }
        }
    }

    /// Delivers mail until the turn is late. The largest item is a frame, a quarter of a shard's batch.
    fn dispatch(&mut self, now: Now, host: &mut impl Host) {
        while let Some(mail) = self.mail.pop_front() {
            match mail {
                NodeEvent::Shard(id, event) => match find(&mut self.shards, id) {
                    Some(shard) => shard.handle(event, now),
                    None => host.alarm(Alarm::Misrouted(NodeEvent::Shard(id, event))),
                },
                NodeEvent::Link(id, event) => match find(&mut self.links, id) {
                    Some(link) => link.handle(event, now),
                    None => host.alarm(Alarm::Misrouted(NodeEvent::Link(id, event))),
                },
                NodeEvent::Reply(to, reply) => host.reply(to, reply),
                NodeEvent::Home(mail) => self.handle_home(mail, now, host),
                NodeEvent::Disk(room) => {
                    self.disk = room;
                    self.tell_shards(|| ShardEvent::Disk(room), now);
                    self.tell_links(|| LinkEvent::Disk(room), now);
                }
                NodeEvent::Drain => {
                    self.stretch = self.stretch.max(Stretch::Draining);
                    self.tell_shards(|| ShardEvent::Drain, now);
                    self.tell_links(|| LinkEvent::Drain, now);
                }
                NodeEvent::Stop => self.tell_links(|| LinkEvent::Stop, now),
                NodeEvent::Seal => {
                    self.stretch = self.stretch.max(Stretch::Sealing);
                    self.tell_shards(|| ShardEvent::Checkpoint, now);
                }
                NodeEvent::End => {
                    self.stretch = Stretch::Ended;
                    self.shards.clear();
                }
            }
            if host.is_late() {
                return;
            }
        }
    }

    fn handle_home(&mut self, mail: ToHome, now: Now, host: &mut impl Host) {
        match (&mut self.home, mail) {
            (Some(home), ToHome::Look(to)) => {
                let seen = home.look(now);
                self.reply(to, Reply::Limits(seen), host);
            }
            (Some(home), mail) => home.handle(mail, now),
            (None, mail) => host.alarm(Alarm::Misrouted(NodeEvent::Home(mail))),
        }
    }

    /// Sends the home's permits to their shards.
    fn tell_given(&mut self, host: &mut impl Host) {
        while let Some((shard, given)) = self.home.as_mut().and_then(Home::poll_given) {
            let core = self.catalog.core_of(shard);
            self.send(core, NodeEvent::Shard(shard, ShardEvent::Given(given)), host);
        }
    }

    /// How much of each limit is used: the largest share among its counters. Empty on a core that is not the home's.
    pub fn limits_used(&mut self, now: Now) -> Vec<(LimitId, f64)> {
        self.home.as_mut().map(|home| home.used(now)).unwrap_or_default()
    }

    fn tell_shards(&mut self, event: impl Fn() -> ShardEvent, now: Now) {
        self.shards.iter_mut().for_each(|(_, shard)| shard.handle(event(), now));
    }

    fn tell_links(&mut self, event: impl Fn() -> LinkEvent, now: Now) {
        self.links.iter_mut().for_each(|(_, link)| link.handle(event(), now));
    }

    /// Carries out everything that a shard wants done.
    fn turn_shard(&mut self, at: usize, takes_batches: bool, host: &mut impl Host) {
        let (id, shard) = &mut self.shards[at];
        let id = *id;
        // A shard has at most one batch under way, so this hands out one at most.
        while takes_batches && let Some(batch) = shard.poll_commit() {
            host.commit(id, batch);
        }
        while let Some(request) = shard.poll_read() {
            host.errand(id, Errand::Read(request));
        }
        while let Some(effect) = self.shards[at].1.poll_effect() {
            match effect {
                Effect::Reply(to, reply) => self.reply(to, reply, host),
                Effect::Link(link, traffic) => {
                    self.send(link.core, NodeEvent::Link(link, LinkEvent::Traffic(traffic)), host);
                }
                Effect::Home(mail) => self.send(0, NodeEvent::Home(mail), host),
                Effect::Maintain(work) => host.errand(id, Errand::Maintain(work)),
                Effect::Alarm(what) => host.alarm(Alarm::Shard(id, what)),
                Effect::Note(what) => host.alarm(Alarm::Note(id, what)),
            }
        }
    }

    /// Carries out everything that a link wants done.
    fn turn_link(&mut self, at: usize, host: &mut impl Host) {
        while let Some(effect) = self.links[at].1.poll_effect() {
            match effect {
                LinkEffect::Connect { bind, way } => host.connection(at, bind, Wanted::Connect(way)),
                LinkEffect::Transmit { bind } => host.connection(at, bind, Wanted::Transmit),
                LinkEffect::Close { bind } => host.connection(at, bind, Wanted::Close),
                LinkEffect::PauseRead { bind } => host.connection(at, bind, Wanted::Pause),
                LinkEffect::ResumeRead { bind } => host.connection(at, bind, Wanted::Resume),
                LinkEffect::ToShard { shard, traffic } => {
                    // Mail for a shard that the catalog does not know goes to core 0, which reports it as misrouted.
                    self.send(self.catalog.core_of(shard), NodeEvent::Shard(shard, ShardEvent::Traffic(traffic)), host);
                }
                LinkEffect::Alarm(alarm) => host.alarm(Alarm::Link(self.links[at].1.name(), alarm)),
            }
        }
    }

    fn reply(&mut self, to: ReplyTo, reply: Reply, host: &mut impl Host) {
        if to.core == self.core {
            host.reply(to, reply);
        } else {
            self.send(to.core, NodeEvent::Reply(to, reply), host);
        }
    }

    fn send(&mut self, core: u8, mail: NodeEvent, host: &mut impl Host) {
        let Some(mail) = host.pass(core, mail) else { return };
        if core == self.core {
            return self.mail.push_back(mail);
        }
        let Some(waiting) = self.refused.get_mut(usize::from(core)) else { return host.alarm(Alarm::Misrouted(mail)) };
        if waiting.is_empty() {
            waiting.extend(host.post(core, mail));
        } else {
            waiting.push_back(mail);
        }
    }

    /// Offers mail again for which mailboxes had no room, in order.
    fn post_again(&mut self, host: &mut impl Host) {
        for (core, waiting) in self.refused.iter_mut().enumerate() {
            while let Some(mail) = waiting.pop_front() {
                if let Some(back) = host.post(core as u8, mail) {
                    waiting.push_front(back);
                    break;
                }
            }
        }
    }

    /// Until when to sleep if no event comes; `None`: until an event comes.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let shards = self.shards.iter().filter_map(|(_, shard)| shard.poll_timeout());
        let links = self.links.iter().filter_map(|(_, link)| link.poll_timeout());
        let home = self.home.as_ref().and_then(Home::poll_timeout);
        shards.chain(links).chain(home).chain(self.retry_at).min()
    }

    /// Items of mail that wait for the next turn.
    pub fn waiting(&self) -> usize {
        self.mail.len()
    }

    /// Whether mail is here, or waits for room in another core's mailbox.
    pub fn has_mail(&self) -> bool {
        !self.mail.is_empty() || self.refused.iter().any(|mail| !mail.is_empty())
    }

    /// The stage of its life.
    pub const fn stretch(&self) -> Stretch {
        self.stretch
    }

    /// After [`NodeEvent::Drain`]: shards and links have nothing under way.
    pub fn is_drained(&self) -> bool {
        self.stretch >= Stretch::Draining
            && !self.has_mail()
            && self.links.iter().all(|(_, link)| link.is_drained())
            && self.shards.iter().all(|(_, shard)| shard.is_quiet())
    }

    /// After [`NodeEvent::Seal`]: every checkpoint is durable.
    pub fn is_sealed(&self) -> bool {
        let is_sealed = |shard: &Shard| shard.is_quiet() && !shard.checkpoint_pending();
        self.stretch >= Stretch::Sealing && self.shards.iter().all(|(_, shard)| is_sealed(shard))
    }

    /// Its shards, to be inspected.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.shards.iter().map(|(id, shard)| (*id, shard))
    }

    /// Its links, to be inspected.
    pub fn links(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.links.iter_mut().map(|(id, link)| (*id, link))
    }
}

fn find<I: PartialEq, T>(seats: &mut [(I, T)], id: I) -> Option<&mut T> {
    seats.iter_mut().find(|(known, _)| *known == id).map(|(_, owner)| owner)
}
