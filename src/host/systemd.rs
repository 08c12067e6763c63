//! The word to systemd (`READY=1` and its kin), which is nothing where `NOTIFY_SOCKET` is not set. Said by a thread of its
//! own: a service manager that does not read keeps nobody waiting, and what it has no room for is not said.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use sd_notify::NotifyState;

/// Words that wait at most.
const WORDS_MAX: usize = 16;

static WORDS: OnceLock<Option<mpsc::SyncSender<Vec<NotifyState<'static>>>>> = OnceLock::new();

/// Says something, or drops it if earlier words still wait.
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
                tracing::warn!(%error, "systemd does not listen");
            }
        }
    };
    thread::Builder::new().name("systemd".to_owned()).spawn(saying).ok().map(|_| waiting)
}

/// Recovered and listening.
pub fn tell_ready(status: &'static str) {
    tell(vec![NotifyState::Ready, NotifyState::Status(status)]);
}

/// Draining.
pub fn tell_stopping(status: &'static str) {
    tell(vec![NotifyState::Stopping, NotifyState::Status(status)]);
}
