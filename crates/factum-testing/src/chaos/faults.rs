//! What goes wrong with a request on its way, and how often.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use fastrand::Rng;

/// What goes wrong with a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody answers, for longer than the caller waits. Half of such requests were carried out.
    Silent,
    /// It was carried out, and the connection breaks before the answer.
    AnswerLost,
    /// The connection breaks before it arrives.
    RequestLost,
    /// It arrives twice.
    Twice,
    /// It is sent away: 429, or 503 with a time to come again.
    SentAway,
    /// It is answered, after a while.
    Late,
}

impl Fault {
    /// In the order in which they are drawn.
    pub const ALL: [Self; 6] =
        [Self::Silent, Self::AnswerLost, Self::RequestLost, Self::Twice, Self::SentAway, Self::Late];

    /// Its name in a [`Tally`](super::Tally).
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "time-out",
            Self::AnswerLost => "answer lost",
            Self::RequestLost => "request lost",
            Self::Twice => "duplicate",
            Self::SentAway => "sent away",
            Self::Late => "delay",
        }
    }
}

/// The share of requests that meet each fault, 0 to 1; one request meets one at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each is a fault's")]
pub struct Rates {
    pub silent: f64,
    pub answer_lost: f64,
    pub request_lost: f64,
    pub twice: f64,
    pub sent_away: f64,
    pub late: f64,
}

impl Rates {
    /// 5 % time-outs, 3 % lost answers, 2 % of each of the rest, 5 % delays.
    pub fn usual() -> Self {
        Self { silent: 0.05, answer_lost: 0.03, request_lost: 0.02, twice: 0.02, sent_away: 0.02, late: 0.05 }
    }

    fn of(&self, fault: Fault) -> f64 {
        match fault {
            Fault::Silent => self.silent,
            Fault::AnswerLost => self.answer_lost,
            Fault::RequestLost => self.request_lost,
            Fault::Twice => self.twice,
            Fault::SentAway => self.sent_away,
            Fault::Late => self.late,
        }
    }

    fn draw(&self, rng: &mut Rng) -> Option<Fault> {
        let mut drawn = rng.f64();
        Fault::ALL.into_iter().find(|fault| {
            drawn -= self.of(*fault);
            drawn < 0.0
        })
    }
}

/// The faults of a [`Proxy`](super::Proxy).
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// What they are drawn by.
    pub seed: u64,
    /// How often.
    pub rates: Rates,
    /// How long a silence lasts; longer than the caller waits for an answer.
    pub silence: Duration,
}

impl Faults {
    /// What the request meets that is the `nth` of its kind, and what else is drawn about it.
    pub(super) fn meet(&self, request: &str, nth: u32) -> (Option<Fault>, Rng) {
        let mut rng = drawn(self.seed, &[request, &nth.to_string()]);
        (self.rates.draw(&mut rng), rng)
    }
}

/// Chance that depends on a seed and on words only.
pub fn drawn(seed: u64, words: &[&str]) -> Rng {
    let mut hasher = DefaultHasher::new();
    (seed, words).hash(&mut hasher);
    Rng::with_seed(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_as_frequent_as_is_said_and_the_same_for_a_seed() {
        let faults = |seed| Faults { seed, rates: Rates::usual(), silence: Duration::ZERO };
        let draw = |seed| (0..20_000).map(|nth| faults(seed).meet("POST /x", nth).0).collect::<Vec<_>>();
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
        for fault in Fault::ALL {
            let share = drawn.iter().filter(|met| **met == Some(fault)).count() as f64 / 20_000.0;
            assert!((share - Rates::usual().of(fault)).abs() < 0.01, "{fault:?}: {share}");
        }
    }
}
