//! How messages are shown: state, attempts, and a timeline whose numbers are given names. The text of a message is not shown.
//! Knows the vocabulary of `delivery`; decides nothing.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, SeqAccess, Visitor},
};

use super::{
    document,
    json::Object,
    problem::{Code, Flaw, Problem},
};
use stentor_core::{
    delivery::{Fact, TimelineEntry},
    model::{CarrierError, CarrierId, Content, ErrorOrigin, MessageId, Quoted, RouteId, quoted::QUOTED_MAX},
    shard::{Catalog, FoundMessage, Lookup},
};
use stentor_smpp::status::CommandStatus;

/// Most ids of one bulk lookup.
pub const IDS_MAX: usize = 1_000;
/// Largest document with a list of ids, in bytes: room for [`IDS_MAX`] of them with plenty of blanks in between.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// The ids of a request, each as text and parsed; `None`: not of the form of a message id. A list of more than [`IDS_MAX`] is
/// read no further.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// At most the first [`IDS_MAX`].
    pub ids: Vec<(String, Option<MessageId>)>,
    /// Whether the list has more.
    pub more: bool,
}

impl Ids {
    /// The ids, if there is at least one and not too many.
    ///
    /// # Errors
    /// [`Code::NoMessages`] or [`Code::TooManyMessages`].
    pub fn within_limits(self) -> Result<Vec<(String, Option<MessageId>)>, Problem> {
        if self.more {
            return Err(Problem::new(Code::TooManyMessages, format!("more than {IDS_MAX} ids")));
        }
        if self.ids.is_empty() {
            return Err(Problem::new(Code::NoMessages, "`ids` is empty"));
        }
        Ok(self.ids)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Ids;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ids, A::Error> {
                let mut ids = Vec::new();
                while ids.len() < IDS_MAX
                    && let Some(Id(text, id)) = list.next_element()?
                {
                    ids.push((text, id));
                }
                let mut more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Ids { ids, more })
            }
        }
        from.deserialize_seq(List)
    }
}

/// One id of the list. Of a text that is not an id, only as much is kept as is shown.
struct Id(String, Option<MessageId>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Id;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.chars().take(QUOTED_MAX).collect(), text.parse().ok()))
            }
        }
        from.deserialize_str(Text)
    }
}

/// The body of `POST /v1/messages/lookup`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    ids: Ids,
}

/// Reads the ids of a bulk lookup.
///
/// # Errors
/// What is wrong with the body as a whole.
pub fn read_ids(body: &[u8]) -> Result<Vec<(String, Option<MessageId>)>, Problem> {
    let request: Request = document::read("{\"ids\":[…]}", body)?;
    request.ids.within_limits()
}

/// One entry of the answer to a bulk lookup. `owner`: as in [`write`].
pub fn write_entry<'t>(
    asked: &str,
    found: &Lookup,
    owner: impl FnOnce(&FoundMessage) -> &'t str,
    catalog: &Catalog,
    out: &mut Vec<u8>,
) {
    let flaw = match found {
        Lookup::Found(found) => return write(found, owner(found), catalog, out),
        Lookup::Unknown => unknown(),
        Lookup::Gone => gone(),
    };
    let mut object = Object::begin(out);
    object.text("id", asked);
    let mut error = Object::begin(object.value("error"));
    flaw.write(&mut error);
    error.end();
    object.end();
}

/// The text does not have the form of a message id.
pub fn no_id(text: &str) -> Flaw {
    let example = "0198c8a2-7b1e-7000-8000-000000010000";
    Flaw::whole(Code::MessageNotFound, format!("{} is not a message id; an id looks like {example}", Quoted(text)))
}

/// The tenant has no message with this id.
pub fn unknown() -> Flaw {
    Flaw::whole(Code::MessageNotFound, "no message of this tenant has this id")
}

/// The message existed, but its history was deleted.
pub fn gone() -> Flaw {
    Flaw::whole(Code::MessageGone, "the message's history was deleted after its retention time")
}

/// Writes a message. `owner`: the name of its tenant, if it is shown; else empty.
pub fn write(found: &FoundMessage, owner: &str, catalog: &Catalog, out: &mut Vec<u8>) {
    let FoundMessage { id, head, content, view } = found;
    let content = Content::decode(content).unwrap_or_default();
    let mut object = Object::begin(out);
    object.id("id", *id).text("state", view.state.name()).truth("final", view.is_final());
    object.text_unless_empty("tenant", owner);
    object.text("to", &format!("+{}", head.to)).text_unless_empty("from", content.from.as_str());
    object.text("class", head.class.name()).text("encoding", view.coding.name().unwrap_or(head.encoding.name()));
    object.number("parts", view.parts).number("parts_delivered", view.parts_delivered);
    object.number("attempts", view.attempts);
    object.text_unless_empty("route", route_name(catalog, view.route.unwrap_or(head.route)));
    object.text_unless_empty("carrier", view.carrier.map_or("", |carrier| carrier_name(catalog, carrier)));
    object.text_unless_empty("ref", content.reference);
    if !content.tags.is_empty() {
        object.list("tags", content.tags.split(','), super::json::push_text);
    }
    object.time("accepted_at", head.accepted_at);
    if head.send_at.0 > 0 {
        object.time("send_at", head.send_at);
    }
    object.time("expires_at", head.expires_at);
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
    object.list("timeline", &view.timeline, |out, entry| write_entry_of_timeline(entry, catalog, out));
    object.end();
}

/// A route's name; empty if no route has that number any more.
pub(super) fn route_name(catalog: &Catalog, route: RouteId) -> &str {
    catalog.routes.get(route).map_or("", |route| &route.name)
}

/// A carrier's name; empty if the carrier was removed.
pub fn carrier_name(catalog: &Catalog, carrier: CarrierId) -> &str {
    catalog.carrier_name(carrier).unwrap_or_default()
}

/// Writes a carrier's error: what the carrier said, in which step, and the family that we count it in.
pub fn write_error<'j, 'o>(error: &CarrierError, object: &'j mut Object<'o>) -> &'j mut Object<'o> {
    object.text_unless_empty("error", &error_text(error));
    object.text("error_family", error.family.name()).text("error_origin", error.origin.name())
}

/// The error code as the carrier wrote it. If it was only a number: the name of the command status for a response, if there is
/// one. Empty if there is no code.
pub fn error_text(error: &CarrierError) -> String {
    let CarrierError { origin, text, number, .. } = error;
    match (origin, text.is_empty(), number) {
        (_, false, _) => text.as_str().to_owned(),
        (_, true, 0) => String::new(),
        (ErrorOrigin::Answer, true, status) => {
            CommandStatus(*status).name().map_or_else(|| status.to_string(), str::to_owned)
        }
        (ErrorOrigin::Receipt | ErrorOrigin::Network, true, number) => number.to_string(),
    }
}

fn write_entry_of_timeline(entry: &TimelineEntry, catalog: &Catalog, out: &mut Vec<u8>) {
    let mut item = Object::begin(out);
    item.time("at", entry.at).text("event", entry.kind().name());
    for (name, fact) in entry.facts() {
        match fact {
            Fact::Number(number) => item.number(name, number),
            Fact::Name(text) => item.text(name, text),
            Fact::Route(route) => item.text(name, route_name(catalog, route)),
            Fact::Carrier(carrier) => item.text(name, carrier_name(catalog, carrier)),
            Fact::Error(error) => write_error(&error, &mut item),
        };
    }
    item.end();
}

#[cfg(test)]
pub(super) mod tests {
    use stentor_core::model::Coding;

    use serde_json::{Value, json};

    use super::*;
    use stentor_core::{
        delivery::{
            EventKind, Happened, Lost, LostBind, MessageView, Resolution,
            samples::{error, samples},
        },
        model::{
            Address, Class, DeadLetterReason, ErrorFamily, GroupId, Head, MessageState, Msisdn, NodeId, ReceiptState,
            SenderId, ShardId, Wall,
        },
        shard::CatalogCarrier,
        traffic::{NotWritten, Unanswered},
    };

    pub(in crate::http) fn catalog() -> Catalog {
        let carrier = CatalogCarrier {
            id: CarrierId(4),
            name: "north".to_owned(),
            group: GroupId(0),
            home: None,
            ..CatalogCarrier::default()
        };
        Catalog { carriers: vec![carrier], ..Catalog::default() }
    }

    /// A message of shard `shard` at slot `slot`, delivered.
    pub(in crate::http) fn delivered(shard: u8, slot: u16) -> FoundMessage {
        let mut content = Vec::new();
        let said = Content {
            from: SenderId::parse("ACME").expect("sender"),
            body: b"secret",
            reference: "r,\"1\"",
            tags: "a,b",
            ..Content::default()
        };
        said.encode(&mut content);
        let head = Head {
            to: Msisdn::from_digits(b"4915112345678").expect("number"),
            class: Class::Otp,
            accepted_at: Wall(1_000),
            expires_at: Wall(9_000),
            ..Head::default()
        };
        let entry = |at, what| TimelineEntry { at: Wall(at), what };
        let attempt = Happened::Attempt { carrier: CarrierId(4), attempt: 1 };
        let view = MessageView {
            state: MessageState::Delivered,
            attempts: 1,
            parts: 1,
            parts_delivered: 1,
            carrier: Some(CarrierId(4)),
            submitted_at: Some(Wall(2_000)),
            final_at: Some(Wall(3_000)),
            timeline: vec![entry(1_500, attempt), entry(3_000, Happened::Delivered { error: None })],
            ..MessageView::default()
        };
        let id = MessageId::new(Wall(1_000), NodeId(1), ShardId(shard), Address::new(1, slot));
        FoundMessage { id, head, content, view }
    }

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_message_is_shown_without_its_text() {
        let found = delivered(2, 3);
        let expected = json!({
            "id": found.id.to_string(), "state": "delivered", "final": true, "to": "+4915112345678", "from": "ACME",
            "class": "otp", "encoding": "auto", "parts": 1, "parts_delivered": 1, "attempts": 1, "carrier": "north",
            "ref": "r,\"1\"", "tags": ["a", "b"],
            "accepted_at": "1970-01-01T00:00:01.000Z", "expires_at": "1970-01-01T00:00:09.000Z",
            "submitted_at": "1970-01-01T00:00:02.000Z", "final_at": "1970-01-01T00:00:03.000Z",
            "timeline": [
                {"at": "1970-01-01T00:00:01.500Z", "event": "attempt", "carrier": "north", "attempt": 1},
                {"at": "1970-01-01T00:00:03.000Z", "event": "delivered"},
            ],
        });
        assert_eq!(shown(|out| write(&found, "", &catalog(), out)), expected);
    }

    #[test]
    fn its_encoding_is_what_its_carrier_was_given_once_that_is_known() {
        let shown = |coding| {
            let mut found = delivered(2, 3);
            found.view.coding = coding;
            shown(|out| write(&found, "", &catalog(), out))["encoding"].clone()
        };
        assert_eq!([Coding::Unknown, Coding::Ucs2, Coding::Latin1].map(shown), ["auto", "ucs2", "latin1"]);
    }

    #[test]
    fn the_timelines_numbers_have_names() {
        let entry = |what: Happened| {
            let entry = TimelineEntry { at: Wall(0), what };
            let mut shown = shown(|out| write_entry_of_timeline(&entry, &catalog(), out));
            let object = shown.as_object_mut().expect("object");
            object.remove("at");
            assert_eq!(object.remove("event"), Some(json!(what.kind().name())));
            shown
        };
        let attempt = Happened::Attempt { carrier: CarrierId(4), attempt: 2 };
        assert_eq!(entry(attempt), json!({"carrier": "north", "attempt": 2}));
        assert_eq!(entry(Happened::PartAccepted { part: 2, parts: 3 }), json!({"part": 2, "parts": 3}));
        assert_eq!(
            entry(Happened::Submitted { parts: 3, awaits_receipt: false, coding: Coding::Gsm7 }),
            json!({"parts": 3, "encoding": "gsm7"})
        );
        assert_eq!(entry(Happened::Late { receipt: ReceiptState::Delivered }), json!({"receipt": "DELIVRD"}));
        let dead = |reason, by| entry(Happened::Dead { reason, by });
        assert_eq!(dead(DeadLetterReason::AttemptsExhausted, None), json!({"reason": "attempts_exhausted"}));
        assert_eq!(
            dead(DeadLetterReason::InDoubtDropped, Some(Resolution::PolicyDrop)),
            json!({"reason": "in_doubt_dropped", "by": "policy_drop"})
        );
        let reason = |shown: Value| shown["reason"].as_str().expect("reason").replace('_', "");
        for why in NotWritten::ALL {
            assert_eq!(reason(entry(Happened::Returned { why })), format!("{why:?}").to_lowercase());
        }
        for why in Unanswered::ALL {
            let lost = Lost { reason: why, bind: None, held: false, grouped: false };
            assert_eq!(reason(entry(Happened::InDoubt { lost })), format!("{why:?}").to_lowercase());
        }
        let lost = Lost {
            reason: Unanswered::Stopped,
            bind: Some(LostBind { core: 1, number: 2 }),
            held: true,
            grouped: false,
        };
        assert_eq!(entry(Happened::InDoubt { lost }), json!({"reason": "stopped", "core": 1, "bind": 2}));
        assert_eq!(entry(Happened::Resolved { by: Resolution::LateAnswer }), json!({"by": "late_answer"}));
        assert_eq!(entry(Happened::Resent { by: Resolution::OperatorResend }), json!({"by": "operator_resend"}));
        let kinds: std::collections::BTreeSet<EventKind> = samples().into_iter().map(Happened::kind).collect();
        for kind in kinds {
            let sample = samples().into_iter().find(|what| what.kind() == kind).expect("one of each kind");
            entry(sample);
        }
    }

    #[test]
    fn an_error_is_shown_as_the_carrier_wrote_it() {
        let check = |error: CarrierError, shown_as: Value| {
            let what = Happened::Undelivered { error };
            let entry = TimelineEntry { at: Wall(0), what };
            let mut shown = shown(|out| write_entry_of_timeline(&entry, &catalog(), out));
            let object = shown.as_object_mut().expect("object");
            assert_eq!((object.remove("at").is_some(), object.remove("event")), (true, Some(json!("undelivered"))));
            assert_eq!(shown, shown_as);
        };
        let answer = |family, number| CarrierError::of_answer(family, number);
        check(
            answer(ErrorFamily::Throttle, 0x58),
            json!({"error": "ESME_RTHROTTLED", "error_family": "throttle", "error_origin": "answer"}),
        );
        check(
            answer(ErrorFamily::Unknown, 0x1234),
            json!({"error": "4660", "error_family": "unknown", "error_origin": "answer"}),
        );
        check(answer(ErrorFamily::OurBug, 0), json!({"error_family": "our_bug", "error_origin": "answer"}));
        let receipt = |text: &str, number| error(ErrorFamily::Unknown, ErrorOrigin::Receipt, text, number);
        let told = |text: &str| json!({"error": text, "error_family": "unknown", "error_origin": "receipt"});
        check(receipt("008", 8), told("008"));
        check(receipt("nul", 0), told("nul"));
        check(receipt("\"\\", 0), told("\"\\"));
        check(receipt("", 8), told("8"));
        check(CarrierError::default(), json!({"error_family": "unknown", "error_origin": "receipt"}));
        let network = error(ErrorFamily::Transient, ErrorOrigin::Network, "", 27);
        check(network, json!({"error": "27", "error_family": "transient", "error_origin": "network"}));
        for error in [Happened::Expired { error: None }, Happened::Delivered { error: None }] {
            let entry = TimelineEntry { at: Wall(0), what: error };
            let shown = shown(|out| write_entry_of_timeline(&entry, &catalog(), out));
            assert_eq!(shown.as_object().map(serde_json::Map::len), Some(2), "{shown}");
        }
    }

    #[test]
    fn ids_are_asked_for_in_bulk() {
        let id = delivered(0, 0).id;
        let body = json!({"ids": [id.to_string(), "x"]}).to_string();
        assert_eq!(read_ids(body.as_bytes()), Ok(vec![(id.to_string(), Some(id)), ("x".to_owned(), None)]));
        let refused = |body: &str| read_ids(body.as_bytes()).map_err(|problem| problem.code).err();
        assert_eq!(refused("{\"ids\":[]}"), Some(Code::NoMessages));
        for body in ["", "[]", "{}", "{\"ids\":[1]}", "{\"ids\":[],\"x\":1}", "{\"ids\":[\"\u{0}"] {
            assert_eq!(refused(body), Some(Code::MalformedJson), "{body}");
        }
        let many = json!({"ids": vec![""; IDS_MAX + 1]}).to_string();
        assert_eq!(refused(&many), Some(Code::TooManyMessages));
        let endless = format!("{{\"ids\":[{}0]}}", "[[],\"x\"],".repeat(100_000));
        assert_eq!(refused(&endless), Some(Code::MalformedJson), "not read beyond the first that is none");
        let long = json!({"ids": ["\u{80}".repeat(10_000), id.to_string()]}).to_string();
        let read = read_ids(long.as_bytes()).expect("a list");
        assert_eq!((read[0].0.chars().count(), read[0].1, read[1].1), (QUOTED_MAX, None, Some(id)));
        let named = format!("{{\"{}\":1}}", "x".repeat(100_000));
        assert!(read_ids(named.as_bytes()).is_err_and(|problem| problem.detail.len() < 200));
        let gone = shown(|out| write_entry("x", &Lookup::Gone, |_| "", &catalog(), out));
        assert_eq!((&gone["id"], &gone["error"]["code"]), (&json!("x"), &json!("message_gone")));
    }
}
