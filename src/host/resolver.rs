//! Looks names up on threads of its own, because the system's resolver blocks its caller while a name server is silent.
//! [`Names`] decides what is looked up and remembered; this module has the threads, and the waiting for them.
//!
//! A task that waits on an executor polls the cache at growing intervals. That is enough, since a lookup takes a few
//! milliseconds or very long and connections are opened rarely; and so no waker of a task is used on another thread.

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{clock::Clock, executor};
use crate::host::names::{Counters, NameState, Names, NoAddress, Turn};
use stentor_core::model::Mono;

/// Most lookups at once. A silent name server blocks a thread for 10 s or longer.
const THREADS: usize = 4;
/// First interval at which a waiting task polls the cache; each further one is twice as long ...
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// ... and not longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(160);

type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

struct Shared {
    clock: Clock,
    lookup: Box<Lookup>,
    state: Mutex<State>,
    /// Signals that a name waits, or that a waiting name may now be looked up.
    work: Condvar,
}

struct State {
    names: Names,
    closed: bool,
}

/// Ends the threads when it is dropped with the last [`Resolver`]. A thread that waits for a name server ends when that answers.
struct Asker(Arc<Shared>);

/// Resolves names. Clones share one cache, and may be used on any thread.
#[derive(Clone)]
pub struct Resolver(Arc<Asker>);

impl Resolver {
    /// A resolver that asks the system, which may use the hosts file and name servers. To be called before executors are
    /// pinned, because its threads would inherit their CPUs.
    ///
    /// # Errors
    /// When a thread does not start.
    pub fn start(clock: Clock) -> io::Result<Self> {
        Self::with(clock, THREADS, |name| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
    }

    /// A resolver that calls `lookup`, on this many threads.
    ///
    /// # Errors
    /// When a thread does not start.
    pub fn with(
        clock: Clock,
        threads: usize,
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = Mutex::new(State { names: Names::new(threads), closed: false });
        let shared = Arc::new(Shared { clock, lookup: Box::new(lookup), state, work: Condvar::new() });
        let resolver = Self(Arc::new(Asker(Arc::clone(&shared))));
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("names-{number}")).spawn(move || shared.work())?;
        }
        Ok(resolver)
    }

    /// The current addresses of a name, or those last found if a lookup takes long. Waits until `deadline` at most; the lookup
    /// may go on after that, and its result serves later calls.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn addresses(&self, name: &str, deadline: Mono) -> Result<Vec<IpAddr>, NoAddress> {
        let shared = &self.0.0;
        let number = shared.state().names.ask(name, executor::now().mono)?;
        shared.work.notify_one();
        let mut pause = PAUSE_MIN;
        loop {
            let answer = shared.state().names.look(name, number, executor::now().mono, deadline);
            match answer {
                NameState::Addresses(addresses) => return Ok(addresses),
                NameState::None(why) => return Err(why),
                NameState::NotYet => executor::sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The counters since the start.
    pub fn counters(&self) -> Counters {
        self.0.0.state().names.counters()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resolver").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.work.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(name) = self.next() {
            let found = (self.lookup)(&name);
            let error = found.as_ref().err().map(ToString::to_string).unwrap_or_else(|| "no address".to_owned());
            let turn = self.state().names.end(&name, found.unwrap_or_default(), self.clock.mono());
            match turn {
                Turn::Same => {}
                Turn::Failed(true) => tracing::warn!(name, error, "name not found: its last good addresses are used"),
                Turn::Failed(false) => tracing::warn!(name, error, "name not found"),
                Turn::Mended => tracing::info!(name, "name found again"),
            }
            // A lookup of a suspect may have ended, so that another may begin.
            self.work.notify_all();
        }
    }

    /// Waits for the next name to look up; `None` when the resolver ends.
    fn next(&self) -> Option<String> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(name) = state.names.begin() {
                return Some(name);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::mpsc};

    use super::*;
    use crate::host::{
        executor::{Executor, Io, Running},
        watchdog::Heartbeat,
    };
    use stentor_core::mesh::CoreId;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Runs the test on each kind of executor that works here.
    fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce(Clock) -> F + Send + Clone + 'static) {
        for io in Io::here() {
            let (clock, main) = (Clock::start(), main.clone());
            let executor = Executor { io, core: CoreId(0), cpu: None, clock, heart: Heartbeat::default() };
            executor.start(move || main(clock)).and_then(Running::join).expect("executor");
        }
    }

    fn in_s(seconds: u64) -> Mono {
        executor::now().mono.after_ms(seconds * 1_000)
    }

    /// A lookup that hangs until the test lets it go, as with a silent name server.
    #[test]
    fn a_lookup_that_hangs_keeps_neither_the_executor_nor_other_names() {
        let (let_go, told) = mpsc::channel();
        let told = Arc::new(Mutex::new(told));
        run(move |clock| async move {
            let lookup = move |name: &str| {
                if name == "dead" {
                    let _ = told.lock().unwrap_or_else(PoisonError::into_inner).recv();
                }
                Ok(vec![HERE])
            };
            let resolver = Resolver::with(clock, 2, lookup).expect("threads");
            let dead = resolver.addresses("dead", executor::now().mono.after_ms(50)).await;
            assert_eq!(dead, Err(NoAddress::Slow), "the executor has turned meanwhile");
            assert_eq!(resolver.addresses("well", in_s(60)).await, Ok(vec![HERE]));
            let_go.send(()).expect("a thread waits");
            assert_eq!(resolver.addresses("dead", in_s(60)).await, Ok(vec![HERE]), "it went on");
            assert_eq!(resolver.counters(), Counters { found: 2, ..Counters::default() });
        });
    }

    #[test]
    fn the_system_knows_this_machine_and_a_thread_ends_when_no_question_can_come() {
        run(|clock| async move {
            let resolver = Resolver::start(clock).expect("threads");
            let found = resolver.addresses("localhost", in_s(60)).await.expect("it is in every hosts file");
            assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
            let shared = Arc::downgrade(&resolver.0.0);
            drop(resolver);
            while shared.strong_count() > 0 {
                executor::sleep(PAUSE_MIN).await;
            }
        });
    }
}
