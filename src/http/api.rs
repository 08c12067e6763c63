//! The API of one core: finds the call, asks who calls, answers. What a call does stands in `submit` and `inquiry`; what
//! may be called in `calls`. A problem anywhere becomes its document here, once.

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
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
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
    readers::ControlDoor,
    report::Tally,
    restored,
    server::Handler,
    turns::Turns,
};
use crate::host::{executor, net::Peer};
use stentor_core::{
    admission::{Defaults, Printer, Standing, numbering::Numbering},
    mesh::ShardMap,
    model::{Mono, Quoted, ShardId, TenantId},
    shard::Catalog,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: &str = "application/json";
const MARKDOWN: &str = "text/markdown; charset=utf-8";

/// Pages beside the API, asked before a 404 is given: method, path, query, body.
pub type Extra = Arc<dyn Fn(&Method, &str, &str, &[u8]) -> Option<Response<Bytes>> + Send + Sync>;

/// Is told of each answer, before its body is on its way.
pub type Observe = Rc<dyn Fn(&Seen)>;

/// Writes the text of the metrics, somewhere else.
pub type WriteMetrics = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Bytes>>>>;

/// What a reload may change.
#[derive(Debug)]
pub struct Settings {
    /// Who may call. One for all cores: their meters are shared.
    pub tenants: Arc<Tenants>,
    /// What a message gets when it does not say.
    pub defaults: Defaults,
    /// Reads numbers, with the country that is assumed.
    pub numbering: Numbering,
    /// How much a request may bring.
    pub limits: RequestLimits,
    /// Names under which we are called, where no key is needed.
    pub hosts: Hosts,
    /// Which answered requests are told to the log.
    pub requests: Told,
}

/// What an API is made of.
pub struct Options {
    /// What a reload may change.
    pub settings: Settings,
    /// Which shard a recipient belongs to.
    pub shards: ShardMap,
    /// Of the installation, for ever: fingerprints of keys are made with it.
    pub hash_seed: u64,
    /// The way to the shards.
    pub door: Rc<Door>,
    /// Routes and names.
    pub catalog: Arc<Catalog>,
    /// How shards and links stand.
    pub board: Arc<StatusBoard>,
    /// What `GET /metrics` answers.
    pub metrics: WriteMetrics,
    /// Makes backups.
    pub backup: Option<StartBackup>,
    /// Keeps what belongs to no recipient.
    pub control: Option<ControlDoor>,
    /// Is told of each answer.
    pub observe: Option<Observe>,
    /// Pages beside the API.
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
    /// The path as it stands in the table of calls; empty if there is none.
    pub path: &'static str,
    /// HTTP status.
    pub status: u16,
    /// From its headers to its answer, of which the body may still be on its way; in µs.
    pub took_us: u64,
    /// Messages that it brought.
    pub tally: Tally,
    /// As whom it was admitted.
    pub tenant: Option<TenantId>,
    /// How the quota of a tenant who brought messages, or tried to, stands now.
    pub quota: Option<Standing>,
}

/// See the head of this file.
pub struct Api {
    pub(super) shards: ShardMap,
    pub(super) printer: Printer,
    pub(super) door: Rc<Door>,
    /// For questions that have to be read from the store.
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

/// What a call is given.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: RequestBody,
    /// The path's parameter, if it has one.
    pub(super) parameter: String,
}

impl Asked {
    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

pub(super) type Answered = Result<Response<ResponseBody>, Problem>;

impl Api {
    /// An API; to be made on its executor.
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

    /// From now on, for requests that begin from now on.
    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        self.catalog.replace(catalog);
    }

    /// From now on, for requests that begin from now on.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.replace(Rc::new(settings));
    }

    pub(super) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Time of the start, core, number on that core.
    fn request_id(&self) -> String {
        let number = self.requests.get();
        self.requests.set(number + 1);
        format!("{:x}-{}-{number:x}", self.boot, self.door.core())
    }

    async fn answer(self: &Rc<Self>, request: Request<RequestBody>, seen: &mut Seen) -> Answered {
        let (head, body) = request.into_parts();
        head::check(&head)?;
        let settings = self.settings();
        // No browser opens a file of this machine as its socket.
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
                if !caller.is_nobody && !body.belongs_to(caller.tenant.id()) {
                    return Err(Problem::new(Code::Overloaded, "this tenant has more than its share of connections"));
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
                let answered = self.submit(asked, caller.tenant, settings, &mut seen.tally).await;
                seen.quota = caller.tenant.meter.standing(executor::now().wall);
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
                Ok(written(JSON, |out| self.board.write_queues(&self.catalog(), executor::now().wall, out)))
            }
            What::Carriers => {
                no_query(&asked)?;
                Ok(written(JSON, |out| self.board.write_carriers(&self.catalog(), out)))
            }
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
                let page = page.ok_or_else(|| Problem::new(Code::NotFound, "there is no such error code"))?;
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
                // Not within a claim: it is what tells that there is no memory, and only the operator may ask for it.
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
            | What::Backup
            | What::Restored
            | What::Release => Err(Problem::new(Code::Internal, "a call without its caller")),
        }
    }

    /// A path that is not the API's.
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

    /// The shard of that number, if there is one.
    pub(super) fn shard(&self, shard: ShardId) -> Option<ShardId> {
        (shard.0 < self.shards.shards()).then_some(shard)
    }
}

impl Handler for Api {
    async fn handle(self: Rc<Self>, request: Request<RequestBody>) -> Response<ResponseBody> {
        let began: Mono = executor::now().mono;
        let request_id = self.request_id();
        let mut seen = Seen { path: "", status: 0, took_us: 0, tally: Tally::default(), tenant: None, quota: None };
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
        if let Some(quota) = seen.quota {
            tell_of_quota(quota, answer.headers_mut());
        }
        if let Some(observe) = &self.observe {
            observe(&seen);
        }
        answer
    }
}

impl From<Overloaded> for Problem {
    fn from(_: Overloaded) -> Self {
        Self::new(Code::Overloaded, "a shard has more to do than it can take in half a second")
    }
}

/// As draft-ietf-httpapi-ratelimit-headers-07 spells it, which is what clients read.
fn tell_of_quota(Standing { messages, left, renewed_in_s }: Standing, headers: &mut HeaderMap) {
    let told = [("ratelimit-limit", messages), ("ratelimit-remaining", left), ("ratelimit-reset", renewed_in_s.into())];
    for (name, value) in told {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// An answer of that media type.
pub(super) fn typed(media: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// An answer that `write` writes.
pub(super) fn written(media: &'static str, write: impl FnOnce(&mut Vec<u8>)) -> Response<ResponseBody> {
    let mut out = Vec::with_capacity(1_024);
    write(&mut out);
    typed(media, out.into())
}

/// For calls that take a document: one of another type is never read.
pub(super) fn json_only(asked: &Asked) -> Result<(), Problem> {
    let media = asked.head.headers.get(CONTENT_TYPE);
    if media.is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"application/json")) {
        return Ok(());
    }
    Err(Problem::media_type(media, "application/json"))
}

/// For calls without parameters: an unknown one is never ignored.
pub(super) fn no_query(asked: &Asked) -> Result<(), Problem> {
    if asked.query().is_empty() {
        return Ok(());
    }
    Err(Problem::new(Code::InvalidParameter, "this call has no query parameters"))
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
