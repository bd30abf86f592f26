//! What every broker must do: the promises of [`Transport`], one case each. What it lacks by its [`Abilities`] is asked for
//! too, and must be refused.

mod publishing;
mod reading;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factum_core::ports::transport::{
    Abilities, Consumer, Delivery, Lane, Offset, Parcel, Publisher, Start, TopicSpec, Transport, TransportError,
};

use super::{Cannot, Run};

/// Makes the broker under test.
pub trait Subject {
    /// A broker, and a topic that nobody has used: its name. Whatever was handed out before has been dropped.
    fn fresh(&mut self) -> (Arc<dyn Transport>, String);

    /// The broker loses what stands before an offset of a lane, as a retention takes it away.
    ///
    /// # Errors
    /// [`Cannot`] if that cannot be brought about.
    fn drop_before(&mut self, lane: &Lane, offset: &Offset) -> Result<(), Cannot>;

    /// The broker ends, and starts again over what it has kept.
    ///
    /// # Errors
    /// [`Cannot`] if that cannot be brought about.
    fn restart(&mut self) -> Result<(), Cannot>;
}

/// A case: its name and what it does with a subject.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// Runs all cases on a broker.
///
/// # Panics
/// If a case failed; the message names all that did, and each has printed what it found.
pub fn run(subject: &mut dyn Subject) {
    let mut run = Run::default();
    for (name, case) in cases() {
        run.case(name, || case(subject));
    }
    run.end();
}

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![
        ("a topic that is there is found with its lanes", publishing::topics),
        ("a key has one lane, and keys are spread over all of them", publishing::lanes),
        ("what was published comes as it was, once, to each that reads", reading::whole),
        ("a lane is in order, over batches and publishers", publishing::ordered),
        ("nothing that is empty is lost: bodies, keys, headers", reading::empty),
        ("a lane begins where it is told", reading::starts),
        ("an offset that is gone is told, and none is skipped", reading::dropped),
        ("a publisher ends the earlier one of its name", publishing::fenced),
        ("publishers of two names do not disturb each other", publishing::beside),
        ("what is too large is refused and nothing of its batch published", publishing::too_large),
        ("a message can be held back", publishing::delayed),
        ("a lane that is paused gives nothing, and the others go on", reading::paused),
        ("what is settled is not needed any more, and settling does not move who reads", reading::settled),
        ("a lane that is not there is a sentence", reading::no_lane),
        ("who waits is woken, and waits no longer than asked", reading::waiting),
        ("after a restart of the broker all that it acknowledged is there", publishing::restarted),
        ("many publishers and readers at once lose and double nothing", publishing::many),
    ]
}

/// No broker needs longer.
const LIMIT: Duration = Duration::from_secs(60);
/// So long nothing must come, where nothing is to come.
const QUIET: Duration = Duration::from_millis(300);
const LANES: u32 = 4;

struct Bench {
    broker: Arc<dyn Transport>,
    topic: Arc<str>,
}

impl Bench {
    fn of(subject: &mut dyn Subject) -> Self {
        let (broker, topic) = subject.fresh();
        let topic: Arc<str> = topic.into();
        let lanes = broker.topic(&TopicSpec { name: topic.clone(), lanes: LANES, keeps: None });
        assert_eq!(lanes.expect("the topic can be made"), LANES);
        Self { broker, topic }
    }

    fn abilities(&self) -> Abilities {
        self.broker.abilities()
    }

    fn lane(&self, number: u32) -> Lane {
        Lane { topic: self.topic.clone(), number }
    }

    fn publisher(&self, name: &str) -> Box<dyn Publisher> {
        self.broker.publisher(name).expect("there is a publisher")
    }

    /// All lanes, from the beginning of a topic that is new.
    fn consumer(&self) -> Box<dyn Consumer> {
        let start = if self.abilities().replays { Start::Earliest } else { Start::Latest };
        let lanes: Vec<_> = (0..LANES).map(|number| (self.lane(number), start.clone())).collect();
        self.broker.consumer("conformance", &lanes).expect("there is a consumer")
    }

    fn at(&self, number: u32, start: Start) -> Result<Box<dyn Consumer>, TransportError> {
        self.broker.consumer("conformance", &[(self.lane(number), start)])
    }
}

fn parcel(text: &str) -> Parcel {
    Parcel {
        key: Some("key".into()),
        headers: vec![("eventType".into(), "order.created".into())],
        body: text.into(),
        ..Parcel::default()
    }
}

/// Polls until so many came.
fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let (mut came, until) = (Vec::new(), Instant::now() + LIMIT);
    while came.len() < count {
        came.extend(consumer.poll(Duration::from_millis(100)).expect("it can be read"));
        assert!(Instant::now() < until, "only {} of {count} came", came.len());
    }
    assert_eq!(came.len(), count, "more came than was published");
    came
}

fn nothing_comes(consumer: &mut dyn Consumer) {
    let until = Instant::now() + QUIET;
    while Instant::now() < until {
        let came = consumer.poll(QUIET / 10).expect("it can be read");
        assert!(came.is_empty(), "{came:?} came");
    }
}

fn texts(came: &[Delivery]) -> Vec<String> {
    came.iter().map(|delivery| String::from_utf8_lossy(&delivery.parcel.body).into_owned()).collect()
}

fn is_permanent<T>(result: Result<T, TransportError>) -> bool {
    matches!(result, Err(TransportError::Permanent(_)))
}
