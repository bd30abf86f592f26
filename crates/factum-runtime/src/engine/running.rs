//! The unit's running time, by which the limits of a saga's steps go: time in which the unit did not run adds nothing, and
//! as long as an instance is held its limits stand still.

use std::{collections::HashMap, sync::Arc};

use factum_core::{Timestamp, error::StoreError, letter::Key, stream::StreamId};
use jiff::SignedDuration;

use super::{consumers::Ran, instances::SagaCount, stage::Stage, work::Work};
use crate::{
    registry::{Handler, Registry},
    sabotage,
    timers::{Timer, Timers, full_name, stream_of},
};

/// Between two looks at the clock passes a second at most as long as the unit runs. What is longer than this is a time in
/// which it stood still: its process was stopped, its machine slept, its disk did not answer.
const STANDSTILL: SignedDuration = SignedDuration::from_secs(2);
/// Running time is written when so much of it is not yet, or this part of what the next limit has left: so much of it a
/// kill takes back.
const UNWRITTEN: SignedDuration = SignedDuration::from_secs(1);
const PART: i32 = 8;

impl Work {
    /// Whether time passes by itself.
    fn is_live(&self, mark: Timestamp) -> bool {
        self.clock.until(mark).is_some()
    }

    /// Everything was read: the time since the log's last word is none in which the unit ran, and what must stand still does.
    pub(super) fn runs_on(&mut self, registry: &Registry) {
        let mark = self.clock.mark();
        if !std::mem::replace(&mut self.started, true) {
            self.timers.set_lost(self.lost_at_start(mark));
            for SagaCount { saga, version, open, .. } in self.instances.counts().iter().filter(|count| !count.known) {
                tracing::warn!(saga, version, open, "this program lacks a version: its open instances wait");
            }
        }
        let open: Vec<String> = match self.timers.has_paused() {
            true => self.instances.all().map(ToOwned::to_owned).collect(),
            false => self.instances.lacking(registry).map(ToOwned::to_owned).collect(),
        };
        let streams = open.iter().filter_map(|name| StreamId::parse(name).ok());
        self.pace(registry, streams.collect(), mark);
    }

    /// The limits of these instances stand still as long as they are held or the program lacks their version, and go on else.
    fn pace(&mut self, registry: &Registry, streams: Vec<StreamId>, mark: Timestamp) {
        let still = |stream: &StreamId| {
            let id = registry.saga(stream.category())?;
            let is_held = || self.holds.has(id, &Key::Ordered(stream.key().to_owned()));
            let is_still = self.instances.is_lacking(registry, stream.as_str()) || is_held();
            Some((stream_of(&full_name(stream, "")).into(), is_still))
        };
        let wanted: HashMap<Arc<str>, bool> = streams.iter().filter_map(still).collect();
        for (name, when) in self.timers.to_pause(&wanted, mark) {
            self.timers.set(name.clone(), when);
            self.paced.push(name);
        }
    }

    fn lost_at_start(&self, mark: Timestamp) -> SignedDuration {
        let Some(Ran { at, lost }) = self.consumers.ran else { return SignedDuration::ZERO };
        let off = match self.is_live(mark) && !sabotage::is("time-off-counts") {
            true => mark.duration_since(at).max(SignedDuration::ZERO),
            false => SignedDuration::ZERO,
        };
        SignedDuration::from_micros(lost).saturating_add(off)
    }

    /// The clock is looked at, for the first time since `before`; if that is long ago, the unit stood still.
    pub(super) fn looked(&mut self, before: Timestamp, now: Timestamp) {
        let passed = now.duration_since(before);
        if passed > STANDSTILL && self.timers.has_limits() && self.is_live(now) {
            tracing::warn!(
                seconds = passed.as_secs(),
                "the unit stood still: this adds nothing to the limits of steps"
            );
            self.timers.set_lost(self.timers.lost().saturating_add(passed));
        }
    }

    /// How long the unit has run, to be written with the cursor.
    pub(super) fn note_ran(&mut self) {
        self.consumers.ran = self.timers.has_limits().then(|| {
            let lost = i64::try_from(self.timers.lost().as_micros()).unwrap_or(i64::MAX);
            Ran { at: self.clock.mark(), lost }
        });
    }

    /// Whether so much running time is not written that it is worth a commit of its own.
    pub(super) fn owes_time(&self) -> bool {
        let (Some(next), mark) = (self.timers.next_limit(), self.clock.mark()) else { return false };
        let left = next.duration_since(self.timers.running(mark));
        let written = self.consumers.ran.map_or(Timestamp::MIN, |ran| ran.at);
        self.is_live(mark) && mark.duration_since(written) > UNWRITTEN.max(left / PART)
    }

    /// A commit has landed in which nothing goes by running time: where nothing does any more, it begins anew with the next
    /// that does.
    pub(super) fn forget_lost(&mut self) {
        if !self.timers.has_limits() {
            self.timers.set_lost(SignedDuration::ZERO);
        }
    }

    /// The limits of instances that this batch holds stand still, and those of instances that it frees go on.
    pub(super) fn pace_limits(&mut self, registry: &Registry, stage: &mut Stage) -> Result<(), StoreError> {
        let sagas = self.holds.take_begun_and_ended().into_iter();
        let sagas = sagas.filter_map(|(id, key)| match (registry.consumer(id).handler, key) {
            (Handler::Saga(at), Key::Ordered(key)) => StreamId::new(registry.service(id).sagas[at].name(), &key).ok(),
            _ => None,
        });
        let streams: Vec<StreamId> = sagas.collect();
        if !streams.is_empty() {
            let mark = self.clock.mark();
            self.pace(registry, streams, mark);
        }
        let names = std::mem::take(&mut self.paced);
        for name in names {
            let (Some(when), key) = (self.timers.when(&name), Timers::cell(&name)) else { continue };
            let value = match stage.staged_cell(&key) {
                Some(value) => value.clone(),
                None => self.stored_cell(&key)?.map(|cell| cell.value),
            };
            let Some(value) = value else { continue };
            stage.cell(key, Some(Timer { when, ..Timer::decode(&value)? }.encode()?));
        }
        Ok(())
    }
}
