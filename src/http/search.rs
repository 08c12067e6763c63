//! `GET /v1/messages?to=…`: messages to a recipient, the newest first. The recipient determines the shard, so only one shard is
//! asked, page by page, until the time for a search is over; then the answer ends with a cursor, perhaps without any message.

use std::rc::Rc;

use super::{
    api::{Answered, Api, Asked, Settings, typed},
    auth::Caller,
    body::ResponseBody,
    json::push_text,
    lookup::{self, IDS_MAX},
    problem::{Code, Problem},
    query,
    records::Cursor,
    rfc3339,
    submit::unexpected,
};
use crate::host::executor;
use stentor_core::{
    model::{Address, Content, MessageState, Msisdn, Quoted, ShardId, Wall, limits},
    shard::{Ask, FoundMessage, Reply},
};

/// Messages of an answer when the request sets no `limit`.
const PAGE: usize = 100;
/// How long one request searches.
const BUDGET_NS: u64 = 2_000_000_000;
/// The answer ends once it holds this much; a single message may be larger.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Query {
    /// The recipient as the client wrote it.
    to: String,
    since: Wall,
    state: Option<MessageState>,
    reference: Option<String>,
    tenant: Option<String>,
    limit: usize,
    below: Option<Address>,
}

impl Query {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut read = Self {
            to: String::new(),
            since: Wall(0),
            state: None,
            reference: None,
            tenant: None,
            limit: PAGE,
            below: None,
        };
        for (name, value) in query::pairs(query)? {
            let wrong = |wanted: &str| Problem::new(Code::InvalidParameter, format!("`{name}` must be {wanted}"));
            match &*name {
                // An unescaped plus sign is decoded as a blank, and no number begins with a blank.
                "to" => read.to = value.strip_prefix(' ').map_or_else(|| value.to_string(), |rest| format!("+{rest}")),
                "since" => {
                    let since = rfc3339::parse(&query::time(&value));
                    read.since = since.map_err(|_| wrong("an RFC 3339 time, such as 2026-07-01T12:00:00Z"))?;
                }
                "state" => {
                    let known = MessageState::ALL.into_iter().find(|state| state.name() == value);
                    let names = || format!("one of {}", MessageState::ALL.map(MessageState::name).join(", "));
                    read.state = Some(known.ok_or_else(|| wrong(&names()))?);
                }
                "ref" if value.len() > limits::REFERENCE_BYTES_MAX => return Err(wrong("at most 256 bytes long")),
                "ref" => read.reference = Some(value.into_owned()),
                "tenant" => read.tenant = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=IDS_MAX).contains(limit));
                    read.limit = limit.ok_or_else(|| wrong("a number from 1 to 1000"))?;
                }
                "cursor" => read.below = Some(Cursor::parse(&value, 1)?.position(ShardId(0))),
                _ => {
                    let known = "this call takes `to`, `since`, `state`, `ref`, `limit`, `cursor` and `tenant`";
                    return Err(Problem::new(Code::InvalidParameter, format!("{} is unknown: {known}", Quoted(&name))));
                }
            }
        }
        if read.to.is_empty() {
            let detail = "`to` is missing: messages are searched by recipient; `GET /v1/records` reads all messages";
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        Ok(read)
    }

    fn wants(&self, found: &FoundMessage) -> bool {
        let reference = || Content::decode(&found.content).unwrap_or_default().reference.to_owned();
        self.state.is_none_or(|state| found.view.state == state)
            && self.reference.as_ref().is_none_or(|wanted| *wanted == reference())
    }
}

impl Api {
    pub(super) async fn search(self: &Rc<Self>, asked: &Asked, caller: Caller<'_>, settings: &Settings) -> Answered {
        let query = Query::read(asked.query())?;
        let (whose, tenants) = (caller.reads(query.tenant.as_deref(), &settings.tenants)?, &settings.tenants);
        let to = settings.numbering.parse(&query.to);
        let to: Msisdn = to.map_err(|error| Problem::new(Code::InvalidRecipient, format!("`to`: {error}")))?;
        let shard = self.shards.shard_of(to.number());
        let (room, until) = (asked.body.claim(), executor::now().mono.after_ns(BUDGET_NS));
        let (mut out, mut count, mut below) = (Vec::from(&b"{\"messages\":["[..]), 0, query.below);
        let next = loop {
            let (since, limit) = (query.since, query.limit - count);
            let turn = self.turns.wait(caller.tenant.id()).await;
            let ask = self.door.ask(shard, |reply| Ask::Search { reply, whose, to, since, below, limit }).await?;
            drop(turn);
            let (found, next) = match ask {
                Reply::Records { found, next } => (found, next),
                other => return Err(unexpected(&other)),
            };
            for found in found.iter().filter(|found| query.wants(found)) {
                if count > 0 {
                    out.push(b',');
                }
                let owner = query.tenant.as_ref().map_or("", |_| tenants.name_of(found.head.tenant));
                lookup::write(found, owner, &self.catalog(), &mut out);
                count += 1;
            }
            room.grow(out.capacity()).await?;
            let is_over = executor::now().mono >= until || out.len() >= ANSWER_BYTES_MAX;
            match next {
                Some(next) if count < query.limit && !is_over => below = Some(next),
                next => break next,
            }
            executor::breathe().await;
        };
        out.push(b']');
        write_next(next, &mut out);
        room.becomes_answer();
        room.shrink(out.capacity());
        Ok(typed("application/json", ResponseBody::Metered(out.into(), room)))
    }
}

/// `,"next":"…"}`
fn write_next(next: Option<Address>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"next\":");
    match next {
        Some(next) => push_text(out, &Cursor::of(&[next.packed()], 1).text()),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> Option<Code> {
        Query::read(query).err().map(|problem| problem.code)
    }

    #[test]
    fn a_recipient_is_asked_for_however_its_plus_sign_is_written() {
        for to in ["%2B4915112345678", "+4915112345678", "%2b49 151%2012345678"] {
            let read = Query::read(&format!("to={to}")).expect("sound");
            assert!(["+4915112345678", "+49 151 12345678"].contains(&read.to.as_str()), "{}", read.to);
        }
        let all = "to=1&since=2026-07-01T14:00:00+02:00&state=delivered&ref=a+b%26c&limit=7&tenant=shop&cursor=0100000000010001";
        let expected = Query {
            to: "1".to_owned(),
            since: Wall(1_782_907_200_000),
            state: Some(MessageState::Delivered),
            reference: Some("a b&c".to_owned()),
            tenant: Some("shop".to_owned()),
            limit: 7,
            below: Some(Address::new(1, 1)),
        };
        assert_eq!(Query::read(all), Ok(expected));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in
            ["", "ref=x", "to=1&x=1", "to=1&limit=0", "to=1&limit=1001", "to=1&since=noon", "to=1&state=lost", "to=%2"]
        {
            assert_eq!(code(wrong), Some(Code::InvalidParameter), "{wrong}");
        }
        assert_eq!(code("to=1&cursor=01"), Some(Code::InvalidCursor));
        assert_eq!(code("to=%ff"), Some(Code::InvalidParameter));
    }
}
