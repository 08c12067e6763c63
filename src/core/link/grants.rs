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
//! Classes are served in strict order up to a ceiling ([`super::ceiling`]), here as at the write: while a less urgent class
//! waits, a class gets its share of the places. Otherwise no message of the others would ever be prepared.
//!
//! *Standing* places are grants that were not demanded, and are marked as such; a shard keeps them until it needs them.
//! - An idle link gives every shard a few for urgent classes, so that an OTP waits for one commit and no round trip. They
//!   reserve no slot: they are recalled when the link gets busy, and messages that use them at that moment wait, ahead of all
//!   others, for the next slot.
//! - Every shard has a few for each bulk class, however busy the link is, for messages of tenants that have just begun to wait:
//!   such a message needs no round trip, and does not wait until demanded places come round to it. They come on top of the
//!   bound, and are given again as soon as the messages that used them are sent.
//!
//! The link recalls standing places by a grant of no messages: the shard then returns its unused places in the `unused` of a
//! batch, which may hold no messages. So it does with all of them when nothing can be sent.
//!
//! Invariants:
//! 1. Places out = granted − handed over − given back, by shard and class; never negative, even if a shard reports a wrong
//!    number.
//! 2. Bulk places out (without standing ones) + bulk prepared ≤ bound; with the standing ones, ≤ bound + [`standing_max`]. Both
//!    as the bound was when they were granted.
//! 3. Urgent places out (without standing ones) + urgent prepared ≤ free slots, and ≤ tokens, as these were at the grant. The
//!    next two tokens of a punctual limit count as if they were there.
//! 4. Demanded places of a class are granted only up to its share ([`Ceilings::shares`]), those out and its prepared messages
//!    counted.

use crate::model::{Class, LinkId, Mono, ShardId, Sound, holds};
use crate::traffic::{Demand, Grant};

use super::ceiling::{Ceilings, is_bulk, sum};

/// Maximum number of standing places of one class at one shard.
const STANDING_MAX: u32 = 4;

/// How long a link must be idle before it gives standing places, ms: in shorter pauses it is not worth giving and recalling
/// them.
const IDLE_MS: u64 = 100;

/// How long a shard that returns standing places without a recall gets no new ones, ms.
const UNWANTED_MS: u64 = 10_000;

/// The bulk standing places of one class at all shards together are at most the bound divided by this, but one per shard.
const STANDING_SHARE: u32 = 8;

/// How much room a link has at the moment of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Maximum number of prepared messages; 0 when nothing may be granted at all.
    pub bound: u32,
    /// Free window slots, over all binds.
    pub slots: u32,
    /// Parts that the rate limits allow to be sent now.
    pub tokens: u32,
    /// Messages that the link holds and has not sent completely, by class.
    pub prepared: [u32; Class::COUNT],
    /// Messages on trial that take the places of bulk ones.
    pub beside: u32,
}

impl Room {
    /// Urgent messages that can be sent now.
    fn free(&self) -> u32 {
        self.bound.min(self.slots).min(self.tokens)
    }

    fn urgent_prepared(&self) -> u32 {
        sum(self.prepared, Class::is_urgent)
    }

    fn bulk_prepared(&self) -> u32 {
        sum(self.prepared, is_bulk) + self.beside
    }
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
    recalling: [bool; Class::COUNT],
    /// Until then the shard gets no standing places; see [`UNWANTED_MS`].
    unwanted_until: [Mono; Class::COUNT],
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
    /// Sums over all shards.
    demanded_out: [u32; Class::COUNT],
    standing_out: [u32; Class::COUNT],
    waiting: [u64; Class::COUNT],
    unplaced: [u64; Class::COUNT],
    idle_since: Option<Mono>,
}

impl Grants {
    /// A ledger without demands and grants.
    pub fn new(link: LinkId, shards: u8) -> Self {
        Self {
            link,
            accounts: vec![ShardPlaces::default(); usize::from(shards.max(1))],
            turn: 0,
            demanded_out: [0; Class::COUNT],
            standing_out: [0; Class::COUNT],
            waiting: [0; Class::COUNT],
            unplaced: [0; Class::COUNT],
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
        if returned > 0 && !account.recalling[at] {
            account.unwanted_until[at] = now.after_ms(UNWANTED_MS);
        }
        let handed_over = submitted.min(account.out[at]);
        let given_back = unused.min(account.out[at] - handed_over);
        account.out[at] -= handed_over + given_back;
        account.handed_over[at] += u64::from(handed_over);
        account.given_back[at] += u64::from(given_back);
        account.standing[at] = (account.standing[at] - standing_used - returned).min(account.out[at]);
        account.recalling[at] &= account.standing[at] > 0;
        self.count();
        missing
    }

    /// How many urgent messages need a slot and a token kept free for them, by class: those that were demanded, granted or not.
    pub fn urgent_expected(&self) -> [u64; Class::COUNT] {
        let expected = |class: Class| self.waiting[class.index()].max(self.demanded_out[class.index()].into());
        Class::ALL.map(|class| if class.is_urgent() { expected(class) } else { 0 })
    }

    /// How many demanded urgent messages have no place yet.
    pub fn urgent_ungranted(&self) -> u64 {
        sum(self.waiting, Class::is_urgent).saturating_sub(self.out().1.into())
    }

    /// The classes of which messages wait at a shard or are on their way.
    pub fn awaited(&self) -> [bool; Class::COUNT] {
        std::array::from_fn(|at| self.waiting[at] > 0 || self.demanded_out[at] > 0)
    }

    /// Places out at all shards: bulk and urgent without standing ones, standing.
    pub fn out(&self) -> (u32, u32, u32) {
        let demanded = |of| sum(self.demanded_out, of);
        (demanded(is_bulk), demanded(Class::is_urgent), sum(self.standing_out, |_| true))
    }

    /// Messages that wait at all shards, by their last demands.
    pub fn waiting(&self) -> u64 {
        sum(self.waiting, |_| true)
    }

    /// When standing places may have to be given.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.idle_since.map(|since| since.after_ms(IDLE_MS))
    }

    /// Decides which grants to give now, and appends them to `out`.
    pub fn decide(&mut self, room: Room, ceilings: &Ceilings, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        if room.bound == 0 {
            self.idle_since = None;
            self.recall(|_| true, out);
            return;
        }
        let before = (self.demanded_out, self.standing_out);
        self.stand_by(room, now, out);
        if sum(self.unplaced, Class::is_urgent) > 0 {
            let places = room.free().saturating_sub(self.out().1 + room.urgent_prepared());
            self.spread(Class::is_urgent, places, self.shares(room, ceilings), room, out);
        }
        let places = room.bound.saturating_sub(self.out().0 + room.bulk_prepared());
        let wanted = sum(self.unplaced, is_bulk);
        // Few large grants are better than one for each slot that becomes free: each costs a commit at its shard.
        if wanted > 0 && (places >= room.bound / 4 || wanted <= places.into()) {
            self.spread(is_bulk, places, self.shares(room, ceilings), room, out);
        }
        self.stand(room, now, out);
        debug_assert_eq!(self.check_granted(room, before), Ok(()), "the grants do not fit");
        debug_assert_eq!(self.check_shares(room, ceilings, before.0), Ok(()), "the grants do not fit");
    }

    /// How many places each class may have, those of its prepared messages included: urgent classes of the free slots, bulk
    /// ones of the bound. Against urgent classes only those bulk messages count that are here: a slot that is kept for one
    /// that may come later would keep an OTP waiting.
    fn shares(&self, room: Room, ceilings: &Ceilings) -> [u32; Class::COUNT] {
        let has = |at: usize| self.unplaced[at] + u64::from(self.demanded_out[at] + room.prepared[at]);
        let mut wanted = Class::ALL.map(|class| has(class.index()));
        let bulk = Class::ALL.map(|class| if is_bulk(class) { wanted[class.index()] } else { 0 });
        for class in Class::ALL.into_iter().filter(|class| is_bulk(*class)) {
            wanted[class.index()] = room.prepared[class.index()].into();
        }
        let of_slots = ceilings.shares(room.free(), wanted);
        let of_bound = ceilings.shares(room.bound.saturating_sub(room.beside), bulk);
        Class::ALL.map(|class| if is_bulk(class) { of_bound[class.index()] } else { of_slots[class.index()] })
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
        let total = |of: fn(&ShardPlaces, usize) -> u32| {
            Class::ALL.map(|class| self.accounts.iter().map(|account| of(account, class.index())).sum::<u32>())
        };
        let found =
            (total(|account, at| account.out[at] - account.standing[at]), total(|account, at| account.standing[at]));
        let counted = (self.demanded_out, self.standing_out);
        holds!(1, found == counted, "demanded and standing places out are {found:?}, counted as {counted:?}");
        Ok(())
    }

    /// Checks that new grants fit into `room`. `before`: demanded and standing places out before these grants, by class.
    fn check_granted(&self, room: Room, before: ([u32; Class::COUNT], [u32; Class::COUNT])) -> Sound {
        let (bulk, urgent, _) = self.out();
        let fits = bulk + room.bulk_prepared() <= room.bound;
        holds!(2, bulk <= sum(before.0, is_bulk) || fits, "{bulk} bulk places are out, after {before:?}, of {room:?}");
        let (standing, most) = (sum(self.standing_out, is_bulk), room.bound + self.standing_max(room.bound));
        let fits = bulk + room.bulk_prepared() + standing <= most;
        let is_new = standing > sum(before.1, is_bulk);
        holds!(2, !is_new || fits, "{standing} standing and {bulk} other bulk places are out, of {most}, of {room:?}");
        let fits = urgent + room.urgent_prepared() <= room.slots.min(room.tokens);
        let is_new = urgent > sum(before.0, Class::is_urgent);
        holds!(3, !is_new || fits, "{urgent} urgent places are out, after {before:?}, of {room:?}");
        Ok(())
    }

    /// Checks that no class got more than its share. `before`: demanded places out before these grants, by class.
    fn check_shares(&self, room: Room, ceilings: &Ceilings, before: [u32; Class::COUNT]) -> Sound {
        let shares = self.shares(room, ceilings);
        for class in Class::ALL {
            let at = class.index();
            let (has, had, share) = (self.demanded_out[at], before[at], shares[at]);
            let fits = has + room.prepared[at] <= share;
            holds!(
                4,
                has <= had || fits,
                "{has} places of {class:?} are out, after {had}; its share is {share} of {room:?}"
            );
        }
        Ok(())
    }

    /// Grants up to `places` places: class by class, each up to its share, and within a class in equal shares to the shards
    /// that want some.
    fn spread(
        &mut self,
        of: fn(Class) -> bool,
        places: u32,
        shares: [u32; Class::COUNT],
        room: Room,
        out: &mut Vec<(ShardId, Grant)>,
    ) {
        let mut places = places;
        for class in Class::ALL.into_iter().filter(|class| of(*class)) {
            let at = class.index();
            let most = places.min(shares[at].saturating_sub(self.demanded_out[at] + room.prepared[at]));
            let mut left = most;
            while left > 0 {
                let wanting = self.accounts.iter().filter(|account| account.wanted(class) > 0).count();
                if wanting == 0 {
                    break;
                }
                let share = (left / u32::try_from(wanting).unwrap_or(u32::MAX)).max(1);
                left = self.round(class, share, left, out);
            }
            places -= most - left;
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

    /// Gives every shard its standing places of bulk classes, as far as the messages that used some are sent.
    fn stand_by(&mut self, room: Room, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        let most = room.bound + self.standing_max(room.bound);
        let standing = sum(self.standing_out, is_bulk);
        let left = self.standing_max(room.bound).saturating_sub(standing);
        let mut places = most.saturating_sub(self.out().0 + room.bulk_prepared() + standing).min(left);
        let each = self.standing_each(room.bound);
        if places == 0 {
            return;
        }
        for class in Class::ALL.into_iter().filter(|class| is_bulk(*class)) {
            for at in 0..self.accounts.len() {
                let missing = self.accounts[at].lacks(class, each, now).min(places);
                places -= missing;
                self.leave_standing(at, class, missing, out);
            }
        }
        self.count();
    }

    /// How many standing places of a bulk class each shard has, at this bound.
    fn standing_each(&self, bound: u32) -> u32 {
        let shards = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        (bound / STANDING_SHARE / shards).clamp(1, STANDING_MAX)
    }

    /// How many standing places of bulk classes there are at this bound, over all shards.
    fn standing_max(&self, bound: u32) -> u32 {
        let shards = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let classes = Class::ALL.into_iter().filter(|class| is_bulk(*class)).count() as u32;
        self.standing_each(bound) * shards * classes
    }

    /// Gives standing places of urgent classes when the link has been idle, and recalls them when it gets busy.
    fn stand(&mut self, room: Room, now: Mono, out: &mut Vec<(ShardId, Grant)>) {
        let (bulk_out, urgent_out, _) = self.out();
        let in_hand = room.bulk_prepared() + room.urgent_prepared() + bulk_out + urgent_out;
        let idle = self.waiting() == 0 && in_hand == 0;
        if !idle {
            self.idle_since = None;
            let standing = sum(self.standing_out, Class::is_urgent);
            if standing > 0 && room.slots.min(room.tokens) <= standing {
                self.recall(Class::is_urgent, out);
            }
            return;
        }
        let shards = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let each = (room.slots.min(room.bound) / (2 * shards)).min(STANDING_MAX);
        let urgent = || Class::ALL.into_iter().filter(|class| class.is_urgent());
        if !self.accounts.iter().any(|account| urgent().any(|class| account.lacks(class, each, now) > 0)) {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        if now.since(since) < IDLE_MS * 1_000_000 {
            return;
        }
        self.idle_since = None;
        for at in 0..self.accounts.len() {
            for class in urgent() {
                let missing = self.accounts[at].lacks(class, each, now);
                self.leave_standing(at, class, missing, out);
            }
        }
        self.count();
    }

    fn leave_standing(&mut self, at: usize, class: Class, places: u32, out: &mut Vec<(ShardId, Grant)>) {
        if places > 0 {
            self.accounts[at].out[class.index()] += places;
            self.accounts[at].standing[class.index()] += places;
            self.tell(at, class, places, true, out);
        }
    }

    fn recall(&mut self, of: fn(Class) -> bool, out: &mut Vec<(ShardId, Grant)>) {
        for at in 0..self.accounts.len() {
            for class in Class::ALL.into_iter().filter(|class| of(*class)) {
                let account = &mut self.accounts[at];
                if account.standing[class.index()] > 0 && !account.recalling[class.index()] {
                    account.recalling[class.index()] = true;
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
        (self.demanded_out, self.standing_out) = Default::default();
        (self.waiting, self.unplaced) = Default::default();
        for account in &self.accounts {
            for (at, class) in Class::ALL.into_iter().enumerate() {
                self.demanded_out[at] += account.out[at] - account.standing[at];
                self.standing_out[at] += account.standing[at];
                self.waiting[at] += u64::from(account.waiting[at]);
                self.unplaced[at] += u64::from(account.wanted(class));
            }
        }
    }
}

impl ShardPlaces {
    /// Messages that wait and have no place yet. Standing places of urgent classes count as places; those of bulk classes are
    /// for other messages.
    fn wanted(&self, class: Class) -> u32 {
        let at = class.index();
        let places = if class.is_urgent() { self.out[at] } else { self.out[at] - self.standing[at] };
        self.waiting[at].saturating_sub(places)
    }

    /// How many standing places of a class the shard lacks of `each`, if it accepts them at present.
    fn lacks(&self, class: Class, each: u32, now: Mono) -> u32 {
        let at = class.index();
        let accepts = !self.recalling[at] && now >= self.unwanted_until[at];
        if accepts { each.saturating_sub(self.standing[at]) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CarrierId;

    const ROOM: Room = Room { bound: 8, slots: 8, tokens: 8, prepared: [0; Class::COUNT], beside: 0 };
    const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];
    const NONE: [u32; Class::COUNT] = [0; Class::COUNT];

    fn empty() -> Grants {
        Grants::new(LinkId { carrier: CarrierId(1), core: 0 }, 2)
    }

    fn decide(grants: &mut Grants, room: Room, at: Mono) -> Vec<(ShardId, Grant)> {
        let mut out = Vec::new();
        grants.decide(room, &Ceilings::default(), at, &mut out);
        assert_eq!(grants.check(), Ok(()));
        out
    }

    /// Two shards have demanded `waiting` places of each class and got what `room` allows.
    fn grants(waiting: u32, room: Room) -> Grants {
        let mut grants = empty();
        SHARDS.into_iter().for_each(|shard| grants.handle_demand(&Demand { shard, waiting: [waiting; Class::COUNT] }));
        decide(&mut grants, room, Mono(1));
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
            |grants| grants.demanded_out[2] -= 1,
            |grants| grants.accounts[0].standing[0] = u32::MAX,
        ];
        for (at, breaks) in breaks.into_iter().enumerate() {
            let mut grants = grants(1, ROOM);
            assert_eq!(grants.handle_batch(ShardId(0), Class::Otp, 1, 0, Mono(1)), 0);
            let missing = grants.handle_batch(ShardId(1), Class::Transactional, 3, 1, Mono(1));
            assert_eq!(missing, 2, "one was granted, and one stands");
            assert_eq!(grants.check(), Ok(()));
            breaks(&mut grants);
            assert_eq!(broken(grants.check()), Some(1), "{at}");
        }
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        // As if it had not known of a prepared message.
        let grants = grants(4, ROOM);
        let more = Room { prepared: [0, 0, 1, 0], ..ROOM };
        assert_eq!(grants.check_granted(ROOM, (NONE, NONE)), Ok(()));
        assert_eq!(broken(grants.check_granted(more, (NONE, NONE))), Some(2));
        let standing = grants.standing_out;
        let most = Room { prepared: [0, 0, 1, 0], bound: 9, ..ROOM };
        assert_eq!(grants.check_granted(most, (NONE, NONE)), Ok(()));
        assert_eq!(
            broken(grants.check_granted(more, (grants.demanded_out, NONE))),
            Some(2),
            "too many {standing:?} stand"
        );
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        let grants = grants(4, ROOM);
        for scarce in [Room { prepared: [0, 1, 0, 0], ..ROOM }, Room { slots: 7, ..ROOM }, Room { tokens: 7, ..ROOM }] {
            assert_eq!(broken(grants.check_granted(scarce, (NONE, NONE))), Some(3), "{scarce:?}");
        }
    }

    #[test]
    fn breaking_invariant_4_takes_the_share_of_another_class() {
        let mut grants = grants(100, Room { bound: 10, ..ROOM });
        let room = Room { bound: 10, ..ROOM };
        assert_eq!(grants.check_shares(room, &Ceilings::default(), NONE), Ok(()));
        assert_eq!(grants.demanded_out, [7, 1, 8, 2], "each fifth place of the less urgent classes");
        grants.demanded_out[2] += 1;
        assert_eq!(broken(grants.check_shares(room, &Ceilings::default(), NONE)), Some(4));
    }

    #[test]
    fn a_class_that_floods_leaves_the_others_their_share_of_the_places() {
        let mut grants = empty();
        let demand =
            |otp, transactional, marketing| Demand { shard: ShardId(0), waiting: [0, otp, transactional, marketing] };
        grants.handle_demand(&demand(1_000, 1_000, 0));
        let room = Room { bound: 100, slots: 100, tokens: 100, prepared: NONE, beside: 0 };
        decide(&mut grants, room, Mono(1));
        assert_eq!(grants.demanded_out, [0, 100, 100, 0], "no bulk message is here");
        grants.handle_batch(ShardId(0), Class::Otp, 100, 0, Mono(1));
        grants.handle_batch(ShardId(0), Class::Transactional, 100, 0, Mono(1));
        grants.handle_demand(&demand(1_000, 1_000, 1_000));
        decide(&mut grants, Room { prepared: [0, 0, 70, 0], ..room }, Mono(1));
        assert_eq!(grants.demanded_out, [0, 80, 10, 20]);
    }

    /// Found by the simulator: shards had more standing places from a time at which more messages could be prepared.
    #[test]
    fn a_lower_bound_leaves_no_more_standing_places_than_it_has() {
        let mut grants = Grants::new(LinkId { carrier: CarrierId(1), core: 0 }, 2);
        let wide = Room { bound: 64, slots: 0, tokens: 0, prepared: NONE, beside: 0 };
        decide(&mut grants, wide, Mono(1));
        grants.handle_batch(ShardId(0), Class::Transactional, 4, 0, Mono(1));
        grants.handle_batch(ShardId(0), Class::Marketing, 4, 0, Mono(1));
        grants.handle_batch(ShardId(1), Class::Marketing, 1, 0, Mono(1));
        assert_eq!(grants.standing_out, [0, 0, 4, 3]);
        grants.handle_batch(ShardId(1), Class::Transactional, 4, 0, Mono(1));
        grants.handle_demand(&Demand { shard: ShardId(0), waiting: [0, 0, 0, 9] });
        decide(&mut grants, Room { bound: 1, ..wide }, Mono(1));
        assert_eq!((sum(grants.standing_out, is_bulk), sum(grants.demanded_out, is_bulk)), (4, 1));
    }

    #[test]
    fn each_shard_has_standing_places_for_bulk_also_while_the_link_is_busy() {
        let (bulk, busy) = (Class::Transactional, Room { bound: 64, slots: 0, tokens: 0, prepared: NONE, beside: 0 });
        let mut grants = empty();
        grants.handle_demand(&Demand { shard: ShardId(0), waiting: [0, 0, 1_000, 0] });
        decide(&mut grants, busy, Mono(1));
        assert_eq!((grants.demanded_out, grants.standing_out), ([0, 0, 64, 0], [0, 0, 8, 8]));
        // Two messages use standing places, and the queue is full: they are given again when two are sent.
        grants.handle_batch(ShardId(0), bulk, 64, 0, Mono(1));
        grants.handle_batch(ShardId(1), bulk, 2, 0, Mono(1));
        assert_eq!(decide(&mut grants, Room { prepared: [0, 0, 66, 0], ..busy }, Mono(1)), []);
        let given = decide(&mut grants, Room { prepared: [0, 0, 64, 0], ..busy }, Mono(1));
        let grant = Grant { link: grants.link, class: bulk, messages: 2, standing: true };
        assert_eq!(given, [(ShardId(1), grant)]);
        // When nothing can be sent they are recalled, once; who gives them back without that gets none for a while.
        assert_eq!(decide(&mut grants, Room { bound: 0, ..busy }, Mono(1)).len(), 4);
        assert_eq!(decide(&mut grants, Room { bound: 0, ..busy }, Mono(1)), []);
        for class in [bulk, Class::Marketing] {
            for shard in SHARDS {
                grants.handle_batch(shard, class, 0, 4, Mono(1));
            }
        }
        assert_eq!(decide(&mut grants, Room { bound: 1, ..busy }, Mono(1)).len(), 4, "one each");
        grants.handle_batch(ShardId(1), bulk, 0, 1, Mono(1));
        assert_eq!(decide(&mut grants, Room { bound: 1, ..busy }, Mono(1)), []);
        assert_eq!(decide(&mut grants, Room { bound: 1, ..busy }, Mono(1).after_ms(UNWANTED_MS)).len(), 1);
    }
}
