//! Chaos over the rooms: a line to the bank that loses answers, guests who send again, a program that is killed. In the end the
//! bank's book and ours agree. `FACTUM_SEED=7` draws the same faults again; `docs/chaos.md` tells how to do so with a program
//! of yours.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use factum_testing::chaos::{
    Client, Faults, Outcome, Place, Process, Proxy, Rates, Recorder, Tally, drawn, free_address, knock,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

const BOOKINGS: u64 = 60;
const KILLS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(120);

/// The bank's book, outside the program: what it said, under each key.
type Book = Arc<Mutex<Recorder<(u16, &'static str)>>>;

/// One booking in ten is not paid, always the same ones.
async fn bank(seed: u64) -> (String, Book) {
    let act =
        move |State(book): State<Book>, Path((booking, act)): Path<(String, String)>, head: HeaderMap, body: Bytes| {
            let poor = act == "charge" && drawn(seed, &["poor", &booking]).u8(..10) == 0;
            let asked = format!("{act} {booking} {}", String::from_utf8_lossy(&body));
            let said = book.lock().unwrap().ask(head["idempotency-key"].to_str().unwrap(), &asked, || match poor {
                true => Outcome::Refused((402, r#"{"reason":"no_money"}"#)),
                false => Outcome::Done(format!("{act} {booking}"), (200, r#"{"word":"paid"}"#)),
            });
            async move { (StatusCode::from_u16(said.0).unwrap(), said.1).into_response() }
        };
    let book = Book::default();
    let router = Router::new().route("/payments/{booking}/{act}", post(act)).with_state(book.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, book)
}

/// The program, between the two lines.
fn program(place: &Place, bank: String, tally: &Tally) -> Process {
    let (address, data) = (free_address().unwrap(), place.data());
    let command = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rooms-with-bank"));
        command.arg(&data).arg(address.to_string()).arg(&bank);
        command
    };
    Process::new(command, address, &place.log(), tally)
}

/// Asks for the `nth` night; answers the booking.
async fn book(guests: Arc<Client>, seed: u64, nth: u64, tally: Tally) -> (String, (u64, u64)) {
    let mut random = drawn(seed, &["guest", &nth.to_string()]);
    let wanted = (random.u64(1..4), random.u64(1..15));
    let wish = json!({ "room": wanted.0.to_string(), "night": format!("2026-05-{:02}", wanted.1), "guests": ["ada"] });
    let answer = guests.post("/bookings", &format!("{seed}-{nth}"), &[], &wish.to_string()).await.unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    knock(&guests, seed, nth, &tally).await.unwrap();
    (answer.body["bookingId"].as_str().unwrap().to_owned(), wanted)
}

/// What becomes of a booking.
async fn ended(direct: &Client, booking: &str) -> String {
    loop {
        let answer = direct.get(&format!("/bookings/{booking}")).await.unwrap();
        match answer.body["status"].as_str() {
            Some("open") => tokio::task::yield_now().await,
            Some(status) => return status.to_owned(),
            None => panic!("{booking}: {answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_booking_comes_to_its_end_and_is_paid_once_whatever_goes_wrong() {
    let seed = std::env::var("FACTUM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("chaos over the rooms: FACTUM_SEED={seed}");
    let (tally, (bank, paid)) = (Tally::default(), bank(seed).await);
    let place = Place::new(96, &tally).unwrap();
    // So many lost answers that some are the bank's, whenever the kills strike.
    let rates = Rates { answer_lost: 0.15, ..Rates::usual() };
    let faults = |silence| Faults { seed, rates, silence: Duration::from_millis(silence) };
    let to_bank = Proxy::start("bank", &bank, faults(700), &tally).await.unwrap();
    let mut program = program(&place, to_bank.url(), &tally);
    let front = Proxy::start("guests", program.url(), faults(1_500), &tally).await.unwrap();
    program.start(LIMIT).await.unwrap();

    let guests = Arc::new(Client::new(&front.url(), Duration::from_secs(1), LIMIT));
    let mut bookings = BTreeMap::new();
    for part in 0..KILLS {
        let numbers = BOOKINGS * part / KILLS..BOOKINGS * (part + 1) / KILLS;
        let mut asking: JoinSet<_> = numbers.map(|nth| book(guests.clone(), seed, nth, tally.clone())).collect();
        // The first answer is there, and the rest is under way.
        bookings.extend([asking.join_next().await.unwrap().unwrap()]);
        program.kill("running").await.unwrap();
        program.start(LIMIT).await.unwrap();
        bookings.extend(asking.join_all().await);
    }
    assert_eq!(bookings.len() as u64, BOOKINGS, "a request that is sent again is the same booking");

    let direct = Client::new(program.url(), LIMIT, LIMIT);
    let mut nights: BTreeMap<(u64, u64), String> = BTreeMap::new();
    for (booking, night) in &bookings {
        let status = ended(&direct, booking).await;
        let has = |act: &str| paid.lock().unwrap().has_done(&format!("{act} {booking}"));
        let kept = has("charge") && !has("refund");
        assert_eq!(
            status == "confirmed",
            kept,
            "I9: {booking} is {status}: charge {}, refund {}",
            has("charge"),
            has("refund")
        );
        if kept && let Some(other) = nights.insert(*night, booking.clone()) {
            panic!("I7: {booking} and {other} have the same night");
        }
    }
    let letters = direct.get("/factum/v1/letters").await.unwrap().body;
    assert_eq!(letters["letters"], Value::Array(vec![]), "I6: nothing waits for a person");
    program.stop(LIMIT).await.unwrap();
    assert_eq!(paid.lock().unwrap().problems(), [""; 0], "I5: each effect once");
    println!("{tally}");
    assert_eq!(tally.count("kill", "running").happened, KILLS);
    for fault in ["time-out", "answer lost", "poison at the door"] {
        assert!(tally.happenings(fault) > 0, "{fault} never happened, so nothing was tested");
    }
}
