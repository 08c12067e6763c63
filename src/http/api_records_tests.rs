//! Reading many messages, the tenant's own and those of other tenants: pages, readers, and what a call may cost.

use super::*;

#[test]
fn an_admin_reads_what_is_anothers_if_he_says_so() {
    let tenant = |id, name: &str| TenantOptions { id: TenantId(id), name: name.into(), ..Default::default() };
    let shop = TenantSpec { tenant: tenant(7, "shop"), keys: vec!["shop-key".into()], ..TenantSpec::default() };
    let boss = TenantSpec { tenant: tenant(8, "boss"), admin_keys: vec!["boss-key".into()], ..TenantSpec::default() };
    serve(vec![shop, boss], false, |client| {
        let call = |line: &str, key: &str| {
            let headers = ["content-type: application/json", &format!("authorization: Bearer {key}")];
            client.call(line, &headers, if line.starts_with("POST") { MESSAGE.as_bytes() } else { b"" })
        };
        let id = call("POST /v1/messages", "shop-key").json()["id"].as_str().expect("id").to_owned();
        let shop = call(&format!("GET /v1/messages/{id}?tenant=shop"), "boss-key");
        assert_eq!((shop.status, &shop.json()["tenant"]), (200, &json!("shop")));
        assert_eq!(call(&format!("GET /v1/messages/{id}?tenant=*"), "boss-key").json(), shop.json());
        assert_eq!(
            call(&format!("GET /v1/messages/{id}?tenant=boss"), "boss-key").code(),
            is(404, "message_not_found")
        );
        let named = |name: &str| {
            let document = json!({"ids": [id]}).to_string();
            let headers = ["content-type: application/json", "authorization: Bearer boss-key"];
            let lookup = client.call(&format!("POST /v1/messages/lookup?{name}"), &headers, document.as_bytes());
            let records = call(&format!("GET /v1/records?{name}"), "boss-key");
            let doubts = call(&format!("GET /v1/in-doubt?{name}"), "boss-key");
            [lookup, records, doubts]
        };
        for name in ["tenant=shop", "tenant=*"] {
            let [lookup, records, doubts] = named(name);
            assert_eq!(lookup.json()["messages"][0]["tenant"], "shop", "{name}");
            assert!(
                records.body.starts_with(&format!("{{\"id\":\"{id}\",\"tenant\":\"shop\",")),
                "{name}: {records:?}"
            );
            assert_eq!(doubts.status, 200, "{name}");
        }
        assert!(call("GET /v1/records?tenant=*&format=csv", "boss-key").body.contains(",shop,"));
        for unknown in ["tenant=shops", "tenant=", "tenant"] {
            let codes = named(unknown).map(|heard| heard.code());
            assert_eq!(codes, [(); 3].map(|()| is(404, "unknown_name")), "{unknown}");
        }
        for line in [format!("GET /v1/messages/{id}?tenant=shop"), "GET /v1/records?tenant=*".to_owned()] {
            assert_eq!(call(&line, "shop-key").code(), is(403, "forbidden"), "{line}");
        }
        let cancel = format!("DELETE /v1/messages/{id}?tenant=shop");
        assert_eq!(call(&cancel, "boss-key").code(), is(422, "invalid_parameter"), "what is another's is read only");
        let own = call(&format!("GET /v1/messages/{id}"), "shop-key").json();
        assert_eq!(own["tenant"], Value::Null, "who sees only his own is not told");
    });
}

#[test]
fn records_go_on_where_they_ended() {
    serve(Vec::new(), false, |client| {
        let ids: Vec<String> =
            (0..30).map(|n| client.send(&format!("+49151123456{:02}", n / 9 * 10 + n % 9))).collect();
        let read = |query: &str| {
            let heard = client.get(&format!("/v1/records?{query}"));
            let lines: Vec<Value> = heard.body.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            let cursor = lines.last().expect("cursor")["cursor"].as_str().expect("cursor").to_owned();
            let found: Vec<String> = lines.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect();
            (found, cursor)
        };
        let (mut found, cursor) = read("limit=7");
        assert_eq!(found.len(), 7);
        let (more, cursor) = read(&format!("cursor={cursor}"));
        found.extend(more);
        found.sort_unstable();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        assert_eq!(found, sorted, "each once");
        let later = client.send("+4915112345670");
        assert_eq!(read(&format!("cursor={cursor}")).0, [later]);
        let csv = client.get("/v1/records?format=csv&limit=2");
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        assert_eq!(csv.body.lines().count(), 3);
    });
}

#[test]
fn a_reader_goes_on_where_it_has_confirmed_to_have_read() {
    let tenant = |number: u32| TenantSpec {
        tenant: TenantOptions { id: TenantId(number), name: format!("t{number}"), ..TenantOptions::default() },
        keys: vec![format!("k{number}")],
        admin_keys: Vec::new(),
    };
    serve(vec![tenant(1), tenant(2)], false, |client| {
        let call = |key: &str, line: &str, body: &str| {
            let key = format!("authorization: Bearer {key}");
            client.call(line, &[&key, "content-type: application/json"], body.as_bytes())
        };
        let confirm = |body: &str| call("k1", "POST /v1/records/readers/billing", body);
        assert_eq!(call("k1", "GET /v1/records?reader=billing", "").code(), is(404, "reader_not_found"));
        let begun = confirm("{}");
        let start = "01".to_owned() + &"0".repeat(42);
        assert_eq!((begun.status, &begun.json()["cursor"]), (200, &json!(start)));
        // No message of these shards is final.
        let sent = call("k1", "POST /v1/messages", r#"{"to":"+4915112345670","body":"hi"}"#).json()["id"].clone();
        let read = |query: &str| call("k1", &format!("GET /v1/records?{query}"), "").body;
        assert!(!read("reader=billing").contains(sent.as_str().expect("id")));
        let cursor =
            read("").lines().last().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).expect("a line");
        assert_eq!(confirm(&cursor.to_string()).json()["cursor"], cursor["cursor"]);
        assert_eq!(read("reader=billing"), format!("{cursor}\n"));
        assert_eq!(confirm(&json!({"cursor": start}).to_string()).code(), is(409, "cursor_goes_back"));
        assert_eq!(confirm(r#"{"cursor":"01"}"#).code(), is(422, "invalid_cursor"));
        assert_eq!(confirm(r#"{"to":"01"}"#).code(), is(400, "malformed_json"));
        assert_eq!(call("k1", "POST /v1/records/readers/a%20b", "{}").code(), is(422, "invalid_reader"));
        let list = call("k1", "GET /v1/records/readers", "").json();
        assert_eq!(
            (&list["readers"][0]["name"], &list["readers"][0]["cursor"]),
            (&json!("billing"), &cursor["cursor"])
        );
        assert_eq!(call("k2", "GET /v1/records/readers", "").json(), json!({"readers": []}), "each tenant its own");
        assert_eq!(call("k2", "DELETE /v1/records/readers/billing", "").code(), is(404, "reader_not_found"));
        assert_eq!(call("k1", "DELETE /v1/records/readers/billing", "").json()["cursor"], cursor["cursor"]);
        assert_eq!(call("k1", "GET /v1/records/readers", "").json(), json!({"readers": []}));
    });
}

/// Origin M1: one call read everything that other tenants had sent.
#[test]
fn what_a_call_of_records_passes_over_is_bounded_and_the_next_goes_on() {
    let keys = vec!["patient-key".to_owned()];
    let tenant = TenantOptions { id: PATIENT, name: "p".into(), ..TenantOptions::default() };
    serve(vec![TenantSpec { tenant, keys, ..TenantSpec::default() }], false, |client| {
        let call = |query: &str| {
            let heard =
                client.call(&format!("GET /v1/records?limit=1{query}"), &["authorization: Bearer patient-key"], b"");
            assert_eq!(heard.status, 200);
            heard.body
        };
        for format in ["", "&format=csv"] {
            let (mut cursor, mut calls) = (String::new(), 0);
            loop {
                let body = call(&format!("{format}{cursor}"));
                let last = body.lines().last().expect("a cursor").to_owned();
                let text = last.rsplit([',', ':']).next().expect("a cursor").trim_matches(['"', '}']);
                let next = format!("&cursor={text}");
                calls += 1;
                if next == cursor || !text.starts_with("01") {
                    break;
                }
                assert!(!body.contains("accepted_at\":"), "{body}");
                cursor = next;
            }
            // 120 pages, 8 per call; and one call that finds that there is nothing more.
            assert_eq!(calls, 16, "{format}");
        }
    });
}

#[test]
fn messages_from_handsets_are_read_by_their_owner_and_by_an_admin() {
    let tenant = |id, name: &str| TenantOptions { id: TenantId(id), name: name.into(), ..Default::default() };
    let shop = TenantSpec { tenant: tenant(7, "shop"), keys: vec!["shop-key".into()], ..TenantSpec::default() };
    let boss = TenantSpec { tenant: tenant(8, "boss"), admin_keys: vec!["boss-key".into()], ..TenantSpec::default() };
    let lines = |heard: &Heard| -> Vec<Value> {
        assert_eq!((heard.status, heard.header("content-type")), (200, Some("application/x-ndjson")), "{heard:?}");
        heard.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let texts = |lines: &[Value]| -> Vec<String> {
        lines.iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect()
    };
    let all = ["0 1", "0 2", "1 1", "1 2", "2 1", "2 2"];
    serve(vec![shop, boss], false, |client| {
        let read = |query: &str, key: &str| {
            client.call(&format!("GET /v1/inbound{query}"), &[&format!("authorization: Bearer {key}")], b"")
        };
        let own = lines(&read("", "shop-key"));
        assert_eq!(texts(&own), ["0 2", "1 2", "2 2"]);
        assert!(own.iter().all(|line| line["tenant"].is_null()), "who sees only his own is not told");
        assert_eq!(texts(&lines(&read("", "boss-key"))), Vec::<String>::new());
        let everybodys = lines(&read("?tenant=*", "boss-key"));
        assert_eq!(texts(&everybodys), all);
        assert_eq!((&everybodys[0]["tenant"], &everybodys[1]["tenant"]), (&Value::Null, &json!("shop")));
        assert_eq!(texts(&lines(&read("?tenant=shop", "boss-key"))), ["0 2", "1 2", "2 2"]);
        assert_eq!(read("?tenant=*", "shop-key").code(), is(403, "forbidden"));
        assert_eq!(read("?tenant=x", "boss-key").code(), is(404, "unknown_name"));
        // One by one, until the cursor no longer changes.
        let (mut seen, mut query) = (Vec::new(), "?tenant=*&limit=1".to_owned());
        loop {
            let page = lines(&read(&query, "boss-key"));
            let cursor = page.last().expect("a cursor")["cursor"].as_str().expect("a cursor").to_owned();
            let next = format!("?tenant=*&limit=1&cursor={cursor}");
            seen.extend(texts(&page));
            if next == query {
                break;
            }
            query = next;
        }
        assert_eq!(seen, all);
    });
    serve(Vec::new(), false, |client| assert_eq!(texts(&lines(&client.get("/v1/inbound"))), all, "without tenants"));
}
