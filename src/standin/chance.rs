//! Pseudo-random numbers that depend only on their key, so that the same recipe always generates the same world.

/// A stream of pseudo-random numbers (`SplitMix64`), also for tests.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of this key; different keys give unrelated streams.
    #[must_use]
    pub fn of(key: &[u64]) -> Self {
        let state = key.iter().fold(0x5851_f42d_4c95_7f2d, |state, part| mix(state ^ mix(*part)));
        Self(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 (inclusive) to 1 (exclusive).
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from(self.half()) / (f64::from(u32::MAX) + 1.0)
    }

    /// A number from `low` (inclusive) to `high` (exclusive).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.fraction() * (high - low)
    }

    /// A whole number below `end`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.half()) * u64::from(end)) >> 32) as u32
    }

    /// `true` with this probability.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of several texts.
    pub(super) fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        let end = u32::try_from(texts.len()).expect("a list in the source is short");
        texts[self.below(end) as usize]
    }

    fn half(&mut self) -> u32 {
        (self.bits() >> 32) as u32
    }
}

fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_depend_on_the_key() {
        assert_eq!(Chance::of(&[1, 2]).bits(), Chance::of(&[1, 2]).bits());
        assert_ne!(Chance::of(&[1, 2]).bits(), Chance::of(&[2, 1]).bits());
    }

    #[test]
    fn fractions_are_distributed_uniformly() {
        let mut chance = Chance::of(&[7]);

        let low = (0..10_000).filter(|_| chance.fraction() < 0.25).count();

        assert!((2300..2700).contains(&low), "{low}");
        assert!((0..1000).all(|_| chance.below(3) < 3));
    }
}
