//! Special kinds of worlds, each made from a usual plan: a long day, weeks, an operator who is always busy, carriers
//! with one habit. Knows what each kind is meant to show, not how its plan is carried out.

use crate::delivery::{Backoff, DoubtPolicy, RetryPolicy};
use crate::link::ceiling::CEILING;
use crate::link::{BindKind, QueryOptions};
use crate::model::{Class, Prng, TenantId};
use crate::shard::{Bounds, Options as ShardOptions};
use stentor_smpp::split::Splitting;

use super::agenda::{Latency, MS, SECOND};
use super::carrier::{Behaviour, Delay};
use super::clients::RECIPIENT_BASE;
use super::plan::{CarrierPlan, DiskPlan, HostPlan, KindPlan, Lives, Plan, behaviour, pick};
use super::spelling::Spelling;

const HOUR_MS: u64 = 3_600_000;
const DAY_NS: u64 = 24 * HOUR_MS * MS;

impl Plan {
    /// A long time with everyday faults, at four fifths of the rate that the carrier permits, while retention passes every hour.
    #[allow(clippy::too_many_lines, reason = "a list of settings, read from its top to its end")]
    pub fn day(prng: &mut Prng, hours: u64) -> Self {
        const RATE: u32 = 2;
        let usual = Self::draw(prng);
        let faults = |each_hours: u64| (hours / each_hours) as u32;
        let behaviour = Behaviour {
            response_delay: Delay { min_us: 5_000, max_us: 80_000 },
            receipt_delay: Delay { min_us: 100_000, max_us: 8_000_000 },
            throttled_ppm: 2_000,
            transient_ppm: 5_000,
            permanent_ppm: 1_000,
            undelivered_ppm: 20_000,
            receipt_twice_ppm: 5_000,
            receipt_first_ppm: 10_000,
            intermediate_ppm: 20_000,
            disconnect_ppm: 100,
            ..Behaviour::default()
        };
        let carrier = CarrierPlan {
            rate: Some(RATE),
            bind_rate: None,
            class_ceiling: CEILING,
            is_strict: false,
            away: Vec::new(),
            window: 10,
            hosts: vec![HostPlan::Sound],
            binds: 2,
            kind: BindKind::Transceiver,
            home: Some(0),
            behaviour,
            absent: false,
            unreachable_ppm: 50_000,
            bind_refused_ppm: 0,
            binds_max: None,
            answer_late_ppm: 0,
            answer_twice_ppm: 0,
            goodbye_ppm: 0,
            answer_astray_ppm: 0,
            spelling: Spelling::default(),
            splitting: Splitting::Udh8,
            response_timeout_ms: 8_000,
            query: None,
        };
        let shard = ShardOptions {
            retention_ms: HOUR_MS,
            receipt_wait_ms: HOUR_MS,
            key_window_ms: HOUR_MS,
            receipts_max: 300,
            fold_events: 2_000,
            swept_per_checkpoint: 16,
            ..ShardOptions::default()
        };
        Self {
            shards: 2,
            cores: 2,
            carriers: vec![carrier],
            shared_route: false,
            route_gone_ns: None,
            // 1.3 parts each; clients finish a fifth earlier than planned.
            messages: (hours * 3_600 * u64::from(RATE) * 8 / 16) as u32,
            recipients: 5_000,
            burst: false,
            chaos_ns: hours * 3_600 * SECOND,
            crashes_max: faults(3),
            stops_max: faults(6),
            wall_jumps: 0,
            cuts: faults(1),
            freezes: faults(4),
            stalls: faults(4),
            disk_stalls: faults(4),
            disk_faults: faults(8),
            backups: 0,
            ages: false,
            measured_ns: Some(900 * SECOND),
            known_ms: Some(HOUR_MS),
            receipts_ppm: 1_000_000,
            shard,
            reply_lost_ppm: 10_000,
            keyed_ppm: 500_000,
            claimed_ppm: 0,
            tenants: Vec::new(),
            classes: Class::ALL.to_vec(),
            ..usual
        }
    }

    /// A carrier that gives each id to several recipients, in a world without planned faults that would lose its
    /// answers: a receipt for a part whose id was not told would be taken for another recipient's.
    pub fn ids_given_again(prng: &mut Prng) -> Self {
        let usual = Self::draw(prng).unharmed();
        let behaviour = Behaviour {
            receipt_delay: Delay { min_us: 1_000_000, max_us: prng.between(1_000_000, 9_000_000) },
            throttled_ppm: 50_000,
            transient_ppm: 50_000,
            undelivered_ppm: 250_000,
            expired_ppm: 200_000,
            rejected_ppm: 150_000,
            receipt_twice_ppm: 150_000,
            intermediate_ppm: 150_000,
            regress_ppm: 100_000,
            id_recipients: prng.between(2, 8) as u8,
            ..behaviour(prng, false)
        };
        let carrier = CarrierPlan {
            hosts: vec![HostPlan::Sound],
            kind: BindKind::Transceiver,
            behaviour,
            absent: false,
            response_timeout_ms: 8_000,
            ..CarrierPlan::draw(prng, usual.cores, false)
        };
        Self {
            shards: 1,
            carriers: vec![carrier],
            shared_route: false,
            route_gone_ns: None,
            messages: prng.between(40, 160) as u32,
            recipients: prng.between(4, 40) as u32,
            crashes_max: 0,
            stops_max: prng.between(0, 3) as u32,
            shard: ShardOptions { receipts_max: prng.between(2, 40) as usize, ..usual.shard },
            ..usual
        }
        .spelled()
    }

    /// Carriers that send no receipts but answer queries, in a world where processes crash, connections end and answers
    /// are lost: every message that they took must still reach its end.
    pub fn queried(prng: &mut Prng) -> Self {
        let usual = Self::draw(prng);
        let carriers = (0..prng.between(1, 2)).map(|_| {
            let behaviour = Behaviour {
                receipt_delay: Delay { min_us: 100_000, max_us: prng.between(1_000_000, 60_000_000) },
                throttled_ppm: 30_000,
                transient_ppm: 50_000,
                answer_lost_ppm: 20_000,
                taken_disconnect_ppm: 10_000,
                undelivered_ppm: 200_000,
                expired_ppm: 100_000,
                rejected_ppm: 100_000,
                ..behaviour(prng, false)
            };
            let query = QueryOptions { rate_per_s: prng.between(2, 30) as u32, first_ms: prng.between(200, 5_000) };
            CarrierPlan {
                kind: *pick(prng, &[BindKind::Transceiver, BindKind::Transmitter, BindKind::Pair]),
                home: Some(prng.below(u64::from(usual.cores)) as u8),
                binds_max: None,
                behaviour,
                absent: false,
                query: Some(query),
                ..CarrierPlan::draw(prng, usual.cores, true)
            }
        });
        Self {
            carriers: carriers.collect(),
            shared_route: false,
            route_gone_ns: None,
            messages: prng.between(40, 160) as u32,
            // How long a message has been with its carrier is measured by the wall clock.
            wall_jumps: 0,
            backups: 0,
            ages: false,
            crashes_max: prng.between(1, 5) as u32,
            stops_max: prng.between(0, 2) as u32,
            shard: ShardOptions { bounds: Bounds::DEFAULT, ..usual.shard },
            kind: KindPlan { settled_by_query: true, ..KindPlan::default() },
            ..usual
        }
        .spelled()
    }

    /// A carrier that closes the connection at each message to one recipient, and has no other fault. A message that
    /// was in the window with it is sent once more in a group and once more alone.
    pub fn culprit(prng: &mut Prng) -> Self {
        let hangs_up_on = (RECIPIENT_BASE + prng.below(30)).to_string();
        let recipients = prng.between(30, 200) as u32;
        let usual = Self::well(prng, |behaviour| Behaviour { hangs_up_on, ..behaviour });
        Self { recipients, innocents_copies_max: Some(3), ..usual }
    }

    /// A carrier that answers nothing for ten minutes, and everything from then on.
    pub fn silent(prng: &mut Prng) -> Self {
        let usual = Self::well(prng, |behaviour| Behaviour { swallowed_ppm: 1_000_000, ..behaviour });
        let copies_max = 2 + u32::from(usual.shard.doubts_max);
        Self { chaos_ns: 600 * SECOND, innocents_copies_max: Some(copies_max), ..usual }
    }

    /// Carriers that answer late and send most receipts before the answer, and a process that crashes often: parked
    /// receipts and messages in doubt meet in every order.
    pub fn tardy(prng: &mut Prng) -> Self {
        let mut usual = Self::draw(prng);
        for carrier in &mut usual.carriers {
            let slowest_us = prng.between(500_000, 20_000_000);
            carrier.behaviour.response_delay = Delay { min_us: 1_000, max_us: slowest_us };
            carrier.behaviour.receipt_first_ppm = prng.between(100_000, 900_000) as u32;
            // Longer than the slowest answer: only a fault makes an answer miss it, or the world would never end.
            carrier.response_timeout_ms = slowest_us / 1_000 + prng.between(2_000, 40_000);
            carrier.window = prng.between(1, 100) as u32;
        }
        Self { crashes_max: prng.between(2, 12) as u32, ..usual }
    }

    /// A world whose only fault is what `change` does to the only carrier, and where all messages in doubt are sent again.
    fn well(prng: &mut Prng, change: impl FnOnce(Behaviour) -> Behaviour) -> Self {
        let usual = Self::draw(prng).unharmed();
        let carrier = CarrierPlan {
            window: prng.between(1, 200) as u32,
            hosts: vec![HostPlan::Sound],
            behaviour: change(behaviour(prng, false)),
            absent: false,
            response_timeout_ms: prng.between(8_000, 60_000),
            ..CarrierPlan::draw(prng, usual.cores, false)
        };
        Self {
            carriers: vec![carrier],
            shared_route: false,
            messages: prng.between(40, 400) as u32,
            crashes_max: 0,
            stops_max: 0,
            ages: false,
            shard: ShardOptions { doubt: Class::ALL.map(|_| DoubtPolicy::Resend), ..usual.shard },
            ..usual
        }
    }

    /// No fault of clock, network or disk.
    fn unharmed(self) -> Self {
        Self {
            wall_jumps: 0,
            cuts: 0,
            freezes: 0,
            stalls: 0,
            disk_stalls: 0,
            disk_faults: 0,
            disk_shortages: 0,
            backups: 0,
            socket: Latency { slow_ppm: 0, ..self.socket },
            ..self
        }
    }

    /// An operator who reloads, pauses, rebinds and resolves messages in doubt, and tenants who ask about other
    /// tenants' messages, in a usual world.
    pub fn tended(prng: &mut Prng) -> Self {
        let mut usual = Self::draw(prng);
        if usual.shard.tenants.is_empty() {
            usual.shard.tenants = vec![(TenantId(1), 1), (TenantId(2), 2)];
        }
        for carrier in &mut usual.carriers {
            carrier.bind_rate = prng.chance(400_000).then(|| prng.between(2, 30) as u32);
            carrier.is_strict = carrier.rate.is_some() && prng.chance(300_000);
        }
        let kind = KindPlan {
            reloads: prng.between(1, 6) as u32,
            tended: prng.between(0, 30) as u32,
            strangers: prng.between(1, 20) as u32,
            ..KindPlan::default()
        };
        let hold = prng.chance(400_000).then_some(DoubtPolicy::Hold);
        let doubt = usual.shard.doubt.map(|policy| hold.unwrap_or(policy));
        // Held messages would fill smaller bounds for ever; messages that a backup brings back are decided by class.
        let bounds = Bounds { parked_foreign_max: usual.shard.bounds.parked_foreign_max, ..Bounds::DEFAULT };
        let shard = ShardOptions { doubt, bounds, ..usual.shard };
        Self { backups: 0, ages: false, shard, kind, ..usual }
    }

    /// Messages that outlive retention, the wait for receipts, their carriers, routes and policies before they are
    /// sent: days pass, sometimes in one step.
    pub fn weeks(prng: &mut Prng) -> Self {
        let usual = Self::draw(prng).unharmed();
        let days = prng.between(10, 20);
        let chaos_ns = days * DAY_NS;
        let mut carriers: Vec<_> = (0..prng.between(1, 2)).map(|_| Self::lasting(prng, usual.cores)).collect();
        for carrier in &mut carriers {
            for _ in 0..prng.between(0, 3) {
                let from_ns = prng.below(chaos_ns);
                let until_ns = from_ns + prng.between(HOUR_MS * MS, 6 * DAY_NS);
                carrier.away.push((from_ns, until_ns.min(chaos_ns)));
            }
        }
        let backoff = Backoff {
            attempts_max: prng.between(4, 12) as u8,
            backoff_min_ms: prng.between(HOUR_MS / 4, 6 * HOUR_MS),
            backoff_max_ms: 24 * HOUR_MS,
            jitter_permille: 200,
        };
        let kind = Self::for_weeks(prng, carriers.len(), chaos_ns);
        let policies = [DoubtPolicy::Resend, DoubtPolicy::Hold, DoubtPolicy::Drop];
        let shard = ShardOptions {
            tenants: vec![(TenantId(1), 1), (TenantId(2), 2)],
            doubt: Class::ALL.map(|_| *pick(prng, &policies)),
            retry: [RetryPolicy::uniform(backoff); Class::COUNT],
            in_doubt_wait_ms: prng.between(200, HOUR_MS),
            receipts_max: prng.between(2, 60) as usize,
            fold_events: prng.between(10, 60) as usize,
            bounds: Bounds::DEFAULT,
            queue_messages_max: 1_000_000,
            keys_max: 1_000_000,
            ..usual.shard
        };
        Self {
            carriers,
            shared_route: false,
            route_gone_ns: None,
            messages: prng.between(40, 160) as u32,
            recipients: prng.between(2, 12) as u32,
            burst: false,
            chaos_ns,
            crashes_max: prng.between(2, 8) as u32,
            stops_max: prng.between(6, 12) as u32,
            ages: false,
            known_ms: Some(shard.retention_ms),
            shard,
            keyed_ppm: 700_000,
            claimed_ppm: 0,
            tenants: Vec::new(),
            kind,
            ..usual
        }
    }

    fn for_weeks(prng: &mut Prng, carriers: usize, chaos_ns: u64) -> KindPlan {
        KindPlan {
            reloads: prng.between(0, 6) as u32,
            tended: prng.between(0, 12) as u32,
            strangers: prng.between(0, 6) as u32,
            leaps: prng.between(0, 4) as u32,
            looked_up_ns: Some(DAY_NS / 2),
            lives: Some(Lives {
                scheduled_ppm: 500_000,
                ahead_max_ms: 9 * 24 * HOUR_MS,
                lasts_max_ms: 13 * 24 * HOUR_MS,
                long_ppm: 300_000,
            }),
            left_out: (carriers > 1 && prng.chance(400_000)).then(|| {
                let from_ns = prng.below(chaos_ns / 2);
                (prng.below(2) as usize, from_ns, from_ns + prng.between(HOUR_MS * MS, 4 * DAY_NS))
            }),
            enquire_link_ms: 6 * HOUR_MS,
            reconnect_max_ms: HOUR_MS,
            receipt_retry_ns: HOUR_MS * MS / 2,
            // A message scheduled nine days ahead may be admitted just before the calm begins, and is then tried for days.
            rest_ns: 24 * DAY_NS,
            look_ns: 600 * SECOND,
            ..KindPlan::default()
        }
    }

    /// A carrier that lasts for weeks, and refuses often.
    fn lasting(prng: &mut Prng, cores: u8) -> CarrierPlan {
        let behaviour = Behaviour {
            transient_ppm: prng.between(0, 600_000) as u32,
            permanent_ppm: 20_000,
            swallowed_ppm: prng.between(0, 60_000) as u32,
            disconnect_ppm: prng.between(0, 30_000) as u32,
            receipt_delay: Delay { min_us: 100_000, max_us: prng.between(1_000_000, 20 * 3_600_000_000) },
            receipt_lost_ppm: 100_000,
            undelivered_ppm: 100_000,
            ..behaviour(prng, false)
        };
        CarrierPlan {
            hosts: vec![HostPlan::Sound],
            absent: false,
            behaviour,
            response_timeout_ms: prng.between(8_000, 60_000),
            ..CarrierPlan::draw(prng, cores, false)
        }
    }

    /// A carrier that enforces spacing at an agreed rate, with enough messages to send: the contract is kept, and used up.
    pub fn strict(prng: &mut Prng) -> Self {
        let usual = Self::well(prng, |behaviour| behaviour);
        let rate = prng.between(2, 40) as u32;
        let cores = usual.cores;
        let carriers = usual.carriers.into_iter().map(|carrier| CarrierPlan {
            rate: Some(rate),
            bind_rate: prng.chance(300_000).then_some(rate),
            is_strict: true,
            home: Some(prng.below(u64::from(cores)) as u8),
            binds: if prng.chance(500_000) { 1 } else { carrier.binds },
            binds_max: None,
            window: prng.between(20, 60) as u32,
            ..carrier
        });
        let kind = KindPlan { used_percent: Some(60), ..KindPlan::default() };
        // A small bound of unanswered attempts would keep the rate from being used.
        let Bounds { unanswered_max, unanswered_urgent_max, .. } = Bounds::DEFAULT;
        let bounds = Bounds { unanswered_max, unanswered_urgent_max, ..usual.shard.bounds };
        Self {
            carriers: carriers.collect(),
            messages: 150 + 8 * rate,
            burst: true,
            // All messages arrive long before they can be sent.
            chaos_ns: 30 * SECOND,
            // A token whose message waits for a slow disk or for slow mail is lost.
            disk: DiskPlan {
                commit: usual.disk.commit.even(),
                told: usual.disk.told.even(),
                errand: usual.disk.errand.even(),
                ..usual.disk
            },
            mailbox: usual.mailbox.even(),
            network: Latency { min_ns: MS, max_ns: 5 * MS, slow_ppm: 0, slow_ns: 0 },
            late_ppm: 0,
            reply_lost_ppm: 0,
            tenants: Vec::new(),
            shard: ShardOptions {
                buggify_ppm: 0,
                queue_messages_max: 1_000_000,
                keys_max: 1_000_000,
                bounds,
                ..usual.shard
            },
            kind,
            ..usual
        }
    }

    /// More messages than a carrier takes, of several classes and tenants, in a world where nothing fails: they compete for its
    /// only bind. One core: mail to the link takes no time.
    pub fn crowded(prng: &mut Prng) -> Self {
        const URGENT: &[Class] = &[Class::Otp, Class::Otp, Class::Otp, Class::Otp, Class::Otp, Class::Marketing];
        const BULK: &[Class] = &[Class::Transactional, Class::Transactional, Class::Transactional, Class::Marketing];
        let usual = Self::well(prng, |_| Behaviour {
            response_delay: Delay { min_us: 5_000, max_us: 80_000 },
            receipt_delay: Delay { min_us: 100_000, max_us: 2_000_000 },
            ..Behaviour::default()
        });
        let crowd = |carrier| CarrierPlan {
            rate: Some(prng.between(10, 300) as u32),
            bind_rate: None,
            class_ceiling: *pick(prng, &[50, 80, 80, 90]),
            is_strict: false,
            window: *pick(prng, &[1, 4, 20, 60]),
            binds: 1,
            binds_max: None,
            kind: BindKind::Transceiver,
            home: Some(0),
            splitting: Splitting::Udh8,
            unreachable_ppm: 0,
            bind_refused_ppm: 0,
            answer_late_ppm: 0,
            answer_twice_ppm: 0,
            goodbye_ppm: 0,
            answer_astray_ppm: 0,
            query: None,
            ..carrier
        };
        let carriers: Vec<_> = usual.carriers.into_iter().map(crowd).collect();
        let weights: Vec<u32> = (0..3).map(|_| *pick(prng, &[1, 1, 2, 5, 10])).collect();
        let shard = ShardOptions {
            tenants: (1..=3).map(|at| (TenantId(at), 1)).collect(),
            weights: (1..).map(TenantId).zip(weights).collect(),
            queue_messages_max: 1_000_000,
            keys_max: 1_000_000,
            buggify_ppm: 0,
            bounds: Bounds::DEFAULT,
            ..usual.shard
        };
        let lives = Lives { scheduled_ppm: 0, ahead_max_ms: 1_000, lasts_max_ms: 2 * DAY_NS / MS, long_ppm: 100_000 };
        Self {
            carriers,
            classes: pick(prng, &[URGENT, BULK, &Class::ALL]).to_vec(),
            cores: 1,
            messages: 400,
            recipients: 300,
            burst: true,
            chaos_ns: 20 * SECOND,
            network: Latency { min_ns: MS, max_ns: 5 * MS, slow_ppm: 0, slow_ns: 0 },
            late_ppm: 0,
            reply_lost_ppm: 0,
            tenants: Vec::new(),
            shard,
            kind: KindPlan { crowded: true, lives: Some(lives), ..KindPlan::default() },
            ..usual
        }
    }

    /// So many messages that everything that grows with their number becomes visible, and few faults.
    pub fn large(prng: &mut Prng, messages: u32) -> Self {
        let usual = Self::draw(prng).unharmed();
        let carriers = (0..2).map(|_| CarrierPlan {
            rate: None,
            window: 100,
            hosts: vec![HostPlan::Sound],
            behaviour: Behaviour {
                transient_ppm: 1_000,
                disconnect_ppm: 20,
                undelivered_ppm: 5_000,
                ..behaviour(prng, false)
            },
            absent: false,
            response_timeout_ms: 8_000,
            ..CarrierPlan::draw(prng, 2, false)
        });
        Self {
            cores: 2,
            shards: 2,
            carriers: carriers.collect(),
            shared_route: false,
            route_gone_ns: None,
            messages,
            recipients: messages,
            burst: false,
            // Three messages in a request, and half of the clients' actions are no submits.
            chaos_ns: u64::from(messages) * MS,
            crashes_max: 2,
            stops_max: 1,
            cuts: 4,
            ages: false,
            reply_lost_ppm: 1_000,
            keyed_ppm: 300_000,
            copied_ppm: 5_000,
            claimed_ppm: 0,
            tenants: Vec::new(),
            shard: ShardOptions {
                receipts_max: 2_000,
                fold_events: 20_000,
                bounds: Bounds::DEFAULT,
                queue_messages_max: 1_000_000,
                keys_max: 1_000_000,
                buggify_ppm: 0,
                ..usual.shard
            },
            ..usual
        }
    }
}
