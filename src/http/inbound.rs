//! `GET /v1/inbound`: messages from handsets as NDJSON, in the order in which each shard stored them, resumable like records.
//! Shards supply the pages; the carrier's alphabet tells what their bytes mean.
//!
//! A text that cannot be decoded completely is shown with its raw bytes as well, so that nothing that was sent is lost.

use data_encoding::HEXLOWER;
use std::{rc::Rc, sync::Arc};

use bytes::Bytes;

use super::{
    api::{Answered, Api, Asked, typed},
    auth::{Caller, Tenants},
    body::ResponseBody,
    inquiry::send_pages,
    json::{Object, push_number},
    problem::{Code, Problem},
    query,
    records::{Cursor, PAGE, Patience},
    submit::unexpected,
};
use crate::host::executor::{self, OnPanic};
use stentor_core::{
    model::{Address, GroupId, Quoted, ShardId, TenantId, Wall, Whose},
    shard::{Ask, Catalog, Reply},
    store::record::HandsetRecord,
};
use stentor_smpp::{coding::DataCoding, udh::Header, user_data::decode_text};

/// Pages that may wait for a slow client.
const PAGES_AHEAD: usize = 2;
/// Prefix of a cursor, so that it cannot be mistaken for a cursor of records.
const CURSOR_PREFIX: &str = "i";

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Query {
    cursor: Cursor,
    limit: u64,
    tenant: Option<String>,
}

impl Query {
    fn read(query: &str, shards: u8) -> Result<Self, Problem> {
        let mut read = Self { cursor: Cursor::start(shards), limit: u64::MAX, tenant: None };
        for (name, value) in query::pairs(query)? {
            match &*name {
                "cursor" => {
                    let text = value.strip_prefix(CURSOR_PREFIX).unwrap_or_default();
                    read.cursor = Cursor::parse(text, shards)?;
                }
                "limit" => {
                    let wrong = || Problem::new(Code::InvalidParameter, "`limit` must be a number of at least 1");
                    read.limit = value.parse().ok().filter(|limit| *limit > 0).ok_or_else(wrong)?;
                }
                "tenant" => read.tenant = Some(value.into_owned()),
                _ => {
                    let detail =
                        format!("{} is unknown: this call takes `cursor`, `limit` and `tenant`", Quoted(&name));
                    return Err(Problem::new(Code::InvalidParameter, detail));
                }
            }
        }
        Ok(read)
    }
}

impl Api {
    pub(super) async fn inbound(
        self: &Rc<Self>,
        asked: &Asked,
        caller: Caller<'_>,
        tenants: &Arc<Tenants>,
    ) -> Answered {
        let query = Query::read(asked.query(), self.shards.shards())?;
        // Without tenants no number has an owner.
        let whose = match caller.reads(query.tenant.as_deref(), tenants)? {
            Whose::Of(_) if tenants.is_open() => Whose::All,
            whose => whose,
        };
        let tells_owner = query.tenant.is_some();
        let tenants = tells_owner.then(|| Arc::clone(tenants));
        let (api, tenant) = (Rc::clone(self), caller.tenant.id());
        let mut reader = Reader {
            api,
            tenant,
            whose,
            tenants,
            query,
            shard: ShardId(0),
            patience: Patience::default(),
            ended: false,
        };
        let first = reader.next().await?;
        let room = asked.body.claim();
        room.becomes_answer();
        let (mut sender, body) = ResponseBody::channel(PAGES_AHEAD, Some(room));
        executor::spawn(OnPanic::Survive, "inbound", async move {
            if let Some(first) = first
                && sender.send(first).await.is_err()
            {
                return;
            }
            send_pages("inbound", sender, async || reader.next().await).await;
        });
        Ok(typed("application/x-ndjson", body))
    }
}

/// Walks all shards, page by page.
struct Reader {
    api: Rc<Api>,
    /// The tenant that reads; its turns are used.
    tenant: TenantId,
    whose: Whose,
    /// Set if each message names its tenant.
    tenants: Option<Arc<Tenants>>,
    query: Query,
    shard: ShardId,
    patience: Patience,
    ended: bool,
}

impl Reader {
    /// The next page, written; `None` at the end. The answer ends with a cursor even if nothing was found.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let mut out = Vec::new();
        while !self.ended && out.is_empty() {
            let (shard, whose, from) = (self.shard, self.whose, self.query.cursor.position(self.shard));
            let limit = usize::try_from(self.query.limit).map_or(PAGE, |left| left.min(PAGE));
            let turn = self.api.turns.wait(self.tenant).await;
            let asked = self.api.door.ask(shard, |reply| Ask::Inbound { reply, whose, from, limit }).await?;
            drop(turn);
            let (found, next) = match asked {
                Reply::Inbound { found, next } => (found, next),
                other => return Err(unexpected(&other)),
            };
            let after = |(at, _): &(Address, HandsetRecord)| Address::from_packed(at.packed() + 1);
            let read_to = next.or_else(|| found.last().map(after)).unwrap_or(from);
            self.query.cursor.advance(shard, read_to);
            self.query.limit = self.query.limit.saturating_sub(found.len() as u64);
            if next.is_none() {
                self.shard = ShardId(shard.0.saturating_add(1));
            }
            let has_patience = next.is_none() || self.patience.goes_on(found.len());
            self.ended = self.query.limit == 0 || self.shard.0 >= self.api.shards.shards() || !has_patience;
            let catalog = self.api.catalog();
            for (at, record) in &found {
                write(shard, *at, record, &catalog, self.tenants.as_deref(), &mut out);
            }
        }
        write_cursor(&self.query.cursor, &mut out);
        Ok(Some(out.into()))
    }
}

/// `{"cursor":"…"}`
fn write_cursor(cursor: &Cursor, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("cursor", &format!("{CURSOR_PREFIX}{}", cursor.text()));
    object.end();
    out.push(b'\n');
}

/// Writes a message. Its id is its address in the store, which never changes, so that a client recognises a message it reads twice.
pub(super) fn write(
    shard: ShardId,
    at: Address,
    record: &HandsetRecord,
    catalog: &Catalog,
    tenants: Option<&Tenants>,
    out: &mut Vec<u8>,
) {
    let carrier = catalog.carrier_of(GroupId(record.group));
    let alphabet = carrier.map(|carrier| carrier.default_alphabet).unwrap_or_default();
    let header = [&[record.header.len() as u8][..], record.header.as_slice()].concat();
    let text = decode_text(DataCoding(record.data_coding), alphabet, Header::cut(&header).0, &record.text);
    let is_whole = text.as_ref().is_some_and(|text| !text.contains(char::REPLACEMENT_CHARACTER));
    let from = if record.from > 0 { format!("+{}", record.from) } else { lossy(&record.name) };
    let mut object = Object::begin(out);
    object.text("id", &format!("{}-{}-{}", shard.0, at.segment(), at.slot())).time("at", Wall(record.wall));
    let owner = tenants.zip(record.tenant).map_or("", |(tenants, owner)| tenants.name_of(TenantId(owner)));
    object.text_unless_empty("tenant", owner);
    object.text("from", &from).text("to", &lossy(&record.to));
    object.text_unless_empty("carrier", carrier.map_or("", |carrier| &carrier.name));
    if let Some(text) = &text {
        object.text("text", text);
    }
    if !is_whole {
        object.text("hex", &HEXLOWER.encode(&record.text));
    }
    object.text_unless_empty("udh", &HEXLOWER.encode(&record.header));
    object.number("data_coding", record.data_coding).number("parts", record.parts);
    if !record.missing.is_empty() {
        object.list("missing", &record.missing, |out, (part, _)| push_number(out, u64::from(*part)));
    }
    object.end();
    out.push(b'\n');
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::lookup::tests::catalog;
    use stentor_smpp::coding::DefaultAlphabet;

    pub(in crate::http) fn record() -> HandsetRecord {
        HandsetRecord {
            wall: 1_000,
            group: 0,
            from: 4_915_112_345_678,
            to: b"72345".to_vec(),
            text: b"caf\x05".to_vec(),
            parts: 1,
            ..HandsetRecord::default()
        }
    }

    fn shown(record: &HandsetRecord, catalog: &Catalog) -> Value {
        let mut out = Vec::new();
        write(ShardId(2), Address::new(7, 1), record, catalog, None, &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_message_from_a_handset_is_told_with_its_text() {
        let expected = json!({"id": "2-7-1", "at": "1970-01-01T00:00:01.000Z", "from": "+4915112345678", "to": "72345",
            "carrier": "north", "text": "café", "data_coding": 0, "parts": 1});
        assert_eq!(shown(&record(), &catalog()), expected);
        let ucs2 = HandsetRecord { data_coding: 8, text: b"\x04\x16\xD8\x3C\xDF\x89".to_vec(), ..record() };
        assert_eq!(shown(&ucs2, &catalog())["text"], "Ж🎉");
        let mut latin1 = catalog();
        latin1.carriers[0].default_alphabet = DefaultAlphabet::Latin1;
        let text = HandsetRecord { text: b"caf\xE9".to_vec(), ..record() };
        assert_eq!(shown(&text, &latin1)["text"], "café");
    }

    #[test]
    fn what_is_no_text_is_told_by_its_bytes() {
        let told = |record: HandsetRecord| {
            let shown = shown(&record, &catalog());
            [shown["text"].clone(), shown["hex"].clone(), shown["udh"].clone()]
        };
        let data = HandsetRecord {
            data_coding: 4,
            text: vec![0, 255],
            header: vec![5, 4, 0x0B, 0x84, 0x23, 0xF0],
            ..record()
        };
        assert_eq!(told(data), [Value::Null, json!("00ff"), json!("05040b8423f0")]);
        let half = HandsetRecord { data_coding: 8, text: b"\0a\xD8\x3C".to_vec(), ..record() };
        assert_eq!(told(half), [json!("a\u{FFFD}"), json!("0061d83c"), Value::Null]);
        let incomplete = HandsetRecord { parts: 3, missing: vec![(2, 1)], name: b"ACME".to_vec(), from: 0, ..record() };
        let shown = shown(&incomplete, &catalog());
        assert_eq!((&shown["from"], &shown["parts"], &shown["missing"]), (&json!("ACME"), &json!(3), &json!([2])));
    }

    #[test]
    fn a_cursor_of_records_is_none_here() {
        let text = Cursor::start(2).text();
        let read = |query: &str| Query::read(query, 2).map_err(|problem| problem.code).map(|query| query.limit);
        assert_eq!(read(&format!("cursor=i{text}&limit=3")), Ok(3));
        assert_eq!(read(&format!("cursor=%69{text}&limit=%33&tenant=%2A")), Ok(3));
        assert_eq!(read(&format!("cursor={text}")), Err(Code::InvalidCursor));
        assert_eq!(read("cursor=i"), Err(Code::InvalidCursor));
        for wrong in ["limit=0", "limit=x", "reader=x"] {
            assert_eq!(read(wrong), Err(Code::InvalidParameter), "{wrong}");
        }
    }
}
