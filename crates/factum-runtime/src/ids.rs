//! Ids of messages: UUIDs of version 7 or 4 (RFC 9562), random or from a seed.

use factum_core::{id::MessageId, ports::IdSource};
use jiff::Timestamp;

/// UUIDs whose random part comes from a generator: of version 7, which begin with their time, if not said otherwise. Nothing
/// depends on their order.
#[derive(Debug)]
pub struct UuidSource {
    random: fastrand::Rng,
    v4: bool,
}

impl UuidSource {
    /// Ids that nobody can foretell.
    pub fn random() -> Self {
        Self { random: fastrand::Rng::new(), v4: false }
    }

    /// The same ids in every run: for simulations.
    pub fn seeded(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), v4: false }
    }

    /// All of it random: UUIDs of version 4.
    #[must_use]
    pub fn v4(self) -> Self {
        Self { v4: true, ..self }
    }
}

impl IdSource for UuidSource {
    fn next(&mut self, at: Timestamp) -> MessageId {
        if self.v4 {
            return uuid::Builder::from_random_bytes(self.random.u128(..).to_le_bytes()).into_uuid().into();
        }
        let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or_default();
        let random: [u8; 10] = std::array::from_fn(|_| self.random.u8(..));
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().into()
    }
}
