//! The rooms in memory, on data time: what guests get, what the second program does with the first one's log.

use std::sync::{Arc, Mutex};

use factum::{AppBuilder, memory::Memory, prelude::*};
use factum_testing::deliveries::{NOW, deliver_twice, reorder, script};
use rooms::{
    bank::{Bank, CHARGE, Paid, REFUND},
    booking::{self, BookingRow, OpenBooking},
    room, services, stay,
};

fn request(booking: &str, night: &str) -> OpenBooking {
    let (room, guests) = ("7".into(), vec!["ada".into(), "charles".into()]);
    OpenBooking { booking_id: booking.into(), room, night: night.into(), guests }
}

async fn start(log: &Memory, services: Vec<Service>) -> App {
    let builder = services.into_iter().fold(App::over(log.clone()).on_data_time(), AppBuilder::with);
    let app = builder.start().await.unwrap();
    app.advance(NOW);
    app
}

async fn status(app: &App, id: &str) -> String {
    let row = app.rows::<BookingRow>().after(app.position()).get(id).await.unwrap();
    row.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_confirmed_and_the_next_one_for_that_night_is_not() {
    let app = start(&Memory::new(), services(&Bank::generous())).await;
    app.execute(request("b1", "2026-05-01")).at(NOW).await.unwrap();
    app.execute(request("b2", "2026-05-01")).at(NOW).await.unwrap();
    app.rest_at(NOW + 2.days()).await.unwrap();
    assert_eq!((status(&app, "b1").await, status(&app, "b2").await), ("confirmed".into(), "cancelled".into()));
    app.stop().await;
}

/// A bank that is away for its first attempts, and what it was asked for.
fn away(attempts: usize) -> (Bank, Arc<Mutex<Vec<u32>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let bank = Bank::new(move |_, call| {
        let mut seen = seen.lock().unwrap();
        seen.push(call.request.cents);
        let is_away = seen.len() <= attempts;
        async move {
            if is_away {
                Answer::Again("away".to_owned(), None)
            } else {
                Answer::Done(Paid { word: "paid".to_owned() })
            }
        }
    });
    (bank, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_has_begun_it_ends_beside_the_second() {
    let log = Memory::new();
    let (bank, asked) = away(1);
    let first = |bank: &Bank| {
        let bookings = Service::new("bookings").decider::<booking::Booking>().saga(stay::first());
        let bookings = bookings.call(bank.call(CHARGE)).call(bank.call(REFUND));
        vec![bookings, Service::new("rooms").decider::<room::Room>()]
    };
    let app = start(&log, first(&bank)).await;
    app.execute(request("b1", "2026-05-01")).at(NOW).await.unwrap();
    app.rest().await.unwrap();
    app.stop().await;

    let app = start(&log, services(&bank)).await;
    app.execute(request("b2", "2026-05-02")).at(NOW).await.unwrap();
    app.rest_at(NOW + 1.minutes()).await.unwrap();
    assert_eq!((status(&app, "b1").await, status(&app, "b2").await), ("confirmed".into(), "confirmed".into()));
    let mut prices = asked.lock().unwrap().clone();
    prices.sort_unstable();
    prices.dedup();
    assert_eq!(prices, [9_000, 12_000], "each by its own version");
    app.stop().await;
}

#[test]
fn deliveries_may_come_twice_and_in_any_order() {
    let all = || services(&Bank::generous());
    let week = script().command(request("b1", "2026-05-01")).command(request("b2", "2026-05-02")).passes(2.days());
    deliver_twice(all, &week);
    reorder(all, &week, 50);
}
