//! The rooms under crashes, failing disks and a bank that loses answers: whatever happens, nights and money agree.

use factum::envelope::Draft;
use factum_testing::sim::{Peers, Simulation, Violation, World, sweep};
use rooms::{
    bank::{Bank, Paid},
    booking::{BookingConfirmed, OpenBooking},
    room::{RoomReleased, RoomReserved},
    services,
};

/// The bank of a simulation: it loses answers, is away, and refuses, as the seed wants.
fn bank(peers: &Peers) -> Bank {
    let peer = peers.peer("bank");
    Bank::new(move |name, call| {
        let peer = peer.clone();
        async move {
            let operation = format!("{name} {}", call.request.booking_id);
            let told = match name {
                "refund" => peer.must(&operation, &call.idempotency_key).await,
                _ => peer.ask(&operation, &call.idempotency_key).await,
            };
            let said = |word: &str| Paid { word: word.to_owned() };
            told.answer(|| said("paid"), || said("no_money"))
        }
    })
}

/// Guests want one of three nights.
fn command(random: &mut fastrand::Rng, number: usize) -> Draft {
    let night = format!("2026-05-0{}", random.u8(1..4));
    let (booking_id, guests) = (format!("b{number}"), vec!["ada".to_owned()]);
    Draft::of(&OpenBooking { booking_id, room: "7".to_owned(), night, guests }).unwrap()
}

/// No night is kept for two, and whoever is confirmed has one.
fn nights_agree(world: &World<'_>) -> Result<(), Violation> {
    let released: Vec<String> = world.events::<RoomReleased>().into_iter().map(|event| event.booking_id).collect();
    let mut kept = world.events::<RoomReserved>();
    kept.retain(|event| !released.contains(&event.booking_id));
    let confirmed: Vec<BookingConfirmed> = world.events();
    for booking in &confirmed {
        if !kept.iter().any(|event| event.booking_id == booking.booking_id) {
            return Violation::found("nights", format!("{} is confirmed and has none", booking.booking_id));
        }
    }
    kept.sort_by(|one, other| one.night.cmp(&other.night));
    match kept.windows(2).find(|two| two[0].night == two[1].night) {
        Some(two) => Violation::found("nights", format!("{} is kept twice", two[0].night)),
        None => Ok(()),
    }
}

#[test]
fn nights_and_money_agree_whatever_happens() {
    sweep(150, |seed| {
        Simulation::new(seed).services(|peers| services(&bank(peers))).commands(12, command).check(nights_agree)
    });
}
