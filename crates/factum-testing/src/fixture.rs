//! Upcaster fixtures: what was stored once, as a file of the tests, is read as today's typed value.
//!
//! ```text
//! fixture("order.created", "0.9.0", include_str!("fixtures/order.created-0.9.0.json"))
//!     .raised_by([order::service()])
//!     .is(&OrderCreated { … });
//! ```
//!
//! Keep one for each shape that was ever stored, under the name and with the version that it was stored with, and never
//! edit it.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use factum_core::{
    envelope::{Draft, Kind, Message},
    id::Name,
    payload::Payload,
    service::Service,
    types::Types,
    upcast::{Upcasters, same_major},
};

use crate::{
    difference::difference,
    scenario::{NOW, draft, message},
};

/// The data of an event or a command as it was stored: under this name, in this version.
///
/// # Panics
/// If it is no JSON object.
#[track_caller]
#[must_use = "say raised_by() and is()"]
pub fn fixture(type_name: &str, version: &str, data: &str) -> Fixture {
    let about = format!("the fixture of {type_name} {version}");
    match serde_json::from_str::<serde_json::Value>(data) {
        Ok(value) if value.is_object() => {}
        Ok(_) => panic!("{about} is no JSON object: keep the message's data as it stands in the log"),
        Err(error) => panic!("{about} is no JSON: {error}"),
    }
    let shared = |text: &str| Name::Shared(text.into());
    let stored = Draft { type_name: shared(type_name), version: shared(version), data: data.as_bytes().into() };
    Fixture { about, stored }
}

/// See [`fixture`].
pub struct Fixture {
    about: String,
    stored: Draft,
}

impl Fixture {
    /// It is read by a program of these services.
    ///
    /// # Panics
    /// If the services' types and upcasters do not fit together.
    #[track_caller]
    #[must_use = "say is()"]
    pub fn raised_by(self, services: impl IntoIterator<Item = Service>) -> Raised {
        let services: Vec<Service> = services.into_iter().collect();
        let types = Types::of(&services).unwrap_or_else(|error| panic!("{error}"));
        let steps = services.iter().flat_map(|service| &service.upcasts);
        let upcasters = Upcasters::new(&types, steps).unwrap_or_else(|error| panic!("{error}"));
        let mut message = message(self.stored, Kind::Event, NOW);
        upcasters.raise(&mut message);
        Raised { about: self.about, message }
    }
}

/// A fixture as the program reads it.
pub struct Raised {
    about: String,
    message: Message,
}

impl Raised {
    /// It equals this value of today.
    ///
    /// # Panics
    /// With what differs, or why it cannot be read.
    #[track_caller]
    pub fn is<P: Payload>(self, expected: &P) {
        let Self { about, message: Message { envelope, data } } = self;
        let (name, version) = (&envelope.type_name, &envelope.data_version);
        let expected = draft(expected);
        let (today, declared) = (&expected.type_name, &expected.version);
        // What an upcaster could not do reads as a text that says so.
        if let Ok(problem) = serde_json::from_slice::<String>(&data) {
            panic!("{about} cannot be raised: {problem}");
        }
        assert!(
            name == today,
            "{about} is read as `{name}`, not as `{today}`: if that is its name of today, write `was = \"{name}\"` on it"
        );
        assert!(
            same_major(version, declared),
            "{about} is read as {version}, but today is {declared}: add `.upcast(\"{today}\", \"{version}\", \"{declared}\", \
             …)` to the service"
        );
        let read = match P::decode(name, &data) {
            Ok(read) => draft(&read),
            Err(error) => {
                panic!("{about} is raised to {version} and then cannot be read: {error}; it holds {}", text(&data))
            }
        };
        if let Some(difference) = difference(&[expected], &[read]) {
            panic!("{about} is read as another value:\n{difference}");
        }
    }
}

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}
