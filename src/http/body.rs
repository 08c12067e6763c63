//! A request's body, read completely and within limits. Knows sizes; `decode` undoes encodings, `response` makes answers; knows
//! no message and no JSON.
//!
//! A body that ends too early, stalls or does not decode yields an error and no byte: no message can be accepted from it.

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    io,
    ops::Deref,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming},
};

use super::{
    decode::{self, Encoding},
    memory::{NoRoom, Room},
    watch::{TooSlow, Watch},
};
use crate::host::net::Peer;
use stentor_core::model::TenantId;

pub use super::response::{Aborted, BodyReceiver, BodySender, Gone, Maker, ResponseBody};

/// Initial capacity of a body's buffer.
const BUFFER_BYTES_MIN: usize = 8 << 10;
/// What one read may bring; also claimed for a body of which nothing has arrived yet.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// Why a body could not be read. All but [`Self::NoRoom`] are the client's to fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Over `limit_bytes`, on the wire or decoded: 413.
    TooLarge {
        /// The limit that it exceeds.
        limit_bytes: usize,
    },
    /// More gzip members or zstd frames than are decoded: 413.
    TooManyMembers {
        /// The limit that it exceeds.
        members_max: usize,
    },
    /// The connection ended before the body did: 400, if the client still listens.
    Truncated,
    /// The transfer chunks are malformed: 400.
    Malformed,
    /// A `Content-Encoding` that is not supported: 415.
    UnsupportedEncoding,
    /// The encoding is supported, but the bytes do not decode: 400.
    BadEncoding,
    /// The body came too slowly: 408.
    Timeout,
    /// The body came slowly while others waited for the memory that it holds: 408.
    OthersWait,
    /// No memory became free in time: 503 with `Retry-After`.
    NoRoom,
}

impl BodyError {
    /// The HTTP status of this error.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooManyMembers { .. } => 413,
            Self::Truncated | Self::Malformed | Self::BadEncoding => 400,
            Self::UnsupportedEncoding => 415,
            Self::Timeout | Self::OthersWait => 408,
            Self::NoRoom => 503,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit_bytes } => write!(out, "the body is larger than {limit_bytes} bytes"),
            Self::TooManyMembers { members_max } => {
                write!(out, "the body has more than {members_max} gzip members or zstd frames")
            }
            Self::Truncated => out.write_str("the body ended early"),
            Self::Malformed => out.write_str("the body's chunks are malformed"),
            Self::UnsupportedEncoding => out.write_str("Content-Encoding must be gzip, zstd or absent"),
            Self::BadEncoding => out.write_str("the body cannot be decoded as its Content-Encoding says"),
            Self::Timeout => out.write_str("the body came too slowly"),
            Self::OthersWait => {
                out.write_str("the body came slowly while other requests waited for the memory that it holds")
            }
            Self::NoRoom => out.write_str("no memory for the body became free in time"),
        }
    }
}

impl Error for BodyError {}

impl From<NoRoom> for BodyError {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

/// A request's body, not read yet. Belongs to the task of one connection.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    encoding: Encoding,
    limit_bytes: usize,
    peer: Peer,
    watch: Rc<Watch>,
    waiting: bool,
}

impl RequestBody {
    /// The body of a request with these headers on the connection from `peer` that `watch` watches.
    pub fn new(incoming: Incoming, headers: &HeaderMap, peer: Peer, watch: Rc<Watch>) -> Self {
        Self { incoming, encoding: Encoding::of(headers), limit_bytes: usize::MAX, peer, watch, waiting: false }
    }

    /// The client's address.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Lowers the limit to `limit_bytes`, for calls that need only a small document.
    pub fn within(mut self, limit_bytes: usize) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// From now on the body's memory counts for `tenant`; false when the tenant has more than its share of connections.
    pub fn belongs_to(&self, tenant: TenantId) -> bool {
        self.watch.sweeper().assign(&self.watch, tenant)
    }

    /// A claim on the core's memory for the answer to this request.
    pub fn claim(&self) -> Room {
        self.watch.claim()
    }

    /// Reads the body to its end and decodes it. A client that waits for `100 Continue` gets it only if the declared length
    /// is within limits.
    ///
    /// # Errors
    /// See [`BodyError`]; no byte of an incomplete body is handed out.
    pub async fn whole(mut self) -> Result<Whole, BodyError> {
        if self.encoding == Encoding::Unsupported {
            return Err(BodyError::UnsupportedEncoding);
        }
        let Whole { bytes, room } = self.collect().await?;
        self.end();
        let limits = self.watch.sweeper().limits();
        let limit_bytes = self.limit_bytes.min(limits.decoded_bytes_max);
        match decode::decoded(self.encoding, &bytes, &room, limit_bytes, &limits).await? {
            None => Ok(Whole { bytes, room }),
            Some(decoded) => {
                drop(bytes);
                room.shrink(decoded.len());
                Ok(Whole { bytes: decoded.into(), room })
            }
        }
    }

    /// The next piece as it travelled, not decoded; `None` at the end. For bodies too large to hold in memory; the caller must
    /// refuse those that have a `Content-Encoding`.
    ///
    /// # Errors
    /// [`BodyError::Truncated`], [`BodyError::Malformed`] or [`BodyError::Timeout`].
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = match poll_fn(|context| self.poll_frame(context)).await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            if let Ok(data) = frame.into_data() {
                return Some(Ok(data));
            }
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.waiting && !self.incoming.is_end_stream() {
            self.waiting = true;
            self.watch.note_body();
        }
        match self.watch.take_body_overdue() {
            None => {}
            Some(TooSlow::Deadline) => return Poll::Ready(Some(Err(BodyError::Timeout))),
            Some(TooSlow::OthersWait) => return Poll::Ready(Some(Err(BodyError::OthersWait))),
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(context).map_err(|error| explain(&error));
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.watch.note_data(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.watch.note_body_end();
        }
    }

    /// Claims memory for the bytes that came; while it waits for memory, nothing more is read.
    async fn make_room(&self, room: &Room, bytes: usize) -> Result<(), NoRoom> {
        if room.grow_now(bytes) {
            return Ok(());
        }
        self.watch.note_pause();
        let grown = room.grow(bytes).await;
        self.watch.note_resume();
        grown
    }

    async fn collect(&mut self) -> Result<Whole, BodyError> {
        let watch = Rc::clone(&self.watch);
        let limit_bytes = self.limit_bytes.min(watch.sweeper().limits().body_bytes_max);
        let declared = self.incoming.size_hint().exact().unwrap_or(0);
        let declared = usize::try_from(declared).ok().filter(|bytes| *bytes <= limit_bytes);
        let declared = declared.ok_or(BodyError::TooLarge { limit_bytes })?;
        let room = watch.claim();
        if watch.sweeper().memory().is_waited_for() {
            let expected = if declared > 0 { declared } else { PIECE_BYTES_MAX };
            self.make_room(&room, expected.min(PIECE_BYTES_MAX)).await?;
        }
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Whole { bytes: Bytes::new(), room });
        };
        if first.len() == declared {
            self.make_room(&room, declared).await?;
            return Ok(Whole { bytes: first, room });
        }
        let most = if declared > 0 { declared } else { limit_bytes };
        let mut bytes = Vec::new();
        let mut piece = Some(first);
        while let Some(next) = piece {
            let wanted = bytes.len() + next.len();
            if wanted > limit_bytes {
                return Err(BodyError::TooLarge { limit_bytes });
            }
            if wanted > bytes.capacity() {
                // Twice what came, not what was announced: a client that announces much and sends little holds little.
                let capacity = wanted.max(bytes.capacity() * 2).max(BUFFER_BYTES_MIN).min(most).max(wanted);
                self.make_room(&room, capacity).await?;
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&next);
            piece = self.next().await.transpose()?;
        }
        Ok(Whole { bytes: bytes.into(), room })
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hyper wraps the error of the decoder or the socket; only the kind of the innermost I/O error tells them apart.
fn explain(error: &hyper::Error) -> BodyError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => BodyError::Malformed,
                _ => BodyError::Truncated,
            };
        }
        source = cause.source();
    }
    BodyError::Truncated
}

/// A complete, decoded body. Keeps its claim on the core's memory until dropped.
#[derive(Debug)]
pub struct Whole {
    bytes: Bytes,
    room: Room,
}

impl Whole {
    /// Drops the body and keeps only its claim, so that what was made from the body stays covered.
    pub fn into_room(self) -> Room {
        self.room
    }

    /// The claim on memory that covers the body.
    pub fn room(&self) -> &Room {
        &self.room
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
