//! Fixtures of stored data: that what is raised right passes, and what is not is said in a sentence.

use std::panic::{UnwindSafe, catch_unwind};

use factum_core::{
    decider::{Context, Decider},
    envelope::Envelope,
    rejection::Never,
    service::Service,
};
use factum_macros::{Command, Event};
use factum_testing::fixture::fixture;
use serde_json::{Value, json};

/// A room that was booked; `from` and `nights` were `days` once, and the event had another name.
#[derive(Event, Clone)]
#[event("room.booked", version = "2.0.0", was = "room.taken")]
struct Booked {
    room: String,
    nights: u32,
    guest: Option<String>,
}

#[derive(Command)]
#[command("room.book")]
struct Book {
    room: String,
}

#[derive(Default)]
struct Room;

impl Decider for Room {
    const CATEGORY: &'static str = "room";
    type Id = String;
    type Command = Book;
    type Event = Booked;
    type Rejection = Never;
    fn address(book: &Book, _: &Envelope) -> String {
        book.room.clone()
    }
    fn decide(&self, _: &String, _: Book, _: &Context) -> Result<Vec<Booked>, Never> {
        Ok(Vec::new())
    }
    fn evolve(&mut self, _: &Booked) {}
}

fn nights(mut data: Value) -> Value {
    data["nights"] = json!(data["days"].as_u64().expect("a number of days") - 1);
    data
}

fn rooms() -> Service {
    Service::new("rooms").decider::<Room>().upcast("room.booked", "1.0.0", "2.0.0", nights)
}

const OLD: &str = r#"{ "room": "7", "days": 3 }"#;

fn booked() -> Booked {
    Booked { room: "7".to_owned(), nights: 2, guest: None }
}

fn said(scenario: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(scenario).expect_err("the fixture is wrong and says so");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn what_was_stored_once_is_read_as_todays_value_also_under_its_old_name() {
    fixture("room.booked", "1.0.0", OLD).raised_by([rooms()]).is(&booked());
    fixture("room.taken", "1.0.0", OLD).raised_by([rooms()]).is(&booked());
    let today = r#"{ "room": "7", "nights": 2, "more": true }"#;
    fixture("room.booked", "2.1.0", today).raised_by([rooms()]).is(&booked());
}

#[test]
fn what_differs_is_said_with_the_fixtures_name_and_version() {
    let text = said(|| fixture("room.taken", "1.0.0", OLD).raised_by([rooms()]).is(&Booked { nights: 3, ..booked() }));
    let parts = ["the fixture of room.taken 1.0.0 is read as another value", ".nights: expected 3, actual 2"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_cannot_be_read_is_said_with_what_to_do() {
    let without = || Service::new("rooms").decider::<Room>();
    for (text, part) in [
        (
            said(move || fixture("room.booked", "1.0.0", OLD).raised_by([without()]).is(&booked())),
            ".upcast(\"room.booked\", \"1.0.0\", \"2.0.0\", …)",
        ),
        (said(|| fixture("room.let", "1.0.0", OLD).raised_by([rooms()]).is(&booked())), "was = \"room.let\""),
        (said(|| fixture("room.booked", "1.0.0", "{").raised_by([rooms()]).is(&booked())), "is no JSON"),
        (said(|| fixture("room.booked", "1.0.0", "7").raised_by([rooms()]).is(&booked())), "no JSON object"),
        (said(|| fixture("room.booked", "1.0.0", "{}").raised_by([rooms()]).is(&booked())), "a number of days"),
        (
            said(|| drop(fixture("room.booked", "1.0.0", OLD).raised_by([rooms(), rooms()]))),
            "two upcasters of `room.booked` from 1.0.0",
        ),
    ] {
        assert!(text.contains(part), "`{part}` does not stand in: {text}");
    }
}
