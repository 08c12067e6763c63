//! Calls that read messages (one, many, all in order) and the call that cancels one. Each asks the shards that the ids name and
//! shows their answers.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use hyper::header::ACCEPT;

use super::{
    api::{Answered, Api, Asked, json_only, no_query, typed, written},
    auth::{Caller, Tenants},
    body::{BodySender, ResponseBody},
    json::Object,
    lookup::{self, DOCUMENT_BYTES_MAX},
    problem::{Code, Flaw, Problem},
    query,
    records::{self, Format, Page, Patience, Query},
    submit::unexpected,
};
use crate::host::executor::{self, OnPanic};
use stentor_core::{
    model::{MessageId, Quoted, ShardId, TenantId, Whose},
    shard::{Ask, Cancelled, FoundMessage, Lookup, Reply},
};

/// Pages that may wait for a slow client.
const PAGES_AHEAD: usize = 2;
/// Messages with their timelines that are written between two looks at the clock.
const WRITTEN_AT_ONCE: usize = 32;

impl Api {
    pub(super) async fn show(self: &Rc<Self>, asked: &Asked, caller: Caller<'_>, tenants: &Tenants) -> Answered {
        let seen = Seen::read(asked, caller, tenants)?;
        let (id, shard) = self.id(asked)?;
        match self.look_up(shard, &seen, vec![id]).await?.pop() {
            Some(Lookup::Found(found)) => {
                let owner = seen.owner(&found);
                Ok(written("application/json", |out| lookup::write(&found, owner, &self.catalog(), out)))
            }
            Some(Lookup::Gone) => Err(problem(lookup::gone())),
            Some(Lookup::Unknown) | None => Err(problem(lookup::unknown())),
        }
    }

    pub(super) async fn cancel(self: &Rc<Self>, asked: &Asked, tenant: TenantId) -> Answered {
        no_query(asked)?;
        let (id, shard) = self.id(asked)?;
        match self.door.ask(shard, |reply| Ask::Cancel { reply, tenant, id }).await? {
            Reply::Cancelled(Cancelled::Done) => Ok(written("application/json", |out| {
                let mut object = Object::begin(out);
                object.id("id", id).text("state", "cancelled");
                object.end();
            })),
            Reply::Cancelled(Cancelled::TooLate) => {
                Err(Problem::new(Code::TooLateToCancel, "the message is with a carrier or already final"))
            }
            Reply::Cancelled(Cancelled::Busy) => {
                Err(Problem::new(Code::Overloaded, "too many cancelled messages are still in the queue"))
            }
            Reply::Cancelled(Cancelled::Unknown) => Err(problem(lookup::unknown())),
            Reply::Cancelled(Cancelled::Gone) => Err(problem(lookup::gone())),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn lookup(self: &Rc<Self>, asked: Asked, caller: Caller<'_>, tenants: &Tenants) -> Answered {
        let seen = Seen::read(&asked, caller, tenants)?;
        json_only(&asked)?;
        let body = asked.body.within(DOCUMENT_BYTES_MAX).whole().await?;
        let ids = lookup::read_ids(&body)?;
        let room = body.into_room();
        let mut held_bytes = room.bytes();
        let unknown = Rc::new(Lookup::Unknown);
        let mut found: Vec<_> = ids.iter().map(|_| Rc::clone(&unknown)).collect();
        let mut by_shard: BTreeMap<ShardId, Vec<(usize, MessageId)>> = BTreeMap::new();
        for (place, (_, id)) in ids.iter().enumerate() {
            if let Some((id, shard)) = id.and_then(|id| Some((id, self.shard(id.shard())?))) {
                by_shard.entry(shard).or_default().push((place, id));
            }
        }
        for (shard, mut wanted) in by_shard {
            wanted.sort_unstable_by_key(|(_, id)| (id.address(), *id));
            for wanted in questions(&wanted) {
                // An id that is asked for a thousand times is read, and held in memory, once.
                let mut unique: Vec<MessageId> = wanted.iter().map(|(_, id)| *id).collect();
                unique.dedup();
                let answers = self.look_up(shard, &seen, unique.clone()).await?.into_iter().map(Rc::new);
                let answers: Vec<Rc<Lookup>> = answers.collect();
                let mut at = 0;
                for (place, id) in wanted {
                    at += usize::from(unique.get(at) != Some(id));
                    if let Some(answer) = answers.get(at) {
                        held_bytes += entry_bytes(answer);
                        found[*place] = Rc::clone(answer);
                    }
                }
                room.grow(held_bytes).await?;
            }
        }
        let (catalog, mut out) = (self.catalog(), Vec::with_capacity(1_024));
        out.extend_from_slice(b"{\"messages\":[");
        for (place, ((asked, _), found)) in ids.iter().zip(&found).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            lookup::write_entry(asked, found, |found| seen.owner(found), &catalog, &mut out);
            if place % WRITTEN_AT_ONCE == 0 {
                executor::breathe().await;
            }
        }
        out.extend_from_slice(b"]}");
        drop(found);
        room.becomes_answer();
        room.shrink(out.capacity());
        Ok(typed("application/json", ResponseBody::Metered(out.into(), room)))
    }

    async fn look_up(
        self: &Rc<Self>,
        shard: ShardId,
        seen: &Seen<'_>,
        ids: Vec<MessageId>,
    ) -> Result<Vec<Lookup>, Problem> {
        let (_turn, whose) = (self.turns.wait(seen.caller).await, seen.whose);
        match self.door.ask(shard, |reply| Ask::Lookup { reply, whose, ids }).await? {
            Reply::Found(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// The id in the path, and the shard that it belongs to.
    fn id(&self, asked: &Asked) -> Result<(MessageId, ShardId), Problem> {
        let id = asked.parameter.parse::<MessageId>().map_err(|_| problem(lookup::no_id(&asked.parameter)))?;
        let shard = self.shard(id.shard()).ok_or_else(|| problem(lookup::unknown()))?;
        Ok((id, shard))
    }

    pub(super) async fn records(
        self: &Rc<Self>,
        asked: &Asked,
        caller: Caller<'_>,
        tenants: &Arc<Tenants>,
    ) -> Answered {
        let mut query = Query::read(asked.query(), asked.head.headers.get(ACCEPT), self.shards.shards())?;
        let whose = caller.reads(query.tenant.as_deref(), tenants)?;
        let (tenant, tenants) = (caller.tenant.id(), query.tenant.is_some().then(|| Arc::clone(tenants)));
        if let Some(name) = &query.reader {
            query.cursor = self.reader_stands(caller.tenant.id(), name)?;
        }
        let media = match query.format {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv(_) => "text/csv; charset=utf-8; header=present",
        };
        let (api, patience) = (Rc::clone(self), Patience::default());
        let mut reader = RecordReader { api, tenant, whose, tenants, query, shard: ShardId(0), patience, ended: false };
        let first = reader.next().await?;
        let room = asked.body.claim();
        room.becomes_answer();
        let (mut sender, body) = ResponseBody::channel(PAGES_AHEAD, Some(room));
        executor::spawn(OnPanic::Survive, "records", async move {
            let mut start = Vec::new();
            records::write_start(reader.query.format, reader.tenants.is_some(), &mut start);
            start.extend(first.iter().flatten());
            if sender.send(start.into()).await.is_ok() {
                send_pages("records", sender, async || reader.next().await).await;
            }
        });
        Ok(typed(media, body))
    }
}

/// Whose messages a call shows, and whether each names its tenant.
#[derive(Debug)]
struct Seen<'t> {
    caller: TenantId,
    whose: Whose,
    /// Set if each message names its tenant.
    tenants: Option<&'t Tenants>,
}

impl<'t> Seen<'t> {
    /// From the query, in which only `tenant` is allowed.
    fn read(asked: &Asked, caller: Caller<'_>, tenants: &'t Tenants) -> Result<Self, Problem> {
        let mut named = None;
        for (name, value) in query::pairs(asked.query())? {
            if name != "tenant" {
                let detail = format!("{} is unknown: this call takes `tenant`", Quoted(&name));
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
            named = Some(value);
        }
        let whose = caller.reads(named.as_deref(), tenants)?;
        Ok(Self { caller: caller.tenant.id(), whose, tenants: named.map(|_| tenants) })
    }

    /// Name of the message's tenant, if it is shown; else empty.
    fn owner(&self, found: &FoundMessage) -> &'t str {
        self.tenants.map_or("", |tenants| tenants.name_of(found.head.tenant))
    }
}

/// Memory that an entry of a lookup takes until it is written, its text included.
fn entry_bytes(found: &Lookup) -> usize {
    /// Estimated text of a message that was found: its timeline is the longest part.
    const TEXT_BYTES: usize = 1_024;
    match found {
        Lookup::Found(found) => size_of::<FoundMessage>() + found.content.len() + TEXT_BYTES,
        Lookup::Unknown | Lookup::Gone => size_of::<Lookup>() + 128,
    }
}

/// Divides what one shard is asked for, sorted by address, into questions that each read a few segments: ids from everywhere
/// become many small questions.
fn questions(wanted: &[(usize, MessageId)]) -> Vec<&[(usize, MessageId)]> {
    const SEGMENTS_MAX: usize = 64;
    let (mut questions, mut from, mut segments) = (Vec::new(), 0, 0);
    for (at, (_, id)) in wanted.iter().enumerate() {
        let is_new = at == from || wanted[at - 1].1.address().segment() != id.address().segment();
        if is_new && segments == SEGMENTS_MAX {
            questions.push(&wanted[from..at]);
            (from, segments) = (at, 0);
        }
        segments += usize::from(is_new);
    }
    questions.push(&wanted[from..]);
    questions
}

fn problem(flaw: Flaw) -> Problem {
    Problem::new(flaw.code, flaw.detail)
}

/// Walks all shards, page by page.
struct RecordReader {
    api: Rc<Api>,
    /// The tenant that reads; its turns are used.
    tenant: TenantId,
    whose: Whose,
    /// Set if each record names its tenant.
    tenants: Option<Arc<Tenants>>,
    query: Query,
    shard: ShardId,
    patience: Patience,
    ended: bool,
}

impl RecordReader {
    /// The next page, written; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.ended {
            let shard = self.shard;
            let Page { found, next, is_last } = self.page(shard).await?;
            self.query.cursor.advance(shard, next);
            self.query.limit -= found.len() as u64;
            if is_last {
                self.shard = ShardId(shard.0.saturating_add(1));
            }
            let has_patience = is_last || self.patience.goes_on(found.len());
            self.ended = self.query.limit == 0 || self.shard.0 >= self.api.shards.shards() || !has_patience;
            if found.is_empty() && !self.ended {
                continue;
            }
            let mut out = Vec::with_capacity(found.len() * 512);
            if !has_patience {
                records::write_passed(self.query.format, self.tenants.is_some(), &self.query.cursor, &mut out);
                return Ok(Some(out.into()));
            }
            let (catalog, tenants) = (self.api.catalog(), self.tenants.as_deref());
            records::write_page(self.query.format, &found, &self.query.cursor, &catalog, tenants, &mut out);
            return Ok(Some(out.into()));
        }
        Ok(None)
    }

    async fn page(&self, shard: ShardId) -> Result<Page, Problem> {
        let (whose, from) = (self.whose, self.query.cursor.position(shard));
        let limit = usize::try_from(self.query.limit).map_or(records::PAGE, |left| left.min(records::PAGE));
        let turn = self.api.turns.wait(self.tenant).await;
        let asked = self.api.door.ask(shard, |reply| Ask::Records { reply, whose, from, limit }).await?;
        drop(turn);
        let (found, next): (Vec<FoundMessage>, _) = match asked {
            Reply::Records { found, next } => (found, next),
            other => return Err(unexpected(&other)),
        };
        Ok(Page::cut(found, next, from, &self.query, self.query.limit))
    }
}

/// Sends what `next` gives, page by page, until there is no more. An error in the middle breaks the answer off: the client goes on
/// from the last cursor that it saw.
pub(super) async fn send_pages(
    what: &str,
    mut sender: BodySender,
    mut next: impl AsyncFnMut() -> Result<Option<Bytes>, Problem>,
) {
    loop {
        match next().await {
            Ok(Some(page)) => {
                if sender.send(page).await.is_err() {
                    return;
                }
            }
            Ok(None) => return sender.finish(),
            Err(problem) => {
                tracing::warn!(code = problem.code.text(), detail = problem.detail, "{what} broke off");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_core::model::{Address, NodeId, Wall};

    #[test]
    fn ids_from_everywhere_are_many_small_questions_and_neighbours_one() {
        let id = |segment, slot| MessageId::new(Wall(1), NodeId(1), ShardId(0), Address::new(segment, slot));
        let neighbours: Vec<_> = (0..1_000).map(|slot| (slot, id(7 + slot as u64 / 500, slot as u16))).collect();
        assert_eq!(questions(&neighbours).iter().map(|one| one.len()).collect::<Vec<_>>(), [1_000]);
        let everywhere: Vec<_> = (0..200).map(|at| (at, id(at as u64 / 2, 0))).collect();
        let sizes: Vec<_> = questions(&everywhere).iter().map(|one| one.len()).collect();
        assert_eq!(sizes, [128, 72]);
        assert_eq!(questions(&everywhere).concat(), everywhere);
        assert_eq!(questions(&[(0, id(1, 1))]).len(), 1);
    }
}
