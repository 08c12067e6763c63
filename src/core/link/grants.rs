//! The ledger of demands and grants between one link and all shards: how many messages each shard may hand over.
//!
//! Knows counts by shard and class. Refuses to know messages, binds and time, except for two short pauses. Decides whole
//! batches of grants; the link tells it how much room there is.
//!
//! There are two kinds of classes. *Bulk* (transactional, marketing) is prepared before a window slot is free, so that
//! sending never waits for a commit: granted + prepared ≤ the link's bound. *Urgent* (emergency, otp) is granted only
//! against a slot and a token that are free now, and these are then kept for it (see [`Grants::urgent_expected`]). The
//! reason: an OTP that is prepared and not sent when the daemon crashes may never be sent again.
//!
//! An idle link also gives every shard a few *standing* places for urgent classes, so that an OTP waits for one commit and
//! no round trip. A standing place is a grant that was not demanded, and is marked as such; the shard keeps it until it
//! needs it. The link recalls it by a grant of no messages: the shard then returns its unused places in the `unused` of a
//! batch, which may hold no messages. Standing places reserve no slot: they are recalled when the link gets busy, and
//! messages that use them at that moment wait, ahead of all others, for the next slot.
//!
//! Invariants:
//! 1. Places out = granted − handed over − given back, by shard and class; never negative, even if a shard reports a wrong
//!    number.
//! 2. Bulk places out + bulk prepared ≤ bound, as the bound was when they were granted.
//! 3. Urgent places out (without standing ones) + urgent prepared ≤ free slots, and ≤ tokens, as these were at the grant.

use crate::model::{Class, LinkId, Mono, ShardId, Sound, holds};
use crate::traffic::{Demand, Grant};

/// Maximum number of standing places of one class at one shard.
const STANDING_MAX: u32 = 4;

/// How long a link must be idle before it gives standing places, ms: in shorter pauses it is not worth giving and recalling
/// them.
const IDLE_MS: u64 = 100;

/// How long a shard that returns standing places without a recall gets no new ones, ms.
const UNWANTED_MS: u64 = 10_000;

/// Classes that are granted only against a free slot ([`Class::is_urgent`]); the rest is bulk.
const URGENT: [Class; 2] = [Class::Emergency, Class::Otp];
const BULK: [Class; 2] = [Class::Transactional, Class::Marketing];
const _: () = assert!(URGENT[0].is_urgent() && URGENT[1].is_urgent());
const _: () = assert!(!BULK[0].is_urgent() && !BULK[1].is_urgent());

/// How much room a link has at the moment of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Maximum number of prepared messages; 0 when nothing may be granted at all.
    pub bound: u32,
    /// Free window slots, over all binds.
    pub slots: u32,
    /// Parts that the rate limits allow to be sent now.
    pub tokens: u32,
    /// Bulk messages that the link holds and has not sent completely.
    pub bulk_prepared: u32,
    /// Urgent messages that the link holds and has not sent completely.
    pub urgent_prepared: u32,
}

/// The counts between the link and one shard, by [`Class::index`].
#[derive(Clone, Debug, Default)]
struct ShardPlaces {
    /// Messages that the shard demands places for.
    waiting: [u32; Class::COUNT],
    /// Places granted and neither used nor given back.
    out: [u32; Class::COUNT],
    /// Standing places; they are included in `out`.
    standing: [u32; Class::COUNT],
    /// The standing places were recalled, and some are still out.
    recalling: bool,
    /// Until then the shard gets no standing places; see [`UNWANTED_MS`].
    unwanted_until: Mono,
    /// Total places granted to the shard, and how they were used. Only for [`Grants::check`].
    granted: [u64; Class::COUNT],
    handed_over: [u64; Class::COUNT],
    given_back: [u64; Class::COUNT],
}

/// The demands and grants of one link. Lives on the link's core.
#[derive(Clone, Debug)]
pub struct Grants {
    link: LinkId,
    accounts: Vec<ShardPlaces>,
    /// Index of the shard that is served first in the next round.
    turn: usize,
    bulk_out: u32,
    urgent_out: u32,
    standing_out: u32,
    bulk_waiting: u64,
    urgent_waiting: u64,
    idle_since: Option<Mono>,
}

impl Grants {
    /// A ledger without demands and grants.
    pub fn new(link: LinkId, shards: u8) -> Self {
        Self {
            link,
            accounts: vec![ShardPlaces::default(); usize::from(shards.max(1))],
            turn: 0,
            bulk_out: 0,
            urgent_out: 0,
            standing_out: 0,
            bulk_waiting: 0,
            urgent_waiting: 0,
            idle_since: None,
        }
    }

    /// A shard says how many messages wait there; this replaces its previous demand.
    pub fn handle_demand(&mut self, demand: &Demand) {
        // A shard that this link was not made for has no account: its demand is ignored, its messages count as ungranted.
        let Some(account) = self.accounts.get_mut(usize::from(demand.shard.0)) else { return };
        account.waiting = demand.waiting;
        self.count();
    }

    /// A shard handed `submitted` messages over and gave `unused` places back. Returns how many of both had no place.
    pub fn handle_batch(&mut self, shard: ShardId, class: Class, submitted: u32, unused: u32, now: Mono) -> u32 {
        let Some(account) = self.accounts.get_mut(usize::from(shard.0)) else { return submitted };
        let at = class.index();
        let missing = submitted.saturating_add(unused).saturating_sub(account.out[at]);
        account.waiting[at] = if unused > 0 { 0 } else { account.waiting[at].saturating_sub(submitted) };
        // Demanded places are used first, and given back first; standing places after them.
        let demanded = account.out[at] - account.standing[at];
        let standing_used = submitted.saturating_sub(demanded).min(account.standing[at]);
        let demanded_left = demanded.saturating_sub(submitted);
        let returned = unused.saturating_sub(demanded_left).min(account.standing[at] - standing_used);
        if returned > 0 && !account.recalling {
            account.unwanted_until = now.after_ms(UNWANTED_MS);
        }
        let handed_over = submitted.min(account.out[at]);
        let given_back = unused.min(account.out[at] - handed_over);
        account.out[at] -= handed_over + given_back;
        account.handed_over[at] += u64::from(handed_over);
        account.given_back[at] += u64::from(given_back);
        account.standing[at] = (account.standing[at] - standing_used - returned).min(account.out[at]);
        account.recalling &= account.standing.iter().any(|places| *places > 0);
        self.count();
        missing
    }

    /// How many urgent messages need a slot and a token kept free for them: those that were demanded, granted or not.
    pub fn urgent_expected(&self) -> u32 {
        u32::try_from(self.urgent_waiting.max(u64::from(self.urgent_out))).unwrap_or(u32::MAX)
    }

    /// How many demanded urgent messages have no place yet.
    pub fn urgent_ungranted(&self) -> u64 {
        self.urgent_waiting.saturating_sub(u64::from(self.urgent_out))
    }

    /// Places out at all shards: bulk, urgent without standing ones, standing.
    pub const fn out(&self) -> (u32, u32, u32) {
        (self.bulk_out, self.urgent_out, self.standing_out)
    }

    /// Messages that wait at all shards, by their last demands.
    pub const fn waiting(&self) -> u64 {
        self.bulk_waiting + self.urgent_waiting
    }

    /// When standing places may have to be given.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.idle_since.map(|since| since.after_ms(IDLE_MS))
    }

    /// Decides which grants to give now, and appends them to `out`.
    pub fn decide(&mut self, room: Room, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        if room.bound == 0 {
            self.idle_since = None;
            self.recall(out);
            return;
        }
        let before = (self.bulk_out, self.urgent_out);
        if self.urgent_waiting > 0 {
            let free = room.bound.min(room.slots).min(room.tokens);
            let places = free.saturating_sub(self.urgent_out + room.urgent_prepared);
            self.spread(URGENT, places, out);
        }
        let places = room.bound.saturating_sub(self.bulk_out + room.bulk_prepared);
        let wanted = self.bulk_waiting.saturating_sub(u64::from(self.bulk_out));
        // Few large grants are better than one for each slot that becomes free: each costs a commit at its shard.
        if places >= room.bound / 4 || wanted <= u64::from(places) {
            self.spread(BULK, places, out);
        }
        self.stand(room, now, out);
        debug_assert_eq!(self.check_granted(room, before), Ok(()), "the grants do not fit");
    }

    /// Checks the counts of places out against the totals.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        for (shard, account) in self.accounts.iter().enumerate() {
            for class in Class::ALL {
                let at = class.index();
                let (out, standing) = (u64::from(account.out[at]), account.standing[at]);
                let (granted, handed_over, given_back) =
                    (account.granted[at], account.handed_over[at], account.given_back[at]);
                let is_balanced = out + handed_over + given_back == granted;
                holds!(
                    1,
                    is_balanced,
                    "{class:?} of shard {shard}: {out} out, {granted} granted, {handed_over} handed over, {given_back} given back"
                );
                holds!(
                    1,
                    u64::from(standing) <= out,
                    "{class:?} of shard {shard}: {standing} standing of {out} places"
                );
            }
        }
        let sum = |classes: [Class; 2], of: fn(&ShardPlaces, usize) -> u32| -> u64 {
            let places = |account| classes.map(|class| u64::from(of(account, class.index()))).into_iter().sum::<u64>();
            self.accounts.iter().map(places).sum()
        };
        let found = (
            sum(BULK, |account, at| account.out[at]),
            sum(URGENT, |account, at| account.out[at] - account.standing[at]),
            sum(URGENT, |account, at| account.standing[at]),
        );
        let (bulk, urgent, standing) = self.out();
        let counted = (bulk.into(), urgent.into(), standing.into());
        holds!(1, found == counted, "bulk, urgent, standing out are {found:?}, counted as {counted:?}");
        Ok(())
    }

    /// Checks that new grants fit into `room`. `before`: bulk and urgent places out before these grants.
    fn check_granted(&self, room: Room, before: (u32, u32)) -> Sound {
        let out = |class: Class, of: fn(&ShardPlaces, usize) -> u32| -> u32 {
            self.accounts.iter().map(|account| of(account, class.index())).sum()
        };
        let bulk = BULK.map(|class| out(class, |account, at| account.out[at])).into_iter().sum::<u32>();
        let fits = bulk + room.bulk_prepared <= room.bound;
        holds!(2, bulk <= before.0 || fits, "{bulk} bulk places are out, after {}, of {room:?}", before.0);
        let demanded = |account: &ShardPlaces, at: usize| account.out[at] - account.standing[at];
        let urgent = URGENT.map(|class| out(class, demanded)).into_iter().sum::<u32>();
        let fits = urgent + room.urgent_prepared <= room.slots.min(room.tokens);
        holds!(3, urgent <= before.1 || fits, "{urgent} urgent places are out, after {}, of {room:?}", before.1);
        Ok(())
    }

    /// Grants up to `places` places: class by class, and within a class in equal shares to the shards that want some.
    fn spread(&mut self, classes: [Class; 2], places: u32, out: &mut Vec<(ShardId, Grant)>) {
        let mut places = places;
        for class in classes {
            while places > 0 {
                let wanting = self.accounts.iter().filter(|account| account.wanted(class) > 0).count();
                if wanting == 0 {
                    break;
                }
                let share = (places / u32::try_from(wanting).unwrap_or(u32::MAX)).max(1);
                places = self.round(class, share, places, out);
            }
        }
        self.count();
    }

    /// Grants up to `share` places to each shard in turn, beginning where the last round ended. Returns the places left.
    fn round(&mut self, class: Class, share: u32, mut places: u32, out: &mut Vec<(ShardId, Grant)>) -> u32 {
        let shards = self.accounts.len();
        for step in 0..shards {
            if places == 0 {
                self.turn = (self.turn + step) % shards;
                return 0;
            }
            let at = (self.turn + step) % shards;
            let messages = self.accounts[at].wanted(class).min(share).min(places);
            if messages > 0 {
                places -= messages;
                self.accounts[at].out[class.index()] += messages;
                self.tell(at, class, messages, false, out);
            }
        }
        places
    }

    /// Gives standing places when the link has been idle, and recalls them when it gets busy.
    fn stand(&mut self, room: Room, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        let in_hand = room.bulk_prepared + room.urgent_prepared + self.bulk_out + self.urgent_out;
        let idle = self.bulk_waiting + self.urgent_waiting == 0 && in_hand == 0;
        if !idle {
            self.idle_since = None;
            if self.standing_out > 0 && room.slots.min(room.tokens) <= self.standing_out {
                self.recall(out);
            }
            return;
        }
        let shards = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let each = (room.slots.min(room.bound) / (2 * shards)).min(STANDING_MAX);
        if !self.accounts.iter().any(|account| account.lacks(each, now)) {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        if now.since(since) >= IDLE_MS * 1_000_000 {
            self.idle_since = None;
            self.leave_standing(each, now, out);
        }
    }

    fn leave_standing(&mut self, each: u32, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        for at in 0..self.accounts.len() {
            if !self.accounts[at].lacks(each, now) {
                continue;
            }
            for class in URGENT {
                let account = &mut self.accounts[at];
                let missing = each.saturating_sub(account.standing[class.index()]);
                if missing > 0 {
                    account.out[class.index()] += missing;
                    account.standing[class.index()] += missing;
                    self.tell(at, class, missing, true, out);
                }
            }
        }
        self.count();
    }

    fn recall(&mut self, out: &mut Vec<(ShardId, Grant)>) {
        for at in 0..self.accounts.len() {
            let account = &mut self.accounts[at];
            if account.recalling || account.standing.iter().all(|places| *places == 0) {
                continue;
            }
            account.recalling = true;
            for class in URGENT {
                if self.accounts[at].standing[class.index()] > 0 {
                    self.tell(at, class, 0, false, out);
                }
            }
        }
    }

    fn tell(&mut self, at: usize, class: Class, messages: u32, standing: bool, out: &mut Vec<(ShardId, Grant)>) {
        self.accounts[at].granted[class.index()] += u64::from(messages);
        let shard = ShardId(u8::try_from(at).unwrap_or(u8::MAX));
        let grant = Grant { link: self.link, class, messages, standing };
        match out.last_mut() {
            Some((to, last))
                if *to == shard && Grant { messages, ..*last } == grant && messages > 0 && last.messages > 0 =>
            {
                last.messages += messages;
            }
            Some(_) | None => out.push((shard, grant)),
        }
    }

    fn count(&mut self) {
        let sum = |pick: fn(&ShardPlaces, usize) -> u32, classes: [Class; 2]| -> u64 {
            let of = |account| classes.iter().map(|class| u64::from(pick(account, class.index()))).sum::<u64>();
            self.accounts.iter().map(of).sum()
        };
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let (bulk_out, bulk_waiting) = (sum(|a, at| a.out[at], BULK), sum(|a, at| a.waiting[at], BULK));
        let urgent_out = sum(|a, at| a.out[at] - a.standing[at], URGENT);
        let urgent_waiting = sum(|a, at| a.waiting[at], URGENT);
        let standing_out = sum(|a, at| a.standing[at], URGENT);
        (self.bulk_out, self.bulk_waiting) = (narrow(bulk_out), bulk_waiting);
        (self.urgent_out, self.urgent_waiting) = (narrow(urgent_out), urgent_waiting);
        self.standing_out = narrow(standing_out);
    }
}

impl ShardPlaces {
    /// Messages that wait and have no place yet. Standing places count as places.
    fn wanted(&self, class: Class) -> u32 {
        self.waiting[class.index()].saturating_sub(self.out[class.index()])
    }

    /// Whether the shard should get standing places: it has fewer than `each` of a class and accepts them at present.
    fn lacks(&self, each: u32, now: Mono) -> bool {
        let short = URGENT.iter().any(|class| self.standing[class.index()] < each);
        short && !self.recalling && now >= self.unwanted_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CarrierId;

    const ROOM: Room = Room { bound: 8, slots: 8, tokens: 8, bulk_prepared: 0, urgent_prepared: 0 };

    /// Two shards have demanded `waiting` places of each class and got what `room` allows.
    fn grants(waiting: u32, room: Room) -> Grants {
        let mut grants = Grants::new(LinkId { carrier: CarrierId(1), core: 0 }, 2);
        for shard in [ShardId(0), ShardId(1)] {
            grants.handle_demand(&Demand { shard, waiting: [waiting; Class::COUNT] });
        }
        grants.decide(room, Mono(1), &mut Vec::new());
        grants
    }

    fn broken(sound: Sound) -> Option<u8> {
        sound.err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let breaks: [fn(&mut Grants); 4] = [
            |grants| grants.accounts[0].out[0] += 1,
            |grants| grants.accounts[1].out[Class::Marketing.index()] += 1,
            |grants| grants.bulk_out -= 1,
            |grants| grants.accounts[0].standing[0] = u32::MAX,
        ];
        for (at, breaks) in breaks.into_iter().enumerate() {
            let mut grants = grants(1, ROOM);
            assert_eq!(grants.handle_batch(ShardId(0), Class::Otp, 1, 0, Mono(1)), 0);
            assert_eq!(grants.handle_batch(ShardId(1), Class::Transactional, 2, 1, Mono(1)), 2, "only one was granted");
            assert_eq!(grants.check(), Ok(()));
            breaks(&mut grants);
            assert_eq!(broken(grants.check()), Some(1), "{at}");
        }
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        // As if it had not known of a prepared message.
        let grants = grants(4, ROOM);
        assert_eq!(grants.check_granted(ROOM, (0, 0)), Ok(()));
        assert_eq!(broken(grants.check_granted(Room { bulk_prepared: 1, ..ROOM }, (0, 0))), Some(2));
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        let grants = grants(4, ROOM);
        for scarce in [Room { urgent_prepared: 1, ..ROOM }, Room { slots: 7, ..ROOM }, Room { tokens: 7, ..ROOM }] {
            assert_eq!(broken(grants.check_granted(scarce, (0, 0))), Some(3), "{scarce:?}");
        }
    }
}
