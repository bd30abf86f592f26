//! What is published: lanes, order, limits, and who may.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use factum_core::ports::transport::{Delivery, Parcel, Publisher, TopicSpec, TransportError};

use super::{
    super::{Cannot, left_out},
    Bench, LANES, LIMIT, QUIET, Subject, is_permanent, nothing_comes, parcel, take, texts,
};

pub(super) fn topics(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let again = TopicSpec { name: bench.topic.clone(), lanes: LANES + 3, keeps: None };
    assert_eq!(bench.broker.topic(&again).expect("it is there"), LANES, "the lanes that it has");
}

pub(super) fn lanes(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut met: BTreeMap<u32, u32> = BTreeMap::new();
    for number in 0..1_000 {
        let key = format!("order-{number}");
        let lane = bench.broker.lane_of(&key, LANES);
        assert_eq!(lane, bench.broker.lane_of(&key, LANES));
        *met.entry(lane).or_default() += 1;
    }
    assert!(met.keys().all(|lane| *lane < LANES), "{met:?}");
    assert!(met.len() == LANES as usize && met.values().all(|count| *count > 100), "{met:?}");
    assert_eq!(bench.broker.lane_of("any", 1), 0);
}

pub(super) fn ordered(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    if !bench.abilities().ordered {
        return left_out("order", Cannot("the broker keeps none"));
    }
    let mut consumer = bench.consumer();
    let mut number = 0;
    for name in ["a", "b", "a"] {
        let mut publisher = bench.publisher(name);
        for batch in [1, 300, 7] {
            let sent: Vec<_> =
                (0..batch).map(|at| (bench.lane((number + at) % 2), parcel(&(number + at).to_string()))).collect();
            publisher.publish(&sent).expect("published");
            number += batch;
        }
    }
    let came = take(&mut *consumer, number as usize);
    for lane in 0..2 {
        let of: Vec<Delivery> = came.iter().filter(|delivery| delivery.lane.number == lane).cloned().collect();
        let wanted: Vec<String> = (0..number).filter(|at| at % 2 == lane).map(|at| at.to_string()).collect();
        assert_eq!(texts(&of), wanted);
    }
}

pub(super) fn fenced(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut consumer = bench.consumer();
    let mut old = bench.publisher("relay of a unit");
    old.publish(&[(bench.lane(0), parcel("old"))]).expect("published");
    let mut new = bench.publisher("relay of a unit");
    let late = old.publish(&[(bench.lane(0), parcel("late"))]);
    match bench.abilities().fences {
        true => assert!(matches!(late, Err(TransportError::Fenced(_))), "{late:?}"),
        false => assert!(late.is_ok(), "{late:?}"),
    }
    let again = old.publish(&[(bench.lane(0), parcel("later"))]);
    assert_eq!(again.is_err(), bench.abilities().fences, "what was fenced stays so: {again:?}");
    new.publish(&[(bench.lane(0), parcel("new"))]).expect("published");
    let wanted: &[&str] = if bench.abilities().fences { &["old", "new"] } else { &["old", "late", "later", "new"] };
    let mut came = texts(&take(&mut *consumer, wanted.len()));
    if !bench.abilities().ordered {
        came.sort_by_key(|text| wanted.iter().position(|wanted| wanted == text));
    }
    assert_eq!(came, wanted);
    nothing_comes(&mut *consumer);
}

pub(super) fn beside(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut consumer = bench.consumer();
    let (mut one, mut other) = (bench.publisher("one"), bench.publisher("other"));
    for _ in 0..3 {
        one.publish(&[(bench.lane(0), parcel("one"))]).expect("published");
        other.publish(&[(bench.lane(0), parcel("other"))]).expect("published");
    }
    take(&mut *consumer, 6);
}

pub(super) fn too_large(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut consumer, mut publisher, largest) = (bench.consumer(), bench.publisher("a"), bench.abilities().largest);
    let of = |bytes: usize| {
        let plain = parcel("");
        Parcel { body: vec![b'x'; bytes - plain.bytes()], ..plain }
    };
    let batch = [parcel("small"), of(largest + 1), parcel("small")].map(|parcel| (bench.lane(0), parcel));
    match publisher.publish(&batch) {
        Err(TransportError::TooLarge { at: 1, bytes, largest: limit }) => {
            assert_eq!((bytes, limit), (largest + 1, largest))
        }
        other => panic!("{other:?}"),
    }
    nothing_comes(&mut *consumer);
    publisher
        .publish(&[(bench.lane(0), of(largest))])
        .expect("the largest that is allowed is taken, by the same publisher");
    assert_eq!(take(&mut *consumer, 1)[0].parcel.bytes(), largest);
}

pub(super) fn delayed(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut consumer, mut publisher) = (bench.consumer(), bench.publisher("a"));
    let delay = Duration::from_secs(1);
    let began = Instant::now();
    let held = Parcel { delay: Some(delay), ..parcel("held") };
    let outcome = publisher.publish(&[(bench.lane(0), held)]);
    if !bench.abilities().delays {
        assert!(is_permanent(outcome));
        return nothing_comes(&mut *consumer);
    }
    outcome.expect("published");
    assert_eq!(texts(&take(&mut *consumer, 1)), ["held"]);
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
}

pub(super) fn restarted(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut consumer, mut publisher) = (bench.consumer(), bench.publisher("a"));
    let send = |publisher: &mut dyn Publisher, text: &str| publisher.publish(&[(bench.lane(2), parcel(text))]);
    send(&mut *publisher, "before").expect("published");
    assert_eq!(texts(&take(&mut *consumer, 1)), ["before"]);
    send(&mut *publisher, "unread").expect("published");
    if let Err(cannot) = subject.restart() {
        return left_out("restart", cannot);
    }
    let until = Instant::now() + LIMIT;
    let mut tries = 0_u32;
    loop {
        tries += 1;
        let sent = bench.broker.publisher("a").and_then(|mut publisher| send(&mut *publisher, "behind"));
        match sent {
            Ok(_) => break,
            Err(error) => assert!(Instant::now() < until, "it does not come back: {error}"),
        }
    }
    let mut came: Vec<String> = Vec::new();
    while came.last().is_none_or(|last| last != "behind") {
        assert!(Instant::now() < until, "{came:?}");
        match consumer.poll(QUIET) {
            Ok(more) => came.extend(texts(&more)),
            Err(TransportError::Away(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    // What failed may be there all the same.
    assert!(
        came[0] == "unread" && came[1..].iter().all(|text| text == "behind") && came.len() <= 1 + tries as usize,
        "{came:?}"
    );
}

pub(super) fn many(subject: &mut dyn Subject) {
    const EACH: usize = 500;
    const WRITERS: usize = 4;
    let bench = Bench::of(subject);
    let mut readers: Vec<_> = (0..2).map(|_| bench.consumer()).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut publisher = bench.publisher(&format!("writer {writer}"));
            let bench = &bench;
            scope.spawn(move || {
                for from in (0..EACH).step_by(50) {
                    let texts = (from..from + 50)
                        .map(|number| (bench.lane(number as u32 % LANES), parcel(&format!("{writer} {number}"))));
                    publisher.publish(&texts.collect::<Vec<_>>()).expect("published");
                }
            });
        }
        for reader in &mut readers {
            scope.spawn(move || {
                let came = take(&mut **reader, WRITERS * EACH);
                let mut last: BTreeMap<(String, u32), usize> = BTreeMap::new();
                for (delivery, text) in came.iter().zip(texts(&came)) {
                    let (writer, number) = text.split_once(' ').expect("as it was sent");
                    let number: usize = number.parse().expect("as it was sent");
                    let before = last.insert((writer.to_owned(), delivery.lane.number), number);
                    assert!(before.is_none_or(|before| before < number), "{text} behind {before:?}");
                }
                assert_eq!(last.len(), WRITERS * LANES as usize);
            });
        }
    });
}
