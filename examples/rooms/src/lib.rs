//! Rooms of a house that are booked and paid: the system of `docs/tutorial.md`.

pub mod bank;
pub mod booking;
pub mod http;
pub mod room;
pub mod stay;

use factum::prelude::*;

/// Everything that runs; the bank is whatever answers.
pub fn services(bank: &bank::Bank) -> Vec<Service> {
    let bookings = Service::new("bookings")
        .decider::<booking::Booking>()
        .reaction(booking::reminding())
        .view(1, booking::list)
        .saga(stay::first())
        .saga(stay::second())
        .call(bank.call(bank::CHARGE))
        .call(bank.call(bank::REFUND))
        .routes(http::routes())
        .upcast("booking.opened", "1.0.0", "2.0.0", booking::guests);
    vec![bookings, Service::new("rooms").decider::<room::Room>()]
}
