//! `GET /v1/backup`: the door for a backup's bytes. Knows how they get from the thread that reads the stores to the one
//! client that takes them; does not know what they mean, nor who makes them ([`StartBackup`]).
//!
//! The two meet in a [`Pipe`]: the thread puts pieces in and waits while it is full, the connection's task looks into it a
//! few hundred times a second. No waker crosses from one to the other (only long-lived tasks hand theirs out), and a client
//! that is slow or gone is the thread's only reason to wait or to stop.

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

/// Pieces that wait for the client; each holds about a block of the backup.
const PIECES_MAX: usize = 8;
/// Between two looks into a pipe that had nothing, or no room.
const LOOK: Duration = Duration::from_millis(3);

/// Begins a backup, on a thread of its own. None: one is under way already.
pub type StartBackup = Arc<dyn Fn() -> Option<Arc<Pipe>> + Send + Sync>;

/// The client no longer takes the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Whole,
    Failed(String),
}

/// What the client finds when it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next bytes.
    Piece(Bytes),
    /// Nothing yet.
    Nothing,
    /// Everything was taken.
    End,
    /// It will not be whole.
    Failed(String),
}

/// From one thread to one task.
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
    /// Puts bytes in; waits while it is full. For the thread.
    ///
    /// # Errors
    /// [`Abandoned`] when nobody takes them any more.
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

    /// Nothing more follows: it is whole, or `why` it is not. For the thread.
    pub fn end(&self, why: Result<(), String>) {
        *self.lock() = match why {
            Ok(()) => Ending::Whole,
            Err(why) => Ending::Failed(why),
        };
    }

    /// What is there. For the task.
    pub fn take(&self) -> Taken {
        // Asked first: what was put before the end is then seen.
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

/// The task's end of a pipe: dropped, the thread stops.
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

    /// Until the end; an error in the middle cuts the answer off, so that nobody takes a part for the whole.
    async fn stream(self, first: Bytes, mut sender: BodySender) {
        let mut found = Taken::Piece(first);
        loop {
            match found {
                Taken::Piece(piece) => {
                    if sender.send(piece).await.is_err() {
                        tracing::warn!("a backup was given up by its client");
                        return;
                    }
                }
                Taken::Nothing => {}
                Taken::End => return sender.finish(),
                Taken::Failed(why) => {
                    tracing::error!(why, "a backup broke off");
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
        let start = self.backup.as_ref().ok_or_else(|| Problem::new(Code::NotFound, "nothing is stored here"))?;
        let under_way = || Problem::new(Code::BackupUnderWay, "one backup at a time");
        let tap = Tap(start().ok_or_else(under_way)?);
        // Nothing is answered before every store has its snapshot: the mark lies behind the request.
        let first = match tap.next().await {
            Taken::Piece(first) => first,
            Taken::Failed(why) => return Err(Problem::new(Code::Unreadable, why)),
            Taken::Nothing | Taken::End => return Err(Problem::new(Code::Internal, "an empty backup")),
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
    fn a_thread_waits_for_room_and_stops_when_nobody_takes() {
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
