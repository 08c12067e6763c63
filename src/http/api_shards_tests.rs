//! Shards that keep everything in a list and answer at once, for the API's tests.

use super::*;
use stentor_core::model::Msisdn;

/// Every shard in one: a list of messages in the order of admission.
#[derive(Default)]
pub(super) struct Shards {
    kept: Vec<(ShardId, FoundMessage)>,
    keys: HashMap<u128, KeyPrint>,
}

impl Shards {
    pub(super) fn answer(&mut self, shard: ShardId, ask: Ask) -> (ReplyTo, Reply) {
        match ask {
            Ask::Submit(frame) => {
                let results = frame.heads.iter().map(|head| {
                    let content = frame.arena[head.content_at as usize..][..head.content_len as usize].to_vec();
                    self.keep(shard, *head, content)
                });
                (frame.reply, Reply::Submitted(results.collect()))
            }
            Ask::Claim { reply, print, .. } => {
                let known = *self.keys.entry(print.key).or_insert(print);
                (reply, Reply::Claimed(if known == print { Claimed::Ours } else { Claimed::Reused }))
            }
            Ask::Lookup { reply, whose, ids } => {
                (reply, Reply::Found(ids.into_iter().map(|id| self.look_up(whose, id)).collect()))
            }
            Ask::Cancel { reply, tenant, id } => (
                reply,
                Reply::Cancelled(match self.look_up(Whose::Of(tenant), id) {
                    Lookup::Found(found) if found.view.state == MessageState::Scheduled => Cancelled::Done,
                    Lookup::Found(_) => Cancelled::TooLate,
                    Lookup::Unknown => Cancelled::Unknown,
                    Lookup::Gone => Cancelled::Gone,
                }),
            ),
            // This tenant has one message, at the end of a long log.
            Ask::Records { reply, whose: Whose::Of(PATIENT), from, .. } if from.segment() < PASSED => {
                (reply, Reply::Records { found: Vec::new(), next: Some(Address::new(from.segment() + 1, 0)) })
            }
            Ask::Records { reply, whose, from, limit } => {
                let of = |(own, found): &&(ShardId, FoundMessage)| {
                    *own == shard && whose.includes(found.head.tenant) && found.id.address() >= from
                };
                let mut found: Vec<_> = self.kept.iter().filter(of).map(|(_, found)| found.clone()).collect();
                let next = found.get(limit).map(|found| found.id.address());
                found.truncate(limit);
                (reply, Reply::Records { found, next })
            }
            Ask::Search { reply, whose, to, since, below, limit } => {
                (reply, self.search(shard, whose, (to, since, below), limit))
            }
            Ask::Inbound { reply, whose, from, limit } => (reply, inbound(shard, whose, from, limit)),
            Ask::Doubts { reply, .. } => (reply, Reply::Doubts { found: Vec::new(), next: None }),
            Ask::Resolve { reply, ids, .. } => {
                let known = |id: &MessageId| self.kept.iter().any(|(_, found)| found.id == *id);
                let resolved = |id| if known(id) { Resolved::NotInDoubt } else { Resolved::Unknown };
                (reply, Reply::Resolved(ids.iter().map(resolved).collect()))
            }
            Ask::Release { reply, .. } => (reply, Reply::Released(2)),
            Ask::Parked { reply } => (reply, Reply::Parked(limits::parked())),
        }
    }

    fn search(
        &self,
        shard: ShardId,
        whose: Whose,
        (to, since, below): (Msisdn, Wall, Option<Address>),
        limit: usize,
    ) -> Reply {
        let of = |(own, found): &&(ShardId, FoundMessage)| {
            let is_before = below.is_none_or(|below| found.id.address() < below);
            let head = &found.head;
            *own == shard && is_before && head.to == to && whose.includes(head.tenant) && head.accepted_at >= since
        };
        let mut found: Vec<_> = self.kept.iter().rev().filter(of).map(|(_, found)| found.clone()).collect();
        let is_more = found.len() > limit;
        found.truncate(limit);
        Reply::Records { next: found.last().filter(|_| is_more).map(|found| found.id.address()), found }
    }

    fn keep(&mut self, shard: ShardId, head: stentor_core::model::Head, content: Vec<u8>) -> LineResult {
        if head.to.number() % 10 == 9 {
            return LineResult::Refused(Refusal::QueueFull);
        }
        let id = MessageId::new(Wall(1_000), NodeId(1), shard, Address::new(1, self.kept.len() as u16));
        let state = if head.send_at.0 > 0 { MessageState::Scheduled } else { MessageState::Queued };
        let view = MessageView { state, parts: head.parts, ..MessageView::default() };
        self.kept.push((shard, FoundMessage { id, head, content, view }));
        LineResult::Accepted(id)
    }

    fn look_up(&self, whose: Whose, id: MessageId) -> Lookup {
        if id.address().segment() == 99 {
            return Lookup::Gone;
        }
        let found = self.kept.iter().find(|(_, found)| found.id == id && whose.includes(found.head.tenant));
        found.map_or(Lookup::Unknown, |(_, found)| Lookup::Found(Box::new(found.clone())))
    }
}

/// Two messages of each shard, one of them tenant 7's.
fn inbound(shard: ShardId, whose: Whose, from: Address, limit: usize) -> Reply {
    let kept = [(1, None), (2, Some(7))].map(|(commit, tenant)| {
        let text = format!("{} {commit}", shard.0).into_bytes();
        (Address::new(commit, 0), HandsetRecord { tenant, text, parts: 1, ..HandsetRecord::default() })
    });
    let of = |(at, record): &(Address, HandsetRecord)| {
        let is_seen = match (whose, record.tenant) {
            (Whose::All, _) => true,
            (Whose::Of(_), owner) => owner.is_some_and(|owner| whose.includes(TenantId(owner))),
        };
        *at >= from && is_seen
    };
    let mut found: Vec<_> = kept.into_iter().filter(of).collect();
    let next = found.get(limit).map(|(at, _)| *at);
    found.truncate(limit);
    Reply::Inbound { found, next }
}
