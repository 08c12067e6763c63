//! Compares the description of the API with what the API answers.

use super::*;
use crate::http::{
    base64,
    board::{LinkStatus, ShardStatus, StatusBoard},
    in_doubt,
    inbound::{self, tests::record},
    limited,
    lookup::{
        self,
        tests::{catalog, delivered},
    },
    problem::{AskedAt, Flaw, Problem},
    readers,
    records::{self, Cursor, Format},
    restored, spelling,
};
use stentor_core::{
    delivery::EventKind,
    link::LinkState,
    model::{Address, CarrierError, CarrierId, DeadLetterReason, ErrorFamily, LinkId, ShardId, TenantId, Wall},
    store::{control::ReaderRecord, record::HandsetRecord},
};

/// Checks what was written against the document: members, their types and `required`.
fn check(schema: &Value, found: &Value, document: &Value, way: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        return check(document.pointer(pointer).expect(name), found, document, way);
    }
    if let Some(ways) = schema["anyOf"].as_array().filter(|_| schema.get("properties").is_none()) {
        let fits = |way: &&Value| way["type"].is_null() || type_of(found).iter().any(|name| allows(way, name));
        let way_out = ways.iter().find(|way| fits(way)).expect(way);
        return check(way_out, found, document, way);
    }
    assert!(type_of(found).iter().any(|name| allows(schema, name)), "{way}: {found} is no {}", schema["type"]);
    if let Some(members) = found.as_object() {
        for (name, member) in members {
            let known = &schema["properties"][name];
            assert!(!known.is_null(), "{way}: {name} is not documented");
            check(known, member, document, &format!("{way}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().expect("name")), "{way}: {name} is missing");
        }
    }
    for item in found.as_array().into_iter().flatten() {
        check(&schema["items"], item, document, &format!("{way}[]"));
    }
    if let (Some(names), Some(_)) = (schema["enum"].as_array(), found.as_str()) {
        assert!(names.contains(found), "{way}: {found} is not among {names:?}");
    }
}

fn type_of(found: &Value) -> Vec<&'static str> {
    match found {
        Value::Null => vec!["null"],
        Value::Bool(_) => vec!["boolean"],
        Value::Number(_) => vec!["integer", "number"],
        Value::String(_) => vec!["string"],
        Value::Array(_) => vec!["array"],
        Value::Object(_) => vec!["object"],
    }
}

fn allows(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(names) => names.iter().any(|known| known == name),
        _ => true,
    }
}

fn checked(name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let document: Value = serde_json::from_str(&document(1)).expect("JSON");
    let mut out = Vec::new();
    write(&mut out);
    check(&reference(name), &serde_json::from_slice(&out).expect("JSON"), &document, name);
}

#[test]
fn what_is_written_is_what_is_documented() {
    let mut found = delivered(0, 0);
    (found.head.send_at, found.head.tenant) = (Wall(5), TenantId(7));
    found.view.error = Some(CarrierError::of_answer(ErrorFamily::Transient, 8));
    found.view.reason = Some(DeadLetterReason::NoRoute);
    checked("MessageStatus", |out| lookup::write(&found, "shop", &catalog(), out));
    checked("Problem", |out| {
        Problem::of_one(Flaw::of(Code::InvalidBody, "body", "x")).write("r", &AskedAt::default(), out)
    });
    let board = StatusBoard::new(1);
    board.put_shard(ShardId(0), ShardStatus::default());
    let link = LinkId { carrier: CarrierId(4), core: 0 };
    board.put_link(LinkStatus { link, refused: vec![(8, 1)], state: LinkState::Paused, ..LinkStatus::default() });
    let (doubts, tenants) = ([in_doubt::tests::found(1)], in_doubt::tests::tenants());
    checked("InDoubtPage", |out| in_doubt::write_page(&doubts, None, &catalog(), &tenants, out));
    checked("Queues", |out| board.write_queues(&catalog(), |_| "shop", Wall(0), out));
    checked("Carriers", |out| board.write_carriers(&catalog(), out));
    checked("Limits", limited::tests::write_two);
    let reader = ReaderRecord { name: "billing".to_owned(), positions: vec![7], confirmed_at: 1 };
    checked("Readers", |out| readers::write_all(&[reader], 1, out));
    checked("Restored", |out| restored::write(&board, out));
    checked("Ready", |out| assert!(!board.write_ready(out)));
    let mut out = Vec::new();
    records::write_page(Format::Ndjson, &[found], &Cursor::start(1), &catalog(), Some(&tenants), &mut out);
    let document: Value = serde_json::from_str(&document(1)).expect("JSON");
    let lines: Vec<Value> =
        out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let incomplete =
        HandsetRecord { missing: vec![(2, 0)], tenant: Some(7), text: vec![255], header: vec![9], ..record() };
    let mut inbound_line = Vec::new();
    inbound::write(ShardId(0), Address::new(1, 0), &incomplete, &catalog(), Some(&tenants), &mut inbound_line);
    let line: Value = serde_json::from_slice(&inbound_line).expect("JSON");
    let way = &document["components"]["schemas"]["InboundOrCursor"]["anyOf"][0];
    check(way, &line, &document, "inbound");
    let ways = &document["components"]["schemas"]["RecordOrCursor"]["anyOf"];
    check(&ways[0], &lines[0], &document, "record");
    check(&ways[1], &lines[1], &document, "cursor");
}

#[test]
fn the_document_holds_together() {
    let document: Value = serde_json::from_str(&document(1)).expect("JSON");
    for call in CALLS {
        let operation = &document["paths"][call.path][call.method.to_lowercase()];
        assert_eq!(operation["operationId"], format!("{:?}", call.what).to_lowercase());
        for parameter in call.parameters {
            assert!(serde_json::from_str::<Value>(parameter.schema).is_ok(), "{}", parameter.schema);
            assert_ne!(schema(parameter.schema)["enum"], json!([]), "{} names no list", parameter.schema);
            assert!(!operation.to_string().contains(CURSOR), "{}", call.path);
        }
        for status in call.problems {
            assert!(Code::ALL.iter().any(|code| code.status() == *status), "{} {status}", call.path);
        }
    }
    let mut todo = vec![&document];
    let mut references = 0;
    while let Some(value) = todo.pop() {
        if let Some(name) = value.get("$ref").and_then(Value::as_str) {
            references += 1;
            assert!(document.pointer(name.trim_start_matches('#')).is_some(), "{name}");
        }
        todo.extend(value.as_array().into_iter().flatten());
        todo.extend(value.as_object().into_iter().flat_map(Map::values));
    }
    assert!(references > 50);
}

/// The document's pattern for base64 accepts exactly what is read.
#[test]
fn base64_is_described_as_it_is_read() {
    for field in ["data", "udh"] {
        let known = FIELDS.iter().find(|known| known.name == field).expect("a field");
        let schema: Value = serde_json::from_str(known.schema).expect("JSON");
        assert_eq!(schema["minLength"], 2);
        let pattern = schema["pattern"].as_str().expect("a pattern");
        // The last one, two or three bytes: with and without padding, and with bits left over.
        let ends = ["(==)?", "[AQgw]", "[AEIMQUYcgkosw048]=?"];
        assert!(ends.iter().all(|end| pattern.contains(end)), "{pattern}");
        for (end, fits) in [("QQ", true), ("QR", false), ("QUI", true), ("QUJ", false)] {
            assert_eq!(base64::decode(end, &mut Vec::new()).is_ok(), fits, "{end}");
        }
    }
}

#[test]
fn the_list_of_codes_leads_to_pages_that_are_there() {
    let index = index();
    let pages: Vec<&str> = index.split("](/docs/errors/").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(pages.len() >= Code::ALL.len() && !index.contains(".md"), "{index}");
    assert!(pages.iter().all(|code| page(code).is_some()), "{pages:?}");
}

#[test]
fn the_explanation_leaves_nothing_out() {
    let explanation = include_str!("../../docs/API.md");
    let index = include_str!("../../docs/errors/README.md");
    let table = explanation.split("\n## ").find(|section| section.starts_with("Calls")).expect("the table of calls");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    for call in CALLS {
        // A row may name several methods of one path, and several paths after one method.
        let is_told = |row: &&str| row.contains(call.method) && row.contains(&format!("{}`", call.path));
        let is_asked = |row: &&str| row.contains(&format!("`{} {}?", call.method, call.path));
        assert!(rows.iter().any(|row| is_told(row) || is_asked(row)), "{} {}", call.method, call.path);
    }
    let storage = include_str!("../../docs/STORAGE.md");
    for kind in EventKind::ALL {
        let name = format!("`{}`", kind.name());
        let is_told = |line: &str| line.starts_with("| ") && line.contains(&name);
        assert!(explanation.contains(&name) && storage.lines().any(is_told), "{name}");
    }
    for field in FIELDS {
        assert!(explanation.contains(&format!("`{}`", field.name)), "{}", field.name);
    }
    for state in MessageState::ALL {
        assert!(explanation.contains(&format!("| `{}` |", state.name())), "{}", state.name());
    }
    for code in Code::ALL {
        assert!(index.contains(&format!("| [`{0}`]({0}.md) | {1} |", code.text(), code.status())), "{}", code.text());
    }
}

#[test]
fn null_is_documented_where_it_is_read_as_nothing() {
    let document: Value = serde_json::from_str(&document(1)).expect("JSON");
    let fields = document["components"]["schemas"]["Message"]["properties"].as_object().expect("fields");
    for (name, schema) in fields {
        let null = || type_of(&Value::Null).iter().any(|null| allows(schema, null));
        let is_documented = match schema["anyOf"].as_array() {
            Some(ways) => ways.iter().any(|way| allows(way, "null")),
            None => null() && schema["enum"].as_array().is_none_or(|values| values.contains(&Value::Null)),
        };
        let mut message = json!({"to": "+4915112345678", "body": "hi"});
        if name == "body" {
            message["data"] = "aGk=".into();
        }
        message[name] = Value::Null;
        let is_read = spelling::tests::plain(&message.to_string()).is_ok();
        assert_eq!(is_documented, is_read, "{name}: {schema}");
    }
}

#[test]
fn headers_that_tell_of_limits_are_documented_where_they_are_sent() {
    let document: Value = serde_json::from_str(&document(1)).expect("JSON");
    let told = |path: &str, method: &str, status: &str| {
        let headers = document["paths"][path][method]["responses"][status]["headers"].as_object();
        let mut names = Vec::new();
        for (name, header) in headers.into_iter().flatten() {
            let pointer = header["$ref"].as_str().expect("a reference").trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            names.push(name.clone());
        }
        names
    };
    let submit = |status| told("/v1/messages", "post", status);
    let all = ["RateLimit", "RateLimit-Policy", "Retry-After"];
    assert_eq!(
        [submit("202"), submit("429"), submit("503")],
        [all, all, all].map(|names| names.map(str::to_owned).to_vec())
    );
    assert_eq!(submit("400"), all[..2]);
    assert_eq!((told("/v1/records", "get", "503"), told("/readyz", "get", "503").len()), (vec![all[2].to_owned()], 0));
}
