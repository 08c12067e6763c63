//! Part `many`: one limit with many counters, all of them spent at once, and far more messages than it lets pass. Those
//! that wait must cost nothing, each counter must wake when it has room, and what counts on no limit must not notice.
//! Then the daemon is killed while everything is spent and unanswered; and at last the limit is raised, and every message must come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::figure::{Value, mib, quantiles_ms};
use super::super::ground::Ground;
use super::super::process::Process;
use super::super::prometheus::{IN_DOUBT, RESIDENT};
use super::super::result::ScenarioResult;
use super::carrier::Carrier;
use super::client::Client;
use super::steady::{self, Sent};
use super::{METRICS_AGE, Options, TICK, judge, shown};
use crate::smsc::arrivals::Arrived;
use crate::smsc::stats::Stats;

/// The recipient of the first message; the number of a message decides on its counter.
const FIRST: u64 = 4_915_110_000_000;
/// The first recipient of the steady flow beside the others.
const BESIDE: u64 = steady::FIRST + 1_000_000;
/// Clients that fill the queue.
const FILLERS: u64 = 4;
/// A second without an arrival: nothing wakes now.
const QUIET: Duration = Duration::from_secs(1);
/// How often a time is looked for in which nothing wakes.
const RESTS_MAX: usize = 10;
/// The limit is raised to this, for each second.
const RAISED: u64 = 1_000_000;

/// One run.
#[derive(Debug)]
struct Course<'a> {
    options: &'a Options,
    ground: &'a mut Ground,
    stentor: &'a mut Process,
    carrier: &'a mut Carrier,
    /// How often each message arrived, and how many have arrived.
    times: Vec<u8>,
    arrived: u64,
    /// Arrivals of each counter, repeated ones included.
    counted: Vec<u64>,
    seen: Seen,
}

/// What was measured on the way.
#[derive(Debug, Default)]
struct Seen {
    /// Shares of a core that the daemon used while nothing happened: without messages, and while they wait.
    empty: f64,
    waiting: f64,
    resident: f64,
    filled_s: f64,
    parked: u64,
    /// Accepted messages that had not arrived when the parked ones were counted.
    left: u64,
    used: u64,
    ready_s: f64,
    parked_again: u64,
    /// Arrivals before the kill, and before the limit was raised.
    before_kill: usize,
    before_raise: usize,
    drained_per_s: f64,
    in_doubt: f64,
}

/// Plays the part, and adds what it shows to the result.
pub(super) fn play(options: &Options, result: &mut ScenarioResult) -> Result<(), String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(2)?;
    ground.set("DEFAULTS__IN_DOUBT_WAIT", "1s");
    let limit = format!("\n[[limit]]\nname = \"campaigns\"\nper = \"tag\"\nof = \"messages\"\n{}\n", options.rate());
    ground.change_config(|config| config + &limit)?;
    let mut carrier = Carrier::start(&ground)?;
    let (mut stentor, _) = ground.start_stentor()?;
    let mut course = Course {
        options,
        ground: &mut ground,
        stentor: &mut stentor,
        carrier: &mut carrier,
        times: vec![0; options.messages as usize],
        arrived: 0,
        counted: vec![0; options.counters as usize],
        seen: Seen::default(),
    };
    course.seen.empty = course.rest()?;
    let time = Duration::from_secs(options.idle);
    let alone = steady::send_for(&mut Client::new(course.ground, 1, "alone"), steady::FIRST, time)?;
    course.fill()?;
    course.look_at_what_waits()?;
    let beside = course.watch_them_wake()?;
    course.kill_and_wait()?;
    course.drain()?;
    course.tell(result, &alone, &beside);
    course.judge(result);
    Ok(())
}

impl Options {
    /// The line of the configuration with the rate of each counter.
    fn rate(&self) -> String {
        format!("rate = \"{} per {}s\"", self.amount, self.every)
    }

    fn span_us(&self) -> u64 {
        self.every * 1_000_000
    }
}

/// The messages of some numbers as JSON.
fn lines(options: &Options, numbers: std::ops::Range<u64>) -> Vec<String> {
    let line = |number: u64| {
        let (to, tag, length) = (FIRST + number, number % options.counters, options.ground.length);
        format!("{{\"to\":\"+{to}\",\"body\":\"{number:.<length$}\",\"class\":\"marketing\",\"tags\":[\"c{tag}\"]}}")
    };
    numbers.map(line).collect()
}

impl Course<'_> {
    /// Sends all messages over several connections at once.
    fn fill(&mut self) -> Result<(), String> {
        let (options, batch) = (self.options, self.options.ground.batch());
        let begun = Instant::now();
        let fill = |mut client: Client, own: u64| {
            for first in (0..options.messages).step_by(batch as usize).skip(own as usize).step_by(FILLERS as usize) {
                let answer = client.send(&lines(options, first..(first + batch).min(options.messages)))?;
                if !answer.refused.is_empty() {
                    return Err(format!("messages that may wait were refused: {} of {batch}", answer.refused.len()));
                }
            }
            Ok::<_, String>(())
        };
        thread::scope(|scope| {
            let start = |own| {
                let client = Client::new(self.ground, 0, &format!("fill-{own}"));
                scope.spawn(move || fill(client, own))
            };
            let fillers: Vec<_> = (0..FILLERS).map(start).collect();
            fillers.into_iter().try_for_each(|one| one.join().map_err(|_| "a filler panicked".to_owned())?)
        })?;
        self.seen.filled_s = begun.elapsed().as_secs_f64();
        self.stentor.check_alive()
    }

    /// Takes in what has arrived; gives how much of that is not of the steady flow.
    fn count_arrivals(&mut self) -> Result<u64, String> {
        let before: u64 = self.counted.iter().sum();
        for Arrived { to, .. } in self.carrier.look()? {
            let number = to.wrapping_sub(FIRST);
            let Some(times) = usize::try_from(number).ok().and_then(|number| self.times.get_mut(number)) else {
                continue;
            };
            self.arrived += u64::from(*times == 0);
            *times = times.saturating_add(1);
            self.counted[(number % self.options.counters) as usize] += 1;
        }
        Ok(self.counted.iter().sum::<u64>() - before)
    }

    /// The daemon's CPU time, as a share of one core, over some seconds in which nothing wakes.
    fn rest(&mut self) -> Result<f64, String> {
        for _ in 0..RESTS_MAX {
            self.wait_for_quiet(QUIET)?;
            let (begun, before) = (Instant::now(), self.stentor.usage().cpu_s);
            thread::sleep(Duration::from_secs(self.options.idle));
            let (seconds, after) = (begun.elapsed().as_secs_f64(), self.stentor.usage().cpu_s);
            self.stentor.check_alive()?;
            if self.count_arrivals()? == 0 {
                return Ok((after - before) / seconds.max(1e-3));
            }
        }
        Err("there is no time in which nothing wakes: the counters' time is too short".to_owned())
    }

    /// Until nothing has arrived for so long.
    fn wait_for_quiet(&mut self, time: Duration) -> Result<(), String> {
        let (begun, mut quiet) = (Instant::now(), Instant::now());
        while quiet.elapsed() < time && begun.elapsed() < self.patience() {
            if self.count_arrivals()? > 0 {
                quiet = Instant::now();
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// While nothing wakes: memory and CPU time, and what the daemon says of its limit.
    fn look_at_what_waits(&mut self) -> Result<(), String> {
        self.seen.waiting = self.rest()?;
        let shown = shown(self.ground)?;
        self.count_arrivals()?;
        self.seen.left = self.options.messages - self.arrived;
        self.seen.parked = shown.limits.iter().map(|counter| counter.parked).sum();
        self.seen.used = shown.limits.iter().map(|counter| counter.used).max().unwrap_or(0);
        self.seen.resident = self.ground.metrics().sum(RESIDENT).unwrap_or(0.0);
        Ok(())
    }

    /// Counters wake, while messages that count on none are sent; gives those.
    fn watch_them_wake(&mut self) -> Result<Sent, String> {
        let mut client = Client::new(self.ground, 1, "steady");
        let is_over = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| steady::send(&mut client, BESIDE, &is_over));
            let woke = self.wait_for_rounds(self.options.wakes);
            is_over.store(true, Ordering::Relaxed);
            let sent = sender.join().map_err(|_| "the steady sender panicked".to_owned());
            woke.and(sent?)
        })?;
        self.wait_for("the steady flow", |course| sent.arrived(course.carrier.arrived()).0 == sent.count())?;
        Ok(sent)
    }

    /// Until each counter has let its amount pass so often from now on.
    fn wait_for_rounds(&mut self, rounds: u64) -> Result<(), String> {
        self.count_arrivals()?;
        let (more, most) = (self.options.amount * rounds, self.options.messages / self.options.counters);
        let wanted: Vec<u64> = self.counted.iter().map(|counted| (counted + more).min(most)).collect();
        self.wait_for("the counters", |course| {
            course.counted.iter().zip(&wanted).all(|(counted, wanted)| counted >= wanted)
        })
    }

    fn patience(&self) -> Duration {
        self.ground.stall() + Duration::from_secs(self.options.every)
    }

    /// Waits; gives up when nothing has arrived for longer than the limit would explain.
    fn wait_for(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mut moved = Instant::now();
        loop {
            if self.count_arrivals()? > 0 {
                moved = Instant::now();
            }
            if is_so(self) {
                return Ok(());
            }
            self.stentor.check_alive()?;
            if moved.elapsed() > self.patience() {
                let [least, most] = [self.counted.iter().min(), self.counted.iter().max()];
                return Err(format!("waiting for {what}: nothing moves; counters have {least:?} to {most:?}"));
            }
            thread::sleep(TICK);
        }
    }

    /// The daemon is killed when every counter is spent, and when what they let pass is not answered yet; then they wake
    /// once more.
    fn kill_and_wait(&mut self) -> Result<(), String> {
        self.count_arrivals()?;
        self.seen.before_kill = self.carrier.arrived().len();
        self.hold_up()?;
        self.carrier.answer_late(true)?;
        self.wait_for_rounds(1)?;
        self.seen.ready_s = super::kill_and_start(self.ground, self.stentor)?;
        self.carrier.answer_late(false)?;
        self.wait_for_rounds(1)?;
        self.seen.parked_again = shown(self.ground)?.limits.iter().map(|counter| counter.parked).sum();
        Ok(())
    }

    /// The daemon's process is stopped in the middle of every second wake, for nearly half of the span. What it had decided to
    /// send leaves late, and must count from then.
    fn hold_up(&mut self) -> Result<(), String> {
        for round in 0..2 * self.options.stops {
            self.wait_for_quiet(3 * TICK)?;
            let begun = Instant::now();
            while self.count_arrivals()? == 0 && begun.elapsed() < self.patience() {
                thread::sleep(Duration::from_millis(1));
            }
            if round % 2 == 0 {
                thread::sleep(Duration::from_millis(round % 20));
                self.stentor.signal(Signal::STOP);
                thread::sleep(Duration::from_millis(self.options.every * 450));
                self.stentor.signal(Signal::CONT);
            }
        }
        Ok(())
    }

    /// The limit is raised, and everything goes.
    fn drain(&mut self) -> Result<(), String> {
        self.count_arrivals()?;
        self.seen.before_raise = self.carrier.arrived().len();
        let left = self.options.messages - self.arrived;
        let (rate, begun) = (self.options.rate(), Instant::now());
        super::reload(self.ground, self.stentor, |config| config.replace(&rate, &format!("rate = \"{RAISED}/s\"")))?;
        let all = self.options.messages;
        self.wait_for("all messages", |course| course.arrived >= all)?;
        self.seen.drained_per_s = left as f64 / begun.elapsed().as_secs_f64().max(1e-3);
        let is_done = |stats: &Stats| stats.receipts.acknowledged >= stats.receipts.planned;
        self.ground.watch(&mut self.carrier.smsc, "the receipts", is_done)?;
        thread::sleep(METRICS_AGE);
        self.count_arrivals()?;
        self.seen.in_doubt = self.ground.metrics().sum(IN_DOUBT).unwrap_or(0.0);
        self.stentor.check_alive()
    }

    /// Arrivals of each counter, from one number of an arrival up to another.
    fn of_counters(&self, numbers: std::ops::Range<usize>) -> Vec<Vec<Arrived>> {
        let mut counters = vec![Vec::new(); self.options.counters as usize];
        for one in &self.carrier.arrived()[numbers] {
            let number = one.to.wrapping_sub(FIRST);
            if number < self.options.messages {
                counters[(number % self.options.counters) as usize].push(*one);
            }
        }
        counters
    }

    fn tell(&self, result: &mut ScenarioResult, alone: &Sent, beside: &Sent) {
        let (seen, options) = (&self.seen, self.options);
        let percent = |share: f64| format!("{:.2} % of a core", share * 100.0);
        result.figure("many: messages", options.messages);
        result.figure("many: accepted/s", Value::per_second(options.messages as f64 / seen.filled_s.max(1e-3)));
        result.figure("many: they wait for a limit", format!("{}, {} counters", options.rate(), options.counters));
        result.figure("many: CPU of the idle daemon, empty", percent(seen.empty));
        result.figure("many: the same while they wait", percent(seen.waiting));
        result.figure("many: RSS while they wait", mib(seen.resident as u64));
        let (alone_arrived, alone_us) = alone.arrived(self.carrier.arrived());
        let (beside_arrived, beside_us) = beside.arrived(self.carrier.arrived());
        result.figure("many: without a limit, alone, offered to submit p50/p99/p99.9/max", quantiles_ms(&alone_us));
        result.figure("many: the same while others wait and wake p50/p99/p99.9/max", quantiles_ms(&beside_us));
        result.figure("many: ready again after the kill", Value::seconds(seen.ready_s));
        result.figure("many: parked before and after the kill", format!("{}, {}", seen.parked, seen.parked_again));
        result.figure("many: delivered/s once the limit is raised", Value::per_second(seen.drained_per_s));
        result.figure("many: RSS, most", mib(self.stentor.usage().rss_peak));
        let whole = (alone_arrived, beside_arrived) == (alone.count(), beside.count());
        result.claim("many: every message without a limit arrived while others waited", whole);
    }

    fn judge(&self, result: &mut ScenarioResult) {
        let (seen, options, span_us) = (&self.seen, self.options, self.options.span_us());
        let counters = self.of_counters(0..seen.before_raise);
        let proven = counters.iter().map(|own| judge::most_proven(own, span_us)).max().unwrap_or(0);
        let by_reader = counters.iter().map(|own| judge::most_seen(own, span_us)).max().unwrap_or(0);
        let (amount, every) = (options.amount, options.every);
        result.figure("many: the fullest span", format!("{proven} of {amount} ({by_reader} by the reader's clock)"));
        let woke = self.of_counters(0..seen.before_kill);
        let late: Vec<u64> = woke.iter().flat_map(|own| judge::lateness(own, amount, span_us)).collect();
        result.figure("many: times that a counter woke", late.len());
        let late = judge::quantiles(late);
        result.figure("many: from room to the next message on the wire p50/p99/p99.9/max", quantiles_ms(&late));
        let twice = self.times.iter().filter(|times| **times > 1).count();
        result.figure("many: messages in doubt, of them sent twice", format!("{}, {twice}", seen.in_doubt));

        let claim = format!("many: no {every} s held more than {amount} of a counter, also over the kill");
        result.claim(claim, proven <= amount);
        let claim = format!("many: all that had not arrived was shown as parked: {} of {}", seen.parked, seen.left);
        result.claim(claim, seen.parked == seen.left && seen.left > 0);
        let claim = format!("many: no counter was shown with more than {amount} used: {}", seen.used);
        result.claim(claim, seen.used <= amount);
        result.claim("many: every message arrived", self.times.iter().all(|times| *times > 0));
        result.claim("many: no more came twice than were in doubt", twice as f64 <= seen.in_doubt);
        if !options.untimed {
            let most = options.idle_percent;
            let claim = format!("many: while they wait the idle daemon uses less than {most} % of a core more");
            result.claim(claim, (seen.waiting - seen.empty) * 100.0 < most);
            let most_ms = options.wake_ms;
            let claim = format!("many: a counter wakes within {most_ms} ms (p99) of having room");
            result.claim(claim, late.p99 <= most_ms * 1_000);
        }
    }
}
