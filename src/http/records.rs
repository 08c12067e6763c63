//! Detail records: every message in the order of admission, as NDJSON or CSV, resumable. Pure; pages come from shards.
//!
//! A cursor holds a position for every shard, so that a client that comes back finds what was added meanwhile in any of them. It
//! ends each page: in NDJSON a line of its own, in CSV the last column of the page's last row.

use hyper::header::HeaderValue;

use super::{
    auth::Tenants,
    json::{Object, push_id, push_number},
    lookup::{carrier_name, error_text, route_name, write_error},
    problem::{Code, Problem},
    query, readers, rfc3339,
};
use stentor_core::{
    model::{Address, Content, Quoted, ShardId, Wall},
    shard::{Catalog, FoundMessage},
};

/// Messages that a shard is asked for at once.
pub const PAGE: usize = 500;

/// How much a request may skip without finding anything: this many of the reader's pages
/// ([`stentor_core::store::Answerer::SCAN_PASSED_BYTES_MAX`]), and one more for each page that had a record. Then its answer
/// ends with a cursor to go on from, because the cost of one request must not depend on how much other tenants have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(u32);

impl Default for Patience {
    /// The patience of a new request.
    fn default() -> Self {
        Self(Self::PAGES_MAX)
    }
}

impl Patience {
    const PAGES_MAX: u32 = 8;

    /// A page that was not its shard's last had this many records: whether the next page may be asked for.
    pub fn goes_on(&mut self, records: usize) -> bool {
        self.0 = if records == 0 { self.0.saturating_sub(1) } else { (self.0 + 1).min(Self::PAGES_MAX) };
        self.0 > 0
    }
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object per line.
    Ndjson,
    /// RFC 4180, with a header.
    Csv(Formulas),
}

/// How to write a client's or carrier's text that a spreadsheet would take for a formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formulas {
    /// Unchanged.
    Plain,
    /// With `'` in front.
    Guarded,
}

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub format: Format,
    /// Where to begin.
    pub cursor: Cursor,
    /// Most records of the answer.
    pub limit: u64,
    /// `tenant` as the client wrote it; `None`: the caller's own messages.
    pub tenant: Option<String>,
    /// Stop in each shard before the first message that is not final yet, so that each record is read once and never changes.
    pub settled: bool,
    /// Begin at the cursor of this reader of the tenant.
    pub reader: Option<String>,
}

impl Query {
    /// Reads the query string and `Accept`; `shards`: how many shards there are.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`], [`Code::InvalidCursor`], [`Code::ReaderConflict`].
    pub fn read(query: &str, accept: Option<&HeaderValue>, shards: u8) -> Result<Self, Problem> {
        let csv = accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
        let format = if csv { Format::Csv(Formulas::Plain) } else { Format::Ndjson };
        let mut read =
            Self { format, cursor: Cursor::start(shards), limit: u64::MAX, tenant: None, settled: false, reader: None };
        let (mut has_cursor, mut is_unsettled, mut formulas) = (false, false, None);
        for (name, value) in query::pairs(query)? {
            let wrong = |wanted: &str| Problem::new(Code::InvalidParameter, format!("`{name}` must be {wanted}"));
            match &*name {
                "format" => {
                    read.format = match &*value {
                        "ndjson" => Format::Ndjson,
                        "csv" => Format::Csv(Formulas::Plain),
                        _ => return Err(wrong("ndjson or csv")),
                    }
                }
                "formulas" => {
                    formulas = match &*value {
                        "guard" => Some(Formulas::Guarded),
                        "plain" => Some(Formulas::Plain),
                        _ => return Err(wrong("guard or plain")),
                    }
                }
                "cursor" => (read.cursor, has_cursor) = (Cursor::parse(&value, shards)?, true),
                "reader" => read.reader = Some(readers::name(&value)?.to_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    read.limit = limit.ok_or_else(|| wrong("a number of at least 1"))?;
                }
                "tenant" => read.tenant = Some(value.into_owned()),
                "settled" => {
                    read.settled = match &*value {
                        "true" => true,
                        "false" => false,
                        _ => return Err(wrong("true or false")),
                    };
                    is_unsettled = !read.settled;
                }
                _ => {
                    let known =
                        "this call takes `format`, `formulas`, `cursor`, `limit`, `settled`, `reader` and `tenant`";
                    let detail = format!("{} is unknown: {known}", Quoted(&name));
                    return Err(Problem::new(Code::InvalidParameter, detail));
                }
            }
        }
        // In NDJSON nothing can be taken for a formula, so `formulas` changes nothing.
        if let (Format::Csv(of_format), Some(formulas)) = (&mut read.format, formulas) {
            *of_format = formulas;
        }
        if read.reader.is_some() {
            if has_cursor || is_unsettled {
                let detail =
                    "`reader` has its own cursor and reads only settled records: omit `cursor` and `settled=false`";
                return Err(Problem::new(Code::ReaderConflict, detail));
            }
            if read.tenant.is_some() {
                let detail = "a reader belongs to its tenant: omit `tenant`";
                return Err(Problem::new(Code::ReaderConflict, detail));
            }
            read.settled = true;
        }
        Ok(read)
    }
}

/// A position in every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    positions: Vec<Address>,
}

/// Bytes of one position in the text form, which is hexadecimal: a version, then the positions.
const POSITION_BYTES: usize = 7;
const CURSOR_VERSION: u8 = 1;

impl Cursor {
    /// The cursor before the first message.
    pub fn start(shards: u8) -> Self {
        Self { positions: vec![Address::default(); usize::from(shards)] }
    }

    /// A cursor with these positions, by shard; a missing one is before the shard's first message.
    pub fn of(packed: &[u64], shards: u8) -> Self {
        let position = |shard| packed.get(usize::from(shard)).copied().map(Address::from_packed).unwrap_or_default();
        Self { positions: (0..shards).map(position).collect() }
    }

    /// The positions, by shard.
    pub fn packed(&self) -> Vec<u64> {
        self.positions.iter().map(|position| position.packed()).collect()
    }

    /// The text form.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.push(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// [`Code::InvalidCursor`]: not a cursor of an installation with so many shards.
    pub fn parse(text: &str, shards: u8) -> Result<Self, Problem> {
        let invalid = || Problem::new(Code::InvalidCursor, "a cursor must be copied unchanged from an earlier answer");
        let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
        let bytes: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| if let [a, b] = pair { Some(digit(a)? << 4 | digit(b)?) } else { None })
            .collect();
        let bytes = bytes.ok_or_else(invalid)?;
        let Some((&CURSOR_VERSION, positions)) = bytes.split_first() else { return Err(invalid()) };
        let (positions, []) = positions.as_chunks::<POSITION_BYTES>() else { return Err(invalid()) };
        if positions.len() != usize::from(shards) {
            return Err(invalid());
        }
        let packed =
            |position: &[u8; POSITION_BYTES]| position.iter().fold(0, |packed, byte| packed << 8 | u64::from(*byte));
        Ok(Self { positions: positions.iter().map(|position| Address::from_packed(packed(position))).collect() })
    }

    /// Appends the text form.
    pub fn push(&self, out: &mut Vec<u8>) {
        let mut bytes = vec![CURSOR_VERSION];
        for position in &self.positions {
            bytes.extend_from_slice(&position.packed().to_be_bytes()[8 - POSITION_BYTES..]);
        }
        for byte in bytes {
            out.extend([byte >> 4, byte & 0xF].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
    }

    /// Where to go on in a shard.
    pub fn position(&self, shard: ShardId) -> Address {
        self.positions.get(usize::from(shard.0)).copied().unwrap_or_default()
    }

    /// Moves on in a shard whose page was written.
    pub fn advance(&mut self, shard: ShardId, to: Address) {
        if let Some(position) = self.positions.get_mut(usize::from(shard.0)) {
            *position = (*position).max(to);
        }
    }
}

/// A page of one shard, cut to the query.
#[derive(Debug)]
pub struct Page {
    /// The messages to write.
    pub found: Vec<FoundMessage>,
    /// Where to go on in the shard.
    pub next: Address,
    /// Whether the shard has nothing more for now.
    pub is_last: bool,
}

impl Page {
    /// Cuts what a shard found from `from` on. `next`: as the shard returned it.
    pub fn cut(mut found: Vec<FoundMessage>, next: Option<Address>, from: Address, query: &Query, left: u64) -> Self {
        let settled = found.iter().take_while(|found| !query.settled || found.view.is_final()).count();
        let wanted = settled.min(usize::try_from(left).unwrap_or(usize::MAX));
        let whole = wanted == found.len();
        found.truncate(wanted);
        let after = |found: &FoundMessage| Address::from_packed(found.id.address().packed() + 1);
        let next_wanted = found.last().map_or(from, after);
        Self { found, next: next.filter(|_| whole).unwrap_or(next_wanted), is_last: !whole || next.is_none() }
    }
}

/// The columns without the optional ones and without the cursor.
const COLUMNS: &str = "id,to,from,class,state,final,parts,attempts,route,carrier,ref,tags,accepted_at,submitted_at,\
    final_at,reason,error,error_family,error_origin,";

/// Writes what comes before the first record; `tells_owner`: whether each record names its tenant.
pub fn write_start(format: Format, tells_owner: bool, out: &mut Vec<u8>) {
    match format {
        Format::Ndjson => {}
        Format::Csv(_) => {
            out.extend_from_slice(COLUMNS.as_bytes());
            out.extend_from_slice(if tells_owner { b"tenant,cursor\r\n" } else { b"cursor\r\n" });
        }
    }
}

/// Appends a page's records and the cursor after them. With `tenants` each record names its tenant.
pub fn write_page(
    format: Format,
    found: &[FoundMessage],
    cursor: &Cursor,
    catalog: &Catalog,
    tenants: Option<&Tenants>,
    out: &mut Vec<u8>,
) {
    let owner = |found: &FoundMessage| tenants.map(|tenants| tenants.name_of(found.head.tenant));
    match format {
        Format::Ndjson => {
            for found in found {
                write_object(found, owner(found).unwrap_or_default(), catalog, out);
            }
            write_cursor(cursor, out);
        }
        Format::Csv(formulas) => {
            for (at, record) in found.iter().enumerate() {
                write_row(record, owner(record), catalog, formulas, out);
                if at + 1 == found.len() {
                    cursor.push(out);
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Appends the cursor after a page without records that is not the last one: in CSV a row that is otherwise empty.
pub fn write_passed(format: Format, tells_owner: bool, cursor: &Cursor, out: &mut Vec<u8>) {
    match format {
        Format::Ndjson => write_cursor(cursor, out),
        Format::Csv(_) => {
            out.extend(COLUMNS.bytes().filter(|byte| *byte == b','));
            out.extend(tells_owner.then_some(b','));
            cursor.push(out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `{"cursor":"…"}`
fn write_cursor(cursor: &Cursor, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"cursor\":\"");
    cursor.push(out);
    out.extend_from_slice(b"\"}\n");
}

fn write_object(found: &FoundMessage, owner: &str, catalog: &Catalog, out: &mut Vec<u8>) {
    let FoundMessage { id, head, content, view } = found;
    let content = Content::decode(content).unwrap_or_default();
    let mut object = Object::begin(out);
    object.id("id", *id).text_unless_empty("tenant", owner);
    object.text("to", &format!("+{}", head.to)).text_unless_empty("from", content.from.as_str());
    object.text("class", head.class.name()).text("state", view.state.name()).truth("final", view.is_final());
    object.number("parts", view.parts).number("attempts", view.attempts);
    object.text_unless_empty("route", route_name(catalog, view.route.unwrap_or(head.route)));
    object.text_unless_empty("carrier", view.carrier.map_or("", |carrier| carrier_name(catalog, carrier)));
    object.text_unless_empty("ref", content.reference);
    if !content.tags.is_empty() {
        object.list("tags", content.tags.split(','), super::json::push_text);
    }
    object.time("accepted_at", head.accepted_at);
    for (name, at) in [("submitted_at", view.submitted_at), ("final_at", view.final_at)] {
        if let Some(at) = at {
            object.time(name, at);
        }
    }
    if let Some(reason) = view.reason {
        object.text("reason", reason.code());
    }
    if let Some(error) = view.error {
        write_error(&error, &mut object);
    }
    object.end();
    out.push(b'\n');
}

/// Writes a row up to its last comma.
fn write_row(found: &FoundMessage, owner: Option<&str>, catalog: &Catalog, formulas: Formulas, out: &mut Vec<u8>) {
    let FoundMessage { id, head, content, view } = found;
    let content = Content::decode(content).unwrap_or_default();
    push_id(out, *id);
    out.push(b',');
    push_cell(&format!("+{}", head.to), out);
    push_foreign(content.from.as_str(), formulas, out);
    push_cell(head.class.name(), out);
    push_cell(view.state.name(), out);
    push_cell(if view.is_final() { "true" } else { "false" }, out);
    for number in [u64::from(view.parts), u64::from(view.attempts)] {
        push_number(out, number);
        out.push(b',');
    }
    push_cell(route_name(catalog, view.route.unwrap_or(head.route)), out);
    push_cell(view.carrier.map_or("", |carrier| carrier_name(catalog, carrier)), out);
    push_foreign(content.reference, formulas, out);
    push_foreign(content.tags, formulas, out);
    for at in [Some(head.accepted_at), view.submitted_at, view.final_at] {
        push_time(at, out);
    }
    push_cell(view.reason.map_or("", |reason| reason.code()), out);
    let error = view.error.as_ref();
    push_foreign(&error.map_or_else(String::new, error_text), formulas, out);
    push_cell(error.map_or("", |error| error.family.name()), out);
    push_cell(error.map_or("", |error| error.origin.name()), out);
    if let Some(owner) = owner {
        push_cell(owner, out);
    }
}

fn push_time(at: Option<Wall>, out: &mut Vec<u8>) {
    if let Some(at) = at {
        rfc3339::push(out, at);
    }
    out.push(b',');
}

/// Appends a text that a client or a carrier wrote.
fn push_foreign(text: &str, formulas: Formulas, out: &mut Vec<u8>) {
    match formulas {
        Formulas::Guarded if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => push_cell(&format!("'{text}"), out),
        Formulas::Guarded | Formulas::Plain => push_cell(text, out),
    }
}

/// Appends a value and a comma; quoted where RFC 4180 requires it.
fn push_cell(text: &str, out: &mut Vec<u8>) {
    if text.contains([',', '"', '\r', '\n']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::lookup::tests::{catalog, delivered};
    use stentor_core::model::{MessageState, TenantId};

    fn written(format: Format, found: &[FoundMessage], cursor: &Cursor) -> String {
        let mut out = Vec::new();
        write_start(format, false, &mut out);
        write_page(format, found, cursor, &catalog(), None, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_page_ends_with_its_cursor() {
        let mut cursor = Cursor::start(2);
        cursor.advance(ShardId(1), Address::new(0x1_0203, 0x0405));
        let text = "010000000000000000000102030405";
        let found = [delivered(1, 3)];
        let id = found[0].id;
        let ndjson = written(Format::Ndjson, &found, &cursor);
        let lines: Vec<&str> = ndjson.lines().collect();
        assert!(lines[0].starts_with(&format!("{{\"id\":\"{id}\",\"to\":\"+4915112345678\",\"from\":\"ACME\"")));
        assert_eq!(lines[1..], [format!("{{\"cursor\":\"{text}\"}}")]);
        let row = format!(
            "\"{id}\",+4915112345678,ACME,otp,delivered,true,1,1,,north,\"r,\"\"1\"\"\",\"a,b\",1970-01-01T00:00:01.000Z,\
             1970-01-01T00:00:02.000Z,1970-01-01T00:00:03.000Z,,,,,{text}\r\n"
        );
        let csv = Format::Csv(Formulas::Plain);
        assert_eq!(written(csv, &found, &cursor), format!("{COLUMNS}cursor\r\n{row}"));
        assert_eq!(Cursor::parse(text, 2), Ok(cursor));
    }

    /// Field case 35: a spreadsheet that opens the file must not run anything from it.
    #[test]
    fn no_cell_of_a_clients_making_is_a_formula_where_that_is_asked_for() {
        for (typed, guarded) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-2+3", "'-2+3"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            let cell = |formulas| {
                let mut out = Vec::new();
                push_foreign(typed, formulas, &mut out);
                String::from_utf8(out).expect("UTF-8")
            };
            assert_eq!(cell(Formulas::Guarded), format!("{guarded},"));
            assert_eq!(cell(Formulas::Plain).replace('"', ""), format!("{typed},"));
        }
        let mut found = delivered(1, 3);
        let before = found.content.clone();
        let content = Content::decode(&before).expect("content");
        let mut bytes = Vec::new();
        Content { reference: "=1", tags: "+2", ..content }.encode(&mut bytes);
        found.content = bytes;
        let row = written(Format::Csv(Formulas::Guarded), &[found], &Cursor::start(1));
        assert!(row.contains(",'=1,'+2,") && row.contains(",+4915112345678,"), "{row}");
    }

    #[test]
    fn records_tell_whose_they_are_where_that_is_asked_for() {
        let mut found = [delivered(1, 3)];
        found[0].head.tenant = TenantId(7);
        let tenants = crate::http::in_doubt::tests::tenants();
        let written = |format| {
            let mut out = Vec::new();
            write_start(format, true, &mut out);
            write_page(format, &found, &Cursor::start(1), &catalog(), Some(&tenants), &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        let name = tenants.name_of(found[0].head.tenant);
        assert!(!name.is_empty());
        let id = found[0].id;
        assert!(written(Format::Ndjson).starts_with(&format!("{{\"id\":\"{id}\",\"tenant\":\"{name}\",\"to\"")));
        let csv = written(Format::Csv(Formulas::Plain));
        let rows: Vec<_> = csv.lines().collect();
        assert_eq!(rows[0], format!("{COLUMNS}tenant,cursor"));
        assert!(rows[1].ends_with(&format!(",{name},0100000000000000")), "{csv}");
        let mut passed = Vec::new();
        write_passed(Format::Csv(Formulas::Plain), true, &Cursor::start(1), &mut passed);
        assert_eq!(passed.iter().filter(|byte| **byte == b',').count(), rows[0].matches(',').count());
    }

    #[test]
    fn a_cursor_is_ours_or_refused() {
        for (text, shards) in
            [("", 1), ("01", 1), ("0200000000000000", 1), ("0100000000000000", 2), ("01000000000000é", 1), ("0", 1)]
        {
            assert_eq!(Cursor::parse(text, shards).map_err(|problem| problem.code), Err(Code::InvalidCursor), "{text}");
        }
    }

    #[test]
    fn parameters_are_known_or_refused() {
        let read = |query: &str, accept: Option<&'static str>| {
            Query::read(query, accept.map(HeaderValue::from_static).as_ref(), 1).map_err(|problem| problem.code)
        };
        let plain = Query {
            format: Format::Ndjson,
            cursor: Cursor::start(1),
            limit: u64::MAX,
            tenant: None,
            settled: false,
            reader: None,
        };
        assert_eq!(read("", None), Ok(plain.clone()));
        assert_eq!(
            read("", Some("text/csv, */*")),
            Ok(Query { format: Format::Csv(Formulas::Plain), ..plain.clone() })
        );
        let guarded = Query { format: Format::Csv(Formulas::Guarded), ..plain.clone() };
        assert_eq!(read("formulas=guard&format=csv", None), Ok(guarded.clone()));
        assert_eq!(read("formulas=guard", Some("text/csv")), Ok(guarded));
        // In NDJSON there is nothing to guard.
        for harmless in ["formulas=guard", "formulas=plain&format=ndjson", "format=ndjson&formulas=guard"] {
            assert_eq!(read(harmless, None), Ok(plain.clone()), "{harmless}");
        }
        assert_eq!(read("format=csv&formulas=yes", None), Err(Code::InvalidParameter));
        let all = Query { limit: 5, settled: true, ..plain };
        assert_eq!(read("format=ndjson&limit=5&settled=true", Some("text/csv")), Ok(all.clone()));
        assert_eq!(read("format=%6Edjson&limit=%35&settled=tru%65", None), Ok(all.clone()));
        let of_reader = Query { settled: true, reader: Some("b-1".to_owned()), ..all.clone() };
        assert_eq!(read("reader=b-1&limit=5", None), Ok(of_reader));
        for wrong in ["reader=b&settled=false", "cursor=0100000000000000&reader=b", "reader=b&tenant=a"] {
            assert_eq!(read(wrong, None), Err(Code::ReaderConflict), "{wrong}");
        }
        assert_eq!(read("reader=", None), Err(Code::InvalidReader));
        for wrong in ["limit=0", "limit=x", "format=xml", "settled=1", "since=1", "limit", "limit=1&limit=1"] {
            assert_eq!(read(wrong, None), Err(Code::InvalidParameter), "{wrong}");
        }
        assert_eq!(read("cursor=zz", None), Err(Code::InvalidCursor));
    }

    #[test]
    fn a_page_is_cut_where_the_reader_stops() {
        let query = |settled| Query {
            format: Format::Ndjson,
            cursor: Cursor::start(1),
            limit: 9,
            tenant: None,
            settled,
            reader: None,
        };
        let cut = |open: &[u16], next: Option<Address>, settled, left| {
            let found = (0..4).map(|slot| {
                let mut found = delivered(0, slot);
                if open.contains(&slot) {
                    (found.view.state, found.view.final_at) = (MessageState::Submitted, None);
                }
                found
            });
            let page = Page::cut(found.collect(), next, Address::new(1, 0), &query(settled), left);
            (page.found.len(), page.next, page.is_last)
        };
        let elsewhere = Address::new(9, 9);
        assert_eq!(cut(&[], Some(elsewhere), false, 9), (4, elsewhere, false));
        assert_eq!(cut(&[], None, false, 9), (4, Address::new(1, 4), true));
        assert_eq!(cut(&[1], None, false, 9), (4, Address::new(1, 4), true));
        assert_eq!(cut(&[1], Some(elsewhere), true, 9), (1, Address::new(1, 1), true));
        assert_eq!(cut(&[0], None, true, 9), (0, Address::new(1, 0), true));
        assert_eq!(cut(&[], Some(elsewhere), false, 2), (2, Address::new(1, 2), true));
    }

    #[test]
    fn who_finds_nothing_gets_a_cursor_to_go_on_from() {
        let mut patience = Patience::default();
        let pages = (0..100).take_while(|_| patience.goes_on(0)).count();
        assert_eq!(pages, 7, "the eighth is the last");
        let mut patience = Patience::default();
        assert!((0..1_000).all(|at| patience.goes_on(at % 2)), "who finds something every other page reads on");
        let cursor = Cursor::start(1);
        let mut out = Vec::new();
        write_passed(Format::Ndjson, false, &cursor, &mut out);
        assert_eq!(out, b"{\"cursor\":\"0100000000000000\"}\n");
        out.clear();
        write_passed(Format::Csv(Formulas::Plain), false, &cursor, &mut out);
        let row = String::from_utf8(out).expect("UTF-8");
        assert_eq!((row.matches(',').count(), row.trim_start_matches(',')), (19, "0100000000000000\r\n"));
    }
}
