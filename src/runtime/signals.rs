//! The signals that a service obeys, turned into items in a mailbox.
//!
//! They are blocked in every thread and awaited by one small thread (`sigwaitinfo`), so no handler runs and nothing
//! has to be async-signal-safe. Knows what was asked for; the daemon knows what to do about it (drain, reload).

use std::{io, mem::MaybeUninit, process, ptr, thread};

use stentor_core::mesh::Sender;

/// What a signal asks the process to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: drain and stop.
    Terminate,
    /// SIGINT: like SIGTERM, from a person at the terminal.
    Interrupt,
    /// SIGHUP: reload the configuration.
    Hangup,
}

impl Signal {
    const fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::Hangup => libc::SIGHUP,
        }
    }
}

const AWAITED: [(i32, Signal); 3] =
    [(libc::SIGTERM, Signal::Terminate), (libc::SIGINT, Signal::Interrupt), (libc::SIGHUP, Signal::Hangup)];

/// Proof that the signals are blocked; threads spawned from here on inherit that.
#[derive(Debug)]
pub struct Blocked(());

/// Blocks the awaited signals for the calling thread and all threads that it will spawn. Call it in `main` before the first
/// thread: a signal goes to any thread that does not block it, and its default action ends the process.
///
/// # Errors
/// The error of `pthread_sigmask`; never with the arguments used here.
pub fn block() -> io::Result<Blocked> {
    let set = awaited();
    // SAFETY: `set` is initialised and outlives the call; no old mask is asked for.
    #[allow(unsafe_code, reason = "libc has no safe face for signal masks")]
    let code = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if code == 0 { Ok(Blocked(())) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Starts the thread that waits. A signal that finds the mailbox full is dropped: the same request already waits there.
///
/// # Errors
/// When the thread cannot be started.
pub fn listen(blocked: Blocked, to: Sender<Signal>) -> io::Result<thread::JoinHandle<()>> {
    let Blocked(()) = blocked;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Some(signal) = wait() {
            tracing::info!(?signal, "signal");
            if to.try_push(signal).is_err() {
                tracing::debug!(?signal, "an earlier signal still waits");
            }
        }
    })
}

/// Sends a daemon the signal that makes it read its configuration again.
///
/// # Errors
/// The error of `kill`: no such process, or one that this user may not signal.
pub fn ask_to_reload(process: i32) -> io::Result<()> {
    // SAFETY: a signal to another process; nothing of this one's memory is involved.
    #[allow(unsafe_code, reason = "libc has no safe face for kill")]
    let code = unsafe { libc::kill(process, libc::SIGHUP) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process by `signal` with its default action, so that the parent process sees which signal it was.
pub fn die_of(signal: Signal) -> ! {
    let (number, set) = (signal.number(), awaited());
    // SAFETY: the signal's number is valid, and what it does by itself is set; `set` is initialised and outlives the call.
    #[allow(unsafe_code, reason = "libc has no safe face for signals")]
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        libc::raise(number);
    }
    // Reached only if the kernel does not end the process by the signal.
    process::exit(128 + number)
}

/// `None` only if the kernel refuses to wait, which it does not for a valid set.
fn wait() -> Option<Signal> {
    let set = awaited();
    loop {
        // SAFETY: `set` is initialised and outlives the call; no siginfo is asked for.
        #[allow(unsafe_code, reason = "libc has no safe face for sigwaitinfo")]
        let number = unsafe { libc::sigwaitinfo(&raw const set, ptr::null_mut()) };
        match AWAITED.iter().find(|(awaited, _)| *awaited == number) {
            Some((_, signal)) => return Some(*signal),
            None if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            None => return None,
        }
    }
}

fn awaited() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; the signal numbers are valid constants.
    #[allow(unsafe_code, reason = "libc has no safe face for signal sets")]
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for (number, _) in AWAITED {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::thread::JoinHandleExt;

    use super::*;
    use stentor_core::mesh::thread_mailbox;

    #[test]
    fn a_signal_arrives_as_a_word() {
        let (sender, mut inbox) = thread_mailbox(4);
        let waiting = listen(block().expect("blocked"), sender).expect("thread");
        for (number, expected) in AWAITED {
            // SAFETY: the thread runs for as long as the test; directed at it, the signal cannot end the test process.
            #[allow(unsafe_code, reason = "libc has no safe face for signals to a thread")]
            let code = unsafe { libc::pthread_kill(waiting.as_pthread_t(), number) };
            let mut got = Vec::new();
            assert_eq!((code, inbox.drain(&mut got, 1)), (0, 1));
            assert_eq!(got, [expected]);
        }
    }
}
