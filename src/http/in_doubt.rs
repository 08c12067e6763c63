//! The messages in doubt, for operators: pages of them, and an operator's decision on them. Translates names to numbers and back;
//! the shards decide.

use std::{collections::BTreeMap, rc::Rc};

use serde::{Deserialize, Deserializer, de::Error};

use super::{
    api::{Answered, Api, Asked, json_only, no_query, written},
    auth::Tenants,
    document::{self, Only},
    json::Object,
    lookup::{self, DOCUMENT_BYTES_MAX, IDS_MAX, Ids, carrier_name},
    problem::{Code, Flaw, Problem},
    query,
    records::Cursor,
    rfc3339,
    submit::unexpected,
    typed::whole,
};
use stentor_core::{
    delivery::{DoubtFilter, DoubtPolicy, InDoubt},
    model::{Address, Class, Content, MessageId, Quoted, ShardId, Wall, Whose},
    shard::{Ask, Catalog, DoubtAction, FoundDoubt, Reply, Resolved},
    traffic::Unanswered,
};

/// Entries of a page when the request sets no `limit`.
const PAGE: usize = 100;
/// Most entries of one page, and most messages of one decision.
pub(super) const PAGE_MAX: usize = IDS_MAX;

/// The body of `POST /v1/in-doubt/resolve`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    action: Action,
    #[serde(default, deserialize_with = "document::given")]
    ids: Option<Ids>,
    #[serde(default, deserialize_with = "document::given")]
    filter: Option<Only<FilterBody>>,
    #[serde(default, deserialize_with = "read_limit")]
    limit: Option<usize>,
}

/// A whole number in any JSON spelling: `2.0` is one.
fn read_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    let read = number.as_u64().or_else(|| number.as_f64().and_then(whole)).and_then(|number| number.try_into().ok());
    read.map(Some).ok_or_else(|| D::Error::custom("`limit` must be a whole number"))
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Resend,
    Drop,
    Sent,
}

impl Action {
    const fn meant(self) -> DoubtAction {
        match self {
            Self::Resend => DoubtAction::Resend,
            Self::Drop => DoubtAction::Drop,
            Self::Sent => DoubtAction::Sent,
        }
    }

    /// The decision's outcome in the answer.
    const fn done(self) -> &'static str {
        match self {
            Self::Resend => "resent",
            Self::Drop => "dropped",
            Self::Sent => "sent",
        }
    }
}

/// A filter as the client writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
// Null is refused: a variable of the client that was not set must not widen a decision to all tenants, carriers or classes.
struct FilterBody {
    #[serde(default, deserialize_with = "document::given")]
    tenant: Option<String>,
    #[serde(default, deserialize_with = "document::given")]
    carrier: Option<String>,
    #[serde(default, deserialize_with = "document::given")]
    class: Option<String>,
    #[serde(default, deserialize_with = "document::given")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "document::given")]
    since: Option<String>,
}

impl FilterBody {
    /// Translates names to numbers; an unknown name is never taken for "all".
    fn meant(&self, catalog: &Catalog, tenants: &Tenants) -> Result<DoubtFilter, Problem> {
        let wrong =
            |name: &str, wanted: &str| Problem::new(Code::InvalidParameter, format!("`{name}` must be {wanted}"));
        let tenant = match self.tenant.as_deref().map(|name| tenants.named(name)).transpose()? {
            Some(Whose::Of(tenant)) => Some(tenant),
            Some(Whose::All) | None => None,
        };
        let carrier = self.carrier.as_deref().map(|name| {
            let known = catalog.carriers.iter().find(|known| known.name == name).map(|known| known.id);
            let wanted = "`carrier` must be the name of a carrier in the configuration";
            known.ok_or_else(|| Problem::new(Code::UnknownName, wanted))
        });
        let class = self.class.as_deref().map(|name| {
            let known = Class::ALL.into_iter().find(|class| class.name() == name);
            known.ok_or_else(|| wrong("class", "emergency, otp, transactional or marketing"))
        });
        let reason = self.reason.as_deref().map(|name| {
            let known = Unanswered::from_name(name);
            known.ok_or_else(|| wrong("reason", "connection_lost, response_timeout, stopped or crashed"))
        });
        let since = self.since.as_deref().map(|text| {
            rfc3339::parse(&query::time(text))
                .map_err(|_| wrong("since", "an RFC 3339 time, such as 2026-07-01T12:00:00Z"))
        });
        Ok(DoubtFilter {
            tenant,
            carrier: carrier.transpose()?,
            class: class.transpose()?,
            reason: reason.transpose()?,
            since: since.transpose()?,
        })
    }
}

/// The query of a page.
#[derive(Debug)]
struct Query {
    typed: FilterBody,
    cursor: Cursor,
    limit: usize,
}

impl Query {
    fn read(query: &str, shards: u8) -> Result<Self, Problem> {
        let mut read = Self { typed: FilterBody::default(), cursor: Cursor::start(shards), limit: PAGE };
        for (name, value) in query::pairs(query)? {
            let place = match &*name {
                "tenant" => &mut read.typed.tenant,
                "carrier" => &mut read.typed.carrier,
                "class" => &mut read.typed.class,
                "reason" => &mut read.typed.reason,
                "since" => &mut read.typed.since,
                "cursor" => {
                    read.cursor = Cursor::parse(&value, shards)?;
                    continue;
                }
                "limit" => {
                    read.limit = limit(value.parse().ok())?;
                    continue;
                }
                _ => {
                    let known = "this call takes `tenant`, `carrier`, `class`, `reason`, `since`, `cursor` and `limit`";
                    return Err(Problem::new(Code::InvalidParameter, format!("{} is unknown: {known}", Quoted(&name))));
                }
            };
            *place = Some(value.into_owned());
        }
        Ok(read)
    }
}

fn limit(typed: Option<usize>) -> Result<usize, Problem> {
    let wrong = || Problem::new(Code::InvalidParameter, format!("`limit` must be a number from 1 to {PAGE_MAX}"));
    typed.filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(wrong)
}

/// Entries of all shards, and the cursor to go on from; `None` if there are no more.
struct Gathered {
    found: Vec<FoundDoubt>,
    next: Option<Cursor>,
}

impl Api {
    pub(super) async fn in_doubt(self: &Rc<Self>, asked: &Asked, tenants: &Tenants) -> Answered {
        let query = Query::read(asked.query(), self.shards.shards())?;
        let catalog = self.catalog();
        let filter = query.typed.meant(&catalog, tenants)?;
        let gathered = self.gather_doubts(&filter, query.cursor, query.limit).await?;
        Ok(written("application/json", |out| {
            write_page(&gathered.found, gathered.next.as_ref(), &catalog, tenants, out);
        }))
    }

    async fn gather_doubts(
        self: &Rc<Self>,
        filter: &DoubtFilter,
        mut cursor: Cursor,
        limit: usize,
    ) -> Result<Gathered, Problem> {
        let mut found = Vec::new();
        for shard in (0..self.shards.shards()).map(ShardId) {
            loop {
                let (filter, from, left) = (*filter, cursor.position(shard), limit - found.len());
                if left == 0 {
                    return Ok(Gathered { found, next: Some(cursor) });
                }
                let asked = self.door.ask(shard, |reply| Ask::Doubts { reply, filter, from, limit: left }).await?;
                let (page, next) = match asked {
                    Reply::Doubts { found, next } => (found, next),
                    other => return Err(unexpected(&other)),
                };
                let after = page.last().map(|last| last.message.id.address().packed() + 1).map(Address::from_packed);
                found.extend(page);
                let Some(next) = next else {
                    cursor.advance(shard, after.unwrap_or_default());
                    break;
                };
                cursor.advance(shard, next);
            }
        }
        Ok(Gathered { found, next: None })
    }

    pub(super) async fn resolve(self: &Rc<Self>, asked: Asked, tenants: &Tenants) -> Answered {
        no_query(&asked)?;
        json_only(&asked)?;
        let Decision { action, ids, filter, limit: typed_limit } =
            read_decision(&asked.body.within(DOCUMENT_BYTES_MAX).whole().await?)?;
        let (named, mut more) = (ids.is_some(), false);
        let ids: Vec<(String, Option<MessageId>)> = match ids {
            Some(ids) => ids.within_limits()?,
            None => {
                let filter = filter.map(|Only(typed)| typed).unwrap_or_default().meant(&self.catalog(), tenants)?;
                let start = Cursor::start(self.shards.shards());
                let wanted = limit(Some(typed_limit.unwrap_or(PAGE_MAX)))?;
                let Gathered { found, next } = self.gather_doubts(&filter, start, wanted).await?;
                more = next.is_some();
                found.iter().map(|found| (found.message.id.to_string(), Some(found.message.id))).collect()
            }
        };
        let resolved = self.resolve_ids(&ids, action.meant()).await?;
        if let (Some(first), true) = (resolved.first(), named)
            && resolved.iter().all(|other| other == first)
            && let Some(flaw) = flaw(*first)
        {
            return Err(Problem::new(flaw.code, flaw.detail));
        }
        Ok(written("application/json", |out| write_resolved(&ids, &resolved, action, more, out)))
    }

    /// One result for each id, in order. What one shard has decided stays decided when another does not answer.
    async fn resolve_ids(
        self: &Rc<Self>,
        ids: &[(String, Option<MessageId>)],
        action: DoubtAction,
    ) -> Result<Vec<Resolved>, Problem> {
        let mut resolved = vec![Resolved::Unknown; ids.len()];
        let mut by_shard: BTreeMap<ShardId, Vec<(usize, MessageId)>> = BTreeMap::new();
        for (place, (_, id)) in ids.iter().enumerate() {
            if let Some((id, shard)) = id.and_then(|id| Some((id, self.shard(id.shard())?))) {
                by_shard.entry(shard).or_default().push((place, id));
            }
        }
        for (shard, wanted) in by_shard {
            let ids = wanted.iter().map(|(_, id)| *id).collect();
            let answers = match self.door.ask(shard, |reply| Ask::Resolve { reply, ids, action }).await? {
                Reply::Resolved(answers) => answers,
                other => return Err(unexpected(&other)),
            };
            for ((place, _), answer) in wanted.into_iter().zip(answers) {
                resolved[place] = answer;
            }
        }
        Ok(resolved)
    }
}

fn read_decision(body: &[u8]) -> Result<Decision, Problem> {
    let wanted = r#"{"action":"resend|drop|sent","ids":[…]} or {"action":…,"filter":{…}}"#;
    let decision: Decision = document::read(wanted, body)?;
    match (&decision.ids, &decision.filter) {
        (Some(_), Some(_)) => Err(Problem::new(Code::ConflictingFields, "give either `ids` or `filter`, not both")),
        (None, None) => {
            Err(Problem::new(Code::MissingField, "give `ids` or `filter`; the filter `{}` means everything in doubt"))
        }
        (Some(_), None) | (None, Some(_)) => Ok(decision),
    }
}

fn flaw(resolved: Resolved) -> Option<Flaw> {
    match resolved {
        Resolved::Done => None,
        Resolved::NotInDoubt => {
            let what = "the message is not in doubt, or not any more; GET /v1/messages/{id} shows its state";
            Some(Flaw::whole(Code::NotInDoubt, what))
        }
        Resolved::Unknown => Some(Flaw::whole(Code::MessageNotFound, "no message has this id")),
        Resolved::Gone => Some(lookup::gone()),
    }
}

/// `GET /v1/in-doubt`.
pub(super) fn write_page(
    found: &[FoundDoubt],
    next: Option<&Cursor>,
    catalog: &Catalog,
    tenants: &Tenants,
    out: &mut Vec<u8>,
) {
    let mut object = Object::begin(out);
    object.list("in_doubt", found, |out, found| write_entry(found, catalog, tenants, out));
    match next {
        None => drop(object.null("next")),
        Some(cursor) => {
            let out = object.value("next");
            out.push(b'"');
            cursor.push(out);
            out.push(b'"');
        }
    }
    object.end();
}

fn write_entry(found: &FoundDoubt, catalog: &Catalog, tenants: &Tenants, out: &mut Vec<u8>) {
    let FoundDoubt { message, doubt, parts_open, policy } = found;
    let content = Content::decode(&message.content).unwrap_or_default();
    let head = &message.head;
    let mut item = Object::begin(out);
    item.id("id", message.id).text_unless_empty("tenant", tenants.name_of(doubt.lane.tenant));
    item.text("to", &format!("+{}", head.to)).text_unless_empty("from", content.from.as_str());
    item.text("class", head.class.name());
    item.text_unless_empty("route", catalog.routes.get(doubt.lane.route).map_or("", |route| &route.name));
    item.text_unless_empty("carrier", carrier_name(catalog, doubt.carrier));
    if let Some(bind) = doubt.lost.bind {
        item.number("core", bind.core).number("bind", bind.number);
    }
    item.text("reason", doubt.lost.reason.name()).number("attempt", doubt.attempt).number("doubts", doubt.doubts.lost);
    item.time("attempted_at", doubt.sent_at).time("since", doubt.since);
    item.number("parts", message.view.parts).number("parts_open", *parts_open);
    item.text("policy", policy.name());
    let decided_at = Some(doubt.decided_at).filter(|at| *at != InDoubt::HELD && *at != Wall(0));
    match (*policy, decided_at) {
        (DoubtPolicy::Resend, Some(at)) => {
            item.time("resend_at", at);
        }
        (DoubtPolicy::Drop, Some(at)) => {
            item.time("drop_at", at);
        }
        (DoubtPolicy::Hold, _) | (_, None) => {}
    }
    item.text_unless_empty("ref", content.reference);
    item.end();
}

fn write_resolved(
    ids: &[(String, Option<MessageId>)],
    resolved: &[Resolved],
    action: Action,
    more: bool,
    out: &mut Vec<u8>,
) {
    let mut object = Object::begin(out);
    let done = resolved.iter().filter(|one| **one == Resolved::Done).count();
    object.number("resolved", done as u64);
    object.list("results", ids.iter().zip(resolved), |out, ((id, _), resolved)| {
        let mut item = Object::begin(out);
        item.text("id", id);
        match flaw(*resolved) {
            None => drop(item.text("result", action.done())),
            Some(flaw) => {
                let mut error = Object::begin(item.value("error"));
                flaw.write(&mut error);
                error.end();
            }
        }
        item.end();
    });
    object.truth("more", more);
    object.end();
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::{
        TenantSpec,
        lookup::tests::{catalog, delivered},
    };
    use stentor_core::{
        admission::TenantOptions,
        delivery::{Doubts, Lost, LostBind},
        model::{CarrierId, Lane, RouteId, SetNumber, TenantId},
    };

    pub(in crate::http) fn found(slot: u16) -> FoundDoubt {
        let message = delivered(1, slot);
        let doubt = InDoubt {
            doubts: Doubts { lost: 1, grouped: false },
            attempt: 2,
            reference: 0,
            carrier: CarrierId(4),
            lane: Lane { class: Class::Otp, route: RouteId(0), tenant: TenantId(7), set: SetNumber::NONE },
            recipient: message.head.to,
            parts: 1,
            sent_at: Wall(1_500),
            since: Wall(2_500),
            lost: Lost {
                reason: Unanswered::ResponseTimeout,
                bind: Some(LostBind { core: 1, number: 3 }),
                held: false,
                grouped: false,
            },
            decided_at: Wall(12_500),
            vouched: false,
        };
        FoundDoubt { message, doubt, parts_open: 1, policy: DoubtPolicy::Resend }
    }

    pub(in crate::http) fn tenants() -> Tenants {
        let tenant = TenantOptions { id: TenantId(7), name: "shop".to_owned(), ..TenantOptions::default() };
        Tenants::new(vec![TenantSpec { tenant, ..TenantSpec::default() }], &std::sync::Arc::default())
    }

    #[test]
    fn an_entry_says_where_since_when_and_why() {
        let (mut out, found) = (Vec::new(), found(2));
        let mut cursor = Cursor::start(2);
        cursor.advance(ShardId(1), Address::new(1, 3));
        write_page(std::slice::from_ref(&found), Some(&cursor), &catalog(), &tenants(), &mut out);
        let shown: Value = serde_json::from_slice(&out).expect("JSON");
        let entry = json!({
            "id": found.message.id.to_string(), "tenant": "shop", "to": "+4915112345678", "from": "ACME",
            "class": "otp", "carrier": "north", "core": 1, "bind": 3, "reason": "response_timeout", "attempt": 2, "doubts": 1,
            "attempted_at": "1970-01-01T00:00:01.500Z", "since": "1970-01-01T00:00:02.500Z", "parts": 1,
            "parts_open": 1, "policy": "resend", "resend_at": "1970-01-01T00:00:12.500Z", "ref": "r,\"1\"",
        });
        assert_eq!(shown, json!({"in_doubt": [entry], "next": "010000000000000000000000010003"}));
    }

    #[test]
    fn filters_are_known_names_or_refused() {
        let read = |query: &str| {
            let query = Query::read(query, 1)?;
            Ok((query.typed.meant(&catalog(), &tenants())?, query.limit))
        };
        let code = |query: &str| read(query).map_err(|problem: Problem| problem.code).err();
        assert_eq!(read(""), Ok((DoubtFilter::default(), PAGE)));
        let all = "tenant=shop&carrier=north&class=otp&reason=crashed&since=1970-01-01T00:00:01Z&limit=5";
        let expected = DoubtFilter {
            tenant: Some(TenantId(7)),
            carrier: Some(CarrierId(4)),
            class: Some(Class::Otp),
            reason: Some(Unanswered::Crashed),
            since: Some(Wall(1_000)),
        };
        assert_eq!(read(all), Ok((expected, 5)));
        for unknown in ["tenant=", "tenant=x", "carrier=x"] {
            assert_eq!(code(unknown), Some(Code::UnknownName), "{unknown}");
        }
        for right in ["since=2026-07-01T12%3A00%3A00Z", "since=2026-07-01T12:00:00+02:00", "%6Cimit=%31", "class=%6Ftp"]
        {
            assert_eq!(code(right), None, "{right}");
        }
        for wrong in ["class=x", "reason=x", "since=x", "limit=0", "limit=1001", "state=x", "limit=1&limit=1"] {
            assert_eq!(code(wrong), Some(Code::InvalidParameter), "{wrong}");
        }
        assert_eq!(code("cursor=zz"), Some(Code::InvalidCursor));
    }

    #[test]
    fn a_decision_says_what_and_over_which() {
        let read = |body: Value| {
            let decision = read_decision(body.to_string().as_bytes())?;
            decision.ids.map(Ids::within_limits).transpose()
        };
        let code = |body: Value| read(body).map_err(|problem| problem.code).err();
        assert_eq!(code(json!({"action": "resend", "ids": ["x"]})), None);
        assert_eq!(code(json!({"action": "sent", "filter": {}, "limit": 3})), None);
        // JSON Schema accepts a whole number in any spelling.
        let limit = |limit: &str| {
            let body = format!("{{\"action\":\"sent\",\"filter\":{{}},\"limit\":{limit}}}");
            read_decision(body.as_bytes()).map(|decision| decision.limit).ok()
        };
        assert_eq!(
            ["104", "104.0", "1.04e2", "null"].map(limit),
            [Some(Some(104)), Some(Some(104)), Some(Some(104)), Some(None)]
        );
        assert_eq!(["1.5", "-1", "-1.0", "1e300", "\"1\""].map(limit), [None; 5]);
        assert_eq!(code(json!({"action": "drop"})), Some(Code::MissingField));
        assert_eq!(code(json!({"action": "drop", "ids": []})), Some(Code::NoMessages));
        assert_eq!(code(json!({"action": "drop", "ids": ["x"], "filter": {}})), Some(Code::ConflictingFields));
        assert_eq!(code(json!({"action": "drop", "ids": vec!["x"; PAGE_MAX + 1]})), Some(Code::TooManyMessages));
        for wrong in [
            json!({"action": "keep", "ids": ["x"]}),
            json!({"ids": ["x"]}),
            json!([]),
            json!({"filter": 1}),
            json!({"action": "drop", "filter": []}),
            json!({"action": "drop", "ids": null}),
            json!({"action": "drop", "ids": ["x"], "filter": null}),
            json!({"action": "drop", "filter": {"tenant": null}}),
            json!({"action": "drop", "filter": {"since": null}}),
        ] {
            assert_eq!(code(wrong.clone()), Some(Code::MalformedJson), "{wrong}");
        }
        let mut out = Vec::new();
        let ids = [("a".to_owned(), None), ("b".to_owned(), None)];
        write_resolved(&ids, &[Resolved::Done, Resolved::NotInDoubt], Action::Drop, true, &mut out);
        let shown: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!((&shown["resolved"], &shown["more"]), (&json!(1), &json!(true)));
        assert_eq!(shown["results"][0], json!({"id": "a", "result": "dropped"}));
        assert_eq!(shown["results"][1]["error"]["code"], "not_in_doubt");
    }
}
