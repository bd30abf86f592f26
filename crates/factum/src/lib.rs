//! Factum: event-driven systems in Rust. Start with the [`prelude`] and [`App`].

extern crate self as factum;

mod app;
mod archive;
mod broker;
mod builder;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "yaml")]
pub mod definitions;
mod execution;
pub mod groups;
pub mod letters;
mod location;
mod moving;
pub mod operate;
pub mod plans;
pub mod reconciliation;
mod report;
#[cfg(feature = "http")]
mod routes;
mod rows;
pub mod sagas;
pub mod schedules;
mod standby;
mod stores;
mod wiring;

pub use app::App;
pub use archive::{Archive, UnderWay};
pub use broker::{Broker, BrokerError};
pub use builder::AppBuilder;
pub use execution::{Execution, Together};
pub use factum_core::{
    call, commit, decider, envelope, error, group, id, letter, memory, money, payload, pipeline, ports, reaction,
    rejection, replies, row, saga, schedule, service, snapshot, stream, timer, view,
};
pub use factum_runtime::{
    acts::By,
    clock,
    engine::{EngineHealth, StoppedConsumer},
    inbox::{ExecuteError, Receipt, Request, Rested},
    publishers::Shown as TypeShown,
    supervisor::{StartError, Status, UnitHealth},
};
#[cfg(feature = "http")]
pub use factum_server as http;
#[cfg(all(unix, feature = "chaos"))]
pub use factum_testing::chaos;
pub use location::Location;
pub use moving::{MoveError, MovePhase, MoveProgress, Switch};
pub use report::Report;
#[cfg(feature = "http")]
pub use routes::Routed;
pub use rows::{ReadError, RowsOf};
pub use standby::Standby;
pub use stores::{LogSizes, OpenError, Stores};
#[cfg(feature = "postgres")]
pub use wiring::classical as postgres;

/// Values in memory that events keep, for routes and calls.
pub mod cache {
    pub use factum_core::cache::{AnyCache, CacheShown};
    pub use factum_runtime::cache::{Cache, Followed, Ticket, Values};
}

/// The names that nearly every service uses.
pub mod prelude {
    pub use factum_core::{
        Timestamp,
        call::{Answer, Call, CallSpec, CallTo, exp},
        decider::{Context, Decider},
        envelope::{Envelope, Recorded},
        error::{HandlerError, NotYet},
        group::Group,
        id::MessageId,
        money::Money,
        payload::{Command as _, Event as _},
        reaction::{Effects, Folding, OnDead, Reaction},
        rejection::Never,
        replies::Replies,
        saga::{Failure, Saga},
        schedule::{Missed, Occurrence, Overlap, Schedule},
        service::{Durations, Service},
        timer::TimerTo,
        view::Rows,
    };
    pub use factum_macros::{Command, Event, Rejection, Row};

    #[cfg(feature = "http")]
    pub use crate::Routed;
    pub use crate::{App, Receipt};
}

/// What generated code refers to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use factum_core as core;
    pub use {schemars, serde, serde_json};
}

/// The README's example is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

/// So are those of the page about changes.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/changing.md")]
pub struct Changing;
