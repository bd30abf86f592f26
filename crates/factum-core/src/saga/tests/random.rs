//! Whatever comes, in whatever order: the invariants of a saga hold.

use super::*;

const EVENTS: [(&str, &str); 20] = [
    ("trip.planned", ""),
    ("trip.abandoned", "so"),
    ("hotel.booked", ""),
    ("hotel.booked", ""),
    ("hotel.refused", "full"),
    ("hotel.cancelled", ""),
    ("car.booked", ""),
    ("car.booked", ""),
    ("car.cancelled", ""),
    ("check.answered", "good"),
    ("check.answered", "good"),
    ("check.answered", "odd"),
    ("check.answered", "bad"),
    ("check.answered", "neither"),
    ("check.cleared", ""),
    ("flight.booked", "1A"),
    ("flight.cancelled", ""),
    ("bank.charged", ""),
    ("bank.declined", "poor"),
    ("post.sent", ""),
];
const COMMANDS: [&str; 9] = [
    "hotel.book",
    "hotel.cancel",
    "car.book",
    "car.cancel",
    "check.ask",
    "flight.book",
    "flight.cancel",
    "bank.charge",
    "post.send",
];

const ANSWERS: [&str; 6] =
    ["hotel.booked", "car.booked", "check.answered", "flight.booked", "bank.charged", "post.sent"];

/// `calm` of 256 inputs are answers that a process goes on with.
fn one_input(trip: &mut Instance, calm: u8, random: &mut fastrand::Rng) {
    if random.u8(..) < calm {
        return trip.event(ANSWERS[random.usize(..ANSWERS.len())], "good");
    }
    trip.refuses = if random.u8(..) < 10 { vec!["trip.confirm", "trip.hold", "trip.fail"] } else { Vec::new() };
    match random.u8(..100) {
        0..80 => {
            let (type_name, word) = EVENTS[random.usize(..EVENTS.len())];
            trip.event(type_name, word);
        }
        80..84 => trip.rejection(COMMANDS[random.usize(..COMMANDS.len())]),
        _ => {
            let names: Vec<String> = trip.timers.keys().cloned().collect();
            if !names.is_empty() {
                trip.expire(&names[random.usize(..names.len())]);
            }
        }
    }
}

/// What the stream may hold; `check_fold` has compared the states after each input.
fn check(trip: &Instance, seed: u64) {
    let mut sent: Vec<String> = Vec::new();
    let mut undone: Vec<String> = Vec::new();
    let mut ended = false;
    let mut past_pivot = false;
    for stored in &trip.stream {
        let Some(name) = stored.type_name().strip_prefix("journey.") else { continue };
        let data: serde_json::Value = serde_json::from_slice(&stored.message.data).unwrap();
        let step = data["step"].as_str().unwrap_or_default().to_owned();
        assert!(!ended, "seed {seed}: {name} after the end");
        for step in data["sent"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
            assert!(!sent.iter().any(|sent| sent == step), "seed {seed}: {step} is sent twice");
            past_pivot |= step == "pay";
            sent.push(step.to_owned());
        }
        match name {
            "undo_sent" => {
                let refused = trip.step("pay") == StepState::Refused;
                assert!(!past_pivot || refused, "seed {seed}: {step} is undone behind the pivot");
                assert!(sent.contains(&step), "seed {seed}: {step} is undone but was never sent");
                assert!(!undone.contains(&step), "seed {seed}: {step} is undone twice");
                let is_open = |sent: &&String| *sent != "check" && !undone.contains(sent);
                let needs = |sent: &&String| is_open(sent) && trip.step(sent) != StepState::Refused;
                let waiting = sent.iter().rev().find(needs);
                assert!(waiting == Some(&step), "seed {seed}: {step} is undone before its turn");
            }
            "step_undone" => undone.push(step),
            "completed" | "compensated" => ended = true,
            _ => {}
        }
    }
    if trip.count("compensated") == 1 {
        for step in sent.iter().filter(|step| *step != "check" && trip.step(step) != StepState::Refused) {
            assert!(undone.contains(step), "seed {seed}: {step} was sent and is not undone");
        }
    }
}

#[test]
fn any_inputs_in_any_order_keep_the_invariants() {
    let (mut completed, mut compensated, mut called) = (0, 0, 0);
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut trip = Instance::new();
        trip.event("trip.planned", "");
        for _ in 0..120 {
            one_input(&mut trip, [0, 200, 245][seed as usize % 3], &mut random);
        }
        check(&trip, seed);
        completed += trip.count("completed");
        compensated += trip.count("compensated");
        called += trip.count("attention_needed").min(1);
        assert!(trip.count("started") == 1);
    }
    assert!(completed > 50 && compensated > 50 && called > 50, "{completed} {compensated} {called}");
}
