//! The text of the metrics, written by a thread of its own: with hundreds of carriers it is megabytes, and takes milliseconds that
//! no executor has. Requests that come while it writes share the next text.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use bytes::Bytes;

use crate::host::executor;

/// Asks for texts; its copies ask the same thread.
#[derive(Clone, Debug, Default)]
pub struct Scribe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    /// Number of requests so far.
    asked: u64,
    /// Number of those whose text is written.
    written: u64,
    text: Bytes,
    has_ended: bool,
}

/// Dropping it stops the thread.
#[derive(Debug)]
pub struct Writing(Scribe);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.0.asked.notify_one();
    }
}

impl Scribe {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes by `write` whenever a text is asked for, until the returned value is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&self, write: impl Fn() -> String + Send + 'static) -> io::Result<Writing> {
        let own = self.clone();
        thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            while let Some(upto) = own.next() {
                let text = Bytes::from(write());
                let mut desk = own.lock();
                (desk.written, desk.text) = (upto, text);
            }
        })?;
        Ok(Writing(self.clone()))
    }

    /// Waits for a request; returns the number of requests so far.
    fn next(&self) -> Option<u64> {
        let mut desk = self.lock();
        while desk.asked == desk.written && !desk.has_ended {
            desk = self.0.asked.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
        (!desk.has_ended).then_some(desk.asked)
    }

    /// A text that was begun after this call. On an executor, which checks for it with each heartbeat.
    pub async fn ask(self) -> Bytes {
        let number = {
            let mut desk = self.lock();
            desk.asked += 1;
            desk.asked
        };
        self.0.asked.notify_one();
        loop {
            {
                let desk = self.lock();
                if desk.written >= number || desk.has_ended {
                    return desk.text.clone();
                }
            }
            executor::sleep(executor::HEARTBEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::host::{
        clock::Clock,
        executor::{Executor, Io, Running},
        watchdog::Heartbeat,
    };
    use stentor_core::mesh::CoreId;

    #[test]
    fn each_gets_a_text_that_was_begun_after_it_asked() {
        let (scribe, texts) = (Scribe::default(), Arc::new(AtomicU64::new(0)));
        let begun = Arc::clone(&texts);
        let writing = scribe.start(move || begun.fetch_add(1, Ordering::SeqCst).to_string()).expect("a thread");
        let executor =
            Executor { io: Io::Epoll, core: CoreId(0), cpu: None, clock: Clock::start(), heart: Heartbeat::default() };
        let main = move || async move {
            for _ in 0..3 {
                let before = texts.load(Ordering::SeqCst);
                let text = scribe.clone().ask().await;
                let number: u64 = std::str::from_utf8(&text).expect("text").parse().expect("a number");
                assert!(number >= before);
            }
        };
        executor.start(main).and_then(Running::join).expect("executor");
        drop(writing);
    }
}
