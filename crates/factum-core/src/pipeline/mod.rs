//! Pipelines: streams processed as their events come, by filter, map and aggregate, over windows of event time.
//!
//! ```
//! use factum_core::{pipeline::{Pipeline, Window, Windows}, service::Durations};
//! # use factum_core::{envelope::Recorded, money::Money, payload::*, __private::{schemars, serde_json}};
//! # macro_rules! message { ($name:ident, $type_name:literal) => {
//! #     impl Payload for $name {
//! #         fn types() -> Vec<TypeInfo> { vec![TypeInfo::new($type_name, "1.0.0", || schemars::json_schema!({}))] }
//! #         fn type_info(&self) -> TypeInfo { Self::types()[0] }
//! #         fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
//! #             serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error))
//! #         }
//! #         fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
//! #             serde_json::to_writer(out, self).map_err(|error| PayloadError::encode($type_name, &error))
//! #         }
//! #     }
//! #     impl Event for $name {}
//! # } }
//! # #[derive(serde::Deserialize, serde::Serialize)] struct OrderCreated { customer: Option<String>, total: i64 }
//! # #[derive(serde::Deserialize, serde::Serialize)] struct SalesCounted { customer: String, from: jiff::Timestamp, orders: u64 }
//! # message!(OrderCreated, "order.created");
//! # message!(SalesCounted, "sales.counted");
//! /// How many large orders each customer has placed, hour by hour.
//! fn large_orders() -> Pipeline<u64> {
//!     Pipeline::over::<OrderCreated>("large-orders", 1)
//!         .filter(|order| order.total >= 100_00)
//!         .filter_map(|order| order.customer.clone())
//!         .by(|customer| customer.clone())
//!         .windows(Windows::tumbling(1.hours()).late_by(10.minutes()).final_only())
//!         .aggregate(|orders: &mut u64, _| *orders += 1)
//!         .emits("large_orders", |customer, window: Option<Window>, orders| SalesCounted {
//!             customer: customer.to_owned(),
//!             from: window.unwrap().from,
//!             orders: *orders,
//!         })
//! }
//! # large_orders();
//! ```
//!
//! A pipeline is a folding reaction, and promises what one promises: each event counts once, in the order of the log; its
//! state is rebuilt from the last snapshot and the log; its results are events in streams that its service owns, in the
//! commit that moves its cursor. A map without an order, a float and a clock have no place in it.
//!
//! - **Order.** With one event are told: windows that have closed, then for which windows it was late, or its own windows;
//!   each by the windows' beginnings, the first also by key.
//! - **Time.** A result of a closed window bears the last moment of the window as its time, so that what reads it counts it
//!   where it belongs; all else that is told bears the time of its event.
//! - **Late.** An event is late for a window that has closed. It is told as [`EventLate`] for each such window, and goes into
//!   those that are still open.
//! - **Once.** A window is told once, whatever becomes of the event that closes it, and also when size, lateness or the way of
//!   telling change with a new version: how far windows are told is kept beside the log.
//! - **Failing.** Where filter, map, key, aggregate or the result of the event itself fail or panic, the event is a letter
//!   and the state is as it was; all other events go on. When a window that has closed cannot be told, the pipeline stops in
//!   front of the event, until a program comes that can.
//! - **Bounds.** A million aggregates, if not said otherwise ([`Aggregated::most`]): one a key, with windows one a key and
//!   open window. Of windows (lateness + size) / distance, rounded up, and one more are open at most. An event that would
//!   need another aggregate is a letter. What an aggregate itself holds is its author's.

mod due;
mod late;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod windows;

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};

pub use due::{Due, Through};
pub use late::EventLate;
pub use run::MOST_TOLD;
pub(crate) use run::{Pipes, Steps};
pub use state::{Figures, State};
pub use windows::{MOST_OVERLAPPING, Window, Windows};

use crate::{
    envelope::{Draft, Recorded, Stored},
    error::HandlerError,
    payload::{Event, TypeInfo},
    reaction::{Folding, Makes, Outcome},
};
use run::{Add, KeyOf, Take, Tell};

/// Aggregates that a pipeline may hold, if not said otherwise.
const MOST: u64 = 1_000_000;

/// What an aggregate is: a plain value that is kept in snapshots, so without floats and maps without an order.
pub trait Aggregate: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<A: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Aggregate for A {}

/// A pipeline that is put together: [`Service::pipeline`](crate::service::Service::pipeline) takes it. `A` is its aggregate.
pub struct Pipeline<A> {
    /// The stream category of its results, which its service owns.
    pub category: &'static str,
    /// What runs it.
    pub folding: Folding<State<A>>,
}

impl Pipeline<()> {
    /// A pipeline over the events of `E`. Raise the version when its steps change their meaning: it is folded anew from the
    /// log then, and goes on from where it stands.
    pub fn over<E: Event>(name: &'static str, version: u32) -> Events<E> {
        Events { name, version, filters: Vec::new() }
    }
}

impl<A: Aggregate> Pipeline<A> {
    /// A new deployment also tells what the log holds already, from its beginning. Without it only the aggregates are made
    /// from the beginning, and telling starts now.
    #[must_use]
    pub fn from_start(self) -> Self {
        Self { folding: self.folding.from_start(), ..self }
    }
}

type Filter<E> = Box<dyn Fn(&Recorded<'_, E>) -> bool + Send + Sync>;

/// Events that go into a pipeline.
#[must_use = "say map()"]
pub struct Events<E> {
    name: &'static str,
    version: u32,
    filters: Vec<Filter<E>>,
}

impl<E: Event> Events<E> {
    /// Leaves out events. They still tell the time.
    pub fn filter(mut self, wanted: impl Fn(&Recorded<'_, E>) -> bool + Send + Sync + 'static) -> Self {
        self.filters.push(Box::new(wanted));
        self
    }

    /// Makes an item of each event.
    pub fn map<T: 'static>(self, map: impl Fn(&Recorded<'_, E>) -> T + Send + Sync + 'static) -> Items<T> {
        self.filter_map(move |event| Some(map(event)))
    }

    /// Makes an item of an event, or leaves it out.
    pub fn filter_map<T: 'static>(
        self,
        map: impl Fn(&Recorded<'_, E>) -> Option<T> + Send + Sync + 'static,
    ) -> Items<T> {
        let Self { name, version, filters } = self;
        Items::of(name, version, E::types(), move |stored| {
            let event = Recorded::<E>::read(stored)?;
            Ok(if filters.iter().all(|wanted| wanted(&event)) { map(&event) } else { None })
        })
    }
}

/// Items that events were made into.
#[must_use = "say by()"]
pub struct Items<T> {
    name: &'static str,
    version: u32,
    types: Vec<TypeInfo>,
    take: Take<T>,
}

impl<T: 'static> Items<T> {
    /// Items of messages of these types, for those who know the types only when the program runs.
    pub fn of(
        name: &'static str,
        version: u32,
        types: Vec<TypeInfo>,
        take: impl Fn(&Stored) -> Result<Option<T>, HandlerError> + Send + Sync + 'static,
    ) -> Self {
        Self { name, version, types, take: Box::new(take) }
    }

    /// Leaves out items.
    pub fn filter(self, wanted: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.filter_map(move |item| wanted(&item).then_some(item))
    }

    /// Makes another item of each.
    pub fn map<U: 'static>(self, map: impl Fn(T) -> U + Send + Sync + 'static) -> Items<U> {
        self.filter_map(move |item| Some(map(item)))
    }

    /// Makes another item of one, or leaves it out.
    pub fn filter_map<U: 'static>(self, map: impl Fn(T) -> Option<U> + Send + Sync + 'static) -> Items<U> {
        let Self { name, version, types, take } = self;
        Items::of(name, version, types, move |stored| Ok(take(stored)?.and_then(&map)))
    }

    /// The key by which items are grouped: the part of a stream's name behind its category, so printable and of at most 128
    /// bytes. It tells nothing of a person that must not stand in a stream's name.
    pub fn by<K: Display>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Keyed<T> {
        Keyed { items: self, key: Box::new(move |item| key(item).to_string()), windows: None }
    }
}

/// Items with their keys.
#[must_use = "say aggregate()"]
pub struct Keyed<T> {
    items: Items<T>,
    key: KeyOf<T>,
    windows: Option<Windows>,
}

impl<T: 'static> Keyed<T> {
    /// Aggregates within windows of event time, the time that the envelope says. Without it there is one aggregate a key.
    pub fn windows(self, windows: Windows) -> Self {
        Self { windows: Some(windows), ..self }
    }

    /// Takes each item into the aggregate of its key, which starts as its default. It may fail, as on a sum that does not
    /// fit: then the event is a letter and the aggregate as it was, for which a copy is made of it before.
    pub fn aggregate<A, O: Outcome>(self, add: impl Fn(&mut A, &T) -> O + Send + Sync + 'static) -> Aggregated<T, A> {
        Aggregated { keyed: self, most: MOST, add: Box::new(move |value, item| add(value, item).outcome()) }
    }
}

/// Aggregates, before it is said how they are told.
#[must_use = "say emits()"]
pub struct Aggregated<T, A> {
    keyed: Keyed<T>,
    most: u64,
    add: Add<A, T>,
}

impl<T: 'static, A: Aggregate> Aggregated<T, A> {
    /// Holds so many aggregates at most, instead of a million.
    pub fn most(self, aggregates: u64) -> Self {
        Self { most: aggregates, ..self }
    }

    /// Tells aggregates as events in the streams `<category>-<key>`, which the service owns then: with each event that
    /// changes them, or once when their window closes ([`Windows::final_only`]).
    pub fn emits<E: Event>(
        self,
        category: &'static str,
        tell: impl Fn(&str, Option<Window>, &A) -> E + Send + Sync + 'static,
    ) -> Pipeline<A> {
        self.told(category, E::types(), Box::new(move |key, window, value| Ok(Draft::of(&tell(key, window, value))?)))
    }

    /// The same, for those who know the type only when the program runs.
    pub fn emits_draft(
        self,
        category: &'static str,
        info: TypeInfo,
        tell: impl Fn(&str, Option<Window>, &A) -> Result<Draft, HandlerError> + Send + Sync + 'static,
    ) -> Pipeline<A> {
        self.told(category, vec![info], Box::new(tell))
    }

    fn told(self, category: &'static str, results: Vec<TypeInfo>, tell: Tell<A>) -> Pipeline<A> {
        let Self { keyed: Keyed { items, key, windows }, most, add } = self;
        let Items { name, version, types, take } = items;
        let mut makes = Makes::default();
        makes.events.extend(results.into_iter().map(|info| (category, info)));
        // Also without windows: the log may hold some of a version that had them.
        makes.emits::<EventLate>(category);
        let steps = Steps { name, version, take, key, windows, most, add, category, tell };
        Pipeline { category, folding: Folding::of_pipeline(types, makes, steps) }
    }
}
