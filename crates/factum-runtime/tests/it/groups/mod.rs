//! Pull groups: what workers get, in which order, and what becomes of what they say.

mod model;

use std::{sync::Arc, time::Duration};

use factum_core::{
    group::{Group, Start},
    id::MessageId,
    letter::{LetterId, Subject},
    service::Service,
    stream::Position,
};
use factum_runtime::{
    acts::What,
    groups::{Delivery, GroupError, Groups, Parts, Settle, Settlement, Told, Verdict},
    inbox::Input,
    registry::ConsumerId,
};
use tokio::sync::oneshot;

use super::bank::*;
use super::bench::*;

const NAME: &str = "workers";

/// Payments, and a group that reads them: a lease of 30 seconds, a letter after 3 attempts.
fn paid() -> Group {
    Group::new(NAME).reads::<Paid>().attempts(3)
}

fn with(group: Group) -> Vec<Service> {
    vec![accounts().group(group)]
}

/// The workers' side of a group on the bench.
struct Workers {
    groups: Arc<Groups>,
    id: ConsumerId,
}

impl Workers {
    fn of(bench: &Bench, start: u64) -> Self {
        let groups = Groups::new(Parts {
            registry: bench.registry.clone(),
            reader: bench.committer.reader(),
            tail: bench.committer.tail(),
            inbox: bench.inbox.clone(),
            clock: Arc::new(bench.clock.clone()),
            told: bench.engine.groups(),
            start: MessageId::parse(&format!("start{start}")).unwrap(),
        });
        Self { groups: Arc::new(groups), id: bench.registry.named(NAME).unwrap() }
    }

    /// What is there for a worker now; what must be stored first is.
    fn poll(&self, bench: &mut Bench, most: usize) -> Vec<Delivery> {
        for _ in 0..100 {
            let look = self.groups.look(self.id, most).unwrap();
            if let Some(settle) = look.settle {
                self.store(bench, &settle);
            } else if look.deliveries.is_empty() && look.more {
                continue;
            } else {
                return look.deliveries;
            }
            if !look.deliveries.is_empty() {
                return look.deliveries;
            }
        }
        panic!("polls have no end");
    }

    fn say(&self, bench: &mut Bench, tokens: &[&Delivery], verdict: Verdict) -> Result<(), GroupError> {
        let tokens = tokens.iter().map(|it| it.token.clone()).collect();
        let (settle, stale) = self.groups.take(NAME, &Settlement { tokens, verdict })?;
        if let Some(settle) = settle {
            self.store(bench, &settle);
        }
        if stale.is_empty() { Ok(()) } else { Err(GroupError::Stale(stale)) }
    }

    fn ack(&self, bench: &mut Bench, deliveries: &[Delivery]) {
        self.say(bench, &deliveries.iter().collect::<Vec<_>>(), Verdict::Done).unwrap();
    }

    fn nack(&self, bench: &mut Bench, delivery: &Delivery, delay: Duration) {
        let verdict = Verdict::Failed { delay: Some(delay), reason: "as asked".to_owned() };
        self.say(bench, &[delivery], verdict).unwrap();
    }

    fn store(&self, bench: &mut Bench, settle: &Settle) {
        let mut durable = send(bench, settle);
        bench.run();
        durable.try_recv().unwrap();
        self.groups.answered(settle, true);
    }

    fn told(&self, bench: &Bench) -> Told {
        bench.engine.groups().with(self.id, Told::clone)
    }
}

fn send(bench: &Bench, settle: &Settle) -> oneshot::Receiver<()> {
    let (reply, durable) = oneshot::channel();
    bench.inbox.try_send(Input::Settle(Box::new(settle.clone()), reply)).unwrap();
    durable
}

fn pays(bench: &mut Bench, all: &[(&str, i64)]) {
    for (key, cents) in all {
        bench.ask(&format!("{key}{cents}"), pay(key, *cents)).unwrap();
    }
}

fn cents(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|it| it.message["data"]["cents"].as_i64().unwrap()).collect()
}

fn begin(group: Group) -> (Bench, Workers) {
    let bench = Bench::new(with(group));
    let workers = Workers::of(&bench, 1);
    (bench, workers)
}

fn restart(bench: Bench, group: Group, start: u64) -> (Bench, Workers) {
    let bench = bench.restart(with(group));
    let workers = Workers::of(&bench, start);
    (bench, workers)
}

#[test]
fn one_message_of_a_key_is_out_at_a_time_and_other_keys_go_on() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("a", 1), ("a", 2), ("b", 3)]);
    let first = workers.poll(&mut bench, 10);
    assert_eq!(cents(&first), [1, 3]);
    assert_eq!(workers.poll(&mut bench, 10).len(), 0);
    workers.ack(&mut bench, &first[..1]);
    assert_eq!(cents(&workers.poll(&mut bench, 10)), [2]);
    let unordered = paid().unordered();
    let (mut bench, workers) = begin(unordered);
    pays(&mut bench, &[("a", 1), ("a", 2), ("b", 3)]);
    assert_eq!(cents(&workers.poll(&mut bench, 10)), [1, 2, 3]);
}

#[test]
fn what_was_leased_at_a_restart_is_offered_again_and_its_token_is_stale() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("a", 1), ("b", 2)]);
    let out = workers.poll(&mut bench, 10);
    workers.ack(&mut bench, &out[..1]);
    let (mut bench, workers) = restart(bench, paid(), 2);
    let again = workers.poll(&mut bench, 10);
    assert_eq!(cents(&again), [2], "what was acknowledged is over");
    assert_eq!((&again[0].message["id"], again[0].attempt), (&out[1].message["id"], 1));
    let stale = workers.say(&mut bench, &[&out[1]], Verdict::Done).unwrap_err();
    assert!(matches!(&stale, GroupError::Stale(tokens) if *tokens == [out[1].token.clone()]), "{stale}");
    workers.ack(&mut bench, &again);
    assert_eq!(workers.told(&bench).settled.cursor, Position(2));
}

#[test]
fn a_lease_that_ran_out_goes_to_another_and_the_first_worker_hears_it() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("a", 1)]);
    let first = workers.poll(&mut bench, 1);
    bench.clock.advance(NOW + Duration::from_secs(29));
    workers.say(&mut bench, &[&first[0]], Verdict::Longer(None)).unwrap();
    bench.clock.advance(NOW + Duration::from_secs(58));
    assert!(workers.poll(&mut bench, 1).is_empty(), "it was extended");
    bench.clock.advance(NOW + Duration::from_secs(60));
    let second = workers.poll(&mut bench, 1);
    assert_eq!((cents(&second), second[0].attempt), (vec![1], 2));
    let stale = workers.say(&mut bench, &[&first[0]], Verdict::Done);
    assert!(matches!(stale, Err(GroupError::Stale(_))), "{stale:?}");
    workers.ack(&mut bench, &second);
    workers.ack(&mut bench, &second);
    let garbage = Settlement { tokens: vec!["<b>".to_owned()], verdict: Verdict::Done };
    assert!(matches!(workers.groups.take(NAME, &garbage), Err(GroupError::NoToken(_))));
}

#[test]
fn what_has_failed_waits_and_stands_before_later_ones_of_its_key() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("a", 1), ("a", 2), ("b", 3)]);
    let out = workers.poll(&mut bench, 1);
    workers.nack(&mut bench, &out[0], Duration::from_secs(60));
    let (mut bench, workers) = restart(bench, paid(), 2);
    assert_eq!(cents(&workers.poll(&mut bench, 10)), [3], "the delay outlives a restart");
    bench.clock.advance(NOW + Duration::from_secs(61));
    let again = workers.poll(&mut bench, 1);
    assert_eq!((cents(&again), again[0].attempt), (vec![1], 2));
}

/// The letter of the only poisoned message, `a1`, with three more of its key behind it.
fn dead(group: Group) -> (Bench, Workers, LetterId) {
    let (mut bench, workers) = begin(group);
    pays(&mut bench, &[("a", 1), ("a", 2), ("b", 3), ("a", 4)]);
    for _ in 0..3 {
        let out = workers.poll(&mut bench, 1);
        workers.nack(&mut bench, &out[0], Duration::ZERO);
    }
    let letter = bench.letters().remove(0);
    assert!(letter.reason().contains("attempt 3 of 3: as asked"), "{}", letter.reason());
    assert_eq!(letter.id, LetterId::new(NAME, Subject::Message(Position(1))));
    (bench, workers, letter.id)
}

#[test]
fn after_the_last_attempt_a_letter_holds_its_key_and_the_cursor_goes_on() {
    let (mut bench, workers, letter) = dead(paid());
    let others = workers.poll(&mut bench, 10);
    assert_eq!(cents(&others), [3]);
    workers.ack(&mut bench, &others);
    assert_eq!(workers.told(&bench).settled.cursor, Position(4));
    assert_eq!(bench.held()[0].waiting(), 2);
    let tried = bench.act(What::Try(letter.clone())).unwrap();
    assert!(format!("{tried:?}").contains("delivery"), "{tried:?}");

    bench.act(What::Redrive(letter)).unwrap();
    let (mut bench, workers) = restart(bench, paid(), 2);
    for expected in [1, 2, 4] {
        let next = workers.poll(&mut bench, 10);
        assert_eq!((cents(&next), next[0].attempt), (vec![expected], 1));
        workers.ack(&mut bench, &next);
    }
    assert_eq!((bench.letters().len(), bench.held().len()), (0, 0));
    pays(&mut bench, &[("a", 5)]);
    assert_eq!(cents(&workers.poll(&mut bench, 10)), [5]);
}

#[test]
fn a_discarded_or_released_letter_lets_the_rest_of_its_key_go_on() {
    for release in [false, true] {
        let (mut bench, workers, letter) = dead(paid());
        let act = if release { What::Release(letter.clone()) } else { What::Discard(letter.clone()) };
        bench.act(act).unwrap();
        assert_eq!(cents(&workers.poll(&mut bench, 10)), [2, 3]);
        assert_eq!(bench.letters().len(), usize::from(release));
        if release {
            bench.act(What::Redrive(letter)).unwrap();
            assert!(workers.poll(&mut bench, 10).is_empty(), "its key is busy");
            bench.clock.advance(NOW + Duration::from_secs(60));
            assert_eq!(cents(&workers.poll(&mut bench, 1)), [1], "before all others of its key");
        }
    }
}

#[test]
fn without_order_a_letter_holds_nothing_and_comes_back_when_redriven() {
    let (mut bench, workers, letter) = dead(paid().unordered());
    assert!(bench.held().is_empty());
    let others = workers.poll(&mut bench, 10);
    assert_eq!(cents(&others), [2, 3, 4]);
    workers.ack(&mut bench, &others);
    bench.act(What::Redrive(letter)).unwrap();
    let again = workers.poll(&mut bench, 10);
    assert_eq!(cents(&again), [1]);
    workers.ack(&mut bench, &again);
    bench.run();
    assert_eq!((bench.letters().len(), bench.held().len()), (0, 0));
}

#[test]
fn behind_a_message_that_nobody_settles_a_bounded_number_is_given_out() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("slow", 1)]);
    for number in 0..1_100 {
        bench.send(&format!("k{number}"), pay(&format!("k{number}"), 1));
    }
    bench.run();
    let slow = workers.poll(&mut bench, 1);
    let mut given = 0;
    loop {
        let more = workers.poll(&mut bench, 1_000);
        if more.is_empty() {
            break;
        }
        given += more.len();
        workers.ack(&mut bench, &more);
    }
    assert_eq!(given, 1_023);
    let state = workers.groups.show(NAME, &bench.health()).unwrap();
    assert!(state.full && state.cursor == Position(0) && state.leased == 1, "{state:?}");
    let (mut bench, workers) = restart(bench, paid(), 2);
    let again = workers.poll(&mut bench, 1_000);
    assert_eq!(cents(&again).len(), 1, "also behind a restart");
    workers.ack(&mut bench, &again);
    assert_eq!(workers.poll(&mut bench, 1_000).len(), 77);
    drop(slow);
}

/// Past what a held key lists, what waits is found in the log.
#[test]
fn thousands_behind_a_letter_do_not_stop_other_keys_and_come_in_their_order() {
    let (mut bench, workers, letter) = dead(paid());
    for number in 0..900 {
        bench.send(&format!("x{number}"), pay("a", 1));
        bench.send(&format!("y{number}"), pay("b", 1));
    }
    bench.run();
    let mut others = 0;
    loop {
        let more = workers.poll(&mut bench, 1_000);
        if more.is_empty() {
            break;
        }
        others += more.len();
        workers.ack(&mut bench, &more);
    }
    assert_eq!(others, 901);
    assert_eq!(bench.held()[0].passed.len() as u64 + bench.health().held, 902 * 2, "all of them are listed");
    // A list that is as long as it may be.
    let (mut bench, workers) = restart(bench, paid(), 2);
    for number in 900..1_300 {
        bench.send(&format!("z{number}"), pay("c", 1));
        bench.send(&format!("x{number}"), pay_with("a2", 1, "other"));
    }
    bench.run();
    bench.act(What::Discard(letter)).unwrap();
    let mut last = 0;
    let mut of_a = 0;
    loop {
        let more = workers.poll(&mut bench, 1_000);
        if more.is_empty() {
            break;
        }
        for delivery in more.iter().filter(|it| it.message["partitionKey"] == "a") {
            let position = delivery.message["position"].as_u64().unwrap();
            assert!(position > last, "I2: {position} behind {last}");
            (last, of_a) = (position, of_a + 1);
        }
        workers.ack(&mut bench, &more);
    }
    assert_eq!((of_a, bench.held().len()), (902, 0));
}

#[test]
fn a_new_group_begins_where_it_says_and_afterwards_where_it_stood() {
    let at = |seconds| NOW + Duration::from_secs(seconds);
    for (start, expected) in [
        (Start::Earliest, vec![1, 2, 3]),
        (Start::Latest, vec![4]),
        (Start::Position(Position(2)), vec![2, 3, 4]),
        (Start::Position(Position(99)), vec![4]),
        (Start::Time(at(0)), vec![1, 2, 3]),
        (Start::Time(at(9)), vec![4]),
    ] {
        let mut bench = Bench::new(vec![accounts()]);
        pays(&mut bench, &[("a", 1), ("b", 2), ("c", 3)]);
        let (bench, _) = restart(bench, paid().start(start), 2);
        // Nothing is stored of it yet, and it begins at the same place.
        let (mut bench, workers) = restart(bench, paid().start(start), 3);
        pays(&mut bench, &[("d", 4)]);
        let out = workers.poll(&mut bench, 3);
        assert_eq!(cents(&out), expected, "{start:?}");
        workers.ack(&mut bench, &out);
        let other = paid().start(if start == Start::Earliest { Start::Latest } else { Start::Earliest });
        let (mut bench, workers) = restart(bench, other, 4);
        let rest = if expected.len() == 3 && expected[0] == 1 { vec![4] } else { vec![] };
        assert_eq!(cents(&workers.poll(&mut bench, 3)), rest, "{start:?}: its cursor counts");
    }
}

#[test]
fn a_group_that_goes_keeps_its_place_and_is_told() {
    let (mut bench, workers) = begin(paid());
    pays(&mut bench, &[("a", 1)]);
    let out = workers.poll(&mut bench, 3);
    workers.ack(&mut bench, &out);
    let mut bench = bench.restart(vec![accounts()]);
    assert_eq!(bench.health().orphans, [NAME]);
    pays(&mut bench, &[("a", 2)]);
    let (mut bench, workers) = restart(bench, paid().latest(), 3);
    assert_eq!(cents(&workers.poll(&mut bench, 3)), [2]);
    assert!(bench.health().orphans.is_empty());
}

#[test]
fn groups_that_cannot_be_are_refused_with_a_sentence() {
    use factum_runtime::registry::Registry;
    let refused = |services| Registry::new(services).err().unwrap().to_string();
    for (group, sentence) in [
        (Group::new("a"), "reads nothing"),
        (paid().lease(Duration::from_millis(1)), "a lease lasts 1 second to 12 hours"),
        (paid().attempts(0), "1 to 1000 attempts"),
        (Group::new("A b").reads::<Paid>(), "must start with a-z"),
        (Group::new("engine").reads::<Paid>(), "the platform has this name"),
    ] {
        let told = refused(with(group));
        assert!(told.contains(sentence), "{told}");
    }
    let twice = refused(vec![accounts().group(paid()).group(paid())]);
    assert!(twice.contains("two consumers called `workers`"), "{twice}");
}
