//! Pipelines against a model that has all events before its eyes, and what each rule says.

use std::{any::Any, collections::BTreeMap, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{EventLate, MOST_TOLD, Pipeline, Through, Window, Windows};
use crate::{
    envelope::{Draft, Envelope, Kind, Message, Stored},
    error::HandlerError,
    id::{MessageId, Name},
    payload::{Event, Payload, PayloadError, TypeInfo},
    reaction::{AnyFolding, Effect},
    service::Durations,
    stream::{Position, StreamId, StreamVersion},
};

mod closing;

macro_rules! events {
    ($($name:ident $type_name:literal { $($field:ident: $type:ty),* })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        struct $name { $($field: $type),* }
        impl Payload for $name {
            fn types() -> Vec<TypeInfo> {
                vec![TypeInfo::new($type_name, "1.0.0", || schemars::json_schema!({ "type": "object" }))]
            }
            fn type_info(&self) -> TypeInfo {
                Self::types()[0]
            }
            fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
                serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error))
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
                serde_json::to_writer(out, self).map_err(|error| PayloadError::encode($type_name, &error))
            }
        }
        impl Event for $name {}
    )+};
}

events! {
    Sold "item.sold" { key: String, amount: i64 }
    Sum "sales.summed" { key: String, from: Option<Timestamp>, sum: i64, count: u64 }
}

/// What is sold at a second.
#[derive(Clone, Debug)]
struct Sale {
    second: i64,
    key: &'static str,
    amount: i64,
}

fn sale(second: i64, key: &'static str, amount: i64) -> Sale {
    Sale { second, key, amount }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Total {
    sum: i64,
    count: u64,
}

/// Sums by key; a sale of 13 is left out, one of -1 panics, -2 fails to add, and 666 in a total cannot be told.
fn sums(windows: Option<Windows>) -> Pipeline<Total> {
    summed(windows, 1_000)
}

fn summed(windows: Option<Windows>, most: u64) -> Pipeline<Total> {
    let keyed = Pipeline::over::<Sold>("sums", 1)
        .filter(|sold| sold.amount != 13)
        .map(|sold| (sold.key.clone(), sold.amount))
        .by(|(key, _)| key.clone());
    let keyed = match windows {
        Some(windows) => keyed.windows(windows),
        None => keyed,
    };
    let add = |total: &mut Total, (_, amount): &(String, i64)| {
        total.count += 1;
        total.sum += amount;
        assert!(*amount != -1, "as asked");
        if *amount == -2 { Err(HandlerError::failed("as asked")) } else { Ok(()) }
    };
    keyed.aggregate(add).most(most).emits("sales", |key, window: Option<Window>, total: &Total| {
        assert!(total.sum != 666, "the beast");
        Sum { key: key.to_owned(), from: window.map(|window| window.from), sum: total.sum, count: total.count }
    })
}

/// A pipeline as the engine runs it.
struct Running {
    folding: Box<dyn AnyFolding>,
    state: Box<dyn Any + Send>,
    log: Vec<Stored>,
    /// What is kept beside the log.
    told: Option<Through>,
}

/// What was told: results and lateness.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Sum(Sum),
    Late { key: String, from: Timestamp, at: Timestamp, ms: i64 },
}

impl Running {
    fn new(pipeline: Pipeline<Total>) -> Self {
        let folding: Box<dyn AnyFolding> = Box::new(pipeline.folding);
        Self { state: folding.blank(), folding, log: Vec::new(), told: None }
    }

    fn stored(&self, sale: &Sale) -> Stored {
        let sold = Sold { key: sale.key.to_owned(), amount: sale.amount };
        let Draft { type_name, version, data } = Draft::of(&sold).unwrap();
        let position = self.log.len() as u64 + 1;
        let id = MessageId::derived(&["sold", &position.to_string()]);
        let envelope = Envelope {
            correlation_id: id.clone(),
            id,
            kind: Kind::Event,
            type_name,
            source: Name::Static("items"),
            data_version: version,
            timestamp: at(sale.second),
            causation_id: None,
            partition_key: sale.key.into(),
            user_id: None,
            tenant: None,
            traceparent: None,
            metadata: None,
            depth: 0,
            digest: None,
            repeat_key: None,
        };
        Stored {
            position: Position(position),
            stream: StreamId::new("item", "1").unwrap(),
            version: StreamVersion(position),
            message: Message { envelope, data },
        }
    }

    /// Gives it a sale, and answers what it tells; an error with whether the pipeline stops.
    fn takes(&mut self, sale: &Sale) -> Result<Vec<Told>, (HandlerError, bool)> {
        let stored = self.stored(sale);
        let mut touched = false;
        let run = std::panic::AssertUnwindSafe(|| self.folding.fold(&mut *self.state, &stored, &mut touched));
        let folded = std::panic::catch_unwind(run).unwrap_or_else(|_| Err(HandlerError::failed("it panicked")));
        folded.map_err(|error| (error, touched))?;
        let due = std::panic::AssertUnwindSafe(|| self.folding.due(&*self.state, &stored));
        let due = std::panic::catch_unwind(due).unwrap_or_else(|_| Err(HandlerError::failed("it panicked")));
        let mut told = Vec::new();
        if let Some(due) = due.map_err(|error| (error, true))? {
            told.extend(due.results.iter().map(|(stream, draft, _)| told_of(stream, draft)));
            self.folding.stands(&mut *self.state, Position::START, Some(&due.through));
            self.told = Some(due.through);
        }
        self.log.push(stored);
        told.extend(self.reacts(self.log.len() - 1).unwrap());
        Ok(told)
    }

    fn reacts(&self, index: usize) -> Result<Vec<Told>, HandlerError> {
        let told = self.folding.react(&*self.state, &self.log[index])?;
        let told = told.into_iter().map(|effect| {
            let Effect::Emit(stream, draft) = effect else { panic!("{effect:?}") };
            told_of(&stream, &draft)
        });
        Ok(told.collect())
    }

    fn all(&mut self, sales: &[Sale]) -> Vec<Told> {
        sales.iter().flat_map(|sale| self.takes(sale).unwrap()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.folding.snapshots().unwrap().encode(&*self.state).unwrap()
    }

    /// Comes back from a snapshot.
    fn thaw(&mut self) {
        self.state = self.folding.snapshots().unwrap().decode(&self.bytes()).unwrap();
        self.stands();
    }

    fn stands(&mut self) {
        let acted = Position(self.log.len() as u64);
        self.folding.stands(&mut *self.state, acted, self.told.as_ref());
    }

    /// Another version of it comes to the same log.
    fn becomes(&mut self, pipeline: Pipeline<Total>) {
        self.folding = Box::new(pipeline.folding);
        self.rebuild();
    }

    /// Comes back from the log.
    fn rebuild(&mut self) {
        self.state = self.folding.blank();
        self.stands();
        for stored in &self.log {
            self.folding.fold(&mut *self.state, stored, &mut false).unwrap();
        }
    }

    fn figures(&self) -> super::Figures {
        self.folding.figures(&*self.state).unwrap()
    }
}

fn told_of(stream: &StreamId, draft: &Draft) -> Told {
    if &*draft.type_name == EventLate::TYPE {
        let late = EventLate::decode(&draft.type_name, &draft.data).unwrap();
        assert_eq!(stream.as_str(), format!("sales-{}", late.key));
        return Told::Late { key: late.key, from: late.from, at: late.at, ms: late.late_by_ms };
    }
    let sum = Sum::decode(&draft.type_name, &draft.data).unwrap();
    assert_eq!(stream.as_str(), format!("sales-{}", sum.key));
    Told::Sum(sum)
}

/// Windows in whole seconds, by which the model counts.
#[derive(Clone, Copy, Debug)]
struct Seconds {
    size: i64,
    every: i64,
    late_by: i64,
    final_only: bool,
}

impl Seconds {
    fn drawn(random: &mut Rng) -> Self {
        let every = random.i64(1..=6);
        let size = if random.bool() { every } else { every + random.i64(0..=9) };
        Self { size, every, late_by: random.i64(0..=12), final_only: random.bool() }
    }

    fn windows(self) -> Windows {
        let seconds = |count: i64| Duration::from_secs(count.unsigned_abs());
        let windows = Windows::hopping(seconds(self.size), seconds(self.every)).late_by(seconds(self.late_by));
        if self.final_only { windows.final_only() } else { windows }
    }

    /// Where the windows begin that span a second: every second is tried.
    fn of(self, second: i64) -> Vec<i64> {
        (second - self.size + 1..=second).filter(|from| from.rem_euclid(self.every) == 0).collect()
    }
}

/// What must be told, from all sales so far each time.
fn model(seconds: Seconds, sales: &[Sale]) -> Vec<Told> {
    let mut told = Vec::new();
    // What went into which window; nothing is ever dropped.
    let mut inside: BTreeMap<(i64, &str), Vec<i64>> = BTreeMap::new();
    let mut newest: Option<i64> = None;
    let sum = |key: &str, from: i64, amounts: &[i64]| {
        let (sum, count) = (amounts.iter().sum(), amounts.len() as u64);
        Told::Sum(Sum { key: key.to_owned(), from: Some(at(from)), sum, count })
    };
    for sale in sales {
        let closed = newest.map(|newest| newest - seconds.late_by);
        let mut own = Vec::new();
        for from in if sale.amount == 13 { Vec::new() } else { seconds.of(sale.second) } {
            match closed {
                Some(closed) if from + seconds.size <= closed => {
                    let (key, ms) = (sale.key.to_owned(), (closed - from - seconds.size) * 1_000 + 1);
                    own.push(Told::Late { key, from: at(from), at: at(sale.second), ms });
                }
                _ => {
                    let amounts = inside.entry((from, sale.key)).or_default();
                    amounts.push(sale.amount);
                    if !seconds.final_only {
                        own.push(sum(sale.key, from, amounts));
                    }
                }
            }
        }
        newest = newest.max(Some(sale.second));
        let now = newest.unwrap() - seconds.late_by;
        if seconds.final_only {
            let ends =
                |from: i64| from + seconds.size <= now && closed.is_none_or(|closed| from + seconds.size > closed);
            told.extend(
                inside.iter().filter(|((from, _), _)| ends(*from)).map(|((from, key), of)| sum(key, *from, of)),
            );
        }
        told.extend(own);
    }
    told
}

fn drawn(random: &mut Rng, count: usize, back: i64) -> Vec<Sale> {
    let mut now = random.i64(-40..40);
    let mut one = |random: &mut Rng| {
        now += random.i64(0..=3);
        let key = ["a", "b", "c"][random.usize(0..3)];
        sale(now - random.i64(0..=back), key, if random.u8(0..10) == 0 { 13 } else { random.i64(-9..100).max(0) })
    };
    (0..count).map(|_| one(random)).collect()
}

#[test]
fn windows_are_those_of_the_model_and_survive_snapshots_and_rebuilding() {
    let mut late = 0;
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let seconds = Seconds::drawn(&mut random);
        let sales = drawn(&mut random, 60, 20);
        let mut running = Running::new(sums(Some(seconds.windows())));
        let mut told = Vec::new();
        for sale in &sales {
            match random.u8(0..8) {
                0 => running.thaw(),
                1 => running.rebuild(),
                _ => {}
            }
            told.extend(running.takes(sale).unwrap());
        }
        assert_eq!(told, model(seconds, &sales), "seed {seed}, {seconds:?}");
        let before = running.bytes();
        running.rebuild();
        assert_eq!(running.bytes(), before, "seed {seed}");
        let figures = running.figures();
        let told_late = told.iter().filter(|told| matches!(told, Told::Late { .. })).count() as u64;
        assert_eq!(figures.late, told_late, "seed {seed}");
        // Windows are closed whether or not anything comes for them: what is open is bounded.
        let most = (seconds.late_by + seconds.size) / seconds.every + 2;
        assert!(figures.open_windows <= most as u64, "seed {seed}: {figures:?} {seconds:?}");
        late += told_late;
    }
    assert!(late > 1_000, "nearly nothing came late: {late}");
}

#[test]
fn events_that_are_shuffled_within_the_lateness_give_the_same_results() {
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let seconds = Seconds { final_only: true, ..Seconds::drawn(&mut random) };
        let mut ordered = drawn(&mut random, 60, 0);
        // One that is behind all closes every window.
        ordered.push(sale(1_000_000, "end", 0));
        let mut shuffled: Vec<(i64, Sale)> =
            ordered.iter().map(|sale| (sale.second + random.i64(0..=seconds.late_by), sale.clone())).collect();
        shuffled.sort_by_key(|(comes, _)| *comes);
        let shuffled: Vec<Sale> = shuffled.into_iter().map(|(_, sale)| sale).collect();
        let results = |sales: &[Sale]| {
            let mut told = Running::new(sums(Some(seconds.windows()))).all(sales);
            told.sort();
            told
        };
        assert_eq!(results(&shuffled), results(&ordered), "seed {seed}, {seconds:?}");
    }
}

#[test]
fn without_windows_every_item_tells_the_running_total_of_its_key() {
    let mut running = Running::new(sums(None));
    let told = running.all(&[sale(9, "a", 5), sale(3, "b", 1), sale(1, "a", 2), sale(2, "a", 13)]);
    let sum = |key: &str, sum, count| Told::Sum(Sum { key: key.to_owned(), from: None, sum, count });
    assert_eq!(told, [sum("a", 5, 1), sum("b", 1, 1), sum("a", 7, 2)]);
    let figures = running.figures();
    assert_eq!((figures.taken, figures.filtered_out, figures.aggregates), (3, 1, 2));
    assert_eq!((figures.open_windows, figures.watermark, figures.newest), (0, None, Some(at(9))));
}

#[test]
fn what_is_filtered_out_tells_the_time_all_the_same() {
    let mut running = Running::new(sums(Some(Windows::tumbling(10.secs()).final_only())));
    assert!(running.all(&[sale(1, "a", 5)]).is_empty());
    let closed = Told::Sum(Sum { key: "a".to_owned(), from: Some(at(0)), sum: 5, count: 1 });
    assert_eq!(running.all(&[sale(10, "z", 13)]), [closed]);
    assert_eq!(running.figures().watermark, Some(at(10)));
}

#[test]
fn an_event_that_fails_leaves_the_state_as_it_was() {
    let mut running = Running::new(sums(Some(Windows::tumbling(10.secs()))));
    running.all(&[sale(1, "a", 5)]);
    let before = running.bytes();
    // It panics, fails, cannot be told.
    for amount in [-1, -2, 666] {
        let (error, touched) = running.takes(&sale(25, "b", amount)).unwrap_err();
        assert!(!touched, "{amount}: {error}");
        assert_eq!(running.bytes(), before, "{amount}");
    }
    let (error, touched) = running.takes(&sale(2, "", 1)).unwrap_err();
    assert!(!touched && error.to_string().contains("stream key"), "{error}");
}

#[test]
fn a_closing_window_that_cannot_be_told_stops_the_pipeline_in_front_of_the_event() {
    let mut running = Running::new(sums(Some(Windows::tumbling(10.secs()).final_only())));
    running.all(&[sale(1, "a", 666), sale(2, "b", 1)]);
    let (_, touched) = running.takes(&sale(10, "b", 1)).unwrap_err();
    assert!(touched, "its state is dropped, and made anew from the log");
}

#[test]
fn the_limit_of_aggregates_makes_a_letter_and_no_wrong_sum() {
    let mut running = Running::new(summed(Some(Windows::tumbling(10.secs())), 2));
    running.all(&[sale(1, "a", 1), sale(1, "b", 1)]);
    let (error, touched) = running.takes(&sale(1, "c", 1)).unwrap_err();
    assert!(!touched && error.to_string().contains("holds 2 aggregates"), "{error}");
    assert_eq!(running.all(&[sale(2, "a", 1)]).len(), 1, "those that are there go on");
    assert_eq!(running.all(&[sale(10, "c", 1)]).len(), 1, "its own time closes the window of the two");
    assert_eq!(running.figures().aggregates, 1);
}

#[test]
fn many_windows_that_close_at_once_are_told_with_the_next_events() {
    let mut running = Running::new(summed(Some(Windows::tumbling(1.secs()).late_by(9_000.secs()).final_only()), 9_000));
    let sales: Vec<Sale> = (0..2_500).map(|second| sale(second, "a", 1)).collect();
    assert!(running.all(&sales).is_empty());
    let counts: Vec<usize> = (0..4).map(|more| running.takes(&sale(50_000 + more, "b", 13)).unwrap().len()).collect();
    assert_eq!(counts, [MOST_TOLD, MOST_TOLD, 500, 0]);
    let late = running.all(&[sale(2_400, "a", 1)]);
    assert!(matches!(&late[..], [Told::Late { .. }]), "a window is closed also before it is told: {late:?}");
}

#[test]
fn an_event_that_comes_once_more_tells_todays_value_or_says_why_not() {
    let mut running = Running::new(sums(Some(Windows::tumbling(10.secs()))));
    running.all(&[sale(1, "a", 5), sale(2, "a", 6)]);
    let sum = [Told::Sum(Sum { key: "a".to_owned(), from: Some(at(0)), sum: 11, count: 2 })];
    assert_eq!(running.reacts(0).unwrap(), sum);
    assert_eq!(running.reacts(1).unwrap(), sum);
    running.all(&[sale(10, "b", 1)]);
    let error = running.reacts(0).unwrap_err().to_string();
    assert!(error.contains("has closed"), "{error}");
}

#[test]
fn windows_that_cannot_be_are_refused_with_a_sentence() {
    for (windows, wanted) in [
        (Windows::tumbling(Duration::ZERO), "more than no time"),
        (Windows::hopping(1.hours(), Duration::ZERO), "more than no time"),
        (Windows::hopping(1.secs(), 2.secs()), "leave out"),
        (Windows::hopping(2.hours(), 1.secs()), "more than 1000 windows"),
    ] {
        let folding: Box<dyn AnyFolding> = Box::new(sums(Some(windows)).folding);
        let problem = folding.problem().unwrap().to_string();
        assert!(problem.contains(wanted) && problem.contains("`sums`"), "{problem}");
    }
    let folding: Box<dyn AnyFolding> = Box::new(sums(Some(Windows::tumbling(1.days()))).folding);
    assert!(folding.problem().is_none());
}

#[test]
fn times_at_the_ends_of_all_dates_are_letters_or_counted_but_no_panic() {
    for windows in [Windows::tumbling(Duration::MAX), Windows::hopping(3.days(), 1.days()), Windows::tumbling(1.secs())]
    {
        for late_by in [Duration::ZERO, Duration::MAX] {
            let mut running = Running::new(sums(Some(windows.late_by(late_by).final_only())));
            for second in [Timestamp::MIN.as_second(), 0, Timestamp::MAX.as_second(), 5] {
                if let Err((error, touched)) = running.takes(&sale(second, "a", 1)) {
                    assert!(!touched && error.to_string().contains("beyond all dates"), "{error}");
                }
            }
        }
    }
}
