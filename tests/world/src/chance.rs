//! Chance from a seed: the same seed, the same draws, on every machine.

/// A source of draws: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound.max(1))).expect("below a u32")
    }
}

/// Decisions that one step draws from its own salt, so that a step does the same wherever it stands.
#[derive(Debug, Clone)]
pub(super) struct Salt(Chance);

impl Salt {
    pub(super) fn new(salt: u32) -> Self {
        Self(Chance::new(u64::from(salt)))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        usize::try_from(self.0.below(bound)).expect("32 bits at least")
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// Mostly few, sometimes many.
    pub(super) fn few(&mut self) -> usize {
        match self.below(4) {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => 64,
        }
    }
}
