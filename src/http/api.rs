//! The API of one core: finds the call, authenticates the caller, answers. `submit` and `inquiry` implement the calls, `calls`
//! lists them. A problem anywhere becomes its document here, once.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    fmt,
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    http::request::Parts,
};

use super::{
    access::{AccessLog, AskedBy, Told},
    auth::{Caller, Scope, Tenants},
    backup::StartBackup,
    board::StatusBoard,
    body::{RequestBody, ResponseBody},
    calls::{CALLS, Call, What},
    door::{Door, Overloaded},
    head::{self, Hosts},
    ingest::RequestLimits,
    lookup::DOCUMENT_BYTES_MAX,
    openapi,
    problem::{AskedAt, Code, Problem},
    ratelimit,
    readers::ControlDoor,
    report::Tally,
    restored,
    server::Handler,
    turns::Turns,
};
use crate::host::{executor, net::Peer};
use stentor_core::{
    admission::{Defaults, Printer, Standings, numbering::Numbering},
    mesh::ShardMap,
    model::{Mono, Quoted, ShardId, TenantId},
    shard::Catalog,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: &str = "application/json";
const MARKDOWN: &str = "text/markdown; charset=utf-8";

/// Pages beside the API, tried before a 404 is given: method, path, query, body.
pub type Extra = Arc<dyn Fn(&Method, &str, &str, &[u8]) -> Option<Response<Bytes>> + Send + Sync>;

/// Called with each answer, before its body is sent.
pub type Observe = Rc<dyn Fn(&Seen)>;

/// Writes the text of the metrics; supplied by the runtime.
pub type WriteMetrics = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Bytes>>>>;

/// What a reload of the configuration may change.
#[derive(Debug)]
pub struct Settings {
    /// Who may call. Shared by all cores, because the tenants' meters count for all of them together.
    pub tenants: Arc<Tenants>,
    /// What a message gets for fields that it leaves out.
    pub defaults: Defaults,
    /// Reads phone numbers, with the country assumed for national ones.
    pub numbering: Numbering,
    /// How much one request may bring.
    pub limits: RequestLimits,
    /// Names under which this server is called, checked where no key is needed.
    pub hosts: Hosts,
    /// Which answered requests are logged.
    pub requests: Told,
}

/// What an [`Api`] is built from.
pub struct Options {
    /// What a reload of the configuration may change.
    pub settings: Settings,
    /// Which shard a recipient belongs to.
    pub shards: ShardMap,
    /// Fixed for the life of the installation: fingerprints of idempotency keys are made with it.
    pub hash_seed: u64,
    /// How calls ask the shards.
    pub door: Rc<Door>,
    /// Routes, carriers and their names.
    pub catalog: Arc<Catalog>,
    /// The latest status of shards and links.
    pub board: Arc<StatusBoard>,
    /// Writes the answer to `GET /metrics`.
    pub metrics: WriteMetrics,
    /// Starts a backup; `None` where nothing is stored.
    pub backup: Option<StartBackup>,
    /// Keeps what belongs to no recipient, such as readers; `None` where nothing is stored.
    pub control: Option<ControlDoor>,
    /// Called with each answer.
    pub observe: Option<Observe>,
    /// Pages beside the API, such as those of `stentor dev`.
    pub extra: Option<Extra>,
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("settings", &self.settings)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// One answered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The path as `CALLS` has it; empty if it is no call's.
    pub path: &'static str,
    /// HTTP status.
    pub status: u16,
    /// From the end of its headers to its answer, whose body may still be on its way; in µs.
    pub took_us: u64,
    /// Outcomes of the messages that it brought.
    pub tally: Tally,
    /// The tenant that the caller was authenticated as.
    pub tenant: Option<TenantId>,
    /// The tenant's limits after a request that brought messages, or tried to.
    pub limits: Standings,
}

/// The API of one core. See the head of this file.
pub struct Api {
    pub(super) shards: ShardMap,
    pub(super) printer: Printer,
    pub(super) door: Rc<Door>,
    /// Limits how many questions of a tenant that are read from the store run at once.
    pub(super) turns: Rc<Turns>,
    settings: RefCell<Rc<Settings>>,
    catalog: RefCell<Arc<Catalog>>,
    board: Arc<StatusBoard>,
    metrics: WriteMetrics,
    pub(super) backup: Option<StartBackup>,
    pub(super) control: Option<ControlDoor>,
    observe: Option<Observe>,
    extra: Option<Extra>,
    router: matchit::Router<Vec<&'static Call>>,
    document: OnceCell<Bytes>,
    boot: u64,
    requests: Cell<u64>,
    access: AccessLog,
}

impl fmt::Debug for Api {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Api").field("shards", &self.shards).field("door", &self.door).finish_non_exhaustive()
    }
}

/// What the handler of a call is given.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: RequestBody,
    /// The value of the path's parameter; empty if the path has none.
    pub(super) parameter: String,
}

impl Asked {
    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

pub(super) type Answered = Result<Response<ResponseBody>, Problem>;

impl Api {
    /// Must be called on the executor that it will serve.
    pub fn new(options: Options) -> Self {
        let mut paths: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for call in CALLS {
            paths.entry(call.path).or_default().push(call);
        }
        let mut router = matchit::Router::new();
        for (path, calls) in paths {
            let inserted = router.insert(path, calls);
            debug_assert!(inserted.is_ok(), "{path}: {inserted:?}");
        }
        Self {
            shards: options.shards,
            printer: Printer::new(options.hash_seed),
            door: options.door,
            turns: Rc::default(),
            settings: RefCell::new(Rc::new(options.settings)),
            catalog: RefCell::new(options.catalog),
            board: options.board,
            metrics: options.metrics,
            backup: options.backup,
            control: options.control,
            observe: options.observe,
            extra: options.extra,
            router,
            document: OnceCell::new(),
            boot: executor::now().wall.0,
            requests: Cell::new(0),
            access: AccessLog::default(),
        }
    }

    /// For requests that begin from now on.
    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        self.catalog.replace(catalog);
    }

    /// For requests that begin from now on.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.replace(Rc::new(settings));
    }

    pub(super) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Made of the core's start time, the core, and a number on that core.
    fn request_id(&self) -> String {
        let number = self.requests.get();
        self.requests.set(number + 1);
        format!("{:x}-{}-{number:x}", self.boot, self.door.core())
    }

    async fn answer(self: &Rc<Self>, request: Request<RequestBody>, seen: &mut Seen) -> Answered {
        let (head, body) = request.into_parts();
        head::check(&head)?;
        let settings = self.settings();
        // Over the admin socket no `Host` is checked: a browser cannot open a Unix socket.
        if settings.tenants.is_open() && body.peer() != Peer::Local {
            settings.hosts.judge(&head)?;
        }
        let Ok(found) = self.router.at(head.uri.path()) else {
            return self.beside(head, body).await;
        };
        let calls = found.value.as_slice();
        let parameter = found.params.iter().next().map_or("", |(_, value)| value).to_owned();
        seen.path = calls.first().map_or("", |call| call.path);
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        let Some(call) = calls.iter().find(|call| call.method == method.as_str()) else {
            let allow: Vec<&str> = calls.iter().map(|call| call.method).collect();
            return Err(Problem::method_not_allowed(allow.join(", ")));
        };
        let peer = body.peer();
        let admit = || settings.tenants.admit(head.headers.get(AUTHORIZATION), peer);
        let caller = match (call.scope, call.what) {
            (Scope::Open, What::Metrics) if !peer.is_here() => {
                admit()?.needs(Scope::Admin)?;
                None
            }
            (Scope::Open, _) => None,
            (scope @ (Scope::Tenant | Scope::Admin), _) => {
                let caller = admit()?;
                seen.tenant = Some(caller.tenant.id());
                caller.needs(scope)?;
                if !caller.is_no_tenant && !body.belongs_to(caller.tenant.id()) {
                    return Err(Problem::new(Code::Overloaded, "this tenant has more connections open than its share"));
                }
                Some(caller)
            }
        };
        let asked = Asked { head, body, parameter };
        match caller {
            Some(caller) => self.call(call.what, asked, caller, &settings, seen).await,
            None => self.open_call(call.what, &asked).await,
        }
    }

    async fn call(
        self: &Rc<Self>,
        what: What,
        asked: Asked,
        caller: Caller<'_>,
        settings: &Settings,
        seen: &mut Seen,
    ) -> Answered {
        let tenant = caller.tenant.id();
        if matches!(what, What::Submit | What::Cancel | What::Readers | What::Confirm | What::EndReader) {
            caller.is_tenant()?;
        }
        match what {
            What::Submit => {
                let answered = self.submit(asked, caller, settings, &mut seen.tally).await;
                seen.limits = caller.tenant.meter.standings(executor::now());
                answered
            }
            What::Search => self.search(&asked, caller, settings).await,
            What::Show => self.show(&asked, caller, &settings.tenants).await,
            What::Cancel => self.cancel(&asked, tenant).await,
            What::Lookup => self.lookup(asked, caller, &settings.tenants).await,
            What::Records => self.records(&asked, caller, &settings.tenants).await,
            What::Readers => self.readers(&asked, tenant),
            What::Confirm => self.confirm(asked, tenant).await,
            What::EndReader => self.end_reader(&asked, tenant).await,
            What::Inbound => self.inbound(&asked, caller, &settings.tenants).await,
            What::InDoubt => self.in_doubt(&asked, &settings.tenants).await,
            What::Resolve => self.resolve(asked, &settings.tenants).await,
            What::Queues => {
                no_query(&asked)?;
                let (names, now) = (|tenant| settings.tenants.name_of(tenant), executor::now().wall);
                Ok(written(JSON, |out| self.board.write_queues(&self.catalog(), names, now, out)))
            }
            What::Carriers => {
                no_query(&asked)?;
                Ok(written(JSON, |out| self.board.write_carriers(&self.catalog(), out)))
            }
            What::Limits => self.limits(&asked, caller, &settings.tenants).await,
            What::Backup => self.back_up(&asked).await,
            What::Restored => {
                no_query(&asked)?;
                Ok(written(JSON, |out| restored::write(&self.board, out)))
            }
            What::Release => self.release(asked).await,
            What::OpenApi | What::ErrorIndex | What::ErrorPage | What::Alive | What::Ready | What::Metrics => {
                self.open_call(what, &asked).await
            }
        }
    }

    async fn open_call(&self, what: What, asked: &Asked) -> Answered {
        match what {
            What::OpenApi => {
                let document = self.document.get_or_init(|| openapi::document(self.shards.shards()).into());
                Ok(typed(JSON, ResponseBody::from(document.clone())))
            }
            What::ErrorIndex => Ok(typed(MARKDOWN, openapi::index().into())),
            What::ErrorPage => {
                let page = openapi::page(&asked.parameter);
                let page = page.ok_or_else(|| Problem::new(Code::NotFound, "there is no error code of this name"))?;
                Ok(typed(MARKDOWN, page.into()))
            }
            What::Alive => Ok(typed("text/plain; charset=utf-8", "alive\n".into())),
            What::Ready => {
                let mut ready = false;
                let mut answer = written(JSON, |out| ready = self.board.write_ready(out));
                if !ready {
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok(answer)
            }
            What::Metrics => {
                let media = "text/plain; version=0.0.4; charset=utf-8";
                let mut text = Some((self.metrics)().await);
                // No memory is claimed for the text: it is what reports that memory is short, and only the operator may ask for it.
                Ok(typed(media, ResponseBody::made(move || text.take())))
            }
            What::Submit
            | What::Search
            | What::Show
            | What::Cancel
            | What::Lookup
            | What::Records
            | What::Readers
            | What::Confirm
            | What::EndReader
            | What::Inbound
            | What::InDoubt
            | What::Resolve
            | What::Queues
            | What::Carriers
            | What::Limits
            | What::Backup
            | What::Restored
            | What::Release => Err(Problem::new(Code::Internal, "a call without its caller")),
        }
    }

    /// Answers a path that is not the API's: an extra page or 404.
    async fn beside(&self, head: Parts, body: RequestBody) -> Answered {
        let not_found = || {
            let path = Quoted(head.uri.path());
            Problem::new(Code::NotFound, format!("{path} is not a path of this API"))
        };
        let extra = self.extra.clone().ok_or_else(not_found)?;
        self.settings().tenants.admit(head.headers.get(AUTHORIZATION), body.peer())?;
        let body = body.within(DOCUMENT_BYTES_MAX).whole().await?;
        let page = extra(&head.method, head.uri.path(), head.uri.query().unwrap_or_default(), &body);
        page.map(|page| page.map(ResponseBody::from)).ok_or_else(not_found)
    }

    /// The shard, if there is one of that number.
    pub(super) fn shard(&self, shard: ShardId) -> Option<ShardId> {
        (shard.0 < self.shards.shards()).then_some(shard)
    }
}

impl Handler for Api {
    async fn handle(self: Rc<Self>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let began: Mono = executor::now().mono;
        let request_id = self.request_id();
        let (tally, limits) = (Tally::default(), Standings::default());
        let mut seen = Seen { path: "", status: 0, took_us: 0, tally, tenant: None, limits };
        let (asked_at, asked_by) = (AskedAt::of(&request), AskedBy::of(&request));
        let answered = self.answer(request, &mut seen).await;
        let now = executor::now().mono;
        seen.status = answered.as_ref().map_or_else(|problem| problem.status, |answer| answer.status().as_u16());
        seen.took_us = now.since(began) / 1_000;
        self.access.note(&self.settings(), &request_id, &asked_by, &seen, answered.as_ref().err(), now);
        let mut answer = answered.unwrap_or_else(|problem| problem.answer(&request_id, &asked_at));
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            answer.headers_mut().insert(REQUEST_ID, request_id);
        }
        if seen.limits != Standings::default() {
            ratelimit::tell(&seen.limits, answer.headers_mut());
        }
        if let Some(observe) = &self.observe {
            observe(&seen);
        }
        answer
    }
}

impl From<Overloaded> for Problem {
    fn from(_: Overloaded) -> Self {
        Self::new(Code::Overloaded, "a shard had no room for the request within half a second")
    }
}

/// An answer of media type `media`.
pub(super) fn typed(media: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// An answer whose body `write` writes.
pub(super) fn written(media: &'static str, write: impl FnOnce(&mut Vec<u8>)) -> Response<ResponseBody> {
    let mut out = Vec::with_capacity(1_024);
    write(&mut out);
    typed(media, out.into())
}

/// For calls that take a JSON document: a body of another type is refused unread.
pub(super) fn json_only(asked: &Asked) -> Result<(), Problem> {
    let media = asked.head.headers.get(CONTENT_TYPE);
    if media.is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"application/json")) {
        return Ok(());
    }
    Err(Problem::media_type(media, "application/json"))
}

/// For calls without query parameters: an unknown one is refused, never ignored.
pub(super) fn no_query(asked: &Asked) -> Result<(), Problem> {
    if asked.query().is_empty() {
        return Ok(());
    }
    Err(Problem::new(Code::InvalidParameter, "this call takes no query parameters"))
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
