//! `GET /v1/backup`: how a backup's bytes get from the thread that reads the stores to the client that takes them. Does not know
//! what the bytes mean, nor how they are made ([`StartBackup`]).
//!
//! Thread and client meet in a [`Pipe`]: the thread puts pieces in and waits while it is full; the connection's task looks into it
//! every few milliseconds. No waker crosses between them (only long-lived tasks give out wakers), and a client that is slow
//! or gone is the thread's only reason to wait or to stop.

use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;

use super::{
    api::{Answered, Api, Asked, no_query, typed},
    body::{BodySender, ResponseBody},
    problem::{Code, Problem},
};
use crate::host::executor::{self, OnPanic};

/// Pieces that may wait for the client; each holds about a block of the backup.
const PIECES_MAX: usize = 8;
/// Between two looks into a pipe that was empty, or full.
const LOOK: Duration = Duration::from_millis(3);

/// Begins a backup on a thread of its own; `None` if one is already under way.
pub type StartBackup = Arc<dyn Fn() -> Option<Arc<Pipe>> + Send + Sync>;

/// The client went away and no longer takes the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Whole,
    Failed(String),
}

/// What the task finds when it looks into the pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next bytes.
    Piece(Bytes),
    /// Nothing yet.
    Nothing,
    /// Everything was taken, and the backup is complete.
    End,
    /// The backup will not be complete, and why.
    Failed(String),
}

/// Carries the bytes of a backup from one thread to one task.
#[derive(Debug)]
pub struct Pipe {
    pieces: ArrayQueue<Bytes>,
    ending: Mutex<Ending>,
    is_abandoned: AtomicBool,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            pieces: ArrayQueue::new(PIECES_MAX),
            ending: Mutex::new(Ending::Open),
            is_abandoned: AtomicBool::new(false),
        }
    }
}

impl Pipe {
    /// Puts bytes in; waits while the pipe is full. Called by the thread.
    ///
    /// # Errors
    /// [`Abandoned`] when the client no longer takes them.
    pub fn put(&self, piece: Bytes) -> Result<(), Abandoned> {
        let mut piece = piece;
        loop {
            if self.is_abandoned.load(Ordering::Acquire) {
                return Err(Abandoned);
            }
            match self.pieces.push(piece) {
                Ok(()) => return Ok(()),
                Err(back) => piece = back,
            }
            thread::sleep(LOOK);
        }
    }

    /// Nothing more follows: the backup is complete, or it is not, and why. Called by the thread.
    pub fn end(&self, why: Result<(), String>) {
        *self.lock() = match why {
            Ok(()) => Ending::Whole,
            Err(why) => Ending::Failed(why),
        };
    }

    /// What the pipe holds now. Called by the task.
    pub fn take(&self) -> Taken {
        // Read before the pieces: then all that was put before the end is seen.
        let ending = self.lock().clone();
        match (self.pieces.pop(), ending) {
            (Some(piece), _) => Taken::Piece(piece),
            (None, Ending::Open) => Taken::Nothing,
            (None, Ending::Whole) => Taken::End,
            (None, Ending::Failed(why)) => Taken::Failed(why),
        }
    }

    fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task's end of a pipe; dropping it stops the thread.
struct Tap(Arc<Pipe>);

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Tap").field(&self.0).finish()
    }
}

impl Tap {
    async fn next(&self) -> Taken {
        loop {
            match self.0.take() {
                Taken::Nothing => executor::sleep(LOOK).await,
                found => return found,
            }
        }
    }

    /// Sends pieces until the end; an error in the middle breaks the answer off, so that a part is not taken for the whole.
    async fn stream(self, first: Bytes, mut sender: BodySender) {
        let mut found = Taken::Piece(first);
        loop {
            match found {
                Taken::Piece(piece) => {
                    if sender.send(piece).await.is_err() {
                        tracing::warn!("the client closed the connection before its backup was complete");
                        return;
                    }
                }
                Taken::Nothing => {}
                Taken::End => return sender.finish(),
                Taken::Failed(why) => {
                    tracing::error!(why, "a backup failed before it was complete");
                    return;
                }
            }
            found = self.next().await;
            if sender.is_gone() {
                return;
            }
        }
    }
}

impl Api {
    pub(super) async fn back_up(self: &Rc<Self>, asked: &Asked) -> Answered {
        no_query(asked)?;
        let start = self.backup.as_ref().ok_or_else(|| Problem::new(Code::NotFound, "this server stores nothing"))?;
        let under_way = || Problem::new(Code::BackupUnderWay, "only one backup can be made at a time");
        let tap = Tap(start().ok_or_else(under_way)?);
        // The answer begins only when every store has its snapshot: all that was acknowledged before the request is in the backup.
        let first = match tap.next().await {
            Taken::Piece(first) => first,
            Taken::Failed(why) => return Err(Problem::new(Code::Unreadable, why)),
            Taken::Nothing | Taken::End => return Err(Problem::new(Code::Internal, "the backup was empty")),
        };
        let (sender, body) = ResponseBody::channel(PIECES_MAX, None);
        executor::spawn(OnPanic::Survive, "backup", tap.stream(first, sender));
        Ok(typed("application/octet-stream", body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_before_the_end_is_taken_before_it() {
        let pipe = Pipe::default();
        assert_eq!(pipe.take(), Taken::Nothing);
        pipe.put(Bytes::from_static(b"a")).expect("room");
        pipe.end(Ok(()));
        assert_eq!([pipe.take(), pipe.take()], [Taken::Piece(Bytes::from_static(b"a")), Taken::End]);
        pipe.end(Err("why".to_owned()));
        assert_eq!(pipe.take(), Taken::Failed("why".to_owned()));
    }

    #[test]
    fn a_thread_waits_for_room_and_stops_when_the_reader_has_gone() {
        let pipe = Arc::new(Pipe::default());
        let tap = Tap(Arc::clone(&pipe));
        let thread = thread::spawn({
            let pipe = Arc::clone(&pipe);
            move || (0..).find(|_| pipe.put(Bytes::from_static(b"x")).is_err())
        });
        for _ in 0..3 * PIECES_MAX {
            while pipe.take() == Taken::Nothing {
                thread::yield_now();
            }
        }
        drop(tap);
        let put = thread.join().expect("no panic").expect("an end");
        assert!((3 * PIECES_MAX..=4 * PIECES_MAX).contains(&put), "{put}");
    }
}
