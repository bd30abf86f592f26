//! A booking: opened by a guest, then confirmed or cancelled; and what is made known of it.

use factum::prelude::*;
use serde_json::{Value, json};

/// Published when a guest asks for a night.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("booking.opened", version = "2.0.0")]
pub struct BookingOpened {
    /// The booking.
    pub booking_id: String,
    /// The room.
    pub room: String,
    /// The night.
    pub night: String,
    /// Who comes.
    pub guests: Vec<String>,
}

/// Published when the night is kept and paid.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("booking.confirmed")]
pub struct BookingConfirmed {
    /// The booking.
    pub booking_id: String,
}

/// Published when it comes to nothing.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("booking.cancelled")]
pub struct BookingCancelled {
    /// The booking.
    pub booking_id: String,
    /// Why.
    pub reason: String,
}

/// Published when the guests were reminded.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("booking.reminded")]
pub struct BookingReminded {
    /// The booking.
    pub booking_id: String,
}

/// Asks for a night.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("booking.open")]
pub struct OpenBooking {
    /// The booking.
    pub booking_id: String,
    /// The room.
    pub room: String,
    /// The night.
    pub night: String,
    /// Who comes.
    pub guests: Vec<String>,
}

/// Says that the night is kept and paid.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("booking.confirm")]
pub struct ConfirmBooking {
    /// The booking.
    pub booking_id: String,
}

/// Gives it up.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("booking.cancel")]
pub struct CancelBooking {
    /// The booking.
    pub booking_id: String,
    /// Why.
    pub reason: String,
}

/// Reminds the guests.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("booking.remind")]
pub struct RemindGuests {
    /// The booking.
    pub booking_id: String,
}

/// What can happen to a booking.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum BookingEvent {
    Opened(BookingOpened),
    Confirmed(BookingConfirmed),
    Cancelled(BookingCancelled),
    Reminded(BookingReminded),
}

/// What a booking can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum BookingCommand {
    Open(OpenBooking),
    Confirm(ConfirmBooking),
    Cancel(CancelBooking),
    Remind(RemindGuests),
}

/// Why not.
#[derive(Debug, Rejection)]
pub enum No {
    /// It is over, or was never begun.
    #[rejection("not_open", "the booking is not open")]
    NotOpen,
}

/// How a booking stands.
#[derive(Default, PartialEq)]
pub enum Booking {
    /// Nobody has asked for it.
    #[default]
    Unknown,
    /// It is being looked after.
    Open,
    /// The guests may come.
    Confirmed,
    /// It came to nothing.
    Cancelled,
}

impl Decider for Booking {
    const CATEGORY: &'static str = "booking";
    type Id = String;
    type Command = BookingCommand;
    type Event = BookingEvent;
    type Rejection = No;

    fn address(command: &BookingCommand, _: &Envelope) -> String {
        match command {
            BookingCommand::Open(c) => c.booking_id.clone(),
            BookingCommand::Confirm(c) => c.booking_id.clone(),
            BookingCommand::Cancel(c) => c.booking_id.clone(),
            BookingCommand::Remind(c) => c.booking_id.clone(),
        }
    }

    fn decide(&self, id: &String, command: BookingCommand, _: &Context) -> Result<Vec<BookingEvent>, No> {
        let booking_id = id.clone();
        Ok(match (command, self) {
            (BookingCommand::Open(c), Self::Unknown) => {
                vec![BookingOpened { booking_id, room: c.room, night: c.night, guests: c.guests }.into()]
            }
            (BookingCommand::Open(_), _) => Vec::new(),
            (BookingCommand::Confirm(_), Self::Open) => vec![BookingConfirmed { booking_id }.into()],
            (BookingCommand::Cancel(c), Self::Open) => vec![BookingCancelled { booking_id, reason: c.reason }.into()],
            (BookingCommand::Remind(_), Self::Confirmed) => vec![BookingReminded { booking_id }.into()],
            (BookingCommand::Remind(_), _) => Vec::new(),
            (BookingCommand::Confirm(_) | BookingCommand::Cancel(_), _) => return Err(No::NotOpen),
        })
    }

    fn evolve(&mut self, event: &BookingEvent) {
        *self = match event {
            BookingEvent::Opened(_) => Self::Open,
            BookingEvent::Confirmed(_) | BookingEvent::Reminded(_) => Self::Confirmed,
            BookingEvent::Cancelled(_) => Self::Cancelled,
        }
    }
}

/// When the guests are to be reminded.
const REMIND: TimerTo<RemindGuests> = TimerTo::new("remind");

/// A day behind its confirmation the guests are reminded.
pub fn reminding() -> Reaction {
    Reaction::new("remind", remind).sets(REMIND)
}

fn remind(event: &Recorded<BookingConfirmed>, fx: &mut Effects) {
    fx.after(REMIND, 24.hours(), RemindGuests { booking_id: event.booking_id.clone() });
}

/// A booking, for reading.
#[derive(Clone, Debug, PartialEq, Row)]
#[row("bookings")]
pub struct BookingRow {
    /// The booking.
    #[key]
    pub booking_id: String,
    /// The room.
    #[index]
    pub room: String,
    /// The night.
    pub night: String,
    /// Who comes.
    pub guests: u32,
    /// `open`, `confirmed` or `cancelled`.
    #[index]
    pub status: String,
}

/// The list of bookings.
pub fn list(rows: &mut Rows<BookingRow>, event: &Recorded<BookingEvent>) {
    match &event.data {
        BookingEvent::Opened(e) => rows.put(BookingRow {
            booking_id: e.booking_id.clone(),
            room: e.room.clone(),
            night: e.night.clone(),
            guests: e.guests.len() as u32,
            status: "open".to_owned(),
        }),
        BookingEvent::Confirmed(e) => _ = rows.update(&e.booking_id, |row| row.status = "confirmed".to_owned()),
        BookingEvent::Cancelled(e) => _ = rows.update(&e.booking_id, |row| row.status = "cancelled".to_owned()),
        BookingEvent::Reminded(_) => {}
    }
}

/// Of version 1.0.0 there was one guest, in a field of its own.
pub fn guests(mut data: Value) -> Value {
    if let Some(guest) = data.as_object_mut().and_then(|fields| fields.remove("guest")) {
        data["guests"] = json!([guest]);
    }
    data
}

#[cfg(test)]
mod tests {
    use factum_testing::{
        fixture::fixture,
        scenario::{given, happened},
    };

    use super::*;

    fn opened() -> BookingOpened {
        let (room, night) = ("7".into(), "2026-05-01".into());
        BookingOpened { booking_id: "b1".into(), room, night, guests: vec!["ada".into()] }
    }

    fn confirm() -> ConfirmBooking {
        ConfirmBooking { booking_id: "b1".into() }
    }

    #[test]
    fn an_open_booking_is_confirmed_and_nothing_else_is() {
        given::<Booking>([opened()]).when(confirm()).then([BookingConfirmed { booking_id: "b1".into() }]);
        given::<Booking>(()).when(confirm()).then_rejected("not_open");
    }

    #[test]
    fn guests_are_reminded_a_day_later() {
        let timers = happened(BookingConfirmed { booking_id: "b1".into() }).given_to(&reminding()).timers();
        assert_eq!(timers, [("remind".to_owned(), 24.hours(), RemindGuests { booking_id: "b1".into() })]);
    }

    #[test]
    fn a_booking_of_the_first_version_is_read_as_todays() {
        let stored = include_str!("../tests/stored/booking.opened-1.0.0.json");
        let services = crate::services(&crate::bank::Bank::generous());
        fixture("booking.opened", "1.0.0", stored).raised_by(services).is(&opened());
    }
}
