//! A service that keeps the delivery contract passes, also with calls and timers; one that relies on more is found.

use std::{
    panic::{UnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo},
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    reaction::{Effects, Reaction},
    saga::Saga,
    service::{Durations, Service},
    timer::TimerTo,
};
use factum_macros::{Command, Event, Rejection};
use factum_testing::deliveries::{Script, deliver_twice, reorder, script};
use serde::{Deserialize, Serialize};

#[derive(Event, Clone)]
#[event("seat.taken")]
struct Taken {
    seat: String,
    guest: String,
    count: u32,
}
#[derive(Command, Clone)]
#[command("seat.take")]
struct Take {
    seat: String,
    guest: String,
}
#[derive(Command, Clone)]
#[command("seat.thank")]
struct Thank {
    seat: String,
    guest: String,
}
#[derive(Event, Clone)]
#[event("seat.thanked")]
struct Thanked {
    seat: String,
}
#[derive(Event, Clone)]
#[event("film.announced")]
struct Announced {
    seat: String,
}
#[derive(Event)]
enum SeatEvent {
    Taken(Taken),
    Thanked(Thanked),
}
#[derive(Command)]
enum SeatCommand {
    Take(Take),
    Thank(Thank),
}
#[derive(Debug, Rejection)]
enum No {
    #[rejection("taken", "the seat is taken")]
    IsTaken,
}

#[derive(Default)]
struct Seat {
    guest: Option<String>,
    count: u32,
}

impl Decider for Seat {
    const CATEGORY: &'static str = "seat";
    type Id = String;
    type Command = SeatCommand;
    type Event = SeatEvent;
    type Rejection = No;
    fn address(command: &SeatCommand, _: &Envelope) -> String {
        match command {
            SeatCommand::Take(take) => take.seat.clone(),
            SeatCommand::Thank(thank) => thank.seat.clone(),
        }
    }
    fn decide(&self, seat: &String, command: SeatCommand, _: &Context) -> Result<Vec<SeatEvent>, No> {
        match (command, &self.guest) {
            (SeatCommand::Take(take), None) => {
                Ok(vec![Taken { seat: take.seat, guest: take.guest, count: self.count + 1 }.into()])
            }
            (SeatCommand::Take(take), Some(guest)) if take.guest != *guest => Err(No::IsTaken),
            (SeatCommand::Take(_), Some(_)) => Ok(Vec::new()),
            (SeatCommand::Thank(_), _) => Ok(vec![Thanked { seat: seat.clone() }.into()]),
        }
    }
    fn evolve(&mut self, event: &SeatEvent) {
        if let SeatEvent::Taken(taken) = event {
            (self.guest, self.count) = (Some(taken.guest.clone()), taken.count);
        }
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    seat: String,
}

const PRINT: CallTo<String, String> = CallTo::new("print");
const THANK: TimerTo<Thank> = TimerTo::new("thank");

/// Seats are thanked for after an hour; a ticket is printed for each.
fn seats(printed: &Arc<Mutex<Vec<String>>>) -> Service {
    let printed = printed.clone();
    let print = move |call: Call<String>| {
        let mut printed = printed.lock().unwrap();
        if !printed.contains(&call.idempotency_key) {
            printed.push(call.idempotency_key.clone());
        }
        async move { if call.attempt < 2 { Answer::Again("no paper".to_owned(), None) } else { Answer::Done(call.request) } }
    };
    let ticket = Saga::new("ticket", 1)
        .key("seat")
        .start::<Taken>(|e| Facts { seat: e.seat.clone() })
        .step("print", |step| step.call(PRINT, |f: &Facts| f.seat.clone()).nothing_to_undo());
    let thank = |event: &Recorded<'_, Taken>, fx: &mut Effects| {
        fx.after(THANK, 1.hours(), Thank { seat: event.seat.clone(), guest: event.guest.clone() });
    };
    let thank = Reaction::new("thank", thank).sets(THANK);
    Service::new("seats").decider::<Seat>().reaction(thank).saga(ticket).call(CallSpec::of_steps(PRINT, print))
}

fn take(seat: &str, guest: &str) -> Take {
    Take { seat: seat.to_owned(), guest: guest.to_owned() }
}

fn evening() -> Script {
    script()
        .command(take("1", "a"))
        .command(take("2", "b"))
        .command(take("1", "b"))
        .command(take("3", "c"))
        .passes(2.hours())
        .command(take("2", "b"))
}

fn said(scenario: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(scenario).expect_err("it is wrong and says so");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_service_that_keeps_the_contract_comes_to_the_same() {
    let printed = Arc::default();
    deliver_twice(|| vec![seats(&printed)], &evening());
    assert_eq!(printed.lock().unwrap().len(), 6, "three seats, two runs: twice by the same key");
    reorder(|| vec![seats(&printed)], &evening(), 50);
}

#[test]
fn a_handler_that_keeps_something_beside_its_state_is_found_when_delivered_twice() {
    let counting = || {
        let count = AtomicU32::new(0);
        let thank = move |event: &Recorded<'_, Taken>, fx: &mut Effects| {
            let guest = format!("{} {}", event.guest, count.fetch_add(1, Ordering::Relaxed));
            fx.send(Thank { seat: event.seat.clone(), guest });
        };
        vec![Service::new("seats").decider::<Seat>().react("thank", thank)]
    };
    let text = said(move || deliver_twice(counting, &evening()));
    assert!(text.contains("delivered twice is not the same as once: stream `seats.thank-"), "{text}");
    assert!(text.contains("seat.thank") && text.contains("as usual"), "{text}");
}

/// It takes two messages of different keys to come in the order in which they were sent.
#[test]
fn a_handler_that_relies_on_the_order_of_two_keys_is_found_when_reordered() {
    let first = || {
        let first = |event: &Recorded<'_, Announced>, fx: &mut Effects| fx.send(take("1", &event.seat));
        vec![Service::new("seats").decider::<Seat>().react("first", first)]
    };
    let announced = |seat: &str| Announced { seat: seat.to_owned() };
    let both = script().event("films", "film-1", announced("1")).event("films", "film-2", announced("2"));
    let text = said(move || reorder(first, &both, 50));
    assert!(text.contains("does not come to the same") && text.contains("\"guest\":\"2\""), "{text}");
    let apart = script().event("films", "film-1", announced("1")).passes(0.secs());
    reorder(first, &apart.event("films", "film-2", announced("2")), 50);
    deliver_twice(first, &script().event("films", "film-1", announced("1")));
}
