//! Given past events, when a command, then new events: deciders, reactions and sagas tested in the words of the field.
//!
//! Everything that goes in is written as JSON and read back first, so that each scenario also proves that its events and
//! commands survive a store. Time stands still at [`NOW`] unless [`Given::at`] says otherwise.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

mod decider;
mod reaction;
mod saga;

use factum_core::{
    Timestamp,
    envelope::{Draft, Envelope, Kind, Message},
    id::{MessageId, Name},
    payload::Payload,
};

pub(crate) use decider::decide;
pub use decider::{Given, Then, When, given, given_nothing};
pub use reaction::{Happened, Reacted, happened, react};
pub use saga::{Instance, Said, Sent, saga};

use crate::difference::difference;

/// The time of everything that has none of its own: 2026-01-02T03:04:05Z.
pub const NOW: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// Events of one decider: `()`, an array, a `Vec` or a tuple of up to eight, of anything that becomes one.
pub trait IntoEvents<E> {
    /// As a list.
    fn into_events(self) -> Vec<E>;
}

impl<E> IntoEvents<E> for () {
    fn into_events(self) -> Vec<E> {
        Vec::new()
    }
}

impl<E, T: Into<E>, const N: usize> IntoEvents<E> for [T; N] {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<E, T: Into<E>> IntoEvents<E> for Vec<T> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<E, $($name: Into<E>),+> IntoEvents<E> for ($($name,)+) {
            #[allow(non_snake_case, reason = "the type's letter also names the value")]
            fn into_events(self) -> Vec<E> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    };
}
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D F);
tuples!(A B C D F G);
tuples!(A B C D F G H);
tuples!(A B C D F G H I);

/// Writes a payload and reads it back.
pub(crate) fn again<P: Payload>(payload: &P) -> P {
    let written = draft(payload);
    let read = P::decode(&written.type_name, &written.data);
    let read = read.unwrap_or_else(|error| panic!("what was written as JSON cannot be read back: {error}"));
    let rewritten = draft(&read);
    if let Some(difference) = difference(&[written], &[rewritten]) {
        panic!("the value changes when it is written as JSON and read back:\n{difference}");
    }
    read
}

pub(crate) fn draft<P: Payload>(payload: &P) -> Draft {
    Draft::of(payload).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn message(draft: Draft, kind: Kind, at: Timestamp) -> Message {
    let id = MessageId::derived(&["scenario", &draft.type_name]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind,
        type_name: draft.type_name,
        source: Name::Static("scenario"),
        data_version: draft.version,
        timestamp: at,
        causation_id: None,
        partition_key: "scenario".into(),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    Message { envelope, data: draft.data }
}
