//! Messages that handsets write, and what must be true of them: each text that was answered is kept once, and joined
//! when all of its parts were. Carriers bring the parts in any order, over any bind, some twice; now and then one never
//! comes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::model::Prng;
use crate::shard::{Bounds, Options as ShardOptions};
use crate::store::backend::{Reader, Space};
use crate::store::memory::MemoryReader;
use crate::store::record::{HandsetRecord, JoiningRecord, PartRecord, decode};
use stentor_smpp::pdu::{Address, EsmClass, ShortMessage};
use stentor_smpp::tlv::{TlvTag, TlvWriter, Tlvs};
use stentor_smpp::udh::Concatenation;

use super::agenda::{MS, SECOND};
use super::plan::{Plan, pick};
use super::stage::Stage;
use super::tally::{Count, Tally};

/// Number of handsets, told apart by the last digit of their numbers: few, so that they use the same references.
const HANDSETS: u64 = 3;
const FIRST_HANDSET: u64 = 4_915_199_900_000;
const TO: [&str; 2] = ["12345", "+491990"];
/// All parts of a message come within this time, ns.
const APART_NS: u64 = 4 * SECOND;

/// How a carrier numbers parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbering {
    Udh8,
    Udh16,
    Sar,
}

/// A message as its handset wrote it.
#[derive(Clone, Copy, Debug)]
struct Letter {
    from: u64,
    to: &'static str,
    reference: u16,
    parts: u8,
    numbering: Numbering,
    data_coding: u8,
}

/// A part of such a message on its way to us, until it is answered.
#[derive(Clone, Copy, Debug)]
pub struct PartSent {
    /// The carrier that brings it, by index.
    pub carrier: usize,
    /// Its message, by index.
    pub message: u32,
    /// Number of the part, from 1.
    pub part: u8,
    letter: Letter,
}

impl PartSent {
    /// Writes it as it goes over the wire.
    pub fn write<T>(&self, send: impl FnOnce(&ShortMessage<'_>) -> T) -> T {
        let Letter { from, to, reference, parts, numbering, data_coding } = self.letter;
        let (mut text, mut tlvs, mut esm_class) = (Vec::new(), Vec::new(), EsmClass::DEFAULT);
        let wide = numbering == Numbering::Udh16;
        if parts > 1 && numbering == Numbering::Sar {
            let mut writer = TlvWriter::new(&mut tlvs);
            writer.u16(TlvTag::SAR_MSG_REF_NUM, reference).u8(TlvTag::SAR_TOTAL_SEGMENTS, parts);
            writer.u8(TlvTag::SAR_SEGMENT_SEQNUM, self.part);
        } else if parts > 1 {
            esm_class = EsmClass::UDHI;
            text.push(Concatenation::len(wide) as u8);
            Concatenation { reference, total: parts, number: self.part, wide }.write(&mut text);
        }
        text.extend(text_of(self.message, self.part));
        let digits = from.to_string();
        send(&ShortMessage {
            source: Address { ton: 1, npi: 1, digits: digits.as_bytes() },
            destination: Address { ton: 0, npi: 1, digits: to.as_bytes() },
            esm_class,
            data_coding,
            short_message: &text,
            tlvs: Tlvs::new(&tlvs),
            ..ShortMessage::default()
        })
    }
}

fn text_of(message: u32, part: u8) -> Vec<u8> {
    format!("{message}.{part};").into_bytes()
}

/// The parts of which a text consists: message and part.
fn parts_of(text: &[u8]) -> Option<Vec<(u32, u8)>> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix(';')?;
    let one = |part: &str| {
        let (message, part) = part.split_once('.')?;
        Some((message.parse().ok()?, part.parse().ok()?))
    };
    text.split(';').map(one).collect()
}

/// Plans the handsets of a world. Uses a random sequence of its own, so that the rest of the plan stays as it is.
pub fn plan(plan: &mut Plan, chance: &mut Prng) {
    if chance.chance(300_000) {
        return;
    }
    plan.handsets = chance.between(1, 15) as u32;
    let shard = &mut plan.shard;
    match chance.below(5) {
        0 => shard.bounds.joining_max = chance.between(1, 3) as usize,
        1 => shard.joining_ms = chance.between(500, 10_000),
        _ => {}
    }
}

/// A handset writes a message: gives its parts, and when each is to come.
pub fn write(plan: &Plan, stage: &mut Stage) -> Vec<(u64, PartSent)> {
    let chance = &mut stage.handset_chance;
    let present: Vec<usize> = (0..plan.carriers.len()).filter(|at| !plan.carriers[*at].absent).collect();
    if present.is_empty() {
        return Vec::new();
    }
    let carrier = *pick(chance, &present);
    let letter = Letter {
        from: FIRST_HANDSET + chance.below(HANDSETS),
        to: TO[chance.below(TO.len() as u64) as usize],
        reference: 0,
        parts: chance.between(1, 3) as u8,
        numbering: *pick(chance, &[Numbering::Udh8, Numbering::Udh16, Numbering::Sar]),
        data_coding: *pick(chance, &[0, 3, 8]),
    };
    let (message, letter) = stage.oracle.handsets.written(letter);
    let mut sent = Vec::new();
    for part in 1..=letter.parts {
        let copies = match chance.below(12) {
            0 if letter.parts > 1 => 0,
            1 | 2 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            sent.push((chance.below(APART_NS).max(MS), PartSent { carrier, message, part, letter }));
        }
    }
    sent
}

/// What was seen of one message, by part.
#[derive(Clone, Debug)]
struct Seen {
    letter: Letter,
    /// How often each part was delivered to us.
    delivered: Vec<u32>,
    /// Whether we answered that the part is kept.
    answered: Vec<bool>,
}

/// What was seen of messages from handsets.
#[derive(Clone, Debug, Default)]
pub struct HandsetsSeen {
    messages: Vec<Seen>,
}

/// How often each part is kept, and how often each message is kept joined.
#[derive(Debug, Default)]
struct Kept {
    parts: BTreeMap<(u32, u8), u32>,
    whole: BTreeMap<u32, u32>,
}

impl HandsetsSeen {
    fn written(&mut self, letter: Letter) -> (u32, Letter) {
        let of_same = self.messages.iter().filter(|seen| seen.letter.from == letter.from).count();
        let letter = Letter { reference: of_same as u16, ..letter };
        let parts = usize::from(letter.parts);
        self.messages.push(Seen { letter, delivered: vec![0; parts], answered: vec![false; parts] });
        (self.messages.len() as u32 - 1, letter)
    }

    /// A part is sent to us.
    pub fn delivered(&mut self, part: &PartSent) {
        self.messages[part.message as usize].delivered[usize::from(part.part) - 1] += 1;
    }

    /// We answered that it is kept.
    pub fn answered(&mut self, part: &PartSent) {
        self.messages[part.message as usize].answered[usize::from(part.part) - 1] = true;
    }

    /// A restore goes back to what had been seen then; parts sent since may have been kept before, or may be kept again.
    pub fn restored(&mut self, then: &Self) {
        for (at, seen) in self.messages.iter_mut().enumerate() {
            match then.messages.get(at) {
                Some(before) => seen.answered.clone_from(&before.answered),
                None => seen.answered.fill(false),
            }
        }
    }

    /// Judges everything that shards with these options hold.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, stores: &[MemoryReader], options: &ShardOptions, tally: &mut Tally) -> Result<(), String> {
        let mut kept = Kept::default();
        for store in stores {
            for bytes in values(store, Space::Handset) {
                let record: HandsetRecord = decode(&bytes).map_err(|error| error.to_string())?;
                self.judge_record(&record, &mut kept).map_err(|why| format!("{why}: {record:?}"))?;
                tally.add_many(Count::HandsetsJoined, u64::from(record.parts > 1 && record.missing.is_empty()));
                tally.add_many(Count::HandsetsGivenUp, u64::from(!record.missing.is_empty()));
            }
            for bytes in values(store, Space::Joining) {
                match decode(&bytes).map_err(|error| error.to_string())? {
                    JoiningRecord::Part(part) => self.judge_part(&part, &mut kept)?,
                    JoiningRecord::Told { .. } => {}
                }
            }
        }
        self.judge_kept(&kept, options)
    }

    fn judge_record(&self, record: &HandsetRecord, kept: &mut Kept) -> Result<(), &'static str> {
        let parts = parts_of(&record.text).ok_or("it is no text that a handset wrote")?;
        let message = parts[0].0;
        let letter = self.messages.get(message as usize).ok_or("no handset wrote it")?.letter;
        let HandsetRecord { from, data_coding, ref to, ref header, .. } = *record;
        if (letter.from, letter.to.as_bytes(), letter.data_coding) != (from, to.as_slice(), data_coding)
            || letter.parts != record.parts
            || !header.is_empty()
        {
            return Err("it is not as it was written");
        }
        let mut expected = Vec::new();
        for part in 1..=letter.parts {
            match record.missing.iter().find(|(missing, _)| *missing == part) {
                Some((_, at)) if *at as usize != expected.len() => return Err("a part is missing elsewhere"),
                Some(_) => {}
                None => expected.extend(text_of(message, part)),
            }
        }
        if expected != record.text {
            return Err("its parts are not joined as they must be");
        }
        parts.iter().for_each(|part| *kept.parts.entry(*part).or_default() += 1);
        *kept.whole.entry(message).or_default() += u32::from(record.missing.is_empty());
        Ok(())
    }

    fn judge_part(&self, record: &PartRecord, kept: &mut Kept) -> Result<(), String> {
        match parts_of(&record.text).as_deref() {
            Some(&[(message, part)]) if part == record.part && (message as usize) < self.messages.len() => {
                *kept.parts.entry((message, part)).or_default() += 1;
                Ok(())
            }
            _ => Err(format!("no handset wrote {record:?}")),
        }
    }

    fn judge_kept(&self, kept: &Kept, options: &ShardOptions) -> Result<(), String> {
        // A message that is given up early is stored in pieces, and a part that is delivered again later is another piece.
        let usual = (Bounds::DEFAULT.joining_max, ShardOptions::default().joining_ms);
        let waits = (options.bounds.joining_max, options.joining_ms) == usual;
        for (message, seen) in self.messages.iter().enumerate() {
            for (at, (delivered, answered)) in seen.delivered.iter().zip(&seen.answered).enumerate() {
                let part = at as u8 + 1;
                let copies = kept.parts.get(&(message as u32, part)).copied().unwrap_or(0);
                // A whole message that is delivered again counts as a new one: nothing tells them apart.
                let most = if waits && seen.letter.parts > 1 { 1.min(*delivered) } else { *delivered };
                if copies > most || *answered && copies == 0 {
                    let told = format!("delivered {delivered} times, answered {answered}");
                    return Err(format!("part {part} of {message} is kept {copies} times: {told}, {seen:?}"));
                }
            }
            let whole = kept.whole.get(&(message as u32)).copied().unwrap_or(0);
            if waits && whole == 0 && seen.answered.iter().all(|answered| *answered) {
                return Err(format!("{message} was answered whole, and is not joined: {seen:?}"));
            }
        }
        Ok(())
    }
}

fn values(store: &MemoryReader, space: Space) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    // A store in memory is read without failing; if it left something out, the judgement would notice it as missing.
    let _ = store.range(space, &[0], &[u8::MAX; 13], usize::MAX, &mut |_, value| {
        found.push(value.to_vec());
        ControlFlow::Continue(())
    });
    found
}
