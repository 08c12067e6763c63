//! Which origins hold a core's connection places, and which connection is closed when no place is left: the longest idle one of the
//! address that has most. Knows addresses and how many each has; [`Watch`] knows what a connection is doing.
//!
//! Accepting and releasing cost two look-ups in ordered maps. All connections are searched for one to close, but for many at
//! once, so that a flood costs a few looks for each connection that comes.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    rc::{Rc, Weak},
};

use super::sweeper::Watch;
use crate::host::net::Peer;

/// How many connections to close are found in one search.
const BATCH: usize = 64;

/// The unit by which places are counted: an IPv4 address, or the 64-bit prefix that an IPv6 subscriber has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(IpAddr);

impl Origin {
    /// Stands for the admin socket: no connection comes from this address.
    const LOCAL: Self = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
}

impl From<Peer> for Origin {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Remote(address) => address.ip().into(),
            Peer::Local => Self::LOCAL,
        }
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

/// The places of one core. See the head of this file.
#[derive(Debug, Default)]
pub struct Places {
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    by: BTreeMap<Origin, u32>,
    most: BTreeSet<(u32, Origin)>,
    /// The next connections to close, each with the time since which it was idle when it was found.
    leaving: VecDeque<(Weak<Watch>, u64)>,
    /// The time of the sweep at which all connections were found to be busy.
    all_busy_ms: Option<u64>,
}

impl Taken {
    fn change(&mut self, origin: Origin, change: impl FnOnce(u32) -> u32) {
        let before = self.by.get(&origin).copied().unwrap_or_default();
        let after = change(before);
        self.most.remove(&(before, origin));
        if after == 0 {
            self.by.remove(&origin);
        } else {
            self.by.insert(origin, after);
            self.most.insert((after, origin));
        }
    }
}

impl Places {
    /// Counts a new connection.
    pub fn take(&self, origin: Origin) {
        self.taken.borrow_mut().change(origin, |taken| taken + 1);
    }

    /// Counts a connection that ended.
    pub fn give_back(&self, origin: Origin) {
        self.taken.borrow_mut().change(origin, |taken| taken.saturating_sub(1));
    }

    /// Which of `watches` to close to free a place: never one with a request under way. `None` when all are busy.
    pub fn whom(&self, watches: &[Rc<Watch>], now_ms: u64) -> Option<Rc<Watch>> {
        let taken = &mut *self.taken.borrow_mut();
        if taken.all_busy_ms == Some(now_ms) {
            return None;
        }
        for found_anew in [false, true] {
            if found_anew {
                taken.leaving = longest_idle(watches, taken.most.last().map(|(_, origin)| *origin)?);
            }
            let most = taken.most.last().map_or(0, |(most, _)| *most);
            while let Some((watch, since_ms)) = taken.leaving.pop_front() {
                let Some(watch) = watch.upgrade().filter(|watch| watch.idle_since_ms() == Some(since_ms)) else {
                    continue;
                };
                let has = taken.by.get(&watch.origin()).copied().unwrap_or_default();
                if has + has / 8 >= most {
                    return Some(watch);
                }
            }
        }
        taken.all_busy_ms = Some(now_ms);
        None
    }
}

fn longest_idle(watches: &[Rc<Watch>], origin: Origin) -> VecDeque<(Weak<Watch>, u64)> {
    let own = watches.iter().filter(|watch| watch.origin() == origin);
    let mut idle: Vec<(u64, usize, &Rc<Watch>)> =
        own.enumerate().filter_map(|(at, watch)| Some((watch.idle_since_ms()?, at, watch))).collect();
    if idle.len() > BATCH {
        idle.select_nth_unstable_by_key(BATCH, |(since_ms, at, _)| (*since_ms, *at));
        idle.truncate(BATCH);
    }
    idle.sort_unstable_by_key(|(since_ms, at, _)| (*since_ms, *at));
    idle.into_iter().map(|(since_ms, _, watch)| (Rc::downgrade(watch), since_ms)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        limits::Limits,
        sweeper::{Overdue, Sweeper},
    };

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().expect("address").into()
    }

    #[test]
    fn a_subscriber_is_one_origin() {
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    /// Many from one address, few from another, one of them busy: the longest idle of the many is always closed.
    #[test]
    fn the_longest_idle_of_the_address_with_most_goes() {
        let sweeper = Sweeper::new(Limits { connections_max: 200, ..Limits::DEFAULT });
        let (many, few) = (origin("192.0.2.1"), origin("192.0.2.2"));
        let innocent: Vec<_> = (0..10).map(|_| sweeper.watch(few).expect("place")).collect();
        let crowd: Vec<_> = (0..190_u64)
            .map(|at| {
                sweeper.sweep(at);
                sweeper.watch(many).expect("place")
            })
            .collect();
        sweeper.sweep(1_000);
        crowd[0].note_request();
        let mut left = Vec::new();
        for _ in 0..170 {
            assert!(sweeper.watch(few).is_none());
            assert!(sweeper.make_place());
            let gone = crowd.iter().position(|watch| watch.overdue() == Some(Overdue::Evicted) && !watch.is_released());
            let gone = gone.expect("one of the many");
            left.push(gone);
            sweeper.release(&crowd[gone]);
            assert!(sweeper.watch(many).is_some());
        }
        assert_eq!(left, (1..=170).collect::<Vec<_>>());
        assert!(innocent.iter().all(|watch| watch.overdue().is_none()));
        assert_eq!(sweeper.counters().evicted, 170);
    }

    #[test]
    fn who_works_keeps_its_place() {
        let sweeper = Sweeper::new(Limits { connections_max: 3, ..Limits::DEFAULT });
        let all: Vec<_> = (0..3).map(|_| sweeper.watch(origin("192.0.2.1")).expect("place")).collect();
        all.iter().for_each(|watch| watch.note_request());
        all[1].note_body();
        assert!(!sweeper.make_place());
        all[2].note_answer();
        assert!(!sweeper.make_place(), "looked for once in each sweep");
        sweeper.sweep(250);
        assert!(sweeper.make_place());
        assert_eq!(all[2].overdue(), Some(Overdue::Evicted));
        assert!(!sweeper.make_place(), "one goes once");
    }
}
