//! What was read of a lane: which messages of a unit are new, which come again, and where one is missing.
//!
//! A unit publishes in the order of its log, so its positions only rise on each lane; they have gaps there, since not everything
//! is published on every lane. So each message also names the position that its unit published before it on that lane:
//!
//! | a message | is |
//! |---|---|
//! | `position` ≤ the highest seen | there again: its relay has begun anew, or the broker repeats it |
//! | `before` ≤ the highest seen < `position` | the next one |
//! | the highest seen < `before` | behind a gap: something between them was lost, or is still to come |
//! | of another log, or another epoch of it | of a unit that was made anew or restored: only a person knows what its positions mean |
//!
//! After Kreps, "The Log" (2013), and the sequence numbers of Kafka's idempotent producer; the link to the one before is what
//! lets gaps be seen on lanes that carry a part of a log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::Name,
    ports::transport::Offset,
    stream::{Lineage, Position},
};

/// Where a message stands at home, as its relay says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The unit.
    pub unit: Name,
    /// Its log.
    pub lineage: Lineage,
    /// Its place there.
    pub position: Position,
    /// The place of what the unit published before it on the same lane; [`Position::START`] if nothing.
    pub before: Position,
}

/// What was read of a lane: one small value, written together with what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seen {
    /// The last offset that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<Box<str>>,
    /// It was not read from its beginning, on purpose: what units published before is not missed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    joined_late: bool,
    /// How far each unit is on it.
    #[serde(default)]
    units: BTreeMap<Name, Known>,
}

/// How far a unit is on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    lineage: Lineage,
    highest: Position,
}

/// What a message is, by what was seen before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next one.
    Next,
    /// Seen already.
    Again,
    /// Not to be taken: nothing between these positions was seen.
    Gap {
        /// The highest that was seen.
        seen: Position,
        /// What was published next before it.
        before: Position,
    },
    /// Not to be taken: the unit is known by another log.
    Stranger {
        /// The log that it is known by.
        known: Lineage,
        /// How far that was seen.
        seen: Position,
    },
}

impl Seen {
    /// Nothing yet. `late` says that the lane is not read from its beginning, on purpose.
    pub fn nothing(late: bool) -> Self {
        Self { joined_late: late, ..Self::default() }
    }

    /// The last offset that was read.
    pub fn offset(&self) -> Option<Offset> {
        self.offset.clone().map(Offset)
    }

    /// The highest position that was seen of a unit, and in which log.
    pub fn of(&self, unit: &Name) -> Option<(Lineage, Position)> {
        self.units.get(unit).map(|known| (known.lineage, known.highest))
    }

    /// What a message is.
    pub fn judge(&self, home: &Home) -> Verdict {
        let Some(known) = self.units.get(&home.unit) else {
            let seen = Position::START;
            return match home.before > seen && !self.joined_late {
                true => Verdict::Gap { seen, before: home.before },
                false => Verdict::Next,
            };
        };
        let Known { lineage, highest: seen } = *known;
        match () {
            () if lineage != home.lineage => Verdict::Stranger { known: lineage, seen },
            () if home.position <= seen => Verdict::Again,
            () if home.before > seen => Verdict::Gap { seen, before: home.before },
            () => Verdict::Next,
        }
    }

    /// A message is taken, if it is the next one: nothing changes if it is not.
    pub fn take(&mut self, home: &Home) {
        if self.judge(home) == Verdict::Next {
            self.units.insert(home.unit.clone(), Known { lineage: home.lineage, highest: home.position });
        }
    }

    /// Everything up to this offset was read, and is not read again.
    pub fn through(&mut self, offset: &Offset) {
        self.offset = Some(offset.0.clone());
    }

    /// A person says that a unit was made anew: its positions begin again.
    pub fn is_new(&mut self, unit: Name, lineage: Lineage) {
        self.units.insert(unit, Known { lineage, highest: Position::START });
    }

    /// A person says that a unit goes on in another epoch or log from a position that both have: up to there they are the same,
    /// and what was seen behind it is the old one's alone.
    pub fn is_restored(&mut self, unit: &Name, lineage: Lineage, at: Position) {
        if let Some(known) = self.units.get_mut(unit) {
            *known = Known { lineage, highest: known.highest.min(at) };
        }
    }

    /// A person accepts that what a unit published up to here is not to be had on this lane.
    pub fn is_lost(&mut self, unit: Name, lineage: Lineage, through: Position) {
        let known = self.units.entry(unit).or_insert(Known { lineage, highest: through });
        if known.lineage == lineage {
            known.highest = known.highest.max(through);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: Lineage = Lineage { log_id: [1; 16], epoch: 0 };

    fn home(before: u64, position: u64) -> Home {
        Home { unit: Name::Static("order"), lineage: LOG, position: Position(position), before: Position(before) }
    }

    fn read(seen: &mut Seen, home: &Home) -> Verdict {
        let verdict = seen.judge(home);
        seen.take(home);
        seen.through(&Offset("7".into()));
        verdict
    }

    #[test]
    fn what_comes_again_is_known_and_what_is_missing_is_told() {
        let mut seen = Seen::nothing(false);
        assert_eq!(read(&mut seen, &home(0, 3)), Verdict::Next);
        assert_eq!(read(&mut seen, &home(3, 9)), Verdict::Next);
        for again in [home(0, 3), home(3, 9), home(2, 4)] {
            assert_eq!(read(&mut seen, &again), Verdict::Again);
        }
        let gap = Verdict::Gap { seen: Position(9), before: Position(12) };
        assert_eq!(read(&mut seen, &home(12, 15)), gap);
        // It stays one until what is missing has come.
        assert_eq!(read(&mut seen, &home(12, 15)), gap);
        assert_eq!(read(&mut seen, &home(9, 12)), Verdict::Next);
        assert_eq!(read(&mut seen, &home(12, 15)), Verdict::Next);
        assert_eq!(seen.offset(), Some(Offset("7".into())));
    }

    #[test]
    fn who_comes_late_on_purpose_misses_nothing_and_who_begins_at_the_beginning_does() {
        assert_eq!(Seen::nothing(true).judge(&home(40, 41)), Verdict::Next);
        let gap = Verdict::Gap { seen: Position::START, before: Position(40) };
        assert_eq!(Seen::nothing(false).judge(&home(40, 41)), gap);
        let mut accepted = Seen::nothing(false);
        accepted.is_lost(Name::Static("order"), LOG, Position(40));
        assert_eq!(accepted.judge(&home(40, 41)), Verdict::Next);
        assert_eq!(accepted.judge(&home(39, 40)), Verdict::Again);
        // Another log's loss is not accepted by the way.
        accepted.is_lost(Name::Static("order"), Lineage { epoch: 1, ..LOG }, Position(99));
        assert_eq!(accepted.of(&Name::Static("order")), Some((LOG, Position(40))));
    }

    #[test]
    fn another_log_waits_for_a_person() {
        let mut seen = Seen::nothing(false);
        read(&mut seen, &home(0, 10));
        let restored = Lineage { epoch: 1, ..LOG };
        let elsewhere = |before, position| Home { lineage: restored, ..home(before, position) };
        let stranger = Verdict::Stranger { known: LOG, seen: Position(10) };
        assert_eq!(read(&mut seen, &elsewhere(8, 9)), stranger);
        let mut anew = seen.clone();
        anew.is_new(Name::Static("order"), restored);
        assert_eq!(anew.judge(&elsewhere(0, 1)), Verdict::Next);
        seen.is_restored(&Name::Static("order"), restored, Position(8));
        assert_eq!(seen.judge(&elsewhere(7, 8)), Verdict::Again);
        assert_eq!(seen.judge(&elsewhere(8, 9)), Verdict::Next);
        assert_eq!(seen.judge(&home(10, 11)), Verdict::Stranger { known: restored, seen: Position(8) });
    }

    #[test]
    fn it_is_kept_as_a_small_text() {
        let mut seen = Seen::nothing(false);
        read(&mut seen, &home(0, 3));
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), seen);
        assert!(text.len() < 200, "{text}");
        assert!(
            serde_json::from_str::<Seen>(r#"{"units":{},"later":1}"#).is_err(),
            "a later program's is not read by guessing"
        );
    }

    proptest! {
        /// A relay that begins anew wherever it was cut off, and a broker that drops what it likes: what is taken is the beginning
        /// of what was published, each once and in order, and whoever misses something is told.
        #[test]
        fn what_is_taken_is_what_was_published_up_to_the_first_that_is_lost(
            published in prop::collection::btree_set(1_u64..200, 1..40),
            cuts in prop::collection::vec((0_usize..40, 0_usize..40), 0..8),
            lost in prop::collection::btree_set(0_usize..80, 0..3),
        ) {
            let published: Vec<u64> = published.into_iter().collect();
            let link = |at: usize| home(if at == 0 { 0 } else { published[at - 1] }, published[at]);
            // Each life of the relay begins at or before where the one before it ended.
            let (mut lane, mut reached) = (Vec::new(), 0);
            for (from, to) in cuts {
                let (from, to) = (from.min(reached), to.min(published.len()));
                lane.extend((from..to.max(from)).map(link));
                reached = reached.max(to);
            }
            lane.extend((reached..published.len()).map(link));
            let mut seen = Seen::nothing(false);
            let (mut taken, mut missed) = (Vec::new(), false);
            for (at, message) in lane.iter().enumerate() {
                if lost.contains(&at) {
                    continue;
                }
                match read(&mut seen, message) {
                    Verdict::Next => taken.push(message.position.0),
                    Verdict::Again => {}
                    Verdict::Gap { .. } => missed = true,
                    Verdict::Stranger { .. } => prop_assert!(false, "there is one log"),
                }
            }
            prop_assert_eq!(&taken[..], &published[..taken.len()], "in order, each once, none left out");
            // Only the end of what was published can be missed in silence: nothing came behind it.
            let came = lane.iter().enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, message)| message.position.0);
            prop_assert!(missed || came.max().unwrap_or_default() <= taken.last().copied().unwrap_or_default());
        }
    }
}
