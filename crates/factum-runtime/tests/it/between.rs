//! Units that hear of each other through a broker: whatever ends wherever, each payment is in its book once, as in one unit.

mod node;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::{
    carried,
    envelope::Kind,
    lane::Home,
    letter::Subject,
    memory_transport::MemoryTransport,
    ports::transport::{Abilities, Lane, Parcel, Start, TopicSpec, Transport},
    stream::Position,
};
use factum_runtime::{
    acts::{ActError, What},
    between::Neighbours,
};
use node::{Dice, Node, UNITS, broker, desk, ledger, nodes, settle};

use super::{bank::*, bench::*};

/// What each book was told, in whatever order.
fn noted(bench: &Bench) -> BTreeMap<String, Vec<i64>> {
    let mut books: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for noted in bench.events::<Noted>() {
        books.entry(noted.id).or_default().push(noted.cents);
    }
    books.values_mut().for_each(|cents| cents.sort_unstable());
    books
}

/// One history; answers how many messages came more than once.
fn history(seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let transport = broker();
    let mut nodes = nodes(&transport);
    let mut one = Bench::new(vec![accounts(), desk(), ledger()]);
    for number in 0..30 {
        let cents = if dice.one_in(4) { -7 } else { number + 1 };
        let pay = pay(&format!("a{}", dice.below(4)), cents);
        one.ask(&format!("p{number}"), pay.clone()).unwrap();
        nodes[0].bench().send(&format!("p{number}"), pay);
        nodes[0].bench().run();
        for _ in 0..dice.below(6) {
            let node = &mut nodes[dice.below(3) as usize];
            match dice.below(8) {
                0 | 1 => _ = node.publish(),
                2 | 3 => _ = node.take_in(dice.one_in(6)),
                4 => node.bench().run(),
                5 => node.keep(),
                6 if dice.one_in(3) => node.restart(),
                // It does not know that another one leads.
                7 => {
                    if let Some(mut former) = node.former.take() {
                        let head = node.bench().committer.tail().head();
                        _ = former.round(head);
                    }
                }
                _ => {}
            }
        }
    }
    settle(&mut nodes);
    assert_eq!(noted(nodes[2].bench()), noted(&one), "I5: each payment is in its book once, as in one unit");
    for node in &mut nodes {
        node.bench().check_versions();
        assert!(node.bench().letters().is_empty(), "{:?}", node.bench().letters());
        assert_eq!(node.shown().lanes, [], "no lane stands still");
        node.again += node.shown().again;
    }
    nodes.iter().map(|node| node.again).sum()
}

#[test]
fn a_business_over_three_units_is_as_in_one_whatever_ends() {
    let seeds = std::env::var("FACTUM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    let again: u64 = (1..=seeds).map(history).sum();
    assert!(again > 0, "some messages come more than once, or nothing was tried");
}

/// What a unit that has never been would publish.
fn parcel(json: serde_json::Value, home: Option<(u64, u64)>) -> Parcel {
    let mut body = json;
    if let Some((before, position)) = home {
        body["factum"] = serde_json::json!({
            "unit": "money", "log": "01".repeat(16), "epoch": 0, "position": position, "before": before,
        });
    }
    Parcel { key: Some("a1".into()), headers: Vec::new(), body: serde_json::to_vec(&body).unwrap(), delay: None }
}

fn paid(number: u64) -> serde_json::Value {
    serde_json::json!({
        "id": format!("m{number}"), "kind": "event", "type": "account.paid", "source": "accounts", "dataVersion": "1.1.0",
        "timestamp": "2026-01-02T03:04:05Z", "correlationId": format!("m{number}"), "subject": "account-a1",
        "sequence": number, "partitionKey": "a1", "data": { "id": "a1", "cents": number, "note": "" },
    })
}

/// The lane of account `a1`'s events.
fn lane(transport: &MemoryTransport) -> Lane {
    let topic: Arc<str> = "account-events".into();
    let lanes = transport.topic(&TopicSpec { name: topic.clone(), lanes: 3, keeps: None }).unwrap();
    Lane { number: transport.lane_of("a1", lanes), topic }
}

fn publish(transport: &MemoryTransport, parcels: Vec<Parcel>) {
    let lane = lane(transport);
    let batch: Vec<_> = parcels.into_iter().map(|parcel| (lane.clone(), parcel)).collect();
    transport.publisher("test").unwrap().publish(&batch).unwrap();
}

fn taken(node: &mut Node) -> Vec<i64> {
    while node.take_in(false) {}
    node.bench().of_kind::<Paid>(Kind::Event).iter().map(|paid| paid.cents).collect()
}

#[test]
fn a_gap_stops_its_unit_on_its_lane_until_what_is_missing_has_come() {
    let transport = broker();
    let mut desk = Node::new(UNITS[1], &transport);
    publish(&transport, vec![parcel(paid(1), Some((0, 5))), parcel(paid(3), Some((8, 9)))]);
    assert_eq!(taken(&mut desk), [1]);
    let shown = desk.shown().lanes;
    assert_eq!((shown.len(), shown[0].unit.as_str()), (1, "money"));
    assert!(shown[0].problem.contains("after position 5 of unit money came 9"), "{shown:?}");
    // Others on the lane go on; after a restart it is read again from where it stood.
    let mut other = paid(7);
    other["source"] = "other-bank".into();
    other["subject"] = "account-b".into();
    publish(&transport, vec![parcel(other, None)]);
    assert_eq!(taken(&mut desk), [1, 7]);
    desk.restart();
    assert_eq!(taken(&mut desk), [1, 7]);
    assert_eq!(desk.shown().lanes.len(), 1);
    // Its relay begins anew before what is missing.
    publish(
        &transport,
        vec![parcel(paid(2), Some((5, 8))), parcel(paid(3), Some((8, 9))), parcel(paid(4), Some((9, 12)))],
    );
    assert_eq!(taken(&mut desk), [1, 7, 2, 3, 4]);
    assert_eq!(desk.shown().lanes, []);
    desk.restart();
    assert_eq!(taken(&mut desk), [1, 7, 2, 3, 4]);
}

#[test]
fn a_unit_of_another_log_waits_for_a_person() {
    let transport = broker();
    let mut desk = Node::new(UNITS[1], &transport);
    let mut restored = parcel(paid(2), Some((5, 6)));
    restored.body = String::from_utf8(restored.body).unwrap().replace("\"epoch\":0", "\"epoch\":1").into_bytes();
    publish(&transport, vec![parcel(paid(1), Some((0, 5))), restored]);
    assert_eq!(taken(&mut desk), [1]);
    let shown = desk.shown().lanes;
    assert!(shown[0].problem.contains("say whether it was restored"), "{shown:?}");
}

#[test]
fn what_is_not_understood_waits_as_a_letter_with_its_bytes_and_stops_nothing() {
    let transport = broker();
    let mut desk = Node::new(UNITS[1], &transport);
    let bytes = |body: &[u8]| Parcel { key: Some("a1".into()), body: body.to_vec(), ..Parcel::default() };
    let mut misfit = paid(3);
    misfit["data"]["cents"] = "many".into();
    publish(
        &transport,
        vec![
            parcel(paid(1), Some((0, 5))),
            bytes(b"\xff\x00 no text"),
            bytes(br#"{"factum": {"unit": "money"}}"#),
            parcel(misfit, Some((5, 6))),
            // Nobody here reads that.
            parcel(serde_json::json!({ "id": "x", "type": "weather.changed", "source": "weather", "data": {} }), None),
            parcel(paid(4), Some((6, 7))),
        ],
    );
    assert_eq!(taken(&mut desk), [1, 4]);
    let letters = desk.bench().letters();
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert_eq!(desk.bench().health().letters, 3);
    let kept: Vec<&[u8]> = letters.iter().map(|letter| letter.kept.as_ref().unwrap().bytes()).collect();
    assert!(kept.contains(&&b"\xff\x00 no text"[..]), "all its bytes are there");
    let lane = lane(&transport);
    for letter in &letters {
        assert_eq!(letter.id.consumer, format!("import:{lane}"));
        assert!(matches!(letter.id.subject, Subject::Arrival(_)) && !letter.reason().is_empty());
    }
    let shown = factum_runtime::letters::show(&desk.bench().store, &letters[0].id).unwrap().unwrap();
    assert!(!shown.original_event.is_null());
    // It is not run again here, and ends when a person says so; also behind a restart.
    desk.restart();
    let id = desk.bench().letters()[0].id.clone();
    let told = desk.bench().act(What::Redrive(id.clone())).unwrap_err();
    assert!(matches!(&told, ActError::NotNow(why) if why.contains("send it once more")), "{told}");
    desk.bench().act(What::Discard(id)).unwrap();
    assert_eq!((desk.bench().letters().len(), taken(&mut desk)), (2, vec![1, 4]));
}

#[test]
fn messages_without_a_position_are_taken_once() {
    let transport = broker();
    let mut desk = Node::new(UNITS[1], &transport);
    let mut foreign = paid(1);
    foreign["source"] = "other-bank".into();
    publish(&transport, vec![parcel(foreign.clone(), None), parcel(foreign.clone(), None)]);
    assert_eq!(taken(&mut desk), [1]);
    desk.restart();
    publish(&transport, vec![parcel(foreign, None)]);
    assert_eq!(taken(&mut desk), [1]);
}

#[test]
fn only_what_others_are_to_hear_is_published_and_it_says_where_it_stands() {
    let transport = broker();
    let mut nodes = nodes(&transport);
    nodes[0].bench().ask("p1", pay("a1", 5)).unwrap();
    nodes[0].bench().ask("p2", pay("a1", -5)).unwrap();
    settle(&mut nodes);
    let lanes: Vec<(Lane, _)> = ["account-events", "books-commands", "desk-commands", "book-events"]
        .into_iter()
        .flat_map(|topic| (0..3).map(move |number| Lane { topic: topic.into(), number }))
        .map(|lane| (lane, Start::Earliest))
        .collect();
    let mut consumer = transport.consumer("test", &lanes).unwrap();
    let mut told: BTreeMap<String, Vec<(Kind, Home)>> = BTreeMap::new();
    for delivery in consumer.poll(Duration::ZERO).unwrap() {
        let incoming = (nodes[0].between.read)(&delivery).unwrap();
        assert_eq!(delivery.parcel.header(carried::EVENT_TYPE), Some(&*incoming.message.envelope.type_name));
        assert!(delivery.parcel.header(carried::CORRELATION_ID).is_some());
        assert_eq!(delivery.parcel.key.as_deref(), Some(&*incoming.message.envelope.partition_key));
        let home = carried::home(&delivery.parcel.body).unwrap().unwrap();
        told.entry(delivery.lane.topic.to_string()).or_default().push((incoming.message.envelope.kind, home));
    }
    let kinds = |topic: &str| told[topic].iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds("account-events"), [Kind::Event; 2]);
    assert_eq!(kinds("books-commands"), [Kind::Command; 3]);
    assert_eq!(kinds("desk-commands"), [Kind::Rejection]);
    assert_eq!(kinds("book-events"), [Kind::Event; 2]);
    let [first, second] = &told["account-events"][..] else { panic!("{told:?}") };
    assert_eq!((first.1.before, second.1.before), (Position::START, first.1.position));
    // A replica goes nowhere from here: the desk has two payments in its log, and has published its commands alone.
    assert_eq!(nodes[1].bench().events::<Paid>().len(), 2);
}

#[test]
fn lanes_that_have_changed_and_messages_that_are_too_large_stop_the_relay_and_are_told() {
    let transport = broker();
    let mut money = Node::new(UNITS[0], &transport);
    money.bench().ask("p1", pay("a1", 5)).unwrap();
    assert!(money.relay().unwrap());
    money.keep();
    money.restart();
    let other = broker();
    other.topic(&TopicSpec { name: "account-events".into(), lanes: 5, keeps: None }).unwrap();
    money.between.transport = Arc::new(other);
    money.bench().ask("p2", pay("a1", 5)).unwrap();
    let told = money.relay().unwrap_err().to_string();
    assert!(told.contains("has 5 lanes, and had 3"), "{told}");
    let clock = factum_runtime::clock::DataClock::default();
    let small = Abilities { largest: 300, ..factum_core::memory_transport::ALL };
    money.between.transport = Arc::new(MemoryTransport::able(small, Arc::new(clock)));
    for _ in 0..2 {
        let told = money.relay().unwrap_err().to_string();
        assert!(told.contains("message 2 of type `account.paid` cannot be published"), "{told}");
    }
    // Nothing was left out.
    money.between.transport = Arc::new(transport.clone());
    money.relay = None;
    assert!(money.relay().unwrap());
    let mut desk = Node::new(UNITS[1], &transport);
    assert_eq!(taken(&mut desk), [5, 5]);
}

#[test]
fn a_process_that_was_taken_over_publishes_nothing() {
    let transport = broker();
    let mut money = Node::new(UNITS[0], &transport);
    money.bench().ask("p1", pay("a1", 5)).unwrap();
    money.relay().unwrap();
    money.restart();
    let mut former = money.former.take().unwrap();
    money.bench().ask("p2", pay("a1", 6)).unwrap();
    money.relay().unwrap();
    let head = money.bench().committer.tail().head();
    let told = former.round(head).expect_err("I14: who was taken over publishes nothing").to_string();
    assert!(told.contains("another publisher of the same name has begun"), "I14: {told}");
}

#[test]
fn services_of_two_units_that_answer_one_command_are_refused() {
    let others = Neighbours::of(&[accounts()]).unwrap();
    let told = factum_runtime::registry::Registry::among(vec![accounts()], false, others).err().unwrap().to_string();
    assert!(told.contains("account.pay") && told.contains("one addressee"), "{told}");
    // A command needs somebody who answers it, here or there.
    let mut alone = Bench::new(vec![accounts(), desk()]);
    alone.ask("p1", pay("a1", 1)).unwrap();
    assert!(alone.letters()[0].reason().contains("no service answers the command `book.note`"));
}
