//! The mailbox under threads: nothing is lost, nothing comes twice, order is kept, every sleeper is woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use super::*;

#[derive(Debug, Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_full_mailbox_hands_the_item_back() {
    let (sender, mut inbox) = mailbox(2);
    assert_eq!([sender.try_push(1), sender.try_push(2), sender.try_push(3)], [Ok(()), Ok(()), Err(Full(3))]);
    let mut got = Vec::new();
    assert_eq!(inbox.try_drain(&mut got, 1), 1);
    assert_eq!(sender.try_push(4), Ok(()));
    assert_eq!(inbox.try_drain(&mut got, 9), 2);
    assert_eq!(got, [1, 2, 4]);
}

#[test]
fn a_reservation_holds_its_place_until_it_is_filled_or_dropped() {
    let (sender, mut inbox) = mailbox(2);
    let first = sender.try_reserve().expect("a place");
    let second = sender.try_reserve().expect("a place");
    assert_eq!(sender.try_push('x'), Err(Full('x')));
    drop(second);
    assert_eq!(sender.try_push('y'), Ok(()));
    first.push('z');
    assert_eq!(sender.taken(), 2);
    let mut got = Vec::new();
    inbox.try_drain(&mut got, 9);
    assert_eq!((got, sender.taken()), (vec!['y', 'z'], 0));
}

#[test]
fn many_pushes_wake_a_sleeping_task_once() {
    let (sender, mut inbox) = mailbox(8);
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut got = Vec::new();
    assert!(inbox.poll_drain(&mut Context::from_waker(&waker), &mut got, 8).is_pending());
    for item in 0..5 {
        assert_eq!(sender.try_push(item), Ok(()));
    }
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(inbox.poll_drain(&mut Context::from_waker(&waker), &mut got, 8), Poll::Ready(5));
    assert_eq!(sender.try_push(5), Ok(()));
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "an awake consumer is not woken");
}

#[test]
fn the_end_comes_after_the_last_item() {
    let (sender, mut inbox) = thread_mailbox(4);
    let other = sender.clone();
    drop(sender);
    assert_eq!(inbox.drain_for(&mut Vec::<u8>::new(), 4, Duration::ZERO), None);
    let last = thread::spawn(move || other.try_push(7));
    let mut got = Vec::new();
    assert_eq!((inbox.drain(&mut got, 4), inbox.drain(&mut got, 4)), (1, 0));
    assert_eq!((got, last.join().ok()), (vec![7], Some(Ok(()))));
}

/// Tiny capacity and single-item drains make both sides sleep and wake as often as possible; a lost wake-up hangs.
#[test]
fn nothing_is_lost_between_many_producers_and_a_sleeping_consumer() {
    const PRODUCERS: usize = 4;
    const ITEMS: usize = 20_000;
    let (sender, mut inbox) = thread_mailbox(3);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let sender = sender.clone();
            thread::spawn(move || {
                for item in 0..ITEMS {
                    let mut next = Some((producer, item));
                    while let Some(push) = next.take() {
                        if let Err(Full(back)) = sender.try_push(push) {
                            next = Some(back);
                            thread::yield_now();
                        }
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let (mut expected, mut got) = ([0_usize; PRODUCERS], Vec::new());
    while inbox.drain(&mut got, 2) > 0 {
        for (producer, item) in got.drain(..) {
            assert_eq!(item, expected[producer], "order of one producer");
            expected[producer] += 1;
        }
    }
    assert_eq!(expected, [ITEMS; PRODUCERS]);
    assert!(producers.into_iter().all(|producer| producer.join().is_ok()));
}

/// One item in flight at a time: each of the rounds needs a wake-up of its own on both sides.
#[test]
fn two_sleepers_wake_each_other_every_round() {
    const ROUNDS: u32 = 20_000;
    let ((ping, mut pings), (pong, mut pongs)) = (thread_mailbox(1), thread_mailbox(1));
    let echo = thread::spawn(move || {
        let mut got = Vec::new();
        while pings.drain(&mut got, 1) > 0 {
            for item in got.drain(..) {
                assert_eq!(pong.try_push(item), Ok(()));
            }
        }
    });
    let mut got = Vec::new();
    for round in 0..ROUNDS {
        assert_eq!(ping.try_push(round), Ok(()));
        assert_eq!(pongs.drain(&mut got, 1), 1);
        assert_eq!(got.pop(), Some(round));
    }
    drop(ping);
    assert!(echo.join().is_ok());
}
