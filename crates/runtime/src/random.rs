//! Randomness: the system's, or a seeded stream for tests.

use parking_lot::Mutex;

pub(crate) enum Randomness {
    System,
    Seeded(Mutex<fastrand::Rng>),
}

impl Randomness {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => getrandom::fill(bytes)
                .expect("a system without randomness cannot run a mail server safely"),
            Self::Seeded(rng) => rng.lock().fill(bytes),
        }
    }
}
