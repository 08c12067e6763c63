//! Parts `kinds` and `restart`: messages that keep limits of every kind busy, some of them several at once; beside them
//! a steady flow that counts on none. In part `restart` the daemon is killed again and again meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stentor_core::model::{Period, Wall};

use super::super::figure::{Value, quantiles_ms};
use super::super::ground::Ground;
use super::super::process::Process;
use super::super::prometheus::IN_DOUBT;
use super::super::result::ScenarioResult;
use super::carrier::Carrier;
use super::client::Client;
use super::plan::{Counter, Letter, Limit, MONTH, Plan, REFUSED};
use super::steady::{self, Sent};
use super::{METRICS_AGE, Options, judge, shown};
use crate::smsc::arrivals::Arrived;
use crate::smsc::stats::{Quantiles, Stats};

/// Messages of one request.
const BATCH: usize = 100;
const OFFERED_AT_ONCE: usize = 10;
const TICK: Duration = Duration::from_millis(500);
/// More shards than this scenario's daemon has.
const SHARDS_MAX: u64 = 8;
/// The first recipient of the steady flow beside the others.
const BESIDE: u64 = steady::FIRST + 1_000_000;
/// The month's limit is raised to this.
const RAISED: u64 = 1_000_000;
/// Longer spans must be used by `--used-min`.
const LONG_S: u64 = 10;
/// Milliseconds by which the p99 of messages without a limit may be higher while others wait.
const BESIDE_MS: u64 = 20;

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    /// Answers that refused something without saying when to come again.
    untold: u64,
    refused: Vec<u64>,
    /// Most messages that waited for the limit that refuses.
    refusing_parked: u64,
    /// Limits that were shown with more used than allowed.
    beyond: Vec<String>,
    looks: u64,
    in_doubt: f64,
    ready_s: Vec<f64>,
}

/// One run.
#[derive(Debug)]
struct Course<'a> {
    options: &'a Options,
    plan: &'a Plan,
    kills: u64,
    ground: &'a mut Ground,
    stentor: &'a mut Process,
    carrier: &'a mut Carrier,
    /// Messages by recipient, and how many parts of each have arrived.
    accepted: HashMap<u64, (&'a Letter, u64)>,
    seen: Seen,
}

/// Plays the part, and adds what it shows to the result.
pub(super) fn play(options: &Options, result: &mut ScenarioResult, kills: u64) -> Result<(), String> {
    let plan = Plan::new(options);
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(2)?;
    ground.set("DEFAULTS__IN_DOUBT_WAIT", "1s");
    ground.change_config(|config| config + &plan.tables())?;
    let mut carrier = Carrier::start(&ground)?;
    let (mut stentor, _) = ground.start_stentor()?;
    if kills > 0 {
        // So that many attempts are under way at each kill.
        carrier.answer_late(true)?;
    }
    let time = Duration::from_secs(options.seconds.div_ceil(6));
    let alone = steady::send_for(&mut Client::new(&ground, 1, "alone"), steady::FIRST, time)?;

    let mut course = Course {
        options,
        plan: &plan,
        kills,
        ground: &mut ground,
        stentor: &mut stentor,
        carrier: &mut carrier,
        accepted: HashMap::new(),
        seen: Seen::default(),
    };
    let mut client = Client::new(course.ground, 1, "steady");
    let is_over = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let sender = scope.spawn(|| steady::send(&mut client, BESIDE, &is_over));
        let run = course.run();
        is_over.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| "the steady sender panicked".to_owned());
        run.and(sent?)
    })?;
    // The steady flow has ended, and everything but the month's rest has arrived.
    course.wait_for("the steady flow", |course| course.steady(&beside).0 == beside.count())?;
    let spent = course.carrier.arrived().len();
    course.raise_the_month()?;
    course.finish()?;
    course.tell(result, [&alone, &beside], spent);
    Ok(())
}

impl<'a> Course<'a> {
    /// From the first message to the time when everything has arrived that this month allows.
    fn run(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        self.send_letters()?;
        let mut offerer = Client::new(self.ground, 0, "offers");
        let time = Duration::from_secs(self.options.seconds);
        let mut offers = self.plan.offers.chunks(OFFERED_AT_ONCE);
        while begun.elapsed() < time {
            let kills = self.seen.ready_s.len() as u32;
            if u64::from(kills) < self.kills && begun.elapsed() >= time * (kills + 1) / (self.kills as u32 + 1) {
                self.count_doubts();
                self.wait_for_arrival()?;
                self.seen.ready_s.push(super::kill_and_start(self.ground, self.stentor)?);
            }
            if let Some(letters) = offers.next() {
                self.offer(&mut offerer, letters)?;
            }
            self.look()?;
            thread::sleep(TICK);
        }
        self.wait_for("all that the limits let pass", |course| course.is_delivered(false))
    }

    fn send_letters(&mut self) -> Result<(), String> {
        for tenant in [0, 1] {
            let mut client = Client::new(self.ground, tenant, "letters");
            let letters: Vec<&Letter> = self.plan.letters.iter().filter(|letter| letter.tenant == tenant).collect();
            for letters in letters.chunks(BATCH) {
                let lines: Vec<String> = letters.iter().map(|letter| letter.json()).collect();
                let answer = client.send(&lines)?;
                if !answer.refused.is_empty() {
                    return Err(format!("messages that may wait were refused: {answer:?}"));
                }
                self.accepted.extend(letters.iter().map(|letter| (letter.to, (*letter, 0))));
            }
        }
        Ok(())
    }

    /// Offers messages to the limit that refuses.
    fn offer(&mut self, client: &mut Client, letters: &'a [Letter]) -> Result<(), String> {
        let lines: Vec<String> = letters.iter().map(Letter::json).collect();
        let answer = client.send(&lines)?;
        self.seen.untold += u64::from(!answer.refused.is_empty() && !answer.has_retry_after);
        for (place, letter) in (0..).zip(letters) {
            if answer.refused.contains(&place) {
                self.seen.refused.push(letter.to);
            } else {
                self.accepted.insert(letter.to, (letter, 0));
            }
        }
        Ok(())
    }

    /// Asks the daemon how its limits are used, and the carrier what has arrived.
    fn look(&mut self) -> Result<(), String> {
        self.stentor.check_alive()?;
        self.seen.looks += 1;
        for counter in shown(self.ground)?.limits {
            if counter.name == REFUSED {
                self.seen.refusing_parked = self.seen.refusing_parked.max(counter.parked);
            }
            if counter.used > counter.allowed {
                self.seen.beyond.push(format!("{counter:?}"));
            }
        }
        self.count_arrivals()?;
        Ok(())
    }

    /// Takes in what has arrived; gives how much of that is not of the steady flow.
    fn count_arrivals(&mut self) -> Result<u64, String> {
        let mut counted = 0;
        for Arrived { to, .. } in self.carrier.look()? {
            if let Some((_, parts)) = self.accepted.get_mut(to) {
                *parts += 1;
                counted += 1;
            }
        }
        Ok(counted)
    }

    /// Waits; gives up when nothing has arrived for longer than any limit would explain.
    fn wait_for(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let stall = self.ground.stall() + Duration::from_secs(self.options.span);
        let mut moved = Instant::now();
        loop {
            if self.count_arrivals()? > 0 {
                moved = Instant::now();
            }
            if is_so(self) {
                return Ok(());
            }
            self.stentor.check_alive()?;
            if moved.elapsed() > stall {
                let late = self.accepted.values().filter(|(letter, parts)| *parts < letter.parts);
                let late: Vec<_> = late.map(|(letter, _)| (letter.to, &letter.counters)).take(5).collect();
                return Err(format!("waiting for {what}: nothing moves; for example {late:?}"));
            }
            thread::sleep(super::TICK);
        }
    }

    /// Until something arrives that counts on a limit.
    fn wait_for_arrival(&mut self) -> Result<(), String> {
        self.count_arrivals()?;
        let begun = Instant::now();
        while self.count_arrivals()? == 0 && begun.elapsed() < self.ground.stall() {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn is_delivered(&self, with_month: bool) -> bool {
        let is_wanted = |letter: &Letter| with_month || letter.counters != [(MONTH, "")];
        self.accepted.values().all(|(letter, parts)| *parts >= letter.parts || !is_wanted(letter))
    }

    fn steady(&self, sent: &Sent) -> (usize, Quantiles) {
        sent.arrived(self.carrier.arrived())
    }

    /// Attempts that became in doubt since the last start.
    fn count_doubts(&mut self) {
        self.seen.in_doubt += self.ground.metrics().sum(IN_DOUBT).unwrap_or(0.0);
    }

    fn raise_the_month(&mut self) -> Result<(), String> {
        let Some(limit) = self.plan.limit(MONTH) else { return Ok(()) };
        let change = |config: String| config.replace(&limit.rate(limit.amount), &limit.rate(RAISED));
        super::reload(self.ground, self.stentor, change)
    }

    /// Until every message has arrived, and every receipt is taken.
    fn finish(&mut self) -> Result<(), String> {
        self.wait_for("what waited for the month", |course| course.is_delivered(true))?;
        let is_done = |stats: &Stats| stats.receipts.acknowledged >= stats.receipts.planned;
        self.ground.watch(&mut self.carrier.smsc, "the receipts", is_done)?;
        thread::sleep(METRICS_AGE);
        self.count_doubts();
        self.count_arrivals()?;
        self.stentor.check_alive()
    }

    /// Figures and claims. `steady`: the flow alone, and beside the others; `spent`: what had arrived before the month
    /// was raised.
    fn tell(&self, result: &mut ScenarioResult, steady: [&Sent; 2], spent: usize) {
        let part = if self.kills > 0 { "restart" } else { "kinds" };
        let arrived = self.carrier.arrived();
        result.figure(&format!("{part}: messages under limits, refused ones"), {
            format!("{}, {}", self.accepted.len(), self.seen.refused.len())
        });
        let [alone, beside] = steady.map(|sent| self.steady(sent));
        result.figure(
            &format!("{part}: without a limit, alone, offered to submit p50/p99/p99.9/max"),
            quantiles_ms(&alone.1),
        );
        result.figure(&format!("{part}: the same while others wait p50/p99/p99.9/max"), quantiles_ms(&beside.1));
        let widths = arrived.iter().map(|one| one.until_us - one.after_us).collect();
        result.aside(
            &format!("{part}: an arrival is known to within p50/p99/p99.9/max"),
            quantiles_ms(&judge::quantiles(widths)),
        );
        for (round, ready_s) in (1..).zip(&self.seen.ready_s) {
            result.figure(&format!("{part}: ready again after kill {round}"), Value::seconds(*ready_s));
        }
        self.judge_limits(result, part, spent);
        self.judge_messages(result, part, arrived);
        let flows = [(steady[0], alone.0), (steady[1], beside.0)];
        let whole = flows.iter().all(|(sent, arrived)| sent.count() == *arrived);
        result.claim(format!("{part}: every message without a limit arrived while others waited"), whole);
        if !self.options.untimed && self.kills == 0 {
            let limit = alone.1.p99 + BESIDE_MS * 1_000;
            let claim = format!("{part}: their p99 is at most {BESIDE_MS} ms above that alone");
            result.claim(claim, beside.1.p99 <= limit);
        }
    }

    /// No span of any counter held too much, and long limits were used.
    fn judge_limits(&self, result: &mut ScenarioResult, part: &str, spent: usize) {
        let mut counters: BTreeMap<Counter, Vec<Arrived>> = BTreeMap::new();
        for (number, one) in self.carrier.arrived().iter().enumerate() {
            let Some((letter, _)) = self.accepted.get(&one.to) else { continue };
            // What came after the month was raised counts on the other limits only.
            let counted = letter.counters.iter().filter(|(name, _)| *name != MONTH || number < spent);
            counted.for_each(|counter| counters.entry(*counter).or_default().push(*one));
        }
        for limit in &self.plan.limits {
            let own = || counters.iter().filter(|((name, _), _)| *name == limit.name).map(|(_, arrived)| arrived);
            if limit.name == MONTH {
                self.judge_month(result, part, limit, own().map(Vec::as_slice).next().unwrap_or_default());
                continue;
            }
            let Limit { name, amount, span_s, of, .. } = limit;
            let proven = own().map(|arrived| judge::most_proven(arrived, limit.span_us())).max().unwrap_or(0);
            let seen = own().map(|arrived| judge::most_seen(arrived, limit.span_us())).max().unwrap_or(0);
            let shares = own().filter_map(|arrived| self.used(arrived, limit));
            let used = shares.min_by(f64::total_cmp).unwrap_or(1.0);
            let told = format!(
                "{proven} of {amount} {of} in {span_s} s ({seen} by the reader's clock); {:.1} % used",
                used * 100.0
            );
            result.figure(&format!("{part}: {name}, the fullest span"), told);
            result.claim(format!("{part}: no {span_s} s held more than {amount} of `{name}`"), proven <= *amount);
            if !self.options.untimed && self.kills == 0 && *span_s >= LONG_S {
                let least = self.options.used_min;
                result.claim(format!("{part}: {:.0} % of `{name}` were used", least * 100.0), used >= least);
            }
        }
    }

    /// How much of a counter was used while messages waited for it alone: what waits for others as well may come later.
    fn used(&self, arrived: &[Arrived], limit: &Limit) -> Option<f64> {
        let is_alone = |one: &Arrived| self.accepted.get(&one.to).is_some_and(|(letter, _)| letter.counters.len() == 1);
        let last = arrived.iter().rposition(is_alone)?;
        judge::used(&arrived[..=last], limit.amount, limit.span_us())
    }

    /// The month's limit is spent, and not more than that; if a new month began meanwhile, it has its own amount.
    fn judge_month(&self, result: &mut ScenarioResult, part: &str, limit: &Limit, arrived: &[Arrived]) {
        let month = |one: &Arrived| Period::Month.of(Wall(one.until_us / 1_000)).0;
        let mut months: BTreeMap<u64, u64> = BTreeMap::new();
        arrived.iter().for_each(|one| *months.entry(month(one)).or_default() += 1);
        let most = months.values().copied().max().unwrap_or(0);
        let (name, amount) = (limit.name, limit.amount);
        result.figure(&format!("{part}: {name}"), format!("{most} of {amount} in a month"));
        result.claim(format!("{part}: no month held more than {amount} of `{name}`"), most <= amount);
        result.claim(format!("{part}: all {amount} were used"), most == amount);
    }

    /// Everything that was accepted arrived, and nothing else.
    fn judge_messages(&self, result: &mut ScenarioResult, part: &str, arrived: &[Arrived]) {
        let Seen { refused, untold, refusing_parked, beyond, looks, in_doubt, .. } = &self.seen;
        let twice = self.accepted.values().filter(|(letter, parts)| *parts > letter.parts).count();
        let lost = self.accepted.values().filter(|(letter, parts)| *parts < letter.parts).count();
        result.claim(format!("{part}: nothing accepted was lost"), lost == 0);
        if self.kills > 0 {
            result.figure(&format!("{part}: messages in doubt, of them sent twice"), format!("{in_doubt}, {twice}"));
            result.claim(format!("{part}: no more came twice than were in doubt"), twice as f64 <= *in_doubt);
        } else {
            result.claim(format!("{part}: nothing came twice"), twice == 0 && *in_doubt == 0.0);
        }
        let arrived_all_the_same = arrived.iter().filter(|one| refused.contains(&one.to)).count();
        result.claim(format!("{part}: something was refused, and none of it was sent"), {
            !refused.is_empty() && arrived_all_the_same == 0
        });
        result.claim(format!("{part}: every refusal has its `Retry-After`"), *untold == 0);
        // Each shard takes its part of them, rounded up.
        let most = self.plan.limit(REFUSED).map_or(0, |limit| limit.amount) + SHARDS_MAX;
        let claim = format!("{part}: no more than {most} waited for the limit that refuses: {refusing_parked}");
        result.claim(claim, *refusing_parked <= most);
        let claim = format!("{part}: in {looks} looks no limit was shown as overdrawn {beyond:?}");
        result.claim(claim, beyond.is_empty());
    }
}
