//! What is read: where a lane begins, what is gone, and what is paused.

use std::time::{Duration, Instant};

use factum_core::{
    Timestamp,
    ports::transport::{Consumer, Lane, Offset, Parcel, Start, TransportError},
};

use super::{
    super::{Cannot, left_out},
    Bench, LANES, LIMIT, QUIET, Subject, is_permanent, nothing_comes, parcel, take, texts,
};

pub(super) fn whole(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut first, mut second) = (bench.consumer(), bench.consumer());
    let sent: Vec<_> =
        (0..LANES).map(|number| (bench.lane(number), parcel(&format!("\u{e4} {number} \0\n")))).collect();
    let offsets = bench.publisher("a").publish(&sent).expect("published");
    assert_eq!(offsets.len(), sent.len());
    for consumer in [&mut first, &mut second] {
        let mut came = take(&mut **consumer, sent.len());
        came.sort_by(|a, b| a.lane.cmp(&b.lane));
        for ((delivery, (lane, parcel)), offset) in came.iter().zip(&sent).zip(&offsets) {
            assert_eq!((&delivery.lane, &delivery.parcel), (lane, parcel));
            assert!(offset.as_ref().is_none_or(|offset| *offset == delivery.offset), "{offset:?} {delivery:?}");
        }
        nothing_comes(&mut **consumer);
    }
}

pub(super) fn empty(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut consumer = bench.consumer();
    let odd = [
        Parcel::default(),
        Parcel { key: Some("".into()), body: vec![0, 159, 146, 150], ..Parcel::default() },
        Parcel { headers: vec![("a".into(), "".into()), ("a".into(), "twice".into())], ..Parcel::default() },
    ];
    for parcel in &odd {
        bench.publisher("a").publish(&[(bench.lane(1), parcel.clone())]).expect("published");
    }
    let came = take(&mut *consumer, odd.len());
    assert_eq!(came.into_iter().map(|delivery| delivery.parcel).collect::<Vec<_>>(), odd);
    assert_eq!(bench.publisher("a").publish(&[]).expect("nothing can be published"), []);
}

pub(super) fn starts(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut publisher = bench.publisher("a");
    let mut send = |text: &str| publisher.publish(&[(bench.lane(0), parcel(text))]).expect("published");
    let first = send("first");
    let mut latest = bench.at(0, Start::Latest).expect("it can begin with the latest");
    std::thread::sleep(Duration::from_millis(20));
    let between = Timestamp::now();
    std::thread::sleep(Duration::from_millis(20));
    send("second");
    send("third");
    assert_eq!(texts(&take(&mut *latest, 2)), ["second", "third"]);
    let early = [(Start::Earliest, 3), (Start::At(between), 2), (Start::At(Timestamp::UNIX_EPOCH), 3)];
    for (start, count) in early {
        match bench.abilities().replays {
            true => assert_eq!(take(&mut *bench.at(0, start).expect("it can be read again"), count).len(), count),
            false => assert!(is_permanent(bench.at(0, start.clone())), "{start:?}"),
        }
    }
    if bench.abilities().replays {
        let behind = first.into_iter().next().flatten().expect("who reads again names offsets");
        assert_eq!(texts(&take(&mut *bench.at(0, Start::After(behind)).expect("known"), 2)), ["second", "third"]);
        assert!(is_permanent(bench.at(0, Start::After(Offset("999999".into())))), "no such offset yet");
        assert!(is_permanent(bench.at(0, Start::After(Offset("no number".into())))), "no offset");
        let future = Timestamp::now() + Duration::from_secs(86_400);
        nothing_comes(&mut *bench.at(0, Start::At(future)).expect("behind all"));
    }
}

pub(super) fn dropped(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    if !bench.abilities().replays {
        return left_out("retention", Cannot("nothing can be read again"));
    }
    let sent: Vec<_> = (0..10).map(|number| (bench.lane(0), parcel(&number.to_string()))).collect();
    let offsets: Vec<Offset> = bench.publisher("a").publish(&sent).expect("published").into_iter().flatten().collect();
    let mut reads = bench.at(0, Start::After(offsets[1].clone())).expect("it is there");
    if let Err(cannot) = subject.drop_before(&bench.lane(0), &offsets[5]) {
        return left_out("retention", cannot);
    }
    let gone = |result: Result<(), TransportError>| match result {
        Err(TransportError::Gone { lane, after, earliest }) => {
            assert_eq!((lane, after, earliest), (bench.lane(0), offsets[1].clone(), offsets[5].clone()));
        }
        other => panic!("what is gone was not told: {other:?}"),
    };
    gone(bench.at(0, Start::After(offsets[1].clone())).and_then(|mut consumer| until_it_fails(&mut *consumer)));
    // What had begun may have fetched what was to come; what it has not, it misses, and says so.
    let mut came = Vec::new();
    let outcome = loop {
        match reads.poll(QUIET) {
            Ok(more) if more.is_empty() => break Ok(()),
            Ok(more) => came.extend(texts(&more)),
            Err(error) => break Err(error),
        }
    };
    match outcome {
        Ok(()) => assert_eq!(came, ["2", "3", "4", "5", "6", "7", "8", "9"], "all had been fetched"),
        Err(TransportError::Gone { .. }) => {
            assert!(came.iter().enumerate().all(|(at, text)| *text == (at + 2).to_string()))
        }
        Err(other) => panic!("{other}"),
    }
    let rest = take(&mut *bench.at(0, Start::Earliest).expect("the rest is there"), 5);
    assert_eq!(texts(&rest), ["5", "6", "7", "8", "9"]);
    take(&mut *bench.at(0, Start::After(offsets[4].clone())).expect("the next one is there"), 5);
}

fn until_it_fails(consumer: &mut dyn Consumer) -> Result<(), TransportError> {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        let came = consumer.poll(QUIET)?;
        assert!(came.is_empty(), "{came:?} came behind a gap");
    }
    Ok(())
}

pub(super) fn paused(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut consumer, mut publisher) = (bench.consumer(), bench.publisher("a"));
    let mut send = |text: &str| {
        publisher.publish(&[(bench.lane(0), parcel(text)), (bench.lane(1), parcel(text))]).expect("published");
    };
    send("before");
    take(&mut *consumer, 2);
    consumer.pause(&[bench.lane(0)], true).expect("paused");
    consumer.pause(&[bench.lane(0)], true).expect("paused already");
    send("while");
    let came = take(&mut *consumer, 1);
    assert_eq!((came[0].lane.number, texts(&came)), (1, vec!["while".to_owned()]));
    nothing_comes(&mut *consumer);
    consumer.pause(&[bench.lane(0)], false).expect("it goes on");
    let came = take(&mut *consumer, 1);
    assert_eq!((came[0].lane.number, texts(&came)), (0, vec!["while".to_owned()]));
    nothing_comes(&mut *consumer);
}

pub(super) fn settled(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let (mut consumer, mut publisher) = (bench.consumer(), bench.publisher("a"));
    let sent: Vec<_> = (0..5).map(|number| (bench.lane(0), parcel(&number.to_string()))).collect();
    publisher.publish(&sent).expect("published");
    let came = take(&mut *consumer, 5);
    consumer.settle(&[(bench.lane(0), came[2].offset.clone())]).expect("settled");
    consumer.settle(&[(bench.lane(0), came[4].offset.clone())]).expect("settled");
    consumer.settle(&[]).expect("nothing can be settled");
    nothing_comes(&mut *consumer);
    publisher.publish(&[(bench.lane(0), parcel("5"))]).expect("published");
    assert_eq!(texts(&take(&mut *consumer, 1)), ["5"]);
    drop(consumer);
    if bench.abilities().replays {
        // What was settled is the reader's affair: another one begins where it says.
        let lane = bench.at(0, Start::After(came[0].offset.clone()));
        assert_eq!(texts(&take(&mut *lane.expect("it is there"), 5)), ["1", "2", "3", "4", "5"]);
    }
}

pub(super) fn no_lane(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let nowhere = Lane { topic: format!("{}-nowhere", bench.topic).into(), number: 0 };
    for lane in [bench.lane(LANES), nowhere] {
        let outcome = bench.broker.consumer("conformance", &[(lane.clone(), Start::Latest)]);
        assert!(outcome.is_err(), "{lane} was read");
        let outcome = bench.publisher("a").publish(&[(lane.clone(), parcel(""))]);
        assert!(is_permanent(outcome), "{lane} was written");
    }
    assert!(bench.consumer().pause(&[bench.lane(LANES)], true).is_err());
}

pub(super) fn waiting(subject: &mut dyn Subject) {
    let bench = Bench::of(subject);
    let mut consumer = bench.consumer();
    let began = Instant::now();
    assert!(consumer.poll(QUIET).expect("it can be read").is_empty());
    assert!(began.elapsed() < QUIET + Duration::from_secs(5), "{:?}", began.elapsed());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(QUIET);
            bench.publisher("a").publish(&[(bench.lane(3), parcel("woken"))]).expect("published");
        });
        let (began, mut came) = (Instant::now(), Vec::new());
        while came.is_empty() && began.elapsed() < LIMIT {
            came = consumer.poll(LIMIT).expect("it can be read");
        }
        assert_eq!(texts(&came), ["woken"]);
        assert!(began.elapsed() < LIMIT, "it was not woken");
    });
}
