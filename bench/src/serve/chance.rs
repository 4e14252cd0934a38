//! What is left to chance: which requests are refused, and which answers are torn off.
//!
//! The fate of a request depends on the seed and on how many came before it since the last reset, never on its connection. So clients that
//! are compared with each other meet with the same.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fastrand::Rng;

/// Keeps the seeds of neighbouring requests apart.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// Draws the fates of requests.
pub(crate) struct Chance {
    seed: AtomicU64,
    next: AtomicU64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: AtomicU64::new(seed), next: AtomicU64::new(0) }
    }

    /// Begins anew, with another seed if there is one.
    pub(crate) fn restart(&self, seed: Option<u64>) {
        if let Some(seed) = seed {
            self.seed.store(seed, Relaxed);
        }
        self.next.store(0, Relaxed);
    }

    /// What the next request meets with.
    pub(crate) fn next(&self) -> Fate {
        let number = self.next.fetch_add(1, Relaxed);
        Fate(Rng::with_seed(self.seed.load(Relaxed).wrapping_add(number.wrapping_mul(STRIDE))))
    }
}

/// What one request meets with.
pub(crate) struct Fate(Rng);

impl Fate {
    /// Whether something happens to it that happens to a part of all requests, from 0 to 1.
    pub(crate) fn has(&mut self, rate: f64) -> bool {
        self.0.f64() < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(chance: &Chance) -> Vec<bool> {
        (0..1000).map(|_| chance.next().has(0.05)).collect()
    }

    #[test]
    fn whoever_comes_after_a_reset_meets_with_the_same() {
        let chance = Chance::new(3);
        let first = fates(&chance);
        assert_ne!(fates(&chance), first, "it goes on");
        chance.restart(None);
        assert_eq!(fates(&chance), first);
        chance.restart(Some(4));
        assert_ne!(fates(&chance), first, "another seed");
        chance.restart(Some(3));
        assert_eq!(fates(&chance), first);
    }

    #[test]
    fn rates_are_what_they_say() {
        let chance = Chance::new(1);
        let met = fates(&chance).into_iter().filter(|met| *met).count();
        assert!((25..=75).contains(&met), "{met} of 1000");
        assert!(!(0..1000).any(|_| chance.next().has(0.0)));
        assert!((0..1000).all(|_| chance.next().has(1.0)));
    }
}
