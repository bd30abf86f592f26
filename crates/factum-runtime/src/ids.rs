//! Ids of messages: UUIDs of version 7 (RFC 9562), random or from a seed.

use factum_core::{id::MessageId, ports::IdSource};
use jiff::Timestamp;

/// UUIDs of version 7 whose random part comes from a generator.
#[derive(Debug)]
pub struct UuidSource {
    random: fastrand::Rng,
}

impl UuidSource {
    /// Ids that nobody can foretell.
    pub fn random() -> Self {
        Self { random: fastrand::Rng::new() }
    }

    /// The same ids in every run: for simulations.
    pub fn seeded(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed) }
    }
}

impl IdSource for UuidSource {
    fn next(&mut self, at: Timestamp) -> MessageId {
        let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or_default();
        let random: [u8; 10] = std::array::from_fn(|_| self.random.u8(..));
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().into()
    }
}
