//! Visits every host of every carrier at once, in threads and all within one time limit, however many hang.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::binding::{self, Login};
use super::finding::{Finding, State};
use super::visit::{Lookups, Secured, Seen, Target, Trouble, visit};
use crate::config::{Carrier, Host};
use crate::runtime::certificates::{self, DAY_S, SOON_DAYS};
use crate::runtime::tls;

/// Most hosts visited at once.
const THREADS_MAX: usize = 64;
/// Time limit for all visits together.
const TIME: Duration = Duration::from_secs(60);
/// Extra time for a visit that reaches the limit to report that.
const GRACE: Duration = Duration::from_secs(2);

/// The result of a visit.
type Visited = Result<Seen, Trouble>;

/// One finding for each host. `with_bind`: also bind with the account.
pub(super) fn looks(carriers: &[Carrier], with_bind: bool) -> Vec<Finding> {
    let targets = carriers.iter().flat_map(|carrier| targets(carrier, with_bind)).collect();
    let mut visited = visit_all(targets, TIME).into_iter();
    let now_s = certificates::now_s();
    let judged = |carrier: &Carrier| {
        let of_it: Vec<_> = visited.by_ref().take(carrier.hosts.len()).collect();
        judge(&carrier.name, &carrier.hosts, &of_it, now_s)
    };
    carriers.iter().flat_map(judged).collect()
}

fn targets(carrier: &Carrier, with_bind: bool) -> Vec<Target> {
    let tls = carrier.tls.as_ref().map(tls::client);
    let target = |host: &Host| Target {
        host: host.host.clone(),
        port: host.port,
        source_ip: carrier.source_ip,
        tls: tls.clone(),
        account: with_bind.then(|| Login::of(carrier)),
    };
    carrier.hosts.iter().map(target).collect()
}

/// Results in the order of the targets.
fn visit_all(targets: Vec<Target>, time: Duration) -> Vec<Visited> {
    let end = Instant::now() + time;
    let mut visited: Vec<Visited> = targets.iter().map(|_| Err(Trouble::NoTime)).collect();
    let threads = targets.len().min(THREADS_MAX);
    let queue = Arc::new(Mutex::new(targets.into_iter().enumerate()));
    let lookups = Lookups::default();
    let (tell, told) = mpsc::channel();
    for number in 0..threads {
        let (queue, lookups, tell) = (Arc::clone(&queue), lookups.clone(), tell.clone());
        let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        // If a thread does not start, the others visit its hosts.
        let _ = thread::Builder::new().name(format!("host-{number}")).spawn(move || {
            while let Some((at, target)) = next() {
                let _ = tell.send((at, visit(&target, &lookups, end)));
            }
        });
    }
    drop(tell);
    let left = || (end + GRACE).saturating_duration_since(Instant::now());
    while let Ok((at, seen)) = told.recv_timeout(left()) {
        if let Some(place) = visited.get_mut(at) {
            *place = seen;
        }
    }
    visited
}

/// If one host of a carrier can be reached, the failure of another is only a warning.
fn judge(carrier: &str, hosts: &[Host], visited: &[Visited], now_s: i64) -> Vec<Finding> {
    let goes_on = visited.iter().any(Result::is_ok);
    let lines = hosts.iter().zip(visited).map(|(host, visited)| {
        let check = format!("carrier.{carrier} {host}");
        match visited {
            Ok(seen) => of_seen(check, seen, now_s),
            Err(trouble) if goes_on => {
                let what = format!("{trouble} (another host of this carrier can be reached)");
                Finding::warn(check, what, trouble.advice())
            }
            Err(trouble) => Finding::fail(check, trouble.to_string(), trouble.advice()),
        }
    });
    lines.collect()
}

fn of_seen(check: String, seen: &Seen, now_s: i64) -> Finding {
    let Seen { address, took, tls, bound } = seen;
    let mut what = format!("{address} answered after {:.1} ms", took.as_secs_f64() * 1_000.0);
    let mut ends_soon = false;
    if let Some(Secured { version, ends_s }) = tls {
        what.push_str(&format!(", {version}"));
        if let Some(ends_s) = *ends_s {
            ends_soon = ends_s - now_s <= SOON_DAYS * DAY_S;
            let verb = if ends_s <= now_s { "has ended" } else { "until" };
            what.push_str(&format!(", certificate {verb} {}", certificates::moment(ends_s)));
        }
    }
    for (mode, name) in bound {
        let by = if name.is_empty() { String::new() } else { format!(" by {name}") };
        what.push_str(&format!(", bound as {}{by} and unbound", binding::name(*mode)));
    }
    let state = if ends_soon { State::Warn } else { State::Ok };
    let advice = if ends_soon {
        "ask the carrier for its next certificate; a `pin` of this one must change with it"
    } else {
        ""
    };
    Finding { check, state, what, advice: advice.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_smpp::pdu::BindMode;

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| Host { host: (*name).to_owned(), port: 2775 }).collect()
    }

    fn seen(ends_s: Option<i64>) -> Seen {
        Seen {
            address: "192.0.2.1:2775".parse().expect("an address"),
            took: Duration::from_micros(12_340),
            tls: ends_s.map(|ends_s| Secured { version: "TLS 1.3", ends_s: Some(ends_s) }),
            bound: Vec::new(),
        }
    }

    #[test]
    fn a_host_that_fails_is_a_failure_unless_another_serves() {
        let refused = || Err(Trouble::Connect("192.0.2.2:2775: refused".to_owned()));
        let found = judge("n", &hosts(&["a", "b"]), &[Ok(seen(None)), refused()], 0);
        assert_eq!(found[0], Finding::ok("carrier.n a:2775", "192.0.2.1:2775 answered after 12.3 ms"));
        assert_eq!((found[1].state, found[1].check.as_str()), (State::Warn, "carrier.n b:2775"));
        let found = judge("n", &hosts(&["a", "b"]), &[refused(), Err(Trouble::HungUp)], 0);
        assert!(found.iter().all(|finding| finding.state == State::Fail && !finding.advice.is_empty()), "{found:?}");
    }

    #[test]
    fn a_certificate_is_told_with_its_end_and_warned_of_before_it() {
        let end_s = 1_924_992_000;
        let told = |now_s| of_seen(String::new(), &seen(Some(end_s)), now_s);
        let well = told(end_s - 15 * DAY_S);
        assert_eq!((well.state, well.advice.as_str()), (State::Ok, ""));
        assert!(well.what.ends_with(", TLS 1.3, certificate until 2031-01-01T00:00:00.000Z"), "{well:?}");
        let soon = told(end_s - 14 * DAY_S);
        assert!(soon.state == State::Warn && soon.advice.contains("`pin`"), "{soon:?}");
        let ended = told(end_s);
        assert!(ended.state == State::Warn && ended.what.contains("has ended 2031-01-01"), "{ended:?}");
    }

    #[test]
    fn binds_are_told_one_by_one() {
        let bound = vec![(BindMode::Transmitter, "SMSC".to_owned()), (BindMode::Receiver, String::new())];
        let told = of_seen(String::new(), &Seen { bound, ..seen(None) }, 0);
        let says = ", bound as transmitter by SMSC and unbound, bound as receiver and unbound";
        assert!(told.what.ends_with(says), "{told:?}");
    }

    #[test]
    fn more_hosts_than_threads_are_all_visited_and_none_when_the_time_is_over() {
        let target = Target {
            host: "127.0.0.1".to_owned(),
            port: 1,
            source_ip: None,
            tls: Some(Err("no such file".to_owned())),
            account: None,
        };
        let targets = vec![target; THREADS_MAX * 2 + 3];
        let visited = visit_all(targets.clone(), Duration::from_secs(60));
        assert_eq!(visited.len(), targets.len());
        assert!(visited.iter().all(|visited| matches!(visited, Err(Trouble::Connect(_)))), "{visited:?}");
        let late = visit_all(targets, Duration::ZERO);
        assert!(late.iter().all(|visited| *visited == Err(Trouble::NoTime)), "{late:?}");
    }
}
