//! The OpenAPI 3.1 document and the pages of the error codes, made from the tables that the code itself uses: calls, fields,
//! error codes. The schemas of answers are here, and tests compare them with the answers that are really written.

use serde_json::{Map, Value, json};

use super::{
    auth::Scope,
    calls::{AnswerDoc, CALLS, CURSOR, Call, Parameter, What},
    problem::Code,
    typed::{FIELDS, Field},
};
use stentor_core::delivery::DoubtPolicy;
use stentor_core::link::LinkState;
use stentor_core::model::{Class, Coding, ErrorFamily, ErrorOrigin, MessageState};
use stentor_core::traffic::Unanswered;

/// Pages of codes that end messages, not requests: see [`stentor_core::model::DeadLetterReason`].
const REASONS: [(&str, &str); 5] = [
    ("attempts_exhausted", include_str!("../../docs/errors/attempts_exhausted.md")),
    ("carrier_rejected", include_str!("../../docs/errors/carrier_rejected.md")),
    ("expired", include_str!("../../docs/errors/expired.md")),
    ("in_doubt_dropped", include_str!("../../docs/errors/in_doubt_dropped.md")),
    ("in_doubt_exhausted", include_str!("../../docs/errors/in_doubt_exhausted.md")),
];

/// Statuses that any call may return because of its request head.
const OF_EVERY_CALL: [u16; 2] = [400, 421];

/// The page of an error code, as Markdown.
pub fn page(code: &str) -> Option<&'static str> {
    let reason = || REASONS.iter().find(|(name, _)| *name == code).map(|(_, page)| *page);
    Code::from_text(code).map(Code::page).or_else(reason)
}

/// A list of all codes and their pages, as Markdown whose links lead to the pages of this server.
pub fn index() -> String {
    include_str!("../../docs/errors/README.md").replace(".md)", ")").replace("](", "](/docs/errors/")
}

/// The document for an installation with this many shards: a cursor has a position for each.
pub fn document(shards: u8) -> String {
    let mut paths = Map::new();
    for call in CALLS {
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(call.method.to_lowercase(), operation(call, shards));
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stentor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accepts messages, keeps every message that it acknowledged, and sends each to a carrier at exactly \
                the rate that the carrier allows.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(shards),
            "headers": headers(),
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description":
                "A tenant's key. Without tenants in the configuration no key is needed, and only this machine may call." } },
        },
    });
    format!("{document:#}\n")
}

fn operation(call: &Call, shards: u8) -> Value {
    let mut answers = Map::new();
    for answer in call.answers {
        let entry = answers
            .entry(answer.status.to_string())
            .or_insert_with(|| json!({"description": answer.doc, "content": {}}));
        if let Some(content) = entry["content"].as_object_mut() {
            content.insert(answer.media.to_owned(), json!({ "schema": answer_schema(answer) }));
        }
    }
    for status in call.problems.iter().chain(&OF_EVERY_CALL) {
        let codes: Vec<&str> =
            Code::ALL.iter().filter(|code| code.status() == *status).map(|code| code.text()).collect();
        let content = json!({"application/problem+json": {"schema": reference("Problem")}});
        let description = if codes.is_empty() { "See `code`.".to_owned() } else { codes.join(", ") };
        answers.insert(status.to_string(), json!({ "description": description, "content": content }));
    }
    for (status, answer) in &mut answers {
        let told = headers_of(call, status, answer);
        if !told.is_empty() {
            let reference = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
            let told: Map<String, Value> = told.into_iter().map(|name| (name.to_owned(), reference(name))).collect();
            answer["headers"] = told.into();
        }
    }
    let mut operation = json!({
        "operationId": format!("{:?}", call.what).to_lowercase(),
        "summary": call.summary,
        "parameters": call.parameters.iter().map(|known| parameter(known, shards)).collect::<Vec<_>>(),
        "responses": answers,
    });
    if call.problems.contains(&401) {
        // A call that is open to some callers needs a key from the others.
        let open = (call.scope == Scope::Open).then(|| json!({}));
        operation["security"] = open.into_iter().chain([json!({ "key": [] })]).collect();
    }
    if !call.bodies.is_empty() {
        let content: Map<String, Value> = call
            .bodies
            .iter()
            .map(|(media, schema)| ((*media).to_owned(), json!({"schema": reference(schema)})))
            .collect();
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// The headers of an answer with this status, beside those that every answer has.
fn headers_of(call: &Call, status: &str, answer: &Value) -> Vec<&'static str> {
    let is_problem = !answer["content"]["application/problem+json"].is_null();
    let is_submit = call.what == What::Submit;
    let mut told = Vec::new();
    if matches!(status, "429" | "503") && is_problem || status == "202" && is_submit {
        told.push("Retry-After");
    }
    if is_submit {
        told.extend(["RateLimit-Policy", "RateLimit"]);
    }
    told
}

fn headers() -> Value {
    let text = |doc: &str| json!({ "description": doc, "schema": { "type": "string" } });
    json!({
        "Retry-After": {
            "description": "Seconds until it makes sense to send again what was refused for a limit; in a 202 only if some \
                of the messages were.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimit-Policy": text("The tenant's `rate` and `quota`, for a tenant that has one: a list of structured fields, with \
            `q` (messages), `w` (window in seconds) and `qu`. draft-ietf-httpapi-ratelimit-headers-10."),
        "RateLimit": text("How each of them stands: `r` (messages that may come in now) and `t` (seconds until it is renewed)."),
    })
}

fn answer_schema(answer: &AnswerDoc) -> Value {
    match answer.schema {
        "" => json!({ "type": "string" }),
        name => reference(name),
    }
}

fn parameter(parameter: &Parameter, shards: u8) -> Value {
    json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path" || parameter.name == "to",
        "description": parameter.doc,
        "schema": schema(&parameter.schema.replace(CURSOR, &cursor_pattern(shards))),
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A schema of the tables, all of which the tests parse.
fn schema(text: &str) -> Value {
    let mut schema: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(list) = schema.get("enum").and_then(Value::as_str) {
        schema["enum"] = names(list).into();
    }
    schema
}

/// The list of values that a schema of the tables names. A test finds a name that means none.
fn names(list: &str) -> Vec<&'static str> {
    match list {
        "CLASS" => Class::ALL.map(Class::name).to_vec(),
        "REASON" => Unanswered::ALL.map(Unanswered::name).to_vec(),
        "STATE" => MessageState::ALL.map(MessageState::name).to_vec(),
        _ => Vec::new(),
    }
}

/// The pattern of a cursor with a position for each shard.
fn cursor_pattern(shards: u8) -> String {
    format!("01([0-9a-f]{{14}}){{{shards}}}")
}

fn schemas(shards: u8) -> Value {
    let id = json!({ "type": "string", "format": "uuid" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let line_error = json!({"type": "object", "required": ["code", "detail", "retryable"], "properties": {
        "index": count, "code": codes(), "field": {"type": "string"}, "detail": {"type": "string"},
        "retryable": {"type": "boolean"}, "also": {"type": "array", "items": reference("LineError")}}});
    let result = json!({"type": "object", "properties": {
        "id": id, "duplicate": {"type": "boolean"}, "error": reference("LineError")}});
    let summary = json!({"type": "object", "required": ["accepted", "duplicates", "rejected", "errors"], "properties": {
        "accepted": count, "duplicates": count, "rejected": count,
        "errors": {"type": "array", "items": reference("LineError")}}});
    json!({
        "Any": {},
        "Message": message(),
        "MessageOrMessages": {"anyOf": [reference("Message"),
            {"type": "array", "minItems": 1, "items": reference("Message")}]},
        "Tlv": {"type": "object", "required": ["tag"], "additionalProperties": false, "properties": {
            "tag": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535},
                {"type": "string", "pattern": "^0[xX][0-9a-fA-F]{1,4}$"}]},
            "text": {"type": "string", "maxLength": 1000}, "hex": {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"}}},
        "Accepted": {"anyOf": [reference("Result"), {"type": "array", "items": reference("Result")}, reference("Summary")]},
        "Result": result,
        "Summary": summary,
        "LineError": line_error,
        "Problem": problem(),
        "MessageStatus": message_status(),
        "Cancelled": {"type": "object", "required": ["id", "state"], "properties": {
            "id": id, "state": {"const": "cancelled"}}},
        "LookupRequest": {"type": "object", "required": ["ids"], "additionalProperties": false, "properties": {
            "ids": {"type": "array", "minItems": 1, "maxItems": super::lookup::IDS_MAX, "items": {"type": "string"}}}},
        "LookupAnswer": {"type": "object", "required": ["messages"], "properties": {"messages": {"type": "array", "items":
            {"anyOf": [reference("MessageStatus"), {"type": "object", "required": ["id", "error"], "properties": {
                "id": {"type": "string"}, "error": reference("LineError")}}]}}}},
        "FoundMessages": {"type": "object", "required": ["messages", "next"], "properties": {
            "messages": {"type": "array", "items": reference("MessageStatus")}, "next": {"type": ["string", "null"]}}},
        "RecordOrCursor": {"anyOf": [record(), {"type": "object", "required": ["cursor"], "properties": {
            "cursor": {"type": "string"}}}]},
        "InboundOrCursor": {"anyOf": [inbound(), {"type": "object", "required": ["cursor"], "properties": {
            "cursor": {"type": "string"}}}]},
        "Reader": reader(),
        "Readers": {"type": "object", "required": ["readers"], "properties": {
            "readers": {"type": "array", "maxItems": super::readers::READERS_MAX, "items": reference("Reader")}}},
        "Confirmation": {"type": "object", "additionalProperties": false, "properties": {
            "cursor": {"type": ["string", "null"], "pattern": format!("^{}$", cursor_pattern(shards))}}},
        "InDoubtPage": in_doubt_page(),
        "ResolveRequest": resolve_request(),
        "ResolveAnswer": {"type": "object", "required": ["resolved", "results", "more"], "properties": {
            "resolved": count, "more": {"type": "boolean"}, "results": {"type": "array", "items": {"type": "object",
                "required": ["id"], "properties": {"id": {"type": "string"},
                    "result": {"type": "string", "enum": ["resent", "dropped", "sent"]},
                    "error": reference("LineError")}}}}},
        "Queues": queues(),
        "Carriers": carriers(),
        "Limits": limits(),
        "Restored": restored(),
        "Release": {"type": "object", "required": ["action"], "additionalProperties": false, "properties": {
            "action": {"type": "string", "enum": DoubtPolicy::ALL.map(DoubtPolicy::name)}, "class": class()}},
        "Released": {"type": "object", "required": ["action", "messages"], "properties": {
            "action": {"type": "string"}, "class": class(), "messages": count}},
        "Ready": {"type": "object", "required": ["ready", "reasons"], "properties": {
            "ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}}},
    })
}

fn codes() -> Value {
    json!({"type": "string", "enum": Code::ALL.iter().map(|code| code.text()).collect::<Vec<_>>()})
}

fn message() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        let mut schema = schema(field.schema);
        if field.field != Field::To {
            allow_null(&mut schema);
        }
        schema["description"] = field.doc.into();
        properties.insert(field.name.to_owned(), schema);
    }
    json!({
        "type": "object",
        "required": ["to"],
        "additionalProperties": false,
        "oneOf": [given("body"), given("data")],
        "not": {"anyOf": [
            {"allOf": [given("expires_in"), given("expires_at")]},
            {"allOf": [given("udh"), given("body")]}]},
        "properties": properties,
        "example": {"to": "+4915112345678", "body": "Your code is 1234", "class": "otp"},
    })
}

/// Allows null, which means the same as leaving the field out.
fn allow_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.push(json!({"type": "null"}));
        return;
    }
    schema["type"] = json!([schema["type"], "null"]);
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
}

/// Requires the field, with a value that is not null.
fn given(field: &str) -> Value {
    json!({"required": [field], "properties": {field: {"not": {"type": "null"}}}})
}

fn problem() -> Value {
    json!({"type": "object", "required": ["type", "title", "status", "detail", "code", "retryable", "request_id", "doc_url"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"}, "title": {"type": "string"},
            "status": {"type": "integer"}, "detail": {"type": "string"}, "code": codes(),
            "retryable": {"type": "boolean"}, "request_id": {"type": "string"},
            "doc_url": {"type": "string", "format": "uri-reference"},
            "errors": {"type": "array", "items": reference("LineError")},
            "errors_omitted": {"type": "integer", "minimum": 1}}})
}

/// The properties that statuses and records have in common.
fn common() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "string", "format": "date-time" });
    let states = MessageState::ALL.map(MessageState::name);
    let common = json!({
        "id": {"type": "string", "format": "uuid"}, "state": {"type": "string", "enum": states},
        "final": {"type": "boolean"}, "tenant": text, "to": text, "from": text,
        "class": class(),
        "parts": count, "attempts": count, "route": text, "carrier": text, "ref": text,
        "tags": {"type": "array", "items": text},
        "accepted_at": time, "submitted_at": time, "final_at": time, "reason": text, "error": text,
        "error_family": {"type": "string", "enum": ErrorFamily::ALL.map(ErrorFamily::name)},
        "error_origin": {"type": "string", "enum": ErrorOrigin::ALL.map(ErrorOrigin::name)},
    });
    if let Value::Object(common) = common { common } else { Map::new() }
}

fn record() -> Value {
    json!({"type": "object", "required": ["id", "state", "final", "to", "class", "parts", "attempts", "accepted_at"],
        "properties": common()})
}

fn inbound() -> Value {
    let text = json!({ "type": "string" });
    let hex = json!({"type": "string", "pattern": "^([0-9a-f]{2})*$"});
    let parts = json!({"type": "integer", "minimum": 1, "maximum": 255});
    json!({"type": "object", "required": ["id", "at", "from", "to", "data_coding", "parts"], "properties": {
        "id": text, "at": {"type": "string", "format": "date-time"}, "tenant": text, "from": text, "to": text,
        "carrier": text, "text": text, "hex": hex, "udh": hex,
        "data_coding": {"type": "integer", "minimum": 0, "maximum": 255}, "parts": parts,
        "missing": {"type": "array", "items": parts}}})
}

fn reader() -> Value {
    let text = json!({ "type": "string" });
    json!({"type": "object", "required": ["name", "cursor", "confirmed_at"], "properties": {
        "name": text, "cursor": text, "confirmed_at": {"type": "string", "format": "date-time"}}})
}

fn message_status() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "string", "format": "date-time" });
    let encodings: Vec<_> = ["auto"].into_iter().chain(Coding::ALL.into_iter().filter_map(Coding::name)).collect();
    let entry = json!({"type": "object", "required": ["at", "event"], "properties": {
        "at": time, "event": text, "carrier": text, "attempt": count, "part": count, "parts": count, "encoding": text, "reason": text,
        "error": text, "error_family": text, "error_origin": text, "receipt": text, "core": count, "bind": count, "by": text}});
    let mut properties = common();
    properties.insert(
        "encoding".to_owned(),
        json!({"type": "string", "enum": encodings,
        "description": "the encoding asked for; from state submitted on, the encoding that was sent to the carrier"}),
    );
    properties.insert("parts_delivered".to_owned(), count);
    properties.insert("send_at".to_owned(), time.clone());
    properties.insert("expires_at".to_owned(), time);
    properties.insert("timeline".to_owned(), json!({"type": "array", "items": entry}));
    json!({"type": "object", "required": ["id", "state", "final", "to", "class", "timeline"], "properties": properties})
}

fn in_doubt_page() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let time = json!({ "type": "string", "format": "date-time" });
    let entry = json!({"type": "object", "required": ["id", "to", "class", "reason", "since", "attempt", "policy"],
        "properties": {
            "id": {"type": "string", "format": "uuid"}, "tenant": text, "to": text, "from": text,
            "class": class(), "route": text, "carrier": text,
            "core": count, "bind": count, "reason": {"type": "string", "enum": Unanswered::ALL.map(Unanswered::name)},
            "attempt": count, "doubts": count, "attempted_at": time, "since": time, "parts": count, "parts_open": count,
            "policy": {"type": "string", "enum": DoubtPolicy::ALL.map(DoubtPolicy::name)}, "resend_at": time, "drop_at": time, "ref": text}});
    json!({"type": "object", "required": ["in_doubt", "next"], "properties": {
        "in_doubt": {"type": "array", "items": entry}, "next": {"type": ["string", "null"]}}})
}

fn resolve_request() -> Value {
    let text = json!({ "type": "string" });
    let filter = json!({"type": "object", "additionalProperties": false, "properties": {
        "tenant": text, "carrier": text, "class": class(),
        "reason": {"type": "string", "enum": Unanswered::ALL.map(Unanswered::name)},
        "since": {"type": "string", "format": "date-time"}}});
    let most = super::in_doubt::PAGE_MAX;
    json!({"type": "object", "required": ["action"], "additionalProperties": false,
        "oneOf": [{"required": ["ids"]}, {"required": ["filter"]}],
        "properties": {
            "action": {"type": "string", "enum": ["resend", "drop", "sent"]},
            "ids": {"type": "array", "minItems": 1, "maxItems": most, "items": text}, "filter": filter,
            "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": most, "default": most}}})
}

fn queues() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let maybe = json!({ "type": ["integer", "null"], "minimum": 0 });
    let tenants = json!({"type": "array", "items": {"type": "object", "properties": {
        "tenant": text, "depth": count, "oldest_age_ms": maybe}}});
    json!({"type": "object", "required": ["depth", "lanes"], "properties": {
        "depth": count, "scheduled": count, "in_flight": count, "in_doubt": count, "awaiting_receipt": count,
        "lanes": {"type": "array", "items": {"type": "object", "properties": {
            "class": text, "route": text, "depth": count, "oldest_age_ms": maybe, "drain_s": maybe,
            "tenants": tenants}}}}})
}

fn class() -> Value {
    json!({"type": "string", "enum": Class::ALL.map(Class::name)})
}

fn restored() -> Value {
    let time = json!({ "type": "string", "format": "date-time" });
    let entry = json!({"type": "object", "required": ["class", "unsent", "messages"], "properties": {
        "class": class(), "unsent": {"type": "string", "enum": DoubtPolicy::ALL.map(DoubtPolicy::name)},
        "messages": {"type": "integer", "minimum": 0}}});
    json!({"type": "object", "required": ["restored"], "properties": {
        "restored": {"type": "boolean"}, "mark": time, "at": time, "classes": {"type": "array", "items": entry}}})
}

fn carriers() -> Value {
    let text = json!({ "type": "string" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let refused = json!({"type": "array", "items": {"type": "object", "properties": {
        "status": text, "name": text, "count": count}}});
    let state = json!({"type": "string", "enum": LinkState::ALL.map(LinkState::name)});
    let moment = json!({"type": ["string", "null"], "format": "date-time"});
    let last_error = json!({"type": ["object", "null"], "required": ["at", "host", "what"], "properties": {
        "at": {"type": "string", "format": "date-time"}, "host": text, "what": text}});
    let carrier = json!({"type": "object", "required": ["name"], "properties": {
        "name": text, "binds": count, "binds_wanted": count, "window_used": count, "window": count, "prepared": count,
        "rate": count, "rate_allowed": {"type": ["integer", "null"], "minimum": 0}, "accepted": count,
        "receipts": count, "refused": refused, "held_by": {"type": "array", "items": state}, "last_error": last_error,
        "since": moment, "next_try_at": moment}});
    json!({"type": "object", "required": ["carriers"], "properties": {"carriers": {"type": "array", "items": carrier}}})
}

fn limits() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let entry = json!({"type": "object", "required": ["name", "value", "used", "allowed", "parked", "wakes_at"],
        "properties": {
            "name": {"type": "string"}, "value": {"type": ["string", "null"]},
            "used": count, "allowed": count, "parked": count,
            "wakes_at": {"type": ["string", "null"], "format": "date-time"}}});
    json!({"type": "object", "required": ["limits"], "properties": {"limits": {"type": "array", "items": entry}}})
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
