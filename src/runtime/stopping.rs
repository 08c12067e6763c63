//! What is printed when the process is told to end, and what a second such signal does: it ends the process at once. That loses
//! nothing: whatever was acknowledged is on stable storage, and attempts without a response are in doubt after the next start.

use std::thread;

use crate::http::StatusBoard;
use stentor_core::mesh::waker::ThreadInbox;

use super::signals::{self, Signal};
use crate::host::logging;

/// Called with a sentence for the operator.
pub(super) type Told<'a> = &'a dyn Fn(&str);

/// What the stop waits for, by the latest view of the shards, and how to cut it short.
pub(super) fn sentence(board: &StatusBoard, drain_timeout_ms: u64) -> String {
    said(board.shards().iter().map(|shard| shard.in_flight).sum(), drain_timeout_ms)
}

fn said(answers: u64, drain_timeout_ms: u64) -> String {
    let seconds = drain_timeout_ms.div_ceil(1_000);
    match answers {
        0 => "stopping; Ctrl-C again stops now".to_owned(),
        1 => format!("stopping; waiting up to {seconds} s for 1 answer; Ctrl-C again stops now"),
        _ => format!("stopping; waiting up to {seconds} s for {answers} answers; Ctrl-C again stops now"),
    }
}

/// From now on the next signal to end ends the process at once. If no thread can be started for that, only the orderly end remains.
pub(super) fn end_at_the_next(mut signals: ThreadInbox<Signal>) {
    let waiting = move || {
        let mut told = Vec::new();
        while signals.drain(&mut told, 1) > 0 {
            for signal in told.drain(..) {
                match signal {
                    Signal::Hangup => {}
                    Signal::Terminate | Signal::Interrupt => {
                        tracing::warn!("stopped at once by a second signal; what was acknowledged is kept");
                        logging::flush();
                        signals::die_of(signal);
                    }
                }
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("second signal".to_owned()).spawn(waiting) {
        tracing::warn!(%error, "no thread can be started to await a second signal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said() {
        assert_eq!(said(0, 9_000), "stopping; Ctrl-C again stops now");
        assert_eq!(said(1, 9_000), "stopping; waiting up to 9 s for 1 answer; Ctrl-C again stops now");
        assert_eq!(said(7, 1_500), "stopping; waiting up to 2 s for 7 answers; Ctrl-C again stops now");
    }
}
