//! A reconciliation as a service declares it.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use factum_core::{
    envelope::Recorded,
    payload::Command,
    reaction::{Effects, Reaction},
    schedule::Schedule,
    service::{Durations, Service},
};
use serde::Serialize;

use super::{
    job::{Agree, Job, Pair, Source},
    messages::{Compare, ComparisonFailed, ComparisonFinished, Mismatch, MismatchFound},
};
use crate::App;

/// How long what differs is left before it is read again, if nothing is said, in seconds.
const SETTLE_SECS: u64 = 2;

type Sends = Box<dyn FnOnce(&'static str, String) -> Reaction>;

/// A reconciliation in the making: when it runs. [`Reconciliation::expected`] goes on.
pub struct Reconciliation {
    schedule: Schedule,
}

/// One of the sources is known: [`Half::found`] names the other.
pub struct Half<V> {
    schedule: Schedule,
    expected: (&'static str, Source<V>),
}

/// A reconciliation with both sources: give it to [`Reconciled::reconcile`].
pub struct Found<V> {
    schedule: Schedule,
    pair: Pair<V>,
    sends: Option<Sends>,
}

impl Reconciliation {
    /// One that runs at the times of a schedule, and bears its name; the schedule says nothing of what it sends. It can also
    /// be run by hand, and on data time only so.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule }
    }

    /// What is right: values by key. A source that cannot be read says why; it is read again some times, then the
    /// comparison has failed.
    pub fn expected<V, F, Fut>(self, what: &'static str, source: F) -> Half<V>
    where
        F: Fn(App) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<BTreeMap<String, V>, String>> + Send + 'static,
    {
        Half { schedule: self.schedule, expected: (what, erased(source)) }
    }
}

impl<V: PartialEq + 'static> Half<V> {
    /// What is to be as the other says.
    pub fn found<F, Fut>(self, what: &'static str, source: F) -> Found<V>
    where
        F: Fn(App) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<BTreeMap<String, V>, String>> + Send + 'static,
    {
        let Self { schedule, expected } = self;
        let agree: Agree<V> = Arc::new(|expected, found| expected == found);
        let pair = Pair { expected, found: (what, erased(source)), agree, settle: SETTLE_SECS.secs() };
        Found { schedule, pair, sends: None }
    }
}

impl<V> Found<V> {
    /// When the values of a key that both have agree, expected first; if nothing is said, when they are equal. What only one
    /// of the sources has is a mismatch.
    #[must_use]
    pub fn tolerance(self, agree: impl Fn(&V, &V) -> bool + Send + Sync + 'static) -> Self {
        self.agree(move |expected, found| match (expected, found) {
            (Some(expected), Some(found)) => agree(expected, found),
            _ => false,
        })
    }

    /// When the sources agree on a key that at least one of them has, expected first: for what may be missing.
    #[must_use]
    pub fn agree(mut self, agree: impl Fn(Option<&V>, Option<&V>) -> bool + Send + Sync + 'static) -> Self {
        self.pair.agree = Arc::new(agree);
        self
    }

    /// How long what differs is left before it is read again: long enough that a source which follows the other has
    /// followed. Two seconds if nothing is said.
    #[must_use]
    pub fn settle(mut self, time: Duration) -> Self {
        self.pair.settle = time;
        self
    }

    /// A command for each mismatch that is found, such as one that mends it. It is pure.
    #[must_use]
    pub fn sends<C: Command>(mut self, make: impl Fn(&Mismatch) -> C + Send + Sync + 'static) -> Self {
        self.sends = Some(Box::new(move |name, whole| {
            let react = move |event: &Recorded<'_, MismatchFound>, fx: &mut Effects| {
                if event.data.reconciliation == whole {
                    fx.send(make(&event.data.mismatch));
                }
            };
            Reaction::new(name, react).by("reconciliation")
        }));
        self
    }
}

/// Gives a service its reconciliations.
pub trait Reconciled {
    /// Adds a reconciliation, called `<service>.<name of its schedule>`.
    #[must_use]
    fn reconcile<V>(self, reconciliation: Found<V>) -> Self
    where
        V: Serialize + PartialEq + Send + Sync + 'static;
}

impl Reconciled for Service {
    fn reconcile<V>(self, reconciliation: Found<V>) -> Self
    where
        V: Serialize + PartialEq + Send + Sync + 'static,
    {
        let Found { schedule, pair, sends } = reconciliation;
        let name = schedule.name();
        let whole = format!("{}.{name}", self.name);
        let pair = Arc::new(pair);
        let (compared, asked) = (whole.clone(), whole.clone());
        let run = Arc::new(move |app: App| {
            let (pair, name) = (pair.clone(), compared.clone());
            let compared: super::job::Later<_> = Box::pin(async move { pair.compare(&app, &name).await });
            compared
        });
        let schedule = schedule
            .done_by::<ComparisonFinished>()
            .done_by::<ComparisonFailed>()
            .sends(move |_| Compare { reconciliation: asked.clone() });
        let service = self.part(Job { name: whole.clone(), run }).schedule(schedule);
        match sends {
            // A handler's name lives as long as the program.
            Some(sends) => service.reaction(sends(format!("{name}-mismatches").leak(), whole)),
            None => service,
        }
    }
}

fn erased<V, F, Fut>(source: F) -> Source<V>
where
    F: Fn(App) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<BTreeMap<String, V>, String>> + Send + 'static,
{
    Arc::new(move |app| Box::pin(source(app)))
}
