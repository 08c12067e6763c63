//! The messages of one request on their way to shards: each accepted message is charged to its tenant and put into a
//! frame for its shard. Does not carry frames or results: the door does.
//!
//! A message with a key may have been taken before, and then it was paid for at that time. So when the quota is used
//! up, a message with a key still goes to its shard, unpaid, to learn whether it was taken before. A paid message that
//! turns out to be known pays for one of the unpaid messages of its frame.
//!
//! Invariants:
//! 1. A message that is taken has one place in one frame, and is charged once at most.
//! 2. A frame is a small part of a shard's turn: the shard handles it as one event, and other events are handled
//!    between two frames.
//! 3. The frames of one request to one shard, and the messages in them, keep the order of the request.

use super::{
    judge::Meant,
    meter::{Charge, Limit, Meter, UsedUp},
};
use crate::model::invariant::WALKED_MAX;
use crate::model::{Frame, Head, KeyPrint, Line, Now, RouteId, ShardId, Sound, holds, limits};

/// Most messages in one frame: a shard needs about a third of a millisecond for them.
pub const FRAME_MESSAGES_MAX: usize = 1_024;
/// Most bytes of content in one frame, unless one message alone is larger.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

const _: () =
    assert!(FRAME_MESSAGES_MAX <= limits::TURN_MESSAGES_MAX / 4 && FRAME_BYTES_MAX <= limits::TURN_BYTES_MAX / 4);

/// Messages for one shard.
#[derive(Debug)]
pub struct Parcel {
    /// The shard that it goes to.
    pub shard: ShardId,
    /// The frame; the door fills in its `reply`.
    pub frame: Frame,
}

impl Parcel {
    /// Bytes of memory that it takes.
    pub fn held_bytes(&self) -> usize {
        let Frame { heads, keys, arena, .. } = &self.frame;
        heads.capacity() * size_of::<Head>() + keys.capacity() * size_of::<Line>() + arena.capacity()
    }
}

/// The position of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the parcel in the request's list of parcels.
    pub parcel: u32,
    /// Index of the message in the parcel's frame.
    pub index: u32,
}

/// The shard and route of a message, and its fingerprint.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The shard of its recipient.
    pub shard: ShardId,
    /// The route that the message was assigned.
    pub route: RouteId,
    /// Fingerprint of its key, if it has one.
    pub print: Option<KeyPrint>,
}

/// An estimate of what a whole request holds, used to reserve memory and to borrow from the limits.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// Messages; 1 means certainly no more than one.
    pub messages: usize,
    /// Bytes of content, all messages together.
    pub bytes: usize,
}

/// Collects the messages of one request into parcels, and charges them.
#[derive(Debug)]
pub struct Intake {
    parcels: Vec<Parcel>,
    /// By shard: the index of the parcel that takes the shard's next message; [`NOT_OPEN`] if the shard has none yet.
    open: Vec<u32>,
    charge: Charge,
    taken: u64,
}

const NOT_OPEN: u32 = u32::MAX;

impl Intake {
    /// Starts a request of the tenant that `meter` belongs to, for an installation of `shards` shards.
    pub fn new(meter: &Meter, shards: u8) -> Self {
        Self { parcels: Vec::new(), open: vec![NOT_OPEN; usize::from(shards)], charge: meter.open(), taken: 0 }
    }

    /// Takes a message. `outlook` is called only when memory is reserved or more is borrowed from the limits.
    ///
    /// # Errors
    /// [`UsedUp`]: the message is not taken. Later messages of the request are taken only if they have a key and the limit
    /// is the quota.
    pub fn take(
        &mut self,
        meant: &Meant<'_>,
        target: Target,
        now: Now,
        outlook: impl Fn() -> Outlook,
    ) -> Result<Place, UsedUp> {
        let taken = self.taken;
        let charged = self.charge.take(now, || (outlook().messages as u64).saturating_sub(taken));
        let is_paid = match charged {
            Ok(()) => true,
            Err(UsedUp { limit: Limit::Quota, .. }) if target.print.is_some() => false,
            Err(used_up) => return Err(used_up),
        };
        self.taken += u64::from(is_paid);
        let parcel = self.parcel_for(target.shard, outlook);
        let frame = &mut self.parcels[parcel as usize].frame;
        let index = frame.heads.len() as u32;
        frame.unpaid += u32::from(!is_paid);
        let content_at = frame.arena.len() as u32;
        meant.content.encode(&mut frame.arena);
        let content_len = frame.arena.len() as u32 - content_at;
        frame.heads.push(Head { route: target.route, content_at, content_len, ..meant.head });
        if let Some(print) = target.print {
            frame.keys.push(Line { index, print });
        }
        Ok(Place { parcel, index })
    }

    /// The parcel that takes the shard's next message.
    fn parcel_for(&mut self, shard: ShardId, outlook: impl FnOnce() -> Outlook) -> u32 {
        let shards = self.open.len();
        let current = self.open[usize::from(shard.0)];
        let has_room = self.parcels.get(current as usize).is_some_and(|Parcel { frame, .. }| {
            frame.heads.len() < FRAME_MESSAGES_MAX && frame.arena.len() < FRAME_BYTES_MAX
        });
        if !has_room {
            let Outlook { messages, bytes } = outlook();
            let share = |whole: usize| if messages == 1 { whole } else { whole / shards * 9 / 8 + 1 };
            let heads = Vec::with_capacity(share(messages).min(FRAME_MESSAGES_MAX));
            let arena = Vec::with_capacity(share(bytes).min(FRAME_BYTES_MAX + limits::BODY_BYTES_MAX));
            self.open[usize::from(shard.0)] = self.parcels.len() as u32;
            self.parcels.push(Parcel { shard, frame: Frame { heads, arena, ..Frame::default() } });
        }
        self.open[usize::from(shard.0)]
    }

    /// Checks the invariants.
    fn check(&self) -> Sound {
        let unpaid: u64 = self.parcels.iter().map(|parcel| u64::from(parcel.frame.unpaid)).sum();
        let messages: u64 = self.parcels.iter().map(|parcel| parcel.frame.heads.len() as u64).sum();
        let (taken, charged) = (self.taken, self.charge.taken());
        holds!(1, messages == charged + unpaid, "{messages} messages, {charged} charged, {unpaid} unpaid");
        holds!(1, taken == charged, "{taken} messages count as charged, {charged} are");
        for (at, current) in self.open.iter().enumerate() {
            let last = self.parcels.iter().rposition(|parcel| usize::from(parcel.shard.0) == at);
            let current = Some(*current as usize).filter(|_| *current != NOT_OPEN);
            holds!(3, current == last, "shard {at} has its last frame at {last:?}, and the next goes to {current:?}");
        }
        for Parcel { frame, .. } in self.parcels.iter().take(WALKED_MAX / FRAME_MESSAGES_MAX) {
            let (messages, bytes) = (frame.heads.len(), frame.arena.len());
            let last_bytes = frame.heads.last().map_or(0, |head| head.content_len as usize);
            let is_small = messages <= FRAME_MESSAGES_MAX && bytes.saturating_sub(last_bytes) < FRAME_BYTES_MAX;
            holds!(2, is_small, "a frame has {messages} messages, {bytes} bytes, the last of them {last_bytes}");
            let mut bytes = 0;
            for head in &frame.heads {
                let from = head.content_at;
                holds!(3, from == bytes, "what comes next in a frame was said at {from}, not at {bytes}");
                bytes += head.content_len;
            }
            holds!(1, bytes as usize == frame.arena.len(), "a frame has {bytes} bytes of its messages");
            let is_in_order = frame.keys.is_sorted_by(|a, b| a.index < b.index);
            holds!(3, is_in_order, "the keys of a frame are not in order");
        }
        Ok(())
    }

    /// The limit that is used up, so that nothing more is charged; `None`: no limit is reached.
    pub const fn used_up(&self) -> Option<UsedUp> {
        self.charge.used_up()
    }

    /// Messages that were charged.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of memory that it takes.
    pub fn held_bytes(&self) -> usize {
        self.parcels.iter().map(Parcel::held_bytes).sum()
    }

    /// Ends the request: its frames, and the charge for them.
    pub fn finish(self) -> (Vec<Parcel>, Charge) {
        debug_assert_eq!(self.check(), Ok(()), "see the top of this file");
        let Self { mut parcels, open, mut charge, .. } = self;
        let mut frames = vec![0_u32; open.len()];
        for Parcel { shard, .. } in &parcels {
            frames[usize::from(shard.0)] += 1;
        }
        for Parcel { shard, frame } in &mut parcels {
            frame.alone = frames[usize::from(shard.0)] == 1;
        }
        charge.close();
        (parcels, charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, Mono, Msisdn, Period, Wall};

    use super::super::meter::Quota;

    const NOW: Now = Now { mono: Mono(1), wall: Wall(1_782_907_200_000) };
    const MANY: Outlook = Outlook { messages: 3_000, bytes: 60_000 };

    fn meant(number: u64) -> Meant<'static> {
        let to = Msisdn::from_number(4_915_112_345_000 + number).expect("a number");
        Meant { head: Head { to, ..Head::default() }, content: Content { body: b"hi", ..Content::default() } }
    }

    fn to(shard: u8) -> Target {
        Target { shard: ShardId(shard), route: RouteId(7), print: None }
    }

    #[test]
    fn every_message_stands_where_it_was_said_and_in_order() {
        let mut intake = Intake::new(&Meter::default(), 3);
        let places: Vec<Place> = (0..3_000_u64)
            .map(|number| {
                let shard = u8::from(number >= 2_500);
                let print = (number % 2 == 0).then_some(KeyPrint { key: number.into(), content: 0 });
                intake.take(&meant(number), Target { print, ..to(shard) }, NOW, || MANY).expect("no limit")
            })
            .collect();
        assert_eq!(intake.taken(), 3_000);
        let (parcels, _) = intake.finish();
        let shape: Vec<_> =
            parcels.iter().map(|parcel| (parcel.shard.0, parcel.frame.heads.len(), parcel.frame.alone)).collect();
        assert_eq!(shape, [(0, 1_024, false), (0, 1_024, false), (0, 452, false), (1, 500, true)]);
        for (number, place) in (0..).zip(places) {
            let frame = &parcels[place.parcel as usize].frame;
            let head = frame.heads[place.index as usize];
            assert_eq!((head.to, head.route), (meant(number).head.to, RouteId(7)));
            let from = head.content_at as usize;
            let content = Content::decode(&frame.arena[from..from + head.content_len as usize]);
            assert_eq!(content, Ok(meant(number).content));
            let key = frame.keys.iter().find(|line| line.index == place.index).map(|line| line.print.key);
            assert_eq!(key, (number % 2 == 0).then_some(number.into()));
        }
    }

    /// As after messages for two shards; then `breaks` damages something. Gives the number of the broken invariant.
    fn broken(breaks: impl FnOnce(&mut Intake)) -> Option<u8> {
        let mut intake = Intake::new(&Meter::default(), 2);
        for number in 0..2_000 {
            let print = Some(KeyPrint { key: number.into(), content: 0 });
            let target = Target { print, ..to(u8::from(number % 4 == 0)) };
            intake.take(&meant(number), target, NOW, || MANY).expect("no limit");
        }
        assert_eq!((intake.parcels.len(), intake.check()), (3, Ok(())));
        breaks(&mut intake);
        intake.check().err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        assert_eq!(broken(|intake| intake.charge.take(NOW, || 1).expect("no limit")), Some(1), "one is charged twice");
        assert_eq!(broken(|intake| intake.taken += 1), Some(1));
        assert_eq!(
            broken(|intake| {
                intake.parcels[0].frame.heads.pop();
            }),
            Some(1)
        );
        assert_eq!(broken(|intake| intake.parcels[2].frame.arena.push(0)), Some(1));
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        // As if the limit of a frame had not been checked.
        let more = |intake: &mut Intake| {
            let full = intake.parcels.iter().position(|parcel| parcel.frame.heads.len() == FRAME_MESSAGES_MAX);
            let (from, to) = (2, full.expect("one is full"));
            let frame = &mut intake.parcels[from].frame;
            let (head, bytes) = (frame.heads.pop().expect("there"), frame.arena.len());
            frame.arena.truncate(bytes - head.content_len as usize);
            intake.parcels[to].frame.heads.push(head);
        };
        assert_eq!(broken(more), Some(2));
        let large = |intake: &mut Intake| {
            let frame = &mut intake.parcels[0].frame;
            frame.heads[0].content_len += FRAME_BYTES_MAX as u32;
            frame.arena.resize(frame.arena.len() + FRAME_BYTES_MAX, 0);
        };
        assert_eq!(broken(large), Some(2));
    }

    #[test]
    fn breaking_invariant_3_is_noticed() {
        assert_eq!(broken(|intake| intake.parcels[0].frame.heads.swap(0, 1)), Some(3));
        assert_eq!(broken(|intake| intake.parcels[0].frame.keys.swap(0, 1)), Some(3));
        assert_eq!(broken(|intake| intake.open[0] = intake.open[1]), Some(3));
    }

    #[test]
    fn taken_is_what_fits_and_that_is_charged_once() {
        let meter = Meter::new(None, Some(Quota { messages: 5, period: Period::Day }));
        let mut intake = Intake::new(&meter, 1);
        let places: Vec<_> = (0..9).map(|number| intake.take(&meant(number), to(0), NOW, || MANY)).collect();
        let limits = places.iter().filter_map(|place| place.err()).map(|used_up| used_up.limit);
        assert_eq!(limits.collect::<Vec<_>>(), [Limit::Quota; 4]);
        let (parcels, charge) = intake.finish();
        assert_eq!((parcels[0].frame.heads.len(), meter.used(NOW.wall)), (5, 5));
        drop(charge);
        assert_eq!(meter.used(NOW.wall), 0, "no shard was asked for them");
        let keyed = Target { print: Some(KeyPrint { key: 1, content: 0 }), ..to(0) };
        let mut intake = Intake::new(&meter, 1);
        let places: Vec<_> = (0..7).map(|number| intake.take(&meant(number), keyed, NOW, || MANY)).collect();
        assert!(places.iter().all(Result::is_ok), "each may have been taken before");
        assert_eq!((intake.taken(), intake.used_up().map(|used_up| used_up.limit)), (5, Some(Limit::Quota)));
        let (parcels, charge) = intake.finish();
        drop(charge);
        let frame = &parcels[0].frame;
        assert_eq!((frame.heads.len(), frame.unpaid, frame.paid()), (7, 2, 5));
        assert!(Intake::new(&meter, 1).take(&meant(0), to(0), NOW, || MANY).is_ok());
        assert_eq!(meter.used(NOW.wall), 0, "nor was what a request left behind");
    }
}
