//! Carriers' message ids: the key under which a caller stores one, and the keys under which to look for a receipt's id.
//!
//! Knows: how carriers write the same id differently in `submit_sm_resp` and in the receipt, and which form a carrier has
//! been observed to use. Refuses to know: what is stored under a key, and to whom the message belongs.
//!
//! **Stability.** Callers store the values of [`id_key`] on disk. So neither it nor [`id_hash`] may ever return other
//! values; the tests compare them with fixed values.

use super::receipt::trimmed;

/// The longest id that is converted between decimal and hexadecimal: the limit of SMPP 3.4 for a message id.
const ID_MAX: usize = 64;

/// Decimal digits of the largest number with [`ID_MAX`] hexadecimal digits.
const DECIMAL_MAX: usize = 78;

/// A 64-bit hash of bytes, keyed by a seed. It does not resist deliberate collisions, which is acceptable because carriers
/// choose the ids.
///
/// Words of 8 bytes, little endian, the last one padded with zeros, the length mixed in first; multiply and fold.
pub const fn id_hash(seed: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = fold(seed ^ ODD, bytes.len() as u64 ^ 0xD6E8_FEB8_6659_FD93);
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash = fold(hash ^ u64::from_le_bytes(*word), ODD);
        rest = after;
    }
    let (mut last, mut at) = (0u64, 0);
    while at < rest.len() {
        last |= (rest[at] as u64) << (8 * at);
        at += 1;
    }
    fold(hash ^ last, 0xA076_1D64_78BD_642F)
}

const fn fold(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    product as u64 ^ (product >> 64) as u64 ^ one.rotate_left(29)
}

/// The key under which to store a message, from the id in its `submit_sm_resp`. `seed` separates carriers, or groups of
/// carriers that share ids.
///
/// It is the hash of the canonical form: in lower case, without blanks and NULs at both ends, a number without `0x` and
/// leading zeros. Two ids that differ only in case have the same key, because some carriers change the case; the caller must
/// then tell their messages apart by the phone numbers in the receipts.
pub fn id_key(seed: u64, id: &[u8]) -> u64 {
    let mut space = [0; ID_MAX];
    id_hash(seed, canonical(id, &mut space))
}

/// The canonical form: written into `space`, or the id itself if nothing changes or it is too long.
fn canonical<'a>(id: &'a [u8], space: &'a mut [u8; ID_MAX]) -> &'a [u8] {
    let id = bare(id);
    folded(id, Shape::of(id), space)
}

fn folded<'a>(id: &'a [u8], shape: Shape, space: &'a mut [u8; ID_MAX]) -> &'a [u8] {
    if !shape.has_upper {
        return id;
    }
    let Some(lower) = space.get_mut(..id.len()) else {
        return id;
    };
    lower.copy_from_slice(id);
    lower.make_ascii_lowercase();
    lower
}

/// The id without blanks around it; a number also without `0x` and leading zeros.
fn bare(id: &[u8]) -> &[u8] {
    let id = trimmed(id);
    match id.strip_prefix(b"0x").or_else(|| id.strip_prefix(b"0X")) {
        Some(number) if !number.is_empty() && number.iter().all(u8::is_ascii_hexdigit) => without_zeros(number),
        Some(_) | None => without_zeros(id),
    }
}

/// A number without its leading zeros, but with at least one digit; any other id unchanged.
fn without_zeros(id: &[u8]) -> &[u8] {
    if !id.starts_with(b"0") || !id.iter().all(u8::is_ascii_hexdigit) {
        return id;
    }
    let zeros = id.iter().take_while(|&&byte| byte == b'0').count();
    id.get(zeros.min(id.len() - 1)..).unwrap_or(id)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    decimal: bool,
    has_upper: bool,
}

impl Shape {
    fn of(id: &[u8]) -> Self {
        let mut shape = Self { decimal: true, has_upper: false };
        for byte in id {
            shape.decimal &= byte.is_ascii_digit();
            shape.has_upper |= byte.is_ascii_uppercase();
        }
        shape
    }
}

/// How the id in a receipt relates to the id in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IdRelation {
    /// The same id, except for case, leading zeros and blanks.
    Same = 0,
    /// Decimal in the receipt, hexadecimal in the response.
    DecimalToHex = 1,
    /// Hexadecimal in the receipt, decimal in the response.
    HexToDecimal = 2,
}

impl IdRelation {
    /// Every form, in the order in which they are tried for an unknown carrier.
    pub const ALL: [Self; 3] = [Self::Same, Self::DecimalToHex, Self::HexToDecimal];

    /// The form that relates a receipt's id to a response's id, if there is one. For callers that have both raw ids.
    pub fn between(receipt: &[u8], response: &[u8]) -> Option<Self> {
        let key = id_key(0, response);
        Candidates::of(0, receipt, Self::ALL, Proof::Nothing)
            .find(|candidate| candidate.key == key)
            .map(|found| found.form)
    }
}

/// A key under which the message of a receipt may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// To be passed to [`Dialect::observe`] if the message is found under this key.
    pub form: IdRelation,
    /// A key as returned by [`id_key`].
    pub key: u64,
    /// True if the carrier is known to write ids in this form. If false, the match is a guess, and the caller must confirm it
    /// by the recipient.
    pub is_proof: bool,
}

/// Which forms count as proof.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Nothing,
    Form(IdRelation),
    /// The first form in which the id can be read; no other is tried.
    First,
}

/// The keys to look for, likeliest first, without duplicates; one to three. Each is computed on demand, since the first one
/// nearly always matches.
#[derive(Debug, Clone)]
pub struct Candidates<'a> {
    seed: u64,
    id: &'a [u8],
    shape: Shape,
    order: std::array::IntoIter<IdRelation, 3>,
    proof: Proof,
    given: [u64; 3],
    len: usize,
}

impl<'a> Candidates<'a> {
    fn of(seed: u64, id: &'a [u8], order: [IdRelation; 3], proof: Proof) -> Self {
        let id = bare(id);
        Self { seed, id, shape: Shape::of(id), order: order.into_iter(), proof, given: [0; 3], len: 0 }
    }

    fn key(&self, form: IdRelation) -> Option<u64> {
        match form {
            IdRelation::Same => Some(id_hash(self.seed, folded(self.id, self.shape, &mut [0; ID_MAX]))),
            IdRelation::DecimalToHex if self.shape.decimal => {
                convert::<10, 16>(self.id, &mut [0; DECIMAL_MAX]).map(|hexadecimal| id_hash(self.seed, hexadecimal))
            }
            IdRelation::DecimalToHex => None,
            IdRelation::HexToDecimal => {
                convert::<16, 10>(self.id, &mut [0; DECIMAL_MAX]).map(|decimal| id_hash(self.seed, decimal))
            }
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = Candidate;

    fn next(&mut self) -> Option<Candidate> {
        if self.len > 0 && matches!(self.proof, Proof::First) {
            return None;
        }
        loop {
            let form = self.order.next()?;
            let Some(key) = self.key(form) else { continue };
            if self.given.iter().take(self.len).any(|earlier| *earlier == key) {
                continue;
            }
            if let Some(place) = self.given.get_mut(self.len) {
                *place = key;
                self.len += 1;
            }
            let is_proof = match self.proof {
                Proof::Nothing => false,
                Proof::Form(known) => form == known,
                Proof::First => true,
            };
            return Some(Candidate { form, key, is_proof });
        }
    }
}

/// A number converted from one base to the other, in lower case and without leading zeros; `None` if it is not a number of
/// base `FROM` or is longer than a message id may be.
fn convert<'a, const FROM: u32, const TO: u32>(digits: &[u8], space: &'a mut [u8; DECIMAL_MAX]) -> Option<&'a [u8]> {
    if digits.is_empty() || digits.len() > ID_MAX {
        return None;
    }
    // Limbs in base TO^k, least significant first, with k digits each: the largest power that cannot overflow.
    let digits_per_limb: u32 = if TO == 16 { 7 } else { 8 };
    let limb_base = u64::from(TO).pow(digits_per_limb);
    let mut limbs = [0u64; 12];
    let mut used = 1;
    for &digit in digits {
        let mut carry = u64::from(char::from(digit).to_digit(FROM)?);
        for limb in limbs.get_mut(..used)? {
            let value = *limb * u64::from(FROM) + carry;
            *limb = value % limb_base;
            carry = value / limb_base;
        }
        if carry > 0 {
            *limbs.get_mut(used)? = carry;
            used += 1;
        }
    }
    let mut at = space.len();
    for limb in limbs.get(..used)? {
        let mut value = *limb;
        for _ in 0..digits_per_limb {
            let Some(next) = at.checked_sub(1) else { break };
            *space.get_mut(next)? = char::from_digit((value % u64::from(TO)) as u32, TO)? as u8;
            value /= u64::from(TO);
            at = next;
        }
    }
    Some(without_zeros(space.get(at..)?))
}

/// The form in which the receipts of one carrier have been observed to write ids. Plain numbers, so that the caller can
/// store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dialect {
    /// The form given by the caller's configuration.
    told: Option<IdRelation>,
    /// Unambiguous matches, by [`IdRelation`].
    seen: [u32; 3],
}

impl Dialect {
    /// Matches after which a form is settled, provided that it accounts for at least 99 of 100 matches.
    pub const SETTLED_AFTER: u32 = 32;

    /// A dialect about which nothing is known yet.
    pub const fn untold() -> Self {
        Self { told: None, seen: [0; 3] }
    }

    /// A dialect whose form is configured: no other form is tried, unless an id cannot be read in this one.
    pub const fn told(form: IdRelation) -> Self {
        Self { told: Some(form), seen: [0; 3] }
    }

    /// The observations of `self` with the configured form of `told`, for use after the configuration has changed.
    #[must_use]
    pub const fn with_told(self, told: Self) -> Self {
        Self { told: told.told, seen: self.seen }
    }

    /// Counts a match that was unique, or was made unique by the recipient.
    pub fn observe(&mut self, form: IdRelation) {
        if self.seen.contains(&u32::MAX) {
            self.seen = self.seen.map(|count| count / 2);
        }
        if let Some(count) = self.seen.get_mut(form as usize) {
            *count += 1;
        }
    }

    /// The configured form, or else the one that the matches so far establish, if any. A match in this form may be trusted even
    /// if the receipt has no phone number to confirm it.
    pub fn settled(&self) -> Option<IdRelation> {
        if self.told.is_some() {
            return self.told;
        }
        let total: u64 = self.seen.iter().copied().map(u64::from).sum();
        IdRelation::ALL.into_iter().find(|&form| {
            let count = self.count(form);
            count >= u64::from(Self::SETTLED_AFTER) && count * 100 >= total * 99
        })
    }

    /// Every key under which the message of this receipt may be stored, likeliest first.
    pub fn candidates<'a>(&self, seed: u64, id: &'a [u8]) -> Candidates<'a> {
        if let Some(told) = self.told {
            return Candidates::of(seed, id, [told, IdRelation::Same, IdRelation::Same], Proof::First);
        }
        let mut order = IdRelation::ALL;
        order.sort_by_key(|&form| std::cmp::Reverse(self.count(form)));
        Candidates::of(seed, id, order, Proof::Form(self.settled().unwrap_or(IdRelation::Same)))
    }

    fn count(&self, form: IdRelation) -> u64 {
        self.seen.get(form as usize).copied().map_or(0, u64::from)
    }
}

/// How a simulated carrier writes a number as a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdStyle {
    /// Hexadecimal instead of decimal.
    pub hexadecimal: bool,
    /// Upper case digits A–F.
    pub upper: bool,
    /// Padded with zeros up to this width.
    pub width: u8,
}

impl IdStyle {
    /// Decimal, no padding.
    pub const DECIMAL: Self = Self { hexadecimal: false, upper: false, width: 0 };
    /// Lower case hexadecimal, no padding.
    pub const HEX: Self = Self { hexadecimal: true, upper: false, width: 0 };

    /// Appends the id.
    pub fn write(self, number: u128, out: &mut Vec<u8>) {
        let width = usize::from(self.width);
        let digits = match (self.hexadecimal, self.upper) {
            (false, _) => format!("{number:0width$}"),
            (true, false) => format!("{number:0width$x}"),
            (true, true) => format!("{number:0width$X}"),
        };
        out.extend_from_slice(digits.as_bytes());
    }
}

#[cfg(test)]
#[path = "receipt_id_tests.rs"]
mod tests;
