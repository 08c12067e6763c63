//! Notifications to systemd (`READY=1` and others); they do nothing if `NOTIFY_SOCKET` is not set.
//!
//! A thread of its own sends them, so that a service manager that does not read its socket delays no other thread; if too
//! many notifications wait, new ones are dropped.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use sd_notify::NotifyState;

/// Most notifications that wait to be sent.
const WORDS_MAX: usize = 16;

static WORDS: OnceLock<Option<mpsc::SyncSender<Vec<NotifyState<'static>>>>> = OnceLock::new();

/// Sends a notification, or drops it if the queue is full.
pub(super) fn tell(words: Vec<NotifyState<'static>>) {
    if let Some(waiting) = WORDS.get_or_init(start) {
        let _ = waiting.try_send(words);
    }
}

fn start() -> Option<mpsc::SyncSender<Vec<NotifyState<'static>>>> {
    std::env::var_os("NOTIFY_SOCKET")?;
    let (waiting, words) = mpsc::sync_channel::<Vec<NotifyState<'_>>>(WORDS_MAX);
    let saying = move || {
        for words in words {
            if let Err(error) = sd_notify::notify(&words) {
                tracing::warn!(%error, "systemd could not be notified");
            }
        }
    };
    thread::Builder::new().name("systemd".to_owned()).spawn(saying).ok().map(|_| waiting)
}

/// Reports that the daemon has recovered its data and is listening.
pub fn tell_ready(status: &'static str) {
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the daemon is draining and will end.
pub fn tell_stopping(status: &'static str) {
    tell(vec![NotifyState::Stopping, NotifyState::Status(status)]);
}
