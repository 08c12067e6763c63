//! An answer's body: given whole, made piece by piece while the client takes it, or sent through a channel; what it holds in
//! memory is covered by a claim until the socket has it. Knows bytes; knows no message and no JSON.

use std::{
    cell::RefCell,
    collections::VecDeque,
    error::Error,
    fmt,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::memory::Room;

/// How much of a complete answer the connection is given at once.
const SLICE_BYTES: usize = 32 << 10;

/// An answer's body.
#[derive(Debug)]
pub enum ResponseBody {
    /// A complete body.
    Full(Bytes),
    /// A complete body, and the claim that covers it until the client has taken it.
    Metered(Bytes, Room),
    /// Made piece by piece when the connection has room: chunked on the wire.
    Made(Maker),
    /// Received piece by piece from a [`BodySender`]: chunked on the wire.
    Stream(BodyReceiver),
}

/// Makes an answer piece by piece; its function returns `None` at the end.
pub struct Maker(Box<dyn FnMut() -> Option<Bytes>>);

impl fmt::Debug for Maker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Maker").finish_non_exhaustive()
    }
}

impl ResponseBody {
    /// An empty body.
    pub const fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    /// A body that `make` makes, a piece of some KiB each time; the caller must claim the memory that this needs.
    pub fn made(make: impl FnMut() -> Option<Bytes> + 'static) -> Self {
        Self::Made(Maker(Box::new(make)))
    }

    /// A body that is sent later, and its sender; at most `pieces_max` pieces wait in between, covered by `room` if that is
    /// given.
    pub fn channel(pieces_max: usize, room: Option<Room>) -> (BodySender, Self) {
        let channel = Channel { pieces_max: pieces_max.max(1), room, ..Channel::default() };
        let channel = Rc::new(RefCell::new(channel));
        (BodySender { channel: Rc::clone(&channel) }, Self::Stream(BodyReceiver { channel }))
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<Vec<u8>> for ResponseBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<String> for ResponseBody {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for ResponseBody {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

/// The sender gave up before the end: the connection is cut, so that the client cannot take the part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the answer was cut off before its end")
    }
}

impl Error for Aborted {}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut *self {
            Self::Full(bytes) | Self::Metered(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) | Self::Metered(bytes, _) => {
                let slice = bytes.split_to(bytes.len().min(SLICE_BYTES));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
            Self::Made(Maker(make)) => Poll::Ready(make().map(|piece| Ok(Frame::data(piece)))),
            Self::Stream(receiver) => receiver.poll_next(context).map(|piece| Some(piece?.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) | Self::Metered(bytes, _) => bytes.is_empty(),
            Self::Made(_) | Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) | Self::Metered(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Made(_) | Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Channel {
    pieces: VecDeque<Bytes>,
    pieces_max: usize,
    /// The claim that covers the waiting pieces and the one that the connection is writing.
    room: Option<Room>,
    held_bytes: usize,
    in_hand_bytes: usize,
    finished: bool,
    sender_gone: bool,
    receiver_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

impl Channel {
    fn give_back(&mut self, bytes: usize) {
        if let Some(room) = self.room.as_ref().filter(|_| bytes > 0) {
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
            room.shrink(self.held_bytes);
        }
    }
}

/// The client no longer takes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Feeds a [`ResponseBody::Stream`]; lives on the same core. If it is dropped without [`Self::finish`], the answer is cut off.
#[derive(Debug)]
pub struct BodySender {
    channel: Rc<RefCell<Channel>>,
}

impl BodySender {
    /// Sends one piece, waiting while the client is slow. Empty pieces are left out.
    ///
    /// # Errors
    /// [`Gone`] when the client no longer takes the answer, or others hold the core's memory for too long.
    pub async fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
        let room = self.channel.borrow().room.clone();
        if let Some(room) = room {
            let held_bytes = self.channel.borrow().held_bytes + piece.len();
            room.grow(held_bytes).await.map_err(|_| Gone)?;
            self.channel.borrow_mut().held_bytes += piece.len();
        }
        poll_fn(|context| {
            let channel = &mut *self.channel.borrow_mut();
            if channel.receiver_gone {
                return Poll::Ready(Err(Gone));
            }
            if channel.pieces.len() < channel.pieces_max {
                return Poll::Ready(Ok(()));
            }
            channel.sender = Some(context.waker().clone());
            Poll::Pending
        })
        .await?;
        self.update(|channel| channel.pieces.extend(Some(piece).filter(|piece| !piece.is_empty())));
        Ok(())
    }

    /// Whether the client has gone; for a sender that has nothing to send yet.
    pub fn is_gone(&self) -> bool {
        self.channel.borrow().receiver_gone
    }

    /// Marks the answer as complete.
    pub fn finish(self) {
        self.update(|channel| channel.finished = true);
    }

    fn update(&self, change: impl FnOnce(&mut Channel)) {
        let waiting = {
            let channel = &mut *self.channel.borrow_mut();
            change(channel);
            channel.receiver.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.update(|channel| channel.sender_gone = true);
    }
}

/// The connection's end of a [`ResponseBody::Stream`].
#[derive(Debug)]
pub struct BodyReceiver {
    channel: Rc<RefCell<Channel>>,
}

impl BodyReceiver {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let (next, waiting) = {
            let channel = &mut *self.channel.borrow_mut();
            // Asking for the next piece means that the last one was given to the socket.
            let taken = std::mem::take(&mut channel.in_hand_bytes);
            channel.give_back(taken);
            match channel.pieces.pop_front() {
                Some(piece) => {
                    channel.in_hand_bytes = piece.len();
                    (Some(Ok(piece)), channel.sender.take())
                }
                None if channel.finished => (None, None),
                None if channel.sender_gone => (Some(Err(Aborted)), None),
                None => {
                    channel.receiver = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        waiting.into_iter().for_each(Waker::wake);
        Poll::Ready(next)
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let waiting = {
            let channel = &mut *self.channel.borrow_mut();
            channel.receiver_gone = true;
            channel.sender.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin};

    use super::*;
    use crate::http::memory::Memory;
    use stentor_core::model::TenantId;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn next(body: &mut ResponseBody) -> Poll<Option<usize>> {
        let frame = Pin::new(body).poll_frame(&mut context());
        frame.map(|frame| frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).map(|data| data.len()))
    }

    #[test]
    fn a_piece_is_held_until_the_next_is_asked_for() {
        let memory = Memory::new(10_000, 1);
        let (mut sender, mut body) = ResponseBody::channel(2, Some(memory.open(TenantId(0))));
        for _ in 0..2 {
            assert_eq!(pin!(sender.send(Bytes::from(vec![0; 1_000]))).poll(&mut context()), Poll::Ready(Ok(())));
        }
        let held = || memory.measures().requests_bytes;
        assert_eq!((held(), next(&mut body), held()), (2_000, Poll::Ready(Some(1_000)), 2_000));
        assert_eq!((next(&mut body), held()), (Poll::Ready(Some(1_000)), 1_000));
        assert_eq!((next(&mut body), held()), (Poll::Pending, 0));
        assert_eq!(pin!(sender.send(Bytes::from(vec![0; 1_000]))).poll(&mut context()), Poll::Ready(Ok(())));
        drop((sender, body));
        assert_eq!(held(), 0);
    }

    #[test]
    fn an_answer_that_is_whole_is_given_in_slices_and_held_to_the_last() {
        let memory = Memory::new(200_000, 1);
        let room = memory.open(TenantId(0));
        assert!(room.grow_now(100_000));
        let mut body = ResponseBody::Metered(vec![0; 100_000].into(), room);
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let slices: Vec<_> = std::iter::from_fn(|| match next(&mut body) {
            Poll::Ready(slice) => slice,
            Poll::Pending => None,
        })
        .collect();
        assert_eq!(slices, [SLICE_BYTES, SLICE_BYTES, SLICE_BYTES, 100_000 - 3 * SLICE_BYTES]);
        assert!(body.is_end_stream() && memory.measures().requests_bytes == 100_000);
        drop(body);
        assert_eq!(memory.measures().requests_bytes, 0);
    }

    #[test]
    fn an_answer_that_is_made_is_made_when_it_is_asked_for() {
        let mut pieces = 3;
        let mut body = ResponseBody::made(move || {
            pieces -= 1;
            (pieces > 0).then(|| Bytes::from(vec![0; pieces]))
        });
        assert_eq!(
            [next(&mut body), next(&mut body), next(&mut body)],
            [2, 1, 0].map(|bytes| { Poll::Ready(Some(bytes).filter(|bytes| *bytes > 0)) })
        );
    }
}
