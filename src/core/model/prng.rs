//! Randomness as an argument: a small seeded generator for jitter and simulation. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood 2014): one u64 of state, passes BigCrush, the same bytes for the same seed for ever.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A generator that always gives the same sequence for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in `0..bound`; 0 for an empty range. Multiply-shift: the bias is below 2⁻³² for the bounds used here.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with a probability of `millionths` in 1,000,000.
    pub const fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < millionths as u64
    }

    /// An independent generator, for a part that must not disturb this one's sequence.
    pub const fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }
}

/// SplitMix64's finaliser: a bijection that spreads every input bit. Part of the disk format through the shard map.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_itself_and_stays_in_range() {
        let (mut a, mut b) = (Prng::new(7), Prng::new(7));
        for _ in 0..1_000 {
            let x = a.between(10, 20);
            assert_eq!(x, b.between(10, 20));
            assert!((10..=20).contains(&x));
        }
        assert_eq!(a.below(0), 0);
    }

    #[test]
    fn first_values_of_the_published_generator() {
        let mut prng = Prng::new(1_234_567);
        assert_eq!(prng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(prng.next_u64(), 3_203_168_211_198_807_973);
    }
}
