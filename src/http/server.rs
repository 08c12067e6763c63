//! Connections of one core: accepted within limits, served by hyper's HTTP/1, watched by a sweeper, ended in order.
//! Knows connections and requests as hyper delivers them; the [`Handler`] answers them.

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_lite::future;
use futures_rustls::TlsAcceptor;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderValue, X_CONTENT_TYPE_OPTIONS},
    rt::Write,
    server::conn::http1,
    service::service_fn,
};
use rustls::ServerConfig;

use super::{
    body::{Aborted, RequestBody, ResponseBody},
    limits::Limits,
    memory::Measures,
    places::Origin,
    problem::{AskedAt, Code, Problem, Secure},
    sweeper::{Counters, Overdue, Phase, SWEEP, Sweeper},
    transport::Transport,
    watch::Watch,
};
use crate::host::{
    executor::{self, OnPanic},
    net::{Listener, Peer, Socket, Stream},
};
use stentor_core::model::TenantId;

/// Pause before the next accept, until descriptors or memory may be free again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// A failure to accept is logged at most once per this time.
const SHORTAGE_TOLD: Duration = Duration::from_secs(60);

/// What hyper may buffer per connection in each direction; larger reads of large bodies bring no more speed.
const BUFFER_BYTES_MAX: usize = 32 << 10;

/// An answer up to this size counts as part of its connection and needs no claim on memory.
const ANSWER_BYTES_FREE: usize = 16 << 10;
/// How often other connections are asked to close so that a new one gets a place.
const PLACES_TRIES: u32 = 3;
/// How many connections are asked to close at once, at most: they need a turn of every other task to go, and under a flood of
/// new connections the next ones should not have to wait for that again.
const PLACES_AT_ONCE: usize = 32;
/// But no more than one in this many of all places.
const PLACES_PART: usize = 32;

const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// As other problems are told, without what belongs to a request.
const TOO_MANY: &[u8] = concat!(
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/problem+json\r\n",
    "content-length: 151\r\n\r\n",
    "{\"type\":\"/docs/errors/overloaded\",\"title\":\"The server is busy\",\"status\":503,",
    "\"detail\":\"every connection is in use\",\"code\":\"overloaded\",\"retryable\":true}"
)
.as_bytes();

/// Answers requests; one per core, shared by its connections.
pub trait Handler: 'static {
    /// Answers one request. A client that only ended its own side still gets the answer. The future is dropped at any
    /// await point when the connection is reset or cut, so work that must be done regardless belongs in a task of
    /// its own. A panic closes the client's connection.
    fn handle(self: Rc<Self>, request: Request<RequestBody>) -> impl Future<Output = Response<ResponseBody>>;
}

/// The HTTP server of one core.
#[derive(Debug)]
pub struct Server {
    sweeper: Rc<Sweeper>,
    listeners: Vec<Rc<Listener>>,
    tls: Tls,
}

/// The TLS configuration for connections that come from now on; `None`: plain HTTP. Shared by the accepting tasks.
#[derive(Clone, Default)]
struct Tls(Rc<RefCell<Option<TlsAcceptor>>>);

impl Tls {
    fn put(&self, config: Option<Arc<ServerConfig>>) {
        *self.0.borrow_mut() = config.map(TlsAcceptor::from);
    }

    fn now(&self) -> Option<TlsAcceptor> {
        self.0.borrow().clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Tls").field(&self.0.borrow().is_some()).finish()
    }
}

impl Server {
    /// Accepts from `listeners` (over TLS if `tls` is given and it is not a Unix socket) until [`Self::drain`]. Runs on the
    /// calling executor.
    pub fn start<H: Handler>(
        listeners: Vec<Listener>,
        tls: Option<Arc<ServerConfig>>,
        handler: Rc<H>,
        limits: Limits,
    ) -> Self {
        let sweeper = Sweeper::new(limits);
        let listeners: Vec<Rc<Listener>> = listeners.into_iter().map(Rc::new).collect();
        let acceptor = Tls::default();
        acceptor.put(tls);
        let tls = acceptor;
        sweeper.sweep(tick_ms());
        executor::spawn(OnPanic::Abort, "http sweeper", sweep(Rc::clone(&sweeper)));
        for listener in &listeners {
            let tls = if listener.is_local() { Tls::default() } else { tls.clone() };
            let accepting = accept(Rc::clone(listener), tls, Rc::clone(&handler), Rc::clone(&sweeper));
            executor::spawn(OnPanic::Abort, "http accept", accepting);
        }
        Self { sweeper, listeners, tls }
    }

    /// Connections that come from now on get these certificates; open ones keep theirs.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        self.tls.put(tls);
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.sweeper.open()
    }

    /// Sets other limits from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.sweeper.set_limits(limits);
    }

    /// Sets the tenants and the weights of their shares of memory and connections, from now on.
    pub fn set_weights(&self, weights: Vec<(TenantId, u32)>) {
        self.sweeper.set_weights(weights);
    }

    /// Memory that requests and answers hold.
    pub fn memory(&self) -> Measures {
        self.sweeper.memory().measures()
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.sweeper.counters()
    }

    /// Stops accepting, closes idle connections, lets current answers finish, and after `within` cuts off the rest;
    /// returns how many were cut off.
    pub async fn drain(&self, within: Duration) -> usize {
        self.listeners.iter().for_each(|listener| listener.close());
        self.sweeper.drain();
        let until = executor::now().mono.after_ns(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX));
        while self.sweeper.unfinished() > 0 && executor::now().mono < until {
            executor::sleep(executor::HEARTBEAT).await;
        }
        let cut = self.sweeper.unfinished();
        self.sweeper.cut();
        while self.open() > 0 {
            executor::sleep(executor::HEARTBEAT).await;
        }
        cut
    }
}

fn tick_ms() -> u64 {
    executor::now().mono.0 / 1_000_000
}

/// Returns once the last connection has ended after the drain began.
async fn sweep(sweeper: Rc<Sweeper>) {
    while !(sweeper.is_draining() && sweeper.open() == 0) {
        executor::sleep(SWEEP).await;
        sweeper.sweep(tick_ms());
    }
}

async fn accept<H: Handler>(listener: Rc<Listener>, tls: Tls, handler: Rc<H>, sweeper: Rc<Sweeper>) {
    let mut silent_until = executor::now().mono;
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(_) if sweeper.is_draining() => return,
            Err(error) => {
                back_off(&error, &sweeper, &mut silent_until).await;
                continue;
            }
        };
        if sweeper.is_draining() {
            return;
        }
        sweeper.count(|counters| counters.accepted += 1);
        let Ok(peer) = listener.peer_of(&socket) else {
            executor::breathe().await;
            continue;
        };
        let place = place(&sweeper, peer.into()).await;
        let tls = tls.now();
        match place {
            Some(watch) => {
                let open = Open { watch };
                executor::spawn(
                    OnPanic::Survive,
                    "http connection",
                    serve(socket, peer, tls, Rc::clone(&handler), open),
                );
            }
            None => turn_away(&socket, tls.is_some(), &sweeper),
        }
        executor::breathe().await;
    }
}

/// A place for a connection; if none is left, that of a connection that can be closed. `None` when all are busy.
async fn place(sweeper: &Rc<Sweeper>, origin: Origin) -> Option<Rc<Watch>> {
    for _ in 0..PLACES_TRIES {
        if let Some(watch) = sweeper.watch(origin) {
            return Some(watch);
        }
        let at_once = (sweeper.limits().connections_max / PLACES_PART).clamp(1, PLACES_AT_ONCE);
        if (0..at_once).take_while(|_| sweeper.make_place()).count() == 0 {
            return None;
        }
        // The tasks of the closed connections were woken and run before this one continues.
        executor::yield_now().await;
    }
    sweeper.watch(origin)
}

/// An error of a single connection needs no pause; a shortage of descriptors or memory lasts, so accepting pauses.
async fn back_off(error: &io::Error, sweeper: &Sweeper, silent_until: &mut stentor_core::model::Mono) {
    if let Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) = error.raw_os_error() {
        sweeper.count(|counters| counters.accept_backoffs += 1);
        let now = executor::now().mono;
        if now >= *silent_until {
            *silent_until = now.after_ns(SHORTAGE_TOLD.as_nanos() as u64);
            tracing::warn!(%error, "cannot accept connections; logged at most once a minute, the metrics count every case");
        }
        executor::sleep(ACCEPT_BACKOFF).await;
    } else {
        tracing::debug!(%error, "a connection was lost before it was accepted");
        executor::yield_now().await;
    }
}

fn turn_away(socket: &Socket, tls: bool, sweeper: &Sweeper) {
    sweeper.count(|counters| counters.turned_away += 1);
    if !tls {
        let _ = socket.write_now(TOO_MANY);
    }
}

/// The place of a connection, given back also when its task panics.
#[derive(Debug)]
struct Open {
    watch: Rc<Watch>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.watch.sweeper().release(&self.watch);
    }
}

async fn serve<H: Handler>(socket: Socket, peer: Peer, tls: Option<TlsAcceptor>, handler: Rc<H>, open: Open) {
    let (watch, is_secure) = (&open.watch, tls.is_some());
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => match handshake(&tls, socket, watch).await {
            Some(stream) => stream,
            None => return,
        },
    };
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, watch) = (Rc::clone(&handler), Rc::clone(watch));
        async move {
            watch.note_request();
            // Lets other tasks run: hyper takes up to sixteen pipelined requests in one poll.
            executor::breathe().await;
            let (mut head, incoming) = request.into_parts();
            if is_secure {
                head.extensions.insert(Secure);
            }
            let only_asks = head.method.is_safe();
            let body = RequestBody::new(incoming, &head.headers, peer, Rc::clone(&watch));
            let answer = handler.handle(Request::from_parts(head, body)).await;
            let mut answer = held(answer, only_asks, &watch).await;
            // The Content-Type is right: browsers must not guess another from the content.
            answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok::<_, Infallible>(answer.map(|body| WatchedBody { body, watch }))
        }
    });
    let transport = Transport::new(stream, Rc::clone(watch));
    let mut connection = parser(&watch.sweeper().limits()).serve_connection(transport, service);
    let mut told = false;
    let ended = future::poll_fn(|context| {
        watch.listen(context.waker());
        if let Some(overdue) = watch.overdue() {
            return Poll::Ready(Err(overdue));
        }
        if watch.sweeper().is_draining() && !std::mem::replace(&mut told, true) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(context).map(Ok)
    })
    .await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            watch.sweeper().count(|counters| counters.broken += 1);
            tracing::debug!(%error, %peer, "connection broken");
        }
        Err(Overdue::Header) if watch.phase() == Phase::Header => say_too_late(connection.into_parts().io, watch).await,
        Err(Overdue::Write) => connection.into_parts().io.reset(),
        Err(Overdue::Header | Overdue::Body | Overdue::Idle | Overdue::Linger | Overdue::Drain | Overdue::Evicted) => {}
    }
}

/// Puts a large answer that has no claim on the core's memory under one. If no memory becomes free in time, a request that
/// only reads is refused; an answer that reports a change is sent all the same, because it is in memory already.
async fn held(answer: Response<ResponseBody>, only_asks: bool, watch: &Watch) -> Response<ResponseBody> {
    let (head, body) = answer.into_parts();
    match body {
        ResponseBody::Full(bytes) if bytes.len() > ANSWER_BYTES_FREE => {
            let room = watch.claim();
            room.becomes_answer();
            if room.grow(bytes.len()).await.is_err() && only_asks {
                return Problem::new(Code::Overloaded, "no memory for the answer became free in time")
                    .answer("", &AskedAt::default());
            }
            Response::from_parts(head, ResponseBody::Metered(bytes, room))
        }
        body
        @ (ResponseBody::Full(_) | ResponseBody::Metered(..) | ResponseBody::Made(_) | ResponseBody::Stream(_)) => {
            Response::from_parts(head, body)
        }
    }
}

fn parser(limits: &Limits) -> http1::Builder {
    let mut parser = http1::Builder::new();
    parser
        .half_close(true)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(BUFFER_BYTES_MAX.max(limits.header_bytes_max));
    parser
}

/// `None` when the handshake failed or took too long.
async fn handshake(tls: &TlsAcceptor, socket: Socket, watch: &Watch) -> Option<Stream> {
    let overdue = future::poll_fn(|context| {
        watch.listen(context.waker());
        watch.overdue().map_or(Poll::Pending, |_| Poll::Ready(None))
    });
    let shaken = async { Some(tls.accept(socket).await) };
    match future::or(overdue, shaken).await {
        Some(Ok(stream)) => Some(Stream::Tls(Box::new(stream.into()))),
        Some(Err(error)) => {
            watch.sweeper().count(|counters| counters.handshakes_failed += 1);
            tracing::debug!(%error, "handshake failed");
            None
        }
        None => None,
    }
}

async fn say_too_late(mut transport: Transport, watch: &Watch) {
    transport.say_now(TOO_LATE);
    let ended = async {
        // The peer may be gone already: the result does not matter.
        let _ = future::poll_fn(|context| Pin::new(&mut transport).poll_shutdown(context)).await;
    };
    future::or(ended, executor::sleep(Duration::from_millis(watch.sweeper().limits().linger_ms))).await;
}

/// An answer's body that reports when the socket has all of it.
struct WatchedBody {
    body: ResponseBody,
    watch: Rc<Watch>,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.watch.note_answer();
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
