//! Both kinds of executors behave as this module promises.

use std::rc::Rc;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::*;
use stentor_core::mesh::{mailbox, thread_mailbox};

fn executor(io: Io) -> Executor {
    Executor { io, core: CoreId(3), cpu: None, clock: Clock::start(), heart: Heartbeat::default() }
}

/// Runs the test on each kind of executor that works here.
fn run<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + Copy + 'static) {
    for io in Io::here() {
        executor(io).start(main).and_then(Running::join).expect("executor");
    }
}

#[test]
fn sleeps_end_in_order_and_never_early() {
    run(|| async {
        let order = Rc::new(RefCell::new(Vec::new()));
        for ms in [40_u64, 5, 20] {
            let (order, until) = (Rc::clone(&order), now().mono.after_ms(ms));
            spawn(OnPanic::Abort, "sleeper", async move {
                sleep_until(until).await;
                assert!(now().mono >= until);
                order.borrow_mut().push(ms);
            });
        }
        let dropped = sleep(Duration::from_secs(3600));
        let until = now().mono.after_ms(60);
        futures_lite::future::or(dropped, sleep_until(until)).await;
        assert_eq!(*order.borrow(), [5, 20, 40]);
        assert!(local(|local| local.timers.borrow().is_empty()));
    });
}

#[test]
fn a_surviving_task_may_panic() {
    run(|| async {
        spawn(OnPanic::Survive, "clumsy", async { panic!("on purpose") });
        spawn(OnPanic::Survive, "clumsy later", async {
            yield_now().await;
            panic!("on purpose")
        });
        while panics_survived() < 2 {
            yield_now().await;
        }
        assert_eq!(core(), CoreId(3));
    });
}

#[test]
fn an_impossible_cpu_is_an_error() {
    for io in Io::here() {
        for cpu in [1_000, 100_000] {
            let started = Executor { cpu: Some(cpu), ..executor(io) }.start(|| async {});
            assert!(started.is_err(), "{io:?}");
        }
    }
}

#[test]
fn an_executor_is_watched_from_when_it_first_waits_until_it_ends() {
    for io in Io::here() {
        let (turned, heart) = (Arc::new(AtomicU32::new(0)), Heartbeat::default());
        let (seen, beating) = (Arc::clone(&turned), heart.clone());
        let main = move || async move {
            assert_eq!(beating.last(), None, "what it does before it waits is not watched");
            while beating.last().is_none() {
                sleep(Duration::from_millis(1)).await;
            }
            seen.fetch_add(1, Ordering::SeqCst);
        };
        Executor { heart: heart.clone(), ..executor(io) }.start(main).and_then(Running::join).expect("executor");
        assert_eq!((turned.load(Ordering::SeqCst), heart.last()), (1, None));
    }
}

/// Executor → executor → thread, one item in flight: each round needs three wake-ups across threads.
#[test]
fn mailboxes_wake_tasks_on_other_executors() {
    const ROUNDS: u32 = 2_000;
    for io in Io::here() {
        let ((first, mut first_in), (second, mut second_in)) = (mailbox(1), mailbox(1));
        let (back, mut back_in) = thread_mailbox(1);
        let forward = executor(io).start(move || async move {
            let mut got = Vec::new();
            while first_in.drain(&mut got, 1).await > 0 {
                got.drain(..).for_each(|item| assert_eq!(second.try_push(item), Ok(())));
            }
        });
        let reply = executor(io).start(move || async move {
            let mut got = Vec::new();
            while second_in.drain(&mut got, 1).await > 0 {
                got.drain(..).for_each(|item| assert_eq!(back.try_push(item), Ok(())));
            }
        });
        let mut got = Vec::new();
        for round in 0..ROUNDS {
            assert_eq!(first.try_push(round), Ok(()));
            assert_eq!((back_in.drain(&mut got, 1), got.pop()), (1, Some(round)));
        }
        drop(first);
        forward.and_then(Running::join).expect("forward");
        reply.and_then(Running::join).expect("reply");
    }
}

#[test]
fn a_task_is_polled_first_where_it_is_spawned_and_again_behind_those_that_are_ready() {
    run(|| async {
        let told = Rc::new(RefCell::new(Vec::new()));
        for name in ["a", "b"] {
            let told = Rc::clone(&told);
            spawn(OnPanic::Abort, name, async move {
                for turn in 0..3 {
                    told.borrow_mut().push((name, turn));
                    yield_now().await;
                }
            });
            yield_now().await;
        }
        while told.borrow().len() < 6 {
            yield_now().await;
        }
        assert_eq!(*told.borrow(), [("a", 0), ("a", 1), ("b", 0), ("a", 2), ("b", 1), ("b", 2)]);
    });
}

/// Precise sleeps use a kernel timer and not the heartbeat, with which each of these many short sleeps would last 10 ms. The
/// test only asserts that none ends early.
#[test]
fn precise_sleeps_end_in_order_never_early_and_leave_nothing_behind() {
    run(|| async {
        for us in [1_500, 300, 0] {
            let until = now().mono.after_ns(us * 1_000);
            sleep_until_precisely(until).await;
            assert!(now().mono >= until);
        }
        let order = Rc::new(RefCell::new(Vec::new()));
        let began = now().mono;
        for ms in [9_u64, 3, 6] {
            let order = Rc::clone(&order);
            spawn(OnPanic::Abort, "precise", async move {
                sleep_until_precisely(began.after_ms(ms)).await;
                order.borrow_mut().push(ms);
            });
        }
        let dropped = sleep_until_precisely(began.after_ms(3_600_000));
        futures_lite::future::or(dropped, sleep_until_precisely(began.after_ms(12))).await;
        sleep_until(began.after_ms(13)).await;
        assert_eq!(*order.borrow(), [3, 6, 9]);
        if io() == Io::Epoll {
            let beat = now().mono.after_ns(HEARTBEAT.as_nanos() as u64);
            assert!(
                reactor().timers().borrow().first().is_none_or(|first| first <= beat),
                "only the heartbeat is left"
            );
        }
    });
}

/// A task that waits without a timer is woken by another thread at once; otherwise each of these rounds would last a heartbeat.
#[test]
fn a_thread_wakes_a_task_that_sleeps_or_is_about_to() {
    for io in Io::here() {
        let (to, mut inbox) = mailbox::<u32>(1);
        let (back, mut back_in) = thread_mailbox(1);
        let running = executor(io).start(move || async move {
            let mut got = Vec::new();
            while inbox.drain(&mut got, 1).await > 0 {
                got.drain(..).for_each(|item| assert_eq!(back.try_push(item), Ok(())));
            }
        });
        let mut got = Vec::new();
        for round in 0..500 {
            // Depending on the round, the executor has fallen asleep by now or not.
            std::thread::sleep(Duration::from_micros(u64::from(round % 50) * 10));
            assert_eq!(to.try_push(round), Ok(()));
            assert_eq!((back_in.drain(&mut got, 1), got.pop()), (1, Some(round)));
        }
        drop(to);
        running.and_then(Running::join).expect("executor");
    }
}

/// The contents of a task are dropped on the executor's own thread, even if other threads wake the task at that moment.
#[test]
fn tasks_that_are_left_are_dropped_with_their_executor() {
    struct Held(Arc<AtomicU32>, std::thread::ThreadId);
    impl Drop for Held {
        fn drop(&mut self) {
            assert_eq!(std::thread::current().id(), self.1);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    const TASKS: u32 = 100;
    let dropped = Arc::new(AtomicU32::new(0));
    let wakers = Arc::new(std::sync::Mutex::new(Vec::<Waker>::new()));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let waking = std::thread::spawn({
        let (wakers, is_over) = (Arc::clone(&wakers), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::SeqCst) {
                let wakers = wakers.lock().expect("not poisoned").clone();
                wakers.iter().for_each(Waker::wake_by_ref);
            }
        }
    });
    let (held, kept) = (Arc::clone(&dropped), Arc::clone(&wakers));
    let main = move || async move {
        for _ in 0..TASKS {
            let (held, kept) = (Held(Arc::clone(&held), std::thread::current().id()), Arc::clone(&kept));
            spawn(OnPanic::Abort, "left", async move {
                let _held = held;
                std::future::poll_fn(|context| {
                    let mut kept = kept.lock().expect("not poisoned");
                    if kept.len() < TASKS as usize {
                        kept.push(context.waker().clone());
                    }
                    Poll::<()>::Pending
                })
                .await;
            });
        }
        sleep(Duration::from_millis(20)).await;
    };
    executor(Io::Epoll).start(main).and_then(Running::join).expect("executor");
    assert_eq!(dropped.load(Ordering::SeqCst), TASKS);
    is_over.store(true, Ordering::SeqCst);
    waking.join().expect("a thread");
    // Waking tasks of an executor that has ended does nothing.
    wakers.lock().expect("not poisoned").drain(..).for_each(Waker::wake);
}
