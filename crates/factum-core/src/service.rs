//! A service as a value: its deciders, reactions, sagas, views and calls. It names no backend.

use std::{any::Any, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cache::AnyCache,
    call::{AnyCall, CallSpec},
    decider::{AnyDecider, Decider, erase as erase_decider, erase_with_snapshots},
    envelope::Recorded,
    group::Group,
    id::Name,
    payload::Event,
    pipeline::{Aggregate, Pipeline},
    reaction::{AnyFolding, Effects, Folding, Outcome, Reaction},
    replies::Replies,
    row::Row,
    saga::{Saga, Versions},
    schedule::{Declaration, Schedule},
    upcast::Upcast,
    view::{AnyView, Attention, Rows, erase as erase_view},
};

/// A service. Build it in the room's `mod.rs`, give it to the app.
pub struct Service {
    /// Its short name; also the first part of its reactions' streams.
    pub name: Name,
    /// What stands in `source` of its messages; the name, if not said.
    pub source: Name,
    /// Its aggregates.
    pub deciders: Vec<Box<dyn AnyDecider>>,
    /// Reactions without state.
    pub reactions: Vec<Reaction>,
    /// Reactions with state.
    pub foldings: Vec<Box<dyn AnyFolding>>,
    /// Its sagas, each with all its versions.
    pub sagas: Vec<Versions>,
    /// Its read models.
    pub views: Vec<Box<dyn AnyView>>,
    /// Rows of its views that a person must see to.
    pub attention: Vec<Attention>,
    /// Its ways to the outside.
    pub calls: Vec<AnyCall>,
    /// Values that it keeps in memory.
    pub caches: Vec<Box<dyn AnyCache>>,
    /// Its pull groups.
    pub groups: Vec<Group>,
    /// Its schedules.
    pub schedules: Vec<Declaration>,
    /// What its commands are answered by, for processes that are put together by it.
    pub replies: Vec<Replies>,
    /// How its old data is read.
    pub upcasts: Vec<Upcast>,
    /// Stream categories it owns besides those of its deciders, reactions and sagas.
    pub owned: Vec<&'static str>,
    /// What else it brings, for those around the core who know what it is: its routes.
    pub parts: Vec<Box<dyn Any + Send + Sync>>,
}

impl Service {
    /// A service without anything.
    pub fn new(name: &'static str) -> Self {
        Self {
            name: Name::Static(name),
            source: Name::Static(name),
            deciders: Vec::new(),
            reactions: Vec::new(),
            foldings: Vec::new(),
            sagas: Vec::new(),
            views: Vec::new(),
            attention: Vec::new(),
            calls: Vec::new(),
            caches: Vec::new(),
            groups: Vec::new(),
            schedules: Vec::new(),
            replies: Vec::new(),
            upcasts: Vec::new(),
            owned: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// What stands in `source` of its messages, where that is not the name.
    #[must_use]
    pub fn source(mut self, source: &'static str) -> Self {
        self.source = Name::Static(source);
        self
    }

    /// Adds a part that the core does not know.
    #[must_use]
    pub fn part(mut self, part: impl Any + Send + Sync) -> Self {
        self.parts.push(Box::new(part));
        self
    }

    /// Takes out its parts of a type.
    pub fn take_parts<T: Any>(&mut self) -> Vec<T> {
        let (found, others): (Vec<_>, Vec<_>) = self.parts.drain(..).partition(|part| part.is::<T>());
        self.parts = others;
        found.into_iter().filter_map(|part| part.downcast().ok()).map(|part| *part).collect()
    }

    /// Adds an aggregate.
    #[must_use]
    pub fn decider<D: Decider>(mut self) -> Self {
        self.deciders.push(erase_decider::<D>());
        self
    }

    /// Adds an aggregate whose large states are kept in snapshots: after a start only what came since the last one is
    /// folded. Raise the version whenever `evolve` changes its meaning; what is noticed without it says
    /// [`Codec`](crate::snapshot::Codec).
    #[must_use]
    pub fn decider_with_snapshots<D: Decider + Clone + Serialize + DeserializeOwned>(mut self, version: u32) -> Self {
        self.deciders.push(erase_with_snapshots::<D>(version));
        self
    }

    /// Adds a reaction without state that sends commands. A new one starts now. One that makes calls, emits events or sets
    /// timers declares them: [`Service::reaction`].
    #[must_use]
    pub fn react<E: Event, O: Outcome>(
        mut self,
        name: &'static str,
        handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O + Send + Sync + 'static,
    ) -> Self {
        self.reactions.push(Reaction::new(name, handler));
        self
    }

    /// Adds a reaction that, when new, starts at the beginning of the log.
    #[must_use]
    pub fn react_from_start<E: Event, O: Outcome>(
        mut self,
        name: &'static str,
        handler: impl Fn(&Recorded<'_, E>, &mut Effects) -> O + Send + Sync + 'static,
    ) -> Self {
        self.reactions.push(Reaction::new(name, handler).from_start());
        self
    }

    /// Adds a reaction with what it declares: `Reaction::new("ask", ask).calls(CHARGE)`. It may also order by a field of its
    /// own, or start at the beginning of the log.
    #[must_use]
    pub fn reaction(mut self, reaction: Reaction) -> Self {
        self.reactions.push(reaction);
        self
    }

    /// Adds a reaction with a state of its own.
    #[must_use]
    pub fn folding<S: Default + Send + 'static>(mut self, folding: Folding<S>) -> Self {
        self.foldings.push(Box::new(folding));
        self
    }

    /// Adds a pipeline; the service owns the category of its results.
    #[must_use]
    pub fn pipeline<A: Aggregate>(self, pipeline: Pipeline<A>) -> Self {
        self.owns(pipeline.category).folding(pipeline.folding)
    }

    /// Adds a saga, or another version of one: new instances are started by the newest, and each is run by the version that
    /// started it.
    #[must_use]
    pub fn saga<F>(mut self, saga: Saga<F>) -> Self
    where
        F: Serialize + DeserializeOwned + Default + Clone + Send + 'static,
    {
        let saga = Box::new(saga);
        match self.sagas.iter_mut().find(|known| known.name() == crate::saga::AnySaga::name(&*saga)) {
            Some(known) => known.add(saga),
            None => self.sagas.push(Versions::of(saga)),
        }
        self
    }

    /// Adds a view. Raise the version when the handler changes what rows mean: the new rows are built beside the old.
    #[must_use]
    pub fn view<R: Row, E: Event>(
        mut self,
        version: u32,
        handler: impl Fn(&mut Rows<'_, R>, &Recorded<'_, E>) + Send + Sync + 'static,
    ) -> Self {
        self.views.push(erase_view(version, false, handler));
        self
    }

    /// Adds a view that leaves out an event that it fails on, with a letter, and says from where on its rows may be
    /// incomplete. The other kind stops in front of the event, so that its rows are old rather than wrong.
    #[must_use]
    pub fn view_skipping<R: Row, E: Event>(
        mut self,
        version: u32,
        handler: impl Fn(&mut Rows<'_, R>, &Recorded<'_, E>) + Send + Sync + 'static,
    ) -> Self {
        self.views.push(erase_view(version, true, handler));
        self
    }

    /// Rows of a view in which this indexed field (JSON name) says something need a person: as long as there are any, health
    /// is degraded, counts them, names some, and gives the hint. The field is an `Option`, absent where all is well.
    #[must_use]
    pub fn needs_person<R: Row>(mut self, field: &'static str, hint: &'static str) -> Self {
        self.attention.push(Attention::of::<R>(field, hint));
        self
    }

    /// Adds a way to the outside.
    #[must_use]
    pub fn call<R, A>(mut self, call: CallSpec<R, A>) -> Self
    where
        R: DeserializeOwned + Send + 'static,
        A: Send + 'static,
    {
        self.calls.push(call.erase());
        self
    }

    /// Adds a cache that events keep: `CONTACTS.follow(|values, event: &Recorded<CustomerEvent>| …)`.
    #[must_use]
    pub fn cache(mut self, cache: impl AnyCache + 'static) -> Self {
        self.caches.push(Box::new(cache));
        self
    }

    /// Adds a pull group: programs outside fetch its events at their own pace. See [`crate::group`].
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Adds a schedule: a command that is sent at planned times. See [`crate::schedule`].
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        let (declaration, folding) = schedule.of_service(&self.name);
        self.schedules.push(declaration);
        self.folding(folding)
    }

    /// Declares what one of its commands is answered by and undone by, so that sagas in YAML can send it. See
    /// [`crate::replies`].
    #[must_use]
    pub fn answers(mut self, replies: Replies) -> Self {
        self.replies.push(replies);
        self
    }

    /// Adds an upcaster: how data of a type's version `from` is read as that of the later version `to`.
    #[must_use]
    pub fn upcast(
        mut self,
        type_name: &'static str,
        from: &'static str,
        to: &'static str,
        raise: impl Fn(serde_json::Value) -> serde_json::Value + Send + Sync + 'static,
    ) -> Self {
        self.upcasts.push(Upcast { type_name, from, to, raise: Arc::new(raise) });
        self
    }

    /// Claims a stream category that reactions of this service emit to ([`Reaction::emits`]).
    #[must_use]
    pub fn owns(mut self, category: &'static str) -> Self {
        self.owned.push(category);
        self
    }
}

/// Durations that read like words: `30.secs()`.
pub trait Durations {
    /// Milliseconds.
    fn ms(self) -> Duration;
    /// Seconds.
    fn secs(self) -> Duration;
    /// Minutes.
    fn minutes(self) -> Duration;
    /// Hours.
    fn hours(self) -> Duration;
    /// Days of 24 hours.
    fn days(self) -> Duration;
}

impl Durations for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }
    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }
    fn minutes(self) -> Duration {
        Duration::from_secs(self.saturating_mul(60))
    }
    fn hours(self) -> Duration {
        Duration::from_secs(self.saturating_mul(3600))
    }
    fn days(self) -> Duration {
        Duration::from_secs(self.saturating_mul(86400))
    }
}
