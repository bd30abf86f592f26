//! The process behind a booking: keep the night, take the money, confirm; or give everything back.

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    bank::{CHARGE, Payment, REFUND},
    booking::{BookingOpened, CancelBooking, ConfirmBooking},
    room::{ReleaseRoom, ReserveRoom, RoomReleased, RoomReserved},
};

/// What the steps need to know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stay {
    booking_id: String,
    room: String,
    night: String,
    #[serde(default)]
    guests: u32,
}

impl Stay {
    fn of(event: &BookingOpened) -> Self {
        let BookingOpened { booking_id, room, night, guests } = event.clone();
        Self { booking_id, room, night, guests: guests.len() as u32 }
    }

    fn reserve(&self) -> ReserveRoom {
        let Self { booking_id, room, night, .. } = self.clone();
        ReserveRoom { room, night, booking_id }
    }

    fn release(&self) -> ReleaseRoom {
        let Self { booking_id, room, night, .. } = self.clone();
        ReleaseRoom { room, night, booking_id }
    }

    fn confirm(&self) -> ConfirmBooking {
        ConfirmBooking { booking_id: self.booking_id.clone() }
    }

    fn cancelled(&self, failure: &Failure) -> Option<CancelBooking> {
        Some(CancelBooking { booking_id: self.booking_id.clone(), reason: failure.reason.clone() })
    }

    fn price(&self) -> Payment {
        Payment { booking_id: self.booking_id.clone(), cents: 9_000 }
    }

    fn price_by_guests(&self) -> Payment {
        Payment { cents: 6_000 + 3_000 * self.guests, ..self.price() }
    }
}

/// The first version: one price for everybody.
pub fn first() -> Saga<Stay> {
    Saga::new("stay", 1)
        .key("bookingId")
        .start::<BookingOpened>(Stay::of)
        .step("reserve", |step| {
            step.send(Stay::reserve).done::<RoomReserved>().undo::<ReleaseRoom, RoomReleased>(Stay::release)
        })
        .step("charge", |step| {
            step.call(CHARGE, Stay::price).refused(|answer| answer.word.clone()).undo_call(REFUND, Stay::price)
        })
        .step("confirm", |step| step.own(Stay::confirm))
        .failed(Stay::cancelled)
}

/// The second version: the price counts the guests.
pub fn second() -> Saga<Stay> {
    Saga::new("stay", 2)
        .key("bookingId")
        .start::<BookingOpened>(Stay::of)
        .step("reserve", |step| {
            step.send(Stay::reserve).done::<RoomReserved>().undo::<ReleaseRoom, RoomReleased>(Stay::release)
        })
        .step("charge", |step| {
            step.call(CHARGE, Stay::price_by_guests)
                .refused(|answer| answer.word.clone())
                .undo_call(REFUND, Stay::price_by_guests)
        })
        .step("confirm", |step| step.own(Stay::confirm))
        .failed(Stay::cancelled)
}

#[cfg(test)]
mod tests {
    use factum::saga::Status;
    use factum_testing::scenario::{Instance, saga};

    use super::*;
    use crate::bank::Paid;

    fn opened() -> BookingOpened {
        let (room, night) = ("7".into(), "2026-05-01".into());
        BookingOpened { booking_id: "b1".into(), room, night, guests: vec!["ada".into(), "charles".into()] }
    }

    fn reserved(stay: Saga<Stay>) -> Instance {
        let (room, night) = ("7".into(), "2026-05-01".into());
        saga(stay).given([opened()]).when(RoomReserved { room, night, booking_id: "b1".into() })
    }

    #[test]
    fn a_paid_stay_is_confirmed() {
        reserved(first())
            .asks(CHARGE, &Payment { booking_id: "b1".into(), cents: 9_000 })
            .waits("charge", 2.minutes())
            .when_done(CHARGE, &Paid { word: "paid".into() })
            .decides([ConfirmBooking { booking_id: "b1".into() }])
            .is(Status::Completed);
    }

    #[test]
    fn a_stay_that_is_not_paid_gives_the_night_back() {
        reserved(first())
            .when_refused(CHARGE, &Paid { word: "no_money".into() })
            .decides([CancelBooking { booking_id: "b1".into(), reason: "no_money".into() }])
            .then([ReleaseRoom { room: "7".into(), night: "2026-05-01".into(), booking_id: "b1".into() }])
            .is(Status::Undoing);
    }

    #[test]
    fn the_second_version_counts_the_guests() {
        reserved(second()).asks(CHARGE, &Payment { booking_id: "b1".into(), cents: 12_000 });
    }
}
