//! The API over real sockets, with shards that keep everything in a list and answer at once, or stay silent, or are full.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::*;
use crate::{
    host::{
        clock::Clock,
        executor::{Executor, Io, OnPanic, Running},
        net::Listener,
        watchdog::Heartbeat,
    },
    http::{Limits, Server, TenantSpec, backup::Pipe},
};
use stentor_core::{
    admission::{Quota, TenantOptions},
    control::{Control, ControlEvent, Effect},
    delivery::MessageView,
    mesh::{CoreId, mailbox},
    model::{
        Address, Class, KeyPrint, MessageId, MessageState, NodeId, Period, Refusal, ReplyTo, RouteId, TenantId, Wall,
        Whose,
    },
    routing::{Condition, Route, RouteTable},
    shard::{Ask, Cancelled, Claimed, FoundMessage, LineResult, Lookup, Reply, Resolved},
    store::record::HandsetRecord,
};

#[path = "api_limits_tests.rs"]
mod limits;
#[path = "api_records_tests.rs"]
mod records;
#[path = "api_shards_tests.rs"]
mod shards;

use shards::Shards;

const SHARDS: ShardMap = ShardMap::new(3, 1);
const PATIENT: TenantId = TenantId(60);
/// Pages of each shard that hold no message of [`PATIENT`].
const PASSED: u64 = 40;

fn api(tenants: Vec<TenantSpec>, full: bool) -> Rc<Api> {
    let shards = Rc::new(RefCell::new(Shards::default()));
    let door: Rc<OnceCell<Rc<Door>>> = Rc::default();
    let back = Rc::clone(&door);
    let deliver = Rc::new(move |to: ReplyTo, reply: Reply| {
        let back = Rc::clone(&back);
        executor::spawn(OnPanic::Abort, "shard", async move {
            executor::yield_now().await;
            if let Some(door) = back.get() {
                door.deliver(to, reply);
            }
        });
    });
    let told = Rc::clone(&deliver);
    let look = move |to| {
        if !full {
            told(to, Reply::Limits(limits::seen()));
        }
        !full
    };
    let send = move |shard, ask| {
        if full {
            return Err(ask);
        }
        let (to, reply) = shards.borrow_mut().answer(shard, ask);
        deliver(to, reply);
        Ok(())
    };
    let made = Door::new(0, Box::new(send), Box::new(look));
    assert!(door.set(Rc::clone(&made)).is_ok());
    api_behind(tenants, made)
}

fn api_behind(tenants: Vec<TenantSpec>, door: Rc<Door>) -> Rc<Api> {
    let route = Route { id: RouteId(1), name: "all".to_owned(), when: Condition::default(), ways: Vec::new() };
    let settings = Settings {
        tenants: Arc::new(Tenants::new(tenants, &Arc::default())),
        defaults: Defaults::default(),
        numbering: Numbering::new(None).expect("metadata"),
        limits: RequestLimits::default(),
        hosts: Hosts::new(&["stentor.example".to_owned()]),
        requests: Told::default(),
    };
    Rc::new(Api::new(Options {
        settings,
        shards: SHARDS,
        hash_seed: 7,
        door,
        catalog: Arc::new(Catalog {
            routes: RouteTable { routes: vec![route] },
            limits: Arc::new(limits::table()),
            ..Catalog::default()
        }),
        board: Arc::new(StatusBoard::new(3)),
        metrics: Rc::new(|| Box::pin(async { Bytes::from_static(b"# metrics\n") })),
        backup: Some(backups()),
        control: Some(control()),
        observe: None,
        extra: Some(Arc::new(|_, path, query, body| {
            (path == "/inbox").then(|| Response::new(format!("{query} {}", body.len()).into()))
        })),
    }))
}

/// A control store whose disk is fast.
fn control() -> ControlDoor {
    let kept = Arc::new(Mutex::new(Control::default()));
    let published = Arc::clone(&kept);
    ControlDoor {
        published: Arc::new(move || Arc::clone(published.lock().expect("no panic").published())),
        change: Arc::new(move |changes| {
            let (answer, answered) = mpsc::sync_channel(1);
            let mut control = kept.lock().expect("no panic");
            control.handle(ControlEvent::Change { ticket: 0, changes });
            if let Some(batch) = control.poll_commit() {
                control.handle_committed(batch.record.version);
            }
            while let Some(effect) = control.poll_effect() {
                if let Effect::Reply(_, result) = effect {
                    answer.send(result.map(|_| Arc::clone(control.published()))).expect("room");
                }
            }
            Some(answered)
        }),
    }
}

/// A backup, then one that fails to begin, then one while another is under way.
fn backups() -> StartBackup {
    let calls = AtomicUsize::new(0);
    Arc::new(move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let pipe = Arc::new(Pipe::default());
        if call == 0 {
            pipe.put("begin, ".into()).expect("room");
            pipe.put("end".into()).expect("room");
        }
        pipe.end(if call == 0 { Ok(()) } else { Err("the disk".to_owned()) });
        (call < 2).then_some(pipe)
    })
}

/// Serves while `client` runs, on each kind of executor in turn.
fn serve(tenants: Vec<TenantSpec>, full: bool, client: impl Fn(Client)) {
    Io::here().into_iter().for_each(|io| serve_on(io, tenants.clone(), full, &client));
}

fn serve_on(io: Io, tenants: Vec<TenantSpec>, full: bool, client: impl Fn(Client)) {
    let ((stop, mut stopped), (address_to, address)) = (mailbox::<()>(1), mpsc::channel());
    let executor = Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
    let running = executor.start(move || async move {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
        address_to.send(listener.address()).expect("address");
        let api = api(tenants, full);
        let server = Server::start(vec![listener], None, Rc::clone(&api), Limits::DEFAULT);
        stopped.drain(&mut Vec::new(), 1).await;
        server.drain(Duration::from_secs(1)).await;
        assert_eq!(api.door.waiting(), 0, "no ticket is left behind");
    });
    client(Client(address.recv().expect("address")));
    drop(stop);
    running.and_then(Running::join).expect("executor");
}

#[derive(Clone, Copy)]
struct Client(SocketAddr);

#[derive(Debug)]
struct Heard {
    status: u16,
    head: String,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name))
            .map(|(_, value)| value)
    }

    fn code(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        (self.status, problem["code"].as_str().expect("code").to_owned())
    }
}

impl Client {
    fn call(self, line: &str, headers: &[&str], body: &[u8]) -> Heard {
        let mut stream = TcpStream::connect(self.0).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = if headers.contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
        let head = format!("{line} HTTP/1.1\r\n{host}connection: close\r\n{length}{headers}\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).expect("write");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("read");
        let (head, body) = heard.split_once("\r\n\r\n").expect("head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
        let chunked = head.contains("transfer-encoding: chunked");
        assert!(head.contains("\r\nx-content-type-options: nosniff"), "{head}");
        Heard { status, head: head.to_owned(), body: if chunked { unchunk(body) } else { body.to_owned() } }
    }

    fn get(self, path: &str) -> Heard {
        self.call(&format!("GET {path}"), &[], b"")
    }

    fn post(self, path: &str, body: &str) -> Heard {
        self.call(&format!("POST {path}"), &["content-type: application/json"], body.as_bytes())
    }

    fn send(self, to: &str) -> String {
        let heard = self.post("/v1/messages", &format!(r#"{{"to":"{to}","body":"hi"}}"#));
        heard.json()["id"].as_str().expect("id").to_owned()
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("length");
        whole.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    whole
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// A page of another site whose name resolves to this machine.
#[test]
fn without_keys_a_foreign_name_or_page_is_refused_and_with_them_neither_is_looked_at() {
    let foreign = "host: attacker.example:8080";
    let page = "origin: http://attacker.example:8080";
    serve(Vec::new(), false, |client| {
        for line in
            ["GET /v1/records", "GET /v1/backup", "POST /v1/messages", "GET /inbox", "GET /metrics", "GET /livez"]
        {
            let heard = client.call(line, &[foreign, page], b"");
            assert_eq!(heard.code(), is(421, "host_not_allowed"), "{line}");
            assert!(heard.body.contains("http.hosts"), "{}", heard.body);
            assert_eq!(client.call(line, &[page], b"").code(), is(421, "host_not_allowed"), "{line}");
        }
        assert_eq!(
            client.call("GET /livez", &["host: stentor.example", "origin: http://stentor.example"], b"").status,
            200
        );
        assert_eq!(client.get("/v1/records").status, 200);
    });
    let keys = vec!["0123456789abcdef".to_owned()];
    serve(vec![TenantSpec { keys, ..TenantSpec::default() }], false, |client| {
        let key = "authorization: Bearer 0123456789abcdef";
        assert_eq!(client.call("GET /v1/records", &[foreign, page, key], b"").status, 200);
        assert_eq!(client.call("GET /v1/records", &[foreign, page], b"").code(), is(401, "unauthorized"));
    });
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    serve(Vec::new(), false, |client| {
        for headers in [
            &["host: localhost", "host: localhost"][..],
            &["authorization: Bearer a", "authorization: Bearer b"],
            &["transfer-encoding: gzip, chunked", "x-not: content-length"],
        ] {
            let heard = client.call("GET /v1/records", headers, b"0\r\n\r\n");
            assert_eq!(heard.code(), is(400, "malformed_request"), "{headers:?}");
            assert_eq!(heard.header("connection"), Some("close"));
        }
    });
}

const MESSAGE: &str = r#"{"to":"+4915112345678","body":"hi"}"#;

#[test]
fn a_message_comes_in_and_is_found_again() {
    serve(Vec::new(), false, |client| {
        let heard = client.post("/v1/messages", MESSAGE);
        assert_eq!((heard.status, heard.header("content-type")), (202, Some("application/json")));
        let id = heard.json()["id"].as_str().expect("id").to_owned();
        assert_eq!(heard.header("location"), Some(format!("/v1/messages/{id}").as_str()));
        let found = client.get(&format!("/v1/messages/{id}"));
        assert_eq!((found.status, &found.json()["state"], &found.json()["id"]), (200, &json!("queued"), &json!(id)));
        assert_eq!(client.call(&format!("DELETE /v1/messages/{id}"), &[], b"").code(), is(409, "too_late_to_cancel"));
        let scheduled = r#"{"to":"+4915112345678","body":"hi","send_at":"2099-01-01T00:00:00Z"}"#;
        assert_eq!(client.post("/v1/messages", scheduled).code(), is(422, "invalid_time"));
        let gone = MessageId::new(Wall(1), NodeId(1), ShardId(0), Address::new(99, 0));
        let nowhere = MessageId::new(Wall(1), NodeId(1), ShardId(200), Address::new(1, 0));
        assert_eq!(client.get(&format!("/v1/messages/{gone}")).code(), is(410, "message_gone"));
        for unknown in [nowhere.to_string(), "x".to_owned(), id.replace('1', "2")] {
            assert_eq!(
                client.get(&format!("/v1/messages/{unknown}")).code(),
                is(404, "message_not_found"),
                "{unknown}"
            );
        }
        let ids = json!({"ids": [gone.to_string(), id, "x"]}).to_string();
        let found = client.post("/v1/messages/lookup", &ids).json();
        let codes: Vec<_> = (0..3).map(|at| found["messages"][at]["error"]["code"].as_str()).collect();
        assert_eq!(codes, [Some("message_gone"), None, Some("message_not_found")]);
        assert_eq!(found["messages"][1]["state"], "queued");
        let told = client.get("/v1/messages/foo").json();
        assert!(
            told["detail"].as_str().is_some_and(|detail| detail.starts_with("\"foo\" is not a message id")),
            "{told}"
        );
        assert_eq!(told["doc_url"], "http://localhost/docs/errors/message_not_found");
        let many = client.post("/v1/messages", &format!("[{MESSAGE}]"));
        assert_eq!((many.status, many.header("location")), (202, None));
        let other = client.send("+4915112345670");
        let gone = gone.to_string();
        let asked = [&other, &id, &other, &gone, &id, &id].map(String::as_str);
        let found = client.post("/v1/messages/lookup", &json!({ "ids": asked }).to_string()).json();
        let told = found["messages"].as_array().expect("one for each").iter().map(|one| one["id"].as_str());
        assert_eq!(told.collect::<Vec<_>>(), asked.map(Some), "also what is asked for more than once");
    });
}

#[test]
fn a_recipients_messages_are_searched_page_by_page() {
    let boss = TenantOptions { id: TenantId(8), name: "boss".into(), ..Default::default() };
    let shop = TenantOptions { id: TenantId(7), name: "shop".into(), ..Default::default() };
    let specs = vec![
        TenantSpec { tenant: boss, admin_keys: vec!["boss-key".into()], ..TenantSpec::default() },
        TenantSpec { tenant: shop, keys: vec!["shop-key".into()], ..TenantSpec::default() },
    ];
    serve(specs, false, |client| {
        let call = |line: &str, key: &str, body: &str| {
            client.call(
                line,
                &["content-type: application/json", &format!("authorization: Bearer {key}")],
                body.as_bytes(),
            )
        };
        let body = |n: usize| format!(r#"{{"to":"+491511234567{}","body":"x","ref":"r{}"}}"#, n % 2, n % 3);
        let sent: Vec<Value> =
            (0..24).map(|n| call("POST /v1/messages", "shop-key", &body(n)).json()["id"].clone()).collect();
        let newest: Vec<Value> = sent.iter().step_by(2).rev().cloned().collect();
        let found = |query: &str, key: &str| {
            let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let line = format!("GET /v1/messages?to=%2B4915112345670{query}{cursor}");
                let page = call(&line, key, "").json();
                let messages = page["messages"].as_array().expect("messages");
                ids.extend(messages.iter().map(|message| message["id"].clone()));
                pages += 1;
                let Some(next) = page["next"].as_str() else { return (ids, pages) };
                cursor = format!("&cursor={next}");
            }
        };
        assert_eq!(found("", "shop-key"), (newest.clone(), 1));
        assert_eq!(found("&limit=5", "shop-key"), (newest.clone(), 3));
        assert_eq!(found("", "boss-key").0, Vec::<Value>::new());
        assert_eq!(found("&tenant=*", "boss-key").0, newest);
        assert_eq!(found("&ref=r0", "shop-key").0.len(), 4);
        assert_eq!(found("&ref=r0&limit=1", "shop-key").0, found("&ref=r0", "shop-key").0);
        assert_eq!(found("&state=delivered", "shop-key").0, Vec::<Value>::new());
        assert_eq!(found("&since=2026-01-01T00:00:00Z", "shop-key").0, Vec::<Value>::new());
        assert_eq!(call("GET /v1/messages?to=12", "shop-key", "").code(), is(422, "invalid_recipient"));
        assert_eq!(call("GET /v1/messages?ref=r0", "shop-key", "").code(), is(422, "invalid_parameter"));
        assert_eq!(call("GET /v1/messages?to=%2B4915112345670&tenant=*", "shop-key", "").code(), is(403, "forbidden"));
    });
}

#[test]
fn a_small_document_is_small_and_a_refusal_quotes_little_of_it() {
    let documents = ["/v1/messages/lookup", "/v1/in-doubt/resolve", "/v1/restored/resolve"];
    serve(Vec::new(), false, |client| {
        for path in documents {
            let spaces = " ".repeat(DOCUMENT_BYTES_MAX - 1);
            assert_eq!(client.post(path, &format!("[{spaces}")).code(), is(400, "malformed_json"), "{path}");
            assert_eq!(client.post(path, &format!("[{spaces} ")).code(), is(413, "body_too_large"), "{path}");
            let named = client.post(path, &format!("{{\"{}\":1}}", "\\u0080".repeat(30_000)));
            assert_eq!((named.code(), named.body.len() < 2_000), (is(400, "malformed_json"), true), "{path}");
        }
        let tag = format!(r#"{{"to":"+4915112345678","body":"x","tags":["{}"]}}"#, "\u{80}".repeat(100_000));
        let refused = client.post("/v1/messages", &tag);
        assert_eq!((refused.code(), refused.body.len() < 3_000), (is(422, "invalid_tags"), true));
        let path = client.get(&format!("/{}", "x".repeat(8_000)));
        assert_eq!((path.code(), path.body.len() < 1_000), (is(404, "not_found"), true));
        for call in ["/v1/messages?", "/v1/records?", "/v1/in-doubt?"] {
            let method = if call == "/v1/messages?" { "POST" } else { "GET" };
            let line = format!("{method} {call}{}=1", "y".repeat(8_000));
            let refused = client.call(&line, &["content-type: application/json"], MESSAGE.as_bytes());
            assert_eq!((refused.code(), refused.body.len() < 1_000), (is(422, "invalid_parameter"), true), "{call}");
        }
    });
}

#[test]
fn requests_are_refused_by_name() {
    serve(Vec::new(), false, |client| {
        let json = "content-type: application/json";
        let call = |line: &str, headers: &[&str], body: &str| client.call(line, headers, body.as_bytes()).code();
        assert_eq!(call("POST /v1/messages", &[], MESSAGE), is(415, "unsupported_media_type"));
        assert_eq!(
            call("POST /v1/messages", &[json, "content-encoding: br"], MESSAGE),
            is(415, "unsupported_encoding")
        );
        assert_eq!(call("POST /v1/messages", &[json, "content-encoding: gzip"], MESSAGE), is(400, "malformed_body"));
        assert_eq!(call("POST /v1/messages?wait=1", &[json], MESSAGE), is(422, "invalid_parameter"));
        assert_eq!(call("POST /v1/messages", &[json, "idempotency-key: "], MESSAGE), is(422, "invalid_key"));
        assert_eq!(call("POST /v1/messages", &[json], "{\"to\":"), is(400, "malformed_json"));
        assert_eq!(call("POST /v1/messages", &[json], ""), is(422, "no_messages"));
        assert_eq!(call("POST /v1/messages", &[json], &format!("[{MESSAGE}")), is(400, "malformed_json"));
        assert_eq!(call("POST /v1/messages", &[json, "content-length: 99999999"], ""), is(413, "body_too_large"));
        assert_eq!(call("GET /v1/nothing", &[], ""), is(404, "not_found"));
        assert_eq!(call("GET /v1/queues?x=1", &[], ""), is(422, "invalid_parameter"));
        assert_eq!(call("GET /v1/records?cursor=zz", &[], ""), is(422, "invalid_cursor"));
        for (path, allow) in [("/v1/messages", "POST, GET"), ("/v1/messages/x", "GET, DELETE"), ("/livez", "GET")] {
            let heard = client.call(&format!("PUT {path}"), &[], b"");
            assert_eq!((heard.code(), heard.header("allow")), (is(405, "method_not_allowed"), Some(allow)), "{path}");
        }
        assert_eq!(client.get("/v1/records").body.lines().count(), 1, "nothing was kept of all that");
    });
}

#[test]
fn a_backup_is_given_to_one_at_a_time() {
    serve(Vec::new(), false, |client| {
        let heard = client.get("/v1/backup");
        assert_eq!((heard.status, heard.header("content-type")), (200, Some("application/octet-stream")));
        assert_eq!(heard.body, "begin, end");
        assert_eq!(client.get("/v1/backup").code(), is(500, "unreadable"));
        assert_eq!(client.get("/v1/backup").code(), is(409, "backup_under_way"));
    });
}

#[test]
fn what_was_restored_is_decided_for_all_shards() {
    serve(Vec::new(), false, |client| {
        assert_eq!(client.get("/v1/restored").json(), json!({"restored": false}));
        let heard = client.post("/v1/restored/resolve", r#"{"action":"resend","class":"otp"}"#);
        assert_eq!((heard.status, heard.json()), (200, json!({"action": "resend", "class": "otp", "messages": 6})));
        assert_eq!(client.post("/v1/restored/resolve", r#"{"action":"x"}"#).code(), is(422, "invalid_parameter"));
        let null = r#"{"action":"drop","class":null}"#;
        assert_eq!(client.post("/v1/restored/resolve", null).code(), is(400, "malformed_json"), "not all classes");
    });
}

#[test]
fn a_batch_is_answered_line_by_line_or_in_sum() {
    serve(Vec::new(), false, |client| {
        let lines = "{\"to\":\"+4915112345670\",\"body\":\"a\"}\nbroken\n{\"to\":\"+4915112345679\",\"body\":\"b\"}\n";
        let ndjson = ["content-type: application/x-ndjson"];
        let heard = client.call("POST /v1/messages", &ndjson, lines.as_bytes());
        let results = heard.json();
        assert_eq!((heard.status, results.as_array().map(Vec::len)), (202, Some(3)));
        assert_eq!(heard.header("retry-after"), Some("1"), "for the message that found the queue full");
        assert_eq!(
            (&results[1]["error"]["code"], &results[2]["error"]["code"]),
            (&json!("malformed_json"), &json!("queue_full"))
        );
        let heard = client.call("POST /v1/messages?ack=summary", &ndjson, lines.as_bytes()).json();
        assert_eq!(
            (&heard["accepted"], &heard["rejected"], &heard["errors"][1]["index"]),
            (&json!(1), &json!(2), &json!(2))
        );
        let full = client.post("/v1/messages", r#"{"to":"+4915112345679","body":"b"}"#);
        assert_eq!((full.code(), full.header("retry-after")), (is(503, "queue_full"), Some("1")));
        let many: String = (0..1_000).map(|n| format!("{{\"to\":\"+49151123{n:04}0\",\"body\":\"a\"}}\n")).collect();
        let heard = client.call("POST /v1/messages", &ndjson, many.as_bytes());
        assert_eq!(heard.header("retry-after"), None);
        let results = heard.json();
        assert!(results.as_array().expect("list").iter().all(|result| result["id"].is_string()));
    });
}

#[test]
fn a_request_key_belongs_to_its_body() {
    serve(Vec::new(), false, |client| {
        let headers = ["content-type: application/json", "idempotency-key: order-1"];
        let send = |body: &str| client.call("POST /v1/messages", &headers, body.as_bytes());
        assert_eq!(send(MESSAGE).status, 202);
        assert_eq!(send(MESSAGE).status, 202);
        assert_eq!(send(r#"{"to":"+4915112345678","body":"other"}"#).code(), is(409, "key_reused"));
        assert_eq!(send("{").code(), is(400, "malformed_json"));
    });
}

#[test]
fn a_tenant_is_told_how_its_quota_stands() {
    let quota = Some(Quota { messages: 2, period: Period::Month });
    let shop = TenantOptions { id: TenantId(7), name: "shop".into(), quota, ..TenantOptions::default() };
    let shop = TenantSpec { tenant: shop, keys: vec!["shop-key".into()], ..TenantSpec::default() };
    serve(vec![shop], false, |client| {
        let headers = ["content-type: application/json", "authorization: Bearer shop-key"];
        let send = |body: &str| {
            let answer = client.call("POST /v1/messages", &headers, body.as_bytes());
            let told = |name| answer.header(name).unwrap_or_default().to_owned();
            let (policy, state) = (told("ratelimit-policy"), told("ratelimit"));
            assert!(policy.starts_with("\"quota\";q=2;w=") && policy.ends_with("00;qu=\"messages\""), "{policy}");
            let (left, seconds) = state.split_once(";t=").expect("both");
            assert!((1..=31 * 86_400).contains(&seconds.parse::<u32>().expect("seconds")), "{state}");
            (answer.status, left.to_owned())
        };
        let told = |status: u16, left: u32| (status, format!("\"quota\";r={left}"));
        assert_eq!(send(MESSAGE), told(202, 1));
        assert_eq!(send("{"), told(400, 1));
        assert_eq!(send(MESSAGE), told(202, 0));
        assert_eq!(send(MESSAGE), told(429, 0));
        let status = client.call("GET /v1/records", &headers, b"");
        assert_eq!((status.status, status.header("ratelimit")), (200, None), "it takes none of the quota");
    });
}

#[test]
fn a_key_opens_what_is_its_own() {
    let tenant =
        |id, name: &str, rate| TenantOptions { id: TenantId(id), name: name.into(), rate, ..Default::default() };
    let shop =
        TenantSpec { tenant: tenant(7, "shop", Some(1)), keys: vec!["shop-key".into()], ..TenantSpec::default() };
    let boss =
        TenantSpec { tenant: tenant(8, "boss", None), admin_keys: vec!["boss-key".into()], ..TenantSpec::default() };
    serve(vec![shop, boss], false, |client| {
        let call = |line: &str, key: &str| {
            let headers = ["content-type: application/json", &format!("authorization: Bearer {key}")];
            client.call(line, &headers, if line.starts_with("POST") { MESSAGE.as_bytes() } else { b"" })
        };
        let anyone = client.post("/v1/messages", MESSAGE);
        assert_eq!((anyone.code(), anyone.header("www-authenticate")), (is(401, "unauthorized"), Some("Bearer")));
        let id = call("POST /v1/messages", "shop-key").json()["id"].as_str().expect("id").to_owned();
        assert_eq!(call(&format!("GET /v1/messages/{id}"), "shop-key").status, 200);
        assert_eq!(call(&format!("GET /v1/messages/{id}"), "boss-key").code(), is(404, "message_not_found"));
        assert_eq!(call("GET /v1/queues", "shop-key").code(), is(403, "forbidden"));
        assert_eq!(call("GET /v1/queues", "boss-key").status, 200);
        assert_eq!(call("GET /v1/carriers", "boss-key").json(), json!({"carriers": []}));
        let again = call("POST /v1/messages", "shop-key");
        assert_eq!((again.code(), again.header("retry-after")), (is(429, "over_quota"), Some("1")));
        assert_eq!(call("POST /v1/messages", "boss-key").status, 202);
        for open in ["/livez", "/metrics", "/v1/openapi.json", "/docs/errors", "/docs/errors/no_route"] {
            assert_eq!(client.get(open).status, 200, "{open}");
        }
    });
}

#[test]
fn a_key_may_use_the_classes_of_its_tenant_and_an_admin_key_all() {
    let classes = vec![Class::Otp];
    let shop = TenantOptions { id: TenantId(7), name: "shop".into(), classes, ..TenantOptions::default() };
    let [keys, admin_keys] = ["shop-key", "boss-key"].map(|key| vec![key.to_owned()]);
    serve(vec![TenantSpec { tenant: shop, keys, admin_keys }], false, |client| {
        let send = |key: &str, class: &str| {
            let headers = ["content-type: application/json", &format!("authorization: Bearer {key}")];
            let body = format!(r#"{{"to":"+4915112345678","body":"a"{class}}}"#);
            client.call("POST /v1/messages", &headers, body.as_bytes())
        };
        assert_eq!(send("shop-key", r#","class":"otp""#).status, 202);
        let refused = send("shop-key", r#","class":"emergency""#);
        assert_eq!((refused.code(), refused.header("retry-after")), (is(403, "class_not_allowed"), None));
        let by_default = send("shop-key", "");
        assert_eq!(by_default.code(), is(403, "class_not_allowed"));
        let detail = "`class`: this tenant may use otp; not transactional, which is the default";
        assert_eq!(by_default.json()["detail"], detail);
        assert_eq!(["", r#","class":"emergency""#].map(|class| send("boss-key", class).status), [202; 2]);
    });
}

#[test]
fn who_finds_every_mailbox_full_is_told_so() {
    serve(Vec::new(), true, |client| {
        let heard = client.post("/v1/messages", MESSAGE);
        assert_eq!((heard.code(), heard.header("retry-after")), (is(503, "overloaded"), Some("1")));
        let id = MessageId::new(Wall(1), NodeId(1), ShardId(0), Address::new(1, 0));
        assert_eq!(client.get(&format!("/v1/messages/{id}")).code(), is(503, "overloaded"));
        assert_eq!(client.get("/v1/records").code(), is(503, "overloaded"));
    });
}

#[test]
fn the_house_shows_itself() {
    serve(Vec::new(), false, |client| {
        assert_eq!(client.get("/livez").body, "alive\n");
        assert_eq!((client.get("/readyz").status, client.get("/readyz").json()["ready"].clone()), (503, json!(false)));
        assert_eq!(client.get("/v1/openapi.json").json()["openapi"], "3.1.0");
        assert!(client.get("/docs/errors/key_reused").body.starts_with("# `key_reused`"));
        assert_eq!(client.get("/docs/errors/x").code(), is(404, "not_found"));
        assert_eq!(client.get("/metrics").body, "# metrics\n");
        let inbox = client.call("POST /inbox?page=2", &[], b"abc");
        assert_eq!((inbox.status, inbox.body.as_str()), (200, "page=2 3"));
        assert_eq!(client.call("HEAD /livez", &[], b"").status, 200);
        let id = client.get("/livez").header("x-request-id").map(str::to_owned);
        assert!(id.is_some_and(|id| id.split('-').count() == 3));
    });
}

/// A disk that hangs: shards take every question and answer none. The memory for what they took stays claimed, whether the client
/// waits or has gone, so that no more is read than there is memory for.
#[test]
fn what_shards_have_not_answered_counts_as_memory() {
    const SHARED: usize = 1 << 20;
    let lines = r#"{"to":"+4915112345670","body":"b"}"#.to_owned() + "\n";
    let body = lines.repeat(9_000);
    let ((stop, mut stopped), (address_to, address)) = (mailbox::<()>(1), mpsc::channel());
    let io = Io::Epoll;
    let executor = Executor { io, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
    let running = executor.start(move || async move {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
        address_to.send(listener.address()).expect("address");
        let taken: Rc<RefCell<Vec<Ask>>> = Rc::default();
        let into = Rc::clone(&taken);
        let door = Door::new(
            0,
            Box::new(move |_, ask| {
                into.borrow_mut().push(ask);
                Ok(())
            }),
            Box::new(|_| false),
        );
        let api = api_behind(Vec::new(), door);
        let limits = Limits { memory_bytes_max: SHARED, memory_ms: 200, ..Limits::DEFAULT };
        let server = Server::start(vec![listener], None, Rc::clone(&api), limits);
        stopped.drain(&mut Vec::new(), 1).await;
        server.drain(Duration::from_millis(100)).await;
        // All clients have gone.
        let frames: Vec<_> =
            taken.take().into_iter().map(|ask| if let Ask::Submit(frame) = ask { frame } else { panic!() }).collect();
        let bytes: usize =
            frames.iter().map(|frame| frame.heads.len() * size_of_val(&frame.heads[0]) + frame.arena.len()).sum();
        let held = server.memory().requests_bytes;
        assert!(bytes > 0 && held >= bytes && held < SHARED + (3 << 20), "{bytes} {held}");
        for frame in frames {
            api.door.deliver(frame.reply, Reply::Submitted(Vec::new()));
        }
        assert_eq!((server.memory().requests_bytes, api.door.waiting()), (0, 0));
    });
    let address = address.recv().expect("address");
    let (tell, told) = mpsc::channel();
    for _ in 0..20 {
        let (tell, body) = (tell.clone(), body.clone());
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("connect");
            let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            let mut heard = [0; 12];
            let status = stream.read_exact(&mut heard).map(|()| String::from_utf8_lossy(&heard[9..]).into_owned());
            tell.send(status.unwrap_or_default()).expect("told");
        });
    }
    // A few are accepted, and one is lent memory; all others are told that no memory became free.
    for _ in 0..15 {
        assert_eq!(told.recv_timeout(Duration::from_secs(20)).expect("an answer"), "503");
    }
    drop(stop);
    running.and_then(Running::join).expect("executor");
}
